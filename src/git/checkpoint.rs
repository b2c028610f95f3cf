//! Checkpoint: what is remembered of the fold between one run and the next.
//!
//! Kept in a folder of ours in the Git directory that all worktrees share, tied to the root, the tip and this very build, and
//! never read by `verify`. Anything off about it, and it is as if it were not there: that costs time, never safety.
//!
//! What is known of leases, and what each step did, grows with history, and hardly anybody needs much of it. So it lies in
//! tables from which single records are read ([`super::table`]); what changed since those were written lies in one more, a small
//! one, which is written anew each time, and whose head is the rest of the state. When that has grown it becomes a table like the
//! others, together with those that are not much larger: so there are few tables, and hardly ever is a large one written.
//!
//! | key | record |
//! |---|---|
//! | a case-folded lease id | what is known under it |
//! | `/target/<target>/<page>`, `/intent/<intent>/<page>` | case-folded ids of the leases that ever had that target or intent |
//! | `/steps/<chunk>` | what 128 steps did, compressed |
//! | `/about/<lease>` | the chunks with steps that were about it, and how many findings |

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, Permissions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    GitError, Repository,
    shared::{self, Access},
    table::Table,
};
use crate::{
    ledger::{Group, LeaseEntry, ListedLease, State, StepReport},
    model::{LeaseId, Oid, TargetId},
};

/// The version, and a digest of all that this program was built of: another build may have other rules.
pub(super) const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("TWO_KEY_BUILD"));
/// The file with what is new, and how many records it may have.
const RECENT: &str = "checkpoint";
const MAX_RECENT: usize = 512;
/// A table is written together with the next older one unless that has so many times as many records. So there are few.
const GROWTH: u64 = 4;
/// What the names of the other tables begin with.
const OTHERS: &str = "leases-";
/// The file that is locked by whoever writes.
const LOCK: &str = "lock";
/// Steps in a chunk, and ids in a page.
const CHUNK: u64 = 128;
const PAGE: usize = 64;

/// The state but for its leases, what is known of all of them together, and where the rest is.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    build: String,
    root: Oid,
    tip: Oid,
    /// The tables with the records that are not in the recent one, newest first: what is in two of them counts as the newer
    /// one has it.
    tables: Vec<String>,
    state: State,
    /// The case-folded ids of leases that have not ended.
    open: BTreeSet<String>,
    /// Of each target the lease, of those that have ended, that was issued last; the target is empty where no document is left.
    last: BTreeMap<String, Rank>,
    /// When what each chunk of steps tells was newest, in seconds since 1970, as claimed.
    newest: Vec<i64>,
    /// How many findings there are, and how many leases.
    findings: u64,
    leases: usize,
}

/// Where a lease stands in the order in which leases are listed.
type Rank = (Option<Timestamp>, LeaseId);

/// Where steps were about a lease.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct LeaseMentions {
    pub(super) chunks: BTreeSet<u64>,
    pub(super) findings: u64,
}

/// A remembered state, of which records are read when they are needed.
#[derive(Debug)]
pub(super) struct Checkpoint {
    head: Head,
    recent: Table,
    /// As the head names them.
    tables: Vec<Table>,
}

/// Why nothing is remembered.
#[derive(Debug)]
pub(super) enum NoCheckpoint {
    /// Nothing was ever written, or it was removed.
    Missing,
    /// What is there is not ours to read, or not whole.
    Broken(io::Error),
    /// It is whole, and of another root, repository or build.
    Foreign,
}

/// Where things are remembered.
pub(super) fn folder(repository: &Repository) -> PathBuf {
    repository.common_dir().join("two-key")
}

impl Checkpoint {
    /// The remembered state, if it is one of this root and by this build.
    pub(super) fn open(repository: &Repository, root: Oid) -> Result<Self, NoCheckpoint> {
        let folder = folder(repository);
        let broken = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => NoCheckpoint::Missing,
            _ => NoCheckpoint::Broken(error),
        };
        let (recent, head) = Table::open(&folder.join(RECENT)).map_err(broken)?;
        let build: Build = serde_json::from_slice(&head).map_err(|error| NoCheckpoint::Broken(error.into()))?;
        if build.build != BUILD || build.root != root {
            return Err(NoCheckpoint::Foreign);
        }
        let head: Head = serde_json::from_slice(&head).map_err(|error| NoCheckpoint::Broken(error.into()))?;
        if head.tip != head.state.tip() || head.state.root() != root || !head.tables.iter().all(|name| is_ours(name)) {
            return Err(NoCheckpoint::Foreign);
        }
        let table = |name: &String| {
            let (table, head) = Table::open(&folder.join(name)).map_err(NoCheckpoint::Broken)?;
            // Another table under its name would know nothing of what it should.
            if head == name.as_bytes() { Ok(table) } else { Err(NoCheckpoint::Foreign) }
        };
        let tables = head.tables.iter().map(table).collect::<Result<_, _>>()?;
        Ok(Self { head, recent, tables })
    }

    /// The state without its leases.
    pub(super) fn core(&self) -> &State {
        &self.head.state
    }

    /// How many findings there are.
    pub(super) fn findings(&self) -> u64 {
        self.head.findings
    }

    /// How many leases there are.
    pub(super) fn leases(&self) -> usize {
        self.head.leases
    }

    /// What is known under a case-folded lease id.
    pub(super) fn entry(&self, id: &str) -> io::Result<Option<LeaseEntry>> {
        self.json(id)
    }

    /// Everything that is known of leases.
    pub(super) fn entries(&self) -> io::Result<BTreeMap<String, LeaseEntry>> {
        let mut all = BTreeMap::new();
        for table in self.tables.iter().rev().chain([&self.recent]) {
            all.extend(table.all()?.into_iter().filter(|(key, _)| !key.starts_with('/')));
        }
        all.into_iter().map(|(id, bytes)| Ok((id, serde_json::from_slice(&bytes)?))).collect()
    }

    /// Case-folded ids under which all of a group are, and perhaps others.
    pub(super) fn group(&self, group: &Group) -> io::Result<BTreeSet<String>> {
        Ok(match group {
            Group::Open => self.head.open.clone(),
            Group::Last => self.head.last.values().map(|(_, id)| id.folded()).collect(),
            Group::Target(target) => self.listed(&shelf_of(Some(target)))?,
            Group::Intent(intent) => self.listed(&format!("/intent/{intent}"))?,
        })
    }

    /// The steps of a chunk, numbered from the root's, which is 0.
    pub(super) fn chunk(&self, chunk: u64) -> io::Result<Vec<StepReport>> {
        self.bytes(&chunk_key(chunk))?.map_or_else(|| Err(lacking()), |bytes| unpacked(&bytes))
    }

    /// The chunks with something that was claimed to be at some time or later.
    pub(super) fn since(&self, time: i64) -> BTreeSet<u64> {
        (0..).zip(&self.head.newest).filter(|(_, newest)| **newest >= time).map(|(chunk, _)| chunk).collect()
    }

    /// The chunks with at least so many of the last steps.
    pub(super) fn last(&self, steps: usize) -> BTreeSet<u64> {
        let first = self.head.state.length().saturating_sub(u64::try_from(steps).unwrap_or(u64::MAX));
        self.chunks().skip_while(|chunk| (chunk + 1) * CHUNK <= first).collect()
    }

    /// Every chunk.
    pub(super) fn chunks(&self) -> std::ops::Range<u64> {
        0..self.head.newest.len() as u64
    }

    /// Where steps were about a lease.
    pub(super) fn about(&self, lease: &LeaseId) -> io::Result<LeaseMentions> {
        Ok(self.json(&about_key(lease))?.unwrap_or_default())
    }

    /// Reads everything, to see whether it is whole.
    pub(super) fn check(&self) -> io::Result<()> {
        self.entries()?;
        self.chunks().try_for_each(|chunk| self.chunk(chunk).map(drop))
    }

    fn bytes(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        for table in [&self.recent].into_iter().chain(&self.tables) {
            if let Some(record) = table.get(key)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn json<T: serde::de::DeserializeOwned>(&self, key: &str) -> io::Result<Option<T>> {
        Ok(self.bytes(key)?.map(|bytes| serde_json::from_slice(&bytes)).transpose()?)
    }

    /// All ids on the pages of a list.
    fn listed(&self, list: &str) -> io::Result<BTreeSet<String>> {
        let mut ids = BTreeSet::new();
        for page in 0.. {
            let Some(page) = self.json::<Vec<String>>(&page_key(list, page))? else { break };
            ids.extend(page);
        }
        Ok(ids)
    }

    /// The number of a list's last page; 0 where there is none. It is looked for in steps that double.
    fn last_page(&self, list: &str) -> io::Result<u64> {
        let (mut below, mut step) = (0, 1);
        while step > 0 {
            if self.bytes(&page_key(list, below + step))?.is_some() {
                (below, step) = (below + step, step * 2);
            } else {
                step /= 2;
            }
        }
        Ok(below)
    }

    /// Remembers a state, with what each step did, all of it or nothing: one that came of what was remembered before, or a whole
    /// one.
    pub(super) fn save(
        before: Option<&Self>,
        repository: &Repository,
        state: &State,
        reports: &[StepReport],
    ) -> Result<(), GitError> {
        let failed = |error| GitError::io("remembering the ledger's state", error);
        let folder = folder(repository);
        shared::create(repository, &folder).map_err(failed)?;
        let Some(_alone) = alone(&folder).map_err(failed)? else { return Ok(()) };
        // What somebody wrote since is as good, and may have taken the place of tables that this one would refer to.
        if before.is_some_and(|before| !before.recent.is_at(&folder.join(RECENT)).unwrap_or(false)) {
            return Ok(());
        }
        let written = Draft::of(before, state, reports).and_then(|draft| draft.write(before, &folder));
        written.or_else(|error| if broken(&error) { forget(&folder) } else { Err(error) }).map_err(failed)
    }

    /// Forgets what turned out to be broken: whoever comes next begins anew, rather than to find it broken again.
    pub(super) fn forget(repository: &Repository) {
        let _ = forget(&folder(repository));
    }
}

/// What must be the same before the rest is read: another build may have written that otherwise.
#[derive(Deserialize)]
struct Build {
    build: String,
    root: Oid,
}

fn page_key(list: &str, page: u64) -> String {
    format!("{list}/{page}")
}

fn shelf_of(target: Option<&TargetId>) -> String {
    format!("/target/{}", target.map(TargetId::as_str).unwrap_or_default())
}

fn chunk_key(chunk: u64) -> String {
    format!("/steps/{chunk}")
}

fn about_key(lease: &LeaseId) -> String {
    format!("/about/{lease}")
}

fn packed(steps: &[StepReport]) -> io::Result<Vec<u8>> {
    let mut out = ZlibEncoder::new(Vec::new(), Compression::fast());
    out.write_all(&serde_json::to_vec(steps)?)?;
    out.finish()
}

fn unpacked(bytes: &[u8]) -> io::Result<Vec<StepReport>> {
    let mut json = Vec::new();
    ZlibDecoder::new(bytes).read_to_end(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

/// The lists that a lease is on.
fn lists(known: &ListedLease<'_>) -> [Option<String>; 2] {
    let intent = known.document.and_then(|lease| lease.intent.as_ref());
    [Some(shelf_of(known.target().as_ref())), intent.map(|intent| format!("/intent/{intent}"))]
}

/// What is about to be remembered.
struct Draft {
    head: Head,
    changed: BTreeMap<String, Vec<u8>>,
}

impl Draft {
    fn of(before: Option<&Checkpoint>, state: &State, reports: &[StepReport]) -> io::Result<Self> {
        let mut draft = Self::begun(before, state);
        let steps = before.map_or(0, |before| before.head.state.length());
        // What each step did must be all that it did since, and no more.
        if steps + reports.len() as u64 != state.length() {
            return Err(io::Error::other("other steps than those that lead to the state"));
        }
        draft.entries(before, state)?;
        draft.steps(before, steps, reports)?;
        Ok(draft)
    }

    fn begun(before: Option<&Checkpoint>, state: &State) -> Self {
        let (root, tip, state) = (state.root(), state.tip(), state.core());
        let head = before.map(|before| &before.head);
        let head = Head {
            build: BUILD.to_owned(),
            root,
            tip,
            tables: head.map(|head| head.tables.clone()).unwrap_or_default(),
            state,
            open: head.map(|head| head.open.clone()).unwrap_or_default(),
            last: head.map(|head| head.last.clone()).unwrap_or_default(),
            newest: head.map(|head| head.newest.clone()).unwrap_or_default(),
            findings: head.map_or(0, |head| head.findings),
            leases: head.map_or(0, |head| head.leases),
        };
        Self { head, changed: BTreeMap::new() }
    }

    /// Takes in what changed of leases, and which lists they are on since.
    fn entries(&mut self, before: Option<&Checkpoint>, state: &State) -> io::Result<()> {
        let mut added: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut unsure = BTreeSet::new();
        for (id, entry) in state.changed_entries() {
            self.changed.insert(id.to_owned(), serde_json::to_vec(entry)?);
            let old = before.map(|before| before.entry(id)).transpose()?.flatten().unwrap_or_default();
            let on: BTreeSet<String> = old.known().flat_map(|known| lists(&known)).flatten().collect();
            let now: BTreeSet<String> = entry.known().flat_map(|known| lists(&known)).flatten().collect();
            now.difference(&on).for_each(|list| added.entry(list.clone()).or_default().push(id.to_owned()));
            self.head.leases = (self.head.leases + entry.known().count()).saturating_sub(old.known().count());
            if entry.known().any(|known| Group::Open.has(&known)) {
                self.head.open.insert(id.to_owned());
            } else {
                self.head.open.remove(id);
            }
            for known in old.known().filter(|known| Group::Last.has(known)) {
                let target = known.target().map(|target| target.to_string()).unwrap_or_default();
                let is_still = |now: &ListedLease<'_>| now.rank() == known.rank() && now.target() == known.target();
                if self.head.last.get(&target) == Some(&known.rank()) && !entry.known().any(|now| is_still(&now)) {
                    unsure.insert(known.target());
                }
            }
            for known in entry.known().filter(|known| Group::Last.has(known)) {
                let target = known.target().map(|target| target.to_string()).unwrap_or_default();
                let last = self.head.last.entry(target).or_insert_with(|| known.rank());
                *last = known.rank().max(last.clone());
            }
        }
        for (list, ids) in added {
            self.add(before, &list, ids)?;
        }
        unsure.into_iter().try_for_each(|target| self.find_last(before, state, target))
    }

    /// Puts ids on the last page of a list, and on new ones behind that.
    fn add(&mut self, before: Option<&Checkpoint>, list: &str, ids: Vec<String>) -> io::Result<()> {
        let first = before.map_or(Ok(0), |before| before.last_page(list))?;
        let there = before.map(|before| before.json::<Vec<String>>(&page_key(list, first))).transpose()?.flatten();
        let all: Vec<String> = there.unwrap_or_default().into_iter().chain(ids).collect();
        for (page, ids) in (first..).zip(all.chunks(PAGE)) {
            self.changed.insert(page_key(list, page), serde_json::to_vec(ids)?);
        }
        Ok(())
    }

    /// Finds the lease of a target that ended and was issued last, where the one that was it is that no more.
    fn find_last(&mut self, before: Option<&Checkpoint>, state: &State, target: Option<TargetId>) -> io::Result<()> {
        let listed = before.map(|before| before.listed(&shelf_of(target.as_ref()))).transpose()?.unwrap_or_default();
        let changed: BTreeMap<&str, &LeaseEntry> = state.changed_entries().collect();
        let mut last = None;
        for id in listed.iter().map(String::as_str).chain(changed.keys().copied()) {
            let old = match (changed.get(id), before) {
                (None, Some(before)) => before.entry(id)?,
                _ => None,
            };
            let entry = changed.get(id).copied().or(old.as_ref());
            let ended = entry.into_iter().flat_map(LeaseEntry::known).filter(|known| Group::Last.has(known));
            last = ended.filter(|known| known.target() == target).map(|known| known.rank()).max().max(last);
        }
        let name = target.map(|target| target.to_string()).unwrap_or_default();
        match last {
            Some(last) => drop(self.head.last.insert(name, last)),
            None => drop(self.head.last.remove(&name)),
        }
        Ok(())
    }

    /// Takes in what steps did, which come after so many others.
    fn steps(&mut self, before: Option<&Checkpoint>, steps: u64, reports: &[StepReport]) -> io::Result<()> {
        let mut about: BTreeMap<&LeaseId, LeaseMentions> = BTreeMap::new();
        let (mut chunk, mut open) = (steps / CHUNK, Vec::new());
        if let (Some(before), true) = (before, !steps.is_multiple_of(CHUNK)) {
            open = before.chunk(chunk)?;
        }
        for report in reports {
            let newest = report.newest_claim();
            let at = usize::try_from(chunk).unwrap_or(usize::MAX);
            match self.head.newest.get_mut(at) {
                Some(known) => *known = newest.max(*known),
                None => self.head.newest.push(newest),
            }
            self.head.findings += report.findings.len() as u64;
            let events = report.events.iter().filter_map(|event| event.lease.as_ref());
            let found = report.findings.iter().filter_map(|finding| finding.lease.as_ref());
            for (lease, findings) in events.map(|lease| (lease, 0)).chain(found.map(|lease| (lease, 1))) {
                let about = about.entry(lease).or_default();
                about.chunks.insert(chunk);
                about.findings += findings;
            }
            open.push(report.clone());
            if open.len() as u64 == CHUNK {
                self.changed.insert(chunk_key(chunk), packed(&std::mem::take(&mut open))?);
                chunk += 1;
            }
        }
        if !open.is_empty() {
            self.changed.insert(chunk_key(chunk), packed(&open)?);
        }
        for (lease, new) in about {
            let mut all = before.map(|before| before.about(lease)).transpose()?.unwrap_or_default();
            all.chunks.extend(new.chunks);
            all.findings += new.findings;
            self.changed.insert(about_key(lease), serde_json::to_vec(&all)?);
        }
        Ok(())
    }

    fn write(mut self, before: Option<&Checkpoint>, folder: &Path) -> io::Result<()> {
        let mut recent = before.map(|before| before.recent.all()).transpose()?.unwrap_or_default();
        recent.extend(self.changed);
        if before.is_none() || recent.len() > MAX_RECENT {
            let older = Older { names: &self.head.tables, tables: before.map_or(&[], |before| &before.tables) };
            self.head.tables = older.with(folder, std::mem::take(&mut recent))?;
        }
        let file = new_file(folder)?;
        Table::write(file.as_file(), &serde_json::to_vec(&self.head)?, &recent)?;
        fs::rename(file.into_temp_path(), folder.join(RECENT))?;
        remove_others(folder, &self.head.tables)
    }
}

/// Whoever writes is alone, or would remove what another is about to refer to: the lock, until it is dropped, unless somebody else
/// has it, whose memory is as good. Where files cannot be locked it is done without.
fn alone(folder: &Path) -> io::Result<Option<File>> {
    let lock = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK))?;
    // Only who made it may set this, and has.
    let _ = lock.set_permissions(Permissions::from_mode(Access::to(folder)?.bits()));
    Ok(if matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) { None } else { Some(lock) })
}

/// Whether it is what was read that is broken. What cannot be written for another reason stays as good as it was.
fn broken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof)
}

fn forget(folder: &Path) -> io::Result<()> {
    fs::remove_file(folder.join(RECENT))
}

fn lacking() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a record that should be there is not")
}

/// The tables that there are, newest first.
struct Older<'a> {
    names: &'a [String],
    tables: &'a [Table],
}

impl Older<'_> {
    /// Writes a table of newer records and of all older tables that are not much larger, and names the tables that there are
    /// now.
    fn with(&self, folder: &Path, mut records: BTreeMap<String, Vec<u8>>) -> io::Result<Vec<String>> {
        let mut taken = 0;
        for table in self.tables {
            if table.size() >= GROWTH * records.len() as u64 {
                break;
            }
            let newer = std::mem::replace(&mut records, table.all()?);
            records.extend(newer);
            taken += 1;
        }
        let mut names = vec![write_table(folder, &records)?];
        names.extend_from_slice(&self.names[taken..]);
        Ok(names)
    }
}

/// Writes a table and says under what name.
fn write_table(folder: &Path, records: &BTreeMap<String, Vec<u8>>) -> io::Result<String> {
    let file = new_file(folder)?;
    let name = file.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    Table::write(file.as_file(), name.as_bytes(), records)?;
    file.keep().map_err(|error| error.error)?;
    Ok(name)
}

/// A file that is a table's unless it gets another name: what a process that was killed left behind is removed as such.
pub(super) fn new_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    Access::to(folder)?.file(folder, OTHERS)
}

/// Removes the tables that nothing refers to any more. Who is about to read one does without.
fn remove_others(folder: &Path, but: &[String]) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_ours(&name) && !but.contains(&name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether a name can be that of a table: never that of a file somewhere else.
fn is_ours(name: &str) -> bool {
    name.strip_prefix(OTHERS)
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writes_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = alone(folder.path()).unwrap();
        assert!(first.is_some() && alone(folder.path()).unwrap().is_none());
        drop(first);
        assert!(alone(folder.path()).unwrap().is_some());
    }

    #[test]
    fn of_many_tables_the_newest_record_counts_and_there_are_never_many() {
        let folder = tempfile::tempdir().unwrap();
        let (mut names, mut expected) = (Vec::<String>::new(), BTreeMap::new());
        for round in 0..60_u32 {
            let key = |number: u32| format!("lease-{}", (round * 17 + number * 7) % 900);
            let newer: BTreeMap<_, _> = (0..20).map(|number| (key(number), vec![round.to_le_bytes()[0]])).collect();
            expected.extend(newer.clone());
            let open = |name: &String| Table::open(&folder.path().join(name)).unwrap().0;
            let tables: Vec<_> = names.iter().map(open).collect();
            // What a hook that was killed left behind.
            new_file(folder.path()).unwrap().keep().unwrap();
            names = Older { names: &names, tables: &tables }.with(folder.path(), newer).unwrap();
            remove_others(folder.path(), &names).unwrap();
            let tables: Vec<_> = names.iter().map(open).collect();
            assert!(names.len() <= 6 && fs::read_dir(folder.path()).unwrap().count() == names.len(), "{names:?}");
            for number in 0..=900 {
                let key = format!("lease-{number}");
                let first = tables.iter().find_map(|table| table.get(&key).unwrap());
                assert_eq!(first.as_ref(), expected.get(&key), "round {round}, {key}");
            }
        }
        assert!(names.len() > 1, "the large one was left alone");
    }
}
