//! Probes: which version is served, asked as everybody asks, at the target's real entrance.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    follower::clock,
    model::{Reason, Refusal, document::Span},
};

use super::drivers::http;

/// The longest name of a version that is kept.
const MAX_VERSION: usize = 256;

/// How a target's entrance is asked which version it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Probe {
    /// What is asked for.
    pub url: String,
    /// The header that names the version; without one the body does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The certificates that vouch for an https address, in PEM; by default those that are well known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How many times it is asked, each on a connection of its own.
    #[serde(default = "twenty")]
    pub count: u32,
    /// How long the entrance may take to serve what a rollback restored: as long as whoever reconciles it takes.
    #[serde(default = "at_once")]
    pub within: Span,
}

const fn twenty() -> u32 {
    20
}

const fn at_once() -> Span {
    Span::seconds(0)
}

/// How long it is waited from one attempt to the next.
const NAP: Duration = Duration::from_secs(1);

/// What probes found before a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Probed {
    /// How they asked.
    pub probe: Probe,
    /// The one version that all of them were served.
    pub served: String,
}

impl Probe {
    /// Whether it is one: something is asked for, some number of times.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.count {
            0 | 1_001.. => Err("probe: count is between 1 and 1000".to_owned()),
            _ if !self.url.starts_with("http://") && !self.url.starts_with("https://") => {
                Err(format!("probe: `{}` is no http:// or https:// address", self.url))
            }
            _ if self.ca_file.is_some() && !self.url.starts_with("https://") => {
                Err("probe: `ca-file` is for https addresses".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The same with its paths relative to a folder.
    #[must_use]
    pub(super) fn below(self, folder: &Path) -> Self {
        Self { ca_file: self.ca_file.map(|path| folder.join(path)), ..self }
    }

    /// Asks, and gives the one version that every answer named. Two versions, or an answer that fails, are an error.
    pub fn ask(&self) -> Result<String, Refusal> {
        let mut served: Option<String> = None;
        for number in 1..=self.count {
            let version = self.once()?;
            match &served {
                Some(first) if *first != version => {
                    let message =
                        format!("{} serves {first}, and at probe {number} of {} {version}", self.url, self.count);
                    return Err(Refusal::new(Reason::Drift, message));
                }
                Some(_) => {}
                None => served = Some(version),
            }
        }
        served.ok_or_else(|| Refusal::new(Reason::NoData, format!("{} was not asked", self.url)))
    }

    /// Asks until every answer names a version, or until the time for that is over: then what was wrong last.
    pub fn expect(&self, version: &str) -> Result<String, Refusal> {
        let began = clock::read_clocks();
        loop {
            let found = self.ask().and_then(|served| {
                if served == version {
                    return Ok(format!("{} of {} are served {version}", self.count, self.count));
                }
                Err(Refusal::new(Reason::Drift, format!("{} serves {served}, then {version}", self.url)))
            });
            let waited = clock::read_clocks().proven_ms_since(&began);
            if found.is_ok() || waited >= self.within.as_secs().saturating_mul(1000) {
                return found;
            }
            std::thread::sleep(NAP);
        }
    }

    fn once(&self) -> Result<String, Refusal> {
        let unknown = |why: String| Refusal::new(Reason::NoData, why);
        let answer = http::get(&self.url, self.ca_file.as_deref()).map_err(unknown)?;
        let version = match &self.header {
            Some(name) => answer.header(name).ok_or_else(|| unknown(format!("{}: no header {name}", self.url)))?,
            None => answer.body.trim(),
        };
        if version.is_empty() || version.len() > MAX_VERSION || version.chars().any(char::is_control) {
            return Err(unknown(format!("{}: what it answers is no name of a version", self.url)));
        }
        Ok(version.to_owned())
    }
}
