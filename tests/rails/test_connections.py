"""The brake and the connections: who may stop what, what stands there, and what can be carried."""

import subprocess

import grpc
import pytest
from support import rpc, stubs
from support.metrics import metric
from support.paying import ACH, INSTANT, SETTLED, Payer, unique
from support.payctl import DONE, SERVICE, USAGE, Payctl, row
from support.waiting import wait_until

from test_cases import Cases

ON, PAUSED, DOWN = 1, 3, 4
FAST = {"payments-svc": {"saga.poll_ms": 50, "saga.resolve_after_ms": 200, "saga.backoff_cap_ms": 200, "deadlines.every_ms": 100,
                         "deadlines.execute_s": 1, "deadlines.reserve_s": 1},
        "bank-sim": {"ach.poll_ms": 10}}


class Connections:
    def __init__(self, world):
        self.world = world
        self.pb = stubs.modules("payments/v1/connection_service")[0]

    def stub(self):
        return self.world.stub("payments/v1/connection_service", "ConnectionService", "payments-svc")

    def call(self, method, **fields):
        return rpc.persist(lambda: getattr(self.stub(), method), getattr(self.pb, f"{method}Request")(**fields))

    def refused(self, method, **fields):
        return rpc.refused(getattr(self.stub(), method), getattr(self.pb, f"{method}Request")(**fields))

    def list(self):
        return {found.name: found for found in self.call("ListConnections").connections}

    def pause(self, reason="the bank asks for it", **scope):
        return self.call("PauseConnection", reason=reason, person="ada", **scope).changed

    def resume(self, reason="the bank is back", **scope):
        return self.call("ResumeConnection", reason=reason, person="ada", **scope).changed


@pytest.fixture(scope="module")
def payer(servers):
    world = servers.world(FAST)
    try:
        yield Payer(world.up())
        world.stop_and_check()
    finally:
        world.remove()


@pytest.fixture
def connections(payer):
    made = Connections(payer.world)
    yield made
    for left in made.call("ListConnections").pauses:
        made.resume(connection=left.connection, book_id=left.book_id, merchant_id=left.merchant_id)


def after(payer, *payouts):
    """Once others that were made later are through, those before have had every chance."""
    merchant = payer.merchant_in_other_book(payouts[0][0].book_id, deposit=10_000)
    ids = [merchant.pay(500 + i, INSTANT).payout_id for i in range(3)]
    merchant.wait_for(ids, {SETTLED})
    return [merchant.payout(payout_id).state for merchant, payout_id in payouts]


def steps(merchant, payout_id):
    return {entry.step for entry in merchant.timeline(payout_id).entries}


@pytest.mark.parametrize("what", ["merchant", "book"])
def test_a_pause_keeps_payouts_where_they_stand(payer, connections, what):
    merchant = payer.merchant(deposit=10_000)
    scope = {"merchant_id": merchant.id} if what == "merchant" else {"book_id": merchant.book_id}
    assert connections.pause(**scope)
    assert not connections.pause(reason="another", **scope)  # it keeps its first reason
    payout = merchant.pay(1_000, INSTANT)
    after(payer, (merchant, payout.payout_id))
    assert steps(merchant, payout.payout_id) == set()  # not even reserved
    assert connections.resume(**scope)
    assert not connections.resume(**scope)
    merchant.wait_for([payout.payout_id], {SETTLED})


def test_a_paused_connection_says_so_and_the_other_goes_on(payer, connections):
    merchant = payer.merchant(deposit=10_000)
    assert connections.pause(connection="instant", reason="the bank is moving")
    instant = merchant.pay(1_000, INSTANT)
    ach = merchant.pay(1_000, ACH)
    merchant.wait_for([ach.payout_id], {SETTLED})
    assert steps(merchant, instant.payout_id) == set()
    found = connections.list()
    assert found["instant"].state == PAUSED and found["ach"].state == ON
    assert found["instant"].pause.reason == "the bank is moving" and found["instant"].pause.actor.endswith(" for ada")
    assert {line.step: line.count for line in found["instant"].queue} == {"RESERVE": 1}
    left = {line.name: line.left for line in found["ach"].numbers}
    assert 0 <= left["files today"] < 36 and 0 < left["traces of the cycle"] < 9_999_999
    assert found["ach"].last_word_time.seconds > 0  # it has settled something
    connections.resume(connection="instant")
    merchant.wait_for([instant.payout_id], {SETTLED})
    assert connections.list()["instant"].state == ON


def test_what_was_sent_is_heard_and_booked_while_all_is_paused(new_world):
    world = new_world({**FAST, "bank-sim": {"instant.settle_delay_ms": 1_000}})
    payer, connections = Payer(world), Connections(world)
    merchant = payer.merchant(deposit=10_000)
    sent = merchant.pay(1_000, INSTANT)
    merchant.wait_for([sent.payout_id], {5, SETTLED})
    assert connections.pause()
    waits = merchant.pay(1_000, INSTANT)
    merchant.wait_for([sent.payout_id], {SETTLED})
    assert steps(merchant, waits.payout_id) == set()
    connections.resume()
    merchant.wait_for([waits.payout_id], {SETTLED})


def test_EXPLAINED_what_waits_for_a_pause_says_so(payer, connections, tmp_path):
    payctl = Payctl(payer.world, tmp_path)
    merchant, other = payer.merchant(deposit=10_000), payer.merchant(deposit=10_000)
    connections.pause(reason="a strange file", connection="instant", merchant_id=merchant.id)
    waits, free = merchant.pay(1_000, INSTANT).payout_id, other.pay(1_000, INSTANT).payout_id
    by_ach = merchant.pay(1_000, ACH).payout_id
    pause = merchant.timeline(waits).pause
    assert (pause.connection, pause.merchant_id, pause.reason) == ("instant", merchant.id, "a strange file")
    _, out, _ = payctl.run("payout", f"{merchant.id}/{waits}")
    line = next(line for line in out.splitlines() if line.startswith("waits"))
    assert f"instant, merchant {merchant.id}, since " in line and "by ada: a strange file" in line
    assert f"payctl connection instant resume --merchant {merchant.id} --reason TEXT lifts it" in out
    other.wait_for([free], {SETTLED})
    merchant.wait_for([by_ach], {SETTLED})
    assert not other.timeline(free).HasField("pause") and not merchant.timeline(by_ach).HasField("pause")
    # payctl pay says it while it waits, and goes on when the pause ends.
    file = payctl.file([row(merchant.id, unique("r"))])
    with payctl._start(["pay", file], None, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as paying:
        said = [paying.stderr.readline().decode()]
        while "wait until a pause ends" not in said[-1]:
            assert said[-1], said
            said.append(paying.stderr.readline().decode())
        assert "by ada: a strange file" in said[-1] and "payctl connection instant resume" in paying.stderr.readline().decode()
        connections.resume(connection="instant", merchant_id=merchant.id)
        assert paying.wait(60) == DONE
    merchant.wait_for([waits], {SETTLED})
    assert not merchant.timeline(waits).HasField("pause")


def test_SEEN_a_folder_that_is_not_there_at_the_bank(new_world, tmp_path):
    """What can be seen at the bank only stands with the connection, and is gone when it goes well."""
    pace = {"ach.upload_dir": "nowhere", "ach.retry_base_ms": 20, "ach.retry_cap_ms": 200, "ach.gather_ms": 50}
    payer = Payer(new_world({**FAST, "payments-svc": {**FAST["payments-svc"], **pace}}))
    payctl, connections = Payctl(payer.world, tmp_path), Connections(payer.world)
    merchant = payer.merchant(deposit=10_000)
    payout_id = merchant.pay(1_000, ACH).payout_id
    wait_until(lambda: "a file could not be written" in connections.list()["ach"].trouble, "the trouble is told")
    found = connections.list()
    assert found["ach"].trouble_time.seconds > 0 and found["instant"].trouble == "" and not found["instant"].HasField("trouble_time")
    code, out, _ = payctl.run("connections")
    assert code == DONE and "trouble: ach at " in out and "a file could not be written" in out, out
    (payer.world.stack.folder / "bank" / "sftp" / "nowhere").mkdir()
    merchant.wait_for([payout_id], {SETTLED})
    assert connections.list()["ach"].trouble == "" and "trouble" not in payctl.run("connections")[1]


def test_refusals_name_the_field(payer, connections):
    why = {"reason": "r", "person": "ada"}
    assert connections.refused("PauseConnection", connection="wire", **why).code == grpc.StatusCode.NOT_FOUND
    assert connections.refused("PauseConnection", merchant_id="no-such", **why).code == grpc.StatusCode.NOT_FOUND
    assert connections.refused("PauseConnection", book_id=-1, **why).metadata["field"] == "book_id"
    nowhere = connections.refused("PauseConnection", book_id=99, **why)
    assert (nowhere.reason, nowhere.metadata["field"]) == ("BOOK_NOT_FOUND", "book_id"), nowhere
    merchant = payer.merchant()
    other = 1 + merchant.book_id % 4
    assert connections.refused("PauseConnection", merchant_id=merchant.id, book_id=other, **why).reason == "BOOK_OF_ANOTHER_MERCHANT"
    assert list(connections.call("ListConnections").pauses) == []
    assert connections.refused("PauseConnection", person="ada").metadata["field"] == "reason"
    assert connections.refused("ResumeConnection", reason="r").metadata["field"] == "person"
    assert len(connections.call("ListConnections").pauses) == 0


def test_capabilities_are_what_the_rails_say(connections):
    found = {line.connection: line for line in connections.call("GetCapabilities").capabilities}
    assert set(found) == {"ach", "instant"}
    assert list(found["ach"].currencies) == ["USD"] and found["ach"].amount_minor_max == 9_999_999_999
    assert set(found["instant"].currencies) == {"INR", "USD"}
    assert list(found["ach"].instruments) == ["us_bank"] and list(found["instant"].instruments) == ["us_bank", "in_bank"]
    assert found["ach"].description_bytes_max == 10 and found["ach"].finality
    assert (found["ach"].settlement, found["instant"].settlement) == ("report", "answer")


def test_payctl_shows_pauses_and_resumes(connections, payer, tmp_path):
    payctl = Payctl(payer.world, tmp_path)
    code, out, _ = payctl.run("connections")
    assert code == DONE and "ach" in out and "ON" in out
    code, out, _ = payctl.run("connection", "ach", "pause", "--reason", "cut-off was missed", "--person", "ada")
    assert code == DONE and "PAUSED" in out and "paused: ach since" in out and "cut-off was missed" in out
    code, out, _ = payctl.run("connection", "ach", "resume", "--reason", "done", "--person", "ada")
    assert code == DONE and "paused:" not in out
    code, answer, _ = payctl.json("connections")
    assert code == DONE and [found["state"] for found in answer["connections"]] == ["ON", "ON"]
    assert payctl.run("connection", "ach", "pause")[0] == USAGE  # without a reason
    assert payctl.run("connection", "ach", "stop", "--reason", "x")[0] == USAGE
    assert payctl.run("connection", "wire", "pause", "--reason", "x")[0] == SERVICE


def test_SEEN_a_bank_that_does_not_answer_is_found_out_once_and_not_by_each_payout(new_world):
    settings = {**FAST["payments-svc"], "saga.backoff_base_ms": 300, "saga.backoff_cap_ms": 1_000, "deadlines.switched_off_s": 1}
    world = new_world({"payments-svc": settings, "bank-sim": {}})
    payer, connections, cases = Payer(world), Connections(world), Cases(world)
    merchant = payer.merchant(deposit=100_000)
    merchant.recipient()
    world.bank.kill()
    first = [merchant.pay(1_000, INSTANT).payout_id for _ in range(6)]
    wait_until(lambda: connections.list()["instant"].state == DOWN, "the connection is down")
    assert metric(world.payments, "payments_connection_down", connection="instant") == 1
    later = [merchant.pay(1_000, INSTANT).payout_id for _ in range(20)]
    case = wait_until(lambda: cases.list(kind="CONNECTION_DOWN"), "a case of the connection")[0]
    assert (case.book_id, case.subject_type, case.subject_id) == (0, "connection", "instant")
    tried = [payout_id for payout_id in later
             if any(entry.step == "EXECUTE" and entry.kind == "OUTCOME" for entry in merchant.timeline(payout_id).entries)]
    assert len(tried) <= 10, "most of them were left alone"
    assert cases.list(kind="PAYOUT_OVERDUE") == []  # one case for all of them

    world.bank.start()
    merchant.wait_for(first + later, {SETTLED})
    assert connections.list()["instant"].state == ON
    assert metric(world.payments, "payments_connection_down", connection="instant") == 0
    wait_until(lambda: not cases.list(kind="CONNECTION_DOWN"), "the case is closed")
