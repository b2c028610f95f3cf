//! Rollback packs: what was there before a lease's first shift, complete enough to restore and to check the restoration.
//!
//! A pack is a file in the tree of its applier's signed ref, so its content and its maker are what that commit says. The
//! first one that the applier signed for a lease counts; whatever came there later, or from somebody else, does not.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    follower::records::{applier_of, basis_points},
    git::Repository,
    ledger::{State, rules},
    model::{Digest, LeaseId, Oid, PrincipalId, Reason, Refusal, TargetId, lease::Lease, policy::Role, refs},
    push::signer_of,
};

use super::{
    baseline::Baselines,
    decision::Observed,
    drivers::{Driver, Reversible},
    probe::{Probe, Probed},
};

/// What was there before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackPack {
    /// The form of the pack.
    pub version: u32,
    /// Where.
    pub target: TargetId,
    /// Before which lease.
    pub lease: LeaseId,
    /// The driver and its version.
    pub driver: String,
    /// When it was taken.
    #[schemars(with = "String")]
    pub taken_at: Timestamp,
    /// Whether there is a way back; `no` means that the weight is taken away and nothing is restored.
    pub reversible: Reversible,
    /// What ran before and what shall run, by digest.
    pub versions: Versions,
    /// What was observed.
    pub observed: Observed,
    /// The weight of each backend, in the target's own unit.
    pub backends: BTreeMap<String, u32>,
    /// The commit of the deploy repository.
    pub commit: Option<String>,
    /// What the entrance served, where probes are configured.
    pub probes: Option<Probed>,
    /// What gates measured of the version that ran before, with the window: what "healthy" means for it.
    pub baselines: Option<Baselines>,
    /// How it would be restored, a line a step.
    pub plan: Vec<String>,
    /// The driver's own bytes, base64: rendered configuration, weights.
    pub snapshot: String,
    /// The SHA-256 of those bytes.
    pub digest: Digest,
}

/// What ran and what shall run, by object id or digest and never by a name that can move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// Before the lease, as far as the ledger knows.
    pub before: Vec<String>,
    /// The candidate.
    pub candidate: Vec<String>,
}

impl Versions {
    /// What a lease says of them, and the lease whose change ran before it.
    pub fn of(lease: &Lease, previous: Option<&Lease>) -> Self {
        let artifacts = |lease: &Lease| {
            lease.artifacts.iter().map(|artifact| format!("{} {}", artifact.name, artifact.digest)).collect::<Vec<_>>()
        };
        let change = |id: Option<Oid>| id.map(|id| format!("commit {id}"));
        let mut before: Vec<_> = change(lease.change.as_ref().map(|change| change.from)).into_iter().collect();
        before.extend(previous.into_iter().flat_map(artifacts));
        let mut candidate: Vec<_> = change(lease.change.as_ref().map(|change| change.to)).into_iter().collect();
        candidate.extend(artifacts(lease));
        Self { before, candidate }
    }
}

/// For what a pack is taken.
#[derive(Debug, Clone)]
pub struct PackContext {
    /// Where.
    pub target: TargetId,
    /// The lease that is about to move it.
    pub lease: Lease,
    /// The lease that moved it last.
    pub previous: Option<Lease>,
    /// How the entrance is asked what it serves.
    pub probe: Option<Probe>,
    /// What gates measured of the version that runs.
    pub baselines: Option<Baselines>,
    /// When.
    pub now: Timestamp,
}

impl RollbackPack {
    /// Takes a pack of what is there, and rehearses it. Refused are targets that the lease's tiers could not be reached
    /// on: then there is no first shift either.
    pub fn take(driver: &dyn Driver, occasion: &PackContext) -> Result<Self, Refusal> {
        for tier in &occasion.lease.tiers {
            driver.reaches(basis_points(tier.weight))?;
        }
        if let Some(fault) = driver.survey()?.faults.into_iter().next() {
            return Err(fault);
        }
        let snapshot = driver.snapshot().map_err(|refusal| no_pack(&refusal))?;
        let probed = |probe: &Probe| probe.ask().map(|served| Probed { probe: probe.clone(), served });
        Ok(Self {
            version: 2,
            target: occasion.target.clone(),
            lease: occasion.lease.id.clone(),
            driver: driver.name().to_owned(),
            taken_at: occasion.now,
            reversible: driver.reversible().map_err(|refusal| no_pack(&refusal))?,
            versions: Versions::of(&occasion.lease, occasion.previous.as_ref()),
            observed: driver.observe().map_err(|refusal| no_pack(&refusal))?,
            backends: snapshot.backends,
            commit: snapshot.commit,
            probes: occasion.probe.as_ref().map(probed).transpose().map_err(|refusal| no_pack(&refusal))?,
            baselines: occasion.baselines.clone(),
            plan: driver.rehearse(&snapshot.bytes).map_err(|refusal| no_pack(&refusal))?,
            digest: Digest::of(&snapshot.bytes),
            snapshot: STANDARD.encode(snapshot.bytes),
        })
    }

    /// Where packs are in an applier's tree: one a lease, never replaced.
    pub fn path(lease: &LeaseId) -> String {
        format!("packs/{lease}.json")
    }

    /// The pack as a file.
    pub fn bytes(&self) -> Result<Vec<u8>, Refusal> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| bad(&error))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a pack, which must be the target's and the lease's.
    pub fn parse(bytes: &[u8], target: &TargetId, lease: &LeaseId) -> Result<Self, Refusal> {
        let pack: Self = serde_json::from_slice(bytes).map_err(|error| bad(&error))?;
        if pack.version == 2 && pack.target == *target && pack.lease == *lease {
            Ok(pack)
        } else {
            Err(bad(&format!("it is of another form, or for lease {} on {}", pack.lease, pack.target)))
        }
    }

    /// The driver's bytes, if they are whole.
    pub fn restorable(&self) -> Result<Vec<u8>, Refusal> {
        let snapshot = STANDARD.decode(&self.snapshot).map_err(|error| bad(&error))?;
        if Digest::of(&snapshot) == self.digest { Ok(snapshot) } else { Err(bad(&"its bytes are not those it names")) }
    }

    /// Tries the restoration dry: what would be done, a line a step.
    pub fn rehearse(&self, driver: &dyn Driver) -> Result<Vec<String>, Refusal> {
        if self.driver != driver.name() {
            return Err(bad(&format!("it was taken by driver {}, this is {}", self.driver, driver.name())));
        }
        driver.rehearse(&self.restorable()?).map_err(|refusal| no_pack(&refusal))
    }
}

/// A pack as its applier signed it first.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedPack {
    /// The pack.
    pub pack: RollbackPack,
    /// The SHA-256 of its file.
    pub digest: Digest,
    /// Who took it.
    pub applier: PrincipalId,
    /// The commit that brought it in.
    pub commit: Oid,
}

/// The pack of a lease that counts: the first one on the ref of the target's applier that this applier signed.
pub fn find(repository: &Repository, state: &State, lease: &Lease) -> Result<SignedPack, Refusal> {
    let known = state.policy().get().targets.get(&lease.target).and_then(|known| known.applier.as_ref());
    let applier = known.ok_or_else(|| none(&lease.id, &format!("target {} has no applier", lease.target)))?;
    for (name, tip) in repository.refs(&[refs::APPLIERS, refs::MIRROR].map(refs::space))? {
        if applier_of(&name).as_ref() == Some(applier)
            && let Some((bytes, commit)) = first_signed(repository, state, applier, tip, &lease.id)?
        {
            let pack = RollbackPack::parse(&bytes, &lease.target, &lease.id)?;
            return Ok(SignedPack { pack, digest: Digest::of(&bytes), applier: applier.clone(), commit });
        }
    }
    Err(none(&lease.id, &format!("applier {applier} has signed none that is known here"))
        .hint("fetch the appliers' refs: git fetch origin '+refs/two-key/*:refs/two-key-remote/origin/two-key/*'"))
}

/// The first file of a lease's pack behind a tip that an applier itself signed, and the commit that brought it in.
pub(super) fn first_signed(
    repository: &Repository,
    state: &State,
    applier: &PrincipalId,
    tip: Oid,
    lease: &LeaseId,
) -> Result<Option<(Vec<u8>, Oid)>, Refusal> {
    let path = RollbackPack::path(lease);
    let mut objects = repository.objects()?;
    for commit in repository.changes_of(tip, &path)? {
        let opened = objects.open_one(commit)?;
        let signer = signer_of(&opened).map(|key| rules::owner(state, key));
        if let Some(Ok((owner, Role::Applier))) = signer
            && owner == *applier
            && let Some(bytes) = objects.file_at(commit, &path)?
        {
            return Ok(Some((bytes, commit)));
        }
    }
    Ok(None)
}

fn none(lease: &LeaseId, why: &str) -> Refusal {
    Refusal::new(Reason::NoPack, format!("lease {lease} has no rollback pack: {why}"))
}

fn no_pack(refusal: &Refusal) -> Refusal {
    let mut no_pack = Refusal::new(Reason::NoPack, format!("no rollback pack: {}", refusal.message));
    no_pack.hint.clone_from(&refusal.hint);
    no_pack
}

fn bad(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Reason::NoPack, format!("the rollback pack cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{self, document::Span},
        reconciler::drivers::FileDriver,
    };

    fn occasion() -> PackContext {
        let digest = Digest::of(b"checkout");
        let text = format!(
            "two-key: 1\nlease: L-1\nrepository: 6f1c0e2b9a4d4f70a1b2c3d4e5f60718\nartifacts: [{{name: checkout, digest: \"{digest}\"}}]\n\
             target: shop\nissued: 2025-10-27T02:19:13Z\nexpires: 2035-10-28T02:19:13Z\ntiers: [{{weight: 5, bake: 1m}}, {{weight: 100, bake: 1m}}]\n"
        );
        let lease = model::lease::read(text.as_bytes()).unwrap().get().clone();
        let (target, now) = (lease.target.clone(), Timestamp::UNIX_EPOCH);
        PackContext { target, lease, previous: None, probe: None, baselines: None, now }
    }

    #[test]
    fn a_pack_reads_back_and_a_damaged_one_is_no_pack() {
        let folder = tempfile::tempdir().unwrap();
        let PackContext { target, lease, .. } = occasion();
        let driver = FileDriver::new(target.clone(), folder.path().join("w.json"));
        let pack = RollbackPack::take(&driver, &occasion()).unwrap();
        assert_eq!(pack.versions.candidate, [format!("checkout {}", Digest::of(b"checkout"))]);
        let again = RollbackPack::parse(&pack.bytes().unwrap(), &target, &lease.id).unwrap();
        assert_eq!(again, pack);
        assert_eq!(again.rehearse(&driver).unwrap(), pack.plan);
        let other = LeaseId::parse("L-2").unwrap();
        assert_eq!(RollbackPack::parse(&pack.bytes().unwrap(), &target, &other).unwrap_err().reason, Reason::NoPack);
        let damaged = RollbackPack { snapshot: STANDARD.encode("{}"), ..pack.clone() };
        assert_eq!(damaged.rehearse(&driver).unwrap_err().reason, Reason::NoPack);
        let elsewhere = RollbackPack { driver: "haproxy/1".to_owned(), ..pack };
        assert_eq!(elsewhere.rehearse(&driver).unwrap_err().reason, Reason::NoPack);
    }

    #[test]
    fn where_the_entrance_does_not_answer_there_is_no_pack() {
        let folder = tempfile::tempdir().unwrap();
        let driver = FileDriver::new(occasion().target, folder.path().join("w.json"));
        let probe = Probe {
            url: "http://127.0.0.1:1/".to_owned(),
            header: None,
            ca_file: None,
            count: 1,
            within: Span::seconds(0),
        };
        let refused = RollbackPack::take(&driver, &PackContext { probe: Some(probe), ..occasion() }).unwrap_err();
        assert_eq!(refused.reason, Reason::NoPack);
        assert!(RollbackPack::take(&driver, &occasion()).is_ok());
    }
}
