//! The agent: the automaton that turns the second key.
//!
//! | module | what it is |
//! |---|---|
//! | [`decide`] | pure: one decision about one lease. The rules are there |
//! | [`checks`] | what is looked at before a lease is signed; each passes, fails, or cannot say |
//! | [`config`] | an agent's configuration file |
//! | `situation` | pure: what the ledger and the applier say of a lease, as far as a decision needs it |
//! | [`refusal`] | why a key was not turned, signed, for people to see |
//! | [`Agent`] | one tick of all that: `run` follows the repository, `look` one lease, `act` writes |
//!
//! It is a program that one can read and trust: it fetches, verifies from the pinned root and folds by itself, as the
//! applier does; each decision names its rule and what it rests on; what it signs names the evidence by its digest. It
//! moves no traffic. Called by cli; calls [`crate::follower`] (how a repository is followed, and what appliers attest) and
//! below.

mod act;
pub mod checks;
pub mod config;
pub mod decide;
mod look;
pub mod refusal;
mod run;
mod situation;
mod state;

pub use config::AgentConfig;
pub use run::{Agent, AgentReport, LeaseReport};
