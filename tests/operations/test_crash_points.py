"""Crash points: every boundary between the receipt of a CreatePayout and its terminal state, listed by a recording run, and
then hit one by one: SIGKILL in payments-svc, SIGKILL in ledger-svc, and an immediate stop of PostgreSQL at that moment.

After each: no payout lost, each paid exactly once by the bank's own record, the books balanced and the transit accounts
empty (support/mix.py, judge). Each point is a test of its own; the recording below runs once, when tests are collected for
running, in the first of them that is run. A point that was listed and is not hit fails.
"""

import pytest
from run import RunError
from support import mix
from support.crash import Plan, Reviver, postgres_crasher, record_env, recorded
from support.pairs import named_in
from support.paying import Payer
from support.waiting import wait_until
from support.worlds import Worlds

POINTS_MIN = 20
HIT_S = 60
# Passed only after a crash or a delay (test_submissions.py kills there), when a merchant owes something or a deposit is taken back
# (test_receivable.py), or by a job every few seconds, at once when a service starts.
RARE_POINTS = {"submission.settled", "ach.recovery.listed",
               "submission.taken_back", "submission.withdrawn", "jobs.taken", "saga.owe.sent", "receivable.repaid",
               "deposit.back.intended", "deposit.back.ledger.done",
               # test_crash_pairs.py
               "saga.takeover.written", "saga.takeover.committed",
               # test_crash_rooms.py
               "payout.cancel.recorded", "case.noted", "case.changed", "connection.braked", "merchant.changed", "inbox.ordered",
               "instant.sweep.stored", "recovery.marked", "recovery.begun", "recovery.ended",
               # test_imports.py: payouts come in by calls here
               "import.checked", "import.claimed", "import.judged", "import.part.written", "import.payouts.taken", "import.recipients.entered",
               "import.results.copied", "import.results.written",
               # test_keys.py
               "keys.batch.resealed", "keys.batch.committed",
               # Of commands: test_maintain.py, test_partitions.py
               "maintain.written", "maintain.archived", "maintain.removed", "partitions.bound", "partitions.converted"}

# Points before a payout exists (a merchant, a deposit, a recipient) are passed by every run here, too, and held to the same promises.
LEDGER_POINTS = [point for point in named_in("ledger-svc") if point not in RARE_POINTS]
PAYMENTS_POINTS = [point for point in named_in("payments-svc") if point not in RARE_POINTS]


# What goes by ACH costs a fee, so half of the chains have a leg more.
SETTINGS = {**mix.SETTINGS, "payments-svc": {**mix.SETTINGS["payments-svc"], "ach.fees": "USD 0.07"}}


class House:
    """One world for all points of a kind; only the process that dies is started again."""

    def __init__(self, world, folder):
        self.world, self.folder = world, folder
        self.payer = Payer(world)

    def crash(self, service, plan, *, back=None):
        """Runs the mix with the plan in one service; whoever dies is started again without it. The judgement reads the database, so it
        comes when the crash has: a point may be passed when all payouts are at their ends. `back`: a file that is there afterwards."""
        daemon = self.world.daemon(service)
        daemon.kill()  # a stop would wait for the clients' connections, a second each time
        daemon.start(env=plan.env, wait=False)  # what the mix before has left may pass the point before the service is ready
        with Reviver(daemon) as reviver:
            wait_until(lambda: is_ready(daemon), "the service is ready, or is so again", HIT_S)
            mixed = mix.start(self.payer)
            wait_until(plan.hit, f"{plan.point} was listed, and is hit", HIT_S)
            wait_until(lambda: back is None or back.exists(), "the database is back", HIT_S)
            mix.judge(self.payer, mixed)
        return reviver.deaths


def is_ready(daemon):
    try:
        return daemon.ready()["pid"] == daemon.pid
    except RunError:
        return False


def record(house):
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


def kill(house, service, point):
    """How often the service died."""
    return house.crash(service, Plan(house.folder / "kill", point))


def stop_postgresql(house, service, point):
    """How often the service died, and whether it was another start of PostgreSQL afterwards."""
    crasher = postgres_crasher(house.world, house.folder)
    plan = Plan(house.folder / "postgres", point, action=f"exec:{crasher}")
    back = house.folder / "back"
    back.unlink(missing_ok=True)
    started = "SELECT pg_postmaster_start_time()"
    before = house.world.cluster.psql("postgres", started)
    deaths = house.crash(service, plan, back=back)
    return deaths, house.world.cluster.psql("postgres", started) != before


@pytest.fixture(scope="module")
def running(servers, tmp_path_factory, request):
    """{test: what will come of it}, and of the recording. They run in two worlds; each has a cluster of its own, because it is stopped."""
    folder = tmp_path_factory.mktemp("crash")

    def build(make):
        world = make(SETTINGS, own_cluster=True)
        mine = folder / world.stack.folder.name
        mine.mkdir()
        return House(world.up(), mine)

    worlds = Worlds(servers, build)
    try:
        told = {"recording": worlds.submit(record)}
        for item in request.session.items:
            if item.module is request.module and "point" in getattr(item, "fixturenames", ()):
                how = stop_postgresql if item.originalname == STOPPED else kill
                told[item.nodeid] = worlds.submit(how, item.callspec.params["service"], item.callspec.params["point"])
        yield told
    finally:
        worlds.close()


@pytest.fixture
def listed(running):
    return running["recording"].result()


def test_the_recording_run_lists_exactly_the_points_of_the_sources(listed):
    """So that the tests below, one for each point that the sources name, are those that a recording lists."""
    assert sorted(listed["ledger-svc"]) == sorted(LEDGER_POINTS)
    assert sorted(set(listed["payments-svc"]) - RARE_POINTS) == sorted(PAYMENTS_POINTS)
    assert len(LEDGER_POINTS) + len(PAYMENTS_POINTS) >= POINTS_MIN


@pytest.mark.parametrize("service", ["payments-svc"])
@pytest.mark.parametrize("point", PAYMENTS_POINTS)
def test_NO_LOSS_payments_svc_is_killed_at(running, listed, service, point, request):
    assert point in listed[service]
    assert running[request.node.nodeid].result() == 1


@pytest.mark.parametrize("service", ["ledger-svc"])
@pytest.mark.parametrize("point", LEDGER_POINTS)
def test_NO_LOSS_ledger_svc_is_killed_at(running, listed, service, point, request):
    assert point in listed[service]
    assert running[request.node.nodeid].result() == 1


@pytest.mark.parametrize("service, point", [("ledger-svc", point) for point in LEDGER_POINTS]
                         + [("payments-svc", point) for point in PAYMENTS_POINTS])
def test_NO_LOSS_postgresql_is_stopped_immediately_at(running, listed, service, point, request):
    """pg_ctl stop -m immediate while the service stands at the point, then recovery; the services stay up."""
    assert point in listed[service]
    assert running[request.node.nodeid].result() == (0, True)


STOPPED = test_NO_LOSS_postgresql_is_stopped_immediately_at.__name__
