//! The heart.

pub mod step;

pub use step::{Descent, Entry, Step, StepCommit};
