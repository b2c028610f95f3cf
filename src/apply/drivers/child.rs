//! One run of a program: bounded in time and in output, with everything that it started.

use std::{
    io::{Read, Write},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

/// The longest answer that is read.
const MAX_ANSWER: u64 = 1024 * 1024;
/// How much of what a program complains of is kept.
const MAX_LOG: u64 = 4 * 1024;

/// What a program said, or why that is unknown.
#[derive(Debug)]
struct Said {
    answer: Vec<u8>,
    log: String,
    ended: Result<(), String>,
}

/// Runs a program with some input, and gives its standard output. Anything but a timely end with status zero and an
/// answer of some size is *unknown*, in words. At the deadline the whole process group is killed.
pub(super) fn run(mut command: Command, input: Vec<u8>, limit: Duration) -> Result<Vec<u8>, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| format!("it cannot be run: {error}"))?;
    let group = group_of(&child);
    let stdin = child.stdin.take();
    std::thread::spawn(move || {
        // A program that does not read its request says why by its answer.
        let _ = stdin.map(|mut stdin| stdin.write_all(&input));
    });
    let (tell, told) = mpsc::channel();
    // Not joined: something that left the group may hold the pipes for as long as it likes.
    std::thread::spawn(move || tell.send(listen(child, group)));
    match told.recv_timeout(limit) {
        Ok(Said { answer, ended: Ok(()), .. }) => Ok(answer),
        Ok(Said { log, ended: Err(why), .. }) if log.is_empty() => Err(why),
        Ok(Said { log, ended: Err(why), .. }) => Err(format!("{why}; it said: {log}")),
        Err(RecvTimeoutError::Timeout) => {
            end(group);
            Err(format!("it took longer than {} s", limit.as_secs_f64()))
        }
        Err(RecvTimeoutError::Disconnected) => Err("nobody could listen to it".to_owned()),
    }
}

fn group_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn end(group: Option<Pid>) {
    // A group that is gone already needs no killing.
    let _ = group.map(|group| kill_process_group(group, Signal::KILL));
}

fn listen(mut child: Child, group: Option<Pid>) -> Said {
    let stderr = child.stderr.take();
    let log = std::thread::spawn(move || {
        let mut log = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = (&mut stderr).take(MAX_LOG).read_to_end(&mut log);
            // Read on, so that nobody waits for room in the pipe.
            let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        }
        String::from_utf8_lossy(&log).trim().replace('\n', " / ")
    });
    let mut answer = Vec::new();
    let read = child.stdout.take().map(|stdout| stdout.take(MAX_ANSWER + 1).read_to_end(&mut answer));
    let too_much = answer.len() as u64 > MAX_ANSWER;
    if too_much {
        end(group);
    }
    let status = child.wait();
    let ended = match (read, status) {
        _ if too_much => Err(format!("it answered more than {MAX_ANSWER} bytes")),
        (Some(Err(error)), _) | (_, Err(error)) => Err(format!("its answer cannot be read: {error}")),
        (_, Ok(status)) if status.success() => Ok(()),
        (_, Ok(status)) => Err(format!("it ended with {status}")),
    };
    Said { answer, log: log.join().unwrap_or_default(), ended }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit_ms: u64) -> Result<String, String> {
        #[allow(clippy::disallowed_methods, reason = "a test of running programs")]
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let said = run(command, b"in\n".to_vec(), Duration::from_millis(limit_ms))?;
        Ok(String::from_utf8(said).unwrap())
    }

    #[test]
    fn a_program_that_ends_well_is_heard_and_every_other_is_unknown() {
        assert_eq!(sh("cat", 20_000), Ok("in\n".to_owned()));
        assert_eq!(sh("exec <&-; echo out", 20_000), Ok("out\n".to_owned()));
        assert!(sh("echo out; echo no disk >&2; exit 3", 20_000).unwrap_err().contains("no disk"));
        assert!(sh("kill -9 $$", 20_000).is_err());
        assert!(sh("head -c 2000000 /dev/zero", 20_000).unwrap_err().contains("more than"));
    }

    #[test]
    fn at_the_deadline_everything_that_a_program_started_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", pid.display());
        assert!(sh(&script, 700).unwrap_err().contains("longer"));
        let child = std::fs::read_to_string(&pid).unwrap();
        let proc = std::path::Path::new("/proc").join(child.trim()).join("stat");
        // Killed, and perhaps not yet buried by whoever inherited it.
        let gone = || std::fs::read_to_string(&proc).map_or(true, |stat| stat.contains(") Z "));
        let waited = (0..500).find(|_| {
            std::thread::sleep(Duration::from_millis(10));
            gone()
        });
        assert!(waited.is_some(), "the grandchild lives on");
    }
}
