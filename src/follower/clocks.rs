//! The clocks that the appliers and agents of a clone believe, by what each has written down.

use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use crate::model::{PrincipalId, Reason, Refusal, policy::Role};

use super::{
    clock::{ClockReading, Trust, read_clocks},
    state_folder::StateFolder,
};

/// Somebody who doubts the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubted {
    /// Applier or agent.
    pub role: Role,
    /// Its name.
    pub name: PrincipalId,
    /// The time that the clock tells, and the one that is counted on from when it was last believed.
    pub times: (Timestamp, Timestamp),
}

/// Who doubts the clock below a Git directory.
pub fn doubted(git_dir: &Path) -> Vec<Doubted> {
    let now = read_clocks();
    let doubts = |(role, name): (Role, PrincipalId)| {
        let journal = StateFolder::peek(git_dir, role, &name)?;
        let good: ClockReading = serde_json::from_value(journal.get("clock")?.clone()).ok()?;
        let (counted, trust) = now.clone().believed_after(Some(&good));
        (trust == Trust::Doubted).then_some(Doubted { role, name, times: (now.now, counted.now) })
    };
    everybody(git_dir).into_iter().filter_map(doubts).collect()
}

/// Has everybody below a Git directory believe the clock as it is now. `busy` if one is at work.
pub fn believe(git_dir: &Path) -> Result<(), Refusal> {
    let now = serde_json::to_value(read_clocks())
        .map_err(|error| Refusal::new(Reason::Io, format!("the clock cannot be written down: {error}")))?;
    for (role, name) in everybody(git_dir) {
        let folder = StateFolder::open(git_dir, role, &name)?;
        let Some(mut journal) = folder.read::<Value>()? else { continue };
        if let Some(clock) = journal.get_mut("clock").filter(|clock| !clock.is_null()) {
            *clock = now.clone();
            folder.write(&journal)?;
        }
    }
    Ok(())
}

/// The appliers and agents that have written something down.
fn everybody(git_dir: &Path) -> Vec<(Role, PrincipalId)> {
    let names = |role: Role| {
        let entries = std::fs::read_dir(git_dir.join("two-key").join(role.word())).into_iter().flatten();
        entries.filter_map(move |entry| Some((role, PrincipalId::parse(entry.ok()?.file_name().to_str()?)?)))
    };
    [Role::Applier, Role::Agent].into_iter().flat_map(names).collect()
}
