"""A world in which ledger-svc alone runs, with a wall clock that the test holds."""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path


class Clock:
    """The wall clock of the services that were started with `env` (shared/base/clock_internal.h): real time, shifted."""

    def __init__(self, path: Path):
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._shift = mmap.mmap(file.fileno(), 8)
        self.env = {"DISBURSE_CLOCK_SHIFT_FILE": str(path)}

    def shift(self, us: int) -> None:
        struct.pack_into("=q", self._shift, 0, us)

    def step(self, us: int) -> None:
        self.shift(struct.unpack_from("=q", self._shift)[0] + us)

    def set(self, now_us: int) -> None:
        self.shift(now_us - time.time_ns() // 1000)

    def now_us(self) -> int:
        return time.time_ns() // 1000 + struct.unpack_from("=q", self._shift)[0]


def start(world, *, instances: int = 1) -> Clock:
    """The database and ledger-svc (and further instances: ledger-svc.2 …), all on one clock. For a world that is not up."""
    world.stack.up_database()
    world.stack.migrate("ledger-svc")
    clock = Clock(world.stack.folder / "clock")
    world.ledger.env.update(clock.env)
    world.ledger.start(wait=False)
    for k in range(2, instances + 1):
        other = world.stack.add_instance("ledger-svc", f"ledger-svc.{k}", {})
        other.env.update(clock.env)
        other.start(wait=False)
    for daemon in names(instances):
        world.daemon(daemon).wait_ready(60)
    return clock


def names(instances: int) -> list[str]:
    return ["ledger-svc"] + [f"ledger-svc.{k}" for k in range(2, instances + 1)]
