//! Signatures, against the programs that make them and against files that are wrong in one way each.
//!
//! The programs are the oracles: what Git, ssh-keygen and minisign sign opens here, what a software key signs in their
//! place they accept too, and where this crate is stricter than they are a test says so.

#![expect(clippy::disallowed_methods, reason = "these tests run the programs that sign")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod hostile;
#[path = "../../crates/two-key-core/src/signature/tests/nistp256.rs"]
mod nistp256;
mod p256;
mod programs;
mod software;
mod world;
