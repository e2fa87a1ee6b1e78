"""Certificates that are replaced while the services run: no restart, no signal, and no call that fails."""

import hashlib
import socket
import ssl

import grpc
from support import rpc, stubs
from support.paying import Payer
from support.waiting import wait_until

DAY_S = 24 * 3600


def shown(world, service):
    """Hash of the certificate that a new connection is shown."""
    context = ssl.create_default_context(cafile=str(world.stack.certs / "ca.crt"))
    context.load_cert_chain(world.stack.certs / "test.crt", world.stack.certs / "test.key")
    context.check_hostname = False
    with socket.create_connection(("127.0.0.1", world.daemon(service).ready()["grpc_port"]), timeout=10) as plain, \
            context.wrap_socket(plain) as connection:
        return hashlib.sha256(connection.getpeercert(binary_form=True)).hexdigest()


def shown_to_banks(world):
    """The same of the listener for webhooks."""
    context = ssl.create_default_context(cafile=str(world.stack.certs / "ca.crt"))
    context.check_hostname = False
    with socket.create_connection(("127.0.0.1", world.payments.ready()["webhook_port"]), timeout=10) as plain, \
            context.wrap_socket(plain) as connection:
        return hashlib.sha256(connection.getpeercert(binary_form=True)).hexdigest()


def test_a_new_certificate_is_taken_up_and_a_faulty_one_is_not(new_world):
    world = new_world()
    payer = Payer(world)
    merchant = payer.merchant(deposit=1_000_000)
    messages, _ = stubs.modules("payments/v1/payout_service")
    watch = payer.stub("Payout").WatchPayouts(messages.WatchPayoutsRequest(merchant_id=merchant.id), timeout=120)
    before = {service: shown(world, service) for service in ("payments-svc", "ledger-svc")}
    assert shown_to_banks(world) == before["payments-svc"]
    assert world.metric("payments-svc", "tls_cert_expiry_seconds") > 80 * DAY_S

    for service in before:
        world.stack.authority.issue(service, days=5)
    for service, was in before.items():
        wait_until(lambda service=service: world.metric(service, "tls_cert_expiry_seconds") < 6 * DAY_S,
                   f"{service} has taken its new certificate up")
        assert world.metric(service, "tls_faulty") == 0
        assert shown(world, service) != was
    wait_until(lambda: shown_to_banks(world) == shown(world, "payments-svc"), "banks are shown the new certificate")
    # The ledger knows payments-svc by its new certificate, and what was open goes on.
    payout = merchant.pay(1_000).payout_id
    merchant.wait_for([payout])
    assert any(change.payout_id == payout for answer in watch for change in answer.payouts)
    watch.cancel()

    good = {service: shown(world, service) for service in before}
    (world.stack.certs / "payments-svc.key").write_bytes((world.stack.certs / "test.key").read_bytes())
    wait_until(lambda: world.metric("payments-svc", "tls_faulty") == 1, "the key that does not fit was refused")
    assert shown(world, "payments-svc") == good["payments-svc"]
    with rpc.channel(world.payments.ready()["grpc_port"], world.stack.certs) as channel:
        health, services = stubs.modules("grpc/health/v1/health")
        services.HealthStub(channel).Check(health.HealthCheckRequest(), timeout=10)
    merchant.wait_for([merchant.pay(1_000).payout_id])
    world.stack.authority.issue("payments-svc")
    wait_until(lambda: world.metric("payments-svc", "tls_faulty") == 0, "the next one is good again")


def test_a_policy_is_taken_up_without_a_signal(new_world):
    world = new_world()
    messages, _ = stubs.modules("payments/v1/merchant_service")
    stub = world.stub("payments/v1/merchant_service", "MerchantService", "payments-svc", "payctl")
    stub.ListMerchants(messages.ListMerchantsRequest(), timeout=10)
    path = world.stack.policy_file
    text = path.read_text(encoding="utf-8").replace("roles = platform, payer, operator, compliance, auditor\n", "roles = checker\n", 1)
    text = text.replace("merchants = all\n\n[identity spiffe://disburse/test]", "merchants = nobody\n\n[identity spiffe://disburse/test]", 1)
    path.write_text(text, encoding="utf-8")
    version = int(hashlib.sha256(text.encode()).hexdigest()[:12], 16)
    wait_until(lambda: world.metric("payments-svc", "authz_policy_version") == version, "the policy was taken up")
    refusal = rpc.refused(stub.ListMerchants, messages.ListMerchantsRequest())
    assert refusal.code == grpc.StatusCode.PERMISSION_DENIED
