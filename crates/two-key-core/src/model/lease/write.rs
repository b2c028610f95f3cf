//! Lease writer: lease → bytes, as `new` writes it.

use serde_json::{Value, json};

use super::{Exception, Lease};
use crate::model::{FORMAT_LEVEL, document::emit};

/// Names the schema for editors; seen from a file in `leases/`.
const FIRST_LINE: &str = "# yaml-language-server: $schema=../.two-key/lease.schema.json";

/// The lease as a file, with its defaults spelled out: what is signed should say what will happen.
pub fn write(lease: &Lease) -> String {
    let mut entries =
        vec![("two-key", json!(FORMAT_LEVEL)), ("lease", json!(lease.id)), ("repository", json!(lease.repository))];
    let optional = [
        ("intent", lease.intent.as_ref().map(|intent| json!(intent))),
        ("actor", lease.actor.as_ref().map(|actor| json!(actor))),
        ("summary", lease.summary.as_ref().map(|summary| json!(summary))),
        ("change", lease.change.as_ref().map(|change| json!(change))),
        ("artifacts", (!lease.artifacts.is_empty()).then(|| json!(lease.artifacts))),
    ];
    entries.extend(optional.into_iter().filter_map(|(key, value)| Some((key, value?))));
    entries.extend([
        ("target", json!(lease.target)),
        ("issued", json!(lease.issued.to_string())),
        ("expires", json!(lease.expires.to_string())),
        ("tiers", json!(lease.tiers)),
    ]);
    if !lease.after.is_empty() {
        entries.push(("after", json!(lease.after)));
    }
    if lease.exception == Exception::Taken {
        entries.push(("exception", json!(true)));
    }
    entries.extend([
        ("on-expiry", json!(lease.on_expiry)),
        ("agent-alone-up-to", json!(lease.agent_alone_up_to)),
        ("scope", json!(lease.scope)),
    ]);
    if let Some(risk) = &lease.risk {
        let mut declared = json!({"score": risk.score, "model": risk.model});
        if let (Value::Object(map), false) = (&mut declared, risk.factors.is_empty()) {
            map.insert("factors".to_owned(), json!(risk.factors));
        }
        entries.push(("risk", declared));
    }
    if !lease.labels.is_empty() {
        entries.push(("labels", json!(lease.labels)));
    }
    emit::document(FIRST_LINE, &entries)
}
