//! The embedded driver: one JSON file, replaced atomically. Anything can watch it.
//!
//! ```json
//! {"version": 1, "target": "checkout-prod", "weight_bp": 500, "lease": "LEASE-…", "step": 1, "generation": 3}
//! ```
//!
//! A missing file means weight zero: all traffic to the stable version.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use crate::{
    follower::files,
    model::{LeaseId, Reason, Refusal, TargetId},
    reconciler::decision::Observed,
};

use super::{Driver, Setting, Snapshot};

/// The largest file that is read.
const MAX_BYTES: u64 = 64 * 1024;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Weights {
    /// The form of the file.
    version: u32,
    /// The target that it is for.
    target: TargetId,
    /// The candidate's weight in basis points.
    weight_bp: u32,
    /// The lease whose change is the candidate.
    lease: Option<LeaseId>,
    /// The transition that asked for it.
    step: Option<u32>,
    /// How many times it was written.
    generation: u64,
}

/// One JSON file.
#[derive(Debug)]
pub struct FileDriver {
    target: TargetId,
    path: PathBuf,
}

impl FileDriver {
    /// A driver for a target's file.
    pub fn new(target: TargetId, path: PathBuf) -> Self {
        Self { target, path }
    }

    /// The file's bytes; none if there is no file.
    fn bytes(&self) -> Result<Option<Vec<u8>>, Refusal> {
        // Opening a pipe would wait for somebody to write.
        match std::fs::metadata(&self.path) {
            Ok(found) if !found.is_file() => return Err(self.unknown(&"it is not a regular file")),
            _ => {}
        }
        let file = match std::fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unknown(&error)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| self.unknown(&error))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(self.unknown(&"it is too large"));
        }
        Ok(Some(bytes))
    }

    fn parse(&self, bytes: &[u8]) -> Result<Weights, Refusal> {
        let weights: Weights = serde_json::from_slice(bytes).map_err(|error| self.unknown(&error))?;
        if weights.version != 1 || weights.weight_bp > 10_000 {
            return Err(self.unknown(&"its version is not 1, or its weight is over 10000"));
        }
        if weights.target != self.target {
            return Err(self.unknown(&format!("it is target {}'s", weights.target)));
        }
        Ok(weights)
    }

    fn read(&self) -> Result<Weights, Refusal> {
        match self.bytes()? {
            Some(bytes) => self.parse(&bytes),
            None => Ok(self.stable()),
        }
    }

    /// What a missing file means.
    fn stable(&self) -> Weights {
        Weights { version: 1, target: self.target.clone(), weight_bp: 0, lease: None, step: None, generation: 0 }
    }

    fn write(&self, weights: &Weights) -> Result<(), Refusal> {
        let mut bytes = serde_json::to_vec(weights).map_err(|error| self.unknown(&error))?;
        bytes.push(b'\n');
        files::replace(&self.path, &bytes)
    }

    fn unknown(&self, error: &dyn std::fmt::Display) -> Refusal {
        Refusal::new(Reason::NoData, format!("{} cannot be read as weights: {error}", self.path.display()))
    }
}

impl Driver for FileDriver {
    fn name(&self) -> &'static str {
        "file/1"
    }

    fn reaches(&self, _: u32) -> Result<(), Refusal> {
        Ok(())
    }

    fn observe(&self) -> Result<Observed, Refusal> {
        let weights = self.read()?;
        Ok(Observed { weight_bp: weights.weight_bp, lease: weights.lease })
    }

    fn shift(&self, to: &Setting) -> Result<(), Refusal> {
        // What cannot be read is overwritten: a stop does not wait until somebody has mended the file.
        let before = self.read().unwrap_or_else(|_| self.stable());
        let wanted =
            Weights { weight_bp: to.weight_bp, lease: Some(to.lease.clone()), step: Some(to.step), ..before.clone() };
        let generation = before.generation.saturating_add(1);
        self.write(&Weights { generation, ..wanted })
    }

    fn snapshot(&self) -> Result<Snapshot, Refusal> {
        if self.bytes()?.is_none() {
            // Written as what it means, so that there are bytes to come back to.
            self.write(&self.stable())?;
        }
        let bytes = self.bytes()?.ok_or_else(|| self.unknown(&"it vanished"))?;
        let weight_bp = self.parse(&bytes)?.weight_bp;
        Ok(Snapshot { bytes, backends: BTreeMap::from([("candidate".to_owned(), weight_bp)]), commit: None })
    }

    fn rehearse(&self, snapshot: &[u8]) -> Result<Vec<String>, Refusal> {
        self.parse(snapshot)?;
        files::probe(&self.path)?;
        Ok(vec![format!("replace {} by the bytes in this pack", self.path.display())])
    }

    fn restore(&self, snapshot: &[u8]) -> Result<(), Refusal> {
        self.parse(snapshot)?;
        files::replace(&self.path, snapshot)
    }

    fn verify(&self, snapshot: &[u8]) -> Result<(), Refusal> {
        if self.bytes()?.as_deref() == Some(snapshot) {
            return Ok(());
        }
        let message = format!("{} is not what it was before the lease", self.path.display());
        Err(Refusal::new(Reason::Drift, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver(folder: &tempfile::TempDir) -> FileDriver {
        FileDriver::new(TargetId::parse("shop").unwrap(), folder.path().join("weights.json"))
    }

    fn to(weight_bp: u32) -> Setting {
        Setting { weight_bp, lease: LeaseId::parse("L-1").unwrap(), step: 1 }
    }

    #[test]
    fn a_missing_file_is_weight_zero_and_a_broken_one_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let driver = driver(&folder);
        assert_eq!(driver.observe().unwrap(), Observed { weight_bp: 0, lease: None });
        for broken in [
            "",
            "{}",
            r#"{"version":1,"target":"other","weight_bp":0,"lease":null,"step":null,"generation":0}"#,
            r#"{"version":1,"target":"shop","weight_bp":10001,"lease":null,"step":null,"generation":0}"#,
        ] {
            std::fs::write(folder.path().join("weights.json"), broken).unwrap();
            assert_eq!(driver.observe().unwrap_err().reason, Reason::NoData, "{broken}");
            assert!(driver.snapshot().is_err());
        }
        driver.shift(&to(0)).unwrap();
        assert_eq!(driver.observe().unwrap().weight_bp, 0, "a stop overwrites what cannot be read");
    }

    #[test]
    fn what_was_there_comes_back_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        let driver = driver(&folder);
        let path = folder.path().join("weights.json");
        let before = "{ \"version\": 1, \"target\": \"shop\", \"weight_bp\": 10000,\n \"lease\": \"L-0\", \"step\": 3, \"generation\": 9}";
        std::fs::write(&path, before).unwrap();
        let snapshot = driver.snapshot().unwrap().bytes;
        driver.rehearse(&snapshot).unwrap();
        driver.shift(&to(500)).unwrap();
        assert_eq!(driver.observe().unwrap(), Observed { weight_bp: 500, lease: LeaseId::parse("L-1") });
        assert!(std::fs::read_to_string(&path).unwrap().contains("\"generation\":10"));
        assert_eq!(driver.verify(&snapshot).unwrap_err().reason, Reason::Drift);
        driver.restore(&snapshot).unwrap();
        driver.verify(&snapshot).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
    }

    #[test]
    fn a_rehearsal_fails_where_nothing_could_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let driver = FileDriver::new(TargetId::parse("shop").unwrap(), folder.path().join("no/such/weights.json"));
        let good = serde_json::to_vec(&driver.stable()).unwrap();
        assert!(driver.rehearse(&good).is_err());
        assert!(self::driver(&folder).rehearse(&good).is_ok());
        assert!(self::driver(&folder).rehearse(b"garbage").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a rehearsal leaves nothing");
    }
}
