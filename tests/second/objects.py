"""Objects: reads a clone's commits, trees and blobs by plain Git, and hashes each one again.

`git cat-file --batch` hands over bytes; nothing else that Git says is believed but where refs stand.
"""
import hashlib
import os
import re
import subprocess


class Undecided(Exception):
    """Bytes are missing or are not what their name says: no verdict at all."""


class Bad(Exception):
    """Bytes that Git has and that cannot be read as what they should be. Of a signature that does not verify: by which key it
    says that it is."""

    def __init__(self, reason, why, key=None):
        super().__init__(why)
        self.reason, self.why, self.digest, self.key = reason, why, None, key


class Commit:
    """A commit as Git reads it: its tree and parents from the first lines, whatever follows. One that is malformed, or is
    another object, has no parents, and `bad` says why."""

    def __init__(self, oid, kind, raw, width):
        self.oid, self.raw, self.tree, self.parents, self.bad = oid, raw, None, [], None
        line = lambda word, at: re.compile(rb"%s ([0-9a-fA-F]{%d})\n" % (word, width)).match(raw, at)
        found = line(b"tree", 0)
        if kind != "commit" or not found or found.end() == len(raw):
            self.bad = Bad("malformed", f"{oid} is a {kind} that does not begin with a tree")
            return
        tree, parents, at = found.group(1).decode().lower(), [], found.end()
        while len(raw) - at > len("parent ") + width and raw.startswith(b"parent ", at):
            found = line(b"parent", at)
            if not found or found.end() == len(raw) or found.group(1).decode().lower() == tree:
                self.bad = Bad("malformed", f"commit {oid} has a parent that cannot be read")
                return
            parents.append(found.group(1).decode().lower())
            at = found.end()
        self.tree, self.parents = tree, parents


class Repository:
    """One clone. Replacements, grafts and lazy fetching are switched off."""

    def __init__(self, path):
        self.path = path
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        self.env |= {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_NO_LAZY_FETCH": "1", "GIT_CONFIG_NOSYSTEM": "1",
                     "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_GRAFT_FILE": os.devnull, "LC_ALL": "C"}
        config = self.env
        config["GIT_CONFIG_COUNT"] = "1"
        config["GIT_CONFIG_KEY_0"], config["GIT_CONFIG_VALUE_0"] = "safe.directory", "*"
        self.format = self.git("rev-parse", "--show-object-format").strip()
        if self.format not in ("sha1", "sha256"):
            raise Undecided(f"object format {self.format}")
        self.width = 40 if self.format == "sha1" else 64
        if self.git("rev-parse", "--is-shallow-repository").strip() != "false":
            raise Undecided("the clone is shallow")
        if self.configured("^(remote\\..*\\.promisor|extensions\\.partialclone)$"):
            raise Undecided("the clone is partial")
        self.batch = subprocess.Popen(["git", "-C", path, "cat-file", "--batch"], env=self.env,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.commits, self.trees, self.blobs = {}, {}, {}

    def close(self):
        self.batch.stdin.close()
        self.batch.stdout.close()
        self.batch.wait()

    def git(self, *args):
        """Runs Git; Undecided where it fails."""
        ran = subprocess.run(["git", "-C", self.path, *args], env=self.env, capture_output=True)
        if ran.returncode != 0:
            raise Undecided(f"git {' '.join(args)}: {ran.stderr.decode(errors='replace').strip()}")
        return ran.stdout.decode(errors="surrogateescape")

    def configured(self, names):
        """Whether the clone's configuration has one of some names."""
        ran = subprocess.run(["git", "-C", self.path, "config", "--get-regexp", names], env=self.env, capture_output=True)
        return ran.returncode == 0

    def ref(self, name):
        """The commit that a ref stands at, or None."""
        ran = subprocess.run(["git", "-C", self.path, "rev-parse", "--verify", "--quiet", name + "^{commit}"],
                             env=self.env, capture_output=True)
        return ran.stdout.decode().strip() or None

    def refs(self, prefix):
        """The refs below a prefix: name to object id."""
        lines = self.git("for-each-ref", "--format=%(objectname) %(refname)", prefix).splitlines()
        return {line.split(" ", 1)[1]: line.split(" ", 1)[0] for line in lines}

    def object(self, oid):
        """The kind and bytes of an object, hashed again."""
        self.batch.stdin.write(oid.encode() + b"\n")
        self.batch.stdin.flush()
        words = self.batch.stdout.readline().decode().split()
        if len(words) != 3:
            raise Undecided(f"object {oid} cannot be read: {' '.join(words)}")
        kind, size = words[1], int(words[2])
        data = self.batch.stdout.read(size)
        self.batch.stdout.read(1)
        name = hashlib.new(self.format, f"{kind} {size}\0".encode() + data).hexdigest()
        if len(data) != size or name != oid:
            raise Undecided(f"object {oid} has other bytes than its name says")
        return kind, data

    def commit(self, oid):
        if oid not in self.commits:
            kind, data = self.object(oid)
            self.commits[oid] = Commit(oid, kind, data, self.width)
        return self.commits[oid]

    def tree(self, oid):
        """A tree's entries: name (bytes) to (mode, id)."""
        if oid not in self.trees:
            kind, data = self.object(oid)
            if kind != "tree" or len(data) > 64 << 20:
                raise Bad("malformed", f"{oid} is a {kind} of {len(data)} bytes, not a tree that is read")
            entries, at, raw, before = {}, 0, self.width // 2, b""
            while at < len(data):
                space, nul = data.find(b" ", at), data.find(b"\0", at)
                mode, name, end = data[at:space], data[space + 1:nul], nul + 1 + raw
                if space < 0 or nul < space or end > len(data) or not re.fullmatch(rb"[0-7]+", mode) or not name or b"/" in name:
                    raise Bad("malformed", f"tree {oid} cannot be read")
                number = int(mode, 8) & 0xFFFF
                order = name + b"/" if number & 0o170000 == 0o040000 else name
                if order < before:
                    raise Bad("malformed", f"tree {oid} is out of order")
                # A name that is there twice is never opened.
                entries[name] = (0 if name in entries else number, data[nul + 1:end].hex())
                before = order
                at = end
            self.trees[oid] = entries
        return self.trees[oid]

    def blob(self, oid, limit):
        """A file's bytes, or Bad if it is no file or larger than a limit."""
        if oid not in self.blobs:
            kind, data = self.object(oid)
            if kind != "blob":
                raise Bad("malformed", f"{oid} is a {kind}, not a file")
            self.blobs[oid] = data
        if len(self.blobs[oid]) > limit:
            raise Bad("too-large", f"{len(self.blobs[oid])} bytes")
        return self.blobs[oid]


def first_parents(repository, root, tip):
    """The governed branch from root to tip, each commit the first parent of the next."""
    chain, oid = [], tip
    if tip is None:
        raise Undecided("there is no such branch here")
    while True:
        chain.append(oid)
        if oid == root:
            return chain[::-1]
        parents = repository.commit(oid).parents
        if not parents:
            raise Undecided(f"{tip} does not come from the root by first parents")
        oid = parents[0]


def brought_in(repository, tip, seen):
    """The commits that a first-parent commit brings in: parents before children, parents in the order of their
    lines, each once, itself last. `seen` holds what was there before and grows."""
    order, stack = [], [(tip, None)]
    while stack:
        oid, rest = stack.pop()
        if rest is None:
            if oid in seen:
                continue
            seen.add(oid)
            rest = iter(repository.commit(oid).parents)
        for parent in rest:
            if parent not in seen:
                stack.append((oid, rest))
                stack.append((parent, None))
                break
        else:
            order.append(oid)
    return order
