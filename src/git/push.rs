//! Facts of a push for [`crate::push`], in quarantine.
//!
//! Every commit between a ref's old and new tip is read, whether some other ref has it already or not: a bad commit
//! that came by a scratch branch first is judged when the governed branch takes it up. Symbolic refs are judged by
//! what they stand for, in both directions.

use std::{
    collections::{HashMap, HashSet},
    mem::discriminant,
    sync::Arc,
};

use super::{
    GitError, ObjectKind, Objects, Repository, early_refs::EarlyRefs, memory::Memory, pushed_notes::notes_facts,
    refs::NAMES, stuck::Stuck,
};
use crate::{
    ledger::State,
    model::{LeaseId, Oid, RawKey, Refusal, refs},
    push::{
        ApplierFacts, BranchFacts, FORCE_REVOKE, GOVERNED, MAX_COMMITS, NewStep, NotesFacts, Push, PushRef, RECORD,
        RecordFacts, RefFacts, RefMeaning, Standing, TagFacts, place, repository_of, signer_of,
    },
    signature::{open_commits, parse_tag},
};

/// Commits that are opened at a time.
const CHUNK: usize = 240;

/// One line of what Git tells a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedRef {
    /// The ref as it was pushed.
    pub name: String,
    /// Where it was.
    pub old: Option<Oid>,
    /// Where it shall be.
    pub new: Option<Oid>,
}

/// Where a push is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JudgedAt {
    /// Where it arrives: refs have to be where the push says that they are, and a checkpoint is kept.
    Server,
    /// Where it comes from: what the server's refs are is known by hearsay, and nothing is kept.
    Client,
}

/// The ledger at the old tip and at the new one.
struct LedgerMove {
    branch: String,
    before: Option<Arc<State>>,
    after: Option<Arc<State>>,
    steps: Vec<NewStep>,
    standing: Standing,
    facts: RefFacts,
    /// What the push brings too much of.
    excess: Option<Refusal>,
}

impl Repository {
    /// The repository that a push arrives in, by what Git tells `pre-receive`.
    pub fn receives(input: &[u8]) -> Result<Self, GitError> {
        Self::receiving(lines(input).filter_map(|line| line.rsplit(' ').next().map(str::to_owned)).collect())
    }

    /// Reads what Git tells `pre-receive`: lines `<old> <new> <ref>`.
    pub fn pushed_refs(&self, input: &[u8]) -> Result<Vec<PushedRef>, GitError> {
        lines(input).map(|line| self.pushed_ref(&line, [2, 1, 0])).collect()
    }

    /// Reads what Git tells `pre-push`: lines `<local ref> <new> <remote ref> <old>`.
    pub fn refs_to_push(&self, input: &[u8]) -> Result<Vec<PushedRef>, GitError> {
        lines(input).map(|line| self.pushed_ref(&line, [0, 2, 1])).collect()
    }

    /// Reads a line, whose words are counted from its end.
    fn pushed_ref(&self, line: &str, [old, new, name]: [usize; 3]) -> Result<PushedRef, GitError> {
        // From the end: what is pushed may be an expression with spaces; the other words have none.
        let words: Vec<&str> = line.rsplit(' ').collect();
        let word = |at: usize| words.get(at).copied().unwrap_or_default();
        let id = |at| Oid::parse(word(at)).filter(|id| self.fits(*id));
        match (id(old), id(new), word(name)) {
            (Some(old), Some(new), name) if !name.is_empty() => {
                let there = |id: Oid| Some(id).filter(|id| !id.is_zero());
                Ok(PushedRef { name: name.to_owned(), old: there(old), new: there(new) })
            }
            _ => Err(GitError::Answer { command: "git push".to_owned(), what: format!("`{line}`") }),
        }
    }

    /// Gathers what the judge has to know, by what is remembered of the ledger. An error means that nothing can be decided.
    pub fn gather(
        &self,
        refs: &[PushedRef],
        options: &[String],
        memory: &Memory,
        side: JudgedAt,
    ) -> Result<Push, Refusal> {
        let root = memory.root();
        self.whole()?;
        let branch = self.governed_branch(memory)?;
        let names = self.resolved(refs, &branch)?;
        if names.iter().all(|name| place(name, &branch) == RefMeaning::Other) {
            // None of it is our business, so nothing has to be folded.
            let update = |(name, pushed): (String, &PushedRef)| PushRef {
                name,
                old: pushed.old,
                new: pushed.new,
                standing: Standing::AsClaimed,
                facts: RefFacts::Nothing.into(),
            };
            let updates = names.into_iter().zip(refs).map(update).collect();
            let (before, after, steps) = (None, None, Vec::new());
            return Ok(Push { branch, root, before, after, steps, updates, forced_revocation: false });
        }
        let moved = names.iter().zip(refs).find(|(name, _)| **name == branch).map(|(_, moved)| moved);
        let early = self.early_refs()?;
        let here = self.whereabouts(&names, &branch, side, &early)?;
        let governed: Vec<&PushedRef> = names
            .iter()
            .zip(refs)
            .filter(|(name, _)| place(name, &branch) != RefMeaning::Other)
            .map(|(_, pushed)| pushed)
            .collect();
        let ledger = self.judged_by(branch, moved, &governed, (memory, side), &early)?;
        // Not before: one that waits would make the fold start another.
        let mut objects = self.objects()?;
        let mut updates = Vec::with_capacity(refs.len());
        let mut left = MAX_COMMITS;
        let mut read: HashMap<_, Arc<RefFacts>> = HashMap::new();
        let mut gone = Gone::default();
        for (name, pushed) in names.into_iter().zip(refs) {
            let place = place(&name, &ledger.branch);
            let standing = match &place {
                RefMeaning::Branch if moved == Some(pushed) => ledger.standing,
                _ => here.get(&name).map_or(Standing::AsClaimed, |here| standing(*here, pushed.old)),
            };
            let facts = match (&place, pushed.new, &ledger.excess) {
                (RefMeaning::Other, ..) => RefFacts::Nothing.into(),
                (place, None, _) if standing == Standing::AsClaimed => gone.facts(&mut objects, place, &ledger)?,
                (_, None, _) => RefFacts::Nothing.into(),
                (_, Some(_), Some(excess)) => RefFacts::Unfit(excess.clone()).into(),
                (RefMeaning::Branch, Some(_), None) if moved == Some(pushed) => ledger.facts.clone().into(),
                (_, Some(_), None) if standing == Standing::Outrun => RefFacts::Nothing.into(),
                (place, Some(new), None) => {
                    // Under how many names an object comes is the pusher's choice; it is read once.
                    let kind = (discriminant(place), pushed.old, new);
                    if let Some(facts) = unread(place, new, &ledger) {
                        facts.into()
                    } else if let Some(facts) = read.get(&kind) {
                        Arc::clone(facts)
                    } else {
                        let facts = match self.facts_of(&mut objects, place, pushed.old, new, &ledger, &mut left) {
                            Err(error) => RefFacts::Unfit(error.verdict()?),
                            Ok(facts) => facts,
                        };
                        Arc::clone(read.entry(kind).or_insert_with(|| facts.into()))
                    }
                }
            };
            updates.push(PushRef { name, old: pushed.old, new: pushed.new, standing, facts });
        }
        Ok(Push {
            branch: ledger.branch,
            root,
            before: ledger.before.map(Arc::unwrap_or_clone),
            after: ledger.after.map(Arc::unwrap_or_clone),
            steps: ledger.steps,
            updates,
            forced_revocation: options.iter().any(|option| option == FORCE_REVOKE),
        })
    }

    /// Where those refs of a push are that can be outrun, apart from the branch. On the client's side nobody knows.
    fn whereabouts(
        &self,
        names: &[String],
        branch: &str,
        side: JudgedAt,
        early: &EarlyRefs,
    ) -> Result<HashMap<String, Option<Oid>>, GitError> {
        let governed = |name: &&String| {
            !matches!(place(name, branch), RefMeaning::Branch | RefMeaning::Foreign | RefMeaning::Other)
        };
        let governed: Vec<&str> = match side {
            JudgedAt::Server => names.iter().filter(governed).map(String::as_str).collect(),
            JudgedAt::Client => Vec::new(),
        };
        let (known, asked): (Vec<&str>, Vec<&str>) = governed.into_iter().partition(|name| early.knows(name));
        let mut here: HashMap<String, Option<Oid>> =
            known.into_iter().map(|name| (name.to_owned(), early.at(name))).collect();
        for names in asked.chunks(NAMES) {
            let there: HashMap<String, Oid> = self.refs(names)?.into_iter().collect();
            here.extend(names.iter().map(|name| ((*name).to_owned(), there.get(*name).copied())));
        }
        Ok(here)
    }

    /// The governed branch, which the root's policy names for good, and so every later one does; what else it could be where
    /// the root is missing.
    pub(super) fn governed_branch(&self, memory: &Memory) -> Result<String, Refusal> {
        if let Some(branch) = memory.branch() {
            return Ok(branch);
        }
        let root = memory.root();
        match self.objects().and_then(|mut objects| objects.links(root)) {
            Ok(_) => Ok(self.founded(root)?.policy().get().branch_ref()),
            Err(GitError::MissingObject(_)) => self.branch_without_root().map_err(Refusal::from),
            Err(error) => Err(error.refusal()),
        }
    }

    /// What the governed branch is taken for where no root says it.
    pub(super) fn branch_without_root(&self) -> Result<String, GitError> {
        let named = self.config("two-key.branch")?;
        Ok(format!("{}{}", refs::HEADS, named.as_deref().unwrap_or("main")))
    }

    /// Folds the governed branch up to its old tip, then the push's own steps.
    fn judged_by(
        &self,
        branch: String,
        moved: Option<&PushedRef>,
        governed: &[&PushedRef],
        (memory, side): (&Memory, JudgedAt),
        early: &EarlyRefs,
    ) -> Result<LedgerMove, Refusal> {
        let (refused, root) = (|error: GitError| error.refusal(), memory.root());
        let (old, known) = self.known(&branch, moved, (memory, side), early)?;
        let standing = moved.map_or(Standing::AsClaimed, |moved| standing(old, moved.old));
        let before = known.clone().map(Arc::new);
        let excess = match self.few_enough(governed, old.unwrap_or(root)) {
            Ok(()) => None,
            Err(error) => Some(error.verdict().map_err(refused)?),
        };
        let unmoved = |facts| LedgerMove {
            branch: branch.clone(),
            before: before.clone(),
            after: before.clone(),
            steps: Vec::new(),
            standing,
            facts,
            excess: excess.clone(),
        };
        // What else an outrun push brings is judged by the ledger as it is, not as the push pretends that it was.
        let new = moved.and_then(|moved| moved.new).filter(|_| standing == Standing::AsClaimed && excess.is_none());
        let Some(new) = new else { return Ok(unmoved(RefFacts::Nothing)) };
        let mut steps = Vec::new();
        let each = |step: &_, report, _| steps.push(NewStep::new(step, report));
        let folded = match known {
            None => self.fold_from_root(root, new, each),
            Some(known) => self.fold_on(known, root, new, each).map_err(Stuck::Git),
        };
        match folded {
            Ok(after) => Ok(LedgerMove {
                branch,
                before,
                after: Some(Arc::new(after)),
                steps,
                standing,
                facts: RefFacts::Branch(BranchFacts::Continues),
                excess: None,
            }),
            Err(Stuck::Git(GitError::NotOnChain { .. })) => {
                let facts = match old {
                    None => BranchFacts::NotDescended,
                    Some(old) if self.is_ancestor(old, new).map_err(refused)? => BranchFacts::Foxtrot,
                    Some(_) => BranchFacts::Rewound,
                };
                Ok(unmoved(RefFacts::Branch(facts)))
            }
            Err(Stuck::Git(GitError::MissingObject(id))) if id == root && old.is_none() => {
                Ok(unmoved(RefFacts::Branch(BranchFacts::NotDescended)))
            }
            Err(Stuck::Git(error)) => Ok(unmoved(RefFacts::Unfit(error.verdict().map_err(refused)?))),
            Err(stuck) => Err(stuck.refusal()),
        }
    }

    /// Where the branch is, and the ledger's state there.
    fn known(
        &self,
        branch: &str,
        moved: Option<&PushedRef>,
        (memory, side): (&Memory, JudgedAt),
        early: &EarlyRefs,
    ) -> Result<(Option<Oid>, Option<State>), Refusal> {
        let at = |old: Option<Oid>| {
            let known = old.map(|old| self.ledger(memory, old, &mut |_, _, _| ())).transpose();
            Ok((old, known.map_err(Stuck::refusal)?.map(|known| known.state)))
        };
        if let (JudgedAt::Client, Some(moved)) = (side, moved) {
            return at(moved.old);
        }
        // By its exact name: objects are found by names that are only like it, too.
        let early = if early.knows(branch) { Ok(early.at(branch)) } else { self.resolve(branch) }?;
        if !memory.remembers() {
            return at(early);
        }
        match early.and_then(|old| self.remembered(memory, old, &mut |_, _, _| ())) {
            Some(known) => {
                self.remember(memory, &known);
                Ok((early, Some(known.state)))
            }
            // Another push may have moved the branch since, and what is remembered with it.
            None => at(self.resolve(branch)?),
        }
    }

    /// Whether all that a push brings to governed refs has no more new commits than are ever judged, whichever of them
    /// brings it; too large otherwise. What the branch has is not new.
    fn few_enough(&self, governed: &[&PushedRef], branch: Oid) -> Result<(), GitError> {
        let mut objects = self.objects()?;
        let mut known: HashSet<Oid> = governed.iter().filter_map(|pushed| pushed.old).chain([branch]).collect();
        let bases: Vec<Oid> = known.iter().copied().collect();
        let mut far = Vec::new();
        // Once, under however many names it comes.
        let mut met = HashSet::new();
        for new in governed.iter().filter_map(|pushed| pushed.new).filter(|new| met.insert(*new)) {
            let near = objects.is_near(&mut known, new);
            // What cannot be parsed is said to be so by whoever judges it.
            if !near.or_else(|error| error.verdict().map(|_| false))? {
                far.push(new);
            }
        }
        if far.is_empty() {
            return Ok(());
        }
        let listed = self.reachable_up_to(Some(MAX_COMMITS + 1), &far, &bases)?;
        if listed.len() > MAX_COMMITS {
            return Err(too_many_commits("the new history of the push"));
        }
        Ok(())
    }

    /// What is to be known of a ref that is not the governed branch.
    fn facts_of(
        &self,
        objects: &mut Objects,
        place: &RefMeaning,
        old: Option<Oid>,
        new: Oid,
        ledger: &LedgerMove,
        left: &mut usize,
    ) -> Result<RefFacts, GitError> {
        Ok(match place {
            RefMeaning::Branch | RefMeaning::Foreign | RefMeaning::Other => RefFacts::Nothing,
            RefMeaning::Tag { .. } => RefFacts::Tag {
                before: old.map(|old| self.tag_facts(objects, old)).transpose()?,
                after: self.tag_facts(objects, new)?,
            },
            RefMeaning::Stop { .. } => RefFacts::Stop(match objects.kind(new)? {
                ObjectKind::Commit => Some(objects.open_one(new)?),
                _ => None,
            }),
            RefMeaning::Notes(_) => RefFacts::Notes(notes_facts(objects, old, new)?),
            RefMeaning::Applier(_) => RefFacts::Applier(self.applier_facts(objects, old, new, ledger, left)?),
        })
    }

    fn tag_facts(&self, objects: &mut Objects, id: Oid) -> Result<TagFacts, GitError> {
        Ok(match objects.kind(id)? {
            ObjectKind::Tag => TagFacts::Annotated(parse_tag(&objects.tag(id)?, self.format())),
            _ => TagFacts::Lightweight,
        })
    }

    fn applier_facts(
        &self,
        objects: &mut Objects,
        old: Option<Oid>,
        new: Oid,
        ledger: &LedgerMove,
        left: &mut usize,
    ) -> Result<ApplierFacts, GitError> {
        if objects.kind(new)? != ObjectKind::Commit {
            return Ok(ApplierFacts {
                fast_forward: old.is_none(),
                commits: vec![RecordFacts { commit: new, signer: None, repository: None }],
            });
        }
        if !self.continues(old, new)? {
            return Ok(ApplierFacts::default());
        }
        // What the ledger has is judged there.
        let known: Vec<Oid> = old.into_iter().chain(ledger.before.as_ref().map(|state| state.tip())).collect();
        // Of all refs together: the same commits are judged for each.
        let mut ids = self.reachable_up_to(Some(*left + 1), &[new], &known)?;
        // Its tip is judged wherever it came from: what the ledger has is no applier's record for that.
        if old != Some(new) && !ids.contains(&new) {
            ids.push(new);
        }
        *left = left.checked_sub(ids.len()).ok_or_else(|| too_many_commits("the new history of appliers' refs"))?;
        let policy = ledger.after.as_ref().map(|state| state.policy().get());
        let is_listed = |key: RawKey| policy.is_some_and(|policy| policy.owner(key).is_some());
        let mut commits = Vec::with_capacity(ids.len());
        for ids in ids.chunks(CHUNK) {
            let raw = objects.commits(ids)?;
            let opened = open_commits(&raw, self.format());
            for (commit, opened) in ids.iter().copied().zip(&opened) {
                let signer = signer_of(opened);
                // Nobody else can have the same records read over and over.
                let repository = if signer.is_some_and(is_listed) {
                    objects.file_at(commit, RECORD)?.and_then(|bytes| repository_of(&bytes))
                } else {
                    None
                };
                let refused = repository.is_none();
                commits.push(RecordFacts { commit, signer, repository });
                // Whatever follows, the push is refused, and strangers' signatures are costly to verify.
                if refused {
                    return Ok(ApplierFacts { fast_forward: true, commits });
                }
            }
        }
        Ok(ApplierFacts { fast_forward: true, commits })
    }

    /// Whether a ref moves forward.
    pub(super) fn continues(&self, old: Option<Oid>, new: Oid) -> Result<bool, GitError> {
        old.map_or(Ok(true), |old| self.is_ancestor(old, new))
    }

    /// By which name each ref is judged. A symbolic ref is judged as its target; and a ref that some governed name
    /// stands for symbolically is judged by that name.
    fn resolved(&self, refs: &[PushedRef], branch: &str) -> Result<Vec<String>, GitError> {
        let pushed = refs.iter().map(|pushed| pushed.name.as_str());
        let targets = self.symbolic_refs(&GOVERNED, pushed.chain([branch]))?;
        let mut governed: HashMap<&str, &str> = targets
            .iter()
            .filter(|(name, _)| place(name, branch) != RefMeaning::Other)
            .map(|(name, target)| (target.as_str(), name.as_str()))
            .collect();
        // Of several names for one ref the branch's is the one that matters.
        governed.extend(targets.get(branch).map(|target| (target.as_str(), branch)));
        let judged = |pushed: &PushedRef| {
            let target = targets.get(&pushed.name).unwrap_or(&pushed.name);
            let name = [target, &pushed.name].into_iter().find(|name| place(name, branch) != RefMeaning::Other);
            let name = name.map(String::as_str).or_else(|| governed.get(target.as_str()).copied());
            name.unwrap_or(target).to_owned()
        };
        Ok(refs.iter().map(judged).collect())
    }
}

/// What is to be known of a ref that is refused for its name, whatever it brings.
fn unread(place: &RefMeaning, new: Oid, ledger: &LedgerMove) -> Option<RefFacts> {
    let principals = ledger.after.as_ref().map(|state| &state.policy().get().principals);
    let is_known = |name| principals.is_none_or(|principals| principals.contains_key(name));
    match place {
        RefMeaning::Stop { id, .. } if new != *id => Some(RefFacts::Stop(None)),
        RefMeaning::Notes(name) if !is_known(name) => {
            Some(RefFacts::Notes(NotesFacts { fast_forward: true, ..NotesFacts::default() }))
        }
        RefMeaning::Applier(name) if !is_known(name) => {
            Some(RefFacts::Applier(ApplierFacts { fast_forward: true, ..ApplierFacts::default() }))
        }
        _ => None,
    }
}

/// What is known of refs that are deleted, each lease and commit looked at once.
#[derive(Default)]
struct Gone {
    labels: HashMap<LeaseId, Arc<RefFacts>>,
    stops: HashMap<Oid, Arc<RefFacts>>,
}

impl Gone {
    fn facts(
        &mut self,
        objects: &mut Objects,
        place: &RefMeaning,
        ledger: &LedgerMove,
    ) -> Result<Arc<RefFacts>, GitError> {
        match place {
            RefMeaning::Tag { lease, .. } => {
                if let Some(known) = self.labels.get(lease) {
                    return Ok(Arc::clone(known));
                }
                let state = ledger.after.as_deref();
                let last = state.and_then(|state| state.lease(lease)).and_then(|lease| lease.transitions.last());
                let links = last.map(|last| objects.links(last.commit)).transpose()?;
                let facts = RefFacts::Committed(links.and_then(|links| i64::try_from(links.committer_time).ok()));
                Ok(Arc::clone(self.labels.entry(lease.clone()).or_insert_with(|| facts.into())))
            }
            RefMeaning::Stop { id, .. } => {
                if let Some(known) = self.stops.get(id) {
                    return Ok(Arc::clone(known));
                }
                let opened = if objects.is_commit(*id)? { Some(objects.open_one(*id)?) } else { None };
                Ok(Arc::clone(self.stops.entry(*id).or_insert_with(|| RefFacts::Stop(opened).into())))
            }
            _ => Ok(RefFacts::Nothing.into()),
        }
    }
}

fn standing(here: Option<Oid>, claimed: Option<Oid>) -> Standing {
    if here == claimed { Standing::AsClaimed } else { Standing::Outrun }
}

fn too_many_commits(what: &str) -> GitError {
    GitError::TooLarge { what: what.to_owned(), limit: format!("{MAX_COMMITS} commits") }
}

/// The lines of what Git said. Names that are not UTF-8 are none of ours, whatever they are shown as.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = String> + '_ {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| String::from_utf8_lossy(line).into_owned())
}
