//! Notes: statements, each followed by its detached signature.
//!
//! A note is what `git notes append` makes of `cat s s.sig`: entries, with empty lines between them. An entry begins
//! at its `Two-Key-Statement:` line and goes to the next. Within an entry, empty lines are allowed only between the
//! statement and its signature, and at the end.

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
    Inbox::new(claims, candidates).open(note)
}

/// A principal's notes while they are opened: an entry that comes again, in whichever note, is not verified again.
#[derive(Debug)]
pub struct Inbox<'a> {
    claims: &'a PrincipalId,
    candidates: &'a [PublicKey],
    /// The digests of the entries that have been opened.
    met: HashSet<Digest>,
}

impl<'a> Inbox<'a> {
    /// The notes on a principal's ref, with the candidates as [`open_note`] takes them.
    pub fn new(claims: &'a PrincipalId, candidates: &'a [PublicKey]) -> Self {
        Self { claims, candidates, met: HashSet::new() }
    }

    /// Opens those entries of a note that no note before it had.
    pub fn open(&mut self, note: &[u8]) -> Vec<NoteEntry> {
        self.open_wanted(note, |_| true)
    }

    /// Opens those of them whose statement somebody wants: a signature costs more than to read what it is about.
    pub fn open_wanted(&mut self, note: &[u8], is_wanted: impl Fn(&Statement) -> bool) -> Vec<NoteEntry> {
        let whole =
            |refusal| vec![NoteEntry { text: String::from_utf8_lossy(note).into_owned(), opened: Err(refusal) }];
        if note.len() > MAX_NOTE {
            return vec![NoteEntry {
                text: String::new(),
                opened: Err(Refusal::new(Reason::TooLarge, "the note is larger than 1 MiB")),
            }];
        }
        let Ok(text) = std::str::from_utf8(note) else {
            return whole(malformed("it is not UTF-8"));
        };
        let open = |text: &str| self.entry(text, &is_wanted).map(|opened| NoteEntry { text: text.to_owned(), opened });
        entries(text).into_iter().filter_map(open).collect()
    }

    /// Opens an entry, unless it says what another one said, however it is written.
    fn entry(&mut self, text: &str, is_wanted: impl Fn(&Statement) -> bool) -> Option<Result<Cosignature, Refusal>> {
        let read = match read_entry(text) {
            Ok(read) => read,
            Err(refusal) => return self.met.insert(Digest::of(text.as_bytes())).then_some(Err(refusal)),
        };
        let (statement, file) = &read;
        if !is_wanted(statement) {
            return None;
        }
        let what = format!("{} {}", statement.id(), file.base64());
        self.met.insert(Digest::of(what.as_bytes())).then(|| self.verified(&read))
    }

    fn verified(&self, (statement, file): &(Statement, File)) -> Result<Cosignature, Refusal> {
        let (claims, candidates) = (self.claims, self.candidates);
        let key = match file {
            File::Minisign(minisig) => {
                let message = statement.text();
                let named: Vec<&PublicKey> = candidates.iter().filter(|key| minisig.names(key)).collect();
                let signer = named.iter().find(|key| minisig.verify(key, message.as_bytes()).is_ok());
                signer.or(named.first()).copied().cloned().ok_or_else(|| {
                    let message = format!("the minisign signature's key id is none of {claims}'s keys");
                    Refusal::new(Reason::UnknownKey, message)
                })?
            }
            File::Ssh(ssh) => ssh.key().clone(),
        };
        detached::open_detached(statement, claims.clone(), &key, &file.base64()).map_err(|bad| bad.refusal)
    }
}

/// A signature as a program wrote it.
enum File {
    Ssh(SshSig),
    Minisign(Minisig),
}

impl File {
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

fn read_entry(text: &str) -> Result<(Statement, File), Refusal> {
    let end = text.split_inclusive('\n').take_while(|line| line.starts_with(PREFIX)).map(str::len).sum();
    let (statement, signature) = text.split_at_checked(end).ok_or_else(|| malformed("it has no statement"))?;
    let statement = Statement::parse(statement).map_err(malformed)?;
    let signature = signature.trim_start_matches('\n');
    let file = if signature.starts_with("untrusted comment:") {
        File::Minisign(Minisig::parse(signature)?)
    } else {
        File::Ssh(SshSig::from_armour(signature)?)
    };
    Ok((statement, file))
}

fn malformed(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Malformed, format!("the note entry is malformed: {what}"))
}
