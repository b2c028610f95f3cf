//! Histories that nobody signed, made to be too much for whoever reads them.

use std::fmt::Write as _;

use git_two_key::{
    git::Base,
    ledger::{Entry, Step},
    model::Oid,
    signature::Opened,
};

use crate::kit::scratch::Scratch;

fn steps(scratch: &Scratch, root: Oid, tip: Oid) -> Vec<Step> {
    scratch.repository().steps(Base::Root(root), tip).unwrap().collect::<Result<_, _>>().unwrap()
}

fn tree(scratch: &Scratch, lines: &str) -> String {
    scratch.git_with(&["mktree"], lines.as_bytes()).trim().to_owned()
}

#[test]
fn folders_within_folders_that_hold_nothing_are_not_walked_for_ever() {
    let scratch = Scratch::new();
    scratch.write(".two-key/policy.yaml", "policy\n");
    let root = scratch.commit("root");
    let mut folder = tree(&scratch, "");
    for _ in 0..14 {
        let lines = (0..100).fold(String::new(), |mut lines, name| {
            writeln!(lines, "040000 tree {folder}\tf{name}").unwrap();
            lines
        });
        folder = tree(&scratch, &lines);
    }
    let policy = scratch.git(&["rev-parse", "HEAD:.two-key"]);
    let both = format!("040000 tree {}\t.two-key\n040000 tree {folder}\tleases\n", policy.trim());
    let both = tree(&scratch, &both);
    let tip = scratch.git(&["commit-tree", "-p", &root.to_string(), "-m", "10^28 folders", &both]);
    let steps = steps(&scratch, root, Oid::parse(tip.trim()).unwrap());
    assert_eq!(steps[1].leases, [("leases".to_owned(), Entry::TooMuch)]);
}

/// A side line of empty commits from the root on, each with one message, the last with another.
fn side_line(scratch: &Scratch, root: Oid, length: u32, last: &str) -> Oid {
    let mut stream = String::new();
    for number in 1..=length {
        let message = if number == length { last } else { "more\n" };
        let from = if number == 1 { format!("from {root}\n") } else { String::new() };
        writeln!(
            stream,
            "commit refs/heads/side\ncommitter A <a@example.com> 1761530400 +0000\ndata {}\n{message}{from}",
            message.len()
        )
        .unwrap();
    }
    scratch.git_with(&["fast-import", "--quiet"], stream.as_bytes());
    scratch.id("refs/heads/side")
}

#[test]
fn a_merge_of_a_long_history_is_a_step_like_any_other() {
    let scratch = Scratch::new();
    scratch.write(".two-key/policy.yaml", "policy\n");
    let root = scratch.commit("root");
    let side = side_line(&scratch, root, 12_000, "junk\n\nTwo-Key-Statement: 1\n");
    let (root_id, side_id) = (root.to_string(), side.to_string());
    let merge = ["commit-tree", "-p", &root_id, "-p", &side_id, "-m", "merge", "main^{tree}"];
    let merge = Oid::parse(scratch.git(&merge).trim()).unwrap();
    let steps = steps(&scratch, root, merge);
    let [_, step] = steps.as_slice() else { panic!("{} steps", steps.len()) };
    // Ten thousand ordinary ones and one that stands for the rest are enough; what is no ordinary commit is never left out.
    let [.., junk, own] = step.commits.as_slice() else { panic!("{} commits", step.commits.len()) };
    assert_eq!((step.commits.len(), junk.id, own.id), (10_003, side, merge));
    assert!(matches!(junk.opened, Opened::Malformed(_)));
}
