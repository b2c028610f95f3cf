//! What a lease's tests may take for harm that is none, and what they can see: said before anybody signs.

use crate::{
    gate::{Budget, Traffic, smallest_harm},
    ledger::PinnedTerms,
    model::{
        TargetId,
        lease::Lease,
        policy::{Gate, Kind, Policy, Worse},
    },
};

/// The traffic that is told of where nobody said how much there is, in requests a second.
const USUAL_TRAFFIC: [f64; 3] = [10.0, 100.0, 1000.0];
/// The share of bad events that is told of.
const USUAL_BAD: f64 = 0.005;

/// How many slots a bake needs for what its comparison shows to be told: without the worst of fewer too little is left.
const FEWEST_SLOTS: u64 = 5;

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
    for (id, gate) in terms.gates.iter().filter(|(_, gate)| gate.compare.is_some() && gate.kind == Kind::CountRatio) {
        for (index, tier) in lease.tiers.iter().enumerate().filter(|(index, _)| !lease.is_last_tier(*index)) {
            let seconds = tier.bake.as_secs().saturating_sub(gate.settle.as_secs());
            let slots = seconds / gate.interval.as_secs().max(1);
            if slots < FEWEST_SLOTS {
                lines.push(format!(
                    "gate {id} at {} % has {} until the tier has baked: what that shows is not known, as one that is left out as \
                     the worst leaves little; bake longer, or look more often (`interval`)",
                    tier.weight,
                    if slots == 1 { "1 slot".to_owned() } else { format!("{slots} slots") },
                ));
                continue;
            }
            let first = index == 0;
            lines.extend(seen(gate, &budget, tier.weight, seconds, expected).map(|seen| {
                let bad = expected.bad.unwrap_or(USUAL_BAD * 100.0);
                let of = if first { format!(" (where {bad} % are bad anyway)") } else { String::new() };
                format!(
                    "gate {id} at {} % shows in nine of ten tiers{of}, if errors are independent: {seen}",
                    tier.weight
                )
            }));
        }
    }
    lines
}

/// The same of any lease on the policy's targets, as far as that is known without one.
pub(super) fn policy_alarms(policy: &Policy) -> Vec<String> {
    let of = |target: &TargetId| {
        let budget = Budget::new(&PinnedTerms::of(policy, target), 1);
        format!("target {target}: {}", bound(&budget, "the lease's tiers"))
    };
    policy.targets.iter().filter(|(_, target)| !target.gates.is_empty()).map(|(id, _)| of(id)).collect()
}

/// `a healthy lease is stopped by a test with a chance of at most 1 % (false-alarms), shared among …`.
fn bound(budget: &Budget, tiers: &str) -> String {
    let Budget { rate, comparisons, limits, points, .. } = *budget;
    let points = match points {
        0 => String::new(),
        points => format!("; no such rate holds for {}", many(points, "point")),
    };
    format!(
        "a healthy lease whose events are independent is stopped by a test with a chance of at most {} % (false-alarms), shared \
         among {} and {} at {tiers}{points}",
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
fn seen(gate: &Gate, budget: &Budget, weight: u8, seconds: u64, expected: Expected) -> Option<String> {
    let share = f64::from(weight) / 100.0;
    #[allow(clippy::cast_precision_loss, reason = "seconds of any bake are exact")]
    let seconds = seconds as f64;
    let bad = expected.bad.map_or(USUAL_BAD, |percent| percent / 100.0);
    let known = expected.per_second.map_or(USUAL_TRAFFIC.to_vec(), |known| vec![known]);
    let words = known.into_iter().map(|per_second| {
        let harm = smallest_harm(gate, budget, Traffic { per_second, share, seconds, bad });
        let harm = harm.map_or("nothing".to_owned(), |times| format!("{times:.1} times as many"));
        format!("{harm} at {per_second} requests a second")
    });
    (gate.worse == Worse::Higher).then(|| words.collect::<Vec<_>>().join(", "))
}
