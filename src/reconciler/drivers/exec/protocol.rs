//! `two-key.driver/1`: one JSON request on standard input, one JSON answer on standard output.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{LeaseId, TargetId};

/// The protocol's name and version.
pub(super) const PROTOCOL: &str = "two-key.driver/1";

/// What a program is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ProtocolVerb {
    /// Which verbs it knows, and whether it can restore.
    Capabilities,
    /// What is there now.
    Observe,
    /// Whether it could reach the desired weight; with a snapshot: whether it could restore that. Changes nothing.
    Plan,
    /// Bring the target to the desired weight.
    Apply,
    /// What is there now, in its own bytes.
    Snapshot,
    /// Restore a snapshot.
    Restore,
    /// Whether what is there is what the snapshot says.
    Verify,
}

impl ProtocolVerb {
    /// The word in requests.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Capabilities => "capabilities",
            Self::Observe => "observe",
            Self::Plan => "plan",
            Self::Apply => "apply",
            Self::Snapshot => "snapshot",
            Self::Restore => "restore",
            Self::Verify => "verify",
        }
    }
}

/// A request.
#[derive(Debug, Serialize)]
pub(super) struct DriverRequest<'a> {
    pub(super) protocol: &'static str,
    pub(super) verb: ProtocolVerb,
    /// The same for every attempt at the same thing.
    pub(super) op: String,
    pub(super) lease: Option<&'a LeaseId>,
    pub(super) target: &'a TargetId,
    pub(super) desired: Option<VersionWeight>,
    pub(super) observed_before: Option<VersionWeight>,
    /// After this the program is killed.
    pub(super) deadline: Timestamp,
    /// What `snapshot` gave, for plan, restore and verify.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) snapshot: Option<String>,
}

/// A weight, of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VersionWeight {
    /// In basis points.
    pub(super) weight_bp: u32,
    /// The candidate, by the object id of its change or the digest of its artifact.
    #[serde(default)]
    pub(super) version: Option<String>,
    /// How often the target was changed, where the program counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) generation: Option<u64>,
}

/// An answer. What is not known is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct DriverAnswer {
    pub(super) status: Status,
    #[serde(default)]
    pub(super) observed: Option<VersionWeight>,
    #[serde(default)]
    pub(super) retry_after_s: Option<u64>,
    #[serde(default)]
    pub(super) message: Option<String>,
    /// Of `snapshot`.
    #[serde(default)]
    pub(super) snapshot: Option<String>,
    /// Of `capabilities`.
    #[serde(default)]
    pub(super) verbs: Vec<String>,
    /// Of `capabilities`: false means that nothing can be restored.
    #[serde(default)]
    pub(super) reversible: Option<bool>,
}

/// How it went, in the program's own words. Never proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Status {
    Ok,
    InProgress,
    Retry,
    Failed,
    Unsupported,
}

impl DriverAnswer {
    /// Reads an answer: exactly one JSON document.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let answer: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("its answer cannot be parsed: {error}"))?;
        match &answer.observed {
            Some(seen) if seen.weight_bp > 10_000 => Err(format!("it observed {} of 10000", seen.weight_bp)),
            _ => Ok(answer),
        }
    }

    /// What the program says about it, for people.
    pub(super) fn words(&self) -> String {
        let words = self.message.clone().unwrap_or_else(|| "it does not say why".to_owned());
        match self.retry_after_s {
            Some(seconds) => format!("{words} (it asks to be asked again in {seconds} s)"),
            None => words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_one_document_of_a_known_status_and_a_possible_weight() {
        let good = br#"{"status": "ok", "observed": {"weight_bp": 500, "version": "v", "generation": 3}, "more": 1}"#;
        assert_eq!(DriverAnswer::parse(good).unwrap().observed.unwrap().weight_bp, 500);
        for bad in [
            "",
            "ok",
            r#"{"status": "fine"}"#,
            r#"{"status": "ok"} {"status": "ok"}"#,
            r#"{"status": "ok", "observed": {"weight_bp": 10001}}"#,
            r#"{"status": "ok", "observed": {"weight_bp": -1}}"#,
            r#"{"status": "ok", "observed": {}}"#,
        ] {
            assert!(DriverAnswer::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
