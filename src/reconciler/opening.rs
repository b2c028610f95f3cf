//! Drivers opened outside a tick: to look, to rehearse, to try.

use crate::{
    follower::{mirror::Mirror, state_folder::StateFolder},
    git::Repository,
    model::{LeaseId, Reason, Refusal, TargetId, lease::Lease, policy::Role},
};

use super::{
    config::ApplierConfig,
    drivers::{self, Context, Driver},
    state::ApplierState,
};

/// A target's driver as its applier opens it. `before` is the snapshot in the lease's pack.
pub fn driver(
    config: &ApplierConfig,
    target: &TargetId,
    lease: Option<&Lease>,
    before: Option<&[u8]>,
) -> Result<Box<dyn Driver>, Refusal> {
    let place = config.targets.get(target).ok_or_else(|| {
        let known = config.targets.keys().map(TargetId::as_str).collect::<Vec<_>>().join(", ");
        Refusal::new(Reason::NotFound, format!("the configuration has no target {target}; it has: {known}"))
    })?;
    let repository = repository(config)?;
    let folder = StateFolder::folder_of(repository.common_dir(), Role::Applier, &config.name).join("targets");
    let before = || before.map(<[u8]>::to_vec);
    drivers::open(place.kind(), target, Some(place), &Context { folder, lease, before: &before })
}

/// Takes an applier's folder, so that nobody else moves its targets meanwhile, and says which lease a target has: the one
/// that was applied there, else the one that started there last. `busy` if the applier is at work.
pub fn take(config: &ApplierConfig, target: &TargetId) -> Result<(StateFolder, Option<LeaseId>), Refusal> {
    let repository = repository(config)?;
    let taken = StateFolder::open(repository.common_dir(), Role::Applier, &config.name)?;
    let remembered: Option<ApplierState> = taken.read()?;
    let applied = remembered.and_then(|remembered| remembered.targets.get(target)?.lease.clone());
    let lease = match applied {
        Some(lease) => Some(lease),
        None => started(repository, config, target)?,
    };
    Ok((taken, lease))
}

/// The lease that started last on a target, as the clone knows the ledger.
fn started(repository: Repository, config: &ApplierConfig, target: &TargetId) -> Result<Option<LeaseId>, Refusal> {
    let pinned = || repository.pinned_root().map_err(Refusal::from);
    let Some(root) = config.root.map_or_else(pinned, |root| Ok(Some(root)))? else { return Ok(None) };
    let mut mirror = Mirror::open(repository, config.remote.clone(), root, &config.name)?;
    mirror.catch_up(mirror.at(&mirror.known_as(&mirror.branch)))?;
    Ok(mirror.state.newest_on(target).map(|lease| lease.id.clone()))
}

fn repository(config: &ApplierConfig) -> Result<Repository, Refusal> {
    let repository = match &config.repository {
        Some(path) => Repository::open(path),
        None => Repository::discover(),
    };
    repository.map_err(Refusal::from)
}
