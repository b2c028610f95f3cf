//! The fuzz targets' functions over their seeds, on a stable toolchain: every hostile file as it is, cut short and with
//! a byte flipped, and histories. `fuzz/` finds more; this keeps it building, and what it found from coming back.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, dead_code, reason = "tests")]

use std::{fs, path::Path};

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

/// Gives a function every file of some folders, and what is near them.
fn near(folders: &[&str], run: fn(&[u8])) {
    let mut files = 0;
    for folder in folders {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for file in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            files += 1;
            run(&bytes);
            if bytes.len() > 16 * 1024 {
                continue;
            }
            for step in 0..6 {
                let at = bytes.len() * step / 6 + usize::from(step > 0);
                run(&bytes[..at.min(bytes.len())]);
                run(&bytes[at.min(bytes.len())..]);
                let mut flipped = bytes.clone();
                if let Some(byte) = flipped.get_mut(at) {
                    *byte ^= 1 << step;
                }
                run(&flipped);
            }
        }
    }
    assert!(files > 0);
}

#[test]
fn commits_and_tags() {
    near(&["tests/hostile/commit"], fuzz::commit);
    near(&["tests/hostile/tag"], fuzz::tag);
}

#[test]
fn signatures_and_notes() {
    near(&["tests/hostile/sshsig"], fuzz::sshsig);
    near(&["tests/hostile/minisign"], fuzz::minisign);
    near(&["tests/hostile/note"], fuzz::note);
    near(&["fuzz/seeds/statement"], fuzz::statement);
}

#[test]
fn policies_and_leases() {
    near(&["tests/hostile/policy"], fuzz::policy);
    near(&["tests/hostile/lease"], fuzz::lease);
    fuzz::policy(&fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/policy.yaml")).unwrap());
}

#[test]
fn histories() {
    let honest = fuzz::honest();
    fuzz::fold(&honest);
    for at in 0..honest.len() {
        let mut other = honest.clone();
        other[at] ^= 1 << (at / 4 % 8);
        fuzz::fold(&other);
        // An instruction left out.
        if at % 4 == 0 {
            fuzz::fold(&[&honest[..at], &honest[at + 4..]].concat());
        }
    }
    near(&["fuzz/seeds/fold"], fuzz::fold);
}
