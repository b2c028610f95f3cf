//! A backend as `HAProxy` has it now, and what that says of who is served. Pure.

use std::collections::BTreeMap;

/// A share of time or weight that is whole, in percent.
const WHOLE: u64 = 100;
/// `srv_admin_state`: in maintenance, by hand, by another server, or because its name has no address. That the file said
/// `disabled` once (0x04), and that its name was set at the socket (0x40), stays there when it serves.
const MAINTENANCE: u64 = 0x01 | 0x02 | 0x20;
/// Draining, by hand or by another server.
const DRAINING: u64 = 0x08 | 0x10;

/// `srv_agent_state`: one is configured.
const AGENT: u64 = 0x02;

/// What a server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerStatus {
    /// New requests, by its weight.
    Serving,
    /// Nothing new but from those whom a cookie or a table sends there.
    Draining,
    /// Nothing: it is down.
    Down,
    /// Nothing: somebody said so.
    Maintenance,
}

/// A server, as `HAProxy` has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HaproxyServer {
    /// Its name.
    pub(super) name: String,
    /// What it takes.
    pub(super) standing: ServerStatus,
    /// Its weight now.
    pub(super) weight: u32,
    /// Its weight in the configuration file.
    pub(super) configured: u32,
    /// How much of its weight it has while it starts slowly, in percent; none where it has all of it.
    pub(super) starting: Option<u32>,
    /// Whether it shares the requests, or serves only where no other does.
    pub(super) use_of: Use,
    /// Who says what it weighs.
    pub(super) weigher: Weigher,
    /// How many sessions it takes at a time before others are sent its requests; none for as many as come.
    pub(super) limit: Option<u64>,
    /// How many sessions it has served.
    pub(super) sessions: u64,
    /// How many of them are open.
    pub(super) open: u64,
}

/// What a server is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It shares the requests.
    Active,
    /// It serves where no active one does.
    Backup,
}

/// Who says what a server weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weigher {
    /// The file, and orders at the socket.
    Orders,
    /// An agent of the server's own (`agent-check`), at any time.
    Agent,
}

impl HaproxyServer {
    /// What it weighs in the split, in hundredths.
    pub(super) fn effective(&self) -> u64 {
        match self.standing {
            ServerStatus::Serving => u64::from(self.weight) * self.starting.map_or(WHOLE, u64::from),
            ServerStatus::Draining | ServerStatus::Down | ServerStatus::Maintenance => 0,
        }
    }

    /// Whether nobody is sent there, whatever cookie they have.
    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.standing, ServerStatus::Down | ServerStatus::Maintenance)
    }
}

/// A backend, as `HAProxy` has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HaproxyBackend {
    /// How it balances.
    pub(super) algorithm: String,
    /// How it is seen that people stay where they were, whatever the weights are, if they do.
    pub(super) persistence: Option<String>,
    /// Its servers.
    pub(super) servers: Vec<HaproxyServer>,
}

impl HaproxyBackend {
    /// Puts together what `show servers state`, `show stat` and `show table` say.
    pub(super) fn read(state: &str, stat: &str, tables: &str, backend: &str) -> Result<Self, String> {
        let rows = cells(stat, ',', "# pxname");
        let field = |row: &BTreeMap<&str, &str>, name: &str| row.get(name).copied().unwrap_or_default().to_owned();
        let whole = rows.iter().find(|row| field(row, "svname") == "BACKEND");
        let servers =
            cells(state, ' ', "# be_id").iter().map(|row| server(row, &rows)).collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Err(format!("it shows no servers of backend {backend}: {}", line(state)));
        }
        let algorithm = whole.map(|row| field(row, "algo")).filter(|name| !name.is_empty());
        let algorithm =
            algorithm.ok_or_else(|| format!("it does not say how backend {backend} balances: {}", line(stat)))?;
        let cookie = whole.map(|row| field(row, "cookie")).filter(|name| !name.is_empty());
        let table = tables.lines().any(|line| line.starts_with(&format!("# table: {backend},")));
        let persistence =
            cookie.map(|name| format!("cookie {name}")).or_else(|| table.then(|| "a stick table".to_owned()));
        Ok(Self { algorithm, persistence, servers })
    }

    /// The servers of some names.
    pub(super) fn named<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = &'a HaproxyServer> {
        self.servers.iter().filter(|server| names.contains(&server.name))
    }

    /// What all servers weigh in the split that take part in it, in hundredths: the active ones, else the backups.
    pub(super) fn effective(&self, among: impl Fn(&HaproxyServer) -> bool) -> u64 {
        let sum = |use_of: Use, among: &dyn Fn(&HaproxyServer) -> bool| {
            self.servers
                .iter()
                .filter(|one| one.use_of == use_of && among(one))
                .map(HaproxyServer::effective)
                .sum::<u64>()
        };
        let use_of = if sum(Use::Active, &|_| true) > 0 { Use::Active } else { Use::Backup };
        sum(use_of, &among)
    }
}

/// A server by its row, and by the row that the statistics have for it.
fn server(row: &BTreeMap<&str, &str>, stat: &[BTreeMap<&str, &str>]) -> Result<HaproxyServer, String> {
    let field = |name: &str| row.get(name).copied().unwrap_or_default();
    let name = field("srv_name");
    let counted = stat.iter().find(|row| row.get("svname") == Some(&name));
    let counted = |column: &str| {
        let text = counted.and_then(|row| row.get(column).copied()).unwrap_or_default();
        if text.is_empty() { Ok(None) } else { number(text).map(Some) }
    };
    let (running, admin) = (number(field("srv_op_state"))?, number(field("srv_admin_state"))?);
    let standing = match (admin, running) {
        (admin, _) if admin & MAINTENANCE != 0 => ServerStatus::Maintenance,
        (_, 0) => ServerStatus::Down,
        (admin, 1 | 2) if admin & DRAINING == 0 => ServerStatus::Serving,
        _ => ServerStatus::Draining,
    };
    Ok(HaproxyServer {
        name: name.to_owned(),
        standing,
        weight: weight(field("srv_uweight"))?,
        configured: weight(field("srv_iweight"))?,
        starting: counted("throttle")?.map(|percent| u32::try_from(percent).unwrap_or(u32::MAX)),
        weigher: if number(field("srv_agent_state"))? & AGENT > 0 { Weigher::Agent } else { Weigher::Orders },
        limit: counted("slim")?,
        use_of: if counted("bck")?.unwrap_or(0) > 0 { Use::Backup } else { Use::Active },
        sessions: counted("stot")?.unwrap_or(0),
        open: counted("scur")?.unwrap_or(0),
    })
}

/// The rows of a table whose head begins in some way, by column.
pub(super) fn cells<'a>(text: &'a str, separator: char, head: &str) -> Vec<BTreeMap<&'a str, &'a str>> {
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

    const STATE: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_agent_state\n\
                         3 be 1 web1 127.0.0.1 2 0 19 1 0\n3 be 2 web2 127.0.0.1 0 0 1 0 0\n3 be 3 web3 127.0.0.1 2 1 1 0 0\n\
                         3 be 4 web4 127.0.0.1 2 8 1 0 22\n\n";
    const STAT: &str = "# pxname,svname,scur,slim,stot,bck,throttle,algo,cookie,\nbe,web1,2,,95,0,,,,\nbe,web2,0,40,5,0,,,,\n\
                        be,BACKEND,0,200,100,0,,roundrobin,,\n\n";

    fn read(state: &str, stat: &str) -> Result<HaproxyBackend, String> {
        HaproxyBackend::read(state, stat, "", "be")
    }

    #[test]
    fn answers_are_read_by_their_columns() {
        let view = read(STATE, STAT).unwrap();
        assert_eq!((view.algorithm.as_str(), &view.persistence), ("roundrobin", &None));
        let short: Vec<_> = view.servers.iter().map(|one| (one.standing, one.weight, one.sessions, one.open)).collect();
        let (serving, draining) = (ServerStatus::Serving, ServerStatus::Draining);
        let expected = [
            (serving, 19, 95, 2),
            (ServerStatus::Down, 1, 5, 0),
            (ServerStatus::Maintenance, 1, 0, 0),
            (draining, 1, 0, 0),
        ];
        assert_eq!(short, expected);
        let others: Vec<_> = view.servers.iter().map(|one| (one.weigher, one.limit)).collect();
        let plain = (Weigher::Orders, None);
        assert_eq!(others, [plain, (Weigher::Orders, Some(40)), plain, (Weigher::Agent, None)]);
    }

    #[test]
    fn what_the_file_or_the_socket_said_once_is_no_standing() {
        let standing = |admin: u64, running: u64| {
            let state = STATE.replace("web1 127.0.0.1 2 0 ", &format!("web1 127.0.0.1 {running} {admin} "));
            read(&state, STAT).unwrap().servers[0].standing
        };
        for admin in [0x00, 0x04, 0x40, 0x44] {
            assert_eq!(standing(admin, 2), ServerStatus::Serving, "{admin}");
            assert_eq!(standing(admin, 0), ServerStatus::Down, "{admin}");
            for drains in [0x08, 0x10] {
                assert_eq!(standing(admin | drains, 2), ServerStatus::Draining, "{admin}");
            }
            for maintenance in [0x01, 0x02, 0x20] {
                assert_eq!(standing(admin | maintenance, 0), ServerStatus::Maintenance, "{admin}");
            }
        }
        assert_eq!(standing(0, 3), ServerStatus::Draining);
    }

    #[test]
    fn what_is_said_in_band_is_no_backend() {
        for (state, stat) in [("Can't find backend.\n", STAT), (STATE, "No such proxy.\n"), ("", ""), (STATE, "")] {
            assert!(read(state, stat).is_err(), "{state} {stat}");
        }
        assert!(read(&STATE.replace(" 19 ", " many "), STAT).is_err());
    }

    #[test]
    fn a_server_that_starts_slowly_and_a_backup_weigh_what_they_are_sent() {
        let all = |_: &HaproxyServer| true;
        assert_eq!(read(STATE, STAT).unwrap().effective(all), 1_900);
        let slow = STAT.replace("95,0,,", "95,0,10,");
        assert_eq!(read(STATE, &slow).unwrap().effective(all), 190);
        let two = STATE.replace("web2 127.0.0.1 0", "web2 127.0.0.1 2");
        assert_eq!(read(&two, STAT).unwrap().effective(all), 2_000);
        let backup = STAT.replace("web2,0,40,5,0", "web2,0,40,5,1");
        assert_eq!(read(&two, &backup).unwrap().effective(all), 1_900);
        let alone = two.replace("web1 127.0.0.1 2", "web1 127.0.0.1 0");
        assert_eq!(read(&alone, &backup).unwrap().effective(all), 100);
    }

    #[test]
    fn what_keeps_people_where_they_were_is_seen() {
        let of = |stat: &str, tables: &str| HaproxyBackend::read(STATE, stat, tables, "be").unwrap().persistence;
        assert_eq!(of(STAT, "# table: other, type: ip, size:1024, used:0\n"), None);
        assert_eq!(of(STAT, "# table: be, type: ip, size:1024, used:0\n").as_deref(), Some("a stick table"));
        assert_eq!(of(&STAT.replace("roundrobin,,", "roundrobin,SRV,"), "").as_deref(), Some("cookie SRV"));
    }
}
