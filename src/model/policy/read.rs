//! Bytes → policy.

use super::Policy;
use crate::model::{Proposed, Reason, document::DocumentError};

/// Reads a policy file's exact bytes.
pub fn read(_bytes: &[u8]) -> Result<Proposed<Policy>, DocumentError> {
    Err(DocumentError::one(Reason::Malformed, 0, 0, "not yet read"))
}

/// The JSON Schema of policy files.
pub fn schema() -> schemars::Schema {
    schemars::Schema::default()
}
