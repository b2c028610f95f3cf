//! `gate`: whether a tier is healthy, now or in the past, and whether evidence holds.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args as ClapArgs;
use jiff::Timestamp;

use crate::{
    follower::records,
    gate::{
        self, Evidence, EvidenceView, GateView, MAX_EVIDENCE_BYTES, Names, ReplayView, ReplayedSlot, TierContext,
        Verdict, Watch,
    },
    ledger::{LeaseState, Phase, PinnedTerms},
    model::{self, Digest, ForwardKind, LeaseId, Oid, Reason, Refusal, lease::Lease},
    signature::Opened,
    sources::{Sources, SourcesConfig},
};

use super::{Failure, Format, Place, fresh::ReadSource, session::Session, terminal, watch};

/// The most slots that a replay goes through.
const MAX_REPLAYED: usize = 20_000;

/// Say whether a tier is healthy, gate by gate
///
/// Asks the metrics sources of --config for the newest slot that is due, and prints the verdict of every gate and
/// threshold of the lease. Slots at which nobody looked have no data: what was seen is kept in the repository's
/// two-key folder, so that each call goes on where the last one ended. The applier attests when the tier began, or
/// --since says it.
///
/// With --replay it prints, slot by slot, what it would have said in the past. With --evidence it takes the evidence
/// that a signed commit names, checks its digest, and judges the recorded answers again without asking anybody.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key gate checkout-prod --config applier.yaml\n  \
    git two-key gate checkout-prod --config applier.yaml --watch\n  \
    git two-key gate checkout-prod --config applier.yaml \\\n    \
    --replay 2025-10-27T02:20:00Z..2025-10-27T02:35:00Z\n  \
    git two-key gate --evidence main\n\n\
    Exit codes: 0 every gate passes (--evidence: it holds); 1 a gate failed or a threshold halts (--evidence: it does \
    not hold); 3 no data, or not enough of it yet; 4 what is known is too old.")]
pub struct Args {
    /// The lease: its id, its intent or its target
    #[arg(required_unless_present = "evidence")]
    lease: Option<String>,
    /// The configuration with the `metrics` section: an applier's, an agent's, or one of its own
    #[arg(long, value_name = "FILE", required_unless_present = "evidence", conflicts_with = "evidence")]
    config: Option<PathBuf>,
    /// When the tier began, if no applier attests it (RFC 3339)
    #[arg(long, value_name = "TIME", conflicts_with_all = ["replay", "evidence"])]
    since: Option<Timestamp>,
    /// Judge another tier of the lease than the one that it is at
    #[arg(long, value_name = "WEIGHT", conflicts_with = "evidence")]
    tier: Option<u8>,
    /// Keep looking, and print again whenever something has changed
    #[arg(long, conflicts_with_all = ["format", "replay", "evidence"])]
    watch: bool,
    /// Replay a past period, as if the tier had started at its beginning: FROM..TO, RFC 3339
    #[arg(long, value_name = "FROM..TO", conflicts_with = "evidence", value_parser = range)]
    replay: Option<(Timestamp, Timestamp)>,
    /// Judge again the evidence that a commit names: one that carries a statement, or an applier's
    #[arg(long, value_name = "COMMIT")]
    evidence: Option<String>,
    #[command(flatten)]
    source: ReadSource,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

fn range(text: &str) -> Result<(Timestamp, Timestamp), String> {
    let (from, to) = text.split_once("..").ok_or("a time is written FROM..TO")?;
    let time = |text: &str| text.parse::<Timestamp>().map_err(|error| format!("`{text}`: {error}"));
    let (from, to) = (time(from)?, time(to)?);
    if from < to { Ok((from, to)) } else { Err("the beginning is before the end".to_owned()) }
}

/// Judges.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    match (&args.evidence, &args.lease, &args.config) {
        (Some(commit), ..) => evidence(args, place, commit),
        (None, Some(lease), Some(config)) => {
            let config = SourcesConfig::load(&place.folder.join(config)).map_err(Failure::Undecided)?;
            let sources = Sources::open(&config).map_err(Failure::Undecided)?;
            match args.replay {
                Some(time) => replay(args, place, lease, &sources.settled(), time),
                None if args.watch => watch::steadily(|| {
                    let (session, view) = look(args, &place.anew(), lease, &sources)?;
                    Ok(format!("{}{}", session.remarks_text(), gate::gate_text(&view)))
                }),
                None => {
                    let (session, view) = look(args, place, lease, &sources)?;
                    if args.format == Format::Text {
                        session.say_remarks();
                    }
                    say(args.format, &view, gate::gate_text);
                    outcome(args.format, &view)
                }
            }
        }
        _ => Err(Failure::Usage("name a lease and --config FILE, or --evidence COMMIT".to_owned())),
    }
}

/// What is judged: a lease's tier, and by what.
struct JudgedTier {
    session: Session,
    terms: PinnedTerms,
    lease: LeaseId,
    tier: usize,
}

impl JudgedTier {
    fn open(args: &Args, place: &Place, handle: &str, sources: &Sources) -> Result<Self, Failure> {
        let session = args.source.open(place)?;
        session.must_be_pinned("so nobody knows whose gates the policy names")?;
        let id = session.lease(handle, None)?;
        let lease = session.state.document(&id).ok_or_else(|| {
            let message = "the lease's file cannot be read, so its tiers are not known";
            Failure::refused(id.as_str(), Refusal::new(Reason::Malformed, message))
        })?;
        let state = session.state.lease(&id);
        let tier = match args.tier {
            Some(weight) => lease.tiers.iter().position(|tier| tier.weight == weight).ok_or_else(|| {
                let tiers: Vec<_> = lease.tiers.iter().map(|tier| tier.weight.to_string()).collect();
                Failure::Usage(format!("{id} has no tier of {weight} %; it has: {}", tiers.join(", ")))
            })?,
            None => tier_of(state).ok_or_else(|| {
                let message = "it is not at any tier now, so there is nothing to watch";
                let hint = "name a tier with --tier, and when it began with --since or --replay";
                Failure::refused(id.as_str(), Refusal::new(Reason::WrongState, message).hint(hint))
            })?,
        };
        let pinned = state.and_then(|state| state.terms.clone());
        let terms =
            pinned.map_or_else(|| PinnedTerms::of(session.state.policy().get(), &lease.target), |pinned| *pinned);
        let terms = gate::health::measured_here(&terms, Some(sources)).into_owned();
        Ok(Self { terms, lease: id, tier, session })
    }

    fn context(&self, started: Timestamp) -> Result<TierContext, Failure> {
        let state = &self.session.state;
        let context = state
            .document(&self.lease)
            .and_then(|lease| TierContext::new(state.policy().get(), lease, self.tier, started));
        context.ok_or_else(|| Failure::undecided(Reason::Malformed, "the lease has no such tier, or no change"))
    }

    /// When the target's applier first saw it at the tier.
    fn attested(&self) -> Result<Timestamp, Failure> {
        let weight = self.session.state.document(&self.lease).and_then(|lease| lease.tiers.get(self.tier));
        let weight = weight.map(|tier| u32::from(tier.weight) * 100);
        let observations = records::read(&self.session.repo, &self.session.state)?;
        let seen = observations.found.into_iter().find(|found| found.record.lease == self.lease);
        let here = seen.filter(|found| found.record.observed_bp == weight);
        here.and_then(|found| found.record.bake_started).ok_or_else(|| {
            let message = format!("no applier attests when {} reached this tier", self.lease);
            let hint = "fetch what appliers say, or say it yourself with --since TIME";
            Failure::Undecided(Refusal::new(Reason::NoData, message).hint(hint))
        })
    }
}

fn tier_of(state: Option<&LeaseState>) -> Option<usize> {
    match state?.phase {
        Phase::Rolling { tier } | Phase::Paused { tier } => Some(tier),
        _ => None,
    }
}

#[expect(clippy::disallowed_methods, reason = "what is judged now is judged as of now")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// One look, going on from the last.
fn look(args: &Args, place: &Place, handle: &str, sources: &Sources) -> Result<(Session, GateView), Failure> {
    let subject = JudgedTier::open(args, place, handle, sources)?;
    let started = args.since.map_or_else(|| subject.attested(), Ok)?;
    let context = subject.context(started)?;
    let path = subject.session.repo.common_dir().join("two-key/gates").join(format!("{}.json", subject.lease));
    let mut watch = remembered(&path);
    let judgement = terminal::patiently("asking the metrics' sources", || {
        gate::judge(&subject.terms, &context, &mut watch, now(), sources)
    });
    remember(&path, &watch)?;
    Ok((subject.session, GateView::new(&context, judgement)))
}

/// What was seen before; what cannot be read was not seen, and is no data.
fn remembered(path: &Path) -> Watch {
    fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn remember(path: &Path, watch: &Watch) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        let message = format!("what was seen cannot be kept in {}: {error}", path.display());
        Failure::undecided(Reason::Io, message)
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    let file = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(&error))?;
    serde_json::to_writer(&file, watch).map_err(|error| failed(&error))?;
    file.persist(path).map_err(|error| failed(&error.error))?;
    Ok(())
}

/// What would have been said, slot by slot.
fn replay(
    args: &Args,
    place: &Place,
    handle: &str,
    sources: &Sources,
    (from, to): (Timestamp, Timestamp),
) -> Result<(), Failure> {
    let subject = JudgedTier::open(args, place, handle, sources)?;
    let context = subject.context(from)?;
    let mut watch = Watch::default();
    let times = gate::slot_times(&subject.terms, &context, to);
    if times.len() > MAX_REPLAYED {
        let message = format!("that is {} slots; at most {MAX_REPLAYED} are replayed", times.len());
        return Err(Failure::Usage(message));
    }
    let mut slots = Vec::new();
    let mut progress = terminal::Progress::new("judged", "slots");
    for (done, at) in times.iter().copied().enumerate() {
        progress.at(done, times.len() - done);
        slots.push(ReplayedSlot::new(&gate::judge(&subject.terms, &context, &mut watch, at, sources)));
    }
    let end = GateView::new(&context, gate::judge(&subject.terms, &context, &mut watch, to, sources));
    drop(progress);
    let view = ReplayView { end, slots };
    if args.format == Format::Text {
        subject.session.say_remarks();
    }
    say(args.format, &view, gate::replay_text);
    outcome(args.format, &view.end)
}

/// Judges recorded answers again.
fn evidence(args: &Args, place: &Place, revision: &str) -> Result<(), Failure> {
    let session = args.source.open(place)?;
    session.must_be_pinned("so nobody knows by which gates the evidence should have been judged")?;
    let commit = session.commit(revision)?;
    let lease = args.lease.as_ref().map(|handle| session.lease(handle, None)).transpose()?;
    let view = evaluated(&session, commit, lease.as_ref())?;
    if args.format == Format::Text {
        session.say_remarks();
    }
    say(args.format, &view, gate::evidence_text);
    if view.ok {
        return Ok(());
    }
    let message = format!("the evidence does not hold: {}", view.differences.join("; "));
    print_failure(args.format, Failure::refused(commit.short(), Refusal::new(Reason::GateFailed, message)))
}

fn evaluated(session: &Session, commit: Oid, about: Option<&LeaseId>) -> Result<EvidenceView, Failure> {
    let refused = |refusal| Failure::refused(commit.short(), refusal);
    let Named { lease, digest, step } = named(session, commit, about)?;
    let path = Evidence::path(&lease, digest);
    let mut objects = session.repo.objects()?;
    let bytes = objects.file_at(commit, &path)?.ok_or_else(|| {
        let message = format!("the commit names evidence {digest}, and its tree has no {path}");
        refused(Refusal::new(Reason::NoData, message).hint("ask who signed it for the document; its digest proves it"))
    })?;
    if bytes.len() > MAX_EVIDENCE_BYTES {
        return Err(refused(Refusal::new(Reason::TooLarge, format!("{path} has {} bytes", bytes.len()))));
    }
    let evidence = Evidence::read(&bytes, digest).map_err(|refusal| match refusal.reason {
        // What is of another form is not false.
        Reason::NoData => Failure::Undecided(refusal),
        _ => refused(refusal),
    })?;
    let again = evidence.reevaluate();
    let mut differences = again.differences;
    differences.extend(other_terms(session, &lease, &evidence));
    let document = session.state.document(&lease);
    differences.extend(step.zip(document).and_then(|(step, document)| no_grounds(step, document, &evidence.context)));
    Ok(EvidenceView {
        commit,
        digest,
        ok: differences.is_empty(),
        differences,
        on_word: again.on_word,
        recorded: evidence.judgement,
        evaluated: again.judgement,
        lease,
        tier: evidence.context.tier,
        started: evidence.context.started,
        subject: evidence.context.subject,
    })
}

/// What a signed commit names as evidence.
#[derive(Clone, PartialEq)]
struct Named {
    lease: LeaseId,
    digest: Digest,
    /// The move that it is to be grounds for, if the commit makes one.
    step: Option<ForwardKind>,
}

/// Why evidence of a tier is no grounds for a move, if it is none: it has to be of the tier that is left, and of what rolls out.
fn no_grounds(step: ForwardKind, lease: &Lease, measured: &TierContext) -> Option<String> {
    if measured.subject == gate::MeasuredVersion::Stable {
        return Some("it measured the version that ran before, and the step goes on with another".to_owned());
    }
    let left = match step {
        ForwardKind::Promote { tier } => lease.tiers.iter().take_while(|next| next.weight != tier).last(),
        ForwardKind::Complete => lease.tiers.last(),
        ForwardKind::Start { .. } | ForwardKind::Resume => None,
    };
    let (own, left) = (measured.tier, left.map(|left| left.weight).filter(|left| *left != measured.tier)?);
    Some(format!("the step leaves the tier of {left} %, and the evidence is of the one of {own} %"))
}

/// The lease and the evidence that a signed commit is about: a statement's, or an applier's.
fn named(session: &Session, commit: Oid, about: Option<&LeaseId>) -> Result<Named, Failure> {
    let refused = |reason, message: String| Failure::refused(commit.short(), Refusal::new(reason, message));
    let mut named = match session.repo.objects()?.open_one(commit)? {
        // Only a commit's own signature covers a digest of evidence.
        Opened::Carrier { statement, own, .. } => {
            let digest = own.and_then(|own| own.vote(|_| Ok(())).ok()).and_then(|vote| vote.evidence());
            let step =
                if let model::Subject::Forward(forward) = &statement.subject { Some(forward.kind) } else { None };
            let named = |digest| Some(Named { lease: statement.lease()?.clone(), digest, step });
            digest.into_iter().filter_map(named).collect::<Vec<_>>()
        }
        Opened::Ordinary { .. } => {
            let record = records::at(&session.repo, &session.state, commit).map_err(|why| {
                refused(Reason::NoData, format!("it has neither a statement nor an applier's record: {why}"))
            })?;
            let targets = record.targets.into_values();
            let named = |target: records::TargetRecord| {
                Some(Named { digest: target.health?.evidence?, lease: target.lease, step: None })
            };
            targets.filter_map(named).collect()
        }
        Opened::Malformed(refusal) => return Err(Failure::refused(commit.short(), refusal)),
    };
    named.dedup();
    named.retain(|named| about.is_none_or(|about| *about == named.lease));
    match named.as_slice() {
        [one] => Ok(one.clone()),
        [] => {
            let of = about.map(|lease| format!(" of {lease}")).unwrap_or_default();
            Err(refused(Reason::NoData, format!("no signature in the commit names evidence{of}")))
        }
        several => {
            let leases: Vec<_> = several.iter().map(|named| named.lease.as_str()).collect();
            let message = format!("it names several: {}; say which, as in gate LEASE --evidence", leases.join(", "));
            Err(refused(Reason::Ambiguous, message))
        }
    }
}

/// Where evidence was judged by other gates, of another version or at another tier than the ledger has for the lease.
fn other_terms(session: &Session, lease: &LeaseId, evidence: &Evidence) -> Vec<String> {
    let mut differences = Vec::new();
    let state = &session.state;
    if evidence.context.lease != *lease {
        differences.push(format!("the statement is about {lease}, the evidence about {}", evidence.context.lease));
    }
    let own = &evidence.context;
    let restored = own.subject == gate::MeasuredVersion::Stable;
    let pinned = state.lease(lease).and_then(|lease| lease.terms.as_deref().cloned()).map(|pinned| {
        // A version that was restored is held to the gates alone.
        let pinned = if restored { pinned.without_limits() } else { pinned };
        // Limits of the policy that nobody measured there are no part of what was judged.
        pinned.where_measured(|name| evidence.terms.thresholds.contains_key(name))
    });
    match pinned {
        Some(pinned) if pinned != evidence.terms => {
            differences.push("its gates or thresholds are not those pinned for the lease".to_owned());
        }
        Some(_) => {}
        None => differences.push(format!("{lease} never started, so no gates are pinned for it")),
    }
    let tiers = state.document(lease).map(|document| {
        let tier = document.tiers.iter().position(|tier| tier.weight == own.tier);
        let context = tier.and_then(|tier| TierContext::new(state.policy().get(), document, tier, own.started));
        if restored { context.map(TierContext::of_stable) } else { context }
    });
    // What was recorded before the first shift is the pack's; how much risk demands is the policy's of that time.
    // Who serves what, its applier says; evidence that names neither labels nor artifacts asked for none.
    let same = |theirs: TierContext| {
        let names = Names { pools: own.names.pools.clone(), ..theirs.names.clone() };
        let names = if own.names == Names::default() { Names::default() } else { names };
        TierContext { recorded: own.recorded.clone(), samples: own.samples, names, ..theirs } == *own
    };
    match tiers.flatten().map(same) {
        Some(true) => {}
        Some(false) => differences.push("its target, versions or tier are not the lease's".to_owned()),
        None => differences.push(format!("{lease} has no tier of {} %", own.tier)),
    }
    differences
}

fn say<T: serde::Serialize>(format: Format, view: &T, text: impl Fn(&T) -> String) {
    match format {
        Format::Json => terminal::say_value(view),
        Format::Text => terminal::say(&text(view)),
    }
}

/// The exit code of a judgement.
fn outcome(format: Format, view: &GateView) -> Result<(), Failure> {
    let Some(refusal) = view.judgement.objection() else { return Ok(()) };
    let failure = match refusal.reason {
        Reason::GateFailed => Failure::refused(view.lease.as_str(), refusal),
        Reason::Stale => Failure::Stale(refusal),
        _ if view.judgement.verdict == Verdict::Fail => Failure::refused(view.lease.as_str(), refusal),
        _ => Failure::Undecided(refusal),
    };
    print_failure(format, failure)
}

/// A failure after the value was printed: in JSON it would be a second value.
fn print_failure(format: Format, failure: Failure) -> Result<(), Failure> {
    Err(if format == Format::Json { Failure::Said(failure.code()) } else { failure })
}
