"""Worlds with an unkind bank, a mix of payouts in them, and the judgement of what became of it."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from . import mix
from .bank_record import BankRecord
from .paying import (ACH, FAILED, HELD, INSTANT, RETURNED, SETTLED, Merchant, Payer, assert_books_at_rest)
from .waiting import wait_until

SETTINGS = {"payments-svc": {**mix.SETTINGS["payments-svc"], "saga.resolve_after_ms": 400,
                             "instant.sweep_ms": 100, "instant.ask_again_ms": 3000,
                             "instant.query_lag_ms": 3000, "ach.list_lag_ms": 3000,
                             "ach.refusal_reasons": "R03", "ach.rebuild_reasons": "entries refused"},
            "ledger-svc": {"journal.checkpoint_ms": 250},
            "bank-sim": {**mix.SETTINGS["bank-sim"], "sftp.relay": "true", "faults.odd_amounts": "true",
                         "faults.slow_ms": 300}}
# At a bank that never says what has settled.
TIMED = {**SETTINGS, "payments-svc": {**SETTINGS["payments-svc"], "ach.settlement": "timetable", "deadlines.every_ms": 200}}
# rail, amount (its last digits ask the bank for an outcome), state at the end: what every bank does.
BASE = [(ACH, 3_100, SETTLED), (ACH, 3_200, SETTLED), (ACH, 3_300, SETTLED), (ACH, 4_901, RETURNED), (ACH, 4_951, RETURNED),
        (INSTANT, 5_100, SETTLED), (INSTANT, 5_200, SETTLED), (INSTANT, 5_801, FAILED), (INSTANT, 5_802, SETTLED),
        (INSTANT, 5_803, SETTLED), (INSTANT, 5_807, SETTLED), (INSTANT, 5_809, RETURNED)]
DEPOSIT = 1_000_000
# What a bank does that owes nobody a kindness. The file server's habits that count down break the first of what they can.
UNKIND = {"refuse_entries": 2, "sftp_bare_names": 1, "sftp_packet_max": 34_000, "archive": 0, "duplicate_check": 0, "acks": 0, "settlement_lines": 0, "bank_names": 1, "returns_together": 1,
          "odd_dishonored": 1, "odd_web": 1, "odd_trace": 1, "odd_company": 1, "crlf": 1, "trim_blanks": 1, "no_padding": 1,
          "descending_traces": 1, "blank_date": 1, "status_2": 1, "blank_names": 1, "forward_codes": 1, "grow_ms": 400,
          "refusals_stored": 0, "key_first": 0, "query_lag_count": 1, "sftp_drop_writes": 1, "sftp_refuse_renames": 1,
          "sftp_lose_renames": 1, "sftp_slow_ms": 5, "sftp_list_late_ms": 1000}


@dataclass
class Heard:
    """The inbox's messages about the bank so far, so that a test sees only later ones."""
    exceptions: Counter = field(default_factory=Counter)

    @classmethod
    def now(cls, payer: Payer) -> Heard:
        rows = payer.world.payments_rows("SELECT reason, count(*) FROM inbox_exception GROUP BY reason")
        return cls(Counter({reason: int(n) for reason, n in rows}))

    def since(self, before: Heard) -> Counter:
        return self.exceptions - before.exceptions


class Unkind:
    """A world whose bank has a kind day until it is told otherwise."""

    def __init__(self, world):
        self.world = world
        self.payer = Payer(world)
        self.kind = self.payer.bank.get("/admin/habits")
        self.before = Heard.now(self.payer)
        self.rejected_before = len(self.rejected())

    def rejected(self) -> list[dict]:
        return [f for f in self.payer.bank.get("/admin/files") if f["status"] != "accepted"]

    def begin(self, **habits) -> Unkind:
        self.payer.bank.post("/admin/habits", {**self.kind, **habits})
        self.before = Heard.now(self.payer)
        self.rejected_before = len(self.rejected())
        return self

    def flush(self) -> None:
        """Every day that the bank waits for comes, twice: what follows a return waits for it."""
        for _ in range(2):
            self.payer.bank.post("/admin/flush")

    def bring_settlement(self, paid: Paid) -> None:
        """Lets the day come on which the timetable says that all of it has settled, once the bank has all of it."""
        mine = ",".join(f"'{i}'" for i, amount in paid.amounts.items() if amount < 5_000)
        open_ones = ("SELECT DISTINCT s.state FROM submission_item AS i JOIN submission AS s USING (book_id, submission_id) "
                     f"WHERE i.payout_id IN ({mine}) AND s.state NOT IN (3, 4, 5, 7)")
        placed = (f"SELECT count(*) FROM saga WHERE payout_id IN ({mine}) AND (step < 4 OR (step = 4 AND state <> 5))")
        wait_until(lambda: self.world.payments_rows(open_ones) == [] and self.world.payments_rows(placed) == [["0"]],
                   "the bank has every file", 60)
        assert self.world.payments_rows("SELECT count(*) FROM submission WHERE settles_at < now()") == [["0"]], "nothing is settled yet"
        self.world.payments_rows("UPDATE submission SET settles_at = now() WHERE settles_at IS NOT NULL RETURNING 1")

    def exceptions(self) -> Counter:
        return Heard.now(self.payer).since(self.before)


@dataclass
class Paid:
    merchants: list[Merchant]
    wanted: dict[str, int]  # payout id → state at the end
    amounts: dict[str, int]

    def of(self, amount: int) -> list[str]:
        return [payout_id for payout_id, made in self.amounts.items() if made == amount]


def pay(unkind: Unkind, lives: list[tuple[int, int, int]] = BASE) -> Paid:
    """The lives once for each of two merchants in two books; recipients alternate, so that neighbours differ."""
    payer = unkind.payer
    one = payer.merchant(deposit=DEPOSIT, prefix="unkind")
    two = payer.merchant_in_other_book(one.book_id, deposit=DEPOSIT, prefix="unkind")
    asked = [(merchant, merchant.request(amount, rail), amount, end) for merchant in (one, two) for rail, amount, end in lives]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda each: payer.call("Payout", "CreatePayout", each[1]), asked))
    ids = [answer.payout.payout_id for answer in answers]
    return Paid([one, two], {i: each[3] for i, each in zip(ids, asked)}, {i: each[2] for i, each in zip(ids, asked)})


def wait(unkind: Unkind, paid: Paid, timeout_s: float = 30) -> None:
    """Until each payout is at its own end."""
    for merchant in paid.merchants:
        def standing(who=merchant):
            found = {payout.payout_id: payout.state for payout in who.payouts() if payout.payout_id in paid.wanted}
            last.clear()
            last.update(Counter((paid.amounts[i], state, paid.wanted[i]) for i, state in found.items() if state != paid.wanted[i]))
            return not last

        last: Counter = Counter()
        try:
            wait_until(standing, "every payout is at its end", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; (amount, state, wanted): {dict(last)}") from None


def judge(unkind: Unkind, paid: Paid, *, exceptions: dict[str, int] | None = None, rejected: int = 0, at_rest: bool = True,
          others: dict[Merchant, str] | None = None) -> None:
    """Nobody paid twice, nobody lost, the right person, amount and day; nothing set aside that should not be; and the books.

    others: payouts that a test looks at itself, of which only part of the amount may be out."""
    wait(unkind, paid)
    payer = unkind.payer
    for payout_id in (others or {}).values():
        unkind.world.people.in_parts.add(payout_id)
    BankRecord(unkind.world, payer.bank).check()
    assert payer.bank.duplicates() == []
    # No file went out twice, whatever the bank did with the second one.
    files = payer.bank.get("/admin/files")
    assert not [f for f in files if ".duplicate-" in f["file"] or ".copy-" in f["file"]], files
    assert len(unkind.rejected()) - unkind.rejected_before == rejected, files
    outbox = unkind.world.stack.folder / "bank" / "sftp" / "outbox"
    assert not list((outbox / "bad").iterdir()), "files that were put aside as unreadable"
    names = [path.name for folder in (outbox, outbox / "done") for path in folder.iterdir()]
    assert not [name for name in names if ".duplicate-" in name], names
    assert unkind.world.payments_rows("SELECT name, reason FROM inbox WHERE state = 3") == [], "files refused as a whole"
    if exceptions is not None:
        wait_until(lambda: unkind.exceptions() == Counter(exceptions), f"exceptions are {exceptions}", 20)
    if at_rest:
        assert_books_at_rest(payer, [merchant.book_id for merchant in paid.merchants])
        for merchant in paid.merchants:
            gone = sum(p.amount_minor for p in merchant.payouts() if p.state == SETTLED)
            assert merchant.balance() == (DEPOSIT - gone, 0, DEPOSIT - gone)


__all__ = ["ACH", "BASE", "DEPOSIT", "FAILED", "HELD", "INSTANT", "RETURNED", "SETTLED", "SETTINGS", "TIMED", "UNKIND", "Paid", "Unkind",
           "judge", "pay", "wait"]
