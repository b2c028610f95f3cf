//! Amendment of a policy: keys come and go, everything else stays byte for byte.

use std::{collections::BTreeMap, ops::Range};

use super::{Policy, Principal, Role, Rules, read, write};
use crate::model::{Digest, PrincipalId, PublicKey, Reason, document::DocumentError};

/// A change of who has keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amendment {
    /// Gives a principal one more key; makes the principal if there is none of that name.
    AddKey {
        /// Whose it is.
        name: PrincipalId,
        /// The principal's role, which must be the one that it has.
        role: Role,
        /// The key.
        key: PublicKey,
    },
    /// Takes a key from a principal, and the principal away with its last key.
    RemoveKey {
        /// Whose it is.
        name: PrincipalId,
        /// The key, in any wrapping.
        key: PublicKey,
    },
    /// Takes a principal away.
    RemovePrincipal {
        /// Which.
        name: PrincipalId,
    },
}

/// The text of the policy that follows the one in `text`, changed. The lines `version:` and `previous:` and the block
/// `principals:` are new; where they cannot be found as such, the whole file is.
pub fn amend(text: &str, change: &Amendment) -> Result<String, DocumentError> {
    let current = read(text.as_bytes())?;
    let mut next = current.get().clone();
    change_keys(&mut next, change)?;
    next.previous = Some(current.digest());
    next.version = next.version.checked_add(1).ok_or_else(|| cannot("there is no version after this one"))?;
    let edited = surgery(text, &next);
    let whole = || write(&next);
    let proposal = edited.filter(|edited| means(edited, &next)).unwrap_or_else(whole);
    // The floors hold for the result, whichever way it was made.
    read(proposal.as_bytes())?;
    Ok(proposal)
}

fn cannot(message: impl Into<String>) -> DocumentError {
    DocumentError::one(Reason::Malformed, 0, 0, message)
}

fn change_keys(policy: &mut Policy, change: &Amendment) -> Result<(), DocumentError> {
    match change {
        Amendment::AddKey { name, role, key } => {
            if let Some((owner, _)) = policy.owner(key.raw()) {
                let message = format!(
                    "this key is already {owner}'s; whatever its wrapping, a key stands once, so give each principal one of its own"
                );
                return Err(DocumentError::one(Reason::SameKey, 0, 0, message));
            }
            let fresh = || Principal { role: *role, keys: Vec::new(), until: None, last_days: BTreeMap::new() };
            let principal = policy.principals.entry(name.clone()).or_insert_with(fresh);
            if principal.role != *role {
                let (has, asked) = (principal.role.word(), role.word());
                return Err(cannot(format!("{name} has the role {has}, not {asked}; a principal has one role")));
            }
            principal.keys.push(key.clone());
        }
        Amendment::RemoveKey { name, key } => {
            let Some(principal) = policy.principals.get_mut(name) else {
                return Err(cannot(format!(
                    "there is no principal {name}; git two-key key list says whose keys there are"
                )));
            };
            let before = principal.keys.len();
            principal.keys.retain(|own| own.raw() != key.raw());
            principal.last_days.remove(&key.raw());
            if principal.keys.len() == before {
                return Err(cannot(format!("{name} has no such key")));
            }
            if principal.keys.is_empty() {
                remove(policy, name)?;
            }
        }
        Amendment::RemovePrincipal { name } => {
            if !policy.principals.contains_key(name) {
                return Err(cannot(format!(
                    "there is no principal {name}; git two-key key list says whose keys there are"
                )));
            }
            remove(policy, name)?;
        }
    }
    Ok(())
}

/// Takes a principal out of the list, unless a rule or a target names it.
fn remove(policy: &mut Policy, name: &PrincipalId) -> Result<(), DocumentError> {
    let Rules { cosign, promote, policy: change } = &policy.rules;
    let own = policy.targets.iter().flat_map(|(target, known)| {
        let rules = [("cosign", known.rules.cosign.as_ref()), ("promote", known.rules.promote.as_ref())];
        rules.into_iter().filter_map(move |(name, rule)| Some((format!("{name} rule of {target}"), rule?)))
    });
    let all = [("cosign rule", cosign), ("promote rule", promote), ("policy rule", change)];
    for (rule_name, rule) in all.map(|(name, rule)| (name.to_owned(), rule)).into_iter().chain(own) {
        for (list, names) in [("agents", &rule.agents), ("humans", &rule.humans)] {
            if names.as_ref().is_some_and(|names| names.contains(name)) {
                return Err(cannot(format!("the {rule_name} names {name}; take the name out of `{list}` first")));
            }
        }
    }
    if let Some((group, _)) = policy.groups.iter().find(|(_, members)| members.contains(name)) {
        return Err(cannot(format!("{name} is in the group {group}; take the name out of it first")));
    }
    if let Some((target, _)) = policy.targets.iter().find(|(_, target)| target.applier.as_ref() == Some(name)) {
        return Err(cannot(format!("{name} is the applier of {target}; give the target another one first")));
    }
    policy.principals.remove(name);
    Ok(())
}

/// Whether a text reads as exactly a policy.
fn means(text: &str, policy: &Policy) -> bool {
    read(text.as_bytes()).is_ok_and(|read| read.get() == policy)
}

/// The text with three of its top-level entries replaced, if each begins a line of its own.
fn surgery(text: &str, next: &Policy) -> Option<String> {
    let previous = next.previous.as_ref().map_or_else(|| "null".to_owned(), Digest::to_string);
    let version = entry(text, "version")?;
    let edited = replace(text, version.clone(), &line(text.get(version)?, &next.version.to_string())?);
    let at = entry(&edited, "previous")?;
    let edited = replace(&edited, at.clone(), &line(edited.get(at)?, &previous)?);
    let at = entry(&edited, "principals")?;
    Some(replace(&edited, at, &write::principals_block(next)))
}

fn replace(text: &str, range: Range<usize>, new: &str) -> String {
    let mut text = text.to_owned();
    text.replace_range(range, new);
    text
}

/// `key: old  # comment` with another value; the comment stays.
fn line(old: &str, value: &str) -> Option<String> {
    let (key, rest) = old.trim_end().split_once(':')?;
    let before = rest.split_once(" #").map_or(rest, |(before, _)| before);
    let comment = rest.get(before.trim_end().len()..)?;
    Some(format!("{key}: {value}{comment}\n"))
}

/// Where a top-level entry stands: its line and those that belong to it, without the comments and blank lines that
/// follow, which belong to what comes next.
fn entry(text: &str, key: &str) -> Option<Range<usize>> {
    let head = format!("{key}:");
    let (mut start, mut end, mut at) = (None, 0, 0);
    for line in text.split_inclusive('\n') {
        let next = at + line.len();
        let deeper = line.starts_with([' ', '-', '}', ']']);
        if start.is_some() && !deeper && !line.trim().is_empty() && !line.starts_with('#') {
            break;
        }
        if start.is_none() && line.starts_with(&head) {
            start = Some(at);
            end = next;
        } else if start.is_some() && deeper && !line.trim().is_empty() {
            end = next;
        }
        at = next;
    }
    Some(start?..end)
}
