//! Two-key governance without I/O.
pub mod admission;
pub mod gate;
pub mod inbox;
pub mod ledger;
pub mod model;
pub mod signature;
