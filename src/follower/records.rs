//! Applier records: a JSON record in each signed commit of `refs/two-key/appliers/<name>`.
//!
//! [`read`] is the reading side, which `list` and `show` use: of each applier ref it takes the tip, if the key that
//! signed it belongs to that applier and is in force. What it says is *observed*; nothing here is ever taken for what
//! the ledger wants.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    gate::{Pools, ThresholdState, Verdict},
    git::{GitError, Objects, Repository},
    ledger::{EventKind, State, rules},
    model::{
        Digest, Fingerprint, LeaseId, Oid, PrincipalId, RawKey, Reason, Refusal, RepositoryId, TargetId, policy::Role,
        refs,
    },
    push::{RECORD, signer_of},
    report::FormerKey,
    signature::Opened,
};

use super::checks::Checks;

/// What an applier saw and did, as of one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The form of the record.
    pub version: u32,
    /// The repository that it is of: one key may serve several.
    pub repository: RepositoryId,
    /// The applier.
    pub applier: PrincipalId,
    /// The ledger's tip that it went by.
    pub ledger: Oid,
    /// When it wrote this.
    pub seen_at: Timestamp,
    /// What it saw, by target.
    pub targets: BTreeMap<TargetId, TargetRecord>,
    /// What happened since the record before.
    pub events: Vec<RecordedEvent>,
}

/// What an applier saw and did about one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRecord {
    /// The lease that it moves the target for.
    pub lease: LeaseId,
    /// The number of that lease's last transition in the ledger.
    pub step: u32,
    /// The weight that the ledger wants, in basis points.
    pub desired_bp: u32,
    /// The weight that was observed; null where it could not be.
    pub observed_bp: Option<u32>,
    /// The lease that the observed weight belongs to.
    pub observed_lease: Option<LeaseId>,
    /// The last transition that was carried out.
    pub applied_step: u32,
    /// What it is doing.
    pub phase: Doing,
    /// When watching the present weight began.
    pub bake_started: Option<Timestamp>,
    /// When the present weight was first seen, whatever was seen since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<Timestamp>,
    /// When it last looked.
    pub seen_at: Timestamp,
    /// The digest of the rollback pack.
    pub pack: Option<Digest>,
    /// The reason code for doing no more.
    pub reason: Option<String>,
    /// The same in words.
    pub message: Option<String>,
    /// What it is about to do.
    pub intent: Option<Intent>,
    /// Who serves which version, as the target's driver names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pools: Option<Pools>,
    /// What a restart of what moves requests would bring instead of what is there, if anything: the next lease does not begin
    /// while that stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contradiction: Option<Contradiction>,
    /// How the checks of the last rollback came out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<Checks>,
    /// What metrics say of the tier that the target is at; none where nothing was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<TargetHealth>,
}

/// What an applier is doing with a target, as its records say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doing {
    /// Moving the target.
    Shifting,
    /// Watching a tier.
    Baking,
    /// The tier has been watched long enough.
    Ready,
    /// Keeping the weight for a reason.
    Holding,
    /// Undoing.
    RollingBack,
    /// The restored state matches the pack.
    Verified,
    /// What was there before is ordered again; whether traffic followed nobody here sees.
    Restored,
    /// It is not.
    RollbackFailed,
    /// A stop could not be carried out: the candidate may have weight that nobody wants it to have.
    StopFailed,
}

impl Doing {
    /// The word in records.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Shifting => "shifting",
            Self::Baking => "baking",
            Self::Ready => "ready",
            Self::Holding => "holding",
            Self::RollingBack => "rolling-back",
            Self::Verified => "verified",
            Self::Restored => "restored",
            Self::RollbackFailed => "rollback-failed",
            Self::StopFailed => "stop-failed",
        }
    }
}

/// A shift that was about to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Intent {
    /// For which lease.
    pub lease: LeaseId,
    /// To which of its tiers; none for zero.
    pub tier: Option<usize>,
    /// To which weight, in basis points.
    pub weight_bp: u32,
    /// For which transition.
    pub step: u32,
}

/// What a restart would bring instead of what is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contradiction {
    /// What it would bring.
    pub message: String,
    /// What to write where.
    pub mend: String,
}

impl From<&Refusal> for Contradiction {
    fn from(refusal: &Refusal) -> Self {
        Self { message: refusal.message.clone(), mend: refusal.hint.clone().unwrap_or_default() }
    }
}

/// What an applier measured of a tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetHealth {
    /// The verdict of the tier's gates together; none where there are none.
    pub verdict: Option<Verdict>,
    /// Where the limits stand together.
    pub limits: ThresholdState,
    /// What was measured, a line each, for people.
    pub figures: Vec<String>,
    /// The digest of the evidence for the last PASS or FAIL, which is in the tree of this record.
    pub evidence: Option<Digest>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedEvent {
    /// Its name in the audit trail.
    pub event: String,
    /// Where.
    pub target: TargetId,
    /// For which lease.
    pub lease: LeaseId,
    /// For which transition.
    pub step: u32,
    /// The weight in basis points; null where a stop failed and nobody could see the weight.
    pub weight_bp: Option<u32>,
    /// When it was seen.
    pub at: Timestamp,
}

impl Record {
    /// Reads a record.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok().filter(|record| record.version == 1)
    }

    /// Whether another record says nothing new: the times of looking aside.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.applier == other.applier && timeless(&self.targets) == timeless(&other.targets)
    }
}

/// A tier's weight in basis points.
pub fn basis_points(percent: u8) -> u32 {
    u32::from(percent) * 100
}

/// What is said about targets, the times of looking aside.
pub(crate) fn timeless(targets: &BTreeMap<TargetId, TargetRecord>) -> BTreeMap<TargetId, TargetRecord> {
    let mut targets = targets.clone();
    for target in targets.values_mut() {
        target.seen_at = Timestamp::UNIX_EPOCH;
        // Figures change at every look; that is no news until something follows from them.
        if let Some(health) = &mut target.health {
            health.figures.clear();
        }
    }
    targets
}

/// Why what an applier attests of a target is of the past: the target is another's now, or nobody's.
const REASSIGNED: &str = "reassigned";

/// What one applier attests about one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The applier.
    pub applier: PrincipalId,
    /// The target.
    pub target: TargetId,
    /// What it says.
    pub record: TargetRecord,
    /// Why the key that signed it is in force no more, or the target is not its applier's, where it counted then; none where that
    /// is so.
    pub former: Option<&'static str>,
}

/// Keys that appliers had once, and targets. What they signed while that was so is told as it counted then; nothing is decided
/// by it.
#[derive(Debug, Clone, Default)]
pub struct FormerKeys {
    /// Where each step stands in the ledger.
    pub place: BTreeMap<Oid, usize>,
    /// The keys.
    pub keys: Vec<FormerKey>,
    /// Which applier each target had, from which place in the ledger on.
    pub appliers: BTreeMap<usize, BTreeMap<TargetId, PrincipalId>>,
}

impl FormerKeys {
    /// The key, if it was this applier's at the ledger's tip that it went by.
    fn counted(&self, applier: &PrincipalId, key: RawKey, ledger: Oid) -> Option<&FormerKey> {
        let at = self.place.get(&ledger)?;
        let is_it = |former: &&FormerKey| former.principal == *applier && former.key.raw() == key && *at < former.ended;
        self.keys.iter().find(is_it)
    }

    /// Whether a target was this applier's at the ledger's tip that it went by.
    fn had(&self, applier: &PrincipalId, target: &TargetId, ledger: Oid) -> bool {
        let then = self.place.get(&ledger).and_then(|at| self.appliers.range(..=at).next_back());
        then.and_then(|(_, appliers)| appliers.get(target)) == Some(applier)
    }

    /// A key's fingerprint.
    pub fn fingerprint(&self, key: RawKey) -> Option<Fingerprint> {
        self.keys.iter().find(|former| former.key.raw() == key).map(|former| former.key.fingerprint())
    }
}

/// The observed plane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedPlane {
    /// What appliers attest, at most one for a target.
    pub found: Vec<Observation>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// Reads what appliers attest: their own refs, and those kept of remotes.
pub fn read(repository: &Repository, state: &State) -> Result<ObservedPlane, GitError> {
    let mut objects = repository.objects()?;
    let mut observations = ObservedPlane::default();
    let mut newest: BTreeMap<TargetId, Observation> = BTreeMap::new();
    let refs = ApplierRefs::of(repository, state, &FormerKeys::default())?;
    for (name, applier, tip) in refs.known {
        match attested(&mut objects, state, &applier, tip) {
            Ok(record) => {
                for (target, record) in record.targets {
                    let own = state.policy().get().targets.get(&target).and_then(|known| known.applier.as_ref());
                    if own != Some(&applier) {
                        continue;
                    }
                    let later = newest.get(&target).is_none_or(|known| known.record.seen_at < record.seen_at);
                    if later {
                        newest.insert(
                            target.clone(),
                            Observation { applier: applier.clone(), target, record, former: None },
                        );
                    }
                }
            }
            Err(why) => observations.notes.push(format!("{name} is left out: {why}")),
        }
    }
    if let Some((name, more)) = refs.nobodys {
        let more = if more == 0 { String::new() } else { format!(", and {more} more like it") };
        observations.notes.push(format!("{name} is left out: the policy in force has no such applier{more}"));
    }
    observations.found = newest.into_values().collect();
    Ok(observations)
}

/// The refs that appliers could have written, ours and those kept of remotes.
struct ApplierRefs {
    /// Those of appliers in the policy, or in an earlier one: their names, whose they are, and their tips.
    known: Vec<(String, PrincipalId, Oid)>,
    /// One that is of none, and how many more there are. Anybody can make these where nobody refuses it.
    nobodys: Option<(String, usize)>,
}

impl ApplierRefs {
    fn of(repository: &Repository, state: &State, past: &FormerKeys) -> Result<Self, GitError> {
        let principals = &state.policy().get().principals;
        let is_known = |name: &PrincipalId| {
            principals.get(name).is_some_and(|known| known.role == Role::Applier)
                || past.keys.iter().any(|former| former.principal == *name)
        };
        let mut refs = Self { known: Vec::new(), nobodys: None };
        for (name, tip) in repository.refs(&[refs::APPLIERS, refs::MIRROR].map(refs::space))? {
            match (applier_of(&name), &mut refs.nobodys) {
                (None, _) => {}
                (Some(applier), _) if is_known(&applier) => refs.known.push((name, applier, tip)),
                (Some(_), Some((_, more))) => *more += 1,
                (Some(_), none) => *none = Some((name, 0)),
            }
        }
        Ok(refs)
    }
}

/// The applier that a ref, ours or a remote's, is for.
pub(crate) fn applier_of(name: &str) -> Option<PrincipalId> {
    let own = name.strip_prefix(refs::APPLIERS);
    let theirs = || {
        let (_, rest) = name.strip_prefix(refs::MIRROR)?.split_once('/')?;
        rest.strip_prefix("two-key/appliers/")
    };
    PrincipalId::parse(own.or_else(theirs)?)
}

/// Something that an applier says happened, in a commit that its own key signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEvent {
    /// The applier.
    pub applier: PrincipalId,
    /// The key that signed.
    pub key: RawKey,
    /// The commit.
    pub commit: Oid,
    /// The ledger's tip that the applier went by.
    pub ledger: Oid,
    /// What happened.
    pub event: RecordedEvent,
    /// Why the key is in force no more, where it counted then.
    pub former: Option<&'static str>,
}

/// Whether there are refs that an applier of this or of an earlier policy could have written.
pub fn are_any(repository: &Repository, state: &State) -> Result<bool, GitError> {
    let refs = ApplierRefs::of(repository, state, &FormerKeys::default())?;
    Ok(!refs.known.is_empty() || refs.nobodys.is_some())
}

/// Everything that appliers say happened, oldest first for each applier. Commits that do not verify are left out.
pub fn history(repository: &Repository, state: &State, past: &FormerKeys) -> Result<Vec<SignedEvent>, GitError> {
    let mut objects = repository.objects()?;
    let mut met = BTreeSet::new();
    let mut happened = Vec::new();
    for (_, applier, tip) in ApplierRefs::of(repository, state, past)?.known {
        if met.contains(&(applier.clone(), tip)) {
            continue;
        }
        for commit in repository.first_parents(tip)? {
            // For each applier: at another's ref it says nothing.
            if !met.insert((applier.clone(), commit)) {
                continue;
            }
            if let Ok(SignedRecord { record, key, former }) = signed_record(&mut objects, state, past, &applier, commit)
            {
                let ledger = record.ledger;
                let of = |event| SignedEvent { applier: applier.clone(), key, commit, ledger, event, former };
                happened.extend(record.events.into_iter().map(of));
            }
        }
    }
    Ok(happened)
}

/// Leases whose last record is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sought {
    /// Where each of the leases started: records that went by earlier steps say nothing of it.
    pub started: BTreeMap<LeaseId, usize>,
}

/// The last that its applier attests of each of some leases, however much it has recorded since. What is not recorded is left
/// out.
pub fn last_about(
    repository: &Repository,
    state: &State,
    sought: &Sought,
    past: &FormerKeys,
) -> Result<BTreeMap<LeaseId, Observation>, GitError> {
    let mut found: BTreeMap<LeaseId, Observation> = BTreeMap::new();
    let applier_now = |target: &TargetId| {
        let known = state.policy().get().targets.get(target);
        known.and_then(|known| known.applier.as_ref())
    };
    let mut objects = repository.objects()?;
    for (_, applier, tip) in ApplierRefs::of(repository, state, past)?.known {
        let mut wanted: BTreeMap<&LeaseId, usize> = sought.started.iter().map(|(lease, at)| (lease, *at)).collect();
        if wanted.is_empty() {
            continue;
        }
        for commit in repository.first_parents(tip)?.into_iter().rev() {
            let Ok(signed) = signed_record(&mut objects, state, past, &applier, commit) else { continue };
            let SignedRecord { record, former, .. } = signed;
            let ledger = record.ledger;
            if let Some(at) = past.place.get(&record.ledger) {
                wanted.retain(|_, started| *started <= *at);
            }
            for (target, record) in record.targets {
                let is_its_own = applier_now(&target) == Some(&applier);
                if !(is_its_own || past.had(&applier, &target, ledger)) || wanted.remove(&record.lease).is_none() {
                    continue;
                }
                let former = former.or((!is_its_own).then_some(REASSIGNED));
                let later = found.get(&record.lease).is_none_or(|known| known.record.seen_at < record.seen_at);
                if later {
                    let lease = record.lease.clone();
                    found.insert(lease, Observation { applier: applier.clone(), target, record, former });
                }
            }
            if wanted.is_empty() {
                break;
            }
        }
    }
    Ok(found)
}

/// Why a target's applier, when it last had to before some time, could not restore what was there or had nothing to
/// restore.
pub fn unrestorable(
    repository: &Repository,
    state: &State,
    target: &TargetId,
    until: Timestamp,
) -> Result<Option<String>, GitError> {
    let events = history(repository, state, &FormerKeys::default())?;
    let outcome = |happened: &&SignedEvent| {
        let event = &happened.event;
        let ends = [EventKind::RollbackVerified, EventKind::RollbackRestored, EventKind::RollbackFailed];
        let ends = ends.iter().any(|kind| kind.name() == event.event);
        ends && event.target == *target && event.at <= until
    };
    let last = events.iter().filter(outcome).max_by_key(|happened| happened.event.at);
    if let Some(failed) = last.filter(|last| last.event.event == EventKind::RollbackFailed.name()) {
        return Ok(Some(format!("{} says that the rollback of {} failed", failed.applier, failed.event.lease)));
    }
    let without = |found: &&Observation| {
        let record = &found.record;
        found.target == *target && record.seen_at <= until && record.reason.as_deref() == Some(Reason::NoPack.code())
    };
    let observations = read(repository, state)?;
    let without = observations.found.iter().find(without);
    Ok(without.map(|found| format!("{} has no rollback pack for {}", found.applier, found.record.lease)))
}

/// The tips of applier refs, ours and remotes', that their own appliers signed.
pub fn attested_tips(repository: &Repository, state: &State) -> Result<Vec<Oid>, GitError> {
    let mut objects = repository.objects()?;
    let mut tips = Vec::new();
    for (_, applier, tip) in ApplierRefs::of(repository, state, &FormerKeys::default())?.known {
        if attested(&mut objects, state, &applier, tip).is_ok() {
            tips.push(tip);
        }
    }
    Ok(tips)
}

/// The record in any commit, if the applier that it names signed that; else why that applier does not attest it.
pub fn at(repository: &Repository, state: &State, commit: Oid) -> Result<Record, String> {
    let mut objects = repository.objects().map_err(|error| error.to_string())?;
    let bytes = objects.file_at(commit, RECORD).map_err(|error| error.to_string())?;
    let record = bytes.and_then(|bytes| Record::parse(&bytes)).ok_or_else(|| format!("it has no {RECORD}"))?;
    attested(&mut objects, state, &record.applier, commit)
}

/// The record at a tip that the applier itself signed.
fn attested(objects: &mut Objects, state: &State, applier: &PrincipalId, tip: Oid) -> Result<Record, String> {
    signed_record(objects, state, &FormerKeys::default(), applier, tip).map(|signed| signed.record)
}

/// A record that its applier signed.
struct SignedRecord {
    record: Record,
    key: RawKey,
    /// Why the key is in force no more, where it counted then.
    former: Option<&'static str>,
}

/// The record in a commit that the applier itself signed, by a key that is in force or was at the tip that it went by.
fn signed_record(
    objects: &mut Objects,
    state: &State,
    past: &FormerKeys,
    applier: &PrincipalId,
    tip: Oid,
) -> Result<SignedRecord, String> {
    let commit = objects.open_one(tip).map_err(|error| error.to_string())?;
    let Some(signer) = signer_of(&commit).filter(|_| matches!(commit, Opened::Ordinary { .. })) else {
        return Err(format!("its commit {} has no signature that verifies", tip.short()));
    };
    let owner = rules::owner(state, signer);
    if let Ok((owner, role)) = &owner
        && (owner != applier || *role != Role::Applier)
    {
        return Err(format!("its commit {} is signed by {owner}", tip.short()));
    }
    let bytes = objects.file_at(tip, RECORD).map_err(|error| error.to_string())?.unwrap_or_default();
    let record = Record::parse(&bytes).filter(|record| record.applier == *applier);
    let record = record.ok_or_else(|| format!("its {RECORD} is none of {applier}'s that this version can read"))?;
    if record.repository != state.policy().get().repository {
        return Err(format!("its {RECORD} is of repository {}", record.repository));
    }
    let former = match owner {
        Ok(_) => None,
        Err(refusal) => match past.counted(applier, signer, record.ledger) {
            Some(former) => Some(former.standing),
            None => return Err(refusal.to_string()),
        },
    };
    Ok(SignedRecord { record, key: signer, former })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applier_refs_are_known_by_their_names_here_and_of_remotes() {
        let edge = PrincipalId::parse("edge1");
        assert_eq!(applier_of("refs/two-key/appliers/edge1"), edge);
        assert_eq!(applier_of("refs/two-key-remote/origin/two-key/appliers/edge1"), edge);
        for other in ["refs/two-key/stops/a", "refs/two-key/appliers/a/b", "refs/two-key-remote/origin/two-key/stops/a"]
        {
            assert_eq!(applier_of(other), None, "{other}");
        }
    }
}
