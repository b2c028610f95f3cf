//! What a tick ends with: the record, stops and tags are written, and pushed while everything else goes on.

use std::collections::BTreeMap;

use crate::{
    follower::{
        Mode,
        clock::Reading,
        records::{Record, RecordedEvent, TargetRecord, timeless},
        writer::{Files, Push, Pushing, Taken, beside, keep_stop, put_tags, stops_pushes},
    },
    ledger::LeaseState,
    model::{Digest, Oid, Refusal, TargetId},
};

use super::{Applier, state::ApplierState, target};

/// How old the journal may grow where nothing but time passes.
const JOURNAL_AGE_MS: u64 = 30_000;

/// How long stops that the remote does not take onto the branch rest there before that is tried again, where nothing is new.
const REST_MS: u64 = 10 * 60 * 1000;

/// What there is to be published: refs, tip, what was seen.
type Edition = (u64, Oid, BTreeMap<TargetId, TargetRecord>);

/// What was written and pushed, and what is to be.
#[derive(Default)]
pub(super) struct Publishing {
    /// What was remembered when it was last written down.
    saved: Option<ApplierState>,
    /// What everything was published of.
    published: Option<Edition>,
    /// Pushes that are being made, and of what.
    pushing: Option<(Pushing, Option<Edition>)>,
    /// Stops that the branch cannot have now.
    pub(super) beside: Option<Beside>,
    /// Evidence that goes into our ref with the next record.
    pub(super) exhibits: Files,
    /// The evidence for stops of our own that are not signed yet, by statement.
    pub(super) evidence: BTreeMap<Digest, Vec<u8>>,
    /// Whether something could not be written down or signed yet.
    pub(super) unwritten: bool,
}

/// What is about to be done to some targets.
#[derive(Debug, Default)]
pub(super) struct Intended {
    /// The targets.
    pub(super) names: Vec<String>,
    /// What goes into our ref with it.
    pub(super) files: Files,
    /// What happened when that was made.
    pub(super) events: Vec<RecordedEvent>,
}

/// Stops that are obeyed here and that the branch does not have, because the remote does not take them there: where it is moved
/// by pull requests alone. Everybody finds them under names of their own.
pub(super) struct Beside {
    /// Why, for people.
    pub(super) why: Refusal,
    /// What was known when that was tried, and when.
    knowledge: (Oid, usize),
    since: Reading,
}

impl Applier {
    /// Whether something is being pushed.
    pub(super) fn is_pushing(&self) -> bool {
        self.publishing.pushing.is_some()
    }

    /// What became of the last pushes, once that is known.
    pub(super) fn pushed(&mut self) -> Option<Result<Taken, Refusal>> {
        let outcomes = self.publishing.pushing.as_ref()?.0.ended()?;
        let edition = self.publishing.pushing.take().and_then(|(_, edition)| edition);
        let (mut taken, mut failed) = (Taken::AsPushed, None);
        for (push, outcome) in outcomes {
            if let Some(why) = beside(&self.follower.mirror, &push, &outcome) {
                let (knowledge, since) = (self.knowledge(), self.tick.reading.clone());
                self.publishing.beside = Some(Beside { why, knowledge, since });
                continue;
            }
            match self.follower.writer.pushed(&push, outcome) {
                Ok(Taken::AsPushed) => {}
                Ok(Taken::Elsewhere) => taken = Taken::Elsewhere,
                Err(refusal) => {
                    self.remark(refusal.clone());
                    failed.get_or_insert(refusal);
                }
            }
        }
        if edition.is_some() {
            self.publishing.published = edition.filter(|_| failed.is_none() && taken == Taken::AsPushed);
        }
        Some(failed.map_or(Ok(taken), Err))
    }

    /// Whether it is to be tried again to carry stops over, or for the first time.
    fn carries_over(&self) -> bool {
        self.publishing.beside.as_ref().is_none_or(|beside| {
            beside.knowledge != self.knowledge() || self.tick.reading.at_most_ms_since(&beside.since) > REST_MS
        })
    }

    /// Ends a tick: writes and pushes the record, stops, the tags. Whatever fails is reported, and tried again at the
    /// next tick; and so is what would go to a remote that does not answer.
    pub(super) fn close(&mut self) {
        self.leave_behind();
        if self.tick.mode == Mode::DryRun {
            return;
        }
        self.publishing.unwritten = self.follower.mirror.unwritten().is_some();
        // Before it is recorded: whoever is killed in between does not record it twice.
        if !self.remembered.events.is_empty() {
            self.write_down_or_say();
        }
        let pushes = self.publish();
        // What has been in the journal for long is in it again before it is needed: when the clock has to be compared.
        let old = |saved: &ApplierState| {
            let since = saved.follower.clock.as_ref().map(|clock| self.tick.reading.at_most_ms_since(clock));
            since.is_none_or(|since| since > JOURNAL_AGE_MS)
        };
        let quiet =
            self.publishing.saved.as_ref().is_some_and(|saved| self.remembered.says_the_same_as(saved) && !old(saved));
        if !quiet {
            self.write_down_or_say();
        }
        // The last thing: whoever is killed now has written down all that is on its way.
        let Some((pushes, edition)) = pushes else { return };
        if self.follower.mirror.is_late() {
            return;
        }
        match Pushing::begin(&self.follower.mirror, pushes) {
            Some(pushing) => self.publishing.pushing = Some((pushing, edition)),
            None => self.publishing.published = edition,
        }
    }

    /// Writes what is new into the repository. What is to be pushed then, and of what that is; none where nothing is new.
    fn publish(&mut self) -> Option<(Vec<Push>, Option<Edition>)> {
        if self.is_pushing() {
            return None;
        }
        let here = (self.follower.mirror.edition(), self.follower.mirror.state.tip(), timeless(&self.records));
        let rests = self.publishing.beside.is_none() || !self.carries_over();
        if self.remembered.events.is_empty() && self.publishing.published.as_ref() == Some(&here) && rests {
            return None;
        }
        let (mut pushes, mut failed) = (Vec::new(), false);
        for outcome in [self.publish_record(), self.publish_stops(), self.publish_tags()] {
            match outcome {
                Ok(made) => pushes.extend(made),
                Err(refusal) => {
                    failed = true;
                    self.publishing.unwritten = true;
                    self.remark(refusal);
                }
            }
        }
        Some((pushes, (!failed).then_some(here)))
    }

    /// Writes down what is remembered, whatever it says.
    fn write_down(&mut self) -> Result<(), Refusal> {
        self.follower.folder.write(&self.remembered)?;
        self.publishing.saved = Some(self.remembered.clone());
        Ok(())
    }

    /// The same; where it cannot be, that is said, and tried again.
    fn write_down_or_say(&mut self) {
        if let Err(refusal) = self.write_down() {
            self.publishing.unwritten = true;
            self.remark(refusal);
        }
    }

    /// Says what is about to be done, where a second applier with our name will see it once it is pushed.
    pub(super) fn intend(&mut self, intended: &Intended) -> Result<(), Refusal> {
        self.write_down()?;
        let summary = format!("about to shift {}", intended.names.join(", "));
        let mut record = self.record();
        record.events.extend(intended.events.iter().cloned());
        self.follower.writer.write(&mut self.follower.mirror, &record, &intended.files, &summary)?;
        self.remembered.events.clear();
        for event in &intended.events {
            self.count(event.clone());
        }
        let push = self.follower.writer.record_push(&self.follower.mirror)?;
        let pushing = Pushing::begin(&self.follower.mirror, push.into_iter().collect());
        self.publishing.pushing = pushing.map(|pushing| (pushing, None));
        Ok(())
    }

    /// Signs the stops of our own that are not signed yet.
    fn sign_stops(&mut self) -> Result<(), Refusal> {
        for stop in self.remembered.follower.stops.iter_mut().filter(|stop| stop.commit.is_none()) {
            let id = stop.statement.id();
            let evidence = self.publishing.evidence.get(&id).map(Vec::as_slice);
            stop.commit = Some(self.follower.writer.sign_stop(&self.follower.mirror, stop, evidence)?);
            self.publishing.evidence.remove(&id);
        }
        Ok(())
    }

    fn publish_record(&mut self) -> Result<Vec<Push>, Refusal> {
        let record = self.record();
        let last = self.follower.writer.last_record(&self.follower.mirror)?;
        let news = last.is_none_or(|last| !record.says_the_same_as(last)) && !record.targets.is_empty();
        if news || !record.events.is_empty() {
            let summary = summary(&record);
            self.follower.writer.write(&mut self.follower.mirror, &record, &self.publishing.exhibits, &summary)?;
            self.publishing.exhibits.clear();
            self.remembered.events.clear();
        }
        Ok(self.follower.writer.record_push(&self.follower.mirror)?.into_iter().collect())
    }

    fn publish_stops(&mut self) -> Result<Vec<Push>, Refusal> {
        self.sign_stops()?;
        for stop in self.remembered.follower.stops.iter().filter(|stop| stop.key == self.follower.writer.public.raw()) {
            keep_stop(&mut self.follower.mirror, stop)?;
        }
        let mut pushes = stops_pushes(&self.follower.mirror);
        // A branch that was rewound is for people to heal.
        if self.continues && self.carries_over() {
            match self.follower.writer.carry_over(&mut self.follower.mirror, &self.remembered.follower.stops)? {
                Some(push) => pushes.push(push),
                None => self.publishing.beside = None,
            }
        }
        Ok(pushes)
    }

    fn publish_tags(&mut self) -> Result<Vec<Push>, Refusal> {
        let view = self.view();
        let mut leases: BTreeMap<&TargetId, Vec<&LeaseState>> = BTreeMap::new();
        for lease in self.follower.mirror.state.leases() {
            if let Some(document) = lease.lease() {
                leases.entry(&document.target).or_default().push(lease);
            }
        }
        let mut done = Vec::new();
        for (target, applied) in &self.remembered.targets {
            let wanted = view.desired(target, applied);
            let Some(wanted) = wanted.filter(|_| view.mine(target).is_ok()) else { continue };
            let newest = self.follower.mirror.state.newest_on(target).map(|lease| lease.id.clone());
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
        let tags = self.follower.writer.missing_tags(&self.follower.mirror, &done)?;
        Ok(put_tags(&mut self.follower.mirror, &tags).into_iter().collect())
    }

    pub(super) fn record(&self) -> Record {
        Record {
            version: 1,
            repository: self.follower.mirror.state.policy().get().repository.clone(),
            applier: self.config.name.clone(),
            ledger: self.follower.mirror.state.tip(),
            seen_at: self.tick.reading.now,
            targets: self.records.clone(),
            events: self.remembered.events.clone(),
        }
    }
}

/// A record in one line.
fn summary(record: &Record) -> String {
    let line = |(target, record): (&TargetId, &TargetRecord)| {
        let percent = record.observed_bp.map_or("?".to_owned(), |bp| (f64::from(bp) / 100.0).to_string());
        format!("{target}: {} at {percent} %, {}", record.lease, record.phase.word())
    };
    record.targets.iter().map(line).collect::<Vec<_>>().join("; ")
}
