"""What neighbours at the door push: somebody without a key, and somebody with one agent's key.

Everything that plain Git and receive-pack let a pusher send: objects by hand, forces, deletions, odd names, old values of
the pusher's choosing, several refs at once, and pushes while honest people push.
"""
import threading

from random_ledger import Maker


class Intruders(Maker):
    """The neighbours. `keyless` says that nobody but honest people has a key here."""

    keyless = False

    # -- objects

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
        oid = self.put("commit", data)
        self.trees[oid] = tree
        return oid

    def odd_tree(self):
        """A tree by hand: entries twice, in another order, with modes that Git does not write."""
        rng, blob = self.rng, bytes.fromhex(self.put("blob", b"x"))
        entries = [rng.choice([b"100644", b"100664", b"120000", b"160000", b"40000", b"0100644", b"100755"]) + b" " + name + b"\0" + blob
                   for name in rng.sample([b".two-key", b"leases", b"README", b".git", b"LEASES", b"leases ", b"a"], 3)]
        rng.shuffle(entries)
        return self.put("tree", b"".join(entries + entries[:rng.randrange(2)]))

    def junk(self, parent):
        """An ordinary commit on main that edits, adds or takes away files."""
        rng = self.rng
        files = {".two-key/policy.yaml": self.files[".two-key/policy.yaml"] + rng.choice([b"", b"", b"# x\n", b"delegable-up-to: 99\n"])}
        for _ in range(rng.randrange(3)):
            name = rng.choice([self.latest, self.latest.lower(), self.latest.swapcase(), "shop", "x", "bad name"])
            files[f"leases/{rng.choice(['', 'A/', 'a/b/'])}{name}.yaml"] = rng.choice([b"junk", b"two-key: 1\n", self.lease(name), self.text_of_latest])
        tree = self.tree(files) if rng.random() < 0.8 else self.odd_tree()
        return self.commit(tree, [parent] + ([rng.choice(self.made)] if self.made and rng.random() < 0.3 else []), b"Edit\n")

    def keyed(self, parent):
        """A vote by the one key that the neighbour has, of whatever might do; by one that nobody lists, where it has none."""
        action, fields = self.plausible() if self.rng.random() < 0.7 else Maker.stop(self)
        if self.rng.random() < 0.2:
            action, fields = self.bend(action, fields)
        signer = "mallory" if self.keyless else "cp18"
        text = self.text(action, fields)
        oid = self.commit(self.trees[parent], [parent], f"Turn a key\n\n{text}Two-Key-Principal: {self.rng.choice([signer] * 9 + ['user1'])}\n".encode(), self.keys[signer][0])
        self.made.append(oid)
        return oid

    def plausible(self):
        try:
            return super().plausible()
        except (TypeError, AttributeError):
            return Maker.stop(self)

    def target(self, parent):
        """Something to push."""
        rng = self.rng
        make = rng.choice([self.odd_commit, self.junk, self.keyed, self.keyed, lambda p: self.root, lambda p: p, lambda p: rng.choice(self.made or [p])])
        return make(parent)

    def name(self, oid):
        lease, rng = self.latest, self.rng
        step = self.ledger.leases[lease].step + rng.randrange(2) if lease in self.ledger.leases else 1
        return rng.choice([
            *["refs/heads/main"] * 4, "refs/heads/MAIN", "refs/heads/Main", "refs/heads/other", "refs/heads/main/x", "refs/two-key/x", "refs/two-key/x/y",
            *[f"refs/two-key/stops/{lease}/{oid}"] * 2, f"refs/two-key/stops/{lease}", f"refs/two-key/stops/_all/{oid}", f"refs/two-key/stops/{lease}/{'0' * len(oid)}", f"refs/two-key/stops/{lease}/x",
            f"refs/heads/two-key-stop-{oid}", f"refs/tags/two-key-stop-{oid}", "refs/heads/two-key-stop-x", "refs/two-key/stops",
            "refs/two-key/appliers/edge1", "refs/two-key/appliers/edge1/x", "refs/notes/two-key/user1", "refs/notes/two-key/user1", "refs/notes/two-key/cp14", "refs/notes/two-key/cp18", "refs/notes/two-key", "refs/notes",
            f"refs/tags/rollout/{lease}/{step}-start-5", f"refs/tags/rollout/{lease}/{step}-promote-25", f"refs/tags/rollout/{lease}/{step}-halt", f"refs/tags/rollout/{lease}/{step}-complete", f"refs/tags/rollout/{lease}", "refs/tags/rollout",
            f"refs/tags/Rollout/{lease}/1-start-5", f"refs/replace/{self.root}", f"refs/replace/{self.held}", "refs/heads/m\u00e4in", "refs/TWO-KEY/stops/x/y", "refs/notes/Two-Key/user1", "refs/heads/-x", "refs/heads/two-key", "refs/tags/main", "refs/heads/HEAD",
        ])

    # -- pushes

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
                name = f"rollout/{self.latest}/{rng.choice(['1-start-5', '2-promote-25', '2-halt'])}"
                oid = self.put("tag", f"object {oid}\ntype commit\ntag {name}\ntagger A <a@b> 1 +0000\n\nx\n".encode())
            updates.append((oid, self.name(oid)))
        names = set()
        updates = [(oid, ref) for oid, ref in updates if not (ref in names or names.add(ref))]
        kind = rng.choice(["push", "push", "force", "delete", "raw", "mix"])
        if kind == "push":
            self.push([f"{oid}:{ref}" for oid, ref in updates])
        elif kind == "force":
            self.push([f"{oid}:{ref}" for oid, ref in updates], force=True)
        elif kind == "delete":
            self.push([f":{rng.choice(self.there())}"])
        elif kind == "mix":
            there = self.there("refs/tags", "refs/two-key", "refs/notes")
            self.push([f"{oid}:{ref}" for oid, ref in updates] + [f":{ref}" for ref in rng.sample(there, min(1, len(there)))], force=rng.random() < 0.5)
        else:
            zero = "0" * len(self.root)
            olds = [self.held, zero, self.root, *self.made[-2:]]
            self.raw([(rng.choice([self.at(ref) or zero, rng.choice(olds)]), oid, ref) for oid, ref in updates], [oid for oid, _ in updates] + [self.held])

    def raw(self, updates, tips):
        """Speaks to receive-pack, with old ids of our own choosing."""
        pack = self.run("git", "pack-objects", "--revs", "--stdout", "-q", cwd=self.folder, data="".join(f"{t}\n" for t in tips).encode()).stdout
        line = lambda text: b"%04x" % (len(text) + 4) + text
        words = [f"{old} {new} {ref}".encode() + (b"\0report-status" if at == 0 else b"") for at, (old, new, ref) in enumerate(updates)]
        self.counts["pushes"] += 1
        self.run("git", "receive-pack", self.server, data=b"".join(map(line, words)) + b"0000" + pack)

    # -- races

    def race(self):
        """Begins to push while honest people do: what was made now, and whatever continues main then. Returns what waits for its end."""
        rng = self.rng
        kinds = rng.sample(["vote", "forward", "forced", "raw"], rng.choice([1, 1, 2]))
        forced, vote, times = self.target(self.held), self.keyed(self.held), rng.choice([1, 2, 4])
        raw = [(rng.choice([self.held, self.root, "0" * len(self.root)]), forced, "refs/heads/main")]

        def pushes():
            for kind in kinds:
                if kind == "vote":
                    self.push([f"{vote}:refs/heads/main"])
                elif kind == "forced":
                    self.push([f"{forced}:refs/heads/main"], force=True)
                elif kind == "raw":
                    self.raw(raw, [forced, self.held])
                else:
                    for _ in range(times):
                        self.forward()

        racer = threading.Thread(target=pushes)
        racer.start()
        self.counts["races"] += 1
        return racer

    def forward(self):
        """Pushes an empty commit onto whatever main is at just now."""
        place = self.all + "/neighbour"
        self.run("git", "fetch", "--quiet", "--no-tags", self.server, "+refs/heads/main:refs/seen", cwd=place)
        made = self.run("git", "commit-tree", "-p", "refs/seen", "-m", "Mine", "refs/seen^{tree}", cwd=place).stdout.decode().strip()
        if made:
            self.push([f"{made}:refs/heads/main"], cwd=place)
