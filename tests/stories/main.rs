//! Stories through the real program: people, agents, servers and clones, with real Git.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::float_cmp, reason = "a test may stop")]
#![allow(clippy::disallowed_methods, reason = "tests run programs and read their environment")]

#[path = "../kit/mod.rs"]
mod kit;

mod accounts;
mod agent;
mod agent_story;
mod attested;
mod ci;
mod ci_templates;
mod cli_check;
mod cli_read;
mod cli_write;
mod clones;
mod concurrency;
mod docs;
mod forges;
mod help;
mod hooks;
mod joining;
mod kit_works;
mod lost_keys;
mod moves;
mod neighbour;
mod output_schema;
mod past;
mod plain;
mod proposing;
mod remembered;
mod repositories;
mod reroot;
mod risk;
mod screen;
mod second;
mod seeing;
mod several;
mod signing;
mod status;
mod teams;
mod tidy;
mod transports;
