//! Early refs: where the refs of a push were when it arrived, which Git is asked for before anybody knows whether that matters.

use std::collections::HashMap;

use super::command::{Program, Started};
use crate::model::Oid;

/// Refs that are asked for, and how long their names may be.
const MAX_ASKED: usize = 8;
const MAX_NAME: usize = 255;

/// Lists refs, each with its object's id first.
pub(super) const FOR_EACH_REF: [&str; 3] = ["for-each-ref", "--format=%(objectname) %(refname)", "--"];

/// Git, on its way to say where some refs are.
#[derive(Debug)]
pub(super) struct AskedRefs {
    pub(super) names: Vec<String>,
    pub(super) git: Started,
}

/// Git, on its way to say where a ref is that somebody will most likely want to know of.
#[derive(Debug)]
pub struct AskedRef {
    pub(super) name: String,
    pub(super) git: Started,
}

/// Where some refs were when a push arrived.
#[derive(Debug, Default)]
pub(super) struct EarlyRefs {
    pub(super) names: Vec<String>,
    pub(super) there: HashMap<String, Oid>,
}

impl EarlyRefs {
    /// Whether it was asked where a ref is.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.names.iter().any(|other| other == name)
    }

    /// Where a ref was, if that was asked.
    pub(super) fn at(&self, name: &str) -> Option<Oid> {
        self.there.get(name).copied()
    }
}

impl AskedRefs {
    /// Asks, if there are a few. If that fails, whoever wants to know asks again. Git has not looked at the names yet, and
    /// would take what is no ref's name for a pattern.
    pub(super) fn ask(for_each_ref: Program, names: Vec<String>) -> Option<Self> {
        let plain =
            |name: &String| name.len() <= MAX_NAME && !name.ends_with('/') && !name.contains(['*', '?', '[', '\\']);
        let few = (1..=MAX_ASKED).contains(&names.len()) && names.iter().all(plain);
        few.then(|| for_each_ref.args(&names).started()).and_then(Result::ok).map(|git| Self { names, git })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_plain_names_are_asked_for_early_and_no_patterns() {
        let asks = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            AskedRefs::ask(Program::new("true"), names).is_some()
        };
        assert!(asks(&["refs/heads/main"]));
        assert!(asks(&["refs/heads/main"; MAX_ASKED]));
        assert!(!asks(&["refs/heads/main"; MAX_ASKED + 1]));
        assert!(!asks(&[]));
        for name in ["refs/heads/", "refs/heads/*", "refs/heads/m?in", "refs/heads/[m]ain", "refs/heads/\\main"] {
            assert!(!asks(&["refs/heads/main", name]), "{name}");
        }
        let long = |length| format!("refs/heads/{}", "a".repeat(length - "refs/heads/".len()));
        assert!(asks(&[&long(MAX_NAME)]));
        assert!(!asks(&[&long(MAX_NAME + 1)]));
    }
}
