"""Carriers: commits that carry statements. A commit is ordinary, or it is malformed, or it carries votes whose
signatures were verified over exactly the statement's bytes. Nothing here knows a policy.
"""
import re

from keys import armoured, deceives, is_text, listed_key, minisign, ssh_key, sshsig, unbase64
from objects import Bad

LIMIT, SEALED_LIMIT, REASON_LIMIT = 256 * 1024, 64, 1024
PREFIX = "Two-Key-"
FIELDS = {
    "cosign": ("Lease", "Digest"),
    "start": ("Lease", "Digest", "Step", "Tier"), "promote": ("Lease", "Digest", "Step", "Tier"),
    "resume": ("Lease", "Digest", "Step"), "complete": ("Lease", "Digest", "Step"),
    "pause": ("Lease", "Nonce"), "halt": ("Lease", "Nonce"),
    "rollback": ("Lease", "Nonce"), "withdraw": ("Lease", "Nonce"),
    "policy": ("Digest",), "revoke": ("Key",), "freeze": ("Nonce",), "thaw": ("Step",),
}
STOPS = ("pause", "halt", "rollback", "withdraw")
FORMS = {
    "Repository": r"[0-9a-f]{32}", "Lease": r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "Digest": r"sha256:[0-9a-f]{64}",
    "Step": r"[1-9][0-9]{0,9}", "Tier": r"[1-9][0-9]?|100", "Nonce": r"[0-9a-f]{32}",
    "Key": r"SHA256:[A-Za-z0-9+/]{43}|minisign:[0-9A-F]{16}",
}
SPEAKS = re.compile(rb"(?:^|[\n\r\0])Two-Key-Statement:")
PERSON = re.compile(rb"[^<>\n\0]*<[^<>\n\0]*> ([0-9]+) [-+][0-9]{4}")


class Statement:
    """What is signed: an action and its fields. Its text is made anew from them and is the identity of a ballot."""

    def __init__(self, action, fields):
        self.action, self.fields = action, fields
        self.lease, self.digest, self.key = fields.get("Lease"), fields.get("Digest"), fields.get("Key")
        self.step = int(fields["Step"]) if "Step" in fields else None
        self.tier = int(fields["Tier"]) if "Tier" in fields else None
        self.repository = fields["Repository"]
        lines = ["Statement: 1", f"Repository: {self.repository}", f"Action: {action}"]
        lines += [f"{name}: {fields[name]}" for name in FIELDS[action]]
        self.text = "".join(f"{PREFIX}{line}\n" for line in lines)


class Vote:
    """One key turned for one statement."""

    def __init__(self, statement, signature, deliberate, principal, carrier):
        self.statement, self.signature, self.deliberate = statement, signature, deliberate
        self.principal, self.carrier = principal, carrier


class Opened:
    """A carrier: its sealed signatures, each with the point of the key that it names (None if it names none) and with the
    vote that it is, or why it is none; and the commit's own vote."""

    def __init__(self, action=None, lease=None):
        self.sealed, self.own, self.action, self.lease = [], [], action, lease

    def votes(self, standing):
        """The votes, and what is wrong with the signatures that are none, where `standing` says why a key cannot count, or None.
        Of those that can the sealed signatures are looked at up to the first that does not verify, of the others none is."""
        votes, faults, bad = [], [], False
        for point, vote in self.sealed:
            why = None if point is None else standing(point)
            could = point is not None and why is None
            if why is not None:
                faults.append(Bad(why, "the key is not in force"))
            elif could and bad:
                faults.append(Bad("bad-signature", "one before it does not verify"))
            elif isinstance(vote, Bad):
                faults.append(vote)
                bad = bad or could
            else:
                votes.append(vote)
        for vote in self.own:
            key = vote.key if isinstance(vote, Bad) else vote.signature.key
            why = key and standing(key.point)
            if why is not None:
                faults.append(Bad(why, "the key is not in force"))
            else:
                (faults if isinstance(vote, Bad) else votes).append(vote)
        return votes, faults


def speaks(message):
    """Whether a message says that it carries a statement, whoever splits it into lines, and however."""
    return SPEAKS.search(message) is not None


def open_commit(repository, commit):
    """Opens a commit: None if it is ordinary; raises Bad if it is malformed."""
    head, gap, message = commit.raw.partition(b"\n\n")
    if not gap or not speaks(message):
        return None
    if len(commit.raw) > LIMIT:
        raise Bad("too-large", f"{len(commit.raw)} bytes")
    signature, payload = headers(repository, commit, head, message)
    statement, remarks, sealed = run(text(message))
    principal = remarks.get("Principal")
    if principal is not None and signature is None:
        raise Bad("malformed", "a principal, and no signature")
    if signature is None and not sealed:
        raise Bad("unsigned", "nobody signed it")
    named = [names(line, statement) for line in sealed]
    own = None if signature is None else own_vote(signature, payload, statement, principal, commit.oid)
    by = own.key if isinstance(own, Bad) else own and own.signature.key
    whose = [(action, key.public) for action, key in [*named, (statement.action, by)] if key is not None]
    if len(set(whose)) < len(whose):
        raise Bad("malformed", "two signatures of one key for one action")
    opened = Opened(statement.action, statement.lease)
    for line, (_, key) in zip(sealed, named):
        try:
            vote = unseal(line, statement, commit.oid)
        except Bad as bad:
            vote = bad
        opened.sealed.append((key and key.point, vote))
    opened.own = [own] if own else []
    return opened


def own_vote(signature, payload, statement, principal, carrier):
    """The vote that a commit's own signature is, or why it is none."""
    try:
        if not signature.startswith(b"-----BEGIN SSH SIGNATURE-----") or not is_text(signature):
            raise Bad("bad-signature", "no SSH signature")
        made = armoured(signature, b"git", payload)
    except Bad as bad:
        return bad
    if principal is None:
        return Bad("wrong-principal", "a signature, and no principal", made.key)
    return Vote(statement, made, False, principal, carrier)


def signature_header(repository, head):
    """A commit's headers without its signature, and the signature's armour: None if there is none, or more than one."""
    name = (b"gpgsig" if repository.format == "sha1" else b"gpgsig-sha256") + b" "
    kept, found = [], []
    for line in head.split(b"\n"):
        if line.startswith(name):
            found.append([line[len(name):]])
            block = found[-1]
        elif line.startswith(b" ") and found and block is found[-1]:
            block.append(line[1:])
        else:
            kept.append(line)
            block = None
    return kept, b"\n".join(found[0]) if len(found) == 1 else None, len(found)


def signer(repository, commit):
    """The point that signed an ordinary commit, whatever else it holds; None if nobody did."""
    head, _, message = commit.raw.partition(b"\n\n")
    kept, signature, _ = signature_header(repository, head)
    if signature is None:
        return None
    try:
        return armoured(signature, b"git", b"\n".join(kept) + b"\n\n" + message).point
    except Bad:
        return None


def headers(repository, commit, head, message):
    """The signature's armour (or None) and what it is over; everything but the few headers that there may be is
    malformed."""
    kept, signature, count = signature_header(repository, head)
    if len(commit.parents) != 1:
        raise Bad("malformed", f"{len(commit.parents)} parents")
    wanted = [b"tree " + commit.tree.encode(), b"parent " + commit.parents[0].encode()]
    if len(kept) != 4 or kept[:2] != wanted or not kept[2].startswith(b"author ") or not kept[3].startswith(b"committer "):
        raise Bad("malformed", "headers that a carrier does not have")
    last = head.rsplit(b"\ngpgsig", 1)[0].count(b"\n")
    if count > 1 or (count == 1 and last != 3):
        raise Bad("malformed", "signatures in another place")
    author, committer = kept[2][7:], kept[3][10:]
    person = PERSON.fullmatch(author)
    if author != committer or not person or int(person[1]) >= 2**63:
        raise Bad("malformed", "author and committer differ, or are none")
    if repository.commit(commit.parents[0]).tree != commit.tree:
        raise Bad("malformed", "it changes files")
    return signature, b"\n".join(kept) + b"\n\n" + message


def text(message):
    """A message's text, without NUL; what is not UTF-8 stays as it is."""
    if b"\0" in message or len(SPEAKS.findall(message)) != 1:
        raise Bad("malformed", "a NUL, or two statements")
    return message.decode("utf-8", "surrogateescape")


def speaks_line(line):
    return line.startswith(PREFIX + "Statement:")


def run(message):
    """The statement, the remarks and the sealed signatures of a message."""
    lines = message.rstrip("\n").split("\n")
    begin = max((at + 1 for at, line in enumerate(lines) if not line), default=0)
    ours = [at for at, line in enumerate(lines) if at >= begin and line.startswith(PREFIX)]
    if not ours or ours != list(range(ours[0], ours[-1] + 1)) or sum(map(speaks_line, lines)) != 1:
        raise Bad("malformed", "the fields are not one run in the last paragraph")
    found, after = [], lines[ours[-1] + 1:ours[-1] + 2]
    if after and after[0].startswith((" ", "\t")):
        raise Bad("malformed", "the last field is continued")
    for line in lines[ours[0]:ours[-1] + 1]:
        if deceives(line) or re.search("[\udc80-\udcff]", line):
            raise Bad("malformed", "not UTF-8, or a control or bidirectional character")
        name, colon, value = line[len(PREFIX):].partition(": ")
        if not colon or not value:
            raise Bad("malformed", f"the line `{line[:60]}`")
        found.append((name, value))
    if found[:1] != [("Statement", "1")] or [name for name, _ in found[:3]] != ["Statement", "Repository", "Action"]:
        raise Bad("malformed", "a statement begins with its level, repository and action")
    action = found[2][1]
    if action not in FIELDS:
        raise Bad("malformed", f"action `{action}`")
    end = 3 + len(FIELDS[action])
    if tuple(name for name, _ in found[3:end]) != FIELDS[action]:
        raise Bad("malformed", f"{action} has other fields")
    fields = dict(found[1:end])
    for name, form in FORMS.items():
        if name in fields and not re.fullmatch(form, fields[name]):
            raise Bad("malformed", f"{name} is `{fields[name]}`")
    for name in ("Step",):
        if name in fields and int(fields[name]) >= 2**32:
            raise Bad("malformed", f"{name} is `{fields[name]}`")
    remarks, sealed = {}, []
    for name, value in found[end:]:
        if name == "Cosignature":
            if len(sealed) == SEALED_LIMIT:
                raise Bad("too-large", f"more than {SEALED_LIMIT} sealed signatures")
            words = value.split(" ")
            if len(words) != 5 or not re.fullmatch(FORMS["Lease"], words[0]) or words[1] not in FIELDS or words[2] not in ("ssh", "minisign"):
                raise Bad("malformed", "no sealed signature")
            sealed.append(words)
        elif name in remarks or name not in ("Principal", "Reason", "Evidence"):
            raise Bad("malformed", f"the remark {name}")
        else:
            remarks[name] = value
    if not re.fullmatch(FORMS["Lease"], remarks.get("Principal", "x")):
        raise Bad("malformed", "no principal")
    if not remarks.get("Reason", "x").strip() or len(remarks.get("Reason", "").encode()) > REASON_LIMIT:
        raise Bad("malformed", "no reason")
    if not re.fullmatch(FORMS["Digest"], remarks.get("Evidence", "sha256:" + "0" * 64)):
        raise Bad("malformed", "no digest")
    return Statement(action, fields), remarks, sealed


def fits(action, statement):
    """Whether a commit with a statement may seal a signature for an action: its own, or to cosign."""
    return action in (statement.action, "cosign") and all(name in statement.fields for name in FIELDS[action])


def names(words, statement):
    """The action and the key that a sealed signature names; no key if it names none."""
    if not fits(words[1], statement):
        return None, None
    try:
        return words[1], listed_key("minisign " + words[3]) if words[2] == "minisign" else ssh_key(unbase64(words[3]))
    except Bad:
        return None, None


def unseal(words, statement, carrier):
    """Verifies a sealed signature: `principal action ssh|minisign key base64`."""
    principal, action, how, key, data = words
    if not fits(action, statement):
        raise Bad("malformed", f"a {statement.action} seals no {action}")
    own = Statement(action, {name: statement.fields[name] for name in ("Repository", *FIELDS[action])})
    if how == "ssh":
        ssh_key(unbase64(key))
        made = sshsig(unbase64(data), b"two-key", own.text.encode())
        if made.key.blob != unbase64(key):
            raise Bad("bad-signature", "made by another key than the one named")
    else:
        made = minisign(unbase64(data), listed_key("minisign " + key), own.text.encode())
    return Vote(own, made, True, principal, carrier)
