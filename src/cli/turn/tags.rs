//! Tags: each transition in force has one, on the commit that put it in force.

use std::collections::{BTreeMap, BTreeSet};

use super::push::words_of;
use crate::{
    cli::{Failure, terminal::remark},
    git::{Objects, PushOptions, RefUpdate, Repository, mirrored},
    ledger::{State, StepReport, Transition},
    model::{LeaseId, Oid},
    signature::parse_tag,
};

/// The transitions that a step put in force, with their leases.
pub fn at<'a>(state: &'a State, report: &'a StepReport) -> impl Iterator<Item = (&'a LeaseId, &'a Transition)> {
    let about: BTreeSet<_> = report.events.iter().filter_map(|event| event.lease.as_ref()).collect();
    let all = about.into_iter().filter_map(|id| state.lease(id));
    let all = all.flat_map(|lease| lease.transitions.iter().map(move |transition| (&lease.id, transition)));
    all.filter(|(_, transition)| transition.commit == report.commit)
}

/// Whether a tag has the name of a transition that is in force.
pub fn is_of(state: &State, tag: &str) -> bool {
    let lease = tag.strip_prefix("refs/tags/rollout/").and_then(|rest| rest.split_once('/'));
    let lease = lease.and_then(|(id, _)| state.lease(&LeaseId::parse(id)?));
    lease.is_some_and(|lease| lease.transitions.iter().any(|transition| transition.tag(&lease.id) == tag))
}

/// Whether a ref is an annotated tag of its own name on a commit.
fn is_on(objects: &mut Objects, name: &str, tag: Oid, commit: Oid) -> bool {
    let format = objects.repository().format();
    let parsed = objects.tag(tag).ok().and_then(|raw| parse_tag(&raw, format).ok());
    parsed
        .is_some_and(|parsed| parsed.object == commit && Some(parsed.name.as_str()) == name.strip_prefix("refs/tags/"))
}

/// A local tag that claims what is not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FalseTag {
    /// The full ref name.
    pub name: String,
    /// What the ref holds.
    pub id: Oid,
}

/// Local rollout tags that claim what is not in force, as one whose push lost a race leaves them. One on a commit that the
/// upstream has may be of a transition that is not folded here yet.
pub fn false_tags(repo: &Repository, state: &State, upstream: Option<Oid>) -> Result<Vec<FalseTag>, Failure> {
    let all = state.leases().flat_map(|lease| lease.transitions.iter().map(move |transition| (&lease.id, transition)));
    let in_force = all.map(|(lease, transition)| (transition.tag(lease), transition.commit));
    let in_force: BTreeMap<_, _> = in_force.collect();
    let mut objects = repo.objects()?;
    let mut found = Vec::new();
    for (name, id) in repo.refs(&["refs/tags/rollout/"])? {
        if in_force.get(&name).is_some_and(|commit| is_on(&mut objects, &name, id, *commit))
            || !is_unpublished(repo, &name)
        {
            continue;
        }
        let commit = repo.revision(&name)?;
        let has = |tip: Oid| commit.map_or(Ok(false), |commit| repo.is_ancestor(commit, tip));
        if upstream.map_or(Ok(false), has)? {
            continue;
        }
        found.push(FalseTag { name, id });
    }
    Ok(found)
}

/// Whether no remote is known to have a tag of this name: then it is ours to move.
pub fn is_unpublished(repo: &Repository, name: &str) -> bool {
    let there = |remote: &String| repo.resolve(&mirrored(remote, name)).is_ok_and(|there| there.is_some());
    repo.remotes().is_ok_and(|remotes| !remotes.iter().any(there))
}

/// The ref updates that tag what a step put in force. What another made there already stays, unless it is ours to
/// move: a tag of an unpublished commit that was carried over.
pub fn updates(
    repo: &Repository,
    state: &State,
    report: &StepReport,
    who: &str,
    is_ours: impl Fn(&str) -> bool,
) -> Result<Vec<RefUpdate>, Failure> {
    let mut updates = Vec::new();
    let mut objects = repo.objects()?;
    let commit = report.commit;
    for (lease, transition) in at(state, report) {
        let name = transition.tag(lease);
        let old = repo.resolve(&name)?;
        if let Some(old) = old {
            if is_on(&mut objects, &name, old, commit) {
                continue;
            }
            if !is_ours(&name) {
                remark(&format!("warning: there is a tag {name} on something else; it is left as it is"));
                continue;
            }
        }
        updates.push(RefUpdate { old, ..repo.tag_of(lease, transition, who)? });
    }
    Ok(updates)
}

/// Makes tags; the names of those that are there. A tag is a label: where somebody's ref stands in its way, what is in force goes
/// on without it.
pub fn put(repo: &Repository, tags: &[RefUpdate], reason: &str) -> Vec<String> {
    if !tags.is_empty()
        && let Err(error) = repo.update_refs(tags, reason)
    {
        remark(&format!("warning: the tag cannot be made here ({error})"));
        return Vec::new();
    }
    tags.iter().map(|tag| tag.name.clone()).collect()
}

/// Pushes tags of what a remote has in force. Whatever becomes of that, it is in force.
pub fn follow(repo: &Repository, remote: &str, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let refspecs: Vec<_> = names.iter().map(|name| format!("{name}:{name}")).collect();
    match repo.push(remote, &refspecs, &PushOptions::default()) {
        Ok(outcome) if outcome.is_accepted() => {}
        Ok(outcome) => remark(&format!("the tag was not taken ({}); the applier makes one", words_of(&outcome))),
        Err(error) => remark(&format!("the tag could not be pushed ({error}); the applier makes one")),
    }
}
