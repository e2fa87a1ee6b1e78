"""TENANT among neighbours: two merchants in one book, where only their names keep them apart; and money of two kinds in one."""

from __future__ import annotations

import grpc
import pytest
from support.paying import ACH, INSTANT, SETTLED, Payer, unique


@pytest.fixture(scope="module")
def neighbours(world):
    """(payer, a merchant with a payout, that payout, another merchant of the same book)."""
    payer = Payer(world)
    owner = payer.merchant(deposit=100_000, currencies=("INR", "USD"))
    payout = owner.pay(1_000)
    owner.wait_for([payout.payout_id], {SETTLED})
    for _ in range(500):
        other = payer.merchant(currencies=("INR", "USD"))
        if other.book_id == owner.book_id:
            return payer, owner, payout, other
    raise AssertionError("five hundred merchants, and none in this book")


def test_TENANT_a_neighbour_s_payout_is_not_found(neighbours):
    payer, owner, payout, other = neighbours
    for method, request in (("GetPayout", payer.pb.GetPayoutRequest), ("GetPayoutTimeline", payer.pb.GetPayoutTimelineRequest)):
        refusal = other.refused(method, request(merchant_id=other.id, payout_id=payout.payout_id))
        assert refusal.code == grpc.StatusCode.NOT_FOUND, (method, refusal)
    assert other.payouts() == [] and owner.payouts()[0].payout_id == payout.payout_id


def test_TENANT_a_neighbour_s_payout_is_not_waited_for(neighbours):
    payer, _, payout, other = neighbours
    refusal = other.refused("AwaitPayout", payer.pb.AwaitPayoutRequest(merchant_id=other.id, payout_id=payout.payout_id, until=1))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "PAYOUT_NOT_FOUND"), refusal


def test_TENANT_a_neighbour_s_recipient_is_not_found(neighbours):
    payer, owner, _, other = neighbours
    theirs = owner.recipient("USD")
    refusal = other.refused("GetRecipient", payer.recipients_pb.GetRecipientRequest(merchant_id=other.id, recipient_id=theirs),
                            "Recipient")
    assert refusal.code == grpc.StatusCode.NOT_FOUND, refusal
    refusal = other.refused("CreatePayout", other.request(100, recipient_id=theirs))
    assert refusal.code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT), refusal


@pytest.mark.parametrize("currency, of_recipient", [("INR", "USD"), ("USD", "INR")])
def test_a_payout_is_in_the_currency_of_its_recipient(neighbours, currency, of_recipient):
    """Alone and among others: refused for good, and the key is free for a right one."""
    payer, owner, _, _ = neighbours
    before, key = len(owner.payouts()), unique("currency")
    wrong = {"currency": currency, "recipient_id": owner.recipient(of_recipient), "idempotency_key": key}
    refusal = owner.refused("CreatePayout", owner.request(100, INSTANT, **wrong))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CURRENCY_MISMATCH"), refusal
    results = owner.pay_many([owner.new_payout(100, INSTANT, **wrong)])
    assert results[0].WhichOneof("outcome") == "error", results
    assert len(owner.payouts()) == before


def test_ach_moves_no_rupees(neighbours):
    _, owner, _, _ = neighbours
    refusal = owner.refused("CreatePayout", owner.request(100, ACH, currency="INR", recipient_id=owner.recipient("INR")))
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT, refusal
