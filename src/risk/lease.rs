//! A lease's declared risk beside the one that is computed, and what the policy in force demands of it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    ledger::{LeaseState, Phase, State, leases_on, rules},
    model::{
        Action, LeaseId, Reason, Refusal, TargetId,
        lease::{DeclaredRisk, Lease},
        policy::Policy,
    },
};

use super::{Assessment, Circumstances, DAYS, Factor, MODEL, Sensitive, TargetPast};

/// A lease's change, assessed.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LeaseAssessment {
    /// The lease.
    #[schemars(with = "String")]
    pub lease: LeaseId,
    /// What it declares.
    pub declared: Option<DeclaredView>,
    /// What is computed.
    #[serde(flatten)]
    pub assessment: Assessment,
    /// The reason code, if the declaration does not hold.
    #[schemars(with = "Option<String>")]
    pub reason: Option<Reason>,
    /// Why it does not.
    pub objection: Option<String>,
    /// Why the lease's terms are too loose for the computed risk, if they are.
    pub looser: Option<String>,
}

/// What a lease declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DeclaredView {
    /// The score.
    pub score: u8,
    /// The model.
    pub model: String,
    /// The factors.
    pub factors: Vec<String>,
}

impl From<&DeclaredRisk> for DeclaredView {
    fn from(risk: &DeclaredRisk) -> Self {
        Self { score: risk.score, model: risk.model.clone(), factors: risk.factors.clone() }
    }
}

/// What the ledger knows of a change that a lease brings to a target.
pub fn circumstances(state: &State, lease: &Lease) -> Result<Circumstances, Refusal> {
    let policy = state.policy().get();
    let target = Some(target_past(state, &lease.target, lease.issued, Some(&lease.id)));
    let sensitive = Sensitive::new(&policy.risk.sensitive)?;
    Ok(Circumstances { sensitive, target })
}

/// What a target's leases that were issued until some time tell: which of the last ninety days' were rolled back, and
/// which commit the last completed one brought. What the target's applier saw is no part of a ledger: the caller adds it.
pub fn target_past(state: &State, target: &TargetId, until: Timestamp, except: Option<&LeaseId>) -> TargetPast {
    let until = until.as_second();
    let named = leases_on(state, target);
    let mut here: Vec<_> = named
        .iter()
        .filter_map(|id| state.lease(id))
        .filter(|entry| Some(&entry.id) != except)
        .filter_map(|entry| Some((entry.lease()?, entry)))
        .filter(|(lease, _)| lease.target == *target && lease.issued.as_second() <= until)
        .collect();
    here.sort_by_key(|(lease, _)| lease.issued);
    let lately = |lease: &Lease| lease.issued.as_second() >= until.saturating_sub(DAYS * 86_400);
    let undone = |entry: &LeaseState| entry.transitions.iter().any(|done| done.action == Action::Rollback);
    let rolled_back = here.iter().filter(|(lease, entry)| lately(lease) && undone(entry));
    let completed = here.iter().rev().find(|(_, entry)| entry.phase == Phase::Completed);
    TargetPast {
        issued: until,
        rolled_back: rolled_back.map(|(_, entry)| entry.id.clone()).collect(),
        runs: completed.and_then(|(lease, _)| Some(lease.change.as_ref()?.to)),
        unrestorable: None,
    }
}

/// Whether this program can compute what the lease declares.
pub fn computable(lease: &Lease) -> Result<(), Refusal> {
    match &lease.risk {
        Some(risk) if risk.model != MODEL => {
            let message =
                format!("the lease declares a score of model {}, this program computes {}", risk.model, MODEL);
            Err(Refusal::new(Reason::Risk, message).hint("compute it with the program that gave the score"))
        }
        _ => Ok(()),
    }
}

/// Holds a lease's declaration against what was computed. Declaring more than that is anybody's right.
pub fn check(lease: &Lease, assessment: &Assessment) -> Result<(), Refusal> {
    let computed = assessment.declared();
    let refuse = |message: String| {
        let hint = format!("declare it in a new lease: {}", super::block(&computed).trim_end());
        Err(Refusal::new(Reason::Risk, message).hint(hint))
    };
    let Some(declared) = &lease.risk else {
        return refuse(format!("the lease declares no risk; the score is {}", computed.score));
    };
    if declared.score < computed.score {
        return refuse(format!("the lease declares a score of {}, it is {}", declared.score, computed.score));
    }
    let missing: Vec<_> = computed.factors.iter().filter(|factor| !declared.factors.contains(factor)).collect();
    if !missing.is_empty() {
        let names = missing.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        return refuse(format!("the lease does not declare what its change has: {names}"));
    }
    Ok(())
}

/// Adds how a policy answers what was computed.
pub fn answered(policy: &Policy, mut assessment: Assessment) -> Assessment {
    assessment.remarks.extend(unknown_factors(policy));
    assessment.demands = Some(rules::answer(policy, &assessment.declared()).into());
    assessment
}

/// Puts a lease beside what was computed for it.
pub fn assess_lease(policy: &Policy, lease: &Lease, assessment: Assessment) -> LeaseAssessment {
    let refusal = check(lease, &assessment).err();
    let computed = Lease { risk: Some(assessment.declared()), ..lease.clone() };
    let assessment = answered(policy, assessment);
    LeaseAssessment {
        lease: lease.id.clone(),
        declared: lease.risk.as_ref().map(DeclaredView::from),
        reason: refusal.as_ref().map(|refusal| refusal.reason),
        objection: refusal.map(|refusal| refusal.message),
        looser: rules::check_risk(policy, &computed).err().map(|refusal| refusal.message),
        assessment,
    }
}

/// Factors that the policy answers and that nothing here gives. A lease may still declare them.
fn unknown_factors(policy: &Policy) -> Option<String> {
    let known = |name: &str| Factor::ALL.iter().any(|factor| factor.name() == name);
    let unknown: Vec<_> = policy.risk.factors.keys().map(String::as_str).filter(|name| !known(name)).collect();
    (!unknown.is_empty()).then(|| format!("the policy answers factors that are never computed: {}", unknown.join(", ")))
}
