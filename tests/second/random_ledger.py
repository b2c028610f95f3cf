#!/usr/bin/env python3
"""Makes a random governance repository: honest moves, odd ones and hostile ones, by keys of every type.

    python3 tests/second/random_ledger.py SEED FOLDER                      prints the root
    python3 tests/second/random_ledger.py --compare PROGRAM FIRST COUNT    makes so many, from a first seed on, and
                                                                           prints where the two readers disagree

What is likely to count next is looked up in the reader's own fold, so that rollouts get somewhere; one move in three is
bent afterwards.
"""
import base64
import hashlib
import os
import random
import struct
import subprocess
import sys
import tempfile
import zlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import carriers
import compare
from fold import Ledger
from keys import EC, ED, L25519, ORDER256, SK_EC, SK_ED, WEBAUTHN
from objects import Repository

REPOSITORY = "6f1c0e2b9a4d4f70a1b2c3d4e5f60718"


def strings(*parts):
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


class Signer:
    """A key with its secret."""

    def __init__(self, name, kind, seed=None):
        self.name, self.kind = name, kind
        secret = hashlib.sha256((seed or name).encode()).digest()
        if kind in (EC, SK_EC):
            self.secret = ec.derive_private_key(int.from_bytes(secret, "big") % ORDER256, ec.SECP256R1())
            numbers = self.secret.public_key().public_numbers()
            self.point = b"\4" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
        else:
            self.secret = ed25519.Ed25519PrivateKey.from_private_bytes(secret)
            self.point = self.secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.host = b"ssh:" if kind == SK_ED else b"keys.example"
        self.id = hashlib.sha256(self.point).digest()[:8]
        self.blob = {ED: lambda: strings(ED.encode(), self.point), SK_ED: lambda: strings(SK_ED.encode(), self.point, self.host),
                     EC: lambda: strings(EC.encode(), b"nistp256", self.point),
                     SK_EC: lambda: strings(SK_EC.encode(), b"nistp256", self.point, self.host), "minisign": lambda: b""}[kind]()

    def listed(self):
        data = b"Ed" + self.id + self.point if self.kind == "minisign" else self.blob
        return f"{self.kind} {base64.b64encode(data).decode()}"

    def fingerprint(self):
        if self.kind == "minisign":
            return "minisign:" + self.id[::-1].hex().upper()
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def raw(self, data):
        if self.kind in (EC, SK_EC):
            number = lambda n: n.to_bytes(n.bit_length() // 8 + 1, "big")
            return strings(*map(number, decode_dss_signature(self.secret.sign(data, ec.ECDSA(hashes.SHA256())))))
        return self.secret.sign(data)

    def sshsig(self, namespace, message, rng):
        name = rng.choice(["sha256", "sha512"])
        signed = b"SSHSIG" + strings(namespace, b"", name.encode(), hashlib.new(name, message).digest())
        kind, tail = self.kind, b""
        if kind in (SK_ED, SK_EC):
            flags = bytes([rng.choice([0, 1, 1, 1, 5])])
            counter, digest = struct.pack(">I", 7), hashlib.sha256(signed).digest()
            tail = flags + counter
            if kind == SK_EC and rng.random() < 0.5:
                kind, odd = WEBAUTHN, rng.random() < 0.2
                origin = rng.choice([b"", b'a"b', b"a\\b", b"a b", "ä".encode(), b"~"]) if odd else b"https://keys.example"
                end = rng.choice([b"", b"}", b"}}", b"x}", b',"a":1', b',"crossOrigin":true}']) if odd else b',"crossOrigin":false}'
                challenge = base64.urlsafe_b64encode(signed).rstrip(b"=")
                client = b'{"type":"webauthn.get","challenge":"' + challenge + b'","origin":"' + origin + b'"' + end
                digest, tail = hashlib.sha256(client).digest(), tail + strings(origin, client, b"")
            signed = hashlib.sha256(self.host).digest() + flags + counter + digest
        made = self.raw(signed)
        if self.kind in (EC, SK_EC) and rng.random() < 0.05:
            made = rng.choice([strings(b"\0" + made[4:]), strings(b"", b"\1"), strings(b"\0" + b"\xff" * 32, b"\1"), strings(b"\1" * 33, b"\1"), made + b"x"])
        inner = strings(kind.encode(), made) + tail
        return b"SSHSIG" + struct.pack(">I", 1) + strings(self.blob, namespace, b"", name.encode(), inner)

    def sealed(self, statement, rng):
        """The end of a sealed signature's line."""
        if self.kind != "minisign":
            return f"ssh {base64.b64encode(self.blob).decode()} {base64.b64encode(self.sshsig(b'two-key', statement, rng)).decode()}"
        made = self.raw(hashlib.blake2b(statement).digest())
        whole = self.raw(made + b"two-key")
        text = b"untrusted comment: x\n%s\ntrusted comment: two-key\n%s\n" % (base64.b64encode(b"ED" + self.id + made), base64.b64encode(whole))
        return f"minisign {self.listed().split()[1]} {base64.b64encode(text).decode()}"


class Maker:
    """Writes the repository."""

    def __init__(self, seed, folder):
        self.rng, self.folder = random.Random(seed), folder
        self.format = self.rng.choice(["sha1", "sha1", "sha1", "sha256"])
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", f"--object-format={self.format}", folder], check=True, env=self.env)
        kinds = {"user1": [ED], "user2": [self.rng.choice([ED, EC])], "user3": [SK_ED, SK_EC], "cp14": [ED], "cp18": [self.rng.choice([ED, EC, "minisign"])],
                 "edge1": [ED], "mallory": [ED]}
        self.keys = {name: [Signer(name, kind, f"{name}{at}") for at, kind in enumerate(one)] for name, one in kinds.items()}
        for name in ("user1", "cp14"):
            self.keys[name].append(Signer(name, self.rng.choice([ED, SK_ED, "minisign", EC]), name + "more"))
        self.roles = {name: "human" if name.startswith("user") else "applier" if name == "edge1" else "agent" for name in kinds}
        self.files, self.leases, self.made, self.time = {}, {}, [], 1_761_531_600
        self.trees = {}
        self.policies = {}

    # -- objects

    def put(self, kind, data):
        whole = f"{kind} {len(data)}\0".encode() + data
        name = hashlib.new(self.format, whole).hexdigest()
        folder = f"{self.folder}/objects/{name[:2]}"
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/{name[2:]}", "wb") as file:
            file.write(zlib.compress(whole, 1))
        return name

    def tree(self, files):
        names = {}
        for path, data in files.items():
            first, _, rest = path.partition("/")
            names.setdefault(first, {})[rest] = data
        found = []
        for name, inside in names.items():
            if "" in inside:
                mode, data = inside[""] if isinstance(inside[""], tuple) else (b"100644", inside[""])
                found.append((name, mode, self.put("blob", data) if mode != b"160000" else "1" * len(self.put("blob", b""))))
            else:
                found.append((name, b"40000", self.tree(inside)))
        found.sort(key=lambda one: one[0] + ("/" if one[1] == b"40000" else ""))
        return self.put("tree", b"".join(mode + b" " + name.encode("utf-8", "surrogateescape") + b"\0" + bytes.fromhex(oid) for name, mode, oid in found))

    def person(self):
        self.time += 60
        return f"A Name <name@example.org> {self.time} +0000".encode()

    def commit(self, tree, parents, message, signer=None, lies=False):
        who = self.person()
        head = b"tree " + tree.encode() + b"\n" + b"".join(b"parent " + p.encode() + b"\n" for p in parents) + b"author " + who + b"\ncommitter " + who + b"\n"
        data = head + b"\n" + message
        if signer is not None:
            text = base64.b64encode(signer.sshsig(b"git", data + b"?" * lies, self.rng)).decode()
            lines = ["-----BEGIN SSH SIGNATURE-----", *(text[at:at + 70] for at in range(0, len(text), 70)), "-----END SSH SIGNATURE-----"]
            name = b"gpgsig" if self.format == "sha1" else b"gpgsig-sha256"
            data = head + name + b" " + "\n ".join(lines).encode() + b"\n\n" + message
        oid = self.put("commit", data)
        self.trees[oid] = tree
        return oid

    def ordinary(self, *others):
        """The next first-parent commit, of the files as they are now."""
        self.advance(self.commit(self.tree(self.files), [self.tip, *others], b"Write\n"))

    def advance(self, oid):
        self.tip = oid
        self.ledger.advance(oid)

    # -- files

    def policy(self, base=None, **change):
        """A policy's text; now and then a strange one."""
        rng = self.rng
        version, previous = (1, "null") if base is None else (base.version + 1, base.digest)
        version, previous = change.get("version", version), change.get("previous", previous)
        if base is None:
            self.listing = {name: self.keys[name][:1] if name != "user3" else self.keys[name] for name in self.keys if name not in ("mallory",)}
            self.rules = ["{human: 1, agent: 1}"] * 3
            self.limits = [10, 0]
            self.own = ""
        else:
            roll = rng.random()
            if roll < 0.25:
                name = rng.choice([n for n in self.keys])
                self.listing[name] = [rng.choice(self.keys[name])]
            elif roll < 0.4 and len(self.listing) > 5:
                self.listing.pop(rng.choice([n for n in self.listing if n not in ("edge1", "user1", "cp14")]), None)
            elif roll < 0.7:
                self.rules[rng.randrange(3)] = rng.choice(["{human: 1, agent: 1}", "{human: 1, agent: 1, hardware: true}", "{human: 1, agent: 1, hardware: verified}", "{human: 1, agent: 1, deliberate: true}", "{human: 2, agent: 1}",
                                                            "{human: 1, agent: 1, agents: [cp14]}", "{human: 1, agent: 2}", "{human: 1, agent: 1, separate-proposer: true}", "{human: 2, agent: 0}",
                                                            "{human: 1, agent: 1, from: {sre: 1}}", "{human: 2, agent: 1, from: {leads: 1, sre: 1}}", "{human: 1, agent: 1, humans: [user1, user2]}"])
            elif roll < 0.85:
                self.own = rng.choice(["", ", rules: {cosign: {human: 2, agent: 1, from: {leads: 1, sre: 1}}, promote: {human: 1, agent: 1, from: {sre: 1}}}",
                                       ", rules: {promote: {human: 2, agent: 1}}, all-at-once: true", ", all-at-once: true", ", rules: {cosign: {human: 1, agent: 2}}, thresholds: {memory: {halt: '> 95'}}"])
            else:
                self.limits = [rng.choice([0, 5, 10, 50]), rng.choice([0, 25, 50, 99])]
        people = "".join(f"  {name}: {{role: {self.roles[name]}, keys: [{', '.join(chr(34) + key.listed() + chr(34) for key in keys)}]}}\n" for name, keys in sorted(self.listing.items()))
        text = f"two-key: 1\nrepository: {REPOSITORY}\nversion: {version}\nprevious: {previous}\nprincipals:\n{people}"
        groups = [(name, [one for one in members if one in self.listing]) for name, members in (("leads", ["user1", "user2"]), ("sre", ["user2", "user3"]))]
        text += "groups:\n" + "".join(f"  {name}: [{', '.join(members)}]\n" for name, members in groups) + "rules:\n"
        text += "".join(f"  {name}: {rule}\n" for name, rule in zip(("cosign", "promote", "policy"), self.rules))
        text += f"start-up-to: {self.limits[0]}\ndelegable-up-to: {self.limits[1]}\ntargets:\n  shop: {{driver: file, applier: edge1{self.own}}}\n"
        if rng.random() < 0.8:
            text += "  mail: {driver: file}\n"
        if rng.random() < 0.2 and base is not None:
            text += "risk:\n  model: two-key-2\n  bands: [{from: 50, first-tier: 5, humans: 1}, {from: 80, bake: 30m}]\n  factors: {migration: {humans: 1}}\n"
        return text.encode()

    def lease(self, name):
        rng = self.rng
        tiers = rng.choice([None, [5, 25, 100], [10, 100], [25, 50, 100], [1, 100], [100]])
        text = f"two-key: 1\nlease: {name}\nrepository: {REPOSITORY if rng.random() < 0.95 else '0' * 32}\nartifacts: [{{name: a, digest: \"sha256:{'1' * 64}\"}}]\n"
        text += f"target: {rng.choice(['shop', 'shop', 'shop', 'mail', 'none'])}\nissued: 2025-10-27T02:19:13Z\nexpires: 2035-10-28T02:19:13Z\n"
        if tiers:
            text += f"tiers: [{', '.join('{weight: %d, bake: %s}' % (w, rng.choice(['15m', '1h'])) for w in tiers)}]\n"
        if rng.random() < 0.1:
            text += "exception: true\n"
        if rng.random() < 0.3:
            text += f"after: [{{target: {rng.choice(['shop', 'mail', 'mail', 'none'])}, state: completed{rng.choice(['', ', artifacts: same'])}}}]\n"
        if rng.random() < 0.3:
            text += f"agent-alone-up-to: {rng.choice([5, 25, 50, 99])}\n"
        if rng.random() < 0.5:
            text += f"actor: {rng.choice(['user1', 'cp14', 'user2', 'nobody'])}\n"
        if rng.random() < 0.4:
            text += f"risk: {{score: {rng.choice([10, 60, 90])}, model: {rng.choice(['two-key-2', 'two-key-2', 'other'])}, factors: [{rng.choice(['migration', 'lockfile'])}]}}\n"
        if rng.random() < 0.04:
            text += rng.choice(["summary: ~\n", "surprise: 1\n", "labels: {a: &x b}\n", "summary: [\n"])
        return text.encode()

    # -- statements

    def plausible(self):
        """Fields of a statement that could be next."""
        rng, ledger = self.rng, self.ledger
        choices = []
        for record in ledger.leases.values():
            lease = record.lease()
            if lease is None:
                continue
            about = {"Lease": record.id, "Digest": lease.digest, "Step": str(record.step + 1)}
            weight = 3 if record.state in ("proposed", "authorized", "rolling", "paused") else 1
            if record.state == "proposed":
                choices += [("cosign", about)] * weight
            if record.state == "proposed" and (self.ledger.steps == 1 or self.ledger.authorized(record)):
                choices += [("start", about | {"Tier": str(lease.tiers[0])})] * weight
            if record.state == "rolling" and record.tier + 1 < len(lease.tiers):
                choices += [("promote", about | {"Tier": str(lease.tiers[record.tier + 1])})] * weight
            elif record.state == "rolling":
                choices += [("complete", about)]
            if record.state in ("paused", "halted"):
                choices += [("resume", about)] * weight
        if ledger.proposed_policy and rng.random() < 0.5:
            try:
                found = carriers_digest(self.files[".two-key/policy.yaml"])
                if found != ledger.policy.digest:
                    choices += [("policy", {"Digest": found})] * 3
            except (KeyError, TypeError):
                pass
        if ledger.frozen:
            choices += [("thaw", {"Step": str(ledger.freezes)})] * 4
        action, fields = rng.choice(choices) if choices and rng.random() < 0.85 else self.stop()
        return action, {name: fields[name] for name in carriers.FIELDS[action]}

    def stop(self):
        rng = self.rng
        nonce = "%032x" % rng.randrange(40)
        roll = rng.random()
        if roll < 0.08:
            return "freeze", {"Nonce": nonce}
        if roll < 0.14:
            key = rng.choice([key for keys in self.keys.values() for key in keys])
            return "revoke", {"Key": key.fingerprint()}
        names = list(self.ledger.leases) or ["L0"]
        lease = rng.choice(names) if rng.random() < 0.95 else "NOWHERE"
        return rng.choice(["pause", "pause", "halt", "rollback", "withdraw"]), {"Lease": lease, "Nonce": nonce}

    def bend(self, action, fields):
        """A statement made wrong, or merely odd."""
        rng, fields = self.rng, dict(fields)
        name = rng.choice(list(fields))
        if name == "Step":
            fields[name] = str(max(1, int(fields[name]) + rng.choice([-1, 1, 1, 5])))
        elif name == "Tier":
            fields[name] = str(rng.choice([5, 10, 25, 50, 100]))
        elif name == "Digest":
            fields[name] = "sha256:" + "ab" * 32
        elif name == "Lease":
            fields[name] = rng.choice(list(self.ledger.leases) + ["L99"])
        elif rng.random() < 0.5:
            action = rng.choice([one for one, its in carriers.FIELDS.items() if its == carriers.FIELDS[action]])
        return action, fields

    def text(self, action, fields):
        repository = REPOSITORY if self.rng.random() < 0.985 else "1" * 32
        return carriers.Statement(action, {"Repository": repository, **fields}).text

    def signer(self):
        name = self.rng.choice(["user1", "user1", "user2", "user3", "cp14", "cp14", "cp18", "cp18", "edge1", "mallory"])
        if self.rng.random() < 0.85:
            listed = self.ledger.policy.listed
            name = self.rng.choice([one for one in listed if one != "edge1" or self.rng.random() < 0.2])
            keys = [key for key in self.keys.get(name, []) if key.point in {k.public[1] for k in listed[name]}]
            if keys:
                return self.rng.choice(keys)
        return self.rng.choice(self.keys[name])

    def carrier(self, parent, action=None, fields=None):
        """A commit with one statement: signed, or with sealed signatures, or both; now and then spoiled."""
        rng = self.rng
        if action is None:
            action, fields = self.plausible()
            if rng.random() < 0.2:
                action, fields = self.bend(action, fields)
        text, signer = self.text(action, fields), self.signer()
        message = "Turn a key\n\n" + text
        sealing = signer.kind == "minisign" or rng.random() < 0.25
        signing = signer.kind != "minisign" and rng.random() < 0.9
        if signing:
            message += f"Two-Key-Principal: {signer.name if rng.random() < 0.97 else 'user2'}\n"
        if rng.random() < 0.1:
            message += "Two-Key-Reason: because\n"
        if sealing or not signing:
            for _ in range(rng.choice([1, 1, 2, 3])):
                other = self.signer()
                own = action if rng.random() < 0.8 else "cosign" if "Lease" in fields and "Digest" in fields else action
                if rng.random() < 0.04:
                    own = rng.choice([name for name, named in carriers.FIELDS.items() if all(one in fields for one in named)])
                sealed = carriers.Statement(own, {"Repository": REPOSITORY, **fields} if text.find(REPOSITORY) > 0 else {"Repository": "1" * 32, **fields}).text
                if rng.random() < 0.05:
                    sealed = sealed.replace("Two-Key-Action", "Two-Key-Akzion")
                message += f"Two-Key-Cosignature: {other.name} {own} {other.sealed(sealed.encode(), rng)}\n"
        if rng.random() < 0.05:
            message = self.spoil(message)
        tree = self.trees[parent]
        oid = self.commit(tree, [parent], message.encode(), signer if signing else None, rng.random() < 0.04)
        self.made.append(oid)
        return oid

    def spoil(self, message):
        rng = self.rng
        return rng.choice([
            lambda m: m[:-1], lambda m: m + "\n", lambda m: m + "\nSigned-off-by: a\n", lambda m: m + "Signed-off-by: a\n", lambda m: m.replace("\n\n", "\n\n\n"),
            lambda m: m.replace("Turn a key\n\n", ""), lambda m: m.replace("Turn a key\n\n", "\n"), lambda m: m.replace("Turn a key\n\n", "Turn a key\n"), lambda m: m.replace("Two-Key-Action", "two-key-action"),
            lambda m: m.replace("Two-Key-Statement: 1", "two-key-statement: 1"), lambda m: m.replace("Two-Key-Statement: 1", "Two-Key-Statement: 2"), lambda m: m.replace("Two-Key-Statement: 1", " Two-Key-Statement: 1"),
            lambda m: m.replace("\nTwo-Key-Lease", "\nTwo-Key-Lease "), lambda m: m.replace("Lease: ", "Lease:  "), lambda m: m.replace("\nTwo-Key-A", " \nTwo-Key-A"), lambda m: m + "Two-Key-Reason: twice\nTwo-Key-Reason: twice\n",
            lambda m: m.replace("\n\nTwo", "\n\nText before\nTwo"), lambda m: m.replace("Turn", "Tu\u200brn"), lambda m: m.replace("Turn", "Tu\trn"), lambda m: m.replace("Turn", "Türn"), lambda m: m + "Two-Key-Evidence: sha256:" + "0" * 64 + "\n",
            lambda m: m + "Two-Key-Evidence: none\n", lambda m: m + "Two-Key-Statement: 1\n", lambda m: m + "Two-Key-Reason:\n", lambda m: m + "Two-Key-Reason: \n", lambda m: m.replace("\n", "\r\n"), lambda m: m.replace("Turn a key", "Turn\rTwo-Key-Statement: 1"),
            lambda m: m.replace("Turn a key", "Turn Two-Key-Statement: 1"), lambda m: m + "\n\n\n", lambda m: m.replace("Step: ", "Step: 0"), lambda m: m.replace("Tier: ", "Tier: +"), lambda m: "\n\n" + m, lambda m: m.replace("Turn a key\n", "Turn a key\nTwo-Key-Principal: user1\n"),
            lambda m: m.replace("Turn a key\n", "Turn a key\n\nTwo-Key-Note: x\n"), lambda m: m + "Two-Key-Reason: a  b \n", lambda m: m + "Two-Key-Reason: ä\n", lambda m: m.replace("Digest: sha256:", "Digest: SHA256:"),
        ])(message)

    def strange(self, parent):
        """A commit that is odd as a commit."""
        rng = self.rng
        action, fields = self.plausible()
        signer = self.signer()
        message = ("Turn a key\n\n" + self.text(action, fields) + f"Two-Key-Principal: {signer.name}\n").encode()
        kind = rng.randrange(5)
        if kind == 0:  # another tree
            return self.commit(self.tree(self.files | {"README": b"x%d" % rng.randrange(9)}), [parent], message, signer if signer.kind != "minisign" else None)
        if kind == 1:  # a merge that carries
            other = self.commit(self.trees[parent], [parent], b"Side\n")
            return self.commit(self.trees[parent], [parent, other], message, signer if signer.kind != "minisign" else None)
        if kind == 2:  # an island
            island = self.commit(self.tree(self.files), [], b"Island\n")
            return self.carrier(island, action, fields)
        if kind == 3:  # a signed commit made again by somebody else, or with more headers
            who, other = self.person(), self.person()
            head = f"tree {self.trees[parent]}\nparent {parent}\nauthor ".encode() + who + b"\ncommitter " + rng.choice([who, other]) + b"\n" + rng.choice([b"", b"encoding UTF-8\n", b"x y\n"])
            oid = self.put("commit", head + b"\n" + message)
            self.trees[oid] = self.trees[parent]
            return oid
        raw = self.commit(self.trees[parent], [parent], message, None)
        return raw

    # -- the whole

    def step(self):
        rng = self.rng
        roll = rng.random()
        if roll < 0.12 or not self.leases:
            name = f"L{len(self.leases)}" if rng.random() < 0.75 or not self.leases else rng.choice(list(self.leases))
            self.leases[name] = self.lease(name)
            path = f"leases/{rng.choice(['', '', '2025/'])}{name}.yaml"
            self.files[path] = self.leases[name] if rng.random() < 0.97 else (rng.choice([b"120000", b"160000", b"100755"]), self.leases[name])
            self.ordinary()
        elif roll < 0.15:
            path = rng.choice(list(self.files))
            if path.startswith("leases"):
                del self.files[path]
            self.ordinary()
        elif roll < 0.22:
            base = self.ledger.policy
            self.files[".two-key/policy.yaml"] = self.policy(base, **({} if rng.random() < 0.85 else {"version": base.version + rng.choice([0, 2])}))
            self.ordinary()
        elif roll < 0.62:
            self.advance(self.carrier(self.tip))
        elif roll < 0.66:
            self.advance(self.strange(self.tip))
        elif roll < 0.74 and self.made:
            others = rng.sample(self.made, min(len(self.made), rng.choice([1, 1, 2])))
            self.ordinary(*others)
        else:
            tips = []
            chain = [self.tip, *self.made[-6:], self.ledger.root]
            for _ in range(rng.choice([1, 2, 2, 3])):
                parent = rng.choice(chain[:1] * 5 + chain)
                for _ in range(rng.choice([1, 1, 2, 3])):
                    parent = self.carrier(parent) if rng.random() < 0.95 else self.strange(parent)
                tips.append(parent)
            self.ordinary(*tips)

    def make(self, steps):
        self.files[".two-key/policy.yaml"] = self.policy()
        root = self.commit(self.tree(self.files), [], b"Found\n")
        self.ledger = Ledger(Repository(self.folder), root)
        self.advance(root)
        for _ in range(steps):
            self.step()
        self.ledger.repository.close()
        subprocess.run(["git", "-C", self.folder, "update-ref", "refs/heads/main", self.tip], check=True, env=self.env)
        return root


def carriers_digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def compared(program, first, count):
    """Makes ledgers and compares them; how many disagreed."""
    disagreed, events, findings = 0, 0, 0
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory(prefix="two-key-random") as folder:
            maker = Maker(seed, folder + "/repository.git")
            root = maker.make(maker.rng.choice([20, 40, 80]))
            events, findings = events + len(maker.ledger.events), findings + len(maker.ledger.findings)
            for what, ours, other in compare.differences(program, maker.folder, root):
                disagreed += 1
                print(f"seed {seed}: {what}: the program says {ours}, the reader {other}")
    print(f"{count} ledgers, {events} events, {findings} findings, {disagreed} disagreements")
    return disagreed


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "--compare":
        return 1 if compared(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])) else 0
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    maker = Maker(int(sys.argv[1]), sys.argv[2])
    print(maker.make(maker.rng.choice([20, 40, 80])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
