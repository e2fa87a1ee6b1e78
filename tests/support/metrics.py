"""The figures that a running service publishes."""

from __future__ import annotations

import re

from .bank import http_get


def metric(daemon, name: str, **labels: str) -> float:
    """The sum over all series of this name that have these labels; 0 when there is none."""
    text = http_get(f"http://127.0.0.1:{daemon.ready()['metrics_port']}/metrics")
    total = 0.0
    for given, value in re.findall(rf"^{name}(?:{{([^}}]*)}})? (\S+)$", text, re.MULTILINE):
        if all(f'{key}="{wanted}"' in given.split(",") for key, wanted in labels.items()):
            total += float(value)
    return total
