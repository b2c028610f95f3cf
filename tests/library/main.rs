//! The library from outside, without the program: what it takes from Git's objects and documents beside what Git,
//! libgit2, ssh-keygen and minisign take, and the arrows between its rooms.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::similar_names, reason = "a test may stop")]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests run programs and print")]
#![allow(unreachable_pub, reason = "some modules are another crate's")]

#[path = "../kit/mod.rs"]
mod kit;

mod architecture;
mod as_git_reads;
mod attacks_core;
mod documents;
mod fuzz_seeds;
mod git_reader;
mod git_writer;
mod ref_files;
mod signatures;
