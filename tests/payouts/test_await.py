"""AwaitPayout: an answer when a payout has come somewhere, from whichever instance has moved it."""

import functools
import time

import grpc
import pytest
from support import mix, rpc, stubs
from support.crash import Plan, wait_until_killed
from support.metrics import metric
from support.paying import ACH, FAILED, FINAL, INSTANT, SETTLED, Payer
from support.waiting import wait_until

RESERVED, SENT, FINAL_M = 1, 2, 3
REACHED, MISSED, TIMED_OUT = 1, 2, 3
PENDING, PROCESSING, SENT_STATE = 3, 4, 5
OTHER = "payments-svc.2"
CONNECTIONS = "payments/v1/connection_service"
LOOKS, TOLD = "payout_await_looks_total", "payout_awaits_told_total"


@pytest.fixture(scope="module")
def payer(world):
    return Payer(world)


def request(merchant, payout_id, until, timeout_ms=20_000):
    return merchant.payer.pb.AwaitPayoutRequest(merchant_id=merchant.id, payout_id=payout_id, until=until, timeout_ms=timeout_ms)


def wait_for(merchant, payout_id, until, timeout_ms=20_000, timeout=25):
    return merchant.payer.stub("Payout").AwaitPayout(request(merchant, payout_id, until, timeout_ms), timeout=timeout)


def begin(merchant, payout_id, until, timeout_ms=20_000, timeout=25):
    return merchant.payer.stub("Payout").AwaitPayout.future(request(merchant, payout_id, until, timeout_ms), timeout=timeout)


class Paused:
    """The merchant's payouts wait before their reservation. mortal: what is resumed may kill the instance before its answer is out."""

    def __init__(self, merchant, *, mortal=False):
        self.merchant, self.payer, self.mortal = merchant, merchant.payer, mortal
        self.pb = stubs.modules(CONNECTIONS)[0]

    def _call(self, what, patience_s=60):
        """With patience: the service may just have been started again."""
        stub = functools.partial(self.payer.world.stub, CONNECTIONS, "ConnectionService", self.payer.service, self.payer.identity)
        rpc.persist(lambda: getattr(stub(), f"{what}Connection"), getattr(self.pb, f"{what}ConnectionRequest")(
            book_id=self.merchant.book_id, merchant_id=self.merchant.id, reason="test", person="test"), patience_s=patience_s)

    def __enter__(self):
        self._call("Pause")
        return self

    def resume(self):
        try:
            self._call("Resume", patience_s=0 if self.mortal else 60)
        except grpc.RpcError:
            if not self.mortal:
                raise

    def __exit__(self, *_):
        self.resume()


@pytest.mark.parametrize("rail", [INSTANT, ACH])
def test_each_milestone_of_a_payout_that_is_paid(payer, rail):
    merchant = payer.merchant(deposit=1_000_000)
    payout_id = merchant.pay(1_000, rail).payout_id
    answer = wait_for(merchant, payout_id, RESERVED)
    assert answer.outcome == REACHED and answer.payout.state in {PROCESSING, SENT_STATE, SETTLED}
    answer = wait_for(merchant, payout_id, SENT)
    assert answer.outcome == REACHED and answer.payout.state in {SENT_STATE, SETTLED}
    answer = wait_for(merchant, payout_id, FINAL_M)
    assert answer.outcome == REACHED and answer.payout.state == SETTLED
    # A payout has reached every state that it has passed. The answer is the payout as it is now.
    for until in (RESERVED, SENT, FINAL_M):
        again = wait_for(merchant, payout_id, until)
        assert (again.outcome, again.payout) == (REACHED, merchant.payout(payout_id))


def test_what_will_never_be(payer):
    poor = payer.merchant()
    payout_id = poor.pay(1_000).payout_id
    for until in (RESERVED, SENT):
        answer = wait_for(poor, payout_id, until)
        assert (answer.outcome, answer.payout.state, answer.payout.reason) == (MISSED, FAILED, "INSUFFICIENT_FUNDS")
    answer = wait_for(poor, payout_id, FINAL_M)
    assert (answer.outcome, answer.payout.state) == (REACHED, FAILED)


def test_the_time_is_up(payer):
    merchant = payer.merchant(deposit=1_000_000)
    merchant.recipient()
    with Paused(merchant):
        payout_id = merchant.pay(1_000).payout_id
        for until in (RESERVED, SENT, FINAL_M):
            answer = wait_for(merchant, payout_id, until, timeout_ms=300)
            assert (answer.outcome, answer.payout.state) == (TIMED_OUT, PENDING)
        # The deadline of the call ends the wait in time for an answer.
        answer = wait_for(merchant, payout_id, RESERVED, timeout_ms=0, timeout=1.5)
        assert (answer.outcome, answer.payout.state) == (TIMED_OUT, PENDING)
    merchant.wait_for([payout_id])


def test_told_by_the_engine(payer):
    """A wait is answered soon after what it waits for, and where nobody waits nobody looks."""
    merchant = payer.merchant(deposit=1_000_000)
    merchant.recipient()
    before = metric(payer.world.payments, LOOKS)
    merchant.wait_for([merchant.pay(1_000).payout_id])
    assert metric(payer.world.payments, LOOKS) == before
    with Paused(merchant) as pause:
        payout_id = merchant.pay(1_000).payout_id
        waiting = begin(merchant, payout_id, RESERVED)
        wait_until(lambda: metric(payer.world.payments, "payout_awaits") == 1, "the call waits")
        assert not waiting.done()
        told = metric(payer.world.payments, TOLD)
        pause.resume()
        assert waiting.result().outcome == REACHED
        wait_until(lambda: metric(payer.world.payments, TOLD) > told, "the engine has told of its payout")
    assert metric(payer.world.payments, "payout_awaits") == 0
    merchant.wait_for([payout_id])


def test_many_waits_are_one_look(payer):
    """A hundred callers who wait cost a few statements a second, not a hundred."""
    world, merchant = payer.world, payer.merchant(deposit=1_000_000)
    merchant.recipient()
    with Paused(merchant) as pause:
        ids = [result.payout.payout_id for result in merchant.pay_many([merchant.new_payout(100 + i) for i in range(100)])]
        waits = [begin(merchant, payout_id, RESERVED) for payout_id in ids]
        wait_until(lambda: metric(world.payments, "payout_awaits") == 100, "all wait")
        begun, before = time.monotonic(), metric(world.payments, LOOKS)
        wait_until(lambda: time.monotonic() - begun > 2, "two seconds have passed, in which each might have looked")
        looks = metric(world.payments, LOOKS) - before
        assert 1 <= looks <= 5 * (time.monotonic() - begun) + 10, looks
        pause.resume()
        assert {wait.result().outcome for wait in waits} == {REACHED}
    merchant.wait_for(ids)


@pytest.mark.parametrize("change, code, reason", [
    ({"until": 0}, "INVALID_ARGUMENT", "MILESTONE_UNKNOWN"), ({"until": 99}, "INVALID_ARGUMENT", "MILESTONE_UNKNOWN"),
    ({"until": -1}, "INVALID_ARGUMENT", "MILESTONE_UNKNOWN"), ({"timeout_ms": -1}, "INVALID_ARGUMENT", "TIMEOUT_INVALID"),
    ({"timeout_ms": 30_001}, "INVALID_ARGUMENT", "TIMEOUT_INVALID"), ({"payout_id": "x"}, "INVALID_ARGUMENT", "UUID_INVALID"),
    ({"payout_id": "0190b1f0-0000-7000-8000-000000000001"}, "NOT_FOUND", "PAYOUT_NOT_FOUND"),
    ({"merchant_id": "nobody"}, "NOT_FOUND", "MERCHANT_NOT_FOUND"),
])
def test_refused(payer, change, code, reason):
    merchant = payer.merchant()
    wanted = request(merchant, "0190b1f0-0000-7000-8000-000000000002", RESERVED)
    for name, value in change.items():
        setattr(wanted, name, value)
    refusal = merchant.refused("AwaitPayout", wanted)
    assert (refusal.code.name, refusal.reason) == (code, reason)


def test_a_payout_of_another_merchant_is_none(payer):
    merchant, stranger = payer.merchant(deposit=1_000), payer.merchant()
    payout_id = merchant.pay(100).payout_id
    refusal = stranger.refused("AwaitPayout", request(stranger, payout_id, RESERVED))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "PAYOUT_NOT_FOUND")
    merchant.wait_for([payout_id])


def test_canceled_while_it_is_waited_for(payer):
    merchant = payer.merchant(deposit=1_000_000)
    merchant.recipient()
    with Paused(merchant):
        payout_id = merchant.pay(1_000).payout_id
        waiting = begin(merchant, payout_id, SENT)
        wait_until(lambda: metric(payer.world.payments, "payout_awaits") == 1, "the call waits")
        payer.call("Payout", "CancelPayout", payer.pb.CancelPayoutRequest(merchant_id=merchant.id, payout_id=payout_id))
        assert waiting.result().outcome == MISSED


def test_limits_and_callers_who_go(new_world):
    world = new_world({"payments-svc": {"await.client_max": 3, "await.max": 4}})
    payer = Payer(world)
    merchant = payer.merchant(deposit=1_000_000)
    merchant.recipient()
    with Paused(merchant):
        payout_id = merchant.pay(1_000).payout_id
        waits = [begin(merchant, payout_id, RESERVED) for _ in range(3)]
        wait_until(lambda: metric(world.payments, "payout_awaits") == 3, "they wait")
        refusal = merchant.refused("AwaitPayout", request(merchant, payout_id, RESERVED))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_AWAITS")
        assert refusal.retry_after_s and "this client" in refusal.message
        # Another client has its own share, and all together have one.
        other = Payer(world, identity="payctl").stub("Payout")
        waits.append(other.AwaitPayout.future(request(merchant, payout_id, RESERVED), timeout=25))
        wait_until(lambda: metric(world.payments, "payout_awaits") == 4, "it waits")
        refusal = rpc.refused(other.AwaitPayout, request(merchant, payout_id, RESERVED))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_AWAITS")
        assert refusal.retry_after_s and "the service" in refusal.message
        waits.pop(0).cancel()
        wait_until(lambda: metric(world.payments, "payout_awaits") == 3, "whoever goes leaves its place")
        waits.append(begin(merchant, payout_id, RESERVED))
        wait_until(lambda: metric(world.payments, "payout_awaits") == 4, "which another one takes")
    assert {wait.result().outcome for wait in waits} == {REACHED}
    merchant.wait_for([payout_id])


def test_a_stop_does_not_wait_for_them(new_world):
    world = new_world()
    merchant = Payer(world).merchant(deposit=1_000_000)
    merchant.recipient()
    with Paused(merchant):
        payout_id = merchant.pay(1_000).payout_id
        waiting = begin(merchant, payout_id, RESERVED)
        wait_until(lambda: metric(world.payments, "payout_awaits") == 1, "it waits")
        begun = time.monotonic()
        world.payments.stop()
        assert time.monotonic() - begun < 15, "the wait would have gone on for twenty seconds"
        with pytest.raises(grpc.RpcError) as failed:
            waiting.result()
        assert rpc.failure(failed.value).reason == "SHUTTING_DOWN"
        # After a restart the same call goes on waiting.
        world.payments.start()
        merchant.payout(payout_id)  # with patience: until the channel has seen that its old connection is gone
        waiting = merchant.payer.stub("Payout").AwaitPayout.future(request(merchant, payout_id, RESERVED), timeout=25,
                                                                    wait_for_ready=True)
        wait_until(lambda: metric(world.payments, "payout_awaits") == 1 or waiting.done(), "it waits again")
        assert not waiting.done(), waiting.exception()
    assert waiting.result().outcome == REACHED
    merchant.wait_for([payout_id])


# --- two instances -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(servers):
    """The second instance claims nothing by itself for as long as a test takes, unless it is told of a payout."""
    world = servers.world(mix.SETTINGS)
    try:
        world.up()
        world.stack.add_instance("payments-svc", OTHER, {"instant.webhook_port": 0})
        yield world
        world.stop_and_check()
    finally:
        world.remove()


def test_moved_by_the_other_instance(pair):
    """The second instance hears of nothing, and looks."""
    world = pair
    lazy = {"PAYMENTS_SAGA_POLL_MS": "60000", "PAYMENTS_SAGA_IDLE_POLL_MS": "60000"}
    world.daemon(OTHER).start(env=lazy)
    merchant = Payer(world).merchant(deposit=1_000_000)
    merchant.recipient()
    there = Payer(world, OTHER)
    for until in (RESERVED, SENT, FINAL_M):
        with Paused(merchant) as pause:
            payout_id = merchant.pay(1_000).payout_id
            waiting = there.stub("Payout").AwaitPayout.future(request(merchant, payout_id, until), timeout=25)
            wait_until(lambda: metric(world.daemon(OTHER), "payout_awaits") == 1, "it waits at the second instance")
            pause.resume()
            assert waiting.result().outcome == REACHED
        merchant.wait_for([payout_id])
    assert metric(world.daemon(OTHER), "saga_claimed_total") == 0, "the second instance has moved something"
    assert metric(world.daemon(OTHER), TOLD) == 0
    world.daemon(OTHER).stop()


@pytest.mark.parametrize("point", ["saga.reserve.acked", "saga.claim.committed", "saga.outcome.committed"])
def test_the_instance_that_moves_it_is_killed(pair, tmp_path, point):
    """The wait at the second instance is answered when that one has taken the payout over; the one at the first breaks off, and the
    same call is answered by the second."""
    world = pair
    merchant = Payer(world).merchant(deposit=1_000_000)
    merchant.recipient()
    world.payments.kill()
    plan = Plan(tmp_path, point)
    world.payments.start(env=plan.env)
    with Paused(merchant, mortal=True):
        payout_id = merchant.pay(1_000).payout_id
        here = begin(merchant, payout_id, FINAL_M)
        wait_until(lambda: metric(world.payments, "payout_awaits") == 1, "it waits at the first instance")
    wait_until_killed(world.payments, plan, "the first instance is dead")
    with pytest.raises(grpc.RpcError) as failed:
        here.result()
    assert failed.value.code() == grpc.StatusCode.UNAVAILABLE
    world.daemon(OTHER).start()
    there = Payer(world, OTHER)
    merchant.payer = there
    answer = there.call("Payout", "AwaitPayout", request(merchant, payout_id, FINAL_M), timeout=25)
    assert (answer.outcome, answer.payout.state) == (REACHED, SETTLED)
    world.daemon(OTHER).stop()
    world.payments.start()
    # The bank told a dead instance that it has paid, and tells the new one again. The next test's crash must not come from that.
    wait_until(lambda: world.payments_rows("SELECT (SELECT count(*) FROM saga WHERE events = 0 OR events > events_seen), "
                                           "(SELECT count(*) FROM saga_lease)") == [["0", "0"]], "the bank's word is heard")


# --- payctl ------------------------------------------------------------------------------------------------------------


def test_payctl_await(payer, tmp_path):
    from support.payctl import DONE, NOT_SETTLED, SERVICE, USAGE, Payctl
    payctl = Payctl(payer.world, tmp_path)
    merchant, poor = payer.merchant(deposit=1_000_000), payer.merchant()
    name = f"{merchant.id}/{merchant.pay(1_000).payout_id}"
    code, out, _ = payctl.run("await", name, "--until", "sent", "--timeout", "20s")
    assert code == DONE and name in out, out
    code, answer, _ = payctl.json("await", name)
    assert (code, answer["outcome"], answer["payout"]["state"]) == (DONE, "REACHED", "SETTLED")
    failing = f"{poor.id}/{poor.pay(1_000).payout_id}"
    code, out, _ = payctl.run("await", failing, "--until", "reserved")
    assert code == NOT_SETTLED and "it will not be RESERVED" in out
    code, answer, _ = payctl.json("await", failing)
    assert (code, answer["outcome"], answer["payout"]["state"]) == (NOT_SETTLED, "REACHED", "FAILED")
    with Paused(merchant):
        waiting = f"{merchant.id}/{merchant.pay(1_000).payout_id}"
        code, out, _ = payctl.run("await", waiting, "--until", "reserved", "--timeout", "300ms")
        assert code == NOT_SETTLED and "the time is up" in out
    for words in (["await"], ["await", "x"], ["await", name, "--until", "soon"], ["await", name, "--timeout", "5h"],
                  ["await", name, "--timeout", "-1s"], ["await", name, "--timeout", "0s"]):
        assert payctl.run(*words)[0] == USAGE, words
    assert payctl.run("await", f"{merchant.id}/0190b1f0-0000-7000-8000-000000000001")[0] == SERVICE
    merchant.wait_for([payout.payout_id for payout in merchant.payouts()], FINAL)
