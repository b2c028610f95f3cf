//! Identifiers: one shape for leases, intents, principals, targets and gates, checked once, here.
//!
//! `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, and valid as one component of a Git ref name: no `..`, no final `.`, no
//! final `.lock`. Ids are unique without regard to case, because file systems and forges fold it.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Why a text is no id.
const RULE: &str =
    "an id is a letter or digit, then up to 63 letters, digits, `.`, `_` or `-`; no `..`, no final `.` or `.lock`";

/// Whether a text has the shape of an id.
fn is_id(text: &str) -> bool {
    let shape = text.len() <= 64
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    // Git reserves `.lock` in every spelling that a case-folding file system takes for it.
    let lock = text.len() >= 5 && text.is_ascii() && text[text.len() - 5..].eq_ignore_ascii_case(".lock");
    shape && !text.contains("..") && !text.ends_with('.') && !lock
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes a text that has the shape of an id.
            pub fn parse(text: &str) -> Option<Self> {
                is_id(text).then(|| Self(text.to_owned()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text with case folded: two ids that fold alike are the same id written twice.
            pub fn folded(&self) -> String {
                self.0.to_ascii_lowercase()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                if is_id(&text) { Ok(Self(text)) } else { Err(RULE.to_owned()) }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"})
            }
        }
    };
}

id! {
    /// A lease's id, by custom `LEASE-<UTC issue date>-<UTC issue time>`.
    LeaseId
}
id! {
    /// What a lease is for: an id from the system in which the change was planned.
    IntentId
}
id! {
    /// The name of a person, an automaton or a reconciler in the policy.
    PrincipalId
}
id! {
    /// The name of a rollout target in the policy.
    TargetId
}
id! {
    /// The name of a group of people in the policy.
    GroupId
}
id! {
    /// The name of a gate or of a threshold's metric in the policy.
    GateId
}

macro_rules! hex128 {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Reads 32 lower-case hexadecimal digits, and nothing else.
            pub fn parse(text: &str) -> Option<Self> {
                let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
                (text.len() == 32 && text.bytes().all(hex)).then(|| Self(text.to_owned()))
            }

            /// Spells 16 bytes.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(super::oid::hex_encode(&bytes))
            }

            /// The 32 digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                Self::parse(&text).ok_or_else(|| concat!($what, " is 32 lower-case hexadecimal digits").to_owned())
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": "^[0-9a-f]{32}$"})
            }
        }
    };
}

hex128! {
    /// A governance repository's random id, bound into every statement and lease.
    RepositoryId, "a repository id"
}
hex128! {
    /// A random number that makes a stop's statement unlike every other.
    Nonce, "a nonce"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_valid_ref_components() {
        for good in ["a", "LEASE-20251027-021913", "a.b_c-d", &"a".repeat(64)] {
            assert!(LeaseId::parse(good).is_some(), "{good}");
        }
        for bad in ["", "-a", ".a", "a/b", "a..b", "a.", "a.lock", "a.LOCK", "a b", "é", &"a".repeat(65), "a\n"] {
            assert!(LeaseId::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn nonces_have_one_spelling() {
        assert!(Nonce::parse(&"0a".repeat(16)).is_some());
        assert!(Nonce::parse(&"0A".repeat(16)).is_none());
        assert!(Nonce::parse(&"0a".repeat(15)).is_none());
    }
}
