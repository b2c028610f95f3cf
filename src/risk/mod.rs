//! Risk: a score that people can argue with. Pure: facts in, an assessment out.
//!
//! [`Facts`] are what somebody has read from the change's repository: the change, and a bounded window of history
//! before it. [`assess`] measures the fourteen features of just-in-time defect prediction on both, sums seven of them
//! ([`MODEL`]), and says at which percentile of the repository's own last changes the sum stands, term by term. Beside
//! the score, never blended into it, stand [`Factor`]s. What a policy demands of either is [`crate::ledger::rules`]'s
//! to say. There is no probability anywhere: base rates do not transfer between repositories.
//!
//! Called by git (which makes the facts) and cli; calls [`crate::ledger`], for a lease's policy and its target's past,
//! and [`crate::model`].

mod assess;
mod calibrate;
mod factors;
mod facts;
mod features;
mod lease;
mod score;
mod text;

pub use assess::{Assessment, AuthorRole, ChangeView, Circumstances, Demands, TargetPast, TermView, assess};
pub use calibrate::{Calibration, Counts, EndedLease, LABELLED, Labelled, Labels, Ranking, auc, calibrate, label};
pub use factors::{DAYS, Factor, Found, Sensitive};
pub use facts::{Author, ChangeFacts, CommitFacts, Facts, FileChange, FileKind, Lines, MessageFacts};
pub use features::{Feature, Features, HISTORY};
pub use lease::{
    DeclaredView, LeaseAssessment, answered, assess_lease, check, circumstances, computable, ended, target_past,
};
pub use score::{LAST, Logit, MODEL, Model, Term, median, percentile};
pub use text::{block, calibration_text, counts_text, lease_text, text};
