//! The two documents from outside: templates, schemas, what is written and read back, hostile files.

// `allow-unwrap-in-tests` does not reach helpers outside test functions; UPDATE_SCHEMA comes by the environment.

use std::{collections::BTreeMap, fs, path::PathBuf};

use git_two_key::model::{
    Digest, Oid, PrincipalId, PublicKey, Reason,
    document::{DocumentError, Span},
    lease::{self, Lease},
    policy::{self, Amendment, Policy, Role},
};
use proptest::prelude::*;

fn at(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn template(name: &str) -> String {
    fs::read_to_string(at("templates").join(name)).unwrap()
}

fn lease_template() -> Lease {
    lease::read(template("lease.yaml").as_bytes()).unwrap().get().clone()
}

fn policy_template() -> Policy {
    policy::read(template("policy.yaml").as_bytes()).unwrap().get().clone()
}

#[test]
fn the_templates_are_valid() {
    let lease = lease_template();
    assert_eq!(lease.id.as_str(), "LEASE-20251027-021913");
    assert_eq!(lease.tiers.iter().map(|tier| tier.weight).collect::<Vec<_>>(), [5, 25, 100]);
    let policy = policy_template();
    assert_eq!(policy.principals.len(), 4);
    assert_eq!(policy.gates.len(), 3);
    assert_eq!(policy.thresholds.len(), 4);
    assert_eq!(policy.repository, lease.repository);
    assert!(policy.targets.contains_key(&lease.target));
}

#[test]
fn the_digest_is_of_the_exact_bytes() {
    let text = template("lease.yaml");
    assert_eq!(lease::read(text.as_bytes()).unwrap().digest(), Digest::of(text.as_bytes()));
    let spaced = format!("{text}\n");
    assert_ne!(lease::read(spaced.as_bytes()).unwrap().digest(), Digest::of(text.as_bytes()));
}

#[test]
fn the_schemas_are_those_of_the_types() {
    for (name, schema) in [("lease", lease::schema()), ("policy", policy::schema())] {
        let path = at(&format!("templates/{name}.schema.json"));
        let current = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            fs::write(&path, &current).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == current, "{} is stale; UPDATE_SCHEMA=1 cargo test writes it", path.display());
    }
}

#[test]
fn the_schema_wants_previous_and_lets_it_be_null() {
    let schema = serde_json::to_value(policy::schema()).unwrap();
    assert!(schema["required"].as_array().unwrap().contains(&"previous".into()));
    assert_eq!(schema["properties"]["previous"]["anyOf"][1]["type"], "null");
    assert_eq!(schema["additionalProperties"], false);
}

/// A file's name says what is wrong, and after the last dot before `.yaml` the reason, unless it is `malformed`.
fn hostile(folder: &str, read: fn(&[u8]) -> Option<DocumentError>, twin: &str) -> usize {
    assert_eq!(read(template(twin).as_bytes()), None, "the honest twin");
    let mut count = 0;
    for entry in fs::read_dir(at("tests/hostile").join(folder)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let error = read(&fs::read(&path).unwrap());
        if name.starts_with("honest") {
            assert_eq!(error, None, "{name}");
            continue;
        }
        let error = error.unwrap_or_else(|| panic!("{name} was read"));
        let reason = name.trim_end_matches(".yaml").rsplit_once('.').map_or("malformed", |(_, reason)| reason);
        assert_eq!(error.reason.code(), reason, "{name}: {error}");
        assert!(error.problems.iter().all(|problem| problem.line > 0 && problem.column > 0), "{name}: {error}");
        // The first line of a hostile file says what the message must speak of, and so that no other fault refuses it.
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        let expected = text.lines().find_map(|line| line.strip_prefix("# says: ")).unwrap_or_else(|| panic!("{name}"));
        assert!(error.to_string().contains(expected), "{name}: {error}");
        count += 1;
    }
    count
}

#[test]
fn hostile_leases_are_refused() {
    assert!(hostile("lease", |bytes| lease::read(bytes).err(), "lease.yaml") >= 20);
}

#[test]
fn hostile_policies_are_refused() {
    assert!(hostile("policy", |bytes| policy::read(bytes).err(), "policy.yaml") >= 20);
}

#[test]
fn a_file_of_64_kib_is_read_and_one_byte_more_is_not() {
    let text = template("lease.yaml");
    let padded = |size: usize| format!("{text}#{}\n", "x".repeat(size - text.len() - 2));
    assert!(lease::read(padded(64 * 1024).as_bytes()).is_ok());
    assert_eq!(lease::read(padded(64 * 1024 + 1).as_bytes()).unwrap_err().reason, Reason::TooLarge);
}

#[test]
fn several_problems_are_reported_at_once_with_their_places() {
    let text = template("lease.yaml").replace("weight: 5,", "weight: 0,").replace("LEASE-2025", ".LEASE-2025");
    let places: Vec<_> = lease::read(text.as_bytes()).unwrap_err().problems.iter().map(|p| p.line).collect();
    let line = |word: &str| u32::try_from(text.lines().position(|line| line.contains(word)).unwrap()).unwrap() + 1;
    assert_eq!(places, [line("lease: ."), line("weight: 0")]);
}

#[test]
fn defaults_are_those_of_the_contract() {
    let text = "two-key: 1\nlease: L1\nrepository: 6f1c0e2b9a4d4f70a1b2c3d4e5f60718\ntarget: t\n\
                issued: 2025-10-27T02:19:13Z\nexpires: 2025-10-28T02:19:13Z\n\
                artifacts: [{name: a, digest: \"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\"}]\n";
    let lease = lease::read(text.as_bytes()).unwrap().get().clone();
    let tiers: Vec<_> = lease.tiers.iter().map(|tier| (tier.weight, tier.bake.as_secs())).collect();
    assert_eq!(tiers, [(5, 900), (25, 900), (100, 900)]);
    assert_eq!((lease.on_expiry, lease.agent_alone_up_to), (lease::OnExpiry::Rollback, 0));

    let text = template("policy.yaml");
    let principals = &text[text.find("principals:").unwrap()..text.find("rules:").unwrap()];
    let shortest =
        format!("two-key: 1\nrepository: 6f1c0e2b9a4d4f70a1b2c3d4e5f60718\nversion: 1\nprevious: null\n{principals}");
    let policy = policy::read(shortest.as_bytes()).unwrap().get().clone();
    assert_eq!((policy.branch.as_str(), policy.start_up_to, policy.delegable_up_to), ("main", 10, 0));
    for rule in [&policy.rules.cosign, &policy.rules.promote, &policy.rules.policy] {
        assert_eq!((rule.human, rule.agent, rule.agents.as_ref()), (1, 1, None));
    }
}

#[test]
fn leases_are_filed_under_their_ids() {
    let id = |path| lease::file_id(path).map(|id| id.to_string());
    assert_eq!(id("leases/L-1.yaml").as_deref(), Some("L-1"));
    assert_eq!(id("leases/2025/10/L-1.yaml").as_deref(), Some("L-1"));
    for other in [
        "L-1.yaml",
        "leases/L-1.yml",
        "leases/.yaml",
        "leases//L.yaml",
        "leases/../L.yaml",
        "x/leases/L.yaml",
        "leases/a b.yaml",
    ] {
        assert_eq!(id(other), None, "{other}");
    }
}

// Amendments

fn key(number: u8) -> PublicKey {
    let seed = ed25519_dalek::SigningKey::from_bytes(&[number; 32]);
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend_from_slice(seed.verifying_key().as_bytes());
    PublicKey::from_ssh_blob(&blob).unwrap()
}

fn name(text: &str) -> PrincipalId {
    PrincipalId::parse(text).unwrap()
}

#[test]
fn adding_a_key_touches_three_entries_and_no_other_byte() {
    let text = template("policy.yaml");
    let next =
        policy::amend(&text, &Amendment::AddKey { name: name("user2"), role: Role::Human, key: key(1) }).unwrap();
    let read = policy::read(next.as_bytes()).unwrap();
    assert_eq!((read.get().version, read.get().previous), (2, Some(Digest::of(text.as_bytes()))));
    assert_eq!(read.get().principals[&name("user2")].keys, [key(1)]);
    let outside = |text: &str| {
        let (before, rest) = text.split_once("\nprincipals:").unwrap();
        let after = &rest[rest.find("\nrules:").unwrap()..];
        let kept = |line: &&str| !line.starts_with("version:") && !line.starts_with("previous:");
        (before.lines().filter(kept).map(str::to_owned).collect::<Vec<_>>(), after.to_owned())
    };
    assert_eq!(outside(&next), outside(&text));
    assert!(next.contains("version: 2                        # previous + 1, exactly\n"), "{next}");
    // And from there back again.
    let back = policy::amend(&next, &Amendment::RemoveKey { name: name("user2"), key: key(1) }).unwrap();
    assert_eq!(policy::read(back.as_bytes()).unwrap().get().principals, policy_template().principals);
}

#[test]
fn a_layout_without_lines_of_its_own_is_written_anew() {
    let text = template("policy.yaml").replace("version: 1", "\"version\": 1");
    let add = Amendment::AddKey { name: name("user1"), role: Role::Human, key: key(1) };
    let next = policy::amend(&text, &add).unwrap();
    let mut expected = policy_template();
    (expected.version, expected.previous) = (2, Some(Digest::of(text.as_bytes())));
    expected.principals.get_mut(&name("user1")).unwrap().keys.push(key(1));
    assert_eq!(next, policy::write(&expected));
}

#[test]
fn amendments_that_make_no_valid_policy_are_refused() {
    let text = template("policy.yaml");
    let user1 = policy_template().principals[&name("user1")].keys[0].clone();
    let reason = |change: Amendment| policy::amend(&text, &change).unwrap_err().reason;
    let add = |who: &str, role, key: &PublicKey| Amendment::AddKey { name: name(who), role, key: key.clone() };
    assert_eq!(reason(add("user2", Role::Human, &user1)), Reason::SameKey);
    assert_eq!(reason(add("user1", Role::Agent, &key(1))), Reason::Malformed);
    assert_eq!(reason(add("USER1", Role::Human, &key(1))), Reason::Malformed);
    let last = Amendment::RemoveKey { name: name("user1"), key: user1 };
    let ungrouped =
        text.replace("  leads: [user1]\n", "").replace("groups:  ", "#        ").replace(", from: {leads: 1}", "");
    assert_eq!(policy::amend(&ungrouped, &last).unwrap_err().reason, Reason::PolicyFloor);
    assert_eq!(reason(Amendment::RemoveKey { name: name("user1"), key: key(1) }), Reason::Malformed);
    assert_eq!(reason(Amendment::RemovePrincipal { name: name("nobody") }), Reason::Malformed);
    for named in ["cp14", "edge1", "user1"] {
        let error = policy::amend(&text, &Amendment::RemovePrincipal { name: name(named) }).unwrap_err();
        assert!(error.to_string().contains("first"), "{error}");
    }
    let free = text.replace("agents: [cp14, cp18]", "agents: [cp14]");
    assert!(policy::amend(&free, &Amendment::RemovePrincipal { name: name("cp18") }).is_ok());
}

// What is written reads back.

fn words() -> impl Strategy<Value = String> {
    "[!-~é][ -~é]{0,30}[!-~é]"
}

prop_compose! {
    fn leases()(
        intent in proptest::option::of("[A-Za-z0-9][A-Za-z0-9_-]{0,20}"),
        actor in proptest::option::of(words()),
        summary in proptest::option::of(words()),
        change in proptest::option::of((words(), any::<[u8; 20]>(), any::<[u8; 32]>())),
        artifacts in proptest::collection::btree_map(words(), any::<u8>(), 1..4),
        lasts in 1i64..1_000_000,
        weights in proptest::collection::btree_map(1u8..100, 0u64..100_000, 1..10),
        hold: bool,
        alone in 0u8..100,
        lists in (proptest::collection::vec("/[ -~]{1,9}[!-~]", 0..4), proptest::collection::vec("[A-Z_]{1,9}", 0..4)),
        risk in proptest::option::of((0u8..=100, words(), proptest::collection::vec(words(), 0..3))),
        labels in proptest::collection::btree_map(words(), "[ -~\n]{0,40}", 0..4),
    ) -> Lease {
        let mut lease = lease_template();
        lease.intent = intent.and_then(|text| git_two_key::model::IntentId::parse(&text));
        (lease.actor, lease.summary) = (actor, summary);
        lease.change = change.map(|(repository, from, to)| lease::Change {
            repository: format!("x{repository}"), from: Oid::Sha1(from), to: Oid::Sha256(to),
        });
        lease.artifacts = artifacts.into_iter()
            .map(|(name, byte)| lease::Artifact { name, digest: Digest::of(&[byte]) }).collect();
        lease.expires = lease.issued.checked_add(jiff::SignedDuration::from_secs(lasts)).unwrap();
        lease.tiers = weights.into_iter().chain([(100, 60)])
            .map(|(weight, bake)| lease::Tier { weight, bake: Span::seconds(bake) }).collect();
        lease.on_expiry = if hold { lease::OnExpiry::Hold } else { lease::OnExpiry::Rollback };
        lease.agent_alone_up_to = alone;
        let paths: Vec<String> = lists.0.into_iter().filter(|path| !path.contains("..")).collect();
        lease.scope = lease::Scope { paths: paths.clone(), commands: paths, env: lists.1 };
        lease.risk = risk.map(|(score, model, factors)| lease::DeclaredRisk { score, model, factors });
        lease.labels = labels;
        lease
    }
}

prop_compose! {
    fn policies()(
        version in 1u32..,
        branch in "[a-z]{1,8}(/[a-z0-9]{1,8})?",
        flags: [bool; 7],
        numbers in (0u8..100, 0u8..100, 1u8..200),
        limit in (-1e6f64..1e6, 1e-9f64..1e9),
        terms in proptest::option::of((1u8..100, 1u32..1000, 0u8..=16, 0u64..90_000)),
        globs in proptest::collection::vec(words(), 0..3),
        labels in proptest::collection::btree_map(words(), "[ -~\n]{0,40}", 0..4),
    ) -> Policy {
        let mut policy = policy_template();
        (policy.version, policy.branch) = (version, branch);
        policy.previous = (version > 1).then(|| Digest::of(b"before"));
        (policy.start_up_to, policy.delegable_up_to, policy.rules.cosign.human) = numbers;
        // There is one person to fill a place of a group.
        if policy.rules.cosign.human > 1 { policy.rules.cosign.from.clear(); }
        if flags[0] { policy.rules.promote.hardware = policy::Hardware::Presence; }
        if flags[1] { policy.rules.policy.deliberate = policy::Deliberate::Required; }
        if flags[2] { policy.rules.cosign.separate_proposer = policy::SeparateProposer::Required; }
        if flags[3] { policy.targets.clear(); policy.gates.clear(); }
        if flags[4] { policy.thresholds.clear(); policy.keep = Span::seconds(86_400 * u64::from(numbers.2)); }
        if flags[6] { for target in policy.targets.values_mut() { target.drift_below = policy::DriftBelow::Restored; } }
        for gate in policy.gates.values_mut() {
            if let Some(absolute) = &mut gate.absolute { absolute.max = policy::Decimal::new(limit.0); }
            for window in &mut gate.windows { window.factor = policy::Decimal::new(limit.1).unwrap(); }
        }
        policy.risk.sensitive = globs;
        policy.risk.factors = BTreeMap::new();
        for band in &mut policy.risk.bands { band.terms = policy::Terms::default(); }
        if let Some((first_tier, samples, humans, bake)) = terms {
            let terms = policy::Terms {
                bake: Some(Span::seconds(bake)), first_tier: Some(first_tier), samples: Some(samples), humans,
            };
            policy.risk.factors.insert("some: factor".to_owned(), terms);
        }
        if flags[5] { policy.risk = policy::RiskPolicy::default(); }
        policy.labels = labels;
        policy
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_written_lease_reads_back(lease in leases()) {
        let text = lease::write(&lease);
        prop_assert_eq!(lease::read(text.as_bytes()).map(|read| read.get().clone()), Ok(lease));
    }

    #[test]
    fn a_written_policy_reads_back(policy in policies()) {
        let text = policy::write(&policy);
        prop_assert_eq!(policy::read(text.as_bytes()).map(|read| read.get().clone()), Ok(policy.clone()));
        let json = serde_json::to_string(&policy).unwrap();
        prop_assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
    }

    #[test]
    fn no_damage_makes_reading_panic(at in 0usize..4000, cut in 0usize..40, put in "[ -~\n]{0,12}", bytes: Vec<u8>) {
        for name in ["lease.yaml", "policy.yaml"] {
            let mut text = template(name);
            let start = at % text.len();
            text.replace_range(start..(start + cut).min(text.len()), &put);
            let _ = (lease::read(text.as_bytes()), policy::read(text.as_bytes()));
        }
        let _ = (lease::read(&bytes), policy::read(&bytes));
    }
}
