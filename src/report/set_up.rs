//! Set-up reports, for programs: what `doctor` and `check` found.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Reason, document::Problem};

/// What is wrong with a set-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DoctorView {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// What is wrong.
    pub problems: Vec<SetUpProblem>,
    /// What is only unwise.
    pub advice: Vec<SetUpProblem>,
    /// The commands whose work --fix did.
    pub mended: Vec<String>,
}

/// Something that is wrong with a set-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SetUpProblem {
    /// Which check it is from.
    pub check: String,
    /// What is wrong.
    pub message: String,
    /// The command that mends it.
    pub mend: String,
    /// Whether --fix does that.
    pub fixable: bool,
}

/// What is wrong with lease and policy files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckedFiles {
    /// Whether no file is refused.
    pub ok: bool,
    /// The first refusal's code.
    pub reason: Option<Reason>,
    /// The files, in their order.
    pub files: Vec<CheckedFile>,
}

/// A file that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckedFile {
    /// Its path.
    pub path: String,
    /// `policy`, `lease` or `unknown`.
    pub kind: &'static str,
    /// Whether it is not refused.
    pub ok: bool,
    /// The refusal's code.
    pub reason: Option<Reason>,
    /// What is wrong, and where.
    pub problems: Vec<Problem>,
    /// What somebody may regret.
    pub warnings: Vec<String>,
    /// What is good to know.
    pub notes: Vec<String>,
    /// What helps.
    #[serde(skip)]
    pub hint: Option<String>,
}
