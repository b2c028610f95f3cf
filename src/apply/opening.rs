//! Drivers opened outside a tick: to look, to rehearse, to try.

use crate::{
    git::Repository,
    model::{Reason, Refusal, TargetId, lease::Lease, policy::Role},
};

use super::{
    config::Config,
    drivers::{self, Context, Driver},
    journal::Desk,
};

/// A target's driver as its applier opens it. `before` is the snapshot in the lease's pack.
pub fn driver(
    config: &Config,
    target: &TargetId,
    lease: Option<&Lease>,
    before: Option<&[u8]>,
) -> Result<Box<dyn Driver>, Refusal> {
    let place = config.targets.get(target).ok_or_else(|| {
        let known = config.targets.keys().map(TargetId::as_str).collect::<Vec<_>>().join(", ");
        Refusal::new(Reason::Internal, format!("the configuration has no target {target}; it has: {known}"))
    })?;
    let repository = match &config.repository {
        Some(path) => Repository::open(path),
        None => Repository::discover(),
    };
    let repository = repository.map_err(|error| error.refusal())?;
    let folder = Desk::folder_of(repository.common_dir(), Role::Applier, &config.name).join("targets");
    let before = || before.map(<[u8]>::to_vec);
    drivers::open(place.kind(), target, Some(place), &Context { folder, lease, before: &before })
}
