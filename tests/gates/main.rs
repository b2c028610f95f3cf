//! Gates from outside: what the statistics can and cannot see, the sources against real servers and programs, and the
//! verb.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "a test may panic and run programs")]

#[path = "../kit/mod.rs"]
mod kit;

mod attested;
mod evidence;
mod exec;
mod file;
mod power;
mod prometheus;
mod scene;
mod verdicts;
