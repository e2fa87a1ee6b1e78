"""Locks are taken in one order everywhere: the slot, the submission, the sagas, the case. Resolving a case keeps to it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from support.paying import ACH, paying
from support.session import session
from support.waiting import wait_until

from test_case_orders import ACH_FAST, SENT, SETTINGS, contradicted, unreadable
from test_cases import RESOLVED, Cases
from test_connections import ON, Connections
from test_orders_where_nothing_goes import assert_free, cancel, waiting

CANCELED = 9
EXECUTE = 2


@pytest.fixture(scope="module")
def payer(servers):
    yield from paying(servers, {**SETTINGS, "payments-svc": {**ACH_FAST, **SETTINGS["payments-svc"], "ach.quiet_ms": 500}})


@pytest.fixture
def bank_away(payer):
    """Payouts by file wait in a submission that cannot leave."""
    wait_until(lambda: Connections(payer.world).list()["ach"].state == ON, "the bank is there")
    # Behind an open breaker no payout is put into a file: one that has come to the bank shows that it is closed.
    merchant = payer.merchant(deposit=10_000)
    merchant.wait_for([merchant.pay(1_000, ACH).payout_id], {SENT})
    payer.world.bank.stop()
    yield
    payer.world.bank.start()


@pytest.fixture(scope="module")
def cases(payer):
    return Cases(payer.world)


def waits_for(payer, pid):
    return payer.world.payments_rows(f"SELECT pid FROM pg_stat_activity WHERE {pid} = ANY(pg_blocking_pids(pid))")


def resolve_behind(payer, cases, case, first, resolution):
    """A worker has what comes before the case, and wants the case then. Whoever resolves it waits for the first, and does not have the
    second."""
    with session(payer.world) as worker, ThreadPoolExecutor(1) as person:
        pid = worker.run("BEGIN;\nSELECT pg_backend_pid()")
        assert worker.run(first + " FOR UPDATE") == "1"
        call = person.submit(cases.resolve, case, resolution, evidence="the bank's letter")
        wait_until(lambda: waits_for(payer, pid), "the resolution waits for the worker")
        wanted = worker.run(f"SELECT state FROM payment_case WHERE book_id = {case.book_id} AND case_id = '{case.case_id}' FOR UPDATE NOWAIT")
        worker.run("COMMIT")
        assert call.result(timeout=30).case.state == RESOLVED
        assert wanted == "1", wanted


def test_the_saga_comes_before_its_case(payer, cases):
    merchant, payout_id, case = contradicted(payer, cases)
    resolve_behind(payer, cases, case, f"SELECT 1 FROM saga WHERE book_id = {merchant.book_id} AND payout_id = '{payout_id}'", "GIVE_BACK")


def test_the_slot_comes_before_the_case(payer, cases):
    merchant, _, case, repair = unreadable(payer, cases)
    repair()
    resolve_behind(payer, cases, case, f"SELECT 1 FROM saga_slot WHERE book_id = {merchant.book_id} AND step = {EXECUTE} AND rail = 2", "RELEASE")


def in_a_submission(payer):
    """(merchant, payout, id of its submission) of one that waits for the time at which its file leaves."""
    merchant, payout = waiting(payer)
    where = f"FROM submission_item WHERE book_id = {merchant.book_id} AND payout_id = '{payout.payout_id}'"
    found = wait_until(lambda: payer.world.payments_rows(f"SELECT submission_id {where}"), "it is in a submission")
    return merchant, payout, found[0][0]


def overdue(cases, merchant, payout):
    return cases.insert(book_id=merchant.book_id, kind="PAYOUT_OVERDUE", subject_type="payout", subject_id=payout.payout_id,
                        merchant_id=merchant.id)


def test_the_submission_comes_before_the_case(payer, cases, bank_away):
    merchant, payout, submission_id = in_a_submission(payer)
    resolve_behind(payer, cases, overdue(cases, merchant, payout),
                   f"SELECT 1 FROM submission WHERE book_id = {merchant.book_id} AND submission_id = '{submission_id}'", "CANCEL")
    assert_free(merchant, payout, CANCELED)


@pytest.mark.parametrize("order", ["CancelPayout", "ResolveCase"])
def test_the_sagas_of_a_submission_are_locked_in_their_order(payer, cases, bank_away, order):
    """Of two payouts in one file the later one is taken out, while a worker has the earlier one and wants the later one then."""
    merchant = payer.merchant(deposit=10_000)
    made = merchant.pay_many([merchant.new_payout(1_000, ACH) for _ in range(2)])
    first, later = sorted((result.payout for result in made), key=lambda payout: payout.payout_id)
    together = ("SELECT count(DISTINCT submission_id), count(*) FROM submission_item "
                f"WHERE payout_id IN ('{first.payout_id}', '{later.payout_id}')")
    wait_until(lambda: payer.world.payments_rows(together) == [["1", "2"]], "both are in one submission")
    row = f"SELECT 1 FROM saga WHERE book_id = {merchant.book_id} AND payout_id = '%s' FOR UPDATE"
    with session(payer.world) as worker, ThreadPoolExecutor(1) as person:
        pid = worker.run("BEGIN;\nSELECT pg_backend_pid()")
        assert worker.run(row % first.payout_id) == "1"
        call = (person.submit(cancel, payer, merchant, later) if order == "CancelPayout" else
                person.submit(cases.resolve, overdue(cases, merchant, later), "CANCEL"))
        wait_until(lambda: waits_for(payer, pid), "the order waits for the worker")
        wanted = worker.run(row % later.payout_id + " NOWAIT")
        worker.run("COMMIT")
        call.result(timeout=30)
        assert wanted == "1", wanted
    merchant.wait_for([later.payout_id], {CANCELED})


def test_what_a_bank_sent_comes_before_its_case(payer, cases):
    (payer.world.stack.folder / "bank" / "sftp" / "outbox" / "unreadable").write_text("101 " + "9" * 90 + "\n")
    (case,) = wait_until(lambda: cases.list(kind="INBOX_FILE"), "its case")
    resolve_behind(payer, cases, case, f"SELECT 1 FROM inbox WHERE inbox_id = '{case.subject_id}'", "IGNORE")
