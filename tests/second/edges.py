#!/usr/bin/env python3
"""Ledgers at the edges of what formats.md says: sizes at and beyond their limits, odd lines, odd names. Both readers must say
the same of each.

    python3 tests/second/edges.py --compare PROGRAM     prints where the two disagree
"""
import base64
import subprocess
import sys
import tempfile

import carriers
import compare
from fold import Ledger
from objects import Repository
from random_ledger import REPOSITORY, Maker, Signer


class Edges(Maker):
    """A ledger to which each edge adds what it is about."""

    def __init__(self, folder):
        super().__init__(0, folder)
        self.keys["cp18"] = [Signer("cp18", "minisign")]
        self.count = 0

    def found(self):
        self.files[".two-key/policy.yaml"] = self.policy()
        root = self.commit(self.tree(self.files), [], b"Found\n")
        self.ledger = Ledger(Repository(self.folder), root)
        self.advance(root)
        return root

    def lease(self, name, extra=""):
        return (f"two-key: 1\nlease: {name}\nrepository: {REPOSITORY}\nartifacts: [{{name: a, digest: \"sha256:{'1' * 64}\"}}]\ntarget: shop\n"
                f"issued: 2025-10-27T02:19:13Z\nexpires: 2035-10-28T02:19:13Z\n{extra}").encode()

    def next_lease(self):
        self.count += 1
        return f"E{self.count}"

    def propose(self, name, path=None, data=None):
        self.files[path or f"leases/{name}.yaml"] = data or self.lease(name)
        self.ordinary()

    def cosigned(self, bend):
        """A cosignature of a new lease, whose message is bent."""
        name = self.next_lease()
        self.propose(name)
        message = bend(f"Turn a key\n\n{self.statement(name)}Two-Key-Principal: user1\n")
        self.advance(self.commit(self.trees[self.tip], [self.tip], message.encode("utf-8", "surrogateescape"), self.keys["user1"][0]))

    def strangers(self, lies=False, other=False):
        """A cosignature that a key signed which is nobody's, over another text, or for another purpose."""
        name = self.next_lease()
        self.propose(name)
        message = f"Turn a key\n\n{self.statement(name)}Two-Key-Principal: user1\n".encode()
        signer = Signer("stranger", "ssh-ed25519")
        if other:
            made = signer.sshsig
            signer.sshsig = lambda namespace, text, rng: made(b"two-key", text, rng)
        self.advance(self.commit(self.trees[self.tip], [self.tip], message, signer, lies))

    def branch(self):
        """A policy of another branch, and the one in force again."""
        before = self.files[".two-key/policy.yaml"]
        policy = self.ledger.policy
        change = ((b"version: 1", b"version: 2"), (b"previous: null", f"previous: {policy.digest}".encode()))
        data = before + b"branch: other\n"
        for old, new in change:
            data = data.replace(old, new)
        self.files[".two-key/policy.yaml"] = data
        self.ordinary()
        self.files[".two-key/policy.yaml"] = before
        self.ordinary()

    def both(self, sealed="cosign", who="user1", own="cosign", lies=False):
        """A commit of user1's about a new lease, which seals somebody's signature for some action too."""
        name = self.next_lease()
        self.propose(name)
        fields = {"Repository": REPOSITORY, "Lease": name, "Digest": self.ledger.leases[name].lease().digest, "Step": "1", "Tier": "5", "Nonce": "1" * 32}
        line = self.keys[who][0].sealed(carriers.Statement(sealed, fields).text.encode(), self.rng)
        message = f"Both\n\n{carriers.Statement(own, fields).text}Two-Key-Principal: user1\nTwo-Key-Cosignature: {who} {sealed} {line}\n"
        self.advance(self.commit(self.trees[self.tip], [self.tip], message.encode(), self.keys["user1"][0], lies))

    def sized(self, size):
        """One whose commit has exactly so many bytes."""
        self.cosigned(lambda message: message)
        fixed = len(self.ledger.repository.commit(self.tip).raw)
        self.cosigned(lambda message: "x" * (size - fixed) + message)
        assert len(self.ledger.repository.commit(self.tip).raw) == size

    def armour(self, width):
        """One whose signature stands on lines of another width."""
        self.cosigned(lambda message: message)
        raw = self.ledger.repository.commit(self.tip).raw
        begin, end = raw.index(b"SIGNATURE-----\n ") + 16, raw.index(b"\n -----END")
        text = raw[begin:end].replace(b"\n ", b"")
        lines = b"\n ".join(text[at:at + width] for at in range(0, len(text), width))
        self.count += 1
        parent = self.ledger.repository.commit(self.tip).parents[0]
        oid = self.put("commit", raw[:begin] + lines + raw[end:])
        self.trees[oid] = self.trees[parent]
        self.advance(self.commit(self.trees[oid], [self.tip, oid], b"Merge\n"))

    def many(self, name, count):
        """So many files of one lease, in a step."""
        self.files |= {f"leases/{at:03}/{name}.yaml": self.lease(name) for at in range(count)}
        self.ordinary()

    def turned(self, name, *turns):
        """A hundred files of one lease, of which one goes and another comes, each time."""
        self.many(name, 100)
        for goes, comes in turns:
            self.files[f"leases/{comes}/{name}.yaml"] = self.files.pop(f"leases/{goes}/{name}.yaml")
            self.ordinary()

    def wide(self, name, count):
        """So many files in a new folder, in a step; of too many a lease is changed alone, and all are taken back."""
        before = dict(self.files)
        self.files |= {f"leases/{name}/x{at}": b"x" for at in range(count - 1)} | {f"leases/{name}/{name}.yaml": self.lease(name)}
        self.ordinary()
        self.propose(None, f"leases/{name}/{name}.yaml", self.lease(name, "summary: changed\n"))
        self.files = before
        self.ordinary()

    def heavy(self, name, size, **others):
        """Four leases in a step, of 16, 8 and 8 KiB and of so many bytes, and others."""
        self.files |= {f"leases/{name}/{one}.yaml": data for one, data in others.items()}
        for at, bytes_of in enumerate([16384, 8192, 8192]):
            self.files |= {f"leases/{name}/{name}a{at}.yaml": pad(self.lease(f"{name}a{at}"), bytes_of)}
        self.propose(f"{name}b", data=pad(self.lease(f"{name}b"), size))

    def broken(self, count):
        """So many files that are no leases, in a step."""
        first = self.count = self.count + 1
        self.files |= {f"leases/{count}/B{first}x{at}.yaml": b"no lease" for at in range(count)}
        self.ordinary()

    def run(self, *args):
        return subprocess.run(["git", "-C", self.folder, *args], check=True, env=self.env, capture_output=True, text=True).stdout

    def statement(self, name):
        digest = self.ledger.leases[name].lease().digest
        return carriers.Statement("cosign", {"Repository": REPOSITORY, "Lease": name, "Digest": digest}).text

    def sealed(self, make, times=1, more=""):
        """Sealed signatures of a new lease by cp18's minisign key, in a commit that nobody signed, and more lines."""
        name = self.next_lease()
        self.propose(name)
        text = self.statement(name)
        words = self.keys["cp18"][0].sealed(text.encode(), self.rng).split(" ")
        words[-1] = base64.b64encode(make(base64.b64decode(words[-1]))).decode()
        line = f"Two-Key-Cosignature: cp18 cosign {' '.join(words)}\n"
        self.advance(self.commit(self.trees[self.tip], [self.tip], f"Seal\n\n{text}{line * times}{more}".encode()))


    def bent(self, bend):
        """The same once more, with its headers bent, in a merge."""
        self.sealed(lambda data: data)
        head, message = self.ledger.repository.commit(self.tip).raw.split(b"\n\n", 1)
        parent = self.ledger.repository.commit(self.tip).parents[0]
        name = self.next_lease()
        self.propose(name)
        oid = self.put("commit", bend(head.replace(parent.encode(), self.tip.encode()).replace(
            self.trees[parent].encode(), self.trees[self.tip].encode())) + b"\n\n" + self.seal_of(name))
        self.trees[oid] = self.trees[self.tip]
        self.advance(self.commit(self.trees[oid], [self.tip, oid], b"Merge\n"))

    def seal_of(self, name):
        text = self.statement(name)
        return f"Seal\n\n{text}Two-Key-Cosignature: cp18 cosign {self.keys['cp18'][0].sealed(text.encode(), self.rng)}\n".encode()

    def by(self, person):
        """One whose author and committer are somebody, spelled oddly."""
        self.bent(lambda head: b"\n".join(
            line.split(b" ")[0] + b" " + person if line.startswith((b"author ", b"committer ")) else line for line in head.split(b"\n")))


def add(line):
    return lambda message: message + line


CASES = {
    "a key that signs and seals the same": lambda e: e.both(),
    "a key that signs and seals the same, with a signature that does not verify": lambda e: e.both(lies=True),
    "a key that signs and another that seals": lambda e: e.both(who="cp14"),
    "a signature that does not verify beside a sealed one": lambda e: e.both(who="cp14", lies=True),
    "a key that starts and seals its cosignature": lambda e: e.both(own="start"),
    "a start that seals a promotion": lambda e: e.both("promote", "cp14", "start"),
    "a halt that seals a pause": lambda e: e.both("pause", "cp14", "halt"),
    "a halt that seals a halt": lambda e: e.both("halt", "cp14", "halt"),
    "a reason of 1024 bytes": lambda e: e.cosigned(add(f"Two-Key-Reason: {'x' * 1024}\n")),
    "a reason of 1025 bytes": lambda e: e.cosigned(add(f"Two-Key-Reason: {'x' * 1025}\n")),
    "a reason of 1024 bytes in 512 letters": lambda e: e.cosigned(add(f"Two-Key-Reason: {'ä' * 512}\n")),
    "a reason of blanks": lambda e: e.cosigned(add("Two-Key-Reason:    \n")),
    "a reason of odd blanks": lambda e: e.cosigned(add("Two-Key-Reason: \u3000\n")),
    "a line that is continued": lambda e: e.cosigned(add(" more\n")),
    "a line that is continued by a tab": lambda e: e.cosigned(add("\tmore\n")),
    "a line after it": lambda e: e.cosigned(add("more\n")),
    "an empty line with a blank": lambda e: e.cosigned(add(" \n")),
    "empty lines after it": lambda e: e.cosigned(add("\n\n\n")),
    "no line feed at its end": lambda e: e.cosigned(lambda m: m[:-1]),
    "a first paragraph of blanks": lambda e: e.cosigned(lambda m: m.replace("Turn a key", " ")),
    "a byte that is no text in the subject": lambda e: e.cosigned(lambda m: m.replace("Turn", "T\udcf6rn")),
    "a byte that is no text in the reason": lambda e: e.cosigned(add("Two-Key-Reason: T\udcf6rn\n")),
    "a byte that is no text after the fields": lambda e: e.cosigned(add("T\udcf6rn\n")),
    "a carriage return in the subject": lambda e: e.cosigned(lambda m: m.replace("Turn", "Tu\rrn")),
    "a carriage return after the fields": lambda e: e.cosigned(add("more\r\n")),
    "a statement after a carriage return": lambda e: e.cosigned(lambda m: m.replace("Turn", "Tu\rTwo-Key-Statement: 1")),
    "a NUL in the subject": lambda e: e.cosigned(lambda m: m.replace("Turn", "Tu\0rn")),
    "a minisign comment that is no text": lambda e: e.sealed(lambda data: data.replace(b"comment: x", b"comment: \xf6")),
    "a minisign comment with what is invisible": lambda e: e.sealed(lambda data: data.replace(b"comment: x", "comment: \u200bx".encode())),
    "a minisign comment with what steers": lambda e: e.sealed(lambda data: data.replace(b"comment: x", "comment: \u202ex".encode())),
    "64 sealed signatures": lambda e: e.sealed(lambda data: data, 64),
    "65 sealed signatures": lambda e: e.sealed(lambda data: data, 65),
    "a sealed signature of four words": lambda e: e.sealed(lambda data: data, more="Two-Key-Cosignature: user2 cosign ssh AAAA\n"),
    "a sealed signature for no action": lambda e: e.sealed(lambda data: data, more="Two-Key-Cosignature: user2 cosignx ssh AAAA AAAA\n"),
    "a sealed signature of no kind": lambda e: e.sealed(lambda data: data, more="Two-Key-Cosignature: user2 cosign pgp AAAA AAAA\n"),
    "a sealed signature of nobody": lambda e: e.sealed(lambda data: data, more="Two-Key-Cosignature: -x cosign ssh AAAA AAAA\n"),
    "a sealed signature by no key": lambda e: e.sealed(lambda data: data, more="Two-Key-Cosignature: user2 cosign ssh AAAA AAAA\n"),
    "a sealed signature by a key that is no base64": lambda e: e.sealed(lambda data: data, more="Two-Key-Cosignature: user2 cosign ssh A*== AAAA\n"),
    "a sealed signature that is no base64": lambda e: e.sealed(lambda data: data, more="Two-Key-Cosignature: user2 cosign ssh AAAA A*==\n"),
    "an author as Git writes it": lambda e: e.by(b"a <a@a> 1 +0000"),
    "an author without a name": lambda e: e.by(b"<> 0 +0000"),
    "an author without a blank": lambda e: e.by(b"a<a> 1 +0000"),
    "an author of the last second": lambda e: e.by(b"a <a> 9223372036854775807 +0000"),
    "an author after the last second": lambda e: e.by(b"a <a> 9223372036854775808 +0000"),
    "an author long after the last second": lambda e: e.by(b"a <a> 18446744073709551616 +0000"),
    "an author of two addresses": lambda e: e.by(b"a <a> <b> 1 +0000"),
    "an author without a zone": lambda e: e.by(b"a <a> 1"),
    "an OpenPGP signature": lambda e: e.bent(
        lambda head: head + b"\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----"),
    "a minisign file": lambda e: e.sealed(lambda data: data),
    "a minisign file without its last line feed": lambda e: e.sealed(lambda data: data[:-1]),
    "a minisign file with one more line feed": lambda e: e.sealed(lambda data: data + b"\n"),
    "a minisign file with carriage returns": lambda e: e.sealed(lambda data: data.replace(b"\n", b"\r\n")),
    "a minisign file of 4 KiB": lambda e: e.sealed(lambda data: data.replace(b"comment: x", b"comment: " + b"x" * (4096 - len(data) + 1))),
    "a minisign file of 4 KiB and a byte": lambda e: e.sealed(lambda data: data.replace(b"comment: x", b"comment: " + b"x" * (4096 - len(data) + 2))),
    "a minisign comment with a tab": lambda e: e.sealed(lambda data: data.replace(b"comment: x", b"comment: x\ty")),
    "an empty minisign comment": lambda e: e.sealed(lambda data: data.replace(b"comment: x", b"comment: ")),
    "a folder named as a lease's file": lambda e: e.propose(None, "leases/F1.yaml/x", b"x"),
    "a lease in a folder named as a lease's file": lambda e: e.propose(None, "leases/F2.yaml/F3.yaml", e.lease("F3")),
    "a lease in the 15th folder": lambda e: e.propose(None, "leases/" + "d/" * 14 + "D15.yaml", e.lease("D15")),
    "a lease in the 16th folder": lambda e: e.propose(None, "leases/" + "d/" * 15 + "D16.yaml", e.lease("D16")),
    "a lease in the 17th folder": lambda e: e.propose(None, "leases/" + "d/" * 16 + "D17.yaml", e.lease("D17")),
    "a folder named as a lease's file in the 16th": lambda e: e.propose(None, "leases/" + "d/" * 15 + "D18.yaml/x", b"x"),
    "a folder whose name is not UTF-8": lambda e: e.propose(None, "leases/\udcff/U1.yaml", e.lease("U1")),
    "a file whose name is not UTF-8": lambda e: e.propose(None, "leases/\udcff.yaml", e.lease("U2")),
    "a lease whose id differs by case": lambda e: (e.propose("Case"), e.propose("cASE")),
    "one of another repository whose id does": lambda e: (e.propose("Kase"), e.propose("kASE", data=e.lease("kASE").replace(REPOSITORY.encode(), b"0" * 32))),
    "a broken one whose id does": lambda e: (e.propose("Mase"), e.propose("mASE", data=b"no lease")),
    "a lease in an upper-case folder": lambda e: e.propose(None, "leases/A.YAML", e.lease("A")),
    "100 files of one lease": lambda e: e.many("M100", 100),
    "101 files of one lease": lambda e: e.many("M101", 101),
    "a file that goes and one more that comes": lambda e: e.turned("M102", ("000", "100"), ("100", "000")),
    "10 findings in a step": lambda e: e.broken(10),
    "11 findings in a step": lambda e: e.broken(11),
    "12 findings in a step": lambda e: e.broken(12),
    "256 names in a step": lambda e: e.wide("W256", 255),
    "257 names in a step": lambda e: e.wide("W257", 256),
    "64 KiB of files in a step": lambda e: e.heavy("H0", 32768),
    "64 KiB of files and a byte in a step": lambda e: e.heavy("H1", 32769),
    "64 KiB of files and one that is too large": lambda e: e.heavy("H2", 32768, x=b"#" * 65537),
    "64 KiB of files and one whose name is not UTF-8": lambda e: e.heavy("H3", 32768, **{"\udcff": b"#"}),
    "64 KiB of files and one whose name is no id": lambda e: e.heavy("H4", 32768, **{"no id": b"#"}),
    "a lease whose id differs by case from a broken one's": lambda e: (e.propose("wASE", data=b"no lease"), e.propose("Wase")),
    "20 tiers": lambda e: e.propose("T20", data=e.lease("T20", tiers(20))),
    "21 tiers": lambda e: e.propose("T21", data=e.lease("T21", tiers(21))),
    "an escaped U+FFFE": lambda e: e.propose("X1", data=e.lease("X1", 'summary: "a\\uFFFEb"\n')),
    "an escaped U+FFFD": lambda e: e.propose("X2", data=e.lease("X2", 'summary: "a\\uFFFDb"\n')),
    "the last moment": lambda e: e.propose("Y1", data=e.lease("Y1").replace(b"2035-10-28T02:19:13Z", b"9999-12-30T22:00:00Z")),
    "one moment more": lambda e: e.propose("Y2", data=e.lease("Y2").replace(b"2035-10-28T02:19:13Z", b"9999-12-30T22:00:01Z")),
    "a file of 64 KiB": lambda e: e.propose("Z1", data=pad(e.lease("Z1"), 65536)),
    "a file of 64 KiB and a byte": lambda e: e.propose("Z2", data=pad(e.lease("Z2"), 65537)),
    "armour on longer lines": lambda e: e.armour(76),
    "armour on lines that are too long": lambda e: e.armour(77),
    "armour on lines of one letter": lambda e: e.armour(1),
    "a stranger's signature": lambda e: e.strangers(),
    "a stranger's signature that does not verify": lambda e: e.strangers(lies=True),
    "a stranger's signature for another purpose": lambda e: e.strangers(other=True),
    "a policy of another branch": lambda e: e.branch(),
    "an explicit key": lambda e: e.propose("Y3", data=e.lease("Y3", "labels:\n  ? a\n  : b\n")),
    "an explicit key in a flow": lambda e: e.propose("Y4", data=e.lease("Y4", "labels: {? a : b, c: d}\n")),
    "an explicit key without a value": lambda e: e.propose("Y5", data=e.lease("Y5", "labels:\n  ? a\n")),
    "an explicit key that is a list": lambda e: e.propose("Y6", data=e.lease("Y6", "labels:\n  ? [a]\n  : b\n")),
    "an explicit key that is there already": lambda e: e.propose("Y7", data=e.lease("Y7", "labels:\n  a: b\n  ? a\n  : b\n")),
    "an escaped line end": lambda e: e.propose("Y8", data=e.lease("Y8", 'labels:\n  a: "b\\\n    c"\n')),
    "an empty folded text": lambda e: e.propose("Y9", data=e.lease("Y9", "summary: >\n")),
    "an empty folded label": lambda e: e.propose("Y10", data=e.lease("Y10", "labels:\n  a: >\n  b: c\n")),
    "a statement's commit of 256 KiB": lambda e: e.sized(256 * 1024),
    "a statement's commit of 256 KiB and a byte": lambda e: e.sized(256 * 1024 + 1),
} | {f"U+{char:04X} in a {place}": (lambda e, char=char, place=place: e.cosigned(add(f"Two-Key-Reason: a{chr(char)}b\n") if place == "reason" else lambda m: m.replace("Turn", f"Tu{chr(char)}rn")))
     for char in (0x07, 0x09, 0x7F, 0x85, 0xAD, 0x61C, 0x200B, 0x200E, 0x2028, 0x202E, 0x2066, 0x206A, 0xFEFF, 0xFFFE, 0xE0001) for place in ("reason", "subject")}


def tiers(count):
    return f"tiers: [{', '.join('{weight: %d, bake: 1m}' % (at + 1 if at + 1 < count else 100) for at in range(count))}]\n"


def pad(data, size):
    return data + b"#" + b"x" * (size - len(data) - 2) + b"\n"


def main():
    if len(sys.argv) != 3 or sys.argv[1] != "--compare":
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="two-key-edges") as folder:
        edges = Edges(folder + "/repository.git")
        root, made = edges.found(), {}
        for name, case in CASES.items():
            before = edges.tip
            case(edges)
            made |= {name: (before, edges.tip)}
        edges.ledger.repository.close()
        edges.run("update-ref", "refs/heads/main", edges.tip)
        found = compare.differences(sys.argv[2], edges.folder, root)
        for what, ours, other in found:
            print(f"{what}:\n  the program: {ours}\n  the reader: {other}")
        steps = edges.run("rev-list", "--first-parent", "--reverse", edges.tip).split()
        for name, (before, after) in made.items():
            if any(oid in str(found) for oid in steps[steps.index(before) + 1:steps.index(after) + 1]):
                print("  it is about", name)
    print(f"{len(CASES)} edges, {len(found)} disagreements")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
