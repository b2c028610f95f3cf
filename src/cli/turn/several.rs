//! Several leases by one command: one table, one question, one push. Each has a signature of its own, and nothing is signed
//! unless all can be.

use std::fmt::Write as _;

use super::{
    Ask, Carried, Flags, Signer, effect,
    forward::{self, LocalVote},
    now,
    push::{BranchPush, Fresh, Moves, Turned},
    stops,
};
use crate::{
    cli::{
        Failure, Place, account,
        session::Session,
        terminal::{self, remark, say},
    },
    inbox::{self, Overlay, Plan},
    ledger::{self, State},
    model::{Action, LeaseId, Reason, Refusal},
    report::{self, RefusedView},
};

/// Which leases are meant.
#[derive(Debug, clap::Args)]
pub struct LeaseChoice {
    /// The lease, or several: each its id, its intent or its target
    #[arg(value_name = "LEASE", required_unless_present_any = ["target_prefix", "intent"])]
    named: Vec<String>,
    /// All that wait for this on targets whose names begin so; with --intent, those of the intent
    #[arg(long, value_name = "TEXT", conflicts_with = "named")]
    target_prefix: Option<String>,
    /// All of this intent that wait for this
    #[arg(long, value_name = "INTENT", conflicts_with = "named")]
    intent: Option<String>,
}

impl LeaseChoice {
    /// The one thing that is named, if it is one.
    pub fn one(&self) -> Option<&str> {
        if let [one] = self.named.as_slice() { Some(one) } else { None }
    }

    /// Whether this is among what is named.
    pub fn names(&self, word: &str) -> bool {
        self.named.iter().any(|named| named == word)
    }

    /// The same as they were given.
    fn words(&self) -> String {
        let by = |flag: &str, text: &Option<String>| text.as_ref().map(|text| format!("{flag} {text}"));
        let by = [by("--target-prefix", &self.target_prefix), by("--intent", &self.intent)];
        let all: Vec<_> = self.named.iter().cloned().chain(by.into_iter().flatten()).collect();
        all.join(" ")
    }

    /// The leases, each once, or why what is named is none.
    fn found(&self, session: &Session, action: Action) -> Vec<(String, Result<LeaseId, Refusal>)> {
        let mut found: Vec<(String, Result<LeaseId, Refusal>)> = Vec::new();
        for handle in &self.named {
            let lease = session.resolved(handle, Some(action));
            let name = lease.as_ref().map_or_else(|_| handle.clone(), ToString::to_string);
            if found.iter().all(|(known, _)| *known != name) {
                found.push((name, lease));
            }
        }
        if self.named.is_empty() {
            let meant = session.state.known_leases().into_iter().filter(|id| self.means(&session.state, id, action));
            found.extend(meant.map(|id| (id.to_string(), Ok(id))));
        }
        found
    }

    fn means(&self, state: &State, id: &LeaseId, action: Action) -> bool {
        let Some(lease) = state.document(id) else { return false };
        let on_target = |start: &String| lease.target.as_str().starts_with(start);
        let of_intent = |intent: &String| lease.intent.as_ref().is_some_and(|own| own.as_str() == intent);
        self.target_prefix.as_ref().is_none_or(on_target)
            && self.intent.as_ref().is_none_or(of_intent)
            && ledger::awaited(state, id).is_some_and(|awaited| awaited.action == action)
    }
}

/// What becomes of one of the leases.
struct LeaseOutcome {
    name: String,
    turn: VoteOutcome,
}

enum VoteOutcome {
    /// It is signed, and what that does.
    Open(Box<Plan>, String),
    /// It was signed before, and is pushed with the others where it was not.
    Made,
    /// It is not signed, and so none is.
    Refused(Refusal),
}

impl LeaseOutcome {
    fn cells(&self, state: &State) -> Vec<String> {
        let words = match &self.turn {
            VoteOutcome::Open(_, words) => words.strip_prefix(&format!("{}: ", self.name)).unwrap_or(words).to_owned(),
            VoteOutcome::Made => "signed before; what is not pushed yet is pushed now".to_owned(),
            VoteOutcome::Refused(refusal) => format!("refused: {}", refusal.reason.code()),
        };
        let lease = LeaseId::parse(&self.name).and_then(|id| state.document(&id));
        let target = lease.map(|lease| lease.target.to_string()).unwrap_or_default();
        let summary = lease.and_then(|lease| lease.summary.clone()).unwrap_or_default();
        vec![self.name.clone(), target, report::escaped(&words), report::escaped(&summary)]
    }
}

/// Turns a key for a lease, or for each of several: for all or for none.
pub fn turn_each(
    place: &Place,
    mut session: Session,
    flags: &Flags,
    action: Action,
    ask: Ask<'_>,
    leases: &LeaseChoice,
) -> Result<(), Failure> {
    if let Some(one) = leases.one() {
        return forward::turn(place, session, flags, action, &Ask { lease: Some(one), ..ask });
    }
    if ask.carried == Carried::Note {
        return Err(Failure::Usage("--as note is for one lease".to_owned()));
    }
    let delivery = flags.delivery(&session.repo, &session.branch)?;
    if !flags.dry_run {
        stops::carry_over(&mut session)?;
    }
    let signer = Signer::find(place, &session.repo, &session.state, flags.key.as_deref())?;
    forward::may_turn(&session, &signer, action, &ask, &leases.words())?;
    let rows = planned(&session, &signer, action, leases, delivery.remote())?;
    show(&session, &rows, &ask)?;
    all_open(&rows)?;
    let plans: Vec<_> = rows.into_iter().filter_map(|LeaseOutcome { turn, .. }| turn.open()).collect();
    if flags.dry_run {
        dry_run(&signer, &plans);
        return Ok(());
    }
    if !flags.yes && !plans.is_empty() && !terminal::agrees(&question(&signer, &plans)) {
        let message = "nobody agreed to turn a key for all of them; nothing was signed";
        return Err(Failure::Undecided(Refusal::new(Reason::NotSigned, message).hint("where nobody is asked: --yes")));
    }
    make(&mut session, &signer, plans, flags, delivery.remote(), &ask)
}

impl VoteOutcome {
    fn open(self) -> Option<Plan> {
        if let Self::Open(plan, _) = self { Some(*plan) } else { None }
    }
}

/// What becomes of each, every plan made on what those before it come to.
fn planned(
    session: &Session,
    signer: &Signer,
    action: Action,
    leases: &LeaseChoice,
    remote: Option<&str>,
) -> Result<Vec<LeaseOutcome>, Failure> {
    let waiting = session.inbox()?;
    let mut state = session.state.clone();
    let mut rows = Vec::new();
    for (name, found) in leases.found(session, action) {
        let turn = match found {
            Ok(id) => turn_of(session, &mut state, &waiting, action, &id, signer, remote)?,
            Err(refusal) => VoteOutcome::Refused(refusal),
        };
        rows.push(LeaseOutcome { name, turn });
    }
    // A pattern means what waits for this key.
    let has_voted =
        |row: &LeaseOutcome| matches!(&row.turn, VoteOutcome::Refused(why) if why.reason == Reason::AlreadyVoted);
    if leases.named.is_empty() && !rows.iter().all(has_voted) {
        rows.retain(|row| !has_voted(row));
    }
    if rows.is_empty() {
        let message = format!("no lease that is meant waits for a {action}");
        let refusal = Refusal::new(Reason::UnknownLease, message);
        return Err(Failure::refused(leases.words(), refusal.hint("see what waits for whom with: git two-key list")));
    }
    Ok(rows)
}

fn turn_of(
    session: &Session,
    state: &mut State,
    waiting: &Overlay,
    action: Action,
    id: &LeaseId,
    signer: &Signer,
    remote: Option<&str>,
) -> Result<VoteOutcome, Failure> {
    if let Some(remote) = remote
        && forward::is_interrupted(session, remote, action, id, signer)?
    {
        return Ok(VoteOutcome::Made);
    }
    let plan = Plan::new(state, waiting, action, Some(id), None)
        .and_then(|plan| inbox::in_window(&plan.before, action, Some(id), now()).map(|()| plan))
        .and_then(|plan| plan.turned_by(waiting, &signer.public, &signer.principal));
    match plan {
        Ok(plan) => {
            let words = effect::words(state, &plan.after, &plan.statement);
            *state = plan.after.clone();
            Ok(VoteOutcome::Open(Box::new(plan), words))
        }
        Err(refusal) if refusal.reason == Reason::AlreadyVoted && forward::is_unpushed(session, remote)? => {
            Ok(VoteOutcome::Made)
        }
        Err(refusal) => Ok(VoteOutcome::Refused(refusal)),
    }
}

/// Shows all that is signed, and the table of it.
fn show(session: &Session, rows: &[LeaseOutcome], ask: &Ask<'_>) -> Result<(), Failure> {
    for row in rows {
        if let (VoteOutcome::Open(plan, _), Some(show)) = (&row.turn, ask.show) {
            say(&show(session, &plan.statement)?);
        }
    }
    let cells: Vec<_> = rows.iter().map(|row| row.cells(&session.state)).collect();
    say(&report::table(&["LEASE", "TARGET", "WHAT YOUR KEY DOES", "SUMMARY"], &cells));
    let effects = rows
        .iter()
        .filter_map(|row| if let VoteOutcome::Open(_, words) = &row.turn { Some(words.clone()) } else { None });
    account::note(|account| account.effect = effects.collect());
    Ok(())
}

/// Refuses all where one is refused, naming each that is.
fn all_open(rows: &[LeaseOutcome]) -> Result<(), Failure> {
    let refused = rows.iter().filter_map(|row| match &row.turn {
        VoteOutcome::Refused(refusal) => Some((row.name.as_str(), refusal)),
        VoteOutcome::Open(..) | VoteOutcome::Made => None,
    });
    let refused: Vec<_> = refused.collect();
    let Some((name, first)) = refused.first() else { return Ok(()) };
    account::note(|account| {
        account.effect.clear();
        account.refused.extend(refused.iter().map(|(name, refusal)| RefusedView::new(name, refusal)));
    });
    let mut refusal = (*first).clone();
    let _ = write!(refusal.message, "; so nothing was signed for any of the {}", rows.len());
    if refused.len() > 1 {
        let lines: Vec<_> = refused.iter().map(|(name, refusal)| format!("{name}: {refusal}")).collect();
        refusal = refusal.detail(lines.join("\n"));
    }
    Err(Failure::refused(*name, refusal.hint("leave out what is refused, and name the others again")))
}

fn dry_run(signer: &Signer, plans: &[Plan]) {
    for plan in plans {
        account::note(|account| account.signed.push(forward::signed(signer, &plan.statement, None)));
        say(&format!("\n{} would sign:\n\n{}", signer.principal, plan.statement));
    }
}

fn question(signer: &Signer, plans: &[Plan]) -> String {
    let each = if plans.len() == 1 { "this one".to_owned() } else { format!("each of these {}", plans.len()) };
    format!("turn the key of {} for {each}?", signer.principal)
}

/// Signs one after the other, and pushes all at once. What is signed when one fails stays, as it does after Ctrl-C.
fn make(
    session: &mut Session,
    signer: &Signer,
    plans: Vec<Plan>,
    flags: &Flags,
    remote: Option<&str>,
    ask: &Ask<'_>,
) -> Result<(), Failure> {
    let before = session.tip;
    let (mut turned, mut commits, mut tags) = (Vec::new(), Vec::new(), Vec::new());
    let about = format!("{} leases", plans.len());
    for plan in plans {
        let subject = plan.statement.lease().map(ToString::to_string).unwrap_or_default();
        let LocalVote { commit, tags: made, shown } = forward::commit(session, signer, &plan, flags, &subject)
            .inspect_err(|_| say_half_done(session, commits.len(), remote))?;
        turned.push(Turned { statement: plan.statement, shown });
        commits.push(commit);
        tags.extend(made);
    }
    let Some(remote) = remote else { return forward::say_how_to_push(session, flags, &tags, &ask.options) };
    if commits.is_empty() {
        return forward::push_again(session, signer, remote, &about, flags.consent());
    }
    let consent = flags.consent();
    let (who, ours, options) = (signer.principal.as_str(), session.tip, ask.options.clone());
    let fresh = Some(Fresh { turned, commits, before, tags });
    BranchPush { session, remote, about: &about, who, options, ours, moves: Moves::ByMerge, fresh, consent }.run()
}

fn say_half_done(session: &Session, signed: usize, remote: Option<&str>) {
    if signed > 0 && remote.is_some() {
        let branch = session.branch_name();
        remark(&format!(
            "NOT PUSHED: {signed} signed on the local {branch} before this\nhint: push them with: git two-key sync; take \
             them back with: git two-key undo"
        ));
    }
}
