"""The database fails over while payouts are under way: to a standby that has everything, and to one that has forgotten the last of it.
Nobody is paid twice and nobody is lost (NO-DOUBLE, NO-LOSS), and nothing is sent before the open payouts were compared with the bank."""

import json

import grpc
import pytest
from support import mix, rpc
from support.feed_record import Feed
from support.metrics import metric
from support.paying import INSTANT, SETTLED, Payer, assert_bank_agrees, assert_books_at_rest, assert_ledger_equals_bank
from support.waiting import wait_until

SLOW = 805  # the last digits of an amount for which the bank takes its time
SETTINGS = {**mix.SETTINGS, "payments-svc": {**mix.SETTINGS["payments-svc"], "books.count": 4, "ach.enabled": "false"}}


def replicated(new_world, settings=None):
    """A world of its own cluster, and a standby that follows it."""
    world = new_world(settings or SETTINGS, own_cluster=True)
    primary = world.cluster
    standby = primary.standby(world.stack.folder / "standby")
    world.stack.further_clusters.append(standby)
    wait_until(primary.caught_up, "the standby follows")
    return world, primary, standby


def logged(daemon, event):
    """The lines of this event, as dictionaries."""
    found = []
    for line in daemon.log_file.read_text(encoding="utf-8").splitlines():
        if f'"event":"{event}"' in line:
            found.append(json.loads(line))
    return found


def fail_over(world, primary, standby, *, restarted):
    """The primary is gone for good. The ledger's process goes with it; that of the payments stays, unless it is to be restarted."""
    primary.stop("immediate")
    world.ledger.kill()
    if restarted:
        world.payments.kill()
    standby.take_over(primary)
    world.stack.cluster = standby
    world.stack.further_clusters = [primary]
    world.ledger.start()
    if restarted:
        world.payments.start()


def assert_recovered(world, why, *, sending=True):
    """sending: payouts are sent by the claims of their own sagas, and not by submissions."""
    wait_until(lambda: logged(world.payments, "guard.recovered"), "the recovery has ended", 60)
    begun = logged(world.payments, "guard.recovery_begun")
    assert [line["why"] for line in begun] == [why]
    # Whatever was sent after it began went to the bank after it had ended; what came before it can no longer be told apart.
    assert metric(world.payments, "engine_stopped", reason="recovery") == 0
    rows = world.payments_rows("SELECT timeline_id, recovering_since IS NULL, ended_by FROM timeline")
    assert rows == [["2", "t", ""]]
    if not sending:
        return
    ended = logged(world.payments, "guard.recovered")[0]["ts"]
    sent = world.payments_rows(
        "SELECT count(*) FROM step_log WHERE step = 2 AND kind = 1 AND at > (SELECT seen_at FROM timeline) "
        f"AND at < timestamptz '{ended}' - interval '1 s'")
    assert sent == [["0"]], "sent while the recovery lasted"


def pay_again(payer, merchant, requests):
    """Repeats every payout with its old key, as a careful client does. Returns the payouts once they have settled."""
    ids = [payer.call("Payout", "CreatePayout", request).payout.payout_id for request in requests]
    assert len(set(ids)) == len(requests)
    return list(merchant.wait_for(ids, {SETTLED}, 90).values())


def judge(world, payer, merchant, payouts):
    assert_bank_agrees(payer, payouts)
    lines = [line for line in payer.bank.payments() if line["times_credited"] > 0]
    assert sorted(line["amount"] for line in lines) == sorted(payout.amount_minor for payout in payouts)
    assert all(line["times_credited"] == 1 for line in lines)
    assert_books_at_rest(payer, [merchant.book_id])
    assert_ledger_equals_bank(payer)
    gone = sum(payout.amount_minor for payout in payouts)
    assert merchant.balance(prove=False) == (mix.DEPOSIT - gone, 0, mix.DEPOSIT - gone)


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
def test_NO_DOUBLE_an_asynchronous_standby_has_forgotten_what_was_paid(new_world, restarted):
    world, primary, standby = replicated(new_world)
    payer = Payer(world)
    merchant = payer.merchant(deposit=mix.DEPOSIT, prefix="failover")
    merchant.recipient()
    early = [merchant.request(1_000 + n, INSTANT) for n in range(5)]
    ids = [payer.call("Payout", "CreatePayout", request).payout.payout_id for request in early]
    merchant.wait_for(ids, {SETTLED})

    # These the standby knows as accepted, and as not sent: the bank could not be reached.
    world.bank.stop()
    waiting = [merchant.request(2_000 + n, INSTANT) for n in range(5)]
    for request in waiting:
        payer.call("Payout", "CreatePayout", request)
    wait_until(lambda: world.payments_rows("SELECT count(*) FROM saga WHERE step IN (2, 3) AND attempt = 1") == [["5"]],
               "they stand before the bank")
    wait_until(primary.caught_up, "the standby has all of it")
    standby.stop()

    # From here on all is forgotten. The bank pays what waited, and what is new.
    world.bank.start()
    forgotten = [merchant.request(3_000 + n, INSTANT) for n in range(5)]
    for request in forgotten:
        payer.call("Payout", "CreatePayout", request)
    known = [payout.payout_id for payout in merchant.payouts()]
    assert len(known) == 15
    merchant.wait_for(known, {SETTLED})
    slow = merchant.request(10_000 + SLOW, INSTANT)  # at the bank at this moment
    payer.call("Payout", "CreatePayout", slow)
    told = {row[0]: row for row in Feed(world).entries(book_id=merchant.book_id)}

    fail_over(world, primary, standby, restarted=restarted)
    payouts = pay_again(payer, merchant, early + waiting + forgotten + [slow])
    assert_recovered(world, "the database is on a new timeline")
    assert len(payouts) == 16
    judge(world, payer, merchant, payouts)
    # TOLD: what was forgotten is no position any more, and no number means two things.
    with pytest.raises(grpc.RpcError) as refused:
        Feed(world).entries(max(told), book_id=merchant.book_id)
    assert rpc.failure(refused.value).reason == "FEED_POSITION_UNKNOWN"
    again = {row[0]: row for row in Feed(world).entries(book_id=merchant.book_id)}
    both = again.keys() & told.keys()
    assert both and {at: again[at] for at in both} == {at: told[at] for at in both} and min(again.keys() - both) == 2**40 + 1
    after = Feed(world).entries(max(both), book_id=merchant.book_id)
    assert after == [again[at] for at in sorted(again.keys() - both)]


def test_NO_LOSS_a_synchronous_standby_has_everything(new_world):
    world, primary, standby = replicated(new_world)
    primary.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'standby';\nSELECT pg_reload_conf();\n")
    wait_until(lambda: primary.rows("postgres", "SELECT sync_state FROM pg_stat_replication") == [["sync"]],
               "the standby is synchronous")
    payer = Payer(world)
    merchant = payer.merchant(deposit=mix.DEPOSIT, prefix="sync")
    merchant.recipient()
    requests = [merchant.request(1_000 + n, INSTANT) for n in range(20)] + [
        merchant.request(1_000 * n + SLOW, INSTANT) for n in range(10, 15)]
    accepted = [payer.call("Payout", "CreatePayout", request).payout.payout_id for request in requests]
    wait_until(lambda: metric(world.payments, "saga_claimed_total") > 0, "the engine is at work")

    fail_over(world, primary, standby, restarted=False)
    # Everything acknowledged is there, under the ids that were told.
    found = merchant.wait_for(accepted, {SETTLED}, 90)
    assert set(found) == set(accepted)
    assert_recovered(world, "the database is on a new timeline")
    payouts = pay_again(payer, merchant, requests)
    assert {payout.payout_id for payout in payouts} == set(accepted)
    judge(world, payer, merchant, payouts)


def test_recovery_waits_for_the_bank_and_ends_by_a_persons_reason(new_world):
    """While the bank does not answer, nothing is sent; a person may end it, and is named."""
    world, primary, standby = replicated(new_world)
    payer = Payer(world)
    merchant = payer.merchant(deposit=mix.DEPOSIT, prefix="force")
    world.bank.stop()
    standing = merchant.pay(1_000, INSTANT)
    wait_until(lambda: world.payments_rows("SELECT count(*) FROM saga WHERE step IN (2, 3) AND attempt = 1") == [["1"]],
               "it stands before the bank")
    wait_until(primary.caught_up, "the standby has all of it")
    fail_over(world, primary, standby, restarted=False)
    wait_until(lambda: metric(world.payments, "recovery_left") == 1, "one is left to be compared", 60)
    assert metric(world.payments, "engine_stopped", reason="recovery") == 1
    later = merchant.pay(2_000, INSTANT)
    wait_until(lambda: world.payments_rows(
        f"SELECT step FROM saga WHERE payout_id = '{later.payout_id}'") == [["2"]], "reserved, and not sent")

    # After another restart it still is so.
    world.payments.kill()
    world.payments.start()
    wait_until(lambda: metric(world.payments, "recovery_left") == 1, "still left", 60)
    world.payments.kill()
    # A reason that is meant for another recovery ends nothing.
    world.payments.start(env={"PAYMENTS_RECOVERY_FORCE_END": "00000000 left over from the last time"})
    wait_until(lambda: metric(world.payments, "recovery_left") == 1, "still left", 60)
    world.payments.kill()
    (recovery_id,) = world.payments_rows("SELECT recovery_id FROM timeline")[0]
    world.payments.start(env={"PAYMENTS_RECOVERY_FORCE_END": f"{recovery_id} the bank was asked by telephone"})
    wait_until(lambda: metric(world.payments, "engine_stopped", reason="recovery") == 0, "ended by force", 60)
    assert world.payments_rows("SELECT ended_by FROM timeline") == [["the bank was asked by telephone"]]
    assert logged(world.payments, "guard.recovery_ended_by_force")[0]["not_compared"] == 1
    world.bank.start()
    payouts = list(merchant.wait_for([standing.payout_id, later.payout_id], {SETTLED}).values())
    assert_bank_agrees(payer, payouts)
