//! Statements: the exact text that a key signs.
//!
//! A statement is lines `Two-Key-<Field>: <value>` in one fixed order, each ended by one LF, nothing else. Which
//! fields there are follows from the action alone, so two statements that mean the same are the same bytes.
//!
//! | action | fields after `Statement`, `Repository`, `Action` |
//! |---|---|
//! | cosign | `Lease`, `Digest` |
//! | start, promote | `Lease`, `Digest`, `Step`, `Tier` |
//! | resume, complete | `Lease`, `Digest`, `Step` |
//! | pause, halt, rollback, withdraw | `Lease`, `Nonce` |
//! | policy | `Digest` |
//! | revoke | `Key` |
//! | freeze | `Nonce` |
//! | thaw | `Step` |

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Action, Digest, Fingerprint, LeaseId, Nonce, RepositoryId};

/// The line that every statement begins with.
pub const FIRST_LINE: &str = "Two-Key-Statement: 1";

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Statement {
    /// The governance repository that the statement is for.
    pub repository: RepositoryId,
    /// What it asks.
    pub subject: Subject,
}

/// What a statement asks, with just the fields that its action has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// Authorize a lease's bytes.
    Cosign {
        /// The lease.
        lease: LeaseId,
        /// The SHA-256 of its file.
        digest: Digest,
    },
    /// Move a lease on.
    Forward(Forward),
    /// Stop a lease.
    Stop(Stop),
    /// Put a policy in force.
    Policy {
        /// The SHA-256 of its file.
        digest: Digest,
    },
    /// Take a key out of force.
    Revoke {
        /// The key.
        key: Fingerprint,
    },
    /// Stop every forward move.
    Freeze {
        /// What makes this freeze unlike every other.
        nonce: Nonce,
    },
    /// End the freeze.
    Thaw {
        /// How many freezes took effect so far.
        step: u32,
    },
}

/// A forward or neutral move of one lease: always bound to the lease's bytes and to one step number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Forward {
    /// The lease.
    pub lease: LeaseId,
    /// The SHA-256 of its file.
    pub digest: Digest,
    /// The number that the transition takes in the lease's sequence; start is 1.
    pub step: u32,
    /// Which move.
    pub kind: ForwardKind,
}

/// The four forward or neutral moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForwardKind {
    /// Begin at the first tier.
    Start {
        /// The first tier's weight in percent.
        tier: u8,
    },
    /// Go to the next tier.
    Promote {
        /// The next tier's weight in percent.
        tier: u8,
    },
    /// Go on after a pause.
    Resume,
    /// End at the last tier.
    Complete,
}

/// A stop of one lease: bound to its id and nothing else, so that nothing can outrun it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stop {
    /// The lease.
    pub lease: LeaseId,
    /// Which stop.
    pub kind: StopKind,
    /// What makes this stop unlike every other.
    pub nonce: Nonce,
}

/// The four stops, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Hash)]
#[serde(rename_all = "lowercase")]
pub enum StopKind {
    /// Hold the weight.
    Pause,
    /// Weight to zero, instances kept.
    Halt,
    /// End a lease before its start; after it, the same as rollback.
    Withdraw,
    /// Restore what was there before.
    Rollback,
}

impl StopKind {
    /// The action that this stop is.
    pub const fn action(self) -> Action {
        match self {
            Self::Pause => Action::Pause,
            Self::Halt => Action::Halt,
            Self::Withdraw => Action::Withdraw,
            Self::Rollback => Action::Rollback,
        }
    }
}

impl ForwardKind {
    /// The action that this move is.
    pub const fn action(self) -> Action {
        match self {
            Self::Start { .. } => Action::Start,
            Self::Promote { .. } => Action::Promote,
            Self::Resume => Action::Resume,
            Self::Complete => Action::Complete,
        }
    }
}

/// Why a text is not a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a statement: {0}")]
pub struct StatementError(pub String);

impl Statement {
    /// The action.
    pub fn action(&self) -> Action {
        match &self.subject {
            Subject::Cosign { .. } => Action::Cosign,
            Subject::Forward(forward) => forward.kind.action(),
            Subject::Stop(stop) => stop.kind.action(),
            Subject::Policy { .. } => Action::Policy,
            Subject::Revoke { .. } => Action::Revoke,
            Subject::Freeze { .. } => Action::Freeze,
            Subject::Thaw { .. } => Action::Thaw,
        }
    }

    /// The lease that the statement is about, if it is about one.
    pub fn lease(&self) -> Option<&LeaseId> {
        match &self.subject {
            Subject::Cosign { lease, .. } => Some(lease),
            Subject::Forward(forward) => Some(&forward.lease),
            Subject::Stop(stop) => Some(&stop.lease),
            Subject::Policy { .. } | Subject::Revoke { .. } | Subject::Freeze { .. } | Subject::Thaw { .. } => None,
        }
    }

    /// The fields, as lines hold them.
    pub fn fields(&self) -> Fields {
        let mut fields = Fields::new(self.repository.clone(), self.action());
        match &self.subject {
            Subject::Cosign { lease, digest } => {
                fields.lease = Some(lease.clone());
                fields.digest = Some(*digest);
            }
            Subject::Forward(forward) => {
                fields.lease = Some(forward.lease.clone());
                fields.digest = Some(forward.digest);
                fields.step = Some(forward.step);
                fields.tier = match forward.kind {
                    ForwardKind::Start { tier } | ForwardKind::Promote { tier } => Some(tier),
                    ForwardKind::Resume | ForwardKind::Complete => None,
                };
            }
            Subject::Stop(stop) => {
                fields.lease = Some(stop.lease.clone());
                fields.nonce = Some(stop.nonce.clone());
            }
            Subject::Policy { digest } => fields.digest = Some(*digest),
            Subject::Revoke { key } => fields.key = Some(key.clone()),
            Subject::Freeze { nonce } => fields.nonce = Some(nonce.clone()),
            Subject::Thaw { step } => fields.step = Some(*step),
        }
        fields
    }

    /// The canonical text: what is signed.
    pub fn text(&self) -> String {
        self.fields().text()
    }

    /// The SHA-256 of the canonical text: two votes count together when theirs are equal.
    pub fn id(&self) -> Digest {
        Digest::of(self.text().as_bytes())
    }

    /// Reads a canonical text, and nothing that differs from one by a byte.
    pub fn parse(text: &str) -> Result<Self, StatementError> {
        let body = text.strip_suffix('\n').ok_or_else(|| StatementError("it does not end with a line feed".into()))?;
        let fields = Fields::parse(body.split('\n'))?;
        fields.statement()
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// The fields of a run of statement lines, before it is known that they fit the action.
///
/// A commit's sealed signatures may be for another action than the commit's own (a start that seals the lease's
/// cosignatures): [`Fields::statement_for`] gives the statement that the same fields make for that action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// `Two-Key-Repository`.
    pub repository: RepositoryId,
    /// `Two-Key-Action`.
    pub action: Action,
    /// `Two-Key-Lease`.
    pub lease: Option<LeaseId>,
    /// `Two-Key-Digest`.
    pub digest: Option<Digest>,
    /// `Two-Key-Step`.
    pub step: Option<u32>,
    /// `Two-Key-Tier`, in percent.
    pub tier: Option<u8>,
    /// `Two-Key-Key`.
    pub key: Option<Fingerprint>,
    /// `Two-Key-Nonce`.
    pub nonce: Option<Nonce>,
}

/// The field names in their order.
const ORDER: [&str; 9] = ["Statement", "Repository", "Action", "Lease", "Digest", "Step", "Tier", "Key", "Nonce"];

impl Fields {
    fn new(repository: RepositoryId, action: Action) -> Self {
        Self { repository, action, lease: None, digest: None, step: None, tier: None, key: None, nonce: None }
    }

    /// Whether a line begins with the name of a statement's field, and so belongs to the statement and not to the
    /// remarks that may follow it.
    pub fn owns(line: &str) -> bool {
        field(line).is_some_and(|(name, _)| ORDER.contains(&name))
    }

    /// Reads lines (without their line feeds) that are a statement's, in the fixed order, each at most once.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Self, StatementError> {
        let mut values = [None; ORDER.len()];
        let mut next = 0;
        for line in lines {
            let (name, value) = field(line).ok_or_else(|| error("a line is not `Two-Key-<Field>: <value>`"))?;
            let offset = ORDER[next..].iter().position(|known| *known == name);
            let index = next + offset.ok_or_else(|| error("a field is unknown, repeated or out of order"))?;
            values[index] = Some(value);
            next = index + 1;
        }
        let [statement, repository, action, lease, digest, step, tier, key, nonce] = values;
        if statement != Some("1") {
            return Err(error("it does not begin with `Two-Key-Statement: 1`"));
        }
        Ok(Self {
            repository: read("Repository", repository, RepositoryId::parse)?.ok_or_else(|| missing("Repository"))?,
            action: read("Action", action, Action::from_word)?.ok_or_else(|| missing("Action"))?,
            lease: read("Lease", lease, LeaseId::parse)?,
            digest: read("Digest", digest, Digest::parse)?,
            step: read("Step", step, |text| positive(text).and_then(|n| u32::try_from(n).ok()))?,
            tier: read("Tier", tier, |text| {
                positive(text).and_then(|n| u8::try_from(n).ok()).filter(|n| (1..=100).contains(n))
            })?,
            key: read("Key", key, Fingerprint::parse)?,
            nonce: read("Nonce", nonce, Nonce::parse)?,
        })
    }

    /// The statement, if the fields are exactly those that the action has.
    pub fn statement(&self) -> Result<Statement, StatementError> {
        let statement = self.statement_for(self.action)?;
        if statement.fields() == *self { Ok(statement) } else { Err(error("a field does not belong to the action")) }
    }

    /// The statement that these fields make for an action, leaving out those that the action does not have.
    pub fn statement_for(&self, action: Action) -> Result<Statement, StatementError> {
        let lease = || self.lease.clone().ok_or_else(|| missing("Lease"));
        let digest = || self.digest.ok_or_else(|| missing("Digest"));
        let step = || self.step.ok_or_else(|| missing("Step"));
        let tier = || self.tier.ok_or_else(|| missing("Tier"));
        let nonce = || self.nonce.clone().ok_or_else(|| missing("Nonce"));
        let forward = |kind| Ok(Subject::Forward(Forward { lease: lease()?, digest: digest()?, step: step()?, kind }));
        let stop = |kind| Ok(Subject::Stop(Stop { lease: lease()?, kind, nonce: nonce()? }));
        let subject = match action {
            Action::Cosign => Subject::Cosign { lease: lease()?, digest: digest()? },
            Action::Start => forward(ForwardKind::Start { tier: tier()? })?,
            Action::Promote => forward(ForwardKind::Promote { tier: tier()? })?,
            Action::Resume => forward(ForwardKind::Resume)?,
            Action::Complete => forward(ForwardKind::Complete)?,
            Action::Pause => stop(StopKind::Pause)?,
            Action::Halt => stop(StopKind::Halt)?,
            Action::Rollback => stop(StopKind::Rollback)?,
            Action::Withdraw => stop(StopKind::Withdraw)?,
            Action::Policy => Subject::Policy { digest: digest()? },
            Action::Revoke => Subject::Revoke { key: self.key.clone().ok_or_else(|| missing("Key"))? },
            Action::Freeze => Subject::Freeze { nonce: nonce()? },
            Action::Thaw => Subject::Thaw { step: step()? },
        };
        Ok(Statement { repository: self.repository.clone(), subject })
    }

    /// The lines, in order, each ended by a line feed.
    fn text(&self) -> String {
        use fmt::Write as _;
        let mut text =
            format!("{FIRST_LINE}\nTwo-Key-Repository: {}\nTwo-Key-Action: {}\n", self.repository, self.action);
        let mut line = |name: &str, value: Option<&dyn fmt::Display>| {
            if let Some(value) = value {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "Two-Key-{name}: {value}");
            }
        };
        line("Lease", self.lease.as_ref().map(|v| v as _));
        line("Digest", self.digest.as_ref().map(|v| v as _));
        line("Step", self.step.as_ref().map(|v| v as _));
        line("Tier", self.tier.as_ref().map(|v| v as _));
        line("Key", self.key.as_ref().map(|v| v as _));
        line("Nonce", self.nonce.as_ref().map(|v| v as _));
        text
    }
}

fn error(text: &str) -> StatementError {
    StatementError(text.to_owned())
}

fn missing(name: &str) -> StatementError {
    StatementError(format!("`Two-Key-{name}` is missing"))
}

/// Splits `Two-Key-<Field>: <value>`.
fn field(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("Two-Key-")?.split_once(": ")
}

/// Reads one field's value, if it is there.
fn read<T>(
    name: &str,
    value: Option<&str>,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, StatementError> {
    match value {
        None => Ok(None),
        Some(text) => match parse(text) {
            Some(value) => Ok(Some(value)),
            None => Err(StatementError(format!("`Two-Key-{name}` has a value that is not one"))),
        },
    }
}

/// A decimal number in its one spelling. Zero is allowed only for counts that begin there (thaw's step).
fn positive(text: &str) -> Option<u64> {
    let one_spelling = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if one_spelling && !text.is_empty() { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(subject: Subject) -> Statement {
        Statement { repository: RepositoryId::parse("6f1c0e2b9a4d4f70a1b2c3d4e5f60718").unwrap(), subject }
    }

    fn lease() -> LeaseId {
        LeaseId::parse("LEASE-20251027-021913").unwrap()
    }

    fn one_of_each() -> Vec<Statement> {
        let digest = Digest::of(b"lease");
        let nonce = Nonce::parse("000102030405060708090a0b0c0d0e0f").unwrap();
        let forward = |kind| Subject::Forward(Forward { lease: lease(), digest, step: 2, kind });
        let stop = |kind| Subject::Stop(Stop { lease: lease(), kind, nonce: nonce.clone() });
        [
            Subject::Cosign { lease: lease(), digest },
            forward(ForwardKind::Start { tier: 5 }),
            forward(ForwardKind::Promote { tier: 25 }),
            forward(ForwardKind::Resume),
            forward(ForwardKind::Complete),
            stop(StopKind::Pause),
            stop(StopKind::Halt),
            stop(StopKind::Rollback),
            stop(StopKind::Withdraw),
            Subject::Policy { digest },
            Subject::Revoke { key: Fingerprint::parse("minisign:0123456789ABCDEF").unwrap() },
            Subject::Freeze { nonce: nonce.clone() },
            Subject::Thaw { step: 1 },
        ]
        .into_iter()
        .map(statement)
        .collect()
    }

    #[test]
    fn the_text_is_the_one_in_the_design() {
        let digest = Digest::of(b"");
        let kind = ForwardKind::Promote { tier: 25 };
        let promote = statement(Subject::Forward(Forward { lease: lease(), digest, step: 2, kind }));
        assert_eq!(
            promote.text(),
            "Two-Key-Statement: 1\n\
             Two-Key-Repository: 6f1c0e2b9a4d4f70a1b2c3d4e5f60718\n\
             Two-Key-Action: promote\n\
             Two-Key-Lease: LEASE-20251027-021913\n\
             Two-Key-Digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n\
             Two-Key-Step: 2\n\
             Two-Key-Tier: 25\n"
        );
    }

    #[test]
    fn every_statement_reads_back_and_no_line_can_go_or_be_doubled() {
        for original in one_of_each() {
            let text = original.text();
            assert_eq!(Statement::parse(&text).unwrap(), original);
            let lines: Vec<&str> = text.lines().collect();
            for at in 0..lines.len() {
                let without = [&lines[..at], &lines[at + 1..], &[""]].concat().join("\n");
                assert!(Statement::parse(&without).is_err(), "{without}");
                let doubled = [&lines[..=at], &lines[at..], &[""]].concat().join("\n");
                assert!(Statement::parse(&doubled).is_err(), "{doubled}");
            }
        }
    }

    #[test]
    fn one_meaning_has_one_spelling() {
        let text = one_of_each()[2].text();
        for (from, to) in [
            ("Step: 2", "Step: 02"),
            ("Step: 2", "Step: +2"),
            ("Step: 2", "Step: 2 "),
            ("Tier: 25", "Tier: 101"),
            ("Tier: 25", "Tier: 0"),
            ("\n", "\r\n"),
            ("Two-Key-Step", "two-key-step"),
            ("promote", "Promote"),
            ("sha256:", "SHA256:"),
        ] {
            assert!(Statement::parse(&text.replace(from, to)).is_err(), "{from} -> {to}");
        }
        assert!(Statement::parse(text.trim_end()).is_err());
        assert!(Statement::parse(&format!("{text}\n")).is_err());
        assert!(Statement::parse("").is_err());
    }

    #[test]
    fn a_sealed_lines_statement_takes_only_its_actions_fields() {
        let start = one_of_each()[1].fields();
        let cosign = start.statement_for(Action::Cosign).unwrap();
        assert_eq!(cosign.subject, Subject::Cosign { lease: lease(), digest: Digest::of(b"lease") });
        assert!(start.statement_for(Action::Halt).is_err());
    }
}
