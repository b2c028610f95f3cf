#!/usr/bin/env python3
"""Says the state of each lease of a governance repository, from a clone and the pinned root: a second reading of
docs/formats.md, which shares no code with git-two-key.

    python3 tests/second/verify.py CLONE ROOT      one report as JSON
    python3 tests/second/verify.py --batch         for each line "CLONE<tab>ROOT" of standard input, a line of JSON

Exit code 0: it is decided, whatever it is; 3: it could not be decided.
"""
import json
import sys

from fold import fold
from objects import Bad, Repository, Undecided


def voter(vote):
    return {"principal": vote.principal, "role": vote.role, "key": vote.signature.fingerprint, "commit": vote.carrier}


def lease(ledger, record):
    found = record.lease()
    state = "authorized" if record.state == "proposed" and ledger.authorized(record) else record.state
    tier = found.tiers[record.tier] if record.state in ("rolling", "paused") else None
    return {"lease": record.id, "state": state, "step": record.step, "tier": tier, "desired": record.weight(),
            "target": found.target if found else None, "digest": found.digest if found else None,
            "known": record.known(),
            "pinned": record.pinned is not None, "cosigners": [voter(vote) for vote in record.cosigns],
            "pending": [{"statement": text, "votes": [voter(vote) for vote in votes]}
                        for text, votes in sorted(record.ballots.items())]}


def report(clone, root):
    """What a clone says."""
    repository = Repository(clone)
    try:
        ledger = fold(repository, root)
        ledger.ruling = ledger.policy
    except Bad as bad:
        raise Undecided(f"{bad.reason}: {bad.why}") from None
    finally:
        repository.close()
    return {
        "root": root, "branch": ledger.branch, "tip": ledger.tip, "steps": ledger.steps,
        "policy": {"version": ledger.policy.version, "digest": ledger.policy.digest, "since": ledger.policy_since},
        "frozen": ledger.frozen, "revoked": sorted(point[1].hex() for point in ledger.revoked),
        "leases": [lease(ledger, record) for record in sorted(ledger.leases.values(), key=lambda one: one.id)],
        "events": ledger.events,
        "findings": [vars(found) for found in ledger.findings],
    }


def answer(clone, root):
    try:
        return report(clone, root)
    except Undecided as undecided:
        return {"undecided": str(undecided)}


def main():
    if sys.argv[1:] == ["--batch"]:
        for line in sys.stdin:
            clone, root = line.rstrip("\n").split("\t")
            print(json.dumps(answer(clone, root)), flush=True)
        return 0
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    said = answer(sys.argv[1], sys.argv[2])
    print(json.dumps(said, indent=2))
    return 3 if "undecided" in said else 0


if __name__ == "__main__":
    sys.exit(main())
