use std::{fs, path::PathBuf};

use super::*;

fn sh(script: &str) -> Command {
    #[allow(clippy::disallowed_methods, reason = "a test of running programs")]
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

fn heard(script: &str) -> Ended {
    run(sh(script), Job::default()).unwrap()
}

fn answered(script: &str, limit_ms: u64) -> Result<String, String> {
    let output = answer(sh(script), b"in\n".to_vec(), Duration::from_millis(limit_ms), 1_000_000);
    output.map(|output| String::from_utf8(output).unwrap()).map_err(|failure| failure.to_string())
}

/// Whether a process is there, be it that nobody has reaped it.
fn lives(pid: &str) -> bool {
    PathBuf::from("/proc").join(pid.trim()).exists()
}

/// The children of this process, whether they have ended or not.
fn children() -> usize {
    let own = std::process::id().to_string();
    let stats = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("stat"));
    let parent = |stat: String| stat.rsplit_once(") ")?.1.split(' ').nth(1).map(str::to_owned);
    stats.filter_map(|stat| fs::read_to_string(stat).ok().and_then(parent)).filter(|parent| *parent == own).count()
}

/// What this process has: threads, descriptors, children.
fn has() -> [usize; 3] {
    let count = |folder: &str| fs::read_dir(folder).unwrap().count();
    [count("/proc/self/task"), count("/proc/self/fd"), children()]
}

#[test]
fn a_program_that_nobody_hears_is_ended_and_reaped() {
    let started = start(sh("exec sleep 600"), Job::default()).unwrap();
    let pid = started.id().to_string();
    assert!(lives(&pid));
    drop(started);
    assert!(!lives(&pid));
}

#[test]
fn a_program_is_heard_to_its_end_on_both_pipes_whichever_it_fills_first() {
    let (much, more) = ("head -c 3000000 /dev/zero", "head -c 5000000 /dev/zero");
    for script in [
        format!("{much} >&2; {more}"),
        format!("{more}; {much} >&2"),
        format!("{much} >&2 & {more}; wait"),
        format!("exec 2>&-; {more}"),
    ] {
        let ended = heard(&script);
        assert_eq!((ended.stdout.len(), ended.status.code()), (5_000_000, Some(0)), "{script}");
        assert!(ended.stderr.len() < 1024 * 1024 + 64 * 1024, "{script}");
    }
    let ended = heard("printf said; echo heard >&2; exec >&-; echo more >&2; exit 7");
    assert_eq!(ended.stdout, b"said");
    assert_eq!((ended.stderr.as_slice(), ended.status.code()), (&b"heard\nmore\n"[..], Some(7)));
}

#[test]
fn a_program_is_given_more_than_a_pipe_holds_while_it_says_more_than_a_pipe_holds() {
    let input = vec![b'x'; 3_000_000];
    let output = answer(sh("cat"), input.clone(), Duration::from_secs(60), usize::MAX).unwrap();
    assert!(output == input);
}

#[test]
fn a_program_that_ends_well_is_heard_and_every_other_is_unknown() {
    assert_eq!(answered("cat", 60_000), Ok("in\n".to_owned()));
    assert_eq!(answered("exec <&-; echo out", 60_000), Ok("out\n".to_owned()));
    assert!(answered("echo out; echo no disk >&2; exit 3", 60_000).unwrap_err().contains("no disk"));
    assert!(answered("kill -9 $$", 60_000).is_err());
    assert_eq!(answered("yes", 60_000).unwrap_err(), "it said more than 1000000 bytes");
    assert_eq!(answered("exec >&- 2>&-; sleep 600", 300).unwrap_err(), "it took longer than 0.3 s");
    #[allow(clippy::disallowed_methods, reason = "a test of running programs")]
    let nowhere = answer(Command::new("/nowhere/at/all"), Vec::new(), Duration::from_secs(1), 1);
    assert!(matches!(nowhere, Err(ProgramFailure::NotFound)));
}

#[test]
fn what_a_program_leaves_running_is_not_waited_for_and_left_in_peace() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    // A daemon that holds both pipes.
    let output = answered(&format!("setsid sleep 600 & echo $! > {}; echo done", pid.display()), 60_000);
    assert_eq!(output, Ok("done\n".to_owned()));
    let pid = fs::read_to_string(&pid).unwrap();
    assert!(lives(&pid), "a reload may start what serves");
    kill(&pid);
}

/// Ends a process, and waits until whoever is its parent has reaped it.
fn kill(pid: &str) {
    use rustix::process::{Pid, Signal, kill_process};
    let process = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    kill_process(process, Signal::KILL).unwrap();
    while lives(pid) {
        started::reap();
        std::thread::yield_now();
    }
}

#[test]
fn at_the_deadline_everything_that_a_program_started_is_ended_and_reaped() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    for (how, start) in [
        ("in its group", "sleep 600 & echo $! > PID"),
        ("in a session of its own", "setsid sleep 600 & echo $! > PID"),
        ("whose parent has ended", "(setsid sleep 600 & echo $! > PID)"),
        ("in a group of its own", "set -m; sleep 600 & echo $! > PID"),
        ("which ignores a gentle end", "(trap '' TERM HUP INT; sleep 600) & echo $! > PID"),
    ] {
        let script = format!("trap '' TERM HUP; {start}; sleep 600").replace("PID", &pid.display().to_string());
        assert!(answered(&script, 500).unwrap_err().contains("longer"), "{how}");
        let started = fs::read_to_string(&pid).unwrap();
        assert!(!lives(&started), "{how}: {started} lives on");
        fs::remove_file(&pid).unwrap();
    }
}

#[test]
fn a_thousand_runs_leave_no_thread_descriptor_or_process() {
    answered("true", 60_000).unwrap();
    let before = has();
    for run in 0..1_000 {
        // One in fifty is ended: it started something that left its group, and that holds the pipes.
        if run % 50 == 0 {
            answered("(setsid sleep 600 &) ; sleep 600", 20).unwrap_err();
        } else {
            answered(if run % 2 == 0 { "cat" } else { "(setsid true &)" }, 60_000).unwrap();
        }
    }
    // What was left in peace ends when it likes.
    let mut tries = 0;
    while has() != before && tries < 1_000 {
        started::reap();
        std::thread::sleep(Duration::from_millis(5));
        tries += 1;
    }
    assert_eq!(has(), before);
}

#[test]
fn several_at_once_end_only_what_they_started_themselves() {
    let patient = start(sh("sleep 0.7; echo patient"), Job { limit: Some(Duration::from_secs(60)), ..Job::default() });
    assert!(answered("(setsid sleep 600 &); sleep 600", 100).is_err());
    assert_eq!(patient.unwrap().finish().unwrap().stdout, b"patient\n");
}
