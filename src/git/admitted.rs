//! Admitted moves: which moves of refs the server's hook has admitted, until Git makes them.
//!
//! Each is a file in a folder that only the hook writes, named by a digest of the ref and of where it goes from and to, so
//! that finding one costs the same however many there are. It holds the branch and the ledger's tip that the push was judged
//! by. Git asks before it makes a move, with the refs locked; what is found then is what was judged. Of refs that are none of
//! our business, of which one push may bring thousands, only the branch is kept that makes them so. Files that are older
//! than any push takes are as good as none, and are removed when the next push is admitted.

use std::{
    collections::HashMap,
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{GitError, PushedRef, Repository, memory::Memory, push::lines, refs::may_be_symbolic, shared};
use crate::{
    model::{Digest, Oid, Refusal},
    push::{Admitted, Destination, Move, Push, RefMeaning, place},
};

/// How long an admitted move may take to be made.
const VALID: Duration = Duration::from_secs(10 * 60);
/// The file that holds the branch that a push was judged by.
const BRANCH: &str = "branch";

/// What was admitted.
struct AdmittedMove {
    branch: String,
    /// The tip of the ledger that it was judged by; none if no ledger had a say.
    ledger: Option<Oid>,
}

/// What Git tells of a move.
struct AnnouncedMove {
    name: String,
    /// None if the ref is not there, or may be anywhere.
    from: Option<Oid>,
    to: Destination,
}

fn folder(common_dir: &Path) -> PathBuf {
    common_dir.join("two-key/admitted")
}

impl AdmittedMove {
    /// The record of a move, if it was admitted a short time ago.
    fn read(folder: &Path, name: &str, from: Option<Oid>, to: Destination, now: SystemTime) -> Option<Self> {
        let to = match to {
            Destination::Object(id) => Some(id),
            Destination::Nothing => None,
            Destination::AnotherRef => return None,
        };
        let text = young(&folder.join(file_name(name, from, to)), now)?;
        let (branch, ledger) = text.split_once('\n')?;
        let ledger = if ledger.is_empty() { None } else { Some(Oid::parse(ledger)?) };
        Some(Self { branch: branch.to_owned(), ledger })
    }
}

/// Reads lines `<old> <new> <ref>`. A value may be `ref:<name>`.
fn announced_moves(input: &[u8]) -> Result<Vec<AnnouncedMove>, GitError> {
    let line = |line: String| {
        let wrong = || GitError::Answer { command: "git".to_owned(), what: format!("`{line}` is no move of a ref") };
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let [old, new, name] = words.as_slice() else { return Err(wrong()) };
        let from = if old.starts_with("ref:") { None } else { Some(Oid::parse(old).ok_or_else(wrong)?) };
        let to = match Oid::parse(new) {
            Some(id) if id.is_zero() => Destination::Nothing,
            Some(id) => Destination::Object(id),
            None if new.starts_with("ref:") => Destination::AnotherRef,
            None => return Err(wrong()),
        };
        Ok(AnnouncedMove { name: (*name).to_owned(), from: from.filter(|id| !id.is_zero()), to })
    };
    lines(input).map(line).collect()
}

/// Whether all moves that Git is about to make in a repository are plainly what a push was admitted with, so that nothing else
/// has to be asked: of the branch, from where Git says that it is, and of what is not governed. A push of many refs
/// asks for each of them. A new stop ref under its commit's id needs no verdict, whatever is wrong here.
pub fn plainly_admitted(git_dir: &Path, input: &[u8], now: SystemTime) -> bool {
    // A worktree's own folder names the one that all share.
    let shared = fs::read_to_string(git_dir.join("commondir")).map(|shared| git_dir.join(shared.trim_end()));
    let common_dir = shared.unwrap_or_else(|_| git_dir.to_owned());
    let folder = folder(&common_dir);
    // What is not governed is so only while the branch stands for no other ref.
    let branch = young(&folder.join(BRANCH), now).filter(|branch| !may_be_symbolic(&common_dir, branch));
    let plain = |AnnouncedMove { name, from, to }: &AnnouncedMove| match &branch {
        Some(branch) if place(name, branch) == RefMeaning::Other => true,
        _ if matches!(place(name, ""), RefMeaning::Stop { id, .. } if from.is_none() && to.object() == Some(id)) => {
            true
        }
        _ => {
            let record = from.and_then(|_| AdmittedMove::read(&folder, name, *from, *to, now));
            record.is_some_and(|record| place(name, &record.branch) == RefMeaning::Branch)
        }
    };
    announced_moves(input).is_ok_and(|announced| announced.iter().all(plain))
}

/// Under which name a move is kept.
fn file_name(name: &str, from: Option<Oid>, to: Option<Oid>) -> String {
    let id = |id: Option<Oid>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let digest = Digest::of(format!("{} {} {name}", id(from), id(to)).as_bytes()).to_string();
    digest.trim_start_matches("sha256:").to_owned()
}

impl Repository {
    /// Remembers the moves of an admitted push, whose refs were pushed by these names, until Git makes them.
    pub fn admit(&self, push: &Push, pushed: &[PushedRef], now: SystemTime) -> Result<(), GitError> {
        let folder = folder(self.common_dir());
        let failed = |error| GitError::io(format!("writing to {}", folder.display()), error);
        shared::create(self, &folder).map_err(failed)?;
        let access = shared::Access::to(&folder).map_err(failed)?;
        remove_old(&folder, now);
        let ledger = push.after.as_ref().map(|state| state.tip().to_string()).unwrap_or_default();
        let record = format!("{}\n{ledger}", push.branch);
        let write = |name: &str, text: &str| {
            let mut file = access.file(&folder, "move-").map_err(failed)?;
            file.write_all(text.as_bytes()).map_err(failed)?;
            file.persist(folder.join(name)).map(drop).map_err(|error| failed(error.error))
        };
        let mut others = false;
        for (update, pushed) in push.updates.iter().zip(pushed) {
            // By both names, if it was pushed to a symbolic ref: Git asks about both.
            let mut names = vec![pushed.name.as_str(), update.name.as_str()];
            names.dedup();
            if names.iter().all(|name| place(name, &push.branch) == RefMeaning::Other) {
                others = true;
                continue;
            }
            for name in names {
                write(&file_name(name, update.old, update.new), &record)?;
            }
        }
        if others { write(BRANCH, &push.branch) } else { Ok(()) }
    }

    /// What is known of the moves that Git is about to make, by what it tells the `reference-transaction` hook in its
    /// `prepared` state; and the governed branch.
    pub fn moves(&self, input: &[u8], now: SystemTime) -> Result<(Vec<Move>, String), Refusal> {
        let announced = announced_moves(input)?;
        let branch = match announced
            .iter()
            .find_map(|announced| self.admitted(&announced.name, announced.from, announced.to, now))
        {
            Some(record) => record.branch,
            None => self.pinned_branch()?,
        };
        let stands_for = self.branch_stands_for(&branch)?;
        let here = self.where_they_are(&announced, &branch, stands_for.as_deref())?;
        let mut tip =
            announced.iter().find(|announced| announced.name == branch).and_then(|announced| announced.to.object());
        let mut moves = Vec::with_capacity(announced.len());
        for AnnouncedMove { name, from, to } in announced {
            let to = match to {
                Destination::Nothing if place(&name, &branch) != RefMeaning::Other => self.packed(&name, from)?,
                to => to,
            };
            let from = from.or_else(|| here.get(&name).copied());
            let admitted = match self.admitted(&name, from, to, now) {
                None => Admitted::No,
                Some(AdmittedMove { ledger: Some(ledger), .. }) if needs_a_ledger(&name, &branch) => {
                    if tip.is_none() {
                        tip = self.resolve(&branch)?;
                    }
                    let held = tip.map_or(Ok(false), |tip| self.is_on_chain(ledger, tip));
                    if held? { Admitted::Yes } else { Admitted::WithoutItsLedger }
                }
                Some(_) => Admitted::Yes,
            };
            let name = if stands_for.as_ref() == Some(&name) { branch.clone() } else { name };
            moves.push(Move { name, from, to, admitted });
        }
        Ok((moves, branch))
    }

    /// The record of a move, if it was admitted a short time ago.
    fn admitted(&self, name: &str, from: Option<Oid>, to: Destination, now: SystemTime) -> Option<AdmittedMove> {
        AdmittedMove::read(&folder(self.common_dir()), name, from, to, now)
    }

    /// The governed branch, by the root that is pinned.
    fn pinned_branch(&self) -> Result<String, Refusal> {
        match self.configured_root()? {
            Some(root) => self.governed_branch(&Memory::of(self, root)),
            None => self.branch_without_root().map_err(Refusal::from),
        }
    }

    /// Where those governed refs are of which Git did not say it, and what the branch stands for.
    fn where_they_are(
        &self,
        announced: &[AnnouncedMove],
        branch: &str,
        stands_for: Option<&str>,
    ) -> Result<HashMap<String, Oid>, GitError> {
        let governed = |name: &str| place(name, branch) != RefMeaning::Other || Some(name) == stands_for;
        let unsaid = announced.iter().filter(|announced| announced.from.is_none() && governed(&announced.name));
        let names: Vec<&str> = unsaid.map(|announced| announced.name.as_str()).collect();
        let mut here = HashMap::new();
        for names in names.chunks(super::refs::NAMES) {
            here.extend(self.refs(names)?);
        }
        Ok(here)
    }

    /// What a ref is after its file is gone. Git packs refs and then removes their files, each from where it says, which it tells
    /// of as deletions. What is really deleted is taken out of the packed refs first: Git asks about that by itself, and says
    /// no old value.
    fn packed(&self, name: &str, from: Option<Oid>) -> Result<Destination, GitError> {
        let Some(from) = from else { return Ok(Destination::Nothing) };
        let path = self.common_dir().join("packed-refs");
        let packed = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Destination::Nothing),
            packed => packed.map_err(|error| GitError::io(format!("reading {}", path.display()), error))?,
        };
        let line = format!("{from} {name}");
        let kept = packed.split(|byte| *byte == b'\n').any(|other| other == line.as_bytes());
        Ok(if kept { Destination::Object(from) } else { Destination::Nothing })
    }
}

/// Whether what a ref may be depends on the ledger. The branch is the ledger.
fn needs_a_ledger(name: &str, branch: &str) -> bool {
    !matches!(place(name, branch), RefMeaning::Branch | RefMeaning::Other)
}

/// What a file says, if it was written a short time ago.
fn young(path: &Path, now: SystemTime) -> Option<String> {
    let written = fs::metadata(path).and_then(|file| file.modified()).ok()?;
    if is_young(written, now) { fs::read_to_string(path).ok() } else { None }
}

/// Clocks may be set; a file from the future is as good as one from long ago.
fn is_young(written: SystemTime, now: SystemTime) -> bool {
    let age = now.duration_since(written).unwrap_or_else(|ahead| ahead.duration());
    age <= VALID
}

/// Removes what no push waits for any more. Whatever cannot be removed is without effect all the same.
fn remove_old(folder: &Path, now: SystemTime) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let old = |written| !is_young(written, now);
        if entry.metadata().and_then(|file| file.modified()).is_ok_and(old) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_is_admitted_for_a_short_time_whatever_the_clock_does() {
        let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (now, young) in [
            (written, true),
            (written + VALID, true),
            (written + VALID + Duration::from_secs(1), false),
            (written - VALID, true),
            (written - VALID - Duration::from_secs(1), false),
        ] {
            assert_eq!(is_young(written, now), young, "{now:?}");
        }
    }

    #[test]
    fn each_move_has_a_name_of_its_own() {
        let (one, two) = (Some(Oid::Sha1([1; 20])), Some(Oid::Sha1([2; 20])));
        let names = [
            file_name("refs/heads/main", one, two),
            file_name("refs/heads/main", two, one),
            file_name("refs/heads/main", None, two),
            file_name("refs/heads/main", one, None),
            file_name("refs/heads/main2", one, two),
        ];
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}
