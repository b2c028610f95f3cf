//! Notes: statements, each followed by its detached signature.
//!
//! A note is what `git notes append` makes of `cat s s.sig`: entries, with empty lines between them. An entry begins
//! at its `Two-Key-Statement:` line and goes to the next. Within an entry, empty lines are allowed only between the
//! statement and its signature, and at the end. What waits there goes forward: stops and revocations need no other key, and
//! anybody could write any number of them, each with another nonce.

use std::collections::HashSet;

use super::{Cosignature, carrier::PREFIX, detached, minisign::Minisig, sshsig::SshSig};
use crate::model::{Digest, PrincipalId, PublicKey, Reason, Refusal, Statement};

/// The largest note that is read, in bytes.
pub const MAX_NOTE: usize = 1024 * 1024;

/// One entry of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteEntry {
    /// Its lines, without the empty ones around it: entries with equal text are one entry written twice.
    pub text: String,
    /// The verified cosignature, or why there is none.
    pub opened: Result<Cosignature, Refusal>,
}

/// Opens a note, entry by entry. `claims` is the principal whose notes ref it is on; `candidates` are the keys among
/// which a minisign signature's key id is looked up (an SSH signature brings its key along).
pub fn open_note(note: &[u8], claims: &PrincipalId, candidates: &[PublicKey]) -> Vec<NoteEntry> {
    Inbox::new(claims, candidates).open(note).collect()
}

/// A principal's notes while they are read: an entry that comes again, in whichever note, is not read again.
#[derive(Debug)]
pub struct Inbox<'a> {
    claims: &'a PrincipalId,
    candidates: &'a [PublicKey],
    /// The digests of the entries that have been read.
    met: HashSet<Digest>,
}

/// An entry that has been read. Nobody has checked its signature.
pub struct UncheckedEntry<'a> {
    claims: &'a PrincipalId,
    candidates: &'a [PublicKey],
    text: String,
    read: Result<(Statement, SignatureFile), Refusal>,
}

impl<'a> Inbox<'a> {
    /// The notes on a principal's ref, with the candidates as [`open_note`] takes them.
    pub fn new(claims: &'a PrincipalId, candidates: &'a [PublicKey]) -> Self {
        Self { claims, candidates, met: HashSet::new() }
    }

    /// Opens those entries of a note that no note before it had, each when it is asked for.
    pub fn open(&mut self, note: &[u8]) -> impl Iterator<Item = NoteEntry> + use<'a> {
        self.read(note).into_iter().map(|entry| NoteEntry { opened: entry.check(), text: entry.text })
    }

    /// Reads those entries of a note that no note before it had.
    pub fn read(&mut self, note: &[u8]) -> Vec<UncheckedEntry<'a>> {
        // Of what is there twice the last stays: it is what was written on purpose, after whatever hid the first.
        let read = self.every(note).into_iter().rev();
        let mut new: Vec<_> = read.filter(|entry| self.met.insert(entry.id())).collect();
        new.reverse();
        new
    }

    /// Whether what was added to a note has an entry that stood there before, or the same one twice.
    pub fn says_again(&self, before: &[u8], added: &[u8]) -> bool {
        let mut met: HashSet<Digest> = self.every(before).iter().map(UncheckedEntry::id).collect();
        !self.every(added).iter().all(|entry| met.insert(entry.id()))
    }

    /// Reads all entries of a note.
    fn every(&self, note: &[u8]) -> Vec<UncheckedEntry<'a>> {
        let (claims, candidates) = (self.claims, self.candidates);
        let entry = |text: String, read| UncheckedEntry { claims, candidates, text, read };
        if note.len() > MAX_NOTE {
            let refusal = Refusal::new(Reason::TooLarge, "the note is larger than 1 MiB");
            return vec![entry(String::new(), Err(refusal))];
        }
        let Ok(text) = std::str::from_utf8(note) else {
            return vec![entry(String::from_utf8_lossy(note).into_owned(), Err(malformed("it is not UTF-8")))];
        };
        entries(text).into_iter().map(|text| entry(text.to_owned(), read_entry(text))).collect()
    }
}

impl UncheckedEntry<'_> {
    /// What it says, however it is written.
    pub fn id(&self) -> Digest {
        match &self.read {
            Ok((statement, file)) => Digest::of(format!("{} {}", statement.id(), file.base64()).as_bytes()),
            Err(_) => Digest::of(self.text.as_bytes()),
        }
    }

    /// Its lines, without the empty ones around it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is said to be signed, and by which key, if it can be read.
    pub fn says(&self) -> Option<(&Statement, &PublicKey)> {
        let (statement, file) = self.read.as_ref().ok()?;
        Some((statement, self.key(file)?))
    }

    /// What is said to be signed, by whatever key.
    pub fn statement(&self) -> Option<&Statement> {
        self.read.as_ref().ok().map(|(statement, _)| statement)
    }

    /// Whose notes it is in.
    pub fn claims(&self) -> &PrincipalId {
        self.claims
    }

    /// The key that a signature names.
    fn key<'b>(&'b self, file: &'b SignatureFile) -> Option<&'b PublicKey> {
        match file {
            SignatureFile::Minisign(minisig) => self.candidates.iter().find(|key| minisig.names(key)),
            SignatureFile::Ssh(ssh) => Some(ssh.key()),
        }
    }

    /// The verified cosignature, or why there is none.
    pub fn check(&self) -> Result<Cosignature, Refusal> {
        let (statement, file) = self.read.as_ref().map_err(Clone::clone)?;
        let claims = self.claims;
        let signer = match file {
            SignatureFile::Minisign(minisig) => {
                let message = statement.text();
                let mut named = self.candidates.iter().filter(|key| minisig.names(key));
                named.find(|key| minisig.verify(key, message.as_bytes()).is_ok())
            }
            SignatureFile::Ssh(_) => None,
        };
        let key = signer.or_else(|| self.key(file)).ok_or_else(|| {
            let message = format!("the minisign signature's key id is none of {claims}'s keys");
            Refusal::new(Reason::UnknownKey, message)
        })?;
        detached::open_detached(statement, claims.clone(), key, &file.base64()).map_err(|bad| bad.refusal)
    }
}

/// A signature as a program wrote it.
enum SignatureFile {
    Ssh(SshSig),
    Minisign(Minisig),
}

impl SignatureFile {
    fn base64(&self) -> String {
        match self {
            Self::Ssh(ssh) => ssh.base64(),
            Self::Minisign(minisig) => minisig.base64(),
        }
    }
}

/// Cuts a note where statements begin. What stands before the first is an entry too: one that does not open.
fn entries(text: &str) -> Vec<&str> {
    let mut starts = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with("Two-Key-Statement:") {
            starts.push(at);
        }
        at += line.len();
    }
    starts.push(text.len());
    let slices = starts.iter().zip(starts.iter().skip(1)).filter_map(|(from, to)| text.get(*from..*to));
    slices.map(|entry| entry.trim_matches('\n')).filter(|entry| !entry.is_empty()).collect()
}

fn read_entry(text: &str) -> Result<(Statement, SignatureFile), Refusal> {
    let end = text.split_inclusive('\n').take_while(|line| line.starts_with(PREFIX)).map(str::len).sum();
    let (statement, signature) = text.split_at_checked(end).ok_or_else(|| malformed("it has no statement"))?;
    let statement = Statement::parse(statement).map_err(malformed)?;
    let action = statement.action();
    if !action.goes_forward() {
        let what = format!("a {action} does not wait in a note, and nobody would seal it");
        return Err(malformed(what).hint(format!("git two-key {action}")));
    }
    let signature = signature.trim_start_matches('\n');
    let file = if signature.starts_with("untrusted comment:") {
        SignatureFile::Minisign(Minisig::parse(signature)?)
    } else {
        SignatureFile::Ssh(SshSig::from_armour(signature)?)
    };
    Ok((statement, file))
}

fn malformed(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Malformed, format!("the note entry is malformed: {what}"))
}
