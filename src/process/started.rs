//! What a program started: found by a mark in its environment, ended with the program, and reaped.
//!
//! A process group ends at once, but whoever makes a session of its own leaves it. So every program with a limit carries a
//! mark that it hands on to what it starts, and what loses its parent becomes our child (a *subreaper*), not that of the
//! first process, which in a container may be anybody.

use std::{
    fs,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::{Child, Command},
    sync::{Mutex, Once, PoisonError},
    time::Duration,
};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpgrp, getpid, getsid, kill_process, kill_process_group, set_child_subreaper,
    waitid,
};

/// The variable that carries the mark.
const VARIABLE: &str = "TWO_KEY_RUN";
/// How often what a program started is looked for: what forks while it is being ended is found again.
const ROUNDS: usize = 50;

/// Programs that were killed and that the system holds up.
static DYING: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// A program's mark.
#[derive(Debug)]
pub(super) struct Mark(String);

impl Mark {
    /// Marks a program that is about to be started.
    pub(super) fn on(command: &mut Command) -> Self {
        static ADOPTS: Once = Once::new();
        // Where that cannot be, orphans go to the first process, as they would anyway.
        ADOPTS.call_once(|| {
            let _ = set_child_subreaper(Some(getpid()));
        });
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
    for orphan in processes().filter(|process| is_dead_orphan(*process)) {
        let _ = waitid(WaitId::Pid(orphan), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }
}

/// Whether a process has ended and came to us because its parent had: our own children are in our session, and each is in
/// our group or leads its own.
fn is_dead_orphan(process: Pid) -> bool {
    let Ok(stat) = fs::read_to_string(proc(process).join("stat")) else { return false };
    // After the program's name, which may hold anything: state, parent, group, session.
    let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
    let mut words = rest.split(' ');
    let dead = words.next() == Some("Z");
    let mut number = || words.next().and_then(|word| word.parse::<u32>().ok()).and_then(pid);
    let (parent, group, session) = (number(), number(), number());
    let elsewhere = session != getsid(None).ok() || (group != Some(process) && group != Some(getpgrp()));
    dead && parent == Some(getpid()) && elsewhere
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
