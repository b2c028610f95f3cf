//! Notes refs: a principal's inbox, which only grows, by entries that verify for that principal.

use crate::{
    ledger::{State, rules},
    model::{PrincipalId, Reason, Refusal},
    signature::{Inbox, NoteEntry, note::MAX_NOTE},
};

use super::{NoteChange, NotesFacts, Push, PushRef, RefProblem, ledger_after};

/// Notes of one ref that are told why they are refused.
const MAX_TOLD: usize = 10;

pub(super) fn judge(
    push: &Push,
    update: &PushRef,
    principal: &PrincipalId,
    facts: &NotesFacts,
    found: &mut Vec<RefProblem>,
) {
    if !facts.fast_forward {
        let message = "its old tip is not in the new history; notes are only added";
        return found
            .push(Refusal::new(Reason::RefRewound, message).hint("fetch the notes, then append to them").into());
    }
    let state = match ledger_after(push) {
        Ok(state) => state,
        Err(refusal) => return found.push(refusal.into()),
    };
    let Some(known) = state.policy().get().principals.get(principal) else {
        let message = format!("the policy in force has no principal {principal}");
        return found
            .push(Refusal::new(Reason::ForeignRef, message).hint("see who there is: git two-key key list").into());
    };
    if let Some(stray) = facts.strays.first() {
        let message = format!("{stray:?} in its tree is no note");
        found.push(
            Refusal::new(Reason::Malformed, message).hint("write notes with git two-key sign, or git notes").into(),
        );
    }
    let mut inbox = Inbox::new(principal, &known.keys);
    if update.old.is_none() && facts.changes.is_empty() && facts.strays.is_empty() {
        // Who has notes in a clone could not push them any more.
        let message = format!("it holds no vote of {principal}");
        found.push(Refusal::new(Reason::Unsigned, message).hint("leave it out of the push").into());
    }
    // A signature that does not verify costs whoever writes it nothing: after a few nobody looks at more.
    let bad = facts.changes.iter().filter_map(|change| judge_note(state, principal, &mut inbox, change).err());
    found.extend(bad.take(MAX_TOLD).map(RefProblem::from));
}

fn judge_note(
    state: &State,
    principal: &PrincipalId,
    inbox: &mut Inbox<'_>,
    change: &NoteChange,
) -> Result<(), Refusal> {
    let on = change.object.short();
    let altered = |what: &str| {
        Refusal::new(Reason::RefRewound, format!("the note on {on} {what}; notes are only added"))
            .hint("it has entries from elsewhere: git two-key sync")
    };
    let Some(after) = &change.after else { return Err(altered("is removed")) };
    if after.len() > MAX_NOTE {
        let message = format!("the note on {on} would be larger than 1 MiB, and nobody would read it");
        return Err(
            Refusal::new(Reason::TooLarge, message).hint("write it on another object: git two-key sign --as note")
        );
    }
    // What nobody reads gives way. Two on one object become one that has all of both.
    let is_read = |note: &&Vec<u8>| note.len() <= MAX_NOTE && std::str::from_utf8(note).is_ok();
    let (mut before, mut added) = (b"".as_slice(), after.as_slice());
    for note in change.before.iter().filter(is_read).map(|note| note.trim_ascii_end()) {
        let rest = after.strip_prefix(note).ok_or_else(|| altered("changes"))?;
        if !note.is_empty() && !rest.is_empty() && !rest.starts_with(b"\n") {
            return Err(altered("changes"));
        }
        if note.len() > before.len() {
            (before, added) = (note, rest);
        }
    }
    if before.is_empty() && after.trim_ascii().is_empty() {
        return Err(Refusal::new(Reason::Malformed, format!("the note on {on} holds no vote")));
    }
    if inbox.says_again(before, added) {
        let message = format!("what is added to the note on {on} stands there already");
        return Err(Refusal::new(Reason::AlreadyVoted, message).hint("git two-key sync adds what is missing"));
    }
    for entry in inbox.open(added) {
        judge_entry(state, principal, &entry)
            .map_err(|refusal| Refusal { message: format!("the note on {on}: {}", refusal.message), ..refusal })?;
    }
    Ok(())
}

fn judge_entry(state: &State, principal: &PrincipalId, entry: &NoteEntry) -> Result<(), Refusal> {
    let cosignature = entry.opened.as_ref().map_err(Clone::clone)?;
    let (owner, _) = rules::owner(state, cosignature.key().raw())?;
    if owner != *principal {
        let message = format!("the key {} is {owner}'s, not {principal}'s", cosignature.key().fingerprint());
        return Err(Refusal::new(Reason::WrongPrincipal, message)
            .hint(format!("push it to refs/notes/two-key/{owner} instead")));
    }
    let repository = &state.policy().get().repository;
    if cosignature.statement().repository != *repository {
        let message = format!("the statement is for repository {}", cosignature.statement().repository);
        return Err(Refusal::new(Reason::WrongRepository, message));
    }
    Ok(())
}
