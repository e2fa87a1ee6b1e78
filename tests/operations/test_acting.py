"""For whom a call acts: certificates of people, gateways that name a person, and what is written down of them."""

import os
import subprocess

import grpc
import pytest
from support import rpc, stubs
from support.paying import Payer
from support.payctl import DONE, SERVICE, Payctl
from support.waiting import wait_until
from support.world import BUILD, SANITIZER_ENV

from run import RunError
from run.certs import DOMAIN
from run.config import entry
from run.layout import clean_environment

ADA = (("x-disburse-person", "ada@example.com"),)
POLICY = (entry("identity", f"{DOMAIN}/portal", roles="gateway", acts_as="operator, payer", merchants="all")
          + entry("identity", f"{DOMAIN}/ada", person="ada@example.com")
          + entry("person", "ada@example.com", roles="operator, auditor", merchants="all"))


@pytest.fixture(scope="module")
def acting(world):
    for leaf in ("portal", "ada"):
        world.stack.authority.ensure_leaf(leaf)
    world.set_policy(POLICY)
    return world


@pytest.fixture(scope="module")
def pb():
    return stubs.modules("payments/v1/connection_service")[0]


def who_am_i(world, identity, metadata=()):
    messages, _ = stubs.modules("payments/v1/identity_service")
    stub = world.stub("payments/v1/identity_service", "IdentityService", "payments-svc", identity)
    return stub.WhoAmI(messages.WhoAmIRequest(), timeout=10, metadata=metadata)


def connections(world, identity):
    return world.stub("payments/v1/connection_service", "ConnectionService", "payments-svc", identity)


def pauses(world, pb):
    return {pause.merchant_id: pause for pause in connections(world, "test").ListConnections(
        pb.ListConnectionsRequest(), timeout=10).pauses}


def test_who_am_i(acting):
    me = who_am_i(acting, "test")
    assert (me.identity, me.person, me.all_merchants) == (f"{DOMAIN}/test", "", True)
    assert {"payer", "operator", "bookkeeper"} <= set(me.roles) and not me.merchant_ids
    assert int(me.policy_version, 16) == acting.metric("payments-svc", "authz_policy_version")
    me = who_am_i(acting, "ada")
    assert (me.person, sorted(me.roles)) == ("ada@example.com", ["auditor", "operator"])
    me = who_am_i(acting, "portal")
    assert (me.person, list(me.roles)) == ("", ["gateway"])
    me = who_am_i(acting, "portal", ADA)
    assert (me.identity, me.person, list(me.roles)) == (f"{DOMAIN}/portal", "ada@example.com", ["operator"])


def test_orders_are_recorded_with_program_and_person(acting, pb):
    payer = Payer(acting)
    for identity, metadata, stated, actor in [
            ("ada", (), "", f"{DOMAIN}/ada for ada@example.com"),
            ("ada", (), "ada@example.com", f"{DOMAIN}/ada for ada@example.com"),
            ("portal", ADA, "", f"{DOMAIN}/portal for ada@example.com"),
            ("test", (), "grace", f"{DOMAIN}/test says for grace")]:
        merchant = payer.merchant().id
        order = pb.PauseConnectionRequest(merchant_id=merchant, reason="a test", person=stated)
        assert connections(acting, identity).PauseConnection(order, timeout=10, metadata=metadata).changed
        assert pauses(acting, pb)[merchant].actor == actor
        connections(acting, "test").ResumeConnection(
            pb.ResumeConnectionRequest(merchant_id=merchant, reason="a test", person="test"), timeout=10)


@pytest.mark.parametrize("identity, metadata", [("ada", ()), ("portal", ADA)])
def test_nobody_signs_with_another_name(acting, pb, identity, metadata):
    merchant = Payer(acting).merchant().id
    order = pb.PauseConnectionRequest(merchant_id=merchant, reason="a test", person="grace")
    refusal = rpc.refused(connections(acting, identity).PauseConnection, order, metadata=metadata)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERSON_DIFFERS")
    assert merchant not in pauses(acting, pb)


def test_a_program_does_not_sign_for_a_person_who_is_known(acting, pb):
    merchant = Payer(acting).merchant().id
    order = pb.PauseConnectionRequest(merchant_id=merchant, reason="a test", person="ada@example.com")
    refusal = rpc.refused(connections(acting, "test").PauseConnection, order)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERSON_DIFFERS")
    assert merchant not in pauses(acting, pb)


SHOP = entry("identity", f"{DOMAIN}/shop", roles="payer", merchants="{}")


@pytest.fixture
def shop(acting):
    """A merchant whose program may see it alone."""
    acting.stack.authority.ensure_leaf("shop")
    merchant = Payer(acting).merchant(deposit=100_000)
    acting.set_policy(POLICY + SHOP.format(merchant.id))
    yield merchant
    acting.set_policy(POLICY)


def test_a_payer_sees_no_names_and_words_of_operators(acting, shop, pb):
    paused = {"merchant_id": shop.id, "reason": "the words of a person", "person": "grace"}
    connections(acting, "test").PauseConnection(pb.PauseConnectionRequest(**paused), timeout=10)
    payout_id = shop.pay(1_000).payout_id
    messages, _ = stubs.modules("payments/v1/payout_service")
    request = messages.GetPayoutTimelineRequest(merchant_id=shop.id, payout_id=payout_id)
    seen = {who: acting.stub("payments/v1/payout_service", "PayoutService", "payments-svc", who).GetPayoutTimeline(request, timeout=10)
            for who in ("test", "shop")}
    connections(acting, "test").ResumeConnection(pb.ResumeConnectionRequest(**paused), timeout=10)
    assert (seen["test"].pause.reason, seen["test"].pause.actor) == ("the words of a person", f"{DOMAIN}/test says for grace")
    assert seen["shop"].HasField("pause") and seen["shop"].pause.merchant_id == shop.id
    assert (seen["shop"].pause.reason, seen["shop"].pause.actor) == ("", "")


def test_a_wait_ends_when_the_right_is_lost(acting, shop, pb):
    paused = {"merchant_id": shop.id, "reason": "a test", "person": "test"}
    connections(acting, "test").PauseConnection(pb.PauseConnectionRequest(**paused), timeout=10)
    payout_id = shop.pay(1_000).payout_id
    messages, _ = stubs.modules("payments/v1/payout_service")
    request = messages.AwaitPayoutRequest(merchant_id=shop.id, payout_id=payout_id, until=messages.PAYOUT_MILESTONE_FINAL, timeout_ms=25_000)
    waits = {who: acting.stub("payments/v1/payout_service", "PayoutService", "payments-svc", who).AwaitPayout.future(request, timeout=30)
             for who in ("shop", "test")}
    wait_until(lambda: acting.metric("payments-svc", "payout_awaits") == len(waits), "both wait")
    acting.set_policy(POLICY)
    try:
        failed = rpc.failure(waits["shop"].exception(timeout=10))
        assert (failed.code, failed.reason) == (grpc.StatusCode.PERMISSION_DENIED, "IDENTITY_NOT_ALLOWED")
        assert not waits["test"].done()  # whom the policy still knows waits on
    finally:
        connections(acting, "test").ResumeConnection(pb.ResumeConnectionRequest(**paused), timeout=10)
    assert waits["test"].result(timeout=30).payout.payout_id == payout_id


def test_all_is_no_merchant(acting):
    messages, _ = stubs.modules("payments/v1/merchant_service")
    stub = acting.stub("payments/v1/merchant_service", "MerchantService", "payments-svc")
    refusal = rpc.refused(stub.CreateMerchant, messages.CreateMerchantRequest(merchant_id="all", name="All", currencies=["USD"]))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MERCHANT_ID_RESERVED")


def test_cases_of_a_merchant_tell_nothing_of_other_books(acting):
    messages, _ = stubs.modules("payments/v1/case_service")
    stub = acting.stub("payments/v1/case_service", "CaseService", "payments-svc")
    merchant = Payer(acting).merchant()
    book = merchant.book_id
    for other in (book % 4 + 1, 999):
        refusal = rpc.refused(stub.ListCases, messages.ListCasesRequest(merchant_id=merchant.id, book_ids=[other]))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BOOK_OF_ANOTHER_MERCHANT")
    stub.ListCases(messages.ListCasesRequest(merchant_id=merchant.id, book_ids=[book]), timeout=10)


def test_a_cancel_names_the_person_in_the_timeline(acting, pb):
    merchant = Payer(acting).merchant(deposit=10_000)
    paused = {"merchant_id": merchant.id, "reason": "a test", "person": "test"}
    connections(acting, "test").PauseConnection(pb.PauseConnectionRequest(**paused), timeout=10)
    payout_id = merchant.pay(1_000).payout_id
    messages, _ = stubs.modules("payments/v1/payout_service")
    stub = acting.stub("payments/v1/payout_service", "PayoutService", "payments-svc", "portal")
    stub.CancelPayout(messages.CancelPayoutRequest(merchant_id=merchant.id, payout_id=payout_id), timeout=60, metadata=ADA)
    assert f"{DOMAIN}/portal for ada@example.com" in {line.actor for line in merchant.timeline(payout_id).entries}
    connections(acting, "test").ResumeConnection(pb.ResumeConnectionRequest(**paused), timeout=10)


def shell(world, path, *words):
    """payctl in a shell that has read the file."""
    run = subprocess.run(["sh", "-c", '. "$0" && exec "$@"', str(path), str(BUILD / "bin" / "payctl"), *words], check=False,
                         capture_output=True, text=True, timeout=60, env={**clean_environment(), **SANITIZER_ENV})
    return run.returncode, run.stdout, run.stderr


def test_a_certificate_for_a_person(acting, pb):
    merchant = Payer(acting).merchant().id
    path = acting.stack.add_person("grace", "operator", merchant)
    code, out, err = shell(acting, path, "whoami")
    assert code == DONE and "person     grace\n" in out and f"merchants  {merchant}\n" in out, (out, err)
    code, out, err = shell(acting, path, "connection", "all", "pause", "--merchant", merchant, "--reason", "a test")
    assert code == DONE, (out, err)
    assert pauses(acting, pb)[merchant].actor == f"{DOMAIN}/person/grace for grace"
    code, out, err = shell(acting, path, "connection", "all", "resume", "--merchant", merchant, "--reason", "a test",
                           "--person", "ada")
    assert code == SERVICE and "you are known as grace" in err, (out, err)
    code, out, err = shell(acting, path, "balance", Payer(acting).merchant().id)
    assert code == SERVICE and "may not act for this merchant" in err, (out, err)
    assert shell(acting, path, "connection", "all", "resume", "--merchant", merchant, "--reason", "a test")[0] == DONE
    before = acting.stack.policy_file.read_text(encoding="utf-8")
    with pytest.raises(RunError, match='"boss" is not a role'):
        acting.stack.add_person("eve", "boss", "all")
    assert acting.stack.policy_file.read_text(encoding="utf-8") == before


def test_payctl_whoami(acting, tmp_path):
    payctl = Payctl(acting, tmp_path)
    code, me, _ = payctl.json("whoami")
    assert code == DONE and me["identity"] == f"{DOMAIN}/payctl" and me["all_merchants"] is True
    assert "auditor" in me["roles"] and "bookkeeper" not in me["roles"]
    assert payctl.run("whoami", "x")[0] == os.EX_OK + 2
