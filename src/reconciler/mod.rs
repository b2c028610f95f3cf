//! The applier: brings targets to where the ledger wants them, and records what it saw.
//!
//! | module | what it is |
//! |---|---|
//! | [`decide`] | pure: one decision for one target. The rules are there |
//! | [`applied`] | pure: what was applied to a target |
//! | [`desired`], [`stops`] | pure: what the ledger wants, with every stop that was seen anywhere |
//! | [`drivers`] | how traffic is moved; only observing proves anything |
//! | [`pack`], [`probe`] | what was there before, and what the entrance served |
//! | [`baseline`] | what gates measure of the version before |
//! | [`restore`] | undoing, and the five checks of it |
//! | [`rollback_health`] | pure: whether what was restored is healthy |
//! | [`conformance`] | what every driver must do, tried on one |
//! | [`health`] | pure: what metrics say of a tier, as far as moves go; shared with agents |
//! | [`clock`], [`clocks`], [`journal`] | what is remembered from tick to tick, and how time counts |
//! | `mirror`, `publish`, `publishing` | what comes from the repository, and what goes there |
//! | `office` | what all targets share, one at a time |
//! | `work`, `target` | one target's work |
//! | `worker_pool` | targets and metrics side by side, none waited for |
//! | [`Applier`] | the coordinator: what is set to work when, and what comes of it |
//! | [`service`] | tick after tick, until told to end |
//! | [`records`] | what appliers attest, and how others read it |
//!
//! It never trusts the hook: every tick it fetches, verifies from the pinned root and folds by itself. Called by cli;
//! calls [`crate::git`], [`crate::ledger`] and below.

pub mod applied;
pub mod baseline;
pub mod clock;
pub mod clocks;
pub mod config;
pub mod conformance;
mod coordinator;
pub mod decide;
pub mod desired;
pub mod drivers;
mod fetching;
mod files;
pub mod health;
pub mod journal;
pub(crate) mod mirror;
mod office;
pub mod opening;
pub mod pack;
pub mod probe;
pub(crate) mod publish;
mod publishing;
pub mod records;
mod ref_cache;
pub mod restore;
pub mod rollback_health;
mod run;
pub mod service;
pub mod stops;
mod target;
mod tick;
mod watching;
mod work;
mod worker_pool;

pub use config::Config;
pub use coordinator::Applier;
pub use office::Clock;
pub use run::{Mode, Report, TargetReport};
