//! Rules as policies write them: whose keys must be turned for what.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Visitor};

use super::{
    Deliberate, FromGroup, Groups, Hardware, Principal, Role, Rule, Rules, SeparateProposer, TargetRules,
    places::unfilled,
};
use crate::model::{
    GroupId, PrincipalId, Reason, TargetId,
    document::{At, Entries, Flag, Position, Problems, Whole, Word},
};

/// The three rules.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rules")]
pub(super) struct RawRules {
    /// Who authorizes a lease.
    cosign: Option<At<RawRule>>,
    /// Who raises a weight, resumes, thaws, and starts above `start-up-to`.
    promote: Option<At<RawRule>>,
    /// Who changes the policy; two humans always suffice.
    policy: Option<At<RawRule>>,
}

/// The rules of one target; what is left out is the policy's.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TargetRules")]
pub(super) struct RawTargetRules {
    /// Who authorizes a lease on this target.
    cosign: Option<At<RawRule>>,
    /// Who raises a weight there, resumes, and starts above `start-up-to`.
    promote: Option<At<RawRule>>,
}

/// How many principals of each role must turn a key, and which votes count.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Rule")]
pub(super) struct RawRule {
    /// How many humans; by default 1.
    #[schemars(range(max = 255))]
    human: Option<At<Whole>>,
    /// How many agents; by default 1.
    #[schemars(range(max = 255))]
    agent: Option<At<Whole>>,
    /// Which humans count; by default all.
    humans: Option<Vec<Word<PrincipalId>>>,
    /// Which agents count; by default all.
    agents: Option<Vec<Word<PrincipalId>>>,
    /// Of the humans, at least so many from each of these groups, by distinct persons.
    from: Option<Entries<GroupId, At<Whole>>>,
    /// Whether a human counts only by a hardware key's signature with the user-presence flag (`true` or `presence`), or with the
    /// user-verified flag as well (`verified`). A signature whose flags say that its key may be copied never counts then.
    #[serde(default)]
    hardware: RawHardware,
    /// Whether a human counts only by a signature made for this purpose.
    #[serde(default)]
    deliberate: Flag,
    /// Whether the proposer must be known and does not count.
    #[serde(default)]
    separate_proposer: Flag,
}

/// `true`, `false`, or a word for what a signature has to show.
#[derive(Clone, Copy)]
struct RawHardware(Hardware);

impl Default for RawHardware {
    fn default() -> Self {
        Self(Hardware::NotRequired)
    }
}

impl<'de> Deserialize<'de> for RawHardware {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HardwareVisitor;

        impl Visitor<'_> for HardwareVisitor {
            type Value = RawHardware;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, `presence` or `verified`")
            }

            fn visit_bool<E>(self, asked: bool) -> Result<RawHardware, E> {
                Ok(RawHardware(if asked { Hardware::Presence } else { Hardware::NotRequired }))
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<RawHardware, E> {
                match word {
                    "presence" => Ok(RawHardware(Hardware::Presence)),
                    "verified" => Ok(RawHardware(Hardware::Verified)),
                    "device-bound" => Err(E::custom(
                        "`device-bound` is reserved: no flag shows it; `presence` leaves out what says that it may be copied",
                    )),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)),
                }
            }
        }

        deserializer.deserialize_any(HardwareVisitor)
    }
}

impl JsonSchema for RawHardware {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Hardware".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": "^(presence|verified)$"}]})
    }
}

/// Whom rules can name.
#[derive(Clone, Copy)]
pub(super) struct People<'a> {
    pub(super) principals: &'a BTreeMap<PrincipalId, Principal>,
    pub(super) groups: &'a Groups,
}

/// Groups' valid form: each has members, all of them humans among the principals.
pub(super) fn groups(
    raw: Entries<GroupId, At<Vec<Word<PrincipalId>>>>,
    principals: &BTreeMap<PrincipalId, Principal>,
    problems: &mut Problems,
) -> Groups {
    let mut groups = Groups::new();
    for (place, name, members) in problems.unique(raw, GroupId::folded) {
        if members.value.is_empty() {
            problems.malformed(place, format!("the group {name} is empty; a group has at least one human"));
        }
        let members = named(members.value, Role::Human, principals, problems);
        groups.insert(name, members);
    }
    groups
}

/// The policy's rules' valid form. A rule that is not written stands where the principals do.
pub(super) fn rules(
    raw: RawRules,
    principals_at: Position,
    people: People<'_>,
    problems: &mut Problems,
) -> Option<Rules> {
    let mut one = |name: &str, floor: Floor, raw: Option<At<RawRule>>| {
        let raw = raw.unwrap_or_else(|| At { value: RawRule::default(), place: principals_at });
        let place = raw.place;
        Some((rule((name, floor), raw, people, problems)?, place))
    };
    let cosign = one("cosign rule", Floor::Both, raw.cosign);
    let promote = one("promote rule", Floor::Both, raw.promote);
    let policy = one("policy rule", Floor::BothOrTwoHumans, raw.policy);
    let (policy, place) = policy?;
    satisfiable(&policy, place, people.principals, problems);
    Some(Rules { cosign: cosign?.0, promote: promote?.0, policy })
}

/// A target's rules' valid form.
pub(super) fn target_rules(
    target: &TargetId,
    raw: RawTargetRules,
    people: People<'_>,
    problems: &mut Problems,
) -> TargetRules {
    let mut one = |name: &str, raw: Option<At<RawRule>>| {
        rule((&format!("{name} rule of {target}"), Floor::Both), raw?, people, problems)
    };
    TargetRules { cosign: one("cosign", raw.cosign), promote: one("promote", raw.promote) }
}

/// What no policy can lower.
#[derive(Clone, Copy)]
enum Floor {
    /// One human and one agent.
    Both,
    /// The same, or two humans: for changes of the policy.
    BothOrTwoHumans,
}

fn rule((name, floor): (&str, Floor), raw: At<RawRule>, people: People<'_>, problems: &mut Problems) -> Option<Rule> {
    let At { value: raw, place } = raw;
    let mut count = |what: &str, number: Option<At<Whole>>| {
        number.map_or(Some(1), |number| problems.within::<u8>(what, &number, 0..=255))
    };
    let (human, agent) = (count("`human`", raw.human), count("`agent`", raw.agent));
    let humans = raw.humans.map(|words| named(words, Role::Human, people.principals, problems));
    let agents = raw.agents.map(|words| named(words, Role::Agent, people.principals, problems));
    let from = from(raw.from.unwrap_or_default(), people.groups, problems);
    let rule = Rule {
        human: human?,
        agent: agent?,
        humans,
        agents,
        from,
        hardware: raw.hardware.0,
        deliberate: if raw.deliberate.0 { Deliberate::Required } else { Deliberate::NotRequired },
        separate_proposer: if raw.separate_proposer.0 {
            SeparateProposer::Required
        } else {
            SeparateProposer::NotRequired
        },
    };
    floor.hold(name, &rule, place, problems);
    reachable(name, &rule, place, people.principals, problems);
    Some(rule)
}

/// Principals of a role, each once.
fn named(
    words: Vec<Word<PrincipalId>>,
    role: Role,
    principals: &BTreeMap<PrincipalId, Principal>,
    problems: &mut Problems,
) -> BTreeSet<PrincipalId> {
    let word_for_role = role.word();
    let mut names = BTreeSet::new();
    for word in words {
        let place = word.place;
        let Some(name) = problems.word(word) else { continue };
        if principals.get(&name).is_none_or(|principal| principal.role != role) {
            problems.malformed(place, format!("{name} is no {word_for_role} among the principals"));
        }
        if !names.insert(name) {
            problems.malformed(place, format!("this {word_for_role} stands here twice"));
        }
    }
    names
}

fn from(raw: Entries<GroupId, At<Whole>>, groups: &Groups, problems: &mut Problems) -> Vec<FromGroup> {
    let mut from = Vec::new();
    for (place, group, count) in problems.unique(raw, GroupId::folded) {
        let Some(count) = problems.within::<u8>("a group's number", &count, 1..=255) else { continue };
        match groups.get(&group) {
            Some(members) => from.push(FromGroup { group, count, members: members.clone() }),
            None => problems.malformed(place, format!("there is no group {group}")),
        }
    }
    from
}

impl Floor {
    fn hold(self, name: &str, rule: &Rule, place: Position, problems: &mut Problems) {
        let both = rule.human >= 1 && rule.agent >= 1;
        let (good, needs) = match self {
            Self::Both => (both, "one human and one agent"),
            Self::BothOrTwoHumans => (both || rule.human >= 2, "one human and one agent, or two humans"),
        };
        if !good {
            let message =
                format!("the {name} has human {}, agent {}; it needs at least {needs}", rule.human, rule.agent);
            problems.add(Reason::PolicyFloor, place, message);
        }
    }
}

/// Who could ever count for a rule as a human: listed, and with a key of the kind that it asks for.
fn able<'a>(rule: &'a Rule, principals: &'a BTreeMap<PrincipalId, Principal>) -> BTreeSet<&'a PrincipalId> {
    let hardware = |principal: &Principal| {
        rule.hardware == Hardware::NotRequired || principal.keys.iter().any(crate::model::PublicKey::is_hardware)
    };
    let listed = |name: &PrincipalId| rule.humans.as_ref().is_none_or(|humans| humans.contains(name));
    let able = principals.iter().filter(|(name, p)| p.role == Role::Human && listed(name) && hardware(p));
    able.map(|(name, _)| name).collect()
}

/// A rule that names people of whom there are too few is refused: nobody could ever meet it.
fn reachable(
    name: &str,
    rule: &Rule,
    place: Position,
    principals: &BTreeMap<PrincipalId, Principal>,
    problems: &mut Problems,
) {
    let wanted: u32 = rule.from.iter().map(|from| u32::from(from.count)).sum();
    if wanted > u32::from(rule.human) {
        let message = format!("`from` of the {name} asks for {wanted} humans and `human` for {}", rule.human);
        problems.malformed(place, message);
        return;
    }
    if let Some(humans) = rule.humans.as_ref().filter(|humans| humans.len() < usize::from(rule.human)) {
        let message = format!("the {name} needs human {} and counts {} of them", rule.human, humans.len());
        problems.malformed(place, message);
        return;
    }
    if let Some(agents) = rule.agents.as_ref().filter(|agents| agents.len() < usize::from(rule.agent)) {
        let message = format!("the {name} needs agent {} and counts {} of them", rule.agent, agents.len());
        problems.malformed(place, message);
        return;
    }
    if rule.from.is_empty() {
        return;
    }
    if let Some(open) = unfilled(&rule.from, able(rule, principals)).first() {
        let groups: Vec<_> = open.groups.iter().map(|from| from.group.as_str()).collect();
        let message = format!(
            "nobody could ever meet `from` of the {name}: {} of {} stays open when each person who counts fills one place",
            open.places,
            groups.join(" or ")
        );
        problems.malformed(place, message);
        return;
    }
    let able = able(rule, principals).len();
    if able < usize::from(rule.human) {
        let message = format!("the {name} needs human {}, and {able} could count for it", rule.human);
        problems.malformed(place, message);
    }
}

/// A policy that nobody could ever change is refused.
fn satisfiable(rule: &Rule, place: Position, principals: &BTreeMap<PrincipalId, Principal>, problems: &mut Problems) {
    let humans = able(rule, principals).len();
    let counted = |name: &PrincipalId| rule.agents.as_ref().is_none_or(|agents| agents.contains(name));
    let agents = principals.iter().filter(|(name, p)| p.role == Role::Agent && counted(name)).count();
    let by_rule = humans >= usize::from(rule.human) && agents >= usize::from(rule.agent);
    if !by_rule && humans < usize::from(rule.human.max(2)) {
        let message = format!(
            "nobody could ever change this policy: its policy rule needs human {}, agent {} (or {} humans), and there are {humans} and {agents} who count",
            rule.human,
            rule.agent,
            rule.human.max(2)
        );
        problems.add(Reason::PolicyFloor, place, message);
    }
}
