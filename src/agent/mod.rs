//! The agent: the automaton that turns the second key.
//!
//! | module | what it is |
//! |---|---|
//! | [`decide`] | pure: one decision about one lease. The rules are there |
//! | [`checks`] | what is looked at before a lease is signed; each passes, fails, or cannot say |
//! | [`config`] | an agent's configuration file |
//!
//! It is a program that one can read and trust: it fetches, verifies from the pinned root and folds by itself, as the
//! applier does; each decision names its rule and what it rests on; what it signs names the evidence by its digest. It
//! moves no traffic. Called by cli; calls [`crate::apply`] (how a repository is followed, and what appliers attest) and
//! below.

pub mod checks;
pub mod config;
pub mod decide;
