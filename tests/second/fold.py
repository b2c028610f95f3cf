"""The fold: what is in force, step by step along the first parents of the governed branch.

Stops and revocations of a step come first, then the votes in the order in which the commits that carry them come in.
Whose key it is and what a rule asks for is the policy's that was in force when the step began.
"""
from carriers import STOPS, open_commit, signer
from documents import LIMIT, Lease, Policy, digest, seconds
from files import changes, policy_blob, read
from objects import Bad, Undecided, brought_in, first_parents

FILES, FINDINGS = 100, 10  # of a lease, and about files of a step; one more finding says how many more there were
BACK = 32  # leases of another target that are looked at for one that has to have completed there
ORDINARY = 10_000  # commits that a step may bring in and have a proposer
ENDED = ("completed", "rolled-back", "withdrawn")


class Finding:
    """What does not count, and why."""

    def __init__(self, step, carrier, reason, why, lease=None, action=None, path=None):
        self.step, self.carrier, self.reason, self.why = step, carrier, reason, why
        self.lease, self.action, self.path = lease, action, path


class Record:
    """A lease: what is proposed, what was signed, how far it is."""

    def __init__(self, name):
        self.id, self.files = name, {}  # path to what stands there: a Lease, or the Bad that it is
        self.pinned, self.cosigns, self.ballots = None, [], {}
        self.state, self.step, self.tier = "proposed", 0, -1
        self.superseded, self.origin, self.verified, self.counted = None, None, False, False
        self.brought = {}  # digest to the keys that brought these bytes
        self.before = None  # what its target was at when it started
        self.rule = None  # the rule of its target that was pinned when it started, if it had one of its own

    def lease(self):
        """The bytes that were signed; before that, what the first of its files proposes, if it is a lease at all."""
        return self.pinned or next((one for _, one in sorted(self.files.items()) if isinstance(one, Lease)), None)

    def targets(self):
        """The target of the bytes that were signed; before that, those of all its files that are leases."""
        return [one.target for one in ([self.pinned] if self.pinned else self.files.values()) if isinstance(one, Lease)]

    def known(self):
        """Whether there is anything of it: a file, signed bytes, or a stop that took effect."""
        return bool(self.files) or self.pinned is not None or self.step > 0

    def is_lease(self):
        """The same, but a file that is no lease does not count."""
        return self.lease() is not None or self.step > 0

    def weight(self):
        if self.state in ("rolling", "paused", "completed"):
            return self.lease().tiers[self.tier]
        return 0


class Ledger:
    """Everything that is in force after some steps."""

    def __init__(self, repository, root):
        self.repository, self.root = repository, root
        if repository.commit(root).bad:
            raise Undecided(f"the root cannot be read: {repository.commit(root).bad.why}")
        self.policy_blob = policy_blob(repository, repository.commit(root).tree)
        self.policy = Policy(read(repository, self.policy_blob))
        if self.policy.version != 1:
            raise Bad("policy-version", "the root's policy is not the first")
        self.branch, self.policy_since = self.policy.branch, root
        self.revoked, self.used, self.frozen, self.freezes = set(), set(), None, 0
        self.leases, self.targets = {}, {}
        self.policy_ballots, self.thaw_ballots, self.proposed_policy = {}, {}, None
        self.findings, self.events, self.documents = [], [], {}
        self.steps, self.descends = 0, {}
        self.seen, self.tree = set(), None
        self.policies_brought = {}

    # -- a step

    def advance(self, oid):
        """Folds one first-parent commit with all that it brings in."""
        self.now, self.steps = oid, self.steps + 1
        order = [self.repository.commit(one) for one in brought_in(self.repository, oid, self.seen)]
        if oid == self.root:
            self.descends = {one.oid: one.oid == oid for one in order}
            self.origin = self.known([signer(self.repository, order[-1])])
            self.files(order[-1].tree)
            return
        votes, signers, opened = [], [], {}
        for one in order:
            self.descends[one.oid] = any(self.descends.get(parent) for parent in one.parents)
            try:
                opened[one.oid] = one.bad or open_commit(self.repository, one)
            except Bad as bad:
                opened[one.oid] = bad
            if opened[one.oid] is None:
                signers.append(signer(self.repository, one) if self.descends[one.oid] else None)
            elif isinstance(opened[one.oid], Bad):
                signers.append(None)
        ordinary = sum(found is None for one, found in opened.items() if one != oid)
        self.origin = self.known(signers) if ordinary <= ORDINARY else set()
        self.files(order[-1].tree)
        for one, found in opened.items():
            if isinstance(found, Bad):
                self.find(one, found.reason, found.why)
            elif found is not None and not self.descends[one]:
                self.find(one, "not-descended", "it does not descend from the root", found.lease, found.action)
            elif found is not None:
                counted, faults = found.votes(self.key_standing)
                for bad in faults:
                    self.find(one, bad.reason, bad.why, found.lease, found.action)
                votes += counted
        self.ruling, self.next = self.policy, None
        early = [vote for vote in votes if vote.statement.action in (*STOPS, "freeze")]
        early.sort(key=lambda vote: ("rollback", "withdraw", "halt", "freeze", "pause").index(vote.statement.action))
        revocations = [vote for vote in votes if vote.statement.action == "revoke"]
        late = [vote for vote in votes if vote not in early and vote not in revocations]
        for vote in early + revocations + late:
            try:
                self.count(vote)
            except Bad as bad:
                self.find(vote.carrier, bad.reason, bad.why, vote.statement.lease, vote.statement.action)
        if self.next is not None:
            self.policy, self.policy_since, self.policy_ballots = self.next, self.now, {}
            self.policies_brought = {}
            self.policy_blob = self.proposed_policy

    def find(self, carrier, reason, why, lease=None, action=None, path=None):
        self.findings.append(Finding(self.now, carrier, reason, why, lease, action, path))

    def event(self, name, lease=None, votes=(), step=None):
        self.events.append({"event": name, "lease": lease.id if lease else None, "commit": self.now,
                            "step": step or (lease.step if lease else None), "state": lease.state if lease else None,
                            "by": sorted({vote.principal for vote in votes})})

    # -- files

    def known(self, signers):
        """The keys that brought a step's files, if each of its commits was signed by one that is in force; else nobody."""
        counts = all(point in self.policy.owners and point not in self.revoked for point in signers)
        return set(signers) if counts else set()

    def files(self, tree):
        if tree == self.tree:
            return
        before, self.tree, known = self.tree, tree, len(self.findings)
        self.propose_policy(tree)
        try:
            changed = changes(self.repository, before, tree)
        except Bad as bad:
            return self.find(self.now, bad.reason, bad.why, path="leases")
        touched = {}
        for path, (name, found) in sorted(changed.items()):
            if name is not None:
                touched[name] = path
            if found is None:
                if name in self.leases:
                    self.leases[name].files.pop(path, None)
                continue
            if name is None:
                self.find(self.now, found.reason, found.why, path=path)
                continue
            one = self.document(found, name)
            other = next((other for other in self.leases.values() if other.id.lower() == name.lower() and other.id != name and other.is_lease()), None)
            if other is not None and isinstance(one, Lease):
                one = twin(other.id, one)
            files = self.leases.setdefault(name, Record(name)).files
            if path not in files and sum(len(other.files) for other in self.leases.values() if other.id.lower() == name.lower()) >= FILES:
                one = one if isinstance(one, Bad) else Bad("too-large", "more files of a lease than are read")
            else:
                files[path] = one
            if isinstance(one, Bad):
                self.find(self.now, one.reason, one.why, name, path=path)
            else:
                self.leases[name].brought.setdefault(one.digest, set()).update(self.origin)
        for name, path in touched.items():
            if name in self.leases and self.leases[name].pinned:
                self.kept(self.leases[name], path)
        more = len(self.findings) - known - FINDINGS
        if more > 1:
            del self.findings[known + FINDINGS:]
            self.find(self.now, "malformed", f"{more} more findings are about files of this step", path="leases")

    def kept(self, record, path):
        """Says so if a lease's files are no longer the bytes that were signed, or are gone before it has ended."""
        if not record.files and record.state not in ENDED:
            self.find(self.now, "lease-changed", "its file is gone", record.id, path=path)
        if any(one.digest != record.pinned.digest for one in record.files.values()):
            self.find(self.now, "lease-changed", "its bytes were signed", record.id, path=path)

    def propose_policy(self, tree):
        """Looks at the policy's file, and says what is wrong with it when it is new or was changed."""
        try:
            oid = policy_blob(self.repository, tree)
        except Bad as bad:
            oid = bad
        before, self.proposed_policy = self.proposed_policy, oid
        if oid is None and before is not None:
            self.find(self.now, "malformed", "the policy's file is gone", path=".two-key/policy.yaml")
        elif isinstance(oid, Bad):
            if not isinstance(before, Bad):
                self.find(self.now, oid.reason, oid.why, path=".two-key/policy.yaml")
        elif oid != before and oid is not None and oid != self.policy_blob:
            try:
                proposed = self.follows(read(self.repository, oid))
                self.policies_brought.setdefault(proposed.digest, set()).update(self.origin)
            except Bad as bad:
                self.find(self.now, bad.reason, bad.why, path=".two-key/policy.yaml")

    def follows(self, data):
        """A proposed policy that can follow the one in force."""
        proposed = Policy(data)
        if proposed.repository != self.policy.repository:
            raise Bad("wrong-repository", "a policy of another repository")
        if proposed.version != self.policy.version + 1 or proposed.previous != self.policy.digest:
            raise Bad("policy-version", "it does not follow the policy in force")
        if proposed.branch != self.branch:
            raise Bad("policy-floor", "the governed branch cannot change")
        return proposed

    def document(self, oid, name):
        """The lease that a file is, or the Bad that it is."""
        if (oid, name) not in self.documents:
            try:
                if isinstance(oid, Bad):
                    raise Bad(oid.reason, oid.why)
                lease = Lease(self.repository.blob(oid, LIMIT))
                if lease.id != name:
                    raise Bad("malformed", f"the file of {name} is lease {lease.id}")
                if lease.repository != self.policy.repository:
                    raise Bad("wrong-repository", "a lease of another repository")
                self.documents[oid, name] = lease
            except Bad as bad:
                bad.digest = digest(self.repository.blobs[oid]) if oid in self.repository.blobs else None
                self.documents[oid, name] = bad
        return self.documents[oid, name]

    # -- a vote

    def count(self, vote):
        """Counts a vote; raises Bad where it does not count."""
        statement = vote.statement
        owner = self.ruling.owners.get(vote.signature.point)
        if statement.repository != self.policy.repository:
            raise Bad("wrong-repository", "made for another repository")
        if vote.signature.point in self.revoked:
            raise Bad("revoked-key", "the key was revoked")
        if owner is None:
            raise Bad("unknown-key", "nobody's key")
        if owner != vote.principal:
            raise Bad("wrong-principal", f"the key is {owner}'s")
        vote.role = self.ruling.roles[owner]
        action = statement.action
        if action in STOPS:
            self.stop(vote)
        elif action == "freeze":
            self.freeze(vote)
        elif action == "revoke":
            self.revoke(vote)
        elif action == "policy":
            self.enact(vote)
        elif action == "thaw":
            self.thaw(vote)
        else:
            self.forward(vote)

    def valid(self, vote):
        """Whether a vote that was cast before still counts."""
        point = vote.signature.point
        return point not in self.revoked and self.ruling.owners.get(point) == vote.principal

    def key_standing(self, point):
        """Why a key cannot count in this step, or None."""
        if point in self.revoked:
            return "revoked-key"
        return None if point in self.policy.owners else "unknown-key"

    def fit(self, vote, rule, origin=None):
        """Raises Bad if a vote can never count for a rule."""
        name = vote.principal
        if vote.role == "applier":
            raise Bad("wrong-role", "an applier turns no key forward")
        if vote.role == "human":
            if rule.hardware and (not self.touched(vote) or (rule.hardware == "verified" and not vote.signature.checked)):
                raise Bad("hardware-required", "no authenticator's signature with somebody there")
            if rule.deliberate and not vote.deliberate:
                raise Bad("missing-role", "a signature of a commit, where a deliberate one is asked for")
        named = rule.humans if vote.role == "human" else rule.agents
        if named is not None and name not in named:
            raise Bad("wrong-role", f"the rule does not name {name}")
        if rule.separate and origin is not None:
            proposers = [self.ruling.owners.get(point) for point in origin or [None]]
            if None in proposers or name in proposers:
                raise Bad("proposer", "nobody knows who proposed, or the proposer does not count")

    def touched(self, vote):
        """Whether an authenticator's key that the policy lists signed, with somebody there."""
        made = vote.signature.key
        listed = any(key.blob == made.blob for key in self.ruling.listed[vote.principal] if key.hardware)
        return listed and vote.signature.present

    def counting(self, votes, rule, origin=None):
        """The votes that count for a rule now."""
        found = []
        for vote in votes:
            try:
                self.fit(vote, rule, origin)
            except Bad:
                continue
            if self.valid(vote):
                found.append(vote)
        return found

    def counted(self, votes, rule, origin=None):
        """The humans and the agents among them."""
        humans, agents = set(), set()
        for vote in self.counting(votes, rule, origin):
            (humans if vote.role == "human" else agents).add(vote.principal)
        return humans, agents

    def tally(self, votes, rule, more_humans=0, origin=None):
        """Whether votes meet a rule."""
        humans, agents = self.counted(votes, rule, origin)
        return len(humans) >= rule.human + more_humans and len(agents) >= rule.agent and rule.seated(humans)

    def cast(self, ballot, vote):
        """Puts a vote into a ballot, once a principal; what to raise if it is there already and does not complete its rule."""
        for other in ballot:
            if other.principal == vote.principal and self.valid(other):
                same = other.signature.point == vote.signature.point
                return Bad("already-voted" if same else "same-principal", f"{vote.principal} has voted")
        ballot.append(vote)
        return None

    # -- stops

    def once(self, vote):
        """A stop takes effect once for a raw key and statement."""
        mark = (vote.signature.point, vote.statement.text)
        if mark in self.used:
            return False
        self.used.add(mark)
        return True

    def stop(self, vote):
        action = vote.statement.action
        lease = self.leases.get(vote.statement.lease)
        if lease is None:
            raise Bad("unknown-lease", "a lease that was never there")
        target = lease.lease().target if lease.lease() else None
        if vote.role == "applier" and not any((self.ruling.targets.get(own) or {}).get("applier") == vote.principal for own in lease.targets()):
            raise Bad("wrong-role", "an applier stops its own targets only")
        newest = self.newest(target)
        newer = self.newer(newest, lease)
        if newer and action == "pause":
            lease, newer = newest, []  # what moves is the newest
        while not newer and lease.state == "completed" and lease.superseded is not None:
            lease = lease.superseded
        after = {"pause": "paused", "halt": "halted"}.get(action, "rolled-back")
        if lease.state in ("proposed", "withdrawn"):
            after = "withdrawn"
        effect = {
            "proposed": ("withdrawn",), "rolling": ("paused", "halted", "rolled-back"), "paused": ("halted", "rolled-back"),
            "halted": ("rolled-back",), "completed": ("halted", "rolled-back"), "rolled-back": ("rolled-back",), "withdrawn": (),
        }[lease.state]
        if after not in effect or (vote.signature.point, vote.statement.text) in self.used:
            return
        if lease.state != "proposed" and lease is not newest and not newer:
            raise Bad("wrong-state", "it would bring an older version back")
        if self.once(vote):
            for one in newer:
                if one.state != "rolled-back":
                    self.stopped(one, "rolled-back", vote)
            self.stopped(lease, after, vote)

    def stopped(self, lease, after, vote):
        lease.state, lease.step, lease.ballots = after, lease.step + 1, {}
        self.event({"paused": "PAUSED", "halted": "HALTED", "rolled-back": "ROLLED_BACK", "withdrawn": "WITHDRAWN"}[after], lease, [vote])

    def newest(self, target):
        """The lease that started last on a target."""
        return (self.targets.get(target) or [None])[-1]

    def newer(self, newest, lease):
        """The leases that are newer than one that its target falls back to, newest first; none if it does not fall back to it."""
        found = []
        while newest is not None and newest is not lease and newest.state != "completed":
            found.append(newest)
            newest = newest.before
        return found if newest is lease else []

    def standing(self, target):
        """What a target is at: the newest lease that was not undone, on the way back from its newest."""
        at = self.newest(target)
        while at is not None and at.state == "rolled-back":
            at = at.before
        return at

    def freeze(self, vote):
        if vote.role == "applier":
            raise Bad("wrong-role", "an applier does not freeze")
        if self.frozen is None and self.once(vote):
            self.frozen, self.freezes, self.thaw_ballots = self.now, self.freezes + 1, {}
            self.event("FROZEN", None, [vote])

    def revoke(self, vote):
        wanted = vote.statement.key
        for point, owner in self.ruling.owners.items():
            if not any(key.fingerprint == wanted and key.point == point for key in self.ruling.listed[owner]):
                continue
            if point in self.revoked:
                raise Bad("already-voted", "it has been revoked already")
            own = point == vote.signature.point
            if not own and not (vote.role == "human" and self.ruling.roles[owner] in ("agent", "applier")):
                raise Bad("wrong-role", "a key is revoked by itself, an agent's or applier's by a human")
            self.revoked.add(point)
            self.event("KEY_REVOKED", None, [vote])
            return
        raise Bad("unknown-key", "nobody has that key")

    # -- policies, and the end of a freeze

    def enact(self, vote):
        if self.proposed_policy is None or isinstance(self.proposed_policy, Bad):
            raise Bad("digest-mismatch", "no such policy is proposed")
        data = read(self.repository, self.proposed_policy)
        if digest(data) != vote.statement.digest:
            raise Bad("digest-mismatch", "another policy is proposed")
        proposed = self.follows(data)
        rule = self.ruling.rules["policy"]
        origin = self.policies_brought.get(proposed.digest, set())
        self.fit(vote, rule, origin)
        ballot = self.policy_ballots.setdefault(vote.statement.text, [])
        again = self.cast(ballot, vote)
        if again:
            raise again
        humans = self.counted(ballot, rule, origin)[0]
        if self.tally(ballot, rule, 0, origin) or (len(humans) >= max(2, rule.human) and rule.seated(humans)):
            if self.next is None:
                self.event("POLICY_CHANGED", None, self.counting(ballot, rule, origin))
            self.next = proposed
            ballot.remove(vote)  # until the step ends others may complete the ballot as well
        else:
            self.event("VOTED", None, [vote])

    def thaw(self, vote):
        if vote.statement.step != self.freezes:
            raise Bad("stale-step", f"{self.freezes} freezes took effect so far")
        if self.frozen is None:
            raise Bad("wrong-state", "there is no freeze")
        rule = self.ruling.rules["promote"]
        self.fit(vote, rule)
        ballot = self.thaw_ballots.setdefault(vote.statement.text, [])
        again = self.cast(ballot, vote)
        if again and not self.tally(ballot, rule):
            raise again
        if self.tally(ballot, rule):
            self.frozen, self.thaw_ballots = None, {}
            self.event("THAWED", None, self.counting(ballot, rule))
        else:
            self.event("VOTED", None, [vote])

    # -- forward

    def forward(self, vote):
        statement, action = vote.statement, vote.statement.action
        record = self.leases.get(statement.lease)
        if record is None or not record.known():
            raise Bad("unknown-lease", "no such lease")
        lease = self.meant(record, statement.digest)
        if action == "cosign":
            return self.cosign(vote, record, lease)
        if statement.step != record.step + 1:
            raise Bad("stale-step", f"step {record.step + 1} is next")
        if record.state == "proposed" and not self.authorized(record):
            raise Bad("not-authorized", "both keys have not been turned for the lease")
        if record.state in ENDED:
            raise Bad("wrong-state", f"it is {record.state}")
        getattr(self, "vote_" + action)(vote, record)

    def thawed(self):
        if self.frozen:
            raise Bad("frozen", "nothing goes forward")

    def meant(self, record, wanted):
        """The lease that a vote's digest means: the bytes that were signed, or those of one of its files."""
        among = [one for one in record.files.values() if one.digest == wanted]
        if record.pinned:
            if wanted != record.pinned.digest:
                raise Bad("lease-changed" if among else "digest-mismatch", "other bytes were signed")
            return record.pinned
        if not among:
            raise Bad("digest-mismatch", "no file of it has these bytes")
        if isinstance(among[0], Bad):
            raise Bad(among[0].reason, among[0].why)
        return among[0]

    def terms(self, lease):
        """The terms that a lease's declared risk asks for."""
        policy, declared = self.ruling.risk, lease.risk
        if not policy or declared is None:
            return []
        terms = [band for band in policy.get("bands") or [] if declared["score"] >= band["from"]]
        return terms + [policy["factors"][name] for name in declared.get("factors") or [] if name in (policy.get("factors") or {})]

    def further(self, lease, move=False):
        """How many further humans its risk asks for; a move of an exception takes one more."""
        more = 1 if move and lease.exception else 0
        return more + self.risks(lease)

    def risks(self, lease):
        return max((term.get("humans") or 0 for term in self.terms(lease)), default=0)

    def loose(self, lease):
        """Raises Bad where a lease is looser than its risk allows, or declares none where it must."""
        if lease.alone > self.ruling.delegable:
            raise Bad("policy-floor", "it lets an agent promote alone where the policy does not")
        if lease.tiers[0] == 100 and not (self.ruling.targets.get(lease.target) or {}).get("all-at-once"):
            raise Bad("policy-floor", "it goes to 100 % at once where its target does not allow that")
        model = self.ruling.risk.get("model")
        if model and (lease.risk is None or lease.risk["model"] != model):
            raise Bad("risk", "it declares no risk by the policy's model")
        for term in self.terms(lease):
            if term.get("bake") and min(lease.bakes) < seconds(term["bake"]):
                raise Bad("risk", "it bakes too short")
            if term.get("first-tier") and lease.tiers[0] > term["first-tier"]:
                raise Bad("risk", "its first tier is too high")

    def cosign(self, vote, record, lease):
        if record.state != "proposed":
            raise Bad("wrong-state", f"it is {record.state}")
        self.loose(lease)
        origin = record.origin if record.pinned else set(record.brought.get(lease.digest, ()))
        rule = self.ruling.rule("cosign", lease.target)
        self.fit(vote, rule, origin)
        record.verified = record.verified and self.authorized(record)
        again = self.cast(record.cosigns, vote)
        meets = self.tally(record.cosigns, rule, self.further(lease), origin)
        if again and (record.verified or not meets):
            raise again
        record.pinned, record.origin = lease, origin
        if not again:
            self.event("COSIGNED", record, [vote])
        if not record.verified and meets:
            record.verified = record.counted = True
            self.event("VERIFIED_2KEY", record, self.counting(record.cosigns, rule, origin))

    def authorized(self, record):
        """Whether the votes for a lease met the rule when one was counted, and meet it as it is now, with the keys that are
        listed now."""
        return record.counted and self.tally(record.cosigns, self.ruling.rule("cosign", record.pinned.target), self.further(record.pinned), record.origin)

    def decided(self, vote, record, rule, alone):
        """Puts a vote into its ballot and says whether that suffices."""
        lease = record.lease()
        if not alone:
            self.fit(vote, rule, record.origin)
        elif vote.role == "applier":
            raise Bad("wrong-role", "an applier turns no key forward")
        ballot = record.ballots.setdefault(vote.statement.text, [])
        again = self.cast(ballot, vote)
        done = alone or self.tally(ballot, rule, self.further(lease, True), record.origin)
        if again and not done:
            raise again
        if not done:
            self.event("VOTED", record, [vote], record.step + 1)
            return None
        return [one for one in ballot if self.valid(one)] if alone else self.counting(ballot, rule, record.origin)

    def taken(self, record, state, tier, name, ballot):
        record.state, record.tier, record.step, record.ballots = state, tier, record.step + 1, {}
        self.event(name, record, ballot)

    def vote_start(self, vote, record):
        lease = record.lease()
        if record.state != "proposed":
            raise Bad("wrong-state", f"it is {record.state}")
        self.loose(lease)
        if vote.statement.tier != lease.tiers[0]:
            raise Bad("tier-skipped", "not its first tier")
        for target, artifacts in lease.after:
            if not self.completed(target, artifacts):
                raise Bad("not-yet", f"nothing that it waits for has completed on {target}")
        last = self.newest(lease.target)
        ends = last is not None and last.state == "rolling" and last.tier == len(last.lease().tiers) - 1
        stands = self.standing(lease.target)
        if stands is not None and stands.state in ("rolling", "paused", "halted") and not ends:
            raise Bad("target-busy", f"{stands.id} occupies the target")
        self.thawed()
        ballot = self.decided(vote, record, self.ruling.rule("promote", lease.target), lease.tiers[0] <= self.ruling.start_up_to and not lease.exception)
        if ballot:
            record.before, record.rule = stands, self.ruling.own.get((lease.target, "promote"))
            if ends:
                self.taken(last, "completed", last.tier, "COMPLETED", [])
                last.superseded = record
            self.targets.setdefault(lease.target, []).append(record)
            self.taken(record, "rolling", 0, "STARTED", ballot)

    def completed(self, target, artifacts):
        """Whether a lease with at least these artifacts has completed on a target, among the last that it came to be at."""
        at = self.newest(target)
        for _ in range(BACK):
            if at is None:
                return False
            if at.state == "completed" and artifacts <= at.lease().artifacts:
                return True
            at = at.before
        return False

    def vote_promote(self, vote, record):
        lease, rule = record.lease(), record.rule or self.ruling.rules["promote"]
        if record.state != "rolling" or record.tier + 1 == len(lease.tiers):
            raise Bad("wrong-state", f"it is {record.state}")
        if vote.statement.tier != lease.tiers[record.tier + 1]:
            raise Bad("tier-skipped", "not its next tier")
        self.thawed()
        alone = vote.role == "agent" and (rule.agents is None or vote.principal in rule.agents) and not self.further(lease, True) \
            and vote.statement.tier <= min(lease.alone, self.ruling.delegable)
        ballot = self.decided(vote, record, rule, alone)
        if ballot:
            self.taken(record, "rolling", record.tier + 1, "CANARY_PROMOTED", ballot)

    def vote_resume(self, vote, record):
        if record.state != "paused":
            raise Bad("wrong-state", f"it is {record.state}")
        self.thawed()
        ballot = self.decided(vote, record, record.rule or self.ruling.rules["promote"], False)
        if ballot:
            self.taken(record, "rolling", record.tier, "RESUMED", ballot)

    def vote_complete(self, vote, record):
        if record.state != "rolling" or record.tier + 1 != len(record.lease().tiers):
            raise Bad("wrong-state", f"it is {record.state}")
        self.thawed()
        self.taken(record, "completed", record.tier, "COMPLETED", self.decided(vote, record, None, True))


# ---- Files whose names differ only by case

def twin(other, one):
    """A file whose lease's id differs from another's only by case."""
    bad = Bad("malformed", f"it differs from {other} only by case")
    bad.digest = one.digest
    return bad


def fold(repository, root, tip=None):
    """The ledger of a clone, from a pinned root to the governed branch's tip."""
    ledger = Ledger(repository, root)
    tip = tip or repository.ref("refs/heads/" + ledger.branch) or repository.ref("refs/remotes/origin/" + ledger.branch)
    for oid in first_parents(repository, root, tip):
        ledger.advance(oid)
    ledger.tip = tip
    return ledger
