"""Bad input, each with its exact gRPC code and ErrorInfo reason, and after each of them the server still serves."""

import grpc
import pytest
from run import Authority
from support import rpc, stubs
from support.ledger import new_id
from support.paying import ACH, INSTANT, Payer, unique

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
I64_MAX = 2**63 - 1


@pytest.fixture(scope="module")
def payer(world):
    return Payer(world)


@pytest.fixture(scope="module")
def merchant(payer):
    made = payer.merchant(deposit=1_000_000)
    made.recipient()
    return made


@pytest.fixture(autouse=True)
def still_serving(world, payer, merchant):
    """After each: no call left undone, the processes are the same ones, and both answer as before."""
    pids = world.ledger.pid, world.payments.pid
    count = len(merchant.payouts())
    yield
    assert (world.ledger.pid, world.payments.pid) == pids
    payout = merchant.pay(100)
    assert len(merchant.payouts()) == count + 1, "a refused request has left a payout behind"
    merchant.wait_for([payout.payout_id])
    assert merchant.ledger.trial_balance().balanced


PAYOUTS = [
    ({"amount": -1}, INVALID, "AMOUNT_NOT_POSITIVE", "payout.amount_minor"),
    ({"amount": -2**63}, INVALID, "AMOUNT_NOT_POSITIVE", "payout.amount_minor"),
    ({"amount": 0}, INVALID, "AMOUNT_NOT_POSITIVE", "payout.amount_minor"),
    ({"amount": 10_000_000_000, "rail": ACH}, INVALID, "AMOUNT_TOO_LARGE", "payout.amount_minor"),
    ({"amount": I64_MAX, "rail": ACH}, INVALID, "AMOUNT_TOO_LARGE", "payout.amount_minor"),
    ({"amount": I64_MAX, "rail": INSTANT}, INVALID, "AMOUNT_TOO_LARGE", "payout.amount_minor"),
    ({"currency": "XQX"}, INVALID, "CURRENCY_UNKNOWN", "payout.currency"),
    ({"currency": "usd"}, INVALID, "CURRENCY_UNKNOWN", "payout.currency"),
    ({"currency": "USDX"}, INVALID, "CURRENCY_UNKNOWN", "payout.currency"),
    ({"currency": ""}, INVALID, "FIELD_MISSING", "payout.currency"),
    ({"currency": "EUR"}, INVALID, "CURRENCY_NOT_SUPPORTED_BY_RAIL", "payout.currency"),
    ({"currency": "INR", "rail": ACH}, INVALID, "CURRENCY_NOT_SUPPORTED_BY_RAIL", "payout.currency"),
    ({"currency": "INR", "rail": INSTANT}, PRECONDITION, "CURRENCY_NOT_HELD", "payout.currency"),
    ({"idempotency_key": ""}, INVALID, "IDEMPOTENCY_KEY_MISSING", "payout.idempotency_key"),
    ({"idempotency_key": "k" * 129}, INVALID, "FIELD_TOO_LONG", "payout.idempotency_key"),
    ({"rail": 0}, INVALID, "FIELD_MISSING", "payout.rail"),
    ({"rail": 77}, INVALID, "RAIL_NOT_AVAILABLE", "payout.rail"),
    ({"recipient_id": ""}, INVALID, "FIELD_MISSING", "payout.recipient_id"),
    ({"recipient_id": "not-a-uuid"}, INVALID, "UUID_INVALID", "payout.recipient_id"),
    ({"recipient_id": "0190b1f0-0000-7000-8000-000000000001"}, grpc.StatusCode.NOT_FOUND, "RECIPIENT_NOT_FOUND",
     "payout.recipient_id"),
    ({"external_reference": "r" * 129}, INVALID, "FIELD_TOO_LONG", "payout.external_reference"),
    ({"external_reference": "a\nb"}, INVALID, "FIELD_INVALID", "payout.external_reference"),
    ({"description": "d" * 11}, INVALID, "FIELD_TOO_LONG", "payout.description"),
    ({"description": "zwölf"}, INVALID, "FIELD_INVALID", "payout.description"),
]


@pytest.mark.parametrize("change, code, reason, field", PAYOUTS)
def test_payouts(merchant, change, code, reason, field):
    change = {"recipient_id": merchant.recipient(), **change}
    refusal = merchant.refused("CreatePayout", merchant.request(change.pop("amount", 100), **change))
    assert (refusal.code, refusal.reason, refusal.domain) == (code, reason, "payments.disburse")
    assert refusal.fields == ([field] if code == INVALID else [])  # BadRequest goes with INVALID_ARGUMENT only
    assert refusal.message


RECIPIENTS = [
    ({"routing_code": "021000022"}, "ROUTING_NUMBER_INVALID"),  # the check digit is 1
    ({"routing_code": "02100002"}, "ROUTING_NUMBER_INVALID"),
    ({"routing_code": "02100002x"}, "ROUTING_NUMBER_INVALID"),
    ({"routing_code": "000000000"}, "ROUTING_NUMBER_INVALID"),
    ({"routing_code": ""}, "FIELD_MISSING"),
    ({"account_number": ""}, "FIELD_MISSING"),
    ({"account_number": "1" * 18}, "ACCOUNT_NUMBER_INVALID"),
    ({"account_number": "12 34"}, "ACCOUNT_NUMBER_INVALID"),
    ({"account_type": 0}, "ACCOUNT_TYPE_INVALID"),
    ({"account_type": 9}, "ACCOUNT_TYPE_INVALID"),
    ({"currency": "XQX"}, "CURRENCY_UNKNOWN"),
    ({"currency": "EUR"}, "CURRENCY_NOT_SUPPORTED"),
    ({"currency": "INR", "routing_code": "021000021"}, "IFSC_INVALID"),
]


@pytest.mark.parametrize("change, reason", RECIPIENTS)
def test_bank_accounts(payer, merchant, change, reason):
    refusal = merchant.refused("CreateRecipient", payer.recipients_pb.CreateRecipientRequest(
        merchant_id=merchant.id, recipient=merchant.new_recipient(**change)), "Recipient")
    assert (refusal.code, refusal.reason) == (INVALID, reason)
    field = next(iter(change)) if reason not in ("IFSC_INVALID",) else "routing_code"
    assert refusal.fields == [f"recipient.bank_account.{field}"]


@pytest.mark.parametrize("change, code, reason", [
    ({"amount_minor": 0}, INVALID, "AMOUNT_NOT_POSITIVE"), ({"amount_minor": -5}, INVALID, "AMOUNT_NOT_POSITIVE"),
    ({"amount_minor": I64_MAX}, INVALID, "AMOUNT_TOO_LARGE"),  # the balance would overflow
    ({"currency": "XQX"}, INVALID, "CURRENCY_UNKNOWN"), ({"currency": "INR"}, PRECONDITION, "CURRENCY_NOT_HELD"),
    ({"idempotency_key": ""}, INVALID, "IDEMPOTENCY_KEY_MISSING"), ({"merchant_id": ""}, INVALID, "FIELD_MISSING"),
    ({"merchant_id": "No Such"}, INVALID, "MERCHANT_ID_INVALID"),
    ({"merchant_id": "nobody-at-all"}, grpc.StatusCode.NOT_FOUND, "MERCHANT_NOT_FOUND"),
])
def test_deposits(payer, merchant, change, code, reason):
    fields = {"merchant_id": merchant.id, "idempotency_key": unique("d"), "amount_minor": 5, "currency": "USD", **change}
    refusal = merchant.refused("CreateDeposit", payer.merchants_pb.CreateDepositRequest(**fields), "Merchant")
    assert (refusal.code, refusal.reason) == (code, reason)


@pytest.mark.parametrize("change, code, reason", [
    ({"merchant_id": "UPPER"}, INVALID, "MERCHANT_ID_INVALID"), ({"merchant_id": "x" * 65}, INVALID, "MERCHANT_ID_INVALID"),
    ({"name": ""}, INVALID, "FIELD_MISSING"), ({"name": "n" * 201}, INVALID, "FIELD_TOO_LONG"),
    ({"currencies": ["XQX"]}, INVALID, "CURRENCY_UNKNOWN"), ({"currencies": ["EUR"]}, INVALID, "CURRENCY_NOT_SUPPORTED"),
    ({"currencies": []}, INVALID, "FIELD_MISSING"),
])
def test_merchants(payer, merchant, change, code, reason):
    fields = {"merchant_id": unique("m"), "name": "A", "currencies": ["USD"], **change}
    refusal = merchant.refused("CreateMerchant", payer.merchants_pb.CreateMerchantRequest(**fields), "Merchant")
    assert (refusal.code, refusal.reason) == (code, reason)


def test_ledger_negative_amount_and_bad_ids(merchant):
    ledger = merchant.ledger
    for event, reason in ((ledger.transfer(new_id(), new_id(), -1), "NEGATIVE_AMOUNT"),
                          (ledger.transfer("x", new_id(), 1), "INVALID_UUID"),
                          (ledger.transfer(new_id(), new_id(), 1, currency="usd"), "INVALID_CURRENCY")):
        refusal = rpc.refused(ledger.stub.CreateTransfers, ledger.pb.CreateTransfersRequest(
            book_id=ledger.book_id, transfers=[event]))
        assert (refusal.code, refusal.reason, refusal.domain) == (INVALID, reason, "ledger.disburse")


# Raw bytes, which no stub would send.

CREATE_PAYOUT = "/payments.v1.PayoutService/CreatePayout"
CREATE_BOOK = "/ledger.v1.LedgerService/CreateBook"


def send_bytes(world, service, method, data):
    call = world.channel(service).unary_unary(method, request_serializer=None, response_deserializer=None)
    return rpc.refused(call, data)


def tag(number, data):
    """A length-delimited field."""
    length = bytearray()
    n = len(data)
    while True:
        length.append(n & 0x7F | (0x80 if n > 0x7F else 0))
        n >>= 7
        if n == 0:
            return bytes([number << 3 | 2]) + bytes(length) + data


def payout_bytes(merchant, **raw):
    """A good CreatePayoutRequest whose named field has these bytes instead."""
    numbers = {"idempotency_key": 1, "recipient_id": 2, "currency": 4, "external_reference": 6, "description": 7}
    request = merchant.request(100)
    for name in raw:
        request.payout.ClearField(name)
    inner = request.payout.SerializeToString() + b"".join(tag(numbers[name], data) for name, data in raw.items())
    return tag(1, merchant.id.encode()) + tag(2, inner)


@pytest.mark.parametrize("field", ["idempotency_key", "recipient_id", "currency", "external_reference", "description"])
def test_embedded_nul(world, merchant, field):
    refusal = send_bytes(world, "payments-svc", CREATE_PAYOUT, payout_bytes(merchant, **{field: b"US\0D"}))
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "EMBEDDED_NUL", [f"payout.{field}"])


@pytest.mark.parametrize("field", ["idempotency_key", "currency", "external_reference"])
@pytest.mark.parametrize("data", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\xc3"])
def test_invalid_utf8(world, merchant, field, data):
    refusal = send_bytes(world, "payments-svc", CREATE_PAYOUT, payout_bytes(merchant, **{field: data}))
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "INVALID_UTF8", [f"payout.{field}"])


def test_truncated_protobuf_at_every_byte(world, merchant):
    whole = merchant.request(100).SerializeToString()
    seen = set()
    for length in range(1, len(whole)):
        refusal = send_bytes(world, "payments-svc", CREATE_PAYOUT, whole[:length])
        assert refusal.code in (INVALID,), (length, refusal)
        seen.add(refusal.reason)
    assert "MALFORMED_MESSAGE" in seen and seen <= {"MALFORMED_MESSAGE", "FIELD_MISSING"}, seen


@pytest.mark.parametrize("service, method", [("payments-svc", CREATE_PAYOUT), ("ledger-svc", CREATE_BOOK)])
@pytest.mark.parametrize("data", [b"\x00", b"\xff" * 64, b"\x0a\xff\xff\xff\xff\x0f", b"\x0b" * 5000, b"\x0a\x05ab"],
                         ids=["zero tag", "ones", "huge length", "groups", "short string"])
def test_garbage(world, service, method, data):
    refusal = send_bytes(world, service, method, data)
    assert (refusal.code, refusal.reason) == (INVALID, "MALFORMED_MESSAGE")


@pytest.mark.parametrize("service, method", [("payments-svc", CREATE_PAYOUT), ("ledger-svc", CREATE_BOOK)])
def test_a_message_of_5_mib(world, service, method):
    data = tag(1, b"x" * (5 << 20))
    refusal = send_bytes(world, service, method, data)
    assert (refusal.code, refusal.reason) == (EXHAUSTED, "MESSAGE_TOO_LARGE")
    assert f"{len(data)} bytes" in refusal.message and f"at most {4 << 20}" in refusal.message


@pytest.mark.parametrize("service, method", [("payments-svc", CREATE_PAYOUT), ("ledger-svc", CREATE_BOOK)])
def test_a_message_of_7_mib(world, service, method):
    """More than the transport takes in at all: it answers itself, before there is a call that could carry details."""
    refusal = send_bytes(world, service, method, tag(1, b"x" * (7 << 20)))
    assert (refusal.code, refusal.reason) == (EXHAUSTED, "")


@pytest.mark.parametrize("service", ["payments-svc", "ledger-svc"])
@pytest.mark.parametrize("method", ["/payments.v1.PayoutService/Nothing", "/ledger.v1.LedgerService/Nothing", "/a/b", "/x"])
def test_an_unknown_method(world, service, method):
    refusal = send_bytes(world, service, method, b"")
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_NOT_FOUND")


@pytest.mark.parametrize("service", ["payments-svc", "ledger-svc"])
def test_a_deadline_that_cannot_be_kept(world, service):
    messages, services = stubs.modules("grpc/health/v1/health")
    refusal = rpc.refused(services.HealthStub(world.channel(service)).Check, messages.HealthCheckRequest(), timeout=0.0005)
    assert refusal.code == grpc.StatusCode.DEADLINE_EXCEEDED


# Who may call.

def health(world, service, **how):
    messages, services = stubs.modules("grpc/health/v1/health")
    with rpc.channel(world.daemon(service).ready()["grpc_port"], how.pop("certs", world.stack.certs), **how) as channel:
        return rpc.refused(services.HealthStub(channel).Check, messages.HealthCheckRequest(), timeout=5)


@pytest.fixture(scope="module")
def strangers(world, tmp_path_factory):
    """Certificates of our own authority that must not do, and of another authority that must not do at all."""
    folder = tmp_path_factory.mktemp("strangers")
    other = Authority(folder, "ca").ensure()
    other.issue("test")
    ours = world.stack.authority
    issued = [ours.issue("stranger"), ours.issue("two-names", uris=["spiffe://disburse/test", "spiffe://disburse/payctl"]),
              ours.issue("no-name", uris=[]), ours.issue("server-only", uris=["spiffe://disburse/test"], extended="serverAuth")]
    yield folder
    for pair in issued:
        for path in pair:
            path.unlink()


@pytest.mark.parametrize("service", ["payments-svc", "ledger-svc"])
def test_no_client_certificate(world, service):
    assert health(world, service, identity="").code == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("service", ["payments-svc", "ledger-svc"])
def test_a_client_certificate_of_another_authority(world, service, strangers):
    """A client that trusts our servers, and shows a certificate with the right name that another CA has signed."""
    (strangers / "ours.crt").write_bytes((world.stack.certs / "ca.crt").read_bytes())
    assert health(world, service, certs=strangers, ca="ours").code == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("service", ["payments-svc", "ledger-svc"])
def test_a_server_of_another_authority_is_not_believed(world, service, strangers):
    assert health(world, service, certs=strangers).code == grpc.StatusCode.UNAVAILABLE


def business(world, service, identity, certs=None):
    """A call that reads: it is refused for who asks, before what is asked is looked at."""
    method = {"payments-svc": "/payments.v1.PayoutService/GetPayout", "ledger-svc": "/ledger.v1.LedgerService/GetTrialBalance"}
    with rpc.channel(world.daemon(service).ready()["grpc_port"], certs or world.stack.certs, identity) as channel:
        return rpc.refused(channel.unary_unary(method[service]), b"")


@pytest.mark.parametrize("service", ["payments-svc", "ledger-svc"])
@pytest.mark.parametrize("identity, code, reason", [
    ("stranger", grpc.StatusCode.PERMISSION_DENIED, "IDENTITY_NOT_ALLOWED"),
    ("two-names", grpc.StatusCode.UNAUTHENTICATED, "IDENTITY_INVALID"),
    ("no-name", grpc.StatusCode.UNAUTHENTICATED, "IDENTITY_INVALID"),
])
def test_an_identity_that_may_not_call(world, strangers, service, identity, code, reason):
    refusal = business(world, service, identity)
    assert (refusal.code, refusal.reason) == (code, reason)


def test_each_service_has_its_own_callers(world):
    assert business(world, "payments-svc", "ledger-svc").reason == "IDENTITY_NOT_ALLOWED"
    assert business(world, "payments-svc", "payments-svc").reason == "ROLE_MISSING"
    assert business(world, "ledger-svc", "ledger-svc").reason == "IDENTITY_NOT_ALLOWED"
    assert business(world, "ledger-svc", "payments-svc").reason == "INVALID_BOOK_ID"
