"""Promise TENANT: a caller sees and moves only what its identity, its roles and its merchants allow. Every method, every role, and a
merchant of one's own, one of somebody else, and one that there is not: called over mTLS, each with the answer that it must have."""

import itertools

import grpc
import pytest
from support import permissions, rpc, stubs
from support.paying import Payer, unique
from support.permissions import ROLES

from run.certs import DOMAIN
from run.config import entry

OK, INVALID, NOT_FOUND, DENIED = "OK", "INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED"
OWN, FOREIGN, UNKNOWN = "own", "foreign", "unknown"
PASSED_ON = ("payer", "maker", "operator", "auditor")  # by the gateway of these tests
# What whoever may call hears about the three merchants, when nothing but merchant_id is given. INVALID_ARGUMENT where this says nothing.
ANSWERS = {
    **dict.fromkeys(("MerchantService.GetMerchant", "MerchantService.ListDeposits", "MerchantService.GetBalance",
                     "RecipientService.ListRecipients", "PayoutService.ListPayouts", "PayoutService.SummarizePayouts",
                     "CaseService.ListCases", "ImportService.ListImports", "AuditService.ListAudit"), {OWN: OK, FOREIGN: OK, UNKNOWN: NOT_FOUND}),
    **dict.fromkeys(("MerchantService.ListMerchants", "ConnectionService.ListConnections", "ConnectionService.GetCapabilities",
                     "ConnectionService.GetRecovery", "InboxService.ListInbox",
                     "InboxService.ListExceptions", "KeyService.ListKeys", "KeyService.RotateKeys", "IdentityService.WhoAmI"), dict.fromkeys((OWN, FOREIGN, UNKNOWN), OK)),
    **dict.fromkeys(("FeedService.Read", "FeedService.GetFeed"), {OWN: OK, FOREIGN: OK, UNKNOWN: NOT_FOUND}),
    "MerchantService.CreateDeposit": {UNKNOWN: NOT_FOUND},
    "ImportService.CreateImport": {UNKNOWN: NOT_FOUND},
}
# What must be in a request so that it has an end, or is refused for nothing else.
MORE = {"PayoutService.WatchPayouts": {"payout_ids": ["x"]}}


class Callers:
    """One for each role, with all merchants and with one of its own; and some who may do nothing."""

    def __init__(self, world, own: str):
        self.world, self.own = world, own
        self.names = {f"{role}-{kind}": (role, kind) for role, kind in itertools.product(ROLES, ("all", OWN))}
        authority = world.stack.authority
        policy = ""
        for name, (role, kind) in self.names.items():
            authority.ensure_leaf(name)
            policy += entry("identity", f"{DOMAIN}/{name}", roles=role, merchants="all" if kind == "all" else own)
        for name in ("door", "nobody"):
            authority.ensure_leaf(name)
        policy += entry("identity", f"{DOMAIN}/door", roles="gateway", acts_as=", ".join(PASSED_ON), merchants="all")
        # The same through a door: each of them is a person, too.
        for name, (role, kind) in self.names.items():
            if role != "bookkeeper":
                policy += entry("person", name, roles=role, merchants="all" if kind == "all" else own)
        world.set_policy(policy)

    def all(self):
        """(name, identity, metadata)"""
        for name, (role, _) in self.names.items():
            yield name, name, ()
            if role != "bookkeeper":
                yield f"{name} by the door", "door", (("x-disburse-person", name),)
        yield "door", "door", ()
        yield "nobody", "nobody", ()

    def expected(self, name: str, row: permissions.Row, whose: str, named: bool) -> str | None:
        """DENIED, or None: let in. named: the request says whose."""
        who, _, door = name.partition(" by the ")
        role, kind = self.names.get(who, ("gateway" if who == "door" else "", "all"))
        if role not in row.roles or (door and role not in PASSED_ON):
            return DENIED
        if kind == "all" or row.merchants == "none":
            return None
        return None if row.merchants != "all" and named and whose == OWN else DENIED


@pytest.fixture(scope="module")
def merchants(world):
    payer = Payer(world)
    return {OWN: payer.merchant().id, FOREIGN: payer.merchant().id, UNKNOWN: unique("m")}


@pytest.fixture(scope="module")
def callers(world, merchants):
    return Callers(world, merchants[OWN])


def test_every_method_has_a_row_in_the_page(world):
    """A method that nobody thought of must not be one that anybody may call. The services refuse to start without their own row."""
    assert set(permissions.table()) == set(permissions.methods())


def outcome(channel, method, request, metadata=()):
    """(code, reason, message)"""
    try:
        permissions.call(channel, method, request, timeout=20, metadata=metadata)
    except grpc.RpcError as error:
        failure = rpc.failure(error)
        return failure.code.name, failure.reason, failure.message
    return OK, "", ""


@pytest.mark.parametrize("name", sorted(permissions.table()))
def test_TENANT_who_may_call(world, callers, merchants, name):
    service, method = permissions.methods()[name]
    row = permissions.table()[name]
    named = permissions.names_merchant(method)
    assert named or row.merchants in ("all", "none")
    wrong = []
    messages = method.input_type._concrete_class
    for caller, identity, metadata in callers.all():
        channel = world.channel(service, identity)
        told = {}
        for whose in merchants if named else [OWN]:
            request = messages(**({"merchant_id": merchants[whose]} if named else {}), **MORE.get(name, {}))
            told[whose] = outcome(channel, method, request.SerializeToString(), metadata)
            expected = callers.expected(caller, row, whose, named) or ANSWERS.get(name, {}).get(whose, INVALID)
            if told[whose][0] != expected:
                wrong.append(f"{caller}, {whose} merchant: {told[whose]}, not {expected}")
        # Whoever may not look hears nothing of what there is: the very same answer.
        if told.get(FOREIGN, ("",))[0] == DENIED and told[FOREIGN] != told[UNKNOWN]:
            wrong.append(f"{caller}: {told[FOREIGN]} of a merchant that is there, {told[UNKNOWN]} of one that is not")
    assert not wrong, f"{name}:\n" + "\n".join(wrong)


def test_a_merchant_must_be_named_by_who_has_not_all(world, callers):
    for name, row in permissions.table().items():
        service, method = permissions.methods()[name]
        if row.merchants in ("own", "own or all"):
            role = sorted(row.roles)[0]
            code, reason, _ = outcome(world.channel(service, f"{role}-own"), method, b"")
            assert (code, reason) == (DENIED, "MERCHANT_NOT_ALLOWED" if row.merchants == "own" else "MERCHANTS_NOT_ALL"), name


def test_refusals_are_counted_and_stand_in_the_log(world, callers, merchants):
    messages, _ = stubs.modules("payments/v1/merchant_service")
    stub = world.stub("payments/v1/merchant_service", "MerchantService", "payments-svc", "payer-own")
    before = world.metric("payments-svc", "authz_decisions_total", decision="MERCHANT_NOT_ALLOWED")
    refusal = rpc.refused(stub.GetMerchant, messages.GetMerchantRequest(merchant_id=merchants[FOREIGN]))
    assert refusal.code == grpc.StatusCode.PERMISSION_DENIED
    assert world.metric("payments-svc", "authz_decisions_total", decision="MERCHANT_NOT_ALLOWED") == before + 1
    assert '"event":"authz.refused"' in world.payments.log_file.read_text(encoding="utf-8")


def test_strangers_hide_no_refusal_of_a_gateway(new_world):
    """The log takes so many lines a minute of strangers together."""
    world = new_world()
    messages, _ = stubs.modules("payments/v1/identity_service")
    for leaf in ("nobody-knows", "door"):
        world.stack.authority.ensure_leaf(leaf)
    world.set_policy(entry("identity", f"{DOMAIN}/door", roles="gateway", acts_as="payer", merchants="all"))

    def refused(identity, person):
        stub = world.stub("payments/v1/identity_service", "IdentityService", "payments-svc", identity)
        with pytest.raises(grpc.RpcError) as failed:
            stub.WhoAmI(messages.WhoAmIRequest(), timeout=20, metadata=(("x-disburse-person", person),))
        assert failed.value.code() == grpc.StatusCode.PERMISSION_DENIED

    for n in range(50):
        refused("nobody-knows", f"stranger-{n}")
    log = world.payments.log_file.read_text(encoding="utf-8")
    assert "stranger-49" not in log
    refused("door", "somebody-unknown")
    assert "somebody-unknown" in world.payments.log_file.read_text(encoding="utf-8")


# A new policy.

def test_a_new_policy_counts_at_once_and_a_faulty_one_never(new_world):
    world = new_world()
    world.stack.authority.ensure_leaf("shop")
    merchant = Payer(world).merchant().id
    messages, _ = stubs.modules("payments/v1/payout_service")
    stub = world.stub("payments/v1/payout_service", "PayoutService", "payments-svc", "shop")
    request = messages.ListPayoutsRequest(merchant_id=merchant)
    assert rpc.refused(stub.ListPayouts, request).reason == "IDENTITY_NOT_ALLOWED"
    shop = entry("identity", f"{DOMAIN}/shop", roles="payer", merchants=merchant)
    world.set_policy(shop)
    stub.ListPayouts(request, timeout=10)
    watch = stub.WatchPayouts(messages.WatchPayoutsRequest(merchant_id=merchant), timeout=60)

    world.reload_policy(shop + "\n[identity nobody]\n")
    faulty = "policy.conf:" in world.payments.log_file.read_text(encoding="utf-8")
    assert faulty and world.metric("payments-svc", "authz_policy_faulty") == 1
    stub.ListPayouts(request, timeout=10)

    world.set_policy("")
    assert world.metric("payments-svc", "authz_policy_faulty") == 0
    with pytest.raises(grpc.RpcError) as ended:
        list(watch)
    assert ended.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert rpc.refused(stub.ListPayouts, request).reason == "IDENTITY_NOT_ALLOWED"
