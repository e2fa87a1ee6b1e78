"""Lanes: processes of pytest that run at the same time. Each lane takes whole files, and has its own cluster, worlds and ports.

`./dev test integration` starts two lanes with pytest-xdist (`-n 2 --dist loadfile`). Without xdist there is one lane.
"""

from __future__ import annotations

import os
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
LONGEST = TESTS / "longest_first.txt"


def name() -> str:
    """Of this process' lane. xdist calls its processes gw0, gw1 ..."""
    return os.environ.get("PYTEST_XDIST_WORKER", "gw0")


def take_ports() -> None:
    """Lanes give ports of different ranges to their services: see free_port of run/layout.py."""
    os.environ["DISBURSE_LANES"] = os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    os.environ["DISBURSE_LANE"] = name().removeprefix("gw")


def longest() -> list[str]:
    """The names of the files that take longest, without their folders. A name without a file is a mistake."""
    names = LONGEST.read_text(encoding="utf-8").split()
    there = {path.name for path in TESTS.rglob("test_*.py")}
    assert set(names) <= there, f"{LONGEST.name} names files that are not there: {sorted(set(names) - there)}"
    return names


def longest_first(items: list) -> None:
    """Sorts tests by the files that they stand in. The order inside of a file stays, and so does the order of all other files."""
    rank = {file: place for place, file in enumerate(longest())}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))
