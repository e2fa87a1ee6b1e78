"""Waiting for the world: always for a condition, always with an end, never for a time to pass."""

from __future__ import annotations

import time
from typing import Callable, TypeVar

T = TypeVar("T")
INTERVAL_S = 0.05


def wait_until(condition: Callable[[], T], what: str, timeout_s: float = 30) -> T:
    """The first true answer of the condition. `what` names it in the failure: "wait_until ... all payouts are terminal"."""
    limit = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < limit, f"not within {timeout_s:.0f} s: {what} (last answer: {answer!r})"
        time.sleep(INTERVAL_S)
