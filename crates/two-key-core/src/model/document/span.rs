//! A span: a length of time, as documents write it.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A length of time in whole seconds, written `90s`, `15m`, `6h` or `30d`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

impl Span {
    /// A length in seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// The length in seconds.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// Reads a whole number and a unit; at most ten years.
    pub fn parse(text: &str) -> Option<Self> {
        let unit = text.bytes().last()?;
        let number = text.get(..text.len() - 1)?;
        if number.is_empty() || number.len() > 9 || !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let factor = match unit {
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            _ => return None,
        };
        let seconds = number.parse::<u64>().ok()?.checked_mul(factor)?;
        (seconds <= 3_650 * 86_400).then_some(Self(seconds))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.0 {
            0 => (0, "s"),
            s if s % 86_400 == 0 => (s / 86_400, "d"),
            s if s % 3_600 == 0 => (s / 3_600, "h"),
            s if s % 60 == 0 => (s / 60, "m"),
            s => (s, "s"),
        };
        write!(f, "{number}{unit}")
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| "a length of time is a whole number and s, m, h or d, as in `15m`".to_owned())
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]{1,9}[smhd]$"})
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn a_length_of_time_is_written_in_the_largest_unit_that_divides_it() {
        for (text, written) in [
            ("0s", "0s"),
            ("90s", "90s"),
            ("60s", "1m"),
            ("90m", "90m"),
            ("60m", "1h"),
            ("25h", "25h"),
            ("24h", "1d"),
            ("86401s", "86401s"),
        ] {
            let span = Span::parse(text).map(|span| span.to_string());
            assert_eq!(span.as_deref(), Some(written), "{text}");
        }
    }
}
