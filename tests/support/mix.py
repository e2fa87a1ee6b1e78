"""A mix of payouts that lives through every path of a saga, and the judgement of what became of it after a crash."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from .paying import ACH, FAILED, INSTANT, RETURNED, SETTLED, Merchant, Payer, assert_bank_agrees, assert_books_at_rest

# Short times, so that a crash costs a second or two and not a minute; many books, so that none runs out of the 36 ACH file
# names that it has for a day.
SETTINGS: dict[str, dict[str, object]] = {
    "payments-svc": {"books.count": 400, "saga.lease_ms": 800, "saga.poll_ms": 25, "saga.backoff_base_ms": 20,
                     "saga.backoff_cap_ms": 500, "saga.resolve_after_ms": 250, "saga.workers": 3, "saga.attempts_max": 4,
                     "ledger.timeout_ms": 3000, "ach.gather_ms": 40, "ach.poll_ms": 40, "instant.timeout_ms": 400,
                     "ach.lease_ms": 1000, "ach.retry_base_ms": 20, "ach.retry_cap_ms": 500, "ach.send_poll_ms": 25},
    "bank-sim": {"ach.poll_ms": 10, "ach.return_delay_ms": 50, "instant.return_delay_ms": 50, "faults.webhook_late_ms": 300},
}

# rail, amount (its last digits ask the bank for an outcome), final state
MIX = [
    (ACH, 1_000, SETTLED), (ACH, 2_000, SETTLED), (ACH, 1_901, RETURNED), (ACH, 1_951, RETURNED),
    (INSTANT, 1_100, SETTLED), (INSTANT, 2_100, SETTLED), (INSTANT, 1_801, FAILED), (INSTANT, 1_802, SETTLED),
    (INSTANT, 1_803, SETTLED), (INSTANT, 1_804, SETTLED), (INSTANT, 1_807, SETTLED), (INSTANT, 1_809, RETURNED),
]
TOO_MUCH = 10_000_000  # more than any deposit here: refused by the ledger
DEPOSIT = 1_000_000
EVERY = [*MIX, (INSTANT, TOO_MUCH, FAILED)]


@dataclass
class Mixed:
    merchant: Merchant
    wanted: dict[str, int] = field(default_factory=dict)  # payout id → final state

    def wait(self, timeout_s: float = 45) -> list:
        """Until each payout has reached its own end; SETTLED may be a stage of one that is returned."""
        for state in sorted(set(self.wanted.values())):
            ids = [payout_id for payout_id, end in self.wanted.items() if end == state]
            self.merchant.wait_for(ids, {state}, timeout_s)
        return self.merchant.payouts()


def start(payer: Payer, lives: list[tuple[int, int, int]] = EVERY) -> Mixed:
    """A new merchant with money and a recipient, and the mix accepted: everything repeated until it is answered."""
    merchant = payer.merchant(deposit=DEPOSIT, prefix="mix")
    merchant.recipient()
    mixed = Mixed(merchant)
    requests = [(merchant.request(amount, rail), end) for rail, amount, end in lives]
    with ThreadPoolExecutor(len(requests)) as pool:
        answers = list(pool.map(lambda one: payer.call("Payout", "CreatePayout", one[0]), requests))
    for answer, (_, end) in zip(answers, requests):
        mixed.wanted[answer.payout.payout_id] = end
    return mixed


def judge(payer: Payer, mixed: Mixed) -> None:
    """NO-LOSS, NO-DOUBLE, BALANCED, EXPLAINED: after whatever has happened."""
    payouts = mixed.wait()
    # NO-LOSS: what was acknowledged is there, and nothing else is.
    assert {payout.payout_id: payout.state for payout in payouts} == mixed.wanted
    # NO-DOUBLE, by the bank's own record.
    assert_bank_agrees(payer, payouts)
    # BALANCED, the transit accounts empty, and the merchant's money exactly what it must be.
    assert_books_at_rest(payer, [mixed.merchant.book_id])
    gone = sum(payout.amount_minor + payout.fee_minor for payout in payouts if payout.state == SETTLED)
    assert mixed.merchant.balance() == (DEPOSIT - gone, 0, DEPOSIT - gone)
    # EXPLAINED: each step log is gapless, and ends with an outcome.
    rows = payer.world.payments_rows(
        "SELECT l.payout_id, count(*), max(l.seq), (array_agg(l.kind ORDER BY l.seq DESC))[1] FROM step_log l "
        f"JOIN payout p USING (book_id, payout_id) WHERE p.merchant_id = '{mixed.merchant.id}' GROUP BY l.payout_id")
    assert len(rows) == len(payouts)
    for payout_id, count, last, kind in rows:
        assert count == last and kind == "2", (payout_id, count, last, kind)
