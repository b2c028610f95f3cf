//! The follower: how a repository is followed, whoever does it. Appliers and agents stand on it.
//!
//! | module | what it is |
//! |---|---|
//! | `follow` | the follower itself: looks, and says what speaks against going forward |
//! | `mirror` | the governed refs and the ledger, as far as they were fetched, verified and accepted |
//! | `fetching` | the remote is asked beside the loop, stops first |
//! | `ref_cache` | where refs are, kept in memory from look to look |
//! | [`stops`] | stops that were seen anywhere |
//! | [`state`] | plain data: what is remembered from look to look |
//! | [`state_folder`], `files` | where that is written down, and the lock on it |
//! | [`clock`], [`clocks`] | how time counts, and who believes which clock |
//! | [`records`], [`checks`] | plain data: what appliers attest, and how others read it |
//! | `writer` | signing, and what is pushed |
//!
//! It never trusts a hook: it fetches, verifies from the pinned root and folds by itself. It decides nothing and knows no
//! driver. Called by reconciler, agent and cli; calls [`crate::git`], [`crate::ledger`] and below.

pub mod checks;
pub mod clock;
pub mod clocks;
pub(crate) mod fetching;
pub(crate) mod files;
pub(crate) mod follow;
pub(crate) mod mirror;
pub mod records;
mod ref_cache;
pub mod state;
pub mod state_folder;
pub mod stops;
pub(crate) mod writer;

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Targets, journal and refs are.
    Act,
    /// Nothing is but what a fetch brings.
    DryRun,
}
