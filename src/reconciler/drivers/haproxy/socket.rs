//! `HAProxy`'s runtime socket: one line of commands a connection, the answer is text. What went wrong is said in band.

use std::{
    io::{Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketType, connect},
};

use super::view::{HaproxyBackend, cells};
use crate::model::{Reason, Refusal};

/// How long the socket may take to read or write.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is tried to connect to a socket that takes nobody now, and how long it is waited in between.
const TRIES: u32 = 20;
const NAP: Duration = Duration::from_millis(50);
/// The longest answer that is read.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// A socket that waits for nobody and that no program inherits.
#[cfg(target_os = "linux")]
fn unconnected() -> std::io::Result<OwnedFd> {
    use rustix::net::{SocketFlags, socket_with};
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

#[cfg(not(target_os = "linux"))]
fn unconnected() -> std::io::Result<OwnedFd> {
    use rustix::{
        io::{FdFlags, fcntl_setfd, ioctl_fionbio},
        net::socket,
    };
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// The socket.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
}

/// What is done to one server of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerCommand<'a> {
    /// It gets a weight.
    Weight(&'a str, u32),
    /// It is taken out of maintenance.
    Ready(&'a str),
    /// It is sent nothing more, whoever asks for it: cookies and stick tables lead elsewhere.
    Maintenance(&'a str),
    /// What is open with it is broken off.
    End(&'a str),
}

impl ServerCommand<'_> {
    fn command(self, backend: &str) -> String {
        match self {
            Self::Weight(server, weight) => format!("set weight {backend}/{server} {weight}"),
            Self::Ready(server) => format!("set server {backend}/{server} state ready"),
            Self::Maintenance(server) => format!("set server {backend}/{server} state maint"),
            Self::End(server) => format!("shutdown sessions server {backend}/{server}"),
        }
    }
}

impl Socket {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Looks at a backend.
    pub(super) fn view(&self, backend: &str) -> Result<HaproxyBackend, Refusal> {
        let state = self.ask(&format!("show servers state {backend}"))?;
        // By its number: a frontend may have the same name. Six is backends and servers.
        let number = cells(&state, ' ', "# be_id").first().and_then(|row| row.get("be_id").copied());
        let stat = match number {
            Some(number) => self.ask(&format!("show stat {number} 6 -1"))?,
            None => String::new(),
        };
        let tables = self.ask("show table")?;
        HaproxyBackend::read(&state, &stat, &tables, backend).map_err(|why| self.unknown(&why))
    }

    /// The state of all servers, as `HAProxy` reads it from a file when it starts.
    pub(super) fn state(&self) -> Result<String, Refusal> {
        self.ask("show servers state")
    }

    /// The number of the process.
    pub(super) fn process(&self) -> Result<u32, Refusal> {
        let info = self.ask("show info")?;
        let number = info.lines().find_map(|line| line.strip_prefix("Pid: ")).and_then(|pid| pid.trim().parse().ok());
        number.ok_or_else(|| self.unknown(&"it does not say which process it is"))
    }

    /// Gives orders, one after the other. Those of one line are carried out without a pause between them, and one that is
    /// not taken keeps none of the others from it.
    pub(super) fn give(&self, backend: &str, orders: &[ServerCommand<'_>]) -> Result<(), Refusal> {
        if orders.is_empty() {
            return Ok(());
        }
        let commands: Vec<_> = orders.iter().map(|order| order.command(backend)).collect();
        let answer = self.ask(&commands.join("; "))?;
        match answer.lines().find(|line| !line.trim().is_empty()) {
            None => Ok(()),
            Some(line) => {
                let message = format!("haproxy did not take what it was told about {backend}: {line}");
                Err(Refusal::new(Reason::Drift, message))
            }
        }
    }

    /// Connects. A process that is stopped takes nobody, and once its backlog is full a connection is waited for without an end
    /// by whoever waits for it.
    fn connect(&self) -> std::io::Result<UnixStream> {
        let address = SocketAddrUnix::new(&self.path)?;
        for _ in 0..TRIES {
            let socket = unconnected()?;
            match connect(&socket, &address) {
                Ok(()) => {
                    let stream = UnixStream::from(socket);
                    stream.set_nonblocking(false)?;
                    return Ok(stream);
                }
                Err(Errno::AGAIN) => std::thread::sleep(NAP),
                Err(error) => return Err(error.into()),
            }
        }
        Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "it takes no connections"))
    }

    fn ask(&self, command: &str) -> Result<String, Refusal> {
        let ask = || {
            let mut stream = self.connect()?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.write_all(format!("{command}\n").as_bytes())?;
            let mut answer = String::new();
            stream.take(MAX_BYTES).read_to_string(&mut answer)?;
            Ok::<_, std::io::Error>(answer)
        };
        ask().map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => {
                self.unknown(&format!("it has not answered for {} s", PATIENCE.as_secs()))
            }
            _ => self.unknown(&error),
        })
    }

    fn unknown(&self, error: &dyn std::fmt::Display) -> Refusal {
        Refusal::new(Reason::NoData, format!("haproxy at {} cannot be asked: {error}", self.path.display()))
            .hint("it needs: stats socket PATH mode 600 level admin")
    }
}
