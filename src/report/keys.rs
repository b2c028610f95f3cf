//! Key list.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    ledger::{EventKind, GovernanceChange, State, StepReport},
    model::{
        PrincipalId, PublicKey, RawKey, Wrapping,
        policy::{Day, Policy},
    },
    signature::Carrier,
};

use super::{Unpushed, words::table};

/// A key of a policy, and what has become of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KeyView {
    /// Whose it is.
    pub principal: String,
    /// That principal's role: `human`, `agent` or `applier`.
    pub role: String,
    /// The fingerprint, as ssh-keygen or minisign prints it.
    pub fingerprint: String,
    /// `ssh-ed25519`, `ecdsa-sha2-nistp256`, either as `sk-…@openssh.com`, or `minisign`.
    pub kind: String,
    /// Whether a FIDO authenticator holds the secret, as far as the key's type says.
    pub hardware: bool,
    /// Whether it counts: listed by the policy in force, and never revoked.
    pub in_force: bool,
    /// The commit that revoked it.
    pub revoked_by: Option<String>,
    /// Whether that commit is here and not on the upstream.
    pub unpushed: bool,
    /// The last day on which it counts for what goes forward, where it has one.
    pub until: Option<String>,
    /// The public key as policies write it.
    pub key: String,
}

/// How long before a key's last day is over it is spoken of: from 30 days before that day.
const AHEAD: SignedDuration = SignedDuration::from_hours(31 * 24);

/// A line for each key in force whose last day is near or over; of one principal, or of all.
pub fn ending_keys(state: &State, of: Option<&PrincipalId>, now: Timestamp) -> Vec<String> {
    let policy = state.policy().get();
    let soon = now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
    let keys = policy.keys().filter(|(id, _, key)| of.is_none_or(|of| of == *id) && state.key_in_force(key.raw()));
    let ending = keys.filter_map(|(id, _, key)| Some((id, key, policy.last_day(key.raw())?)));
    let line = |(id, key, day): (&PrincipalId, &PublicKey, Day)| {
        let fingerprint = key.fingerprint();
        if day.end() <= now {
            format!(
                "{id}'s key {fingerprint} had its last day on {day}: it stops, and counts for nothing that goes forward"
            )
        } else {
            format!("{id}'s key {fingerprint} has its last day on {day}")
        }
    };
    ending.filter(|(.., day)| day.end() <= soon).map(line).collect()
}

/// Every key of the policy in force, by principal, and whose revocation is only here.
pub fn keys(state: &State, unpushed: &[Unpushed]) -> Vec<KeyView> {
    keys_of(state.policy().get(), state, unpushed)
}

/// Every key of a policy, which may be an earlier one, and what has become of it.
pub fn keys_of(policy: &Policy, state: &State, unpushed: &[Unpushed]) -> Vec<KeyView> {
    let view = |(id, principal, key): (&crate::model::PrincipalId, &crate::model::policy::Principal, _)| {
        let key: &crate::model::PublicKey = key;
        let revoked_by = state.revoked().get(&key.raw()).map(ToString::to_string);
        KeyView {
            principal: id.to_string(),
            role: principal.role.word().to_owned(),
            fingerprint: key.fingerprint().to_string(),
            kind: key.ssh_type().unwrap_or("minisign").to_owned(),
            hardware: key.is_hardware(),
            in_force: state.key_in_force(key.raw()),
            unpushed: revoked_by.is_some() && unpushed.iter().any(|one| one.commit == revoked_by),
            revoked_by,
            until: state.policy().get().last_day(key.raw()).map(|day| day.to_string()),
            key: key.line(),
        }
    };
    policy.keys().map(view).collect()
}

/// The same as a table.
pub fn keys_text(keys: &[KeyView]) -> String {
    let row = |key: &KeyView| {
        let standing = match (&key.revoked_by, &key.until) {
            (Some(commit), _) => {
                let only_here = if key.unpushed { ", NOT PUSHED" } else { "" };
                format!("revoked by {}{only_here}", commit.chars().take(12).collect::<String>())
            }
            (None, _) if !key.in_force => "no longer listed".to_owned(),
            (None, Some(until)) => format!("in force until {until}"),
            (None, None) => "in force".to_owned(),
        };
        vec![key.principal.clone(), key.role.clone(), key.fingerprint.clone(), key.kind.clone(), standing]
    };
    table(&["PRINCIPAL", "ROLE", "FINGERPRINT", "TYPE", "STANDING"], &keys.iter().map(row).collect::<Vec<_>>())
}

/// What has become of a key that counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyStanding {
    /// The policy in force lists it, and it was never revoked.
    InForce,
    /// It is revoked, permanently.
    Revoked,
    /// The policy in force does not list it.
    NotListed,
}

impl KeyStanding {
    pub(super) fn of(state: &State, key: RawKey) -> Self {
        match state.policy().get().owner(key) {
            _ if state.is_revoked(key) => Self::Revoked,
            Some(_) => Self::InForce,
            None => Self::NotListed,
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::InForce => "in-force",
            Self::Revoked => "revoked",
            Self::NotListed => "not-listed",
        }
    }
}

/// A principal's key while it was in force; times are in seconds since 1970, as commits claim them.
struct Reign {
    principal: PrincipalId,
    key: PublicKey,
    /// From when on; none for keys of the root's policy.
    from: Option<i64>,
    /// Until when; none while it lasts.
    until: Option<i64>,
    /// The place of the step that ended it, among all steps; none while it lasts.
    ended: Option<usize>,
    /// The earliest and the latest time that a commit claims which it signed and which counted.
    signed: Option<(i64, i64)>,
}

impl Reign {
    fn end(&mut self, at: i64, place: usize) {
        (self.until, self.ended) = (Some(at), Some(place));
    }

    /// The bounds, widened by what counted: clocks differ, and no decision of the ledger's depends on them.
    fn bounds(&self) -> (Option<i64>, Option<i64>) {
        let (first, last) = self.signed.unzip();
        let from = self.from.map(|from| first.map_or(from, |first| from.min(first)));
        let least = from.map_or(i64::MIN, |from| from.saturating_add(1));
        (from, self.until.map(|until| last.map_or(until, |last| until.max(last)).max(least)))
    }

    /// Its line in an `allowed_signers` file.
    fn line(&self) -> String {
        let (from, until) = self.bounds();
        let option = |name: &str, at: Option<i64>| {
            let at = at.and_then(|at| Timestamp::from_second(at).ok())?;
            Some(format!(",{name}=\"{}\"", at.strftime("%Y%m%d%H%M%SZ")))
        };
        let validity = [option("valid-after", from), option("valid-before", until)].into_iter().flatten();
        let validity: String = validity.collect();
        format!("{} namespaces=\"git,two-key\"{validity} {}\n", self.principal, self.key.line())
    }
}

/// Every key that ever was in force, for as long as it was, in the order in which they came.
fn reigns(state: &State, reports: &[StepReport]) -> Vec<Reign> {
    let changes = reports.iter().flat_map(|report| &report.events).filter_map(|event| match event.change.as_deref() {
        Some(GovernanceChange::Policy { from, .. }) if event.event == EventKind::PolicyChanged => Some(from.get()),
        _ => None,
    });
    let first = changes.clone().next().unwrap_or(state.policy().get());
    let reign = |principal: &PrincipalId, key: &PublicKey, from| Reign {
        principal: principal.clone(),
        key: key.clone(),
        from,
        until: None,
        ended: None,
        signed: None,
    };
    let mut reigns: Vec<_> = first.keys().map(|(id, _, key)| reign(id, key, None)).collect();
    let mut revoked: Vec<RawKey> = Vec::new();
    for (place, report) in reports.iter().enumerate() {
        let at = report.claimed_time;
        for vote in report.events.iter().flat_map(|event| &event.votes).filter(|vote| vote.carrier == Carrier::Commit) {
            let signer = |reign: &&mut Reign| reign.until.is_none() && reign.key.fingerprint() == vote.key;
            if let (Some(reign), Some(claimed)) = (reigns.iter_mut().find(signer), vote.claimed_time) {
                let (first, last) = reign.signed.unwrap_or((claimed, claimed));
                reign.signed = Some((first.min(claimed), last.max(claimed)));
            }
        }
        revoked.extend(state.revoked().iter().filter(|(_, by)| **by == report.commit).map(|(key, _)| *key));
        let is_revoked = |key: &PublicKey| revoked.iter().any(|revoked| revoked.is_up_to_sign(&key.raw()));
        let next = report.events.iter().find_map(|event| match event.change.as_deref() {
            Some(GovernanceChange::Policy { to, .. }) if event.event == EventKind::PolicyChanged => Some(to.get()),
            _ => None,
        });
        let listed = |principal: &PrincipalId, key: &PublicKey| {
            next.is_none_or(|next| next.keys().any(|(id, _, listed)| id == principal && listed == key))
        };
        for reign in reigns.iter_mut().filter(|reign| reign.until.is_none()) {
            if is_revoked(&reign.key) || !listed(&reign.principal, &reign.key) {
                reign.end(at, place);
            }
        }
        for (id, _, key) in next.iter().flat_map(|next| next.keys()) {
            let reigns_now = |reign: &Reign| reign.until.is_none() && reign.principal == *id && reign.key == *key;
            if !is_revoked(key) && !reigns.iter().any(reigns_now) {
                reigns.push(reign(id, key, Some(at)));
            }
        }
    }
    reigns
}

/// A key that was in force once, and is no more.
#[derive(Debug, Clone)]
pub struct FormerKey {
    /// Whose it was.
    pub principal: PrincipalId,
    /// The key.
    pub key: PublicKey,
    /// The place of the step that ended it, among all steps.
    pub ended: usize,
    /// Why it is not in force now: `revoked` or `not-listed`.
    pub standing: &'static str,
}

/// The keys that were in force once, and are no more.
pub fn former_keys(state: &State, reports: &[StepReport]) -> Vec<FormerKey> {
    let of = |reign: Reign| {
        let standing = if state.is_revoked(reign.key.raw()) { KeyStanding::Revoked } else { KeyStanding::NotListed };
        Some(FormerKey { principal: reign.principal, ended: reign.ended?, standing: standing.word(), key: reign.key })
    };
    reigns(state, reports).into_iter().filter_map(of).collect()
}

/// Git's `allowed_signers` file: every SSH key that ever was in force, for as long as it was, for Git's own signatures and
/// for ours. Those of the root's policy have no beginning.
pub fn allowed_signers(state: &State, reports: &[StepReport]) -> String {
    let reigns = reigns(state, reports);
    let ssh = reigns.iter().filter(|reign| !matches!(reign.key.wrapping(), Wrapping::Minisign { .. }));
    ssh.map(|reign| (&reign.principal, reign.line()))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|(_, line)| line)
        .collect()
}
