//! Two-key governance in Git: a rollout goes forward only when a human key and an agent key have both been turned
//! for exactly that step; any one key can stop it.
//!
//! The rules are a crate of their own, [`two_key_core`], whose modules are named here as well. Around them:
//!
//! | module | what it is |
//! |---|---|
//! | [`report`] | state, events and findings → text and JSON |
//! | [`risk`] | a change and its history → a score, term by term, and factors |
//! | [`process`] | runs programs: for a limited time, with everything that they start |
//! | [`sources`] | where measurements come from: files, programs, Prometheus |
//! | [`git`] | the only place that runs Git or knows libgit2 |
//! | [`changes`] | what Git says of a change, as the facts that risk is assessed from |
//! | [`follower`] | follows a repository: mirror, stops, state folder, clocks, records, signing and pushing |
//! | [`reconciler`] | brings targets to where the ledger wants them |
//! | [`agent`] | turns an agent's key: checks, signs or refuses, promotes, halts |
//! | [`cli`] | arguments in, calls, words out |
//!
//! [`report`] and [`risk`] are pure as the core is: no I/O, no clock, no environment. Which module may call which is in
//! `tests/library/architecture.rs`, which holds it.

pub mod agent;
pub mod changes;
pub mod cli;
pub mod follower;
pub mod git;
pub mod process;
pub mod reconciler;
pub mod report;
pub mod risk;
pub mod sources;

pub use two_key_core::{admission, gate, inbox, ledger, model, push, signature};
