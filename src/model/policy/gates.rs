//! Gates and thresholds as policies write them.

use serde::{Deserialize, Serialize};

/// A health condition over metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {}

/// Auto-halt limits of one metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {}
