"""examples/payouts.csv is what its script writes, and a file that payctl would send."""

from __future__ import annotations

import csv
import subprocess
import sys

from run.layout import PROJECT
from support.world import BUILD, SANITIZER_ENV

EXAMPLES = PROJECT / "examples"
FILE = EXAMPLES / "payouts.csv"


def check(*arguments) -> subprocess.CompletedProcess:
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **SANITIZER_ENV}
    return subprocess.run([BUILD / "bin" / "payctl", "pay", "--check", "--offline", *arguments], env=env, capture_output=True,
                          text=True, timeout=60, check=False)


def test_the_file_is_what_its_script_writes():
    done = subprocess.run([sys.executable, EXAMPLES / "make_payouts.py", "--check"], timeout=60, check=False)
    assert done.returncode == 0, "run examples/make_payouts.py"


def test_payctl_finds_nothing_wrong_with_it():
    done = check(FILE)
    assert done.returncode == 0, done.stderr
    with FILE.open(encoding="utf-8", newline="") as lines:
        assert sum(1 for _ in csv.DictReader(lines)) == 1000


def test_a_wrong_digit_in_it_is_found(tmp_path):
    lines = FILE.read_text(encoding="utf-8").splitlines(keepends=True)
    with FILE.open(encoding="utf-8", newline="") as text:
        number, row = next((i, row) for i, row in enumerate(csv.DictReader(text), 1) if row["currency"] == "USD")
    code = row["routing_code"]
    lines[number] = lines[number].replace(code, code[:8] + str((int(code[8]) + 1) % 10))
    bad = tmp_path / "bad.csv"
    bad.write_text("".join(lines), encoding="utf-8")
    done = check(bad)
    assert done.returncode != 0 and f"{bad}:{number + 1}: " in done.stderr and "check digit" in done.stderr
