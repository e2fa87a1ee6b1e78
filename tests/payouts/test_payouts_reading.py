"""GetPayout, ListPayouts, WatchPayouts, bulk creation and the merchants' calls."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from support import rpc
from support.paying import ACH, FAILED, FINAL, INSTANT, SETTLED, Payer, unique

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


@pytest.fixture(scope="module")
def payer(world):
    return Payer(world)


def page(merchant, **fields):
    return merchant.payer.stub("Payout").ListPayouts(
        merchant.payer.pb.ListPayoutsRequest(merchant_id=merchant.id, **fields), timeout=10)


@pytest.fixture(scope="module")
def listed(payer):
    """A merchant with 12 finished payouts: instant and ACH, USD and INR, settled and failed."""
    merchant = payer.merchant(deposit=1_000_000, currencies=("INR", "USD"))
    other = merchant.new_recipient("USD")
    recipient = payer.call("Recipient", "CreateRecipient", payer.recipients_pb.CreateRecipientRequest(
        merchant_id=merchant.id, recipient=other)).recipient.recipient_id
    made = [merchant.pay(100 + i, external_reference=f"ref-{i % 3}") for i in range(6)]
    made += [merchant.pay(801 + 1000 * i, INSTANT, "INR") for i in range(3)]
    made += [merchant.pay(500 + i, ACH, recipient_id=recipient) for i in range(3)]
    merchant.wait_for([payout.payout_id for payout in made])
    return merchant, recipient, [payout.payout_id for payout in made]


def test_newest_first_and_all_of_them(listed):
    merchant, _, ids = listed
    assert [payout.payout_id for payout in merchant.payouts()] == ids[::-1]
    assert [payout.payout_id for payout in merchant.payouts(page_size=1)] == ids[::-1]
    assert [payout.payout_id for payout in merchant.payouts(page_size=5)] == ids[::-1]


def test_filters(listed):
    merchant, recipient, ids = listed

    def numbers(**filters):
        return sorted(ids.index(payout.payout_id) for payout in merchant.payouts(page_size=2, **filters))

    assert numbers(states=[SETTLED]) == [0, 1, 2, 3, 4, 5, 9, 10, 11]
    assert numbers(states=[FAILED]) == [6, 7, 8]
    assert numbers(states=[SETTLED, FAILED]) == list(range(12))
    assert numbers(rail=ACH) == [9, 10, 11]
    assert numbers(currency="INR") == [6, 7, 8]
    assert numbers(recipient_id=recipient) == [9, 10, 11]
    assert numbers(external_reference="ref-1") == [1, 4]
    assert numbers(external_reference="ref-1", rail=ACH) == []
    middle = merchant.payout(ids[4]).create_time
    assert numbers(create_time_from=middle) == list(range(4, 12))
    assert numbers(create_time_to=middle) == [0, 1, 2, 3]
    assert numbers(create_time_from=middle, create_time_to=middle) == []


def test_pages_are_stable_while_payouts_arrive(payer):
    merchant = payer.merchant(deposit=1_000_000)
    before = [merchant.pay(100).payout_id for _ in range(7)]
    first = page(merchant, page_size=3)
    late = [merchant.pay(100).payout_id for _ in range(2)]
    second = page(merchant, page_size=3, page_token=first.next_page_token)
    late += [merchant.pay(100).payout_id for _ in range(2)]
    third = page(merchant, page_size=3, page_token=second.next_page_token)
    seen = [payout.payout_id for answer in (first, second, third) for payout in answer.payouts]
    assert seen == before[::-1] and third.next_page_token == ""
    assert [payout.payout_id for payout in merchant.payouts()] == (before + late)[::-1]
    merchant.wait_for(before + late)


def test_a_token_belongs_to_its_filters(listed):
    merchant, _, _ = listed
    token = page(merchant, page_size=2, rail=INSTANT).next_page_token
    for fields in ({"rail": ACH}, {}, {"rail": INSTANT, "currency": "USD"}):
        refusal = merchant.refused("ListPayouts", merchant.payer.pb.ListPayoutsRequest(
            merchant_id=merchant.id, page_size=2, page_token=token, **fields))
        assert (refusal.code, refusal.reason) == (INVALID, "PAGE_TOKEN_INVALID")
    assert len(page(merchant, page_size=9, rail=INSTANT, page_token=token).payouts) == 7  # another size is fine


@pytest.mark.parametrize("token", ["x", "AAAA", "!!!!", "A" * 5000])
def test_a_token_that_was_never_ours(listed, token):
    merchant, _, _ = listed
    refusal = merchant.refused("ListPayouts", merchant.payer.pb.ListPayoutsRequest(
        merchant_id=merchant.id, page_token=token))
    assert (refusal.code, refusal.reason) == (INVALID, "PAGE_TOKEN_INVALID")


@pytest.mark.parametrize("fields, reason", [
    ({"page_size": -1}, "PAGE_SIZE_INVALID"), ({"currency": "XQX"}, "CURRENCY_UNKNOWN"), ({"rail": 99}, "RAIL_UNKNOWN"),
    ({"states": [99]}, "STATE_UNKNOWN"), ({"states": [0]}, "STATE_UNKNOWN"),
    ({"states": [-1]}, "STATE_UNKNOWN"), ({"states": [-2**31]}, "STATE_UNKNOWN"), ({"rail": -1}, "RAIL_UNKNOWN"),
    ({"recipient_id": "x"}, "UUID_INVALID"),
    ({"create_time_from": Timestamp(nanos=-1)}, "TIMESTAMP_INVALID"),
    ({"create_time_to": Timestamp(seconds=2**62)}, "TIMESTAMP_INVALID"),
])
def test_wrong_filters_are_refused(listed, fields, reason):
    merchant, _, _ = listed
    refusal = merchant.refused("ListPayouts", merchant.payer.pb.ListPayoutsRequest(merchant_id=merchant.id, **fields))
    assert (refusal.code, refusal.reason) == (INVALID, reason)


def test_a_merchant_sees_only_its_own(payer, listed):
    merchant, _, ids = listed
    stranger = payer.merchant()
    for method, request in (
            ("GetPayout", payer.pb.GetPayoutRequest(merchant_id=stranger.id, payout_id=ids[0])),
            ("GetPayoutTimeline", payer.pb.GetPayoutTimelineRequest(merchant_id=stranger.id, payout_id=ids[0]))):
        refusal = merchant.refused(method, request)
        assert (refusal.code, refusal.reason) == (NOT_FOUND, "PAYOUT_NOT_FOUND")
    assert stranger.payouts() == []
    refusal = stranger.refused("CreatePayout", stranger.request(100, recipient_id=merchant.recipient("USD")))
    assert (refusal.code, refusal.reason) == (NOT_FOUND, "RECIPIENT_NOT_FOUND")


def test_nobody_and_nothing(payer):
    nobody = {"merchant_id": unique("nobody")}
    payout = {"payout_id": "0190b1f0-0000-7000-8000-000000000001"}
    for method, request in (("GetPayout", payer.pb.GetPayoutRequest(**nobody, **payout)),
                            ("ListPayouts", payer.pb.ListPayoutsRequest(**nobody)),
                            ("SummarizePayouts", payer.pb.SummarizePayoutsRequest(**nobody))):
        refusal = rpc.refused(getattr(payer.stub("Payout"), method), request)
        assert (refusal.code, refusal.reason, refusal.domain) == (NOT_FOUND, "MERCHANT_NOT_FOUND", "payments.disburse")


def watch(merchant, **fields):
    return merchant.payer.stub("Payout").WatchPayouts(
        merchant.payer.pb.WatchPayoutsRequest(merchant_id=merchant.id, **fields), timeout=60)


def test_watching_until_all_is_terminal(payer):
    merchant = payer.merchant(deposit=100_000)
    ids = [merchant.pay(amount, rail).payout_id for amount, rail in ((100, INSTANT), (801, INSTANT), (300, ACH))]
    seen = {}
    for part in watch(merchant, payout_ids=ids, until_terminal=True):
        for payout in part.payouts:
            seen.setdefault(payout.payout_id, []).append(payout.state)
    assert {key: states[-1] for key, states in seen.items()} == {ids[0]: SETTLED, ids[1]: FAILED, ids[2]: SETTLED}
    assert all(states == sorted(states) for states in seen.values())
    assert [payout.state for payout in next(watch(merchant, payout_ids=ids[:1], until_terminal=True)).payouts] == [SETTLED]


def test_watching_a_merchant_sees_new_payouts(payer):
    merchant = payer.merchant(deposit=100_000)
    done = merchant.pay(100).payout_id
    merchant.wait_for([done])
    stream = watch(merchant)
    timer = threading.Timer(0.2, lambda: merchant.pay(200))
    timer.start()
    seen = {}
    for part in stream:
        for payout in part.payouts:
            seen[payout.payout_id] = payout.state
        if FINAL & set(seen.values()):
            break
    stream.cancel()
    timer.join()
    assert done not in seen and list(seen.values()) == [SETTLED]


def test_watching_what_is_not_there(payer):
    merchant = payer.merchant()
    error = pytest.raises(grpc.RpcError, next, watch(merchant, payout_ids=["0190b1f0-0000-7000-8000-000000000001"]))
    assert rpc.failure(error.value).reason == "PAYOUT_NOT_FOUND"


def test_bulk_one_result_each_in_order(payer):
    merchant = payer.merchant(deposit=100_000)
    good, zero, other = merchant.new_payout(100), merchant.new_payout(0), merchant.new_payout(200)
    results = merchant.pay_many([good, zero, other, good])
    assert [result.WhichOneof("outcome") for result in results] == ["payout", "error", "payout", "payout"]
    assert results[0].payout == results[3].payout and results[0].payout.amount_minor == 100
    error = results[1].error
    assert (error.code, error.reason, error.field) == (3, "AMOUNT_NOT_POSITIVE", "payouts[1].amount_minor")
    single = merchant.refused("CreatePayout", payer.pb.CreatePayoutRequest(merchant_id=merchant.id, payout=zero))
    assert (single.code, single.reason, single.fields) == (INVALID, error.reason, ["payout.amount_minor"])
    assert len(merchant.payouts()) == 2
    merchant.wait_for([results[0].payout.payout_id, results[2].payout.payout_id])


@pytest.mark.parametrize("n", [0, 10_001])
def test_bulk_has_a_limit(payer, n):
    merchant = payer.merchant()
    item = payer.pb.NewPayout(idempotency_key="k")
    refusal = merchant.refused("BulkCreatePayouts", payer.pb.BulkCreatePayoutsRequest(
        merchant_id=merchant.id, payouts=[item] * n))
    assert (refusal.code, refusal.reason) == (INVALID, "BATCH_SIZE_INVALID")


def test_a_merchant_is_made_once(payer):
    wanted = payer.merchants_pb.CreateMerchantRequest(merchant_id=unique("m"), name="A", currencies=["USD", "INR", "USD"])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: payer.call("Merchant", "CreateMerchant", wanted), range(8)))
    assert len({answer.SerializeToString() for answer in answers}) == 1
    assert answers[0].merchant.currencies == ["INR", "USD"] and answers[0].merchant.book_id > 0
    refusal = rpc.refused(payer.stub("Merchant").CreateMerchant, payer.merchants_pb.CreateMerchantRequest(
        merchant_id=wanted.merchant_id, name="B", currencies=["INR", "USD"]))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "MERCHANT_EXISTS_WITH_DIFFERENT_FIELDS")


def test_merchants_in_pages(payer):
    made = {payer.merchant().id for _ in range(3)}
    found, token = [], ""
    while True:
        answer = payer.stub("Merchant").ListMerchants(payer.merchants_pb.ListMerchantsRequest(
            page_size=2, page_token=token), timeout=10)
        found += [merchant.merchant_id for merchant in answer.merchants]
        token = answer.next_page_token
        if not token:
            break
    assert found == sorted(set(found)) and made <= set(found)


def test_a_balance_shows_what_is_held(new_world):
    """Held while it is on its way: here the bank takes no files, so an ACH payout stays on its way."""
    world = new_world({"payments-svc": {"ach.gather_ms": 600_000}})
    merchant = Payer(world).merchant(deposit=1000)
    payout = merchant.pay(300, ACH)
    merchant.wait_for([payout.payout_id], {4})
    assert merchant.balance() == (700, 300, 1000)
