#!/usr/bin/env python3
"""A neighbour at the door: somebody without a key, and somebody with one, push whatever Git and receive-pack let them,
beside honest people who propose, sign, start, promote and stop.

    python3 tests/second/neighbour.py --program PATH SEED SECONDS hook|forge

At every moment main's first-parent chain has only grown (with the hook); after each round server, fresh clone, applier and
second reader agree; no weight is above what a human's honest key was turned for; honest votes and stops got through, and
every rollout tag is true (with the hook). Without a hook anybody may force main, so there it is what honest people hold,
and what the applier does, that is looked at. In every other world nobody but honest people has a key.
"""
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter

import compare
from fold import Ledger
from keys import ED
from objects import Repository, first_parents
from people import People, Wrong
from random_ledger import REPOSITORY, Signer

PEOPLE = ("user1", "user2", "cp14", "cp18", "edge1")


class Neighbourhood(People):
    """A server, people and neighbours. What is made by hand is made in one store, and pushed from there."""

    def __init__(self, program, seed, hooked, folder):
        super().__init__(seed, folder + "/made.git")
        self.program, self.hooked, self.all, self.keyless = program, hooked, folder, seed % 2 == 0
        self.env |= {"PATH": f"{os.path.dirname(program)}:{os.environ['PATH']}", "HOME": folder, "GIT_TERMINAL_PROMPT": "0"}
        self.env.pop("TWO_KEY_ROOT", None)
        for who in ("AUTHOR", "COMMITTER"):
            self.env |= {f"GIT_{who}_NAME": "A Name", f"GIT_{who}_EMAIL": "name@example.org"}
        self.time = int(time.time()) - 100_000
        self.keys = {name: [Signer(name, ED, f"{name}{seed}")] for name in (*PEOPLE, "mallory")}
        self.listing = {name: self.keys[name] for name in PEOPLE}
        self.server, self.counts, self.racer = folder + "/server.git", Counter(), None
        self.signed = {}  # the highest weight that a human's honest key was turned for, by lease
        self.next_lease()

    # -- setting up

    def run(self, *args, cwd=None, data=None, ok=False, env=()):
        ran = subprocess.run(args, cwd=cwd or self.all, env=self.env | dict(env), capture_output=True, input=data, timeout=300)
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
        self.run("git", "config", "core.logAllRefUpdates", "always", cwd=self.server, ok=True)
        if not self.hooked:  # as forges do: else a ref below refs/replace/ makes Git itself take main for something else
            self.run("git", "config", "core.useReplaceRefs", "false", cwd=self.server, ok=True)
        self.push([f"{self.root}:refs/heads/main"], must=True)
        self.held = self.root
        self.store = Repository(self.folder)
        self.ledger = Ledger(self.store, self.root)
        self.ledger.advance(self.root)
        self.run("git", "clone", "--quiet", self.server, "applier", ok=True)
        self.settle()
        with open(self.all + "/applier.yaml", "w") as file:
            file.write(f"name: edge1\nkey: {self.all}/keys/edge1\nrepository: applier\nremote: origin\nroot: {self.root}\ntargets:\n  shop: {{file: weights.json}}\n")

    def push(self, refspecs, force=False, must=False, atomic=False, cwd=None):
        args = ["git", "push", "--quiet", *(["--force"] if force else []), *(["--atomic"] if atomic else []), self.server, *refspecs]
        ran = self.run(*args, cwd=cwd or self.folder)
        self.counts["pushes"] += 1
        self.counts["landed"] += ran.returncode == 0
        if must and ran.returncode != 0:
            raise Wrong(f"an honest push was refused: {refspecs}: {ran.stderr.decode(errors='replace')}")
        return ran

    def at(self, ref, place=None):
        return self.run("git", "rev-parse", "--verify", "--quiet", ref, cwd=place or self.server).stdout.decode().strip()

    def there(self, *under):
        """The names of the server's refs."""
        return self.run("git", "for-each-ref", "--format=%(refname)", *under, cwd=self.server).stdout.decode().split()

    def racing(self):
        return self.racer is not None and self.racer.is_alive()

    # -- what must hold

    def applied(self):
        """A look of the applier: what it said, the lease that the target is at, its weight there, and its weight in the ledger."""
        ran = self.run(self.program, "apply", "--once", "--config", "applier.yaml", "--format", "json")
        path = self.all + "/weights.json"
        found = json.load(open(path)) if os.path.exists(path) else {"weight_bp": 0, "lease": None}
        record = self.ledger.leases.get(found["lease"])
        return ran, found["lease"], found["weight_bp"] // 100, record.weight() if record else 0

    def check(self):
        """Everybody agrees, and nothing is above what a human was asked for."""
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
        self.heeded("the ledger")
        if self.hooked:
            self.grew()
            self.tags_are_true()
            self.catches_up()

    def heeded(self, why):
        """The applier is not above the ledger."""
        ran, _, weight, wanted = self.applied()
        if weight > wanted:
            raise Wrong(f"after {why} the applier is at {weight} %, the ledger at {wanted} %: {ran.stdout.decode()[-400:]}{ran.stderr.decode()[-400:]}")

    def grew(self):
        """Whatever main was at, at any moment, is on its first-parent chain, and in this order."""
        self.look()  # the applier may have carried a stop over
        chain = {oid: at for at, oid in enumerate(first_parents(self.store, self.root, self.held))}
        moves = self.run("git", "reflog", "show", "--format=%H", "refs/heads/main", cwd=self.server).stdout.decode().split()[::-1]
        places = [chain.get(oid, -1) for oid in moves]
        if -1 in places or places != sorted(places) or len(places) < 1:
            raise Wrong(f"main was once at what it does not come from: {moves} {places}")

    def tags_are_true(self):
        """Each rollout tag is annotated and stands on the commit that put its transition in force."""
        made = {(one["lease"], str(one["step"])): one["commit"] for one in self.ledger.events if one["event"] not in ("COSIGNED", "VOTED", "VERIFIED_2KEY")}
        for name in self.there("refs/tags/rollout"):
            lease, step = name.split("/")[3], name.split("/")[4].split("-")[0]
            kind = self.run("git", "cat-file", "-t", name, cwd=self.server).stdout.decode().strip()
            if kind != "tag" or self.at(name + "^{commit}") != made.get((lease, step)):
                raise Wrong(f"the tag {name} ({kind}) is on {self.at(name + '^{commit}')}, the transition on {made.get((lease, step))}")

    def catches_up(self):
        """The applier gets where the ledger is: nobody holds it back."""
        for _ in range(5):
            ran, lease, weight, wanted = self.applied()
            self.look()
            stands = self.standing()
            if weight == wanted and (stands is None or stands.weight() == 0 or stands.id == lease):
                return
        raise Wrong(f"the applier stays at {weight} % of {lease}, the ledger at {stands and (stands.id, stands.state)}: {ran.stdout.decode()[-900:]}{ran.stderr.decode()[-400:]}")

    def stopped(self):
        """An honest stop of what runs gets through, to the applier at once and to the ledger."""
        self.look()
        newest = self.standing()
        if newest is None or newest.state not in ("rolling", "paused"):
            return
        how = self.rng.choice(["by hand", "as a ref", "by the tool", "from a shallow clone"])
        if how == "by hand":
            self.honest(lambda parent: self.stop(parent, "halt", newest) if newest.state in ("rolling", "paused") else None, f"a halt of {newest.id}")
        elif how == "as a ref":
            self.stop_as_ref(newest)
        else:
            self.stop_by_tool(newest, how == "from a shallow clone")
        self.counts[f"stops {how}"] += 1
        ran, lease, weight, _ = self.applied()
        if weight > 0 and lease == newest.id:
            raise Wrong(f"after a halt of {newest.id} {how} the applier is at {weight} %: {ran.stdout.decode()[-900:]}{ran.stderr.decode()[-400:]}")
        for _ in range(3):
            self.look()
            if newest.state not in ("rolling", "paused"):
                return
            self.applied()  # it carries over what main did not have
        raise Wrong(f"a halt of {newest.id} {how} got through, and it is {newest.state}: {ran.stdout.decode()[-900:]}")

    def round(self):
        for _ in range(self.rng.choice([1, 2, 3])):
            self.attack()
        self.racer = self.race() if self.rng.random() < 0.5 else None
        try:
            if self.rng.random() < 0.5:
                self.counts["votes"] += self.honest(self.onward, "an honest vote")
            else:
                self.counts["votes by the tool"] += self.onward_by_tool()
        finally:
            if self.racer is not None:
                self.racer.join()
        if self.rng.random() < 0.3:
            self.stopped()
        self.check()


def main():
    if len(sys.argv) != 6 or sys.argv[1] != "--program" or sys.argv[5] not in ("hook", "forge"):
        print(__doc__, file=sys.stderr)
        return 2
    program, seed, seconds, hooked = os.path.abspath(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5] == "hook"
    end, rounds, worlds, totals = time.monotonic() + seconds, 0, 0, Counter()
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory(prefix="two-key-neighbour") as folder:
            world, worlds = Neighbourhood(program, seed + worlds, hooked, folder), worlds + 1
            try:
                world.found()
                for number in range(25):
                    if time.monotonic() > end:
                        break
                    world.round()
                    rounds += 1
            except Wrong as wrong:
                print(f"seed {seed + worlds - 1}, {sys.argv[5]}, round {number} of its world, {'keyless' if world.keyless else 'one key'}: {wrong}")
                if os.environ.get("KEEP"):
                    subprocess.run(["cp", "-a", folder, os.environ["KEEP"]], check=False)
                return 1
            finally:
                if hasattr(world, "store"):
                    world.store.close()
            totals += world.counts
    print(f"{sys.argv[5]}: {worlds} worlds, {rounds} rounds, " + ", ".join(f"{count} {name}" for name, count in sorted(totals.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
