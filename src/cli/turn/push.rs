//! Pushing, and carrying over what was signed when another push came first, so that nobody signs twice.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    advance,
    effect::{self, Reach},
    fold_on,
    join::{grown, move_local},
    outbox, state_at, stops, tags,
};
use crate::{
    cli::{
        Failure, account,
        session::Session,
        terminal::{self, LATE, if_late, no_answer_yet, remark, say},
    },
    git::{GitError, NewCommit, PushOptions, PushOutcome, RefUpdate, Repository, SignWith, mirrored},
    ledger::{State, StepReport},
    model::{LeaseId, Oid, Reason, Refusal, Statement},
};

/// How long a moving remote is run after.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often that is tried at least, on machines however slow.
const LEAST_TRIES: u32 = 20;
/// How often the span that waits are drawn from is doubled at most: it begins with what a try takes.
const DOUBLED: u32 = 3;

/// The remote's own verdict, if a hook of this program gave one.
pub fn verdict(outcome: &PushOutcome) -> Option<Failure> {
    let mut lines = outcome.remote.iter();
    let (subject, refusal) = lines.find_map(|line| {
        let line = line.strip_prefix("two-key: refused ")?;
        let words: Vec<_> = line.split(": ").collect();
        let at = words.iter().position(|word| Reason::from_code(word).is_some())?;
        let (subject, rest) = words.split_at_checked(at)?;
        let reason = Reason::from_code(rest.first()?)?;
        Some((subject.join(": "), Refusal::new(reason, rest.get(1..)?.join(": "))))
    })?;
    let hint = lines.next().and_then(|line| line.strip_prefix("hint: "));
    Some(Failure::refused(
        subject,
        match hint {
            Some(hint) => refusal.hint(hint),
            None => refusal,
        },
    ))
}

/// Why a remote did not take something, with all that it said.
pub fn words_of(outcome: &PushOutcome) -> String {
    [vec![brief_of(outcome)], outcome.remote.clone()].concat().join("; ")
}

/// Why a remote did not take something, in a few words.
pub fn brief_of(outcome: &PushOutcome) -> String {
    let why = |why: &str| {
        let inner = why.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
        inner.map_or(why, |(inner, _)| inner).to_owned()
    };
    let rejected = outcome.rejected.iter().map(|(name, words)| format!("{name}: {}", why(words)));
    rejected.collect::<Vec<_>>().join("; ")
}

/// What to know of stops that a remote has under names of their own, and its branch not.
pub fn not_on_main(why: &str, branch: &str, refspec: &str) -> String {
    format!(
        "{branch} does not have it ({why}). Appliers that fetch from there obey it all the same; {branch} has it once somebody \
         who may push there does so with a forward verb, or merges it\nhint: where {branch} takes only pull requests, offer it \
         as one, to be merged with a merge commit: git push {refspec}"
    )
}

/// Says that a remote has what was made.
pub fn say_pushed(remote: &str) {
    say(&format!("pushed to {remote}"));
    account::note(|account| account.pushed_to = Some(remote.to_owned()));
}

/// An unsigned merge that brings a history into another: first parent and the ledger's next step is `theirs`.
pub fn merge(repo: &Repository, theirs: Oid, ours: Oid, tree: Oid, subject: &str) -> Result<Oid, Failure> {
    let commit = NewCommit {
        tree,
        parents: &[theirs, ours],
        message: &format!("Carry over: {subject}\n"),
        sign: SignWith::Nobody,
        who: "two-key",
    };
    Ok(repo.commit_tree(&commit)?)
}

/// A push of the governed branch and of its tags, all or nothing; of the branch alone where somebody's ref keeps a tag out.
pub struct BranchPush<'a> {
    /// The ledger with what was made.
    pub session: &'a mut Session,
    /// Where to.
    pub remote: &'a str,
    /// What was made is about, for refusals.
    pub about: &'a str,
    /// Who tags.
    pub who: &'a str,
    /// Push options.
    pub options: Vec<String>,
    /// The tip that was made here: what is carried over.
    pub ours: Oid,
    /// How it gets onto a remote that moved on.
    pub moves: Moves,
    /// What was signed just now, if anything was.
    pub fresh: Option<Fresh>,
    /// Whether it is pushed even where more comes about than was shown.
    pub consent: Consent,
}

/// Votes that were signed just now: they are taken back where they cannot land, or where nobody wants what came of them.
pub struct Fresh {
    /// What was signed.
    pub turned: Vec<Turned>,
    /// The commits that carry them.
    pub commits: Vec<Oid>,
    /// Where the branch was before.
    pub before: Oid,
    /// The tags that were made.
    pub tags: Vec<String>,
}

/// Something that was signed.
pub struct Turned {
    /// What.
    pub statement: Statement,
    /// How far the signer was shown that it goes.
    pub shown: Reach,
}

/// Who answers whether more than was shown may be pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// The command line did: it may.
    Given,
    /// The person at the terminal; nobody if there is none.
    Asked,
}

/// What a vote does after it was carried over.
struct CameAbout {
    words: String,
    is_more: bool,
}

impl Consent {
    /// Whether more than was shown may be pushed.
    fn is_given(self, why: &str, words: &str) -> bool {
        self == Self::Given || terminal::agrees(&format!("{why}, and now: {words}\npush it?"))
    }
}

/// What a vote that was signed just now does between a remote's tip and the state with it.
fn came_about(
    session: &Session,
    theirs: Oid,
    after: &State,
    fresh: Option<&Fresh>,
) -> Result<Option<CameAbout>, Failure> {
    let Some(Fresh { turned, .. }) = fresh else { return Ok(None) };
    let before = state_at(&session.repo, &session.memory, theirs)?;
    let is_more = |Turned { statement, shown }: &Turned| effect::reach(&before, after, statement).exceeds(*shown);
    let words: Vec<_> = turned.iter().map(|turned| effect::words(&before, after, &turned.statement)).collect();
    Ok(Some(CameAbout { words: words.join("\n"), is_more: turned.iter().any(is_more) }))
}

/// A push that others may outrun again and again.
struct Race {
    begun: Instant,
    tried: Instant,
    tries: u32,
}

impl Race {
    fn begun() -> Self {
        Self { begun: now(), tried: now(), tries: 0 }
    }

    /// Whether there is another try, for which those wait who were outrun twice: for a time by chance, so that they do not
    /// meet again. Who is alone never waits.
    fn goes_on(&mut self) -> bool {
        if self.tries >= LEAST_TRIES && self.begun.elapsed() > PATIENCE {
            return false;
        }
        if let Some(lost @ 0..) = self.tries.checked_sub(2) {
            thread::sleep(self.tried.elapsed().mul_f64(rand::random::<f64>() * f64::from(1 << lost.min(DOUBLED))));
        }
        self.tried = now();
        self.tries += 1;
        true
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "how long a remote is run after decides nothing but whether it is pushed now"
)]
fn now() -> Instant {
    Instant::now()
}

/// How what was made gets onto a remote that moved on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moves {
    /// By an unsigned merge.
    ByMerge,
    /// Not at all: an unsigned merge would hide who proposed, and the rule wants to know.
    Never,
}

impl BranchPush<'_> {
    /// Pushes, carrying over as often as the remote moves. Before that, and whatever becomes of it, the remote gets the stops
    /// that were signed here.
    pub fn run(mut self) -> Result<(), Failure> {
        stops::deliver(&self.session.repo, self.remote, &self.session.branch)?;
        self.push_on()
    }

    fn push_on(&mut self) -> Result<(), Failure> {
        self.earlier_votes_are_agreed()?;
        let mut race = Race::begun();
        while race.goes_on() {
            let before = self.theirs()?;
            let outcome = self.push_with(&self.tags()?)?;
            if let Some(failure) = self.dated_ahead(&outcome)? {
                return Err(failure);
            }
            if outcome.is_accepted() {
                say_pushed(self.remote);
                outbox::votes(&self.session.repo, self.session.tip)?;
                return Ok(());
            }
            let branch = self.session.branch_name().to_owned();
            self.session.repo.fetch(self.remote, &branch).map_err(|error| self.unreached(&error))?;
            match self.theirs()? {
                // It may be behind the tip and beside its chain: a stop that was carried over may rest on it.
                Some(theirs) if !self.session.repo.is_on_chain(theirs, self.session.tip)? => self.carry_over(theirs)?,
                // It came to what the tip continues, as where several sign in one clone.
                theirs if theirs != before => {}
                _ => return self.push_without_tags(&outcome),
            }
        }
        Err(self.later(&format!("it moved on {} times while this was pushed", race.tries), &[]))
    }

    /// Pushes the branch, and its tags after it: no ref of somebody's that stands in the way of a label holds a vote up.
    fn push_without_tags(&self, refused: &PushOutcome) -> Result<(), Failure> {
        let tags = self.tags()?;
        let refusal = verdict(refused).unwrap_or_else(|| self.later(&brief_of(refused), &refused.remote));
        if tags.is_empty() || matches!(refusal, Failure::Refused { .. }) || !self.push_with(&[])?.is_accepted() {
            return Err(refusal);
        }
        say_pushed(self.remote);
        tags::follow(&self.session.repo, self.remote, &tags);
        outbox::votes(&self.session.repo, self.session.tip)?;
        Ok(())
    }

    /// Refuses where votes that were signed here before do more by now than their signers were shown.
    fn earlier_votes_are_agreed(&self) -> Result<(), Failure> {
        let Some(theirs) = self.theirs()? else { return Ok(()) };
        let fresh = self.fresh.as_ref().map_or(&[][..], |fresh| &fresh.turned);
        let more = grown(self.session, theirs, fresh)?.join("\n");
        if more.is_empty() || self.consent.is_given("others have voted since this was signed", &more) {
            return Ok(());
        }
        let message = format!("NOT PUSHED: others have voted since this was signed here, and now it does more: {more}");
        let hint = "push it all the same with: git two-key sync --yes; or take it back with: git two-key undo";
        Err(Failure::refused(self.session.branch_name(), Refusal::new(Reason::Stale, message).hint(hint)))
    }

    fn theirs(&self) -> Result<Option<Oid>, Failure> {
        Ok(self.session.repo.resolve(&mirrored(self.remote, &self.session.branch))?)
    }

    /// The tags of what the remote does not have yet.
    fn tags(&self) -> Result<Vec<String>, Failure> {
        let session = &*self.session;
        let mut tags = Vec::new();
        let new: Option<Vec<_>> =
            self.theirs()?.map(|theirs| session.repo.commits_since(theirs, session.tip)).transpose()?;
        let is_new = |report: &&StepReport| new.as_ref().is_none_or(|new| new.contains(&report.commit));
        let steps = session.past.last(new.as_ref().map_or(usize::MAX, Vec::len));
        for (lease, transition) in steps.iter().filter(is_new).flat_map(|report| tags::at(&session.state, report)) {
            let name = transition.tag(lease);
            if session.repo.resolve(&name)?.is_some() {
                tags.push(name);
            }
        }
        Ok(tags)
    }

    /// Pushes the branch with tags, all or nothing.
    fn push_with(&self, tags: &[String]) -> Result<PushOutcome, Failure> {
        let session = &*self.session;
        let mut refspecs = vec![format!("{}:{}", session.tip, session.branch)];
        refspecs.extend(tags.iter().map(|name| format!("{name}:{name}")));
        let options = PushOptions { atomic: true, options: self.options.clone(), ..PushOptions::default() };
        let answer = if_late(LATE, &no_answer_yet(self.remote), || session.repo.push(self.remote, &refspecs, &options));
        answer.map_err(|error| self.unreached(&error))
    }

    /// What was made stays, and can be pushed later.
    fn later(&self, why: &str, remote_words: &[String]) -> Failure {
        let (branch, remote) = (self.session.branch_name(), self.remote);
        let message = format!("NOT PUSHED: signed on the local {branch}; {remote} did not take it: {why}");
        let refusal = Refusal::new(Reason::NotTaken, message).detail(remote_words.join("\n"));
        Failure::Undecided(refusal.hint(format!(
            "push it later with: git two-key sync; where {branch} takes only pull requests, offer it as one, to be merged with a \
             merge commit: git push {remote} {branch}:refs/heads/NAME"
        )))
    }

    /// The same where there was no answer.
    fn unreached(&self, error: &GitError) -> Failure {
        let Refusal { reason, message, detail, .. } = error.refusal();
        let message = format!("NOT PUSHED: signed on the local {}: {message}", self.session.branch_name());
        let refusal = Refusal::new(reason, message).detail(detail.unwrap_or_default());
        Failure::Undecided(refusal.hint("push it later with: git two-key sync"))
    }

    /// A vote that the remote finds dated ahead of its clock can never land: it is taken back, so that it can be made anew.
    fn dated_ahead(&mut self, outcome: &PushOutcome) -> Result<Option<Failure>, Failure> {
        let Some(Failure::Refused { subject, refusal }) = verdict(outcome) else { return Ok(None) };
        if refusal.reason != Reason::FutureDated || !self.take_back()? {
            return Ok(None);
        }
        let message = format!(
            "{}; this clone's clock is ahead of {}'s, and the vote was taken back",
            refusal.message, self.remote
        );
        let refusal = Refusal::new(Reason::FutureDated, message).hint("set the clock right, then sign again");
        Ok(Some(Failure::refused(subject, refusal)))
    }

    /// Takes back what was signed just now, as if it had not been; false if nothing was.
    fn take_back(&mut self) -> Result<bool, Failure> {
        let Some(fresh) = self.fresh.take() else { return Ok(false) };
        let repo = &self.session.repo;
        for commit in &fresh.commits {
            outbox::forget(repo, *commit)?;
        }
        for name in &fresh.tags {
            if let Some(tag) = repo.resolve(name)? {
                repo.delete_ref(name, tag)?;
            }
        }
        let update = RefUpdate { name: self.session.branch.clone(), old: Some(self.session.tip), new: fresh.before };
        advance(repo, &update, "two-key: take back")?;
        account::note(|account| {
            account.taken_back.extend(account.signed.drain(..).map(|signed| signed.statement));
            account.tags.clear();
            account.effect.clear();
        });
        Ok(true)
    }

    /// Brings what was made here onto the remote's tip. Votes that do not count there are refused, and stay here.
    fn carry_over(&mut self, theirs: Oid) -> Result<(), Failure> {
        let repo = &self.session.repo;
        if self.moves == Moves::Never {
            let (remote, branch) = (self.remote, self.session.branch_name());
            let message = format!("{remote} moved on, and the rule wants proposals on its tip, signed by who proposes");
            let hint = format!("go back with: git reset --keep {remote}/{branch}, and propose again");
            return Err(Failure::refused(self.about, Refusal::new(Reason::Stale, message).hint(hint)));
        }
        let merged = if repo.is_ancestor(self.ours, theirs)? {
            theirs
        } else {
            let tree = self.tree(theirs)?;
            merge(repo, theirs, self.ours, tree, self.about)?
        };
        let root = self.session.root.commit();
        let before = state_at(&self.session.repo, &self.session.memory, theirs)?;
        let (state, reports) =
            if merged == theirs { (before, Vec::new()) } else { fold_on(repo, root, before, merged)? };
        self.still_counts(&reports)?;
        let came_about = came_about(self.session, theirs, &state, self.fresh.as_ref())?;
        if let Some(came_about) = &came_about
            && came_about.is_more
            && !self.consent.is_given("somebody else pushed first", &came_about.words)
        {
            let remote = self.remote;
            let message =
                format!("{remote} moved on meanwhile, and now this does more than was shown: {}", came_about.words);
            self.take_back()?;
            let hint = "nothing was pushed, and the signature was taken back; sign again, or say --yes";
            return Err(Failure::refused(self.about, Refusal::new(Reason::Stale, message).hint(hint)));
        }
        self.adopt(merged, state, reports)?;
        remark(&format!(
            "{} had newer commits; your signature was moved on top of them, onto {}",
            self.remote,
            theirs.short()
        ));
        if let Some(came_about) = came_about {
            say(&came_about.words);
            account::note(|account| account.effect = came_about.words.lines().map(str::to_owned).collect());
        }
        Ok(())
    }

    /// The remote's files and those that were proposed here.
    fn tree(&self, theirs: Oid) -> Result<Oid, Failure> {
        self.session.repo.merge_trees(theirs, self.ours)?.map_err(|conflict| {
            let message = format!("{} and the local branch do not merge by themselves: {conflict}", self.remote);
            let refusal = Refusal::new(conflict.reason(), message);
            Failure::refused(self.about, refusal.hint("merge by hand, with the remote's tip as first parent"))
        })
    }

    fn still_counts(&self, reports: &[StepReport]) -> Result<(), Failure> {
        let Some(finding) = reports.iter().flat_map(|report| &report.findings).next() else { return Ok(()) };
        let (remote, branch) = (self.remote, self.session.branch_name());
        let mut refusal = finding.refusal.clone();
        refusal.message = format!("somebody else pushed first, and now {}", refusal.message);
        let hint = format!("git two-key sync drops what no longer counts and takes {remote}'s {branch}");
        let subject = finding.lease.as_ref().map_or(self.about, LeaseId::as_str);
        Err(Failure::refused(subject, refusal.hint(hint)))
    }

    /// Moves the local branch and the tags of what was not published yet.
    fn adopt(&mut self, merged: Oid, state: State, reports: Vec<StepReport>) -> Result<(), Failure> {
        let session = &mut *self.session;
        let is_ours = |name: &str| tags::is_of(&session.state, name);
        let updates = reports.iter().map(|report| tags::updates(&session.repo, &state, report, self.who, is_ours));
        let updates = updates.collect::<Result<Vec<_>, _>>()?.concat();
        let update = RefUpdate { name: session.branch.clone(), old: Some(session.tip), new: merged };
        move_local(session, &update, "two-key: carry over")?;
        tags::put(&session.repo, &updates, "two-key: carry over");
        session.move_to(merged, state, reports);
        Ok(())
    }
}
