"""FENCED: a worker that was presumed dead cannot write. Two payments-svc on one database; one is stopped (SIGSTOP) past its
lease while it holds sagas, the other finishes them, and then the first is continued."""

import re
import time

import pytest
from support import mix
from support.bank import http_get
from support.crash import Plan, stopped
from support.paying import (ACH, INSTANT, RETURNED, SETTLED, Payer, assert_bank_agrees, assert_books_at_rest,
                            assert_ledger_equals_bank)
from support.waiting import wait_until

LEASE_MS = 1200
CANCELED = 9
SETTINGS = {**mix.SETTINGS, "payments-svc": {**mix.SETTINGS["payments-svc"], "saga.lease_ms": LEASE_MS,
            # A stopped process may hold locks in an open transaction: its sessions are ended after so long (else 30 s), by the
            # database between two statements, and by the other process's watch in the middle of one.
            "db.statement_timeout_ms": 3000,
            "db.conninfo": "service=payments_service application_name=payments-svc "
                           "options='-c idle_in_transaction_session_timeout=2000'"}}
OTHER = "payments-svc.2"
# Where the first worker stands still, in the middle of a step: it has the lease, has acted or is about to, has not written.
POINTS = ["saga.claim.committed", "saga.outcome.copying", "saga.reserve.prepared", "saga.reserve.sent", "saga.reserve.acked",
          "saga.execute.prepared", "instant.post.begin", "instant.post.answered", "submission.claimed", "submission.begun",
          "ach.upload.begin", "ach.upload.written", "ach.upload.fenced",
          "ach.upload.renamed", "saga.execute.sent", "saga.execute.acked", "saga.confirm.prepared", "saga.confirm.sent",
          "saga.confirm.acked", "saga.void.prepared", "saga.void.acked", "saga.return.sent"]


@pytest.fixture(scope="module")
def pair(servers):
    """A world whose second payments-svc is configured, and not running."""
    world = servers.world(SETTINGS)
    try:
        world.up()
        world.stack.add_instance("payments-svc", OTHER, {"instant.webhook_port": 0})
        yield world
        world.stop_and_check()
    finally:
        world.remove()


def metric(daemon, name):
    """The sum over all labels."""
    text = http_get(f"http://127.0.0.1:{daemon.ready()['metrics_port']}/metrics")
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


def written(world, merchant):
    """What a worker writes about the payouts of a merchant: their logs and where they stand. Not the epoch and time of the last
    claim: a webhook that is delivered late may make a worker look again, and find that there is nothing to do."""
    return world.payments_rows(
        "SELECT l.* FROM step_log l JOIN payout p USING (book_id, payout_id) "
        f"WHERE p.merchant_id = '{merchant.id}' ORDER BY l.payout_id, l.seq") + world.payments_rows(
        "SELECT s.payout_id, step, phase, state, attempt, log_seq, reason, rail_reference FROM saga s "
        f"JOIN payout p USING (book_id, payout_id) WHERE p.merchant_id = '{merchant.id}' ORDER BY s.payout_id")


def assert_epochs_grow(world, merchant):
    """In the log of a payout the fencing epoch never goes back, and an epoch has one owner: nobody wrote out of turn."""
    rows = world.payments_rows(
        "SELECT l.payout_id, l.epoch, l.owner FROM step_log l JOIN payout p USING (book_id, payout_id) "
        f"WHERE p.merchant_id = '{merchant.id}' ORDER BY l.payout_id, l.seq")
    last = {}
    for payout_id, epoch, owner in rows:
        before, whose = last.get(payout_id, (0, owner))
        assert int(epoch) >= before and (int(epoch) > before or owner == whose), (payout_id, epoch, owner)
        last[payout_id] = (int(epoch), owner)
    return {owner for _, _, owner in rows}


def restart(daemon, env=None):
    daemon.kill()
    daemon.start(env=env)


def taken_over(world, plan):
    """The first worker takes payouts in and stands still, the second one finishes them. (merchant, payer, {payout: its end})."""
    first, second = world.payments, world.daemon(OTHER)
    restart(second)
    other = Payer(world, OTHER)
    merchant = other.merchant(deposit=mix.DEPOSIT, prefix="fence")
    merchant.recipient()
    second.kill()  # a stop would wait for the clients' connections, a second each time; the last tests here stop it
    restart(first, plan.env)

    wanted = [(ACH, 1_000, SETTLED), (ACH, 1_951, RETURNED), (ACH, 1_902, RETURNED), (INSTANT, 1_100, SETTLED),
              (INSTANT, 2_100, SETTLED), (INSTANT, 1_801, 7)]
    merchant.payer = Payer(world)
    request = [merchant.new_payout(amount, rail) for rail, amount, _ in wanted]
    results = merchant.pay_many(request)
    ends = {result.payout.payout_id: end for result, (_, _, end) in zip(results, wanted)}
    wait_until(lambda: plan.hit() and stopped(first), f"the worker stands at {plan.point}")

    # The second one waits for the lease to end, or the lock.
    restart(second)
    merchant.payer = other
    for state in set(ends.values()):
        merchant.wait_for([key for key, end in ends.items() if end == state], {state}, 45)
    assert stopped(first)
    return merchant, other, ends


def assert_nothing_changes(world, merchant, before):
    later = time.monotonic() + LEASE_MS / 1000
    wait_until(lambda: time.monotonic() > later, "a lease's time has passed, in which it could have done harm")
    assert written(world, merchant) == before


def assert_paid_once(other, merchant, ends):
    payouts = merchant.payouts()
    assert {payout.payout_id: payout.state for payout in payouts} == ends
    assert_bank_agrees(other, payouts)
    assert_books_at_rest(other, [merchant.book_id])


@pytest.mark.parametrize("point", POINTS)
def test_FENCED_a_stopped_worker_cannot_write(pair, point, tmp_path):
    world = pair
    merchant, other, ends = taken_over(world, Plan(tmp_path, point, action="stop"))
    before = written(world, merchant)

    # Continued, the first one goes on where it stood, and cannot write.
    world.payments.resume()
    wait_until(lambda: metric(world.payments, "saga_lease_lost_total") + metric(world.payments, "submissions_lost_total") > 0,
               "the first worker finds out that it has lost its lease", 20)
    assert_nothing_changes(world, merchant, before)
    assert len(assert_epochs_grow(world, merchant)) >= 2, "both workers have worked on them"
    assert_paid_once(other, merchant, ends)
    world.daemon(OTHER).kill()


def test_FENCED_a_worker_stopped_while_it_takes_them_holds_nobody_up(pair, tmp_path):
    """Before it has anything: it stands still with the lock under which it would have taken them."""
    world = pair
    merchant, other, ends = taken_over(world, Plan(tmp_path, "saga.claim.copying", action="stop"))
    before = written(world, merchant)
    world.payments.resume()
    assert_nothing_changes(world, merchant, before)
    assert_epochs_grow(world, merchant)
    assert_paid_once(other, merchant, ends)
    world.daemon(OTHER).stop()


def test_NO_DOUBLE_canceled_while_a_worker_is_stopped_before_its_post(new_world, tmp_path):
    """The bank has not got what a stopped worker is about to send. Once it is canceled, the worker that wakes sends nothing."""
    late = {"saga.backoff_base_ms": 3_000_000, "saga.backoff_cap_ms": 3_000_000}  # what was not there is not sent again soon
    world = new_world({**SETTINGS, "payments-svc": {**SETTINGS["payments-svc"], **late}}, up=False)
    world.up()
    world.stack.add_instance("payments-svc", OTHER, {"instant.webhook_port": 0})
    restart(world.daemon(OTHER))
    other = Payer(world, OTHER)
    merchant = other.merchant(deposit=mix.DEPOSIT)
    merchant.recipient()
    world.daemon(OTHER).kill()
    restart(world.payments, Plan(tmp_path, "instant.post.begin", action="stop").env)
    merchant.payer = Payer(world)
    payout_id = merchant.pay(1_100, INSTANT).payout_id
    wait_until(lambda: stopped(world.payments), "the worker stands before its post")
    restart(world.daemon(OTHER))
    merchant.payer = other
    asked = "SELECT count(*) FROM step_log WHERE step = 3 AND outcome = 3"
    wait_until(lambda: world.payments_rows(asked) == [["1"]], "the bank was asked, and has not got it", 20)
    other.call("Payout", "CancelPayout", other.pb.CancelPayoutRequest(merchant_id=merchant.id, payout_id=payout_id))
    final = merchant.wait_for([payout_id], {CANCELED}, 20)
    assert int(world.payments_rows(asked)[0][0]) >= 3, "the bank was asked at the beginning and at the end of a time"
    world.payments.resume()
    wait_until(lambda: metric(world.payments, "saga_lease_lost_total") > 0, "the first worker finds out that it has lost its lease", 20)
    assert not [entry for entry in other.bank.payments() if payout_id in str(entry)], "it sent what was canceled"
    assert_bank_agrees(other, list(final.values()))
    assert_books_at_rest(other, [merchant.book_id])
    world.daemon(OTHER).stop()


def test_NO_DOUBLE_two_workers_share_the_work(pair):
    """Both alive: 300 payouts of six merchants, each worked on by one at a time and paid once."""
    world = pair
    restart(world.payments)
    restart(world.daemon(OTHER))
    payers = [Payer(world), Payer(world, OTHER)]
    merchants = [payers[i % 2].merchant(deposit=mix.DEPOSIT) for i in range(6)]
    for merchant in merchants:
        results = merchant.pay_many([merchant.new_payout(100 + i, ACH if i % 2 else INSTANT) for i in range(50)])
        assert all(result.payout.payout_id for result in results)
    owners = set()
    for merchant in merchants:
        payouts = merchant.wait_for([payout.payout_id for payout in merchant.payouts()], {SETTLED})
        assert len(payouts) == 50
        assert_bank_agrees(merchant.payer, list(payouts.values()))
        owners |= assert_epochs_grow(world, merchant)
    assert len(owners) >= 2
    assert_books_at_rest(payers[0], [merchant.book_id for merchant in merchants])
    assert_ledger_equals_bank(payers[0])
    world.daemon(OTHER).stop()


def test_FENCED_stopped_anywhere_under_load(pair):
    """No chosen point: the first worker is stopped three times in mid-work, each time for longer than its lease."""
    world = pair
    first, second = world.payments, world.daemon(OTHER)
    restart(first)
    restart(second)
    payer = Payer(world, OTHER)
    merchants = []
    for _ in range(3):
        merchant = payer.merchant(deposit=mix.DEPOSIT)
        merchants.append(merchant)
        merchant.pay_many([merchant.new_payout(100 + i, ACH if i % 2 else INSTANT) for i in range(60)])
        first.pause()
        wait_until(lambda: stopped(first), "it is stopped")
        merchant.wait_for([payout.payout_id for payout in merchant.payouts()], {SETTLED}, 45)
        first.resume()
    for merchant in merchants:
        payouts = list(merchant.wait_for([payout.payout_id for payout in merchant.payouts()], {SETTLED}).values())
        assert len(payouts) == 60
        assert_bank_agrees(payer, payouts)
        assert_epochs_grow(world, merchant)
    assert_books_at_rest(payer, [merchant.book_id for merchant in merchants])
    second.stop()
