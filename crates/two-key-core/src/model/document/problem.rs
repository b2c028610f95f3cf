//! Problems of a document: what is wrong with it, by line and column.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Reason, Refusal};

/// The longest account of a document that findings repeat, in characters; `git two-key check` tells all.
const MAX_SUMMARY: usize = 2048;

/// Why a document is not valid, with every place that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}", self.summary())]
pub struct DocumentError {
    /// The code: `malformed`, `too-large`, `same-key` or `policy-floor`.
    pub reason: Reason,
    /// What is wrong where; never empty.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// The line, from 1; 0 if the document as a whole is meant.
    pub line: u32,
    /// The column, from 1; 0 if the document as a whole is meant.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            f.write_str(&self.message)
        } else {
            write!(f, "{}:{}: {}", self.line, self.column, self.message)
        }
    }
}

impl DocumentError {
    /// An error with one problem.
    pub fn one(reason: Reason, line: u32, column: u32, message: impl Into<String>) -> Self {
        Self { reason, problems: vec![Problem { line, column, message: message.into() }] }
    }

    fn summary(&self) -> String {
        self.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }
}

impl From<DocumentError> for Refusal {
    fn from(error: DocumentError) -> Self {
        let mut summary = error.summary();
        if let Some((end, _)) = summary.char_indices().nth(MAX_SUMMARY) {
            summary.truncate(end);
            summary = format!("{summary}… (problems: {})", error.problems.len());
        }
        Self::new(error.reason, summary)
    }
}
