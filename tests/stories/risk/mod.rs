//! Black-box tests of `risk`: features on a hand-made repository, what is odd in repositories, and leases.

mod features;
mod lease;
mod ranges;

use std::fs;

use serde_json::Value;

use crate::kit::{self, Ran, World};

const DAY: u64 = 86_400;

/// Numbered lines.
pub(crate) fn lines(range: std::ops::RangeInclusive<u32>) -> String {
    range.map(|number| format!("line {number}\n")).collect::<Vec<_>>().concat()
}

/// Commits files (none: deleted) as somebody, on some day.
pub(crate) fn commit(world: &World, who: &str, day: u64, message: &str, files: &[(&str, Option<&str>)]) -> String {
    for (path, content) in files {
        let file = world.repo().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        match content {
            Some(content) => fs::write(&file, content).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
    }
    world.git(&["add", "--all"]);
    as_somebody(world, who, day, &["commit", "--quiet", "--allow-empty", "--message", message]);
    world.head()
}

pub(crate) fn as_somebody(world: &World, who: &str, day: u64, args: &[&str]) {
    let date = format!("@{} +0000", kit::EPOCH + day * DAY);
    let email = format!("{who}@example.org");
    let env = [("GIT_AUTHOR_EMAIL", email.as_str()), ("GIT_AUTHOR_DATE", &date), ("GIT_COMMITTER_DATE", &date)];
    world.run_with(world.repo(), "git", args, b"", &env).exits(0);
}

/// Four changes by three people; returns the newest. After it `src/a.rs` has 11 lines, `src/b.rs` 4.
pub(crate) fn history(world: &World) -> String {
    let b = lines(1..=4);
    commit(
        world,
        "ann",
        0,
        "Start",
        &[("src/a.rs", Some(&lines(1..=10))), ("src/b.rs", Some(&b)), ("README.md", Some(&lines(1..=2)))],
    );
    commit(world, "bob", 1, "Add to a", &[("src/a.rs", Some(&lines(1..=11)))]);
    commit(world, "ann", 2, "Say what it is", &[("docs/x.md", Some(&lines(1..=3)))]);
    commit(world, "cid", 3, "Fix b", &[("src/b.rs", Some(&b.replace('4', "four")))])
}

/// The change that the features below are computed for by hand.
pub(crate) fn change(world: &World) -> (String, String) {
    let from = history(world);
    let a = lines(1..=11).replace("line 5\n", "") + "more\nand\nmore\n";
    let to = commit(world, "bob", 4, "Split c off", &[("src/a.rs", Some(&a)), ("lib/c.rs", Some(&lines(1..=12)))]);
    (from, to)
}

pub(crate) fn risk(world: &World, from: &str, to: &str, more: &[&str]) -> Ran {
    let mut args = vec!["risk", "--repository", ".", "--from", from, "--to", to];
    args.extend(more);
    world.two_key(&args)
}

pub(crate) fn assessed(world: &World, from: &str, to: &str) -> Value {
    risk(world, from, to, &["--format", "json"]).exits(0).json()
}

pub(crate) fn feature(assessment: &Value, name: &str) -> f64 {
    assessment["features"][name].as_f64().unwrap_or_else(|| panic!("no {name} in {assessment}"))
}

pub(crate) fn factors(assessment: &Value) -> Vec<&str> {
    assessment["factors"].as_array().unwrap().iter().map(|factor| factor["name"].as_str().unwrap()).collect()
}

/// Asserts that a value has exactly the fields that the shipped schema gives to a verb.
fn fits_the_schema(value: &Value, verb: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/output.schema.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let reference = schema["properties"][verb]["$ref"].as_str().unwrap();
    let fields = schema["$defs"][reference.rsplit('/').next().unwrap()]["properties"].as_object().unwrap();
    let names =
        |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(names(value.as_object().unwrap()), names(fields), "{verb}");
}
