"""validate_only and ValidatePayouts: the service's own answer, and nothing is written."""

import grpc
import pytest
from support.paying import ACH, INSTANT, Payer, unique

TABLES = ("payout", "saga", "recipient", "idempotency")


@pytest.fixture(scope="module")
def payer(world):
    return Payer(world)


def rows(payer):
    return [payer.world.payments_rows(f"SELECT count(*) FROM {table}") for table in TABLES]


def test_create_payout_answers_as_it_would_and_writes_nothing(payer):
    merchant = payer.merchant(deposit=1000)
    request = merchant.request(100, external_reference="r")
    before = rows(payer)
    request.validate_only = True
    checked = payer.call("Payout", "CreatePayout", request).payout
    assert rows(payer) == before
    assert (checked.payout_id, checked.HasField("create_time")) == ("", False)
    request.validate_only = False
    paid = payer.call("Payout", "CreatePayout", request).payout
    assert paid.payout_id
    for name in ("payout_id", "create_time", "update_time"):
        paid.ClearField(name)
    assert paid == checked
    # Of a known key the first answer, and of another content that the key is taken: as without validate_only.
    request.validate_only = True
    first = payer.call("Payout", "CreatePayout", request).payout
    assert first.payout_id and first.create_time.seconds
    request.payout.amount_minor += 1
    assert merchant.refused("CreatePayout", request).reason == "IDEMPOTENCY_KEY_REUSED"


def test_the_refusals_are_those_of_the_call_itself(payer):
    merchant = payer.merchant(deposit=1000)
    bad = [{"amount_minor": 0}, {"rail": 77}, {"recipient_id": "0190b1f0-0000-7000-8000-000000000001"}, {"currency": "INR"},
           {"idempotency_key": ""}, {"description": "d" * 11}]
    payouts = [merchant.new_payout(100)]
    for change in bad:
        payout = merchant.new_payout(100)
        for name, value in change.items():
            setattr(payout, name, value)
        payouts.append(payout)
    request = payer.pb.BulkCreatePayoutsRequest(merchant_id=merchant.id, payouts=payouts, validate_only=True)
    before = rows(payer)
    checked = payer.call("Payout", "BulkCreatePayouts", request).results
    assert rows(payer) == before
    request.validate_only = False
    done = payer.call("Payout", "BulkCreatePayouts", request).results
    assert [result.error for result in checked] == [result.error for result in done]
    assert all(result.error.reason for result in checked[1:]) and checked[0].WhichOneof("outcome") == "payout"


def test_recipients(payer):
    merchant = payer.merchant()
    good, bad = merchant.new_recipient(), merchant.new_recipient(routing_code="021000022")
    unpayable = merchant.new_recipient()
    unpayable.name = "日本"
    before = rows(payer)
    request = payer.recipients_pb.BulkCreateRecipientsRequest(
        merchant_id=merchant.id, recipients=[good, bad, unpayable], validate_only=True)
    results = payer.call("Recipient", "BulkCreateRecipients", request).results
    assert rows(payer) == before
    assert (results[0].recipient.recipient_id, results[0].recipient.account_last4) == (
        "", good.bank_account.account_number[-4:])
    assert (results[1].error.reason, results[1].error.field) == (
        "ROUTING_NUMBER_INVALID", "recipients[1].bank_account.routing_code")
    assert (results[2].error.reason, results[2].error.field) == ("NAME_NOT_LATIN", "recipients[2].name")
    single = payer.recipients_pb.CreateRecipientRequest(merchant_id=merchant.id, recipient=good, validate_only=True)
    assert payer.call("Recipient", "CreateRecipient", single).recipient.recipient_id == ""
    assert rows(payer) == before
    single.validate_only = False
    made = payer.call("Recipient", "CreateRecipient", single).recipient
    single.validate_only = True
    assert payer.call("Recipient", "CreateRecipient", single).recipient == made


def test_payouts_of_recipients_that_are_not_registered(payer):
    merchant = payer.merchant(currencies=("USD", "INR"))
    pb = payer.pb
    fresh = merchant.new_recipient()
    payout = merchant.new_payout(100, recipient_id="")
    items = [
        pb.PayoutToValidate(payout=payout, recipient=fresh),
        pb.PayoutToValidate(payout=merchant.new_payout(100, ACH, recipient_id=""), recipient=fresh),  # the same recipient again
        pb.PayoutToValidate(payout=merchant.new_payout(100), ),  # registered
        pb.PayoutToValidate(payout=merchant.new_payout(100, recipient_id=""), recipient=merchant.new_recipient("INR")),
        pb.PayoutToValidate(payout=merchant.new_payout(100, recipient_id=""),
                            recipient=merchant.new_recipient(account_number="1" * 18)),
        pb.PayoutToValidate(payout=merchant.new_payout(100, recipient_id="")),
        pb.PayoutToValidate(payout=merchant.new_payout(0, recipient_id=""), recipient=merchant.new_recipient()),
        pb.PayoutToValidate(),
        pb.PayoutToValidate(payout=payout, recipient=fresh),  # the same request twice: the second would get the first's answer
    ]
    before = rows(payer)
    results = payer.call("Payout", "ValidatePayouts", pb.ValidatePayoutsRequest(merchant_id=merchant.id, items=items)).results
    assert rows(payer) == before
    assert [(result.error.reason, result.error.field) for result in results] == [
        ("", ""), ("", ""), ("", ""), ("CURRENCY_MISMATCH", "items[3].payout.currency"),
        ("ACCOUNT_NUMBER_INVALID", "items[4].recipient.bank_account.account_number"),
        ("FIELD_MISSING", "items[5].payout.recipient_id"), ("AMOUNT_NOT_POSITIVE", "items[6].payout.amount_minor"),
        ("IDEMPOTENCY_KEY_MISSING", "items[7].payout.idempotency_key"), ("", "")]
    assert not any(result.HasField("accepted_before") for result in results)


def test_a_payout_that_was_accepted_before_says_so(payer):
    merchant = payer.merchant(deposit=1000)
    request = merchant.request(100, INSTANT)
    paid = payer.call("Payout", "CreatePayout", request).payout
    pb = payer.pb
    changed = pb.NewPayout()
    changed.CopyFrom(request.payout)
    changed.amount_minor = 101
    results = payer.call("Payout", "ValidatePayouts", pb.ValidatePayoutsRequest(merchant_id=merchant.id, items=[
        pb.PayoutToValidate(payout=request.payout), pb.PayoutToValidate(payout=changed)])).results
    assert results[0].accepted_before == paid and not results[0].HasField("error")
    assert results[1].error.reason == "IDEMPOTENCY_KEY_REUSED"


def test_a_repeat_whose_recipient_comes_beside_is_known(payer):
    """The recipient's own key leads to its id, which is part of what the payout's key stands for."""
    merchant = payer.merchant(deposit=1000)
    pb = payer.pb
    wanted = merchant.new_recipient()
    made = payer.call("Recipient", "CreateRecipient", payer.recipients_pb.CreateRecipientRequest(merchant_id=merchant.id, recipient=wanted))
    request = merchant.request(100, INSTANT, recipient_id=made.recipient.recipient_id)
    paid = payer.call("Payout", "CreatePayout", request).payout
    again, other = pb.NewPayout(), pb.NewPayout()
    again.CopyFrom(request.payout)
    again.ClearField("recipient_id")
    other.CopyFrom(again)
    other.amount_minor = 99
    results = payer.call("Payout", "ValidatePayouts", pb.ValidatePayoutsRequest(merchant_id=merchant.id, items=[
        pb.PayoutToValidate(payout=again, recipient=wanted), pb.PayoutToValidate(payout=other, recipient=wanted),
        pb.PayoutToValidate(payout=again, recipient=merchant.new_recipient())])).results
    assert results[0].accepted_before == paid and not results[0].HasField("error")
    assert [result.error.reason for result in results[1:]] == ["IDEMPOTENCY_KEY_REUSED"] * 2


def test_limits_of_the_call(payer):
    merchant = payer.merchant()
    refusal = merchant.refused("ValidatePayouts", payer.pb.ValidatePayoutsRequest(merchant_id=merchant.id))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BATCH_SIZE_INVALID")
    many = payer.pb.ValidatePayoutsRequest(merchant_id=merchant.id)
    recipient = merchant.recipient()
    for i in range(10_000):
        many.items.add(payout=payer.pb.NewPayout(idempotency_key=f"{unique('k')}", amount_minor=1 + i, currency="USD",
                                                 rail=INSTANT, recipient_id=recipient))
    results = payer.call("Payout", "ValidatePayouts", many, timeout=30).results
    assert len(results) == 10_000 and not any(result.HasField("error") for result in results)
