//! What one policy changes in another, in words for those who are asked to sign it.

use std::collections::BTreeSet;

use crate::model::{
    PrincipalId,
    policy::{Deliberate, Hardware, Policy, Principal, Rule, SeparateProposer},
};

use super::words::escaped;

/// One line a difference; never empty.
pub fn policy_difference(now: &Policy, next: &Policy) -> Vec<String> {
    let mut lines = principals(now, next);
    for (name, old, new) in [
        ("cosign", &now.rules.cosign, &next.rules.cosign),
        ("promote", &now.rules.promote, &next.rules.promote),
        ("policy", &now.rules.policy, &next.rules.policy),
    ] {
        if old != new {
            lines.push(format!("the {name} rule: {} → {}", rule(old), rule(new)));
        }
    }
    let numbers = [
        ("start-up-to", now.start_up_to, next.start_up_to),
        ("delegable-up-to", now.delegable_up_to, next.delegable_up_to),
    ];
    for (name, old, new) in numbers {
        if old != new {
            lines.push(format!("{name}: {old} % → {new} %"));
        }
    }
    targets(now, next, &mut lines);
    for (name, differs) in [
        ("false-alarms", now.false_alarms != next.false_alarms),
        ("gates", now.gates != next.gates),
        ("thresholds", now.thresholds != next.thresholds),
        ("risk", now.risk != next.risk),
        ("labels", now.labels != next.labels),
    ] {
        if differs {
            lines.push(format!("{name} differ: compare the files"));
        }
    }
    if lines.is_empty() {
        lines.push("nothing but the version".to_owned());
    }
    lines
}

fn principals(now: &Policy, next: &Policy) -> Vec<String> {
    let names: BTreeSet<&PrincipalId> = now.principals.keys().chain(next.principals.keys()).collect();
    let mut lines = Vec::new();
    for name in names {
        match (now.principals.get(name), next.principals.get(name)) {
            (None, Some(new)) => lines.push(format!("{name} comes as {} with {}", new.role.word(), keys(new))),
            (Some(old), None) => lines.push(format!("{} {name} goes, with {}", old.role.word(), keys(old))),
            (Some(old), Some(new)) => {
                if old.role != new.role {
                    lines.push(format!("{name} becomes {} (was {})", new.role.word(), old.role.word()));
                }
                let came = new.keys.iter().filter(|key| !old.keys.contains(key));
                lines.extend(came.map(|key| format!("{} {name} gets the key {}", new.role.word(), key.fingerprint())));
                let went = old.keys.iter().filter(|key| !new.keys.contains(key));
                lines.extend(went.map(|key| format!("{} {name} loses the key {}", old.role.word(), key.fingerprint())));
            }
            (None, None) => {}
        }
    }
    lines
}

fn keys(principal: &Principal) -> String {
    principal.keys.iter().map(|key| key.fingerprint().to_string()).collect::<Vec<_>>().join(", ")
}

fn rule(rule: &Rule) -> String {
    let mut text = format!("{} human, {} agent", rule.human, rule.agent);
    if let Some(agents) = &rule.agents {
        let names: Vec<_> = agents.iter().map(PrincipalId::as_str).collect();
        text = format!("{text} of {}", names.join(", "));
    }
    for (word, set) in [
        ("hardware", rule.hardware == Hardware::Required),
        ("deliberate", rule.deliberate == Deliberate::Required),
        ("separate proposer", rule.separate_proposer == SeparateProposer::Required),
    ] {
        if set {
            text = format!("{text}, {word}");
        }
    }
    text
}

fn targets(now: &Policy, next: &Policy, lines: &mut Vec<String>) {
    let names: BTreeSet<_> = now.targets.keys().chain(next.targets.keys()).collect();
    for name in names {
        let line = match (now.targets.get(name), next.targets.get(name)) {
            (None, Some(_)) => format!("target {name} comes"),
            (Some(_), None) => format!("target {name} goes"),
            (Some(old), Some(new)) if old != new => {
                let applier = |id: &Option<PrincipalId>| id.as_ref().map_or("nobody", PrincipalId::as_str).to_owned();
                let mut parts = Vec::new();
                if old.driver != new.driver {
                    parts.push("another driver".to_owned());
                }
                if old.applier != new.applier {
                    parts.push(format!("applier {} → {}", applier(&old.applier), applier(&new.applier)));
                }
                if old.gates != new.gates {
                    parts.push("other gates".to_owned());
                }
                if old.drift_below != new.drift_below {
                    let (old, new) = (old.drift_below.word(), new.drift_below.word());
                    parts.push(format!("drift below {old} → {new}"));
                }
                format!("target {name}: {}", parts.join(", "))
            }
            _ => continue,
        };
        lines.push(escaped(&line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy;

    const POLICY: &str = "two-key: 1\nrepository: 6f1c0e2b9a4d4f70a1b2c3d4e5f60718\nversion: 1\nprevious: null\nprincipals:\n  \
        user1: {role: human, keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILdn7h/2kOLL8wcWH1l4xoJmGr1IG7CyBg+TjF6qllDa\"]}\n  \
        cp14: {role: agent, keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBIkRqgXf2zLembCOQKtirqAhY71+O54vzPjQRmz46r6\"]}\n\
        targets:\n  shop: {driver: file}\n";
    const EXTRA: &str = "  user2: {role: human, keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA1X/iYyN55Gr6fvVn036Cbli6f5qUPPC2BO8BDprqnT\"]}\ntargets:";

    fn read(text: &str) -> Policy {
        policy::read(text.as_bytes()).unwrap().get().clone()
    }

    #[test]
    fn what_changes_is_said_and_nothing_else() {
        let now = read(POLICY);
        let next = read(&POLICY.replace("targets:", EXTRA).replace("driver: file", "driver: exec"));
        assert_eq!(
            policy_difference(&now, &next),
            [
                "user2 comes as human with SHA256:t31SMl4L/CkN9SIiv+25Dl27AvxX5INYHTqukvaA1d0",
                "target shop: another driver"
            ]
        );
        assert_eq!(policy_difference(&now, &now), ["nothing but the version"]);
    }
}
