"""Crash points: every boundary between the receipt of a CreatePayout and its terminal state, listed by a recording run, and
then hit one by one: SIGKILL in payments-svc, SIGKILL in ledger-svc, and an immediate stop of PostgreSQL at that moment.

After each: no payout lost, each paid exactly once by the bank's own record, the books balanced and the transit accounts
empty (support/mix.py, judge). Each point is a test of its own; the recording below runs once, when tests are collected for
running, in the first of them that is run. A point that was listed and is not hit fails.
"""

import pytest
from support import mix
from support.crash import Plan, Reviver, postgres_crasher, record_env, recorded
from support.pairs import named_in
from support.paying import Payer

POINTS_MIN = 20
# Passed only after a crash or a delay (test_submissions.py kills there), when a merchant owes something or a deposit is taken back
# (test_receivable.py), or by a job every few seconds, at once when a service starts.
RARE_POINTS = {"submission.taken_back", "submission.withdrawn", "jobs.taken", "saga.owe.sent", "receivable.repaid",
               "deposit.back.intended", "deposit.back.ledger.done",
               # test_crash_pairs.py
               "saga.takeover.written", "saga.takeover.committed",
               # test_crash_rooms.py
               "payout.cancel.recorded", "case.noted", "case.changed", "connection.braked", "inbox.ordered", "instant.sweep.stored",
               "recovery.marked", "recovery.begun", "recovery.ended",
               # Of commands: test_maintain.py, test_partitions.py
               "maintain.written", "maintain.archived", "maintain.removed", "partitions.bound", "partitions.converted"}

# Points before a payout exists (a merchant, a deposit, a recipient) are passed by every run here, too, and held to the same promises.
LEDGER_POINTS = [point for point in named_in("ledger-svc") if point not in RARE_POINTS]
PAYMENTS_POINTS = [point for point in named_in("payments-svc") if point not in RARE_POINTS]


class House:
    """One world for all points of a kind; only the process that dies is started again."""

    def __init__(self, world, folder):
        self.world, self.folder = world, folder
        self.payer = Payer(world)

    def crash(self, service, plan):
        """Runs the mix with the plan in one service; whoever dies is started again without it."""
        daemon = self.world.daemon(service)
        daemon.kill()  # a stop would wait for the clients' connections, a second each time
        daemon.start(env=plan.env)
        with Reviver(daemon) as reviver:
            mixed = mix.start(self.payer)
            mix.judge(self.payer, mixed)
        assert plan.hit(), f"{plan.point} was listed, and never hit"
        return reviver.deaths


@pytest.fixture(scope="module")
def house(servers, tmp_path_factory):
    """Has a PostgreSQL cluster of its own, because it is stopped."""
    world = servers.world(mix.SETTINGS, own_cluster=True)
    try:
        yield House(world.up(), tmp_path_factory.mktemp("crash"))
        world.stop_and_check()
    finally:
        world.remove()


@pytest.fixture(scope="module")
def listed(house):
    """{service: points} of a run of the mix in which nothing crashes."""
    files = {service: house.folder / f"{service}.points" for service in ("ledger-svc", "payments-svc")}
    for service, path in files.items():
        house.world.daemon(service).stop()
        house.world.daemon(service).start(env=record_env(path))
    mixed = mix.start(house.payer)
    mix.judge(house.payer, mixed)
    for service in files:
        house.world.daemon(service).stop()
        house.world.daemon(service).start()
    return {service: recorded(path) for service, path in files.items()}


def test_the_recording_run_lists_exactly_the_points_of_the_sources(listed):
    """So that the tests below, one for each point that the sources name, are those that a recording lists."""
    assert sorted(listed["ledger-svc"]) == sorted(LEDGER_POINTS)
    assert sorted(set(listed["payments-svc"]) - RARE_POINTS) == sorted(PAYMENTS_POINTS)
    assert len(LEDGER_POINTS) + len(PAYMENTS_POINTS) >= POINTS_MIN


@pytest.mark.parametrize("point", PAYMENTS_POINTS)
def test_NO_LOSS_payments_svc_is_killed_at(house, listed, point):
    assert point in listed["payments-svc"]
    assert house.crash("payments-svc", Plan(house.folder / "payments", point)) == 1


@pytest.mark.parametrize("point", LEDGER_POINTS)
def test_NO_LOSS_ledger_svc_is_killed_at(house, listed, point):
    assert point in listed["ledger-svc"]
    assert house.crash("ledger-svc", Plan(house.folder / "ledger", point)) == 1


@pytest.mark.parametrize("service, point", [("ledger-svc", point) for point in LEDGER_POINTS]
                         + [("payments-svc", point) for point in PAYMENTS_POINTS])
def test_NO_LOSS_postgresql_is_stopped_immediately_at(house, listed, service, point):
    """pg_ctl stop -m immediate while the service stands at the point, then recovery; the services stay up."""
    assert point in listed[service]
    crasher = postgres_crasher(house.world, house.folder)
    plan = Plan(house.folder / "postgres", point, action=f"exec:{crasher}")
    started = "SELECT pg_postmaster_start_time()"
    before = house.world.cluster.psql("postgres", started)
    assert house.crash(service, plan) == 0
    assert house.world.cluster.psql("postgres", started) != before
