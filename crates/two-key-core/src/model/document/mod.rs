//! Document basics that both YAML files share: errors that point at a line and column, durations, labels.

pub(in crate::model) mod emit;
mod fields;
mod problem;
mod span;
mod strict;

use std::collections::BTreeMap;

pub(in crate::model) use fields::{
    At, Entries, Flag, Leveled, Line, Moment, Nullable, Parsed, Position, Problems, Whole, Word, labels, parse,
};

pub use problem::{DocumentError, Problem};
pub use span::Span;

/// Free text for people, by name. Never interpreted.
pub type Labels = BTreeMap<String, String>;
