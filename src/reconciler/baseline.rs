//! Baseline: what gates measure of the version that runs before a lease: what "as good as before" means at its last tier, where
//! nothing of that version serves any more.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    gate::{Pools, Recorded, TierContext, Watch, judge},
    ledger::PinnedTerms,
    model::GateId,
    sources::Sources,
};

/// How far back it is measured.
const WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// What was measured of the version before, by gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Baselines {
    /// The window's beginning.
    #[schemars(with = "String")]
    pub from: Timestamp,
    /// The window's end.
    #[schemars(with = "String")]
    pub to: Timestamp,
    /// What count-ratio gates counted.
    pub recorded: BTreeMap<GateId, Recorded>,
}

/// All that measuring needs.
pub(super) struct BaselineTask {
    /// What was pinned when the lease started.
    pub(super) terms: PinnedTerms,
    /// The lease's first tier, as if it had begun where the window does.
    pub(super) context: TierContext,
    /// Where measurements come from.
    pub(super) sources: Arc<Sources>,
}

impl BaselineTask {
    /// Where the window begins that ends now.
    pub(super) fn begins(now: Timestamp) -> Timestamp {
        now.checked_sub(WINDOW).unwrap_or(Timestamp::MIN)
    }

    /// The same where it is known who serves which version.
    pub(super) fn with_pools(self, pools: Option<Pools>) -> Self {
        Self { context: self.context.with_pools(pools), ..self }
    }

    /// Asks each gate for the version before, alone, as it asks for what it compares with. Nothing if none knows of any event.
    pub(super) fn measure(self, now: Timestamp) -> Option<Baselines> {
        let Self { terms, context, sources } = self;
        let terms = terms.without_limits();
        let context = context.of_stable();
        let judgement = judge(&terms, &context, &mut Watch::default(), now, &*sources);
        let counted = judgement.gates.into_iter().filter_map(|(id, report)| {
            let (bad, total) = (report.candidate.bad?, report.candidate.total?);
            (total > 0.0).then_some((id, Recorded::Counts { bad, total }))
        });
        let recorded: BTreeMap<_, _> = counted.collect();
        (!recorded.is_empty()).then_some(Baselines { from: context.started, to: now, recorded })
    }
}
