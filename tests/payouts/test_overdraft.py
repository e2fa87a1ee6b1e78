"""NO-OVERDRAFT end to end, and that merchants do not wait for each other."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from run.cluster import ADMIN, BIN, PORT
from run.keys import password_file
from run.layout import clean_environment
from support.paying import (ACH, FAILED, INSTANT, SETTLED, Payer, assert_bank_agrees, assert_books_at_rest,
                            assert_ledger_equals_bank, of_bank)
from support.waiting import wait_until


@pytest.fixture(scope="module")
def payer(world):
    return Payer(world)


@pytest.mark.parametrize("rail", [ACH, INSTANT])
def test_NO_OVERDRAFT_ten_payouts_of_60_from_a_balance_of_100(payer, rail):
    merchant = payer.merchant(deposit=10_000)
    requests = [merchant.request(6_000, rail) for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        ids = [answer.payout.payout_id for answer in
               pool.map(lambda request: payer.call("Payout", "CreatePayout", request), requests)]
    final = merchant.wait_for(ids)
    assert sorted((payout.state, payout.reason) for payout in final.values()) == (
        [(SETTLED, "")] + [(FAILED, "INSUFFICIENT_FUNDS")] * 9)
    assert all(payout.attempts == 0 for payout in final.values() if payout.state == FAILED)
    assert merchant.balance() == (4_000, 0, 4_000)
    assert_bank_agrees(payer, list(final.values()))
    assert_books_at_rest(payer, [merchant.book_id])


def test_NO_OVERDRAFT_a_crowd_spends_exactly_what_is_there(payer):
    """120 payouts of 90 on both rails, single and bulk, from 5,000: 55 of them fit."""
    merchant = payer.merchant(deposit=5_000)
    payouts = [merchant.new_payout(90, ACH if i % 3 == 0 else INSTANT) for i in range(120)]
    with ThreadPoolExecutor(12) as pool:
        results = [result.payout.payout_id for part in
                   pool.map(merchant.pay_many, [payouts[at:at + 10] for at in range(0, 120, 10)]) for result in part]
    final = merchant.wait_for(results)
    assert sum(payout.state == SETTLED for payout in final.values()) == 55
    assert sum(payout.reason == "INSUFFICIENT_FUNDS" for payout in final.values()) == 65
    assert merchant.balance() == (50, 0, 50)
    assert_bank_agrees(payer, list(final.values()))


def test_money_that_comes_back_can_be_spent_again(payer):
    merchant = payer.merchant(deposit=10_000)
    refused = merchant.pay(9_801)
    assert merchant.wait_for([refused.payout_id])[refused.payout_id].state == FAILED
    assert merchant.balance() == (10_000, 0, 10_000)
    paid = merchant.pay(10_000)
    assert merchant.wait_for([paid.payout_id])[paid.payout_id].state == SETTLED
    assert merchant.balance() == (0, 0, 0)
    assert_ledger_equals_bank(payer)


class HeadLock:
    """A session of its own that holds the lock of one book's head row: all of this book's commits wait for it."""

    def __init__(self, world, book_id: int):
        cluster = world.cluster
        env = {**clean_environment(), "PGPASSFILE": str(password_file(cluster.secrets, ADMIN))}
        self.session = subprocess.Popen(
            [str(BIN / "psql"), "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-h", str(cluster.socket), "-p", PORT,
             "-U", ADMIN, "-d", world.stack.databases[0]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.say(f"BEGIN; SELECT book_id FROM book_head WHERE book_id = {book_id} FOR UPDATE;")
        assert self.session.stdout.readline().strip() == str(book_id)

    def say(self, sql: str) -> None:
        self.session.stdin.write(sql + "\n")
        self.session.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.say("ROLLBACK;")
        self.session.stdin.close()
        assert self.session.wait(10) == 0


def test_merchants_of_different_books_do_not_wait_for_each_other(payer):
    """The head of one book is locked: its merchant's payouts stand still, those of another book go all the way."""
    stuck = payer.merchant(deposit=10_000)
    free = payer.merchant_in_other_book(stuck.book_id, deposit=1_000_000)
    with HeadLock(payer.world, stuck.book_id):
        waiting = [stuck.pay(100, rail).payout_id for rail in (ACH, INSTANT)]
        for _ in range(3):
            ids = [free.pay(100, rail).payout_id for rail in (ACH, INSTANT) * 5]
            final = free.wait_for(ids, timeout_s=20)
            assert {payout.state for payout in final.values()} == {SETTLED}
        assert not {payout.state for payout in stuck.payouts()} & {SETTLED, FAILED}
    final = stuck.wait_for(waiting)
    assert {payout.state for payout in final.values()} == {SETTLED}
    assert_books_at_rest(payer, [stuck.book_id, free.book_id])


def two_of_one_book(payer):
    """Merchants until two are in one book."""
    by_book = {}
    while True:
        merchant = payer.merchant()
        if merchant.book_id in by_book:
            return by_book[merchant.book_id], merchant
        by_book[merchant.book_id] = merchant


def test_merchants_of_one_book_do_not_wait_for_the_bank_s_answers_to_each_other(new_world):
    """The bank has one merchant's payment and does not answer; payments of another one of the same book go all the way."""
    payer = Payer(new_world({"payments-svc": {"saga.lease_ms": 240_000, "instant.timeout_ms": 120_000}, "bank-sim": {"faults.slow_ms": 90_000}}))
    slow, quick = two_of_one_book(payer)
    for merchant in (slow, quick):
        merchant.deposit(100_000)
    hanging = slow.pay(10_805, INSTANT)
    wait_until(lambda: of_bank(payer.bank.payments(), hanging), "the bank has the payment that it will not answer")
    for _ in range(2):
        paid = quick.pay(100, INSTANT)
        assert quick.wait_for([paid.payout_id])[paid.payout_id].state == SETTLED
    submission = [entry.kind for entry in slow.timeline(hanging.payout_id).entries if entry.step == "EXECUTE"]
    assert submission == ["INTENT"], "the other merchant's payments came after the bank's answer"
    assert payer.world.bank.stop(), "the bank did not stop"  # it answers what it has kept waiting
    payer.world.bank.start()
    final = slow.wait_for([hanging.payout_id])[hanging.payout_id]
    assert (final.state, final.attempts) == (SETTLED, 1)
    assert_bank_agrees(payer, [final, *quick.payouts()])
    assert_books_at_rest(payer, [slow.book_id])


def test_merchants_of_one_book_share_no_money(payer):
    """Two merchants share a book. The one without money cannot use the other's."""
    rich, poor = two_of_one_book(payer)
    rich.deposit(50_000)
    broke = poor.pay(100)
    paid = rich.pay(100)
    assert poor.wait_for([broke.payout_id])[broke.payout_id].reason == "INSUFFICIENT_FUNDS"
    assert [(entry.step, entry.outcome, entry.control) for entry in poor.timeline(broke.payout_id).entries if entry.control] == [
        ("RESERVE", "REFUSED", "funds")]  # the timeline says which control it was
    assert rich.wait_for([paid.payout_id])[paid.payout_id].state == SETTLED
    assert rich.balance() == (49_900, 0, 49_900) and poor.balance() == (0, 0, 0)
