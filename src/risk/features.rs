//! The fourteen features of just-in-time defect prediction (Kamei et al. 2013), from facts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use super::facts::{Author, CommitFacts, FileChange};

/// How many changes before a change count as its history. Part of what the model's name pins.
pub const HISTORY: usize = 4000;

const SECONDS_A_DAY: f64 = 86_400.0;
const SECONDS_A_YEAR: f64 = 365.25 * SECONDS_A_DAY;

/// One of the fourteen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Feature {
    /// Subsystems (first folders) touched.
    Ns,
    /// Folders touched.
    Nd,
    /// Files touched.
    Nf,
    /// How evenly the changed lines are spread over the files: 0 in one, 1 evenly.
    Entropy,
    /// Lines added.
    La,
    /// Lines deleted.
    Ld,
    /// Lines in the touched files before.
    Lt,
    /// Whether a commit message calls it a repair.
    Fix,
    /// Developers who changed the touched files before.
    Ndev,
    /// Days since the touched files were changed last, on average.
    Age,
    /// Changes that touched these files before.
    Nuc,
    /// Changes by the author before.
    Exp,
    /// The same, each divided by one plus its age in years.
    Rexp,
    /// Changes by the author before, to the subsystems touched.
    Sexp,
}

impl Feature {
    /// The name in the literature.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ns => "NS",
            Self::Nd => "ND",
            Self::Nf => "NF",
            Self::Entropy => "Entropy",
            Self::La => "LA",
            Self::Ld => "LD",
            Self::Lt => "LT",
            Self::Fix => "FIX",
            Self::Ndev => "NDEV",
            Self::Age => "AGE",
            Self::Nuc => "NUC",
            Self::Exp => "EXP",
            Self::Rexp => "REXP",
            Self::Sexp => "SEXP",
        }
    }

    /// What it counts, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ns => "subsystems (first folders) touched",
            Self::Nd => "folders touched",
            Self::Nf => "files touched",
            Self::Entropy => "how evenly the lines are spread over the files, 0 to 1",
            Self::La => "lines added",
            Self::Ld => "lines deleted",
            Self::Lt => "lines in the touched files before",
            Self::Fix => "a commit message calls it a repair",
            Self::Ndev => "developers who changed these files before",
            Self::Age => "days since these files were changed last, on average",
            Self::Nuc => "changes that touched these files before",
            Self::Exp => "changes by the author before",
            Self::Rexp => "the same, recent ones counting more",
            Self::Sexp => "changes by the author to these subsystems before",
        }
    }

    /// Whether it says something about a person's experience, which an automaton does not have.
    pub const fn is_experience(self) -> bool {
        matches!(self, Self::Exp | Self::Rexp | Self::Sexp)
    }
}

/// Features that are known; one that is not there was not measured, or is left out.
pub type Features = BTreeMap<Feature, f64>;

/// What of a change can be measured without its history.
fn size(files: &[FileChange]) -> Features {
    let folder = |file: &FileChange| file.path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
    let folders: BTreeSet<_> = files.iter().map(folder).collect();
    let lines = || files.iter().filter_map(|file| file.lines);
    Features::from([
        (Feature::Ns, count(subsystems(files).len())),
        (Feature::Nd, count(folders.len())),
        (Feature::Nf, count(files.len())),
        (Feature::Entropy, entropy(files)),
        (Feature::La, whole(lines().map(|lines| lines.added).sum())),
        (Feature::Ld, whole(lines().map(|lines| lines.deleted).sum())),
    ])
}

/// The first folders; files at the top are one subsystem of their own.
fn subsystems(files: &[FileChange]) -> BTreeSet<&str> {
    files.iter().map(subsystem).collect()
}

fn subsystem(file: &FileChange) -> &str {
    file.path.split_once('/').map_or("", |(first, _)| first)
}

/// Shannon's entropy of the changed lines over the files, divided by the most that so many files can have.
fn entropy(files: &[FileChange]) -> f64 {
    let changed = |file: &FileChange| file.lines.map_or(0.0, |lines| whole(lines.added) + whole(lines.deleted));
    let total: f64 = files.iter().map(changed).sum();
    if files.len() < 2 || total <= 0.0 {
        return 0.0;
    }
    let shares = files.iter().map(|file| changed(file) / total).filter(|share| *share > 0.0);
    let bits: f64 = shares.map(|share| -share * share.log2()).sum();
    bits / count(files.len()).log2()
}

/// Counts are far below 2^52, so nothing is lost.
#[allow(clippy::cast_precision_loss)]
pub(in crate::risk) fn count(number: usize) -> f64 {
    number as f64
}

#[allow(clippy::cast_precision_loss)]
pub(in crate::risk) fn whole(number: u64) -> f64 {
    number as f64
}

/// Seconds between two claimed times; never negative, since clocks lie.
#[allow(clippy::cast_precision_loss)]
fn between(earlier: i64, later: i64) -> f64 {
    later.saturating_sub(earlier).max(0) as f64
}

/// A file through its renames.
type FileId = usize;
/// A change's place in the history, from the oldest on.
type Place = usize;

#[derive(Debug, Clone, Copy)]
struct Touch {
    place: Place,
    author: usize,
    time: i64,
}

/// The history, such that what came before any of its places is found quickly.
#[derive(Debug, Default)]
pub(in crate::risk) struct Past {
    ids: HashMap<String, FileId>,
    touches: Vec<Vec<Touch>>,
    authors: HashMap<String, usize>,
    by_author: Vec<Vec<Touch>>,
    by_subsystem: HashMap<(usize, String), Vec<Place>>,
    times: Vec<i64>,
    reverts: Vec<bool>,
}

/// What is looked back from: a place, and the first place that still counts.
#[derive(Debug, Clone, Copy)]
struct View {
    first: Place,
    end: Place,
    now: i64,
}

impl Past {
    /// Adds the next change, which must be newer than those before.
    pub(in crate::risk) fn push(&mut self, commit: &CommitFacts) {
        let place = self.times.len();
        let author = self.author(&commit.by.author);
        let touch = Touch { place, author, time: commit.time };
        for file in &commit.files {
            let id = self.touch(file);
            if let Some(touches) = self.touches.get_mut(id) {
                touches.push(touch);
            }
        }
        if let Some(own) = self.by_author.get_mut(author) {
            own.push(touch);
        }
        for name in subsystems(&commit.files) {
            self.by_subsystem.entry((author, name.to_owned())).or_default().push(place);
        }
        self.times.push(commit.time);
        self.reverts.push(commit.by.message.revert);
    }

    /// The features of a commit that comes after everything that was added.
    pub(in crate::risk) fn of(&self, commit: &CommitFacts) -> Features {
        self.next(&commit.files, std::slice::from_ref(&commit.by), commit.time)
    }

    /// The features of a change that comes after everything that was added.
    pub(in crate::risk) fn next(&self, files: &[FileChange], commits: &[Author], now: i64) -> Features {
        let ids: Vec<_> = files.iter().map(|file| self.known(file)).collect();
        let end = self.times.len();
        let view = View { first: end.saturating_sub(HISTORY), end, now };
        let mut features = size(files);
        self.measure_files(files, &ids, view, &mut features);
        self.measure_authors(files, commits, view, &mut features);
        let fix = commits.iter().any(|commit| commit.message.fix);
        features.insert(Feature::Fix, f64::from(u8::from(fix)));
        features
    }

    /// The reverts among the changes since a time that touched any of these files; how many.
    pub(in crate::risk) fn reverts(&self, files: &[FileChange], since: i64) -> usize {
        let touches = files.iter().filter_map(|file| self.touches.get(self.known(file)?));
        let places: BTreeSet<_> = touches
            .flatten()
            .filter(|touch| touch.time >= since)
            .filter(|touch| self.reverts.get(touch.place).copied().unwrap_or_default())
            .map(|touch| touch.place)
            .collect();
        places.len()
    }

    fn author(&mut self, address: &str) -> usize {
        if let Some(author) = self.authors.get(address) {
            return *author;
        }
        let author = self.by_author.len();
        self.by_author.push(Vec::new());
        self.authors.insert(address.to_owned(), author);
        author
    }

    /// The file that a change touches, under the name that it had before.
    fn known(&self, file: &FileChange) -> Option<FileId> {
        self.ids.get(file.renamed_from.as_ref().unwrap_or(&file.path)).copied()
    }

    /// The file that a change touches, carried on under its new name.
    fn touch(&mut self, file: &FileChange) -> FileId {
        let known = match &file.renamed_from {
            Some(old) => self.ids.remove(old),
            None => self.ids.get(&file.path).copied(),
        };
        let id = known.unwrap_or_else(|| {
            self.touches.push(Vec::new());
            self.touches.len() - 1
        });
        self.ids.insert(file.path.clone(), id);
        id
    }

    fn measure_files(&self, files: &[FileChange], ids: &[Option<FileId>], view: View, features: &mut Features) {
        let mut developers = BTreeSet::new();
        let mut changes = BTreeSet::new();
        let mut ages = Vec::new();
        // A file that was there before, yet not touched in the history that is looked at, is at least as old as that.
        let oldest = self.times.get(view.first..view.end).and_then(|times| times.iter().min());
        for (file, id) in files.iter().zip(ids) {
            let touches = id.and_then(|id| self.touches.get(id)).map_or(&[][..], |all| since(all, view.first));
            developers.extend(touches.iter().map(|touch| touch.author));
            changes.extend(touches.iter().map(|touch| touch.place));
            let last = touches.last().map(|touch| touch.time);
            let was_there = file.kind != super::FileKind::Added || file.renamed_from.is_some();
            if let Some(last) = last.or_else(|| oldest.copied().filter(|_| was_there)) {
                ages.push(between(last, view.now) / SECONDS_A_DAY);
            }
        }
        let age = if ages.is_empty() { 0.0 } else { ages.iter().sum::<f64>() / count(ages.len()) };
        features.insert(Feature::Ndev, count(developers.len()));
        features.insert(Feature::Nuc, count(changes.len()));
        features.insert(Feature::Age, age);
    }

    /// Experience, averaged over the change's commits, so that one old hand among many newcomers does not hide them.
    fn measure_authors(&self, files: &[FileChange], commits: &[Author], view: View, features: &mut Features) {
        let names = subsystems(files);
        let mut known: BTreeMap<&str, [f64; 3]> = BTreeMap::new();
        let mut sums = [0.0; 3];
        for commit in commits {
            let experience =
                known.entry(&commit.author).or_insert_with(|| self.experience(&commit.author, &names, view));
            for (sum, one) in sums.iter_mut().zip(experience) {
                *sum += *one;
            }
        }
        let number = count(commits.len().max(1));
        for (feature, sum) in [Feature::Exp, Feature::Rexp, Feature::Sexp].into_iter().zip(sums) {
            features.insert(feature, sum / number);
        }
    }

    fn experience(&self, address: &str, names: &BTreeSet<&str>, view: View) -> [f64; 3] {
        let Some(author) = self.authors.get(address) else { return [0.0; 3] };
        let own = self.by_author.get(*author).map_or(&[][..], |own| since(own, view.first));
        let recent = own.iter().map(|touch| 1.0 / (1.0 + between(touch.time, view.now) / SECONDS_A_YEAR)).sum();
        let places = names.iter().filter_map(|name| self.by_subsystem.get(&(*author, (*name).to_owned())));
        // Most changes touch one subsystem, and its places are in order: the set is needed for the others only.
        let here: Vec<_> = places.map(|all| all.get(all.partition_point(|place| *place < view.first)..)).collect();
        let here = match here.as_slice() {
            [one] => one.map_or(0, <[Place]>::len),
            several => several.iter().flatten().copied().flatten().collect::<HashSet<_>>().len(),
        };
        [count(own.len()), recent, count(here)]
    }
}

/// The touches from a place on; they are in order.
fn since(touches: &[Touch], first: Place) -> &[Touch] {
    touches.get(touches.partition_point(|touch| touch.place < first)..).unwrap_or_default()
}
