//! Applier's writes into the repository: its own signed ref, its stops, the merges that carry stops over, and the
//! tags of what it applied.

use std::{
    collections::BTreeSet,
    sync::{Arc, mpsc::Receiver},
    thread::JoinHandle,
};

use crate::{
    gate::Evidence,
    git::{Base, GitError, NewCommit, PushOptions, PushOutcome, RefUpdate, Repository, SignWith, SigningKey},
    ledger::{self, LeaseState, StopEffect, Transition, rules},
    model::{Digest, LeaseId, Oid, PrincipalId, PublicKey, Reason, Refusal, Statement, refs},
    push::{ASIDE, RECORD, RefMeaning, repository_of, signer_of, unforeseen_stop_names},
    signature::statement_message,
};

use super::{mirror::MirrorState, records::Record, stops::SeenStop};

/// Stops that are carried over to the branch at a time; the others wait for the next look. All of them are in force here
/// as soon as they are seen.
const MAX_CARRIED: usize = 64;

/// Who writes.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    pub(crate) name: PrincipalId,
    pub(crate) key: SigningKey,
    pub(crate) public: PublicKey,
    /// Where the remote has our ref, as far as we know.
    pub(crate) remote_tip: Option<Oid>,
    /// How our ref stands to the remote's. Nothing is pushed to it that does not continue that.
    pub(crate) own: OwnRef,
    /// The last record that we wrote, with its commit.
    pub(crate) last: Option<(Oid, Option<Arc<Record>>)>,
}

/// How our ref stands to the remote's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnRef {
    /// Nobody has looked yet.
    Unknown,
    /// It continues it, or there is no remote.
    Continues,
    /// It does not.
    Elsewhere,
}

/// Files that go into our ref's tree: paths and bytes.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

impl Writer {
    /// Somebody who writes with a key.
    pub(crate) fn new(name: PrincipalId, key: SigningKey, public: PublicKey) -> Self {
        Self { name, key, public, remote_tip: None, own: OwnRef::Unknown, last: None }
    }

    /// Our ref's name.
    pub(crate) fn own_ref(&self) -> String {
        format!("{}{}", refs::APPLIERS, self.name)
    }

    /// Our ref's tip here.
    pub(crate) fn tip(&self, known: &MirrorState) -> Option<Oid> {
        known.at(&self.own_ref())
    }

    /// Compares our ref with the remote's, and takes the remote's over where there is none here yet. `busy` if the
    /// remote's is not a part of ours: then another applier has our name.
    pub(crate) fn reconcile(&mut self, known: &mut MirrorState) -> Result<(), Refusal> {
        self.own = OwnRef::Elsewhere;
        if known.remote.is_some() {
            self.remote_tip = known.at(&known.known_as(&self.own_ref()));
            if let Some(theirs) = self.remote_tip {
                self.takes_in(known, theirs)?;
            }
        }
        self.own = OwnRef::Continues;
        Ok(())
    }

    fn takes_in(&self, known: &mut MirrorState, theirs: Oid) -> Result<(), Refusal> {
        let Some(ours) = self.tip(known) else {
            self.signed_by_us(known, theirs)?;
            let update = RefUpdate::create(self.own_ref(), theirs);
            return known.update(&[update], "taken over").map_err(Refusal::from);
        };
        if ours == theirs || known.repository.is_ancestor(theirs, ours)? {
            return Ok(());
        }
        // What we never signed is nobody's with our name.
        self.signed_by_us(known, theirs)?;
        Err(self.busy())
    }

    /// Checks that a tip bears our signature, and a record of this repository, before its packs are relied on.
    fn signed_by_us(&self, known: &MirrorState, tip: Oid) -> Result<(), Refusal> {
        let commit = known.repository.objects().and_then(|mut objects| objects.open_one(tip));
        let signer = signer_of(&commit?);
        match signer.map(|key| rules::owner(&known.state, key)) {
            Some(Ok((owner, _))) if owner == self.name => {}
            _ => {
                let message = format!("{} is on {}, which {} did not sign", self.own_ref(), tip.short(), self.name);
                return Err(Refusal::new(Reason::WrongPrincipal, message).hint("have it removed from the remote"));
            }
        }
        let record = known.repository.objects().and_then(|mut objects| objects.file_at(tip, RECORD));
        let repository = record?.and_then(|bytes| repository_of(&bytes));
        if repository.as_ref() == Some(&known.state.policy().get().repository) {
            return Ok(());
        }
        let message = format!("{} is on {}, which is no record of this repository", self.own_ref(), tip.short());
        Err(Refusal::new(Reason::WrongRepository, message).hint("have it removed from the remote"))
    }

    pub(crate) fn busy(&self) -> Refusal {
        let message = format!("{} was written by another applier with the name {}", self.own_ref(), self.name);
        Refusal::new(Reason::Busy, message).hint("stop the other one, or give each applier a name of its own")
    }

    /// A file in our ref's tree.
    pub(crate) fn file(&self, known: &MirrorState, path: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(tip) = self.tip(known) else { return Ok(None) };
        let read = known.repository.objects().and_then(|mut objects| objects.file_at(tip, path));
        read.map_err(Refusal::from)
    }

    /// The last record that we wrote.
    pub(crate) fn last_record(&mut self, known: &MirrorState) -> Result<Option<&Record>, Refusal> {
        let Some(tip) = self.tip(known) else { return Ok(None) };
        if self.last.as_ref().is_none_or(|(commit, _)| *commit != tip) {
            self.last = Some((tip, self.file(known, RECORD)?.and_then(|bytes| Record::parse(&bytes)).map(Arc::new)));
        }
        Ok(self.record())
    }

    /// The same, as far as it has been read.
    pub(crate) fn record(&self) -> Option<&Record> {
        self.last.as_ref().and_then(|(_, record)| record.as_deref())
    }

    /// Adds a signed commit with a record to our ref here.
    pub(crate) fn write(
        &mut self,
        known: &mut MirrorState,
        record: &Record,
        files: &Files,
        summary: &str,
    ) -> Result<(), Refusal> {
        let mut bytes = serde_json::to_vec_pretty(record)
            .map_err(|error| Refusal::new(Reason::Internal, format!("the record cannot be written: {error}")))?;
        bytes.push(b'\n');
        let commit = self.commit(known, &bytes, files, summary)?;
        self.last = Some((commit, Some(Arc::new(record.clone()))));
        Ok(())
    }

    fn commit(&self, known: &mut MirrorState, record: &[u8], files: &Files, summary: &str) -> Result<Oid, GitError> {
        let repository = &known.repository;
        let old = self.tip(known);
        let tree = match old {
            Some(old) => Some(repository.objects()?.links(old)?.tree),
            None => None,
        };
        let mut entries: Vec<(&str, Option<&[u8]>)> = vec![(RECORD, Some(record))];
        entries.extend(files.iter().map(|(path, bytes)| (path.as_str(), Some(bytes.as_slice()))));
        let tree = repository.with_files(tree, &entries)?;
        let parents: Vec<Oid> = old.into_iter().collect();
        let message = format!("{summary}\n");
        let sign = SignWith::Key(&self.key);
        let commit = NewCommit { tree, parents: &parents, message: &message, sign, who: self.name.as_str() };
        let new = repository.commit_tree(&commit)?;
        known.update(&[RefUpdate { name: self.own_ref(), old, new }], "record")?;
        Ok(new)
    }

    /// The push of our ref, which must still be where we saw it. `busy` if it is not.
    pub(crate) fn record_push(&self, known: &MirrorState) -> Result<Option<PendingPush>, Refusal> {
        if known.remote.is_none() {
            return Ok(None);
        }
        if self.own != OwnRef::Continues {
            return Err(self.busy());
        }
        let Some(tip) = self.tip(known).filter(|tip| self.remote_tip != Some(*tip)) else { return Ok(None) };
        let name = self.own_ref();
        let options = PushOptions { expected: vec![(name.clone(), self.remote_tip)], ..PushOptions::default() };
        Ok(Some(PendingPush {
            what: Pushed::Record(tip),
            refspecs: vec![format!("{tip}:{name}")],
            or: Vec::new(),
            options,
        }))
    }

    /// What became of a push.
    pub(crate) fn pushed(
        &mut self,
        push: &PendingPush,
        outcome: Result<PushOutcome, GitError>,
    ) -> Result<Taken, Refusal> {
        let outcome = outcome?;
        let elsewhere =
            |why: &str| ["stale info", "fetch first", "cannot lock ref"].iter().any(|one| why.contains(one));
        match (outcome.rejected.first(), push.what) {
            (None, Pushed::Record(tip)) => {
                self.remote_tip = Some(tip);
                Ok(Taken::AsPushed)
            }
            // Somebody's ref may stand in the way of a label. Nobody reads those, so that is no failure, and nothing to try again.
            (None, Pushed::CarriedOver | Pushed::Rest) | (_, Pushed::Labels) => Ok(Taken::AsPushed),
            (Some((_, why)), Pushed::Record(_))
                if elsewhere(why) || outcome.remote.iter().any(|answer| elsewhere(answer)) =>
            {
                Ok(Taken::Elsewhere)
            }
            (Some((name, why)), _) => Err(rejected(name, why, &outcome.remote)),
        }
    }

    /// Makes the ordinary commit that brings evidence, on the accepted tip. Its digest is signed in what names it.
    pub(crate) fn commit_evidence(&self, known: &MirrorState, lease: &LeaseId, bytes: &[u8]) -> Result<Oid, GitError> {
        let path = Evidence::path(lease, Digest::of(bytes));
        let message = format!("Evidence on {lease}\n");
        self.with_file(known, (&path, bytes), &message, SignWith::Nobody)
    }

    /// Makes an ordinary commit on the accepted tip that adds or replaces one file.
    pub(crate) fn with_file(
        &self,
        known: &MirrorState,
        (path, bytes): (&str, &[u8]),
        message: &str,
        sign: SignWith<'_>,
    ) -> Result<Oid, GitError> {
        let tip = known.state.tip();
        let tree = known.repository.objects()?.links(tip)?.tree;
        let tree = known.repository.with_files(Some(tree), &[(path, Some(bytes))])?;
        let who = self.name.as_str();
        known.repository.commit_tree(&NewCommit { tree, parents: &[tip], message, sign, who })
    }

    /// Signs a stop of our own on the accepted tip, with the evidence for it. No ref is made yet.
    pub(crate) fn sign_stop(
        &self,
        known: &MirrorState,
        stop: &SeenStop,
        evidence: Option<&[u8]>,
    ) -> Result<Oid, Refusal> {
        if let Some(error) = known.unwritten() {
            return Err(error.refusal());
        }
        // A stop is signed even where the evidence cannot be kept.
        let tip = known.state.tip();
        let lease = stop.stop().map(|stop| &stop.lease);
        let brought = lease
            .zip(evidence)
            .and_then(|(lease, bytes)| Some((self.commit_evidence(known, lease, bytes).ok()?, bytes)));
        let (parent, evidence) = brought.map_or((tip, None), |(commit, bytes)| (commit, Some(Digest::of(bytes))));
        let subject = title(&stop.statement, ": ");
        let (principal, reason) = (Some(&self.name), stop.reason.as_deref());
        let message = statement_message(&stop.statement, &subject, principal, reason, evidence, &[])?;
        let make = || {
            let tree = known.repository.objects()?.links(parent)?.tree;
            let (sign, who) = (SignWith::Key(&self.key), self.name.as_str());
            let parents = [parent];
            known.repository.commit_tree(&NewCommit { tree, parents: &parents, message: &message, sign, who })
        };
        make().map_err(Refusal::from)
    }

    /// Carries stops over to the governed branch, each by an unsigned merge: first parent the tip, the tip's tree. What is
    /// to be pushed for that.
    pub(crate) fn carry_over(
        &self,
        known: &mut MirrorState,
        stops: &[SeenStop],
    ) -> Result<Option<PendingPush>, Refusal> {
        if stops.is_empty() {
            return Ok(None);
        }
        let under_refs: BTreeSet<Oid> = known
            .governed()
            .into_iter()
            .filter_map(|(place, id)| matches!(place, RefMeaning::Stop { id: named, .. } if named == id).then_some(id))
            .collect();
        let repository = &known.repository;
        let old = known.state.tip();
        let mut tip = old;
        let lands = |stop: &SeenStop| match stop.stop() {
            Some(stop) => ledger::stop_targets(&known.state, stop.kind, &stop.lease).ok(),
            None => Some(Vec::new()),
        };
        let counts =
            |(stop, carrier): &(&SeenStop, Oid)| under_refs.contains(carrier) && known.state.key_in_force(stop.key);
        let signed = stops.iter().filter_map(|stop| Some((stop, stop.commit?)));
        let mut waiting: Vec<_> = signed
            .filter(counts)
            .filter_map(|(stop, carrier)| lands(stop).map(|landings| (stop, carrier, landings)))
            .collect();
        // Those that take effect first.
        let goes = |(_, effect): &(LeaseId, StopEffect)| *effect != StopEffect::Nothing;
        waiting.sort_by_key(|(stop, _, landings)| !stop.is_freeze() && !landings.iter().any(goes));
        for (stop, carrier, landings) in waiting.into_iter().take(MAX_CARRIED) {
            if repository.is_ancestor(known.root, carrier)? {
                let tree = repository.objects().and_then(|mut objects| objects.links(tip))?.tree;
                let message = format!("Carry over a stop: {}\n", title(&stop.statement, " of "));
                let parents = [tip, carrier];
                let (sign, who) = (SignWith::Nobody, self.name.as_str());
                let merge = NewCommit { tree, parents: &parents, message: &message, sign, who };
                let carried = repository.commit_tree(&merge)?;
                // Only beside a stop that takes effect does a hook waive what else a stop's history brings. One without effect
                // whose history has findings stays where it is.
                let effective = stop.is_freeze() || landings.iter().any(goes);
                if effective || !finds_something(known, carried)? {
                    tip = carried;
                }
            }
        }
        if tip == old {
            return Ok(None);
        }
        if known.remote.is_some() {
            let push = PendingPush::of(known, vec![format!("{tip}:{}", known.branch)]);
            return Ok(push.map(|push| PendingPush { what: Pushed::CarriedOver, ..push }));
        }
        let update = RefUpdate { name: known.branch.clone(), old: Some(old), new: tip };
        known.update(&[update], "two-key: carry over a stop").map_err(Refusal::from).map(|()| None)
    }

    /// Makes the tags of transitions that were applied.
    pub(crate) fn tags(
        &self,
        known: &MirrorState,
        applied: &[(LeaseId, Transition)],
    ) -> Result<Vec<RefUpdate>, Refusal> {
        let who = self.name.as_str();
        let tags = applied.iter().map(|(lease, transition)| known.repository.tag_of(lease, transition, who));
        Ok(tags.collect::<Result<_, _>>()?)
    }
}

/// Those of some transitions that have no tag.
pub(crate) fn untagged(known: &MirrorState, applied: &[(&LeaseState, &Transition)]) -> Vec<(LeaseId, Transition)> {
    let mut there = BTreeSet::new();
    for (place, _) in known.governed() {
        if let RefMeaning::Tag { lease, suffix } = place {
            there.insert((lease, suffix));
        }
    }
    let has_none = |(lease, transition): &&(&LeaseState, &Transition)| {
        !there.contains(&(lease.id.clone(), transition.tag_suffix()))
    };
    applied.iter().filter(has_none).map(|(lease, transition)| (lease.id.clone(), (*transition).clone())).collect()
}

/// Makes the ref of a stop of ours.
pub(crate) fn keep_stop(known: &mut MirrorState, stop: &SeenStop) -> Result<(), Refusal> {
    let (Some(own), Some(commit)) = (stop.stop(), stop.commit) else { return Ok(()) };
    let name = refs::of_stop(refs::STOPS, Some(&own.lease), commit);
    if known.at(&name).is_some() {
        return Ok(());
    }
    let update = RefUpdate::create(name, commit);
    known.update(&[update], "stop").map_err(Refusal::from)
}

/// The pushes of the stop refs that are here and not there, each under the first name that the remote takes.
pub(crate) fn stops_pushes(known: &MirrorState) -> Vec<PendingPush> {
    let mut pushes = Vec::new();
    for (name, id) in known.ours_below(refs::STOPS) {
        let aside = ASIDE.map(|start| format!("{start}{id}"));
        // With a number or not.
        let is_there = |start: &String| known.has_below(&known.known_as(start));
        if !is_there(&name) && !aside.iter().any(is_there) {
            let aside = aside.into_iter().chain(unforeseen_stop_names(id, rand::random()));
            let push = PendingPush::of(known, vec![format!("{id}:{name}")]);
            pushes.extend(push.map(|push| PendingPush {
                or: aside.map(|name| format!("{id}:{name}")).collect(),
                options: PushOptions::of_a_stop(),
                ..push
            }));
        }
    }
    pushes
}

/// Puts tags where everybody finds them. What is to be pushed for that.
pub(crate) fn put_tags(known: &mut MirrorState, tags: &[RefUpdate]) -> Option<PendingPush> {
    if known.remote.is_none() {
        for tag in tags {
            // A label that cannot be made is none.
            let _ = known.update(std::slice::from_ref(tag), "applied");
        }
    }
    let push = PendingPush::of(known, tags.iter().map(|tag| format!("{}:{}", tag.new, tag.name)).collect());
    push.map(|push| PendingPush { what: Pushed::Labels, ..push })
}

/// Why the branch does not have stops that are obeyed, where a remote answered so to a push that carries them over.
pub(crate) fn beside(
    known: &MirrorState,
    push: &PendingPush,
    outcome: &Result<PushOutcome, GitError>,
) -> Option<Refusal> {
    let outcome = outcome.as_ref().ok().filter(|_| push.what == Pushed::CarriedOver)?;
    let (name, why) = outcome.rejected.first()?;
    let refusal = rejected(name, why, &outcome.remote);
    let branch = refs::short(&known.branch);
    let message = format!("{branch} does not have every stop that is obeyed here: {}", refusal.message);
    let hint = format!(
        "where {branch} takes only pull requests, offer the stop's commit as one, to be merged with a merge commit; until then \
         it is in force under its own name"
    );
    Some(Refusal::new(refusal.reason, message).hint(hint))
}

fn title(statement: &Statement, of: &str) -> String {
    match statement.lease() {
        Some(lease) => format!("{}{of}{lease}", statement.action()),
        None => statement.action().to_string(),
    }
}

/// Whether the remote has what was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It has.
    AsPushed,
    /// Our ref is elsewhere there than was known: a push of a process that was killed came through, or somebody has our name.
    /// Which of both, the next look says.
    Elsewhere,
}

/// What is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// Our ref, with its tip.
    Record(Oid),
    /// The governed branch, with stops that are in force already.
    CarriedOver,
    /// Tags, which nobody reads.
    Labels,
    /// Something that nothing else depends on.
    Rest,
}

/// Something that is to be pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingPush {
    what: Pushed,
    refspecs: Vec<String>,
    /// What is pushed instead where the remote does not take that, one after the other.
    or: Vec<String>,
    options: PushOptions,
}

impl PendingPush {
    /// The push of some refs that nothing else depends on; none where there are none, or no remote.
    fn of(known: &MirrorState, refspecs: Vec<String>) -> Option<Self> {
        let there = known.remote.is_some() && !refspecs.is_empty();
        there.then(|| Self { what: Pushed::Rest, refspecs, or: Vec::new(), options: PushOptions::default() })
    }

    /// Makes it, and waits for it.
    pub(crate) fn make(&self, repository: &Repository, remote: &str) -> Result<PushOutcome, GitError> {
        let own = repository.push(remote, &self.refspecs, &self.options);
        if own.as_ref().is_ok_and(PushOutcome::is_accepted) {
            return own;
        }
        let another = |refspec: &String| repository.push(remote, std::slice::from_ref(refspec), &self.options).ok();
        self.or.iter().filter_map(another).find(PushOutcome::is_accepted).map_or(own, Ok)
    }
}

/// Whether the last step up to a tip, which continues the ledger, has a finding.
fn finds_something(known: &MirrorState, tip: Oid) -> Result<bool, GitError> {
    let base = Base::After { tip: known.state.tip(), root: known.root };
    let (mut state, mut found) = ((*known.state).clone(), false);
    for step in known.repository.steps(base, tip)? {
        let (next, report) = ledger::apply(state, &step?);
        (state, found) = (next, !report.findings.is_empty());
    }
    Ok(found)
}

/// Pushes that are being made, one after the other.
#[derive(Debug)]
pub(crate) struct Pushing(JoinHandle<Vec<(PendingPush, Result<PushOutcome, GitError>)>>);

impl Pushing {
    /// Begins to push, once something is written down, or cannot be; nothing where there is nothing, or no remote.
    pub(crate) fn begin(
        known: &MirrorState,
        pushes: Vec<PendingPush>,
        after: Option<Receiver<Result<(), Refusal>>>,
    ) -> Option<Self> {
        let remote = known.remote.clone().filter(|_| !pushes.is_empty())?;
        let repository = known.repository.clone();
        let make = move |push: PendingPush| {
            let outcome = push.make(&repository, &remote);
            (push, outcome)
        };
        Some(Self(std::thread::spawn(move || {
            let _ = after.map(|written| written.recv());
            pushes.into_iter().map(make).collect()
        })))
    }

    /// Whether it is known what became of all of them.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.is_finished()
    }

    /// What became of them.
    pub(crate) fn outcomes(self) -> Vec<(PendingPush, Result<PushOutcome, GitError>)> {
        self.0.join().unwrap_or_default()
    }
}

fn rejected(name: &str, why: &str, remote: &[String]) -> Refusal {
    let answer = if remote.is_empty() { String::new() } else { format!("; it said: {}", remote.join(" ")) };
    Refusal::new(Reason::Stale, format!("the remote did not take {name}: {why}{answer}"))
}
