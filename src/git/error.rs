//! Errors of Git and of the programs beside it.

use crate::{
    model::{Oid, Reason, Refusal},
    process::seconds,
};

/// Why something could not be read or written. Never a verdict: what it leaves open is *undecided* (exit code 3).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// There is no repository here, or Git does not trust the one that is.
    #[error("{path} is not a Git repository that can be used: {}", brief(stderr))]
    NotARepository {
        /// Where it was looked for.
        path: String,
        /// What Git said.
        stderr: String,
    },
    /// An object that is needed is not there.
    #[error("object {0} is missing or unreadable")]
    MissingObject(Oid),
    /// An object's bytes do not have its id.
    #[error("object {0} is corrupt: its bytes have another id")]
    Corrupt(Oid),
    /// An object that Git cannot parse either: it links to nothing.
    #[error("{why} ({id})")]
    Malformed {
        /// The object.
        id: Oid,
        /// What is wrong with it.
        why: String,
    },
    /// An object of another kind than its place calls for.
    #[error("object {id} is a {found}, not a {wanted}")]
    WrongKind {
        /// The object.
        id: Oid,
        /// What it should have been.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A repository that lacks part of its history.
    #[error("the repository is shallow: part of the history that would have to be verified is not there")]
    Shallow,
    /// A repository that was cloned without some of its objects.
    #[error("the repository is a partial clone: objects that would have to be verified may not be here")]
    Partial,
    /// History that does not continue what it should continue.
    #[error("{tip} does not have {base} on its first-parent chain")]
    NotOnChain {
        /// Where the chain was to begin.
        base: Oid,
        /// Where it ends.
        tip: Oid,
    },
    /// More than is ever read.
    #[error("{what} is too large: at most {limit} are read")]
    TooLarge {
        /// What.
        what: String,
        /// How much would have been read.
        limit: String,
    },
    /// A ref that is not where it was expected: somebody else was quicker.
    #[error("{refname} could not be updated: {}", brief(stderr))]
    RefChanged {
        /// The ref, or all refs of the transaction.
        refname: String,
        /// What Git said.
        stderr: String,
    },
    /// A word that is several refs' name for short, or a ref's and the beginning of an id.
    #[error("`{word}` may mean {}", refs.join(" or "))]
    AmbiguousName {
        /// The word.
        word: String,
        /// What it may mean.
        refs: Vec<String>,
    },
    /// A program that failed.
    #[error("`{command}` failed: {}", brief(stderr))]
    Program {
        /// The program and its arguments.
        command: String,
        /// What it said.
        stderr: String,
    },
    /// A remote that could not be asked.
    #[error("{remote} {trouble}")]
    Remote {
        /// The remote, as it was named.
        remote: String,
        /// What is wrong with it.
        trouble: Trouble,
        /// What Git said.
        stderr: String,
    },
    /// A remote without the governed branch.
    #[error("{remote} has no branch {branch}")]
    NoBranch {
        /// The remote, as it was named.
        remote: String,
        /// The branch's full name.
        branch: String,
    },
    /// A program that was ended because it took too long.
    #[error("`{command}` failed: it took longer than {}", seconds(*limit))]
    TimedOut {
        /// The program and its arguments.
        command: String,
        /// How long it might take.
        limit: std::time::Duration,
    },
    /// A program that answered in a form that it should not have.
    #[error("`{command}` gave an unexpected answer: {what}")]
    Answer {
        /// The program and its arguments.
        command: String,
        /// What is wrong with it.
        what: String,
    },
    /// A program that is not installed.
    #[error("`{0}` is not installed or not on the PATH")]
    NoProgram(String),
    /// A pinned root that is none.
    #[error("{from} is `{value}`, which is no commit id of this repository")]
    BadRoot {
        /// Where it is written.
        from: &'static str,
        /// What is written there.
        value: String,
    },
    /// A key that did not sign: a wrong passphrase, nobody at the terminal, an agent that does not have it.
    #[error("{}", not_signed(key, stderr))]
    NotSigned {
        /// The key, as it was named.
        key: String,
        /// What the program said.
        stderr: String,
    },
    /// A disk that takes nothing: it is full, or must not be written.
    #[error("nothing can be written here: {}", brief(stderr))]
    Disk {
        /// What the program said that tried.
        stderr: String,
    },
    /// No key to sign with.
    #[error("no key to sign with: {0}")]
    NoKey(String),
    /// A clone that does not take what was fetched.
    #[error("what was fetched cannot be written into {folder}, and is in {aside} for now: {why}")]
    Unwritten {
        /// The clone.
        folder: String,
        /// Where it is meanwhile.
        aside: String,
        /// What went wrong.
        why: String,
    },
    /// An error of the operating system.
    #[error("{doing}: {error}")]
    Io {
        /// What was being done.
        doing: String,
        /// What went wrong.
        error: String,
    },
}

/// What is wrong with a remote that could not be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No connection, or no answer.
    #[error("cannot be reached")]
    Unreachable,
    /// An answer that was not finished.
    #[error("broke the connection off")]
    BrokenOff,
    /// No answer in time.
    #[error("did not answer within {}", seconds(*.0))]
    Slow(std::time::Duration),
    /// An answer, and no repository.
    #[error("is no Git repository, or none that you may read")]
    NoRepository,
    /// A remote that does not know who asks.
    #[error("does not let you in")]
    NotLetIn,
    /// Anything else.
    #[error("could not be asked")]
    Other,
}

impl Trouble {
    /// By what Git said, in the fixed locale that it runs in.
    fn of(stderr: &str) -> Self {
        const SIGNS: [(Trouble, &[&str]); 4] = [
            (
                Trouble::NotLetIn,
                &[
                    "Permission denied",
                    "Authentication failed",
                    "could not read Username",
                    "could not read Password",
                    "Host key verification failed",
                    "The requested URL returned error: 403",
                    "HTTP Basic: Access denied",
                ],
            ),
            (
                Trouble::Unreachable,
                &[
                    "Could not resolve host",
                    "Connection refused",
                    "Connection timed out",
                    "Connection reset",
                    "Connection closed",
                    "Network is unreachable",
                    "No route to host",
                    "Failed to connect",
                    "Couldn't connect to server",
                    "unable to connect",
                    "Operation timed out",
                ],
            ),
            (Trouble::BrokenOff, &["early EOF", "unexpected disconnect", "the remote end hung up"]),
            (
                Trouble::NoRepository,
                &["does not appear to be a git repository", "not found", "does not exist", "not a git repository"],
            ),
        ];
        let says = |signs: &&[&str]| signs.iter().any(|sign| stderr.contains(sign));
        SIGNS.iter().find(|(_, signs)| says(signs)).map_or(Self::Other, |(trouble, _)| *trouble)
    }
}

/// The line of what a program said that says what went wrong.
fn brief(stderr: &str) -> &str {
    let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let complaint = lines().find_map(|line| line.strip_prefix("fatal: ").or_else(|| line.strip_prefix("error: ")));
    complaint.or_else(|| lines().next()).unwrap_or("it did not say why")
}

/// Why a key did not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyTrouble {
    /// Another passphrase than the key's.
    Passphrase,
    /// No SSH agent, or one that does not sign with it.
    Agent,
    /// A file that others can read, which `ssh-keygen` does not use.
    Exposed,
    /// A file that holds no private key.
    NoKey,
    /// Anything else.
    Other,
}

impl KeyTrouble {
    /// By what the program said that was to sign.
    fn of(stderr: &str) -> Self {
        const SIGNS: [(KeyTrouble, &[&str]); 4] = [
            (KeyTrouble::Passphrase, &["incorrect passphrase", "wrong password"]),
            (KeyTrouble::Exposed, &["unprotected private key", "bad permissions"]),
            (KeyTrouble::NoKey, &["error in libcrypto", "invalid format", "is not a private key"]),
            (KeyTrouble::Agent, &["agent"]),
        ];
        let complaint = stderr.to_lowercase();
        let says = |signs: &&[&str]| signs.iter().any(|sign| complaint.contains(sign));
        SIGNS.iter().find(|(_, signs)| says(signs)).map_or(Self::Other, |(trouble, _)| *trouble)
    }

    /// The reason code, and what helps.
    fn advice(self, key: &str) -> (Reason, String) {
        match self {
            Self::Exposed => (Reason::NotSigned, format!("let only yourself read it: chmod 600 {key}")),
            Self::NoKey => (Reason::NoKey, "name one with --key FILE, or: git config two-key.key FILE".to_owned()),
            Self::Agent => {
                (Reason::NotSigned, "add it to your agent with ssh-add, or name its file: --key FILE".to_owned())
            }
            Self::Passphrase | Self::Other => {
                (Reason::NotSigned, "try again, or name another key with --key FILE".to_owned())
            }
        }
    }
}

/// Why a key did not sign, in words.
fn not_signed(key: &str, stderr: &str) -> String {
    match KeyTrouble::of(stderr) {
        KeyTrouble::Passphrase => format!("the passphrase is not that of the key {key}"),
        KeyTrouble::Agent => format!("no SSH agent here signs with the key {key}"),
        KeyTrouble::Exposed => format!("others can read the key file {key}, so it is not used"),
        KeyTrouble::NoKey => format!("{key} is no private key that ssh-keygen can read"),
        KeyTrouble::Other => format!("the key {key} did not sign: {}", brief(stderr)),
    }
}

/// Whether a program complains that it cannot write here: what a remote says of its own disk is told after `remote:`.
fn is_of_the_disk(stderr: &str) -> bool {
    const SIGNS: [&str; 4] = [
        "No space left on device",
        "Read-only file system",
        "Disk quota exceeded",
        "insufficient permission for adding",
    ];
    let lines = stderr.lines().filter(|line| !line.starts_with("remote:"));
    lines.into_iter().any(|line| SIGNS.iter().any(|sign| line.contains(sign)))
}

impl GitError {
    /// A program that failed, by what it said.
    pub(super) fn of_program(command: String, stderr: String) -> Self {
        const MISSING: &str = "error: cannot run ";
        let missing =
            stderr.lines().find_map(|line| line.strip_prefix(MISSING)?.strip_suffix(": No such file or directory"));
        match missing {
            Some(program) => Self::NoProgram(program.to_owned()),
            None if is_of_the_disk(&stderr) => Self::Disk { stderr },
            None => Self::Program { command, stderr },
        }
    }

    /// What a program's failure says of the remote that it talked to.
    #[must_use]
    pub(super) fn of_remote(self, remote: &str) -> Self {
        let remote = remote.to_owned();
        match self {
            Self::Program { stderr, .. } => Self::Remote { remote, trouble: Trouble::of(&stderr), stderr },
            Self::TimedOut { limit, .. } => {
                Self::Remote { remote, trouble: Trouble::Slow(limit), stderr: String::new() }
            }
            other => other,
        }
    }

    /// An error of the operating system while doing something.
    #[allow(clippy::needless_pass_by_value, reason = "taken by `map_err`")]
    pub(crate) fn io(doing: impl Into<String>, error: std::io::Error) -> Self {
        Self::Io { doing: doing.into(), error: error.to_string() }
    }

    /// The refusal of what was read, where it says what an object is rather than that it could not be read: whoever reads it
    /// finds the same, so something is decided.
    pub(crate) fn verdict(self) -> Result<Refusal, Self> {
        match self {
            Self::Malformed { .. } | Self::WrongKind { .. } | Self::TooLarge { .. } => Ok(self.refusal()),
            other => Err(other),
        }
    }

    /// What the program said that failed, all of it.
    fn complaint(&self) -> &str {
        match self {
            Self::NotARepository { stderr, .. }
            | Self::RefChanged { stderr, .. }
            | Self::Program { stderr, .. }
            | Self::NotSigned { stderr, .. }
            | Self::Disk { stderr }
            | Self::Remote { stderr, .. } => stderr,
            _ => "",
        }
    }

    /// The reason code, the sentence and the hint for people.
    pub fn refusal(&self) -> Refusal {
        let words = Refusal::new(Reason::Io, self.to_string()).detail(self.complaint());
        if let Self::NotSigned { key, stderr } = self {
            let (reason, hint) = KeyTrouble::of(stderr).advice(key);
            return Refusal { reason, ..words }.hint(hint);
        }
        let (reason, hint) = match self {
            Self::Shallow => (Reason::Shallow, Some("fetch the rest with: git fetch --unshallow")),
            Self::Partial => (Reason::Shallow, Some("clone it whole, without --filter")),
            Self::TooLarge { .. } => (Reason::TooLarge, Some("make it smaller, or push it in parts")),
            Self::Malformed { .. } | Self::WrongKind { .. } => (Reason::Malformed, None),
            Self::NotOnChain { .. } => (Reason::Foxtrot, Some("git two-key sync")),
            Self::RefChanged { .. } => (Reason::Stale, Some("fetch, then try again")),
            Self::MissingObject(_) | Self::Corrupt(_) => (Reason::Damaged, Some("see what is wrong with: git fsck")),
            Self::NotARepository { .. } => (
                Reason::NoRepository,
                Some(
                    "run it inside a clone of the governance repository, or name that with -C; make a clone with: git two-key clone",
                ),
            ),
            Self::NoKey(_) => (Reason::NoKey, Some("name one with --key FILE, or: git config two-key.key FILE")),
            Self::Disk { .. } => {
                (Reason::Io, Some("make room on the disk, or let this folder be written, then try again"))
            }
            Self::Remote { trouble: Trouble::NoRepository, .. } => {
                (Reason::Unreachable, Some("see where it is with: git remote -v"))
            }
            Self::Remote { .. } | Self::TimedOut { .. } => (Reason::Unreachable, None),
            Self::NoBranch { .. } => (Reason::RefDeleted, None),
            Self::AmbiguousName { .. } => (Reason::Ambiguous, Some("name it in full, as refs/remotes/origin/main")),
            Self::BadRoot { .. } => (Reason::Unpinned, Some("pin it with: git two-key trust ROOT")),
            Self::Unwritten { .. } => {
                (Reason::Io, Some("make room there, or let it be written: nothing goes forward before"))
            }
            // Git, or a program beside it, that cannot do what it always can: its words say why.
            Self::Io { .. } | Self::Program { .. } | Self::NotSigned { .. } => (Reason::Io, None),
            Self::NoProgram(_) => (Reason::NotFound, Some("install it, or put its folder on the PATH")),
            Self::Answer { .. } => (Reason::Internal, None),
        };
        let refusal = Refusal { reason, ..words };
        match hint {
            Some(hint) => refusal.hint(hint),
            None => refusal,
        }
    }
}

impl From<GitError> for Refusal {
    fn from(error: GitError) -> Self {
        error.refusal()
    }
}
