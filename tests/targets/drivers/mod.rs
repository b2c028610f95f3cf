//! Drivers against what they drive: real `haproxy`, `nginx` and a real deploy repository, on loopback, with requests
//! that are sent through and counted by who answered.

mod broken;
mod conformance;
mod deploy;
mod documents;
pub(crate) mod exec;
mod hanging;
mod haproxy;
mod haproxy_odd;
mod nginx;
mod packs;
pub(crate) mod rig;
mod rollback;
mod waiting;
