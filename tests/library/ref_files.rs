//! What files of refs are like tells of every move of a ref, and of nothing else.

use std::{fs, os::unix::fs::symlink};

use crate::kit::scratch::Scratch;

#[test]
fn every_move_of_a_ref_is_told_and_reading_is_not() {
    for refs in ["files", "reftable"] {
        let scratch = Scratch::with("sha1", refs, "repository");
        let commit = |message: &str| scratch.git(&["commit", "-q", "--allow-empty", "-m", message]);
        commit("One");
        commit("Two");
        let repository = scratch.repository();
        let mut before = repository.ref_files().expect("few");
        let moves: [&[&str]; 10] = [
            &["update-ref", "refs/two-key/stops/L-1/x", "HEAD"],
            &["update-ref", "refs/two-key/stops/L-1/x", "HEAD~1"],
            &["tag", "rollout/L-1/1-start-5", "HEAD"],
            &["commit", "-q", "--allow-empty", "-m", "Three"],
            &["pack-refs", "--all"],
            &["update-ref", "refs/two-key/stops/L-1/x", "HEAD"],
            &["update-ref", "-d", "refs/two-key/stops/L-1/x"],
            &["tag", "-d", "rollout/L-1/1-start-5"],
            &["symbolic-ref", "refs/heads/other", "refs/heads/main"],
            &["branch", "-q", "deep/er/still"],
        ];
        for words in moves {
            scratch.git(words);
            let after = repository.ref_files().expect("few");
            // Where refs are a table already, to pack them may be nothing to do.
            assert!(before != after || words[0] == "pack-refs", "{refs}: {words:?}");
            before = after;
        }
        for words in
            [&["for-each-ref"][..], &["log", "--all"], &["cat-file", "-p", "HEAD"], &["gc", "--quiet", "--no-prune"]]
        {
            scratch.git(words);
            if words[0] != "gc" {
                assert_eq!(Some(&before), repository.ref_files().as_ref(), "{refs}: {words:?}");
            }
        }
    }
}

#[test]
fn what_files_cannot_tell_is_left_to_git() {
    let scratch = Scratch::new();
    scratch.git(&["commit", "-q", "--allow-empty", "-m", "One"]);
    let repository = scratch.repository();
    assert!(repository.ref_files().is_some());
    // What a link leads to may be anywhere.
    let elsewhere = scratch.beside("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let link = scratch.path().join(".git/refs/two-key");
    symlink(&elsewhere, &link).unwrap();
    assert_eq!(repository.ref_files(), None);
    fs::remove_file(&link).unwrap();
    let tip = scratch.git(&["rev-parse", "HEAD"]);
    let many: Vec<String> =
        (0..4200).map(|number| format!("create refs/two-key/x/{number} {}\n", tip.trim())).collect();
    scratch.git_with(&["update-ref", "--stdin"], many.concat().as_bytes());
    assert_eq!(repository.ref_files(), None, "to look at so many costs as much as to ask");
    scratch.git(&["pack-refs", "--all"]);
    assert!(repository.ref_files().is_some());
}
