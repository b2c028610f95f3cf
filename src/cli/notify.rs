//! Notifier: tells a program of the user's that their key is waited for.

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
};

use super::{Place, terminal};
use crate::report::{Awaits, ListView};

/// What has been told already: a lease, and what it awaited.
pub type Notified = BTreeSet<(String, String, Option<u32>)>;

/// Runs the program for each lease of the view, for a proposed policy and for the end of a freeze that it was not told of. What no longer awaits the
/// same is forgotten, so that it is told again when it does. A program that fails is said, and stops nothing.
pub fn tell(program: Option<&str>, place: &Place, view: &ListView, notified: &mut Notified) {
    let Some(program) = program else { return };
    let mut now = Notified::new();
    let mut one = |name: &str, awaits: &Awaits, which: Option<&str>, json: String| {
        let which = which.unwrap_or_default();
        let what = (name.to_owned(), format!("{} {which}", awaits.action), awaits.step);
        if !notified.contains(&what)
            && let Err(error) = run(program, place, [name, &awaits.text], &json)
        {
            terminal::remark(&format!("two-key: {program} was not told of {name}: {error}"));
        }
        now.insert(what);
    };
    for lease in &view.leases {
        if let Some(awaits) = &lease.awaits {
            one(&lease.lease, awaits, None, serde_json::to_string(lease).unwrap_or_default());
        }
    }
    if let Some((proposed, awaits)) = view.policy_proposed.as_ref().and_then(|one| Some((one, one.awaits.as_ref()?))) {
        one("policy", awaits, proposed.digest.as_deref(), serde_json::to_string(proposed).unwrap_or_default());
    }
    if let Some(awaits) = &view.thaw_awaits {
        one("thaw", awaits, None, serde_json::to_string(awaits).unwrap_or_default());
    }
    *notified = now;
}

#[expect(clippy::disallowed_methods, reason = "the user's own program, named on the command line")]
fn run(program: &str, place: &Place, args: [&str; 2], json: &str) -> std::io::Result<()> {
    let mut command = Command::new(program);
    command.args(args).current_dir(&place.folder).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn()?;
    // A program that does not read what it is given has been told by its arguments.
    let _ = child.stdin.take().map(|mut input| input.write_all(json.as_bytes()));
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(std::io::Error::other(status.to_string())) }
}
