//! The two documents from outside: templates, schemas, hostile files.

use std::{fs, path::PathBuf};

use git_two_key::model::{lease, policy};

fn at(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_templates_are_valid() {
    let lease = lease::read(&fs::read(at("templates/lease.yaml")).unwrap()).unwrap();
    assert_eq!(lease.get().id.as_str(), "LEASE-20251027-021913");
    assert_eq!(lease.get().tiers.iter().map(|tier| tier.weight).collect::<Vec<_>>(), [5, 25, 100]);
    let policy = policy::read(&fs::read(at("templates/policy.yaml")).unwrap()).unwrap();
    assert_eq!(policy.get().principals.len(), 4);
    assert_eq!(policy.get().gates.len(), 3);
    assert_eq!(policy.get().thresholds.len(), 4);
    assert_eq!(policy.get().repository, lease.get().repository);
    assert!(policy.get().targets.contains_key(&lease.get().target));
}
