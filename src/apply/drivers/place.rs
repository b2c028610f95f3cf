//! Where a target is: one driver's section of the applier's configuration.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::haproxy;
use crate::model::{Refusal, policy};

/// Where a target is, and how it is moved.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawPlace")]
pub struct Place {
    /// The driver, with what it has to know.
    pub section: Section,
}

/// A driver's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Section {
    /// One JSON file.
    File(PathBuf),
    /// HAProxy's runtime socket.
    Haproxy(haproxy::Config),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawPlace {
    file: Option<PathBuf>,
    haproxy: Option<haproxy::Config>,
}

impl TryFrom<RawPlace> for Place {
    type Error = String;

    fn try_from(raw: RawPlace) -> Result<Self, String> {
        let section = [raw.file.map(Section::File), raw.haproxy.map(Section::Haproxy)];
        let mut section = section.into_iter().flatten();
        match (section.next(), section.next()) {
            (Some(section), None) => {
                section.check()?;
                Ok(Self { section })
            }
            _ => Err("a target has exactly one of file, exec, haproxy, nginx, git".to_owned()),
        }
    }
}

impl Section {
    fn check(&self) -> Result<(), String> {
        match self {
            Self::File(_) => Ok(()),
            Self::Haproxy(config) => config.check(),
        }
    }
}

impl Place {
    /// The same with its paths made relative to a folder.
    #[must_use]
    pub fn below(self, folder: &Path) -> Self {
        let section = match self.section {
            Section::File(path) => Section::File(folder.join(path)),
            Section::Haproxy(config) => {
                Section::Haproxy(haproxy::Config { socket: folder.join(&config.socket), ..config })
            }
        };
        Self { section }
    }

    /// Whether a weight can be reached, as far as the configuration alone tells. What is really there, only the driver
    /// can say.
    pub fn reaches(&self, weight_bp: u32) -> Result<(), Refusal> {
        match &self.section {
            Section::File(_) => Ok(()),
            Section::Haproxy(config) => config.reaches(weight_bp),
        }
    }

    /// The driver that it is for.
    pub fn kind(&self) -> policy::Driver {
        match self.section {
            Section::File(_) => policy::Driver::File,
            Section::Haproxy(_) => policy::Driver::Haproxy,
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
