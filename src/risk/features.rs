//! Features: how large a change is and how far it is spread, by the names of just-in-time defect prediction (Kamei et al. 2013).

use std::collections::{BTreeMap, BTreeSet};

use super::facts::FileChange;

/// What can be measured on what differs between two trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// Lines added and deleted.
    Lines,
    /// The share of the commits whose message calls them a repair.
    Fix,
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
            Self::Lines => "LA+LD",
            Self::Fix => "FIX",
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
            Self::Lines => "lines added and deleted",
            Self::Fix => "the share of commits whose message calls them a repair",
        }
    }
}

/// Features, by which they are.
pub type Features = BTreeMap<Feature, f64>;

/// What of a change can be measured on the paths and lines that differ.
pub(in crate::risk) fn size(files: &[FileChange]) -> Features {
    let folder = |file: &FileChange| file.path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
    let folders: BTreeSet<_> = files.iter().map(folder).collect();
    let lines = || files.iter().filter_map(|file| file.lines);
    let added = whole(lines().map(|lines| lines.added).sum());
    let deleted = whole(lines().map(|lines| lines.deleted).sum());
    Features::from([
        (Feature::Ns, count(subsystems(files).len())),
        (Feature::Nd, count(folders.len())),
        (Feature::Nf, count(files.len())),
        (Feature::Entropy, entropy(files)),
        (Feature::La, added),
        (Feature::Ld, deleted),
        (Feature::Lines, added + deleted),
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
    // All in one file is no bits, and not the negative zero that comes of its logarithm.
    bits.abs() / count(files.len()).log2()
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52, so nothing is lost")]
pub(in crate::risk) fn count(number: usize) -> f64 {
    number as f64
}

#[allow(clippy::cast_precision_loss, reason = "a part in 2^52 of a score is nothing")]
fn whole(number: u64) -> f64 {
    number as f64
}
