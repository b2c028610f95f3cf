//! The features, the score and the factors of a change.

use super::{as_somebody, assessed, change, commit, factors, feature, fits_the_schema, history, lines, risk};
use crate::kit::World;

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
        ("LA+LD", 16.0),
        ("FIX", 0.0),
    ];
    for (name, value) in expected {
        assert!((feature(&assessment, name) - value).abs() < 1e-12, "{name} is {}", feature(&assessment, name));
    }
    assert_eq!(assessment["features"].as_object().unwrap().len(), 8);
    fits_the_schema(&assessment, "risk");
    // (1 + lines) * (1 + files): Start 17 * 4, Add to a 2 * 2, Say what it is 4 * 2, Fix b 3 * 2; the change 17 * 3.
    // With itself four of five are no larger.
    assert_eq!((assessment["score"].as_u64(), assessment["compared_with"].as_u64()), (Some(80), Some(4)));
    assert_eq!(factors(&assessment), ["no-tests"]);
}

#[test]
fn terms_are_against_the_median_range() {
    let world = World::empty();
    let (from, to) = change(&world);
    let terms = assessed(&world, &from, &to)["terms"].as_array().unwrap().clone();
    let view =
        |place: usize| ["feature", "value", "median", "percentile", "times"].map(|name| terms[place][name].clone());
    // Lines of the four: 16, 1, 3, 2, the lower median is 2: 17 / 3; as many as any. Files: 3, 1, 1, 1: 3 / 2.
    assert_eq!(serde_json::json!(view(0)), serde_json::json!(["LA+LD", 16.0, 2.0, 100, 17.0 / 3.0]));
    assert_eq!(serde_json::json!(view(1)), serde_json::json!(["NF", 2.0, 1.0, 80, 1.5]));
    assert_eq!(terms.len(), 2);
    risk(&world, &from, &to, &[])
        .exits(0)
        .says("×5.7  LA+LD=16")
        .says("(p80)")
        .says("risk 80 of 100")
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
fn a_rename_is_one_file_and_a_factor() {
    let world = World::empty();
    let from = history(&world);
    let a = lines(1..=11) + "more\n";
    let to = commit(&world, "dan", 4, "Move a", &[("src/a.rs", None), ("app/d.rs", Some(&a))]);
    let moved = assessed(&world, &from, &to);
    assert_eq!(["NF", "LA", "LD"].map(|name| feature(&moved, name)), [1.0, 1.0, 0.0]);
    assert_eq!(factors(&moved), ["no-tests", "renamed-files"]);
}

#[test]
fn a_deleted_file_is_its_lines_and_a_factor() {
    let world = World::empty();
    let from = history(&world);
    let to = commit(&world, "dan", 4, "Drop a", &[("src/a.rs", None)]);
    let gone = assessed(&world, &from, &to);
    assert_eq!(["NF", "LA", "LD"].map(|name| feature(&gone, name)), [1.0, 0.0, 11.0]);
    assert_eq!(factors(&gone), ["no-tests", "deleted-files"]);
    assert_eq!(gone["score"], 80);
}

#[test]
fn a_word_of_a_message_does_not_move_the_score() {
    let world = World::empty();
    let from = history(&world);
    let files = [("src/a.rs", Some("other\n"))];
    let said = |message| {
        world.git(&["reset", "--quiet", "--hard", &from]);
        let first = commit(&world, "dan", 4, message, &files);
        let to = commit(&world, "dan", 4, "More", &[("src/b.rs", Some("other\n"))]);
        let assessment = assessed(&world, &from, &to);
        assert_ne!(first, to);
        (assessment["score"].clone(), feature(&assessment, "FIX"))
    };
    let (plain, fixed) = (said("Write a anew"), said("Fix a bug"));
    assert_eq!((plain.0, plain.1, fixed.1), (fixed.0, 0.0, 0.5));
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
    assert_eq!((assessment["change"]["commits"].as_u64(), feature(&assessment, "FIX")), (Some(3), 1.0 / 3.0));
    // The main line behind the merge: itself with what it brings in, Other, and the four of the history.
    assert_eq!(assessed(&world, &merge, &merge)["compared_with"].as_u64(), Some(6));
}

#[test]
fn binary_files_are_files_without_lines_and_said() {
    let world = World::empty();
    let from = history(&world);
    let to =
        commit(&world, "ann", 4, "Add a picture", &[("src/logo.png", Some("\0\0\n\n")), ("src/e.rs", Some("e\n"))]);
    let assessment = assessed(&world, &from, &to);
    assert_eq!(["NF", "LA", "Entropy"].map(|name| feature(&assessment, name)), [2.0, 1.0, 0.0]);
    assert_eq!(factors(&assessment), ["no-tests", "binary-files"]);
    risk(&world, &from, &to, &[]).exits(0).says("binary-files: src/logo.png").says(" Entropy=0 ");
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
    risk(&world, &"0".repeat(40), &root, &[])
        .exits(0)
        .says("change nothing..")
        .says("nothing as long before the change");
}

#[test]
fn an_empty_change_is_said_to_be_empty() {
    let world = World::empty();
    let from = history(&world);
    let to = commit(&world, "ann", 4, "Nothing", &[]);
    for to in [&to, &from] {
        let assessment = assessed(&world, &from, to);
        assert_eq!((feature(&assessment, "NF"), assessment["score"].as_u64()), (0.0, Some(20)));
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
    // As many commits lie between, whichever way one goes.
    assert_eq!(back["change"]["commits"].as_u64(), Some(1));
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
    assert_eq!(block, "risk: {score: 80, model: two-key-2, factors: [no-tests]}\n");
}

#[test]
fn sha256_repositories_are_read_too() {
    let world = World::with_format("sha256");
    let (from, to) = change(&world);
    assert_eq!(assessed(&world, &from, &to)["score"].as_u64(), Some(80));
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
    assert_eq!((failure["reason"].as_str(), failure["exit"].as_u64()), (Some("no-repository"), Some(3)));
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
}
