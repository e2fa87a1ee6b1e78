"""Random lives of books with what must come of them (tests/ledger), played to a real ledger-svc."""

from __future__ import annotations

import json
import subprocess
import uuid
from typing import Iterator

from .ledger import Ledger
from .world import BUILD

CURRENCIES = ["", "USD", "EUR", "QQQ"]
IMPORTED, LINKED, FORCED, CLOSED = 256, 1, 512, 32
ACCOUNT_IMPORTED = 16
PENDING_STATES = {0: 1, 3: 2, 4: 3, 5: 4}  # what ended it (a kind) -> PendingState


def lives(seed: int, events: int) -> Iterator[list[dict]]:
    """Each life: its steps, and the book as it must be in the end."""
    script = subprocess.Popen([str(BUILD / "bin" / "ledger_script"), str(seed), str(events)], stdout=subprocess.PIPE, text=True)
    try:
        life = []
        for line in script.stdout:
            life.append(json.loads(line))
            if "rows" in life[-1]:
                yield life
                life = []
        assert script.wait(30) == 0 and not life
    finally:
        script.kill()
        script.wait(30)
        script.stdout.close()


def text_id(number: int) -> str:
    if number == 0:
        return ""
    return str(uuid.UUID(int=2**128 - 1 if number in (-1, 2**64 - 1) else number))


def number(id_text: str) -> int:
    return uuid.UUID(id_text).int if id_text else 0


def balances(message) -> list[int]:
    return [message.debits_pending, message.debits_posted, message.credits_pending, message.credits_posted]


class Player:
    """A book, to which steps are played."""

    def __init__(self, world, book_id: int):
        self.ledger = Ledger(world, book_id).create()
        self.pb = self.ledger.pb

    def labels(self, event: dict, prefix: str) -> dict:
        entry = self.pb.MetadataEntry
        made = {"user_data_128": text_id(event.get("user_data_128", 0)), "user_data_64": event.get("user_data_64", 0),
                "user_data_32": event.get("user_data_32", 0), "code": event.get("code", 0)}
        if event.get("reference"):
            made["external_reference"] = f"{prefix}-{event['reference']}"
        if event.get("metadata"):
            made["metadata"] = [entry(key="number", value=f"m{event['metadata']}"), entry(key="kind", value="test")]
        return made

    def account(self, event: dict):
        same = ("flags", "timestamp_us", "lowest_balance", "debits_pending", "debits_posted", "credits_pending", "credits_posted")
        return self.pb.Account(id=text_id(event.get("id", 0)), currency=CURRENCIES[event.get("currency", 0)],
                               **self.labels(event, "account"), **{name: event.get(name, 0) for name in same})

    def transfer(self, event: dict):
        same = ("flags", "timestamp_us", "amount", "timeout_s")
        return self.pb.Transfer(
            id=text_id(event.get("id", 0)), currency=CURRENCIES[event.get("currency", 0)],
            debit_account_id=text_id(event.get("debit", 0)), credit_account_id=text_id(event.get("credit", 0)),
            pending_id=text_id(event.get("pending", 0)), **self.labels(event, "transfer"),
            **{name: event.get(name, 0) for name in same})

    def reversal(self, event: dict):
        return self.pb.TransferReversal(id=text_id(event.get("id", 0)), transfer_id=text_id(event.get("reverses", 0)),
                                        **self.labels(event, "transfer"))

    def send(self, kind: str, events: list[dict]) -> list[dict]:
        """The result of each event, in the words of the model."""
        pb, book = self.pb, self.ledger.book_id
        if kind == "accounts":
            return [{"status": status} for status in self.ledger.accounts([self.account(event) for event in events])]
        if kind == "transfers":
            return [self.result(result, result) for result in self.ledger.send([self.transfer(event) for event in events])]
        request = pb.ReverseTransfersRequest(book_id=book, reversals=[self.reversal(event) for event in events],
                                             force=bool(events[0]["flags"] & FORCED))
        answers = self.ledger.call("ReverseTransfers", request).results
        return [self.result(result, result.reversals[0] if result.reversals else None) for result in answers]

    def result(self, result, row) -> dict:
        made = {"status": self.ledger.status(result.status)}
        if row is not None and row.sequence != 0:
            made |= {"sequence": row.sequence, "amount": row.amount, "debit": balances(row.debit_balances),
                     "credit": balances(row.credit_balances)}
        return made

    # The book as it stands, in the words of the model.

    def accounts(self, ids: list[int]) -> list[dict]:
        found = self.ledger.lookup([text_id(id_) for id_ in ids])
        return [{"id": number(account.id), "closed": bool(account.flags & CLOSED), "balances": balances(account)}
                for account in found.values()]

    def rows(self) -> list[dict]:
        return [{"kind": row.kind, "amount": row.amount, "released": row.released, "debit": balances(row.debit_balances),
                 "credit": balances(row.credit_balances), "id": number(row.id), "debits": number(row.debit_account_id),
                 "credits": number(row.credit_account_id), "pending": number(row.pending_id),
                 "reverses": number(row.reverses_id), "code": row.code, "flags": row.flags, "currency": row.currency}
                for row in self.ledger.journal()]


def expected_rows(end: dict) -> list[dict]:
    made = []
    for row in end["rows"]:
        asked = row["asked"]
        made.append({**{name: row[name] for name in ("kind", "amount", "released", "debit", "credit")},
                     "id": asked.get("id", 0), "debits": asked["debit"], "credits": asked["credit"],
                     "pending": asked.get("pending", 0), "reverses": asked.get("reverses", 0), "code": asked["code"],
                     "flags": asked["flags"], "currency": CURRENCIES[asked["currency"]]})
    return made


def units(step: dict) -> list[list[dict]]:
    """The chains of a step, and the events outside of one, each as a request of its own. Imported ones stay together: the first
    of a request decides whether all are."""
    imported = ACCOUNT_IMPORTED if step["step"] == "accounts" else IMPORTED
    if any(event["flags"] & imported for event in step["events"]):
        return [step["events"]]
    made, chain = [], []
    for event in step["events"]:
        chain.append(event)
        if not event["flags"] & LINKED:
            made.append(chain)
            chain = []
    return made + ([chain] if chain else [])


def replay(rows: list[dict]) -> dict[int, list[int]]:
    """The balances that the journal adds up to."""
    found: dict[int, list[int]] = {}
    for row in rows:
        pending = {1: 0, 2: row["amount"], 3: -row["released"], 4: -row["released"], 5: -row["released"]}[row["kind"]]
        posted = row["amount"] if row["kind"] in (1, 3) else 0
        debit = found.setdefault(row["debits"], [0, 0, 0, 0])
        credit = found.setdefault(row["credits"], [0, 0, 0, 0])
        debit[0] += pending
        debit[1] += posted
        credit[2] += pending
        credit[3] += posted
    return found
