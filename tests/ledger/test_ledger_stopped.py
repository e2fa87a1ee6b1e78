"""A ledger-svc that stands still (SIGSTOP: a paused container, a suspended machine) while it has a book's lock. Others of that
database go on with the book after a while, and what it was about to write, it does not write when it is continued, unless anew."""

import threading

import pytest
from support import ledger_only, rpc
from support.crash import Plan, stopped
from support.ledger import Ledger
from support.waiting import wait_until

# The lock is given up after so long, instead of 30 s.
IDLE_MS = 2000
SETTINGS = {"ledger-svc": {"journal.commit_timeout_ms": 5000, "db.conninfo":
                           "service=ledger_service application_name=ledger-svc "
                           f"options='-c idle_in_transaction_session_timeout={IDLE_MS}'"}}
ROWS = 100  # by COPY
# Between two statements, in the middle of one, and between them again.
POINTS = ["journal.locked", "journal.applied", "journal.copying", "journal.copied"]


@pytest.fixture(scope="module")
def two(servers):
    world = servers.world(SETTINGS)
    try:
        ledger_only.start(world, instances=2)
        yield world
        world.stop_and_check()
    finally:
        world.remove()


@pytest.mark.parametrize("point", POINTS)
def test_FENCED_a_stopped_ledger_gives_its_book_up(two, point, tmp_path):
    world, first = two, two.ledger
    plan = Plan(tmp_path, point, action="stop")
    ledger = Ledger(world, 31 + POINTS.index(point)).create()
    a, b = ledger.account(), ledger.account()
    ledger.await_checkpoint()  # so that what comes to the point is what is asked below
    first.kill()
    first.start(env={**first.env, **plan.env}, timeout_s=60)
    stubs = [world.stub("ledger/v1/ledger", "LedgerService", name) for name in ledger_only.names(2)]

    def request():
        return ledger.pb.CreateTransfersRequest(book_id=ledger.book_id,
                                                transfers=[ledger.transfer(a, b, 1) for _ in range(ROWS)])

    def statuses(answer):
        return {ledger.status(result.status) for result in answer.results}

    asked, told = request(), []
    caller = threading.Thread(target=lambda: told.append(rpc.persist(lambda: stubs[0].CreateTransfers, asked, timeout=120)),
                              daemon=True)
    caller.start()
    wait_until(lambda: plan.hit() and stopped(first), f"the first one stands at {point}")

    # A caller of the second instance is told to try again while the lock is taken, and need not try for long.
    other = request()
    answer = rpc.persist(lambda: stubs[1].CreateTransfers, other, timeout=60)
    assert statuses(answer) <= {"CREATED", "EXISTS"}  # EXISTS: the answer to a try before came too late
    assert stopped(first) and not told

    # Continued, it finds its transaction gone, and does what it was asked anew: once.
    first.resume()
    caller.join(60)
    assert told and statuses(told[0]) == {"CREATED"}
    assert {event.id for event in asked.transfers} | {event.id for event in other.transfers} == {
        row.id for row in ledger.journal()}
    assert [row.sequence for row in ledger.journal()] == list(range(1, 2 * ROWS + 1))
    assert ledger.balances(a) == (0, 2 * ROWS, 0, 0)
    ledger.assert_balanced()
    ledger.await_checkpoint()
