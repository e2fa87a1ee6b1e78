"""One key, one effect, one answer: NO-DOUBLE as a client can see it, while calls race and services restart."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from support import rpc
from support.paying import ACH, INSTANT, Payer, assert_bank_agrees, unique

ALREADY_EXISTS = grpc.StatusCode.ALREADY_EXISTS
AT_ONCE = 64


@pytest.fixture(scope="module")
def payer(world):
    return Payer(world)


def raw(payer, kind, method, request):
    """The bytes of the answer as they came over the wire."""
    package = "payments.v1"
    call = payer.world.channel(payer.service).unary_unary(
        f"/{package}.{kind}Service/{method}", request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=lambda data: data)
    return rpc.persist(lambda: call, request, timeout=20)


def at_once(work, n=AT_ONCE):
    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(work, range(n)))


@pytest.mark.parametrize("rail", [ACH, INSTANT])
def test_NO_DOUBLE_the_same_key_64_times_at_once(payer, rail):
    """One payout, 64 byte-identical answers, one payment at the bank."""
    merchant = payer.merchant(deposit=100_000)
    request = merchant.request(1500, rail)
    answers = at_once(lambda _: raw(payer, "Payout", "CreatePayout", request))
    assert len(answers) == AT_ONCE and len(set(answers)) == 1
    payout = payer.pb.CreatePayoutResponse.FromString(answers[0]).payout
    assert [found.payout_id for found in merchant.payouts()] == [payout.payout_id]
    final = merchant.wait_for([payout.payout_id])
    assert_bank_agrees(payer, list(final.values()))
    assert merchant.balance() == (98_500, 0, 98_500)
    # The answer stays what it was, although the payout has moved on: it says PENDING.
    assert raw(payer, "Payout", "CreatePayout", request) == answers[0]


def test_the_same_key_with_another_request_is_refused(payer):
    merchant = payer.merchant(deposit=100_000, currencies=("INR", "USD"))
    first = merchant.request(1500)
    payout = payer.call("Payout", "CreatePayout", first).payout
    other = payer.call("Recipient", "CreateRecipient", payer.recipients_pb.CreateRecipientRequest(
        merchant_id=merchant.id, recipient=merchant.new_recipient())).recipient.recipient_id
    for change in ({"amount_minor": 1501}, {"rail": ACH}, {"external_reference": "x"}, {"description": "x"},
                   {"recipient_id": other}, {"currency": "INR", "recipient_id": merchant.recipient("INR")}):
        request = payer.pb.CreatePayoutRequest()
        request.CopyFrom(first)
        for name, value in change.items():
            setattr(request.payout, name, value)
        refusal = merchant.refused("CreatePayout", request)
        assert (refusal.code, refusal.reason, refusal.domain) == (
            ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED", "payments.disburse"), change
    assert payer.call("Payout", "CreatePayout", first).payout == payout
    assert len(merchant.payouts()) == 1
    merchant.wait_for([payout.payout_id])


def test_two_requests_race_for_one_key(payer):
    """Any caller may win: there is one payout, and each caller gets its answer or an error that the key is taken."""
    merchant = payer.merchant(deposit=100_000)
    key = unique("race")
    requests = [merchant.request(100 + i % 2, idempotency_key=key) for i in range(AT_ONCE)]

    def call(i):
        try:
            return raw(payer, "Payout", "CreatePayout", requests[i])
        except grpc.RpcError as error:
            failure = rpc.failure(error)
            assert (failure.code, failure.reason) == (ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED")
            return None

    answers = at_once(call)
    made = merchant.payouts()
    assert len(made) == 1
    for i, answer in enumerate(answers):
        assert (answer is not None) == (requests[i].payout.amount_minor == made[0].amount_minor)
    assert len({answer for answer in answers if answer is not None}) == 1
    merchant.wait_for([made[0].payout_id])


def test_a_key_belongs_to_its_merchant(payer):
    key = unique("shared")
    merchants = [payer.merchant(deposit=10_000) for _ in range(2)]
    ids = [merchant.pay(100, idempotency_key=key).payout_id for merchant in merchants]
    assert ids[0] != ids[1]
    for merchant, payout_id in zip(merchants, ids):
        assert [payout.payout_id for payout in merchant.payouts()] == [payout_id]
        merchant.wait_for([payout_id])


def test_bulk_calls_share_keys_with_single_ones_and_with_each_other(payer):
    """The same 50 payouts, as one bulk call from 8 callers at once, and one by one: 50 payouts."""
    merchant = payer.merchant(deposit=1_000_000)
    payouts = [merchant.new_payout(100 + i, ACH if i % 2 else INSTANT) for i in range(50)]
    request = payer.pb.BulkCreatePayoutsRequest(merchant_id=merchant.id, payouts=payouts)
    single = payer.pb.CreatePayoutRequest(merchant_id=merchant.id, payout=payouts[7])

    def call(i):
        if i % 2:
            return raw(payer, "Payout", "CreatePayout", single)
        return raw(payer, "Payout", "BulkCreatePayouts", request)

    answers = at_once(call, 16)
    bulk, one = set(answers[0::2]), set(answers[1::2])
    assert len(bulk) == 1 and len(one) == 1
    results = payer.pb.BulkCreatePayoutsResponse.FromString(bulk.pop()).results
    assert results[7].payout == payer.pb.CreatePayoutResponse.FromString(one.pop()).payout
    made = merchant.payouts()
    assert len(made) == 50
    final = merchant.wait_for([payout.payout_id for payout in made])
    assert_bank_agrees(payer, list(final.values()))


def test_one_bulk_call_with_a_key_twice(payer):
    merchant = payer.merchant(deposit=100_000)
    a = merchant.new_payout(100)
    b = merchant.new_payout(200, idempotency_key=a.idempotency_key)
    results = merchant.pay_many([a, b, a])
    assert results[0].payout == results[2].payout and results[0].payout.amount_minor == 100
    assert (results[1].error.code, results[1].error.reason) == (ALREADY_EXISTS.value[0], "IDEMPOTENCY_KEY_REUSED")
    assert len(merchant.payouts()) == 1
    merchant.wait_for([results[0].payout.payout_id])


def test_DEFINITE_ERRORS_a_refused_request_does_not_use_its_key(payer):
    """The write never happened, so the key is free for the request put right."""
    merchant = payer.merchant(deposit=100_000)
    key = unique("again")
    assert merchant.refused("CreatePayout", merchant.request(0, idempotency_key=key)).reason == "AMOUNT_NOT_POSITIVE"
    unknown = "0190b1f0-0000-7000-8000-000000000001"
    assert merchant.refused("CreatePayout", merchant.request(
        5, idempotency_key=key, recipient_id=unknown)).reason == "RECIPIENT_NOT_FOUND"
    payout = merchant.pay(500, idempotency_key=key)
    assert payout.amount_minor == 500
    merchant.wait_for([payout.payout_id])


def test_deposits_and_recipients_are_made_once_each(payer):
    merchant = payer.merchant()
    deposit = payer.merchants_pb.CreateDepositRequest(
        merchant_id=merchant.id, idempotency_key=unique("deposit"), amount_minor=700, currency="USD", reference="wire")
    assert len(set(at_once(lambda _: raw(payer, "Merchant", "CreateDeposit", deposit), 16))) == 1
    assert merchant.balance() == (700, 0, 700)
    changed = payer.merchants_pb.CreateDepositRequest()
    changed.CopyFrom(deposit)
    changed.amount_minor = 701
    refusal = merchant.refused("CreateDeposit", changed, "Merchant")
    assert (refusal.code, refusal.reason) == (ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED")

    recipient = payer.recipients_pb.CreateRecipientRequest(merchant_id=merchant.id, recipient=merchant.new_recipient())
    assert len(set(at_once(lambda _: raw(payer, "Recipient", "CreateRecipient", recipient), 16))) == 1
    rows = payer.world.payments_rows(f"SELECT count(*) FROM recipient WHERE merchant_id = '{merchant.id}'")
    assert rows == [["1"]]
    recipient.recipient.bank_account.account_number = "999"
    refusal = merchant.refused("CreateRecipient", recipient, "Recipient")
    assert (refusal.code, refusal.reason) == (ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_answers_are_the_same_bytes_after_a_restart(new_world, how):
    world = new_world()
    payer = Payer(world)
    merchant = payer.merchant(deposit=100_000)
    single = merchant.request(100)
    bulk = payer.pb.BulkCreatePayoutsRequest(merchant_id=merchant.id, payouts=[merchant.new_payout(200 + i) for i in range(5)])
    calls = [("CreatePayout", single), ("BulkCreatePayouts", bulk)]
    before = [raw(payer, "Payout", *call) for call in calls]
    getattr(world.payments, how)()
    world.payments.start()
    assert [raw(payer, "Payout", *call) for call in calls] == before
    changed = payer.pb.CreatePayoutRequest()
    changed.CopyFrom(single)
    changed.payout.amount_minor += 1
    assert merchant.refused("CreatePayout", changed).reason == "IDEMPOTENCY_KEY_REUSED"
    made = merchant.payouts()
    assert len(made) == 6
    final = merchant.wait_for([payout.payout_id for payout in made])
    assert_bank_agrees(payer, list(final.values()))


def test_two_instances_and_one_key(new_world):
    """Half of the 64 callers ask another payments-svc on the same database."""
    world = new_world()
    world.stack.add_instance("payments-svc", "payments-svc.2", {"instant.webhook_port": 0}).start()
    payers = [Payer(world), Payer(world, "payments-svc.2")]
    merchant = payers[0].merchant(deposit=100_000)
    request = merchant.request(1500)
    answers = at_once(lambda i: raw(payers[i % 2], "Payout", "CreatePayout", request))
    assert len(set(answers)) == 1
    made = merchant.payouts()
    assert len(made) == 1
    final = merchant.wait_for([made[0].payout_id])
    assert_bank_agrees(payers[0], list(final.values()))
