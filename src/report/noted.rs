//! Votes by note: those that wait to be sealed, and when those were made that a transition sealed.

use std::collections::BTreeMap;

use crate::{
    ledger::{Event, EventKind},
    model::{Action, Fingerprint, LeaseId, Oid, PrincipalId, Statement, policy::Role},
};

use super::{VoteView, trail::TrailEntry, words::time};

/// Which vote it is, as far as an event tells.
type VoteId = (Option<LeaseId>, Action, Option<u32>, Fingerprint);

/// A vote that waits in a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingVote {
    /// Whose.
    pub principal: PrincipalId,
    /// That principal's role.
    pub role: Role,
    /// Which key.
    pub key: Fingerprint,
    /// What it is for.
    pub statement: Statement,
}

/// What is known of votes by note.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noted {
    made: BTreeMap<VoteId, (i64, Oid)>,
    waiting: Vec<WaitingVote>,
}

impl Noted {
    /// Those that wait, and of all the notes commits that first held them.
    pub fn new(waiting: Vec<WaitingVote>, made: impl Iterator<Item = (Statement, Fingerprint, i64, Oid)>) -> Self {
        let mut first: BTreeMap<VoteId, (i64, Oid)> = BTreeMap::new();
        for (statement, key, at, commit) in made {
            let known = first.entry(id_of(&statement, key)).or_insert((at, commit));
            *known = (*known).min((at, commit));
        }
        Self { made: first, waiting }
    }

    /// When a vote for a lease was left in a note.
    pub(super) fn at(&self, lease: &LeaseId, action: Action, step: Option<u32>, key: &Fingerprint) -> Option<i64> {
        self.made.get(&(Some(lease.clone()), action, step, key.clone())).map(|(at, _)| *at)
    }

    /// When a vote of an event was left in a note.
    pub(super) fn at_event(&self, event: &Event, key: &Fingerprint) -> Option<i64> {
        self.at(event.lease.as_ref()?, action_of(event)?, event.step, key)
    }

    /// An entry of the trail for each vote that waits.
    pub(super) fn entries<'a>(
        &'a self,
        wanted: impl Fn(Option<&LeaseId>) -> bool + 'a,
    ) -> impl Iterator<Item = TrailEntry> + 'a {
        self.waiting.iter().filter(move |vote| wanted(vote.statement.lease())).map(|vote| self.entry(vote))
    }

    fn entry(&self, vote: &WaitingVote) -> TrailEntry {
        let fields = vote.statement.fields();
        let event = if fields.action == Action::Cosign { EventKind::Cosigned } else { EventKind::Voted };
        let made = self.made.get(&id_of(&vote.statement, vote.key.clone()));
        let (at, commit) = (made.and_then(|(at, _)| time(*at)), made.map(|(_, id)| id.to_string()).unwrap_or_default());
        let view = VoteView {
            principal: vote.principal.to_string(),
            role: vote.role.word().to_owned(),
            key: vote.key.to_string(),
            carrier: "note".to_owned(),
            commit: commit.clone(),
            claimed: at.clone(),
            ..VoteView::default()
        };
        TrailEntry {
            event: event.name().to_owned(),
            time: at,
            time_is: "claimed".to_owned(),
            commit,
            action: (event == EventKind::Voted).then(|| fields.action.word().to_owned()),
            lease: fields.lease.map(|lease| lease.to_string()),
            step: fields.step,
            tier: fields.tier,
            principal: Some(view.principal.clone()),
            key: Some(view.key.clone()),
            votes: vec![view],
            ..TrailEntry::default()
        }
    }
}

fn id_of(statement: &Statement, key: Fingerprint) -> VoteId {
    let fields = statement.fields();
    (fields.lease, fields.action, fields.step, key)
}

/// What the votes of an event were for.
fn action_of(event: &Event) -> Option<Action> {
    match event.event {
        EventKind::Cosigned | EventKind::Verified2Key => Some(Action::Cosign),
        EventKind::Voted => event.action,
        EventKind::Started => Some(Action::Start),
        EventKind::CanaryPromoted => Some(Action::Promote),
        EventKind::Resumed => Some(Action::Resume),
        EventKind::Completed => Some(Action::Complete),
        _ => None,
    }
}
