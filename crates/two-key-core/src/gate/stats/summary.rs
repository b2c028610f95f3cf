//! Summary of a list of numbers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A list of numbers in short. Percentiles interpolate linearly between the two nearest (type 7, as NumPy does).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// How many.
    pub count: u32,
    /// Their mean.
    pub mean: f64,
    /// The smallest.
    pub min: f64,
    /// The 5th percentile.
    pub p5: f64,
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The largest.
    pub max: f64,
    /// Of how many these are a sample; none if they are all that there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled_of: Option<u64>,
}

impl Summary {
    /// The summary of finite numbers; none of no numbers.
    pub fn of(numbers: &[f64]) -> Option<Self> {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let count = u32::try_from(sorted.len()).ok()?;
        // Divided before they are added: a sum of large ones must not overflow.
        let mean = sorted.iter().map(|number| number / f64::from(count)).sum::<f64>().clamp(min, max);
        let at = |percent| percentile(&sorted, percent);
        Some(Self { count, mean, min, p5: at(5), p50: at(50), p95: at(95), p99: at(99), max, sampled_of: None })
    }
}

/// A percentile of sorted numbers, of which there is at least one.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let hundredths = percent * (sorted.len().saturating_sub(1));
    let (below, part) = (hundredths / 100, hundredths % 100);
    let at = |index: usize| sorted.get(index).or(sorted.last()).copied().unwrap_or_default();
    let part = f64::from(u8::try_from(part).unwrap_or_default()) / 100.0;
    at(below) * (1.0 - part) + at(below + 1) * part
}
