//! Child processes of a program: found by a mark in its environment, ended with the program, and reaped.
//!
//! A process group ends at once, but whoever makes a session of its own leaves it. So every program with a limit carries a
//! mark that it hands on to what it starts, and what loses its parent becomes our child (a *subreaper*), not that of the
//! first process, which in a container may be anybody. Elsewhere than on Linux the group is all that ends.

use std::{
    fs,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::{Child, Command},
    sync::{Mutex, Once, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, kill_process_group, waitid};

/// The variable that carries the mark.
const VARIABLE: &str = "TWO_KEY_RUN";
/// How often what a program started is looked for: what forks while it is being ended is found again.
const ROUNDS: usize = 50;

/// Programs that were killed and that the system holds up.
static DYING: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// A program's mark.
#[derive(Debug)]
pub(super) struct ProgramMark(String);

impl ProgramMark {
    /// Marks a program that is about to be started.
    pub(super) fn on(command: &mut Command) -> Self {
        static ADOPTS: Once = Once::new();
        ADOPTS.call_once(adopt_orphans);
        let mark = format!("{:032x}", rand::random::<u128>());
        command.env(VARIABLE, &mark);
        Self(format!("{VARIABLE}={mark}"))
    }

    /// Ends a program's group, and whatever it started that left the group.
    pub(super) fn end(&self, id: u32) {
        // A group that is gone already needs no killing.
        let group = pid(id);
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        for _ in 0..ROUNDS {
            let left: Vec<Pid> = processes().filter(|found| Some(*found) != group && self.is_on(*found)).collect();
            if left.is_empty() {
                return;
            }
            for one in left {
                let _ = kill_process(one, Signal::KILL);
                let _ = waitid(WaitId::Pid(one), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether a process has the mark. One that has ended has no environment any more.
    fn is_on(&self, process: Pid) -> bool {
        let environment = fs::read(proc(process).join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|one| one == self.0.as_bytes())
    }
}

/// Where that cannot be, orphans go to the first process, as they would anyway.
fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(getpid()));
}

/// Reaps a program later that was killed and does not end.
pub(super) fn reap_later(child: Child) {
    DYING.lock().unwrap_or_else(PoisonError::into_inner).push(child);
}

/// Reaps what programs left to us and what has ended since.
pub(super) fn reap() {
    DYING.lock().unwrap_or_else(PoisonError::into_inner).retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    let glance = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if !matches!(waitid(WaitId::All, glance), Ok(Some(_))) {
        return;
    }
    let us = getpid();
    let Some(ours) = ProcessIds::of(us) else { return };
    let orphans = processes().filter(|id| ProcessIds::of(*id).is_some_and(|its| its.is_dead_orphan(*id, us, &ours)));
    for orphan in orphans {
        let _ = waitid(WaitId::Pid(orphan), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }
}

/// A process's place among processes. A group or session whose leader is outside the container is 0.
struct ProcessIds {
    ended: bool,
    parent: i32,
    group: i32,
    session: i32,
}

impl ProcessIds {
    /// Reads a process's `stat` file (`proc_pid_stat(5)`).
    fn read(stat: &str) -> Option<Self> {
        // After the program's name, which may hold anything: state, parent, group, session.
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut words = rest.split(' ');
        let ended = words.next()? == "Z";
        let mut number = || words.next()?.parse().ok();
        Some(Self { ended, parent: number()?, group: number()?, session: number()? })
    }

    /// The place of a process that is there.
    fn of(process: Pid) -> Option<Self> {
        Self::read(&fs::read_to_string(proc(process).join("stat")).ok()?)
    }

    /// Whether this process, whose number is `id`, came to `us` because its parent had ended, and has ended itself: our own
    /// children are in our session, and each is in our group or leads its own.
    fn is_dead_orphan(&self, id: Pid, us: Pid, ours: &Self) -> bool {
        let (id, us) = (id.as_raw_nonzero().get(), us.as_raw_nonzero().get());
        let elsewhere = self.session != ours.session || (self.group != id && self.group != ours.group);
        self.ended && self.parent == us && elsewhere
    }
}

/// All processes that can be seen.
fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| std::str::from_utf8(entry.file_name().as_bytes()).ok()?.parse().ok().and_then(pid))
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

fn proc(process: Pid) -> std::path::PathBuf {
    Path::new("/proc").join(process.as_raw_nonzero().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process whose name holds what might end it, as the system writes it.
    fn place(state: &str, group: i32, session: i32) -> ProcessIds {
        ProcessIds::read(&format!("7 (a) S 1 (b) {state} 5 {group} {session} 0 -1 4194560 96 0")).unwrap()
    }

    fn is_orphan(process: &ProcessIds, ours: &ProcessIds) -> bool {
        process.is_dead_orphan(pid(7).unwrap(), pid(5).unwrap(), ours)
    }

    #[test]
    fn what_left_our_session_or_its_group_is_an_orphan_and_our_own_children_are_not() {
        // Zero is what a container shows of a session, or of a group too, that was made outside it.
        for ours in [place("R", 5, 4), place("R", 5, 0), place("R", 0, 0)] {
            let (group, session) = (ours.group, ours.session);
            assert!(!is_orphan(&place("Z", group, session), &ours), "a child in our group");
            assert!(!is_orphan(&place("Z", 7, session), &ours), "a child that leads its group");
            assert!(is_orphan(&place("Z", 6, session), &ours), "a child of a group that a child led");
            assert!(is_orphan(&place("Z", 7, 7), &ours), "a process with a session of its own");
            assert!(!is_orphan(&place("S", 7, 7), &ours), "one that has not ended");
        }
        assert!(ProcessIds::read("7 (a) Z 5").is_none());
        assert!(ProcessIds::read("").is_none());
    }
}
