//! `HAProxy`'s runtime socket: one command a connection, the answer is text. What went wrong is said in band.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use crate::model::{Reason, Refusal};

/// How long the socket may take to read or write.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// The socket.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
}

/// A server, as `HAProxy` has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// Its name.
    pub(super) name: String,
    /// Whether it is sent new requests, if it has weight.
    pub(super) up: bool,
    /// Its weight now.
    pub(super) weight: u32,
    /// Its weight in the configuration file.
    pub(super) configured: u32,
    /// How many sessions it has served.
    pub(super) sessions: u64,
}

/// A backend, as `HAProxy` has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// How it balances.
    pub(super) algorithm: String,
    /// Its servers.
    pub(super) servers: Vec<Server>,
}

impl Socket {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Looks at a backend.
    pub(super) fn view(&self, backend: &str) -> Result<View, Refusal> {
        let state = self.ask(&format!("show servers state {backend}"))?;
        // By its number: a frontend may have the same name. Six is backends and servers.
        let number = rows(&state, ' ', "# be_id").first().and_then(|row| row.get("be_id").copied());
        let stat = match number {
            Some(number) => self.ask(&format!("show stat {number} 6 -1"))?,
            None => String::new(),
        };
        view(&state, &stat, backend).map_err(|why| self.unknown(&why))
    }

    /// Sets weights, in order. Commands of one line are carried out without a pause between them.
    pub(super) fn set(&self, backend: &str, weights: &[(&str, u32)]) -> Result<(), Refusal> {
        let commands: Vec<_> =
            weights.iter().map(|(server, weight)| format!("set weight {backend}/{server} {weight}")).collect();
        if commands.is_empty() {
            return Ok(());
        }
        let said = self.ask(&commands.join("; "))?;
        match said.lines().find(|line| !line.trim().is_empty()) {
            None => Ok(()),
            Some(line) => {
                let message = format!("haproxy did not take weights for {backend}: {line}");
                Err(Refusal::new(Reason::Internal, message))
            }
        }
    }

    fn ask(&self, command: &str) -> Result<String, Refusal> {
        let ask = || {
            let mut stream = UnixStream::connect(&self.path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.write_all(format!("{command}\n").as_bytes())?;
            let mut said = String::new();
            stream.take(MAX_BYTES).read_to_string(&mut said)?;
            Ok::<_, std::io::Error>(said)
        };
        ask().map_err(|error| self.unknown(&error))
    }

    fn unknown(&self, error: &dyn std::fmt::Display) -> Refusal {
        Refusal::new(Reason::NoData, format!("haproxy at {} cannot be asked: {error}", self.path.display()))
            .hint("it needs: stats socket PATH mode 600 level admin")
    }
}

/// Puts the two answers together.
fn view(state: &str, stat: &str, backend: &str) -> Result<View, String> {
    let mut algorithm = None;
    let mut sessions = BTreeMap::new();
    for row in rows(stat, ',', "# pxname") {
        let field = |name: &str| row.get(name).copied().unwrap_or_default();
        if field("svname") == "BACKEND" {
            algorithm = Some(field("algo").to_owned()).filter(|name| !name.is_empty());
        } else {
            sessions.insert(field("svname"), number(field("stot"))?);
        }
    }
    let mut servers = Vec::new();
    for row in rows(state, ' ', "# be_id") {
        let field = |name: &str| row.get(name).copied().unwrap_or_default();
        let (running, admin) = (number(field("srv_op_state"))?, number(field("srv_admin_state"))?);
        let name = field("srv_name");
        servers.push(Server {
            name: name.to_owned(),
            // Starting or running, and neither in maintenance nor draining.
            up: matches!(running, 1 | 2) && admin == 0,
            weight: weight(field("srv_uweight"))?,
            configured: weight(field("srv_iweight"))?,
            sessions: sessions.get(name).copied().unwrap_or_default(),
        });
    }
    if servers.is_empty() {
        return Err(format!("it shows no servers of backend {backend}: {}", line(state)));
    }
    let algorithm =
        algorithm.ok_or_else(|| format!("it does not say how backend {backend} balances: {}", line(stat)))?;
    Ok(View { algorithm, servers })
}

/// The rows of a table whose head begins in some way, by column.
fn rows<'a>(text: &'a str, separator: char, head: &str) -> Vec<BTreeMap<&'a str, &'a str>> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(head));
    let names: Vec<&str> = lines.next().unwrap_or_default().trim_start_matches("# ").split(separator).collect();
    let row = |line: &'a str| names.iter().copied().zip(line.split(separator)).collect();
    lines.take_while(|line| !line.trim().is_empty()).map(row).collect()
}

fn number(field: &str) -> Result<u64, String> {
    field.parse().map_err(|_| format!("`{field}` is no number"))
}

fn weight(field: &str) -> Result<u32, String> {
    field.parse().map_err(|_| format!("`{field}` is no weight"))
}

fn line(text: &str) -> &str {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight rest\n\
                         3 be 1 web1 127.0.0.1 2 0 19 1 0\n3 be 2 web2 127.0.0.1 0 0 1 0 0\n3 be 3 web3 127.0.0.1 2 1 1 0 0\n\n";
    const STAT: &str = "# pxname,svname,stot,algo,\nbe,web1,95,,\nbe,web2,5,,\nbe,BACKEND,100,roundrobin,\n\n";

    #[test]
    fn answers_are_read_by_their_columns() {
        let view = view(STATE, STAT, "be").unwrap();
        assert_eq!(view.algorithm, "roundrobin");
        let short: Vec<_> =
            view.servers.iter().map(|one| (one.name.as_str(), one.up, one.weight, one.sessions)).collect();
        assert_eq!(short, [("web1", true, 19, 95), ("web2", false, 1, 5), ("web3", false, 1, 0)]);
    }

    #[test]
    fn what_is_said_in_band_is_no_backend() {
        for (state, stat) in [("Can't find backend.\n", STAT), (STATE, "No such proxy.\n"), ("", ""), (STATE, "")] {
            assert!(view(state, stat, "be").is_err(), "{state} {stat}");
        }
        assert!(view(&STATE.replace(" 19 ", " many "), STAT, "be").is_err());
    }
}
