//! Two-key governance in Git: a rollout goes forward only when a human key and an agent key have both been turned
//! for exactly that step; any one key can stop it.
//!
//! # The map of the house
//!
//! | module | what it is | may call |
//! |---|---|---|
//! | [`model`] | the words as types: ids, keys, statements, leases, policies, reasons | nothing |
//! | [`signature`] | raw commits, tags, SSHSIG, minisign → verified cosignatures | model |
//! | [`ledger`] | the heart: the fold of steps into state, and **who may promote** ([`ledger::rules`]) | signature, model |
//! | [`gate`] | metrics → verdicts that silence never passes; its sources do I/O | ledger, model |
//! | [`inbox`] | notes → cosignatures that wait to be sealed | ledger and below |
//! | [`admission`] | a push or pull request → verdict | ledger and below |
//! | [`report`] | state, events and findings → text and JSON | risk, ledger and below |
//! | [`risk`] | a change and its history → a score, term by term, and factors | ledger, model |
//! | [`process`] | runs programs: for a limited time, with everything that they start | nothing |
//! | [`git`] | the only place that runs Git or knows libgit2 | process, admission, risk, ledger and below |
//! | [`follower`] | follows a repository: mirror, stops, state folder, clocks, records, signing and pushing | git, gate, ledger and below |
//! | [`reconciler`] | brings targets to where the ledger wants them | follower, process, git, gate, ledger and below |
//! | [`agent`] | turns an agent's key: checks, signs or refuses, promotes, halts | follower, report, git, gate, ledger and below |
//! | [`cli`] | arguments in, calls, words out | all |
//!
//! Everything above [`process`] in this table, but for [`gate::sources`], is pure: no I/O, no clock, no environment. Three
//! ideas carry the design: files propose and keys decide; the first-parent history of the governed branch is the
//! ledger, and desired state is a pure fold over it; two keys to go forward, one key to stop.

pub mod agent;
pub mod cli;
pub mod follower;
pub mod git;
pub mod process;
pub mod reconciler;
pub mod report;
pub mod risk;
pub mod sources;

pub use two_key_core::{admission, gate, inbox, ledger, model, signature};
