//! Literal steps: every rule of the fold, without Git and without curves.

mod policies;
mod reasons;
mod risk;
mod rules;
mod stops;
mod story;
