"""BALANCED with fees: what a payout costs its merchant is reserved, taken and given back in the chains of the payout itself."""

from collections import Counter

import pytest
from support.crash import Plan, wait_until_killed
from support.paying import ACH, FAILED, INSTANT, RETURNED, SETTLED, Payer, assert_books_at_rest, paying, unique
from support.payctl import DONE, Payctl
from support.waiting import wait_until

from test_case_orders import RETURNED_KIND, SENT, SET, SETTINGS, case_of, goes_on_to, say
from test_cases import Cases
from test_deposits import restart_with

FEE = 25
REFUSED_KIND, CANCELED = 2, 9
FEES = 400  # code of the book's account
RESERVE, BANK_OUT, BANK_RETURN, RETURN, PAY_AGAIN, WRITE_OFF, OWE, REPAY, TAKEN, BACK = 10, 12, 13, 14, 15, 16, 17, 18, 19, 20
WITH_FEES = {**SETTINGS, "payments-svc": {**SETTINGS["payments-svc"], "books.count": 1, "saga.lease_ms": 1500, "instant.timeout_ms": 700,
                                          "instant.fees": f"USD 0.{FEE}, INR 3.00", "ach.fees": "USD 0.10",
                                          "ach.gather_ms": 40, "ach.send_poll_ms": 25}}


@pytest.fixture(scope="module")
def payer(servers):
    """Its bank takes payouts and says no more: whatever is said in these tests, the tests say."""
    yield from paying(servers, WITH_FEES)


@pytest.fixture
def fresh(servers):
    """The same, of one test that kills its services."""
    yield from paying(servers, WITH_FEES)


def money(merchant):
    """(available, held, owed), proven against the journal."""
    answer = merchant.payer.call("Merchant", "GetBalance", merchant.payer.merchants_pb.GetBalanceRequest(
        merchant_id=merchant.id, prove=True))
    (line,) = answer.lines
    assert line.proven
    return line.available_minor, line.held_minor, line.owed_minor


def legs(merchant, payout):
    """The journal's rows of a payout, in order: (code, linked, amount)."""
    return [tuple(int(cell) for cell in row) for row in merchant.payer.world.ledger_rows(
        f"SELECT code, flags & 1, amount FROM transfer WHERE book_id = {merchant.book_id} AND user_data_128 = '{payout.intent_id}' "
        "ORDER BY sequence")]


def taken(payer):
    """Of all merchants of the world: posted to the accounts of fees, by currency."""
    return Counter({currency: int(total) for currency, total in payer.world.ledger_rows(
        "SELECT a.currency, sum(CASE WHEN t.credit_account_id = a.account_id THEN t.amount ELSE -t.amount END) FROM transfer t "
        f"JOIN account a ON a.book_id = t.book_id AND a.code = {FEES} AND a.account_id IN (t.debit_account_id, t.credit_account_id) "
        "WHERE t.kind IN (1, 3) GROUP BY a.currency")})


def assert_proven(payer, tmp_path):
    _, answer, err = Payctl(payer.world, tmp_path).json("report")
    of_the_ledger = [line for line in answer["differences"] if line["record"] != "bank"]
    assert answer["balanced"] and of_the_ledger == [], (of_the_ledger, err)


def sent(merchant, amount=1_000, rail=INSTANT):
    payout = merchant.pay(amount, rail)
    merchant.wait_for([payout.payout_id], {SENT})
    return payout


def settled(payer, merchant, amount=1_000):
    payout = sent(merchant, amount)
    say(payer, merchant, payout.payout_id, SET, amount=amount)
    merchant.wait_for([payout.payout_id], {SETTLED})
    return payout


def test_BALANCED_a_fee_is_reserved_with_the_payout_and_posted_with_its_confirmation(payer, tmp_path):
    merchant = payer.merchant(deposit=10_000)
    before = taken(payer)
    payout = sent(merchant)
    assert payout.fee_minor == FEE and merchant.payout(payout.payout_id).fee_minor == FEE
    assert money(merchant) == (10_000 - 1_000 - FEE, 1_000 + FEE, 0)
    assert legs(merchant, payout) == [(RESERVE, 1, 1_000), (TAKEN, 0, FEE)]
    assert_proven(payer, tmp_path)
    say(payer, merchant, payout.payout_id, SET, amount=1_000)
    merchant.wait_for([payout.payout_id], {SETTLED})
    assert money(merchant) == (10_000 - 1_000 - FEE, 0, 0)
    assert [(linked, amount) for _, linked, amount in legs(merchant, payout)[2:]] == [(1, 1_000), (1, 1_000), (0, FEE)]
    assert taken(payer) - before == Counter(USD=FEE)
    assert_proven(payer, tmp_path)
    assert_books_at_rest(payer, [merchant.book_id])
    code, out, _ = Payctl(payer.world, tmp_path).run("payout", f"{merchant.id}/{payout.payout_id}")
    assert code == DONE and "0.25 USD" in out


def test_a_fee_is_the_settings_of_its_connection_and_currency_when_the_payout_is_accepted(new_world, tmp_path):
    payer = Payer(new_world(WITH_FEES))
    merchant = payer.merchant(deposit=100_000, currencies=("INR", "USD"))
    assert [merchant.pay(100, INSTANT, currency).fee_minor for currency in ("USD", "INR")] == [FEE, 300]
    by_ach = sent(merchant, 100, ACH)
    assert by_ach.fee_minor == 10
    request = merchant.request(100)
    first = payer.call("Payout", "CreatePayout", request)
    restart_with(payer.world, instant__fees=f"USD 0.50, {merchant.id} USD 0.05", ach__fees="")
    assert payer.call("Payout", "CreatePayout", request) == first, "a repeat is answered as at first"
    assert merchant.payout(by_ach.payout_id).fee_minor == 10
    assert merchant.pay(100).fee_minor == 5 and payer.merchant(deposit=500).pay(100).fee_minor == 50
    assert merchant.pay(100, ACH).fee_minor == 0
    assert_proven(payer, tmp_path)
    with pytest.raises(Exception, match="instant.fees"):
        restart_with(payer.world, instant__fees="25 cents")
    restart_with(payer.world, instant__fees="")
    free = sent(payer.merchant(deposit=500), 100)
    assert free.fee_minor == 0


def test_without_a_fee_the_journal_has_no_row_and_the_database_no_value(payer):
    merchant = payer.merchant(deposit=100_000, currencies=("USD",))
    restart_with(payer.world, instant__fees="")
    try:
        payout = settled(payer, merchant)
        assert len(legs(merchant, payout)) == 3  # reserved; posted, and moved to the bank
        assert payer.world.payments_rows(f"SELECT 1 FROM payout WHERE payout_id = '{payout.payout_id}' AND fee IS NULL") != []
    finally:
        restart_with(payer.world, instant__fees=WITH_FEES["payments-svc"]["instant.fees"])


def test_a_balance_that_does_not_suffice_for_the_fee_refuses_the_payout(payer, tmp_path):
    merchant = payer.merchant(deposit=1_000 + FEE - 1)
    payout = merchant.pay(1_000)
    found = merchant.wait_for([payout.payout_id])[payout.payout_id]
    assert (found.state, found.reason) == (FAILED, "INSUFFICIENT_FUNDS") and "fee" in found.reason_text
    assert legs(merchant, payout) == [] and money(merchant) == (1_000 + FEE - 1, 0, 0)
    merchant.deposit(1)
    settled(payer, merchant)
    assert money(merchant) == (0, 0, 0)
    assert_proven(payer, tmp_path)


def test_a_payout_that_fails_or_is_canceled_costs_nothing(payer, tmp_path):
    merchant = payer.merchant(deposit=10_000)
    before = taken(payer)
    failed = sent(merchant)
    say(payer, merchant, failed.payout_id, REFUSED_KIND)
    merchant.wait_for([failed.payout_id], {FAILED})
    assert money(merchant) == (10_000, 0, 0)
    assert [linked for _, linked, _ in legs(merchant, failed)[2:]] == [1, 0]
    restart_with(payer.world, ach__windows="23:59")
    try:
        canceled = merchant.pay(500, ACH)
        wait_until(lambda: money(merchant)[1] == 510, "amount and fee are reserved")
        payer.call("Payout", "CancelPayout", payer.pb.CancelPayoutRequest(
            merchant_id=merchant.id, payout_id=canceled.payout_id, reason="not wanted", person="ann"))
        merchant.wait_for([canceled.payout_id], {CANCELED})
        assert money(merchant) == (10_000, 0, 0)
    finally:
        restart_with(payer.world, ach__windows="")
    assert taken(payer) == before
    assert_proven(payer, tmp_path)


def test_the_fee_is_given_back_with_the_last_of_the_amount_and_taken_again_when_the_bank_pays_again(payer, tmp_path):
    merchant = payer.merchant(deposit=10_000)
    before = taken(payer)
    payout = settled(payer, merchant)
    say(payer, merchant, payout.payout_id, RETURNED_KIND, amount=400, reference="a part")
    wait_until(lambda: money(merchant) == (10_000 - 600 - FEE, 0, 0), "a part came back, and the fee stays")
    assert merchant.payout(payout.payout_id).returned_minor == 400
    code, out, _ = Payctl(payer.world, tmp_path).run("payout", f"{merchant.id}/{payout.payout_id}")
    assert code == DONE and "4.00 USD" in out
    assert_proven(payer, tmp_path)
    say(payer, merchant, payout.payout_id, RETURNED_KIND, amount=600, reference="the rest")
    merchant.wait_for([payout.payout_id], {RETURNED})
    assert money(merchant) == (10_000, 0, 0)
    assert legs(merchant, payout)[-3:] == [(BANK_RETURN, 1, 600), (RETURN, 1, 600), (BACK, 0, FEE)]
    assert taken(payer) == before
    assert_proven(payer, tmp_path)
    say(payer, merchant, payout.payout_id, SET, amount=1_000, reference="again")
    goes_on_to(SETTLED, merchant, payout.payout_id)
    assert money(merchant) == (10_000 - 1_000 - FEE, 0, 0)
    assert legs(merchant, payout)[-3:] == [(PAY_AGAIN, 1, 1_000), (BANK_OUT, 1, 1_000), (TAKEN, 0, FEE)]
    assert_proven(payer, tmp_path)
    say(payer, merchant, payout.payout_id, RETURNED_KIND, amount=1_000, reference="and back")
    merchant.wait_for([payout.payout_id], {RETURNED})
    assert money(merchant) == (10_000, 0, 0) and taken(payer) == before
    assert_proven(payer, tmp_path)


def test_what_is_paid_again_beyond_the_balance_is_owed_with_its_fee(payer, tmp_path):
    """The balance suffices for the amount, and not for the fee beside it."""
    merchant = payer.merchant(deposit=1_000 + FEE)
    again = settled(payer, merchant)
    say(payer, merchant, again.payout_id, RETURNED_KIND, amount=1_000)
    merchant.wait_for([again.payout_id], {RETURNED})
    settled(payer, merchant, 1)  # costs 26, so that 999 are left
    assert money(merchant) == (999, 0, 0)
    say(payer, merchant, again.payout_id, SET, amount=1_000, reference="once more")
    goes_on_to(SETTLED, merchant, again.payout_id)
    assert money(merchant) == (0, 0, 1 + FEE)
    assert legs(merchant, again)[-4:] == [(OWE, 1, 1_000), (BANK_OUT, 1, 1_000), (OWE, 1, FEE), (REPAY, 0, 999)]
    assert_proven(payer, tmp_path)
    merchant.deposit(100)
    assert money(merchant) == (100 - 1 - FEE, 0, 0)
    assert_proven(payer, tmp_path)


def test_what_suspense_bears_moves_no_fee(payer, tmp_path):
    merchant = payer.merchant(deposit=10_000)
    payout = settled(payer, merchant)
    before = taken(payer)
    say(payer, merchant, payout.payout_id, SET, attempt=7)
    wait_until(lambda: merchant.payout(payout.payout_id).state == 10, "it is held")
    cases = Cases(payer.world)
    cases.resolve(case_of(cases, merchant, payout.payout_id), "WRITE_OFF", evidence="a statement")
    goes_on_to(SETTLED, merchant, payout.payout_id)
    assert money(merchant) == (10_000 - 1_000 - FEE, 0, 0) and taken(payer) == before
    assert_proven(payer, tmp_path)


@pytest.mark.parametrize("point", ["saga.reserve.sent", "saga.confirm.sent", "saga.return.sent", "saga.void.sent"])
def test_NO_DOUBLE_killed_between_the_ledger_and_our_row(fresh, tmp_path, point):
    """The ledger has the chain, and nobody wrote that down: it is repeated, and moves nothing more."""
    payer, world = fresh, fresh.world
    merchant = payer.merchant(deposit=10_000)
    payout = settled(payer, merchant) if point == "saga.return.sent" else None
    if point in ("saga.confirm.sent", "saga.void.sent"):
        payout = sent(merchant)
    world.payments.stop()
    if point != "saga.reserve.sent":
        kind = {"saga.confirm.sent": SET, "saga.return.sent": RETURNED_KIND, "saga.void.sent": REFUSED_KIND}[point]
        say(payer, merchant, payout.payout_id, kind, amount=0 if kind == REFUSED_KIND else 1_000)
    plan = Plan(tmp_path, point)
    world.payments.start(env=plan.env, wait=payout is None)  # what the bank has said may kill it before it is ready
    if payout is None:
        payout = merchant.pay(1_000, idempotency_key=unique("payout"))
    wait_until_killed(world.payments, plan, f"payments-svc dies at {point}")
    world.payments.start()
    state = {"saga.reserve.sent": SENT, "saga.confirm.sent": SETTLED, "saga.return.sent": RETURNED, "saga.void.sent": FAILED}[point]
    goes_on_to(state, merchant, payout.payout_id)
    left = {SENT: (10_000 - 1_000 - FEE, 1_000 + FEE, 0), SETTLED: (10_000 - 1_000 - FEE, 0, 0)}.get(state, (10_000, 0, 0))
    assert money(merchant) == left
    assert_proven(payer, tmp_path)


def change(payer, payout, sets):
    assert len(payer.world.payments_rows(f"UPDATE {sets} WHERE payout_id = '{payout.payout_id}' RETURNING 1")) == 1


def reserve_again(payer, payout):
    """As after a restore: the reservation is forgotten, and made again under the same id. The state is left: the feed has told it."""
    change(payer, payout, "saga SET step = 1, phase = 0, attempt = 0, tries = 0, due_at = now()")


def cancel(payer, merchant, payout):
    payer.call("Payout", "CancelPayout", payer.pb.CancelPayoutRequest(
        merchant_id=merchant.id, payout_id=payout.payout_id, reason="not wanted", person="ann"))


@pytest.mark.parametrize("kind, final, available", [(SET, SETTLED, 9_000), (REFUSED_KIND, FAILED, 10_000)])
def test_a_fee_that_was_never_reserved_holds_up_nothing(payer, tmp_path, kind, final, available):
    """An older instance has reserved, which knows no fees: confirmed or voided, the payout ends without its fee."""
    restart_with(payer.world, instant__fees="")
    try:
        merchant = payer.merchant(deposit=10_000)
        payout = sent(merchant)
        change(payer, payout, f"payout SET fee = {FEE}")
        say(payer, merchant, payout.payout_id, kind, amount=1_000 if kind == SET else 0)
        merchant.wait_for([payout.payout_id], {final})
        assert money(merchant) == (available, 0, 0)
        change(payer, payout, "payout SET fee = NULL")
        assert_proven(payer, tmp_path)
    finally:
        restart_with(payer.world, instant__fees=WITH_FEES["payments-svc"]["instant.fees"])


def test_BALANCED_canceled_when_its_fee_was_never_reserved_the_amount_is_free(payer, tmp_path):
    """Reserved once without a fee and once more with one, as after a restore; then canceled before it is sent."""
    restart_with(payer.world, ach__windows="23:59", ach__fees="")
    try:
        for again in (False, True):
            merchant = payer.merchant(deposit=10_000)
            payout = merchant.pay(500, ACH)
            wait_until(lambda: money(merchant) == (9_500, 500, 0), "the amount is reserved")
            change(payer, payout, "payout SET fee = 10")
            if again:
                reserve_again(payer, payout)
                wait_until(lambda: payer.world.payments_rows(
                    f"SELECT 1 FROM saga WHERE payout_id = '{payout.payout_id}' AND step = 2 AND hold = ''"), "it goes on", 10)
            cancel(payer, merchant, payout)
            merchant.wait_for([payout.payout_id], {CANCELED})
            assert money(merchant) == (10_000, 0, 0)
            change(payer, payout, "payout SET fee = NULL")
        assert_proven(payer, tmp_path)
    finally:
        restart_with(payer.world, ach__windows="", ach__fees=WITH_FEES["payments-svc"]["ach.fees"])


def test_BALANCED_a_fee_that_was_reserved_and_forgotten_is_given_back_with_the_amount(payer, tmp_path):
    """Reserved with a fee, and once more without: a person is told, and can give all of it back."""
    restart_with(payer.world, ach__windows="23:59")
    try:
        merchant = payer.merchant(deposit=10_000)
        payout = merchant.pay(500, ACH)
        wait_until(lambda: money(merchant) == (9_490, 510, 0), "amount and fee are reserved")
        change(payer, payout, "payout SET fee = NULL")
        reserve_again(payer, payout)
        cases = Cases(payer.world)
        case = case_of(cases, merchant, payout.payout_id)
        assert case.code == "RESERVED_OTHERWISE"
        cases.resolve(case, "GIVE_BACK", evidence="nothing was sent")
        goes_on_to(FAILED, merchant, payout.payout_id)
        assert money(merchant) == (10_000, 0, 0)
        assert_proven(payer, tmp_path)
    finally:
        restart_with(payer.world, ach__windows="")
