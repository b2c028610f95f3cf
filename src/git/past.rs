//! Past of a ledger: what each step did, as far as somebody asks.

use std::{collections::BTreeSet, sync::Arc};

use super::shelf::Shelf;
use crate::{
    ledger::StepReport,
    model::{LeaseId, Oid},
};

/// What each step did, from the root's on: what is remembered, and what was folded since.
#[derive(Debug, Clone, Default)]
pub struct Past {
    shelf: Option<Arc<Shelf>>,
    fresh: Vec<StepReport>,
}

impl Past {
    /// Of which nothing is remembered.
    pub fn new(fresh: Vec<StepReport>) -> Self {
        Self { shelf: None, fresh }
    }

    /// What is remembered.
    pub(super) fn of(shelf: Arc<Shelf>) -> Self {
        Self { shelf: Some(shelf), fresh: Vec::new() }
    }

    pub(super) fn shelf(&self) -> Option<&Arc<Shelf>> {
        self.shelf.as_ref()
    }

    /// A step more.
    pub fn push(&mut self, report: StepReport) {
        self.fresh.push(report);
    }

    /// What was folded since.
    pub fn fresh(&self) -> &[StepReport] {
        &self.fresh
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        let kept = self.shelf.as_ref().map_or(0, |shelf| shelf.length());
        usize::try_from(kept).unwrap_or(usize::MAX).saturating_add(self.fresh.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many findings there are.
    pub fn findings(&self) -> usize {
        let kept = self.shelf.as_ref().map_or(0, |shelf| shelf.checkpoint().findings());
        let fresh: usize = self.fresh.iter().map(|report| report.findings.len()).sum();
        usize::try_from(kept).unwrap_or(usize::MAX).saturating_add(fresh)
    }

    /// How many findings are about a lease.
    pub fn findings_of(&self, lease: &LeaseId) -> usize {
        let kept = self.shelf.as_ref().map_or(0, |shelf| shelf.findings_of(lease));
        let fresh = self.fresh.iter().flat_map(|report| &report.findings);
        let fresh = fresh.filter(|finding| finding.lease.as_ref() == Some(lease)).count();
        usize::try_from(kept).unwrap_or(usize::MAX).saturating_add(fresh)
    }

    /// What all steps did.
    pub fn all(&self) -> Vec<StepReport> {
        self.with(Shelf::steps)
    }

    /// What steps did that were about some leases, and perhaps others.
    pub fn about(&self, leases: &BTreeSet<LeaseId>) -> Vec<StepReport> {
        self.with(|shelf| shelf.steps_about(leases))
    }

    /// What all steps did since the first that was about one of some leases, and perhaps some before it.
    pub fn since_first_about(&self, leases: &BTreeSet<LeaseId>) -> Vec<StepReport> {
        self.with(|shelf| shelf.since_first_about(leases))
    }

    /// What steps did in which something was claimed to be at some time or later, and perhaps others.
    pub fn since(&self, time: i64) -> Vec<StepReport> {
        self.with(|shelf| shelf.since(time))
    }

    /// What the last steps did, at most so many.
    pub fn last(&self, most: usize) -> Vec<StepReport> {
        let mut reports = match most.checked_sub(self.fresh.len()) {
            Some(more @ 1..) => self.with(|shelf| shelf.last(more)),
            _ => self.fresh.clone(),
        };
        reports.split_off(reports.len().saturating_sub(most))
    }

    /// What a step did that was about a lease.
    pub fn at(&self, lease: &LeaseId, commit: Oid) -> Option<StepReport> {
        let fresh = self.fresh.iter().find(|report| report.commit == commit).cloned();
        fresh.or_else(|| self.about(&[lease.clone()].into()).into_iter().find(|report| report.commit == commit))
    }

    fn with(&self, kept: impl FnOnce(&Shelf) -> Vec<StepReport>) -> Vec<StepReport> {
        let mut reports = self.shelf.as_deref().map(kept).unwrap_or_default();
        reports.extend(self.fresh.iter().cloned());
        reports
    }
}
