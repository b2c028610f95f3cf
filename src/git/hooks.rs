//! Hook installation.

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
    /// The server's that holds Git to what was judged.
    ReferenceTransaction,
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
            Self::ReferenceTransaction => "reference-transaction",
            Self::PrePush => "pre-push",
            Self::PostReceive => "post-receive",
        }
    }

    const fn template(self) -> &'static str {
        match self {
            Self::PreReceive => include_str!("../../hooks/pre-receive"),
            Self::ReferenceTransaction => include_str!("../../hooks/reference-transaction"),
            Self::PrePush => include_str!("../../hooks/pre-push"),
            Self::PostReceive => include_str!("../../hooks/post-receive"),
        }
    }

    /// The script that runs a program.
    fn script(self, program: &Path) -> String {
        // Within single quotes sh knows no escape: a quote ends them, stands for itself, and opens them again.
        let quoted = format!("'{}'", program.to_string_lossy().replace('\'', r"'\''"));
        self.template().replace("@PROGRAM@", &quoted)
    }
}

impl Repository {
    /// Where Git looks for hooks.
    fn hooks_folder(&self) -> Result<PathBuf, GitError> {
        // `core.hooksPath` may name another folder, and linked worktrees have none of their own.
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

    /// Whether a hook of ours may be installed: into this repository's own folder, over no other's hook.
    pub fn free_for_hook(&self, hook: Hook) -> Result<(), Refusal> {
        let folder = self.hooks_folder()?;
        // It may not be there yet, and be a link: then what it leads to counts.
        let real = folder.ancestors().find_map(|above| above.canonicalize().ok()).unwrap_or_default();
        let own = [Some(self.common_dir()), self.worktree()].into_iter().flatten();
        if !own.filter_map(|own| own.canonicalize().ok()).any(|own| real.starts_with(own)) {
            let message = format!(
                "Git takes this repository's hooks from {}, where other repositories may take theirs from too",
                folder.display()
            );
            return Err(Refusal::new(Reason::Ambiguous, message).hint(format!(
                "give it hooks of its own with `git config core.hooksPath {}`, then run this again; call the old hooks from there",
                self.common_dir().join("hooks").display()
            )));
        }
        let path = self.hook_path(hook)?;
        match fs::read(&path) {
            Ok(found) if !String::from_utf8_lossy(&found).contains(MARK) => {
                let message = format!("another hook is there already: {}", path.display());
                Err(Refusal::new(Reason::Busy, message)
                    .hint(format!("call `git two-key hook {}` from it, with the same standard input", hook.name())))
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(GitError::io(format!("reading {}", path.display()), error).refusal())
            }
            _ => Ok(()),
        }
    }

    /// Installs a hook that runs a program, in a repository that is free for it. Where it was installed.
    pub fn install_hook(&self, hook: Hook, program: &Path) -> Result<PathBuf, Refusal> {
        self.free_for_hook(hook)?;
        let path = self.hook_path(hook)?;
        let failed = |error| GitError::io(format!("writing {}", path.display()), error).refusal();
        let folder = path.parent().unwrap_or(&path);
        fs::create_dir_all(folder).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(hook.script(program).as_bytes()).map_err(failed)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o755)).map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(path)
    }
}
