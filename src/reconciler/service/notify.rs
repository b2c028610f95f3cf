//! Service manager notification (`sd_notify`): datagrams to the socket that `NOTIFY_SOCKET` names.

use std::{
    os::unix::net::{SocketAddr, UnixDatagram},
    path::Path,
};

/// An address that has a name and no file, which only Linux knows.
#[cfg(target_os = "linux")]
fn abstract_address(name: &str) -> std::io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &str) -> std::io::Result<SocketAddr> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// A service manager that listens.
#[derive(Debug)]
pub struct Notify {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Notify {
    /// The manager that listens at an address as `NOTIFY_SOCKET` has it: a path, or `@` and an abstract name. None if
    /// it cannot be talked to, which is no reason not to work.
    pub fn at(address: &str) -> Option<Self> {
        let address = match address.strip_prefix('@') {
            Some(name) => abstract_address(name),
            None => SocketAddr::from_pathname(Path::new(address)),
        };
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(Self { socket, address: address.ok()? })
    }

    /// It works from now on.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// It is alive, and what it does.
    pub fn alive(&self, status: &str) {
        // One line: a line feed would begin another field.
        self.say(&format!("WATCHDOG=1\nSTATUS={}", status.replace('\n', " ")));
    }

    /// It is still alive.
    pub fn beat(&self) {
        self.say("WATCHDOG=1");
    }

    /// It is about to end.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    fn say(&self, what: &str) {
        // A manager that does not listen any more will find out by itself.
        let _ = self.socket.send_to_addr(what.as_bytes(), &self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_hears_it_at_a_path_and_a_status_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::at(path.to_str().unwrap()).unwrap();
        notify.ready();
        notify.alive("a\nREADY=0");
        let mut heard = [0; 100];
        let length = manager.recv(&mut heard).unwrap();
        assert_eq!(&heard[..length], b"READY=1");
        let length = manager.recv(&mut heard).unwrap();
        assert_eq!(&heard[..length], b"WATCHDOG=1\nSTATUS=a READY=0");
        drop(manager);
        notify.stopping();
    }
}
