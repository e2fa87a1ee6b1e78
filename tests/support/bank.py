"""The bank's own record of money moved, read from bank-sim's admin interface."""

from __future__ import annotations

import json
import urllib.request

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def http_get(url: str, timeout: float = 10) -> str:
    with _OPENER.open(url, timeout=timeout) as answer:
        return answer.read().decode()


class Bank:
    def __init__(self, world, name: str = "bank-sim"):
        self.world, self.name = world, name

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.world.daemon(self.name).ready()['admin_port']}{path}"

    def get(self, path: str):
        return json.loads(http_get(self._url(path)))

    def post(self, path: str, body: dict | None = None):
        request = urllib.request.Request(self._url(path), data=json.dumps(body or {}).encode(), method="POST",
                                         headers={"Content-Type": "application/json"})
        with _OPENER.open(request, timeout=10) as answer:
            return json.loads(answer.read())

    def faults(self, **changes):
        return self.post("/admin/faults", changes)

    def duplicates(self) -> list:
        return self.get("/admin/duplicates")

    def payments(self) -> list[dict]:
        """Everything that the bank was ever asked to pay: a line for each ACH entry and each instant key."""
        return self.get("/admin/payments?limit=100000&rail=ach") + self.get("/admin/payments?limit=100000&rail=instant")

    def net_by_currency(self) -> dict[str, int]:
        """Minor units that left and did not come back."""
        net: dict[str, int] = {}
        for row in self.get("/admin/report")["by_currency"]:
            net[row["currency"]] = net.get(row["currency"], 0) + row["credited_sum"] - row["returned_sum"]
        return net
