"""The wall clock of a service under test, which the test steps (shared/base/clock_internal.h)."""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path

SECOND = 1_000_000
HOUR = 3_600 * SECOND
YEAR = 365 * 24 * HOUR


class Clock:
    """The wall clock of the services that were started with `env`: real time, shifted. All times are microseconds."""

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
