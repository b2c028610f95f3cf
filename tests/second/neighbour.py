#!/usr/bin/env python3
"""A neighbour at the door: somebody without a key, and somebody with one, push whatever Git and receive-pack let them,
beside honest people who propose, sign, start, promote and stop.

    python3 tests/second/neighbour.py --program PATH SEED SECONDS hook|forge

After each round: main's first-parent chain has only grown (with the hook); server, fresh clone, applier and second
reader agree; no weight is above what a human's honest key was turned for; honest votes and stops get through. Without a
hook anybody may force main, so there it is what honest people hold, and what the applier does, that is looked at.
"""
import hashlib
import json
import os

import subprocess
import sys
import tempfile
import threading
import time

import carriers
import compare
from fold import Ledger
from objects import Repository, Undecided, first_parents
from random_ledger import REPOSITORY, Maker, Signer
from keys import ED

TIERS = (5, 25, 100)


class Wrong(Exception):
    """An invariant that does not hold."""


class Neighbourhood(Maker):
    """A server, people and two neighbours. All objects are made in one store, and pushed from there."""

    def __init__(self, program, seed, hooked, folder):
        super().__init__(seed, folder + "/made.git")
        self.program, self.hooked, self.all = program, hooked, folder
        own = os.path.dirname(program)
        self.env |= {"PATH": f"{own}:{os.environ['PATH']}", "HOME": folder, "GIT_TERMINAL_PROMPT": "0", "TWO_KEY_ROOT": ""}
        del self.env["TWO_KEY_ROOT"]
        for who in ("AUTHOR", "COMMITTER"):
            self.env |= {f"GIT_{who}_NAME": "A Name", f"GIT_{who}_EMAIL": "name@example.org"}
        self.time = int(time.time()) - 100_000
        people = ("user1", "user2", "cp14", "cp18", "edge1")
        self.keys = {name: [Signer(name, ED, f"{name}{seed}")] for name in (*people, "mallory")}
        self.listing = {name: self.keys[name] for name in people}
        self.server, self.count = folder + "/server.git", 0
        self.pushes, self.landed, self.votes, self.stops, self.kinds = 0, 0, 0, 0, {}
        self.signed = {}  # the highest weight that a human's honest key was turned for, by lease

    # -- setting up

    def run(self, *args, cwd=None, data=None, ok=False):
        ran = subprocess.run(args, cwd=cwd or self.all, env=self.env, capture_output=True, input=data, timeout=300)
        if ok and ran.returncode != 0:
            raise Wrong(f"{args}: {ran.returncode}: {ran.stdout.decode(errors='replace')[-500:]}{ran.stderr.decode(errors='replace')[-500:]}")
        return ran

    def found(self):
        roles = "".join(f"  {name}: {{role: {self.roles[name]}, keys: [\"{self.keys[name][0].listed()}\"]}}\n" for name in self.listing)
        self.files[".two-key/policy.yaml"] = (f"two-key: 1\nrepository: {REPOSITORY}\nversion: 1\nprevious: null\nprincipals:\n{roles}"
                                              "targets:\n  shop: {driver: file, applier: edge1}\n").encode()
        self.root = self.tip = self.commit(self.tree(self.files), [], b"Found\n")
        self.run("git", "init", "--quiet", "--bare", "--initial-branch=main", f"--object-format={self.format}", self.server, ok=True)
        if self.hooked:
            self.run(self.program, "hook", "install", self.server, "--root", self.root, ok=True)
        self.run("git", "config", "two-key.root", self.root, cwd=self.server, ok=True)
        if not self.hooked:  # as forges do: else a ref below refs/replace/ makes Git itself take main for something else
            self.run("git", "config", "core.useReplaceRefs", "false", cwd=self.server, ok=True)
        self.push([f"{self.root}:refs/heads/main"], must=True)
        self.held = self.root  # the tip that honest people accepted last
        self.store = Repository(self.folder)
        self.ledger = Ledger(self.store, self.root)
        self.ledger.advance(self.root)
        self.run("git", "clone", "--quiet", self.server, "applier", ok=True)
        with open(self.all + "/key", "w") as file:
            file.write(openssh(self.keys["edge1"][0]))
        os.chmod(self.all + "/key", 0o600)
        with open(self.all + "/applier.yaml", "w") as file:
            file.write(f"name: edge1\nkey: {self.all}/key\nrepository: applier\nremote: origin\nroot: {self.root}\ntargets:\n  shop: {{file: weights.json}}\n")

    # -- pushing

    def push(self, refspecs, force=False, must=False, atomic=False):
        args = ["git", "push", "--quiet", *(["--force"] if force else []), *(["--atomic"] if atomic else []), self.server, *refspecs]
        ran = self.run(*args, cwd=self.folder)
        self.pushes += 1
        self.landed += ran.returncode == 0
        if must and ran.returncode != 0:
            raise Wrong(f"an honest push was refused: {refspecs}: {ran.stderr.decode(errors='replace')}")
        return ran

    def raw(self, updates, tips):
        """Speaks to receive-pack, with old ids of our own choosing."""
        pack = self.run("git", "pack-objects", "--revs", "--stdout", "-q", cwd=self.folder, data="".join(f"{t}\n" for t in tips).encode()).stdout
        line = lambda text: b"%04x" % (len(text) + 4) + text
        words = [f"{old} {new} {ref}".encode() + (b"\0report-status" if at == 0 else b"") for at, (old, new, ref) in enumerate(updates)]
        self.pushes += 1
        self.run("git", "receive-pack", self.server, data=b"".join(map(line, words)) + b"0000" + pack)

    def at(self, ref):
        return self.run("git", "rev-parse", "--verify", "--quiet", ref, cwd=self.server).stdout.decode().strip()

    # -- what honest people do

    def look(self):
        """Fetches main; takes its tip if it goes on from the one that was held."""
        self.run("git", "fetch", "--quiet", "--no-tags", self.server, "+refs/heads/main:refs/seen/main", cwd=self.folder)
        tip = self.at("refs/heads/main")
        try:
            chain = first_parents(self.store, self.held, tip) if tip else None
        except Undecided:
            chain = None
        if chain is None:
            if self.hooked:
                raise Wrong(f"main went from {self.held} to {tip or 'nothing'}, which does not go on from it")
            self.push([f"{self.held}:refs/heads/main"], force=True)  # as whoever watches over a forge would
            return
        for oid in chain[1:]:
            self.ledger.advance(oid)
        self.held = self.tip = tip
        self.trees[tip] = self.store.commit(tip).tree

    def honest(self, make, what):
        """An honest push, tried again where it was outrun."""
        for _ in range(20):
            self.look()
            made = make(self.held)
            if made is None:
                return False
            ran = self.push([f"{made}:refs/heads/main"], atomic=True)
            if ran.returncode == 0 and (self.hooked or self.at("refs/heads/main") == made):
                self.look()
                return True
            said = ran.stderr.decode(errors="replace")
            if self.hooked and not any(word in said for word in ("stale", "fetch first", "non-fast-forward", "lock", "outrun", "moved", "changed", "failed to update")):
                raise Wrong(f"{what} was refused: {said}")
        raise Wrong(f"{what} did not get through in 20 tries: {said}")

    def vote(self, parent, name, action, record, **more):
        lease = record.lease()
        fields = {"Lease": record.id, "Digest": lease.digest, "Step": str(record.step + 1), **more}
        text = carriers.Statement(action, {"Repository": REPOSITORY, **{f: fields[f] for f in carriers.FIELDS[action]}}).text
        if self.roles[name] == "human" and "Tier" in fields:
            self.signed[record.id] = max(self.signed.get(record.id, 0), int(fields["Tier"]))
        message = f"Turn a key\n\n{text}Two-Key-Principal: {name}\n".encode()
        return self.commit(self.store.commit(parent).tree, [parent], message, self.keys[name][0])

    def both(self, parent, action, record, **more):
        """A human's and an agent's vote; whoever has voted for this does not vote again, and one agent is enough."""
        before = {one.role for votes in getattr(record, "ballots", {}).values() for one in votes
                  if (one.statement.action, one.statement.step) == (action, record.step + 1)}
        for name in ("user1", "cp14"):
            if self.roles[name] not in before:
                parent = self.vote(parent, name, action, record, **more)
        return parent

    def onward(self, parent):
        """What honest people would do next: thaw, resume, promote, complete, or propose, authorize and start."""
        ledger = self.ledger
        if ledger.frozen:
            text = carriers.Statement("thaw", {"Repository": REPOSITORY, "Step": str(ledger.freezes)}).text
            before = {one.role for one in ledger.thaw_ballots.get(text, [])}
            for name in ("user1", "cp14"):
                if self.roles[name] in before:
                    continue
                parent = self.commit(self.store.commit(parent).tree, [parent], f"Thaw\n\n{text}Two-Key-Principal: {name}\n".encode(), self.keys[name][0])
            return parent
        newest = (ledger.targets.get("shop") or [None])[-1]
        if newest is not None and newest.state in ("rolling", "paused", "halted"):
            if newest.state == "halted":
                return self.stop(parent, "rollback", newest)
            if newest.state == "paused":
                return self.both(parent, "resume", newest)
            if newest.tier + 1 < len(TIERS):
                return self.both(parent, "promote", newest, Tier=str(TIERS[newest.tier + 1]))
            return self.vote(parent, "user1", "complete", newest)
        self.count += 1
        name = f"H{self.count}"
        text = (f"two-key: 1\nlease: {name}\nrepository: {REPOSITORY}\nartifacts: [{{name: a, digest: \"sha256:{'1' * 64}\"}}]\ntarget: shop\n"
                f"issued: 2025-10-27T02:19:13Z\nexpires: 2035-10-28T02:19:13Z\ntiers: [{', '.join('{weight: %d, bake: 0s}' % w for w in TIERS)}]\n").encode()
        files = {".two-key/policy.yaml": self.files[".two-key/policy.yaml"], f"leases/{name}.yaml": text}
        commit = self.commit(self.tree(files), [parent], b"Propose\n")
        record = type("Proposed", (), {"id": name, "step": 0, "lease": lambda self: type("L", (), {"digest": "sha256:" + hashlib.sha256(text).hexdigest()})})()
        commit = self.both(commit, "cosign", record)
        self.signed[name] = TIERS[0]
        return self.vote(commit, "cp14", "start", record, Tier=str(TIERS[0]))

    def stop(self, parent, action, record):
        text = carriers.Statement(action, {"Repository": REPOSITORY, "Lease": record.id, "Nonce": "%032x" % self.rng.getrandbits(128)}).text
        return self.commit(self.store.commit(parent).tree, [parent], f"Stop\n\n{text}Two-Key-Principal: user2\n".encode(), self.keys["user2"][0])

    # -- what the neighbours do

    def object(self, kind, data):
        return self.put(kind, data)

    def odd_commit(self, parent):
        """A commit by hand."""
        rng, tree, who = self.rng, self.store.commit(self.held).tree, self.person()
        head = lambda *lines: b"\n".join(lines) + b"\n"
        author, committer = b"author " + who, b"committer " + who
        data = rng.choice([
            head(b"tree " + tree.encode(), author, committer, b"", b"x", b"parent " + parent.encode())[:-1],
            head(b"tree " + tree.encode(), b"parent " + parent.encode())[:-1],
            head(b"tree " + tree.encode(), b"parent " + self.root.encode(), b"parent " + parent.encode(), author, committer, b"", b"x"),
            head(b"tree " + tree.encode(), b"parent " + parent.encode(), b"parent " + parent.encode(), author, committer, b"", b"x"),
            head(b"tree " + tree.encode(), b"parent " + parent.encode(), author, committer, b"parent " + self.root.encode(), b"", b"x"),
            head(b"tree " + tree.encode(), author, b"parent " + parent.encode(), committer, b"", b"x"),
            head(b"tree " + tree.encode(), b"parent " + parent.encode(), b"author x", b"committer", b"", b"Two-Key-Statement: 1"),
            head(b"tree " + tree.encode(), b"parent " + parent.encode(), author, committer, b"", b"x\0Two-Key-Statement: 1\r\n"),
            head(b"tree " + tree.encode(), b"parent " + parent.upper().encode(), author, committer, b"", b"x"),
            head(b"tree " + tree.encode(), b"parent " + parent.encode(), author, committer, b"gpgsig x", b" y", b"", b"x"),
        ])
        oid = self.object("commit", data)
        self.trees[oid] = tree
        return oid

    def odd_tree(self):
        """A tree by hand: entries twice, in another order, with modes that Git does not write."""
        rng, blob = self.rng, bytes.fromhex(self.put("blob", b"x"))
        entries = [rng.choice([b"100644", b"100664", b"120000", b"160000", b"40000", b"0100644", b"100755"]) + b" " + name + b"\0" + blob
                   for name in rng.sample([b".two-key", b"leases", b"README", b".git", b"LEASES", b"leases ", b"a"], 3)]
        rng.shuffle(entries)
        return self.object("tree", b"".join(entries + entries[:rng.randrange(2)]))

    def junk(self, parent):
        """An ordinary commit on main that edits, adds or takes away files."""
        rng = self.rng
        files = {".two-key/policy.yaml": self.files[".two-key/policy.yaml"] + rng.choice([b"", b"", b"# x\n", b"delegable-up-to: 99\n"])}
        for _ in range(rng.randrange(3)):
            name = rng.choice(["H1", "h1", f"H{self.count}", f"H{self.count + 1}", "shop", "x", "bad name"])
            files[f"leases/{rng.choice(['', 'A/', 'a/b/'])}{name}.yaml"] = rng.choice([b"junk", b"two-key: 1\n", self.lease(name)])
        tree = self.tree(files) if rng.random() < 0.8 else self.odd_tree()
        return self.commit(tree, [parent] + ([rng.choice(self.made)] if self.made and rng.random() < 0.3 else []), b"Edit\n")

    def keyed(self, parent):
        """A vote by the one key that the neighbour has, of whatever might do."""
        action, fields = self.plausible() if self.rng.random() < 0.7 else self.stop_fields()
        if self.rng.random() < 0.2:
            action, fields = self.bend(action, fields)
        text = self.text(action, fields)
        oid = self.commit(self.trees[parent], [parent], f"Turn a key\n\n{text}Two-Key-Principal: {self.rng.choice(['cp18'] * 9 + ['user1'])}\n".encode(), self.keys["cp18"][0])
        self.made.append(oid)
        return oid

    def stop_fields(self):
        return Maker.stop(self)

    def plausible(self):
        try:
            return super().plausible()
        except (TypeError, AttributeError):
            return Maker.stop(self)

    def target(self, parent):
        """Something to push."""
        roll = self.rng.randrange(7)
        make = [self.odd_commit, self.junk, self.keyed, self.keyed, lambda p: self.root, lambda p: p, lambda p: self.rng.choice(self.made or [p])][roll]
        return make(parent)

    def name(self, oid):
        lease = f"H{max(1, self.count + self.rng.randrange(-1, 2))}"
        return self.rng.choice([
            "refs/heads/main", "refs/heads/main", "refs/heads/main", "refs/heads/main", "refs/heads/MAIN", "refs/heads/Main", "refs/heads/other", "refs/heads/main/x", "refs/two-key/x", "refs/two-key/x/y",
            f"refs/two-key/stops/{lease}/{oid}", f"refs/two-key/stops/{lease}/{oid}", f"refs/two-key/stops/{lease}", f"refs/two-key/stops/_all/{oid}", f"refs/two-key/stops/{lease}/{'0' * len(oid)}", f"refs/two-key/stops/{lease}/x",
            "refs/two-key/appliers/edge1", "refs/two-key/appliers/edge1/x", "refs/notes/two-key/user1", "refs/notes/two-key/cp18", "refs/notes/two-key", f"refs/tags/rollout/{lease}/1-start-5", f"refs/tags/rollout/{lease}/2-promote-25",
            f"refs/tags/Rollout/{lease}/1-start-5", f"refs/replace/{self.root}", f"refs/replace/{self.held}", "refs/heads/m\u00e4in", "refs/TWO-KEY/stops/x/y", "refs/notes/Two-Key/user1", "refs/heads/-x", "refs/heads/two-key", "refs/tags/main", "refs/heads/HEAD",
        ])

    def attack(self):
        """One push by a neighbour."""
        rng = self.rng
        parent = rng.choice([self.held] * 5 + [self.root] + self.made[-3:])
        if parent not in self.trees:
            self.trees[parent] = self.store.commit(parent).tree
        updates = []
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            oid = self.target(parent)
            roll = rng.random()
            if roll < 0.06:
                oid = self.put("blob", b"x")
            elif roll < 0.14:
                oid = self.object("tag", f"object {oid}\ntype commit\ntag rollout/H{self.count}/1-start-5\ntagger A <a@b> 1 +0000\n\nx\n".encode())
            updates.append((oid, self.name(oid)))
        names = set()
        updates = [(oid, ref) for oid, ref in updates if not (ref in names or names.add(ref))]
        kind = rng.choice(["push", "push", "force", "delete", "raw", "mix"])
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if kind == "push":
            self.push([f"{oid}:{ref}" for oid, ref in updates])
        elif kind == "force":
            self.push([f"{oid}:{ref}" for oid, ref in updates], force=True)
        elif kind == "delete":
            there = self.run("git", "for-each-ref", "--format=%(refname)", cwd=self.server).stdout.decode().split("\n")[:-1]
            self.push([f":{rng.choice(there)}"])
        elif kind == "mix":
            there = self.run("git", "for-each-ref", "--format=%(refname)", "refs/tags", "refs/two-key", cwd=self.server).stdout.decode().split()
            self.push([f"{oid}:{ref}" for oid, ref in updates] + [f":{ref}" for ref in there[:1]], force=rng.random() < 0.5)
        else:
            zero = "0" * len(self.root)
            olds = [self.held, zero, self.root, *self.made[-2:]]
            self.raw([(rng.choice([self.at(ref) or zero, rng.choice(olds)]), oid, ref) for oid, ref in updates], [oid for oid, _ in updates] + [self.held])

    # -- what must hold

    def applied(self):
        """A look of the applier: what it said, the weight that it left, and what the ledger wants of the lease that has it."""
        ran = self.run(self.program, "apply", "--once", "--config", "applier.yaml", "--format", "json")
        path = self.all + "/weights.json"
        found = json.load(open(path)) if os.path.exists(path) else {"weight_bp": 0, "lease": None}
        record = self.ledger.leases.get(found["lease"])
        return ran, found["weight_bp"] // 100, record.weight() if record else 0

    def check(self):
        """Server, fresh clone, applier and second reader agree, and nothing is above what a human was asked for."""
        self.look()
        for record in self.ledger.leases.values():
            if record.weight() > self.signed.get(record.id, 0):
                raise Wrong(f"{record.id} is at {record.weight()} %, and a human was turned for {self.signed.get(record.id, 0)} %")
        clone = f"{self.all}/fresh"
        self.run("rm", "-rf", clone)
        self.run("git", "clone", "--quiet", "--no-local", "--bare", "--single-branch", "--branch", "main", self.server, clone)
        for place in (self.server, clone):
            if self.at("refs/heads/main") != self.held:
                break  # without a hook: forced since
            found = compare.differences(self.program, place, self.root)
            if found:
                raise Wrong(f"the readers disagree at {place}: {found}")
            said = compare.ours(self.program, place, self.root)
            if "undecided" in said:
                raise Wrong(f"it cannot be decided at {place}: {said}")
        ran, weight, wanted = self.applied()
        if weight > wanted:
            raise Wrong(f"the applier is at {weight} %, the ledger at {wanted} %: {ran.stdout.decode()[-400:]}{ran.stderr.decode()[-400:]}")

    def stopped(self):
        """An honest stop of what runs gets through, to the ledger and to the applier."""
        self.look()
        newest = (self.ledger.targets.get("shop") or [None])[-1]
        if newest is None or newest.state not in ("rolling", "paused"):
            return
        self.honest(lambda parent: self.stop(parent, "halt", newest) if newest.state in ("rolling", "paused") else None, f"a halt of {newest.id}")
        if newest.state in ("rolling", "paused"):
            raise Wrong(f"a halt of {newest.id} landed, and it is {newest.state}")
        self.stops += 1
        ran, weight, wanted = self.applied()
        if weight > wanted:
            raise Wrong(f"after a halt of {newest.id} the applier is at {weight} %, the ledger at {wanted} %: {ran.stdout.decode()[-400:]}{ran.stderr.decode()[-400:]}")

    def round(self):
        for _ in range(self.rng.choice([1, 2, 3])):
            self.attack()
        if self.rng.random() < 0.5:
            racer = threading.Thread(target=self.push, args=([f"{self.keyed(self.held)}:refs/heads/main"],))
            racer.start()
        else:
            racer = None
        try:
            self.votes += self.honest(self.onward, "an honest vote")
        finally:
            if racer is not None:
                racer.join()
        if self.rng.random() < 0.25:
            self.stopped()
        self.check()


def openssh(signer):
    """An unencrypted private key file."""
    from cryptography.hazmat.primitives import serialization as form
    return signer.secret.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption()).decode()


def main():
    if len(sys.argv) != 6 or sys.argv[1] != "--program" or sys.argv[5] not in ("hook", "forge"):
        print(__doc__, file=sys.stderr)
        return 2
    program, seed, seconds, hooked = os.path.abspath(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5] == "hook"
    end, rounds, worlds, totals = time.monotonic() + seconds, 0, 0, {}
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory(prefix="two-key-neighbour") as folder:
            world, worlds = Neighbourhood(program, seed + worlds, hooked, folder), worlds + 1
            try:
                world.found()
                for _ in range(25):
                    if time.monotonic() > end:
                        break
                    world.round()
                    rounds += 1
            except Wrong as wrong:
                print(f"seed {seed + worlds - 1}, {sys.argv[5]}, round {rounds}: {wrong}")
                if os.environ.get("KEEP"):
                    subprocess.run(["cp", "-a", folder, os.environ["KEEP"]], check=False)
                return 1
            finally:
                if hasattr(world, "store"):
                    world.store.close()
            for name in ("pushes", "landed", "votes", "stops"):
                totals[name] = totals.get(name, 0) + getattr(world, name)
    print(f"{sys.argv[5]}: {worlds} worlds, {rounds} rounds, " + ", ".join(f"{count} {name}" for name, count in totals.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
