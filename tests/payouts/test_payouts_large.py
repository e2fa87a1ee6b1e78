"""The largest bulk request of payouts there can be. Its answer must fit what a gRPC client takes by default."""

import pytest
from support.paying import ACH, Payer, unique

BULK_MAX = 10_000
CLIENT_MAX = 4 << 20  # bytes of one message: gRPC's default
AMOUNT_MAX = 9_999_999_999


@pytest.fixture(scope="module")
def payer(world):
    return Payer(world)


def bulk(payer: Payer, merchant, **change):
    """Every field at its longest. Keys and references differ in their last digits."""
    fields = {"recipient_id": merchant.recipient(), "amount_minor": AMOUNT_MAX, "currency": "USD", "rail": ACH,
              "description": "D" * 10, **change}
    fields.setdefault("external_reference", "r" * 128)
    return payer.pb.BulkCreatePayoutsRequest(merchant_id=merchant.id, payouts=[
        payer.pb.NewPayout(idempotency_key="k" * 119 + f"-{i:08d}", **fields) for i in range(BULK_MAX)])


def answer_bytes(payer: Payer, request) -> bytes:
    """As they came over the wire."""
    call = payer.world.channel(payer.service).unary_unary(
        "/payments.v1.PayoutService/BulkCreatePayouts", request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=lambda data: data)
    return call(request, timeout=60)


def counted(payer: Payer, merchant) -> int:
    lines = payer.call("Payout", "SummarizePayouts", payer.pb.SummarizePayoutsRequest(merchant_id=merchant.id)).lines
    return sum(line.count for line in lines)


def longest_merchant(payer: Payer):
    """Without money, so that all its payouts end soon."""
    merchant = payer.merchant(prefix="m" * (64 - len(unique(""))))
    assert len(merchant.id) == 64
    return merchant


def test_the_largest_bulk_of_payouts(payer):
    """Taken in whole; repeated, the same bytes and no new payout; with other amounts under the same keys, refused one by one."""
    merchant = longest_merchant(payer)
    request = bulk(payer, merchant)
    assert request.ByteSize() < CLIENT_MAX
    first = answer_bytes(payer, request)
    assert len(first) < CLIENT_MAX
    results = payer.pb.BulkCreatePayoutsResponse.FromString(first).results
    assert len(results) == BULK_MAX and len({result.payout.payout_id for result in results}) == BULK_MAX
    assert all(result.payout.external_reference == "r" * 128 and result.payout.amount_minor == AMOUNT_MAX for result in results)
    assert answer_bytes(payer, request) == first
    assert counted(payer, merchant) == BULK_MAX
    other = answer_bytes(payer, bulk(payer, merchant, amount_minor=AMOUNT_MAX - 1))
    assert len(other) < CLIENT_MAX
    refused = payer.pb.BulkCreatePayoutsResponse.FromString(other).results
    assert len(refused) == BULK_MAX and {result.error.reason for result in refused} == {"IDEMPOTENCY_KEY_REUSED"}
    assert counted(payer, merchant) == BULK_MAX


@pytest.mark.parametrize("change, reason, field", [
    ({"external_reference": "r" * 129}, "FIELD_TOO_LONG", "payouts[{}].external_reference"),
    ({"recipient_id": "0190b1f0-0000-7000-8000-000000000001"}, "RECIPIENT_NOT_FOUND", "payouts[{}].recipient_id")])
def test_the_largest_bulk_of_payouts_that_are_all_refused(payer, change, reason, field):
    """By the rules, and by what stands in the database: an error each, in order, and nothing is written, nor under a repeat."""
    merchant = longest_merchant(payer)
    request = bulk(payer, merchant, **change)
    first = answer_bytes(payer, request)
    assert len(first) < CLIENT_MAX
    results = payer.pb.BulkCreatePayoutsResponse.FromString(first).results
    assert [(result.error.reason, result.error.field) for result in results] == [
        (reason, field.format(i)) for i in range(BULK_MAX)]
    assert answer_bytes(payer, request) == first
    assert counted(payer, merchant) == 0
