//! Publishing, which ends a tick: the record, stops and tags are written, signed and pushed while everything else
//! goes on.

use std::collections::BTreeMap;

use crate::{
    follower::{
        Mode,
        records::{Record, TargetRecord, timeless},
        writer::{OwnRef, Pushing, Taken, beside, untagged},
    },
    ledger::{LeaseState, Transition},
    model::{LeaseId, Percent, Refusal, TargetId},
};

use super::{
    Applier,
    publication::{Edition, Intended, Publication, UnderWay, UnmergedStops},
    state::ApplierState,
    target,
    writing::{Rest, WriteReason, WriteResult, WriteTask, Writing},
};

/// How old the journal may grow where nothing but time passes.
const JOURNAL_AGE_MS: u64 = 30_000;

/// How long stops that the remote does not take onto the branch rest there before that is tried again, where nothing is new.
const REST_MS: u64 = 10 * 60 * 1000;

impl Applier {
    /// Whether something is being written or pushed.
    pub(super) fn is_publishing(&self) -> bool {
        self.publishing.under_way.is_some()
    }

    /// Why something is not written down or signed: it could not be, or it takes long.
    pub(super) fn unwritten(&self) -> Vec<Refusal> {
        let Publication { unrecorded, under_way, .. } = &self.publishing;
        let late = match under_way {
            Some((UnderWay::Writing(writing), _)) => writing.late(),
            _ => None,
        };
        let of_others = self.journal.unwritten().into_iter().chain(self.follower.late());
        of_others.chain(unrecorded.iter().cloned()).chain(late).collect()
    }

    /// What became of what was being published, once that is known. What has been written is pushed.
    pub(super) fn published(&mut self) -> Option<Result<Taken, Refusal>> {
        if self.follower.is_away() {
            return None;
        }
        let ended = |under_way: &mut (UnderWay, _)| match &under_way.0 {
            UnderWay::Writing(writing) => writing.has_ended(),
            UnderWay::Pushing(pushing) => pushing.has_ended(),
        };
        match self.publishing.under_way.take_if(ended)? {
            (UnderWay::Writing(writing), edition) => self.written(writing.outcome(), edition),
            (UnderWay::Pushing(pushing), edition) => Some(self.pushed(pushing, edition)),
        }
    }

    /// Takes what was written, and has it pushed.
    fn written(
        &mut self,
        written: Result<WriteResult, Refusal>,
        edition: Option<Edition>,
    ) -> Option<Result<Taken, Refusal>> {
        let WriteResult { writer, moved, record, signed, all_carried, pushes, failed } = match written {
            Ok(written) => written,
            Err(refusal) => {
                self.publishing.unrecorded = vec![refusal.clone()];
                return Some(Err(refusal));
            }
        };
        // What the remote said meanwhile was said to ours.
        self.follower.change(|follower| {
            follower.writer.last = writer.last;
            follower.mirror.were_moved(moved);
        });
        let intended = std::mem::take(&mut self.publishing.intended);
        if let Some((record, files)) = record {
            for event in intended {
                self.count(event);
            }
            self.remembered.events.retain(|event| !record.events.contains(event));
            self.publishing.evidence_files.retain(|file| !files.contains(file));
        }
        for stop in &mut self.remembered.follower.stops {
            stop.commit = stop.commit.or_else(|| signed.get(&stop.statement.id()).copied());
        }
        self.publishing.evidence.retain(|id, _| !signed.contains_key(id));
        if all_carried {
            self.publishing.beside = None;
        }
        let outcome = failed.first().cloned().map_or(Ok(Taken::AsPushed), Err);
        self.publishing.unrecorded = failed;
        // The last thing before it is pushed: whoever is killed then has written down all that is on its way.
        let unwritten = self.journal.is_busy() || self.remembers_more();
        let after = unwritten.then(|| self.journal.write_and_tell(&self.remembered));
        let is_intention = edition.is_none();
        // Nothing hangs beside a remote that says nothing: it is tried again at the next tick.
        let is_over = if is_intention { outcome.is_err() } else { self.follower.is_late() };
        if is_over {
            return Some(outcome);
        }
        let edition = edition.filter(|_| outcome.is_ok());
        if let Some(pushing) = Pushing::begin(self.follower.known(), pushes, after) {
            self.publishing.under_way = Some((UnderWay::Pushing(pushing), edition));
            return None;
        }
        if !is_intention {
            self.publishing.published = edition;
        }
        Some(outcome)
    }

    /// What became of pushes that have ended.
    fn pushed(&mut self, pushing: Pushing, edition: Option<Edition>) -> Result<Taken, Refusal> {
        let (mut taken, mut failed) = (Taken::AsPushed, None);
        for (push, outcome) in pushing.outcomes() {
            if let Some(why) = beside(self.follower.known(), &push, &outcome) {
                let (knowledge, since) = (self.knowledge(), self.tick.reading.clone());
                self.publishing.beside = Some(UnmergedStops { why, knowledge, since });
                continue;
            }
            match self.follower.change(|follower| follower.writer.pushed(&push, outcome)) {
                Some(Ok(Taken::AsPushed)) => {}
                Some(Ok(Taken::Elsewhere)) | None => taken = Taken::Elsewhere,
                Some(Err(refusal)) => {
                    self.remark(refusal.clone());
                    failed.get_or_insert(refusal);
                }
            }
        }
        if edition.is_some() {
            self.publishing.published = edition.filter(|_| failed.is_none() && taken == Taken::AsPushed);
        }
        failed.map_or(Ok(taken), Err)
    }

    /// Whether it is to be tried again to carry stops over, or for the first time.
    fn carries_over(&self) -> bool {
        self.publishing.beside.as_ref().is_none_or(|beside| {
            beside.knowledge != self.knowledge() || self.tick.reading.at_most_ms_since(&beside.since) > REST_MS
        })
    }

    /// Ends a tick: has the record, stops and tags written and pushed. Whatever fails is reported, and tried again at the
    /// next tick; and so is what would go to a remote that does not answer.
    pub(super) fn close(&mut self) {
        self.report_timed_out();
        if self.tick.mode == Mode::DryRun {
            return;
        }
        self.publish();
        if self.remembers_more() {
            self.journal.write(&self.remembered);
        }
    }

    /// Has what is new written and pushed, if anything is.
    fn publish(&mut self) {
        // Before it is known where our ref is there is nothing that could be pushed to it.
        let unknown = self.follower.is_away() || self.follower.writer().own == OwnRef::Unknown;
        if self.is_publishing() || unknown {
            return;
        }
        let known = self.follower.known();
        let here = (known.edition(), known.state.tip(), timeless(&self.records));
        let rests = self.publishing.beside.is_none() || !self.carries_over();
        if self.remembered.events.is_empty() && self.publishing.published.as_ref() == Some(&here) && rests {
            return;
        }
        let record = self.record();
        let rest = Rest {
            stops: self.remembered.follower.stops.clone(),
            evidence: self.publishing.evidence.clone(),
            // A branch that was rewound is for people to heal.
            carries_over: self.continues && self.carries_over(),
            untagged: self.untagged(),
        };
        let (summary, files) = (summary(&record), self.publishing.evidence_files.clone());
        // What has happened is in the journal before it is recorded.
        let after = (!self.remembered.events.is_empty()).then(|| self.journal.write_and_tell(&self.remembered));
        let (known, writer) = (self.follower.known().clone(), self.follower.writer().clone());
        let occasion = WriteReason::End(rest);
        let writing = Writing::begin(WriteTask { known, writer, record, summary, files, occasion, after });
        self.publishing.under_way = Some((UnderWay::Writing(writing), Some(here)));
    }

    /// Whether what is remembered says something new.
    fn remembers_more(&self) -> bool {
        // What has been in the journal for long is in it again before it is needed: when the clock has to be compared.
        let old = |saved: &ApplierState| {
            let since = saved.follower.clock.as_ref().map(|clock| self.tick.reading.at_most_ms_since(clock));
            since.is_none_or(|since| since > JOURNAL_AGE_MS)
        };
        self.journal.last().is_none_or(|saved| old(saved) || !self.remembered.says_the_same_as(saved))
    }

    /// Says what is about to be done, where a second applier with our name will see it once it is pushed.
    pub(super) fn intend(&mut self, intended: Intended) {
        let after = Some(self.journal.write_and_tell(&self.remembered));
        let summary = format!("about to shift {}", intended.names.join(", "));
        let mut record = self.record();
        record.events.extend(intended.events.iter().cloned());
        self.publishing.intended = intended.events;
        let (known, writer) = (self.follower.known().clone(), self.follower.writer().clone());
        let (files, occasion) = (intended.files, WriteReason::Intention);
        let writing = Writing::begin(WriteTask { known, writer, record, summary, files, occasion, after });
        self.publishing.under_way = Some((UnderWay::Writing(writing), None));
    }

    /// The transitions that were applied and have no tag.
    fn untagged(&self) -> Vec<(LeaseId, Transition)> {
        let view = self.view();
        let mut leases: BTreeMap<&TargetId, Vec<&LeaseState>> = BTreeMap::new();
        for lease in self.follower.known().state.leases() {
            if let Some(document) = lease.lease() {
                leases.entry(&document.target).or_default().push(lease);
            }
        }
        let mut done = Vec::new();
        for (target, applied) in &self.remembered.targets {
            let wanted = view.desired(target, applied);
            let Some(wanted) = wanted.filter(|_| view.mine(target).is_ok()) else { continue };
            let newest = self.follower.known().state.newest_on(target).map(|lease| lease.id.clone());
            for lease in leases.remove(target).unwrap_or_default() {
                let up_to = if lease.id == wanted.lease {
                    target::applied_step(&wanted, applied)
                } else if newest.as_ref() == Some(&lease.id) && wanted.undone != newest {
                    0
                } else {
                    u32::MAX
                };
                done.extend(lease.transitions.iter().filter(|one| one.step <= up_to).map(|one| (lease, one)));
            }
        }
        untagged(self.follower.known(), &done)
    }

    pub(super) fn record(&self) -> Record {
        Record {
            version: 1,
            repository: self.follower.known().state.policy().get().repository.clone(),
            applier: self.config.name.clone(),
            ledger: self.follower.known().state.tip(),
            seen_at: self.tick.reading.now,
            targets: self.records.clone(),
            events: self.remembered.events.clone(),
        }
    }
}

/// A record in one line.
fn summary(record: &Record) -> String {
    let line = |(target, record): (&TargetId, &TargetRecord)| {
        let percent = record.observed_bp.map_or("?".to_owned(), |bp| Percent::of(bp).to_string());
        format!("{target}: {} at {percent} %, {}", record.lease, record.phase.word())
    };
    record.targets.iter().map(line).collect::<Vec<_>>().join("; ")
}
