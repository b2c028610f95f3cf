//! Percent: how a weight is printed, for people and in JSON. What is stored and what drivers get is in basis points.

use std::fmt;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

/// A weight, made of basis points: 2500 prints as `25`, 50 as `0.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, JsonSchema)]
#[schemars(inline, transparent)]
pub struct Percent(#[schemars(with = "f64")] u32);

impl Percent {
    /// Of so many basis points.
    pub const fn of(basis_points: u32) -> Self {
        Self(basis_points)
    }

    /// As a number: 25.0 of 2500 basis points.
    pub fn number(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

/// A tier's weight.
impl From<u8> for Percent {
    fn from(percent: u8) -> Self {
        Self(u32::from(percent) * 100)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_number_for_people_and_in_json() {
        for (basis_points, text, json) in [(0, "0", "0.0"), (2500, "25", "25.0"), (50, "0.5", "0.5")] {
            let percent = Percent::of(basis_points);
            assert_eq!((&*percent.to_string(), &*serde_json::to_string(&percent).unwrap()), (text, json));
        }
    }
}
