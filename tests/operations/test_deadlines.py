"""A call's deadline holds down to the database: what nobody waits for any more does not go on there, either."""

import threading
from contextlib import contextmanager

import grpc
import pytest
from run import RunError
from support.paying import Payer
from support.waiting import wait_until

DEADLINE_S = 1
# Far more than DEADLINE_S and the second that the answer of a statement may be late; far less than the intake's own 15 s.
ENDED_WITHIN_S = 5


@pytest.fixture(scope="module")
def merchant(world):
    made = Payer(world).merchant(deposit=1_000_000)
    made.recipient()
    return made


@contextmanager
def locked(world, table):
    """Nobody else gets at the table; yields a function that counts the statements that wait for it."""
    cluster, database = world.cluster, world.stack.databases[1]
    holder = f"SELECT pid FROM pg_locks WHERE relation = '{table}'::regclass AND mode = 'AccessExclusiveLock' AND granted"

    def hold():
        try:
            cluster.psql(database, f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(120);")
        except RunError:
            pass  # cancelled, as below

    def waiting(like):
        return int(cluster.psql(database, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                                          f"wait_event_type = 'Lock' AND query LIKE '{like}'"))

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        wait_until(lambda: cluster.psql(database, holder), f"{table} is locked")
        yield waiting
        assert cluster.psql(database, holder), "the lock was gone before its time: this has shown nothing"
    finally:
        cluster.psql(database, f"SELECT pg_cancel_backend(pid) FROM ({holder}) AS held")
        thread.join()


@pytest.mark.parametrize("method, statement", [("CreatePayout", "%FROM payout %"), ("GetPayout", "%FROM payout%")])
def test_a_statement_ends_with_the_call_that_waits_for_it(world, merchant, method, statement):
    known = merchant.pay(100)
    merchant.wait_for([known.payout_id])
    request = merchant.request(100) if method == "CreatePayout" else merchant.payer.pb.GetPayoutRequest(
        merchant_id=merchant.id, payout_id=known.payout_id)
    call = getattr(merchant.payer.stub("Payout"), method)
    with locked(world, "payout") as waiting:
        pending = call.future(request, timeout=DEADLINE_S)
        wait_until(lambda: waiting(statement), f"{method} waits for the table", timeout_s=DEADLINE_S)
        assert pending.exception().code() == grpc.StatusCode.DEADLINE_EXCEEDED
        wait_until(lambda: waiting(statement) == 0, f"the statement of {method} has ended", timeout_s=ENDED_WITHIN_S)
    # Nothing is left of it: the same request is as good as new.
    answer = merchant.payer.call("Payout", method, request)
    merchant.wait_for([answer.payout.payout_id])
