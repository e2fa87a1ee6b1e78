#!/usr/bin/python3
"""docs/settings.md out of the programs themselves: each says what its settings are (`--print-config-markdown`).

Usage: settings.py [--check] BIN_FOLDER. With --check nothing is written; exit code 1 when the page is not what the programs
say, with the first lines that differ.
"""

from __future__ import annotations

import argparse
import difflib
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PAGE = PROJECT / "docs" / "settings.md"
SECONDS_MAX = 30
DIFF_LINES_MAX = 40

HEAD = """\
# Settings

Written by `./dev docs` from the programs (`--print-config-markdown`): do not edit.

A setting comes from the file given as `--config` (an INI file: `server.listen` is `listen` in the section `[server]`) or from
the environment, which wins. A wrong value and an unknown name refuse the start, and the message names the setting. In the environment
an unknown name is refused only below a section that exists. `--print-config` shows what is in force. Secrets are never settings: a
setting names the file that holds one.
"""
PROGRAMS = {
    "ledger-svc": "The double-entry ledger. Migrations: `ledger-svc migrate --config FILE`, with a role that owns the schema.",
    "payments-svc": "Payouts. Migrations: `payments-svc migrate --config FILE`, with a role that owns the schema.",
    "bank-sim": "The simulator bank, for tests and demonstrations.",
}


def table_of(program: Path) -> str:
    done = subprocess.run([str(program), "--print-config-markdown"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          text=True, timeout=SECONDS_MAX, check=True, env={})
    return done.stdout.strip()


def page(bin_folder: Path) -> str:
    parts = [HEAD]
    for name, about in PROGRAMS.items():
        parts.append(f"## {name}\n\n{about}\n\n{table_of(bin_folder / name)}\n")
    return "\n".join(parts)


def difference(stored: str, said: str) -> str:
    """Empty when they are the same."""
    lines = difflib.unified_diff(stored.splitlines(), said.splitlines(), "docs/settings.md", "the programs", lineterm="", n=0)
    return "\n".join(list(lines)[:DIFF_LINES_MAX])


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("bin", type=Path, help="folder of the built programs")
    args = parser.parse_args(argv)
    said = page(args.bin)
    if not args.check:
        PAGE.write_text(said, encoding="utf-8")
        return 0
    wrong = difference(PAGE.read_text(encoding="utf-8") if PAGE.exists() else "", said)
    if wrong:
        print(f"docs/settings.md is not what the programs say; run ./dev docs\n{wrong}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
