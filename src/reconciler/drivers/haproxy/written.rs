//! `HAProxy`'s configuration file, as far as one backend goes: what a restart makes of the weights, and what they
//! cannot say of who is served. Pure. Only the words that matter here are read.

use std::{collections::BTreeMap, path::PathBuf};

/// Words that begin a section.
const SECTIONS: [&str; 18] = [
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "peers",
    "resolvers",
    "userlist",
    "program",
    "mailers",
    "cache",
    "http-errors",
    "ring",
    "log-forward",
    "fcgi-app",
    "crt-list",
    "crt-store",
    "traces",
];

/// What the files say of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct WrittenBackend {
    /// The weight of each server after a restart.
    pub(super) weights: BTreeMap<String, u32>,
    /// Servers that start slowly, with how they are said to.
    pub(super) slow: BTreeMap<String, String>,
    /// The line that keeps people where they were, whatever the weights are.
    pub(super) persistence: Option<String>,
    /// The line by which even servers in maintenance are sent what a cookie or a table asks for.
    pub(super) forced: Option<String>,
    /// The file from which the servers' state is loaded at the start.
    pub(super) state: Option<PathBuf>,
}

/// A section's lines, in words.
struct ConfigSection<'a> {
    head: Vec<&'a str>,
    lines: Vec<Vec<&'a str>>,
}

impl WrittenBackend {
    /// Reads files, in the order in which `HAProxy` reads them; none where they have no such backend.
    pub(super) fn read(text: &str, backend: &str) -> Option<Self> {
        let mut sections: Vec<ConfigSection<'_>> = Vec::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
            match words.first() {
                Some(first) if SECTIONS.contains(first) => {
                    sections.push(ConfigSection { head: words, lines: Vec::new() });
                }
                Some(_) => {
                    if let Some(section) = sections.last_mut() {
                        section.lines.push(words);
                    }
                }
                None => {}
            }
        }
        let is_it = |section: &ConfigSection<'_>| matches!(section.head.as_slice(), ["backend" | "listen", name, ..] if *name == backend);
        let place = sections.iter().position(is_it)?;
        let own = sections.get(place)?;
        let from = own.head.iter().skip_while(|word| **word != "from").nth(1);
        let fits = |section: &&ConfigSection<'_>| {
            section.head.first() == Some(&"defaults") && from.is_none_or(|name| section.head.get(1) == Some(name))
        };
        let defaults = sections.iter().take(place).rfind(fits);
        let global = sections.iter().filter(|section| section.head.first() == Some(&"global"));
        let mut written = Self::default();
        let mut state = ServerStateFiles::default();
        global.for_each(|section| state.read(&section.lines));
        let mut usual = Vec::new();
        for section in defaults.into_iter().chain([own]) {
            written.take(&section.lines, &mut usual);
            state.read(&section.lines);
        }
        written.state = state.file(backend);
        Some(written)
    }

    fn take<'a>(&mut self, lines: &[Vec<&'a str>], usual: &mut Vec<&'a str>) {
        for line in lines {
            match line.as_slice() {
                ["default-server", options @ ..] => usual.extend(options),
                ["server", name, _, options @ ..] => self.server(name, usual, options),
                ["server-template", prefix, range, _, options @ ..] => {
                    let (from, to) = range.split_once('-').unwrap_or(("1", range));
                    let (from, to) = (from.parse::<u32>().unwrap_or(1), to.parse::<u32>().unwrap_or(0));
                    // More than anybody has; a range that is wider is read no further.
                    for number in from..=to.min(from.saturating_add(9_999)) {
                        self.server(&format!("{prefix}{number}"), usual, options);
                    }
                }
                ["cookie" | "use-server" | "appsession" | "persist", ..]
                | ["stick", "on" | "match" | "store-request" | "store-response", ..] => {
                    self.persistence = Some(line.join(" "));
                }
                ["option", "persist"] | ["force-persist", ..] => self.forced = Some(line.join(" ")),
                ["no", "option", "persist"] => self.forced = None,
                _ => {}
            }
        }
    }

    fn server(&mut self, name: &str, usual: &[&str], own: &[&str]) {
        let after = |word: &str| {
            let find = |options: &[&str]| {
                options
                    .iter()
                    .rposition(|option| *option == word)
                    .and_then(|at| options.get(at + 1).map(|one| (*one).to_owned()))
            };
            find(own).or_else(|| find(usual))
        };
        let weight = after("weight").and_then(|weight| weight.parse().ok()).unwrap_or(1);
        self.weights.insert(name.to_owned(), weight);
        if let Some(time) = after("slowstart").filter(|time| time.bytes().any(|byte| matches!(byte, b'1'..=b'9'))) {
            self.slow.insert(name.to_owned(), format!("slowstart {time}"));
        }
    }
}

/// What is said of a file with the servers' state.
#[derive(Default)]
struct ServerStateFiles {
    base: PathBuf,
    global: Option<PathBuf>,
    own: Option<PathBuf>,
    loads: Option<Loads>,
}

/// From which file a backend's state is loaded.
#[derive(Clone, Copy)]
enum Loads {
    /// One for all backends.
    Global,
    /// One of its own.
    Local,
    /// None.
    None,
}

impl ServerStateFiles {
    fn read(&mut self, lines: &[Vec<&str>]) {
        for line in lines {
            match line.as_slice() {
                ["server-state-base", folder] => self.base = PathBuf::from(folder),
                ["server-state-file", file] => self.global = Some(PathBuf::from(file)),
                ["server-state-file-name", "use-backend-name"] => self.own = None,
                ["server-state-file-name", file] => self.own = Some(PathBuf::from(file)),
                ["load-server-state-from-file", word] => {
                    self.loads = Some(match *word {
                        "global" => Loads::Global,
                        "local" => Loads::Local,
                        _ => Loads::None,
                    });
                }
                _ => {}
            }
        }
    }

    fn file(self, backend: &str) -> Option<PathBuf> {
        match self.loads? {
            Loads::Global => self.global.map(|file| self.base.join(file)),
            Loads::Local => Some(self.base.join(self.own.unwrap_or_else(|| PathBuf::from(backend)))),
            Loads::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> WrittenBackend {
        WrittenBackend::read(text, "shop").unwrap()
    }

    #[test]
    fn a_backend_is_read_with_what_it_inherits() {
        let written = read(
            "defaults\n  default-server weight 7 slowstart 5s # slowly\nbackend other\n  cookie O insert\n  server x :1\n\
             backend shop\n  server a 127.0.0.1:1 weight 0 check slowstart 0\n  server b 127.0.0.1:2\n  \
             server-template c 2 127.0.0.1:3 weight 3\nfrontend shop\n  bind :80\n",
        );
        assert_eq!(
            written.weights,
            [("a", 0), ("b", 7), ("c1", 3), ("c2", 3)].map(|(name, weight)| (name.to_owned(), weight)).into()
        );
        assert_eq!(written.slow.keys().collect::<Vec<_>>(), ["b", "c1", "c2"]);
        assert_eq!((&written.persistence, &written.forced, &written.state), (&None, &None, &None));
        assert_eq!(WrittenBackend::read("frontend shop\n", "shop"), None);
    }

    #[test]
    fn only_the_defaults_that_it_names_count_else_the_last_before_it() {
        let text =
            "defaults a\n  option persist\ndefaults b\n  timeout client 1s\nbackend shop from a\n  server a :1\n";
        assert_eq!(read(text).forced.as_deref(), Some("option persist"));
        assert_eq!(read(&text.replace(" from a", "")).forced, None);
        assert_eq!(read(&text.replace("  server a", "  no option persist\n  server a")).forced, None);
    }

    #[test]
    fn what_keeps_people_where_they_were_is_named_by_its_line() {
        for line in [
            "cookie SRV insert indirect",
            "stick on src table other",
            "stick match src",
            "use-server a if { src 1.1.1.1 }",
        ] {
            assert_eq!(
                read(&format!("backend shop\n  {line} # why\n  server a :1\n")).persistence.as_deref(),
                Some(line)
            );
        }
        assert_eq!(read("backend shop\n  stick-table type ip size 1k\n  server a :1 cookie a\n").persistence, None);
    }

    #[test]
    fn the_file_of_servers_states_counts_where_it_is_loaded() {
        let text = "global\n  server-state-base /var/lib\n  server-state-file all\nbackend shop\n  load-server-state-from-file global\n  server a :1\n";
        assert_eq!(read(text).state.as_deref(), Some(Path::new("/var/lib/all")));
        assert_eq!(read(&text.replace("file global", "file local")).state.as_deref(), Some(Path::new("/var/lib/shop")));
        assert_eq!(read(&text.replace("file global", "file none")).state, None);
        assert_eq!(read(&text.replace("  load-server-state-from-file global\n", "")).state, None);
    }
}
