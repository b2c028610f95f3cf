//! Files of leases that ended long ago: deleted by ordinary commits that nobody has to sign, as files propose and keys decide. The
//! ledger holds the bytes that the keys turned for.

use std::collections::BTreeSet;

use super::{Tidying, admitted_here, moved};
use crate::{
    cli::{
        Failure, Place, account,
        governed::Which,
        session::Session,
        terminal::say,
        turn::{self, verdict, words_of},
    },
    git::{NewCommit, PushOptions, RefUpdate, SignWith},
    model::{LeaseId, MAX_STEP_NAMES, Oid, Reason, Refusal, lease},
};

/// How often a moving remote is run after.
const TRIES: usize = 5;

impl Tidying<'_> {
    /// The files that may go: of leases whose labels may, where the ledger holds the same bytes.
    pub(super) fn spent_files(&mut self) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        for (path, _) in self.objects.files_below(self.session.tip, "leases")? {
            if let Some(id) = lease::file_id(&path)
                && is_held(self.session, &id)
                && self.lease_may_go(&id)?
            {
                found.push(path);
            }
        }
        Ok(found)
    }
}

/// Whether the ledger holds the bytes of all files of a lease. Where one has others, to delete any is a finding.
fn is_held(session: &Session, id: &LeaseId) -> bool {
    let pinned = session.state.lease(id).and_then(|lease| lease.pinned.as_ref()).map(|pinned| pinned.digest());
    pinned.is_some() && session.state.proposals(id).all(|(_, file)| file.digest == pinned)
}

/// Whether a lease's file is gone, and the ledger holds its bytes.
pub(super) fn is_deleted(session: &Session, id: &LeaseId) -> bool {
    let pinned = session.state.lease(id).is_some_and(|lease| lease.pinned.is_some());
    pinned && session.state.proposals(id).next().is_none()
}

/// Deletes the files that may go, at a remote or where there is none here. What another push did first is looked at anew.
pub(super) fn tidy(mut session: Session, place: &Place, remote: Option<&str>) -> Result<(), Failure> {
    for _ in 0..TRIES {
        let files = Tidying::of(&session)?.spent_files()?;
        session.sound()?;
        if files.is_empty() || land(&session, &files, remote)? {
            let at = remote.unwrap_or("here");
            say(&format!("{at}: {} lease file{} deleted", files.len(), if files.len() == 1 { "" } else { "s" }));
            account::note(|account| account.taken_back.extend(files));
            return Ok(());
        }
        let Some(remote) = remote else { break };
        session.repo.fetch(remote, session.branch_name())?;
        session = Session::open(place, &Which::Remote(Some(remote.to_owned())))?;
    }
    let message = format!("{} moved on {TRIES} times meanwhile, and keeps its lease files", session.branch_name());
    Err(Failure::Undecided(Refusal::new(Reason::NotTaken, message).hint("again: git two-key tidy")))
}

/// Brings commits without some files onto the branch; false where it is no longer where the session has it.
fn land(session: &Session, files: &[String], remote: Option<&str>) -> Result<bool, Failure> {
    let repo = &session.repo;
    let tip = without(session, files)?;
    let here = repo.resolve(&session.branch)?;
    if let Some(remote) = remote {
        let expected = vec![(session.branch.clone(), Some(session.tip))];
        let options = PushOptions { expected, ..PushOptions::default() };
        let outcome = repo.push(remote, &[format!("{tip}:{}", session.branch)], &options)?;
        match verdict(&outcome) {
            // Another push came first.
            Some(Failure::Refused { refusal, .. }) if refusal.reason == Reason::Stale => return Ok(false),
            Some(refused) => return Err(refused),
            None if outcome.is_accepted() => repo.fetch(remote, session.branch_name())?,
            None => {
                repo.fetch(remote, session.branch_name())?;
                let theirs = repo.resolve(&crate::git::mirrored(remote, &session.branch))?;
                if theirs == Some(session.tip) {
                    let message = format!("{remote} keeps its lease files: {}", words_of(&outcome));
                    return Err(Failure::Undecided(Refusal::new(Reason::NotTaken, message)));
                }
                return Ok(false);
            }
        }
    } else {
        if here != Some(session.tip) {
            return Ok(false);
        }
        admitted_here(repo, &[moved(&session.branch, here, Some(tip))])?;
    }
    // A branch here that has something more, or less, is joined by the next verb that signs.
    if here == Some(session.tip) {
        turn::advance(repo, &RefUpdate { name: session.branch.clone(), old: here, new: tip }, "two-key: tidy")?;
    }
    Ok(true)
}

/// Commits on a session's tip that delete some files, in steps as large as steps may be; the last one.
fn without(session: &Session, files: &[String]) -> Result<Oid, Failure> {
    let repo = &session.repo;
    let mut tip = session.tip;
    for some in portions(files) {
        let tree = repo.objects()?.links(tip)?.tree;
        let gone: Vec<_> = some.iter().map(|path| (path.as_str(), None)).collect();
        let tree = repo.with_files(Some(tree), &gone)?;
        let message =
            format!("Delete {} lease files\n\nTheir leases ended long ago; the ledger has their bytes.\n", some.len());
        let (parents, sign) = (&[tip], SignWith::Nobody);
        tip = repo.commit_tree(&NewCommit { tree, parents, message: &message, sign, who: "two-key" })?;
    }
    let (_, reports) = turn::fold_on(repo, session.root.commit(), session.state.clone(), tip)?;
    match reports.into_iter().flat_map(|report| report.findings).next() {
        Some(finding) => Err(Failure::refused(session.branch_name(), finding.refusal)),
        None => Ok(tip),
    }
}

/// Files as one step may delete them: with each go the folders that it lies in, at worst.
fn portions(files: &[String]) -> Vec<&[String]> {
    let (mut portions, mut begin, mut names) = (Vec::new(), 0, BTreeSet::new());
    for (at, path) in files.iter().enumerate() {
        let all = || path.match_indices('/').map(|(end, _)| &path[..end]).chain([path.as_str()]);
        let more = all().filter(|name| !names.contains(name)).count();
        if names.len() + more > MAX_STEP_NAMES {
            portions.extend(files.get(begin..at));
            (begin, names) = (at, BTreeSet::new());
        }
        names.extend(all());
    }
    portions.extend(files.get(begin..).filter(|rest| !rest.is_empty()));
    portions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_changes_more_names_than_one_may() {
        let files: Vec<_> =
            (0..1000).map(|number| format!("leases/{:03}/deeper/L{number}.yaml", number / (1 + number / 9))).collect();
        let portions = portions(&files);
        assert_eq!(portions.concat(), files);
        for portion in &portions {
            let folders = portion.iter().flat_map(|path| path.match_indices('/').map(|(end, _)| &path[..end]));
            let folders: BTreeSet<_> = folders.collect();
            assert!(portion.len() + folders.len() <= MAX_STEP_NAMES);
        }
        assert!(portions.len() > 4 && portions[0].len() > 80, "{portions:?}");
        assert!(super::portions(&[]).is_empty());
    }
}
