#!/usr/bin/python3
"""Puts each fault of faults.py into a copy of the tree, and expects its test to turn red."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from faults import FAULTS, Fault

PROJECT = Path(__file__).resolve().parent.parent.parent
BUILD_TIMEOUT_S, TEST_TIMEOUT_S = 1800, 600


class Copy:
    """The tracked files of the tree, and a dev build of them. Kept between runs, so that the second one builds little."""

    def __init__(self, folder: Path, test_folder: Path):
        self.source, self.build, self.test_folder = folder / "src", folder / "build", test_folder
        self.log = folder / "last.log"

    def refresh(self) -> None:
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=PROJECT,
                                stdout=subprocess.PIPE, check=True).stdout
        names = [name.decode() for name in listed.split(b"\0") if name and (PROJECT / name.decode()).is_file()]
        for name in names:
            self._refresh_one(PROJECT / name, self.source / name)
        for path in [path for path in self.source.rglob("*") if path.is_file()]:
            if not (PROJECT / path.relative_to(self.source)).is_file():
                path.unlink()
        if not (self.build / "build.ninja").exists():
            self._run(["cmake", "--preset", "dev", "-S", str(self.source), "-B", str(self.build)], self.source, BUILD_TIMEOUT_S)

    @staticmethod
    def _refresh_one(original: Path, copy: Path) -> None:
        """The time of a file that did not change stays, and with it what was built of it."""
        if copy.is_file() and copy.read_bytes() == original.read_bytes():
            return
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(original, copy)
        shutil.copymode(original, copy)

    def make(self, fault: Fault) -> None:
        targets = [fault.unit] if fault.unit else ["all"]
        self._run(["ninja", "-C", str(self.build), *targets], self.source, BUILD_TIMEOUT_S)

    def passes(self, fault: Fault) -> bool:
        if fault.unit:
            argv = ["ctest", "--test-dir", str(self.build), "--no-tests=error", "--output-on-failure", "-R", f"^{fault.unit}$"]
        else:
            argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-x", *fault.tests]
        env = {**os.environ, "DISBURSE_BUILD": str(self.build), "DISBURSE_TEST_FOLDER": str(self.test_folder)}
        with self.log.open("wb") as log:
            done = subprocess.run(argv, cwd=self.source, env=env, stdout=log, stderr=subprocess.STDOUT, timeout=TEST_TIMEOUT_S,
                                  check=False)
        # 1 of pytest: tests were run and failed. Anything else would be a test that could not be run, which proves nothing.
        if done.returncode not in (0, 8 if fault.unit else 1):
            raise RuntimeError(f"the test could not be run: exit code {done.returncode}, see {self.log}")
        return done.returncode == 0

    def _run(self, argv: list[str], cwd: Path, timeout_s: float) -> None:
        with self.log.open("wb") as log:
            done = subprocess.run(argv, cwd=cwd, stdout=log, stderr=subprocess.STDOUT, timeout=timeout_s, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{argv[0]} failed: see {self.log}")


def seeded(copy: Copy, fault: Fault) -> str:
    """Why the fault was not noticed; empty when it was."""
    path = copy.source / fault.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if text.count(fault.old) != 1:
        return f"{fault.file} has the line {text.count(fault.old)} times: {fault.old}"
    try:
        path.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
        copy.make(fault)
        return "the test passes in spite of it" if copy.passes(fault) else ""
    finally:
        path.write_text(text, encoding="utf-8")


def judge(copy: Copy, fault: Fault, sound: dict[tuple, bool]) -> str:
    key = fault.unit, *fault.tests
    try:
        if key not in sound:
            copy.make(fault)
            sound[key] = copy.passes(fault)
        return seeded(copy, fault) if sound[key] else "the test fails without it, too"
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return str(error)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=PROJECT / "build" / "mutations")
    parser.add_argument("--test-folder", type=Path, required=True, help="for the databases and processes of the tests")
    parser.add_argument("--junit", type=Path, required=True)
    parser.add_argument("names", nargs="*", help="only these faults")
    given = parser.parse_args()
    unknown = set(given.names) - {fault.name for fault in FAULTS}
    if unknown:
        parser.error(f"there is no fault {', '.join(sorted(unknown))}")
    given.folder.mkdir(parents=True, exist_ok=True)
    copy = Copy(given.folder, given.test_folder)
    suite = ElementTree.Element("testsuite", name="mutations")
    sound: dict[tuple, bool] = {}
    copy.refresh()
    for fault in FAULTS:
        if given.names and fault.name not in given.names:
            continue
        start = time.monotonic()
        why = judge(copy, fault, sound)
        took = time.monotonic() - start
        case = ElementTree.SubElement(suite, "testcase", classname="mutations", name=fault.name, time=f"{took:.1f}")
        if why:
            ElementTree.SubElement(case, "failure", message=why)
        print(f"{'noticed' if not why else 'MISSED '} {took:6.1f} s  {fault.name}{': ' + why if why else ''}", flush=True)
    given.junit.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(suite).write(given.junit)
    return 1 if suite.findall(".//failure") else 0


if __name__ == "__main__":
    sys.exit(main())
