//! Drivers: how traffic is really moved. A driver never proves success; only observing does.
//!
//! | driver | moves | observes |
//! |---|---|---|
//! | [`FileDriver`] | one JSON file, replaced atomically | the file |
//! | [`ExecDriver`] | by a program: JSON in and out | by the same program |
//! | [`HaproxyDriver`] | server weights, by the runtime socket | the same socket |
//! | [`NginxDriver`] | a rendered `split_clients` and a reload | what the running nginx says |
//! | [`GitDriver`] | numbers in a file of a deploy repository | the file at the remote's tip |
//!
//! Each is configured by its own section of [`TargetConfig`] and is otherwise like the others: [`Driver`] is all that the
//! applier knows.

mod exec;
mod file;
mod git;
mod haproxy;
pub(super) mod http;
mod kept;
mod nginx;
mod roles;
mod target_config;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gate::Pools;
use crate::model::{LeaseId, Reason, Refusal, TargetId, lease::Lease, policy};

use super::decision::Observed;

pub use exec::{ExecDriver, ExecDriverConfig};
pub use file::FileDriver;
pub use git::{GitDriver, GitDriverConfig};
pub use haproxy::{HaproxyDriver, HaproxyDriverConfig};
pub use nginx::{NginxDriver, NginxDriverConfig};
pub use target_config::{DriverConfig, TargetConfig};

/// The longest answer of a program that is read.
const MAX_ANSWER: usize = 1024 * 1024;

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

/// What is there, complete enough to restore it and to check that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The driver's own bytes: what it restores from and compares with.
    pub bytes: Vec<u8>,
    /// The weight of each backend, in the target's own unit, for people.
    pub backends: BTreeMap<String, u32>,
    /// The commit of a deploy repository that it was read from.
    pub commit: Option<String>,
}

/// Whether what a driver does can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reversible {
    /// What was there before can be restored.
    Yes,
    /// The weight can be taken away, and nothing else.
    No,
}

/// What a look at a target's set-up finds, beside its weights.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// Why no lease may begin here as things are: what would be unsafe, or could not be exact. Each says what to write.
    pub faults: Vec<Refusal>,
    /// What is safe, and worth knowing.
    pub remarks: Vec<String>,
}

/// What a driver's look is a look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// What moves requests: its weights are those of the traffic.
    Traffic,
    /// What somebody else is to bring about. Only probes at the entrance tell whether that is so.
    Intent,
}

/// Who may still send requests to a candidate that was given no weight any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lingering {
    /// Nobody.
    Nobody,
    /// Somebody who had connections before, in words.
    Somebody(String),
    /// Nobody here can see that, and why.
    Unknown(String),
}

/// Moves one target, and says what is there.
pub trait Driver: Send {
    /// Its name and version, as packs hold it.
    fn name(&self) -> &'static str;

    /// Whether what it does can be undone.
    fn reversible(&self) -> Result<Reversible, Refusal> {
        Ok(Reversible::Yes)
    }

    /// What its look is a look at.
    fn sight(&self) -> Sight {
        Sight::Traffic
    }

    /// Looks at how the target is set up. Asked before a lease begins, by `check`, and for doctors.
    fn survey(&self) -> Result<Survey, Refusal> {
        Ok(Survey::default())
    }

    /// Who serves which version, as metrics name them; none where the target has no pools, or nobody knows which is whose.
    fn pools(&self) -> Option<Pools> {
        None
    }

    /// What contradicts what is there now: a restart of what moves requests would bring something else. The next lease does
    /// not begin while it stands.
    fn contradiction(&self) -> Result<Option<Refusal>, Refusal> {
        Ok(None)
    }

    /// Whether the target can be brought to a weight exactly. Refused are weights that it cannot reach.
    fn reaches(&self, weight_bp: u32) -> Result<(), Refusal>;

    /// What is there now. An error is *unknown*, never zero.
    fn observe(&self) -> Result<Observed, Refusal>;

    /// Moves the target. To zero it needs to know who the candidate is, and nothing else: whatever else is broken is said
    /// once the weight is away.
    fn shift(&self, to: &Setting) -> Result<(), Refusal>;

    /// What is there now. Taking it changes nothing that is served.
    fn snapshot(&self) -> Result<Snapshot, Refusal>;

    /// Tries a restoration dry: what would be done, in words, a line each.
    fn rehearse(&self, snapshot: &[u8]) -> Result<Vec<String>, Refusal>;

    /// Restores what was there.
    fn restore(&self, snapshot: &[u8]) -> Result<(), Refusal>;

    /// Checks that what is there is what was there: weights, roles and bytes, as far as they say who serves. `drift` is what
    /// differs, `no-data` that nobody knows.
    fn verify(&self, snapshot: &[u8]) -> Result<(), Refusal>;

    /// What else is no longer as it was, and makes no difference to who serves: a line each.
    fn changes(&self, snapshot: &[u8]) -> Result<Vec<String>, Refusal> {
        let _ = snapshot;
        Ok(Vec::new())
    }

    /// How many requests or connections the candidate has served so far, where the target counts them. `snapshot` is what
    /// was there before the lease, and says which one the candidate is.
    fn served_by_candidate(&self, snapshot: &[u8]) -> Result<Option<u64>, Refusal> {
        let _ = snapshot;
        Ok(None)
    }

    /// How many requests or connections are open with the candidate, as far as the target counts them.
    fn open_with_candidate(&self, snapshot: &[u8]) -> Result<u64, Refusal> {
        let _ = snapshot;
        Ok(0)
    }

    /// Who may still send requests to the candidate by weights that are not there any more, once that long has been waited for
    /// them to go. `before` reads what was there before the lease.
    fn lingering(
        &self,
        before: &dyn Fn() -> Result<Vec<u8>, Refusal>,
        patience: Duration,
    ) -> Result<Lingering, Refusal> {
        let _ = (before, patience);
        Ok(Lingering::Nobody)
    }
}

/// For what a driver is opened.
pub struct Context<'a> {
    /// The folder beside the journal, for what a target cannot hold itself.
    pub folder: PathBuf,
    /// The lease that the target is moved for.
    pub lease: Option<&'a Lease>,
    /// The snapshot in that lease's rollback pack, for where the folder was lost.
    pub before: &'a dyn Fn() -> Option<Vec<u8>>,
}

/// The driver that a target's policy names, for the place that the configuration gives it.
pub fn open(
    kind: policy::DriverKind,
    target: &TargetId,
    place: Option<&TargetConfig>,
    context: &Context<'_>,
) -> Result<Box<dyn Driver>, Refusal> {
    let section = place.map(|place| &place.section);
    match (kind, section) {
        (policy::DriverKind::File, Some(DriverConfig::File(path))) => {
            Ok(Box::new(FileDriver::new(target.clone(), path.clone())))
        }
        (policy::DriverKind::Haproxy, Some(DriverConfig::Haproxy(config))) => {
            Ok(Box::new(HaproxyDriver::open(target, config.clone(), context)))
        }
        (policy::DriverKind::Exec, Some(DriverConfig::Exec(config))) => {
            Ok(Box::new(ExecDriver::open(target, config.clone(), context)))
        }
        (policy::DriverKind::Nginx, Some(DriverConfig::Nginx(config))) => {
            Ok(Box::new(NginxDriver::open(target, config.clone(), context)))
        }
        (policy::DriverKind::Git, Some(DriverConfig::Git(config))) => {
            Ok(Box::new(GitDriver::open(target, config.clone(), context)))
        }
        (kind, _) => Err(elsewhere(kind, target)),
    }
}

/// The configuration has nothing, or another driver, for the target.
fn elsewhere(kind: policy::DriverKind, target: &TargetId) -> Refusal {
    let word = kind.word();
    let message = format!("the policy moves target {target} by {word}, and the configuration has no {word} for it");
    Refusal::new(Reason::NotFound, message).hint(format!("add to it: targets: {{{target}: {{{word}: …}}}}"))
}
