//! The `exec` source.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::scene::{configure, gate, replay, rolling};
use crate::kit::World;
use crate::kit::web::until;

/// A world whose metrics come from a shell script.
fn world(script: &str, more: &str) -> World {
    let world = rolling(&gate("exec"));
    let program = world.path().join("program");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    configure(&world, &format!("  exec:\n    program: {}\n{more}", program.display()));
    world
}

/// Answers with a tenth of a percent of errors, a thousand requests a question.
const GOOD: &str = "read -r request\ncase $request in\n*'\"query\":\"errors'*) echo '{\"value\": 1}';;\n*) echo '{\"value\": 1000}';;\nesac";

#[test]
fn a_program_is_asked_in_its_protocol_and_sees_nothing_of_our_environment() {
    let script = format!(
        "env > seen.env\n{}\necho \"$request\" >> requests",
        GOOD.replace("case", "printf '%s\\n' \"$request\" >> requests\ncase")
    );
    let script = script.replace("seen.env", "\"$OUT/env\"").replace("requests", "\"$OUT/requests\"");
    let world = world(&script, "    args: [one]\n    env: {OUT: OUTFOLDER}\n");
    let config = world.path().join("metrics.yaml");
    let folder = world.path().join("out");
    fs::create_dir(&folder).unwrap();
    let text = fs::read_to_string(&config).unwrap().replace("OUTFOLDER", folder.to_str().unwrap());
    fs::write(&config, text).unwrap();
    replay(&world, 5, &[]).exits(0);
    let asked = fs::read_to_string(folder.join("requests")).unwrap();
    let first: serde_json::Value = serde_json::from_str(asked.lines().next().unwrap()).unwrap();
    assert_eq!(first["protocol"], "two-key.metrics/1");
    assert_eq!((first["shape"].as_str(), first["deadline"].as_u64()), (Some("count"), Some(10)));
    assert_eq!(
        (first["from"].as_str(), first["at"].as_str()),
        (Some("2025-10-27T02:21:00Z"), Some("2025-10-27T02:22:00Z"))
    );
    let env = fs::read_to_string(folder.join("env")).unwrap();
    let names: Vec<_> = env.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    assert!(names.contains(&"OUT") && !names.contains(&"HOME") && !names.contains(&"GIT_AUTHOR_NAME"), "{env}");
}

#[test]
fn whatever_a_program_does_wrong_holds() {
    for (script, says) in [
        ("exit 1", "exit status: 1"),
        ("echo garbage", "did not answer as two-key.metrics/1 asks"),
        ("echo '{\"value\": 1}'; exit 3", "exit status: 3"),
        ("echo '{\"failed\": \"the database is down\"}'", "the database is down"),
        ("echo '{\"invalid\": \"two rows\"}'", "two rows"),
        ("echo '{\"nothing\": true}'", "no data"),
        ("head -c 9000000 /dev/zero", "bytes"),
    ] {
        let world = world(script, "");
        replay(&world, 5, &[]).exits(3).says("INCONCLUSIVE").says(says);
    }
    let relative = world(GOOD, "");
    configure(&relative, "  exec: {program: ./program}\n");
    replay(&relative, 5, &[]).exits(3).says("no absolute path");
}

#[test]
fn a_program_that_hangs_is_killed_with_all_that_it_started() {
    let world = world("sleep 300 & echo $! > \"$OUT\"\nsleep 300", "    timeout: 1s\n    env: {OUT: OUTFILE}\n");
    let (config, file) = (world.path().join("metrics.yaml"), world.path().join("child"));
    fs::write(&config, fs::read_to_string(&config).unwrap().replace("OUTFILE", file.to_str().unwrap())).unwrap();
    replay(&world, 2, &[]).exits(3).says("it took longer than 1 s");
    let child = fs::read_to_string(&file).unwrap();
    let stat = format!("/proc/{}/stat", child.trim());
    until("the child's end", || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z ")));
}
