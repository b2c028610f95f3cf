//! A page for Prometheus, on loopback. One reader at a time, and none for long.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::metrics::Metrics;
use crate::model::{Reason, Refusal};

/// How long a reader may take to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest request that is listened to, in bytes.
const MAX_REQUEST: u64 = 8 * 1024;

/// Begins to serve; the address that it is served at. It ends with the process.
pub fn serve(address: SocketAddr, metrics: Arc<Mutex<Metrics>>) -> Result<SocketAddr, Refusal> {
    let failed = |error: std::io::Error| {
        Refusal::new(Reason::Internal, format!("metrics cannot be served at {address}: {error}"))
            .hint("choose another port for metrics-listen in the applier's configuration")
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let serving = std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever hangs up is told nothing.
            let _ = answer(&stream, &metrics);
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
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(body.as_bytes())
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
    fn there_is_one_page_and_garbage_ends_nothing() {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let address = serve(here, Arc::new(Mutex::new(Metrics::default()))).unwrap();
        drop(TcpStream::connect(address).unwrap());
        assert!(ask(address, "\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(ask(address, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(ask(address, "GET /other HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        let page = ask(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("\ntwo_key_ticks_total 0\n"), "{page}");
        assert_eq!(serve(address, Arc::default()).unwrap_err().reason, Reason::Internal, "the port is taken");
    }
}
