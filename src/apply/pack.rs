//! Rollback packs: what was there before a lease's first shift, complete enough to restore and to check the restoration.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Digest, LeaseId, Reason, Refusal, TargetId};

use super::{decide::Observed, drivers::Driver};

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    pub taken_at: Timestamp,
    /// What was observed.
    pub observed: Observed,
    /// The driver's own bytes, base64.
    pub snapshot: String,
    /// The SHA-256 of those bytes.
    pub digest: Digest,
}

impl RollbackPack {
    /// Takes a pack of what is there, and rehearses it.
    pub fn take(driver: &dyn Driver, target: &TargetId, lease: &LeaseId, now: Timestamp) -> Result<Self, Refusal> {
        let snapshot = driver.snapshot().map_err(|refusal| no_pack(&refusal))?;
        let pack = Self {
            version: 1,
            target: target.clone(),
            lease: lease.clone(),
            driver: driver.name().to_owned(),
            taken_at: now,
            observed: driver.observe().map_err(|refusal| no_pack(&refusal))?,
            digest: Digest::of(&snapshot.bytes),
            snapshot: STANDARD.encode(snapshot.bytes),
        };
        pack.rehearse(driver)?;
        Ok(pack)
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
        if pack.version == 1 && pack.target == *target && pack.lease == *lease {
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

    /// Tries the restoration dry.
    pub fn rehearse(&self, driver: &dyn Driver) -> Result<(), Refusal> {
        if self.driver != driver.name() {
            return Err(bad(&format!("it was taken by driver {}, this is {}", self.driver, driver.name())));
        }
        driver.rehearse(&self.restorable()?).map(drop).map_err(|refusal| no_pack(&refusal))
    }
}

fn no_pack(refusal: &Refusal) -> Refusal {
    Refusal::new(Reason::NoPack, format!("no rollback pack: {}", refusal.message))
}

fn bad(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Reason::NoPack, format!("the rollback pack cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::drivers::FileDriver;

    #[test]
    fn a_pack_reads_back_and_a_damaged_one_is_no_pack() {
        let folder = tempfile::tempdir().unwrap();
        let target = TargetId::parse("shop").unwrap();
        let lease = LeaseId::parse("L-1").unwrap();
        let driver = FileDriver::new(target.clone(), folder.path().join("w.json"));
        let pack = RollbackPack::take(&driver, &target, &lease, Timestamp::UNIX_EPOCH).unwrap();
        let again = RollbackPack::parse(&pack.bytes().unwrap(), &target, &lease).unwrap();
        assert_eq!(again, pack);
        again.rehearse(&driver).unwrap();
        let other = LeaseId::parse("L-2").unwrap();
        assert_eq!(RollbackPack::parse(&pack.bytes().unwrap(), &target, &other).unwrap_err().reason, Reason::NoPack);
        let damaged = RollbackPack { snapshot: STANDARD.encode("{}"), ..pack.clone() };
        assert_eq!(damaged.rehearse(&driver).unwrap_err().reason, Reason::NoPack);
        let elsewhere = RollbackPack { driver: "haproxy/1".to_owned(), ..pack };
        assert_eq!(elsewhere.rehearse(&driver).unwrap_err().reason, Reason::NoPack);
    }
}
