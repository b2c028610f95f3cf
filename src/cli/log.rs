//! `log`: the audit trail.

use std::collections::BTreeSet;

use clap::{Args as ClapArgs, builder::PossibleValuesParser};
use jiff::Timestamp;

use super::{
    Failure, Format, Place, fresh::ReadSource, governed::Root, pager, session::Session, subject, terminal, turn,
};
use crate::{
    ledger::{EventKind, StepReport},
    model::{LeaseId, Reason, Refusal, document::Span},
    report::{self, Beside, TrailFilter},
};

/// Show the audit trail: what took effect and what was refused
///
/// Verifies first what of the ledger was not verified here before, and says at the top what came of all of it, whatever is chosen
/// to be shown; then prints its events and its refusals in the order in which the ledger has them, newest last: when (`claimed` by the commit, or `seen` by an
/// applier), the commit, the event, the lease, step and tier, every key that it rests on with its fingerprint and the reason
/// that was given, and the tag. A vote that waits for others is an event of its own, VOTED. There is no second log that could differ from the ledger.
///
/// Times are what signers claim. Who must not rely on that names commits instead: git two-key verify --range A..B.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key log\n  \
    git two-key log checkout-prod --since 7d\n  \
    git two-key log --event HALTED --event ROLLED_BACK --since 2025-01-01\n  \
    git two-key log --principal cp14 --format json | jq -r .event\n  \
    git two-key log --format in-toto > trail.jsonl\n\n\
    Exit codes: 0 everything counts; 1 the ledger holds what did not count, shown or not.")]
pub struct Args {
    /// The lease, by its id or its intent; or a target, with all its leases
    lease: Option<String>,
    /// The same as LEASE
    #[arg(long = "lease", value_name = "LEASE", conflicts_with = "lease")]
    of: Option<String>,
    /// Only this event, by its name; may be given several times
    #[arg(long, value_name = "NAME", ignore_case = true, hide_possible_values = true,
          value_parser = PossibleValuesParser::new(EventKind::ALL.map(EventKind::name)))]
    event: Vec<String>,
    /// Only from then on: a length of time before now (90m, 7d), a day (2025-10-27, UTC) or a time in RFC 3339
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only events that this principal signed or is named in, and changes to its keys
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    #[command(flatten)]
    source: ReadSource,
    /// How to print; json and in-toto print one object a line
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Form,
}

/// How the trail is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Form {
    /// For people.
    #[default]
    Text,
    /// For programs; keeps its shape within a major version.
    Json,
    /// In-toto statements in DSSE envelopes, not signed by themselves.
    InToto,
}

impl Form {
    /// How a failure is printed that goes with it.
    pub fn of_failure(self) -> Format {
        match self {
            Self::Text => Format::Text,
            Self::Json | Self::InToto => Format::Json,
        }
    }
}

/// Prints the trail.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let wanted = wanted(args)?;
    let session = args.source.open(place)?;
    let handle = args.lease.as_ref().or(args.of.as_ref());
    let subject = handle.map(|handle| session.subject(handle)).transpose()?;
    let leases = subject.as_ref().map(|subject| session.all_of(subject));
    let (reports, beside) = reports_of(&session, leases.as_ref(), &wanted)?;
    let mut entries = report::trail(&session.state, &reports, &beside, leases.as_ref());
    entries.retain(|entry| wanted.admits(entry));
    if let Some(name) = args.principal.as_deref().filter(|_| entries.is_empty()) {
        known_principal(&session, name)?;
    }
    let findings = session.past.findings();
    session.sound()?;
    match args.format {
        Form::Text => {
            session.say_remarks();
            let lines = entries.iter().map(report::entry_text);
            let lines: Vec<_> = std::iter::once(verdict(&session, findings)).chain(lines).collect();
            pager::page(&session.repo, &lines.join("\n"));
        }
        Form::Json | Form::InToto => {
            if findings > 0 {
                terminal::remark(&verdict(&session, findings));
            }
            if args.format == Form::Json {
                terminal::say_lines(&entries);
            } else {
                let envelopes = entries.iter().map(|entry| report::attestation(&session.state, entry));
                terminal::say_lines(&envelopes.collect::<Vec<_>>());
            }
        }
    }
    if findings == 0 { Ok(()) } else { Err(Failure::Said(1)) }
}

/// What steps did that may be told of, and what is known beside that.
fn reports_of(
    session: &Session,
    leases: Option<&BTreeSet<LeaseId>>,
    wanted: &TrailFilter,
) -> Result<(Vec<StepReport>, Beside), Failure> {
    let reports = match (leases, wanted.since) {
        (Some(leases), _) => session.past.about(leases),
        (None, Some(since)) => session.past.since(since.as_second()),
        (None, None) => session.past.all(),
    };
    let named = reports.iter().flat_map(|report| &report.events).filter_map(|event| event.lease.clone());
    let beside = session.beside_with_history(&named.collect())?;
    // What appliers saw stands behind the steps that it went by, which may be any.
    let reports = if beside.happened.is_empty() { reports } else { session.past.all() };
    Ok((reports, beside))
}

/// Refuses a name that no policy has had: that it did nothing would say nothing.
fn known_principal(session: &Session, name: &str) -> Result<(), Failure> {
    let former = report::former_keys(&session.state, &session.past.all());
    let listed = session.state.policy().get().principals.keys().map(ToString::to_string);
    let names: Vec<String> = listed.chain(former.iter().map(|key| key.principal.to_string())).collect();
    if names.iter().any(|known| known == name) {
        return Ok(());
    }
    let refusal = Refusal::new(Reason::NotFound, "no policy has had a principal of that name");
    let meant = subject::alike(names, name).map(|name| format!("did you mean {name}? ")).unwrap_or_default();
    Err(Failure::refused(name, refusal.hint(meant + "see who there is with: git two-key key list")))
}

/// What the verifier says of the whole ledger, on one line.
fn verdict(session: &Session, findings: usize) -> String {
    let steps = session.past.len();
    let (root, tip) = (session.root.commit().short(), session.tip.short());
    let range = format!("{steps} step{} from root {root} to {tip}", if steps == 1 { "" } else { "s" });
    match (findings, session.root) {
        (0, Root::Pinned(_)) => format!("verified: {range}; everything counts"),
        (0, Root::Unpinned(_)) => format!("not verified, as no root is pinned: {range}"),
        (some, _) => format!(
            "DOES NOT VERIFY: {some} REFUSED in {range}; they did not count and altered nothing\n\
             hint: see each with what helps: git two-key verify --all"
        ),
    }
}

fn wanted(args: &Args) -> Result<TrailFilter, Failure> {
    let since = args.since.as_deref().map(|text| since(text, turn::now())).transpose()?;
    Ok(TrailFilter {
        events: args.event.iter().map(|name| name.to_uppercase()).collect(),
        since,
        principal: args.principal.clone(),
    })
}

/// A length of time before now, a day, or a time.
fn since(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let before = |span: Span| {
        let seconds = i64::try_from(span.as_secs()).ok()?;
        Timestamp::from_second(now.as_second().checked_sub(seconds)?).ok()
    };
    let day = || {
        let day = text.parse::<jiff::civil::Date>().ok()?;
        jiff::tz::TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()
    };
    let found = Span::parse(text).and_then(before).or_else(|| text.parse().ok()).or_else(day);
    found.ok_or_else(|| {
        Failure::Usage(format!(
            "--since {text}: it is a length of time as in 7d, a day as in 2025-10-27, or a time as in \
             2025-10-27T02:19:13Z"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_length_a_day_or_a_time() {
        let now: Timestamp = "2025-10-27T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("90m", "2025-10-27T10:30:00Z"),
            ("7d", "2025-10-20T12:00:00Z"),
            ("2025-10-01", "2025-10-01T00:00:00Z"),
            ("2025-10-27T02:19:13+01:00", "2025-10-27T01:19:13Z"),
        ] {
            assert_eq!(since(text, now).unwrap(), expected.parse::<Timestamp>().unwrap(), "{text}");
        }
        for text in ["yesterday", "7", "2025-13-01", ""] {
            assert!(matches!(since(text, now), Err(Failure::Usage(_))), "{text}");
        }
    }
}
