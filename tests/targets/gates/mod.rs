//! Gates from outside: what the statistics can and cannot see, the sources against real servers and programs, and the
//! verb.

mod attested;
mod evidence;
mod exec;
mod file;
mod power;
mod prometheus;
mod scene;
mod verdicts;
