//! Fitting weights to a repository's past, and the bounds of the window that is read.

use std::fmt::Write as _;

use crate::{
    DAY, assessed, feature, fits_the_schema, history,
    kit::{self, LEASE, World},
};

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

/// 330 changes, one a day, of which every third is large and is reverted half a year later.
fn past(world: &World) {
    let mut stream = String::new();
    for number in 0..330 {
        let large = if number % 3 == 0 { 40 } else { 0 };
        let lines = 5 + number * 7 % 30 + large;
        import(&mut stream, number as u64, &format!("Change {number}"), &format!("s{}/f{number}", number % 5), lines);
    }
    imported(world, &stream);
    let ids = world.git(&["rev-list", "--reverse", "main"]);
    let mut stream = String::from("reset refs/heads/main\nfrom refs/heads/main^0\n\n");
    for (number, id) in ids.lines().enumerate().filter(|(number, _)| number % 3 == 0) {
        let message = format!("Undo {number}\n\nThis reverts commit {id}.");
        import(&mut stream, 500, &message, &format!("s{}/f{number}", number % 5), 1);
    }
    import(&mut stream, 600, "Much later", "late", 3);
    imported(world, &stream);
}

#[test]
fn a_past_with_enough_labels_is_fitted_and_tested_on_what_came_later() {
    let world = World::empty();
    past(&world);
    let ran = world.two_key(&["risk", "--repository", ".", "--calibrate", "--format", "json"]).exits(0);
    let json = ran.json();
    fits_the_schema(&json, "risk-calibrate");
    // Every third of 330 is reverted; the reverts themselves are kept, the last commit is too young.
    let labels =
        ["reverted", "kept", "rolled_back", "completed", "too_young"].map(|name| json["labels"][name].as_u64());
    assert_eq!(labels, [Some(110), Some(330), Some(0), Some(0), Some(1)]);
    assert_eq!((json["trained_on"].as_u64(), json["tested_on"].as_u64()), (Some(293), Some(147)));
    assert!(json["weights"]["LA"].as_f64().unwrap() > 1.0, "{json}");
    let auc: Vec<_> = json["auc"].as_array().unwrap().iter().map(|ranking| ranking["auc"].as_f64().unwrap()).collect();
    assert!(auc.len() == 3 && auc.iter().all(|auc| *auc > 0.9), "{json}");
    ran.says("no ledger was asked");
    let text = world.two_key(&["risk", "--repository", ".", "--calibrate"]).exits(0);
    text.says("lines added alone").says("no probability follows").says("±");
}

#[test]
fn too_few_labels_are_refused_with_their_number() {
    let world = World::empty();
    history(&world);
    let ran = world.two_key(&["risk", "--repository", ".", "--calibrate"]).exits(3);
    ran.says("undecided: no-data: 0 labelled changes, where at least 200 are needed").says("4 commits too young");
}

#[test]
fn the_ledgers_outcomes_are_labels() {
    let (mut governance, app) = (World::founded(), World::empty());
    let (from, to) = crate::change(&app);
    let propose = |world: &World, id: &str, to: &str| {
        let change = format!("{{repository: {}, from: {from}, to: {to}}}", app.repo().display());
        world.commit_file(&format!("leases/{id}.yaml"), &(kit::lease(id) + &format!("change: {change}\n")), "Propose");
        for (name, action) in [("user1", "cosign"), ("cp14", "cosign"), ("user1", "start"), ("user1", "rollback")] {
            world.turn(name, action, id);
        }
    };
    propose(&governance, LEASE, &to);
    propose(&governance, "LEASE-20251027-021914", &"1".repeat(40));
    let path = app.repo().to_str().unwrap();
    let ran = governance.two_key(&["risk", "--repository", path, "--calibrate"]).exits(3);
    ran.says("1 leases rolled back, 0 completed")
        .says("no-data: 1 labelled changes")
        .says("note: 1 leases that are over");
    let elsewhere = governance.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    governance.enter(&elsewhere);
    let ran = governance.two_key(&["risk", "--repository", path, "--calibrate"]).exits(3);
    ran.says("0 leases rolled back").says("no ledger was asked");
}

#[test]
fn history_is_read_as_far_as_the_window_and_no_further() {
    let world = World::empty();
    let mut stream = String::new();
    import(&mut stream, 0, "Old", "src/old", 7);
    for number in 0..5200_usize {
        import(&mut stream, number as u64 / 20, &number.to_string(), "src/a", number % 3 + 1);
    }
    import(&mut stream, 260, "Both", "src/a", 9);
    import(&mut stream, 260, "Old again", "src/old", 8);
    imported(&world, &stream);
    let [before, both, old] = ["main~2", "main~1", "main"].map(|name| world.git(&["rev-parse", name]));
    let assessment = assessed(&world, &before, &both);
    assert_eq!((assessment["compared_with"].as_u64(), assessment["history"].as_u64()), (Some(1000), Some(4000)));
    assert_eq!(["NUC", "EXP", "SEXP"].map(|name| feature(&assessment, name)), [4000.0; 3]);
    // `src/old` was touched outside the window only. Its oldest change is the one numbered 1201, of day 60.
    let assessment = assessed(&world, &both, &old);
    assert_eq!(["NUC", "NDEV", "AGE", "LT"].map(|name| feature(&assessment, name)), [0.0, 0.0, 200.0, 7.0]);
    // Another number of changes to compare with is for looking, not for leases.
    let last = |more: &[&str]| crate::risk(&world, &both, &old, &[&["--last", "30"], more].concat());
    assert_eq!(last(&["--format", "json"]).exits(0).json()["compared_with"].as_u64(), Some(30));
    last(&["--format", "yaml-block"]).exits(2).says("which compares with 1000 changes");
    crate::risk(&world, &both, &old, &["--last", "0"]).exits(2);
}
