//! Where a target is: one driver's section of the applier's configuration.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{exec, git, haproxy, nginx};
use crate::{
    model::{Refusal, policy},
    reconciler::probe::Probe,
};

/// Where a target is, and how it is moved.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawPlace")]
pub struct Place {
    /// The driver, with what it has to know.
    pub section: Section,
    /// How the target's entrance is asked which version it serves.
    pub probe: Option<Probe>,
}

/// A driver's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Section {
    /// One JSON file.
    File(PathBuf),
    /// Any program.
    Exec(exec::Config),
    /// HAProxy's runtime socket.
    Haproxy(haproxy::Config),
    /// A rendered split and a reload.
    Nginx(nginx::Config),
    /// A deploy repository.
    Git(git::Config),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawPlace {
    file: Option<PathBuf>,
    exec: Option<exec::Config>,
    haproxy: Option<haproxy::Config>,
    nginx: Option<nginx::Config>,
    git: Option<git::Config>,
    probe: Option<Probe>,
}

impl TryFrom<RawPlace> for Place {
    type Error = String;

    fn try_from(raw: RawPlace) -> Result<Self, String> {
        let section = [
            raw.file.map(Section::File),
            raw.exec.map(Section::Exec),
            raw.haproxy.map(Section::Haproxy),
            raw.nginx.map(Section::Nginx),
            raw.git.map(Section::Git),
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

impl Section {
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

impl Place {
    /// The same with its paths made relative to a folder.
    #[must_use]
    pub fn below(self, folder: &Path) -> Self {
        let section = match self.section {
            Section::File(path) => Section::File(folder.join(path)),
            Section::Haproxy(config) => Section::Haproxy(config.below(folder)),
            Section::Nginx(config) => Section::Nginx(nginx::Config { include: folder.join(&config.include), ..config }),
            // Programs are absolute, and a deploy repository is an address.
            section @ (Section::Exec(_) | Section::Git(_)) => section,
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
            Section::File(path) => format!("the file {}", whole(path)),
            Section::Exec(config) => format!("what {} {} moves", config.program.display(), config.args.join(" ")),
            Section::Haproxy(config) => format!("backend {} at {}", config.backend, whole(&config.socket)),
            Section::Nginx(config) => format!("the split in {}", whole(&config.include)),
            Section::Git(config) => {
                format!("{} in {} on {} of {}", config.candidate, config.path, config.branch, config.repository)
            }
        }
    }

    /// Whether a weight can be reached, as far as the configuration alone tells. What is really there, only the driver
    /// can say.
    pub fn reaches(&self, weight_bp: u32) -> Result<(), Refusal> {
        match &self.section {
            Section::File(_) | Section::Exec(_) | Section::Nginx(_) => Ok(()),
            Section::Haproxy(config) => config.reaches(weight_bp),
            Section::Git(config) => config.reaches(weight_bp),
        }
    }

    /// The driver that it is for.
    pub fn kind(&self) -> policy::Driver {
        match self.section {
            Section::File(_) => policy::Driver::File,
            Section::Exec(_) => policy::Driver::Exec,
            Section::Haproxy(_) => policy::Driver::Haproxy,
            Section::Nginx(_) => policy::Driver::Nginx,
            Section::Git(_) => policy::Driver::Git,
        }
    }
}

/// A driver's word in policies and configurations.
pub(super) const fn word(kind: policy::Driver) -> &'static str {
    match kind {
        policy::Driver::File => "file",
        policy::Driver::Exec => "exec",
        policy::Driver::Haproxy => "haproxy",
        policy::Driver::Nginx => "nginx",
        policy::Driver::Git => "git",
    }
}
