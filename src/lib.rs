//! Two-key governance in Git: a rollout goes forward only when a human key and an agent key have both been turned
//! for exactly that step; any one key can stop it.
//!
//! The rules are a crate of their own, [`two_key_core`], whose modules are named here as well. Around them:
//!
//! | module | what it is | may call |
//! |---|---|---|
//! | [`report`] | state, events and findings → text and JSON | risk and the core |
//! | [`risk`] | a change and its history → a score, term by term, and factors | the core |
//! | [`process`] | runs programs: for a limited time, with everything that they start | nothing |
//! | [`sources`] | where measurements come from: files, programs, Prometheus | process and the core |
//! | [`git`] | the only place that runs Git or knows libgit2 | process and the core |
//! | [`changes`] | what Git says of a change, as the facts that risk is assessed from | git, risk and the core |
//! | [`follower`] | follows a repository: mirror, stops, state folder, clocks, records, signing and pushing | git and the core |
//! | [`reconciler`] | brings targets to where the ledger wants them | follower, sources, process, git and the core |
//! | [`agent`] | turns an agent's key: checks, signs or refuses, promotes, halts | follower, sources, report, process, git and the core |
//! | [`cli`] | arguments in, calls, words out | all |
//!
//! [`report`] and [`risk`] are pure as the core is: no I/O, no clock, no environment.

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
mod yaml;

pub use two_key_core::{admission, gate, inbox, ledger, model, push, signature};
