"""DEFINITE-ERRORS for repeats: a known key is answered as it was first, byte for byte, whatever has changed since; only what is new
is validated. And what is kept of a request lets nobody guess it."""

import concurrent.futures
import hashlib

import grpc
import pytest
from support import rpc
from support.paying import ACH, INSTANT, Payer, unique

INVALID = grpc.StatusCode.INVALID_ARGUMENT
REUSED = "IDEMPOTENCY_KEY_REUSED"
PAYOUT, RECIPIENT = 1, 2  # idempotency.operation


def raw(payer, kind, method, request):
    """The bytes of the answer as they came over the wire."""
    call = payer.world.channel(payer.service).unary_unary(
        f"/payments.v1.{kind}Service/{method}", request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=lambda data: data)
    return rpc.persist(lambda: call, request, timeout=20)


def restart_with(world, **settings):
    world.payments.stop()
    world.stack.settings["payments-svc"].update({name.replace("__", "."): value for name, value in settings.items()})
    world.stack.configure()
    world.payments.start()


def copy_of(request):
    copy = type(request)()
    copy.CopyFrom(request)
    return copy


def test_DEFINITE_ERRORS_the_rail_is_switched_off_between_a_call_and_its_repeat(new_world):
    world = new_world()
    payer = Payer(world)
    merchant = payer.merchant(deposit=100_000, currencies=("USD", "INR"))
    single = merchant.request(1500, INSTANT)
    rupees = merchant.request(700, INSTANT, "INR")
    bulk = payer.pb.BulkCreatePayoutsRequest(
        merchant_id=merchant.id, payouts=[merchant.new_payout(200 + i, INSTANT) for i in range(3)])
    account = payer.recipients_pb.CreateRecipientRequest(merchant_id=merchant.id, recipient=merchant.new_recipient("INR"))
    made = payer.merchants_pb.CreateMerchantRequest(merchant_id=unique("m"), name="Both", currencies=("INR", "USD"))
    deposit = payer.merchants_pb.CreateDepositRequest(
        merchant_id=merchant.id, idempotency_key=unique("d"), amount_minor=5, currency="INR")
    calls = [("Payout", "CreatePayout", single), ("Payout", "CreatePayout", rupees), ("Payout", "BulkCreatePayouts", bulk),
             ("Recipient", "CreateRecipient", account), ("Merchant", "CreateMerchant", made),
             ("Merchant", "CreateDeposit", deposit)]
    before = [raw(payer, *call) for call in calls]
    merchant.wait_for([payout.payout_id for payout in merchant.payouts()])
    restart_with(world, instant__enabled="false")
    assert [raw(payer, *call) for call in calls] == before
    # Another content is another request, whether or not its rail is there; and what is new is validated.
    other = copy_of(single)
    other.payout.amount_minor += 1
    assert merchant.refused("CreatePayout", other).reason == REUSED
    other.payout.rail = ACH
    assert merchant.refused("CreatePayout", other).reason == REUSED
    assert merchant.refused("CreatePayout", merchant.request(1500, INSTANT)).reason == "RAIL_NOT_AVAILABLE"
    bulk.payouts.append(merchant.new_payout(300, INSTANT))
    results = payer.call("Payout", "BulkCreatePayouts", bulk).results
    assert [result.WhichOneof("outcome") for result in results] == ["payout"] * 3 + ["error"]
    assert results[3].error.reason == "RAIL_NOT_AVAILABLE"
    made.merchant_id = unique("m")
    assert merchant.refused("CreateMerchant", made, "Merchant").reason == "CURRENCY_NOT_SUPPORTED"
    assert len(merchant.payouts()) == 5


@pytest.fixture(scope="module")
def payer(world):
    return Payer(world)


def test_bulk_with_the_true_repeat_after_another_content_of_the_same_key(payer):
    """The kept request decides, not whichever item of the call comes first."""
    merchant = payer.merchant(deposit=100_000)
    first = merchant.request(900)
    payout = payer.call("Payout", "CreatePayout", first).payout
    other = copy_of(first)
    other.payout.amount_minor = 901
    results = merchant.pay_many([other.payout, first.payout, other.payout])
    assert [result.WhichOneof("outcome") for result in results] == ["error", "payout", "error"]
    assert results[0].error.reason == results[2].error.reason == REUSED
    assert results[1].payout == payout


def test_an_invalid_item_does_not_take_the_key_of_a_valid_one(payer):
    merchant = payer.merchant(deposit=100_000)
    good = merchant.new_payout(900)
    bad = copy_of(good)
    bad.amount_minor = -1
    results = merchant.pay_many([bad, good])
    assert results[0].error.reason == "AMOUNT_NOT_POSITIVE"
    assert results[1].payout.amount_minor == 900
    again = merchant.pay_many([bad, good])
    assert again[0].error.reason == REUSED and again[1].payout == results[1].payout


def test_NO_DOUBLE_one_key_alone_and_among_many_at_the_same_time(payer):
    """Single payouts and many at once are gathered apart; their keys meet in the database."""
    merchant = payer.merchant(deposit=1_000_000)
    for _ in range(10):
        many = [merchant.new_payout(100, recipient_id=merchant.recipient()) for _ in range(50)]
        alone = payer.pb.CreatePayoutRequest(merchant_id=merchant.id, payout=many[25])
        with concurrent.futures.ThreadPoolExecutor(2) as threads:
            bulk = threads.submit(merchant.pay_many, many)
            single = threads.submit(payer.call, "Payout", "CreatePayout", alone)
        ids = [result.payout.payout_id for result in bulk.result()]
        assert len(set(ids)) == 50
        assert single.result().payout.payout_id == ids[25]


def test_a_key_belongs_to_an_operation(payer):
    merchant = payer.merchant()
    key = unique("shared")
    merchant.deposit(10_000, key=key)
    recipient = payer.call("Recipient", "CreateRecipient", payer.recipients_pb.CreateRecipientRequest(
        merchant_id=merchant.id, recipient=merchant.new_recipient(key=key))).recipient
    payout = merchant.pay(500, idempotency_key=key, recipient_id=recipient.recipient_id)
    assert merchant.wait_for([payout.payout_id])


# What is kept of a request.

def plain_hash(operation, merchant, message):
    """The form that the first version kept."""
    return hashlib.sha256(bytes([operation, len(merchant.id)]) + merchant.id.encode() + message.SerializeToString()).hexdigest()


def kept(payer, merchant, operation, message):
    """The hash that is kept of a request. A payout's is in the payout's row, and it has no other."""
    where = f"merchant_id = '{merchant.id}' AND key = '{message.idempotency_key}'"
    rows = payer.world.payments_rows(f"SELECT encode(request_hash, 'hex') FROM idempotency WHERE {where}")
    if operation == PAYOUT:
        assert not rows
        rows = payer.world.payments_rows(f"SELECT encode(request_hash, 'hex') FROM payout WHERE payout_id = '{made_of(payer, merchant, message)}'")
    ((found,),) = rows
    return found


def made_of(payer, merchant, message):
    return merchant.pay_many([message])[0].payout.payout_id


def test_a_copy_of_the_table_lets_nobody_guess_an_account_number(payer):
    """A hash without a secret key would let a reader of the table try the unknown digits of an account number."""
    merchant = payer.merchant(deposit=1000)
    recipient = merchant.new_recipient()
    payer.call("Recipient", "CreateRecipient", payer.recipients_pb.CreateRecipientRequest(
        merchant_id=merchant.id, recipient=recipient))
    payout = merchant.new_payout(10)
    merchant.pay_many([payout])
    for operation, message in ((RECIPIENT, recipient), (PAYOUT, payout)):
        found = kept(payer, merchant, operation, message)
        assert plain_hash(operation, merchant, message) not in found
        version, key_id_len = bytes.fromhex(found)[:2]
        assert version == 1 and len(bytes.fromhex(found)) == 2 + key_id_len + 32


def test_rows_of_the_first_version_are_still_known(payer):
    """A payout and a recipient whose rows are made what the first version wrote: hash without a key, answer kept whole, a row for each key."""
    merchant = payer.merchant(deposit=1000)
    request = merchant.request(10)
    account = payer.recipients_pb.CreateRecipientRequest(merchant_id=merchant.id, recipient=merchant.new_recipient())
    answer = raw(payer, "Payout", "CreatePayout", request)
    registered = raw(payer, "Recipient", "CreateRecipient", account)
    made = payer.pb.CreatePayoutResponse.FromString(answer).payout.payout_id
    payer.world.payments_rows(
        f"UPDATE payout SET request_hash = NULL WHERE payout_id = '{made}'; "
        "INSERT INTO idempotency (book_id, merchant_id, key, operation, request_hash, response, created_at) "
        f"SELECT book_id, merchant_id, '{request.payout.idempotency_key}', {PAYOUT}, "
        f"'\\x{plain_hash(PAYOUT, merchant, request.payout)}', '\\x{answer.hex()}', created_at FROM payout WHERE payout_id = '{made}'")
    payer.world.payments_rows(
        f"UPDATE idempotency SET request_hash = '\\x{plain_hash(RECIPIENT, merchant, account.recipient)}' "
        f"WHERE key = '{account.recipient.idempotency_key}'")
    assert raw(payer, "Payout", "CreatePayout", request) == answer
    assert raw(payer, "Recipient", "CreateRecipient", account) == registered
    bulk = merchant.pay_many([request.payout])
    assert bulk[0].payout == payer.pb.CreatePayoutResponse.FromString(answer).payout
    request.payout.amount_minor = 11
    account.recipient.name = "Another"
    assert merchant.refused("CreatePayout", request).reason == REUSED
    assert merchant.refused("CreateRecipient", account, "Recipient").reason == REUSED


def test_rows_of_keys_that_say_what_was_made_are_still_known(payer):
    """Between the first version and now a payout's key had a row of its own, which said which payout it made."""
    merchant = payer.merchant(deposit=1000)
    request = merchant.request(10)
    answer = raw(payer, "Payout", "CreatePayout", request)
    made = payer.pb.CreatePayoutResponse.FromString(answer).payout.payout_id
    payer.world.payments_rows(
        "INSERT INTO idempotency (book_id, merchant_id, key, operation, request_hash, made, created_at) "
        f"SELECT book_id, merchant_id, '{request.payout.idempotency_key}', {PAYOUT}, request_hash, payout_id, created_at "
        f"FROM payout WHERE payout_id = '{made}'; UPDATE payout SET request_hash = NULL WHERE payout_id = '{made}'")
    assert raw(payer, "Payout", "CreatePayout", request) == answer
    request.payout.amount_minor = 11
    assert merchant.refused("CreatePayout", request).reason == REUSED


def test_the_answer_of_a_payout_is_not_kept(payer):
    """It is rebuilt from the payout's own row, which never changes."""
    merchant = payer.merchant(deposit=1000)
    request = merchant.request(10, external_reference="größe 'x'", description="A B")
    answer = raw(payer, "Payout", "CreatePayout", request)
    assert kept(payer, merchant, PAYOUT, request.payout)
    made = payer.pb.CreatePayoutResponse.FromString(answer).payout
    merchant.wait_for([made.payout_id])
    assert raw(payer, "Payout", "CreatePayout", request) == answer


# Fields of a later version.

def with_field(message, number, text=b"2027-01-01"):
    return message.SerializeToString() + bytes([number << 3 | 2, len(text)]) + text


def refused_bytes(payer, kind, method, data):
    call = payer.world.channel(payer.service).unary_unary(f"/payments.v1.{kind}Service/{method}")
    return rpc.refused(call, data)


def length_delimited(number, data):
    n, length = len(data), bytearray()
    while True:
        length.append(n & 0x7F | (0x80 if n > 0x7F else 0))
        n >>= 7
        if n == 0:
            return bytes([number << 3 | 2]) + bytes(length) + data


def test_unknown_fields_of_writes_are_refused(payer):
    """Taken as if it were not there, a scheduled_for or requires_approval of a later version would be paid at once."""
    merchant = payer.merchant(deposit=100_000)
    request = merchant.request(100)
    recipient = payer.recipients_pb.CreateRecipientRequest(merchant_id=merchant.id, recipient=merchant.new_recipient())
    who = length_delimited(1, merchant.id.encode())
    account = with_field(recipient.recipient.bank_account, 9)
    recipient.recipient.ClearField("bank_account")
    nested = who + length_delimited(2, recipient.recipient.SerializeToString() + length_delimited(4, account))
    made = payer.merchants_pb.CreateMerchantRequest(merchant_id=unique("m"), name="A", currencies=["USD"])
    deposit = payer.merchants_pb.CreateDepositRequest(
        merchant_id=merchant.id, idempotency_key=unique("d"), amount_minor=5, currency="USD")
    for kind, method, data, message, field in (
            ("Payout", "CreatePayout", with_field(request, 9), "payments.v1.CreatePayoutRequest", "9"),
            ("Payout", "CreatePayout", who + length_delimited(2, with_field(request.payout, 15)), "payments.v1.NewPayout",
             "payout.15"),
            ("Recipient", "CreateRecipient", nested, "payments.v1.BankAccount", "recipient.bank_account.9"),
            ("Merchant", "CreateMerchant", with_field(made, 9), "payments.v1.CreateMerchantRequest", "9"),
            ("Merchant", "CreateDeposit", with_field(deposit, 9), "payments.v1.CreateDepositRequest", "9")):
        refusal = refused_bytes(payer, kind, method, data)
        assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "UNKNOWN_FIELD", [field]), (method, refusal)
        assert message in refusal.message and field.rpartition(".")[2] in refusal.message
    assert merchant.payouts() == []
    assert merchant.balance() == (100_000, 0, 100_000)


def test_unknown_fields_of_one_item_refuse_that_item(payer):
    merchant = payer.merchant(deposit=100_000)
    good, later = merchant.new_payout(100), merchant.new_payout(200)
    data = length_delimited(1, merchant.id.encode()) + length_delimited(2, good.SerializeToString()) + \
        length_delimited(2, with_field(later, 15))
    call = payer.world.channel(payer.service).unary_unary(
        "/payments.v1.PayoutService/BulkCreatePayouts", response_deserializer=payer.pb.BulkCreatePayoutsResponse.FromString)
    results = call(data, timeout=20).results
    assert results[0].payout.amount_minor == 100
    assert (results[1].error.reason, results[1].error.field) == ("UNKNOWN_FIELD", "payouts[1].15")


def test_reads_ignore_unknown_fields(payer):
    merchant = payer.merchant()
    call = payer.world.channel(payer.service).unary_unary(
        "/payments.v1.PayoutService/ListPayouts", response_deserializer=payer.pb.ListPayoutsResponse.FromString)
    answer = call(with_field(payer.pb.ListPayoutsRequest(merchant_id=merchant.id), 14), timeout=20)
    assert list(answer.payouts) == []
