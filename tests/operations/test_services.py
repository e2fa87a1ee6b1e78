"""The services stand as their operators and clients expect it: health, reflection, metrics, identities, shutdown."""

import json
import urllib.request

import grpc
import pytest
from support import rpc, stubs

SERVICES = {"ledger-svc": ["ledger.v1.LedgerService"],
            "payments-svc": ["payments.v1.MerchantService", "payments.v1.PayoutService", "payments.v1.RecipientService"]}


@pytest.mark.parametrize("service", SERVICES)
def test_health(world, service):
    messages, _ = stubs.modules("grpc/health/v1/health")
    health = world.stub("grpc/health/v1/health", "Health", service)
    for name in ["", *SERVICES[service]]:
        answer = health.Check(messages.HealthCheckRequest(service=name), timeout=5)
        assert answer.status == messages.HealthCheckResponse.SERVING
    refusal = rpc.refused(health.Check, messages.HealthCheckRequest(service="nobody.v1.Nothing"))
    assert refusal.code == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_lists_the_services(world, service, version):
    messages, _ = stubs.modules(f"grpc/reflection/{version}/reflection")
    reflection = world.stub(f"grpc/reflection/{version}/reflection", "ServerReflection", service)
    request = messages.ServerReflectionRequest(list_services="*")
    answer = next(iter(reflection.ServerReflectionInfo(iter([request]), timeout=5)))
    listed = {found.name for found in answer.list_services_response.service}
    assert listed >= set(SERVICES[service])


@pytest.mark.parametrize("service", SERVICES)
def test_metrics_on_a_loopback_port(world, service):
    messages, _ = stubs.modules("grpc/health/v1/health")
    world.stub("grpc/health/v1/health", "Health", service).Check(messages.HealthCheckRequest(), timeout=5)
    port = world.daemon(service).ready()["metrics_port"]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    assert "grpc_server_handled_total{" in text and "grpc_server_handling_seconds_bucket{" in text


@pytest.mark.parametrize("service", SERVICES)
def test_logs_are_json_lines(world, service):
    lines = world.daemon(service).log_file.read_text(encoding="utf-8").splitlines()
    assert lines
    for line in lines:
        json.loads(line)


@pytest.mark.parametrize("service", SERVICES)
def test_nobody_without_a_certificate(world, service):
    messages, services = stubs.modules("grpc/health/v1/health")
    with rpc.channel(world.daemon(service).ready()["grpc_port"], world.stack.certs, identity="") as channel:
        refusal = rpc.refused(services.HealthStub(channel).Check, messages.HealthCheckRequest(), timeout=5)
    assert refusal.code == grpc.StatusCode.UNAVAILABLE  # the handshake fails: there is no call to answer


def test_a_service_stops_cleanly_and_comes_back_on_its_port(new_world):
    world = new_world()
    for service in SERVICES:
        daemon = world.daemon(service)
        before = daemon.ready()["grpc_port"]
        assert daemon.stop()
        assert daemon.exit_code == 0
        daemon.start()
        assert daemon.ready()["grpc_port"] == before
