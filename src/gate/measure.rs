//! What metrics sources are asked, and what they may answer.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::stats::Summary;
use crate::model::{GateId, Refusal, policy::Source};

/// One thing to measure, with its time pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Who is asked.
    pub source: Source,
    /// The query with its variables filled in, in the source's own language.
    pub query: String,
    /// What is expected.
    pub shape: Shape,
    /// The window's beginning; what happened at this very moment is not in it.
    pub from: Timestamp,
    /// The window's end, and the time that the query is evaluated at.
    pub at: Timestamp,
}

/// What a query is expected to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// How many events were in the window.
    Count,
    /// One value.
    Number,
    /// The single observations in the window.
    Observations,
}

/// What a source answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What it means.
    pub value: Value,
    /// What the source said, word for word, where it said anything.
    pub raw: Option<String>,
}

/// What an answer means. Only finite numbers are measurements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// A count or a value.
    Number(f64),
    /// Observations.
    Observations(Vec<f64>),
    /// What is kept of observations that decide nothing any more.
    Summarized(Summary),
    /// The source works, and knows nothing of it.
    Nothing,
    /// An answer that may not be relied on: several series, no number, a warning. Treated as no data.
    Invalid(String),
    /// The source could not be asked. Neither good nor bad: it holds, until the deadline.
    Failed(String),
}

impl Answer {
    /// An answer without words of its source.
    pub fn of(value: Value) -> Self {
        Self { value, raw: None }
    }
}

/// How a threshold's metric is measured where no gate of its name does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Metric {
    /// Who is asked.
    pub source: Source,
    /// The query, a template like a gate's.
    pub query: String,
}

/// Something that measures.
pub trait Measure {
    /// Asks. Whatever goes wrong is an answer.
    fn ask(&self, question: &Question) -> Answer;

    /// Whether a source is configured; else why it cannot be asked, with reason `no-data`.
    fn has(&self, source: Source) -> Result<(), Refusal>;

    /// How a threshold's metric is measured.
    fn metric(&self, name: &GateId) -> Option<Metric>;
}
