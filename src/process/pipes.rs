//! The pipes of one program, listened to at once until it has ended: a full one never holds up another.

use std::{
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::ioctl_fionbio,
};

use super::{Audience, interrupt, now};

/// How much of what a program complains of is kept.
const MAX_HEARD: usize = 1024 * 1024;
/// How often a program is looked after where the system cannot tell of its end.
const GLANCE: Duration = Duration::from_millis(20);
/// The most that is read of a program that has ended, of what others may go on to write.
const REST: usize = 16 * 1024 * 1024;
/// How long a program must go on after it has said something until people see it. What it says as it ends is why it failed, and
/// is told by whoever ran it.
const LINGERS: Duration = Duration::from_millis(300);

/// What becomes readable when a program has ended, where the system has such a thing.
#[cfg(target_os = "linux")]
fn end_of(id: u32) -> Option<OwnedFd> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn end_of(_: u32) -> Option<OwnedFd> {
    None
}

/// How listening ended.
pub(super) enum Heard {
    /// The program has ended.
    End(ExitStatus),
    /// It has said more than it may.
    TooMuch,
    /// It has not ended in time.
    Deadline,
    /// Somebody interrupted it.
    Interrupted,
}

/// The pipes of a program.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    input: Option<ChildStdin>,
    unread: Vec<u8>,
    given: usize,
    out: Option<ChildStdout>,
    err: Option<ChildStderr>,
    stdout: Vec<u8>,
    complaints: Vec<u8>,
    audience: Audience,
    /// What people have not seen yet of what was complained of, and since when that is so.
    unseen: Vec<u8>,
    unseen_since: Option<Instant>,
    /// Becomes readable when the program has ended.
    end: Option<OwnedFd>,
}

impl Pipes {
    /// The pipes of a program that was just started, and what it is to be given.
    pub(super) fn of(child: &mut Child, input: Vec<u8>, audience: Audience) -> io::Result<Self> {
        let (stdin, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        for pipe in [stdin.as_ref().map(AsFd::as_fd), out.as_ref().map(AsFd::as_fd), err.as_ref().map(AsFd::as_fd)] {
            pipe.map_or(Ok(()), |pipe| ioctl_fionbio(pipe, true))?;
        }
        let end = end_of(child.id());
        Ok(Self { input: stdin, unread: input, out, err, audience, end, ..Self::default() })
    }

    /// What was said, and what was complained of.
    pub(super) fn take(&mut self) -> (Vec<u8>, Vec<u8>) {
        (std::mem::take(&mut self.stdout), std::mem::take(&mut self.complaints))
    }

    /// Listens until the program has ended, has said more than `most` bytes, or `until` is there.
    pub(super) fn listen(&mut self, child: &mut Child, most: usize, until: Option<Instant>) -> io::Result<Heard> {
        let mut chunk = [0; 16 * 1024];
        loop {
            // Looked at before the pipes are: whatever it said is in them by then.
            let status = if self.out.is_none() && self.err.is_none() || self.may_have_ended()? {
                child.try_wait()?
            } else {
                None
            };
            if status.is_none() {
                self.wait(until)?;
            }
            self.give();
            let rest = if status.is_some() { REST } else { chunk.len() };
            self.hear(&mut chunk, most, rest)?;
            if self.audience == Audience::People && interrupt::came() {
                return Ok(Heard::Interrupted);
            }
            if self.stdout.len() > most {
                return Ok(Heard::TooMuch);
            }
            if let Some(status) = status {
                if status.success() {
                    self.show();
                }
                return Ok(Heard::End(status));
            }
            if self.shows_at().is_some_and(|at| now() >= at) {
                self.show();
            }
            if until.is_some_and(|until| now() >= until) {
                return Ok(Heard::Deadline);
            }
        }
    }

    /// Whether it is worth while to ask for the program's status.
    fn may_have_ended(&self) -> io::Result<bool> {
        let Some(end) = &self.end else { return Ok(true) };
        let mut fds = [PollFd::new(end, PollFlags::IN)];
        Ok(polled(&mut fds, Some(Duration::ZERO))? > 0)
    }

    /// Waits until there is something to hear, to give, or to end for.
    fn wait(&self, until: Option<Instant>) -> io::Result<()> {
        let readable = [self.out.as_ref().map(AsFd::as_fd), self.err.as_ref().map(AsFd::as_fd)];
        let ends = self.end.as_ref().map(AsFd::as_fd);
        let mut fds: Vec<PollFd<'_>> = readable
            .into_iter()
            .chain([ends])
            .flatten()
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        fds.extend(self.input.as_ref().map(|input| PollFd::new(input, PollFlags::OUT)));
        let left = until.map(|until| until.saturating_duration_since(now()));
        // An interrupt may come to another thread than this.
        let looks = self.end.is_none() || self.audience == Audience::People;
        let most = looks.then_some(GLANCE);
        let shows = self.shows_at().map(|at| at.saturating_duration_since(now()));
        polled(&mut fds, left.into_iter().chain(most).chain(shows).min()).map(drop)
    }

    /// When people are shown what they have not seen yet.
    fn shows_at(&self) -> Option<Instant> {
        self.unseen_since.map(|since| since + LINGERS)
    }

    /// Shows people what they have not seen yet.
    fn show(&mut self) {
        // Not even the lock is taken for nothing: it may be held for good by who writes to a reader that hangs.
        if self.unseen_since.take().is_none() {
            return;
        }
        // If nobody can see it, there is nobody to tell.
        let _ = io::stderr().write_all(&std::mem::take(&mut self.unseen));
    }

    /// Gives what there is room for. A program that ends before it has read everything says why by its status.
    fn give(&mut self) {
        let Some(input) = &mut self.input else { return };
        while let Some(rest) = self.unread.get(self.given..).filter(|rest| !rest.is_empty()) {
            match input.write(rest) {
                Ok(length @ 1..) => self.given += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => break,
            }
        }
        self.input = None;
        self.unread = Vec::new();
    }

    /// Hears what there is, of each pipe up to `rest` bytes.
    fn hear(&mut self, chunk: &mut [u8], most: usize, rest: usize) -> io::Result<()> {
        let mut heard = 0;
        while let Some(out) = self.out.as_mut().filter(|_| heard < rest && self.stdout.len() <= most) {
            match next(out, chunk)? {
                PipeRead::Nothing => break,
                PipeRead::End => self.out = None,
                PipeRead::Bytes(bytes) => {
                    heard += bytes.len();
                    self.stdout.extend_from_slice(bytes);
                }
            }
        }
        heard = 0;
        while let Some(err) = self.err.as_mut().filter(|_| heard < rest) {
            match next(err, chunk)? {
                PipeRead::Nothing => break,
                PipeRead::End => self.err = None,
                PipeRead::Bytes(bytes) => {
                    heard += bytes.len();
                    if self.complaints.len() < MAX_HEARD {
                        self.complaints.extend_from_slice(bytes);
                    }
                    if self.audience == Audience::People {
                        self.unseen.extend_from_slice(bytes);
                        self.unseen_since.get_or_insert_with(now);
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a pipe has.
enum PipeRead<'a> {
    Nothing,
    End,
    Bytes(&'a [u8]),
}

fn next<'a>(pipe: &mut impl Read, chunk: &'a mut [u8]) -> io::Result<PipeRead<'a>> {
    loop {
        match pipe.read(chunk) {
            Ok(0) => return Ok(PipeRead::End),
            Ok(length) => return Ok(PipeRead::Bytes(chunk.get(..length).unwrap_or_default())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(PipeRead::Nothing),
            Err(error) => return Err(error),
        }
    }
}

/// Waits for a program's end, and no longer than until some moment.
pub(super) fn wait(child: &mut Child, until: Instant) -> io::Result<Option<ExitStatus>> {
    let mut nothing = Pipes::of(child, Vec::new(), Audience::Nobody)?;
    match nothing.listen(child, usize::MAX, Some(until))? {
        Heard::End(status) => Ok(Some(status)),
        Heard::TooMuch | Heard::Deadline | Heard::Interrupted => Ok(None),
    }
}

fn polled(fds: &mut [PollFd<'_>], limit: Option<Duration>) -> io::Result<usize> {
    // Never a little too early: rounded up to what the system counts in.
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    match poll(fds, limit.as_ref()) {
        // Whoever waits looks again.
        Err(rustix::io::Errno::INTR) => Ok(0),
        other => Ok(other?),
    }
}
