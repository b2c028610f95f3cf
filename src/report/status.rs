//! The status: what each target serves, what is wanted of it, what it waits for, and for whom.

use std::{collections::BTreeSet, fmt::Write as _};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    ledger::{self, AtTarget, Group, LeaseState, State},
    model::{LeaseId, Oid, Percent, TargetId},
};

use super::{
    Awaits, Beside, LeaseObservation, LeaseSummary, PolicyView, ProposedPolicy, SeenTarget,
    awaits::awaits_thaw,
    lease_text::awaits_text,
    list::{findings_line, frozen_words, summary},
    live::length,
    policy::{policy_line, proposed_policy},
    style::{Mark, Style},
    unpushed::{Unpushed, unpushed_words},
    words::{escaped, time},
};

/// Leases beside the one that runs at a target that are said; more are counted.
pub(super) const OTHERS: usize = 5;

/// What is so now, target by target.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StatusView {
    /// The governed branch.
    pub branch: String,
    /// Its tip.
    pub tip: String,
    /// The policy in force.
    pub policy: PolicyView,
    /// The policy that is proposed, and not in force.
    pub policy_proposed: Option<ProposedPolicy>,
    /// The commit of the freeze in force.
    pub frozen: Option<String>,
    /// What the end of the freeze awaits; null where nothing is frozen.
    pub thaw_awaits: Option<Awaits>,
    /// The targets, by name.
    pub targets: Vec<TargetStatus>,
    /// Stops that wait to be folded and are of no target here: freezes above all.
    pub stops: Vec<WaitingStop>,
    /// What was signed here about no target, and is not on the upstream.
    pub unpushed: Vec<Unpushed>,
    /// How many findings there are: what did not count.
    pub findings: usize,
    /// What should be known before any of this is relied on.
    pub remarks: Vec<String>,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TargetStatus {
    /// Its name.
    pub target: String,
    /// What its applier saw last; null where nothing was recorded.
    pub served: Option<ServedView>,
    /// What the ledger wants; null where nothing was ever started.
    pub wanted: Option<WantedWeight>,
    /// Why what is served is not what is wanted; null where it is.
    pub why: Option<String>,
    /// The lease that runs there, or ran there last.
    pub lease: Option<LeaseSummary>,
    /// Since when it is in its state, as claimed, RFC 3339.
    pub since: Option<String>,
    /// Stops of its leases that wait to be folded.
    pub stops: Vec<WaitingStop>,
    /// What was signed here about its leases, and is not on the upstream.
    pub unpushed: Vec<Unpushed>,
    /// The other leases that have not ended, oldest first.
    pub others: Vec<LeaseSummary>,
}

/// What an applier saw at a target.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ServedView {
    /// The weight of the lease there, in percent; null where it could not be seen.
    pub weight: Option<Percent>,
    /// The lease that has it.
    pub lease: Option<String>,
    /// The applier.
    pub applier: String,
    /// What it was doing.
    pub doing: Option<String>,
    /// When it saw that, RFC 3339.
    pub seen: Option<String>,
    /// The same as seconds before now.
    pub seconds_ago: Option<i64>,
}

/// What the ledger wants of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WantedWeight {
    /// The weight in percent.
    pub weight: u8,
    /// The lease that should have it; after a rollback the one that the target falls back to.
    pub lease: String,
    /// The number of that lease's last transition.
    pub step: u32,
}

/// A stop that the ledger has not folded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WaitingStop {
    /// What it does.
    pub action: String,
    /// The lease; null for a freeze.
    pub lease: Option<String>,
    /// Whose key.
    pub principal: String,
    /// Why, in the signer's words.
    pub remark: Option<String>,
    /// Its commit.
    pub commit: String,
    /// Where it is: `here`, or a remote's name.
    pub places: Vec<String>,
}

/// What is known only here, or waits beside the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Stops that the ledger has not folded.
    pub stops: Vec<WaitingStop>,
    /// What was signed here and is not on the upstream.
    pub unpushed: Vec<Unpushed>,
    /// How many findings there are: what did not count.
    pub findings: usize,
}

/// Every target that the policy names or that some lease is or was for.
pub fn status_targets(state: &State) -> BTreeSet<TargetId> {
    // Each target that has leases has one of these.
    let known = state.group(&Group::Open).into_iter().chain(state.group(&Group::Last)).collect::<Vec<_>>();
    let leases = known.iter().filter_map(|id| state.document(id)).map(|lease| lease.target.clone());
    state.policy().get().targets.keys().cloned().chain(leases).collect()
}

/// What is so now of some targets.
pub fn status_view(
    state: &State,
    claimed: &dyn Fn(Oid) -> Option<i64>,
    beside: &Beside,
    waiting: &Waiting,
    targets: &BTreeSet<TargetId>,
    remarks: &[String],
) -> StatusView {
    let is_ours =
        |lease: &Option<String>| target_of(state, lease.as_deref()).is_some_and(|target| targets.contains(target));
    let places = ledger::at_targets(state, targets);
    let shown = places.iter().map(|at| target_status(state, beside, waiting, claimed, at)).collect();
    StatusView {
        branch: state.policy().get().branch_ref(),
        tip: state.tip().to_string(),
        policy: PolicyView::of(state),
        policy_proposed: proposed_policy(state, beside.now),
        frozen: state.frozen().map(|commit| commit.to_string()),
        thaw_awaits: awaits_thaw(state, beside.now),
        targets: shown,
        stops: waiting.stops.iter().filter(|stop| !is_ours(&stop.lease)).cloned().collect(),
        unpushed: waiting.unpushed.iter().filter(|one| !is_ours(&one.lease)).cloned().collect(),
        findings: waiting.findings,
        remarks: remarks.to_vec(),
    }
}

/// The target of a lease that something is about.
fn target_of<'a>(state: &'a State, lease: Option<&str>) -> Option<&'a TargetId> {
    let id = lease.and_then(LeaseId::parse)?;
    state.document(&id).map(|lease| &lease.target)
}

fn target_status(
    state: &State,
    beside: &Beside,
    waiting: &Waiting,
    claimed: &dyn Fn(Oid) -> Option<i64>,
    at: &AtTarget,
) -> TargetStatus {
    let newest = at.newest.as_ref().and_then(|id| state.lease(id));
    let moved = state.moved_for(&at.target);
    let wanted = state.stands_on(&at.target).or(moved);
    let seen = beside.seen.get(&at.target);
    let is_ours = |lease: &Option<String>| target_of(state, lease.as_deref()) == Some(&at.target);
    TargetStatus {
        target: at.target.to_string(),
        served: seen.map(|seen| served(seen, beside.now)),
        wanted: wanted.map(|lease| WantedWeight {
            weight: lease.weight(),
            lease: lease.id.to_string(),
            step: lease.next_step() - 1,
        }),
        why: moved.zip(wanted).and_then(|(moved, wanted)| why_differs(state, moved, wanted, seen, beside)),
        lease: newest.map(|lease| summary(state, 0, beside, &lease.id)),
        since: newest.and_then(|lease| since(lease, claimed)).and_then(time),
        stops: waiting.stops.iter().filter(|stop| is_ours(&stop.lease)).cloned().collect(),
        unpushed: waiting.unpushed.iter().filter(|one| is_ours(&one.lease)).cloned().collect(),
        others: at.open.iter().map(|id| summary(state, 0, beside, id)).collect(),
    }
}

fn served(seen: &SeenTarget, now: Option<Timestamp>) -> ServedView {
    let LeaseObservation { applier, weight, doing, seen: at, .. } = &seen.observed;
    ServedView {
        weight: weight.map(Percent::of),
        lease: seen.there.as_ref().map(ToString::to_string),
        applier: applier.to_string(),
        doing: doing.clone(),
        seen: at.and_then(time),
        seconds_ago: now.zip(*at).map(|(now, at)| now.as_second() - at),
    }
}

/// When a lease came to its state, as its last transition's votes claim, else as the commit does.
fn since(lease: &LeaseState, claimed: &dyn Fn(Oid) -> Option<i64>) -> Option<i64> {
    let last = lease.transitions.last()?;
    let voted = last.votes.iter().filter_map(|vote| vote.claimed_time).max();
    voted.or_else(|| claimed(last.commit))
}

/// Why what is served is not what the ledger wants, or why nobody can tell: by the lease that the target is moved for, and
/// the one that should have the weight.
fn why_differs(
    state: &State,
    lease: &LeaseState,
    wanted: &LeaseState,
    seen: Option<&SeenTarget>,
    beside: &Beside,
) -> Option<String> {
    let target = &lease.lease()?.target;
    let Some(seen) = seen else {
        let applier = state.policy().get().targets.get(target).and_then(|known| known.applier.as_ref());
        let now = match applier {
            Some(applier) => format!("no record of {applier} is here"),
            None => "no applier moves it".to_owned(),
        };
        let before = beside.observed.get(&lease.id).and_then(|then| Some((&then.applier, then.weight?, then.seen?)));
        let before = before.map(|(applier, weight, seen)| {
            let (weight, seen) = (Percent::of(weight), time(seen).unwrap_or_default());
            format!("; {applier}, its applier before, saw {weight} % at {seen}")
        });
        return Some(now + &before.unwrap_or_default());
    };
    let LeaseObservation { applier, weight, doing, step, reason, message, .. } = &seen.observed;
    let words: Vec<_> = [reason, message].into_iter().flatten().map(String::as_str).collect();
    let words = if words.is_empty() { String::new() } else { format!(": {}", words.join(": ")) };
    let last = lease.next_step() - 1;
    let is_late = seen.lease != lease.id || step.is_none_or(|step| step < last);
    let is_there = seen.there.as_ref() == Some(&wanted.id);
    let weight_wanted = u32::from(wanted.weight()) * 100;
    match weight {
        _ if is_late => Some(format!("{applier} has not recorded step {last} of {}{words}", lease.id)),
        None => Some(format!("{applier} cannot see the weight{words}")),
        // What another lease has is none of this one's weight.
        Some(weight) if weight_wanted == if is_there { *weight } else { 0 } => None,
        Some(_) if is_there && wanted.id != lease.id => {
            Some(format!("{applier} restored what was there when {} started{words}", lease.id))
        }
        Some(_) => Some(format!("{applier} is {}{words}", doing.as_deref().unwrap_or("there"))),
    }
}

/// A line a target, then what concerns them all.
pub fn status_text(view: &StatusView, now: Timestamp, style: Style) -> String {
    let width = view.targets.iter().map(|one| one.target.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    if view.frozen.is_some() {
        text.push_str(&style.paint(Mark::Held, &format!("frozen: {}", frozen_words(view.thaw_awaits.as_ref()))));
        text.push('\n');
    }
    for target in &view.targets {
        let name = format!("{:width$}", target.target);
        let _ = writeln!(text, "{}  {}", style.strong(&name), words(target, now, style).join(style.dot()));
    }
    if view.targets.is_empty() {
        text.push_str("no targets: neither the policy nor a lease names one\n");
    }
    let (stops, unpushed) = (view.stops.iter().map(stop_words), view.unpushed.iter().map(unpushed_words));
    for line in stops.map(|words| style.paint(Mark::Bad, &words)).chain(unpushed) {
        text.push_str(&(line + "\n"));
    }
    if let Some(proposed) = &view.policy_proposed {
        text.push_str(&(policy_line(proposed) + "\n"));
    }
    text.push_str(&findings_line(view.findings));
    text
}

/// What there is to say of a target, the most pressing of what goes on first.
fn words(target: &TargetStatus, now: Timestamp, style: Style) -> Vec<String> {
    let mut words: Vec<_> = target.stops.iter().map(|stop| style.paint(Mark::Bad, &stop_words(stop))).collect();
    words.extend(target.unpushed.iter().map(|one| style.paint(Mark::Bad, &unpushed_words(one))));
    words.push(served_words(target, style));
    if let Some(lease) = &target.lease {
        let at = target.since.as_deref().and_then(|since| since.parse::<Timestamp>().ok());
        let long = at.map(|at| now.as_second() - at.as_second()).filter(|long| *long >= 0);
        let since = long.map(|long| format!(" for {}", length(long))).unwrap_or_default();
        words.push(format!("{} {}{since}", lease.lease, lease.state));
        words.extend(awaited(lease).map(|whom| format!("waiting for {whom}")));
    }
    words.extend(target.others.iter().take(OTHERS).map(|other| {
        let awaited = awaited(other).map(|whom| format!(", waiting for {whom}")).unwrap_or_default();
        format!("also {} {}{awaited}", other.lease, other.state)
    }));
    let more = target.others.len().saturating_sub(OTHERS);
    words.extend((more > 0).then(|| format!("and {more} more")));
    words
}

/// What is served, what is wanted where that is another, and why.
fn served_words(target: &TargetStatus, style: Style) -> String {
    let Some(wanted) = &target.wanted else {
        return "nothing has been rolled out yet".to_owned();
    };
    // Whatever is not of the lease that the line is about has its lease's name.
    let shown = target.lease.as_ref().map(|lease| &lease.lease);
    let of = |lease: Option<&String>| {
        lease.filter(|lease| Some(*lease) != shown).map(|lease| format!(" of {lease}")).unwrap_or_default()
    };
    let seen = target.served.as_ref().map(|served| {
        let weight = served.weight.map_or("an unknown weight".to_owned(), |weight| format!("{weight} %"));
        let ago = served.seconds_ago.map(|ago| format!(" {} ago", length(ago.max(0)))).unwrap_or_default();
        let of = of(served.lease.as_ref());
        let doing = served.doing.as_ref().map(|doing| format!(", {}", escaped(doing))).unwrap_or_default();
        format!("serves {weight}{of} (seen by {}{ago}{doing})", served.applier)
    });
    let wants = format!("wants {} %{}", wanted.weight, of(Some(&wanted.lease)));
    match (seen, &target.why) {
        (Some(seen), None) => seen,
        (Some(seen), Some(why)) => style.paint(Mark::Held, &format!("{seen}, {wants}: {}", escaped(why))),
        (None, why) => {
            let why = why.as_ref().map(|why| format!(": {}", escaped(why))).unwrap_or_default();
            style.paint(Mark::Held, &format!("unknown what it serves, {wants}{why}"))
        }
    }
}

/// What a lease waits for, and who can do it.
pub(super) fn awaited(lease: &LeaseSummary) -> Option<String> {
    let text = awaits_text(lease.awaits.as_ref(), lease.expired, &lease.state)?;
    let who = lease.awaits.as_ref().map(|awaits| awaits.who.join(", ")).filter(|who| !who.is_empty());
    Some(who.map_or_else(|| text.clone(), |who| format!("{text} ({who})")))
}

fn stop_words(stop: &WaitingStop) -> String {
    let lease = stop.lease.as_ref().map(|lease| format!(" of {lease}")).unwrap_or_default();
    let remark = stop.remark.as_ref().map(|remark| format!(" \"{}\"", escaped(remark))).unwrap_or_default();
    let place = if stop.places.iter().all(|place| place == "here") {
        "only here: deliver it with git two-key sync".to_owned()
    } else {
        format!("on {}", stop.places.join(", "))
    };
    format!("STOP WAITS: {}{lease} by {}{remark}, {place}", stop.action, stop.principal)
}
