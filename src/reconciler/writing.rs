//! Writer thread: writes what is to be published into the repository, and signs it. A slow or hanging key or disk
//! delays nobody; the coordinator hands over what is needed, and takes the result.

use std::{
    collections::BTreeMap,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    follower::{
        mirror::MirrorState,
        records::Record,
        stops::SeenStop,
        writer::{Files, PendingPush, Writer, keep_stop, put_tags, stops_pushes},
    },
    ledger::Transition,
    model::{Digest, LeaseId, Oid, Reason, Refusal},
};

use super::{journal::Receipt, worker_pool::now};

/// After what time it is said that something is not written yet.
const LATE: Duration = Duration::from_secs(10);

/// What is to be written, with all that it takes.
pub(super) struct WriteTask {
    /// What is known, and who writes.
    pub(super) known: MirrorState,
    pub(super) writer: Writer,
    pub(super) record: Record,
    /// What the record says in one line.
    pub(super) summary: String,
    /// What goes into our ref with it.
    pub(super) files: Files,
    pub(super) occasion: WriteReason,
    /// Says when what has happened is written down: whoever is killed in between does not record it twice.
    pub(super) after: Option<Receipt>,
}

/// Why something is written.
pub(super) enum WriteReason {
    /// Targets are about to go forward: the record alone.
    Intention,
    /// A tick ends.
    End(Rest),
}

/// What is written beside the record when a tick ends.
pub(super) struct Rest {
    /// Stops that the ledger has not folded.
    pub(super) stops: Vec<SeenStop>,
    /// The evidence for those of our own that are not signed yet, by statement.
    pub(super) evidence: BTreeMap<Digest, Vec<u8>>,
    /// Whether stops are carried over to the branch.
    pub(super) carries_over: bool,
    /// Transitions that were applied and have no tag.
    pub(super) untagged: Vec<(LeaseId, Transition)>,
}

/// What came of it.
pub(super) struct WriteResult {
    /// Who wrote, who knows the last record now.
    pub(super) writer: Writer,
    /// How refs of ours were moved.
    pub(super) moved: Vec<(String, Oid)>,
    /// The record and the files that are in our ref now, if they are.
    pub(super) record: Option<(Record, Files)>,
    /// The stops of our own that were signed, by statement.
    pub(super) signed: BTreeMap<Digest, Oid>,
    /// Whether no stop is left to be carried over.
    pub(super) all_carried: bool,
    /// What is to be pushed.
    pub(super) pushes: Vec<PendingPush>,
    /// What could not be written.
    pub(super) failed: Vec<Refusal>,
}

/// Something that is being written.
pub(super) struct Writing {
    thread: JoinHandle<WriteResult>,
    since: Instant,
}

impl Writing {
    /// Begins to write.
    pub(super) fn begin(draft: WriteTask) -> Self {
        Self { thread: std::thread::spawn(|| draft.write()), since: now() }
    }

    /// Whether it is known what came of it.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// What came of it.
    pub(super) fn outcome(self) -> Result<WriteResult, Refusal> {
        self.thread.join().map_err(|_| inside())
    }

    /// That it takes long, if it does.
    pub(super) fn late(&self) -> Option<Refusal> {
        let message = "what is to be recorded has not been written and signed yet, and is being waited for";
        (self.since.elapsed() >= LATE).then(|| {
            Refusal::new(Reason::NotSigned, message).hint("see whether the key, its SSH agent and the disk answer")
        })
    }
}

fn inside() -> Refusal {
    Refusal::new(Reason::Internal, "the writing of what is to be recorded failed inside")
}

impl WriteTask {
    fn write(self) -> WriteResult {
        let Self { mut known, writer, record, summary, files, occasion, after } = self;
        let before = known.clone();
        let journaled = after.map_or(Ok(()), |after| after.recv().unwrap_or_else(|_| Err(inside())));
        let mut written = WriteResult {
            writer,
            moved: Vec::new(),
            record: None,
            signed: BTreeMap::new(),
            all_carried: false,
            pushes: Vec::new(),
            failed: Vec::new(),
        };
        written.write(&mut known, record, files, &summary, occasion, journaled);
        written.moved = known.moved_since(&before);
        written
    }
}

impl WriteResult {
    fn write(
        &mut self,
        known: &mut MirrorState,
        record: Record,
        files: Files,
        summary: &str,
        occasion: WriteReason,
        journaled: Result<(), Refusal>,
    ) {
        let rest = match (occasion, journaled) {
            (WriteReason::Intention, Ok(())) => None,
            // What is not written down is not done.
            (WriteReason::Intention, Err(refusal)) => return self.failed.push(refusal),
            (WriteReason::End(rest), _) => Some(rest),
        };
        let outcome = match (&rest, self.is_news(known, &record)) {
            (None, _) | (_, Ok(true)) => self.record(known, record, files, summary),
            (Some(_), Ok(false)) => Ok(()),
            (Some(_), Err(refusal)) => Err(refusal),
        };
        let outcome = outcome.and_then(|()| self.writer.record_push(known));
        self.take(outcome.map(|push| push.into_iter().collect()));
        let Some(rest) = rest else { return };
        let outcome = self.stops(known, rest.stops, &rest.evidence, rest.carries_over);
        self.take(outcome);
        let tags = self.writer.tags(known, &rest.untagged);
        self.take(tags.map(|tags| put_tags(known, &tags).into_iter().collect()));
    }

    fn take(&mut self, outcome: Result<Vec<PendingPush>, Refusal>) {
        match outcome {
            Ok(pushes) => self.pushes.extend(pushes),
            Err(refusal) => self.failed.push(refusal),
        }
    }

    /// Whether a record says what the last one did not.
    fn is_news(&mut self, known: &MirrorState, record: &Record) -> Result<bool, Refusal> {
        let last = self.writer.last_record(known)?;
        let differs = last.is_none_or(|last| !record.says_the_same_as(last));
        Ok(!record.events.is_empty() || (differs && !record.targets.is_empty()))
    }

    fn record(&mut self, known: &mut MirrorState, record: Record, files: Files, summary: &str) -> Result<(), Refusal> {
        self.writer.write(known, &record, &files, summary)?;
        self.record = Some((record, files));
        Ok(())
    }

    fn stops(
        &mut self,
        known: &mut MirrorState,
        mut stops: Vec<SeenStop>,
        evidence: &BTreeMap<Digest, Vec<u8>>,
        carries_over: bool,
    ) -> Result<Vec<PendingPush>, Refusal> {
        for stop in stops.iter_mut().filter(|stop| stop.commit.is_none()) {
            let id = stop.statement.id();
            let commit = self.writer.sign_stop(known, stop, evidence.get(&id).map(Vec::as_slice))?;
            stop.commit = Some(commit);
            self.signed.insert(id, commit);
        }
        for stop in stops.iter().filter(|stop| stop.key == self.writer.public.raw()) {
            keep_stop(known, stop)?;
        }
        let mut pushes = stops_pushes(known);
        if carries_over {
            let carried = self.writer.carry_over(known, &stops)?;
            self.all_carried = carried.is_none();
            pushes.extend(carried);
        }
        Ok(pushes)
    }
}
