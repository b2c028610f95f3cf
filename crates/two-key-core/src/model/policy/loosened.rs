//! Loosened rules: those of another policy that fewer or other people could meet than those of the policy in force.

use std::{collections::BTreeSet, fmt};

use super::{Deliberate, Hardware, Policy, Rule, SeparateProposer};
use crate::model::{PrincipalId, TargetId};

/// A rule that asks for less than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loosened {
    /// The target whose rule it is; none for that of all the others.
    pub target: Option<TargetId>,
    /// Which rule.
    pub rule: &'static str,
    /// What it asks for less, part by part; never empty.
    pub parts: Vec<String>,
}

impl fmt::Display for Loosened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target.as_ref().map(|target| format!(" of target {target}")).unwrap_or_default();
        write!(f, "rule {}{target}: {}", self.rule, self.parts.join(", "))
    }
}

/// The rules that ask for less in `next` than in `now`: those for all targets, then those of each target that has or gets one
/// of its own.
pub fn loosened(now: &Policy, next: &Policy) -> Vec<Loosened> {
    let mut found = Vec::new();
    let mut compare = |target: Option<&TargetId>, rule, (now, next): (&Rule, &Rule)| {
        let parts = parts(now, next);
        if !parts.is_empty() {
            found.push(Loosened { target: target.cloned(), rule, parts });
        }
    };
    compare(None, "cosign", (&now.rules.cosign, &next.rules.cosign));
    compare(None, "promote", (&now.rules.promote, &next.rules.promote));
    compare(None, "policy", (&now.rules.policy, &next.rules.policy));
    let targets: BTreeSet<_> = now.targets.keys().chain(next.targets.keys()).collect();
    for target in targets {
        let own = |policy: &Policy| policy.targets.get(target).map(|known| known.rules.clone()).unwrap_or_default();
        let (was, is) = (own(now), own(next));
        if was.cosign.is_some() || is.cosign.is_some() {
            compare(Some(target), "cosign", (now.cosign_rule(target), next.cosign_rule(target)));
        }
        if was.promote.is_some() || is.promote.is_some() {
            compare(Some(target), "promote", (now.promote_rule(target), next.promote_rule(target)));
        }
    }
    found
}

fn parts(now: &Rule, next: &Rule) -> Vec<String> {
    let mut parts = Vec::new();
    for (what, was, is) in [("human", now.human, next.human), ("agent", now.agent, next.agent)] {
        if is < was {
            parts.push(format!("{what} {was} → {is}"));
        }
    }
    parts.extend(more_who_count("humans", now.humans.as_ref(), next.humans.as_ref()));
    parts.extend(more_who_count("agents", now.agents.as_ref(), next.agents.as_ref()));
    for was in &now.from {
        match next.from.iter().find(|is| is.group == was.group) {
            None => parts.push(format!("from {} {} → none", was.group, was.count)),
            Some(is) => {
                if is.count < was.count {
                    parts.push(format!("from {} {} → {}", was.group, was.count, is.count));
                }
                let new: Vec<_> = is.members.difference(&was.members).map(PrincipalId::as_str).collect();
                if !new.is_empty() {
                    parts.push(format!("{} gets {}", was.group, new.join(", ")));
                }
            }
        }
    }
    if next.hardware < now.hardware {
        let word = |hardware| match hardware {
            Hardware::NotRequired => "not asked for",
            Hardware::Presence => "presence",
            Hardware::Verified => "verified",
        };
        parts.push(format!("hardware {} → {}", word(now.hardware), word(next.hardware)));
    }
    let dropped = [
        ("deliberate", now.deliberate == Deliberate::Required && next.deliberate == Deliberate::NotRequired),
        (
            "separate-proposer",
            now.separate_proposer == SeparateProposer::Required
                && next.separate_proposer == SeparateProposer::NotRequired,
        ),
    ];
    parts
        .extend(dropped.into_iter().filter(|(_, dropped)| *dropped).map(|(what, _)| format!("{what} → not asked for")));
    parts
}

/// Those whom a list lets count and did not before; a list that is not there lets everybody.
fn more_who_count(
    what: &str,
    now: Option<&BTreeSet<PrincipalId>>,
    next: Option<&BTreeSet<PrincipalId>>,
) -> Option<String> {
    let now = now?;
    let Some(next) = next else { return Some(format!("{what} {} → all", list(now))) };
    if next.is_subset(now) { None } else { Some(format!("{what} {} → {}", list(now), list(next))) }
}

fn list(names: &BTreeSet<PrincipalId>) -> String {
    format!("[{}]", names.iter().map(PrincipalId::as_str).collect::<Vec<_>>().join(", "))
}
