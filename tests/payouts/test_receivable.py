"""BALANCED and NO-LOSS: what a bank has paid, or taken back, beyond a merchant's balance is owed by the merchant, stands in a case,
and is repaid first by what comes in."""

from collections import Counter

import grpc
import pytest
from support.crash import Plan, wait_until_killed
from support.ledger import PENDING, VOID
from support.paying import FAILED, HELD, INSTANT, RETURNED, SETTLED, Payer, paying, unique
from support.payctl import DONE, NOT_SETTLED, Payctl
from support.waiting import wait_until

from test_case_orders import RETURNED_KIND, SENT, SET, SETTINGS, goes_on_to, say
from test_cases import Cases

REFUSED_KIND = 2
CLOSING_DEBIT = 64
AVAILABLE, RECEIVABLE, TRANSIT, BANK = 100, 110, 200, 300  # codes of the ledger's chart
DEPOSIT, TAKE_BACK, BANK_OUT, OWE, REPAY = 1, 2, 12, 17, 18  # of its transfers


@pytest.fixture(scope="module")
def payer(servers):
    """Its bank takes payouts and says no more: whatever is said in these tests, the tests say."""
    yield from paying(servers, SETTINGS)


@pytest.fixture(scope="module")
def cases(payer):
    return Cases(payer.world)


@pytest.fixture
def fresh(servers):
    """The same, of one test that kills its services."""
    yield from paying(servers, SETTINGS)


def money(merchant, currency="USD"):
    """(available, owed), proven against the journal."""
    answer = merchant.payer.call("Merchant", "GetBalance", merchant.payer.merchants_pb.GetBalanceRequest(
        merchant_id=merchant.id, prove=True))
    line = next(line for line in answer.lines if line.currency == currency)
    assert line.proven and line.total_minor == line.available_minor + line.held_minor
    return line.available_minor, line.owed_minor


def debts(cases, merchant):
    return [(case.amount_minor, case.currency) for case in cases.list(merchant_id=merchant.id, kind="MERCHANT_OWES")]


def journal(merchant, after=0):
    """The rows behind a sequence: (code, linked, amount), and the last sequence."""
    rows = merchant.payer.world.ledger_rows(
        f"SELECT code, flags & 1, amount, sequence FROM transfer WHERE book_id = {merchant.book_id} AND sequence > {after} "
        "ORDER BY sequence")
    return [tuple(int(cell) for cell in row[:3]) for row in rows], int(rows[-1][3]) if rows else after


def ends(payer, merchant, minor, kind, state, **more):
    """Sent, settled as the bank says, and then what else it says."""
    payout_id = merchant.pay(minor, INSTANT).payout_id
    merchant.wait_for([payout_id], {SENT})
    say(payer, merchant, payout_id, SET, amount=minor)
    merchant.wait_for([payout_id], {SETTLED})
    if kind != SET:
        say(payer, merchant, payout_id, kind, **more)
    merchant.wait_for([payout_id], {state})
    return payout_id


def assert_proven(payer, tmp_path):
    """ProveBook of all books: what differs is nothing, and every debt is what the journal says of it."""
    _, answer, err = Payctl(payer.world, tmp_path).json("report")
    of_the_ledger = [line for line in answer["differences"] if line["record"] != "bank"]
    assert answer["balanced"] and of_the_ledger == [], (of_the_ledger, err)
    owed = Counter()
    for account in answer["accounts"]:  # one for each book and currency
        if account["kind"] == "RECEIVABLE":
            owed[account["currency"]] -= account["found_posted_minor"]
    return owed


def test_NO_LOSS_what_is_paid_again_beyond_the_balance_is_owed(payer, cases, tmp_path):
    """It came back and was spent; then the bank pays the first one after all."""
    merchant = payer.merchant(deposit=1_000)
    again = ends(payer, merchant, 1_000, RETURNED_KIND, RETURNED, amount=1_000)
    ends(payer, merchant, 600, SET, SETTLED)
    _, before = journal(merchant)
    say(payer, merchant, again, SET, amount=1_000, reference="once more")
    goes_on_to(SETTLED, merchant, again)
    assert money(merchant) == (0, 600)
    wait_until(lambda: debts(cases, merchant) == [(600, "USD")], "the case says what is owed")
    rows, last = journal(merchant, before)
    assert rows == [(OWE, 1, 1_000), (BANK_OUT, 1, 1_000), (REPAY, 0, 400)]
    assert assert_proven(payer, tmp_path)["USD"] >= 600
    failed = merchant.pay(1, INSTANT).payout_id
    assert merchant.wait_for([failed])[failed].reason == "INSUFFICIENT_FUNDS"
    # Incoming money repays the receivable first, in the deposit's own chain.
    _, last = journal(merchant)
    merchant.deposit(250)
    rows, last = journal(merchant, last)
    assert rows == [(DEPOSIT, 1, 250), (REPAY, 0, 250)]
    assert money(merchant) == (0, 350)
    key = unique("deposit")
    first = merchant.deposit(500, key=key)
    assert money(merchant) == (150, 0)
    assert merchant.deposit(500, key=key) == first
    rows, _ = journal(merchant, last)
    assert rows == [(DEPOSIT, 1, 500), (REPAY, 0, 350)]
    wait_until(lambda: not debts(cases, merchant), "the case closes by itself")
    assert payer.world.payments_rows(f"SELECT 1 FROM receivable WHERE merchant_id = '{merchant.id}'") == []
    assert_proven(payer, tmp_path)


def test_MARK_PAID_by_a_person_beyond_the_balance_is_owed(payer, cases, tmp_path):
    merchant = payer.merchant(deposit=1_000)
    payout_id = merchant.pay(1_000, INSTANT).payout_id
    merchant.wait_for([payout_id], {SENT})
    say(payer, merchant, payout_id, REFUSED_KIND)
    merchant.wait_for([payout_id], {FAILED})
    spent = ends(payer, merchant, 900, SET, SETTLED)
    say(payer, merchant, payout_id, SET)
    merchant.wait_for([payout_id], {HELD})
    case = wait_until(lambda: cases.list(merchant_id=merchant.id, kind="PAYOUT_CONTRADICTION"), "a case of the payout")[0]
    cases.resolve(case, "MARK_PAID", evidence="statement of today")
    goes_on_to(SETTLED, merchant, payout_id)
    assert money(merchant) == (0, 900)
    entries = [entry for entry in merchant.timeline(payout_id).entries if entry.reason == "MERCHANT_OWES"]
    assert len(entries) == 1
    wait_until(lambda: debts(cases, merchant) == [(900, "USD")], "the case says what is owed")
    # Money of a payout that comes back repays it, too.
    say(payer, merchant, spent, RETURNED_KIND, amount=900)
    wait_until(lambda: money(merchant) == (0, 0), "what came back has repaid it")
    wait_until(lambda: not debts(cases, merchant), "the case closes by itself")
    assert_proven(payer, tmp_path)


def take_back(payer, merchant, deposit, reason="recalled by its sender"):
    return payer.merchants_pb.TakeBackDepositRequest(merchant_id=merchant.id, deposit_id=deposit.transfer_id, reason=reason)


def test_a_deposit_that_the_bank_takes_back_is_owed_where_it_was_spent(payer, cases, tmp_path):
    merchant = payer.merchant()
    key = unique("deposit")
    deposit, other = merchant.deposit(1_000, key=key), merchant.deposit(300)
    ends(payer, merchant, 800, SET, SETTLED)
    answers = [payer.call("Merchant", "TakeBackDeposit", take_back(payer, merchant, deposit)) for _ in range(3)]
    assert answers[0].deposit.state == 5 and answers[0].deposit.reason == "recalled by its sender"
    assert all(answer == answers[0] for answer in answers), "once"
    assert money(merchant) == (0, 500)
    wait_until(lambda: debts(cases, merchant) == [(500, "USD")], "the case says what is owed")
    assert merchant.deposit(1_000, key=key) == deposit, "a repeat of its key is answered as at first, and credits nothing"
    assert money(merchant) == (0, 500)
    # A payout whose money is still there leaves no debt.
    rich = payer.merchant()
    unspent = rich.deposit(700)
    payer.call("Merchant", "TakeBackDeposit", take_back(payer, rich, unspent))
    assert money(rich) == (0, 0)
    refusal = merchant.refused("TakeBackDeposit", take_back(payer, rich, other), "Merchant")
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "DEPOSIT_NOT_FOUND")
    assert assert_proven(payer, tmp_path)["USD"] >= 500


def test_payctl_shows_what_is_owed_and_takes_a_deposit_back(payer, tmp_path):
    payctl = Payctl(payer.world, tmp_path)
    merchant = payer.merchant()
    deposit = merchant.deposit(1_000)
    ends(payer, merchant, 800, SET, SETTLED)
    code, answer, err = payctl.json("deposits", "take-back", f"{merchant.id}/{deposit.transfer_id}", "--reason", "recalled")
    assert code == DONE and answer["deposit"]["state"] == "TAKEN_BACK", err
    code, answer, _ = payctl.json("balance", merchant.id, "--prove")
    line, = answer["merchants"][0]["lines"]
    assert code == DONE and (line["available_minor"], line["owed_minor"]) == (0, 800)
    code, people, _ = payctl.run("balance", merchant.id)
    assert "owed" in people and "8.00 USD" in people
    code, answer, _ = payctl.json("report")
    assert code == NOT_SETTLED or answer["agree"]
    assert any(account["kind"] == "RECEIVABLE" for account in answer["accounts"])


def account_of(merchant, code, transfer):
    side = "debit" if code in (BANK, RECEIVABLE) else "credit"
    (row,) = merchant.payer.world.ledger_rows(
        f"SELECT DISTINCT {side}_account_id FROM transfer WHERE book_id = {merchant.book_id} AND code = {DEPOSIT} AND transfer_id = "
        f"'{transfer}'")
    return row[0]


@pytest.mark.parametrize("point", ["saga.owe.sent", "saga.confirm.recorded", "receivable.repaid"])
def test_NO_DOUBLE_killed_while_it_is_booked_as_owed(fresh, tmp_path, point):
    """Between the two, money comes in that would have sufficed: what was booked as owed is not taken from it once more."""
    payer, world, cases = fresh, fresh.world, Cases(fresh.world)
    merchant = payer.merchant()
    deposit = merchant.deposit(1_000)
    again = ends(payer, merchant, 1_000, RETURNED_KIND, RETURNED, amount=1_000)
    ends(payer, merchant, 600, SET, SETTLED)
    _, before = journal(merchant)
    world.payments.stop()
    say(payer, merchant, again, SET, amount=1_000, reference="once more")
    plan = Plan(tmp_path, point)
    world.payments.start(env=plan.env, wait=point == "receivable.repaid")  # the word of the bank may kill it before it is ready
    if point == "receivable.repaid":
        goes_on_to(SETTLED, merchant, again)
    wait_until_killed(world.payments, plan, f"payments-svc dies at {point}")
    bank, available = (account_of(merchant, code, deposit.transfer_id) for code in (BANK, AVAILABLE))
    assert merchant.ledger.commit(merchant.ledger.transfer(bank, available, 5_000, code=DEPOSIT)) == ["CREATED"]
    world.payments.start()
    goes_on_to(SETTLED, merchant, again)
    wait_until(lambda: money(merchant) == (4_400, 0), "what came in has repaid it")
    rows, _ = journal(merchant, before)
    assert sorted(code for code, _, _ in rows if code in (BANK_OUT, OWE)) == [BANK_OUT, OWE], rows
    wait_until(lambda: not debts(cases, merchant), "the case closes by itself")
    assert_proven(payer, tmp_path)


@pytest.mark.parametrize("point", ["deposit.back.intended", "deposit.back.ledger.done"])
def test_NO_LOSS_killed_while_a_deposit_is_taken_back(new_world, tmp_path, point):
    """Nobody repeats the call: the sweep ends it, once."""
    payer = Payer(new_world(SETTINGS))
    world = payer.world
    merchant = payer.merchant(deposit=200)
    deposit = merchant.deposit(1_000)
    world.payments.stop()
    plan = Plan(tmp_path, point)
    world.payments.start(env=plan.env)

    def killed():
        with pytest.raises(grpc.RpcError):
            payer.stub("Merchant").TakeBackDeposit(take_back(payer, merchant, deposit), timeout=20, wait_for_ready=True)
        return plan.hit()

    wait_until(killed, f"payments-svc dies at {point}")  # an old connection may fail first
    world.payments.wait_exit(10)
    world.payments.start()
    wait_until(lambda: payer.call("Merchant", "GetDeposit", payer.merchants_pb.GetDepositRequest(
        merchant_id=merchant.id, deposit_id=deposit.transfer_id)).deposit.state == 5, "it is taken back")
    assert money(merchant) == (200, 0)
    payer.call("Merchant", "TakeBackDeposit", take_back(payer, merchant, deposit))
    assert money(merchant) == (200, 0)


def test_a_deposit_whose_ledger_account_is_closed_is_not_taken_back_and_may_be_later(payer):
    merchant = payer.merchant()
    deposit = merchant.deposit(500)
    account = account_of(merchant, AVAILABLE, deposit.transfer_id)
    other = merchant.ledger.account()
    closing = merchant.ledger.transfer(account, other, 0, flags=PENDING | CLOSING_DEBIT)
    assert merchant.ledger.commit(closing) == ["CREATED"]
    refusal = merchant.refused("TakeBackDeposit", take_back(payer, merchant, deposit), "Merchant")
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DEPOSIT_NOT_TAKEN_BACK")
    assert merchant.ledger.commit(merchant.ledger.transfer(flags=VOID, pending_id=closing.id)) == ["CREATED"]
    assert payer.call("Merchant", "TakeBackDeposit", take_back(payer, merchant, deposit)).deposit.state == 5
    assert money(merchant) == (0, 0)
