#!/usr/bin/env python3
"""Reads the files of tests/hostile that are leases and policies: each is refused for the reason that its name says,
`malformed` where it says none, and those that are called honest are not."""
import sys
from pathlib import Path

from documents import Lease, Policy
from objects import Bad

FILES = Path(__file__).resolve().parents[1] / "hostile"


def main():
    wrong = 0
    for kind, read in (("lease", Lease), ("policy", Policy)):
        for path in sorted((FILES / kind).iterdir()):
            parts = path.name.split(".")
            wanted = "honest" if parts[0].startswith("honest") else parts[1] if len(parts) == 3 else "malformed"
            try:
                read(path.read_bytes())
                found = "honest"
            except Bad as bad:
                found = bad.reason
            if found != wanted:
                wrong += 1
                print(f"{kind}/{path.name}: {found}, not {wanted}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
