//! Ranges of as many commits: what a change is compared with, and what a clone lacks for it.

use std::fmt::Write as _;

use super::{DAY, assessed};
use crate::kit::{self, World};

/// One commit of a `git fast-import` stream: a file with so many lines, so many days after the beginning.
fn import(stream: &mut String, day: u64, message: &str, path: &str, lines: usize) {
    let time = kit::EPOCH + day * DAY;
    let content: String = (0..lines).map(|line| format!("{message} {line}\n")).collect::<Vec<_>>().concat();
    let _ = write!(
        stream,
        "commit refs/heads/main\ncommitter P <p@example.org> {time} +0000\ndata {}\n{message}\nM 100644 inline \
         {path}\ndata {}\n{content}\n",
        message.len() + 1,
        content.len()
    );
}

fn imported(world: &World, stream: &str) {
    world.run(world.repo(), "git", &["fast-import", "--quiet"], stream.as_bytes()).exits(0);
}

#[test]
fn a_range_is_compared_with_ranges_of_as_many_commits() {
    let world = World::empty();
    let mut stream = String::new();
    for number in 0..90_usize {
        import(&mut stream, number as u64, &number.to_string(), &format!("src/f{}", number % 30), number % 3 + 1);
    }
    imported(&world, &stream);
    let score = |from: &str, to: &str| {
        let assessment = assessed(&world, from, to);
        ["score", "compared_with"].map(|name| assessment[name].as_u64().unwrap())
    };
    // A stretch of thirty is as large as the one before it, and one of ten is the largest of eight: all are alike.
    assert_eq!(score("main~30", "main"), [100, 2]);
    assert_eq!(score("main~10", "main"), [100, 8]);
    // Three commits of which one is large are larger than any three before.
    let mut stream = String::from("reset refs/heads/main\nfrom refs/heads/main^0\n\n");
    import(&mut stream, 91, "Much", "src/f1", 40);
    imported(&world, &stream);
    assert_eq!(score("main~3", "main"), [100, 29]);
    // So many commits were never there before: what cannot be compared is not called safe.
    assert_eq!(score("main~50", "main"), [100, 0]);
    // A small stretch is small: none of 29 is smaller.
    let mut stream = String::from("reset refs/heads/main\nfrom refs/heads/main^0\n\n");
    for number in 0..3 {
        import(&mut stream, 92, &format!("Little {number}"), "src/f2", 3);
    }
    imported(&world, &stream);
    assert_eq!(score("main~3", "main"), [3, 30]);
}

#[test]
fn history_is_walked_as_far_as_the_window_and_no_further() {
    let world = World::empty();
    let mut stream = String::new();
    for number in 0..20_200_usize {
        import(&mut stream, number as u64 / 20, &number.to_string(), "src/a", 1);
    }
    imported(&world, &stream);
    let seen = |from: &str| {
        let assessment = assessed(&world, from, "main");
        ["history", "compared_with"].map(|name| assessment[name].as_u64().unwrap())
    };
    assert_eq!(seen("main~1"), [20_000, 200]);
    // The oldest of the 20,000 is only what the next one came from.
    assert_eq!(seen("main~90"), [20_000, 200]);
    assert_eq!(seen("main~100"), [20_000, 199]);
    // Another number of ranges is for looking, not for leases.
    let last = |more: &[&str]| super::risk(&world, "main~1", "main", &[&["--last", "30"], more].concat());
    assert_eq!(last(&["--format", "json"]).exits(0).json()["compared_with"].as_u64(), Some(30));
    last(&["--format", "yaml-block"]).exits(2).says("which compares with 200 ranges");
    super::risk(&world, "main~1", "main", &["--last", "0"]).exits(2);
}

#[test]
fn a_clone_that_lacks_files_says_what_it_lacks() {
    let world = World::empty();
    let (from, to) = super::change(&world);
    world.git(&["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", world.repo().display());
    world
        .run(world.path(), "git", &["clone", "--quiet", "--filter=blob:none", "--bare", &url, "partial"], b"")
        .exits(0);
    let args = ["risk", "--repository", "../partial", "--from", &from, "--to", &to];
    world
        .two_key(&args)
        .exits(3)
        .says("undecided: shallow: the change's repository is a partial clone")
        .says("without --filter");
    // A file of an earlier change is gone, as from a copy that left out what is large.
    let lost = world.git(&["rev-parse", &format!("{from}~3:src/b.rs")]);
    let whole = super::risk(&world, &from, &to, &[]).exits(0);
    whole.never_says("lacks");
    std::fs::remove_file(world.repo().join(".git/objects").join(&lost[..2]).join(&lost[2..])).unwrap();
    super::risk(&world, &from, &to, &[]).exits(3).says(&format!("the change's repository lacks {lost}"));
}
