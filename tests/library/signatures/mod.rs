//! Signatures, against the programs that make them and against files that are wrong in one way each.
//!
//! The programs are the oracles: what Git, ssh-keygen and minisign sign opens here, what a software key signs in their
//! place they accept too, and where this crate is stricter than they are a test says so.

mod hostile;
mod p256;
mod programs;
mod world;
