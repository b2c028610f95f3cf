//! Observations of leases for views: of what runs from their newest records, of what has ended from the last
//! that was about it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Failure, session::Session};
use crate::{
    follower::{
        checks::{Check, CheckOutcome, Checks},
        records::{self, FormerKeys, Sought, TargetHealth, TargetRecord},
    },
    ledger::{EventKind, GovernanceChange, StepReport},
    model::{LeaseId, PrincipalId, TargetId, policy::Policy},
    report::{self, CheckView, HealthView, LeaseObservation, SeenTarget},
};

/// The two views of it: by lease, and by target.
type Observed = (BTreeMap<LeaseId, LeaseObservation>, BTreeMap<TargetId, SeenTarget>);

impl Session {
    /// What appliers attest of each lease and of each target. A target on which another lease is seen has none of this one's weight.
    pub(super) fn observed(&self, leases: &BTreeSet<LeaseId>) -> Result<Observed, Failure> {
        let (mut by_lease, mut targets) = (BTreeMap::new(), BTreeMap::new());
        for found in records::read(&self.repo, &self.state)?.found {
            let record = &found.record;
            let observed = observation(found.applier.clone(), record.clone());
            let observed = LeaseObservation { weight: record.observed_bp, ..observed };
            let (lease, there) = (record.lease.clone(), record.observed_lease.clone());
            targets.insert(found.target.clone(), SeenTarget { lease, there, observed });
            if let Some(other) = record.observed_lease.clone().filter(|other| *other != record.lease) {
                let (weight, seen) = (record.observed_bp, Some(record.seen_at.as_second()));
                by_lease
                    .insert(other, LeaseObservation { weight, seen, ..LeaseObservation::of(found.applier.clone()) });
            }
            by_lease.insert(record.lease.clone(), observation(found.applier, found.record));
        }
        // A ledger may have a million steps, and no applier.
        if !records::are_any(&self.repo, &self.state)? {
            return Ok((by_lease, targets));
        }
        let reports = self.past.all();
        let sought = self.sought(leases, &reports, &by_lease);
        let then = records::last_about(&self.repo, &self.state, &sought, &self.former(&reports))?;
        for (lease, found) in then {
            // What its target is seen at now is newer than what its last record says.
            let now = by_lease.remove(&lease);
            let key_standing = found.former.map(str::to_owned);
            let then = LeaseObservation { key_standing, ..observation(found.applier, found.record) };
            by_lease.insert(
                lease,
                now.map_or(then.clone(), |now| LeaseObservation { weight: now.weight, seen: now.seen, ..then }),
            );
        }
        Ok((by_lease, targets))
    }

    /// The keys and targets that appliers had once.
    pub(super) fn former(&self, reports: &[StepReport]) -> FormerKeys {
        let place = reports.iter().enumerate().map(|(at, one)| (one.commit, at)).collect();
        let targets = |policy: &Policy| {
            let applied = policy.targets.iter().filter_map(|(id, target)| Some((id.clone(), target.applier.clone()?)));
            applied.collect::<BTreeMap<_, _>>()
        };
        let changes = reports.iter().enumerate().flat_map(|(at, one)| one.events.iter().map(move |event| (at, event)));
        let mut appliers = BTreeMap::new();
        for (at, event) in changes {
            if let Some(GovernanceChange::Policy { from, to }) = event.change.as_deref()
                && event.event == EventKind::PolicyChanged
            {
                appliers.entry(0).or_insert_with(|| targets(from.get()));
                appliers.insert(at, targets(to.get()));
            }
        }
        appliers.entry(0).or_insert_with(|| targets(self.state.policy().get()));
        FormerKeys { place, keys: report::former_keys(&self.state, reports), appliers }
    }

    /// Those of some leases that started, that are at their target no more, and of which no newest record tells what became. Of
    /// one that is there only the newest record says what is so: an older one may be all that verifies where somebody moved the
    /// ref.
    fn sought(
        &self,
        leases: &BTreeSet<LeaseId>,
        reports: &[StepReport],
        observed: &BTreeMap<LeaseId, LeaseObservation>,
    ) -> Sought {
        let mut started = BTreeMap::new();
        for (at, report) in reports.iter().enumerate() {
            let starts = report.events.iter().filter(|event| event.event == EventKind::Started);
            started.extend(starts.filter_map(|event| Some((event.lease.clone()?, at))));
        }
        let newest = self.state.started_targets().map(|(_, lease)| lease);
        let there: BTreeSet<_> = newest.filter(|lease| !lease.phase.ended()).map(|lease| &lease.id).collect();
        let unknown = |lease: &LeaseId| observed.get(lease).is_none_or(|seen| seen.doing.is_none());
        started.retain(|lease, _| leases.contains(lease) && !there.contains(lease) && unknown(lease));
        Sought { started }
    }
}

/// What one record says of its lease.
fn observation(applier: PrincipalId, record: TargetRecord) -> LeaseObservation {
    let there = record.observed_lease.as_ref() == Some(&record.lease);
    LeaseObservation {
        applier,
        weight: record.observed_bp.map(|weight| if there { weight } else { 0 }),
        doing: Some(record.phase.word().to_owned()),
        step: Some(record.applied_step),
        seen: Some(record.seen_at.as_second()),
        bake_started: record.bake_started.map(jiff::Timestamp::as_second),
        reason: record.reason,
        message: record.message,
        health: record.health.map(health_view),
        checks: record.checks.as_ref().map(check_views).unwrap_or_default(),
        key_standing: None,
    }
}

/// What metrics said, for people and programs.
fn health_view(health: TargetHealth) -> HealthView {
    HealthView {
        verdict: health.verdict.map(|verdict| verdict.word().to_owned()),
        limits: health.limits.word().to_owned(),
        figures: health.figures,
        evidence: health.evidence.map(|digest| digest.to_string()),
    }
}

/// The checks of a rollback, for people and programs.
fn check_views(checks: &Checks) -> Vec<CheckView> {
    let view = |(name, check): (&str, &Check)| CheckView {
        check: name.to_owned(),
        outcome: match check.outcome {
            CheckOutcome::Passed => "passed".to_owned(),
            CheckOutcome::Failed => "failed".to_owned(),
            CheckOutcome::NotConfigured => "not-configured".to_owned(),
            CheckOutcome::Pending => "pending".to_owned(),
        },
        message: check.message.clone(),
    };
    checks.all().into_iter().map(view).collect()
}
