//! The committed schema of the JSON output is that of the types, and the output fits it.

use std::{fs, path::Path};

use git_two_key::cli;

use crate::kit::{LEASE, World, schema::fits};

fn committed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/output.schema.json");
    let current = format!("{}\n", serde_json::to_string_pretty(&cli::schema()).unwrap());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    assert!(text == current, "{} is stale; UPDATE_SCHEMA=1 cargo test writes it", path.display());
}

#[test]
fn the_schema_is_that_of_the_types_and_the_output_fits_it() {
    committed();
    let world = World::rolling();
    let said = |args: &[&str]| world.two_key(&[args, &["--format", "json"]].concat());
    for (of, args) in [
        ("list", &["list"][..]),
        ("status", &["status"]),
        ("show", &["show", LEASE]),
        ("show-policy", &["show", "policy"]),
        ("verify", &["verify"]),
        ("verify-lease", &["verify", LEASE]),
        ("key-list", &["key", "list"]),
        ("ci", &["ci", "--base", "main~1", "--head", "main"]),
        ("check", &["check"]),
        ("account", &["halt", LEASE, "--key", world.key_file("cp14").to_str().unwrap()]),
    ] {
        fits(of, &said(args).exits(0).json());
    }
    fits("failure", &said(&["show", "nothing"]).exits(1).json());
    fits("doctor", &said(&["doctor"]).exits(1).json());
    for line in said(&["log"]).exits(0).out.lines() {
        fits("log", &serde_json::from_str(line).unwrap());
    }
}
