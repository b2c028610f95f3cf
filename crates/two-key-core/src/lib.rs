//! The rules of two-key governance, without I/O: from the raw bytes of a repository's objects to what its keys were turned
//! for. A rollout goes forward only when a human key and an agent key have both been turned for exactly that step; any one
//! key can stop it.
//!
//! Three ideas carry the design: files propose and keys decide; the first-parent history of the governed branch is the
//! ledger, and what is wanted is a pure fold over it; two keys to go forward, one key to stop. What the words mean is said
//! in the project's `docs/formats.md`; its Git side, appliers and command line are the package `git-two-key`.
//!
//! | module | what it is |
//! |---|---|
//! | [`model`] | ids, keys, statements, leases, policies, reasons; strict readers of the two documents |
//! | [`signature`] | raw commits, tags, SSHSIG, minisign → verified cosignatures |
//! | [`ledger`] | the fold of steps into state, and **who may do what** ([`ledger::rules`]) |
//! | [`inbox`] | notes → cosignatures that wait to be sealed |
//! | [`push`] | the facts of a push; what each ref name means ([`push::place`](push::place())) |
//! | [`admission`] | those facts → a verdict |
//! | [`gate`] | measurements of a tier → verdicts that silence never passes; evidence, judged again |
//!
//! Nothing here reads a file, asks a clock or the environment, starts a thread or knows Git's programs: whoever calls
//! brings bytes, and times where a decision needs one. Without its features it compiles for
//! `wasm32-unknown-unknown`.
//!
//! # From bytes to state
//!
//! A [`ledger::Step`] is one first-parent commit with all that it brought in. The root's step founds the ledger; each later
//! one is folded in, and says what took effect and what did not count, and why.
//!
//! ```
//! use two_key_core::{
//!     ledger::{self, Descent, Entry, Step, StepCommit},
//!     model::Oid,
//!     signature::{ObjectFormat, open_commit},
//! };
//!
//! # let policy = include_bytes!("../../../templates/policy.yaml").to_vec();
//! # let raw = include_bytes!("../../../tests/hostile/commit/honest.commit").to_vec();
//! let step = |commit: &str, raw: &[u8], policy: Option<Vec<u8>>| {
//!     let id = Oid::parse(commit).expect("40 or 64 hexadecimal digits");
//!     let opened = open_commit(raw, ObjectFormat::Sha1);
//!     let commits = vec![StepCommit { id, descent: Descent::Descends, parents: 1, opened }];
//!     Step { commit: id, claimed_time: 0, latest_time: 0, commits, policy: policy.map(|bytes| Entry::Regular(bytes.into())), leases: vec![] }
//! };
//! let (state, _) = ledger::begin(&step(&"1".repeat(40), b"", Some(policy)))?;
//! let (state, report) = ledger::apply(state, &step(&"2".repeat(40), &raw, None));
//! // The commit is signed, and the key behind it is none of this policy's: it altered nothing, and it is said why.
//! assert_eq!((report.events.len(), report.findings.len()), (0, 1));
//! assert!(state.leases().next().is_none());
//! # Ok::<(), ledger::RootError>(())
//! ```

pub mod admission;
pub mod gate;
pub mod inbox;
pub mod ledger;
pub mod model;
pub mod push;
pub mod signature;
