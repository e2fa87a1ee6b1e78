"""The cost of a whole Disburse while nothing happens: processor time of each of its processes, from /proc."""

from __future__ import annotations

import os
import time
from pathlib import Path

from run import Stack

TICKS = os.sysconf("SC_CLK_TCK")
QUIET_SECONDS_MAX = 60
QUIET_PERCENT = 3.0  # below this, what came before has come to its end


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def _tree(roots: list[int]) -> set[int]:
    """The processes and all that descend from them."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
            parents[int(entry.name)] = int(fields[1])
    found = set(roots)
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found


def _seconds(roots: list[int]) -> dict[int, float]:
    """Processor seconds of each process, and of the children that it has waited for."""
    spent = {}
    for pid in _tree(roots):
        fields = _stat(pid)
        if fields is not None:
            spent[pid] = sum(int(fields[i]) for i in (11, 12, 13, 14)) / TICKS
    return spent


def _percent(roots: list[int], seconds: float) -> float:
    before, begun = _seconds(roots), time.monotonic()
    time.sleep(seconds)
    after, took = _seconds(roots), time.monotonic() - begun
    return 100 * sum(spent - before.get(pid, 0.0) for pid, spent in after.items()) / took


def idle_percent(stack: Stack, seconds: float) -> float:
    """Per cent of one core, of the services, the bank with its sshd, and PostgreSQL with all its sessions."""
    roots = [stack.daemon(service).ready()["pid"] for service in ("ledger-svc", "payments-svc", "bank-sim")]
    roots.append(int((stack.cluster.data / "postmaster.pid").read_text(encoding="ascii").split()[0]))
    end = time.monotonic() + QUIET_SECONDS_MAX
    while time.monotonic() < end and _percent(roots, 2) > QUIET_PERCENT:  # vacuum, checkpoint, the last files of the bank
        pass
    return round(_percent(roots, seconds), 2)
