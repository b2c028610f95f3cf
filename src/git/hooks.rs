//! Installs hooks.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{GitError, Repository, command::path_from};
use crate::model::{Reason, Refusal};

/// What every hook of ours says of itself.
const MARK: &str = "# two-key-hook:";

/// A hook that can be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// The server's.
    PreReceive,
    /// The client's.
    PrePush,
    /// The server's that wakes appliers.
    PostReceive,
}

impl Hook {
    /// The file's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreReceive => "pre-receive",
            Self::PrePush => "pre-push",
            Self::PostReceive => "post-receive",
        }
    }

    const fn template(self) -> &'static str {
        match self {
            Self::PreReceive => include_str!("../../hooks/pre-receive"),
            Self::PrePush => include_str!("../../hooks/pre-push"),
            Self::PostReceive => include_str!("../../hooks/post-receive"),
        }
    }

    /// The script that runs a program.
    fn script(self, program: &Path) -> String {
        let quoted = format!("'{}'", program.to_string_lossy().replace('\'', r"'\''"));
        self.template().replace("@PROGRAM@", &quoted)
    }
}

impl Repository {
    /// Where Git looks for hooks.
    fn hooks_folder(&self) -> Result<PathBuf, GitError> {
        let bytes = self.run(&["rev-parse", "--path-format=absolute", "--git-path", "hooks"]).bytes()?;
        Ok(path_from(bytes.strip_suffix(b"\n").unwrap_or(&bytes).to_vec()))
    }

    /// Where a hook of ours belongs: where Git looks; or, where a forge's hook is there that runs every program in a folder
    /// beside it (as Forgejo's and Gitea's do), in that folder.
    pub fn hook_path(&self, hook: Hook) -> Result<PathBuf, GitError> {
        let folder = self.hooks_folder()?;
        let (path, many) = (folder.join(hook.name()), folder.join(format!("{}.d", hook.name())));
        // A folder that nothing runs would be a hook that is never asked.
        let delegates = |script: Vec<u8>| {
            let script = String::from_utf8_lossy(&script).into_owned();
            script.contains(&format!("{}.d", hook.name())) || script.contains("${hookname}.d")
        };
        let delegated = many.is_dir() && fs::read(&path).is_ok_and(delegates);
        Ok(if delegated { many.join("two-key") } else { path })
    }

    /// Installs a hook that runs a program; another's hook is never overwritten. Where it was installed.
    pub fn install_hook(&self, hook: Hook, program: &Path) -> Result<PathBuf, Refusal> {
        let path = self.hook_path(hook).map_err(|error| error.refusal())?;
        let failed = |error| GitError::io(format!("writing {}", path.display()), error).refusal();
        match fs::read(&path) {
            Ok(found) if !String::from_utf8_lossy(&found).contains(MARK) => {
                let message = format!("another hook is there already: {}", path.display());
                return Err(Refusal::new(Reason::Busy, message)
                    .hint(format!("call `git two-key hook {}` from it, with the same standard input", hook.name())));
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let folder = path.parent().unwrap_or(&path);
        fs::create_dir_all(folder).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(hook.script(program).as_bytes()).map_err(failed)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o755)).map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(path)
    }
}
