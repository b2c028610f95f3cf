//! Policy writer: policy → bytes, as `init` writes it.

use serde_json::{Map, Value, json};

use super::{
    AllAtOnce, Deliberate, DriftBelow, Hardware, Policy, Principal, RiskPolicy, Rule, SeparateProposer, Target, Terms,
    USUAL_FALSE_ALARMS, USUAL_KEEP,
};
use crate::model::{FORMAT_LEVEL, PublicKey, document::emit};

/// Names the schema for editors; seen from `.two-key/policy.yaml`.
const FIRST_LINE: &str = "# yaml-language-server: $schema=policy.schema.json";

/// The policy as a file; parts that are empty are left out.
pub fn write(policy: &Policy) -> String {
    let mut entries = vec![
        ("two-key", json!(FORMAT_LEVEL)),
        ("repository", json!(policy.repository)),
        ("version", json!(policy.version)),
        ("previous", json!(policy.previous)),
        ("branch", json!(policy.branch)),
        ("principals", principals(policy)),
        ("rules", rules(policy)),
        ("start-up-to", json!(policy.start_up_to)),
        ("delegable-up-to", json!(policy.delegable_up_to)),
    ];
    if !policy.groups.is_empty() {
        entries.insert(6, ("groups", json!(policy.groups)));
    }
    if !policy.windows.is_empty() {
        entries.push(("windows", json!(policy.windows)));
    }
    if policy.keep != USUAL_KEEP {
        entries.push(("keep", json!(policy.keep)));
    }
    let optional = [
        ("targets", targets(policy)),
        ("false-alarms", json!(Some(policy.false_alarms).filter(|rate| *rate != USUAL_FALSE_ALARMS))),
        ("gates", json!(policy.gates)),
        ("thresholds", json!(policy.thresholds)),
        ("risk", risk(&policy.risk)),
        ("labels", json!(policy.labels)),
    ];
    let says = |value: &Value| !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty());
    entries.extend(optional.into_iter().filter(|(_, value)| says(value)));
    emit::document(FIRST_LINE, &entries)
}

/// Everything that a policy says, in the words of the file: section, then name, then what is said of it.
pub fn values(policy: &Policy) -> Value {
    json!({
        "groups": policy.groups,
        "rules": rules(policy),
        "start-up-to": policy.start_up_to,
        "delegable-up-to": policy.delegable_up_to,
        "false-alarms": policy.false_alarms,
        "windows": policy.windows,
        "keep": policy.keep,
        "principals": principals(policy),
        "targets": targets(policy),
        "gates": policy.gates,
        "thresholds": policy.thresholds,
        "risk": risk(&policy.risk),
        "labels": policy.labels,
    })
}

fn targets(policy: &Policy) -> Value {
    Value::Object(policy.targets.iter().map(|(id, target)| (id.to_string(), self::target(target))).collect())
}

/// The `principals:` block alone.
pub(super) fn principals_block(policy: &Policy) -> String {
    let text = emit::document("", &[("principals", principals(policy))]);
    text.trim_start_matches('\n').to_owned()
}

fn principals(policy: &Policy) -> Value {
    let entry = |principal: &Principal| {
        let key = |key: &PublicKey| match principal.last_days.get(&key.raw()) {
            Some(day) => json!({"key": key, "until": day}),
            None => json!(key),
        };
        let mut entry = json!({"role": principal.role, "keys": principal.keys.iter().map(key).collect::<Vec<_>>()});
        if let (Value::Object(entry), Some(until)) = (&mut entry, principal.until) {
            entry.insert("until".to_owned(), json!(until));
        }
        entry
    };
    Value::Object(policy.principals.iter().map(|(id, principal)| (id.to_string(), entry(principal))).collect())
}

fn rules(policy: &Policy) -> Value {
    let rules = &policy.rules;
    json!({"cosign": rule(&rules.cosign), "promote": rule(&rules.promote), "policy": rule(&rules.policy)})
}

fn rule(rule: &Rule) -> Value {
    let flags = [
        ("deliberate", rule.deliberate == Deliberate::Required),
        ("separate-proposer", rule.separate_proposer == SeparateProposer::Required),
    ];
    let mut map = Map::new();
    map.insert("human".to_owned(), json!(rule.human));
    map.insert("agent".to_owned(), json!(rule.agent));
    if let Some(humans) = &rule.humans {
        map.insert("humans".to_owned(), json!(humans));
    }
    if !rule.from.is_empty() {
        let from = rule.from.iter().map(|from| (from.group.to_string(), json!(from.count)));
        map.insert("from".to_owned(), Value::Object(from.collect()));
    }
    if let Some(agents) = &rule.agents {
        map.insert("agents".to_owned(), json!(agents));
    }
    match rule.hardware {
        Hardware::NotRequired => {}
        Hardware::Presence => drop(map.insert("hardware".to_owned(), json!(true))),
        Hardware::Verified => drop(map.insert("hardware".to_owned(), json!("verified"))),
    }
    map.extend(flags.into_iter().filter(|(_, set)| *set).map(|(name, _)| (name.to_owned(), json!(true))));
    Value::Object(map)
}

fn target(target: &Target) -> Value {
    let mut map = Map::new();
    map.insert("driver".to_owned(), json!(target.driver));
    if let Some(applier) = &target.applier {
        map.insert("applier".to_owned(), json!(applier));
    }
    if !target.gates.is_empty() {
        map.insert("gates".to_owned(), json!(target.gates));
    }
    let own = [("cosign", &target.rules.cosign), ("promote", &target.rules.promote)];
    let own: Map<_, _> =
        own.into_iter().filter_map(|(name, own)| Some((name.to_owned(), rule(own.as_ref()?)))).collect();
    if !own.is_empty() {
        map.insert("rules".to_owned(), Value::Object(own));
    }
    if !target.thresholds.is_empty() {
        map.insert("thresholds".to_owned(), json!(target.thresholds));
    }
    if !target.windows.is_empty() {
        map.insert("windows".to_owned(), json!(target.windows));
    }
    if target.all_at_once == AllAtOnce::Allowed {
        map.insert("all-at-once".to_owned(), json!(true));
    }
    if target.drift_below != DriftBelow::default() {
        map.insert("drift-below".to_owned(), json!(target.drift_below));
    }
    Value::Object(map)
}

fn risk(risk: &RiskPolicy) -> Value {
    let mut map = Map::new();
    if let Some(model) = &risk.model {
        map.insert("model".to_owned(), json!(model));
    }
    if !risk.sensitive.is_empty() {
        map.insert("sensitive".to_owned(), json!(risk.sensitive));
    }
    if !risk.bands.is_empty() {
        let band = |from: u8, terms: &Terms| {
            let mut band = Map::new();
            band.insert("from".to_owned(), json!(from));
            band.extend(self::terms(terms));
            Value::Object(band)
        };
        map.insert("bands".to_owned(), risk.bands.iter().map(|entry| band(entry.from, &entry.terms)).collect());
    }
    if !risk.factors.is_empty() {
        let factors = risk.factors.iter().map(|(name, terms)| (name.clone(), Value::Object(self::terms(terms))));
        map.insert("factors".to_owned(), Value::Object(factors.collect()));
    }
    Value::Object(map)
}

fn terms(terms: &Terms) -> Map<String, Value> {
    let entries = [
        ("bake", terms.bake.map(|bake| json!(bake))),
        ("first-tier", terms.first_tier.map(|weight| json!(weight))),
        ("samples", terms.samples.map(|factor| json!(factor))),
        ("humans", (terms.humans > 0).then(|| json!(terms.humans))),
    ];
    entries.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
