//! The committed schema of the JSON output is that of the types, and the output fits it.

use std::{collections::BTreeSet, fs, path::Path};

use git_two_key::report;
use serde_json::Value;

use crate::kit::{LEASE, World};

fn committed() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/output.schema.json");
    let current = format!("{}\n", serde_json::to_string_pretty(&report::schema()).unwrap());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    assert!(text == current, "{} is stale; UPDATE_SCHEMA=1 cargo test writes it", path.display());
    serde_json::from_str(&text).unwrap()
}

/// The names of an object's properties, as a schema has them.
fn properties(schema: &Value, of: &Value) -> BTreeSet<String> {
    let named = of["$ref"].as_str().map(|name| &schema["$defs"][name.rsplit('/').next().unwrap()]);
    named.unwrap_or(of)["properties"].as_object().unwrap().keys().cloned().collect()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_schema_is_that_of_the_types_and_the_output_has_its_fields() {
    let schema = committed();
    let world = World::rolling();
    let said = |args: &[&str]| world.two_key(&[args, &["--format", "json"]].concat());
    let of = |verb: &str| properties(&schema, &schema["properties"][verb]);
    assert_eq!(keys(&said(&["list"]).json()), of("list"));
    assert_eq!(keys(&said(&["status"]).json()), of("status"));
    assert_eq!(keys(&said(&["show", LEASE]).json()), of("show"));
    assert_eq!(keys(&said(&["show", "policy"]).json()), of("show-policy"));
    assert_eq!(keys(&said(&["verify"]).json()), of("verify"));
    assert_eq!(keys(&said(&["verify", LEASE]).json()), of("verify-lease"));
    let first = said(&["log"]).out;
    assert_eq!(keys(&serde_json::from_str(first.lines().next().unwrap()).unwrap()), of("log"));
    let key = &schema["properties"]["key-list"]["items"];
    assert_eq!(keys(&said(&["key", "list"]).json()[0]), properties(&schema, key));
    let pull = said(&["ci", "--base", "main~1", "--head", "main"]).exits(0).json();
    assert_eq!(keys(&pull), of("ci"));
    assert_eq!(keys(&pull["effects"][0]), properties(&schema, &schema["$defs"]["EffectView"]));
    assert_eq!(keys(&said(&["show", "nothing"]).exits(1).json()), of("failure"));
    let doctor = said(&["doctor"]).exits(1).json();
    assert_eq!(keys(&doctor), of("doctor"));
    assert_eq!(keys(&doctor["problems"][0]), properties(&schema, &schema["$defs"]["SetUpProblem"]));
    let checked = said(&["check"]).exits(0).json();
    assert_eq!(keys(&checked), of("check"));
    assert_eq!(keys(&checked["files"][0]), properties(&schema, &schema["$defs"]["CheckedFile"]));
    let account = said(&["halt", LEASE, "--key", world.key_file("cp14").to_str().unwrap()]).exits(0).json();
    assert_eq!(keys(&account), of("account"));
    assert_eq!(keys(&account["signed"][0]), properties(&schema, &schema["$defs"]["SignedView"]));
}
