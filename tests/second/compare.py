#!/usr/bin/env python3
"""Compares what git-two-key says of a clone with what this reader says.

    python3 tests/second/compare.py [--program PATH] CLONE ROOT
    python3 tests/second/compare.py [--program PATH] --below FOLDER     every repository there that has the ledger of a root which one of them pins

Prints the disagreements, as JSON. Exit code 0: none; 1: some.
"""
import json
import os
import subprocess
import sys
from collections import Counter

import verify

FOLDED = {"COSIGNED", "VOTED", "VERIFIED_2KEY", "STARTED", "PAUSED", "RESUMED", "HALTED", "CANARY_PROMOTED", "COMPLETED",
          "ROLLED_BACK", "WITHDRAWN", "POLICY_CHANGED", "KEY_REVOKED", "FROZEN", "THAWED"}


def ask(program, clone, root, *args):
    """Runs the program on a clone's own branch, under a pinned root; exit code and output."""
    # A branch that is its own upstream: the reader reads what is here, and no remote's.
    own = {"two-key.fetch": "false", "branch.main.remote": ".", "branch.main.merge": "refs/heads/main"}
    env = dict(os.environ) | {"TWO_KEY_ROOT": root, "GIT_CONFIG_COUNT": str(len(own))}
    for at, (name, value) in enumerate(own.items()):
        env |= {f"GIT_CONFIG_KEY_{at}": name, f"GIT_CONFIG_VALUE_{at}": value}
    ran = subprocess.run([program, "-C", clone, *args, "--format", "json"], env=env, capture_output=True, text=True)
    return ran.returncode, ran.stdout, ran.stderr


def ours(program, clone, root):
    """What the program says, in the reader's words; None if it cannot decide."""
    code, out, err = ask(program, clone, root, "verify", "--all")
    if code not in (0, 1) or not out.strip() or "findings" not in json.loads(out):
        return {"undecided": (err or out).strip()[-300:], "code": code}
    verdict = json.loads(out)
    listed = json.loads(ask(program, clone, root, "list", "--all")[1])
    lines = [json.loads(line) for line in ask(program, clone, root, "log")[1].splitlines()]
    return {
        "tip": verdict["tip"], "steps": verdict["steps"],
        "policy": verdict["policy"], "frozen": listed["frozen"],
        "leases": {one["lease"]: [one["state"], one["tier"], one["desired"]] for one in listed["leases"]},
        "events": Counter((e["event"], e["commit"], e["lease"], e["step"], tuple(sorted({v["principal"] for v in e["votes"]})))
                          for e in lines if e["event"] in FOLDED and not any(v["carrier"] == "note" for v in e["votes"])),
        "findings": Counter((f["commit"], f["carrier"], f["reason"]) for f in verdict["findings"]),
        "more": verdict["more_findings"],
    }


def second(clone, root):
    """What the reader says, in the same form."""
    said = verify.answer(clone, root)
    if "undecided" in said:
        return said
    step = lambda e: e["step"] if e["step"] and e["event"] not in ("COSIGNED", "VERIFIED_2KEY") else None
    return {
        "tip": said["tip"], "steps": said["steps"], "policy": said["policy"], "frozen": said["frozen"],
        "leases": {one["lease"]: [one["state"], one["tier"], one["desired"]] for one in said["leases"] if one["known"]},
        "events": Counter((e["event"], e["commit"], e["lease"], step(e), tuple(e["by"])) for e in said["events"]),
        "findings": Counter((f["step"], f["carrier"], f["reason"]) for f in said["findings"]),
    }


def differences(program, clone, root):
    """Where the two disagree, each as [what, ours, the reader's]."""
    one, other = ours(program, clone, root), second(clone, root)
    if "undecided" in one or "undecided" in other:
        both = "undecided" in one and "undecided" in other
        return [] if both else [["decided", one.get("undecided", "yes"), other.get("undecided", "yes")]]
    found = [[name, one[name], other[name]] for name in ("tip", "steps", "policy", "frozen") if one[name] != other[name]]
    for name in sorted(one["leases"].keys() | other["leases"].keys()):
        if one["leases"].get(name) != other["leases"].get(name):
            found.append([f"lease {name}", one["leases"].get(name), other["leases"].get(name)])
    # The program lists the first thousand, and says how many more there are.
    if one["more"]:
        counts = [sum(one["findings"].values()) + one["more"], sum(other["findings"].values())]
        if counts[0] != counts[1]:
            found.append(["number of findings", *counts])
        one["findings"] = other["findings"]
    for name in ("events", "findings"):
        more, fewer = one[name] - other[name], other[name] - one[name]
        if more or fewer:
            found.append([name, sorted(map(str, more.elements())), sorted(map(str, fewer.elements()))])
    return found


def pinned(folder):
    """The repositories below a folder that have the ledger of a root which one of them pins, with it; of several that
    stand at one commit, one."""
    places, roots = [], []
    for path, names, files in os.walk(folder):
        bare = "HEAD" in files and "objects" in names and "refs" in names
        if not bare and ".git" not in names + files:
            continue
        if bare or ".git" in files:
            names.clear()
        own = git(path, "config", "--local", "two-key.root")
        at = git(path, "rev-parse", "--verify", "--quiet", "HEAD"), git(path, "rev-parse", "--verify", "--quiet", "refs/heads/main")
        places.append((path, own, (*at, git(path, "rev-parse", "--is-shallow-repository"))))
        roots += [own] if own and own not in roots else []
        names[:] = [name for name in names if name != ".git"]
    found, seen = [], set()
    for path, own, at in places:
        for root in [own] if own else [root for root in roots if any(at[:2]) and git(path, "cat-file", "-t", root) == "commit"]:
            if (root, at) not in seen:
                seen.add((root, at))
                found.append((path, root))
    return found


def git(path, *args):
    """What Git says there, without its line feed; nothing where it fails."""
    return subprocess.run(["git", "-C", path, *args], capture_output=True, text=True).stdout.strip()


def main():
    args, program = sys.argv[1:], "git-two-key"
    if args[:1] == ["--program"]:
        program, args = args[1], args[2:]
    if len(args) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    clones = pinned(args[1]) if args[0] == "--below" else [args]
    found = [[clone, *one] for clone, root in clones for one in differences(program, clone, root)]
    print(json.dumps(found, indent=1))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
