//! The `metrics` section of an applier's or agent's configuration.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::model::{GateId, Reason, Refusal, document::Span};

use super::{Metric, yaml};

/// Where measurements come from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SourcesConfig {
    /// A Prometheus server.
    pub prometheus: Option<PrometheusConfig>,
    /// A file of JSON lines.
    pub file: Option<FileSourceConfig>,
    /// A program.
    pub exec: Option<ExecSourceConfig>,
    /// How thresholds are measured that no gate of their name measures.
    #[serde(default)]
    pub thresholds: BTreeMap<GateId, Metric>,
}

/// A Prometheus server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PrometheusConfig {
    /// Its address, without `/api/v1`.
    pub url: String,
    /// The certificates that vouch for it, in PEM; by default those that are well known.
    pub ca_file: Option<PathBuf>,
    /// A file with the bearer token to show; read anew for each question, so that it can be renewed.
    pub token_file: Option<PathBuf>,
    /// How long an answer may take; by default 10 s.
    pub timeout: Option<Span>,
    /// How long after a moment the server knows of it; by default 5 s. A scrape is written down when it ends, as of when it
    /// began.
    pub lag: Option<Span>,
}

/// A file of JSON lines: `{"at": "2025-10-27T02:21:00Z", "name": "errors v2", "value": 3}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FileSourceConfig {
    /// Where it is.
    pub path: PathBuf,
    /// How long after a moment its line is in the file; by default 1 s.
    pub lag: Option<Span>,
}

/// A program that answers questions, version `two-key.metrics/1`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ExecSourceConfig {
    /// Its absolute path.
    pub program: PathBuf,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Its whole environment, but for a path on which the system's own programs are.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How long an answer may take; by default 10 s. Then it and all that it started is killed.
    pub timeout: Option<Span>,
    /// How long after a moment the program knows of it; by default 1 s.
    pub lag: Option<Span>,
}

impl SourcesConfig {
    /// The same with paths relative to a folder.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        if let Some(prometheus) = &mut self.prometheus {
            for path in [&mut prometheus.ca_file, &mut prometheus.token_file].into_iter().flatten() {
                *path = folder.join(&*path);
            }
        }
        if let Some(file) = &mut self.file {
            file.path = folder.join(&file.path);
        }
        self
    }

    /// The `metrics` section of a configuration file; empty where there is none. Paths are relative to the file.
    pub fn load(path: &Path) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct SourcesFile {
            #[serde(default)]
            metrics: SourcesConfig,
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| Refusal::new(Reason::Io, format!("{}: {error}", path.display())))?;
        let whole: SourcesFile = yaml::read(&path.display().to_string(), &text)?;
        Ok(whole.metrics.within(path.parent().unwrap_or(Path::new(""))))
    }
}
