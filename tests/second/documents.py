"""Documents: policies and leases. Their shape is what the published JSON Schemas say (templates/*.schema.json); what a
schema cannot say is below: floors, keys, order, windows.
"""
import hashlib
import json
import re
import zoneinfo
from datetime import datetime
from pathlib import Path

import strict
from keys import hidden, listed_key
from objects import Bad

LIMIT = 64 * 1024
TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
BIG = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def is_id(text):
    """An id, which is also a component of a ref's name."""
    return bool(ID.fullmatch(text)) and ".." not in text and not text.lower().endswith((".", ".lock"))


def nodes(value):
    """How many values there are, keys, lists and mappings among them."""
    if isinstance(value, dict):
        return 1 + sum(1 + nodes(one) for one in value.values())
    return 1 + sum(map(nodes, value)) if isinstance(value, list) else 1


class Shape:
    """A JSON Schema, as far as ours use it, held against strict YAML; gives plain values."""

    def __init__(self, name):
        self.root = json.loads((TEMPLATES / name).read_text())

    def read(self, data, most):
        value = strict.read(data)
        if nodes(value) > most:
            raise Bad("too-large", f"more than {most} values")
        return self.value(value, self.root)

    def value(self, value, schema):
        if "$ref" in schema:
            return self.value(value, self.root["$defs"][schema["$ref"].rsplit("/", 1)[1]])
        if "anyOf" in schema:
            null = {"type": "null"} in schema["anyOf"] and isinstance(value, strict.Scalar) and value.is_null()
            if null:
                return None
            for form in schema["anyOf"]:
                if form == {"type": "null"}:
                    continue
                try:
                    return self.value(value, form)
                except Bad as bad:
                    found = bad
            raise found
        if "oneOf" in schema:
            words = [one["const"] for one in schema["oneOf"]]
            return self.known(self.text(value), words)
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if "null" in kinds and isinstance(value, strict.Scalar) and value.is_null():
            return None
        return getattr(self, "a_" + kinds[0])(value, schema)

    @staticmethod
    def known(word, words):
        if word not in words:
            strict.bad(f"`{word}` is none of {', '.join(words)}")
        return word

    @staticmethod
    def text(value):
        if not isinstance(value, strict.Scalar) or value.is_null():
            strict.bad("not a text")
        return value.text

    def a_string(self, value, schema):
        text = self.text(value)
        if "pattern" in schema and not re.search(schema["pattern"], text):
            strict.bad(f"`{text}` has another form")
        if "maxLength" in schema:
            if not text or text != text.strip() or len(text) > schema["maxLength"] or any(hidden(c) for c in text):
                strict.bad("not one line of text")
        return text

    def a_integer(self, value, schema):
        if not isinstance(value, strict.Scalar) or value.quoted or not re.fullmatch(r"0|[1-9][0-9]{0,18}", value.text):
            strict.bad("not a whole number")
        number = int(value.text)
        if number < schema.get("minimum", 0) or number > schema.get("maximum", 2**32 - 1) or number != schema.get("const", number):
            strict.bad(f"{number} is out of range")
        return number

    def a_number(self, value, schema):
        if not isinstance(value, strict.Scalar) or value.quoted:
            strict.bad("not a number")
        if not re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", value.text):
            strict.bad("not a number")
        number = float(value.text)
        if number in (float("inf"), float("-inf")):
            strict.bad("not a number")
        return number

    def a_boolean(self, value, schema):
        if not isinstance(value, strict.Scalar) or value.quoted or value.text not in ("true", "false"):
            strict.bad("neither true nor false")
        return value.text == "true"

    def a_array(self, value, schema):
        if not isinstance(value, list):
            strict.bad("not a list")
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 1 << 20):
            strict.bad("a list that is too short or too long")
        if "prefixItems" in schema:
            return [self.value(*pair) for pair in zip(value, schema["prefixItems"])]
        return [self.value(one, schema["items"]) for one in value]

    def a_object(self, value, schema):
        if not isinstance(value, dict):
            strict.bad("not a mapping")
        known = schema.get("properties", {})
        others = schema.get("additionalProperties")
        found = {}
        for name, one in value.items():
            if name in known:
                found[name] = self.value(one, known[name])
            elif others is False:
                strict.bad(f"unknown key `{name}`")
            else:
                self.value(strict.Scalar(name, True), schema["propertyNames"])
                found[name] = self.value(one, others)
        for name in schema.get("required", []):
            if name not in found:
                strict.bad(f"`{name}` is missing")
        return found


LEASE, POLICY = Shape("lease.schema.json"), Shape("policy.schema.json")


def sized(data):
    if len(data) > LIMIT:
        raise Bad("too-large", f"{len(data)} bytes")
    return data


def differ(names, what):
    if len({name.lower() for name in names}) != len(names):
        strict.bad(f"two {what} that differ in case only")


def ids(names, what):
    for name in names:
        if not is_id(name):
            strict.bad(f"`{name}` is no id")
    differ(names, what)


def seconds(span):
    number = int(span[:-1]) * BIG[span[-1]]
    if number > 3650 * 86400:
        strict.bad("longer than ten years")
    return number


def moment(text):
    year = int(text[:4])
    try:  # Python's calendar begins with year 1; year 0 is a leap year like 4.
        datetime.strptime((text if year else "0004" + text[4:]), "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        strict.bad(f"`{text}` is no moment")
    if text > "9999-12-30T22:00:00Z":
        strict.bad("a moment beyond the calendar")
    return text


def day(text):
    moment(text + "T00:00:00Z")


# ---- Leases

class Lease:
    """A valid lease."""

    def __init__(self, data):
        found = LEASE.read(sized(data), 1000)
        self.digest = digest(data)
        self.id, self.repository, self.target = found["lease"], found["repository"], found["target"]
        for one in (self.id, self.target, *([found["intent"]] if found.get("intent") else [])):
            if not is_id(one):
                strict.bad(f"`{one}` is no id")
        self.intent, self.actor = found.get("intent"), found.get("actor")
        if not found.get("change") and not found.get("artifacts"):
            strict.bad("nothing to roll out")
        change = found.get("change")
        if change and (change["repository"].startswith("-") or set(change["to"]) == {"0"}):
            strict.bad("no change")
        names = [one["name"] for one in found.get("artifacts") or []]
        if len(set(names)) != len(names):
            strict.bad("an artifact twice")
        if moment(found["issued"]) >= moment(found["expires"]):
            strict.bad("a window that ends before it begins")
        tiers = found.get("tiers") or [{"weight": w, "bake": "15m"} for w in (5, 25, 100)]
        self.tiers = [one["weight"] for one in tiers]
        self.bakes = [seconds(one["bake"]) for one in tiers]
        if self.tiers != sorted(set(self.tiers)) or self.tiers[-1] != 100:
            strict.bad("tiers strictly increase to 100")
        self.artifacts = {(one["name"], one["digest"]) for one in found.get("artifacts") or []}
        self.after = []  # targets, each with what has to have been rolled out there
        for one in found.get("after") or []:
            same = one.get("artifacts") == "same"
            if one["target"] in [self.target, *(target for target, _ in self.after)] or not is_id(one["target"]) or (same and not self.artifacts):
                strict.bad(f"it cannot wait for {one['target']}")
            self.after.append((one["target"], self.artifacts if same else set()))
        self.alone = found.get("agent-alone-up-to") or 0
        self.exception = found.get("exception", False)
        self.risk = found.get("risk")
        scope = found.get("scope") or {}
        for path in scope.get("commands") or []:
            if not path.startswith("/") or path == "/":
                strict.bad("a command without its folder")
        for path in (scope.get("paths") or []) + (scope.get("commands") or []):
            if ".." in path.split("/"):
                strict.bad("a path that climbs")
        for name in scope.get("env") or []:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                strict.bad("no environment variable")
        self.cosign_rule = None


# ---- Policies

def seats(places, people):
    """How many of some places, each of which takes one of a group, so many people can fill, one each."""
    held = {}

    def put(person, tried):
        for at, group in enumerate(places):
            if person in group and at not in tried:
                tried.add(at)
                if at not in held or put(held[at], tried):
                    held[at] = person
                    return True
        return False

    return sum(put(person, set()) for person in sorted(people))


class Rule:
    def __init__(self, found, groups):
        found = found or {}
        number = lambda name: 1 if found.get(name) is None else found[name]
        self.human, self.agent = number("human"), number("agent")
        self.agents, self.humans = found.get("agents"), found.get("humans")
        self.places = []  # one for each human whom `from` asks for: the group that they are of
        for name, count in (found.get("from") or {}).items():
            if name not in groups or count < 1:
                strict.bad(f"`from` asks for {count} of {name}")
            self.places += [groups[name]] * count
        self.hardware, self.deliberate = found.get("hardware", False), found.get("deliberate", False)
        self.separate = found.get("separate-proposer", False)

    def seated(self, humans):
        """Whether these humans fill the places of groups."""
        return not self.places or seats(self.places, humans) == len(self.places)


class Policy:
    """A valid policy."""

    def __init__(self, data):
        low(strict.read(sized(data)))
        found = POLICY.read(data, 20_000)
        self.digest = digest(data)
        self.repository, self.version, self.previous = found["repository"], found["version"], found["previous"]
        if (self.version == 1) != (self.previous is None):
            strict.bad("the first policy, and no other, follows none")
        self.branch = found.get("branch") or "main"
        branch(self.branch)
        ids(found["principals"], "principals")
        self.roles, self.listed, self.owners = {}, {}, {}
        for name, one in found["principals"].items():
            texts = [key["key"] if isinstance(key, dict) else key for key in one["keys"]]
            self.roles[name], self.listed[name] = one["role"], [listed_key(text) for text in texts]
            for end in [one.get("until"), *(key["until"] for key in one["keys"] if isinstance(key, dict))]:
                if end is not None:
                    day(end)
        for name, keys in self.listed.items():
            for key in keys:
                if key.point in self.owners:
                    raise Bad("same-key", f"one key stands twice: {key.fingerprint}")
                self.owners[key.point] = name
        prints = [key.fingerprint for keys in self.listed.values() for key in keys]
        if len(set(prints)) != len(prints):
            raise Bad("same-key", "two keys have one fingerprint")
        self.groups = found.get("groups") or {}
        ids(self.groups, "groups")
        for name, members in self.groups.items():
            if not members or len(set(members)) != len(members) or any(self.roles.get(one) != "human" for one in members):
                strict.bad(f"the group {name} is not made of humans")
        rules = found.get("rules") or {}
        self.rules = {name: Rule(rules.get(name), self.groups) for name in ("cosign", "promote", "policy")}
        self.start_up_to = 10 if found.get("start-up-to") is None else found["start-up-to"]
        self.delegable = found.get("delegable-up-to") or 0
        self.targets, self.gates = found.get("targets") or {}, found.get("gates") or {}
        self.risk = found.get("risk") or {}
        ids(self.targets, "targets")
        ids(self.gates, "gates")
        self.own = {}  # of targets: the rules that are not the policy's
        for target, one in self.targets.items():
            for name, rule in (one.get("rules") or {}).items():
                self.own[target, name] = Rule(rule, self.groups)
            for limit in (one.get("thresholds") or {}).values():
                check_threshold(limit)
            ids(one.get("thresholds") or {}, "thresholds")
            windows(one.get("windows"))
        for rule in [*self.rules.values(), *self.own.values()]:
            self.named(rule)
        for one in self.targets.values():
            if one.get("applier") and self.roles.get(one["applier"]) != "applier":
                strict.bad(f"{one['applier']} is no applier")
            if any(name not in self.gates for name in one.get("gates") or []):
                strict.bad("a target names a gate that is not there")
        for name, gate in self.gates.items():
            check_gate(gate)
        for one in (found.get("thresholds") or {}).values():
            check_threshold(one)
        if found.get("false-alarms") is not None and not 0 < found["false-alarms"] < 1:
            strict.bad("false-alarms lies between 0 and 1")
        windows(found.get("windows"))
        if found.get("keep") is not None and seconds(found["keep"]) < 86400:
            strict.bad("labels are kept for a day at least")
        self.floors()

    def rule(self, name, target):
        """The rule of a target, which is the policy's where it has none of its own."""
        return self.own.get((target, name)) or self.rules[name]

    def able(self, rule):
        """The humans who could count for a rule."""
        listed = [name for name, role in self.roles.items() if role == "human" and (rule.humans is None or name in rule.humans)]
        return [name for name in listed if not rule.hardware or any(key.hardware for key in self.listed[name])]

    def named(self, rule):
        """What a rule says of people by name or group."""
        for names, role in ((rule.agents, "agent"), (rule.humans, "human")):
            if any(self.roles.get(name) != role for name in names or []) or len(set(names or [])) != len(names or []):
                strict.bad(f"a rule names {names}, who are no {role}s")
        if rule.humans is not None and len(rule.humans) < rule.human:
            strict.bad("a rule names too few humans")
        if rule.agents is not None and len(rule.agents) < rule.agent:
            strict.bad("a rule names too few agents")
        if len(rule.places) > rule.human or rule.places and len(self.able(rule)) < rule.human or not rule.seated(self.able(rule)):
            strict.bad("nobody could meet `from`")

    def floors(self):
        floored = [self.rules["cosign"], self.rules["promote"], *self.own.values()]
        if any(rule.human < 1 or rule.agent < 1 for rule in floored):
            raise Bad("policy-floor", "a rule needs a human and an agent")
        rule = self.rules["policy"]
        if not (rule.human >= 1 and rule.agent >= 1) and not (rule.human >= 2):
            raise Bad("policy-floor", "a policy needs a human and an agent, or two humans")
        able = self.able(rule)
        agents = [name for name, role in self.roles.items() if role == "agent" and (rule.agents is None or name in rule.agents)]
        if not (len(able) >= rule.human and len(agents) >= rule.agent) and len(able) < max(2, rule.human):
            raise Bad("policy-floor", "nobody could change this policy")


def windows(found):
    """Windows of a policy or a target: each is open at some time."""
    if found == []:
        strict.bad("no window")
    for one in found or []:
        names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
        days = [names.index(day) for part in one["days"].split(",") for day in part.split("-")]
        ranges = all(len(set(part.split("-"))) == len(part.split("-")) for part in one["days"].split(","))
        if days != sorted(set(days)) or not ranges or one["from"] >= one["until"]:
            strict.bad("a window that never opens")
        if one["zone"] == "localtime" or one["zone"] not in zoneinfo.available_timezones():
            strict.bad(f"no zone {one['zone']}")


def low(raw):
    """Floors that the schema has as limits: they have a reason code of their own."""
    if not isinstance(raw, dict):
        return
    for name in ("start-up-to", "delegable-up-to"):
        one = raw.get(name)
        if isinstance(one, strict.Scalar) and not one.quoted and re.fullmatch("[1-9][0-9]{2,}", one.text):
            raise Bad("policy-floor", f"{name} is 100 or more")
    principals = raw.get("principals")
    for name, one in principals.items() if isinstance(principals, dict) else ():
        if isinstance(one, dict) and one.get("keys") == []:
            raise Bad("policy-floor", f"{name} has no key")


def branch(name):
    """A branch's name, by Git's rules for names of refs."""
    parts = name.split("/")
    wrong = any(not p or p.startswith(".") or p.endswith((".lock", ".")) for p in parts) or ".." in name or "@{" in name
    if wrong or name in ("@", "HEAD") or name.startswith(("-", "refs/")) or any(c <= " " or c in "~^:?*[\\\x7f" for c in name):
        strict.bad(f"`{name}` is no branch")


VARIABLES = re.compile(
    r"candidate|stable|window|target|lease|tier|at|candidate-pool|stable-pool|(label|artifact)\.[A-Za-z0-9][A-Za-z0-9._-]*")


def check_gate(gate):
    """What a gate's kind asks for (gates.md)."""
    kind = gate["kind"]
    ratio = kind in ("count-ratio", "burn-rate")
    for side in ("candidate", "baseline"):
        queries = gate.get(side) or {}
        asked = {name for name in ("bad", "total", "value") if queries.get(name) is not None}
        if asked not in ([set(), {"bad", "total"}] if ratio else [set(), {"value"}]):
            strict.bad("queries of another kind of gate")
        for name in asked:
            if any(not VARIABLES.fullmatch(found) for found in re.findall(r"\{\{(.*?)\}\}", queries[name])):
                strict.bad("a query with a variable that is unknown")
    compare, absolute = gate.get("compare"), gate.get("absolute")
    if compare:
        if {"count-ratio": "e-value", "sample": "mann-whitney"}.get(kind) != compare["test"]:
            strict.bad("a test of another kind of gate")
        if compare.get("alpha") is not None and not 0 < compare["alpha"] < 1:
            strict.bad("alpha lies between 0 and 1")
    if absolute and None not in (absolute.get("max"), absolute.get("min")) and absolute["min"] > absolute["max"]:
        strict.bad("limits the wrong way round")
    if absolute and kind == "gauge" and absolute.get("rule") == "test":
        strict.bad("a gauge's single values are no rate to test")
    if kind == "burn-rate":
        if gate.get("objective") is None or not 0 < gate["objective"] < 100:
            strict.bad("no objective")
        for short, long, factor in gate.get("windows") or []:
            if seconds(short) >= seconds(long) or factor <= 0:
                strict.bad("windows the wrong way round")
    elif not compare and not absolute:
        strict.bad("a gate that cannot fail")
    if gate.get("interval") and seconds(gate["interval"]) == 0:
        strict.bad("no interval")


def check_threshold(one):
    limits = {name: one[name] for name in ("warn", "halt") if one.get(name)}
    if not limits:
        strict.bad("a threshold without a limit")
    if len(limits) == 2:
        (w, warn), (h, halt) = (limits["warn"].split(" "), limits["halt"].split(" "))
        if w != h or (float(warn) > float(halt) if w == ">" else float(warn) < float(halt)):
            strict.bad("a threshold that halts before it warns")
