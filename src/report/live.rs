//! The live views: one lease as a tree, all of them by target, and one short line for a prompt.
//!
//! Made from the same values as everything else. With a time they say how much is left; without, as in pipes, until when,
//! so that nothing is printed again only because time passes.

use std::{collections::BTreeMap, fmt::Write as _};

use jiff::Timestamp;

use super::{
    Awaits, HealthView, LeaseSummary, LeaseView, ListView, ObservedView, Unpushed, VoteView,
    lease::TierView,
    lease_text::awaits_text,
    list::{frozen_words, is_open},
    policy::policy_line,
    style::{Mark, Style, TreePosition},
    words::{count, escaped},
};

use crate::model::{Percent, refs};

/// One lease as a tree.
pub fn live_lease(view: &LeaseView, now: Option<Timestamp>, style: Style) -> String {
    let mut text = String::new();
    let mark = mark_of(&view.state, view.observed.as_ref());
    let state = style.paint(mark, &view.state);
    let _ = writeln!(text, "{} {}{}{state}{}", style.mark(mark), style.strong(&view.lease), style.dot(), tier_of(view));
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "  {name:<11}{value}");
        }
    };
    field("summary", view.terms.summary.as_deref().map(escaped));
    let intent = view.terms.intent.as_ref().map(|intent| format!("{}{intent}", style.dot())).unwrap_or_default();
    field("target", view.terms.target.as_ref().map(|target| format!("{target}{intent}")));
    field("desired", Some(format!("{:>4} %  {}", view.desired, style.bar(f64::from(view.desired)))));
    let seen = view.observed.as_ref();
    let weight = seen.and_then(|seen| seen.weight);
    field(
        "observed",
        Some(weight.map_or("   nothing yet".to_owned(), |w| format!("{w:>4} %  {}", style.bar(w.number())))),
    );
    field("applier", seen.map(|seen| applier(seen, style)));
    field("message", seen.and_then(ObservedView::words).as_deref().map(escaped));
    field("waits for", awaits_text(view.awaits.as_ref(), view.expired, &view.state));
    field("expires", view.terms.expires.as_deref().map(|at| expiry(at, view, now)));
    if !view.findings.is_empty() {
        let findings =
            format!("{}; see git two-key verify --all", count(view.findings.len() + view.more_findings, "finding"));
        field("refused", Some(style.paint(Mark::Bad, &findings)));
    }
    tree(&mut text, &branches(view, now, style), style);
    text
}

/// `, tier 2 of 3`, with the step.
fn tier_of(view: &LeaseView) -> String {
    let here = view.tier_details.iter().position(|tier| Some(tier.weight) == view.tier);
    let tier = here.map(|at| format!(" at {} %, tier {} of {}", view.desired, at + 1, view.tier_details.len()));
    let step = if view.step == 0 { String::new() } else { format!(", step {}", view.step) };
    tier.unwrap_or_default() + &step
}

fn applier(seen: &ObservedView, style: Style) -> String {
    let doing = seen.doing.as_deref().unwrap_or("seen");
    let mark = match doing {
        "verified" | "ready" => Mark::Good,
        "rollback-failed" | "stop-failed" => Mark::Bad,
        "holding" | "restored" => Mark::Held,
        _ => Mark::Moving,
    };
    let when = seen.seen.as_ref().map(|seen| format!(", seen {seen}")).unwrap_or_default();
    format!("{} by {}{when}", style.paint(mark, doing), seen.applier)
}

fn expiry(at: &str, view: &LeaseView, now: Option<Timestamp>) -> String {
    let then = view.terms.on_expiry.as_deref().unwrap_or("hold");
    match left(at, 0, now) {
        Some(Left::For(left)) => format!("{left} left, then {then}"),
        Some(Left::Over) => format!("expired {at}: {then}"),
        None => format!("{at}, then {then}"),
    }
}

/// How long something still takes.
enum Left {
    /// So long.
    For(String),
    /// It is over.
    Over,
}

/// How long it is until some seconds after a time.
fn left(from: &str, seconds: u64, now: Option<Timestamp>) -> Option<Left> {
    let from: Timestamp = from.parse().ok()?;
    let left = from.as_second().saturating_add(i64::try_from(seconds).ok()?) - now?.as_second();
    Some(if left > 0 { Left::For(length(left)) } else { Left::Over })
}

/// A human-readable length of time: its two largest units.
pub(super) fn length(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {:02}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {minutes:02}m"),
        (days, hours, _) => format!("{days}d {hours:02}h"),
    }
}

/// How a state looks, with what the applier has to say about it.
fn mark_of(state: &str, seen: Option<&ObservedView>) -> Mark {
    match (state, seen.and_then(|seen| seen.doing.as_deref())) {
        (_, Some("rollback-failed" | "stop-failed")) | ("rolled-back", _) => Mark::Bad,
        (_, Some("holding")) | ("paused" | "halted", _) => Mark::Held,
        ("rolling", _) => Mark::Moving,
        ("completed" | "authorized", _) => Mark::Good,
        ("proposed", _) => Mark::Waiting,
        _ => Mark::Later,
    }
}

/// A line with what stands below it.
struct Branch {
    line: String,
    below: Vec<String>,
}

fn tree(text: &mut String, branches: &[Branch], style: Style) {
    for (at, branch) in branches.iter().enumerate() {
        let last = at + 1 == branches.len();
        let (own, below) =
            if last { (TreePosition::Last, TreePosition::Free) } else { (TreePosition::Inner, TreePosition::Below) };
        let _ = writeln!(text, "{}{}", style.branch(own), branch.line);
        for (at, line) in branch.below.iter().enumerate() {
            let place = if at + 1 == branch.below.len() { TreePosition::Last } else { TreePosition::Inner };
            let _ = writeln!(text, "{}{}{line}", style.branch(below), style.branch(place));
        }
    }
}

/// The authorization, each tier, and what ended it.
fn branches(view: &LeaseView, now: Option<Timestamp>, style: Style) -> Vec<Branch> {
    let mut branches = vec![authorization(view, style)];
    branches.extend(view.tier_details.iter().map(|tier| tier_branch(view, tier, now, style)));
    let others = view.transitions.iter().filter(|one| one.tier.is_none());
    branches.extend(others.map(|transition| {
        let mark = match transition.action.as_str() {
            "resume" | "complete" => Mark::Good,
            "rollback" => Mark::Bad,
            _ => Mark::Held,
        };
        let by = turned(&transition.votes, style);
        let line =
            format!("{} {} (step {}){by}", style.mark(mark), style.paint(mark, &transition.action), transition.step);
        let remarks =
            transition.votes.iter().filter_map(|vote| Some(format!("\"{}\"", escaped(vote.remark.as_ref()?))));
        let mut below: Vec<_> = remarks.collect();
        if transition.action == "rollback" {
            below.extend(view.observed.iter().flat_map(|seen| checks(seen, style)));
        }
        Branch { line, below }
    }));
    branches
}

fn authorization(view: &LeaseView, style: Style) -> Branch {
    let enough = view.cosigners_have >= view.cosigners_needed && view.cosigners_needed > 0;
    let mark = if enough { Mark::Good } else { Mark::Waiting };
    let line = format!("{} keys to authorize: {}/{}", style.mark(mark), view.cosigners_have, view.cosigners_needed);
    let cosigner = |cosigner: &super::Cosigner| {
        let mark = if cosigner.counts { Mark::Good } else { Mark::Bad };
        let standing = match cosigner.standing().as_str() {
            "counts" => String::new(),
            other => format!(", {other}"),
        };
        format!("{} {} ({}) {}{standing}", style.mark(mark), cosigner.id, cosigner.role, cosigner.key)
    };
    let mut below: Vec<_> = view.cosigners.iter().map(cosigner).collect();
    below.extend(awaited(view, "cosign", None, style));
    Branch { line, below }
}

fn tier_branch(view: &LeaseView, tier: &TierView, now: Option<Timestamp>, style: Style) -> Branch {
    let mark = match tier.state.as_str() {
        "passed" => Mark::Good,
        "here" => mark_of(&view.state, view.observed.as_ref()),
        "next" => Mark::Waiting,
        _ => Mark::Later,
    };
    let bake = match tier.state.as_str() {
        "here" => bake(view, tier, now),
        _ => format!("bake {}", length(i64::try_from(tier.bake).unwrap_or(i64::MAX))),
    };
    let taken = view.transitions.iter().find(|one| Some(one.step) == tier.step);
    let by = taken.map(|one| format!("{}{} (step {}){}", style.dot(), one.action, one.step, turned(&one.votes, style)));
    let line = format!("{} {:>3} %  {bake}{}", style.mark(mark), tier.weight, by.unwrap_or_default());
    let mut below = Vec::new();
    if tier.state == "here" {
        below.extend(view.observed.iter().filter_map(|seen| seen.health.as_ref()).flat_map(|one| health(one, style)));
    }
    for ballot in view.pending.iter().filter(|ballot| ballot.tier == Some(tier.weight)) {
        let vote =
            |vote: &VoteView| format!("{} {} ({}) has signed", style.mark(Mark::Good), vote.principal, vote.role);
        below.extend(ballot.votes.iter().map(vote));
    }
    let action = if tier.step.is_none() && view.step == 0 { "start" } else { "promote" };
    below.extend(awaited(view, action, Some(tier.weight), style));
    Branch { line, below }
}

/// The verdict and the limits, then what was measured.
fn health(health: &HealthView, style: Style) -> Vec<String> {
    let mark = match health.verdict.as_deref() {
        Some("PASS") => Mark::Good,
        Some("FAIL") => Mark::Bad,
        _ => Mark::Waiting,
    };
    let limits = match health.limits.as_str() {
        "fine" => Mark::Good,
        "halt" => Mark::Bad,
        _ => Mark::Held,
    };
    let verdict = health.verdict.as_ref().map(|verdict| format!("gates {}", style.paint(mark, &escaped(verdict))));
    let worst = if mark == Mark::Good || health.verdict.is_none() { limits } else { mark };
    let limits = Some(format!("limits {}", style.paint(limits, &escaped(&health.limits))));
    let words: Vec<_> = verdict.into_iter().chain(limits).collect();
    let mut lines = vec![format!("{} {}", style.mark(worst), words.join(style.dot()))];
    lines.extend(health.figures.iter().map(|figure| format!("  {}", escaped(figure))));
    lines
}

/// The checks of a rollback.
fn checks(seen: &ObservedView, style: Style) -> impl Iterator<Item = String> {
    seen.checks.iter().map(move |check| {
        let mark = match check.outcome.as_str() {
            "passed" => Mark::Good,
            "failed" => Mark::Bad,
            _ => Mark::Later,
        };
        format!("{} {} {}: {}", style.mark(mark), check.check, check.outcome, escaped(&check.message))
    })
}

/// How long the tier has still to be watched.
fn bake(view: &LeaseView, tier: &TierView, now: Option<Timestamp>) -> String {
    let whole = length(i64::try_from(tier.bake).unwrap_or(i64::MAX));
    let seen = view.observed.as_ref();
    // What an applier records is about the tier that it has applied.
    let there = seen.is_some_and(|seen| seen.weight == Some(Percent::from(tier.weight)));
    let Some(since) = seen.filter(|_| there).and_then(|seen| seen.bake_started.as_deref()) else {
        return format!("bake {whole}, not begun");
    };
    match left(since, tier.bake, now) {
        Some(Left::For(left)) => format!("bake {left} left of {whole}"),
        Some(Left::Over) => format!("baked {whole}"),
        None => format!("bake {whole} since {since}"),
    }
}

/// `: user1 (human), cp14 (agent)`.
fn turned(votes: &[VoteView], style: Style) -> String {
    let names: Vec<_> = votes.iter().map(|vote| format!("{} ({})", vote.principal, vote.role)).collect();
    if names.is_empty() { String::new() } else { format!("{}{}", style.dot(), names.join(", ")) }
}

/// The keys that are still awaited for an action, one a line.
fn awaited(view: &LeaseView, action: &str, tier: Option<u8>, style: Style) -> Vec<String> {
    let Some(awaits) = view.awaits.as_ref().filter(|awaits| awaits.action == action && awaits.tier == tier) else {
        return Vec::new();
    };
    let line = |what: &str| format!("{} waiting for {what}", style.mark(Mark::Waiting));
    let mut lines: Vec<_> = awaits.first.iter().map(|first| line(first)).collect();
    if awaits.any_one {
        lines.push(line("a human or an agent"));
        return lines;
    }
    lines.extend(vec![line("a human"); awaits.humans]);
    lines.extend(vec![line("an agent"); awaits.agents]);
    lines
}

/// The other open leases of a target, a line each.
pub fn live_others(others: &[LeaseSummary], now: Option<Timestamp>, style: Style) -> String {
    others.iter().map(|lease| "also open: ".to_owned() + &summary(lease, now, style) + "\n").collect()
}

/// All leases that are open, and the last that ended on each target, by target.
pub fn live_list(view: &ListView, now: Option<Timestamp>, style: Style) -> String {
    let mut by_target: BTreeMap<&str, Vec<&LeaseSummary>> = BTreeMap::new();
    for lease in &view.leases {
        by_target.entry(lease.target.as_deref().unwrap_or("no target")).or_default().push(lease);
    }
    let open = view.leases.iter().filter(|lease| is_open(lease)).count();
    let branch = refs::short(&view.branch);
    let tip: String = view.tip.chars().take(12).collect();
    let heading = [
        format!("{} {tip}", style.strong(&escaped(branch))),
        format!("policy {}", view.policy.version),
        format!("{open} open, {} ended", view.leases.len() - open + view.left_out),
    ];
    let mut text = heading.join(style.dot()) + "\n";
    if view.frozen.is_some() {
        let words = format!("frozen: {}", frozen_words(view.thaw_awaits.as_ref()));
        let frozen = style.paint(Mark::Held, &words);
        let _ = writeln!(text, "{} {frozen}", style.mark(Mark::Held));
    }
    if let Some(proposed) = &view.policy_proposed {
        let _ = writeln!(text, "{} {}", style.mark(Mark::Waiting), policy_line(proposed));
    }
    let branches: Vec<_> = by_target
        .iter()
        .map(|(target, leases)| {
            let ended = leases.iter().rev().find(|lease| !is_open(lease));
            let shown = ended.into_iter().chain(leases.iter().filter(|lease| is_open(lease)));
            Branch { line: (*target).to_owned(), below: shown.map(|lease| summary(lease, now, style)).collect() }
        })
        .collect();
    tree(&mut text, &branches, style);
    if view.leases.is_empty() {
        text.push_str("no leases yet; write one with: git two-key new\n");
    }
    text
}

/// A lease on one line.
fn summary(lease: &LeaseSummary, now: Option<Timestamp>, style: Style) -> String {
    let seen = lease.observed.as_ref();
    let mark = mark_of(&lease.state, seen);
    let mut words = vec![format!("{} {}", style.strong(&lease.lease), style.paint(mark, &lease.state))];
    if let (Some(tier), Some(number)) = (lease.tier, lease.tier_number) {
        words.push(format!("{tier} %, tier {number} of {}", lease.tiers));
    }
    if lease.cosigners_have < lease.cosigners_needed {
        words.push(format!("keys {}/{}", lease.cosigners_have, lease.cosigners_needed));
    }
    if let Some(seen) = seen {
        let weight = seen.weight.map_or("unknown".to_owned(), |weight| format!("{weight} %"));
        let doing = seen.doing.as_ref().map(|doing| format!(" {doing}")).unwrap_or_default();
        let reason = seen.reason.as_ref().map(|reason| format!(" ({})", escaped(reason))).unwrap_or_default();
        words.push(format!("desired {} %, observed {weight}{doing}{reason}", lease.desired));
    }
    let awaited = awaits_text(lease.awaits.as_ref(), lease.expired, &lease.state);
    words.extend(awaited.map(|whom| format!("waiting for {whom}")));
    if let Some(at) = lease.expires.as_deref().filter(|_| is_open(lease)) {
        words.push(match left(at, 0, now) {
            Some(Left::For(left)) => format!("{left} left"),
            Some(Left::Over) => style.paint(Mark::Bad, "expired"),
            None => format!("until {at}"),
        });
    }
    format!("{} {}", style.mark(mark), words.join(style.dot()))
}

/// What a prompt has room for: how many leases are in which state, and how many await somebody's key, and whether some of
/// that is only here. Empty where nothing is open.
pub fn list_short(view: &ListView, me: Option<&str>) -> String {
    let states = ["proposed", "authorized", "rolling", "paused", "halted"];
    let of = |state: &str| view.leases.iter().filter(|lease| lease.state == state && is_open(lease)).count();
    let mut words: Vec<_> =
        states.iter().filter(|state| of(state) > 0).map(|state| format!("{} {state}", of(state))).collect();
    let failed = |lease: &&LeaseSummary| {
        lease.observed.as_ref().is_some_and(|seen| seen.doing.as_deref() == Some("rollback-failed"))
    };
    let failed = view.leases.iter().filter(failed).count();
    if failed > 0 {
        words.push(format!("{failed} rollback-failed"));
    }
    if view.frozen.is_some() {
        words.push("frozen".to_owned());
    }
    words.extend(view.policy_proposed.as_ref().map(|_| "1 policy proposed".to_owned()));
    // What was signed here and is on no server is not so there.
    if view.leases.iter().any(|lease| !lease.unpushed.iter().all(Unpushed::is_beside)) {
        words.push("NOT PUSHED".to_owned());
    }
    let policies = view.policy_proposed.iter().filter_map(|proposed| proposed.awaits.as_ref());
    let awaits = view.leases.iter().filter_map(|lease| lease.awaits.as_ref()).chain(policies).chain(&view.thaw_awaits);
    let mine = me.map_or(0, |me| awaits.filter(|awaits| awaits_key_of(awaits, me)).count());
    if mine > 0 {
        words.push(format!("{mine} for you"));
    }
    words.join(", ")
}

/// Whether what is awaited is a key that this principal could turn.
pub fn awaits_key_of(awaits: &Awaits, principal: &str) -> bool {
    awaits.who.iter().any(|who| who == principal)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Awaits, BallotView, CheckView, Cosigner, TransitionView},
        *,
    };
    use crate::report::{Colour, Glyphs, LeaseTerms};

    fn vote(principal: &str, role: &str) -> VoteView {
        VoteView { principal: principal.to_owned(), role: role.to_owned(), ..VoteView::default() }
    }

    fn tier(weight: u8, state: &str, step: Option<u32>) -> TierView {
        TierView { weight, bake: 900, state: state.to_owned(), step }
    }

    /// At 25 %, ten minutes after the applier began to watch, one gate open, one key of two turned for 100 %.
    fn rolling() -> LeaseView {
        let cosigner = |id: &str, role: &str| Cosigner {
            id: id.to_owned(),
            role: role.to_owned(),
            key: format!("SHA256:{id}"),
            counts: true,
            key_is: "in-force".to_owned(),
            ..Cosigner::default()
        };
        let transition = |step, action: &str, tier, votes| TransitionView {
            step,
            action: action.to_owned(),
            tier: Some(tier),
            votes,
            ..TransitionView::default()
        };
        LeaseView {
            lease: "LEASE-1".to_owned(),
            state: "rolling".to_owned(),
            tier: Some(25),
            desired: 25,
            step: 2,
            terms: LeaseTerms {
                summary: Some("Roll out checkout 1.9.0\u{1b}[2J".to_owned()),
                target: Some("checkout-prod".to_owned()),
                intent: Some("INT-1".to_owned()),
                expires: Some("2025-10-28T02:19:13Z".to_owned()),
                on_expiry: Some("rollback".to_owned()),
                ..LeaseTerms::default()
            },
            observed: Some(ObservedView {
                applier: "edge1".to_owned(),
                weight: Some(Percent::from(25)),
                doing: Some("baking".to_owned()),
                seen: Some("2025-10-27T03:10:00Z".to_owned()),
                bake_started: Some("2025-10-27T03:00:00Z".to_owned()),
                health: Some(HealthView {
                    verdict: Some("PENDING".to_owned()),
                    limits: "fine".to_owned(),
                    figures: vec!["error-rate 0.4 % against 0.9 %".to_owned(), "latency 31 of 50 samples".to_owned()],
                    evidence: None,
                }),
                ..ObservedView::default()
            }),
            cosigners: vec![cosigner("user1", "human"), cosigner("cp14", "agent")],
            cosigners_have: 2,
            cosigners_needed: 2,
            awaits: Some(Awaits {
                action: "promote".to_owned(),
                tier: Some(100),
                humans: 1,
                text: "a human, to promote to 100 %".to_owned(),
                ..Awaits::default()
            }),
            pending: vec![BallotView {
                action: "promote".to_owned(),
                step: Some(3),
                tier: Some(100),
                votes: vec![vote("cp14", "agent")],
            }],
            transitions: vec![
                transition(1, "start", 5, vec![vote("user1", "human")]),
                transition(2, "promote", 25, vec![vote("user1", "human"), vote("cp14", "agent")]),
            ],
            tier_details: vec![tier(5, "passed", Some(1)), tier(25, "here", Some(2)), tier(100, "next", None)],
            ..LeaseView::default()
        }
    }

    const ASCII: Style = Style { glyphs: Glyphs::Ascii, colour: Colour::Off };

    #[test]
    fn a_rollout_is_seen_as_a_tree_with_what_is_left_of_it() {
        let now = "2025-10-27T03:10:12Z".parse().ok();
        assert_eq!(
            live_lease(&rolling(), now, Style::PLAIN),
            "◐ LEASE-1 · rolling at 25 %, tier 2 of 3, step 2\n\
             \x20 summary    Roll out checkout 1.9.0\\u{1b}[2J\n\
             \x20 target     checkout-prod · INT-1\n\
             \x20 desired      25 %  ███░░░░░░░\n\
             \x20 observed     25 %  ███░░░░░░░\n\
             \x20 applier    baking by edge1, seen 2025-10-27T03:10:00Z\n\
             \x20 waits for  a human, to promote to 100 %\n\
             \x20 expires    23h 09m left, then rollback\n\
             ├── ✔ keys to authorize: 2/2\n\
             │   ├── ✔ user1 (human) SHA256:user1\n\
             │   └── ✔ cp14 (agent) SHA256:cp14\n\
             ├── ✔   5 %  bake 15m 00s · start (step 1) · user1 (human)\n\
             ├── ◐  25 %  bake 4m 48s left of 15m 00s · promote (step 2) · user1 (human), cp14 (agent)\n\
             │   ├── ○ gates PENDING · limits fine\n\
             │   ├──   error-rate 0.4 % against 0.9 %\n\
             │   └──   latency 31 of 50 samples\n\
             └── ○ 100 %  bake 15m 00s\n\
             \x20   ├── ✔ cp14 (agent) has signed\n\
             \x20   └── ○ waiting for a human\n"
        );
    }

    #[test]
    fn a_rollback_is_seen_with_its_checks() {
        let check = |check: &str, outcome: &str, message: &str| CheckView {
            check: check.to_owned(),
            outcome: outcome.to_owned(),
            message: message.to_owned(),
        };
        let mut view = rolling();
        view.state = "rolled-back".to_owned();
        let rollback = TransitionView { step: 3, action: "rollback".to_owned(), ..TransitionView::default() };
        view.transitions.push(rollback);
        let seen = view.observed.as_mut().unwrap();
        seen.checks = vec![check("observed", "passed", "0 %"), check("probes", "not-configured", "no probes")];
        let text = live_lease(&view, None, Style::PLAIN);
        let end =
            "└── ✘ rollback (step 3)\n    ├── ✔ observed passed: 0 %\n    └── · probes not-configured: no probes\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn without_a_terminal_nothing_changes_only_because_time_passes() {
        let text = live_lease(&rolling(), None, ASCII);
        assert!(text.is_ascii(), "{text}");
        assert!(text.contains("expires    2025-10-28T02:19:13Z, then rollback\n"), "{text}");
        assert!(text.contains("|-- >  25 %  bake 15m 00s since 2025-10-27T03:00:00Z | promote"), "{text}");
        assert!(text.contains("`-- o 100 %"), "{text}");
    }

    #[test]
    fn what_is_over_says_so() {
        let now = "2025-10-29T00:00:00Z".parse().ok();
        let text = live_lease(&rolling(), now, ASCII);
        assert!(text.contains("expires    expired 2025-10-28T02:19:13Z: rollback\n"), "{text}");
        assert!(text.contains("baked 15m 00s"), "{text}");
        // What an applier saw at another weight says nothing about this tier.
        let mut lagging = rolling();
        lagging.observed.as_mut().unwrap().weight = Some(Percent::from(5));
        assert!(live_lease(&lagging, now, ASCII).contains("bake 15m 00s, not begun"));
    }

    #[test]
    fn colour_adds_nothing_to_the_words() {
        let now = "2025-10-27T03:10:12Z".parse().ok();
        let coloured = live_lease(&rolling(), now, Style { glyphs: Glyphs::Unicode, colour: Colour::On });
        assert!(coloured.contains("\u{1b}[36mrolling\u{1b}[0m"), "{coloured}");
        let mut plain = coloured;
        for code in ["0", "1", "31", "32", "33", "36", "90"] {
            plain = plain.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_eq!(plain, live_lease(&rolling(), now, Style::PLAIN));
    }

    #[test]
    fn lengths_are_their_two_largest_units() {
        for (seconds, text) in [(59, "59s"), (61, "1m 01s"), (3_660, "1h 01m"), (90_000, "1d 01h")] {
            assert_eq!(length(seconds), text);
        }
    }
}
