//! Stops that could not wait for main: carried over to it before anything goes forward.

use super::{fold_on, push::merge, tags};
use crate::{
    cli::{Failure, session::Session, terminal::remark},
    git::{MIRROR, RefUpdate},
    ledger::{self, Hypothesis},
    model::Oid,
    report,
    signature::{Cosignature, Opened},
};

/// Where stops wait that main would not have.
pub const STOPS: &str = "refs/two-key/stops/";

/// Carries over every stop, local or fetched, that would have an effect: each by an unsigned merge on the local branch.
pub fn carry_over(session: &mut Session) -> Result<(), Failure> {
    let refs = session.repo.refs(&[STOPS.trim_end_matches('/'), MIRROR.trim_end_matches('/')])?;
    let mut waiting: Vec<Oid> = refs
        .into_iter()
        .filter(|(name, _)| name.contains("/two-key/stops/") || name.starts_with(STOPS))
        .map(|(_, id)| id)
        .collect();
    waiting.sort_unstable();
    waiting.dedup();
    for stop in waiting {
        carry(session, stop)?;
    }
    Ok(())
}

/// The verified stops of a commit, and its subject.
fn opened(session: &Session, stop: Oid) -> Option<(Vec<Cosignature>, String)> {
    // Whatever cannot be read is no stop; the ledger goes on without it.
    let opened = session.repo.objects().ok()?.open_one(stop).ok()?;
    let Opened::Carrier { statement, votes } = opened else { return None };
    let stops = votes.into_iter().flatten().filter(|vote| vote.statement().action().stops());
    Some((stops.collect(), report::subject_line(&statement)))
}

fn carry(session: &mut Session, stop: Oid) -> Result<(), Failure> {
    let Some((votes, subject)) = opened(session, stop) else { return Ok(()) };
    let (_, would) = ledger::hypothetical(&session.state, Hypothesis::Signed(&votes));
    if !would.stopped_something() {
        return Ok(());
    }
    let tree = session.repo.objects()?.links(session.tip)?.tree;
    let merged = merge(&session.repo, session.tip, stop, tree, &subject)?;
    let (state, reports) = fold_on(&session.repo, session.root.commit(), session.state.clone(), merged)?;
    if !reports.iter().any(ledger::StepReport::stopped_something) {
        return Ok(());
    }
    let mut updates = vec![RefUpdate { name: session.branch.clone(), old: Some(session.tip), new: merged }];
    updates.extend(tags::updates(&session.repo, &state, merged, "two-key", |_| false)?);
    session.repo.update_refs(&updates, "two-key: carry over a stop")?;
    session.move_to(merged, state, reports);
    remark(&format!(
        "carried over a stop that waited beside {}: {subject} ({})",
        session.branch_name(),
        merged.short()
    ));
    Ok(())
}
