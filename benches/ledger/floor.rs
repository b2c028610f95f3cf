//! What no verifier can be faster than: reading the commits, and one strict verification a signature on all processors.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use git_two_key::signature::{ObjectFormat, commit::parse_strict};
use sha2::{Digest as _, Sha512};

use super::run;

/// A signature, its key and the bytes that it is over.
type Check = (VerifyingKey, Vec<u8>, Signature);

/// The signed commits of a ledger.
pub struct Floor {
    list: std::path::PathBuf,
    /// Their ids.
    pub ids: Vec<String>,
    checks: Vec<Check>,
}

impl Floor {
    /// Reads and parses everything beforehand.
    pub fn of(repository: &Path, folder: &Path, format: ObjectFormat) -> Self {
        let list = folder.join("commits");
        fs::write(&list, run::said(run::git(repository).args(["rev-list", "main"])) + "\n").expect("a file");
        let output = run::git(repository)
            .args(["cat-file", "--batch", "--buffer"])
            .stdin(File::open(&list).expect("the list"))
            .output()
            .expect("git cat-file");
        let (mut rest, mut ids, mut checks) = (output.stdout.as_slice(), Vec::new(), Vec::new());
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&rest[..end]).into_owned();
            let words: Vec<&str> = line.split(' ').collect();
            let size: usize = words[2].parse().expect("a size");
            if let Some(check) = check(&rest[end + 1..end + 1 + size], format) {
                checks.push(check);
                ids.push(words[0].to_owned());
            }
            rest = &rest[end + size + 2..];
        }
        Self { list, ids, checks }
    }

    /// How long it takes to read all commits, and to verify all signatures.
    pub fn measure(&self, repository: &Path) -> Duration {
        let mut cat = run::git(repository);
        cat.args(["cat-file", "--batch", "--buffer"]).stdin(File::open(&self.list).expect("the list"));
        let read = run::cost(cat.stdout(Stdio::null())).wall;
        let start = Instant::now();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for part in self.checks.chunks(self.checks.len().div_ceil(threads).max(1)) {
                scope.spawn(move || {
                    let good = |(key, message, signature): &Check| key.verify_strict(message, signature).is_ok();
                    assert!(part.iter().all(good), "every signature is good");
                });
            }
        });
        read + start.elapsed()
    }
}

fn check(raw: &[u8], format: ObjectFormat) -> Option<Check> {
    let commit = parse_strict(raw, format).ok()?;
    let armour = String::from_utf8(commit.signature?).ok()?;
    let base64: String = armour.lines().filter(|line| !line.starts_with('-')).collect();
    let blob = STANDARD.decode(base64).ok()?;
    // magic, version, then the key's blob: its type and its 32 bytes; the signature's 64 bytes are the last.
    let key: [u8; 32] = blob.get(33..65)?.try_into().ok()?;
    let signature: [u8; 64] = blob.get(blob.len() - 64..)?.try_into().ok()?;
    let mut signed = b"SSHSIG".to_vec();
    for part in [&b"git"[..], b"", b"sha512", &Sha512::digest(&commit.payload)] {
        signed.write_all(&u32::try_from(part.len()).ok()?.to_be_bytes()).ok()?;
        signed.write_all(part).ok()?;
    }
    Some((VerifyingKey::from_bytes(&key).ok()?, signed, Signature::from_bytes(&signature)))
}
