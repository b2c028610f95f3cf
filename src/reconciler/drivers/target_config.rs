//! Target configuration: where a target is, one driver's section of the applier's configuration.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{exec, git, haproxy, nginx};
use crate::{
    model::{Refusal, policy},
    reconciler::probe::Probe,
};

/// Where a target is, and how it is moved.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawTargetConfig")]
pub struct TargetConfig {
    /// The driver, with what it has to know.
    pub section: DriverConfig,
    /// How the target's entrance is asked which version it serves.
    pub probe: Option<Probe>,
}

/// A driver's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriverConfig {
    /// One JSON file.
    File(PathBuf),
    /// Any program.
    Exec(exec::ExecDriverConfig),
    /// HAProxy's runtime socket.
    Haproxy(haproxy::HaproxyDriverConfig),
    /// A rendered split and a reload.
    Nginx(nginx::NginxDriverConfig),
    /// A deploy repository.
    Git(git::GitDriverConfig),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawTargetConfig {
    file: Option<PathBuf>,
    exec: Option<exec::ExecDriverConfig>,
    haproxy: Option<haproxy::HaproxyDriverConfig>,
    nginx: Option<nginx::NginxDriverConfig>,
    git: Option<git::GitDriverConfig>,
    probe: Option<Probe>,
}

impl TryFrom<RawTargetConfig> for TargetConfig {
    type Error = String;

    fn try_from(raw: RawTargetConfig) -> Result<Self, String> {
        let section = [
            raw.file.map(DriverConfig::File),
            raw.exec.map(DriverConfig::Exec),
            raw.haproxy.map(DriverConfig::Haproxy),
            raw.nginx.map(DriverConfig::Nginx),
            raw.git.map(DriverConfig::Git),
        ];
        let mut section = section.into_iter().flatten();
        match (section.next(), section.next()) {
            (Some(section), None) => {
                section.check()?;
                raw.probe.as_ref().map_or(Ok(()), Probe::check)?;
                Ok(Self { section, probe: raw.probe })
            }
            _ => Err("a target has exactly one of file, exec, haproxy, nginx, git".to_owned()),
        }
    }
}

impl DriverConfig {
    fn check(&self) -> Result<(), String> {
        match self {
            Self::File(_) => Ok(()),
            Self::Exec(config) => config.check(),
            Self::Haproxy(config) => config.check(),
            Self::Nginx(config) => config.check(),
            Self::Git(config) => config.check(),
        }
    }
}

impl TargetConfig {
    /// The same with its paths made relative to a folder.
    #[must_use]
    pub fn below(self, folder: &Path) -> Self {
        let section = match self.section {
            DriverConfig::File(path) => DriverConfig::File(folder.join(path)),
            DriverConfig::Haproxy(config) => DriverConfig::Haproxy(config.below(folder)),
            DriverConfig::Nginx(config) => {
                DriverConfig::Nginx(nginx::NginxDriverConfig { include: folder.join(&config.include), ..config })
            }
            // Programs are absolute, and a deploy repository is an address.
            section @ (DriverConfig::Exec(_) | DriverConfig::Git(_)) => section,
        };
        Self { section, probe: self.probe.map(|probe| probe.below(folder)) }
    }

    /// What is moved there: no two targets may move the same.
    pub fn moves(&self) -> String {
        let whole = |path: &Path| {
            let name =
                path.file_name().map(|name| path.parent().unwrap_or(path).canonicalize().map(|up| up.join(name)));
            let whole = path.canonicalize().ok().or_else(|| name?.ok()).or_else(|| std::path::absolute(path).ok());
            whole.unwrap_or_else(|| path.to_owned()).display().to_string()
        };
        match &self.section {
            DriverConfig::File(path) => format!("the file {}", whole(path)),
            DriverConfig::Exec(config) => format!("what {} {} moves", config.program.display(), config.args.join(" ")),
            DriverConfig::Haproxy(config) => format!("backend {} at {}", config.backend, whole(&config.socket)),
            DriverConfig::Nginx(config) => format!("the split in {}", whole(&config.include)),
            DriverConfig::Git(config) => {
                format!("{} in {} on {} of {}", config.candidate, config.path, config.branch, config.repository)
            }
        }
    }

    /// Whether a weight can be reached, as far as the configuration alone tells. What is really there, only the driver
    /// can say.
    pub fn reaches(&self, weight_bp: u32) -> Result<(), Refusal> {
        match &self.section {
            DriverConfig::File(_) | DriverConfig::Exec(_) | DriverConfig::Nginx(_) => Ok(()),
            DriverConfig::Haproxy(config) => config.reaches(weight_bp),
            DriverConfig::Git(config) => config.reaches(weight_bp),
        }
    }

    /// The driver that it is for.
    pub fn kind(&self) -> policy::DriverKind {
        match self.section {
            DriverConfig::File(_) => policy::DriverKind::File,
            DriverConfig::Exec(_) => policy::DriverKind::Exec,
            DriverConfig::Haproxy(_) => policy::DriverKind::Haproxy,
            DriverConfig::Nginx(_) => policy::DriverKind::Nginx,
            DriverConfig::Git(_) => policy::DriverKind::Git,
        }
    }
}

/// A driver's word in policies and configurations.
pub(super) const fn word(kind: policy::DriverKind) -> &'static str {
    match kind {
        policy::DriverKind::File => "file",
        policy::DriverKind::Exec => "exec",
        policy::DriverKind::Haproxy => "haproxy",
        policy::DriverKind::Nginx => "nginx",
        policy::DriverKind::Git => "git",
    }
}
