//! Several leases by one command: one table, one question, one push. Each has a signature of its own.

use super::{
    Ask, Carried, Flags, Signer, effect,
    forward::{self, Turned},
    now,
    push::{Consent, Fresh, Moves, Push},
    stops,
};
use crate::{
    cli::{
        Failure, Place,
        session::Session,
        terminal::{self, say},
    },
    inbox::{self, Overlay, Plan},
    ledger::{self, State},
    model::{Action, LeaseId, Reason, Refusal, policy::Role},
    report,
};

/// Which leases are meant.
#[derive(Debug, clap::Args)]
pub struct Leases {
    /// The leases, each by its id, its intent or its target
    #[arg(value_name = "LEASE", required_unless_present_any = ["target_prefix", "intent"])]
    pub leases: Vec<String>,
    /// And every lease that awaits this on a target whose name begins so
    #[arg(long, value_name = "TEXT")]
    pub target_prefix: Option<String>,
    /// And every lease of this intent that awaits this
    #[arg(long, value_name = "INTENT")]
    pub intent: Option<String>,
}

impl Leases {
    /// The leases that are meant, each once.
    pub fn resolve(&self, session: &Session, action: Action) -> Result<Vec<LeaseId>, Failure> {
        let mut ids = Vec::new();
        for handle in &self.leases {
            ids.push(session.lease(handle, Some(action))?);
        }
        let state = &session.state;
        if self.target_prefix.is_some() || self.intent.is_some() {
            let meant = |id: &LeaseId| {
                let Some(lease) = state.document(id) else { return false };
                let prefix = self.target_prefix.as_ref().is_none_or(|start| lease.target.as_str().starts_with(start));
                let named = |intent: &String| lease.intent.as_ref().is_some_and(|own| own.as_str() == intent);
                let awaits = || ledger::awaited(state, id).is_some_and(|awaited| awaited.action == action);
                prefix && self.intent.as_ref().is_none_or(named) && awaits()
            };
            ids.extend(state.known_leases().into_iter().filter(meant));
        }
        let mut once = Vec::new();
        ids.into_iter().for_each(|id| {
            if !once.contains(&id) {
                once.push(id)
            }
        });
        if once.is_empty() {
            let refusal = Refusal::new(Reason::UnknownLease, format!("no lease that is meant awaits {action}"));
            return Err(Failure::refused(action.word(), refusal.hint("see what awaits what with: git two-key list")));
        }
        Ok(once)
    }
}

/// Turns a key for each of some leases; for one as ever.
pub fn turn_each(
    place: &Place,
    session: Session,
    flags: &Flags,
    action: Action,
    ask: Ask<'_>,
    leases: &Leases,
) -> Result<(), Failure> {
    let ids = leases.resolve(&session, action)?;
    if let [one] = ids.as_slice() {
        let ask = Ask { lease: Some(one.as_str()), ..ask };
        return forward::turn(place, session, flags, action, &ask);
    }
    turn_all(place, session, flags, action, &ask, &ids)
}

fn turn_all(
    place: &Place,
    mut session: Session,
    flags: &Flags,
    action: Action,
    ask: &Ask<'_>,
    ids: &[LeaseId],
) -> Result<(), Failure> {
    if ask.carried == Carried::Note {
        return Err(Failure::Usage("--as note is for one lease".to_owned()));
    }
    let delivery = flags.delivery(&session.repo, &session.branch)?;
    if !flags.dry_run {
        stops::carry_over(&mut session)?;
    }
    let waiting = session.inbox()?;
    let signer = Signer::find(place, &session.repo, &session.state, flags.key.as_deref())?;
    let about = format!("{action} of {} leases", ids.len());
    if ask.people_only && signer.role != Role::Human {
        let message = format!("{} is an {}: approving is for people", signer.principal, signer.role.word());
        return Err(Failure::refused(about, Refusal::new(Reason::WrongRole, message)));
    }
    inbox::key_in_time(&session.state, action, signer.public.raw(), now())
        .map_err(|refusal| Failure::refused(about.as_str(), refusal))?;
    // All is planned before anything is signed: one that does not hold refuses the others with it.
    let mut state = session.state.clone();
    let mut rows = Vec::new();
    for id in ids {
        let plan = planned(&state, &waiting, action, id, &signer)?;
        let target = state.document(id).map(|lease| lease.target.to_string()).unwrap_or_default();
        rows.push(vec![id.to_string(), target, effect::words(&state, &plan.after, &plan.statement)]);
        state = plan.after;
    }
    say(&report::table(&["LEASE", "TARGET", "WHAT YOUR KEY DOES"], &rows));
    if flags.dry_run {
        return Ok(());
    }
    if !flags.yes && !terminal::agrees(&format!("turn the key of {} for all {}?", signer.principal, ids.len())) {
        let message = "nobody agreed to turn a key for all of them; nothing was signed";
        return Err(Failure::Undecided(Refusal::new(Reason::NotSigned, message).hint("where nobody is asked: --yes")));
    }
    let before = session.tip;
    let (mut turned, mut tags, mut commits) = (Vec::new(), Vec::new(), Vec::new());
    for id in ids {
        let plan = planned(&session.state, &waiting, action, id, &signer)?;
        let made = forward::commit(&mut session, &signer, &plan, flags, id.as_str())?;
        turned.push(Turned { statement: plan.statement, shown: made.shown });
        tags.extend(made.tags);
        commits.push(made.commit);
    }
    let Some(remote) = delivery.remote() else {
        say(&forward::push_line(&session, flags, &tags, &ask.options)?);
        return Ok(());
    };
    let consent = if flags.yes { Consent::Given } else { Consent::Asked };
    let (who, ours) = (signer.principal.as_str(), session.tip);
    let fresh = Some(Fresh { turned, commits, before, tags, consent });
    let options = ask.options.clone();
    Push { session: &mut session, remote, about: &about, who, options, ours, moves: Moves::ByMerge, fresh }.run()
}

/// What a key's turn for one lease comes to at a state.
fn planned(state: &State, waiting: &Overlay, action: Action, id: &LeaseId, signer: &Signer) -> Result<Plan, Failure> {
    let refused = |refusal: Refusal| Failure::refused(id.as_str(), refusal);
    let plan = Plan::new(state, waiting, action, Some(id), None).map_err(refused)?;
    inbox::in_window(&plan.before, action, Some(id), now()).map_err(refused)?;
    plan.turned_by(waiting, &signer.public, &signer.principal).map_err(refused)
}
