//! Assessment from facts: the score, the terms that make it, and the factors beside it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{LeaseId, Oid, lease::DeclaredRisk, policy::Terms};

use super::{
    factors::{self, DAYS, Factor, FoundFactor, Sensitive},
    facts::{FileChange, FileKind, RiskFacts},
    features::{Feature, Features, count, size},
    score::{MODEL, Size, median, percentile},
};

/// What else is known, from a policy and a ledger.
#[derive(Debug, Clone)]
pub struct Circumstances {
    /// The policy's sensitive paths.
    pub sensitive: Sensitive,
    /// What the ledger knows of the target; none if no ledger was asked.
    pub target: Option<TargetPast>,
}

impl Circumstances {
    /// When the change is looked at, in seconds since 1970, where that is known otherwise than by what its commit claims.
    ///
    /// A lease's time is signed and was checked by the hook.
    pub fn seen(&self) -> Option<i64> {
        self.target.as_ref().map(|target| target.issued)
    }
}

/// What a ledger knows of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetPast {
    /// When the change is looked at, in seconds since 1970: when the lease is issued.
    pub issued: i64,
    /// The leases there that were rolled back lately.
    pub rolled_back: Vec<LeaseId>,
    /// The commit that the last completed lease brought there.
    pub runs: Option<Oid>,
    /// Why the target's applier could not restore what was there, or had nothing to restore, when it last had to.
    pub unrestorable: Option<String>,
}

/// A change, assessed.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Assessment {
    /// The percentage of earlier ranges of as many commits, this change included, that are no larger: 0 to 100.
    pub score: u8,
    /// The model's name.
    pub model: &'static str,
    /// What was assessed.
    pub change: ChangeView,
    /// With how many earlier ranges it was compared.
    pub compared_with: usize,
    /// How many commits before it were walked for them, merges included.
    pub history: usize,
    /// What makes the score, the greatest part first.
    pub terms: Vec<TermView>,
    /// Every feature that was measured.
    pub features: BTreeMap<&'static str, f64>,
    /// Factors beside the score.
    pub factors: Vec<FoundFactor>,
    /// What the policy in force demands of such a risk; none if no policy was asked.
    pub demands: Option<Demands>,
    /// What should be known before any of this is relied on.
    pub remarks: Vec<String>,
}

/// What a policy demands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Demands {
    /// Every tier's bake is at least this.
    pub bake: Option<String>,
    /// The first tier is at most this weight, in percent.
    pub first_tier: Option<u8>,
    /// Gates' minimum samples are multiplied by this.
    pub samples: Option<u32>,
    /// That many more humans for cosign and promote.
    pub humans: u8,
}

impl From<Terms> for Demands {
    fn from(terms: Terms) -> Self {
        let bake = terms.bake.map(|bake| bake.to_string());
        Self { bake, first_tier: terms.first_tier, samples: terms.samples, humans: terms.humans }
    }
}

/// What was assessed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChangeView {
    /// What ran before.
    #[schemars(with = "Option<String>")]
    pub from: Option<Oid>,
    /// What will run.
    #[schemars(with = "String")]
    pub to: Oid,
    /// Commits between, without merges: as many as each range that it is compared with brings.
    pub commits: usize,
    /// Files that differ.
    pub files: usize,
}

/// One term of the score.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TermView {
    /// The feature.
    pub feature: &'static str,
    /// What it counts.
    pub meaning: &'static str,
    /// Its value.
    pub value: f64,
    /// The median of the ranges that it is compared with.
    pub median: f64,
    /// Its percentile among those.
    pub percentile: u8,
    /// By how much it multiplies the size, beyond what the median does: (1 + value) ÷ (1 + median).
    pub times: f64,
}

impl Assessment {
    /// What a lease of this change declares.
    pub fn declared(&self) -> DeclaredRisk {
        let factors = self.factors.iter().map(|found| found.name.name().to_owned()).collect();
        DeclaredRisk { score: self.score, model: self.model.to_owned(), factors }
    }
}

/// Assesses a change.
pub fn assess(facts: &RiskFacts, circumstances: &Circumstances) -> Assessment {
    let change = &facts.change;
    let sizes: Vec<Size> = facts.earlier.iter().map(|files| Size::of(files)).collect();
    let earlier: Vec<Features> = facts.earlier.iter().map(|files| size(files)).collect();
    let mut features = size(&change.files);
    let fixes = change.messages.iter().filter(|message| message.fix).count();
    features.insert(Feature::Fix, count(fixes) / count(change.messages.len().max(1)));
    Assessment {
        score: percentile(&sizes, &Size::of(&change.files)),
        model: MODEL,
        change: ChangeView { from: change.from, to: change.to, commits: change.commits, files: change.files.len() },
        compared_with: earlier.len(),
        history: facts.walked,
        terms: terms(&features, &earlier),
        features: features.iter().map(|(feature, value)| (feature.name(), *value)).collect(),
        factors: factors(facts, circumstances),
        demands: None,
        remarks: remarks(facts, circumstances),
    }
}

fn terms(features: &Features, earlier: &[Features]) -> Vec<TermView> {
    let view = |feature: Feature| {
        let value = *features.get(&feature)?;
        let others: Vec<f64> = earlier.iter().filter_map(|other| other.get(&feature).copied()).collect();
        let percentile = percentile(&others, &value);
        let median = median(others).unwrap_or_default();
        let times = (1.0 + value) / (1.0 + median);
        Some(TermView { feature: feature.name(), meaning: feature.meaning(), value, median, percentile, times })
    };
    let mut terms: Vec<_> = [Feature::Lines, Feature::Nf].into_iter().filter_map(view).collect();
    terms.sort_by(|one, other| other.times.total_cmp(&one.times));
    terms
}

fn factors(facts: &RiskFacts, circumstances: &Circumstances) -> Vec<FoundFactor> {
    let mut found = factors::of_paths(&facts.change.files, &circumstances.sensitive);
    let target = circumstances.target.as_ref();
    let paths: BTreeSet<&str> = facts.change.files.iter().flat_map(FileChange::paths).collect();
    let touches =
        |revert: &&Vec<FileChange>| revert.iter().flat_map(FileChange::paths).any(|path| paths.contains(path));
    let reverts = facts.reverts.iter().filter(touches).count();
    if reverts > 0 {
        let why = format!("{reverts} in the {DAYS} days before touched one of these files");
        found.push(FoundFactor { name: Factor::Reverts, why });
    }
    let Some(target) = target else { return found };
    if !target.rolled_back.is_empty() {
        let ids: Vec<_> = target.rolled_back.iter().map(LeaseId::as_str).collect();
        found.push(FoundFactor { name: Factor::EarlierRollbacks, why: factors::listed(&ids) });
    }
    if let Some(why) = target.unrestorable.clone() {
        found.push(FoundFactor { name: Factor::UnrestorablePack, why });
    }
    if let Some(runs) = target.runs.filter(|runs| facts.change.from != Some(*runs)) {
        let from = facts.change.from.map_or("nothing".to_owned(), |from| from.short());
        let why = format!("the last lease completed there brought {}, the change starts from {from}", runs.short());
        found.push(FoundFactor { name: Factor::OtherStart, why });
    }
    found
}

fn remarks(facts: &RiskFacts, circumstances: &Circumstances) -> Vec<String> {
    let change = &facts.change;
    let mut remarks = Vec::new();
    let mut paths = |what: &str, paths: Vec<&str>| {
        if !paths.is_empty() {
            remarks.push(format!("{what}: {}", factors::listed(&paths)));
        }
    };
    let of = |test: &dyn Fn(&FileChange) -> bool| -> Vec<&str> {
        change.files.iter().filter(|file| test(file)).map(|file| file.path.as_str()).collect()
    };
    let submodule = |file: &FileChange| file.kind == FileKind::Submodule;
    paths("submodules, of which only the moved pointer is seen", of(&submodule));
    paths("made by programs, by their names, and counted all the same", factors::generated(&change.files));
    if change.files.is_empty() {
        remarks.push("the change is empty: both sides have the same files".to_owned());
    }
    let compared = facts.earlier.len();
    if compared == 0 {
        remarks.push("there is nothing as long before the change to compare it with, so it is at the top".to_owned());
    } else if compared < 20 {
        remarks.push(format!("a percentile among {compared} ranges is coarse"));
    }
    if circumstances.target.is_none() {
        remarks.push("no ledger was asked about earlier rollbacks and about what runs".to_owned());
    }
    remarks
}
