//! What an applier writes into the repository: its own signed ref, its stops, the merges that carry stops over, and the
//! tags of what it applied.

use std::{
    collections::BTreeSet,
    sync::mpsc::{Receiver, TryRecvError, channel},
};

use crate::{
    admission::{ASIDE, Place, RECORD, repository_of, signer_of},
    gate::Evidence,
    git::{Base, GitError, NewCommit, PushOptions, PushOutcome, RefUpdate, Repository, SignWith, SigningKey},
    ledger::{self, LeaseState, StopEffect, Transition, rules},
    model::{Digest, LeaseId, Oid, PrincipalId, PublicKey, Reason, Refusal, Statement},
    signature::statement_message,
};

use super::{
    mirror::Mirror,
    records::{APPLIERS, Record},
    stops::SeenStop,
};

/// Stops that are carried over to the branch at a time; the others wait for the next look. All of them are in force here
/// as soon as they are seen.
const MAX_CARRIED: usize = 64;

/// Who writes.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) name: PrincipalId,
    pub(crate) key: SigningKey,
    pub(crate) public: PublicKey,
    /// Where the remote has our ref, as far as we know.
    pub(crate) remote_tip: Option<Oid>,
    /// Whether our ref continues the remote's. Nothing is pushed to it otherwise.
    pub(crate) continues: bool,
    /// The last record that we wrote, with its commit.
    pub(crate) last: Option<(Oid, Option<Record>)>,
}

/// Files that go into our ref's tree: paths and bytes.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

impl Writer {
    /// Somebody who writes with a key.
    pub(crate) fn new(name: PrincipalId, key: SigningKey, public: PublicKey) -> Self {
        Self { name, key, public, remote_tip: None, continues: false, last: None }
    }

    /// Our ref's name.
    pub(crate) fn own_ref(&self) -> String {
        format!("{APPLIERS}{}", self.name)
    }

    /// Our ref's tip here.
    pub(crate) fn tip(&self, mirror: &Mirror) -> Option<Oid> {
        mirror.at(&self.own_ref())
    }

    /// Compares our ref with the remote's, and takes the remote's over where there is none here yet. `busy` if the
    /// remote's is not a part of ours: then another applier has our name.
    pub(crate) fn reconcile(&mut self, mirror: &mut Mirror) -> Result<(), Refusal> {
        self.continues = false;
        if mirror.remote.is_some() {
            self.remote_tip = mirror.at(&mirror.known_as(&self.own_ref()));
            if let Some(theirs) = self.remote_tip {
                self.takes_in(mirror, theirs)?;
            }
        }
        self.continues = true;
        Ok(())
    }

    fn takes_in(&self, mirror: &mut Mirror, theirs: Oid) -> Result<(), Refusal> {
        let refused = |error: GitError| error.refusal();
        let Some(ours) = self.tip(mirror) else {
            self.signed_by_us(mirror, theirs)?;
            let update = RefUpdate::create(self.own_ref(), theirs);
            return mirror.update(&[update], "taken over").map_err(refused);
        };
        if ours == theirs || mirror.repository.is_ancestor(theirs, ours).map_err(refused)? {
            return Ok(());
        }
        // What we never signed is nobody's with our name.
        self.signed_by_us(mirror, theirs)?;
        Err(self.busy())
    }

    /// Checks that a tip bears our signature, and a record of this repository, before its packs are relied on.
    fn signed_by_us(&self, mirror: &Mirror, tip: Oid) -> Result<(), Refusal> {
        let commit = mirror.repository.objects().and_then(|mut objects| objects.open_one(tip));
        let signer = signer_of(&commit.map_err(|error| error.refusal())?);
        match signer.map(|key| rules::owner(&mirror.state, key)) {
            Some(Ok((owner, _))) if owner == self.name => {}
            _ => {
                let message = format!("{} is on {}, which {} did not sign", self.own_ref(), tip.short(), self.name);
                return Err(Refusal::new(Reason::WrongPrincipal, message).hint("have it removed from the remote"));
            }
        }
        let record = mirror.repository.objects().and_then(|mut objects| objects.file_at(tip, RECORD));
        let repository = record.map_err(|error| error.refusal())?.and_then(|bytes| repository_of(&bytes));
        if repository.as_ref() == Some(&mirror.state.policy().get().repository) {
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
    pub(crate) fn file(&self, mirror: &Mirror, path: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(tip) = self.tip(mirror) else { return Ok(None) };
        let read = mirror.repository.objects().and_then(|mut objects| objects.file_at(tip, path));
        read.map_err(|error| error.refusal())
    }

    /// The last record that we wrote.
    pub(crate) fn last_record(&mut self, mirror: &Mirror) -> Result<Option<&Record>, Refusal> {
        let Some(tip) = self.tip(mirror) else { return Ok(None) };
        if self.last.as_ref().is_none_or(|(commit, _)| *commit != tip) {
            self.last = Some((tip, self.file(mirror, RECORD)?.and_then(|bytes| Record::parse(&bytes))));
        }
        Ok(self.last.as_ref().and_then(|(_, record)| record.as_ref()))
    }

    /// Adds a signed commit with a record to our ref here.
    pub(crate) fn write(
        &mut self,
        mirror: &mut Mirror,
        record: &Record,
        files: &Files,
        summary: &str,
    ) -> Result<(), Refusal> {
        let mut bytes = serde_json::to_vec_pretty(record)
            .map_err(|error| Refusal::new(Reason::Internal, format!("the record cannot be written: {error}")))?;
        bytes.push(b'\n');
        let commit = self.commit(mirror, &bytes, files, summary).map_err(|error| error.refusal())?;
        self.last = Some((commit, Some(record.clone())));
        Ok(())
    }

    fn commit(&self, mirror: &mut Mirror, record: &[u8], files: &Files, summary: &str) -> Result<Oid, GitError> {
        let repository = &mirror.repository;
        let old = self.tip(mirror);
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
        mirror.update(&[RefUpdate { name: self.own_ref(), old, new }], "record")?;
        Ok(new)
    }

    /// The push of our ref, which must still be where we saw it. `busy` if it is not.
    pub(crate) fn record_push(&self, mirror: &Mirror) -> Result<Option<Push>, Refusal> {
        if mirror.remote.is_none() {
            return Ok(None);
        }
        if !self.continues {
            return Err(self.busy());
        }
        let Some(tip) = self.tip(mirror).filter(|tip| self.remote_tip != Some(*tip)) else { return Ok(None) };
        let name = self.own_ref();
        let options = PushOptions { expected: vec![(name.clone(), self.remote_tip)], ..PushOptions::default() };
        Ok(Some(Push { what: Pushed::Record(tip), refspecs: vec![format!("{tip}:{name}")], or: Vec::new(), options }))
    }

    /// What became of a push.
    pub(crate) fn pushed(&mut self, push: &Push, outcome: Result<PushOutcome, GitError>) -> Result<Taken, Refusal> {
        let outcome = outcome.map_err(|error| error.refusal())?;
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
                if elsewhere(why) || outcome.remote.iter().any(|said| elsewhere(said)) =>
            {
                Ok(Taken::Elsewhere)
            }
            (Some((name, why)), _) => Err(rejected(name, why, &outcome.remote)),
        }
    }

    /// Makes the ordinary commit that brings evidence, on the accepted tip. Its digest is signed in what names it.
    pub(crate) fn exhibit(&self, mirror: &Mirror, lease: &LeaseId, bytes: &[u8]) -> Result<Oid, GitError> {
        let path = Evidence::path(lease, Digest::of(bytes));
        let message = format!("Evidence on {lease}\n");
        self.with_file(mirror, (&path, bytes), &message, SignWith::Nobody)
    }

    /// Makes an ordinary commit on the accepted tip that adds or replaces one file.
    pub(crate) fn with_file(
        &self,
        mirror: &Mirror,
        (path, bytes): (&str, &[u8]),
        message: &str,
        sign: SignWith<'_>,
    ) -> Result<Oid, GitError> {
        let tip = mirror.state.tip();
        let tree = mirror.repository.objects()?.links(tip)?.tree;
        let tree = mirror.repository.with_files(Some(tree), &[(path, Some(bytes))])?;
        let who = self.name.as_str();
        mirror.repository.commit_tree(&NewCommit { tree, parents: &[tip], message, sign, who })
    }

    /// Signs a stop of our own on the accepted tip, with the evidence for it. No ref is made yet.
    pub(crate) fn sign_stop(&self, mirror: &Mirror, stop: &SeenStop, evidence: Option<&[u8]>) -> Result<Oid, Refusal> {
        if let Some(error) = mirror.unwritten() {
            return Err(error.refusal());
        }
        // A stop is signed even where the evidence cannot be kept.
        let tip = mirror.state.tip();
        let lease = stop.stop().map(|stop| &stop.lease);
        let exhibit =
            lease.zip(evidence).and_then(|(lease, bytes)| Some((self.exhibit(mirror, lease, bytes).ok()?, bytes)));
        let (parent, evidence) = exhibit.map_or((tip, None), |(commit, bytes)| (commit, Some(Digest::of(bytes))));
        let subject = title(&stop.statement, ": ");
        let (principal, reason) = (Some(&self.name), stop.reason.as_deref());
        let message = statement_message(&stop.statement, &subject, principal, reason, evidence, &[])?;
        let make = || {
            let tree = mirror.repository.objects()?.links(parent)?.tree;
            let (sign, who) = (SignWith::Key(&self.key), self.name.as_str());
            let parents = [parent];
            mirror.repository.commit_tree(&NewCommit { tree, parents: &parents, message: &message, sign, who })
        };
        make().map_err(|error| error.refusal())
    }

    /// Carries stops over to the governed branch, each by an unsigned merge: first parent the tip, the tip's tree. What is
    /// to be pushed for that.
    pub(crate) fn carry_over(&self, mirror: &mut Mirror, stops: &[SeenStop]) -> Result<Option<Push>, Refusal> {
        if stops.is_empty() {
            return Ok(None);
        }
        let refused = |error: GitError| error.refusal();
        let under_refs: BTreeSet<Oid> = mirror
            .governed()
            .into_iter()
            .filter_map(|(place, id)| matches!(place, Place::Stop { id: named, .. } if named == id).then_some(id))
            .collect();
        let repository = &mirror.repository;
        let old = mirror.state.tip();
        let mut tip = old;
        let lands = |stop: &SeenStop| match stop.stop() {
            Some(stop) => ledger::stop_targets(&mirror.state, stop.kind, &stop.lease).ok(),
            None => Some(Vec::new()),
        };
        let counts =
            |(stop, carrier): &(&SeenStop, Oid)| under_refs.contains(carrier) && mirror.state.key_in_force(stop.key);
        let signed = stops.iter().filter_map(|stop| Some((stop, stop.commit?)));
        let mut waiting: Vec<_> = signed
            .filter(counts)
            .filter_map(|(stop, carrier)| lands(stop).map(|landings| (stop, carrier, landings)))
            .collect();
        // Those that take effect first.
        let goes = |(_, effect): &(LeaseId, StopEffect)| *effect != StopEffect::Nothing;
        waiting.sort_by_key(|(stop, _, landings)| !stop.is_freeze() && !landings.iter().any(goes));
        for (stop, carrier, landings) in waiting.into_iter().take(MAX_CARRIED) {
            if repository.is_ancestor(mirror.root, carrier).map_err(refused)? {
                let tree = repository.objects().and_then(|mut objects| objects.links(tip)).map_err(refused)?.tree;
                let message = format!("Carry over a stop: {}\n", title(&stop.statement, " of "));
                let parents = [tip, carrier];
                let (sign, who) = (SignWith::Nobody, self.name.as_str());
                let merge = NewCommit { tree, parents: &parents, message: &message, sign, who };
                let carried = repository.commit_tree(&merge).map_err(refused)?;
                // Only beside a stop that takes effect does a hook waive what else a stop's history brings. One without effect
                // whose history has findings stays where it is.
                let effective = stop.is_freeze() || landings.iter().any(goes);
                if effective || !finds_something(mirror, carried).map_err(refused)? {
                    tip = carried;
                }
            }
        }
        if tip == old {
            return Ok(None);
        }
        if mirror.remote.is_some() {
            let push = Push::of(mirror, vec![format!("{tip}:{}", mirror.branch)]);
            return Ok(push.map(|push| Push { what: Pushed::CarriedOver, ..push }));
        }
        let update = RefUpdate { name: mirror.branch.clone(), old: Some(old), new: tip };
        mirror.update(&[update], "two-key: carry over a stop").map_err(refused).map(|()| None)
    }

    /// Makes the tags that are missing of transitions that were applied.
    pub(crate) fn missing_tags(
        &self,
        mirror: &Mirror,
        applied: &[(&LeaseState, &Transition)],
    ) -> Result<Vec<RefUpdate>, Refusal> {
        let refused = |error: GitError| error.refusal();
        let mut there = BTreeSet::new();
        for (place, _) in mirror.governed() {
            if let Place::Tag { lease, suffix } = place {
                there.insert((lease, suffix));
            }
        }
        let mut updates = Vec::new();
        for (lease, transition) in applied {
            let suffix = transition.tag_suffix();
            if there.contains(&(lease.id.clone(), suffix.clone())) {
                continue;
            }
            let name = format!("rollout/{}/{suffix}", lease.id);
            let message = match transition.tier {
                Some(tier) => format!("{}: {} to {tier} %", lease.id, transition.action),
                None => format!("{}: {}", lease.id, transition.action),
            };
            let tag = mirror.repository.tag_object(&name, transition.commit, &message, self.name.as_str());
            updates.push(RefUpdate::create(format!("refs/tags/{name}"), tag.map_err(refused)?));
        }
        Ok(updates)
    }
}

/// Makes the ref of a stop of ours.
pub(crate) fn keep_stop(mirror: &mut Mirror, stop: &SeenStop) -> Result<(), Refusal> {
    let (Some(own), Some(commit)) = (stop.stop(), stop.commit) else { return Ok(()) };
    let name = format!("refs/two-key/stops/{}/{commit}", own.lease);
    if mirror.at(&name).is_some() {
        return Ok(());
    }
    let update = RefUpdate::create(name, commit);
    mirror.update(&[update], "stop").map_err(|error| error.refusal())
}

/// The pushes of the stop refs that are here and not there, each under the first name that the remote takes.
pub(crate) fn stops_pushes(mirror: &Mirror) -> Vec<Push> {
    let mut pushes = Vec::new();
    for (name, id) in mirror.ours_below("refs/two-key/stops/") {
        let aside = ASIDE.map(|start| format!("{start}{id}"));
        let is_there = |name: &String| mirror.at(&mirror.known_as(name)).is_some();
        if !is_there(&name) && !aside.iter().any(is_there) {
            let push = Push::of(mirror, vec![format!("{id}:{name}")]);
            pushes.extend(push.map(|push| Push {
                or: aside.map(|name| format!("{id}:{name}")).into(),
                options: PushOptions::of_a_stop(),
                ..push
            }));
        }
    }
    pushes
}

/// Puts tags where everybody finds them. What is to be pushed for that.
pub(crate) fn put_tags(mirror: &mut Mirror, tags: &[RefUpdate]) -> Option<Push> {
    if mirror.remote.is_none() {
        for tag in tags {
            // A label that cannot be made is none.
            let _ = mirror.update(std::slice::from_ref(tag), "applied");
        }
    }
    let push = Push::of(mirror, tags.iter().map(|tag| format!("{}:{}", tag.new, tag.name)).collect());
    push.map(|push| Push { what: Pushed::Labels, ..push })
}

/// Why the branch does not have stops that are obeyed, where a remote answered so to a push that carries them over.
pub(crate) fn beside(mirror: &Mirror, push: &Push, outcome: &Result<PushOutcome, GitError>) -> Option<Refusal> {
    let outcome = outcome.as_ref().ok().filter(|_| push.what == Pushed::CarriedOver)?;
    let (name, why) = outcome.rejected.first()?;
    let refusal = rejected(name, why, &outcome.remote);
    let branch = mirror.branch.strip_prefix("refs/heads/").unwrap_or(&mirror.branch);
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
pub(crate) struct Push {
    what: Pushed,
    refspecs: Vec<String>,
    /// What is pushed instead where the remote does not take that, one after the other.
    or: Vec<String>,
    options: PushOptions,
}

impl Push {
    /// The push of some refs that nothing else depends on; none where there are none, or no remote.
    fn of(mirror: &Mirror, refspecs: Vec<String>) -> Option<Self> {
        let there = mirror.remote.is_some() && !refspecs.is_empty();
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
fn finds_something(mirror: &Mirror, tip: Oid) -> Result<bool, GitError> {
    let base = Base::After { tip: mirror.state.tip(), root: mirror.root };
    let (mut state, mut found) = ((*mirror.state).clone(), false);
    for step in mirror.repository.steps(base, tip)? {
        let (next, report) = ledger::apply(state, &step?);
        (state, found) = (next, !report.findings.is_empty());
    }
    Ok(found)
}

/// Pushes that are being made, one after the other.
#[derive(Debug)]
pub(crate) struct Pushing(Receiver<Vec<(Push, Result<PushOutcome, GitError>)>>);

impl Pushing {
    /// Begins to push; nothing where there is nothing, or no remote.
    pub(crate) fn begin(mirror: &Mirror, pushes: Vec<Push>) -> Option<Self> {
        let remote = mirror.remote.clone().filter(|_| !pushes.is_empty())?;
        let (say, heard) = channel();
        let repository = mirror.repository.clone();
        std::thread::spawn(move || {
            let make = |push: Push| {
                let outcome = push.make(&repository, &remote);
                (push, outcome)
            };
            // Nobody listens any more only where the program ends.
            let _ = say.send(pushes.into_iter().map(make).collect());
        });
        Some(Self(heard))
    }

    /// What became of all of them, once that is known.
    pub(crate) fn ended(&self) -> Option<Vec<(Push, Result<PushOutcome, GitError>)>> {
        match self.0.try_recv() {
            Ok(outcomes) => Some(outcomes),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Vec::new()),
        }
    }
}

fn rejected(name: &str, why: &str, remote: &[String]) -> Refusal {
    let said = if remote.is_empty() { String::new() } else { format!("; it said: {}", remote.join(" ")) };
    Refusal::new(Reason::Stale, format!("the remote did not take {name}: {why}{said}"))
}
