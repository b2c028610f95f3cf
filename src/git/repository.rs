//! Repository: where it is and what kind it is, as Git itself sees it.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{
    GitError,
    aside::Aside,
    cat_file::Idle,
    command::{Program, Started, path_from},
    early_refs::{AskedRefs, FOR_EACH_REF},
    settings::{OWN_SETTINGS, Settings, settings as settings_of},
};
use crate::{model::Oid, signature::ObjectFormat};

/// A Git repository.
#[derive(Debug, Clone)]
pub struct Repository {
    git_dir: PathBuf,
    common_dir: PathBuf,
    worktree: Option<PathBuf>,
    format: ObjectFormat,
    shallow: bool,
    inherit: bool,
    /// How long a remote, or a key, may take.
    patience: Option<Patience>,
    /// Readers that wait for their next use.
    idle: Idle,
    /// What was fetched and is not in it.
    aside: Aside,
    /// Our own part of the configuration, if it is known.
    settings: Arc<Mutex<Option<Settings>>>,
    /// Where some refs are, if that was asked for and nobody took the answer yet.
    asked_refs: Arc<Mutex<Option<AskedRefs>>>,
}

/// How long a remote, or a key, may take.
#[derive(Debug, Clone, Copy)]
enum Patience {
    /// For each question so long.
    Each(Duration),
    /// Until then for all of them.
    Until(Instant),
}

impl Repository {
    /// The repository of the current directory, or the one that Git's environment variables name, as in a hook.
    /// Quarantined objects are seen.
    pub fn discover() -> Result<Self, GitError> {
        Self::ask(Path::new("."), true, Vec::new())
    }

    /// The same for judging a push of some refs: Git is asked at the same time where those are.
    pub(super) fn receiving(refs: Vec<String>) -> Result<Self, GitError> {
        Self::ask(Path::new("."), true, refs)
    }

    /// The repository at a path or above it, whatever the environment variables say.
    pub fn open(path: &Path) -> Result<Self, GitError> {
        Self::ask(path, false, Vec::new())
    }

    fn ask(path: &Path, inherit: bool, refs: Vec<String>) -> Result<Self, GitError> {
        let git = |args: &[&str]| Program::git(inherit).arg("-C").arg(path).args(args);
        let ask = |questions: &[&str]| git(&["rev-parse"]).args(questions);
        // Nearly everybody wants to know next what is configured, so Git is asked at the same time. If that fails, whoever
        // wants to know asks again.
        let settings = git(&OWN_SETTINGS).started();
        let asked_refs = AskedRefs::ask(git(&FOR_EACH_REF), refs);
        let not_here = |error| match error {
            GitError::Program { stderr, .. } => GitError::NotARepository { path: path.display().to_string(), stderr },
            other => other,
        };
        let path_of = |question: &str| {
            let bytes = ask(&["--path-format=absolute", question]).bytes()?;
            Ok(path_from(bytes.strip_suffix(b"\n").unwrap_or(&bytes).to_vec()))
        };
        let command = "git rev-parse --show-object-format".to_owned();
        let questions = [
            "--is-shallow-repository",
            "--show-object-format",
            "--is-bare-repository",
            "--path-format=absolute",
            "--absolute-git-dir",
            "--git-common-dir",
        ];
        let facts = ask(&questions).bytes().map_err(not_here);
        let settings = settings.and_then(Started::output).and_then(|output| settings_of("git config", output));
        let facts = facts?;
        let lines: Vec<&[u8]> = facts.strip_suffix(b"\n").unwrap_or(&facts).split(|byte| *byte == b'\n').collect();
        let line = |at: usize| lines.get(at).copied().unwrap_or_default();
        let format = match line(1) {
            b"sha1" => ObjectFormat::Sha1,
            b"sha256" => ObjectFormat::Sha256,
            other => {
                let what = format!("object format `{}`", String::from_utf8_lossy(other));
                return Err(GitError::Answer { command, what });
            }
        };
        let (git_dir, common_dir) = match lines.as_slice() {
            [_, _, _, git_dir, common_dir] => (path_from(git_dir.to_vec()), path_from(common_dir.to_vec())),
            // Paths that hold line feeds: asked for one by one.
            _ => (path_of("--absolute-git-dir")?, path_of("--git-common-dir")?),
        };
        let shallow = line(0) != b"false";
        // Bare repositories have no top level; a hook's current directory is the Git directory, which is none either.
        let worktree = match line(2) {
            b"true" => None,
            _ => path_of("--show-toplevel").ok().filter(|top| *top != git_dir),
        };
        Ok(Self {
            git_dir,
            common_dir,
            worktree,
            format,
            shallow,
            inherit,
            patience: None,
            idle: Idle::default(),
            aside: Aside::default(),
            settings: Arc::new(Mutex::new(settings.ok())),
            asked_refs: Arc::new(Mutex::new(asked_refs)),
        })
    }

    /// The same repository with a limit to how long talking to a remote, or signing, may take; then Git and all that it
    /// started are killed. Such a Git cannot ask at the terminal, so this is for programs, not for people.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Some(Patience::Each(patience));
        self
    }

    /// The same repository with a limit to how long all talking to a remote may take together, from now on. Git asks nobody
    /// anything meanwhile.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "how long a remote may take decides nothing but whether it is heard")]
    pub fn with_deadline(mut self, span: Duration) -> Self {
        self.patience = Instant::now().checked_add(span).map(Patience::Until);
        self
    }

    /// Our own part of the configuration, if it is known.
    pub(super) fn settings(&self) -> &Mutex<Option<Settings>> {
        &self.settings
    }

    /// Where some refs are, if that was asked for and nobody took the answer yet.
    pub(super) fn asked_refs(&self) -> &Mutex<Option<AskedRefs>> {
        &self.asked_refs
    }

    /// Readers that wait for their next use.
    pub(super) fn idle(&self) -> &Idle {
        &self.idle
    }

    /// What was fetched and is not in it.
    pub(super) fn aside(&self) -> &Aside {
        &self.aside
    }

    /// Limits a program that talks to a remote.
    pub(crate) fn limited(&self, program: Program) -> Program {
        match self.patience {
            Some(Patience::Each(patience)) => program.within(patience),
            Some(Patience::Until(deadline)) => {
                #[allow(clippy::disallowed_methods, reason = "as for the deadline")]
                let left = deadline.saturating_duration_since(Instant::now());
                program.env("GIT_TERMINAL_PROMPT", "0").within(left)
            }
            None => program,
        }
    }

    /// A program that may ask people for a touch or a password, where people wait for it.
    pub(crate) fn asking(&self, program: Program) -> Program {
        match self.patience {
            Some(Patience::Each(patience)) => program.within(patience),
            Some(Patience::Until(_)) | None => program.interactive(),
        }
    }

    /// The Git directory of this worktree.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// The Git directory that all worktrees share.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// The top of the worktree, if there is one.
    pub fn worktree(&self) -> Option<&Path> {
        self.worktree.as_deref()
    }

    /// The hash that objects are named with.
    pub fn format(&self) -> ObjectFormat {
        self.format
    }

    /// Whether part of the history is not here.
    pub fn is_shallow(&self) -> bool {
        self.shallow
    }

    /// Whether a push that is being received would make the repository shallow: Git would write that down for whichever of its
    /// refs.
    pub fn is_cut_off_by_push(&self) -> bool {
        self.shallow && !self.is_cut_off()
    }

    fn is_cut_off(&self) -> bool {
        fs::metadata(self.common_dir.join("shallow")).is_ok_and(|file| file.len() > 0)
    }

    /// Nothing is verified where something may be missing: neither in a shallow clone nor in a partial one, where Git
    /// would fetch what it lacks while we read.
    pub(crate) fn whole(&self) -> Result<(), GitError> {
        // A fetch may have made it one meanwhile.
        if self.shallow || self.is_cut_off() {
            return Err(GitError::Shallow);
        }
        if self.is_promised()? {
            return Err(GitError::Partial);
        }
        // Git marks the packs of partial clones so, whatever was configured since.
        let packs = self.common_dir.join("objects/pack");
        let entries = match fs::read_dir(&packs) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|error| GitError::io(format!("reading {}", packs.display()), error))?,
        };
        let promised = |entry: fs::DirEntry| entry.path().extension().is_some_and(|end| end == "promisor");
        if entries.filter_map(Result::ok).any(promised) { Err(GitError::Partial) } else { Ok(()) }
    }

    /// The all-zero id, with which Git says "no object".
    pub fn zero(&self) -> Oid {
        match self.format {
            ObjectFormat::Sha1 => Oid::Sha1([0; 20]),
            ObjectFormat::Sha256 => Oid::Sha256([0; 32]),
        }
    }

    /// Git, in this repository.
    pub(crate) fn git(&self) -> Program {
        self.aside.seen_by(self.git_alone())
    }

    /// The same with nothing but what is in the repository itself.
    pub(super) fn git_alone(&self) -> Program {
        let git = Program::git(self.inherit).env("GIT_DIR", &self.git_dir);
        match &self.worktree {
            Some(worktree) => git.env("GIT_WORK_TREE", worktree).arg("-C").arg(worktree),
            None => git,
        }
    }

    /// Git, with a subcommand, in this repository.
    pub(crate) fn run(&self, args: &[&str]) -> Program {
        self.git().args(args)
    }

    /// Reads the ids that a subcommand prints, one a line.
    pub(crate) fn ids(&self, args: &[&str]) -> Result<Vec<Oid>, GitError> {
        self.ids_of(self.run(args))
    }

    /// Reads the ids that Git prints, one a line.
    pub(super) fn ids_of(&self, program: Program) -> Result<Vec<Oid>, GitError> {
        Ok(self.ids_with_parents(program)?.into_iter().flatten().collect())
    }

    /// Reads the ids that Git prints, one or more a line.
    pub(crate) fn ids_with_parents(&self, program: Program) -> Result<Vec<Vec<Oid>>, GitError> {
        let command = program.line();
        let text = program.text()?;
        let id = |word: &str| Oid::parse(word).filter(|id| self.fits(*id));
        let wrong =
            |word: &str| GitError::Answer { command: command.clone(), what: format!("`{word}` is no object id") };
        let ids = |line: &str| line.split(' ').map(|word| id(word).ok_or_else(|| wrong(word))).collect();
        text.lines().map(ids).collect()
    }

    /// Whether an id has the length of this repository's ids.
    pub fn fits(&self, id: Oid) -> bool {
        id.as_bytes().len() == self.zero().as_bytes().len()
    }
}
