//! From facts to an assessment: the score, the terms that make it, and the factors beside it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{LeaseId, Oid, lease::DeclaredRisk, policy::Terms};

use super::{
    factors::{self, DAYS, Factor, Found, Sensitive},
    facts::{Facts, FileChange, FileKind},
    features::{Feature, Features, HISTORY, Past},
    score::{Logit, MODEL, median, percentile},
};

/// Who made the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthorRole {
    /// A person.
    #[default]
    Human,
    /// An automaton. How much one account has committed before says nothing about what it will do next.
    Agent,
}

/// What else is known, from a policy and a ledger.
#[derive(Debug, Clone)]
pub struct Circumstances {
    /// Who made the change.
    pub author: AuthorRole,
    /// The policy's sensitive paths.
    pub sensitive: Sensitive,
    /// What the ledger knows of the target; none if no ledger was asked.
    pub target: Option<TargetPast>,
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
    /// The percentile among the last changes of its repository, 0 to 100.
    pub score: u8,
    /// The model's name.
    pub model: &'static str,
    /// What was assessed.
    pub change: ChangeView,
    /// With how many changes it was compared.
    pub compared_with: usize,
    /// How many changes before it were looked at.
    pub history: usize,
    /// Who made it.
    pub author: AuthorRole,
    /// What makes the score, the greatest part first.
    pub terms: Vec<TermView>,
    /// Every feature that was measured.
    pub features: BTreeMap<&'static str, f64>,
    /// Factors beside the score.
    pub factors: Vec<Found>,
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
    /// Commits between, without merges.
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
    /// The median of the changes that it is compared with.
    pub median: f64,
    /// Its percentile among those.
    pub percentile: u8,
    /// What it adds to the logit, beyond what the median adds.
    pub contribution: f64,
}

impl Assessment {
    /// What a lease of this change declares.
    pub fn declared(&self) -> DeclaredRisk {
        let factors = self.factors.iter().map(|found| found.name.name().to_owned()).collect();
        DeclaredRisk { score: self.score, model: self.model.to_owned(), factors }
    }
}

/// Assesses a change.
pub fn assess(facts: &Facts, circumstances: &Circumstances) -> Assessment {
    let change = &facts.change;
    let (past, population) = replay(facts, circumstances.author);
    let mut features = past.next(&change.files, &change.commits, change.time);
    features.insert(Feature::Lt, super::features::whole(change.lines_before));
    leave_out(&mut features, circumstances.author);
    let logits: Vec<Logit> = population.iter().map(|features| MODEL.logit(features)).collect();
    Assessment {
        score: percentile(&logits, &MODEL.logit(&features)),
        model: MODEL.name,
        change: ChangeView {
            from: change.from,
            to: change.to,
            commits: change.commits.len(),
            files: change.files.len(),
        },
        compared_with: population.len(),
        history: facts.history.len().min(HISTORY),
        author: circumstances.author,
        terms: terms(&features, &population),
        features: features.iter().map(|(feature, value)| (feature.name(), *value)).collect(),
        factors: factors(facts, &past, circumstances),
        demands: None,
        remarks: remarks(facts, population.len(), circumstances),
    }
}

/// Goes through the history from the oldest change on; the features of the newest ones, newest last.
pub(in crate::risk) fn replay(facts: &Facts, author: AuthorRole) -> (Past, Vec<Features>) {
    let mut past = Past::default();
    let mut population = Vec::new();
    let older = facts.history.len().saturating_sub(facts.counted);
    for (place, commit) in facts.history.iter().rev().enumerate() {
        if place >= older {
            let mut features = past.of(commit);
            leave_out(&mut features, author);
            population.push(features);
        }
        past.push(commit);
    }
    (past, population)
}

fn leave_out(features: &mut Features, author: AuthorRole) {
    features.retain(|feature, _| author == AuthorRole::Human || !feature.is_experience());
}

fn terms(features: &Features, population: &[Features]) -> Vec<TermView> {
    let view = |term: &super::Term| {
        let value = *features.get(&term.feature)?;
        let others: Vec<f64> = population.iter().filter_map(|other| other.get(&term.feature).copied()).collect();
        let percentile = percentile(&others, &value);
        let median = median(others).unwrap_or_default();
        Some(TermView {
            feature: term.feature.name(),
            meaning: term.feature.meaning(),
            value,
            median,
            percentile,
            contribution: term.adds(value) - term.adds(median),
        })
    };
    let mut terms: Vec<_> = MODEL.terms.iter().filter_map(view).collect();
    terms.sort_by(|one, other| other.contribution.abs().total_cmp(&one.contribution.abs()));
    terms
}

fn factors(facts: &Facts, past: &Past, circumstances: &Circumstances) -> Vec<Found> {
    let mut found = factors::of_paths(&facts.change.files, &circumstances.sensitive);
    let target = circumstances.target.as_ref();
    // A lease's time is signed and was checked by the hook; a commit's is what its committer claims.
    let seen = target.map_or(facts.change.time, |target| target.issued);
    let reverts = past.reverts(&facts.change.files, seen.saturating_sub(DAYS * 86_400));
    if reverts > 0 {
        let why = format!("{reverts} in the {DAYS} days before touched one of these files");
        found.push(Found { name: Factor::Reverts, why });
    }
    let Some(target) = target else { return found };
    if !target.rolled_back.is_empty() {
        let ids: Vec<_> = target.rolled_back.iter().map(LeaseId::as_str).collect();
        found.push(Found { name: Factor::EarlierRollbacks, why: factors::listed(&ids) });
    }
    if let Some(why) = target.unrestorable.clone() {
        found.push(Found { name: Factor::UnrestorablePack, why });
    }
    if let Some(runs) = target.runs.filter(|runs| facts.change.from != Some(*runs)) {
        let from = facts.change.from.map_or("nothing".to_owned(), |from| from.short());
        let why = format!("the last lease completed there brought {}, the change starts from {from}", runs.short());
        found.push(Found { name: Factor::OtherStart, why });
    }
    found
}

fn remarks(facts: &Facts, compared: usize, circumstances: &Circumstances) -> Vec<String> {
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
    paths(
        "binary, so counted as files and not in lines",
        of(&|file: &FileChange| file.lines.is_none() && !submodule(file)),
    );
    paths("submodules, of which only the moved pointer is seen", of(&submodule));
    paths("made by programs, by their names, and counted all the same", factors::generated(&change.files));
    let renamed = change.files.iter().filter(|file| file.renamed_from.is_some()).count();
    if renamed > 0 {
        remarks.push(format!("{renamed} renamed: each counts as one file with the history of its old name"));
    }
    if change.files.is_empty() {
        remarks.push("the change is empty: both sides have the same files".to_owned());
    }
    if change.more_commits {
        let read = change.commits.len();
        remarks.push(format!("there are more commits than the {read} that were read for FIX and for experience"));
    }
    if compared == 0 {
        remarks.push("there is nothing before the change to compare it with, so it is at the top".to_owned());
    } else if compared < 100 {
        remarks.push(format!("a percentile among {compared} changes is coarse"));
    }
    if circumstances.target.is_none() {
        remarks.push("no ledger was asked about earlier rollbacks and about what runs".to_owned());
    }
    remarks
}
