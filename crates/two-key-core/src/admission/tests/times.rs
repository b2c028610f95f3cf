//! Days of keys and hours of targets, judged by the server's clock.

use super::{super::*, story::*};
use crate::model::{Digest, ForwardKind, Statement, StopKind, Subject};

/// The usual policy, with a last day for everybody's key by name.
fn until(name: &str, day: &str) -> String {
    let role = if name == "user1" { "human" } else { "agent" };
    policy().replace(&format!("{name}: {{role: {role},"), &format!("{name}: {{role: {role}, until: {day},"))
}

fn reasons(story: &PushStory, time: &str) -> Vec<Reason> {
    story.judged_at(time).refused.iter().map(|refused| refused.refusal.reason).collect()
}

fn rolling(policy: &str) -> PushStory {
    PushStory::under(policy).past("user1", &cosign()).past("cp14", &cosign()).past("user1", &start())
}

#[test]
fn a_key_counts_on_its_last_day_and_not_after_it() {
    let policy = until("user1", "2025-10-27");
    assert_ne!(policy, super::story::policy());
    let story = rolling(&policy).brings("user1", &promote());
    assert_eq!(reasons(&story, "2025-10-27T23:59:59Z"), []);
    assert_eq!(reasons(&story, "2025-10-28T00:00:00Z"), [Reason::KeyExpired]);
    let other = rolling(&policy).brings("cp14", &promote());
    assert_eq!(reasons(&other, "2025-10-28T00:00:00Z"), [], "the other's key has no last day");
}

#[test]
fn a_single_key_has_a_last_day_of_its_own() {
    let line = public("user1").line();
    let policy = policy().replace(&format!("[\"{line}\"]"), &format!("[{{key: \"{line}\", until: 2025-10-26}}]"));
    let story = rolling(&policy).brings("user1", &promote());
    assert_eq!(reasons(&story, NOON), [Reason::KeyExpired]);
    assert_eq!(reasons(&story, "2025-10-26T23:59:59Z").first(), Some(&Reason::FutureDated), "not for its day");
}

#[test]
fn whatever_goes_forward_is_refused_to_a_key_after_its_last_day_and_every_stop_is_not() {
    let policy = until("user1", "2025-10-26");
    let rolls = || rolling(&policy);
    for (story, statement) in [
        (PushStory::under(&policy), cosign()),
        (PushStory::under(&policy).past("user1", &cosign()).past("cp14", &cosign()), start()),
        (rolls(), promote()),
        (rolls().past("cp14", &stop(StopKind::Pause, 1)), forward(3, ForwardKind::Resume)),
        (rolls().past("cp14", &freeze()), statement(Subject::Thaw { step: 1 })),
    ] {
        assert_eq!(reasons(&story.brings("user1", &statement), NOON), [Reason::KeyExpired], "{statement:?}");
    }
    for kind in [StopKind::Pause, StopKind::Halt, StopKind::Rollback, StopKind::Withdraw] {
        assert_eq!(reasons(&rolls().brings("user1", &stop(kind, 1)), NOON), [], "its holder's last duty");
    }
    assert_eq!(reasons(&rolls().brings("user1", &freeze()), NOON), []);
    assert_eq!(reasons(&rolls().brings("user1", &revoke("cp18")), NOON), []);
    // A revoked key stops nothing.
    let revoked = rolls().past("cp14", &revoke("cp14")).brings("cp14", &stop(StopKind::Halt, 1));
    assert_eq!(reasons(&revoked, NOON), [Reason::RevokedKey]);
}

/// The attack: a key past its last day has a part in the policy that gives it a later one.
#[test]
fn no_key_puts_off_its_own_last_day() {
    let before = until("user1", "2025-10-26");
    let digest = |text: &str| Digest::of(text.as_bytes());
    let later = until("user1", "2026-10-26")
        .replace("version: 1\nprevious: null", &format!("version: 2\nprevious: {}", digest(&before)));
    let enact = statement(Subject::Policy { digest: digest(&later) });
    let proposes = |story: PushStory| {
        let mut proposal = step(20, None);
        proposal.policy = Some(crate::ledger::Entry::Regular(later.as_bytes().into()));
        story.brings_step(&proposal)
    };
    let own = proposes(rolling(&before)).brings("user1", &enact).brings("cp14", &enact);
    assert_eq!(own.state.policy().digest(), digest(&later), "the fold knows no clock");
    assert_eq!(reasons(&own, NOON), [Reason::KeyExpired]);
    assert!(!reasons(&own, "2025-10-26T23:00:00Z").contains(&Reason::KeyExpired));
}

const OFFICE: &str = "[{days: mon-fri, from: \"09:00\", until: \"17:00\", zone: Europe/Berlin}]";

/// Monday 2025-10-27; winter time since the day before.
fn with_hours(lines: &str) -> PushStory {
    rolling(&(policy() + lines))
}

#[test]
fn moves_forward_are_made_in_the_windows_alone() {
    for policy in [
        format!("windows: {OFFICE}\n"),
        // A target's own windows stand instead of the policy's.
        "windows: [{days: sun, from: \"00:00\", until: \"01:00\", zone: UTC}]\n".to_owned(),
    ] {
        let own = super::story::policy().replace("applier: edge1}", &format!("applier: edge1, windows: {OFFICE}}}"));
        let text = if policy.contains("sun") { own + &policy } else { super::story::policy() + &policy };
        let story = rolling(&text).brings_dated("user1", &promote(), at("2025-10-27T03:00:00Z").as_second());
        for (time, open) in [
            ("2025-10-27T07:59:59Z", false),
            ("2025-10-27T08:00:00Z", true),
            ("2025-10-27T15:59:59Z", true),
            ("2025-10-27T16:00:00Z", false),
        ] {
            let expected: &[Reason] = if open { &[] } else { &[Reason::OutsideWindow] };
            assert_eq!(reasons(&story, time), expected, "{time}");
        }
        let message = &story.judged_at("2025-10-27T16:00:00Z").refused[0].refusal.message;
        assert!(
            message.contains("mon-fri 09:00 to 17:00 (Europe/Berlin) only; it opens at 2025-10-28T08:00:00Z"),
            "{message}"
        );
    }
}

#[test]
fn stops_and_what_moves_nothing_wait_for_no_window() {
    let night = "2025-10-27T20:00:00Z";
    let hours = format!("windows: {OFFICE}\n");
    for kind in [StopKind::Pause, StopKind::Halt, StopKind::Rollback, StopKind::Withdraw] {
        assert_eq!(reasons(&with_hours(&hours).brings("user1", &stop(kind, 1)), night), []);
    }
    assert_eq!(reasons(&with_hours(&hours).brings("user1", &freeze()), night), []);
    assert_eq!(reasons(&PushStory::under(&(policy() + &hours)).brings("user1", &cosign()), night), []);
    let paused = with_hours(&hours).past("user1", &stop(StopKind::Pause, 1));
    assert_eq!(reasons(&paused.brings("user1", &forward(3, ForwardKind::Resume)), night), [Reason::OutsideWindow]);
    let authorized = PushStory::under(&(policy() + &hours)).past("user1", &cosign()).past("cp14", &cosign());
    assert_eq!(reasons(&authorized.brings("user1", &start()), night), [Reason::OutsideWindow]);
}

/// What a vote is, in the words of the rule.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// It raises what a lease gets.
    Raises,
    /// It goes forward and moves nothing yet.
    Prepares,
    /// It stops, or takes a key away.
    Ends,
}

/// Every vote that user1 can turn a key for, and what it is; each in a story where it is next.
fn votes(policy: &str) -> Vec<(PushStory, Statement, Kind)> {
    let authorized = || PushStory::under(policy).past("user1", &cosign()).past("cp14", &cosign());
    let rolls = || authorized().past("cp14", &start());
    let mut all = vec![
        (PushStory::under(policy), cosign(), Kind::Prepares),
        (authorized(), start(), Kind::Raises),
        (rolls(), promote(), Kind::Raises),
        (rolls().past("cp14", &stop(StopKind::Pause, 1)), forward(3, ForwardKind::Resume), Kind::Raises),
        (rolls().past("cp14", &freeze()), statement(Subject::Thaw { step: 1 }), Kind::Prepares),
        (rolls(), freeze(), Kind::Ends),
        (rolls(), revoke("cp18"), Kind::Ends),
    ];
    for kind in [StopKind::Pause, StopKind::Halt, StopKind::Rollback] {
        all.push((rolls(), stop(kind, 1), Kind::Ends));
    }
    all.push((authorized(), stop(StopKind::Withdraw, 1), Kind::Ends));
    all
}

/// The rule once more, in other words: a key past its day has no part in what goes forward, and nothing is raised outside the hours.
#[test]
fn every_vote_at_every_edge_is_judged_as_the_rule_says() {
    let early = at("2025-10-27T03:00:00Z").as_second();
    // The clock, whether the office in Berlin is open, and whether the 27th is over.
    let clocks = [
        ("2025-10-27T07:59:59Z", false, false),
        ("2025-10-27T08:00:00Z", true, false),
        ("2025-10-27T15:59:59Z", true, false),
        ("2025-10-27T16:00:00Z", false, false),
        ("2025-10-27T23:59:59Z", false, false),
        ("2025-10-28T00:00:00Z", false, true),
    ];
    let closed = "[{days: sun, from: \"00:00\", until: \"01:00\", zone: UTC}]";
    let hours = [("", "", None), (OFFICE, "", Some(true)), ("", OFFICE, Some(true)), (closed, OFFICE, Some(true))];
    let hours = hours.into_iter().chain([(OFFICE, closed, Some(false)), (closed, "", Some(false))]);
    let days = [("", false, false), ("2025-10-27", true, false), ("2025-10-26", true, true)];
    let mut judged = 0;
    for (policys, targets, both) in hours {
        for (day, has_day, is_past) in days {
            let mut text = if has_day { until("user1", day) } else { policy() };
            if !targets.is_empty() {
                text = text.replace("applier: edge1}", &format!("applier: edge1, windows: {targets}}}"));
            }
            if !policys.is_empty() {
                text = format!("{text}windows: {policys}\n");
            }
            for (story, vote, kind) in votes(&text) {
                let story = story.brings_dated("user1", &vote, early);
                for (clock, is_open, is_over) in clocks {
                    let ended = is_past || (has_day && is_over);
                    let shut = both.is_some_and(|berlin| !(berlin && is_open));
                    let mut expected = Vec::new();
                    expected.extend((kind != Kind::Ends && ended).then_some(Reason::KeyExpired));
                    expected.extend((kind == Kind::Raises && shut).then_some(Reason::OutsideWindow));
                    assert_eq!(reasons(&story, clock), expected, "{vote} at {clock} under\n{text}");
                    judged += 1;
                }
            }
        }
    }
    assert_eq!(judged, 6 * 3 * 11 * 6);
}

#[test]
fn an_exception_waits_for_no_window() {
    let text = policy() + "windows: " + OFFICE + "\n";
    for (line, expected) in [("", vec![Reason::OutsideWindow]), ("exception: true\n", vec![])] {
        let lease = lease() + line;
        let digest = Digest::of(lease.as_bytes());
        let cosign = statement(Subject::Cosign { lease: lease_id(), digest });
        let mut start = start();
        if let Subject::Forward(forward) = &mut start.subject {
            forward.digest = digest;
        }
        let story = PushStory::of(&text, &lease).past("user1", &cosign).past("cp14", &cosign).brings("user1", &start);
        assert_eq!(reasons(&story, "2025-10-27T20:00:00Z"), expected);
    }
}
