//! Risk: how large a change is beside earlier ones, and what there is about it. Pure: facts in, an assessment out.
//!
//! [`RiskFacts`] are what somebody has read from the change's repository: the change, and earlier [`ranges()`] of as many commits. The
//! score is the percentile of the change's [`Size`] among theirs, term by term. It describes; it forecasts nothing, since nothing
//! that was tried ranks changes that were reverted well enough (docs/risk.md). Beside the score, never blended into it, stand
//! [`Factor`]s. What a policy demands of either is [`crate::ledger::rules`]'s to say.
//!
//! Called by git (which makes the facts) and cli; calls [`crate::ledger`], for a lease's policy and its target's past,
//! and [`crate::model`].

mod assess;
mod factors;
mod facts;
mod features;
mod lease;
mod ranges;
mod score;
mod text;

pub use assess::{Assessment, ChangeView, Circumstances, Demands, TargetPast, TermView, assess};
pub use factors::{DAYS, Factor, FoundFactor, Sensitive};
pub use facts::{ChangeFacts, FileChange, FileKind, LineCount, MessageFacts, RiskFacts};
pub use features::{Feature, Features};
pub use lease::{DeclaredView, LeaseAssessment, answered, assess_lease, check, circumstances, computable, target_past};
pub use ranges::{RANGES, Range, WALKED, ranges};
pub use score::{MODEL, Size, median, percentile};
pub use text::{block, lease_text, text};
