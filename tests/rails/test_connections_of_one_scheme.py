"""Several connections of one scheme: each has its own bank, ODFI, company, folders, account, webhooks, windows and brake, and none of
them hears what another one's bank says. `wells` and `fast` belong to a second bank; `later` sends at one window a day."""

import base64
import datetime
import hashlib
import hmac
import json
import sqlite3
import ssl
import time
import urllib.request
import uuid
from zoneinfo import ZoneInfo

import grpc
import pytest
from run import RunError
from run.layout import free_port
from support import stubs
from support.bank import Bank
from support.bank_record import BankRecord
from support.metrics import metric
from support.paying import ACH, INSTANT, RETURNED, SETTLED, Payer, assert_books_at_rest, unique
from support.payctl import COLUMNS, DONE, NOT_SETTLED, SERVICE, USAGE, Payctl, row
from support.waiting import wait_until

from test_cases import Cases
from test_connections import DOWN, ON, PAUSED, Connections, steps
from test_inbox import account, individual, returns

OFF, CANCELED = 2, 9
INVALID = grpc.StatusCode.INVALID_ARGUMENT
SECOND, SECOND_ROUTING = "bank-2", "021000021"
PACE = {"gather_ms": 100, "poll_ms": 100, "retry_base_ms": 20, "retry_cap_ms": 500, "send_poll_ms": 25}
FAST = {"saga.poll_ms": 50, "saga.backoff_base_ms": 50, "saga.backoff_cap_ms": 300, "saga.resolve_after_ms": 300,
        "deadlines.every_ms": 100, "deadlines.switched_off_s": 1, "instant.sweep_ms": 100, "instant.ask_again_ms": 1000,
        **{f"ach.{key}": value for key, value in PACE.items()}}
BANK = {"ach.poll_ms": 20, "ach.return_delay_ms": 100, "instant.return_delay_ms": 100}


def files_of(stack, port: int, **more) -> dict:
    """Settings of an ACH connection at a bank of this SFTP port."""
    return {"scheme": "ach", "port": port, "user": stack.values()["ssh_user"], "key_file": "../secrets/ssh_client_ed25519",
            "host_key_file": "../secrets/ssh_host_ed25519.pub", **PACE, **more}


def add(world, name: str, settings: dict) -> None:
    world.stack.settings["payments-svc"].update({f"connection.{name}.{key}": value for key, value in settings.items()})


def far_window() -> str:
    """A time of day in New York that is half a day away."""
    then = datetime.datetime.now(ZoneInfo("America/New_York")) + datetime.timedelta(hours=12)
    return then.strftime("%H:%M")


def with_second_bank(world, *, routing: str = SECOND_ROUTING, company_base: int = 7000) -> Payer:
    """A running Disburse that is given further connections, as an operator does it: a section each, and a start."""
    webhook_port = free_port()
    bank = world.stack.add_instance("bank-sim", SECOND, {"ach.routing": routing,
                                                         "https.webhook_url": f"https://localhost:{webhook_port}/webhooks/instant"})
    bank.start()
    ready = bank.ready()
    world.bank_of.update({name: SECOND for name in ("wells", "fast", "later")})
    ours = {"immediate_destination": routing, "odfi_routing": routing[:8], "company_id_base": f"{company_base:09d}",
            "company_name": "SECOND"}
    add(world, "wells", files_of(world.stack, ready["sftp_port"], immediate_origin_base="000005000", **ours))
    add(world, "later", files_of(world.stack, ready["sftp_port"], immediate_origin_base="000006000", inbox_dir="inbox-later",
                                 outbox_dir="outbox-later", windows=far_window(), **ours))
    add(world, "fast", {"scheme": "instant", "url": f"https://localhost:{ready['https_port']}", "ca_file": "../certs/bank-ca.crt",
                        "api_key_file": "../secrets/bank_api_key", "webhook_secret_file": "../secrets/webhook_secret",
                        "webhook_port": webhook_port, "sweep_ms": 100, "ask_again_ms": 1000})
    for folder in ("inbox-later", "outbox-later", "outbox-later/done", "outbox-later/bad"):
        (world.stack.folder / SECOND / "sftp" / folder).mkdir()
    world.up()
    return Payer(world)


@pytest.fixture(scope="module")
def payer(servers):
    world = servers.world({"payments-svc": FAST, "bank-sim": BANK})
    try:
        yield with_second_bank(world.up())
        world.stop_and_check()
    finally:
        world.remove()


@pytest.fixture
def connections(payer):
    made = Connections(payer.world)
    yield made
    for left in made.call("ListConnections").pauses:
        made.resume(connection=left.connection, book_id=left.book_id, merchant_id=left.merchant_id)


def through(merchant, connection, amount=1_000, rail=0):
    return merchant.pay(amount, rail, connection=connection).payout_id


def prove(payer, book_id):
    pb = stubs.modules("payments/v1/reconciliation_service")[0]
    stub = payer.world.stub("payments/v1/reconciliation_service", "ReconciliationService", "payments-svc")
    parts = list(stub.ProveBook(pb.ProveBookRequest(book_id=book_id, with_payouts=True), timeout=30))
    return [line for part in parts for line in part.accounts], [line for part in parts for line in part.payouts], [
        line for part in parts for line in part.differences]


def test_NO_DOUBLE_each_payout_goes_to_the_bank_of_its_connection(payer):
    merchant = payer.merchant(deposit=100_000)
    ways = [("", ACH, "ach"), ("ach", 0, "ach"), ("wells", 0, "wells"), ("wells", ACH, "wells"), ("", INSTANT, "instant"),
            ("fast", 0, "fast"), ("fast", INSTANT, "fast")]
    made = {through(merchant, name, 1_000 + n, rail): (name, rail, wanted) for n, (name, rail, wanted) in enumerate(ways)}
    final = merchant.wait_for(list(made), {SETTLED})
    for payout_id, (_, _, wanted) in made.items():
        assert final[payout_id].connection == wanted
        assert final[payout_id].rail == (ACH if wanted in ("ach", "wells") else INSTANT)
    BankRecord(payer.world, payer.bank).check()  # at that bank, in the name of its company, and nowhere else
    assert all(final[p].rail_reference.startswith(SECOND_ROUTING[:8]) for p, way in made.items() if way[2] == "wells")
    assert_books_at_rest(payer, [merchant.book_id])
    accounts, payouts, differences = prove(payer, merchant.book_id)
    assert differences == []
    assert {"ach", "wells", "instant", "fast"} <= {line.connection for line in accounts if line.kind == "TRANSIT"}
    assert len({line.account_id for line in accounts if line.kind == "TRANSIT"}) == len([a for a in accounts if a.kind == "TRANSIT"])
    assert {line.payout_id: line.connection for line in payouts if line.payout_id in made} == {p: way[2] for p, way in made.items()}


def test_the_report_is_of_each_bank_and_of_all(payer, tmp_path):
    merchant = payer.merchant(deposit=100_000)
    ids = {name: through(merchant, name, 1_000 + n) for n, name in enumerate(("ach", "instant", "wells", "fast"))}
    merchant.wait_for(list(ids.values()), {SETTLED})
    world = payer.world
    ours, theirs = (f"127.0.0.1:{world.daemon(name).ready()['admin_port']}" for name in ("bank-sim", SECOND))
    payctl, both = Payctl(world, tmp_path), f"{ours},wells={theirs},fast={theirs}"
    answer = payctl.json("--bank", both, "report")[1]
    assert answer["agree"] is True and answer["differences"] == [] and answer["not_compared"] == [], answer["differences"]
    assert {(bank["address"], tuple(bank["connections"]), bank["proven"]) for bank in answer["banks"]} == {
        (ours, ("ach", "instant"), True), (theirs, ("wells", "fast"), True)}
    flows = {flow["connection"]: flow for flow in answer["flows"]}
    assert {name: (flow["bank"], flow["bank_account"], flow["equal"]) for name, flow in flows.items()} == {
        "ach": (ours, "main", True), "instant": (ours, "main", True), "wells": (theirs, "main", True), "fast": (theirs, "main", True)}
    code, out, _ = payctl.run("--bank", both, "report")
    assert code == DONE and f"bank {theirs} (wells, fast): PROVEN" in out and "the banks agree to the last cent" in out, out
    # A bank that is not given: neither found false nor taken for granted.
    code, out, _ = payctl.run("--bank", f"ach={ours},instant={ours}", "report")
    assert code == NOT_SETTLED and "NOT COMPARED with a bank: what went through wells, fast" in out and "NOT PROVEN" in out, out
    assert payctl.json("--bank", f"ach={ours},instant={ours}", "report")[1]["not_compared"] == ["wells", "fast"]
    # A cent too much at one of them is a difference there, and at no other.
    with sqlite3.connect(world.stack.folder / SECOND / "bank.db") as book:
        item = book.execute("SELECT rail, item FROM movements WHERE kind = 1 LIMIT 1").fetchone()
        change = "UPDATE movements SET amount = amount + ? WHERE rail = ? AND item = ? AND kind = 1"
        book.execute(change, (1, *item))
        book.commit()
        try:
            code, out, _ = payctl.run("--bank", both, "report")
        finally:
            book.execute(change, (-1, *item))
            book.commit()
    assert code == NOT_SETTLED and "DIFFERENT" in out and f"bank {theirs} (wells, fast): NOT PROVEN: 1 difference(s)" in out, out
    assert f"bank {ours} (ach, instant): PROVEN" in out and "\nNOT PROVEN" in out
    for wrong in ("nonsense", f"{ours},{theirs}", f"=x:1,{ours}", f"wells={ours},wells={theirs}"):
        assert payctl.run("--bank", wrong, "report")[0] == SERVICE


def test_lists_and_sums_are_by_connection(payer):
    merchant = payer.merchant(deposit=100_000)
    ids = {name: through(merchant, name) for name in ("ach", "wells", "fast")}
    merchant.wait_for(list(ids.values()), {SETTLED})
    found = lambda **filters: {payout.connection for payout in merchant.payouts(**filters)}  # noqa: E731
    assert found(rail=ACH) == {"ach", "wells"} and found(rail=INSTANT) == {"fast"}
    assert found(connection="wells") == {"wells"} and found(connection="wells", rail=INSTANT) == set()
    assert merchant.refused("ListPayouts", payer.pb.ListPayoutsRequest(merchant_id=merchant.id, connection="no-such")).code == INVALID
    lines = payer.call("Payout", "SummarizePayouts", payer.pb.SummarizePayoutsRequest(merchant_id=merchant.id)).lines
    assert {(line.connection, line.rail, line.count) for line in lines} == {("ach", ACH, 1), ("wells", ACH, 1), ("fast", INSTANT, 1)}
    submissions = stubs.modules("payments/v1/submission_service")[0]
    stub = payer.world.stub("payments/v1/submission_service", "SubmissionService", "payments-svc")
    for name in ("ach", "wells"):
        listed = stub.ListSubmissions(submissions.ListSubmissionsRequest(connection=name), timeout=10).submissions
        assert listed and {line.connection for line in listed} == {name} and {line.rail for line in listed} == {ACH}
    inbox = stubs.modules("payments/v1/inbox_service")[0]
    stub = payer.world.stub("payments/v1/inbox_service", "InboxService", "payments-svc")
    listed = stub.ListInbox(inbox.ListInboxRequest(connection="wells"), timeout=10).items
    assert listed and {(line.connection, line.rail) for line in listed} == {("wells", ACH)}


def test_DEFINITE_ERRORS_a_connection_must_be_there_and_of_the_rail(payer):
    merchant = payer.merchant(deposit=10_000)
    for rail, name, reason, field in ((0, "no-such", "CONNECTION_NOT_AVAILABLE", "connection"), (0, "", "FIELD_MISSING", "rail"),
                                      (INSTANT, "wells", "CONNECTION_OF_ANOTHER_RAIL", "connection"),
                                      (ACH, "fast", "CONNECTION_OF_ANOTHER_RAIL", "connection")):
        refusal = merchant.refused("CreatePayout", merchant.request(1_000, rail, connection=name))
        assert (refusal.code, refusal.reason, refusal.metadata["field"]) == (INVALID, reason, f"payout.{field}")
    # The connection is a part of what the key stands for.
    request = merchant.request(1_000, ACH, connection="wells")
    first = payer.call("Payout", "CreatePayout", request)
    assert first.payout.connection == "wells"
    assert payer.call("Payout", "CreatePayout", request) == first
    request.payout.connection = "ach"
    assert merchant.refused("CreatePayout", request).reason == "IDEMPOTENCY_KEY_REUSED"
    merchant.wait_for([first.payout.payout_id], {SETTLED})


def defaults(payer, merchant, method="UpdateMerchant", **fields):
    """What the service says of the merchant's default connections after the call."""
    pb = payer.merchants_pb
    if method == "UpdateMerchant":
        request = pb.UpdateMerchantRequest(**{"merchant_id": merchant.id, "person": "ada", **fields})
    else:
        request = pb.GetMerchantRequest(merchant_id=merchant.id)
    return list(payer.call("Merchant", method, request).merchant.default_connections)


def test_NO_DOUBLE_a_merchant_has_default_connections_and_repeats_stay_where_the_first_went(payer):
    merchant, other = payer.merchant(deposit=100_000), payer.merchant(deposit=100_000)
    before = merchant.request(1_000, ACH)
    first = payer.call("Payout", "CreatePayout", before)
    assert first.payout.connection == ""  # of the connection that has the rail's name it is not told
    assert defaults(payer, merchant, default_connections=["fast", "wells"]) == ["wells", "fast"]
    assert defaults(payer, merchant, "GetMerchant") == ["wells", "fast"]
    request = merchant.request(1_001, ACH)
    second = payer.call("Payout", "CreatePayout", request)
    paid = {"ach": first.payout.payout_id, "wells": second.payout.payout_id, "fast": merchant.pay(1_002, INSTANT).payout_id,
            "instant": merchant.pay(1_003, connection="instant", rail=0).payout_id}  # what is named counts
    assert payer.call("Payout", "CreatePayout", before) == first
    assert defaults(payer, merchant, rails_without_default=[ACH]) == ["fast"]
    assert payer.call("Payout", "CreatePayout", request) == second
    again = merchant.pay(1_004, ACH).payout_id
    assert defaults(payer, other, "GetMerchant") == []
    theirs = other.pay(1_000, ACH).payout_id
    final = merchant.wait_for([*paid.values(), again], {SETTLED})
    assert {name: final[payout_id].connection for name, payout_id in paid.items()} == {name: name for name in paid}
    assert final[again].connection == "ach"
    assert other.wait_for([theirs], {SETTLED})[theirs].connection == "ach"
    BankRecord(payer.world, payer.bank).check()
    rows = payer.world.payments_rows("SELECT d.rail, d.change, coalesce(c.name, ''), right(d.actor, 12) FROM merchant_connection d LEFT JOIN connection c"
                                     f" ON c.number = d.connection WHERE d.merchant_id = '{merchant.id}' ORDER BY d.rail, d.change")
    assert rows == [["1", "1", "wells", "says for ada"], ["1", "2", "", "says for ada"], ["2", "1", "fast", "says for ada"]]


def test_DEFINITE_ERRORS_default_connections_that_cannot_be(payer):
    pb, merchant = payer.merchants_pb, payer.merchant()
    update = lambda **fields: pb.UpdateMerchantRequest(**{"merchant_id": merchant.id, "person": "ada", **fields})  # noqa: E731
    for request, reason, field in (
            (update(default_connections=["no-such"]), "CONNECTION_NOT_AVAILABLE", "default_connections"),
            (update(default_connections=["wells", "ach"]), "DEFAULT_CONNECTION_TWICE", "default_connections"),
            (update(default_connections=["wells"], rails_without_default=[ACH]), "DEFAULT_CONNECTION_TWICE", "rails_without_default"),
            (update(rails_without_default=[77]), "RAIL_NOT_AVAILABLE", "rails_without_default"),
            (update(default_connections=["wells"], person=""), "FIELD_MISSING", "person"),
            (update(), "FIELD_MISSING", "default_connections")):
        refusal = merchant.refused("UpdateMerchant", request, "Merchant")
        assert (refusal.code, refusal.reason, refusal.metadata["field"]) == (INVALID, reason, field), refusal
    assert merchant.refused("UpdateMerchant", update(merchant_id="no-such", default_connections=["wells"]), "Merchant").reason == \
        "MERCHANT_NOT_FOUND"
    assert defaults(payer, merchant, "GetMerchant") == []
    # Made with the merchant: a part of what the request says.
    new = pb.CreateMerchantRequest(merchant_id=unique("m"), name="New", currencies=["USD"], default_connections=["wells"])
    made = payer.call("Merchant", "CreateMerchant", new)
    assert list(made.merchant.default_connections) == ["wells"]
    merchant.id = new.merchant_id
    assert defaults(payer, merchant, default_connections=["later"]) == ["later"]
    assert list(payer.call("Merchant", "CreateMerchant", new).merchant.default_connections) == ["later"]
    new.default_connections[:] = ["later"]
    assert merchant.refused("CreateMerchant", new, "Merchant").reason == "MERCHANT_EXISTS_WITH_DIFFERENT_FIELDS"
    new.merchant_id, new.default_connections[:] = unique("m"), ["no-such"]
    assert merchant.refused("CreateMerchant", new, "Merchant").reason == "CONNECTION_NOT_AVAILABLE"


def test_a_default_connection_changes_a_hundred_times_a_day_at_most(payer):
    pb, merchant = payer.merchants_pb, payer.merchant()
    rows = f"SELECT count(*) FROM merchant_connection WHERE merchant_id = '{merchant.id}' AND rail = 1"
    for n in range(100):
        assert defaults(payer, merchant, default_connections=[("wells", "ach")[n % 2]]) == [("wells", "ach")[n % 2]]
    request = pb.UpdateMerchantRequest(merchant_id=merchant.id, person="ada", default_connections=["wells"])
    refusal = merchant.refused("UpdateMerchant", request, "Merchant")
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CHANGES")
    assert 86_000 < refusal.retry_after_s < 86_400, "until the first of them is a day ago"
    assert payer.world.payments_rows(rows) == [["100"]]
    # A repeat of what is so already writes nothing, and another rail has changes of its own.
    assert defaults(payer, merchant, default_connections=["ach", "fast"]) == ["ach", "fast"]
    payer.world.payments_rows(f"UPDATE merchant_connection SET changed_at = changed_at - interval '1 day' WHERE merchant_id = '{merchant.id}'"
                              " AND rail = 1 AND change = 1")
    assert defaults(payer, merchant, default_connections=["wells"]) == ["wells", "fast"]


def test_payctl_sets_and_shows_default_connections(payer, tmp_path):
    payctl = Payctl(payer.world, tmp_path)
    name = unique("m")
    code, out, err = payctl.run("merchants", "create", name, "--currency", "USD", "--connection", "wells")
    assert code == DONE and "wells" in out, out + err
    code, out, err = payctl.run("merchants", "update", name, "--connection", "fast", "--no-connection", "ach")
    assert code == DONE and "fast" in out and "wells" not in out, out + err
    code, out, _ = payctl.run("merchants")
    assert code == DONE and "fast" in next(line for line in out.splitlines() if line.startswith(name))
    code, _, err = payctl.run("merchants", "update", name, "--connection", "no-such")
    assert code != DONE and "connection" in err
    assert payctl.run("merchants", "update", name)[0] == USAGE
    assert payctl.run("merchants", "deposit", name, "--connection", "wells")[0] == USAGE


def test_another_instance_learns_of_a_default_connection(payer):
    payer.world.stack.add_instance("payments-svc", "payments-svc.2", {"instant.webhook_port": 0, "connection.fast.webhook_port": 0}).start()
    try:
        merchant = payer.merchant()
        there = Payer(payer.world, "payments-svc.2")
        request = merchant.request(1_000, ACH)
        request.validate_only = True
        would_go = lambda: there.call("Payout", "CreatePayout", request).payout.connection  # noqa: E731
        assert would_go() == ""
        assert defaults(payer, merchant, default_connections=["wells"]) == ["wells"]
        wait_until(lambda: would_go() == "wells", "the other instance would pay through the default connection")
    finally:
        payer.world.daemon("payments-svc.2").stop()


def test_returns_come_through_each_connection(payer):
    merchant = payer.merchant(deposit=100_000)
    back = [through(merchant, "ach", 1_951), through(merchant, "wells", 1_951), through(merchant, "wells", 1_903),
            through(merchant, "instant", 1_809), through(merchant, "fast", 1_809)]
    stays = [through(merchant, name, 2_000) for name in ("ach", "wells", "instant", "fast")]
    merchant.wait_for(stays, {SETTLED})
    wait_until(lambda: all(merchant.payout(payout_id).state in (RETURNED, 7) for payout_id in back), "what comes back")
    merchant.wait_for(stays, {SETTLED})
    BankRecord(payer.world, payer.bank).check()


def test_the_brake_of_one_stops_no_other(payer, connections):
    merchant = payer.merchant(deposit=100_000)
    assert connections.pause(connection="wells") and connections.pause(connection="fast")
    waits = {name: through(merchant, name) for name in ("wells", "fast")}
    merchant.wait_for([through(merchant, name) for name in ("ach", "instant")], {SETTLED})
    found = connections.list()
    assert {name: found[name].state for name in ("ach", "wells", "instant", "fast")} == {
        "ach": ON, "wells": PAUSED, "instant": ON, "fast": PAUSED}
    for name, payout_id in waits.items():
        assert steps(merchant, payout_id) == set()
        assert {line.step: line.count for line in found[name].queue} == {"RESERVE": 1}
    assert connections.resume(connection="wells")
    merchant.wait_for([waits["wells"]], {SETTLED})
    assert merchant.payout(waits["fast"]).state not in (SETTLED, RETURNED)
    assert connections.resume(connection="fast")
    merchant.wait_for([waits["fast"]], {SETTLED})


def test_each_has_its_own_timetable_and_numbers(payer, connections):
    merchant = payer.merchant(deposit=100_000)
    waits = merchant.pay(1_000, connection="later", rail=ACH).payout_id
    merchant.wait_for([through(merchant, "wells"), through(merchant, "ach")], {SETTLED})
    found = connections.list()
    assert list(found) == ["ach", "instant", "wells", "later", "fast"]
    assert found["later"].HasField("next_cut_off_time") and not found["wells"].HasField("next_cut_off_time")
    left = {name: {line.name: line.left for line in found[name].numbers} for name in ("ach", "wells", "later")}
    assert left["later"] == {"files today": 36, "traces of the cycle": 9_999_999}
    assert left["wells"]["files today"] < 36 and left["ach"]["files today"] < 36
    assert found["wells"].last_word_time.seconds > 0 and not found["later"].HasField("last_word_time")
    assert {name: connection.scheme for name, connection in found.items()} == {
        "ach": "ach", "wells": "ach", "later": "ach", "instant": "instant", "fast": "instant"}
    assert metric(payer.world.payments, "ach_files_total", connection="wells") >= 1
    assert metric(payer.world.payments, "ach_files_total", connection="later") == 0
    assert {line.step: line.count for line in found["later"].queue} == {"EXECUTE": 1}  # reserved, and no file was cut
    payer.call("Payout", "CancelPayout", payer.pb.CancelPayoutRequest(merchant_id=merchant.id, payout_id=waits, person="ada"))
    merchant.wait_for([waits], {CANCELED})
    capabilities = {line.connection: line.scheme for line in connections.call("GetCapabilities").capabilities}
    assert capabilities == {name: connection.scheme for name, connection in found.items()}


def test_SEEN_a_bank_that_does_not_answer_is_down_and_the_other_is_not(payer, connections):
    merchant = payer.merchant(deposit=100_000)
    payer.world.daemon(SECOND).kill()
    waits = [through(merchant, "fast") for _ in range(6)]
    wait_until(lambda: connections.list()["fast"].state == DOWN, "the connection is down")
    merchant.wait_for([through(merchant, "instant") for _ in range(6)], {SETTLED})
    assert connections.list()["instant"].state == ON
    start_second_bank(payer.world)
    merchant.wait_for(waits, {SETTLED})
    assert connections.list()["fast"].state == ON


def start_second_bank(world):
    """Where it was before: its ports are in our settings."""
    ours = world.stack.settings["payments-svc"]
    ports = {"https.port": ours["connection.fast.url"].rsplit(":", 1)[1], "sftp.port": ours["connection.wells.port"],
             "https.webhook_url": f"https://localhost:{ours['connection.fast.webhook_port']}/webhooks/instant",
             "ach.routing": ours["connection.wells.immediate_destination"]}
    world.stack.add_instance("bank-sim", SECOND, ports).start()


def test_payctl_pays_through_connections_and_shows_them(payer, tmp_path):
    payctl = Payctl(payer.world, tmp_path)
    merchant = payer.merchant(deposit=1_000_000)
    rows = [row(merchant.id, unique("r"), connection=name, rail=rail)
            for name, rail in (("wells", "ach"), ("fast", "instant"), ("", "ach"))]
    path = tmp_path / "payouts.csv"
    path.write_text("\n".join([",".join([*COLUMNS, "connection"]), *(",".join([*(line[c] for c in COLUMNS), line["connection"]])
                                                                      for line in rows)]) + "\n")
    code, out, err = payctl.run("pay", str(path))
    assert code == DONE, out + err
    paid = {payout.external_reference: payout for payout in merchant.payouts()}
    assert [paid[line["reference"]].connection for line in rows] == ["wells", "fast", "ach"]
    code, out, _ = payctl.run("payout", f"{merchant.id}/{paid[rows[0]['reference']].payout_id}")
    assert code == DONE and "wells" in out
    code, out, _ = payctl.run("connections")
    assert code == DONE and all(name in out for name in ("ach", "instant", "wells", "fast", "later"))
    bad = tmp_path / "bad.csv"
    bad.write_text(path.read_text().replace(",wells", ",no-such").replace(rows[0]["reference"], unique("r")))
    code, out, err = payctl.run("pay", "--check", str(bad))
    assert code != DONE and "connection" in err


def test_SEEN_a_connection_that_is_switched_off_is_a_case_and_keeps_its_number(payer, connections):
    """The last test of the module: it starts the service anew."""
    world, cases = payer.world, Cases(payer.world)
    merchant = payer.merchant(deposit=100_000)
    assert connections.pause(connection="wells")
    request = merchant.request(1_000, ACH, connection="wells")
    first = payer.call("Payout", "CreatePayout", request)
    elsewhere = payer.merchant(deposit=100_000)
    assert defaults(payer, elsewhere, default_connections=["wells"]) == ["wells"]
    about = {"book_ids": [0], "subject_type": "connection", "subject_id": "wells"}
    numbers = world.payments_rows("SELECT name, number FROM connection ORDER BY number")

    world.stack.settings["payments-svc"]["connection.wells.enabled"] = "false"
    world.up()
    (case,) = wait_until(lambda: cases.list(**about), "a case of the connection")
    assert case.kind == "CONNECTION_OFF" and case.text.startswith("1 payouts wait for it")
    found = connections.list()["wells"]
    assert (found.state, found.scheme) == (OFF, "ach")
    assert merchant.payout(first.payout.payout_id).connection == "wells"
    assert payer.call("Payout", "CreatePayout", request) == first  # was accepted, whatever has changed since
    refusal = elsewhere.refused("CreatePayout", elsewhere.request(1_000, ACH))  # nothing is taken in its place
    assert (refusal.code, refusal.reason) == (INVALID, "CONNECTION_NOT_AVAILABLE") and "merchant's default" in refusal.message
    assert defaults(payer, elsewhere, "GetMerchant") == ["wells"]
    refusal = merchant.refused("CreatePayout", merchant.request(1_000, ACH, connection="wells"))
    assert (refusal.code, refusal.reason) == (INVALID, "CONNECTION_NOT_AVAILABLE")
    merchant.wait_for([through(merchant, "ach"), through(merchant, "fast")], {SETTLED})

    world.stack.settings["payments-svc"]["connection.wells.enabled"] = "true"
    world.up()
    connections.resume(connection="wells")
    merchant.wait_for([first.payout.payout_id], {SETTLED})
    wait_until(lambda: not cases.list(**about), "the case is closed")
    assert world.payments_rows("SELECT name, number FROM connection ORDER BY number") == numbers


def test_NO_DOUBLE_connections_that_count_traces_alike_hear_only_their_own_bank(new_world):
    """Two connections of one ODFI and one company: the first entry of each has the same trace."""
    world = new_world({"payments-svc": FAST, "bank-sim": BANK})
    payer = with_second_bank(world, routing=world.stack.values()["bank_routing"], company_base=0)
    merchant = payer.merchant(deposit=100_000)
    world.people.told_by_hand.update(ids := [through(merchant, "ach"), through(merchant, "wells")])
    ours, theirs = merchant.wait_for(ids, {SETTLED}).values()
    assert ours.rail_reference == theirs.rail_reference and ours.connection != theirs.connection
    first = {"ach": ours, "wells": theirs} if ours.connection == "ach" else {"ach": theirs, "wells": ours}
    boxes = {"ach": world.stack.folder / "bank" / "sftp" / "outbox", "wells": world.stack.folder / SECOND / "sftp" / "outbox"}

    def say(of, at, name):
        """The bank of `at` sends back the entry of `of`."""
        payout = first[of]
        line = ("R03", payout.rail_reference, payout.amount_minor, individual(payer, payout.payout_id), account(merchant, payout))
        (boxes[at] / name).write_text(returns([line], f"1{merchant.book_id:09d}"))
        rows = lambda: world.payments_rows(  # noqa: E731
            f"SELECT c.name, i.state, i.events, i.exceptions FROM inbox i JOIN connection c ON c.number = i.connection WHERE i.name = '{name}'"
            " AND i.state <> 1")
        return wait_until(rows, f"{name} was read")

    assert say("ach", "wells", "cross.ach") == [["wells", "2", "0", "1"]]
    assert say("wells", "ach", "cross-2.ach") == [["ach", "2", "0", "1"]]
    assert [merchant.payout(payout_id).state for payout_id in ids] == [SETTLED, SETTLED]
    assert say("wells", "wells", "own-2.ach") == [["wells", "2", "1", "0"]]
    merchant.wait_for([first["wells"].payout_id], {RETURNED})
    assert merchant.payout(first["ach"].payout_id).state == SETTLED
    assert say("ach", "ach", "own.ach") == [["ach", "2", "1", "0"]]
    merchant.wait_for(ids, {RETURNED})


def webhook(payer, connection, payout, status):
    """What the bank of a connection says of a payout, signed as it signs: the answer's code."""
    world = payer.world
    key = hashlib.sha256(uuid.UUID(payout.intent_id).bytes + (1).to_bytes(4, "big")).hexdigest()
    ((book,),) = world.payments_rows(f"SELECT book_id FROM payout WHERE payout_id = '{payout.payout_id}'")
    now = int(time.time())
    body = json.dumps({"type": f"payment.{status}", "timestamp": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                       "data": {"payment_id": unique("p"), "key": key, "reference": f"{book}/{payout.intent_id}", "status": status,
                                "code": "", "text": "", "retriable": False, "amount": payout.amount_minor, "currency": "USD"}})
    name = unique("hook")
    secret = (world.stack.secrets / "webhook_secret").read_text().strip().removeprefix("whsec_")
    mac = hmac.new(base64.b64decode(secret), f"{name}.{now}.{body}".encode(), hashlib.sha256).digest()
    port = world.payments.ready()["webhook_ports"][connection]
    request = urllib.request.Request(f"https://localhost:{port}/webhooks/instant", data=body.encode(), method="POST", headers={
        "webhook-id": name, "webhook-timestamp": str(now), "webhook-signature": "v1," + base64.b64encode(mac).decode(),
        "Content-Type": "application/json"})
    context = ssl.create_default_context(cafile=str(world.stack.authority.cert_file))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=10) as answer:
        assert answer.status == 200
    return wait_until(lambda: world.payments_rows(
        f"SELECT c.name, i.state, i.events, i.exceptions FROM inbox i JOIN connection c ON c.number = i.connection WHERE i.name = '{name}'"
        " AND i.state <> 1"), "the message was read")


def test_a_webhook_of_another_bank_says_nothing_about_a_payout(payer):
    merchant = payer.merchant(deposit=100_000)
    payout_id = through(merchant, "instant")
    payout = merchant.wait_for([payout_id], {SETTLED})[payout_id]
    assert webhook(payer, "fast", payout, "returned") == [["fast", "2", "0", "1"]]
    assert merchant.payout(payout_id).state == SETTLED
    payer.world.people.told_by_hand.add(payout_id)
    assert webhook(payer, "instant", payout, "returned") == [["instant", "2", "1", "0"]]  # the same, by its own bank
    merchant.wait_for([payout_id], {RETURNED})


def test_a_rail_without_a_connection_of_its_name_goes_where_the_settings_say(new_world):
    world = new_world({"payments-svc": FAST, "bank-sim": BANK})
    world.stack.settings["payments-svc"].update({"ach.enabled": "false", "rail.ach": "wells"})
    payer = with_second_bank(world)
    merchant = payer.merchant(deposit=100_000)
    payout = merchant.pay(1_000, ACH)
    assert payout.connection == "wells"
    merchant.wait_for([payout.payout_id], {SETTLED})
    refusal = merchant.refused("CreatePayout", merchant.request(1_000, ACH, connection="ach"))
    assert refusal.reason == "CONNECTION_NOT_AVAILABLE"


WRONG = [
    ({"connection.ach.scheme": "ach"}, "connection.ach: there is a connection of this name"),
    ({"connection.x.scheme": "wire"}, 'connection.x.scheme is "wire": want ach or instant'),
    ({"connection.x.host": "127.0.0.1"}, "connection.x.scheme must be given"),
    ({"connection.x.scheme": "instant", "connection.x.odfi_routing": "1"}, "unknown setting connection.x.odfi_routing"),
    ({"rail.instant": "ach"}, "rail.instant must name a connection of the scheme instant"),
]


@pytest.mark.parametrize("settings, words", [*WRONG, ("same outbox", "connection.x.outbox_dir is that of ach"),
                                             ("bad odfi", "connection.x.odfi_routing must have 8 digits"),
                                             ("same account", "connection.x.api_key_file is that of instant")])
def test_a_wrong_connection_refuses_the_start_by_name(payer, settings, words):
    world = payer.world
    ini = world.stack.settings["payments-svc"]
    template = world.stack.values()
    files = {**files_of(world.stack, template["bank_sftp_port"]), "immediate_destination": template["bank_routing"],
             "odfi_routing": template["odfi_routing"], "immediate_origin_base": "000009000", "company_id_base": "000009000"}
    if settings == "same outbox":
        settings = {f"connection.x.{key}": value for key, value in files.items()}
    elif settings == "bad odfi":
        settings = {f"connection.x.{key}": value for key, value in {**files, "inbox_dir": "i", "outbox_dir": "o", "odfi_routing": "1"}.items()}
    elif settings == "same account":
        settings = {"connection.x.scheme": "instant", "connection.x.url": f"https://localhost:{template['bank_https_port']}",
                    "connection.x.api_key_file": "../secrets/bank_api_key", "connection.x.ca_file": "../certs/bank-ca.crt",
                    "connection.x.webhook_secret_file": "../secrets/webhook_secret"}
    assert not set(settings) & set(ini)
    wrong = world.stack.add_instance("payments-svc", "payments-wrong", settings)
    with pytest.raises(RunError):
        wrong.start(timeout_s=20)
    log = (world.stack.folder / "log" / "payments-wrong.log").read_text(encoding="utf-8", errors="replace").replace('\\"', '"')
    assert words in log, log[-2000:]
