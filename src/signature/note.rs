//! Notes: statements, each followed by its detached signature.
//!
//! A note is what `git notes append` makes of `cat s s.sig`: entries, with empty lines between them. An entry begins
//! at its `Two-Key-Statement:` line and goes to the next. Within an entry, empty lines are allowed only between the
//! statement and its signature, and at the end.

use super::{Cosignature, carrier::PREFIX, detached, detached_base64, minisign::Minisig, sshsig::SshSig};
use crate::model::{PrincipalId, PublicKey, Reason, Refusal, Statement};

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
    let whole = |refusal| vec![NoteEntry { text: String::from_utf8_lossy(note).into_owned(), opened: Err(refusal) }];
    if note.len() > MAX_NOTE {
        return vec![NoteEntry {
            text: String::new(),
            opened: Err(Refusal::new(Reason::TooLarge, "the note is larger than 1 MiB")),
        }];
    }
    let Ok(text) = std::str::from_utf8(note) else {
        return whole(malformed("it is not UTF-8"));
    };
    entries(text)
        .into_iter()
        .map(|text| NoteEntry { text: text.to_owned(), opened: open_entry(text, claims, candidates) })
        .collect()
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

fn open_entry(text: &str, claims: &PrincipalId, candidates: &[PublicKey]) -> Result<Cosignature, Refusal> {
    let end = text.split_inclusive('\n').take_while(|line| line.starts_with(PREFIX)).map(str::len).sum();
    let (statement, signature) = text.split_at_checked(end).ok_or_else(|| malformed("it has no statement"))?;
    let statement = Statement::parse(statement).map_err(malformed)?;
    let signature = signature.trim_start_matches('\n');
    let key = if signature.starts_with("untrusted comment:") {
        let minisig = Minisig::parse(signature)?;
        let message = statement.text();
        let named: Vec<&PublicKey> = candidates.iter().filter(|key| minisig.names(key)).collect();
        let signer = named.iter().find(|key| minisig.verify(key, message.as_bytes()).is_ok());
        signer.or(named.first()).copied().cloned().ok_or_else(|| {
            Refusal::new(Reason::UnknownKey, format!("the minisign signature's key id is none of {claims}'s keys"))
        })?
    } else {
        SshSig::from_armour(signature)?.key().clone()
    };
    detached::open_detached(&statement, claims.clone(), &key, &detached_base64(signature)?).map_err(|bad| bad.refusal)
}

fn malformed(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Malformed, format!("the note entry is malformed: {what}"))
}
