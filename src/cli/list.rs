//! `list`: leases at a glance.

use std::collections::BTreeSet;

use clap::{Args as ClapArgs, builder::PossibleValuesParser};

use super::{
    Failure, Format, Place,
    fresh::ReadSource,
    governed::{Root, Which},
    notify, pager,
    session::Session,
    terminal, watch,
};
use crate::{
    ledger::Phase,
    report::{self, Awaits, Found, ListDepth, ListFilter, ListView},
};

/// List leases: who signed, the weights, what each waits for
///
/// Prints open leases and, for each target, the lease that ended last, a line each, oldest first: its state and tier,
/// how many of the keys that authorize it have signed, the weight that the ledger wants, the weight that an applier
/// has observed (`-` where none has recorded any), and what it waits for. Votes in notes are shown as `by note`: they
/// count once a transition seals them.
#[derive(Debug, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[command(after_long_help = "Examples:\n  \
    git two-key list\n  \
    git two-key list --all --state rolled-back --limit 20\n  \
    git two-key list --watch\n  \
    git two-key list --mine\n  \
    git two-key list --mine --watch --exec notify-me\n  \
    PS1='$(git two-key list --short 2>/dev/null) \\$ '\n  \
    git two-key list --format json \\\n    \
    | jq '.leases[] | select(.awaits.agents > 0) | .lease'")]
pub struct Args {
    #[command(flatten)]
    source: ReadSource,
    /// Keep looking: a live tree by target, drawn again whenever something has changed
    #[arg(long, conflicts_with_all = ["format", "short"])]
    watch: bool,
    /// One short line for a prompt; empty where nothing is open
    #[arg(long, conflicts_with_all = ["format", "mine"])]
    short: bool,
    /// Only leases, policies and the end of a freeze that wait for your signature; your key is `two-key.key` or `user.signingkey`
    #[arg(long)]
    mine: bool,
    /// Run this program for each lease, or policy, that begins to await your key, with the lease (or `policy`) and what it
    /// awaits as arguments and all about it as JSON on its standard input
    #[arg(long, value_name = "PROGRAM", requires = "mine")]
    exec: Option<String>,
    /// All leases, also those that have ended before the last of their target
    #[arg(long)]
    all: bool,
    /// Only leases of this target, of all that there are
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Only leases in this state, of all that there are; may be given several times
    #[arg(long, value_name = "STATE", value_parser = PossibleValuesParser::new(Phase::WORDS))]
    state: Vec<String>,
    /// At most so many leases, the newest
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

impl Args {
    /// Which leases are shown.
    fn shown(&self) -> ListFilter {
        let chosen = self.all || self.target.is_some() || !self.state.is_empty();
        ListFilter {
            past: if chosen { ListDepth::All } else { ListDepth::Last },
            target: self.target.clone(),
            states: self.state.iter().cloned().collect(),
            limit: self.limit,
        }
    }
}

/// Prints the list.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    if args.watch {
        let style = terminal::style();
        let mut notified = BTreeSet::new();
        return watch::run(place, &args.source, || {
            let (session, view) = view(args, &place.anew(), &args.source.tip())?;
            notify::tell(args.exec.as_deref(), place, &view, &mut notified);
            let remarks = session.remarks_text();
            Ok(move |now| format!("{remarks}{}", report::live_list(&view, now, style)))
        });
    }
    // A prompt waits for no network.
    let which = if args.short { args.source.tip() } else { args.source.which(place)? };
    let (session, view) = view(args, place, &which)?;
    notify::tell(args.exec.as_deref(), place, &view, &mut BTreeSet::new());
    if args.mine && args.format == Format::Text {
        let me = session.signer()?;
        for line in report::ending_keys(&session.state, Some(&me), super::turn::now()) {
            terminal::remark(&line);
        }
    }
    match args.format {
        Format::Json => terminal::say_value(&view),
        Format::Text if args.short => {
            let me = session.signer().ok();
            let line = report::list_short(&view, me.as_ref().map(crate::model::PrincipalId::as_str));
            if !line.is_empty() {
                terminal::say(&line);
            }
        }
        Format::Text
            if args.mine && view.leases.is_empty() && view.policy_proposed.is_none() && view.thaw_awaits.is_none() =>
        {
            session.say_remarks();
            terminal::say("nothing waits for your key");
        }
        Format::Text => {
            session.say_remarks();
            pager::page(&session.repo, &report::list_text(&view));
        }
    }
    Ok(())
}

fn view(args: &Args, place: &Place, which: &Which) -> Result<(Session, ListView), Failure> {
    let session = Session::open(place, which)?;
    let pinned = match session.root {
        Root::Pinned(root) => Some(root),
        Root::Unpinned(_) => None,
    };
    let shown = args.shown();
    let leases = shown.among(&session.state);
    let beside = session.beside(&leases)?;
    let found = Found { all: session.past.findings(), of: &|lease| session.past.findings_of(lease) };
    let mut view =
        report::list_view(&session.state, &leases, &found, &beside, pinned, &session.branch, &session.remarks);
    if !args.short {
        view = report::shown(view, &shown);
    }
    if args.mine {
        let me = session.signer()?;
        let mine = |awaits: &Awaits| report::awaits_key_of(awaits, me.as_str());
        view.leases.retain(|lease| lease.awaits.as_ref().is_some_and(mine));
        view.left_out = 0;
        view.policy_proposed = view.policy_proposed.filter(|proposed| proposed.awaits.as_ref().is_some_and(mine));
        view.thaw_awaits = view.thaw_awaits.filter(mine);
    }
    session.sound()?;
    Ok((session, view))
}
