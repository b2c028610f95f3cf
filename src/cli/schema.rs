//! The JSON Schema of what verbs print.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::Serialize;

use super::{
    driver_test::DriverTestView,
    pack::{PackRehearsal, PackVerdict},
};
use crate::{
    agent,
    gate::{EvidenceView, GateView, ReplayView},
    reconciler::{self, pack::RollbackPack},
    report::{
        Account, CheckedFiles, DoctorView, KeyView, LeaseVerdict, LedgerVerdict, ListView, PolicyShow, PullView,
        ShowView, StatusView, TrailEntry,
    },
    risk::{Assessment, LeaseAssessment},
};

/// What each verb prints with `--format json`, by verb. Version 1: fields may be added, none is taken away or changes its meaning.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "Output of git two-key, version 1")]
struct Output {
    /// `list`.
    list: ListView,
    /// `status`.
    status: StatusView,
    /// `show LEASE`.
    show: ShowView,
    /// `show policy`.
    show_policy: PolicyShow,
    /// One line of `log`.
    log: TrailEntry,
    /// `verify --all` and `verify --range`.
    verify: LedgerVerdict,
    /// `verify LEASE`.
    verify_lease: LeaseVerdict,
    /// `key list`.
    key_list: Vec<KeyView>,
    /// `risk --from … --to …`.
    risk: Assessment,
    /// `risk LEASE`.
    risk_lease: LeaseAssessment,
    /// `ci`.
    ci: PullView,
    /// `gate LEASE`.
    gate: GateView,
    /// `gate LEASE --replay FROM..TO`.
    gate_replay: ReplayView,
    /// `gate --evidence COMMIT`.
    gate_evidence: EvidenceView,
    /// Verbs that sign, propose, take back or push: `new`, `sign`, `start`, `approve`, `promote`, `resume`, `complete`, `thaw`,
    /// `refuse`, `sync`, `undo`, the stops, and `key add`, `key remove`, `key revoke`.
    account: Account,
    /// `doctor`.
    doctor: DoctorView,
    /// `check`.
    check: CheckedFiles,
    /// `apply --once` and `apply --dry-run`; with `--watch` one after each look.
    apply: reconciler::ApplierReport,
    /// `agent --once` and `agent --dry-run`; without them one after each look that came to something else.
    agent: agent::AgentReport,
    /// `pack show`.
    pack_show: RollbackPack,
    /// `pack verify`.
    pack_verify: PackVerdict,
    /// `pack rehearse`.
    pack_rehearse: PackRehearsal,
    /// `driver-test`.
    driver_test: DriverTestView,
    /// Any of them, when it was refused or could not be decided.
    failure: Failed,
}

/// A refusal.
#[derive(Serialize, JsonSchema)]
struct Failed {
    /// False.
    ok: bool,
    /// The exit code.
    exit: u8,
    /// What was refused.
    subject: Option<String>,
    /// The reason's code.
    reason: String,
    /// What happened, to what, and why.
    message: String,
    /// What helps.
    hint: Option<String>,
    /// What another program said.
    detail: Option<String>,
    /// What was done all the same, as where a signature is here and could not be pushed.
    done: Option<Account>,
}

/// The schema of all output: one property a verb.
pub fn schema() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Output>()
}
