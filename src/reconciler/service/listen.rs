//! Metrics page for Prometheus, on loopback. A few readers at a time, and none for long.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::metrics::Metrics;
use crate::model::{Reason, Refusal};

/// How long a reader may take to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many are answered at a time. Whoever comes while there are as many is told nothing.
const READERS: usize = 16;
/// The longest request that is listened to, in bytes.
const MAX_REQUEST: u64 = 8 * 1024;

/// Begins to serve; the address that it is served at. It ends with the process.
pub fn serve(address: SocketAddr, metrics: Arc<Mutex<Metrics>>) -> Result<SocketAddr, Refusal> {
    let failed = |error: std::io::Error| {
        Refusal::new(Reason::Io, format!("metrics cannot be served at {address}: {error}"))
            .hint("choose another port for metrics-listen in the applier's configuration")
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let serving = std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        let readers = Arc::new(());
        for stream in listener.incoming().flatten() {
            let (reader, metrics) = (Arc::clone(&readers), Arc::clone(&metrics));
            if Arc::strong_count(&reader) > READERS + 1 {
                continue;
            }
            // One thread each: whoever is slow keeps nobody waiting. Without a thread nobody is told anything.
            let _ = std::thread::Builder::new().name("reader".to_owned()).spawn(move || {
                // Clients that disconnect are ignored.
                let _ = answer(&stream, &metrics);
                drop(reader);
            });
        }
    });
    serving.map(|_| bound).map_err(failed)
}

fn answer(stream: &TcpStream, metrics: &Mutex<Metrics>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.take(MAX_REQUEST)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    let (status, body) = match (words.next(), words.next()) {
        (Some("GET"), Some("/metrics")) => ("200 OK", metrics.lock().unwrap_or_else(PoisonError::into_inner).text()),
        (Some("GET"), _) => ("404 Not Found", "metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", String::new()),
    };
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let length = body.len();
    let mut stream = stream;
    let until = now() + PATIENCE;
    let page = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    let mut rest = page.as_bytes();
    // In time as a whole, and not only each piece of it.
    while !rest.is_empty() && now() < until {
        let length = stream.write(rest)?;
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "how long a reader may take decides nothing about a target")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_reader_that_never_asks_keeps_no_other_waiting() {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let address = serve(here, Arc::new(Mutex::new(Metrics::default()))).unwrap();
        let slow: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        // Answered before any of those has been given up.
        assert!(ask(address, "GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 OK\r\n"));
        for mut stream in &slow {
            stream.set_nonblocking(true).unwrap();
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "it is waited for");
        }
    }

    #[test]
    fn there_is_one_page_and_garbage_ends_nothing() {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let address = serve(here, Arc::new(Mutex::new(Metrics::default()))).unwrap();
        drop(TcpStream::connect(address).unwrap());
        assert!(ask(address, "\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(ask(address, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(ask(address, "GET /other HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        let page = ask(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("\ntwo_key_ticks_total 0\n"), "{page}");
        assert_eq!(serve(address, Arc::default()).unwrap_err().reason, Reason::Io, "the port is taken");
    }
}
