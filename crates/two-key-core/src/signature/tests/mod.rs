//! Each refusal beside the honest twin that differs from it by one thing.

#[cfg(feature = "attestation")]
mod attestations;
#[cfg(feature = "attestation")]
mod authenticator;
mod carriers;
mod ecdsa;
mod minisign;
pub(super) mod nistp256;
mod notes;
mod ssh;
mod tags;
mod together;
mod total;
