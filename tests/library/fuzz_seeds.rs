//! The fuzz targets' functions over their seeds, on a stable toolchain: every hostile file as it is, cut short and with
//! a byte flipped, and histories. `fuzz/` finds more; this keeps it building, and what it found from coming back.

use std::{
    fs,
    panic::catch_unwind,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use crate::kit::dice::Dice;

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
fn commits_trees_and_tags() {
    near(&["tests/hostile/commit"], fuzz::commit);
    near(&["tests/hostile/tag"], fuzz::tag);
    near(&["fuzz/seeds/tree"], fuzz::tree);
}

#[test]
fn signatures_and_notes() {
    near(&["tests/hostile/sshsig"], fuzz::sshsig);
    near(&["tests/hostile/minisign"], fuzz::minisign);
    near(&["tests/hostile/attestation"], fuzz::attestation);
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

/// What lies further from the seeds. `FUZZ_SECONDS=60` wanders for so long with each function, from another beginning
/// each time; without it a few steps are taken, the same ones always. A corpus that a fuzzer left is taken along.
#[test]
fn further_away() {
    type Fuzzed<'a> = (&'a str, &'a [&'a str], fn(&[u8]));
    let folders: [Fuzzed<'_>; 11] = [
        ("commit", &["tests/hostile/commit"], fuzz::commit),
        ("tag", &["tests/hostile/tag"], fuzz::tag),
        ("tree", &["fuzz/seeds/tree"], fuzz::tree),
        ("sshsig", &["tests/hostile/sshsig"], fuzz::sshsig),
        ("minisign", &["tests/hostile/minisign"], fuzz::minisign),
        ("attestation", &["tests/hostile/attestation"], fuzz::attestation),
        ("note", &["tests/hostile/note"], fuzz::note),
        ("statement", &["fuzz/seeds/statement"], fuzz::statement),
        ("policy", &["tests/hostile/policy"], fuzz::policy),
        ("lease", &["tests/hostile/lease"], fuzz::lease),
        ("fold", &["fuzz/seeds/fold"], fuzz::fold),
    ];
    let asked = std::env::var("FUZZ_SECONDS").ok().map(|text| Duration::from_secs(text.parse().unwrap()));
    let only = std::env::var("FUZZ_TARGET").ok();
    for (name, folders, run) in folders {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let corpus = root.join("fuzz/corpus").join(name);
        let folders = folders.iter().map(|folder| root.join(folder)).chain([corpus]).filter(|folder| folder.is_dir());
        let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
        let seeds: Vec<_> = files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
        let seeds: Vec<_> = seeds.into_iter().filter(|seed| seed.len() < 16 * 1024).collect();
        let begun = Instant::now();
        let clock = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
        let mut dice = Dice(if asked.is_some() { clock } else { 0x5eed });
        let mut steps = 0_u64;
        while asked.map_or(steps < 60, |asked| begun.elapsed() < asked) {
            let bytes = dice.alter(&seeds);
            if catch_unwind(|| run(&bytes)).is_err() {
                let found = root.join("target").join(format!("found-{name}"));
                fs::write(&found, &bytes).unwrap();
                panic!("{name}: see {}", found.display());
            }
            steps += 1;
        }
        println!("{name}: {} seeds, {steps} inputs in {} s", seeds.len(), begun.elapsed().as_secs());
    }
}
