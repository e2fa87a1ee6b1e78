#!/usr/bin/python3
"""What a released program must have, read from the program itself: flags that a build file names may still get lost.

Usage: hardening.py PROGRAM... (`./dev build release` does it), or hardening.py --probe (`./dev test checks`): builds a small
program with the release's flags first.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PROBE_BUILD = PROJECT / "build" / "probe"
_CHECKED = re.compile(r"\b__(?!stack_chk)\w+_chk\b")


def readelf(program: Path, *what: str) -> str:
    return subprocess.run(["readelf", "--wide", *what, str(program)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=True).stdout


def missing(program: Path) -> list[str]:
    """The protections that the program lacks, in words."""
    header, segments = readelf(program, "--file-header"), readelf(program, "--program-headers")
    dynamic, symbols = readelf(program, "--dynamic"), readelf(program, "--dyn-syms")
    flags = " ".join(line.split(")", 1)[1] for line in dynamic.splitlines() if "(FLAGS" in line)
    stack = re.search(r"GNU_STACK.*?\s([RWE ]{3})\s+0x\w+$", segments, re.MULTILINE)
    found = {
        "position-independent (PIE)": bool(re.search(r"Type:\s+DYN\b", header)) and bool(re.search(r"\bPIE\b", flags)),
        "read-only relocations (RELRO)": "GNU_RELRO" in segments,
        "relocations all done at start (BIND_NOW)": bool(re.search(r"\b(BIND_NOW|NOW)\b", flags)),
        "a stack that is not executable": stack is not None and "E" not in stack.group(1),
        "no memory both writable and executable": not re.search(r"LOAD.*\sRWE\s", segments),
        "the stack protector": "__stack_chk_fail" in symbols,
        "fortified functions": bool(_CHECKED.search(symbols)),
        "no sanitizer": "libasan" not in dynamic and "libubsan" not in dynamic,
    }
    return [what for what, is_there in found.items() if not is_there]


def build_probe() -> Path:
    for command in (["cmake", "-S", str(PROJECT / "cmake" / "probe"), "-B", str(PROBE_BUILD), "-G", "Ninja",
                     "-DCMAKE_BUILD_TYPE=Release"], ["cmake", "--build", str(PROBE_BUILD)]):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        if done.returncode != 0:
            sys.exit(done.stdout)
    return PROBE_BUILD / "bin" / "probe"


def main() -> int:
    programs = [build_probe()] if sys.argv[1:] == ["--probe"] else [Path(name) for name in sys.argv[1:]]
    if not programs:
        sys.exit(__doc__)
    failed = False
    for program in programs:
        for what in missing(program):
            print(f"{program}: lacks {what}")
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
