//! The features, the score and the factors of a change.

use crate::{
    as_somebody, assessed, change, commit, factors, feature, fits_the_schema, history, kit::World, lines, risk,
};

#[test]
fn the_features_are_those_computed_by_hand() {
    let world = World::empty();
    let (from, to) = change(&world);
    let assessment = assessed(&world, &from, &to);
    let expected = [
        // src and lib, as first folders and as folders; src/a.rs and lib/c.rs.
        ("NS", 2.0),
        ("ND", 2.0),
        ("NF", 2.0),
        // a: 3 added, 1 deleted; c: 12 added.
        ("LA", 15.0),
        ("LD", 1.0),
        // Shares 4/16 and 12/16: 0.25 * 2 + 0.75 * log2(4/3) = 0.811278 bits, of at most log2(2) = 1.
        ("Entropy", 0.811_278_124_459_132_8),
        // a had 11 lines, c none.
        ("LT", 11.0),
        ("FIX", 0.0),
        // a was changed by ann on day 0 and by bob on day 1.
        ("NDEV", 2.0),
        ("NUC", 2.0),
        // From day 1 to day 4; c is new and has no age.
        ("AGE", 3.0),
        // Bob has made one change, three days ago, in src.
        ("EXP", 1.0),
        ("REXP", 1.0 / (1.0 + 3.0 / 365.25)),
        ("SEXP", 1.0),
    ];
    for (name, value) in expected {
        assert!((feature(&assessment, name) - value).abs() < 1e-12, "{name} is {}", feature(&assessment, name));
    }
    assert_eq!(assessment["features"].as_object().unwrap().len(), 14);
    fits_the_schema(&assessment, "risk");
    // The logits without the intercept: Start 1.54, Add to a 0.42, Say what it is 0.73, Fix b 1.56; the change 1.46.
    // Two of four are below.
    assert_eq!((assessment["score"].as_u64(), assessment["compared_with"].as_u64()), (Some(50), Some(4)));
    assert_eq!(factors(&assessment), ["no-tests"]);
}

#[test]
fn contributions_are_against_the_median_change() {
    let world = World::empty();
    let (from, to) = change(&world);
    let assessment = assessed(&world, &from, &to);
    let la = assessment["terms"].as_array().unwrap().iter().find(|term| term["feature"] == "LA").unwrap().clone();
    // LA of the four: 16, 1, 3, 1; the lower median is 1. 0.419 * (ln 16 - ln 2) = 0.871; three of four are below 15.
    assert_eq!((la["median"].as_f64(), la["percentile"].as_u64()), (Some(1.0), Some(75)));
    assert!((la["contribution"].as_f64().unwrap() - 0.419 * 8_f64.ln()).abs() < 1e-12);
    risk(&world, &from, &to, &[])
        .exits(0)
        .says("+0.9  LA=15")
        .says("(p75)")
        .says("risk 50 of 100")
        .never_says("probab");
}

#[test]
fn only_history_before_the_change_counts() {
    let world = World::empty();
    let (from, to) = change(&world);
    let before = risk(&world, &from, &to, &[]).exits(0).out;
    commit(&world, "bob", 5, "Revert \"Split c off\"", &[("src/a.rs", Some("gone\n"))]);
    assert_eq!(risk(&world, &from, &to, &[]).exits(0).out, before);
}

#[test]
fn a_file_keeps_its_history_through_a_rename() {
    let world = World::empty();
    let from = history(&world);
    let a = lines(1..=11) + "more\n";
    let to = commit(&world, "dan", 4, "Move a", &[("src/a.rs", None), ("app/d.rs", Some(&a))]);
    let moved = assessed(&world, &from, &to);
    assert_eq!(["NF", "LA", "LD", "LT", "NDEV"].map(|name| feature(&moved, name)), [1.0, 1.0, 0.0, 11.0, 2.0]);
    // The next change of the file sees ann, bob and dan behind it.
    let next = commit(&world, "eve", 5, "Go on", &[("app/d.rs", Some(&(a + "and more\n")))]);
    assert_eq!(feature(&assessed(&world, &to, &next), "NDEV"), 3.0);
}

#[test]
fn merges_are_no_changes_and_what_they_bring_in_is() {
    let world = World::empty();
    let from = history(&world);
    as_somebody(&world, "ann", 4, &["checkout", "--quiet", "-b", "side"]);
    commit(&world, "ann", 4, "Aside", &[]);
    world.git(&["update-ref", "refs/heads/side", "HEAD"]);
    let side = world.git(&["commit-tree", "-p", "side", "-m", "fix: the side", "side^{tree}"]);
    let other = world.git(&["commit-tree", "-p", &from, "-m", "Other", "side^{tree}"]);
    let merge = world.git(&["commit-tree", "-p", &other, "-p", &side, "-m", "Merge a bug", "side^{tree}"]);
    let assessment = assessed(&world, &from, &merge);
    // Aside, the side's fix and Other; the merge's own message does not count, the fix that it brings in does.
    assert_eq!((assessment["change"]["commits"].as_u64(), feature(&assessment, "FIX")), (Some(3), 1.0));
    // Behind the merge: the four of the history and these three.
    assert_eq!(assessed(&world, &merge, &merge)["compared_with"].as_u64(), Some(7));
}

#[test]
fn binary_files_are_files_without_lines_and_said() {
    let world = World::empty();
    let from = history(&world);
    let to =
        commit(&world, "ann", 4, "Add a picture", &[("src/logo.png", Some("\0\0\n\n")), ("src/e.rs", Some("e\n"))]);
    let assessment = assessed(&world, &from, &to);
    assert_eq!(["NF", "LA", "Entropy"].map(|name| feature(&assessment, name)), [2.0, 1.0, 0.0]);
    risk(&world, &from, &to, &[]).exits(0).says("note: binary, so counted as files and not in lines: src/logo.png");
}

#[test]
fn an_attribute_does_not_hide_lines() {
    let world = World::empty();
    let from = history(&world);
    let files = [(".gitattributes", Some("*.rs binary\n*.rs -diff\n")), ("src/f.rs", None)];
    let big = lines(1..=500);
    let to = commit(&world, "ann", 4, "Add f", &[files[0], ("src/f.rs", Some(&big))]);
    assert_eq!(feature(&assessed(&world, &from, &to), "LA"), 502.0);
    world.git(&["config", "diff.renames", "copies"]);
    world.git(&["config", "diff.external", "false"]);
    assert_eq!(feature(&assessed(&world, &from, &to), "LA"), 502.0);
}

#[test]
fn generated_files_are_said_and_counted() {
    let world = World::empty();
    let from = history(&world);
    let to = commit(&world, "ann", 4, "Build", &[("dist/app.min.js", Some(&lines(1..=9)))]);
    assert_eq!(feature(&assessed(&world, &from, &to), "LA"), 9.0);
    risk(&world, &from, &to, &[]).exits(0).says("made by programs, by their names, and counted all the same: dist/app");
}

#[test]
fn the_first_change_has_nothing_to_be_compared_with_and_is_at_the_top() {
    let world = World::empty();
    let root = commit(&world, "ann", 0, "Start", &[("src/a.rs", Some(&lines(1..=3)))]);
    let assessment = assessed(&world, &"0".repeat(40), &root);
    assert_eq!((assessment["score"].as_u64(), feature(&assessment, "LA")), (Some(100), 3.0));
    risk(&world, &"0".repeat(40), &root, &[]).exits(0).says("change nothing..").says("nothing before the change");
}

#[test]
fn an_empty_change_is_said_to_be_empty() {
    let world = World::empty();
    let from = history(&world);
    let to = commit(&world, "ann", 4, "Nothing", &[]);
    for to in [&to, &from] {
        let assessment = assessed(&world, &from, to);
        assert_eq!((feature(&assessment, "NF"), assessment["score"].as_u64()), (0.0, Some(0)));
        assert!(factors(&assessment).is_empty());
        risk(&world, &from, to, &[]).exits(0).says("the change is empty");
    }
}

#[test]
fn going_back_is_a_change_too() {
    let world = World::empty();
    let (from, to) = change(&world);
    let back = assessed(&world, &to, &from);
    assert_eq!(["LA", "LD", "NF"].map(|name| feature(&back, name)), [1.0, 15.0, 2.0]);
    assert_eq!(back["change"]["commits"].as_u64(), Some(0));
}

#[test]
fn an_agents_experience_is_left_out() {
    let world = World::empty();
    let (from, to) = change(&world);
    let agent = risk(&world, &from, &to, &["--author-role", "agent", "--format", "json"]).exits(0).json();
    let names: Vec<_> = agent["features"].as_object().unwrap().keys().collect();
    assert!(names.len() == 11 && names.iter().all(|name| !name.ends_with("EXP")), "{names:?}");
    risk(&world, &from, &to, &["--author-role", "agent"]).says("left out").never_says("SEXP=");
    risk(&world, &from, &to, &["--author-role", "human"]).never_says("left out").says("SEXP=");
}

#[test]
fn factors_stand_beside_the_score_and_not_in_it() {
    let world = World::empty();
    let from = history(&world);
    let plain = [("src/b.rs", Some("b\n")), ("Cargo.toml", Some("c\n"))];
    let to = commit(&world, "bob", 4, "Change b", &plain);
    let without = assessed(&world, &from, &to);
    world.git(&["reset", "--quiet", "--hard", &from]);
    let to = commit(&world, "bob", 4, "Change b", &[plain[0], ("Cargo.lock", Some("c\n"))]);
    let with = risk(&world, &from, &to, &["--sensitive", "src/*.rs", "--format", "json"]).exits(0).json();
    assert_eq!(with["score"], without["score"]);
    assert_eq!((factors(&without), factors(&with)), (vec!["no-tests"], vec!["sensitive-path", "lockfile", "no-tests"]));
}

#[test]
fn a_revert_counts_for_ninety_days_and_for_its_own_files() {
    let world = World::empty();
    history(&world);
    let from = commit(&world, "ann", 10, "Revert \"Fix b\"", &[("src/b.rs", Some(&lines(1..=4)))]);
    let reverted = |day, path, test| {
        world.git(&["reset", "--quiet", "--hard", &from]);
        let to = commit(&world, "bob", day, "Again", &[(path, Some("x\n")), (test, Some("t\n"))]);
        factors(&assessed(&world, &from, &to)).iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(reverted(100, "src/b.rs", "tests/b.rs"), ["reverts-90d"]);
    assert_eq!(reverted(101, "src/b.rs", "tests/b.rs"), [""; 0]);
    assert_eq!(reverted(100, "src/a.rs", "tests/b.rs"), [""; 0]);
}

#[test]
fn the_line_to_paste_is_the_assessment() {
    let world = World::empty();
    let (from, to) = change(&world);
    let block = risk(&world, &from, &to, &["--format", "yaml-block"]).exits(0).out;
    assert_eq!(block, "risk: {score: 50, model: two-key-1, factors: [no-tests]}\n");
}

#[test]
fn sha256_repositories_are_read_too() {
    let world = World::with_format("sha256");
    let (from, to) = change(&world);
    assert_eq!(assessed(&world, &from, &to)["score"].as_u64(), Some(50));
    assert_eq!(feature(&assessed(&world, &"0".repeat(64), &from), "LA"), 20.0);
}

#[test]
fn what_is_not_there_cannot_be_decided() {
    let world = World::empty();
    let (from, to) = change(&world);
    risk(&world, &"1".repeat(40), &to, &[]).exits(3).says("names no commit in the change's repository");
    risk(&world, &from, "nowhere", &[]).exits(3).says("`nowhere` names no commit");
    let tree = world.git(&["rev-parse", &format!("{to}^{{tree}}")]);
    risk(&world, &from, &tree, &[]).exits(3).says("names no commit");
    let args = ["risk", "--repository", "/nowhere", "--from", &from, "--to", &to];
    world.two_key(&args).exits(3).says("is not a Git repository").says("--repository PATH");
    let failure = world.two_key(&[&args[..], &["--format", "json"]].concat()).exits(3).json();
    assert_eq!((failure["reason"].as_str(), failure["exit"].as_u64()), (Some("internal"), Some(3)));
}

#[test]
fn a_shallow_clone_is_refused_with_the_reason() {
    let world = World::empty();
    let (from, to) = change(&world);
    let url = format!("file://{}", world.repo().display());
    world.run(world.path(), "git", &["clone", "--quiet", "--depth=2", &url, "shallow"], b"").exits(0);
    let args = ["risk", "--repository", "../shallow", "--from", &from, "--to", &to];
    world.two_key(&args).exits(3).says("undecided: shallow: the change's repository");
    world.run(world.path(), "git", &["clone", "--quiet", &url, "whole"], b"").exits(0);
    world.two_key(&["risk", "--repository", "../whole", "--from", &from, "--to", &to]).exits(0);
}

#[test]
fn wrong_usage_is_wrong_usage() {
    let world = World::empty();
    let (from, to) = change(&world);
    world.two_key(&["risk", "--repository", ".", "--from", &from]).exits(2);
    risk(&world, &from, &to, &["--sensitive", "auth/["]).exits(2).says("auth/[");
    risk(&world, &from, &to, &["--author-role", "robot"]).exits(2);
}
