"""An operator's view: metrics, logs that can be followed and hold no secrets, and stops that lose nothing."""

import json
import os
import re
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from support import rpc, stubs
from support.bank import http_get
from support.paying import ACH, INSTANT, SETTLED, Payer, assert_bank_agrees, assert_books_at_rest
from support.waiting import wait_until

ACCOUNT_NUMBER, NAME, KEY = "778899001122", "Ottilie Unverwechselbar", "key-that-nobody-may-read"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(scope="module")
def noisy(servers):
    """A world at log level debug that has paid, refused, failed and been asked nonsense: (payer, merchant, payouts)."""
    world = servers.world({"payments-svc": {"log.level": "debug", "saga.resolve_after_ms": 500},
                           "ledger-svc": {"log.level": "debug"}, "bank-sim": {"log.level": "debug"}})
    try:
        payer = Payer(world.up())
        merchant = payer.merchant(deposit=100_000)
        recipient = payer.recipients_pb.CreateRecipientRequest(
            merchant_id=merchant.id, recipient=merchant.new_recipient(account_number=ACCOUNT_NUMBER))
        recipient.recipient.name = NAME
        recipient_id = payer.call("Recipient", "CreateRecipient", recipient).recipient.recipient_id
        amounts = [(100, INSTANT), (200, ACH), (801, INSTANT), (803, INSTANT), (901, ACH), (804, INSTANT)]
        ids = [merchant.pay(amount, rail, recipient_id=recipient_id, idempotency_key=f"{KEY}-{amount}").payout_id
               for amount, rail in amounts]
        merchant.wait_for(ids)
        merchant.refused("CreatePayout", merchant.request(0, recipient_id=recipient_id, idempotency_key=KEY))
        recipient.recipient.bank_account.routing_code = "021000022"
        merchant.refused("CreateRecipient", recipient, "Recipient")
        yield payer, merchant, ids
        world.stop_and_check()
    finally:
        world.remove()


METRICS = {
    "payments-svc": ["grpc_server_started_total", "grpc_server_handled_total", "grpc_server_handling_seconds_bucket",
                     "db_pool_in_use", "db_pool_size", "rpc_queue", "rpc_in_flight", "saga_claimed_total",
                     "saga_lease_lost_total", "saga_step_outcomes_total", "saga_step_seconds_bucket", "saga_finished_total",
                     "payouts_intake_total", "ach_files_total", "ach_entries_total", "ach_file_ids_left", "submissions_total",
                     "instant_items_total",
                     "instant_webhooks_total", "disburse_build_info", "process_start_time_seconds"],
    "ledger-svc": ["grpc_server_handled_total", "grpc_server_handling_seconds_bucket", "db_pool_in_use", "rpc_queue",
                   "ledger_transfers_total", "ledger_accounts_total", "ledger_commits_total", "ledger_commit_seconds_bucket",
                   "ledger_queue", "ledger_batch_size", "disburse_build_info"],
}
SAMPLE = re.compile(r'^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="(\\.|[^"\\])*",?)*\})? [-+]?([0-9.eE+-]+|Inf|NaN)$')


@pytest.mark.parametrize("service", METRICS)
def test_metrics_have_their_names_and_the_prometheus_form(noisy, service):
    payer, _, _ = noisy
    text = http_get(f"http://127.0.0.1:{payer.world.daemon(service).ready()['metrics_port']}/metrics")
    typed = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            assert line.split()[2] not in typed, f"{line}: declared twice"
            typed.add(line.split()[2])
        elif not line.startswith("#"):
            assert SAMPLE.match(line), line
    names = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if not line.startswith("#")}
    assert set(METRICS[service]) <= names, set(METRICS[service]) - names


def test_metrics_count_what_happened(noisy):
    payer, _, ids = noisy
    text = http_get(f"http://127.0.0.1:{payer.world.payments.ready()['metrics_port']}/metrics")

    def value(series):
        return float(re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE).group(1))

    assert value('payouts_intake_total{result="accepted"}') == len(ids)
    assert value('payouts_intake_total{result="refused"}') == 1
    assert value('saga_step_outcomes_total{step="RESERVE",outcome="DONE"}') == len(ids)
    assert value('saga_finished_total{state="SETTLED"}') == 4
    assert value("saga_lease_lost_total") == 0
    handled = re.findall(r'^grpc_server_handled_total\{[^}]*grpc_method="CreatePayout"[^}]*grpc_code="(\w+)"[^}]*\} (\S+)$',
                         text, re.MULTILINE)
    assert {code: float(n) for code, n in handled if float(n)} == {"OK": len(ids), "INVALID_ARGUMENT": 1}, handled


def test_metrics_and_health_are_on_loopback_only(noisy):
    payer, _, _ = noisy
    for service in ("payments-svc", "ledger-svc"):
        daemon = payer.world.daemon(service)
        assert http_get(f"http://127.0.0.1:{daemon.ready()['metrics_port']}/healthz")
        with open(f"/proc/{daemon.pid}/net/tcp", encoding="ascii") as table:
            listening = {line.split()[9]: line.split()[1] for line in table if line.split()[3] == "0A"}
        inodes = set()
        for fd in os.listdir(f"/proc/{daemon.pid}/fd"):
            try:
                target = os.readlink(f"/proc/{daemon.pid}/fd/{fd}")
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
        ours = [address for inode, address in listening.items() if inode in inodes]
        assert ours and all(address.startswith("0100007F:") for address in ours), ours


def log_lines(world, service):
    return [json.loads(line) for line in world.daemon(service).log_file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("service", ["payments-svc", "ledger-svc", "bank-sim"])
def test_logs_are_json_lines_with_a_time_a_level_and_an_event(noisy, service):
    lines = log_lines(noisy[0].world, service)
    assert lines
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["ts"]) and line["event"], line
        assert line["level"] in ("debug", "info", "warn", "error") and line["service"] == service


def test_a_call_can_be_followed_through_both_services(noisy):
    """A W3C traceparent and a request id given by the caller come back in the logs of payments-svc, and of ledger-svc."""
    payer, _, _ = noisy
    world = payer.world
    request = payer.merchants_pb.CreateMerchantRequest(merchant_id=f"trace-{time.time_ns()}", name="A", currencies=["USD"])
    _, call = payer.stub("Merchant").CreateMerchant.with_call(request, timeout=10, metadata=[
        ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01"), ("x-request-id", "req-4711")])
    sent_back = dict(call.initial_metadata() or ()) | dict(call.trailing_metadata() or ())
    assert sent_back.get("x-request-id") == "req-4711"

    def seen():
        return all(any(line.get("trace_id") == TRACE and line.get("request_id") for line in log_lines(world, service))
                   for service in ("payments-svc", "ledger-svc"))

    wait_until(seen, "the trace id stands in the logs of both services", 10)
    assert any(line.get("request_id") == "req-4711" for line in log_lines(world, "payments-svc"))


def create_traced(payer, method, request):
    """The answer, and the trace and request ids under which it was asked for."""
    trace, request_id = uuid.uuid4().hex, f"req-{uuid.uuid4()}"
    answer = getattr(payer.stub("Payout"), method)(request, timeout=20, metadata=[
        ("traceparent", f"00-{trace}-00f067aa0ba902b7-01"), ("x-request-id", request_id)])
    return answer, trace, request_id


def of_trace(world, service, trace):
    return [line for line in log_lines(world, service) if line.get("trace_id") == trace]


@pytest.mark.parametrize("rail, name", [(ACH, "ach"), (INSTANT, "instant")])
def test_a_payout_can_be_followed_from_its_call_to_the_ledger(noisy, rail, name):
    """The call's trace names the payout; the payout's lines name the batches that moved it; a batch's trace is the ledger's, too."""
    payer, merchant, _ = noisy
    world = payer.world
    answer, trace, request_id = create_traced(payer, "CreatePayout", merchant.request(300, rail))
    payout_id = answer.payout.payout_id
    [accepted] = [line for line in of_trace(world, "payments-svc", trace) if line["event"].startswith("payout.")]
    assert (accepted["event"], accepted["level"], accepted["request_id"], accepted["payout_id"]) == (
        "payout.accepted", "info", request_id, payout_id)
    merchant.wait_for([payout_id], {SETTLED})

    def moved():
        found = {line["step"]: line for line in log_lines(world, "payments-svc")
                 if line["event"] == "saga.moved" and line.get("payout_id") == payout_id}
        return found if found.get("CONFIRM", {}).get("state") == "SETTLED" else None

    steps = wait_until(moved, "the log tells of the last step", 10)
    traces = {step: line["trace_id"] for step, line in steps.items()}
    assert {"RESERVE", "EXECUTE", "CONFIRM"} <= set(traces) and len({trace, *traces.values()}) == len(traces) + 1, steps
    for step in ("RESERVE", "CONFIRM"):
        [batch] = wait_until(lambda: [line for line in of_trace(world, "payments-svc", traces[step])
                                      if line["event"] == "saga.batch"], f"the batch of {step} is told", 10)
        assert (batch["level"], batch["rail"], batch["book"]) == ("info", name, merchant.book_id) and batch["n"] >= 1, batch
        wait_until(lambda: any(line.get("method") == "/ledger.v1.LedgerService/CreateTransfers"
                               for line in of_trace(world, "ledger-svc", traces[step])),
                   f"the ledger tells of {step} under the batch's trace", 10)


def test_a_repeated_call_names_its_payout_too(noisy):
    payer, merchant, _ = noisy
    request = merchant.request(300)
    made, first, _ = create_traced(payer, "CreatePayout", request)
    again, second, request_id = create_traced(payer, "CreatePayout", request)
    assert made == again and first != second
    [line] = [line for line in of_trace(payer.world, "payments-svc", second) if line["event"].startswith("payout.")]
    assert (line["event"], line["request_id"], line["payout_id"]) == ("payout.replayed", request_id, made.payout.payout_id)
    merchant.wait_for([made.payout.payout_id])


def test_a_bulk_call_is_one_line_with_counts_and_a_line_each_at_debug(noisy):
    payer, merchant, _ = noisy
    old, *new = (merchant.new_payout(200 + i) for i in range(3))
    merchant.pay_many([old])
    answer, trace, request_id = create_traced(payer, "BulkCreatePayouts", payer.pb.BulkCreatePayoutsRequest(
        merchant_id=merchant.id, payouts=[new[0], merchant.new_payout(0), old, new[1]]))
    ids = [result.payout.payout_id for result in answer.results if result.HasField("payout")]
    lines = of_trace(payer.world, "payments-svc", trace)
    [whole] = [line for line in lines if line["level"] == "info"]
    assert whole["event"] == "payouts.accepted" and whole["request_id"] == request_id and "payout_id" not in whole
    assert [whole[key] for key in ("merchant", "n", "accepted", "replayed", "refused")] == [merchant.id, 4, 2, 1, 1]
    assert [(line["event"], line["level"], line["payout_id"]) for line in lines if line["event"].startswith("payout.")] == [
        ("payout.accepted", "debug", ids[0]), ("payout.replayed", "debug", ids[1]), ("payout.accepted", "debug", ids[2])]
    merchant.wait_for(ids)


def test_nothing_in_any_log_that_must_not_be(noisy):
    """Bank details, names, idempotency keys, secrets and passwords: in no log, even at level debug, nor in the server's."""
    payer, _, _ = noisy
    world = payer.world
    secrets = [path.read_text(encoding="ascii").strip() for path in world.stack.secrets.iterdir() if path.suffix != ".pub"]
    needles = [ACCOUNT_NUMBER, NAME, NAME.upper(), KEY, "021000022", *(part for text in secrets for part in
               re.findall(r"[A-Za-z0-9+/=]{32,}", text))]
    logs = [*(world.stack.folder / "log").glob("*.log"), world.cluster.log_file]
    for log in logs:
        text = log.read_text(encoding="utf-8", errors="replace")
        found = [needle for needle in needles if needle in text]
        assert not found, (log, found)


@pytest.mark.parametrize("service", ["payments-svc", "ledger-svc"])
@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_gives_whole_descriptors(noisy, service, version):
    """Enough for a client that has no proto file: every file that describes a service, with all that it imports."""
    from google.protobuf import descriptor_pb2, descriptor_pool
    payer, _, _ = noisy
    messages, _ = stubs.modules(f"grpc/reflection/{version}/reflection")
    reflection = payer.world.stub(f"grpc/reflection/{version}/reflection", "ServerReflection", service)
    symbol = {"payments-svc": "payments.v1.PayoutService", "ledger-svc": "ledger.v1.LedgerService"}[service]
    requests = [messages.ServerReflectionRequest(file_containing_symbol=symbol),
                messages.ServerReflectionRequest(file_containing_symbol="no.such.Thing")]
    found, missing = list(reflection.ServerReflectionInfo(iter(requests), timeout=10))
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    pool, left = descriptor_pool.DescriptorPool(), {}
    for data in found.file_descriptor_response.file_descriptor_proto:
        proto = descriptor_pb2.FileDescriptorProto.FromString(data)
        left[proto.name] = proto
    while left:  # imports first
        ready = [name for name, proto in left.items() if not set(proto.dependency) & set(left)]
        assert ready, left.keys()
        for name in ready:
            pool.Add(left.pop(name))
    assert len(pool.FindServiceByName(symbol).methods) >= 7


def test_health_can_be_watched_and_ends_with_the_service(new_world):
    world = new_world()
    messages, _ = stubs.modules("grpc/health/v1/health")
    health = world.stub("grpc/health/v1/health", "Health", "payments-svc")
    stream = health.Watch(messages.HealthCheckRequest(service="payments.v1.PayoutService"), timeout=30)
    assert next(stream).status == messages.HealthCheckResponse.SERVING
    unknown = health.Watch(messages.HealthCheckRequest(service="no.Such"), timeout=30)
    assert next(unknown).status == messages.HealthCheckResponse.SERVICE_UNKNOWN
    assert world.payments.stop()
    with pytest.raises(grpc.RpcError):
        for answer in stream:
            assert answer.status == messages.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize("service", ["payments-svc", "ledger-svc"])
def test_NO_LOSS_a_stop_under_load_answers_everything(new_world, service):
    """24 callers that never pause; the service is told to stop in the midst of it and comes back. Each call gets an answer, and what
    was acknowledged is there."""
    world = new_world({"payments-svc": {"saga.resolve_after_ms": 500}})
    payer = Payer(world)
    merchant = payer.merchant(deposit=10_000_000)
    merchant.recipient()
    daemon, stop, acknowledged, failures = world.daemon(service), threading.Event(), [], []

    def load(worker):
        n = 1
        while not stop.is_set() and n < 100:
            request = merchant.request(100 + worker, INSTANT if n % 2 else ACH, idempotency_key=f"{worker}-{n}")
            try:
                answer = payer.stub("Payout").CreatePayout(request, timeout=20, wait_for_ready=True)
                acknowledged.append(answer.payout.payout_id)
                n += 1
            except grpc.RpcError as error:
                failures.append(rpc.failure(error))
                stop.wait(0.05)  # a careful client's pause; then the same request again

    with ThreadPoolExecutor(24) as pool:
        callers = [pool.submit(load, worker) for worker in range(24)]
        try:
            wait_until(lambda: len(acknowledged) > 100, "the load is on")
            assert daemon.stop(), "it did not drain within its grace"
            assert daemon.exit_code == 0
            daemon.start()
            n = len(acknowledged)
            wait_until(lambda: len(acknowledged) > n + 100, "the load goes on")
        finally:
            stop.set()
        for caller in callers:
            caller.result()
    # gRPC itself answers CANCELLED to what arrives after the drain, in the instant before clients hear of the end: neither code
    # is a definite one, and a handler never saw the call.
    assert {failure.code for failure in failures} <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}, failures
    assert all(failure.reason == "" for failure in failures if failure.code == grpc.StatusCode.CANCELLED), failures
    made = {payout.payout_id for payout in merchant.payouts()}
    assert set(acknowledged) <= made and len(set(acknowledged)) == len(acknowledged)
    final = merchant.wait_for(sorted(made), {SETTLED}, 90)
    assert_bank_agrees(payer, list(final.values()))
    assert_books_at_rest(payer, [merchant.book_id])
