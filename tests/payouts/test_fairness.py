"""Lanes: the thousands of one merchant do not hold up the first payout of another, though the bank is slow."""

from support import mix
from support.paying import INSTANT, SETTLED, Payer, assert_bank_agrees
from support.waiting import wait_until

SLOW = 805  # the last digits of an amount for which the bank takes its time
MANY = 3_000


def lane(world, merchant):
    rows = world.payments_rows("SELECT DISTINCT lane FROM saga s JOIN payout p USING (book_id, payout_id) "
                               f"WHERE p.merchant_id = '{merchant.id}'")
    return rows[0][0] if rows else None


def settled(world, merchant):
    return int(world.payments_rows("SELECT count(*) FROM saga s JOIN payout p USING (book_id, payout_id) "
                                   f"WHERE p.merchant_id = '{merchant.id}' AND s.state = 6")[0][0])


def test_the_first_of_another_merchant_does_not_wait_for_thousands(new_world):
    """All in one book; eight payments at the bank at once, each a fifth of a second: the many take more than a minute."""
    ours = {**mix.SETTINGS["payments-svc"], "books.count": 1, "saga.batch_max": 32, "instant.connections": 8,
            "saga.lease_ms": 10_000, "instant.timeout_ms": 5_000, "saga.resolve_after_ms": 60_000}
    world = new_world({"payments-svc": ours, "bank-sim": {**mix.SETTINGS["bank-sim"], "faults.slow_ms": 200}})
    payer = Payer(world)
    many = payer.merchant(deposit=1_000_000_000, prefix="many")
    many.recipient()
    for start in range(0, MANY, 1_000):
        many.pay_many([many.new_payout(100_000 + SLOW, INSTANT) for _ in range(start, start + 1_000)])
    wait_until(lambda: settled(world, many) > 0, "the bank is at work")
    others = []
    for _ in range(50):  # one whose lane is another's: fifteen of sixteen are
        other = payer.merchant(deposit=mix.DEPOSIT, prefix="other")
        payout = other.pay(1_000, INSTANT)
        others.append((other, payout.payout_id))
        if lane(world, other) != lane(world, many):
            break
    other, payout_id = others[-1]
    paid = other.wait_for([payout_id], {SETTLED}, 20)
    assert_bank_agrees(payer, list(paid.values()))
    assert settled(world, many) < MANY / 2, "it did not wait for the many"
    world.payments.kill()  # the rest would take its time
