//! Reachability where Git gives up. Git names commits, and ends at the first that it cannot parse; we go on over it by our
//! own reading: it has no parents, and so brings in nothing.

use std::collections::{HashMap, HashSet};

use super::{GitError, Objects, Repository};
use crate::model::Oid;

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
        let most_of = most.map(|most| format!("--max-count={most}"));
        let range = [tip.to_string()].into_iter().chain(not.iter().map(|id| format!("^{id}")));
        match self.ids_of(self.run(&["rev-list", "--topo-order"]).args(most_of).args(range)) {
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
        let most_of = most.map(|most| format!("--max-count={most}"));
        let wanted = from.iter().map(|id| format!("{id}\n"));
        let input: String = wanted.chain(not.iter().map(|id| format!("^{id}\n"))).collect();
        let program = self.run(&["rev-list", "--ignore-missing", "--stdin"]).args(most_of).input(input);
        match self.ids_of(program) {
            Err(GitError::Program { .. }) => {
                let mut objects = self.objects()?;
                let from = objects.peeled(from)?;
                let graph = Graph::read(&mut objects, &[&from, not].concat(), Gaps::Skip)?;
                Ok(graph.between(&from, not).into_iter().rev().take(most.unwrap_or(usize::MAX)).collect())
            }
            ids => ids,
        }
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
