"""Money in: a deposit is a row before it is a transfer of the ledger, ends whoever stops in between, and can be explained."""

import grpc
import pytest
from support import rpc
from support.crash import Plan
from support.ledger import PENDING, Ledger, new_id
from support.paying import FAILED, Payer, unique
from support.waiting import wait_until

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
DEPOSIT_PENDING, CREDITED, REFUSED = 1, 2, 3
CLOSING_CREDIT = 128
I64_MAX = 2**63 - 1


@pytest.fixture(scope="module")
def payer(world):
    return Payer(world)


def request(payer, merchant, amount, **change):
    return payer.merchants_pb.CreateDepositRequest(**{
        "merchant_id": merchant.id, "idempotency_key": unique("d"), "amount_minor": amount, "currency": "USD", **change})


def raw(payer, message):
    call = payer.world.channel(payer.service).unary_unary(
        "/payments.v1.MerchantService/CreateDeposit", request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=lambda data: data)
    return rpc.persist(lambda: call, message, timeout=20)


def deposits(payer, merchant, **filters):
    found, token = [], ""
    while True:
        answer = payer.call("Merchant", "ListDeposits", payer.merchants_pb.ListDepositsRequest(
            merchant_id=merchant.id, page_token=token, **filters))
        found += answer.deposits
        token = answer.next_page_token
        if not token:
            return found


def count(world, what):
    return int(world.payments_rows(f"SELECT count(*) FROM {what}")[0][0])


def restart_with(world, **settings):
    world.payments.stop()
    world.stack.settings["payments-svc"].update({name.replace("__", "."): value for name, value in settings.items()})
    world.stack.configure()
    world.payments.start()


def test_EXPLAINED_money_in(payer):
    """Where it came from, under which key, what became of it, and the ledger's transfer of the same id."""
    merchant = payer.merchant(currencies=("USD", "INR"))
    made = [request(payer, merchant, 100 + i, reference=f"wire {i}", currency="INR" if i % 2 else "USD") for i in range(5)]
    answers = [payer.call("Merchant", "CreateDeposit", one) for one in made]
    found = deposits(payer, merchant, page_size=2)
    assert [(one.deposit_id, one.amount_minor, one.currency, one.reference, one.idempotency_key, one.state, one.reason)
            for one in found] == [
        (answer.transfer_id, one.amount_minor, one.currency, one.reference, one.idempotency_key, CREDITED, "")
        for answer, one in reversed(list(zip(answers, made)))]
    assert [one.decide_time for one in found] == [answer.create_time for answer in reversed(answers)]
    ledger = merchant.ledger
    rows = ledger.stub.LookupTransfers(ledger.pb.LookupTransfersRequest(
        book_id=merchant.book_id, ids=[one.deposit_id for one in found]), timeout=10).transfers
    assert {(row.id, row.amount) for row in rows} == {(one.deposit_id, one.amount_minor) for one in found}
    assert deposits(payer, merchant, state=DEPOSIT_PENDING) == [] and len(deposits(payer, merchant, state=CREDITED)) == 5
    one = payer.call("Merchant", "GetDeposit", payer.merchants_pb.GetDepositRequest(
        merchant_id=merchant.id, deposit_id=found[0].deposit_id)).deposit
    assert one == found[0]
    other = payer.merchant()
    assert deposits(payer, other) == []
    refusal = merchant.refused("GetDeposit", payer.merchants_pb.GetDepositRequest(
        merchant_id=other.id, deposit_id=found[0].deposit_id), "Merchant")
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "DEPOSIT_NOT_FOUND")
    for bad in ({"state": 9}, {"page_size": -1}, {"page_token": "00"}):
        assert merchant.refused("ListDeposits", payer.merchants_pb.ListDepositsRequest(
            merchant_id=merchant.id, **bad), "Merchant").code == INVALID


@pytest.mark.parametrize("point", ["deposit.intended", "deposit.ledger.done", "deposit.kept"])
@pytest.mark.parametrize("who", ["repeat", "sweep"])
def test_NO_LOSS_a_deposit_that_was_begun_ends(new_world, tmp_path, point, who):
    """Killed at each boundary: the client's repeat finishes it, or the sweep does when nobody repeats. Once, in both cases."""
    world = new_world()
    payer = Payer(world)
    merchant = payer.merchant()
    message = request(payer, merchant, 700, reference="wire 7")
    world.payments.stop()
    plan = Plan(tmp_path, point)
    world.payments.start(env=plan.env)

    def killed():
        with pytest.raises(grpc.RpcError):
            payer.stub("Merchant").CreateDeposit(message, timeout=20, wait_for_ready=True)
        return plan.hit()

    wait_until(killed, f"payments-svc dies at {point}")  # an old connection may fail first
    world.payments.wait_exit(10)
    world.payments.start()
    if who == "repeat":
        answers = {raw(payer, message) for _ in range(3)}
        assert len(answers) == 1
    (found,) = wait_until(lambda: [one for one in deposits(payer, merchant) if one.state == CREDITED], "the deposit is credited")
    assert (found.amount_minor, found.reference) == (700, "wire 7")
    assert merchant.balance() == (700, 0, 700)
    answer = payer.merchants_pb.CreateDepositResponse.FromString(raw(payer, message))
    assert (answer.transfer_id, answer.create_time) == (found.deposit_id, found.decide_time)
    assert merchant.balance() == (700, 0, 700)


def test_SEEN_a_deposit_while_the_ledger_is_down(new_world):
    """The call cannot say what became of it; the row says that it was begun; it ends when the ledger is back."""
    world = new_world({"payments-svc": {"ledger.timeout_ms": 1000}})
    payer = Payer(world)
    merchant = payer.merchant(deposit=100)
    message = request(payer, merchant, 50)
    world.ledger.stop()
    failure = rpc.refused(payer.stub("Merchant").CreateDeposit, message, timeout=10)
    assert failure.code in rpc.REPEATABLE
    world.ledger.start()
    payer.call("Merchant", "CreateDeposit", message)
    assert merchant.balance() == (150, 0, 150)
    assert [one.state for one in deposits(payer, merchant)] == [CREDITED, CREDITED]


def test_one_huge_deposit_cannot_block_those_of_the_other_merchants(payer):
    """All merchants of a book share the bank's account, whose total is an int64 too."""
    merchant = payer.merchant()
    for amount in (I64_MAX, 10**12 + 1):
        refusal = merchant.refused("CreateDeposit", request(payer, merchant, amount), "Merchant")
        assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "AMOUNT_TOO_LARGE", ["amount_minor"])
        assert "1000000000000" in refusal.message and "deposits.amount_max" in refusal.message
    merchant.deposit(10**12)
    assert merchant.balance()[0] == 10**12


def test_DEFINITE_ERRORS_limits_that_were_lowered_do_not_hit_what_was_accepted(new_world):
    world = new_world({"payments-svc": {"deposits.balance_max": 5000}})
    payer = Payer(world)
    merchant, other = payer.merchant(), payer.merchant()
    message = request(payer, merchant, 3000)
    answer = raw(payer, message)
    refusal = merchant.refused("CreateDeposit", request(payer, merchant, 2001), "Merchant")
    assert (refusal.code, refusal.reason) == (INVALID, "AMOUNT_TOO_LARGE")
    assert "5000" in refusal.message and "deposits.balance_max" in refusal.message
    other.deposit(5000)
    restart_with(world, deposits__amount_max=1000, deposits__balance_max=1000)
    assert raw(payer, message) == answer
    assert merchant.refused("CreateDeposit", request(payer, merchant, 1001), "Merchant").reason == "AMOUNT_TOO_LARGE"
    message.amount_minor = 5
    assert merchant.refused("CreateDeposit", message, "Merchant").reason == "IDEMPOTENCY_KEY_REUSED"
    assert merchant.balance() == (3000, 0, 3000)


def accounts_of(merchant):
    """The merchant's account and the bank's, as the ledger has them."""
    ledger = merchant.ledger
    ids = [payment.id for payment in ledger.call("ListAccounts", ledger.pb.ListAccountsRequest(
        book_id=merchant.book_id, page_size=1000)).accounts]
    found = ledger.lookup(ids)
    (bank,) = [one.id for one in found.values() if one.code == 300]
    (available,) = [one.id for one in found.values() if one.code == 100]
    return available, bank


def test_a_deposit_that_the_ledger_refuses_for_good(new_world):
    """Its account is closed: the answer is definite, is the same for each repeat, and the row says why."""
    payer = Payer(new_world())
    merchant = payer.merchant(deposit=100)
    available, bank = accounts_of(merchant)
    ledger = Ledger(payer.world, merchant.book_id)
    assert ledger.commit(ledger.transfer(bank, available, 0, flags=PENDING | CLOSING_CREDIT)) == ["CREATED"]
    message = request(payer, merchant, 50)
    for _ in range(2):
        refusal = merchant.refused("CreateDeposit", message, "Merchant")
        assert (refusal.code, refusal.reason) == (PRECONDITION, "DEPOSIT_REFUSED")
    refused, first = deposits(payer, merchant)
    assert (refused.state, first.state) == (REFUSED, CREDITED)
    assert "CLOSED" in refused.reason and refused.HasField("decide_time")


def test_SEEN_a_deposit_that_is_refused_when_nobody_waits_for_the_answer(new_world, tmp_path):
    """Its call is gone when the ledger refuses it: a person is told, once."""
    world = new_world()
    payer = Payer(world)
    merchant = payer.merchant(deposit=100)
    available, bank = accounts_of(merchant)
    message = request(payer, merchant, 50)
    world.payments.stop()
    plan = Plan(tmp_path, "deposit.intended")
    world.payments.start(env=plan.env)

    def killed():
        with pytest.raises(grpc.RpcError):
            payer.stub("Merchant").CreateDeposit(message, timeout=20, wait_for_ready=True)
        return plan.hit()

    wait_until(killed, "payments-svc dies before it has asked the ledger")
    world.payments.wait_exit(10)
    ledger = Ledger(world, merchant.book_id)
    assert ledger.commit(ledger.transfer(bank, available, 0, flags=PENDING | CLOSING_CREDIT)) == ["CREATED"]
    world.payments.start()
    refused = "payment_case WHERE state = 1 AND kind = 'DEPOSIT_REFUSED'"
    wait_until(lambda: count(world, refused) == 1, "the refusal is told")
    assert count(world, f"{refused} AND book_id = {merchant.book_id} AND merchant_id = '{merchant.id}' AND amount = 50"
                        " AND currency = 'USD' AND seen = 1 AND code LIKE '%CLOSED%'") == 1
    assert [one.state for one in deposits(payer, merchant)] == [REFUSED, CREDITED]


def test_a_balance_below_zero_is_shown_and_not_a_reason_to_stop(payer):
    """A deposit that bounced is taken back by force after it was spent: the merchant owes it."""
    merchant = payer.merchant()
    answer = merchant.deposit(1000)
    paid = merchant.pay(800)
    merchant.wait_for([paid.payout_id])
    ledger, pid = merchant.ledger, payer.world.payments.pid
    reversed_ = ledger.call("ReverseTransfers", ledger.pb.ReverseTransfersRequest(
        book_id=merchant.book_id, force=True,
        reversals=[ledger.pb.TransferReversal(id=new_id(), transfer_id=answer.transfer_id)]))
    assert ledger.status(reversed_.results[0].status) == "CREATED"
    assert merchant.balance(prove=True) == (-800, 0, -800)
    assert merchant.balance(prove=False) == (-800, 0, -800)
    assert payer.world.payments.pid == pid
    more = merchant.pay(1)
    final = merchant.wait_for([more.payout_id])[more.payout_id]
    assert (final.state, final.reason) == (FAILED, "INSUFFICIENT_FUNDS")
    merchant.deposit(1000)
    assert merchant.balance() == (200, 0, 200)
