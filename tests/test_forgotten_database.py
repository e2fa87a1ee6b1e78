"""NO-DOUBLE when payments' database has forgotten: it is put back to an older state, as by a restore or by the promotion of a
standby that had not got the last commits, and the client repeats what was acknowledged."""

import pytest
from support.paying import (FAILED, HELD, INSTANT, SETTLED, Payer, assert_bank_agrees,
                            assert_books_at_rest, assert_ledger_equals_bank, of_bank)

RESERVE, PENDING = 10, 2  # the ledger's code and flag of reservations


class Older:
    """The payments database as it is now, to be put back later."""

    def __init__(self, world):
        self.world, self.name = world, world.stack.databases[1]
        self.copy = f"{self.name}_older"
        world.payments.stop()
        world.cluster.copy_database(self.name, self.copy)
        world.payments.start()

    def put_back(self):
        self.world.payments.stop()
        self.world.cluster.drop_database(self.name)
        self.world.cluster.copy_database(self.copy, self.name)
        self.world.payments.start()


@pytest.fixture
def payer(new_world):
    return Payer(new_world())


def reservations(merchant):
    (row,) = merchant.payer.world.ledger_rows(
        f"SELECT count(*) FROM transfer WHERE book_id = {merchant.book_id} AND code = {RESERVE} AND flags & {PENDING} <> 0")
    return int(row[0])


def test_NO_DOUBLE_a_repeat_after_the_database_forgot_meets_the_same_payment(payer):
    merchant = payer.merchant(deposit=100_000)
    merchant.recipient()
    older = Older(payer.world)
    # The bank refuses the last one.
    requests = [merchant.request(amount, INSTANT) for amount in (1500, 1500, 2801)]
    forgotten = [payer.call("Payout", "CreatePayout", request).payout for request in requests]
    first = merchant.wait_for([payout.payout_id for payout in forgotten])
    balance = merchant.balance()
    older.put_back()
    assert merchant.payouts() == []
    again = [payer.call("Payout", "CreatePayout", request).payout for request in requests]
    final = list(merchant.wait_for([payout.payout_id for payout in again]).values())
    assert sorted(payout.state for payout in final) == sorted(payout.state for payout in first.values()) == [
        SETTLED, SETTLED, FAILED]
    rows = payer.bank.payments()
    for payout in final:
        assert len(of_bank(rows, payout)) == 1, "the bank saw more than one submission"
    assert_bank_agrees(payer, final)
    assert [payout.intent_id for payout in again] == [payout.intent_id for payout in forgotten]
    assert reservations(merchant) == len(requests)
    assert merchant.balance() == balance
    assert_books_at_rest(payer, [merchant.book_id])
    assert_ledger_equals_bank(payer)


def test_NO_DOUBLE_another_amount_under_a_forgotten_key_is_never_paid(payer):
    """The ledger still knows what the key stood for, so the other content cannot be reserved under it."""
    merchant = payer.merchant(deposit=100_000)
    merchant.recipient()
    older = Older(payer.world)
    request = merchant.request(1500, INSTANT)
    merchant.wait_for([payer.call("Payout", "CreatePayout", request).payout.payout_id])
    older.put_back()
    request.payout.amount_minor = 1600
    other = payer.call("Payout", "CreatePayout", request).payout
    merchant.wait_for([other.payout_id], {HELD})
    payer.world.people.other_amounts.add(other.payout_id)
    assert len(payer.bank.payments()) == 1
    assert merchant.balance() == (98_500, 0, 98_500)
