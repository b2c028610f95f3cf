//! Appliers, drivers and gates against what they drive and ask: real `haproxy`, `nginx`, `prometheus` and deploy
//! repositories on loopback, with requests that are counted by who answered.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]
#![allow(clippy::disallowed_methods, reason = "tests run programs and read their environment")]

#[path = "../kit/mod.rs"]
mod kit;

mod applier;
mod applier_answers;
mod applier_killed;
mod applier_service;
mod applier_terms;
mod applier_unwritable;
mod drivers;
mod gates;
