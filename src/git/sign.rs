//! Signatures, made by `ssh-keygen` and `minisign`. Private keys never enter this process: they are named, not read.

use std::{
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use super::{GitError, command::Program};
use crate::model::{PublicKey, key::SSH_TYPES};

/// The SSHSIG namespace of signatures that are made for this purpose.
pub const NAMESPACE: &str = "two-key";

/// A key to sign with, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningKey {
    /// A file that `ssh-keygen` signs with: a private key, or a public one whose private key an SSH agent holds.
    Ssh(PathBuf),
    /// A public key line whose private key an SSH agent holds.
    Literal(String),
    /// A minisign secret key file.
    Minisign(PathBuf),
}

impl SigningKey {
    /// Reads what people write for `--key`: a path, or a public key line with or without `key::` before it.
    pub fn parse(text: &str) -> Result<Self, GitError> {
        match Self::literal(text) {
            Some(literal) => Ok(literal),
            None => Self::file(PathBuf::from(text)),
        }
    }

    /// A public key line, as Git allows it in `user.signingkey`.
    pub(crate) fn literal(text: &str) -> Option<Self> {
        let line = text.strip_prefix("key::").unwrap_or(text);
        let known = line.split_once(' ').is_some_and(|(kind, _)| SSH_TYPES.contains(&kind));
        (known || line.len() < text.len()).then(|| Self::Literal(line.to_owned()))
    }

    /// A key file. Its first words tell minisign keys, which begin with a comment, from SSH keys.
    pub fn file(path: PathBuf) -> Result<Self, GitError> {
        const MINISIGN: &[u8] = b"untrusted comment:";
        let no_key = |error: std::io::Error| GitError::NoKey(format!("{}: {error}", path.display()));
        let mut start = Vec::new();
        let file = File::open(&path).map_err(no_key)?;
        file.take(MINISIGN.len() as u64).read_to_end(&mut start).map_err(no_key)?;
        Ok(if start == MINISIGN { Self::Minisign(path) } else { Self::Ssh(path) })
    }

    /// The public key, as policies write it: from the `.pub` file beside the key, else as the program derives it.
    pub fn public_key(&self) -> Result<PublicKey, GitError> {
        let bad = |error| GitError::NoKey(format!("{self}: {error}"));
        match self {
            Self::Literal(line) => PublicKey::parse(line.trim()).map_err(bad),
            Self::Ssh(path) => PublicKey::parse(ssh_public_line(path)?.trim()).map_err(bad),
            Self::Minisign(path) => {
                let text = minisign_public_file(path)?;
                let line = text.lines().map(str::trim).find(|line| line.starts_with("RW")).unwrap_or_default();
                PublicKey::from_bare_minisign(line).map_err(bad)
            }
        }
    }

    /// Signs a text for this purpose: an SSHSIG armour in namespace `two-key`, made by a program that takes the arguments of
    /// `ssh-keygen`, or a minisign file.
    pub fn sign(&self, ssh_program: &Path, text: &str) -> Result<String, GitError> {
        match self {
            Self::Ssh(path) => ssh_sign(ssh_program, self, path, text),
            Self::Literal(line) => {
                let file = public_key_file(line)?;
                ssh_sign(ssh_program, self, file.path(), text)
            }
            Self::Minisign(path) => minisign_sign(self, path, text),
        }
    }
}

impl std::fmt::Display for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ssh(path) | Self::Minisign(path) => write!(f, "{}", path.display()),
            Self::Literal(line) => f.write_str(line),
        }
    }
}

/// A temporary file with a public key line, for programs that want a file.
fn public_key_file(line: &str) -> Result<tempfile::NamedTempFile, GitError> {
    let failed = |error| GitError::io("writing a temporary file", error);
    let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
    writeln!(file, "{line}").map_err(failed)?;
    Ok(file)
}

fn ssh_sign(program: &Path, named: &SigningKey, key: &Path, text: &str) -> Result<String, GitError> {
    let failed = |error| GitError::io("signing in a temporary folder", error);
    // The text goes in a file, as Git hands it over: standard input stays the terminal's, where a passphrase is asked for.
    let folder = tempfile::tempdir().map_err(failed)?;
    let (statement, signature) = (folder.path().join("statement"), folder.path().join("statement.sig"));
    std::fs::write(&statement, text).map_err(failed)?;
    // Quiet: what is left on standard error are requests for a touch, which people must see.
    let program = Program::new(program).args(["-q", "-Y", "sign", "-n", NAMESPACE]).arg("-f").arg(key);
    let program = if let SigningKey::Literal(_) = named { program.arg("-U") } else { program };
    program.arg(&statement).interactive().bytes().map_err(|error| unsigned(named, error))?;
    std::fs::read_to_string(&signature).map_err(failed)
}

/// What it means that a program did not sign.
fn unsigned(key: &SigningKey, error: GitError) -> GitError {
    match error {
        GitError::Program { stderr, .. } => GitError::NotSigned { key: key.to_string(), stderr },
        other => other,
    }
}

fn minisign_sign(named: &SigningKey, key: &Path, text: &str) -> Result<String, GitError> {
    let failed = |error| GitError::io("signing in a temporary folder", error);
    let folder = tempfile::tempdir().map_err(failed)?;
    let (message, signature) = (folder.path().join("statement"), folder.path().join("statement.minisig"));
    std::fs::write(&message, text).map_err(failed)?;
    // It may ask for the key's password at our standard input.
    let program = Program::new("minisign").arg("-S").arg("-s").arg(key).arg("-x").arg(&signature);
    let program = program.args(["-c", "signature by git two-key", "-t", "two-key"]).arg("-m").arg(&message);
    program.interactive().bytes().map_err(|error| unsigned(named, error))?;
    std::fs::read_to_string(&signature).map_err(failed)
}

/// The public key line of an SSH key file.
fn ssh_public_line(path: &Path) -> Result<String, GitError> {
    if path.extension().is_some_and(|extension| extension == "pub") {
        return std::fs::read_to_string(path).map_err(|error| GitError::NoKey(format!("{}: {error}", path.display())));
    }
    if let Ok(line) = std::fs::read_to_string(beside(path)) {
        return Ok(line);
    }
    let derived = Program::new("ssh-keygen").args(["-y", "-f"]).arg(path).interactive().text();
    derived.map_err(|error| unsigned(&SigningKey::Ssh(path.to_owned()), error))
}

/// The text of the public key file that belongs to a minisign secret key.
fn minisign_public_file(path: &Path) -> Result<String, GitError> {
    // `minisign -G` writes minisign.key and minisign.pub; others append .pub.
    for candidate in [beside(path), path.with_extension("pub")] {
        if candidate != path
            && let Ok(text) = std::fs::read_to_string(&candidate)
        {
            return Ok(text);
        }
    }
    let failed = |error| GitError::io("deriving a public key in a temporary folder", error);
    let folder = tempfile::tempdir().map_err(failed)?;
    let public = folder.path().join("key.pub");
    Program::new("minisign").arg("-R").arg("-s").arg(path).arg("-p").arg(&public).interactive().bytes()?;
    std::fs::read_to_string(&public).map_err(failed)
}

/// The path with `.pub` appended.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}
