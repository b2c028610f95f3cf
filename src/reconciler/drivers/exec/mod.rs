//! The exec driver: any program, JSON in and out. What it says is never proof; only what it observes counts, and a program that
//! ends badly, answers nonsense or too much, or takes too long has told nothing.
//!
//! It is run only if the lease's scope names it, by its absolute path, in a cleared environment that has nothing but the
//! variables that the scope names. A lease that was moved here already is looked at and taken to zero by whatever program is
//! configured now: that somebody moved the program keeps no weight where it is.

mod protocol;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::{
    follower::clock,
    model::{
        LeaseId, Percent, Reason, Refusal, TargetId,
        document::Span,
        lease::{Lease, Scope},
    },
    process,
    reconciler::decision::Observed,
};

use super::{Context, Driver, MAX_ANSWER, Reversible, Setting, Snapshot, kept::KeptFile};

use protocol::{DriverAnswer, DriverRequest, PROTOCOL, ProtocolVerb, Status, VersionWeight};

/// What it has to know.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ExecDriverConfig {
    /// The program, by its absolute path.
    pub program: PathBuf,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// How long one call may take; half a minute by default.
    #[serde(default = "half_a_minute")]
    pub timeout: Span,
}

const fn half_a_minute() -> Span {
    Span::seconds(30)
}

impl ExecDriverConfig {
    /// Whether it is one: an absolute program, and some time for it.
    pub fn check(&self) -> Result<(), String> {
        if !self.program.is_absolute() {
            return Err(format!("exec: {} is no absolute path", self.program.display()));
        }
        if self.timeout.as_secs() == 0 { Err("exec: timeout is at least 1s".to_owned()) } else { Ok(()) }
    }

    /// Whether a lease lets this program be run.
    fn allowed_by(&self, lease: &Lease) -> Result<(), Refusal> {
        if lease.scope.commands.iter().any(|command| Path::new(command) == self.program) {
            return Ok(());
        }
        let message = format!("lease {} does not let its driver run {}", lease.id, self.program.display());
        Err(Refusal::new(Reason::NotAuthorized, message)
            .hint("issue a lease with it: git two-key new, and scope: {commands: [PROGRAM]}"))
    }
}

/// A program that moves a target.
pub struct ExecDriver {
    target: TargetId,
    config: ExecDriverConfig,
    timeout: Duration,
    allowed: Result<(), Refusal>,
    past: LeaseTraces,
    scope: Scope,
    /// The lease that it is opened for, with its version.
    lease: Option<LeaseVersion>,
    shown: KeptFile<LeaseVersion>,
}

/// What the target has to do with the lease so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeaseTraces {
    /// The lease was moved here, or was about to be: there is a pack.
    Moved,
    /// Nobody knows of anything.
    Untouched,
}

/// Which lease a version belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeaseVersion {
    lease: LeaseId,
    version: String,
}

/// What a snapshot's bytes say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExecSnapshot {
    version: u32,
    program: PathBuf,
    /// The program's own bytes, base64.
    snapshot: String,
    /// What it observed.
    observed: VersionWeight,
    shown: Option<LeaseVersion>,
}

/// What runs for a lease: the change, else the first artifact.
fn version_of(lease: &Lease) -> Option<String> {
    let change = lease.change.as_ref().map(|change| change.to.to_string());
    change.or_else(|| lease.artifacts.first().map(|artifact| artifact.digest.to_string()))
}

impl ExecDriver {
    /// A driver for a target's program, for the lease of the context.
    pub fn open(target: &TargetId, config: ExecDriverConfig, context: &Context<'_>) -> Self {
        let lease =
            context.lease.and_then(|lease| Some(LeaseVersion { lease: lease.id.clone(), version: version_of(lease)? }));
        let shown = KeptFile::<LeaseVersion>::new(&context.folder, target.as_str());
        let allowed = context.lease.map_or(Ok(()), |lease| config.allowed_by(lease));
        let is_shown = || {
            shown
                .read()
                .ok()
                .flatten()
                .is_some_and(|shown| Some(shown.lease) == context.lease.map(|lease| lease.id.clone()))
        };
        let moved = allowed.is_err() && (is_shown() || (context.before)().is_some());
        Self {
            target: target.clone(),
            timeout: Duration::from_secs(config.timeout.as_secs()),
            allowed,
            past: if moved { LeaseTraces::Moved } else { LeaseTraces::Untouched },
            scope: context.lease.map(|lease| lease.scope.clone()).unwrap_or_default(),
            config,
            lease,
            shown,
        }
    }

    /// The same with another limit to each call: for trying how a program bears being killed.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn call(
        &self,
        verb: ProtocolVerb,
        op: &str,
        desired: Option<VersionWeight>,
        more: More,
    ) -> Result<DriverAnswer, Refusal> {
        self.may(verb, desired.as_ref())?;
        let limit = SignedDuration::try_from(self.timeout).unwrap_or(SignedDuration::MAX);
        let deadline = clock::read_clocks().now.saturating_add(limit).unwrap_or(jiff::Timestamp::MAX);
        let lease = self.lease.as_ref().map(|shown| &shown.lease);
        let request = DriverRequest {
            protocol: PROTOCOL,
            verb,
            op: lease.map_or_else(|| op.to_owned(), |lease| format!("{lease}/{op}")),
            lease,
            target: &self.target,
            desired,
            observed_before: more.observed_before,
            deadline,
            snapshot: more.snapshot,
        };
        let mut input = serde_json::to_vec(&request).map_err(|error| self.unknown(verb, &error))?;
        input.push(b'\n');
        let output =
            process::answer(self.command(), input, self.timeout, MAX_ANSWER).map_err(|why| self.unknown(verb, &why))?;
        DriverAnswer::parse(&output).map_err(|why| self.unknown(verb, &why))
    }

    /// Whether the program may be run for that: as the lease allows, and to stop what was moved already.
    fn may(&self, verb: ProtocolVerb, desired: Option<&VersionWeight>) -> Result<(), Refusal> {
        let is_zero = desired.is_some_and(|desired| desired.weight_bp == 0);
        match (self.past, verb) {
            (LeaseTraces::Moved, ProtocolVerb::Observe) => Ok(()),
            (LeaseTraces::Moved, ProtocolVerb::Apply) if is_zero => Ok(()),
            _ => self.allowed.clone(),
        }
    }

    #[allow(clippy::disallowed_methods, reason = "this driver runs a program, with variables that the lease names")]
    fn command(&self) -> Command {
        let mut command = Command::new(&self.config.program);
        command.args(&self.config.args).env_clear().current_dir("/");
        for name in &self.scope.env {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// The call, whose answer has to be that it went well.
    fn well(
        &self,
        verb: ProtocolVerb,
        op: &str,
        desired: Option<VersionWeight>,
        more: More,
    ) -> Result<DriverAnswer, Refusal> {
        let answer = self.call(verb, op, desired, more)?;
        match answer.status {
            Status::Ok => Ok(answer),
            Status::Failed => Err(Refusal::new(Reason::NotTaken, self.says(verb, &answer.words()))),
            Status::InProgress | Status::Retry | Status::Unsupported => Err(self.unknown(verb, &answer.words())),
        }
    }

    fn says(&self, verb: ProtocolVerb, what: &dyn std::fmt::Display) -> String {
        format!("{} {}: {what}", self.config.program.display(), verb.word())
    }

    fn unknown(&self, verb: ProtocolVerb, why: &dyn std::fmt::Display) -> Refusal {
        Refusal::new(Reason::NoData, self.says(verb, why))
            .hint(format!("try it with: git two-key driver-test {}", self.config.program.display()))
    }

    fn look(&self) -> Result<VersionWeight, Refusal> {
        let answer = self.well(ProtocolVerb::Observe, "observe", None, More::default())?;
        answer.observed.ok_or_else(|| self.unknown(ProtocolVerb::Observe, &"it says ok, and not what it observed"))
    }

    /// Whose version was seen.
    fn lease_of(&self, seen: &VersionWeight) -> Result<Option<LeaseId>, Refusal> {
        let shown = match (self.shown.read(), &seen.version) {
            // A version that is known needs nothing that is written down.
            (Err(_), Some(version)) if self.lease.as_ref().is_some_and(|own| own.version == *version) => None,
            (shown, _) => shown?,
        };
        let known = [self.lease.as_ref(), shown.as_ref()];
        Ok(match &seen.version {
            Some(version) => {
                known.into_iter().flatten().find(|shown| shown.version == *version).map(|shown| shown.lease.clone())
            }
            // A program that cannot tell versions apart has the one that it was given last.
            None => shown.map(|shown| shown.lease),
        })
    }

    fn parse(&self, snapshot: &[u8]) -> Result<ExecSnapshot, Refusal> {
        let before: ExecSnapshot = serde_json::from_slice(snapshot).map_err(|error| bad(&error))?;
        if before.version == 1 && before.program == self.config.program {
            Ok(before)
        } else {
            Err(bad(&format!("it is of another form, or made by {}", before.program.display())))
        }
    }
}

/// What only some requests have.
#[derive(Default)]
struct More {
    observed_before: Option<VersionWeight>,
    snapshot: Option<String>,
}

impl More {
    fn with(before: ExecSnapshot) -> Self {
        Self { observed_before: None, snapshot: Some(before.snapshot) }
    }
}

fn bad(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Reason::NoPack, format!("the snapshot is none of a program's: {error}"))
}

impl Driver for ExecDriver {
    fn name(&self) -> &'static str {
        "exec/1"
    }

    fn reversible(&self) -> Result<Reversible, Refusal> {
        let answer = self.well(ProtocolVerb::Capabilities, "capabilities", None, More::default())?;
        let needed = [
            ProtocolVerb::Observe,
            ProtocolVerb::Plan,
            ProtocolVerb::Apply,
            ProtocolVerb::Snapshot,
            ProtocolVerb::Restore,
            ProtocolVerb::Verify,
        ];
        if let Some(verb) = needed.into_iter().find(|verb| !answer.verbs.iter().any(|known| known == verb.word())) {
            return Err(self.unknown(ProtocolVerb::Capabilities, &format!("it does not know the verb {}", verb.word())));
        }
        Ok(if answer.reversible == Some(false) { Reversible::No } else { Reversible::Yes })
    }

    fn reaches(&self, weight_bp: u32) -> Result<(), Refusal> {
        let version = self.lease.as_ref().map(|shown| shown.version.clone());
        let desired = VersionWeight { weight_bp, version, generation: None };
        let answer = self.call(ProtocolVerb::Plan, &format!("plan/{weight_bp}"), Some(desired), More::default())?;
        match answer.status {
            Status::Ok => Ok(()),
            Status::Failed => {
                let percent = Percent::of(weight_bp);
                let message =
                    format!("{percent} % cannot be reached: {}", self.says(ProtocolVerb::Plan, &answer.words()));
                Err(Refusal::new(Reason::Malformed, message).hint("use another tier"))
            }
            Status::InProgress | Status::Retry | Status::Unsupported => {
                Err(self.unknown(ProtocolVerb::Plan, &answer.words()))
            }
        }
    }

    fn observe(&self) -> Result<Observed, Refusal> {
        let seen = self.look()?;
        Ok(Observed { weight_bp: seen.weight_bp, lease: self.lease_of(&seen)? })
    }

    fn shift(&self, to: &Setting) -> Result<(), Refusal> {
        let shown = self.lease.as_ref().filter(|shown| shown.lease == to.lease);
        let written = match shown {
            Some(shown) if self.shown.read().ok().flatten().as_ref() != Some(shown) => self.shown.write(Some(shown)),
            _ => Ok(()),
        };
        // What cannot be written down keeps no weight where it is.
        if to.weight_bp > 0 {
            written.clone()?;
        }
        let version = shown.map(|shown| shown.version.clone());
        let desired = VersionWeight { weight_bp: to.weight_bp, version, generation: None };
        let op = format!("{}/{}", to.step, to.weight_bp);
        // What cannot be observed is still brought to where it should be.
        let more = More { observed_before: self.look().ok(), snapshot: None };
        let answer = self.call(ProtocolVerb::Apply, &op, Some(desired), more)?;
        match answer.status {
            // Whether it came about is for the next look to say.
            Status::Ok | Status::InProgress | Status::Retry => written,
            Status::Failed | Status::Unsupported => {
                Err(Refusal::new(Reason::NotTaken, self.says(ProtocolVerb::Apply, &answer.words())))
            }
        }
    }

    fn snapshot(&self) -> Result<Snapshot, Refusal> {
        let answer = self.well(ProtocolVerb::Snapshot, "snapshot", None, More::default())?;
        let snapshot = answer.snapshot.filter(|text| STANDARD.decode(text).is_ok());
        let snapshot =
            snapshot.ok_or_else(|| self.unknown(ProtocolVerb::Snapshot, &"it gave no snapshot in base64"))?;
        let observed = self.look()?;
        let (weight_bp, program) = (observed.weight_bp, self.config.program.clone());
        let before = ExecSnapshot { version: 1, program, snapshot, observed, shown: self.shown.read()? };
        let bytes = serde_json::to_vec(&before).map_err(|error| bad(&error))?;
        Ok(Snapshot { bytes, backends: [("candidate".to_owned(), weight_bp)].into(), commit: None })
    }

    fn rehearse(&self, snapshot: &[u8]) -> Result<Vec<String>, Refusal> {
        let before = self.parse(snapshot)?;
        let answer =
            self.well(ProtocolVerb::Plan, "plan/restore", Some(before.observed.clone()), More::with(before))?;
        Ok(vec![answer.message.unwrap_or_else(|| format!("run {} restore", self.config.program.display()))])
    }

    fn restore(&self, snapshot: &[u8]) -> Result<(), Refusal> {
        let before = self.parse(snapshot)?;
        let shown = before.shown.clone();
        self.well(ProtocolVerb::Restore, "restore", Some(before.observed.clone()), More::with(before))?;
        self.shown.write(shown.as_ref())
    }

    fn verify(&self, snapshot: &[u8]) -> Result<(), Refusal> {
        let before = self.parse(snapshot)?;
        let observed = before.observed.clone();
        let answer = self.call(ProtocolVerb::Verify, "verify", Some(observed.clone()), More::with(before))?;
        match answer.status {
            Status::Ok if self.look()?.weight_bp == observed.weight_bp => Ok(()),
            _ => Err(Refusal::new(Reason::Drift, self.says(ProtocolVerb::Verify, &answer.words()))),
        }
    }
}
