//! Words: flags whose value is one word of a format's.

use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Reads one of some words, and lists them in the help.
pub(super) fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    word: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|one| word(*one))).try_map(move |text| {
        let found = all.iter().copied().find(|one| word(*one) == text);
        found.ok_or_else(|| format!("`{text}` is none of the words"))
    })
}
