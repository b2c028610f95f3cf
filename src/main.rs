//! `git two-key`.

fn main() {}
