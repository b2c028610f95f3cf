//! Attacks, each with real Git against the real hook, and beside each the nearest honest push, which is admitted.
//! `README.md` beside them is written from these files.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, unreachable_pub, reason = "tests")]

#[path = "../kit/mod.rs"]
mod kit;

mod a01_lifted_cosignature;
mod a02_counted_twice;
mod a03_two_roles;
mod a04_old_policy;
mod a05_unknown_keys;
mod a06_hidden_revocation;
mod a07_clock_games;
mod a08_nothing_there;
mod a09_lying_tags;
mod a10_rewritten_refs;
mod a11_scratch_first;
mod a12_parsers_that_disagree;
mod a13_replaced_objects;
mod a14_races;
mod a15_old_mirrors;
mod a16_symbolic_refs;
mod a17_hostile_files;
mod a18_too_much;
mod a19_signed_again;
mod a20_two_wrappings;
mod a21_rolled_back_too_far;
mod a22_outrun_stops;
mod a23_junk_on_a_forge;
mod a24_links_for_files;
mod a25_stops_in_company;
mod a26_its_own_halt;
mod a27_presence_pretended;
mod a28_objects_that_git_cannot_read;
mod a29_rules_got_around;
mod a30_tidied_too_early;
mod applier;
mod catalogue;
mod dsl;
mod minisign;
