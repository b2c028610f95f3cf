//! Alarm estimates: what a lease's tests may take for harm that is none, and what they can see: said before anybody signs.

use crate::{
    gate::{
        Budget, FEWEST_BLOCKS, MAX_EVIDENCE_BYTES, Traffic, blocks_of, estimated_bytes, least_events, seen_after,
        smallest_harm,
    },
    ledger::{PinnedTerms, rules},
    model::{
        TargetId,
        lease::{Lease, Tier},
        policy::{Gate, GateKind, Policy, Worse},
    },
};

/// The traffic that is told of where nobody said how much there is, in requests a second.
const USUAL_TRAFFIC: [f64; 3] = [10.0, 100.0, 1000.0];
/// The share of bad events that is told of.
const USUAL_BAD: f64 = 0.005;

/// What is known of the traffic of a target.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Expected {
    /// Requests a second, of both versions together.
    pub per_second: Option<f64>,
    /// Bad ones of them, in percent.
    pub bad: Option<f64>,
}

/// The chance that the lease is stopped without harm, at most, and the smallest harm that each comparison can show.
pub fn lease_alarms(policy: &Policy, lease: &Lease, expected: Expected) -> Vec<String> {
    let terms = PinnedTerms::of(policy, &lease.target);
    if terms.gates.is_empty() && terms.thresholds.is_empty() {
        return Vec::new();
    }
    let tiers = u32::try_from(lease.tiers.len()).unwrap_or(u32::MAX);
    let budget = Budget::new(&terms, tiers);
    let mut lines = vec![bound(&budget, &format!("{tiers} tiers"))];
    for (id, gate) in terms.gates.iter().filter(|(_, gate)| gate.compare.is_some() && gate.kind == GateKind::CountRatio)
    {
        for (index, tier) in lease.tiers.iter().enumerate().filter(|(index, _)| !lease.is_last_tier(*index)) {
            let (blocks, _) = blocks_of(gate, tier.bake);
            if blocks < FEWEST_BLOCKS {
                lines.push(format!(
                    "gate {id} at {} % shows nothing until the tier has baked, however bad it is: one bad minute, whatever slots it falls \
                     into, is no bad version; bake longer, or look more often (`interval`)",
                    tier.weight,
                ));
                continue;
            }
            let first = index == 0;
            let seen = seen(gate, &budget, tier, expected, events(policy, lease, gate));
            let bad = expected.bad.unwrap_or(USUAL_BAD * 100.0);
            let counted = if gate.worse == Worse::Higher { "bad" } else { "counted" };
            let of = if first { format!(" (where {bad} % are {counted} anyway)") } else { String::new() };
            lines.push(format!(
                "gate {id} at {} % shows in nine of ten tiers{of}, if errors are independent: {seen}",
                tier.weight
            ));
        }
    }
    lines
}

/// How many events of the candidate a lease's gate waits for.
fn events(policy: &Policy, lease: &Lease, gate: &Gate) -> f64 {
    let samples = rules::demanded_terms(policy, lease).samples.unwrap_or(1).max(1);
    f64::from(least_events(gate)) * f64::from(samples)
}

/// Tiers of a lease at which a gate passes late, or not before it is rolled back: by its windows, and by the traffic, where that is
/// known.
pub fn lease_doubts(policy: &Policy, lease: &Lease, expected: Expected) -> Vec<String> {
    let terms = PinnedTerms::of(policy, &lease.target);
    let mut doubts = Vec::new();
    let is_long = |tier: &&Tier| estimated_bytes(terms.gates.values(), tier.bake) > MAX_EVIDENCE_BYTES;
    doubts.extend(lease.tiers.iter().find(is_long).map(|tier| {
        format!(
            "the gates' evidence at {} % may be more than {} MiB, which nobody reads: no agent turns a key forward without it, and a stop \
             goes without; pin fewer gates, or look less often (`interval`)",
            tier.weight,
            MAX_EVIDENCE_BYTES / 1024 / 1024
        )
    }));
    for (id, gate) in &terms.gates {
        for tier in &lease.tiers {
            let (_, baked) = blocks_of(gate, tier.bake);
            let mut late = |after: f64, what: &str, mend: &str| {
                #[allow(clippy::cast_precision_loss, reason = "seconds of any bake are exact")]
                let (baked, deadline) = (baked as f64, gate.inconclusive_deadline.as_secs() as f64);
                let but = if after > deadline {
                    format!("it is rolled back after {} (`inconclusive-deadline`)", gate.inconclusive_deadline)
                } else {
                    format!("it bakes for {}", tier.bake)
                };
                if after > baked.min(deadline) {
                    let (weight, minutes) = (tier.weight, (after / 60.0).ceil());
                    doubts.push(format!(
                        "gate {id} at {weight} % passes nothing for {minutes} minutes, and {but}: {what}; {mend}"
                    ));
                }
            };
            if let Some(after) = seen_after(gate).filter(|_| gate.absolute.and_then(|limits| limits.max).is_none()) {
                let what = "until then even an outage of all that is served burns slower than its `windows` bear";
                late(after, what, "write smaller factors or shorter windows, or give it an `absolute` limit as well");
            }
            if let (Some(per_second), GateKind::CountRatio | GateKind::BurnRate) = (expected.per_second, gate.kind) {
                let (least, share) = (events(policy, lease, gate), f64::from(tier.weight) / 100.0);
                if share > 0.0 {
                    let what = format!("its minimum of {least} events takes as long at {per_second} requests a second");
                    late(
                        least / (per_second * share),
                        &what,
                        "lower `min: {total: …}`, bake longer, or take more weight",
                    );
                }
            }
        }
    }
    doubts
}

/// The same of any lease on the policy's targets, as far as that is known without one.
pub(super) fn policy_alarms(policy: &Policy) -> Vec<String> {
    let of = |target: &TargetId| {
        let budget = Budget::new(&PinnedTerms::of(policy, target), 1);
        format!("target {target}: {}", bound(&budget, "the lease's tiers"))
    };
    policy.targets.iter().filter(|(_, target)| !target.gates.is_empty()).map(|(id, _)| of(id)).collect()
}

/// `a healthy lease is stopped by a test with a chance of at most 1 % (false-alarms), if …; shared among …`. What `docs/gates.md` has
/// simulated of whole leases.
fn bound(budget: &Budget, tiers: &str) -> String {
    let Budget { rate, comparisons, limits, points, .. } = *budget;
    let points = match points {
        0 => String::new(),
        points => format!("; no such rate holds for {}", many(points, "point")),
    };
    format!(
        "a healthy lease is stopped by a test with a chance of at most {} % (false-alarms), if errors are independent or come by users \
         who retry, and of about twice that if each version's rate varies by the minute by as much as itself; shared among {} and {} at \
         {tiers}{points}",
        rate * 100.0,
        many(comparisons, "comparison"),
        many(limits, "tested limit"),
    )
}

/// `1 comparison`, `2 comparisons`.
fn many(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `2.3 times the errors at 100 requests a second`.
fn seen(gate: &Gate, budget: &Budget, tier: &Tier, expected: Expected, least: f64) -> String {
    let share = f64::from(tier.weight) / 100.0;
    let (blocks, seconds) = blocks_of(gate, tier.bake);
    #[allow(clippy::cast_precision_loss, reason = "seconds of any bake are exact")]
    let (blocks, seconds) = (blocks as f64, seconds as f64);
    let bad = expected.bad.map_or(USUAL_BAD, |percent| percent / 100.0);
    let known = expected.per_second.map_or(USUAL_TRAFFIC.to_vec(), |known| vec![known]);
    let words = known.into_iter().map(|per_second| {
        let traffic = Traffic { per_second, share, seconds, blocks, least, bad };
        let harm = smallest_harm(gate, budget, traffic);
        // Rounded to what is shown more often.
        let harm = harm.map_or("nothing".to_owned(), |times| match gate.worse {
            Worse::Higher => format!("{:.1} times as many", (times * 10.0).ceil() / 10.0),
            Worse::Lower => format!("{:.2} times as many", (times * 100.0).floor() / 100.0),
        });
        format!("{harm} at {per_second} requests a second")
    });
    words.collect::<Vec<_>>().join(", ")
}
