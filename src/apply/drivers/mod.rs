//! Drivers: how traffic is really moved. A driver never proves success; only observing does.
//!
//! This version has the `file` driver. The others that policies may name are refused where a target asks for one.

mod file;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::model::{LeaseId, Reason, Refusal, TargetId, policy};

use super::decide::Observed;

pub use file::FileDriver;

/// What a driver is asked to set. Idempotent: setting what is set already changes nothing that anybody could notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The candidate's weight in basis points.
    pub weight_bp: u32,
    /// The lease whose change is the candidate.
    pub lease: LeaseId,
    /// The transition that asks for it.
    pub step: u32,
}

/// Moves one target, and says what is there.
pub trait Driver: Send {
    /// Its name and version, as packs hold it.
    fn name(&self) -> &'static str;

    /// What is there now. An error is *unknown*, never zero.
    fn observe(&self) -> Result<Observed, Refusal>;

    /// Moves the target.
    fn shift(&self, to: &Setting) -> Result<(), Refusal>;

    /// What is there now, complete enough to restore it and to check that. It serves nothing else than before.
    fn snapshot(&self) -> Result<Vec<u8>, Refusal>;

    /// Tries a restoration dry.
    fn rehearse(&self, snapshot: &[u8]) -> Result<(), Refusal>;

    /// Restores what was there.
    fn restore(&self, snapshot: &[u8]) -> Result<(), Refusal>;

    /// Checks that what is there is what was there, byte for byte.
    fn verify(&self, snapshot: &[u8]) -> Result<(), Refusal>;
}

/// How a target is driven, as the applier's configuration says: one section, named like the driver.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// The file that holds the weights.
    File(PathBuf),
}

impl Section {
    /// The same with its paths taken as relative to a folder.
    #[must_use]
    pub fn below(self, folder: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(folder.join(path)),
        }
    }
}

/// The driver that a target's policy names, for the section that the configuration gives it.
pub fn open(kind: policy::Driver, target: &TargetId, section: Option<&Section>) -> Result<Box<dyn Driver>, Refusal> {
    match (kind, section) {
        (policy::Driver::File, Some(Section::File(path))) => {
            Ok(Box::new(FileDriver::new(target.clone(), path.clone())))
        }
        (policy::Driver::File, None) => {
            let message = format!("the configuration does not say which file target {target} is in");
            Err(Refusal::new(Reason::Internal, message)
                .hint(format!("add to it: targets: {{{target}: {{file: PATH}}}}")))
        }
        (policy::Driver::Exec | policy::Driver::Haproxy | policy::Driver::Nginx | policy::Driver::Git, _) => {
            let message = format!("target {target} asks for a driver that this version does not have; it has `file`");
            Err(Refusal::new(Reason::Internal, message))
        }
    }
}
