//! Subject of a statement, in words.

use crate::model::{ForwardKind, Statement, StopKind, Subject};

/// One line that says what a statement asks: the subject of the commit that carries it.
pub fn subject_line(statement: &Statement) -> String {
    match &statement.subject {
        Subject::Cosign { lease, .. } => format!("Cosign {lease}"),
        Subject::Forward(forward) => {
            let lease = &forward.lease;
            match forward.kind {
                ForwardKind::Start { tier } => format!("Start {lease} at {tier} %"),
                ForwardKind::Promote { tier } => format!("Promote {lease} to {tier} %"),
                ForwardKind::Resume => format!("Resume {lease}"),
                ForwardKind::Complete => format!("Complete {lease}"),
            }
        }
        Subject::Stop(stop) => {
            let verb = match stop.kind {
                StopKind::Pause => "Pause",
                StopKind::Halt => "Halt",
                StopKind::Withdraw => "Withdraw",
                StopKind::Rollback => "Roll back",
            };
            format!("{verb} {}", stop.lease)
        }
        Subject::Policy { digest } => {
            let digest = digest.to_string();
            format!("Vote for policy {}", digest.get(..19).unwrap_or(&digest))
        }
        Subject::Revoke { key } => format!("Revoke key {key}"),
        Subject::Freeze { .. } => "Freeze".to_owned(),
        Subject::Thaw { .. } => "Thaw".to_owned(),
    }
}
