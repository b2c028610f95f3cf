//! Lease as it is shown: what it says, where it is, who turned which key for it, and what it awaits.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    ledger::{
        Ballot, EventVote, LeaseState, Phase, State, StepReport, Transition, Vote,
        rules::{self, Demand},
    },
    model::{
        Action, LeaseId, Percent,
        lease::{Lease, Tier},
        refs,
    },
    signature::Carrier,
};

use super::{
    Beside, FindingView, RefusalView, Unpushed,
    awaits::{Awaits, awaits, is_expired},
    findings,
    keys::KeyStanding,
    terms::LeaseTerms,
    words::{escaped, listed, time},
};

/// A key turned to authorize a lease.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cosigner {
    /// `human` or `agent`.
    pub role: String,
    /// The principal.
    pub id: String,
    /// The signature, base64.
    pub sig: String,
    /// When the signer says that it was, RFC 3339; null where another's commit sealed it, and no note tells.
    pub timestamp: Option<String>,
    /// The key's fingerprint.
    pub key: String,
    /// Whether it counts: under the policy in force, or of a lease that has started or was withdrawn, whether it counted then.
    pub counts: bool,
    /// What has become of the key: `in-force`, `revoked` or `not-listed`.
    pub key_is: String,
}

impl Cosigner {
    /// Whether it counts, and what has become of its key since, in words.
    pub(super) fn standing(&self) -> String {
        match (self.counts, self.key_is.as_str()) {
            (true, "revoked") => "counted then; key revoked since".to_owned(),
            (true, "not-listed") => "counted then; key no longer listed".to_owned(),
            (true, _) => "counts".to_owned(),
            (false, _) => "does not count".to_owned(),
        }
    }
}

/// A key turned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VoteView {
    /// The principal.
    pub principal: String,
    /// Its role.
    pub role: String,
    /// The key's fingerprint.
    pub key: String,
    /// `commit` (a Git commit signature), `detached` (made for this purpose), or `note` (the same, and not sealed yet).
    pub carrier: String,
    /// The commit that carried it; of one in a note, the notes commit.
    pub commit: String,
    /// When the signer says that it was, RFC 3339; null where another's commit sealed it, and no note tells.
    pub claimed: Option<String>,
    /// Why, in the signer's words.
    pub remark: Option<String>,
    /// The digest of the evidence that the signer names.
    pub evidence: Option<String>,
}

/// Votes that wait for others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BallotView {
    /// What for.
    pub action: String,
    /// The step that it would be.
    pub step: Option<u32>,
    /// The tier that it would go to, in percent.
    pub tier: Option<u8>,
    /// Whose.
    pub votes: Vec<VoteView>,
}

/// A transition in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TransitionView {
    /// Its number.
    pub step: u32,
    /// What it did.
    pub action: String,
    /// The tier that it went to, in percent.
    pub tier: Option<u8>,
    /// Where the lease was afterwards.
    pub state: String,
    /// The first-parent commit that put it in force.
    pub commit: String,
    /// Its tag's name below `refs/tags/`.
    pub tag: String,
    /// Whether the tag is there.
    pub tagged: bool,
    /// The keys that were turned for it; none for a completion that another lease's start implied.
    pub votes: Vec<VoteView>,
}

/// What an applier attests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct ObservedView {
    /// The applier.
    pub applier: String,
    /// The weight in percent.
    pub weight: Option<Percent>,
    /// What it was doing.
    pub doing: Option<String>,
    /// The step that it has applied.
    pub step: Option<u32>,
    /// When it saw that, RFC 3339.
    pub seen: Option<String>,
    /// When watching the present weight began, RFC 3339.
    pub bake_started: Option<String>,
    /// The reason code for doing no more.
    pub reason: Option<String>,
    /// The same in words.
    pub message: Option<String>,
    /// What it concluded of the metrics at that weight; null where it judged nothing.
    pub health: Option<HealthView>,
    /// How the checks of the last rollback came out; empty where there was none.
    pub checks: Vec<CheckView>,
    /// Why the key that signed it is in force no more, where it counted then: `revoked` or `not-listed`; or `reassigned`: the
    /// target is no longer its applier's; null where both are so.
    pub key_standing: Option<String>,
}

/// What to know of a key that counted then: `counted then; key revoked since`.
pub(super) fn since(standing: &str) -> String {
    let what = match standing {
        "revoked" => "key revoked since",
        "reassigned" => "no longer the target's applier",
        _ => "key taken off the list since",
    };
    format!("counted then; {what}")
}

impl ObservedView {
    /// Why it does no more, or what it waits for, in its applier's words.
    pub(super) fn words(&self) -> Option<String> {
        let words: Vec<_> = [&self.reason, &self.message].into_iter().flatten().map(String::as_str).collect();
        Some(words.join(": ")).filter(|words| !words.is_empty())
    }
}

/// What an applier concluded of the metrics of a tier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HealthView {
    /// The verdict of the gates together: `PASS`, `PENDING`, `INCONCLUSIVE` or `FAIL`; null where there are none.
    pub verdict: Option<String>,
    /// Where the limits stand together: `fine`, `warn`, `no-data` or `halt`.
    pub limits: String,
    /// What was measured, a line each.
    pub figures: Vec<String>,
    /// The digest of the evidence.
    pub evidence: Option<String>,
}

/// One check of a rollback.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckView {
    /// `observed`, `probes`, `health`, `candidate` or `configuration`.
    pub check: String,
    /// `passed`, `failed`, `pending` or `not-configured`.
    pub outcome: String,
    /// What was found.
    pub message: String,
}

/// One tier of a lease, and how far it has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TierView {
    /// The weight in percent.
    pub weight: u8,
    /// How long it is watched, in seconds.
    pub bake: u64,
    /// `passed`, `here`, `next` or `later`; of a lease that was stopped or undone, `passed` up to where it was.
    pub state: String,
    /// The step that went there.
    pub step: Option<u32>,
}

/// All about one lease.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct LeaseView {
    /// The id.
    pub lease: String,
    /// `proposed`, `authorized`, `rolling`, `paused`, `halted`, `completed`, `rolled-back` or `withdrawn`.
    pub state: String,
    /// The tier that it is at, in percent.
    pub tier: Option<u8>,
    /// The weight that the ledger wants, in percent.
    pub weight: u8,
    /// The same, under the name that goes with `observed`.
    pub desired: u8,
    /// What an applier attests; null where none did.
    pub observed: Option<ObservedView>,
    /// The number of its last transition; 0 before its start.
    pub step: u32,
    /// Who authorized it.
    pub cosigners: Vec<Cosigner>,
    /// How many of those count towards the rule.
    pub cosigners_have: usize,
    /// How many the rule asks for.
    pub cosigners_needed: usize,
    /// What it awaits; null if it has ended, or if its window has closed and what is next comes too late.
    pub awaits: Option<Awaits>,
    /// Whether its window has closed, by the clock here.
    pub expired: bool,
    /// Why agents did not turn their keys for it.
    pub refused: Vec<RefusalView>,
    /// Votes in the ledger that wait for others.
    pub pending: Vec<BallotView>,
    /// What happened, in order.
    pub transitions: Vec<TransitionView>,
    /// The lease whose start completed this one.
    pub superseded_by: Option<String>,
    /// The digest of its bytes: pinned by the first vote, before that of the file in the tree.
    pub digest: Option<String>,
    /// Whether a vote has pinned those bytes.
    pub pinned: bool,
    /// Its files in the tree.
    pub files: Vec<String>,
    /// What its document says.
    #[serde(flatten)]
    pub terms: LeaseTerms,
    /// The tiers as values, with how far it has come.
    pub tier_details: Vec<TierView>,
    /// What did not count: the first thousand.
    pub findings: Vec<FindingView>,
    /// How many more did not.
    pub more_findings: usize,
    /// What was signed here about it, and is not on the upstream.
    pub unpushed: Vec<Unpushed>,
}

/// All about a lease that the ledger or the tree knows.
pub fn lease_view(state: &State, reports: &[StepReport], beside: &Beside, id: &LeaseId) -> LeaseView {
    let entry = state.lease(id);
    let document = state.document(id);
    let phase = entry.map_or(Phase::Proposed, |entry| entry.phase);
    let weight = entry.map_or(0, LeaseState::weight);
    let (cosigners_have, cosigners_needed) = cosigned(state, id);
    let files: Vec<_> = state.proposals(id).collect();
    let pinned = entry.and_then(|entry| entry.pinned.as_ref()).map(|pinned| pinned.digest());
    let (found, more_findings) = listed(findings(reports).filter(|finding| finding.lease.as_ref() == Some(id)));
    LeaseView {
        lease: id.to_string(),
        state: phase.word().to_owned(),
        tier: tier_weight(document, phase),
        weight,
        desired: weight,
        observed: beside.observed.get(id).map(observed_view),
        step: entry.map_or(0, |entry| entry.next_step() - 1),
        cosigners: entry.map(|entry| cosigners(state, beside, entry)).unwrap_or_default(),
        cosigners_have,
        cosigners_needed,
        awaits: awaits(state, beside, id),
        expired: is_expired(state, beside, id),
        refused: beside.refused.get(id).cloned().unwrap_or_default(),
        pending: entry.map(|entry| ballot_views(state, entry.pending.values())).unwrap_or_default(),
        transitions: entry
            .map(|entry| entry.transitions.iter().map(|transition| transition_view(id, transition, beside)).collect())
            .unwrap_or_default(),
        superseded_by: entry.and_then(|entry| entry.superseded_by.as_ref()).map(ToString::to_string),
        digest: pinned.or_else(|| files.iter().find_map(|(_, file)| file.digest)).map(|digest| digest.to_string()),
        pinned: pinned.is_some(),
        files: files.iter().map(|(path, _)| escaped(path)).collect(),
        terms: document.map(LeaseTerms::of).unwrap_or_default(),
        tier_details: document.map(|lease| tier_details(lease, entry)).unwrap_or_default(),
        findings: found.into_iter().map(FindingView::of).collect(),
        more_findings,
        unpushed: beside.unpushed_of(id),
    }
}

/// The weight of the tier that a lease is at.
pub(super) fn tier_weight(document: Option<&Lease>, phase: Phase) -> Option<u8> {
    document?.tiers.get(phase.tier()?).map(|tier| tier.weight)
}

/// How many keys count towards the lease's authorization, and how many its rule asks for.
pub(super) fn cosigned(state: &State, id: &LeaseId) -> (usize, usize) {
    let Some(tally) = state.authorization(id) else { return (0, 0) };
    let have =
        (tally.humans_needed + tally.agents_needed).saturating_sub(tally.humans_missing() + tally.agents_missing());
    (have, tally.humans_needed + tally.agents_needed)
}

fn cosigners(state: &State, beside: &Beside, entry: &LeaseState) -> Vec<Cosigner> {
    let authorizing = state.authorizing(&entry.id);
    let noted = |vote: &Vote| beside.noted.at(&entry.id, Action::Cosign, None, &vote.key.fingerprint());
    let cosigner = |vote: &Vote| Cosigner {
        role: vote.role.word().to_owned(),
        id: vote.principal.to_string(),
        sig: vote.signature.clone(),
        timestamp: vote.claimed_time.or_else(|| noted(vote)).and_then(time),
        key: vote.key.fingerprint().to_string(),
        counts: authorizing.contains_key(&vote.key.raw()),
        key_is: KeyStanding::of(state, vote.key.raw()).word().to_owned(),
    };
    let mut all: Vec<_> = entry.cosigned.values().map(cosigner).collect();
    // Humans first, then by name: the map's order is that of key bytes, which says nothing to anybody.
    all.sort_by(|one, other| (other.role == "human", &one.id).cmp(&(one.role == "human", &other.id)));
    all
}

impl VoteView {
    /// A vote, and when it was left in a note, where that is known.
    pub(super) fn of(vote: &EventVote, noted: Option<i64>) -> Self {
        Self {
            principal: vote.principal.to_string(),
            role: vote.role.word().to_owned(),
            key: vote.key.to_string(),
            carrier: match vote.carrier {
                Carrier::Commit => "commit".to_owned(),
                Carrier::Detached => "detached".to_owned(),
            },
            commit: vote.carried_by.to_string(),
            claimed: vote.claimed_time.or(noted).and_then(time),
            remark: vote.reason.clone(),
            evidence: vote.evidence.map(|digest| digest.to_string()),
        }
    }
}

pub(super) fn vote_view(vote: &Vote, noted: Option<i64>) -> VoteView {
    VoteView::of(&EventVote::from(vote), noted)
}

/// Votes whose keys the policy in force lists, as whose they are now. The others stay with their keys and may count again.
pub(super) fn ballot_views<'a>(state: &State, ballots: impl Iterator<Item = &'a Ballot>) -> Vec<BallotView> {
    let view = |ballot: &Ballot| {
        let fields = ballot.statement.fields();
        let counting = rules::counting(state, Demand::AnyOne, &ballot.votes);
        let mut votes: Vec<_> = counting.values().map(|vote| vote_view(vote, None)).collect();
        votes.sort_by(|one, other| one.principal.cmp(&other.principal));
        BallotView { action: fields.action.word().to_owned(), step: fields.step, tier: fields.tier, votes }
    };
    ballots.map(view).filter(|ballot| !ballot.votes.is_empty()).collect()
}

fn transition_view(id: &LeaseId, transition: &Transition, beside: &Beside) -> TransitionView {
    let tag = refs::short(&transition.tag(id)).to_owned();
    let noted = |vote: &Vote| beside.noted.at(id, transition.action, Some(transition.step), &vote.key.fingerprint());
    let mut votes: Vec<_> = transition.votes.iter().map(|vote| vote_view(vote, noted(vote))).collect();
    votes.sort_by(|one, other| one.principal.cmp(&other.principal));
    TransitionView {
        step: transition.step,
        action: transition.action.word().to_owned(),
        tier: transition.tier,
        state: transition.phase.word().to_owned(),
        commit: transition.commit.to_string(),
        tagged: beside.tags.contains(&tag),
        tag,
        votes,
    }
}

pub(super) fn observed_view(observation: &super::LeaseObservation) -> ObservedView {
    ObservedView {
        applier: observation.applier.to_string(),
        weight: observation.weight.map(Percent::of),
        doing: observation.doing.clone(),
        step: observation.step,
        seen: observation.seen.and_then(time),
        bake_started: observation.bake_started.and_then(time),
        reason: observation.reason.clone(),
        message: observation.message.clone(),
        health: observation.health.clone(),
        checks: observation.checks.clone(),
        key_standing: observation.key_standing.clone(),
    }
}

fn tier_details(lease: &Lease, entry: Option<&LeaseState>) -> Vec<TierView> {
    let phase = entry.map_or(Phase::Proposed, |entry| entry.phase);
    let went = |weight| entry?.transitions.iter().find(|one| one.tier == Some(weight)).map(|one| one.step);
    let here = phase.tier();
    let view = |(at, tier): (usize, &Tier)| {
        let step = went(tier.weight);
        let state = match (here, step) {
            (Some(here), _) if at == here => "here",
            (_, Some(_)) => "passed",
            (Some(here), None) if at == here + 1 => "next",
            (None, None) if at == 0 && !phase.ended() && phase != Phase::Halted => "next",
            _ => "later",
        };
        TierView { weight: tier.weight, bake: tier.bake.as_secs(), state: state.to_owned(), step }
    };
    lease.tiers.iter().enumerate().map(view).collect()
}
