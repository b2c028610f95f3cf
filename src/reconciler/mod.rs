//! The reconciler: brings targets to where the ledger wants them, and records what it saw. Its process is an applier.
//!
//! | module | what it is |
//! |---|---|
//! | [`decide`] | pure: one decision for one target. The rules are there, also when to restore |
//! | [`decision`] | plain data: what a decision is made from, and the act that it names |
//! | [`applied`] | pure: what was applied to a target |
//! | [`desired`] | pure: what the ledger wants, with every stop that was seen anywhere |
//! | [`drivers`] | how traffic is moved; only observing proves anything |
//! | [`pack`], [`probe`] | what was there before, and what the entrance served |
//! | [`baseline`] | what gates measure of the version before |
//! | [`restore`] | undoing, and the five checks of it |
//! | [`rollback_health`] | pure: whether what was restored is healthy |
//! | [`conformance`] | what every driver must do, tried on one |
//! | [`state`] | plain data: what an applier remembers |
//! | `clone_reader` | the clone is read by a thread, and by nobody else |
//! | `journal` | what is remembered is written down by another |
//! | `stop_signal` | whoever works on a target that is to be stopped waits for nothing |
//! | `publishing` | what a tick ends with: record, stops and tags |
//! | `following` | what the coordinator knows, and how that changes |
//! | `view` | what is known at one moment, for whoever looks at a target |
//! | `work`, `target` | one target's work |
//! | `worker_pool` | targets and metrics side by side, none waited for |
//! | [`Applier`], `publication` | plain data: what it knows, and what is published of that |
//! | `coordinator` | what is set to work when, and what comes of it |
//! | [`service`] | tick after tick, until told to end |
//!
//! Called by cli; calls [`crate::follower`], [`crate::git`], [`crate::ledger`] and below.

pub mod applied;
mod applier;
pub mod baseline;
mod clone_reader;
pub mod config;
pub mod conformance;
mod coordinator;
pub mod decide;
pub mod decision;
pub mod desired;
pub mod drivers;
mod findings;
mod following;
mod journal;
pub mod opening;
pub mod pack;
pub mod probe;
mod publication;
mod publishing;
pub mod restore;
pub mod rollback_health;
mod run;
pub mod service;
pub mod state;
mod stop_signal;
mod target;
mod tick;
mod view;
mod watching;
mod work;
mod worker_pool;
mod writing;

pub use applier::Applier;
pub use config::ApplierConfig;

pub use run::{ApplierReport, TargetReport};
