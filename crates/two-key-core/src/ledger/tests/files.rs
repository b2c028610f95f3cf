//! The tree's files: what makes one unusable, and what the votes make of it.

use super::story::{NONE, Paper, Story, bytes, lease, rulebook};
use crate::{
    ledger::{Entry, Phase},
    model::{Digest, LeaseId, StopKind, Subject},
};

fn story() -> Story {
    Story::new(&rulebook())
}

/// A vote for whatever bytes an entry has.
fn cosign(id: &str, entry: &Entry) -> Option<Subject> {
    let Entry::Regular(content) = entry else { return None };
    Some(Subject::Cosign { lease: LeaseId::parse(id)?, digest: Digest::of(content) })
}

#[test]
fn files_that_can_never_be_in_force() {
    let l = lease("L1");
    let foreign = Paper { repository: "00000000000000000000000000000000", ..l.clone() };
    for (entry, code) in [
        (bytes("no lease"), "malformed"),
        (bytes(&lease("L2").yaml()), "malformed"),
        (bytes(&l.clone().with("agent-alone-up-to: 100").yaml()), "malformed"),
        (bytes(&l.clone().with("unknown: 1").yaml()), "malformed"),
        (bytes(&l.clone().with("tiers: [{weight: 5, bake: 1m}]").yaml()), "malformed"),
        (Entry::NotAFile, "malformed"),
        (Entry::TooLarge, "too-large"),
        (bytes(&l.clone().with(&format!("# {}", "x".repeat(65_536))).yaml()), "too-large"),
        (bytes(&foreign.yaml()), "wrong-repository"),
    ] {
        let mut s = story();
        assert_eq!(s.step(|d| d.file("leases/L1.yaml", entry.clone())), [code]);
        if let Some(vote) = cosign("L1", &entry) {
            s.refuses("user1", vote, code);
        }
        s.refuses("user1", l.cosign(), "digest-mismatch").proposes(&l).does("user1", l.cosign());
    }
}

#[test]
fn a_file_that_names_no_lease_is_a_finding_and_nothing_else() {
    for path in ["leases/L1.yml", "leases/../L1.yaml", "leases/.yaml", "leases/L 1.yaml"] {
        let mut s = story();
        assert_eq!(s.step(|d| d.file(path, bytes(&lease("L1").yaml()))), ["malformed"], "{path}");
        s.refuses("user1", lease("L1").cosign(), "unknown-lease");
        assert_eq!(s.step(|d| d.file(path, Entry::Absent)), NONE);
        assert_eq!(s.state.files().count(), 0);
    }
}

#[test]
fn any_folder_below_leases_will_do() {
    let l = lease("L1");
    let mut s = story();
    assert_eq!(s.step(|d| d.file("leases/2025-10/L1.yaml", bytes(&l.yaml()))), NONE);
    assert_eq!(s.step(|d| d.file("leases/deep", Entry::TooDeep)), ["too-large"], "and none that lies too deep");
    s.does("user1", l.cosign());
}

#[test]
fn of_very_many_files_of_one_lease_only_some_are_kept_and_none_outruns_a_stop() {
    let l = lease("L1");
    let files = |from: usize, to: usize, entry: Entry| {
        move |draft: super::story::StepDraft| {
            (from..to).fold(draft, |draft, at| draft.file(&format!("leases/{at:04}/L1.yaml"), entry.clone()))
        }
    };
    let yaml = bytes(&l.yaml());
    let mut s = story();
    assert_eq!(s.step(files(0, 100, yaml.clone())), NONE);
    assert_eq!(s.step(files(0, 100, yaml.clone())), NONE, "what is kept may change");
    assert_eq!(s.step(files(100, 103, yaml.clone())), ["too-large"; 3]);
    assert_eq!(s.state.files().count(), 100);
    assert_eq!(s.step(files(102, 103, Entry::Absent)), NONE);
    assert_eq!(s.step(files(0, 1, Entry::Absent)), NONE);
    assert_eq!(s.step(files(103, 104, yaml.clone())), NONE, "there is room again");
    s.does("user1", l.cosign()).does("cp14", l.stop(StopKind::Withdraw, 1));
    assert_eq!(s.phase("L1"), Phase::Withdrawn);
    // Each comes under a name of its own case, none is kept, and each can still be stopped.
    let mut s = story();
    assert_eq!(s.step(files(0, 100, yaml.clone())), NONE);
    assert_eq!(s.step(|draft| draft.file("leases/l1.yaml", Entry::NotAFile)), ["malformed"]);
    assert_eq!(s.state.files().count(), 100);
    s.does("user1", lease("l1").stop(StopKind::Halt, 1));
}

#[test]
fn votes_come_with_the_bytes_or_after_them_but_not_before() {
    let l = lease("L1");
    let mut s = story();
    s.refuses("user1", l.cosign(), "unknown-lease");
    assert_eq!(s.step(|d| d.lease(&l).vote("user1", l.cosign()).vote("cp14", l.cosign())), NONE);
    assert_eq!(s.phase("L1"), Phase::Authorized);
}

#[test]
fn until_a_vote_pins_bytes_they_may_change() {
    let (l, edited) = (lease("L1"), lease("L1").with("summary: edited"));
    let mut s = story();
    s.proposes(&l).proposes(&edited).refuses("user1", l.cosign(), "digest-mismatch").does("user1", edited.cosign());
    s.refuses("cp14", l.cosign(), "digest-mismatch");
}

#[test]
fn a_refused_vote_pins_nothing() {
    let (l, edited) = (lease("L1"), lease("L1").with("summary: edited"));
    let mut s = story();
    s.proposes(&l).refuses("edge1", l.cosign(), "wrong-role").proposes(&edited).does("user1", edited.cosign());
}

#[test]
fn of_two_files_of_one_lease_the_first_vote_chooses() {
    let (l, other) = (lease("L1"), lease("L1").with("summary: other"));
    let mut s = story();
    s.proposes(&l);
    assert_eq!(s.step(|d| d.file("leases/b/L1.yaml", bytes(&other.yaml()))), NONE);
    s.does("user1", other.cosign()).refuses("cp14", l.cosign(), "lease-changed").does("cp14", other.cosign());
    assert_eq!(s.phase("L1"), Phase::Authorized);
    let pinned = s.state.lease(&l.lease_id()).unwrap().pinned.as_ref().unwrap();
    assert_eq!(pinned.digest(), other.digest());
}

#[test]
fn edits_and_deletions_after_the_pin_are_findings_without_effect() {
    let (l, edited) = (lease("L1"), lease("L1").with("summary: edited"));
    let mut s = story();
    s.proposes(&l).does("user1", l.cosign());
    assert_eq!(s.step(|d| d.lease(&edited)), ["lease-changed"]);
    assert_eq!(s.step(|d| d.file("leases/L1.yaml", bytes("rubbish"))), ["malformed", "lease-changed"]);
    assert_eq!(s.step(|d| d.file("leases/L1.yaml", Entry::Absent)), ["lease-changed"]);
    s.does("cp14", l.cosign()).does("cp14", l.start(5));
    assert_eq!(s.weight("L1"), 5);
    assert_eq!(s.step(|d| d.lease(&l)), NONE, "the pinned bytes may come back");
    s.does("user1", l.stop(StopKind::Rollback, 1));
    assert_eq!(s.step(|d| d.file("leases/L1.yaml", Entry::Absent)), NONE, "ended leases may be deleted");
}

#[test]
fn a_finding_says_whether_the_pinned_file_was_changed_or_deleted() {
    let (l, edited) = (lease("L1"), lease("L1").with("summary: edited"));
    let mut s = story();
    s.proposes(&l).does("user1", l.cosign());
    for (entry, words) in [(bytes(&edited.yaml()), "file was changed"), (Entry::Absent, "file was deleted")] {
        assert_eq!(s.step(|d| d.file("leases/L1.yaml", entry)), ["lease-changed"]);
        let message = &s.last.findings[0].refusal.message;
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn moving_a_file_leaves_its_bytes_there() {
    let l = lease("L1");
    let mut s = story();
    s.proposes(&l).does("user1", l.cosign());
    let codes = s.step(|d| d.file("leases/L1.yaml", Entry::Absent).file("leases/old/L1.yaml", bytes(&l.yaml())));
    assert_eq!(codes, NONE);
    s.does("cp14", l.cosign());
}

#[test]
fn ids_that_differ_by_case_only_are_one_id() {
    let (l, twin) = (lease("LEASE-a"), lease("LEASE-A"));
    let mut s = story();
    s.proposes(&l);
    assert_eq!(s.step(|d| d.lease(&twin)), ["malformed"]);
    s.refuses("user1", twin.cosign(), "malformed").does("user1", l.cosign());
    let mut s = story();
    s.proposes(&l).does("user1", l.cosign());
    s.step(|d| d.file(&l.path(), Entry::Absent));
    assert_eq!(s.step(|d| d.lease(&twin)), ["malformed"], "the ledger remembers the id");
    s.refuses("user1", twin.cosign(), "malformed").does("cp14", l.cosign());
    let mut s = story();
    s.proposes(&twin).does("user1", twin.cosign());
}

#[test]
fn a_proposal_cannot_be_voted_for_once_a_stop_has_put_its_case_twin_on_the_ledger() {
    let (l, twin) = (lease("LEASE-a"), lease("LEASE-A"));
    let rubbish_beside_a_proposal = || {
        let mut s = story();
        assert_eq!(s.step(|d| d.file(&l.path(), bytes("rubbish"))), ["malformed"]);
        s.proposes(&twin);
        s
    };
    let mut s = rubbish_beside_a_proposal();
    s.does("user1", l.stop(StopKind::Halt, 1)).refuses("user1", twin.cosign(), "malformed");
    let mut s = rubbish_beside_a_proposal();
    s.does("user1", twin.cosign());
}

#[test]
fn a_stop_of_a_case_twin_does_not_get_in_the_way() {
    let (l, twin) = (lease("LEASE-a"), lease("LEASE-A"));
    let mut s = story();
    s.proposes(&l).does("user1", l.cosign());
    assert_eq!(s.step(|d| d.lease(&twin)), ["malformed"]);
    s.go("user2", twin.stop(StopKind::Withdraw, 1));
    s.does("cp14", l.cosign());
    assert_eq!(s.phase("LEASE-a"), Phase::Authorized);
}

#[test]
fn a_lease_may_be_stopped_before_any_vote_and_even_when_its_file_is_rubbish() {
    let l = lease("L1");
    let mut s = story();
    assert_eq!(s.step(|d| d.file("leases/L1.yaml", bytes("rubbish"))), ["malformed"]);
    s.does("user1", l.stop(StopKind::Halt, 1));
    assert_eq!(s.phase("L1"), Phase::Withdrawn);
    s.refuses("edge1", l.stop(StopKind::Halt, 2), "wrong-role");
    s.proposes(&l).refuses("user1", l.cosign(), "wrong-state");
}
