#!/usr/bin/python3
"""Adds the JUnit files of all stages up. The last line is `N passed, N failed[, N skipped]`; a stage without a file or
without a single test counts as one failure."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as xml
from dataclasses import dataclass, field
from pathlib import Path

# What a cmocka program prints for each of its groups.
_CMOCKA = {state: re.compile(rf"^\[  {state} *\] (\d+) test\(s\)", re.MULTILINE)
           for state in ("PASSED", "FAILED", "SKIPPED")}


@dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Counts) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures

    def total(self) -> int:
        return self.passed + self.failed + self.skipped


def count_case(case: xml.Element) -> Counts:
    """One test case; a program of cmocka tests counts as what it ran, and as one failure more if it ended badly after all
    of them had passed (a sanitizer's report, a crash)."""
    name = ".".join(filter(None, (case.get("classname"), case.get("name"))))
    output = "\n".join(node.text or "" for node in case.iter("system-out"))
    passed, failed, skipped = (sum(map(int, pattern.findall(output))) for pattern in _CMOCKA.values())
    bad = case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail"
    if case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
        # CTest reports a program that it could not find or start as not run: that is no choice of ours.
        missing = case.get("status") == "notrun"
        return Counts(0, 1, 0, [name]) if missing else Counts(0, 0, 1)
    if not bad:
        return Counts(max(passed, 0 if skipped else 1), 0, skipped)
    return Counts(passed, max(failed, 1), skipped, [name])


def count_file(path: Path) -> Counts:
    try:
        root = xml.parse(path).getroot()
    except (OSError, xml.ParseError):
        return Counts(0, 1, 0, [f"{path.stem}: this stage left no result"])
    counts = Counts()
    for case in root.iter("testcase"):
        counts.add(count_case(case))
    if counts.passed + counts.failed == 0:
        counts.add(Counts(0, 1, 0, [f"{path.stem}: this stage ran no test"]))
    return counts


def main(paths: list[str]) -> int:
    total = Counts()
    print()
    for path in map(Path, paths):
        counts = count_file(path)
        print(f"{path.stem:<12} {counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped")
        total.add(counts)
    for name in total.failures:
        print(f"FAILED {name}")
    line = f"{total.passed} passed, {total.failed} failed"
    print(line + (f", {total.skipped} skipped" if total.skipped else ""))
    return 1 if total.failed or total.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
