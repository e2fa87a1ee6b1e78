"""UNKNOWN-IS-A-STATE: a rail call without a definite answer is recorded, and settled by asking the rail; never guessed."""

import pytest
from support.crash import Plan, Reviver
from support.paying import (ACH, FAILED, INSTANT, RETURNED, SETTLED, Payer, assert_bank_agrees, assert_books_at_rest, of_bank)
from support.waiting import wait_until

FAST = {"payments-svc": {"saga.lease_ms": 1500, "saga.poll_ms": 50, "saga.backoff_base_ms": 50, "saga.resolve_after_ms": 700,
                         "ach.gather_ms": 100, "ach.poll_ms": 100, "instant.timeout_ms": 700,
                         "ach.lease_ms": 1000, "ach.retry_base_ms": 20, "ach.retry_cap_ms": 500, "ach.send_poll_ms": 25},
        "bank-sim": {"faults.slow_ms": 2500}}


@pytest.fixture(scope="module")
def payer(servers):
    world = servers.world(FAST)
    try:
        yield Payer(world.up())
        world.stop_and_check()
    finally:
        world.remove()


def log_of(merchant, payout_id):
    """[(step, outcome)] of the step log."""
    return [(entry.step, entry.outcome) for entry in merchant.timeline(payout_id).entries if entry.kind == "OUTCOME"]


def assert_never_guessed(payer, merchant, payouts):
    """Nothing was voided, nothing sent twice, and the books say so too."""
    rows = payer.bank.payments()
    for payout in payouts:
        assert payout.state == SETTLED
        assert not [step for step, _ in log_of(merchant, payout.payout_id) if step in ("VOID", "RETURN")]
        assert len(of_bank(rows, payout)) == 1, "the bank saw more than one submission"
    assert_bank_agrees(payer, payouts)
    assert_books_at_rest(payer, [merchant.book_id])


def test_UNKNOWN_IS_A_STATE_the_bank_accepts_and_drops_the_answer(payer):
    merchant = payer.merchant(deposit=100_000)
    ids = [merchant.pay(803 + 1000 * i).payout_id for i in range(6)]
    final = merchant.wait_for(ids)
    assert_never_guessed(payer, merchant, list(final.values()))
    for payout_id in ids:
        assert ("EXECUTE", "UNKNOWN") in log_of(merchant, payout_id)
    assert all(payout.attempts == 1 for payout in final.values())


def test_UNKNOWN_without_any_webhook_is_resolved_by_asking(payer):
    """The answer is lost and the bank never says a word by itself: only our question finds out."""
    payer.bank.faults(by_amount=0, drop_answer_pct=100, webhook_missing_pct=100)
    try:
        merchant = payer.merchant(deposit=100_000)
        ids = [merchant.pay(500 + i).payout_id for i in range(5)]
        final = merchant.wait_for(ids)
    finally:
        payer.bank.faults(by_amount=1, drop_answer_pct=0, webhook_missing_pct=0)
    assert_never_guessed(payer, merchant, list(final.values()))
    for payout_id in ids:
        log = log_of(merchant, payout_id)
        assert ("EXECUTE", "UNKNOWN") in log and [step for step, _ in log if step == "RESOLVE"], log
        events = [entry for entry in merchant.timeline(payout_id).entries if entry.kind == "EVENT"]
        assert events == []


def test_an_answer_later_than_our_patience_is_unknown(payer):
    """805: the bank answers after 2.5 s, we wait for 1.5 s."""
    merchant = payer.merchant(deposit=100_000)
    payout_id = merchant.pay(5_805).payout_id
    final = merchant.wait_for([payout_id])
    assert_never_guessed(payer, merchant, list(final.values()))
    assert ("EXECUTE", "UNKNOWN") in log_of(merchant, payout_id)


def test_a_5xx_is_unknown_until_the_bank_says_not_found(payer):
    """804: 503 twice, nothing taken. We ask, hear NOT FOUND, and submit again under the same key."""
    merchant = payer.merchant(deposit=100_000)
    payout_id = merchant.pay(7_804).payout_id
    final = merchant.wait_for([payout_id])
    assert_never_guessed(payer, merchant, list(final.values()))
    assert ("EXECUTE", "UNKNOWN") in log_of(merchant, payout_id)


def test_while_unknown_the_money_stays_reserved(new_world):
    """The bank is gone in mid-air: the payout stands in PROCESSING with its money held, for as long as it takes."""
    world = new_world(FAST)
    payer = Payer(world)
    merchant = payer.merchant(deposit=10_000)
    # Taken, answered only after 2.5 s, which is too late for us, and no webhook.
    payer.bank.faults(by_amount=0, slow_pct=100, webhook_missing_pct=100)
    payout_id = merchant.pay(1_805).payout_id
    wait_until(payer.bank.payments, "the bank has taken it")
    world.bank.pause()  # from now on it accepts connections and answers nothing
    wait_until(lambda: ("EXECUTE", "UNKNOWN") in log_of(merchant, payout_id), "the outcome is recorded as unknown")
    wait_until(lambda: len([1 for step, _ in log_of(merchant, payout_id) if step == "RESOLVE"]) >= 2, "it asks again and again")
    assert merchant.payout(payout_id).state == 4
    assert merchant.balance() == (8_195, 1_805, 10_000)
    world.bank.resume()
    final = merchant.wait_for([payout_id])
    assert_never_guessed(payer, merchant, list(final.values()))


ACH_BOUNDARIES = ["ach.file.prepared", "submission.claimed", "submission.begun", "ach.upload.begin", "ach.upload.written",
                  "ach.upload.fenced", "ach.upload.renamed", "submission.finished", "submission.recorded"]


@pytest.mark.parametrize("point", ACH_BOUNDARIES)
def test_UNKNOWN_IS_A_STATE_the_upload_of_a_file_is_cut(payer, point, tmp_path):
    """Killed before, within and right after the upload and its rename: the file is paid once, by the bank's own record."""
    world = payer.world
    merchant = payer.merchant(deposit=100_000)
    merchant.recipient()
    plan = Plan(tmp_path, point)
    world.payments.stop()
    world.payments.start(env=plan.env)
    with Reviver(world.payments) as reviver:
        ids = [merchant.pay(1_000 + i, ACH).payout_id for i in range(3)]
        ids += [merchant.pay(901 + 1000 * i, ACH).payout_id for i in range(2)]
        wait_until(plan.hit, f"{point} is passed")
        merchant.wait_for(ids[:3], {SETTLED})
        merchant.wait_for(ids[3:], {RETURNED})
    assert reviver.deaths == 1
    final = merchant.wait_for(ids)
    assert_bank_agrees(payer, list(final.values()))
    assert_books_at_rest(payer, [merchant.book_id])
    assert merchant.balance()[0] == 100_000 - 3_003
    rows = payer.bank.payments()
    assert all(len(of_bank(rows, payout)) == 1 for payout in final.values()), "an entry was sent twice"


def test_the_connection_to_the_ach_bank_is_cut(new_world):
    """sshd and the bank are killed with files in flight, and come back: each entry is paid once."""
    world = new_world(FAST)
    payer = Payer(world)
    merchant = payer.merchant(deposit=1_000_000)
    merchant.recipient()
    ids = []
    for round_number in range(3):
        ids += [merchant.pay(1_000 + i, ACH).payout_id for i in range(5)]
        wait_until(lambda: payer.world.payments_rows("SELECT count(*) FROM submission")[0][0] != str(round_number),
                   "another file is prepared")
        world.bank.kill()
        world.bank.start()
    final = merchant.wait_for(ids, {SETTLED})
    assert_bank_agrees(payer, list(final.values()))
    assert_books_at_rest(payer, [merchant.book_id])


def test_a_request_that_never_left_is_not_unknown(new_world):
    """The bank does not even shake hands: nothing was sent, so it is tried again as it is, and paid when the bank is back."""
    world = new_world(FAST)
    payer = Payer(world)
    merchant = payer.merchant(deposit=10_000)
    world.bank.pause()
    payout_id = merchant.pay(1_000).payout_id
    wait_until(lambda: ("EXECUTE", "RETRY") in log_of(merchant, payout_id), "the try is recorded")
    world.bank.resume()
    final = merchant.wait_for([payout_id])
    assert_never_guessed(payer, merchant, list(final.values()))
    assert final[payout_id].attempts == 1


def test_refusals_are_definite(payer):
    """A payment that the bank refuses for good is voided once, and the reason is kept."""
    merchant = payer.merchant(deposit=100_000)
    payout_id = merchant.pay(1_801, INSTANT).payout_id
    payout = merchant.wait_for([payout_id])[payout_id]
    assert (payout.state, payout.reason) == (FAILED, "AC04") and payout.reason_text
    assert log_of(merchant, payout_id) == [("RESERVE", "DONE"), ("EXECUTE", "REFUSED"), ("VOID", "DONE")]
    assert merchant.balance() == (100_000, 0, 100_000)


def test_attempts_come_to_an_end(new_world):
    """Refused for now, again and again: ATTEMPTS_EXHAUSTED, and each attempt has a key of its own at the bank."""
    world = new_world({"payments-svc": {"saga.attempts_max": 2, "saga.backoff_base_ms": 10, "saga.poll_ms": 20}})
    payer = Payer(world)
    merchant = payer.merchant(deposit=100_000)
    payout_id = merchant.pay(1_802).payout_id
    payout = merchant.wait_for([payout_id])[payout_id]
    assert (payout.state, payout.reason, payout.attempts) == (FAILED, "ATTEMPTS_EXHAUSTED", 2)
    lines = of_bank(payer.bank.payments(), payout)
    assert len({line["key_or_trace"] for line in lines}) == 2 and {line["status"] for line in lines} == {"refused"}
    assert merchant.balance() == (100_000, 0, 100_000)
    assert_books_at_rest(payer, [merchant.book_id])
