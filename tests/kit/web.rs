//! Small web servers that say who they are, and requests that count who answered.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::Child,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// What a server says it is; it can be told to say something else.
pub(crate) type Version = Arc<Mutex<String>>;

/// A server that answers every request with its version.
pub(crate) struct Backend {
    pub(crate) port: u16,
    /// How many it has answered or broken off with.
    pub(crate) answered: Arc<AtomicUsize>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    pub(crate) fn new(version: &str) -> Self {
        Self::telling(&Arc::new(Mutex::new(version.to_owned())))
    }

    pub(crate) fn telling(version: &Version) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), version)
    }

    /// A server that comes back to the port that it had.
    pub(crate) fn at(port: u16, version: &str) -> Self {
        Self::on(TcpListener::bind(("127.0.0.1", port)).unwrap(), &Arc::new(Mutex::new(version.to_owned())))
    }

    fn on(listener: TcpListener, version: &Version) -> Self {
        let version = Arc::clone(version);
        let port = listener.local_addr().unwrap().port();
        let end = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&end);
        let answered = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&answered);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if told.load(Ordering::SeqCst) {
                    break;
                }
                // A request that breaks off is the other side's affair.
                let version = version.lock().unwrap().clone();
                let _ = stream.map(|stream| answer(stream, &version));
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, answered, end, thread: Some(thread) }
    }
}

fn answer(mut stream: TcpStream, version: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            length => head.extend_from_slice(&chunk[..length]),
        }
    }
    let length = version.len();
    // In one piece: a second small one would wait for the first to be acknowledged.
    let said = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{version}");
    stream.write_all(said.as_bytes())?;
    stream.shutdown(Shutdown::Write)
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// One request on a connection of its own: the body of a good answer.
pub(crate) fn get(port: u16, path: &str, client: &str) -> Option<String> {
    get_with(port, path, &format!("X-Client: {client}")).map(|(_, body)| body)
}

/// One request with a header: the head and the body of a good answer.
pub(crate) fn get_with(port: u16, path: &str, header: &str) -> Option<(String, String)> {
    let ask = || {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: shop\r\n{header}\r\n\r\n").as_bytes())?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok::<_, std::io::Error>(said)
    };
    let said = ask().ok()?;
    let (head, body) = said.split_once("\r\n\r\n")?;
    head.split(' ').nth(1).filter(|status| *status == "200").map(|_| (head.to_owned(), body.to_owned()))
}

/// Sends requests, each by another client, and counts who answered; what failed counts as nobody.
pub(crate) fn count(port: u16, requests: u32) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for client in 0..requests {
        let who = get(port, "/", &format!("client-{client}")).unwrap_or_else(|| "nobody".to_owned());
        *counts.entry(who).or_default() += 1;
    }
    counts
}

/// Asserts that a count is within four standard deviations of a share in percent: one false alarm in 15,000.
#[track_caller]
pub(crate) fn is_percent(counts: &BTreeMap<String, u32>, who: &str, percent: f64) {
    let all = f64::from(counts.values().sum::<u32>());
    let share = percent / 100.0;
    let (expected, bound) = (all * share, 4.0 * (all * share * (1.0 - share)).sqrt());
    let found = f64::from(counts.get(who).copied().unwrap_or(0));
    assert!((found - expected).abs() <= bound, "{who} had {found}, not {expected} ± {bound}: {counts:?}");
    assert_eq!(counts.get("nobody"), None, "{counts:?}");
}

/// Requests that flow until it is dropped or asked.
pub(crate) struct Flow {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<BTreeMap<String, u32>>>,
}

impl Flow {
    pub(crate) fn through(port: u16) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let mut counts = BTreeMap::new();
            let mut client = 0_u32;
            while !told.load(Ordering::SeqCst) {
                let who = get(port, "/", &format!("flow-{client}")).unwrap_or_else(|| "nobody".to_owned());
                *counts.entry(who).or_default() += 1;
                client += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
            counts
        });
        Self { end, thread: Some(thread) }
    }

    /// Who answered how many.
    pub(crate) fn ends(mut self) -> BTreeMap<String, u32> {
        self.end.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A program that is killed when it goes out of scope.
pub(crate) struct Daemon(pub(crate) Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for something to come true, for at most a minute.
#[track_caller]
pub(crate) fn until(what: &str, mut true_yet: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !true_yet() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
