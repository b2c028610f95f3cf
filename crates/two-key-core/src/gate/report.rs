//! Report on a tier: verdicts, and the figures that they rest on.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{
    GateId, Reason, Refusal,
    policy::{GateKind, Limit, Source},
};

use super::stats::Summary;

/// A verdict; the worse one is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Measured in the newest slot, enough of it, and nothing is wrong.
    Pass,
    /// Too few samples or slots so far, or no slot is due yet.
    Pending,
    /// The newest slot could not be measured, or what is known is too old.
    Inconclusive,
    /// Harm was shown, or a limit was broken.
    Fail,
}

impl Verdict {
    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Pending => "PENDING",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Fail => "FAIL",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Where a metric stands against its auto-halt limits; what forbids more is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ThresholdState {
    /// Within both limits.
    Fine,
    /// Beyond the limit that warns.
    Warn,
    /// Not measured: never a reason to halt, and never healthy.
    NoData,
    /// Beyond the limit that halts, now or earlier in this tier.
    Halt,
}

impl ThresholdState {
    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Warn => "warn",
            Self::NoData => "no-data",
            Self::Halt => "halt",
        }
    }
}

/// What is concluded of a tier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// The time that it holds for.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The worst of the gates' verdicts. Where there is no gate nothing was measured, and nothing passes: INCONCLUSIVE.
    pub verdict: Verdict,
    /// Each gate's.
    pub gates: BTreeMap<GateId, GateReport>,
    /// The worst of the thresholds' states; `fine` where there is none.
    pub threshold: ThresholdState,
    /// Each threshold's.
    pub thresholds: BTreeMap<GateId, ThresholdReport>,
}

/// What is concluded of one gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateReport {
    /// What is measured.
    pub kind: GateKind,
    /// Where it comes from.
    pub source: Source,
    /// The verdict.
    pub verdict: Verdict,
    /// The reason code where it is not PASS: `gate-failed`, `no-data` or `stale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Why, in one line.
    pub why: String,
    /// Since when: for FAIL the slot that showed it; for an open verdict, when it began to be open.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// The slot that decided a FAIL; the figures are as of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<u64>,
    /// When an open or failed verdict has stood for too long, and the rollout is rolled back. PASS has none.
    #[schemars(with = "Option<String>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The slots of the tier so far.
    pub slots: SlotCounts,
    /// The newest slot that was looked at.
    #[schemars(with = "Option<String>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
    /// Until when that may be relied on.
    #[schemars(with = "Option<String>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_until: Option<Timestamp>,
    /// How many samples of the candidate a PASS needs; gauges need slots only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<u64>,
    /// What was measured of the candidate.
    pub candidate: Aggregate,
    /// What it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Aggregate>,
    /// The comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
}

/// How many slots there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlotCounts {
    /// With data.
    pub measured: u64,
    /// Looked at in vain.
    pub without_data: u64,
    /// At which nobody looked: no data.
    pub missed: u64,
    /// With data, that a PASS needs.
    pub needed: u64,
}

/// What was measured in a tier, in short.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// Bad events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<f64>,
    /// All events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    /// The observations, or a gauge's values slot by slot, or the burn rates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// A comparison with the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "test", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Comparison {
    /// Of counts: at any time, and once when the tier has baked.
    EValue {
        /// The evidence for harm, valid at any time; 1 says nothing. At most 1e299.
        e_value: f64,
        /// The same without the candidate's worst minute, whenever it began: without the worst slot, or two one after the other.
        without_worst: f64,
        /// What shows harm at any time.
        needed: f64,
        /// The chance of as much harm by accident, for the one look.
        p: f64,
        /// What both counts were divided by: how many times more than chance they vary from slot to slot.
        dispersion: f64,
        /// The candidate's rate over the baseline's; none where the baseline has no bad event.
        ratio: Option<f64>,
    },
    /// Of observations, once a tier.
    MannWhitney {
        /// How many pairs the candidate wins.
        u: f64,
        /// The chance of as much harm by accident.
        p: f64,
        /// What shows harm.
        needed: f64,
        /// The probability that an observation of the candidate exceeds one of the baseline.
        a12: f64,
        /// The median difference, in the metric's unit.
        shift: Option<f64>,
        /// The slot in which it was looked at.
        slot: u64,
    },
}

/// What is concluded of one threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThresholdReport {
    /// Where it stands.
    pub state: ThresholdState,
    /// Why, in one line.
    pub why: String,
    /// The value that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// When it was measured.
    #[schemars(with = "Option<String>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Beyond this people are warned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn: Option<Limit>,
    /// Beyond this the rollout is halted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt: Option<Limit>,
}

impl Judgement {
    /// Why the tier may not be left forward as this stands; none if it may: every gate passes, there is one, and no
    /// threshold halts or could not be measured.
    pub fn objection(&self) -> Option<Refusal> {
        let halting = self.thresholds.iter().find(|(_, report)| report.state == ThresholdState::Halt);
        if let Some((name, report)) = halting {
            return Some(Refusal::new(Reason::GateFailed, format!("threshold {name}: {}", report.why)));
        }
        if let Some((name, report)) = self.gates.iter().find(|(_, report)| report.verdict == self.verdict)
            && self.verdict != Verdict::Pass
        {
            let reason = report.reason.unwrap_or(Reason::NoData);
            return Some(Refusal::new(reason, format!("gate {name} is {}: {}", report.verdict, report.why)));
        }
        if let Some((name, report)) = self.thresholds.iter().find(|(_, report)| report.state == ThresholdState::NoData)
        {
            return Some(Refusal::new(Reason::NoData, format!("threshold {name}: {}", report.why)));
        }
        (self.verdict != Verdict::Pass)
            .then(|| Refusal::new(Reason::NoData, "there is no gate, so nothing was measured"))
    }

    /// The gates whose verdict has been open or FAIL for longer than their deadline allows.
    pub fn overdue(&self) -> impl Iterator<Item = (&GateId, &GateReport)> {
        self.gates.iter().filter(|(_, report)| report.deadline.is_some_and(|deadline| self.at >= deadline))
    }
}

impl Aggregate {
    /// Bad events of all, where there are any.
    pub fn share(&self) -> Option<f64> {
        self.bad.zip(self.total).filter(|(_, total)| *total > 0.0).map(|(bad, total)| bad / total)
    }
}
