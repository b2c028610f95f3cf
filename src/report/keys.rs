//! Whose keys there are.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{ledger::State, model::Wrapping};

use super::words::table;

/// A key of the policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KeyView {
    /// Whose it is.
    pub principal: String,
    /// That principal's role: `human`, `agent` or `applier`.
    pub role: String,
    /// The fingerprint, as ssh-keygen or minisign prints it.
    pub fingerprint: String,
    /// `ssh-ed25519`, `ecdsa-sha2-nistp256`, either as `sk-…@openssh.com`, or `minisign`.
    pub kind: String,
    /// Whether a FIDO authenticator holds the secret, as far as the key's type says.
    pub hardware: bool,
    /// Whether it counts: listed by the policy in force, and never revoked.
    pub in_force: bool,
    /// The commit that revoked it.
    pub revoked_by: Option<String>,
    /// The public key as policies write it.
    pub key: String,
}

/// Every key of the policy in force, by principal.
pub fn keys(state: &State) -> Vec<KeyView> {
    let view = |(id, principal, key): (&crate::model::PrincipalId, &crate::model::policy::Principal, _)| {
        let key: &crate::model::PublicKey = key;
        KeyView {
            principal: id.to_string(),
            role: principal.role.word().to_owned(),
            fingerprint: key.fingerprint().to_string(),
            kind: key.ssh_type().unwrap_or("minisign").to_owned(),
            hardware: key.is_hardware(),
            in_force: state.key_in_force(key.raw()),
            revoked_by: state.revoked().get(&key.raw()).map(ToString::to_string),
            key: key.line(),
        }
    };
    state.policy().get().keys().map(view).collect()
}

/// The same as a table.
pub fn keys_text(keys: &[KeyView]) -> String {
    let row = |key: &KeyView| {
        let standing = match &key.revoked_by {
            Some(commit) => format!("revoked by {}", commit.chars().take(12).collect::<String>()),
            None => "in force".to_owned(),
        };
        vec![key.principal.clone(), key.role.clone(), key.fingerprint.clone(), key.kind.clone(), standing]
    };
    table(&["PRINCIPAL", "ROLE", "FINGERPRINT", "TYPE", "STANDING"], &keys.iter().map(row).collect::<Vec<_>>())
}

/// Git's `allowed_signers` file: the SSH keys in force, each for Git's own signatures and for ours.
pub fn allowed_signers(state: &State) -> String {
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    for (id, _, key) in state.policy().get().keys() {
        let ssh = !matches!(key.wrapping(), Wrapping::Minisign { .. });
        if ssh && state.key_in_force(key.raw()) {
            lines.insert(format!("{id} {}", key.line()), format!("{id} namespaces=\"git,two-key\" {}\n", key.line()));
        }
    }
    lines.into_values().collect()
}
