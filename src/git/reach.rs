//! Reachability where Git gives up. Git names commits, and ends at the first that it cannot parse; we go on over it by our
//! own reading: it has no parents, and so brings in nothing.

use std::collections::{HashMap, HashSet};

use super::{GitError, Objects, Program, Repository};
use crate::model::Oid;

/// Ancestry questions that are asked one by one; then all answers are fetched at once.
pub(super) const MAX_QUESTIONS: usize = 32;

/// What becomes of a walk that comes to an object which is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gaps {
    /// It fails.
    Fail,
    /// It goes on elsewhere.
    Skip,
}

/// The commits that some commits reach.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Each with its parents.
    parents: HashMap<Oid, Vec<Oid>>,
    /// One that is malformed, if any is.
    malformed: Option<Oid>,
}

impl Graph {
    /// Reads all that some commits reach.
    pub(super) fn read(objects: &mut Objects, from: &[Oid], gaps: Gaps) -> Result<Self, GitError> {
        let (mut graph, mut malformed) = (HashMap::new(), None);
        let mut next = from.to_vec();
        while !next.is_empty() {
            next.sort_unstable();
            next.dedup();
            next.retain(|id| !graph.contains_key(id));
            let links = objects.links_each(&next)?;
            let mut after = Vec::new();
            for (id, links) in next.into_iter().zip(links) {
                let parents = match links {
                    Ok(links) => links.parents,
                    Err(GitError::MissingObject(_)) if gaps == Gaps::Skip => continue,
                    Err(error) => {
                        error.verdict()?;
                        malformed = malformed.or(Some(id));
                        Vec::new()
                    }
                };
                after.extend(&parents);
                graph.insert(id, parents);
            }
            next = after;
        }
        Ok(Self { parents: graph, malformed })
    }

    /// A commit among them that is malformed.
    pub(super) fn malformed(&self) -> Option<Oid> {
        self.malformed
    }

    /// Whether a commit is among them.
    pub(super) fn contains(&self, id: Oid) -> bool {
        self.parents.contains_key(&id)
    }

    /// What some of them reach, parents before children.
    fn reached(&self, from: &[Oid]) -> Vec<Oid> {
        let (mut seen, mut order) = (HashSet::new(), Vec::new());
        let mut open: Vec<(Oid, bool)> = from.iter().rev().map(|id| (*id, false)).collect();
        while let Some((id, done)) = open.pop() {
            if done {
                order.push(id);
            } else if let Some(parents) = self.parents.get(&id)
                && seen.insert(id)
            {
                open.push((id, true));
                open.extend(parents.iter().rev().map(|parent| (*parent, false)));
            }
        }
        order
    }

    /// What some of them reach and others do not, parents before children.
    pub(super) fn between(&self, from: &[Oid], not: &[Oid]) -> Vec<Oid> {
        let not: HashSet<Oid> = self.reached(not).into_iter().collect();
        self.reached(from).into_iter().filter(|id| !not.contains(id)).collect()
    }

    /// Those of them that descend from one, and itself.
    pub(super) fn descendants(&self, of: Oid) -> HashSet<Oid> {
        let mut descendants = HashSet::from([of]);
        let all: Vec<Oid> = self.parents.keys().copied().collect();
        for id in self.reached(&all) {
            if self.parents.get(&id).is_some_and(|parents| parents.iter().any(|parent| descendants.contains(parent))) {
                descendants.insert(id);
            }
        }
        descendants
    }
}

impl Repository {
    /// Whether a commit is another one or an ancestor of it.
    pub fn is_ancestor(&self, ancestor: Oid, descendant: Oid) -> Result<bool, GitError> {
        let git = self.run(&["merge-base", "--is-ancestor", &ancestor.to_string(), &descendant.to_string()]);
        match git.says_yes() {
            Err(GitError::Program { .. }) => {
                Ok(Graph::read(&mut self.objects()?, &[descendant], Gaps::Fail)?.contains(ancestor))
            }
            answer => answer,
        }
    }

    /// The commits that one commit reaches and some others do not, children before parents; no more than so many.
    pub(super) fn reached(&self, tip: Oid, not: &[Oid], most: Option<usize>) -> Result<Vec<Oid>, GitError> {
        let range = || [tip.to_string()].into_iter().chain(not.iter().map(|id| format!("^{id}")));
        match self.listed_without(most, not, || self.run(&["rev-list", "--topo-order", "--parents"]).args(range())) {
            Err(GitError::Program { .. }) => {
                let from: Vec<Oid> = not.iter().copied().chain([tip]).collect();
                let graph = Graph::read(&mut self.objects()?, &from, Gaps::Fail)?;
                Ok(graph.between(&[tip], not).into_iter().rev().take(most.unwrap_or(usize::MAX)).collect())
            }
            ids => ids,
        }
    }

    /// The commits that are reachable from some objects and not from others. What is missing here is passed over.
    pub fn reachable(&self, from: &[Oid], not: &[Oid]) -> Result<Vec<Oid>, GitError> {
        self.reachable_up_to(None, from, not)
    }

    /// The same, no more than so many.
    pub(super) fn reachable_up_to(&self, most: Option<usize>, from: &[Oid], not: &[Oid]) -> Result<Vec<Oid>, GitError> {
        if from.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = from.iter().map(|id| format!("{id}\n"));
        let input: String = wanted.chain(not.iter().map(|id| format!("^{id}\n"))).collect();
        // What is not here reaches nothing here, and must not end the answer for the others.
        let program = || self.run(&["rev-list", "--ignore-missing", "--parents", "--stdin"]).input(input.clone());
        match self.listed_without(most, not, program) {
            Err(GitError::Program { .. }) => {
                let mut objects = self.objects()?;
                let from = objects.peeled(from)?;
                let graph = Graph::read(&mut objects, &[&from, not].concat(), Gaps::Skip)?;
                Ok(graph.between(&from, not).into_iter().rev().take(most.unwrap_or(usize::MAX)).collect())
            }
            ids => ids,
        }
    }

    /// What `rev-list --parents` lists, no more than so many, without what others reach.
    fn listed_without(
        &self,
        most: Option<usize>,
        not: &[Oid],
        program: impl Fn() -> Program,
    ) -> Result<Vec<Oid>, GitError> {
        let most_of = most.map(|most| format!("--max-count={most}"));
        let some = self.ids_with_parents(program().args(most_of))?;
        if most.is_none_or(|most| some.len() < most) {
            return self.without_reached(&some, not);
        }
        // What does not belong there may have taken others' places.
        let mut all = self.without_reached(&self.ids_with_parents(program())?, not)?;
        all.truncate(most.unwrap_or(usize::MAX));
        Ok(all)
    }

    /// What `rev-list` listed, with parents, without what others reach.
    ///
    /// It trusts dates to know when it has excluded enough, so in history with dates out of order it may list commits that are to
    /// be left out, and with each all of its listed ancestors. So the listed commits without a listed parent are asked about; if
    /// one is wrong, everything that the others reach is listed and taken out.
    pub(super) fn without_reached(&self, listed: &[Vec<Oid>], not: &[Oid]) -> Result<Vec<Oid>, GitError> {
        let ids = || listed.iter().filter_map(|line| line.first().copied());
        let all: HashSet<Oid> = ids().collect();
        let firsts = listed.iter().filter_map(|line| line.split_first());
        let firsts = firsts.filter(|(_, parents)| !parents.iter().any(|parent| all.contains(parent)));
        // A child of one is not before that one.
        let asked = |(id, parents): (&Oid, &[Oid])| {
            not.iter().filter(|one| !parents.contains(one)).map(|one| (*id, *one)).collect::<Vec<_>>()
        };
        let questions: Vec<(Oid, Oid)> = firsts.flat_map(asked).take(MAX_QUESTIONS + 1).collect();
        // What cannot be answered is as good as wrong.
        let is_wrong = |(id, one): &(Oid, Oid)| self.is_ancestor(*id, *one).unwrap_or(true);
        if questions.len() <= MAX_QUESTIONS && !questions.iter().any(is_wrong) {
            return Ok(ids().collect());
        }
        let input = not.iter().map(Oid::to_string).collect::<Vec<_>>().join("\n") + "\n";
        let reached = self.ids_of(self.run(&["rev-list", "--ignore-missing", "--stdin"]).input(input))?;
        let reached: HashSet<Oid> = reached.into_iter().collect();
        Ok(ids().filter(|id| !reached.contains(id)).collect())
    }

    /// A tip's first-parent chain down to a commit, or to its end, newest first; that commit itself is left out.
    pub(super) fn chain_back(&self, tip: Oid, to: Option<Oid>) -> Result<Vec<Oid>, GitError> {
        let mut objects = self.objects()?;
        let (mut chain, mut next) = (Vec::new(), Some(tip));
        while let Some(id) = next.filter(|id| Some(*id) != to) {
            let links = objects.links(id)?;
            chain.push(id);
            next = links.parents.first().copied();
        }
        match (to, next) {
            (Some(base), None) => Err(GitError::NotOnChain { base, tip }),
            _ => Ok(chain),
        }
    }
}
