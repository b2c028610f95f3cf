//! Thresholds as policies write them: limits that halt a rollout.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Decimal, LimitRule};
use crate::model::document::{At, Position, Problems, Whole, Word};

/// Auto-halt limits of one metric; at least one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// Beyond this people are warned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn: Option<Limit>,
    /// Beyond this the rollout is halted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt: Option<Limit>,
    /// What crosses `halt`; by default `test` where a gate counts what is measured, else `point`. `warn` is always a point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<LimitRule>,
    /// In how many measured slots in a row `halt` has to be crossed; by default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
}

/// A strict inequality: `> 2` or `< -5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Limit {
    /// On which side of the value the limit is crossed.
    pub side: LimitSide,
    /// The value, which itself is still good.
    pub value: Decimal,
}

/// A side of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitSide {
    /// `>`
    Above,
    /// `<`
    Below,
}

impl Limit {
    /// Reads `> NUMBER` or `< NUMBER`, the number in decimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let (side, number) = match text.split_once(' ')? {
            (">", number) => (LimitSide::Above, number),
            ("<", number) => (LimitSide::Below, number),
            _ => return None,
        };
        let digits = number.strip_prefix('-').unwrap_or(number);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let are_digits = |part: &str| !part.is_empty() && part.len() <= 15 && part.bytes().all(|b| b.is_ascii_digit());
        if !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        Some(Self { side, value: Decimal::new(number.parse().ok()?)? })
    }

    /// Whether a value is beyond the limit. What is not a number is beyond none: it is no data.
    pub fn crossed(self, value: f64) -> bool {
        match self.side {
            LimitSide::Above => value > self.value.get(),
            LimitSide::Below => value < self.value.get(),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.side == LimitSide::Above { '>' } else { '<' }, self.value)
    }
}

impl TryFrom<String> for Limit {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a limit is a strict inequality in quotes, as in `'> 2'` or `'< -5'`")
    }
}

impl From<Limit> for String {
    fn from(limit: Limit) -> Self {
        limit.to_string()
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[<>] -?[0-9]+(\\.[0-9]+)?$"})
    }
}

/// Auto-halt limits of one metric.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Threshold")]
pub(super) struct RawThreshold {
    /// Beyond this people are warned.
    warn: Option<Word<Limit>>,
    /// Beyond this the rollout is halted.
    halt: Option<Word<Limit>>,
    /// What crosses `halt`; by default `test` where a gate counts what is measured, else `point`.
    rule: Option<LimitRule>,
    /// In how many measured slots in a row `halt` has to be crossed; by default 1.
    #[schemars(range(min = 1))]
    slots: Option<At<Whole>>,
}

/// A raw threshold's valid form.
pub(super) fn threshold(raw: RawThreshold, place: Position, problems: &mut Problems) -> Option<Threshold> {
    if raw.warn.is_none() && raw.halt.is_none() {
        problems.malformed(place, "a threshold says `warn`, `halt`, or both");
        return None;
    }
    let (warn, halt) = (problems.maybe(raw.warn), problems.maybe(raw.halt));
    if let (Some(warn), Some(halt)) = (warn, halt) {
        let sooner = if warn.side == LimitSide::Above { halt.value < warn.value } else { halt.value > warn.value };
        if warn.side != halt.side || sooner {
            problems.malformed(place, "`warn` and `halt` look the same way, and `halt` is not reached before `warn`");
        }
    }
    let slots = raw.slots.and_then(|slots| problems.within("`slots`", &slots, 1..=u64::from(u32::MAX)));
    Some(Threshold { warn, halt, rule: raw.rule, slots })
}
