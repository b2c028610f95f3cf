//! Policy difference: what a policy says, and what another changes in it, line by line, in words for those who are asked to sign it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::model::{
    PrincipalId, PublicKey,
    policy::{self, Day, Policy, Principal},
};

use super::words::escaped;

/// What a policy has, in the order in which it is said; where entries have names, with what one is called.
const SECTIONS: [(&str, Option<&str>); 13] = [
    ("groups", Some("group")),
    ("rules", Some("rule")),
    ("start-up-to", None),
    ("delegable-up-to", None),
    ("false-alarms", None),
    ("windows", None),
    ("keep", None),
    ("principals", Some("principal")),
    ("targets", Some("target")),
    ("gates", Some("gate")),
    ("thresholds", Some("threshold")),
    ("risk", None),
    ("labels", None),
];

/// One thing that a policy says, as the policy in force and the proposed one have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PolicyRow {
    /// What it is about: `rule cosign`, `gate errors`, `start-up-to`.
    pub about: String,
    /// Which of its properties, dots between names; empty where it is one value.
    pub name: String,
    /// What the policy in force says; null where it says nothing.
    pub in_force: Option<String>,
    /// What the proposed one says; null where it says nothing.
    pub proposed: Option<String>,
}

impl PolicyRow {
    /// Whether the two differ.
    pub fn differs(&self) -> bool {
        self.in_force != self.proposed
    }

    /// `absolute.max 0.05 → 0.99`.
    fn words(&self) -> String {
        let unit = if self.about.ends_with("-up-to") { " %" } else { "" };
        let word = |value: &Option<String>| value.as_ref().map_or("none".to_owned(), |text| text.to_owned() + unit);
        let (old, new) = (word(&self.in_force), word(&self.proposed));
        let values = if self.differs() { format!("{old} → {new}") } else { new };
        if self.name.is_empty() { values } else { format!("{} {values}", self.name) }
    }
}

/// Everything that two policies say, rule by rule and gate by gate; the same one twice where nothing is proposed.
pub(super) fn policy_rows(now: &Policy, next: &Policy) -> Vec<PolicyRow> {
    let (now, next) = (values(now), values(next));
    let mut rows = Vec::new();
    for (section, kind) in SECTIONS {
        let (now, next) = (&now[section], &next[section]);
        match kind {
            Some(kind) => named(now, next, kind, &mut rows),
            None => compare(section, now, next, &mut rows),
        }
    }
    rows
}

/// What a policy says, its keys by their fingerprints, with the last day of those that have one of their own.
fn values(policy: &Policy) -> Value {
    let mut values = policy::values(policy);
    for (id, principal) in &policy.principals {
        let last_day = |key: &PublicKey| principal.last_days.get(&key.raw()).map(|day| format!(" until {day}"));
        let key = |key: &PublicKey| format!("{}{}", key.fingerprint(), last_day(key).unwrap_or_default());
        let keys: Vec<_> = principal.keys.iter().map(key).collect();
        values["principals"][id.as_str()]["keys"] = keys.into();
    }
    values
}

/// The entries of a section, by name.
fn named(now: &Value, next: &Value, kind: &str, rows: &mut Vec<PolicyRow>) {
    let entries = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (now, next) = (entries(now), entries(next));
    let names: BTreeSet<_> = now.keys().chain(next.keys()).collect();
    for name in names {
        let of = |entries: &serde_json::Map<String, Value>| entries.get(name).cloned().unwrap_or_default();
        compare(&format!("{kind} {name}"), &of(&now), &of(&next), rows);
    }
}

fn compare(about: &str, now: &Value, next: &Value, rows: &mut Vec<PolicyRow>) {
    let leaves = |value: &Value| {
        let mut leaves = BTreeMap::new();
        flatten("", value, &mut leaves);
        leaves
    };
    let (now, next) = (leaves(now), leaves(next));
    let names: BTreeSet<_> = now.keys().chain(next.keys()).collect();
    rows.extend(names.into_iter().map(|name| PolicyRow {
        about: about.to_owned(),
        name: name.clone(),
        in_force: now.get(name).cloned(),
        proposed: next.get(name).cloned(),
    }));
}

/// The values below a value, by their paths. A list of words is one value.
fn flatten(path: &str, value: &Value, leaves: &mut BTreeMap<String, String>) {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Null => {}
        Value::Object(map) => map.iter().for_each(|(name, value)| flatten(&join(name), value, leaves)),
        Value::Array(list) if list.iter().any(|value| value.is_object() || value.is_array()) => {
            list.iter().enumerate().for_each(|(at, value)| flatten(&join(&(at + 1).to_string()), value, leaves));
        }
        Value::Array(list) => {
            let words: Vec<_> = list.iter().map(plain).collect();
            leaves.insert(path.to_owned(), format!("[{}]", words.join(", ")));
        }
        other => drop(leaves.insert(path.to_owned(), plain(other))),
    }
}

fn plain(value: &Value) -> String {
    escaped(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// One line a thing that a policy changes in another; never empty.
pub fn policy_difference(now: &Policy, next: &Policy) -> Vec<String> {
    // What makes it easier to move something comes first.
    let mut lines: Vec<_> = policy::loosened(now, next).iter().map(|loosened| format!("loosens {loosened}")).collect();
    lines.extend(widened(now, next).into_iter().map(|widened| format!("loosens {widened}")));
    lines.extend(principals(now, next));
    lines.extend(last_days(now, next));
    let rows = policy_rows(now, next);
    for about in rows.chunk_by(|one, other| one.about == other.about) {
        let Some(first) = about.first().filter(|first| !first.about.starts_with("principal ")) else { continue };
        let name = &first.about;
        let words = |rows: &[&PolicyRow]| rows.iter().map(|row| row.words()).collect::<Vec<_>>().join(", ");
        let differing: Vec<_> = about.iter().filter(|row| row.differs()).collect();
        let is_named = name.contains(' ');
        if differing.is_empty() {
        } else if is_named && about.iter().all(|row| row.in_force.is_none()) {
            lines.push(format!("{name} comes: {}", joined(about, |row| row.proposed.as_deref())));
        } else if is_named && about.iter().all(|row| row.proposed.is_none()) {
            lines.push(format!("{name} goes: {}", joined(about, |row| row.in_force.as_deref())));
        } else {
            lines.push(format!("{name}: {}", words(&differing)));
        }
    }
    if lines.is_empty() {
        lines.push("nothing but the version".to_owned());
    }
    lines
}

/// What lets more happen than before, rules aside: less is asked for, less is looked at, or at more times.
fn widened(now: &Policy, next: &Policy) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, was, is) in [
        ("start-up-to", now.start_up_to, next.start_up_to),
        ("delegable-up-to", now.delegable_up_to, next.delegable_up_to),
    ] {
        lines.extend((is > was).then(|| format!("{name}: {was} % → {is} %")));
    }
    let dropped = |whose: &str, was: bool, is: bool| {
        (was && !is).then(|| format!("{whose}windows: at certain times → at any time"))
    };
    lines.extend(dropped("", !now.windows.is_empty(), !next.windows.is_empty()));
    lines.extend(
        now.thresholds.keys().filter(|id| !next.thresholds.contains_key(*id)).map(|id| format!("threshold {id}: gone")),
    );
    for (id, was) in &now.targets {
        let Some(is) = next.targets.get(id) else { continue };
        let limits = |policy: &Policy, target: &policy::Target| target.windows.is_empty() && policy.windows.is_empty();
        if !was.windows.is_empty() && limits(next, is) {
            lines.extend(dropped(&format!("target {id}, "), true, false));
        }
        let gates = was.gates.iter().filter(|gate| !is.gates.contains(gate));
        lines.extend(gates.map(|gate| format!("target {id}: gate {gate} is not asked any more")));
        let thresholds = was.thresholds.keys().filter(|threshold| !is.thresholds.contains_key(*threshold));
        lines.extend(thresholds.map(|threshold| format!("target {id}: threshold {threshold} is gone")));
        if was.all_at_once == policy::AllAtOnce::Refused && is.all_at_once == policy::AllAtOnce::Allowed {
            lines.push(format!("target {id}: 100 % at once is allowed"));
        }
    }
    lines
}

/// `source file, absolute.max 0.05`.
fn joined(rows: &[PolicyRow], of: impl Fn(&PolicyRow) -> Option<&str>) -> String {
    let one = |row: &PolicyRow| Some(format!("{} {}", row.name, of(row)?).trim_start().to_owned());
    rows.iter().filter_map(one).collect::<Vec<_>>().join(", ")
}

/// A line each for what a policy says, marked where the proposed one says something else.
pub(super) fn rows_text(rows: &[PolicyRow]) -> String {
    let groups: Vec<_> = rows.chunk_by(|one, other| one.about == other.about).collect();
    let width = groups.iter().filter_map(|group| group.first()).map(|row| row.about.chars().count()).max().unwrap_or(0);
    let line = |group: &&[PolicyRow]| {
        let mark = if group.iter().any(PolicyRow::differs) { '*' } else { ' ' };
        let about = group.first().map(|row| row.about.as_str()).unwrap_or_default();
        let words: Vec<_> = group.iter().map(PolicyRow::words).collect();
        format!("{mark} {about:width$}  {}\n", words.join(", "))
    };
    groups.iter().map(line).collect::<Vec<_>>().concat()
}

fn principals(now: &Policy, next: &Policy) -> Vec<String> {
    let names: BTreeSet<&PrincipalId> = now.principals.keys().chain(next.principals.keys()).collect();
    let mut lines = Vec::new();
    for name in names {
        match (now.principals.get(name), next.principals.get(name)) {
            (None, Some(new)) => lines.push(format!("adds {} {name} with {}", new.role.word(), keys(new))),
            (Some(old), None) => lines.push(format!("removes {} {name} with {}", old.role.word(), keys(old))),
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

/// Which last days of those that both list are others.
fn last_days(now: &Policy, next: &Policy) -> Vec<String> {
    let word = |day: Option<&Day>| day.map_or_else(|| "none".to_owned(), ToString::to_string);
    let changed =
        |was: Option<&Day>, is: Option<&Day>| (was != is).then(|| format!("until {} → {}", word(was), word(is)));
    let mut lines = Vec::new();
    for (name, is) in &next.principals {
        let was = now.principals.get(name);
        let own = changed(was.and_then(|was| was.until.as_ref()), is.until.as_ref());
        lines.extend(own.map(|words| format!("principal {name}: {words}")));
        for key in &is.keys {
            let was = was.and_then(|was| was.last_days.get(&key.raw()));
            let words = changed(was, is.last_days.get(&key.raw()));
            lines.extend(words.map(|words| format!("principal {name}: key {} {words}", key.fingerprint())));
        }
    }
    lines
}

/// What a policy changes in another for those who are asked to sign it at a moment: which keys stop at once comes first.
pub fn policy_difference_at(now: &Policy, next: &Policy, moment: Option<Timestamp>) -> Vec<String> {
    let stops = |policy: &Policy, key: &PublicKey| policy.key_in_time(key.raw(), moment?).err();
    let mut lines = Vec::new();
    for (_, _, key) in next.keys().filter(|(_, _, key)| stops(now, key).is_none()) {
        let line = stops(next, key).map(|refusal| refusal.message);
        lines.extend(line.filter(|line| lines.last() != Some(line)));
    }
    lines.extend(policy_difference(now, next));
    lines
}

fn keys(principal: &Principal) -> String {
    principal.keys.iter().map(|key| key.fingerprint().to_string()).collect::<Vec<_>>().join(", ")
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
                "adds human user2 with SHA256:t31SMl4L/CkN9SIiv+25Dl27AvxX5INYHTqukvaA1d0",
                "target shop: driver file → exec"
            ]
        );
        assert_eq!(policy_difference(&now, &now), ["nothing but the version"]);
    }
}
