"""Honest people: what they sign by hand and by the tool, each in a clone of their own; votes by commit and by note, stops on
main and as refs, tags as the tool makes them. What they do must get through, whoever pushes beside them.
"""
import hashlib
import os

import carriers
from intruders import Intruders
from objects import Undecided, first_parents
from random_ledger import REPOSITORY

TIERS = (5, 25, 100)


class Wrong(Exception):
    """An invariant that does not hold."""


class People(Intruders):
    """`held` is the tip that they accepted last, `ledger` the second reader's fold of it."""

    def settle(self):
        """Clones, and key files."""
        os.makedirs(self.all + "/keys")
        for name, keys in self.keys.items():
            path = f"{self.all}/keys/{name}"
            with open(path, "w") as file:
                file.write(openssh(keys[0]))
            with open(path + ".pub", "w") as file:
                file.write(keys[0].listed() + "\n")
            os.chmod(path, 0o600)
        for name in ("user1", "user2", "cp14", "neighbour"):
            self.run("git", "clone", "--quiet", self.server, name, ok=True)
            self.run(self.program, "-C", name, "trust", self.root, ok=True)

    def tool(self, name, *args):
        """The tool, with somebody's key, pushing from their clone, once that is where the server is."""
        self.synced(name)
        return self.run(self.program, "-C", name, *args, "--key", f"{self.all}/keys/{name}", "--push")

    def synced(self, name):
        """Brings a clone to where the server is; what the server lost of theirs that is no vote is let go."""
        if self.run(self.program, "-C", name, "sync").returncode != 0:
            self.run("git", "-C", name, "reset", "--quiet", "--hard", "refs/remotes/origin/main")

    # -- looking

    def look(self):
        """Fetches main; takes its tip if it goes on from the one that was held."""
        self.run("git", "fetch", "--quiet", "--no-tags", self.server, "+refs/heads/main:refs/seen/main", cwd=self.folder)
        tip = self.at("refs/seen/main", self.folder)
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

    def state(self):
        """All that is in force, and all votes that wait."""
        ledger, names = self.ledger, lambda votes: sorted((vote.principal, vote.statement.text) for vote in votes)
        ballots = lambda boxes: sorted(one for votes in boxes.values() for one in names(votes))
        return (ledger.policy.digest, len(ledger.revoked), ledger.frozen, ballots(ledger.thaw_ballots),
                [(one.id, one.state, one.step, names(one.cosigns), ballots(one.ballots)) for one in ledger.leases.values()])

    def standing(self):
        """What the target is at, as people see it."""
        return self.ledger.standing("shop")

    # -- by hand

    def honest(self, make, what):
        """Pushes what is made on the tip, again where it was outrun; it must count."""
        for _ in range(20):
            self.look()
            before, state = self.held, self.state()
            made = make(self.held)
            if made is None:
                return False
            ran = self.push([f"{made}:refs/heads/main"], atomic=True)
            self.look()
            if ran.returncode == 0 and self.state() != state:
                return True
            if ran.returncode == 0 and self.hooked:
                raise Wrong(f"{what} landed and counts for nothing: {self.found_since(before)}")
            said = ran.stderr.decode(errors="replace")
            if self.hooked and self.held == before and not any(word in said for word in ("lock", "outrun", "unjudged")):
                raise Wrong(f"{what} was refused: {said}")
        raise Wrong(f"{what} did not get through in 20 tries: {said}")

    def found_since(self, tip):
        return [(one.reason, one.why) for one in self.ledger.findings if one.step != tip][-3:]

    def vote(self, parent, name, action, record, **more):
        lease = record.lease()
        fields = {"Lease": record.id, "Digest": lease.digest, "Step": str(record.step + 1), **more}
        text = self.statement(action, fields)
        if self.roles[name] == "human" and "Tier" in fields:
            self.turned(record.id, int(fields["Tier"]))
        message = f"Turn a key\n\n{text}Two-Key-Principal: {name}\n".encode()
        return self.commit(self.store.commit(parent).tree, [parent], message, self.keys[name][0])

    @staticmethod
    def statement(action, fields):
        return carriers.Statement(action, {"Repository": REPOSITORY, **{f: fields[f] for f in carriers.FIELDS[action]}}).text

    def turned(self, lease, weight):
        """A human's honest key is turned for a weight."""
        self.signed[lease] = max(self.signed.get(lease, 0), weight)

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
        newest = self.standing()
        if newest is not None and newest.state in ("rolling", "paused", "halted"):
            if newest.state == "halted":
                return self.stop(parent, "rollback", newest)
            if newest.state == "paused":
                return self.both(parent, "resume", newest)
            if newest.tier + 1 < len(TIERS):
                return self.both(parent, "promote", newest, Tier=str(TIERS[newest.tier + 1]))
            return self.vote(parent, "user1", "complete", newest)
        name, text = self.next_lease()
        commit = self.commit(self.with_file(parent, f"leases/{name}.yaml", text), [parent], b"Propose\n")
        record = type("Proposed", (), {"id": name, "step": 0, "lease": lambda self: type("L", (), {"digest": "sha256:" + hashlib.sha256(text).hexdigest()})})()
        commit = self.both(commit, "cosign", record)
        self.turned(name, TIERS[0])
        return self.vote(commit, "cp14", "start", record, Tier=str(TIERS[0]))

    def next_lease(self):
        """The next lease's name, which nobody guesses, and its file."""
        self.latest = "R%08x" % self.rng.getrandbits(32)
        self.text_of_latest = (f"two-key: 1\nlease: {self.latest}\nrepository: {REPOSITORY}\nartifacts: [{{name: a, digest: \"sha256:{'1' * 64}\"}}]\ntarget: shop\n"
                               f"issued: 2025-10-27T02:19:13Z\nexpires: 2035-10-28T02:19:13Z\ntiers: [{', '.join('{weight: %d, bake: 0s}' % w for w in TIERS)}]\n").encode()
        return self.latest, self.text_of_latest

    def with_file(self, parent, path, data):
        """A commit's tree with one more file; of that and the policy alone where Git cannot read it."""
        more, index = {"GIT_INDEX_FILE": self.all + "/index"}, ("git", "update-index", "--add", "--cacheinfo", f"100644,{self.put('blob', data)},{path}")
        if os.path.exists(more["GIT_INDEX_FILE"]):
            os.remove(more["GIT_INDEX_FILE"])
        for args in (("git", "read-tree", self.store.commit(parent).tree), index, ("git", "write-tree")):
            ran = self.run(*args, cwd=self.folder, env=more)
            if ran.returncode != 0:
                return self.tree({".two-key/policy.yaml": self.files[".two-key/policy.yaml"], path: data})
        return ran.stdout.decode().strip()

    def stop(self, parent, action, record):
        text = self.statement(action, {"Lease": record.id, "Nonce": "%032x" % self.rng.getrandbits(128)})
        return self.commit(self.store.commit(parent).tree, [parent], f"Stop\n\n{text}Two-Key-Principal: user2\n".encode(), self.keys["user2"][0])

    # -- by the tool

    def blocked(self, verb):
        """Whether a note may fail without a hook: plain Git's, by whatever stands there; the tool's, by a ref where its folder
        would be."""
        return not self.hooked and (verb != "sign" or bool({"refs/notes", "refs/notes/two-key"} & set(self.there("refs/notes"))))

    def does(self, name, verb, about, note=False):
        """One verb of somebody's, tried again where others moved the ledger meanwhile; whether it got through. It is
        refused for nothing else."""
        self.look()
        wanted, idle = self.about(about), 0
        for _ in range(20):
            before, state = self.held, self.state()
            if self.about(about) != wanted:
                return False  # somebody else's vote or stop came first
            ran = self.by_note(name, verb, about) if note else self.tool(name, verb, *([about] if about else []))
            self.look()
            if ran.returncode == 0 and (note or self.state() != state or self.hooked):
                if not note:
                    self.came_through(name, verb, about, state)
                return True
            idle = idle + 1 if self.held == before else 0
            if (note and self.blocked(verb)) or (not self.keyless and any(word in ran.stderr for word in self.stops())):
                return False  # somebody's ref is in the note's way; or a stop was first that main did not have
            if self.about(about) == wanted and idle > (0 if self.hooked and not self.racing() else 2):
                break
        if self.about(about) != wanted:
            return False
        raise Wrong(f"{name}'s {verb} of {about} was refused: {ran.returncode}: {ran.stdout.decode(errors='replace')}{ran.stderr.decode(errors='replace')}")

    def stops(self):
        """How the tool says that a stop was first. Without a hook main may lack it still when a clone has carried it over."""
        return (b"carried over a stop", b": frozen: ") + (() if self.hooked else (b": it is paused", b": it is halted"))

    def about(self, lease):
        """What a verb is about, as far as somebody else could change it."""
        record = self.ledger.leases.get(lease)
        if not lease:
            return self.ledger.frozen
        return record and (record.state, record.step, record.known(), self.ledger.frozen)

    def came_through(self, name, verb, lease, state):
        """It is in the ledger, and where it took effect the server has its tag."""
        if self.state() == state:
            raise Wrong(f"{name}'s {verb} of {lease} got through and counts for nothing: {self.found_since('')}")
        made = [one for one in self.ledger.events if one["lease"] == lease and one["step"] and one["event"] not in ("COSIGNED", "VOTED", "VERIFIED_2KEY")]
        if self.hooked and verb in ("start", "promote", "resume", "complete") and made and name in made[-1]["by"]:
            if not self.there(f"refs/tags/rollout/{lease}/{made[-1]['step']}-*"):
                raise Wrong(f"{name}'s {verb} of {lease} took effect and has no tag: {made[-1]}")
            self.counts["tags"] += 1

    def by_note(self, name, verb, lease):
        """A vote left in a note: by the tool where it does that, else by ssh-keygen and Git."""
        self.counts["notes"] += 1
        if verb == "sign":
            return self.tool(name, "sign", lease, "--as", "note")
        record = self.ledger.leases[lease]
        about = record.lease()
        fields = {"Lease": lease, "Digest": about.digest, "Step": str(record.step + 1), "Tier": str(TIERS[min(record.tier + 1, 2)])}
        text = self.statement(verb, fields).encode()
        armour = self.run("ssh-keygen", "-q", "-Y", "sign", "-n", "two-key", "-f", f"{self.all}/keys/{name}", data=text, ok=True).stdout
        place, ref = f"{self.all}/{name}", f"refs/notes/two-key/{name}"
        blob = self.run("git", "hash-object", "-w", "--stdin", cwd=place, data=self.blob_of(about), ok=True).stdout.decode().strip()
        ran = self.run("git", "notes", "--ref", ref, "append", "-F", "-", blob, cwd=place, data=text + armour, ok=self.hooked)
        return ran if ran.returncode else self.run("git", "push", "--quiet", "origin", ref, cwd=place)

    def blob_of(self, lease):
        return next(data for data in self.store.blobs.values() if "sha256:" + hashlib.sha256(data).hexdigest() == lease.digest)

    def pair(self, verb, lease, weight=None):
        """A human's and an agent's key, in either order, one of them now and then by a note that the other seals."""
        first, second = self.rng.sample(["user1", "cp14"], 2)
        note = verb in ("sign", "promote") and self.rng.random() < 0.5
        record, before = self.ledger.leases.get(lease), self.about(lease)
        if weight:
            self.turned(lease, weight)
        if note and not self.does(first, verb, lease, note=True):
            note = False
        done = note or self.does(first, verb, lease)
        if done and self.about(lease) == before and self.asked(second, verb, lease):
            done = self.does(second, verb, lease)
            votes = record and ([one.principal for one in record.cosigns] if verb == "sign" else self.ledger.events[-1]["by"])
            if note and done and first not in (votes or [first]):
                raise Wrong(f"{first}'s {verb} of {lease} by note was not sealed by {second}'s: {votes}")
            self.counts["sealed"] += bool(note and done)
        return done

    def asked(self, name, verb, lease):
        """Whether somebody's vote is still asked for: an agent's is not where the other agent's came first."""
        record = self.ledger.leases.get(lease)
        action = "cosign" if verb == "sign" else verb
        cast = self.ledger.thaw_ballots if not lease else record.ballots if record else {}
        votes = [one for votes in cast.values() for one in votes if one.statement.action == action] + (record.cosigns if record and verb == "sign" else [])
        return self.roles[name] not in {one.role for one in votes}

    def onward_by_tool(self):
        """The same as `onward`, by the tool's verbs; whether all of it got through."""
        self.look()
        if self.ledger.frozen:
            return self.pair("thaw", "")
        newest = self.standing()
        if newest is None or newest.state not in ("rolling", "paused", "halted"):
            name, _ = self.next_lease()
            tiers = [word for weight in TIERS for word in ("--tier", f"{weight}:0s")]
            self.synced("user1")
            ran = self.run(self.program, "-C", "user1", "new", "--id", name, "--target", "shop", "--summary", "Again", "--artifact", f"a=sha256:{'1' * 64}",
                           "--expires", "8000h", *tiers, "--push")
            self.look()
            record = self.ledger.leases.get(name)
            if ran.returncode != 0 or record is None or record.lease() is None:
                if self.hooked and not self.racing():
                    raise Wrong(f"a proposal of {name} did not get through: {ran.stderr.decode(errors='replace')}")
                return False
            return self.pair("sign", name, TIERS[0]) and self.does("cp14", "start", name)
        if newest.state == "halted":
            return self.does("user2", "rollback", newest.id)
        if newest.state == "paused":
            return self.pair("resume", newest.id)
        if newest.tier + 1 < len(TIERS):
            return self.pair("promote", newest.id, TIERS[newest.tier + 1])
        return self.does("user1", "complete", newest.id)

    # -- stops

    def stop_as_ref(self, lease):
        """A stop signed on any tip that main ever had, delivered as a ref, under the first name that is taken."""
        chain = first_parents(self.store, self.root, self.held)
        made = self.stop(self.rng.choice(chain[-5:]), "halt", lease)
        for name in (f"refs/two-key/stops/{lease.id}/{made}", f"refs/heads/two-key-stop-{made}", f"refs/tags/two-key-stop-{made}"):
            ran = self.push([f"{made}:{name}"])
            if ran.returncode == 0:
                return
            if self.hooked:
                break
        raise Wrong(f"a stop ref of {lease.id} was refused: {ran.stderr.decode(errors='replace')}")

    def stop_by_tool(self, lease, shallow):
        """A halt by the tool, from user2's clone as it is, or from a new shallow one that knows the root."""
        place = "user2"
        if shallow:
            place = self.all + "/shallow"
            self.run("rm", "-rf", place)
            self.run("git", "init", "--quiet", "--bare", f"--object-format={self.format}", place, ok=True)
            self.run("git", "remote", "add", "origin", "file://" + self.server, cwd=place, ok=True)
            self.run("git", "config", "two-key.root", self.root, cwd=place, ok=True)
            self.run("git", "fetch", "--quiet", "--depth", "1", "origin", "main:main", cwd=place)
        ran = self.run(self.program, "-C", place, "halt", lease.id, "--key", f"{self.all}/keys/user2", "--push")
        if ran.returncode != 0:
            raise Wrong(f"a halt of {lease.id} by the tool ({place}): {ran.returncode}: {ran.stdout.decode(errors='replace')}{ran.stderr.decode(errors='replace')}")


def openssh(signer):
    """An unencrypted private key file."""
    from cryptography.hazmat.primitives import serialization as form
    return signer.secret.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption()).decode()
