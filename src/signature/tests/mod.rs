//! Each refusal beside the honest twin that differs from it by one thing.

mod carriers;
mod minisign;
mod notes;
mod ssh;
mod total;
