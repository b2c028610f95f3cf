//! What a lease's document says, as it is shown to who signs it and to everybody after.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::lease::{After, AfterArtifacts, DeclaredRisk, Exception, Lease};

/// What a lease's document says; empty where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LeaseTerms {
    /// What it is for.
    pub intent: Option<String>,
    /// Who proposes.
    pub actor: Option<String>,
    /// One line for people.
    pub summary: Option<String>,
    /// Where it goes.
    pub target: Option<String>,
    /// The object ids that it goes from and to.
    pub change: Option<[String; 2]>,
    /// The repository that these are of.
    pub change_repository: Option<String>,
    /// What will run, by digest.
    pub artifacts: Vec<String>,
    /// When its window opens, RFC 3339.
    pub issued: Option<String>,
    /// When its window closes, RFC 3339.
    pub expires: Option<String>,
    /// `rollback` or `hold`.
    pub on_expiry: Option<String>,
    /// The tiers: weight in percent and bake.
    pub tiers: Vec<String>,
    /// What has to have completed on other targets before it starts.
    pub after: Vec<AfterView>,
    /// Whether it is moved outside its target's windows too.
    pub exception: bool,
    /// The highest tier, in percent, to which an agent alone may promote; 0 if to none.
    pub agent_alone_up_to: u8,
    /// The files and folders that a driver may touch for it.
    pub paths: Vec<String>,
    /// The programs that a driver may run for it.
    pub commands: Vec<String>,
    /// The environment variables that are passed on.
    pub variables: Vec<String>,
    /// The declared risk score.
    pub risk: Option<u8>,
    /// The model that gave the score.
    pub risk_model: Option<String>,
    /// The declared risk factors.
    pub risk_factors: Vec<String>,
}

/// What has to have completed on another target before a lease starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AfterView {
    /// The other target.
    pub target: String,
    /// What has to have been rolled out there: `any` or `same`.
    pub artifacts: AfterArtifacts,
}

impl LeaseTerms {
    /// What a document says.
    pub fn of(lease: &Lease) -> Self {
        let change = lease.change.as_ref();
        let risk = lease.risk.as_ref();
        Self {
            intent: lease.intent.as_ref().map(ToString::to_string),
            actor: lease.actor.clone(),
            summary: lease.summary.clone(),
            target: Some(lease.target.to_string()),
            change: change.map(|change| [change.from.to_string(), change.to.to_string()]),
            change_repository: change.map(|change| change.repository.clone()),
            artifacts: lease.artifacts.iter().map(|one| format!("{} {}", one.name, one.digest)).collect(),
            issued: Some(lease.issued.to_string()),
            expires: Some(lease.expires.to_string()),
            on_expiry: Some(lease.on_expiry.word().to_owned()),
            tiers: lease.tiers.iter().map(|tier| format!("{} % for {}", tier.weight, tier.bake)).collect(),
            after: lease.after.iter().map(AfterView::of).collect(),
            exception: lease.exception == Exception::Taken,
            agent_alone_up_to: lease.agent_alone_up_to,
            paths: lease.scope.paths.clone(),
            commands: lease.scope.commands.clone(),
            variables: lease.scope.env.clone(),
            risk: risk.map(|risk| risk.score),
            risk_model: risk.map(|risk| risk.model.clone()),
            risk_factors: risk.map(|DeclaredRisk { factors, .. }| factors.clone()).unwrap_or_default(),
        }
    }

    /// All of it, a name and a value a line.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        let mut line = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
        line("summary", self.summary.clone());
        line("intent", self.intent.clone());
        line("actor", self.actor.clone());
        let of = self.change_repository.as_ref().map(|of| format!("{of} ")).unwrap_or_default();
        line("change", self.change.as_ref().map(|[from, to]| format!("{of}{from}..{to}")));
        for artifact in &self.artifacts {
            line("artifact", Some(artifact.clone()));
        }
        line("target", self.target.clone());
        line("tiers", list(&self.tiers));
        let window = self.issued.as_ref().zip(self.expires.as_ref());
        let then = self.on_expiry.as_deref().unwrap_or_default();
        line("window", window.map(|(issued, expires)| format!("{issued} to {expires}, then {then}")));
        lines.extend(self.conditions());
        lines
    }

    /// On what it starts, who moves it when, what it may touch, and its risk: a name and a value a line.
    pub fn conditions(&self) -> Vec<(&'static str, String)> {
        let mut lines: Vec<_> = self.after.iter().map(|after| ("after", after.words())).collect();
        if self.exception {
            lines.push(("exception", "it is moved outside its target's windows too".to_owned()));
        }
        if self.agent_alone_up_to > 0 {
            lines.push(("delegates", format!("an agent may promote alone up to {} %", self.agent_alone_up_to)));
        }
        for (name, some) in [("paths", &self.paths), ("commands", &self.commands), ("variables", &self.variables)] {
            lines.extend(list(some).map(|some| (name, some)));
        }
        if let Some(score) = self.risk {
            let model = self.risk_model.as_ref().map(|model| format!(" by model {model}")).unwrap_or_default();
            let factors = list(&self.risk_factors).map(|factors| format!(", factors: {factors}")).unwrap_or_default();
            lines.push(("risk", format!("{score} (declared{model}){factors}")));
        }
        lines
    }
}

impl AfterView {
    fn of(after: &After) -> Self {
        Self { target: after.target.to_string(), artifacts: after.artifacts }
    }

    fn words(&self) -> String {
        let what = match self.artifacts {
            AfterArtifacts::Same => "the same artifacts have",
            AfterArtifacts::Any => "a lease has",
        };
        format!("{what} completed on {}", self.target)
    }
}

fn list(some: &[String]) -> Option<String> {
    (!some.is_empty()).then(|| some.join(", "))
}
