//! nginx: a rendered `split_clients` that its configuration includes, a reload, and a location where nginx itself says
//! which one it has loaded. A file that was replaced proves nothing; what the running nginx tells does.
//!
//! Old workers go on with the connections that they have until those end. The hash is sticky by the key that is chosen.

mod dump;
mod render;
mod workers;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    follower::files,
    gate::Pools,
    model::{LeaseId, Reason, Refusal, TargetId},
    process,
    reconciler::decision::Observed,
};

use super::{
    Context, Driver, Lingering, MAX_ANSWER, Setting, Snapshot, Survey, http,
    roles::{Pool, Remembered, Roles, Shares, candidate_of},
};

use render::NginxState;
use workers::Workers;

/// How long the test or the reload may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often nginx is asked whether it has loaded the file, and how long it is waited from one time to the next.
const LOOKS: u32 = 100;
const NAP: Duration = Duration::from_millis(50);
/// Answers in a row that say so. Old workers go on accepting for the 100 ms for which nginx's master sleeps once it has started
/// new ones (`ngx_master_process_cycle`), and until they have been told to end; these answers take four times as long.
const AGREEING: u32 = 10;
/// The largest file that is read.
const MAX_BYTES: usize = 64 * 1024;

/// What it has to know.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NginxDriverConfig {
    /// The file that is rendered, and that nginx's configuration includes at the level of `http`.
    pub include: PathBuf,
    /// The upstream that serves before the first lease.
    pub stable: String,
    /// The upstream that serves nothing before the first lease.
    pub candidate: String,
    /// What is hashed, with nginx's variables: whoever has the same key gets the same answer.
    #[serde(default = "remote_address")]
    pub key: String,
    /// The program and its arguments that test the configuration.
    pub test: Vec<String>,
    /// The program and its arguments that make nginx load it.
    pub reload: Vec<String>,
    /// Where nginx says what it has loaded: a location that returns the variable `$two_key_TARGET_state`.
    pub status: String,
}

fn remote_address() -> String {
    "$remote_addr".to_owned()
}

impl NginxDriverConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let plain = |name: &&String| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
            !name.is_empty() && name.bytes().all(allowed)
        };
        if let Some(name) = [&self.stable, &self.candidate].into_iter().find(|name| !plain(name)) {
            return Err(format!("nginx: `{name}` is no name of an upstream"));
        }
        if self.stable == self.candidate {
            return Err("nginx: stable and candidate are two upstreams".to_owned());
        }
        if !self.key.contains('$') {
            return Err("nginx: the key has no variable, so that everybody would get the same answer; write: key: \"$remote_addr$http_user_agent\"".to_owned());
        }
        if self.key.chars().any(|character| character.is_control() || "\"'\\;{}".contains(character)) {
            return Err("nginx: the key holds text and variables, without quotes, braces, semicolons".to_owned());
        }
        let absolute = |line: &&Vec<String>| line.first().is_some_and(|program| Path::new(program).is_absolute());
        match [&self.test, &self.reload].into_iter().find(|line| !absolute(line)) {
            Some(line) => Err(format!("nginx: `{}` does not begin with an absolute path", line.join(" "))),
            None => Ok(()),
        }
    }

    fn upstream(&self, pool: Pool) -> &str {
        match pool {
            Pool::Stable => &self.stable,
            Pool::Candidate => &self.candidate,
        }
    }
}

/// How one split is moved.
pub struct NginxDriver {
    target: TargetId,
    config: NginxDriverConfig,
    /// Which pool has which role, where neither nginx nor the file says so.
    roles: Remembered,
    /// The lease that it is opened for.
    lease: Option<LeaseId>,
}

/// What a snapshot's bytes say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NginxSnapshot {
    version: u32,
    include: PathBuf,
    file: String,
    /// The workers that there were: what they send on, they send by that file.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    workers: BTreeSet<String>,
}

impl NginxDriver {
    /// A driver for a target's split.
    pub fn open(target: &TargetId, config: NginxDriverConfig, context: &Context<'_>) -> Self {
        let lease = context.lease.map(|lease| lease.id.clone());
        Self { target: target.clone(), config, roles: Remembered::of(target, context), lease }
    }

    /// What the running nginx has loaded.
    fn loaded(&self) -> Result<NginxState, Refusal> {
        let answer = http::get(&self.config.status, None).map_err(|why| self.unknown(&why))?;
        NginxState::parse(answer.body.trim(), &self.target).map_err(|why| self.unknown(&why))
    }

    fn unknown(&self, why: &dyn std::fmt::Display) -> Refusal {
        let variable = render::variable(&self.target);
        let message = format!("nginx does not tell what it has loaded for target {}: {why}", self.target);
        Refusal::new(Reason::NoData, message)
            .hint(format!("{} must lead to a location with: return 200 {variable}_state;", self.config.status))
    }

    fn file(&self) -> Result<String, Refusal> {
        let path = self.config.include.display();
        let text = std::fs::read_to_string(&self.config.include)
            .map_err(|error| Refusal::new(Reason::NoData, format!("{path} cannot be read: {error}")))?;
        if text.len() > MAX_BYTES {
            Err(Refusal::new(Reason::NoData, format!("{path} is too large")))
        } else {
            Ok(text)
        }
    }

    fn render(&self, state: &NginxState) -> Result<String, Refusal> {
        render::render(&self.config, state)
            .map_err(|error| Refusal::new(Reason::Internal, format!("the split cannot be rendered: {error}")))
    }

    /// Whether the file is what nginx has loaded, to the byte: a restart would change nothing.
    fn is_whole(&self, state: &NginxState) -> bool {
        let Ok(text) = self.file() else { return false };
        match state.lease {
            Some(_) => self.render(state).is_ok_and(|rendered| rendered == text),
            // The first one is written by a person.
            None => render::read(&text, &self.target).as_ref() == Ok(state),
        }
    }

    /// Puts a file in place and has it loaded. What nginx would not take is taken back, but for weight zero: whatever keeps
    /// nginx from loading anything now, the next time that it does it takes the weight away.
    fn load(&self, text: &str, wanted: &NginxState) -> Result<(), Refusal> {
        let before = std::fs::read(&self.config.include).ok();
        files::replace(&self.config.include, text.as_bytes())?;
        if let Err(refusal) = Self::run(&self.config.test) {
            if wanted.weight_bp == 0 {
                let path = self.config.include.display();
                let message = format!("{path} says 0 %, and nginx cannot load it: {}", refusal.message);
                return Err(
                    Refusal::new(refusal.reason, message).hint("fix nginx's configuration; the applier tries again")
                );
            }
            if let Some(before) = before {
                files::replace(&self.config.include, &before)?;
            }
            return Err(refusal);
        }
        Self::run(&self.config.reload)?;
        self.settles(wanted)
    }

    /// Waits until nothing answers any more but what has loaded a state.
    fn settles(&self, wanted: &NginxState) -> Result<(), Refusal> {
        let mut agreeing = 0;
        for _ in 0..LOOKS {
            agreeing = if self.loaded().as_ref() == Ok(wanted) { agreeing + 1 } else { 0 };
            if agreeing >= AGREEING {
                return Ok(());
            }
            std::thread::sleep(NAP);
        }
        let message = format!("nginx was told to load {}, and has not", self.config.include.display());
        Err(Refusal::new(Reason::Drift, message).hint("look into nginx's error log"))
    }

    /// The lease's candidate: as nginx or the file say, as it is written down, as the lease's pack knows it, else the one that
    /// serves nothing.
    fn candidate(&self, lease: &LeaseId, now: &NginxState) -> Result<Pool, Refusal> {
        let current = now.lease.clone().map(|lease| Roles { lease, candidate: now.candidate });
        let kept = self.roles.read().ok().flatten();
        if let Some(roles) = current.iter().chain(&kept).find(|roles| roles.lease == *lease) {
            return Ok(roles.candidate);
        }
        match self.packed() {
            Some(before) => {
                let current = before.lease.clone().map(|lease| Roles { lease, candidate: before.candidate });
                candidate_of(lease, current.as_ref(), shares(&before))
            }
            None => candidate_of(lease, None, shares(now)),
        }
    }

    /// What the lease's pack says was there before, where it had to be asked.
    fn packed(&self) -> Option<NginxState> {
        let (_, bytes) = self.roles.packed()?;
        self.parse(bytes).ok().map(|(_, state)| state)
    }

    /// The whole configuration, as the test's program prints it.
    fn dump(&self) -> Result<String, String> {
        let is_test = |word: &String| word == "-t";
        if !self.config.test.iter().any(is_test) {
            return Err(format!("`{}` has no -t", self.config.test.join(" ")));
        }
        let line: Vec<_> =
            self.config.test.iter().map(|word| if is_test(word) { "-T".to_owned() } else { word.clone() }).collect();
        let output = Self::output_of(&line).map_err(|refusal| refusal.message)?;
        String::from_utf8(output).map_err(|_| "it is not UTF-8".to_owned())
    }

    fn workers(&self) -> Result<Workers, String> {
        Workers::look(&workers::pid_file(&self.dump()?)?)
    }

    fn run(line: &[String]) -> Result<(), Refusal> {
        Self::output_of(line).map(drop)
    }

    #[allow(clippy::disallowed_methods, reason = "nginx tests and loads its configuration by programs of its own")]
    fn output_of(line: &[String]) -> Result<Vec<u8>, Refusal> {
        let Some((program, args)) = line.split_first() else { return Ok(Vec::new()) };
        let mut command = Command::new(program);
        command.args(args).env_clear().current_dir("/");
        process::answer(command, Vec::new(), PATIENCE, MAX_ANSWER)
            .map_err(|why| Refusal::new(Reason::NotTaken, format!("`{}`: {why}", line.join(" "))))
    }

    fn parse(&self, snapshot: &[u8]) -> Result<(NginxSnapshot, NginxState), Refusal> {
        let before: NginxSnapshot = serde_json::from_slice(snapshot).map_err(|error| bad(&error))?;
        if before.version != 1 || before.include != self.config.include {
            return Err(bad(&format!("it is of another form, or of {}", before.include.display())));
        }
        let state = render::read(&before.file, &self.target).map_err(|why| bad(&why))?;
        Ok((before, state))
    }
}

/// What the pools serve at a state.
fn shares(state: &NginxState) -> Shares {
    let (candidate, stable) = (state.weight_bp, 10_000_u32.saturating_sub(state.weight_bp));
    match state.candidate {
        Pool::Candidate => Shares { stable_bp: stable, candidate_bp: candidate },
        Pool::Stable => Shares { stable_bp: candidate, candidate_bp: stable },
    }
}

fn bad(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Reason::NoPack, format!("the snapshot is none of a split: {error}"))
}

impl Driver for NginxDriver {
    fn name(&self) -> &'static str {
        "nginx/1"
    }

    fn reaches(&self, _: u32) -> Result<(), Refusal> {
        // `split_clients` takes hundredths of a percent, which is what weights are counted in.
        Ok(())
    }

    fn observe(&self) -> Result<Observed, Refusal> {
        let state = self.loaded()?;
        let lease = state.lease.clone().filter(|_| self.is_whole(&state));
        Ok(Observed { weight_bp: state.weight_bp, lease })
    }

    fn pools(&self) -> Option<Pools> {
        let candidate = self.candidate(self.lease.as_ref()?, &self.loaded().ok()?).ok()?;
        let name = |pool| self.config.upstream(pool).to_owned();
        Some(Pools { candidate: name(candidate), stable: name(candidate.other()) })
    }

    fn survey(&self) -> Result<Survey, Refusal> {
        Ok(match self.dump() {
            Ok(text) => dump::survey(&text, &self.config.stable, &self.config.candidate),
            Err(why) => {
                Survey { faults: Vec::new(), remarks: vec![format!("nginx's configuration was not read: {why}")] }
            }
        })
    }

    fn shift(&self, to: &Setting) -> Result<(), Refusal> {
        // An nginx that is down is told what to begin with.
        let now = match self.loaded() {
            Ok(state) => state,
            Err(refusal) => self
                .file()
                .and_then(|text| render::read(&text, &self.target).map_err(|_| refusal.clone()))
                .or_else(|_| self.packed().ok_or(refusal))?,
        };
        let candidate = self.candidate(&to.lease, &now)?;
        let (lease, step) = (Some(to.lease.clone()), Some(to.step));
        let wanted = NginxState { weight_bp: to.weight_bp, lease, step, candidate, ..now };
        let text = self.render(&wanted)?;
        // What cannot be written down keeps no weight where it is: the file says the same.
        let _ = self.roles.write(wanted.lease.clone().map(|lease| Roles { lease, candidate }).as_ref());
        if self.loaded().as_ref() == Ok(&wanted) && self.file().as_ref() == Ok(&text) {
            // Whoever had it loaded may have been killed before the old workers were gone.
            return self.settles(&wanted);
        }
        self.load(&text, &wanted)
    }

    fn snapshot(&self) -> Result<Snapshot, Refusal> {
        let state = self.loaded()?;
        if !self.is_whole(&state) {
            let message = format!("{} is not what nginx has loaded", self.config.include.display());
            return Err(Refusal::new(Reason::Drift, message).hint("reload nginx, or put the file back"));
        }
        let workers = self.workers().map(|workers| workers.all).unwrap_or_default();
        let before = NginxSnapshot { version: 1, include: self.config.include.clone(), file: self.file()?, workers };
        let bytes = serde_json::to_vec(&before).map_err(|error| bad(&error))?;
        let shares = shares(&state);
        let backends =
            [Pool::Stable, Pool::Candidate].map(|pool| (self.config.upstream(pool).to_owned(), shares.of(pool)));
        Ok(Snapshot { bytes, backends: backends.into(), commit: None })
    }

    fn rehearse(&self, snapshot: &[u8]) -> Result<Vec<String>, Refusal> {
        self.parse(snapshot)?;
        files::probe(&self.config.include)?;
        Self::run(&self.config.test)?;
        Ok(vec![
            format!("replace {} by the bytes in this pack", self.config.include.display()),
            self.config.test.join(" "),
            self.config.reload.join(" "),
        ])
    }

    fn restore(&self, snapshot: &[u8]) -> Result<(), Refusal> {
        let (before, state) = self.parse(snapshot)?;
        self.load(&before.file, &state)
    }

    fn verify(&self, snapshot: &[u8]) -> Result<(), Refusal> {
        let (before, state) = self.parse(snapshot)?;
        let path = self.config.include.display();
        if self.file()? != before.file {
            return Err(Refusal::new(Reason::Drift, format!("{path} is not what it was before the lease")));
        }
        if self.loaded()? == state {
            return Ok(());
        }
        Err(Refusal::new(Reason::Drift, format!("{path} is what it was before the lease, and nginx has not loaded it")))
    }

    fn lingering(
        &self,
        before: &dyn Fn() -> Result<Vec<u8>, Refusal>,
        patience: Duration,
    ) -> Result<Lingering, Refusal> {
        let pid_file = match self.dump().and_then(|text| workers::pid_file(&text)) {
            Ok(path) => path,
            Err(why) => return Ok(Lingering::Unknown(format!("nginx's old workers cannot be seen here: {why}"))),
        };
        let old = || Workers::look(&pid_file).map(|workers| workers.old);
        let unseen = |why| Lingering::Unknown(format!("nginx's old workers cannot be seen here: {why}"));
        let mut known = None;
        let mut waited = Duration::ZERO;
        let left = loop {
            let old = match old() {
                Ok(old) if old.is_empty() => return Ok(Lingering::Nobody),
                Ok(old) => old,
                Err(why) => return Ok(unseen(why)),
            };
            let before = match &known {
                Some(before) => before,
                None => known.insert(self.parse(&before()?)?.0.workers),
            };
            let left = old.difference(before).count();
            if left == 0 {
                return Ok(Lingering::Nobody);
            }
            if waited >= patience {
                break left;
            }
            std::thread::sleep(NAP);
            waited += NAP;
        };
        let workers = if left == 1 { "1 old worker goes" } else { &format!("{left} old workers go") };
        Ok(Lingering::Somebody(format!(
            "{workers} on with connections from before, whose requests may be sent to the candidate until they end; \
             worker_shutdown_timeout in nginx.conf bounds that"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_out_of_the_rendered_file_is_refused() {
        let good = serde_json::json!({
            "include": "/i.conf", "stable": "blue", "candidate": "green", "status": "http://127.0.0.1/s",
            "key": "${remote_addr}-$cookie_user", "test": ["/usr/sbin/nginx", "-t"], "reload": ["/bin/kill"],
        });
        let check = |edit: &dyn Fn(&mut serde_json::Value)| {
            let mut text = good.clone();
            edit(&mut text);
            serde_json::from_value::<NginxDriverConfig>(text).unwrap().check()
        };
        assert!(check(&|config| config["key"] = "x\" $y; }".into()).is_err());
        assert!(check(&|config| config["key"] = "shop".into()).unwrap_err().contains("no variable"));
        assert!(check(&|config| config["stable"] = "blue;".into()).is_err());
        assert!(check(&|config| config["candidate"] = "blue".into()).is_err());
        assert!(check(&|config| config["reload"] = serde_json::json!(["nginx"])).is_err());
        assert!(check(&|config| config["test"] = serde_json::json!([])).is_err());
        assert_eq!(check(&|config| config["key"] = "$remote_addr".into()), Ok(()));
    }
}
