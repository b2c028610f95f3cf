//! Which lease a handle means.

use super::story::{NONE, Story, bytes, lease, rulebook};
use crate::{
    ledger::{Resolution, resolve},
    model::{Action, LeaseId, StopKind},
};

fn is(id: &str) -> Resolution {
    Resolution::Lease(LeaseId::parse(id).unwrap())
}

fn one_of(ids: [&str; 2]) -> Resolution {
    Resolution::Ambiguous(ids.map(|id| LeaseId::parse(id).unwrap()).to_vec())
}

#[test]
fn a_handle_is_an_id_an_intent_or_a_target() {
    let mut s = Story::new(&rulebook());
    s.proposes(&lease("L1").with("intent: fix"))
        .proposes(&lease("M1").on("db").with("intent: fix"))
        .proposes(&lease("N1").on("db").with("intent: other"));
    for (handle, meant) in [
        ("M1", is("M1")),
        ("other", is("N1")),
        ("fix", one_of(["L1", "M1"])),
        ("web", is("L1")),
        ("db", one_of(["M1", "N1"])),
        ("nothing", Resolution::Unknown),
    ] {
        assert_eq!(resolve(&s.state, handle, None), meant, "{handle}");
    }
}

#[test]
fn a_target_means_the_newest_lease_there_that_the_action_fits() {
    let l = lease("L1");
    let older = lease("L0").yaml().replace("issued: 2026-11-23", "issued: 2026-11-22");
    let at = |s: &Story, action| resolve(&s.state, "web", action);
    let mut s = Story::new(&rulebook());
    s.proposes(&l).proposes(&lease("X1").on("db"));
    assert_eq!(s.step(|draft| draft.file("leases/L0.yaml", bytes(&older))), NONE);
    assert_eq!((at(&s, Some(Action::Cosign)), at(&s, None)), (is("L1"), is("L1")));
    s.does("user1", l.cosign()).does("cp14", l.cosign());
    assert_eq!((at(&s, Some(Action::Cosign)), at(&s, Some(Action::Start))), (is("L0"), is("L1")));
    s.does("cp14", l.start(5));
    assert_eq!((at(&s, Some(Action::Start)), at(&s, Some(Action::Promote))), (is("L0"), is("L1")));
    assert_eq!((at(&s, Some(Action::Halt)), at(&s, None)), (is("L1"), is("L1")));
    s.does("user1", l.stop(StopKind::Rollback, 1));
    assert_eq!((at(&s, Some(Action::Halt)), at(&s, None)), (is("L0"), is("L0")), "what has ended comes last");
}
