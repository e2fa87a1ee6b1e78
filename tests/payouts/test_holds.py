"""A hold stands beside the step: the bank's word still counts, and a person's order leads out of it. Canceling is such an order."""

import datetime
import zoneinfo

import grpc
import pytest
from support.ledger import PENDING, VOID
from support.paying import ACH, FAILED, FINAL, HELD, RETURNED, SETTLED, Payer, assert_books_at_rest, of_bank, unique
from support.payctl import DONE, SERVICE, Payctl
from support.waiting import wait_until
from test_cases import Cases
from test_connections import Connections

PROCESSING, SENT, CANCELED = 4, 5, 9
CLOSING_DEBIT = 64
AVAILABLE, BANK, SUSPENSE = 100, 300, 500  # codes of ledger accounts
FAST = {"payments-svc": {"saga.lease_ms": 1500, "instant.timeout_ms": 700, "saga.poll_ms": 50, "saga.backoff_base_ms": 10, "saga.backoff_cap_ms": 20,
                         "saga.resolve_after_ms": 60_000},
        "bank-sim": {"instant.settle_delay_ms": 1500}}


@pytest.fixture(scope="module")
def payer(servers):
    world = servers.world(FAST)
    try:
        yield Payer(world.up())
        world.stop_and_check()
    finally:
        world.remove()


@pytest.fixture(scope="module")
def cases(payer):
    return Cases(payer.world)


def account_of(merchant, code):
    (row,) = merchant.payer.world.ledger_rows(
        f"SELECT account_id FROM account WHERE book_id = {merchant.book_id} AND code = {code} AND account_id IN "
        f"(SELECT debit_account_id FROM transfer WHERE book_id = {merchant.book_id} UNION "
        f"SELECT credit_account_id FROM transfer WHERE book_id = {merchant.book_id})")
    return row[0]


def merchant_alone(payer, **more):
    """The only merchant of its book that has accounts, so that accounts are found by their code."""
    taken = {int(row[0]) for row in payer.world.payments_rows("SELECT book_id FROM merchant_book")}
    for _ in range(200):
        made = payer.merchant(**more)
        if made.book_id not in taken:
            return made
    raise AssertionError("no book without a merchant")


def posted(merchant, code):
    """Debits less credits of the book's account of a code."""
    account = account_of(merchant, code)
    merchant.ledger.await_checkpoint()
    debits_pending, debits, credits_pending, credits = merchant.ledger.balances(account)
    assert (debits_pending, credits_pending) == (0, 0)
    return debits - credits


def cancel(payer, merchant, payout_id, **more):
    return payer.call("Payout", "CancelPayout", payer.pb.CancelPayoutRequest(
        merchant_id=merchant.id, payout_id=payout_id, **more)).payout


def try_to_cancel(payer, merchant, payout_id):
    """Whether it was canceled; not so while a worker is trying to send it."""
    try:
        payer.stub("Payout").CancelPayout(payer.pb.CancelPayoutRequest(merchant_id=merchant.id, payout_id=payout_id, person="ada"), timeout=10)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        return False
    return True


def log_rows(payer, payout_id):
    return int(payer.world.payments_rows(f"SELECT count(*) FROM step_log WHERE payout_id = '{payout_id}'")[0][0])


def log_of(merchant, payout_id):
    return [(e.step, e.outcome) for e in merchant.timeline(payout_id).entries if e.kind == "OUTCOME"]


def say(payer, payout_id, kind, attempt=1):
    """A word of the bank, as if its message had come."""
    payer.world.payments_rows(
        "INSERT INTO rail_event (book_id, payout_id, event_id, attempt, kind, code, detail, rail_reference, at) "
        f"SELECT book_id, payout_id, '{unique('said')}', {attempt}, {kind}, '', '', '', now() FROM saga "
        f"WHERE payout_id = '{payout_id}'")
    payer.world.payments_rows(f"UPDATE saga SET events = events + 1, due_at = now() WHERE payout_id = '{payout_id}'")


def reach(merchant, payout_id, state):
    """The payout there, which may be held until its order is carried out."""
    def there():
        payout = merchant.payout(payout_id)
        return payout if payout.state == state else None

    return wait_until(there, f"the payout is in {state}", 30)


def the_case(cases, payout_id):
    (case,) = [case for case in cases.list() if case.subject_id == payout_id]
    return case


def test_NO_LOSS_an_account_closed_while_sent__what_the_bank_paid_is_posted(payer, cases):
    """CONFIRM meets a closed account and burns its id. Open again, and released, it is posted under the next number."""
    merchant = merchant_alone(payer, deposit=10_000)
    payout = merchant.pay(700)
    merchant.wait_for([payout.payout_id], {SENT})
    account, other = account_of(merchant, AVAILABLE), account_of(merchant, BANK)
    closing = merchant.ledger.transfer(account, other, 0, flags=PENDING | CLOSING_DEBIT)
    assert merchant.ledger.commit(closing) == ["CREATED"]
    held = merchant.wait_for([payout.payout_id], {HELD})[payout.payout_id]
    assert held.reason == "LEDGER_ACCOUNT_CLOSED"
    assert len(of_bank(payer.bank.payments(), payout)) == 1  # paid it is
    case = the_case(cases, payout.payout_id)
    assert case.kind == "PAYOUT_LEDGER" and case.amount_minor == 700
    # Released too early it is held again, and a case again.
    cases.resolve(case, "RELEASE")
    wait_until(lambda: any(c.subject_id == payout.payout_id and c.case_id != case.case_id for c in cases.list()), "a case again", 20)
    assert merchant.payout(payout.payout_id).state == HELD
    assert merchant.ledger.commit(merchant.ledger.transfer(pending_id=closing.id, flags=VOID)) == ["CREATED"]
    cases.resolve(the_case(cases, payout.payout_id), "RELEASE")
    reach(merchant, payout.payout_id, SETTLED)
    assert merchant.balance() == (9300, 0, 9300)
    assert_books_at_rest(payer, [merchant.book_id])


def test_a_closed_account_before_the_reservation__failed(payer):
    merchant = merchant_alone(payer, deposit=10_000)
    closing = merchant.ledger.transfer(account_of(merchant, AVAILABLE), account_of(merchant, BANK), 0,
                                       flags=PENDING | CLOSING_DEBIT)
    assert merchant.ledger.commit(closing) == ["CREATED"]
    payout = merchant.pay(700)
    failed = merchant.wait_for([payout.payout_id], {FAILED})[payout.payout_id]
    assert failed.reason == "MERCHANT_ACCOUNT_CLOSED"


def test_SEEN_settled_after_it_failed__written_off_to_suspense(payer, cases):
    merchant = merchant_alone(payer, deposit=10_000)
    payout = merchant.pay(2801)  # the bank refuses it
    merchant.wait_for([payout.payout_id], {FAILED})
    say(payer, payout.payout_id, 3)
    held = merchant.wait_for([payout.payout_id], {HELD})[payout.payout_id]
    assert held.reason == "RAIL_CONTRADICTION"
    case = the_case(cases, payout.payout_id)
    assert case.kind == "PAYOUT_CONTRADICTION"
    cases.resolve(case, "WRITE_OFF", evidence="statement 7", person="grace")
    failed = reach(merchant, payout.payout_id, FAILED)
    assert failed.reason not in ("", "RAIL_CONTRADICTION")  # why it had failed
    wait_until(lambda: log_of(merchant, payout.payout_id)[-1] == ("CONFIRM", "DONE"), "the write-off is booked", 20)
    assert merchant.balance() == (10_000, 0, 10_000)  # the merchant is left alone
    assert posted(merchant, SUSPENSE) == 2801
    (order,) = [e for e in merchant.timeline(payout.payout_id).entries if e.step == "ORDER"]
    assert order.outcome == "WRITE_OFF" and "grace" in order.actor and order.detail == "statement 7"
    assert_books_at_rest(payer, [merchant.book_id])


def test_SEEN_settled_after_it_failed__marked_as_paid_is_taken_again(payer, cases):
    merchant = merchant_alone(payer, deposit=10_000)
    payout = merchant.pay(2801)
    merchant.wait_for([payout.payout_id], {FAILED})
    say(payer, payout.payout_id, 3)
    merchant.wait_for([payout.payout_id], {HELD})
    cases.resolve(the_case(cases, payout.payout_id), "MARK_PAID", evidence="statement 7")
    reach(merchant, payout.payout_id, SETTLED)
    assert merchant.balance() == (7199, 0, 7199)
    assert_books_at_rest(payer, [merchant.book_id])
    say(payer, payout.payout_id, 4)  # as the bank of the tests has not paid it
    reach(merchant, payout.payout_id, RETURNED)
    assert merchant.balance() == (10_000, 0, 10_000)


def test_an_order_that_is_not_possible__is_refused_and_the_case_stays_open(payer, cases):
    merchant = payer.merchant(deposit=10_000)
    payout = merchant.pay(700)
    merchant.wait_for([payout.payout_id], {SENT})
    say(payer, payout.payout_id, 3, attempt=2)  # of an attempt that was never made
    merchant.wait_for([payout.payout_id], {HELD})
    case = the_case(cases, payout.payout_id)
    failure = cases.refused("ResolveCase", book_id=case.book_id, case_id=case.case_id, resolution="RELEASE", person="ada", idempotency_key="k")
    assert failure.reason == "ORDER_NOT_POSSIBLE" and "does not add up" in failure.message
    assert the_case(cases, payout.payout_id).case_id == case.case_id
    cases.resolve(case, "MARK_PAID", evidence="the bank's word by telephone")
    reach(merchant, payout.payout_id, SETTLED)


# --- Canceling ---


def waiting(payer, merchant, amount=700):
    """A payout that waits to be sent: its bank cannot be reached."""
    payout = merchant.pay(amount)
    wait_until(lambda: payer.world.payments_rows(
        f"SELECT 1 FROM saga WHERE payout_id = '{payout.payout_id}' AND step = 2"), "it waits to be sent", 30)
    return payout


def test_cancel__before_it_is_sent__the_money_is_free_again(payer):
    merchant = payer.merchant(deposit=10_000)
    merchant.recipient()
    payer.world.bank.stop()
    try:
        payout = waiting(payer, merchant)
        assert merchant.balance() == (9300, 700, 10_000)
        request = payer.pb.CancelPayoutRequest(merchant_id=merchant.id, payout_id=payout.payout_id, reason="a mistake", person="ada")

        def canceled_now():  # not while a worker tries to send it
            try:
                return payer.stub("Payout").CancelPayout(request, timeout=10)
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.FAILED_PRECONDITION

        wait_until(canceled_now, "it is canceled", 30)
        canceled = merchant.wait_for([payout.payout_id], {CANCELED})[payout.payout_id]
        assert (canceled.reason, canceled.reason_text) == ("CANCELED", "a mistake")
        assert cancel(payer, merchant, payout.payout_id).state == CANCELED  # a repeat
    finally:
        payer.world.bank.start()
    assert merchant.balance() == (10_000, 0, 10_000)
    assert of_bank(payer.bank.payments(), payout) == []
    orders = [e for e in merchant.timeline(payout.payout_id).entries if e.step == "ORDER"]
    assert [(e.outcome, e.detail) for e in orders] == [("CANCEL", "a mistake")] and orders[0].actor.endswith("for ada")
    assert_books_at_rest(payer, [merchant.book_id])


def test_cancel__at_the_bank__is_refused(payer):
    merchant = payer.merchant(deposit=10_000)
    payout = merchant.pay(700)
    merchant.wait_for([payout.payout_id], {SENT})
    request = payer.pb.CancelPayoutRequest(merchant_id=merchant.id, payout_id=payout.payout_id)
    refusal = merchant.refused("CancelPayout", request)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PAYOUT_NOT_CANCELABLE")
    merchant.wait_for([payout.payout_id], {SETTLED})
    refusal = merchant.refused("CancelPayout", request)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PAYOUT_NOT_CANCELABLE")
    other = payer.merchant()
    refusal = merchant.refused("CancelPayout", payer.pb.CancelPayoutRequest(merchant_id=other.id, payout_id=payout.payout_id))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "PAYOUT_NOT_FOUND")
    assert [e for e in merchant.timeline(payout.payout_id).entries if e.step == "ORDER"] == []


def test_cancel__as_they_come__either_canceled_or_paid(payer):
    """Canceled at any moment of its life: what was canceled never reached the bank, what was refused ends as always."""
    merchant = payer.merchant(deposit=100_000)
    merchant.recipient()
    canceled, refused = [], []
    for i in range(40):
        payout = merchant.pay(500 + i)
        request = payer.pb.CancelPayoutRequest(merchant_id=merchant.id, payout_id=payout.payout_id)
        try:
            payer.stub("Payout").CancelPayout(request, timeout=10)
            canceled.append(payout)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
            refused.append(payout)
    final = merchant.wait_for([p.payout_id for p in canceled + refused], FINAL | {CANCELED})
    rows = payer.bank.payments()
    for payout in canceled:
        assert final[payout.payout_id].state == CANCELED
        assert of_bank(rows, payout) == []
    for payout in refused:
        assert final[payout.payout_id].state != CANCELED
    assert_books_at_rest(payer, [merchant.book_id])


def test_cancel__before_its_file_is_cut(new_world):
    window = (datetime.datetime.now(zoneinfo.ZoneInfo("America/New_York")) + datetime.timedelta(hours=6)).strftime("%H:%M")
    payer = Payer(new_world({**FAST, "payments-svc": {**FAST["payments-svc"], "ach.windows": window}}))
    merchant = payer.merchant(deposit=10_000)
    merchant.recipient()
    payouts = [merchant.pay(amount, ACH) for amount in (700, 800)]
    wait_until(lambda: merchant.balance() == (8500, 1500, 10_000), "both are reserved", 30)
    wait_until(lambda: try_to_cancel(payer, merchant, payouts[0].payout_id), "it is canceled", 30)
    merchant.wait_for([payouts[0].payout_id], {CANCELED})
    assert merchant.payout(payouts[1].payout_id).state == PROCESSING
    assert merchant.balance() == (9200, 800, 10_000)
    assert payer.bank.payments() == []


def test_cancel__in_a_file__is_taken_out_or_refused(new_world, tmp_path):
    """The file server is away. What is taken out is never paid, the other payout of the file is, and what is refused goes its way."""
    payer = Payer(new_world({**FAST, "payments-svc": {**FAST["payments-svc"], "ach.gather_ms": 100, "ach.poll_ms": 100}}))
    merchant = payer.merchant(deposit=10_000)
    merchant.recipient()
    payer.world.bank.stop()
    payouts = [merchant.pay(amount, ACH) for amount in (700, 800)]
    for payout in payouts:
        wait_until(lambda: payer.world.payments_rows(
            f"SELECT 1 FROM saga WHERE payout_id = '{payout.payout_id}' AND step = 4"), "it is in a file", 30)
    connections = Connections(payer.world)
    connections.pause(connection="ach", reason="a strange file")
    wait_until(lambda: merchant.timeline(payouts[1].payout_id).pause.reason == "a strange file", "a file that has not left waits, too")
    submission = merchant.timeline(payouts[0].payout_id).submission_id
    canceled = try_to_cancel(payer, merchant, payouts[0].payout_id)
    connections.resume(connection="ach")
    if canceled:  # who had it withdrawn, not the bank
        _, out, _ = Payctl(payer.world, tmp_path).run("submission", submission)
        line = next(line for line in out.splitlines() if "WITHDREW" in line)
        assert "canceled by spiffe://" in line and " for ada" in line and "the bank" not in line, out
    payer.world.bank.start()
    final = merchant.wait_for([payout.payout_id for payout in payouts], {SETTLED, CANCELED}, 120)
    assert (final[payouts[0].payout_id].state == CANCELED) == canceled
    rows = payer.bank.payments()
    assert [len(of_bank(rows, payout)) for payout in payouts] == [0 if canceled else 1, 1]
    assert_books_at_rest(payer, [merchant.book_id])


def test_payctl_cancel(payer, tmp_path):
    merchant = payer.merchant(deposit=10_000)
    merchant.recipient()
    payctl = Payctl(payer.world, tmp_path)
    payer.world.bank.stop()
    try:
        payout = waiting(payer, merchant)
        words = ("cancel", f"{merchant.id}/{payout.payout_id}", "--reason", "typo", "--person", "ada")
        code, out, err = wait_until(lambda: next((x for x in [payctl.run(*words)] if x[0] != SERVICE), None), "it is canceled", 30)
        assert (code, err) == (DONE, "") and "is canceled" in out
        merchant.wait_for([payout.payout_id], {CANCELED})
    finally:
        payer.world.bank.start()
    sent = merchant.pay(700)
    merchant.wait_for([sent.payout_id], {SENT, SETTLED})
    code, out, err = payctl.run("cancel", f"{merchant.id}/{sent.payout_id}")
    assert code == SERVICE and "cannot be canceled" in err


def test_tries_in_vain__do_not_flood_the_log(payer):
    merchant = payer.merchant(deposit=10_000)
    merchant.recipient()
    payer.world.bank.stop()
    try:
        payout = waiting(payer, merchant)
        wait_until(lambda: payer.world.payments_rows(
            f"SELECT 1 FROM saga WHERE payout_id = '{payout.payout_id}' AND tries > 60"), "it was tried sixty times", 60)
        rows = log_rows(payer, payout.payout_id)
        assert 8 <= rows <= 24, rows  # the reservation, the first three tries, and each tenth
        (standing,) = payer.world.payments_rows(f"SELECT reason FROM saga WHERE payout_id = '{payout.payout_id}'")
        assert standing == ["RAIL_UNREACHABLE"]  # why the last one was in vain
    finally:
        payer.world.bank.start()
    merchant.wait_for([payout.payout_id], {SETTLED})
    assert merchant.timeline(payout.payout_id).entries[-1].outcome == "DONE"
