"""``python -m tests.fuzz``: says what it finds, and ends with 1 where it finds anything."""

from __future__ import annotations

import argparse
import sys
from itertools import chain

from tests.fuzz.watch import association_findings, file_findings, hostile_findings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=300, help="damaged files")
    parser.add_argument("--associations", type=int, default=200, help="damaged associations")
    parser.add_argument("--seed", type=int, default=1, help="of what is damaged, and how")
    parser.add_argument("--no-hostile", action="store_true", help="leave out hostile files")
    chosen = parser.parse_args()
    count = 0
    for finding in chain(
        () if chosen.no_hostile else hostile_findings(),
        file_findings(chosen.files, chosen.seed),
        association_findings(chosen.associations, chosen.seed),
    ):
        count += 1
        print(finding, flush=True)
    print(f"{count} findings")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
