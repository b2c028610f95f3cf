//! Git: the only place that runs `git`, `ssh-keygen` or `minisign`, or knows libgit2.
//!
//! Bytes that are verified come from one reader ([`Objects`]): one long-lived `git cat-file --batch`, which alone gets
//! quarantine, alternates, SHA-256, reftable, ownership and odd paths right. Every object that is used is hashed again
//! here and must have the id that it was asked for by; parents are taken from those bytes, never from what a
//! subcommand says. Replacement refs and grafts are ignored by every child process.
//!
//! [`Repository::steps`] turns the first-parent history of the governed branch into [`crate::ledger::Step`]s. Nothing
//! here knows a rule. Called by every room that looks at a repository; calls [`crate::signature`] to open
//! what it read.

mod admitted;
mod ahead;
mod aside;
mod cache;
mod carry;
mod cat_file;
mod checkpoint;
mod command;
pub mod config;
mod create;
mod early_refs;
mod error;
mod files;
mod halfway;
mod history;
mod hooks;
mod memory;
mod merge;
mod mirror;
mod note_index;
mod notes;
mod object;
mod objects;
mod opened;
mod outgoing;
mod past;
mod placed;
mod prepared;
mod push;
mod pushed_notes;
mod reach;
mod ref_files;
mod refs;
mod remote;
mod repository;
mod scratch;
mod settings;
mod shared;
mod shelf;
mod sign;
mod steps;
mod stuck;
mod table;
#[cfg(test)]
mod testing;
mod tree;
mod version;
mod walk;
mod worktree;
mod write;

pub use admitted::plainly_admitted;
pub use carry::{CarryError, NewCarrier, Signer};
pub(crate) use command::Program;
pub use create::Layout;
pub use early_refs::AskedRef;
pub use error::{GitError, Trouble};
pub use hooks::Hook;
pub use memory::{Flaw, Ledger, Memory};
pub use merge::Conflict;
pub use mirror::{Mirrored, Missed, Wanted, mirrored, refspecs};
pub use notes::{FullNote, Note, NotedVote};
pub use object::{Object, ObjectKind};
pub use objects::Objects;
pub(crate) use objects::linked;
pub use opened::OpenedCommit;
pub use past::Past;
pub use push::{JudgedAt, PushedRef};
pub use ref_files::RefFiles;
pub use refs::RefUpdate;
pub use remote::{PrePush, PushOptions, PushOutcome};
pub use repository::Repository;
pub use sign::{NAMESPACE, SigningKey};
pub use steps::Steps;
pub use stuck::Stuck;
pub use tree::{Node, Tree};
pub use version::{OLDEST, version};
pub use walk::Base;
pub use worktree::{LeftOut, NotBroughtUp};
pub use write::{NewCommit, SignWith, Who};
