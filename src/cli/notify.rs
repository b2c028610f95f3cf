//! Tells a program of the user's own that a key of theirs is awaited.

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
};

use super::{Place, terminal};
use crate::report::{LeaseSummary, ListView};

/// What has been told already: a lease, and what it awaited.
pub type Told = BTreeSet<(String, String, Option<u32>)>;

/// Runs the program for each lease of the view that it was not told of. A lease that no longer awaits the same is forgotten,
/// so that it is told again when it does. A program that fails is said, and stops nothing.
pub fn tell(program: Option<&str>, place: &Place, view: &ListView, told: &mut Told) {
    let Some(program) = program else { return };
    let mut now = Told::new();
    for lease in &view.leases {
        let Some(awaits) = &lease.awaits else { continue };
        let what = (lease.lease.clone(), awaits.action.clone(), awaits.step);
        if !told.contains(&what)
            && let Err(error) = run(program, place, lease, &awaits.text)
        {
            terminal::remark(&format!("two-key: {program} was not told of {}: {error}", lease.lease));
        }
        now.insert(what);
    }
    *told = now;
}

#[expect(clippy::disallowed_methods, reason = "the user's own program, named on the command line")]
fn run(program: &str, place: &Place, lease: &LeaseSummary, awaits: &str) -> std::io::Result<()> {
    let mut command = Command::new(program);
    command.args([&lease.lease, awaits]).current_dir(&place.folder).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn()?;
    let json = serde_json::to_string(lease).unwrap_or_default();
    // A program that does not read what it is given has been told by its arguments.
    let _ = child.stdin.take().map(|mut input| input.write_all(json.as_bytes()));
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(std::io::Error::other(status.to_string())) }
}
