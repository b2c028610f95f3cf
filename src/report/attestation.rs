//! The trail as in-toto statements in DSSE envelopes, for tools that collect such.
//!
//! A statement's subjects are the ledger's commit, the lease's bytes and the artifacts that the lease names, so that who
//! holds an artifact's digest finds what was decided about it. The envelopes bear no signature of their own: what is signed
//! is the ledger, and the statement says where in it. Who wants signed envelopes signs these.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{ledger::State, model::LeaseId};

use super::TrailEntry;

/// What the payload is, as DSSE names it.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The form of a statement.
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The form of the predicate: an entry of the trail, as `log --format json` prints it, and where it stands.
const PREDICATE_TYPE: &str = "urn:git-two-key:event:v1";

/// An entry as an in-toto statement in a DSSE envelope.
pub fn attestation(state: &State, entry: &TrailEntry) -> Value {
    let statement = statement(state, entry);
    let payload = STANDARD.encode(statement.to_string());
    json!({"payloadType": PAYLOAD_TYPE, "payload": payload, "signatures": []})
}

/// The statement by itself.
fn statement(state: &State, entry: &TrailEntry) -> Value {
    let is_noted = entry.votes.iter().any(|vote| vote.carrier == "note");
    let name = if is_noted { "notes commit" } else { "ledger commit" };
    let mut subjects = vec![json!({"name": name, "digest": {"gitCommit": entry.commit}})];
    let lease = entry.lease.as_deref().and_then(LeaseId::parse);
    if let Some(lease) = lease.as_ref().and_then(|id| state.lease(id)) {
        let pinned = lease.pinned.as_ref().map(|pinned| pinned.digest().to_string());
        subjects.extend(pinned.and_then(|digest| subject(lease.id.as_str(), &digest)));
        let artifacts = lease.lease().map(|document| document.artifacts.as_slice()).unwrap_or_default();
        subjects.extend(artifacts.iter().filter_map(|one| subject(&one.name, &one.digest.to_string())));
    }
    let policy = state.policy().get();
    json!({
        "_type": STATEMENT_TYPE,
        "subject": subjects,
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "repository": policy.repository.to_string(),
            "root": state.root().to_string(),
            "tip": state.tip().to_string(),
            "branch": policy.branch,
            "entry": entry,
        },
    })
}

/// A subject with a digest that is written `algorithm:hex`.
fn subject(name: &str, digest: &str) -> Option<Value> {
    let (algorithm, hex) = digest.split_once(':')?;
    Some(json!({"name": name, "digest": {algorithm: hex}}))
}
