//! The page: everything that `list`, `show` and `log` say, in one HTML file that needs nothing else.
//!
//! No script, no network, no font, no image: a strict Content-Security-Policy lets nothing in but the one style sheet, by
//! its hash. The template escapes every text. Leases that are open, and the newest of the others, get a section of their own
//! until the page is as large as it may be; all of them have a line in the overview.

mod chart;
mod gates;

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{
    Beside, FindingView, Found, KeyView, LeaseSummary, LeaseView, ListView, TargetStatus, TrailEntry, Waiting,
    ending_keys, findings, keys,
    lease_text::has_ended,
    lease_view,
    list::{findings_by_lease, is_open},
    list_view,
    policy::policy_line,
    status::{OTHERS, awaited},
    status_targets, status_view, trail,
    words::{escaped, time},
};
use crate::{
    gate::Evidence,
    ledger::{State, StepReport, leases_on},
    model::{Digest, LeaseId, Oid, refs},
};

use chart::{ChartPoint, staircase};
use gates::{GateChart, charts};

/// The style sheet.
const STYLE: &str = include_str!("page.css");
/// How large sections may make the page, in bytes. With the lines of 1,000 leases it stays below 500 KB.
const SECTIONS: usize = 240_000;
/// Findings that are listed; more are counted.
const FINDINGS: usize = 100;

/// What a page is made of.
#[derive(Debug, Clone, Copy)]
pub struct PageOf<'a> {
    /// What the ledger says.
    pub state: &'a State,
    /// What each step did.
    pub reports: &'a [StepReport],
    /// What is known beside, with all that appliers say happened.
    pub beside: &'a Beside,
    /// Evidence that belongs to leases, by its digest.
    pub evidence: &'a BTreeMap<LeaseId, Vec<(Digest, Evidence)>>,
    /// The pinned root.
    pub pinned: Option<Oid>,
    /// The governed branch.
    pub branch: &'a str,
    /// What should be known before any of this is relied on.
    pub remarks: &'a [String],
    /// When it is made.
    pub made: Timestamp,
    /// After how many seconds a browser reads it again.
    pub refresh: Option<u32>,
    /// The only leases that it is about.
    pub only: Option<&'a BTreeSet<LeaseId>>,
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    style: &'static str,
    style_hash: String,
    refresh: Option<u32>,
    made: String,
    view: &'a ListView,
    branch: &'a str,
    tip: String,
    steps: usize,
    open: usize,
    proposed: Option<String>,
    ending: Vec<String>,
    targets: Vec<TargetRow<'a>>,
    general: Vec<TrailEntry>,
    rows: Vec<LeaseRow<'a>>,
    sections: Vec<String>,
    left_out: usize,
    signers: Vec<KeyView>,
    findings: Vec<FindingView>,
    more_findings: usize,
}

/// A lease's line in the overview.
struct LeaseRow<'a> {
    lease: &'a LeaseSummary,
    /// Whether it has a section.
    linked: bool,
    mark: &'static str,
    observed: String,
    awaits: &'a str,
}

/// A target's line.
struct TargetRow<'a> {
    target: &'a str,
    serves: String,
    why: Option<&'a str>,
    wanted: String,
    lease: Option<&'a LeaseSummary>,
    linked: bool,
    since: &'a str,
    others: &'a [LeaseSummary],
    more: usize,
    awaits: String,
}

#[derive(Template)]
#[template(path = "section.html")]
struct LeaseSection<'a> {
    lease: &'a LeaseView,
    mark: &'static str,
    entries: &'a [TrailEntry],
    staircase: Option<String>,
    steps: Vec<String>,
    gates: Vec<GateChart>,
    signers: Vec<SignerRow<'a>>,
    rollback: Option<&'a TrailEntry>,
}

/// A key that was turned for a lease.
struct SignerRow<'a> {
    principal: &'a str,
    role: &'a str,
    what: String,
    key: &'a str,
    carrier: &'a str,
    time: Option<&'a str>,
    evidence: Option<&'a str>,
}

/// Makes the page.
pub fn page(of: &PageOf<'_>) -> Result<String, askama::Error> {
    let by_lease = findings_by_lease(of.reports);
    let found =
        Found { all: findings(of.reports).count(), of: &|lease| by_lease.get(lease).copied().unwrap_or_default() };
    let everything = of.state.known_leases();
    let view = list_view(of.state, &everything, &found, of.beside, of.pinned, of.branch, of.remarks);
    let listed = |lease: &&LeaseSummary| of.only.is_none_or(|only| only.iter().any(|id| lease.lease == id.as_str()));
    // The newest first; what is open before what has ended.
    let mut leases: Vec<_> = view.leases.iter().filter(listed).rev().collect();
    leases.sort_by_key(|lease| ended(lease));
    let mut sections = Vec::new();
    let mut size = 0;
    for lease in &leases {
        let Some(id) = LeaseId::parse(&lease.lease) else { break };
        let section = section(of, &id)?;
        size += section.len();
        if size > SECTIONS && of.only.is_none() {
            break;
        }
        sections.push(section);
    }
    let row = |(at, lease): (usize, &&'_ LeaseSummary)| {
        let lease = view.leases.iter().find(|known| known.lease == lease.lease)?;
        Some(LeaseRow {
            lease,
            linked: at < sections.len(),
            mark: mark(&lease.state),
            observed: observed(lease),
            awaits: lease.awaits.as_ref().map_or("–", |awaits| awaits.text.as_str()),
        })
    };
    let rows: Vec<_> = leases.iter().enumerate().filter_map(row).collect();
    let status = targets(of);
    let linked = |lease: &str| rows.iter().any(|row| row.linked && row.lease.lease == lease);
    let target = |one: &'_ TargetStatus| one.lease.as_ref().is_some_and(|lease| linked(&lease.lease));
    let links: Vec<_> = status.iter().map(target).collect();
    let everything = trail(of.state, of.reports, of.beside, None);
    let is_general = |entry: &TrailEntry| entry.lease.is_none() && entry.subject.is_none();
    let found: Vec<_> = findings(of.reports).map(FindingView::of).collect();
    let page = Page {
        style: STYLE,
        style_hash: STANDARD.encode(Sha256::digest(STYLE.as_bytes())),
        refresh: of.refresh,
        made: time(of.made.as_second()).unwrap_or_default(),
        branch: refs::short(of.branch),
        tip: of.state.tip().short(),
        steps: of.reports.len(),
        open: rows.iter().filter(|row| !ended(row.lease)).count(),
        left_out: rows.len() - sections.len(),
        proposed: view.policy_proposed.as_ref().filter(|_| of.only.is_none()).map(policy_line),
        ending: if of.only.is_none() { ending_keys(of.state, None, of.made) } else { Vec::new() },
        targets: status.iter().zip(links).map(|(one, linked)| target_row(one, linked)).collect(),
        general: everything.into_iter().filter(|entry| of.only.is_none() && is_general(entry)).collect(),
        rows,
        sections,
        signers: keys(of.state, &of.beside.unpushed),
        more_findings: found.len().saturating_sub(FINDINGS),
        findings: found.into_iter().take(FINDINGS).collect(),
        view: &view,
    };
    // Strangers' words are no markup there; nor do they turn around what a reader sees.
    Ok(page.render()?.split('\n').map(escaped).collect::<Vec<_>>().join("\n"))
}

/// What is so at the targets that the page is about.
fn targets(of: &PageOf<'_>) -> Vec<TargetStatus> {
    let mut names = status_targets(of.state);
    // A page about some leases says nothing of others.
    if let Some(only) = of.only {
        names.retain(|target| {
            let all = leases_on(of.state, target);
            !all.is_empty() && all.is_subset(only)
        });
    }
    let times: BTreeMap<_, _> = of.reports.iter().map(|report| (report.commit, report.claimed_time)).collect();
    let claimed = |commit| times.get(&commit).copied();
    status_view(of.state, &claimed, of.beside, &Waiting::default(), &names, &[]).targets
}

fn target_row(one: &TargetStatus, linked: bool) -> TargetRow<'_> {
    let served = one.served.as_ref().map(|served| {
        let weight = served.weight.map_or("an unknown weight".to_owned(), |weight| format!("{weight} %"));
        let of = served.lease.as_ref().map(|lease| format!(" of {lease}")).unwrap_or_default();
        let doing = served.doing.as_ref().map(|doing| format!(", {doing}")).unwrap_or_default();
        let seen = served.seen.as_deref().unwrap_or("at an unknown time");
        format!("{weight}{of}; {} saw it {seen}{doing}", served.applier)
    });
    let wanted = one.wanted.as_ref().map(|wanted| {
        let is_shown = one.lease.as_ref().is_none_or(|lease| lease.lease == wanted.lease);
        let of = if is_shown { String::new() } else { format!(" of {}", wanted.lease) };
        format!("{} %{of}", wanted.weight)
    });
    TargetRow {
        target: &one.target,
        serves: served.unwrap_or_else(|| "–".to_owned()),
        why: one.why.as_deref(),
        wanted: wanted.unwrap_or_else(|| "–".to_owned()),
        lease: one.lease.as_ref(),
        linked,
        since: one.since.as_deref().unwrap_or("–"),
        others: one.others.get(..OTHERS).unwrap_or(&one.others),
        more: one.others.len().saturating_sub(OTHERS),
        awaits: waits_for(one),
    }
}

/// What the leases of a target wait for: what runs there, then what is proposed.
fn waits_for(one: &TargetStatus) -> String {
    let of_other = |other: &LeaseSummary| Some(format!("{}: {}", other.lease, awaited(other)?));
    let first = one.lease.as_ref().and_then(awaited);
    let all: Vec<_> = first.into_iter().chain(one.others.iter().take(OTHERS).filter_map(of_other)).collect();
    if all.is_empty() { "–".to_owned() } else { all.join("; ") }
}

/// What is shown of a long id; the whole is the element's title.
fn short(id: &str) -> &str {
    let from = id.find(':').map_or(0, |colon| colon + 1);
    id.get(..from + 12).unwrap_or(id)
}

/// Whose keys an entry rests on.
fn by(entry: &TrailEntry) -> String {
    let votes: Vec<_> = entry.votes.iter().map(|vote| format!("{} ({})", vote.principal, vote.role)).collect();
    if votes.is_empty() { entry.principal.clone().unwrap_or_default() } else { votes.join(", ") }
}

/// The reasons that its signers gave.
fn remarks(entry: &TrailEntry) -> impl Iterator<Item = &String> {
    entry.votes.iter().filter_map(|vote| vote.remark.as_ref())
}

fn ended(lease: &LeaseSummary) -> bool {
    !is_open(lease)
}

/// What a state looks like beside its word.
fn mark(state: &str) -> &'static str {
    match state {
        "completed" | "authorized" => "✔",
        "rolling" => "◐",
        "paused" | "halted" => "‖",
        "rolled-back" | "withdrawn" => "✘",
        _ => "○",
    }
}

fn observed(lease: &LeaseSummary) -> String {
    let Some(seen) = &lease.observed else { return "–".to_owned() };
    let weight = seen.weight.map_or("unknown".to_owned(), |weight| format!("{weight} %"));
    let doing = seen.doing.as_ref().map(|doing| format!(" {doing}")).unwrap_or_default();
    weight + &doing
}

/// The section of one lease.
fn section(of: &PageOf<'_>, id: &LeaseId) -> Result<String, askama::Error> {
    let view = lease_view(of.state, of.reports, of.beside, id);
    let entries = trail(of.state, of.reports, of.beside, Some(&[id.clone()].into()));
    let (desired, seen) = weights(&entries);
    let steps: Vec<_> = words("desired", &desired).into_iter().chain(words("observed", &seen)).collect();
    // What goes on is shown up to now.
    let open = !has_ended(&view.state);
    let until = open.then(|| of.made.as_second());
    let chart = staircase(&desired, &seen, until, &format!("Weights: {}", steps.join("; ")));
    let evidence = of.evidence.get(id).map(Vec::as_slice).unwrap_or_default();
    let ends = |entry: &&TrailEntry| {
        matches!(entry.event.as_str(), "ROLLBACK_VERIFIED" | "ROLLBACK_RESTORED" | "ROLLBACK_FAILED")
    };
    let section = LeaseSection {
        mark: mark(&view.state),
        staircase: chart,
        steps,
        gates: evidence.iter().flat_map(|(digest, evidence)| charts(*digest, evidence)).collect(),
        signers: signers(&view),
        rollback: entries.iter().rev().find(ends),
        entries: &entries,
        lease: &view,
    };
    section.render()
}

/// The weights that were wanted, at the times that commits claim, and that were seen, at the times when they were.
fn weights(entries: &[TrailEntry]) -> (Vec<ChartPoint>, Vec<ChartPoint>) {
    let (mut desired, mut seen) = (Vec::new(), Vec::new());
    for entry in entries {
        let Some(at) = entry.time.as_deref().and_then(|time| time.parse::<Timestamp>().ok()) else { continue };
        let at = at.as_second();
        if let Some(weight) = entry.weight {
            // What was there when the pack was taken is not this lease's weight.
            if entry.event != "PACKED" {
                seen.push(ChartPoint { at, value: weight.number() });
            }
            continue;
        }
        let value = match entry.event.as_str() {
            "STARTED" | "CANARY_PROMOTED" => entry.tier.map(f64::from),
            "COMPLETED" => Some(100.0),
            "HALTED" | "ROLLED_BACK" => Some(0.0),
            _ => None,
        };
        desired.extend(value.map(|value| ChartPoint { at, value }));
    }
    desired.sort_by_key(|point| point.at);
    seen.sort_by_key(|point| point.at);
    (desired, seen)
}

/// The same in words.
fn words(what: &str, points: &[ChartPoint]) -> Vec<String> {
    let word = |point: &ChartPoint| {
        let at = time(point.at).unwrap_or_default();
        format!("{what} {} % from {at}", chart::number(point.value))
    };
    points.iter().map(word).collect()
}

fn signers(view: &LeaseView) -> Vec<SignerRow<'_>> {
    let cosigner = |one: &'_ super::Cosigner| match one.standing().as_str() {
        "counts" => "authorize".to_owned(),
        other => format!("authorize ({other})"),
    };
    let mut signers: Vec<SignerRow<'_>> = view
        .cosigners
        .iter()
        .map(|one| SignerRow {
            principal: &one.id,
            role: &one.role,
            what: cosigner(one),
            key: &one.key,
            carrier: "",
            time: one.timestamp.as_deref(),
            evidence: None,
        })
        .collect();
    let votes = view.transitions.iter().flat_map(|one| one.votes.iter().map(move |vote| (one.tier, &one.action, vote)));
    let pending = view.pending.iter().flat_map(|one| one.votes.iter().map(move |vote| (one.tier, &one.action, vote)));
    for (tier, action, vote) in votes.chain(pending) {
        let tier = tier.map(|tier| format!(" {tier} %")).unwrap_or_default();
        signers.push(SignerRow {
            principal: &vote.principal,
            role: &vote.role,
            what: format!("{action}{tier}"),
            key: &vote.key,
            carrier: &vote.carrier,
            time: vote.claimed.as_deref(),
            evidence: vote.evidence.as_deref(),
        });
    }
    signers
}
