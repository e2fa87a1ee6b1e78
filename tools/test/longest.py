#!/usr/bin/python3
"""Which test files take longest, from the JUnit file of a run: longest.py build/test-results/integration.xml [--seconds].

The list is what tests/longest_first.txt keeps: `./dev test integration` starts these files first.
"""

from __future__ import annotations

import argparse
import sys
import xml.etree.ElementTree as xml
from collections import Counter
from pathlib import Path

SECONDS_MIN = 15  # where shorter files stand makes no difference


def seconds(results: Path) -> Counter[str]:
    """{file: what its tests took, with their fixtures}. A file is the last part of a class name: `tests.payouts.test_holds`."""
    told: Counter[str] = Counter()
    for case in xml.parse(results).getroot().iter("testcase"):
        module = next(part for part in reversed(case.get("classname", "").split(".")) if part.startswith("test_"))
        told[f"{module}.py"] += float(case.get("time", "0"))
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--seconds", action="store_true", help="with the seconds, and all files")
    args = parser.parse_args()
    for file, took in seconds(args.results).most_common():
        if args.seconds:
            print(f"{took:8.1f} {file}")
        elif took >= SECONDS_MIN:
            print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
