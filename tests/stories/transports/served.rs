//! Servers that end with their test.

use std::{
    io::Read as _,
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A server's process.
pub(super) struct Served(Child);

impl Served {
    /// Starts a server and waits until it listens.
    pub(super) fn start(command: &mut Command, port: u16) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut served = Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")));
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = served.0.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                let _ = served.0.kill();
                let mut said = String::new();
                let _ = served.0.stderr.take().unwrap().read_to_string(&mut said);
                panic!("{command:?} does not listen: {ended:?}\n{said}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        served
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
