//! Literal steps: every rule of the fold, without Git and without curves.

mod after;
mod alone;
mod attacks;
mod files;
mod groups;
mod lifecycle;
mod model;
mod outlook;
mod pins;
mod policies;
mod properties;
mod random;
mod reasons;
mod risk;
mod rules;
mod stops;
mod story;
