//! Measurements: the questions to metrics sources, and their answers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::stats::Summary;
use crate::model::{GateId, Refusal, document::Span, policy::Source};

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
    Observations(Observations),
    /// What is kept of observations that decide nothing any more.
    Summarized(Summary),
    /// The source works, and knows nothing of it.
    Nothing,
    /// An answer that may not be relied on: several series, no number, a warning. Treated as no data.
    Invalid(String),
    /// The source could not be asked. Neither good nor bad: it holds, until the deadline.
    Failed(String),
}

/// Observations in the order in which they were made; at most [`MAX_OBSERVATIONS`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observations {
    values: Vec<f64>,
    /// Of how many they are a sample; none if they are all that there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<u64>,
}

/// The most observations of one side that are taken: as many as can be kept as evidence. Of more, a sample is.
pub const MAX_OBSERVATIONS: usize = 20_000;

impl Observations {
    /// Takes all, or of too many a sample that depends on nothing but how many there are: one of each of
    /// [`MAX_OBSERVATIONS`] stretches of equal length, at a place in it that is as good as random.
    pub fn new(values: Vec<f64>) -> Self {
        let count = values.len();
        if count <= MAX_OBSERVATIONS {
            return Self { values, of: None };
        }
        let begins = |stretch: usize| stretch * count / MAX_OBSERVATIONS;
        let chosen = (0..MAX_OBSERVATIONS).filter_map(|stretch| {
            let (from, to) = (begins(stretch), begins(stretch + 1));
            values.get(from + usize::try_from(mixed(stretch)).unwrap_or(0) % (to - from)).copied()
        });
        Self { values: chosen.collect(), of: u64::try_from(count).ok() }
    }

    /// The numbers.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// In short.
    pub fn summary(&self) -> Option<Summary> {
        Summary::of(&self.values).map(|summary| Summary { sampled_of: self.of, ..summary })
    }
}

/// A number's bits, mixed as `SplitMix64` does (Steele, Lea and Flood, 2014), without the upper half.
fn mixed(number: usize) -> u32 {
    let mut z = u64::try_from(number).unwrap_or(0).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0)
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

    /// How long after a moment a source knows of it; at once where it is not said.
    fn lag(&self, _source: Source) -> Span {
        Span::default()
    }

    /// How a threshold's metric is measured.
    fn metric(&self, name: &GateId) -> Option<Metric>;
}
