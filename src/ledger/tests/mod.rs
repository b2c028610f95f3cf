//! Literal steps.
