//! `status`: what each target serves, what is wanted, and what waits for whom.

use std::collections::BTreeSet;

use clap::Args as ClapArgs;

use super::{
    Failure, Format, Place,
    fresh::ReadSource,
    governed::{POLICY_PATH, Which},
    session::Session,
    terminal,
    turn::{self, stops},
};
use crate::{
    ledger::{self, EventKind},
    model::{LeaseId, Oid, TargetId},
    report::{self, Unpushed, Waiting, WaitingStop},
};

/// Show what each target serves, and what it waits for
///
/// Prints a line for each target: what its applier saw last and how long ago; what the ledger wants if that differs,
/// and why; the lease and since when it is in its state; what it waits for and who can sign; stops that are not
/// folded yet; what was signed here and is not pushed; and what else is open there. With one TARGET, all about its
/// lease follows.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key status\n  \
    git two-key status checkout-prod\n  \
    git two-key status --format json | jq '.targets[] | select(.why) | .target'")]
pub struct Args {
    /// The targets; a lease, by its id or its intent, means its target
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    #[command(flatten)]
    source: ReadSource,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// Prints the status.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let session = args.source.open(place)?;
    let all = report::status_targets(&session.state);
    let named = args.targets.iter().map(|handle| target(&session, &all, handle)).collect::<Result<BTreeSet<_>, _>>()?;
    let targets = if named.is_empty() { &all } else { &named };
    let at = ledger::at_targets(&session.state, targets);
    let leases = at.into_iter().flat_map(|at| at.newest.into_iter().chain(at.open)).collect();
    let beside = session.beside(&leases)?;
    let (stops, unpushed) = (waiting_stops(&session)?, beside.unpushed.clone());
    let waiting = Waiting { stops, unpushed, findings: session.past.findings() };
    let remarks = &session.remarks;
    let claimed = |commit| claimed_time(&session, commit);
    let view = report::status_view(&session.state, &claimed, &beside, &waiting, targets, remarks);
    session.sound()?;
    match args.format {
        Format::Json => terminal::say_value(&view),
        Format::Text => {
            session.say_remarks();
            terminal::say_styled(&report::status_text(&view, turn::now(), terminal::style()));
            if let [only] = view.targets.as_slice()
                && let Some(lease) =
                    only.lease.as_ref().or(only.others.last()).and_then(|one| LeaseId::parse(&one.lease))
                && !args.targets.is_empty()
            {
                let leases = [lease.clone()].into();
                let (reports, beside) = (session.past.about(&leases), session.beside_with_tags(&leases)?);
                let view = report::show_view(&session.state, &reports, &beside, &lease);
                session.sound()?;
                terminal::say(&format!("\n{}{}", report::lease_text(&view.lease), report::others_text(&view.others)));
            }
        }
    }
    Ok(())
}

/// When a commit was made, as it claims.
fn claimed_time(session: &Session, commit: Oid) -> Option<i64> {
    let links = session.repo.objects().and_then(|mut objects| objects.links(commit)).ok()?;
    i64::try_from(links.committer_time).ok()
}

/// The target that a handle means.
fn target(session: &Session, all: &BTreeSet<TargetId>, handle: &str) -> Result<TargetId, Failure> {
    if let Some(target) = all.iter().find(|target| target.as_str() == handle) {
        return Ok(target.clone());
    }
    let lease = session.subject(handle)?.lease;
    let target = session.state.document(&lease).map(|lease| lease.target.clone());
    target.ok_or_else(|| Failure::Usage(format!("{handle}: the lease has no file that says where it goes")))
}

/// The stops, here and fetched, that would stop something and that the ledger has not folded.
fn waiting_stops(session: &Session) -> Result<Vec<WaitingStop>, Failure> {
    let waiting = stops::beside_main(session)?.into_iter().flat_map(|(commit, places)| {
        let votes = stops::effective(session, commit);
        votes.into_iter().map(move |vote| WaitingStop {
            action: vote.statement().action().word().to_owned(),
            lease: vote.statement().lease().map(ToString::to_string),
            principal: vote.claims().to_string(),
            remark: vote.reason().map(str::to_owned),
            commit: commit.to_string(),
            places: places.iter().cloned().collect(),
        })
    });
    Ok(waiting.collect())
}

/// The files that propose something here and are not on the upstream.
fn proposed_here(session: &Session, upstream: Oid) -> Result<Vec<Unpushed>, Failure> {
    let mut objects = session.repo.objects()?;
    let theirs: BTreeSet<_> = objects.files_below(upstream, "leases")?.into_iter().collect();
    let ours = objects.files_below(session.tip, "leases")?;
    let leases = ours
        .into_iter()
        .filter(|file| !theirs.contains(file))
        .filter_map(|(path, _)| LeaseId::parse(path.rsplit('/').next()?.strip_suffix(".yaml")?));
    let proposed = |event: &str, what: &str, lease: Option<LeaseId>| Unpushed {
        event: event.to_owned(),
        what: what.to_owned(),
        lease: lease.map(|lease| lease.to_string()),
        principals: Vec::new(),
        commit: Some(session.tip.to_string()),
        beside: Vec::new(),
    };
    let mut proposals: Vec<_> = leases.map(|lease| proposed("PROPOSED", "proposal", Some(lease))).collect();
    if objects.file_id_at(session.tip, POLICY_PATH)? != objects.file_id_at(upstream, POLICY_PATH)? {
        proposals.push(proposed("POLICY_PROPOSED", "proposed policy", None));
    }
    Ok(proposals)
}

/// What the local branch has that its upstream, as it was fetched last, has not; and votes by note that no remote has.
pub(super) fn unpushed(session: &Session) -> Result<Vec<Unpushed>, Failure> {
    let mut unpushed = Vec::new();
    // What a remote was asked for by name has is there.
    let asked = matches!(&session.which, Which::Remote(Some(_)));
    let upstream = super::remotes::upstream(&session.repo, &session.branch)?.filter(|_| !asked);
    if let Some((_, upstream)) = upstream.filter(|(_, upstream)| *upstream != session.tip || session.laid_on > 0) {
        let mut ahead = Vec::new();
        // No more steps than commits.
        let most = usize::try_from(session.repo.ahead(session.tip, upstream)?).unwrap_or(usize::MAX);
        let most = most.saturating_add(session.laid_on);
        for report in session.past.last(most).into_iter().rev() {
            if session.repo.is_ancestor(report.commit, upstream)? {
                break;
            }
            ahead.push(report);
        }
        let events = ahead.iter().rev().flat_map(|report| &report.events);
        let voted = events.filter(|event| !event.votes.is_empty() && event.event != EventKind::Verified2Key);
        let stops = stops::beside_main(session)?;
        let beside = |commit: &Oid| {
            let places = stops.get(commit).into_iter().flatten();
            places.filter(|place| *place != "here").cloned().collect()
        };
        unpushed.extend(voted.map(|event| Unpushed {
            event: event.event.name().to_owned(),
            what: report::event_words(event),
            beside: beside(&event.commit),
            lease: event.lease.as_ref().map(ToString::to_string),
            principals: event.votes.iter().map(|vote| vote.principal.to_string()).collect(),
            commit: Some(event.commit.to_string()),
        }));
        unpushed.extend(proposed_here(session, upstream)?);
    }
    if !session.repo.remotes()?.is_empty() {
        unpushed.extend(session.undelivered_notes()?.iter().map(|vote| Unpushed {
            event: "BY_NOTE".to_owned(),
            what: "vote by note".to_owned(),
            beside: Vec::new(),
            lease: vote.statement().lease().map(ToString::to_string),
            principals: vec![vote.claims().to_string()],
            commit: None,
        }));
    }
    Ok(unpushed)
}
