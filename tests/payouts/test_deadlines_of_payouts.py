"""SEEN: whatever waits has a deadline, after which it is a case and a gauge shows it; nothing waits where nobody looks."""

from support.metrics import metric
from support.paying import ACH, INSTANT, SETTLED, Payer
from support.payctl import DONE, Payctl
from support.waiting import wait_until

from test_cases import OPEN, RESOLVED, Cases

SENT = 5
# The banks take a payout and do not say more of it within the test; or only late.
SILENT = {"ach.settle_delay_ms": 86_400_000, "instant.settle_delay_ms": 86_400_000, "ach.poll_ms": 10}
SOON = {"deadlines.every_ms": 100, "ach.gather_ms": 40, "ach.poll_ms": 40, "saga.resolve_after_ms": 200}


def only(found):
    assert len(found) <= 1, found
    return found[0] if found else None


def test_SEEN_sent_for_ever_becomes_a_case(new_world, tmp_path):
    world = new_world({"payments-svc": {**SOON, "deadlines.await_ach_s": 1, "deadlines.await_instant_s": 1}, "bank-sim": SILENT})
    payer, cases, payctl = Payer(world), Cases(world), Payctl(world, tmp_path)
    merchant = payer.merchant(deposit=10_000)
    for rail, name in ((ACH, "ach"), (INSTANT, "instant")):
        payout = merchant.pay(1_000, rail)
        merchant.wait_for([payout.payout_id], {SENT})
        case = wait_until(lambda: only(cases.list(merchant_id=merchant.id, subject_type="payout", subject_id=payout.payout_id)),
                          f"a case for what was sent by {name}")
        assert (case.kind, case.state, case.amount_minor, case.currency) == ("PAYOUT_OVERDUE", OPEN, 1_000, "USD")
        assert case.text.startswith(f"at AWAIT of {name} since ")
        assert cases.get(case).payout.payout_id == payout.payout_id
        wait_until(lambda: metric(world.payments, "payments_oldest_seconds", connection=name, step="AWAIT") >= 1,
                   "the gauge shows the oldest")
        code, out, _ = payctl.run("payout", f"{merchant.id}/{payout.payout_id}")
        assert code == DONE and f"payctl case {case.book_id}/{case.case_id}" in out
    wait_until(lambda: metric(world.payments, "payments_cases_open", kind="PAYOUT_OVERDUE") == 2, "the gauge counts the cases")


def test_SEEN_the_case_closes_itself_when_the_payout_moves_on(new_world):
    world = new_world({"payments-svc": {**SOON, "deadlines.await_instant_s": 1}, "bank-sim": {"instant.settle_delay_ms": 4_000}})
    payer, cases = Payer(world), Cases(world)
    merchant = payer.merchant(deposit=10_000)
    payout = merchant.pay(1_000, INSTANT)
    subject = {"merchant_id": merchant.id, "subject_type": "payout", "subject_id": payout.payout_id}
    case = wait_until(lambda: only(cases.list(**subject)), "a case while the bank is silent")
    merchant.wait_for([payout.payout_id], {SETTLED})
    wait_until(lambda: not cases.list(**subject), "the case is closed")
    closed = only(cases.list(**subject, states=[RESOLVED]))
    assert (closed.case_id, closed.resolution) == (case.case_id, "CLOSED")
    assert [note.kind for note in cases.get(closed).notes] == ["OPENED", "CLOSED"]


def test_SEEN_a_connection_that_is_switched_off_is_visible(new_world):
    world = new_world({"payments-svc": {**SOON, "deadlines.switched_off_s": 1}, "bank-sim": SILENT})
    payer, cases = Payer(world), Cases(world)
    merchant = payer.merchant(deposit=10_000)
    sent = [merchant.pay(1_000 + i, ACH).payout_id for i in range(3)]
    merchant.wait_for(sent, {SENT})
    about = {"book_ids": [0], "subject_type": "connection", "subject_id": "ach"}
    assert cases.list(**about) == []

    world.stack.settings["payments-svc"]["ach.enabled"] = "false"
    world.up()
    case = wait_until(lambda: only(cases.list(**about)), "a case of the connection")
    assert case.kind == "CONNECTION_OFF" and case.text.startswith("3 payouts wait for it, the oldest since ")
    assert metric(world.payments, "payments_oldest_seconds", connection="ach", step="AWAIT") >= 1

    world.stack.settings["payments-svc"]["ach.enabled"] = "true"
    world.up()
    wait_until(lambda: not cases.list(**about), "the case is closed")
