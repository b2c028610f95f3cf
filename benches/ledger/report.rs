//! The tables of benches/README.md, and their plots.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use super::{
    day::Day,
    measure::{FETCHED, Pushed, Read, VERBS, Verified, count as number},
    peer::Peer,
    plot::{Series, plot},
    run,
    tidied::Tidied,
};

/// Between these lines benches/README.md is written by `benches/run`.
const BEGIN: &str = "<!-- measured -->\n";
const END: &str = "<!-- end of what was measured -->\n";

/// All that was measured.
#[derive(Default)]
pub struct Report {
    pub verified: Vec<(String, Verified)>,
    /// By the ledger's commits.
    pub pushed: Vec<(usize, Vec<Pushed>)>,
    pub read: Vec<Read>,
    pub start: [Duration; 2],
    pub peer: Option<Peer>,
    /// Clients, and pushes a second.
    pub clients: Vec<(usize, f64)>,
    pub tidied: Vec<Tidied>,
    pub day: Option<Day>,
}

impl Report {
    /// Writes the tables into the page, and the plots to those of the docs.
    pub fn write(&self, project: &Path) -> std::io::Result<()> {
        let page = project.join("benches/README.md");
        let text = fs::read_to_string(&page)?;
        let (before, rest) = text.split_once(BEGIN).expect("the page has the line where measurements begin");
        let (_, after) = rest.split_once(END).expect("the page has the line where measurements end");
        fs::write(page, format!("{before}{BEGIN}{}{END}{after}", self.tables()))?;
        let images = project.join("docs/images");
        fs::create_dir_all(&images)?;
        for (name, svg) in self.plots() {
            fs::write(images.join(name), svg)?;
        }
        Ok(())
    }

    /// The tables.
    pub fn tables(&self) -> String {
        let mut text = format!("\n{}\n\n### Verifying everything\n\n", machine());
        text += "| ledger | signed commits | leases | `verify --all` | a signed commit | `git verify-commit`, a commit | times \
                 faster | processor time, times less | floor | times the floor | without a commit-graph | memory |\n";
        let _ = writeln!(text, "|---{}|", "|---:".repeat(11));
        for (name, it) in &self.verified {
            let each = per(it.ours, it.signed);
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {} | {} | {} | {:.0} | {:.0} | {} | {:.2} | {} | {} |",
                it.signed,
                it.leases,
                time(it.ours),
                time(each),
                time(it.git),
                it.git.as_secs_f64() / each.as_secs_f64(),
                it.git_cpu.as_secs_f64() / per(it.ours_cpu, it.signed).as_secs_f64(),
                time(it.floor),
                it.ours.as_secs_f64() / it.floor.as_secs_f64(),
                time(it.without_graph),
                mib(it.memory),
            );
        }
        text += "\n![Time for verifying everything, by signed commits](../docs/images/verify.svg)\n\
                 ![Memory while verifying everything, by signed commits](../docs/images/memory.svg)\n";
        text += "\n### Pushing, over a server with an empty hook\n\n| ledger | commits pushed | push with the empty hook | \
                 our hook adds | without its memory | a hook with `git verify-commit` adds | our hook alone, over an empty \
                 one | the other alone | our hook has resident |\n";
        let _ = writeln!(text, "|---{}|", "|---:".repeat(8));
        for (ledger, rows) in &self.pushed {
            // One commit and the most; the plots have those between.
            let rows = if let [one, .., most] = &rows[..] { vec![one, most] } else { rows.iter().collect() };
            for it in rows {
                let forgetful = it.forgetful.map_or_else(|| "-".to_owned(), time);
                let [empty, ours, shell, ours_alone, shell_alone] =
                    [it.empty, it.ours, it.shell, it.ours_alone, it.shell_alone].map(time);
                let _ = writeln!(
                    text,
                    "| {ledger} | {} | {empty} | {ours} | {forgetful} | {shell} | {ours_alone} | {shell_alone} | {} |",
                    it.commits,
                    mib(it.memory),
                );
            }
        }
        text += "\n![What a hook takes over an empty one, by commits pushed](../docs/images/push.svg)\n\
                 ![What our hook takes over an empty one for one commit, by commits in the ledger](../docs/images/history.svg)\n\
                 ![What our hook has resident, by commits pushed](../docs/images/push-memory.svg)\n\n\
                 Where a push with the empty hook takes seconds, what a hook adds is the small difference of two large times, \
                 mostly noise; the plots are of the hooks alone.\n";
        text += &self.reading();
        text += "\n![Time for reading, by commits](../docs/images/read.svg)\n\
                 ![Memory while reading, by commits](../docs/images/read-memory.svg)\n";
        text += &self.tidying();
        text += "\n![Time of everyday commands, by commits in the ledger](../docs/images/everyday.svg)\n";
        text += &self.long_run();
        let [ours, git] = self.start.map(time);
        let _ = writeln!(text, "\n`git-two-key --version` takes {ours}, `git --version` {git}.");
        if !self.clients.is_empty() {
            text += "\n### Pushes to one branch\n\nOf the largest ledger that is pushed to above.\n\n| clients at once | pushes landed a second |\n|---:|---:|\n";
            for (clients, rate) in &self.clients {
                let _ = writeln!(text, "| {clients} | {rate:.1} |");
            }
        }
        if let Some(peer) = &self.peer {
            text += &beside(peer);
        }
        text + "\n"
    }

    /// What verbs that look cost, a line a verb.
    fn reading(&self) -> String {
        let mut text =
            "\n### Reading\n\nBy what is remembered, where nothing else is said; in brackets what is resident.\n\n"
                .to_owned();
        let mut row = |name: &str, of: &dyn Fn(&Read) -> String| {
            let cells: Vec<_> = self.read.iter().map(of).collect();
            let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
        };
        row("", &|it| format!("{} commits, {} leases", it.commits, it.leases));
        row("---", &|_| "---:".to_owned());
        for (at, (name, _)) in VERBS.iter().enumerate() {
            row(&format!("`{name}`"), &|it| format!("{} ({})", time(it.costs[at]), mib(it.memory[at])));
        }
        row(&format!("`list` after {FETCHED} new commits"), &|it| time(it.fetched));
        row("`list`, where nothing is remembered", &|it| time(it.first));
        row("`verify --all`, which remembers nothing", &|it| time(it.verify));
        text
    }

    /// What labels cost, and what is left of that after `tidy`.
    fn tidying(&self) -> String {
        let mut text = "\n### Before and after `tidy`\n\nThe least of runs in turn.\n\n| commits | | refs | lease files | push, empty \
                        hook | push, our hook | fetch by Git | `sync` | `doctor` |\n"
            .to_owned();
        let _ = writeln!(text, "|---:|---{}|", "|---:".repeat(7));
        for it in &self.tidied {
            for (when, costs) in [("before", &it.before), ("after", &it.after)] {
                let times = [costs.empty, costs.push, costs.fetch, costs.sync, costs.doctor].map(time).join(" | ");
                let _ = writeln!(text, "| {} | {when} | {} | {} | {times} |", it.commits, costs.refs, costs.files);
            }
        }
        if let Some(last) = self.tidied.last() {
            let _ = writeln!(text, "\nOn the last of these `tidy` took {}.", time(last.took));
        }
        text
    }

    /// What a long run left.
    pub fn long_run(&self) -> String {
        let Some(day) = &self.day else { return String::new() };
        let [first, last] = day.memory.map(mib);
        format!(
            "\n### A long run\n\n{} commits, nearly all votes, landed one by one in {}, each judged by the hook and moved, without \
             Git's transfer: {} each at the beginning, {} at the end; the hook has {first} resident, then {last}; what is remembered \
             of the ledger at the end are {} files of {} KiB, and {} of what was admitted in the last ten minutes.\n",
            day.votes,
            time(day.took),
            time(day.first),
            time(day.last),
            day.files,
            day.bytes / 1024,
            day.admitted
        )
    }

    fn plots(&self) -> Vec<(&'static str, String)> {
        let mut plots = self.plots_of_verifying();
        plots.push(self.plot_of_everyday());
        plots.extend(self.plots_of_pushing());
        plots.extend(self.plots_of_reading());
        plots
    }

    /// What everyday commands take by history, those that depend on refs before and after `tidy`.
    fn plot_of_everyday(&self) -> (&'static str, String) {
        let mut lines: Vec<_> = VERBS
            .into_iter()
            .enumerate()
            .filter(|(_, (name, _))| ["status", "list", "show", "sign --dry-run"].contains(name))
            .map(|(at, (name, _))| Series {
                name,
                points: self.read.iter().map(|it| (number(it.commits), it.costs[at].as_secs_f64())).collect(),
            })
            .collect();
        let verify = self.read.iter().map(|it| (number(it.commits), it.verify.as_secs_f64()));
        lines.push(Series { name: "verify --all", points: verify.collect() });
        let mut line = |name, of: &dyn Fn(&Tidied) -> Duration| {
            let points = self.tidied.iter().map(|it| (number(it.commits), of(it).as_secs_f64()));
            lines.push(Series { name, points: points.collect() });
        };
        line("push before tidy", &|it| it.before.push);
        line("push after tidy", &|it| it.after.push);
        line("fetch before tidy", &|it| it.before.fetch);
        line("fetch after tidy", &|it| it.after.fetch);
        ("everyday.svg", plot("Everyday commands", "commits in the ledger", "seconds", &lines))
    }

    fn plots_of_verifying(&self) -> Vec<(&'static str, String)> {
        let sha1 = || self.verified.iter().filter(|(name, _)| !name.contains("256"));
        let series = |name, of: &dyn Fn(&Verified) -> f64| Series {
            name,
            points: sha1().map(|(_, it)| (number(it.signed), of(it))).collect(),
        };
        let mut verify = vec![
            series("git verify-commit", &|it| it.git.as_secs_f64() * number(it.signed)),
            series("verify --all", &|it| it.ours.as_secs_f64()),
            series("floor", &|it| it.floor.as_secs_f64()),
        ];
        if let Some(peer) = &self.peer {
            for (at, name) in ["sq-git log", "sq-git log, again"].into_iter().enumerate() {
                let points = peer.logs.iter().map(|(commits, costs)| (number(*commits), costs[at].as_secs_f64()));
                verify.push(Series { name, points: points.collect() });
            }
        }
        let memory = [series("verify --all", &|it| held(it.memory))];
        vec![
            ("verify.svg", plot("Verifying everything", "signed commits", "seconds", &verify)),
            ("memory.svg", plot("Memory while verifying everything", "signed commits", "MiB", &memory)),
        ]
    }

    fn plots_of_pushing(&self) -> Vec<(&'static str, String)> {
        let mut plots = Vec::new();
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        if let Some((_, rows)) = self.pushed.last() {
            let line = |name, of: &dyn Fn(&Pushed) -> f64| Series {
                name,
                points: rows.iter().map(|row| (number(row.commits), of(row))).collect(),
            };
            let mut pushes =
                vec![line("git verify-commit", &|it| ms(it.shell_alone)), line("our hook", &|it| ms(it.ours_alone))];
            if let Some(peer) = &self.peer {
                for (at, name) in ["sq-git, no cache", "sq-git, its cache"].into_iter().enumerate() {
                    let points = peer.pushes.iter().map(|(commits, costs)| (number(*commits), ms(costs[at])));
                    pushes.push(Series { name, points: points.collect() });
                }
            }
            let memory = [line("our hook", &|it| held(it.memory))];
            plots.push(("push.svg", plot("A hook, over an empty one", "commits pushed", "milliseconds", &pushes)));
            plots.push(("push-memory.svg", plot("Memory of our hook", "commits pushed", "MiB", &memory)));
        }
        let first = |(ledger, rows): &(usize, Vec<Pushed>)| Some((number(*ledger), ms(rows.first()?.ours_alone)));
        let growth = [Series { name: "our hook", points: self.pushed.iter().filter_map(first).collect() }];
        plots.push((
            "history.svg",
            plot("The hook for one commit, by history", "commits in the ledger", "milliseconds", &growth),
        ));
        plots
    }

    fn plots_of_reading(&self) -> Vec<(&'static str, String)> {
        let lines = |of: &dyn Fn(&Read, usize) -> f64| {
            let verbs = VERBS.into_iter().enumerate();
            verbs
                .map(|(at, (name, _))| Series {
                    name,
                    points: self.read.iter().map(|it| (number(it.commits), of(it, at))).collect(),
                })
                .collect::<Vec<_>>()
        };
        vec![
            (
                "read.svg",
                plot("Reading", "commits in the ledger", "seconds", &lines(&|it, at| it.costs[at].as_secs_f64())),
            ),
            (
                "read-memory.svg",
                plot("Memory while reading", "commits in the ledger", "MiB", &lines(&|it, at| held(it.memory[at]))),
            ),
        ]
    }
}

/// What sequoia-git costs beside us.
fn beside(peer: &Peer) -> String {
    let (signed, ours) = peer.ours;
    let ours = per(ours, signed);
    let mut text = format!(
        "\n### Beside sequoia-git\n\n{}, a new process each time. Its history is of commits signed with OpenPGP (Ed25519), our ledger \
         of as many commits as the longest of them, {signed} of them signed. *Again*: with its cache of what it has verified before; \
         `verify` has none, so it takes as long each time.\n\n| | commits | a signed commit | again |\n|---|---:|---:|---:|\n",
        peer.version,
    );
    for (commits, costs) in &peer.logs {
        let [cold, warm] = costs.map(|all| time(per(all, *commits)));
        let _ = writeln!(text, "| `sq-git log` | {commits} | {cold} | {warm} |");
    }
    if let Some((commits, costs)) = peer.logs.last() {
        let [cold, warm] = costs.map(|all| per(all, *commits).as_secs_f64() / ours.as_secs_f64());
        let each = time(ours);
        let _ = writeln!(
            text,
            "| `verify --all` | {commits} | {each} | {each} |\n\nSo `verify --all` is {cold:.1} times faster, and {warm:.1} times faster than sq-git with its cache, \
             the start of each program included."
        );
    }
    text += "\n| commits pushed | `sq-git update-hook` adds to the push | with its cache |\n|---:|---:|---:|\n";
    for (commits, adds) in &peer.pushes {
        let [cold, warm] = adds.map(time);
        let _ = writeln!(text, "| {commits} | {cold} | {warm} |");
    }
    text
}

fn mib(memory: Option<u64>) -> String {
    memory.map_or_else(|| "-".to_owned(), |mib| format!("{mib} MiB"))
}

/// Memory for a plot; none is left out of it.
fn held(memory: Option<u64>) -> f64 {
    memory.and_then(|mib| u32::try_from(mib).ok()).map_or(0.0, f64::from)
}

fn per(all: Duration, count: usize) -> Duration {
    all / u32::try_from(count.max(1)).unwrap_or(u32::MAX)
}

fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        0.0 => "0".to_owned(),
        less if less < 1e-3 => format!("{:.0} µs", seconds * 1e6),
        less if less < 0.1 => format!("{:.1} ms", seconds * 1e3),
        less if less < 1.0 => format!("{:.0} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

/// What this was measured on.
fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let ours = run::said(run::command(run::program()).arg("--version"));
    let git = run::said(run::command("git").arg("--version"));
    let ssh = run::command("ssh").arg("-V").output().map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
    let ssh = ssh.unwrap_or_default().split(',').next().unwrap_or_default().to_owned();
    format!(
        "{}, {processors} processors, load average {load} when this was written (where it is far above 0, others were using \
         the machine: read the ratios). {ours}, {git}, {ssh}. Medians.",
        model.trim_start_matches([' ', '\t', ':'])
    )
}
