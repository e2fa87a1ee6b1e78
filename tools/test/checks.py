#!/usr/bin/python3
"""The checks of `./dev test checks`: each is one passed or failed test, written as JUnit XML for the summary."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Callable

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tools" / "lint"))
import house  # noqa: E402
import recursion  # noqa: E402
import structure  # noqa: E402

sys.path.insert(0, str(PROJECT / "tools" / "docs"))
import rooms  # noqa: E402

BUF = PROJECT / "tools" / "proto" / "node_modules" / ".bin" / "buf"
SECONDS_MAX = 300
OUTPUT_LINES_MAX = 60


def command(*argv: str) -> str:
    """Empty: it passed; otherwise what it said."""
    try:
        done = subprocess.run(argv, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=SECONDS_MAX, check=False)
    except FileNotFoundError:
        return f"{argv[0]} is missing"
    except subprocess.TimeoutExpired:
        return f"{argv[0]} took more than {SECONDS_MAX} s"
    return "" if done.returncode == 0 else done.stdout.strip() or f"exit code {done.returncode}"


def c_files() -> list[str]:
    return [str(file.relative_to(PROJECT)) for folder in structure.C_FOLDERS
            for file in sorted((PROJECT / folder).rglob("*.[ch]"))]


def formatted() -> str:
    """The files that are not, with their first line that differs; the rest is what `./dev fmt` is for."""
    said = command("clang-format-14", "--dry-run", "--Werror", "--ferror-limit=1", *c_files())
    found = [line for line in said.splitlines() if ": error: " in line]
    return "\n".join(found) or said


def shell_files() -> list[str]:
    files = [PROJECT / "dev", PROJECT / ".ci" / "run", *sorted((PROJECT / "tools").rglob("*.sh"))]
    return [str(file.relative_to(PROJECT)) for file in files if "node_modules" not in file.parts]


def python_syntax() -> str:
    found = []
    for folder in ("tools", "tests"):
        for file in sorted((PROJECT / folder).rglob("*.py")):
            if "node_modules" in file.parts:
                continue
            try:
                compile(file.read_text(encoding="utf-8"), str(file), "exec")
            except SyntaxError as error:
                found.append(f"{file}:{error.lineno}: {error.msg}")
    return "\n".join(found)


def checks() -> list[tuple[str, Callable[[], str]]]:
    findings = structure.lint_tree(PROJECT) + house.lint_house(PROJECT)
    lint = [(f"structure {rule}",
             lambda rule=rule: "\n".join(str(f) for f in findings if f.rule == rule)) for rule in structure.RULES + house.RULES]
    public = [arg for folder in ("proto/google", "proto/grpc") for arg in ("--exclude-path", folder)]
    return [
        ("C sources are formatted", formatted),
        ("buf lint", lambda: command(str(BUF), "lint", "proto")),
        ("buf format", lambda: command(str(BUF), "format", "--diff", "--exit-code", "proto", *public)),
        ("no recursive messages", lambda: recursion.check(PROJECT)),
        ("release hardening", lambda: command(sys.executable, "tools/test/hardening.py", "--probe")),
        ("shellcheck", lambda: command("shellcheck", "-x", *shell_files())),
        ("Python syntax", python_syntax),
        ("the table of rooms is true", lambda: rooms.check(PROJECT)),
        *lint,
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--junit", type=Path, required=True)
    args = parser.parse_args()
    suite = xml.Element("testsuite", name="checks")
    failed = 0
    for name, check in checks():
        started = time.monotonic()
        problem = check()
        case = xml.SubElement(suite, "testcase", name=name, time=f"{time.monotonic() - started:.3f}")
        print(f"{'FAILED' if problem else 'passed'}  {name}", flush=True)
        if problem:
            failed += 1
            print("\n".join(problem.splitlines()[:OUTPUT_LINES_MAX]), flush=True)
            xml.SubElement(case, "failure", message=problem.splitlines()[0])
    xml.ElementTree(suite).write(args.junit, encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
