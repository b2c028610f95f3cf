//! Pushing, and carrying over what was signed when another push came first, so that nobody signs twice.

use super::{advance, fold, fold_on, outbox, stops, tags};
use crate::{
    cli::{
        Failure,
        session::Session,
        terminal::{remark, say},
    },
    git::{NewCommit, PushOptions, PushOutcome, RefUpdate, Repository, SignWith, mirrored},
    ledger::{State, StepReport},
    model::{Oid, Reason, Refusal},
};

/// How often a moving remote is run after.
pub const TRIES: usize = 5;

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

/// Why a remote did not take something, in its own words.
pub fn words_of(outcome: &PushOutcome) -> String {
    let rejected = outcome.rejected.iter().map(|(name, why)| format!("{name}: {why}"));
    rejected.chain(outcome.remote.iter().cloned()).collect::<Vec<_>>().join("; ")
}

/// What to know of stops that a remote has under names of their own, and its branch not.
pub fn not_on_main(why: &str, branch: &str, refspec: &str) -> String {
    format!(
        "{branch} does not have it ({why}). Appliers that fetch from there obey it all the same; {branch} has it once somebody \
         who may push there does so with a forward verb, or merges it\nhint: where {branch} takes only pull requests, offer it \
         as one, to be merged with a merge commit: git push {refspec}"
    )
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
pub struct Push<'a> {
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
}

/// How what was made gets onto a remote that moved on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moves {
    /// By an unsigned merge.
    ByMerge,
    /// Not at all: an unsigned merge would hide who proposed, and the rule wants to know.
    Never,
}

impl Push<'_> {
    /// Pushes, carrying over as often as the remote moves. Whatever becomes of that, the remote gets the stops that were
    /// signed here.
    pub fn run(mut self) -> Result<(), Failure> {
        let outcome = self.push_on();
        stops::deliver(&self.session.repo, self.remote, &self.session.branch)?;
        outcome
    }

    fn push_on(&mut self) -> Result<(), Failure> {
        for _ in 0..TRIES {
            let outcome = self.push_with(&self.tags()?)?;
            if outcome.is_accepted() {
                say(&format!("pushed to {}", self.remote));
                outbox::votes(&self.session.repo, self.session.tip)?;
                return Ok(());
            }
            let branch = self.session.branch_name().to_owned();
            self.session.repo.fetch(self.remote, &branch).map_err(|error| self.later(&error.to_string()))?;
            match self.theirs()? {
                // It may be behind the tip and beside its chain: a stop that was carried over may rest on it.
                Some(theirs) if !self.session.repo.is_on_chain(theirs, self.session.tip)? => self.carry_over(theirs)?,
                _ => return self.push_without_tags(&outcome),
            }
        }
        Err(self.later(&format!("it moved on {TRIES} times while this was pushed")))
    }

    /// Pushes the branch, and its tags after it: no ref of somebody's that stands in the way of a label holds a vote up.
    fn push_without_tags(&self, refused: &PushOutcome) -> Result<(), Failure> {
        let tags = self.tags()?;
        let refusal = verdict(refused).unwrap_or_else(|| self.later(&words_of(refused)));
        if tags.is_empty() || matches!(refusal, Failure::Refused { .. }) || !self.push_with(&[])?.is_accepted() {
            return Err(refusal);
        }
        say(&format!("pushed to {}", self.remote));
        tags::follow(&self.session.repo, self.remote, &tags);
        outbox::votes(&self.session.repo, self.session.tip)?;
        Ok(())
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
        for (name, _) in tags::names_at(&session.state, |at| new.as_ref().is_none_or(|new| new.contains(&at))) {
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
        session.repo.push(self.remote, &refspecs, &options).map_err(|error| self.later(&error.to_string()))
    }

    /// What was made stays, and can be pushed later.
    fn later(&self, why: &str) -> Failure {
        let (branch, remote) = (self.session.branch_name(), self.remote);
        let message = format!("this is made and on the local {branch}, but {remote} does not have it: {why}");
        let refusal = Refusal::new(Reason::Internal, message);
        Failure::Undecided(refusal.hint(format!(
            "push it later with: git push --atomic {remote} {branch} 'refs/tags/rollout/*'; where {branch} takes only pull \
             requests, offer it as one, to be merged with a merge commit: git push {remote} {branch}:refs/heads/NAME"
        )))
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
        let before = fold(repo, root, theirs)?;
        let (state, reports) =
            if merged == theirs { (before, Vec::new()) } else { fold_on(repo, root, before, merged)? };
        self.still_counts(&reports)?;
        self.adopt(merged, state, reports)?;
        remark(&format!("{} had moved on; what was signed here was carried over onto {}", self.remote, theirs.short()));
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
        refusal.message = format!("another push came first, and now {}", refusal.message);
        let hint = format!(
            "see where it is with --remote; drop what no longer counts with: git reset --keep {remote}/{branch}"
        );
        Err(Failure::refused(self.about, refusal.hint(hint)))
    }

    /// Moves the local branch and the tags of what was not published yet.
    fn adopt(&mut self, merged: Oid, state: State, reports: Vec<StepReport>) -> Result<(), Failure> {
        let session = &mut *self.session;
        let old: Vec<_> = tags::names_at(&session.state, |_| true).into_iter().map(|(name, _)| name).collect();
        let updates = tags::updates(&session.repo, &state, merged, self.who, |name| old.iter().any(|old| old == name))?;
        let update = RefUpdate { name: session.branch.clone(), old: Some(session.tip), new: merged };
        advance(&session.repo, &update, "two-key: carry over")?;
        tags::put(&session.repo, &updates, "two-key: carry over");
        session.move_to(merged, state, reports);
        Ok(())
    }
}
