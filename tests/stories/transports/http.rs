//! The smallest web server that `git http-backend` can run behind: one request a connection, one after the other.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::kit::World;

/// The server; it ends when it is dropped.
pub(super) struct Web {
    pub url: String,
    address: std::net::SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Serves every repository in the world's folder.
pub(super) fn serve(world: &World) -> Web {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let (root, env) = (world.path().to_owned(), environment(world));
    let end = Arc::clone(&ended);
    let thread = thread::spawn(move || {
        for connection in listener.incoming() {
            if end.load(Ordering::SeqCst) {
                return;
            }
            // A client that goes away is its own affair.
            let _ = answer(connection.unwrap(), &root, &env);
        }
    });
    Web { url: format!("http://{address}"), address, ended, thread: Some(thread) }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The world's variables.
fn environment(world: &World) -> Vec<(String, String)> {
    let command = world.command(world.path(), "git");
    let text = |value: &std::ffi::OsStr| value.to_str().unwrap().to_owned();
    command.get_envs().filter_map(|(name, value)| Some((text(name), text(value?)))).collect()
}

fn answer(connection: TcpStream, root: &PathBuf, env: &[(String, String)]) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let Some((first, headers)) = lines.split_first() else { return Ok(()) };
    let headers: BTreeMap<String, String> = headers
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let header = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let mut backend = Command::new("git")
        .arg("http-backend")
        .env_clear()
        .envs(env.iter().map(|(name, value)| (name, value)))
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        // Who is known by name may push.
        .env("REMOTE_USER", "somebody")
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = backend.stdin.take().unwrap();
    let writer = thread::spawn(move || stdin.write_all(&body));
    let output = backend.wait_with_output()?;
    let _ = writer.join();
    let end = output.stdout.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(0);
    let (head, body) = output.stdout.split_at(end);
    let head = String::from_utf8_lossy(head);
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    let mut connection = connection;
    write!(connection, "HTTP/1.1 {status}\r\nConnection: close\r\n{head}")?;
    connection.write_all(body)
}
