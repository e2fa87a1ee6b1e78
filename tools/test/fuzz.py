#!/usr/bin/python3
"""Runs the libFuzzer targets of a build on their corpora, and says what they found.

Every input of the corpus is run first, so that a short run is a regression test of all that was ever found.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
FUZZ = PROJECT / "fuzz"
INPUT_BYTES_MAX = 16384
MEGABYTES_MAX = 2048
SECONDS_OF_ONE_INPUT_MAX = 20
_RUNS = re.compile(r"^Done (\d+) runs in", re.MULTILINE)


def targets() -> list[str]:
    return sorted(path.stem.removeprefix("fuzz_") for path in FUZZ.glob("fuzz_*.c"))


def run(build: Path, target: str, seconds: int, grow: bool) -> tuple[bool, str]:
    """(nothing was found, what the target said)"""
    findings = build / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    corpus = FUZZ / "corpus" / target
    if not any(corpus.glob("*")):
        return False, f"{corpus} is empty"
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        folders = [str(corpus)] if grow else [scratch, str(corpus)]  # libFuzzer writes into the first one
        argv = [str(build / "bin" / f"fuzz_{target}"), f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES_MAX}",
                f"-rss_limit_mb={MEGABYTES_MAX}", f"-timeout={SECONDS_OF_ONE_INPUT_MAX}", "-print_final_stats=0",
                f"-artifact_prefix={findings}/{target}-", *folders]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=seconds + 600, check=False)
    runs = _RUNS.search(done.stdout)
    return done.returncode == 0 and runs is not None, done.stdout


def minimise(build: Path, target: str) -> None:
    """Keeps, of the inputs that reach the same, the smallest."""
    corpus = FUZZ / "corpus" / target
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=corpus.parent) as scratch:
        subprocess.run([str(build / "bin" / f"fuzz_{target}"), "-merge=1", scratch, str(corpus)], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=1200, check=True)
        kept = [path for path in Path(scratch).iterdir()]
        shutil.rmtree(corpus)
        corpus.mkdir()
        for path in kept:
            shutil.copyfile(path, corpus / path.name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=1, help="targets that run at the same time; each keeps one core busy")
    parser.add_argument("--grow", action="store_true", help="add to the corpora what reaches something new")
    parser.add_argument("--minimise", action="store_true")
    parser.add_argument("--junit", type=Path)
    parser.add_argument("targets", nargs="*")
    args = parser.parse_args()
    suite = xml.Element("testsuite", name="fuzz")
    failed = 0
    chosen = args.targets or targets()
    with ThreadPoolExecutor(args.at_once) as pool:
        told = pool.map(lambda target: run(args.build, target, args.seconds, args.grow), chosen)
        for target, (good, said) in zip(chosen, told, strict=True):
            runs = _RUNS.search(said)
            print(f"{'ok    ' if good else 'FAILED'} {target}: {runs.group(1) if runs else 'no'} runs", flush=True)
            case = xml.SubElement(suite, "testcase", classname="fuzz", name=target)
            if not good:
                failed += 1
                print(said[-8000:])
                output = said[-8000:].encode("ascii", "replace").decode()
                xml.SubElement(case, "failure", message="an input broke it").text = output
            elif args.minimise:
                minimise(args.build, target)
    if args.junit:
        xml.ElementTree(suite).write(args.junit, encoding="unicode")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
