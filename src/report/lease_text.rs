//! Lease text, for people.

use std::fmt::Write as _;

use super::{
    Awaits, CheckView,
    lease::{Cosigner, LeaseView, ObservedView, VoteView, since},
    refusal,
    unpushed::unpushed_words,
    words::{and_more, count, escaped, table},
};

/// All about a lease, for people.
pub fn lease_text(view: &LeaseView) -> String {
    let mut lines = vec![view.lease.clone()];
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            lines.push(format!("  {:<11}{}", format!("{name}:"), escaped(&value)));
        }
    };
    for (name, value) in view.terms.lines() {
        field(name, Some(value));
    }
    for file in &view.files {
        field("file", Some(file.clone()));
    }
    let pinned = if view.pinned { "pinned" } else { "not pinned: no key has been turned yet" };
    field("digest", view.digest.as_ref().map(|digest| format!("{digest} ({pinned})")));
    field("state", Some(state_text(view)));
    field("desired", Some(format!("{} %", view.desired)));
    field("observed", Some(observed_text(view.observed.as_ref())));
    field("message", view.observed.as_ref().and_then(ObservedView::words));
    field("waits for", awaits_text(view.awaits.as_ref(), view.expired, &view.state));
    for one in &view.unpushed {
        let how = if one.is_beside() { "brings it onto the branch" } else { "pushes it" };
        field("kept here", Some(format!("{}; git two-key sync {how}", unpushed_words(one))));
    }
    field("superseded", view.superseded_by.as_ref().map(|by| format!("completed by the start of {by}")));
    let mut text = lines.join("\n") + "\n";
    text.push_str(&cosigners_text(view));
    text.push_str(&transitions_text(view));
    text.push_str(&checks_text(view.observed.as_ref()));
    text.push_str(&pending_text(view));
    text.push_str(&refusal::section(&view.refused));
    text.push_str(&findings_text(view));
    text
}

/// What a lease awaits, or why it awaits nobody although it has not ended.
pub(super) fn awaits_text(awaits: Option<&Awaits>, expired: bool, state: &str) -> Option<String> {
    match awaits {
        Some(awaits) => Some(awaits.text.clone()),
        None if expired && !has_ended(state) => Some("nobody: its window has closed".to_owned()),
        None => None,
    }
}

/// Whether a lease in a state has ended.
pub(super) fn has_ended(state: &str) -> bool {
    matches!(state, "completed" | "rolled-back" | "withdrawn")
}

fn state_text(view: &LeaseView) -> String {
    match view.tier {
        Some(tier) => format!("{} at {tier} %, step {}", view.state, view.step),
        None if view.step > 0 => format!("{}, step {}", view.state, view.step),
        None => view.state.clone(),
    }
}

fn observed_text(observed: Option<&ObservedView>) -> String {
    let Some(observed) = observed else { return "nothing: no applier has reported yet".to_owned() };
    let weight = observed.weight.map_or("an unknown weight".to_owned(), |weight| format!("{weight} %"));
    let doing = observed.doing.as_ref().map(|doing| format!(", {doing}")).unwrap_or_default();
    let seen = observed.seen.as_ref().map(|seen| format!(", seen {seen}")).unwrap_or_default();
    let since = observed.key_standing.as_deref().map(|standing| format!("; {}", since(standing))).unwrap_or_default();
    format!("{weight}{doing} (by {}{seen}{since})", observed.applier)
}

fn cosigners_text(view: &LeaseView) -> String {
    let heading = format!("\nCosigners {}/{}\n", view.cosigners_have, view.cosigners_needed);
    let row = |cosigner: &Cosigner| {
        let when = cosigner.timestamp.clone().unwrap_or_else(|| "-".to_owned());
        vec![format!("  {}", cosigner.id), cosigner.role.clone(), cosigner.key.clone(), when, cosigner.standing()]
    };
    if view.cosigners.is_empty() {
        return heading + "  nobody yet\n";
    }
    heading
        + &table(
            &["  PRINCIPAL", "ROLE", "KEY", "CLAIMED TIME", "STANDING"],
            &view.cosigners.iter().map(row).collect::<Vec<_>>(),
        )
}

fn transitions_text(view: &LeaseView) -> String {
    if view.transitions.is_empty() {
        return String::new();
    }
    let mut text = String::from("\nTransitions\n");
    for transition in &view.transitions {
        let tier = transition.tier.map(|tier| format!(" {tier} %")).unwrap_or_default();
        let tag = if transition.tagged { transition.tag.as_str() } else { "no tag" };
        let commit: String = transition.commit.chars().take(12).collect();
        let line =
            format!("  {} {}{tier} → {}  {commit}  {tag}\n", transition.step, transition.action, transition.state);
        text.push_str(&line);
        text.push_str(&votes_text(&transition.votes));
    }
    text
}

/// How the checks of the last rollback came out.
fn checks_text(observed: Option<&ObservedView>) -> String {
    let row = |check: &CheckView| vec![format!("  {}", check.check), check.outcome.clone(), escaped(&check.message)];
    let rows: Vec<_> = observed.iter().flat_map(|seen| &seen.checks).map(row).collect();
    if rows.is_empty() {
        String::new()
    } else {
        format!("\nRollback\n{}", table(&["  CHECK", "OUTCOME", "SAW"], &rows))
    }
}

fn votes_text(votes: &[VoteView]) -> String {
    let line = |vote: &VoteView| {
        let carrier = if vote.carrier == "commit" { "signed commit" } else { "detached signature" };
        let when = vote.claimed.as_ref().map(|when| format!(", claims {when}")).unwrap_or_default();
        let remark = vote.remark.as_ref().map(|remark| format!(": {}", escaped(remark))).unwrap_or_default();
        format!("      {} {} {} by {carrier}{when}{remark}\n", vote.role, vote.principal, vote.key)
    };
    votes.iter().map(line).collect()
}

fn pending_text(view: &LeaseView) -> String {
    if view.pending.is_empty() {
        return String::new();
    }
    let mut text = String::from("\nPending\n");
    for ballot in &view.pending {
        let tier = ballot.tier.map(|tier| format!(" {tier} %")).unwrap_or_default();
        let step = ballot.step.map(|step| format!(", as step {step}")).unwrap_or_default();
        let _ = writeln!(text, "  {}{tier}{step}", ballot.action);
        text.push_str(&votes_text(&ballot.votes));
    }
    text
}

fn findings_text(view: &LeaseView) -> String {
    if view.findings.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", count(view.findings.len() + view.more_findings, "finding"));
    for finding in &view.findings {
        let _ = writeln!(text, "  {}: {}: {}", finding.subject, finding.reason, escaped(&finding.message));
    }
    if let Some(more) = and_more(view.more_findings, "finding") {
        let _ = writeln!(text, "  {more}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Percent;

    #[test]
    fn what_an_applier_says_of_itself_stands_below_what_it_observed() {
        let mut view = LeaseView {
            lease: "LEASE-1".to_owned(),
            state: "rolled-back".to_owned(),
            step: 2,
            observed: Some(ObservedView {
                applier: "edge1".to_owned(),
                weight: Some(Percent::from(0)),
                doing: Some("restoring".to_owned()),
                seen: Some("2025-10-27T03:10:00Z".to_owned()),
                reason: Some("no-data".to_owned()),
                message: Some("restored, and its health is being watched\u{1b}[2J".to_owned()),
                ..ObservedView::default()
            }),
            ..LeaseView::default()
        };
        let text = |words: &str| {
            format!(
                "LEASE-1\n  state:     rolled-back, step 2\n  desired:   0 %\n\
                 \x20 observed:  0 %, restoring (by edge1, seen 2025-10-27T03:10:00Z)\n{words}\nCosigners 0/0\n  nobody yet\n"
            )
        };
        let words = "  message:   no-data: restored, and its health is being watched\\u{1b}[2J\n";
        assert_eq!(lease_text(&view), text(words));
        let seen = view.observed.as_mut().unwrap();
        (seen.reason, seen.message) = (None, None);
        assert_eq!(lease_text(&view), text(""));
    }

    #[test]
    fn a_rollback_is_told_with_its_checks() {
        let check = |check: &str, outcome: &str, message: &str| CheckView {
            check: check.to_owned(),
            outcome: outcome.to_owned(),
            message: message.to_owned(),
        };
        let checks = vec![check("observed", "passed", "0 %"), check("probes", "not-configured", "none\u{1b}[2J")];
        let seen = ObservedView { applier: "edge1".to_owned(), checks, ..ObservedView::default() };
        let view = LeaseView { lease: "LEASE-1".to_owned(), observed: Some(seen), ..LeaseView::default() };
        let text = lease_text(&view);
        let end = "\nRollback\n  CHECK     OUTCOME         SAW\n  observed  passed          0 %\n  probes    not-configured  none\\u{1b}[2J\n";
        assert!(text.ends_with(end), "{text}");
    }
}
