"""NO-LOSS and NO-DOUBLE where payouts of themselves do not pass: what a person orders, a recovery of the database, and what is asked
again. At each of these points the service is killed, stopped for longer than its leases, and loses its database; the caller repeats
what it asked for, with the same key.
"""

import pytest
from run import RunError
from support import mix, pairs, stubs
from support.crash import PlanFile, Reviver, postgres_crasher, stopped
from support.paying import (ACH, INSTANT, SETTLED, Payer, assert_bank_agrees, assert_books_at_rest, assert_ledger_equals_bank)
from support.rpc import persist
from support.waiting import wait_until
from test_case_orders import goes_on_to, orders, unreadable
from test_cases import RESOLVED, Cases
from test_connections import Connections
from test_crash_points import RARE_POINTS
from test_holds import CANCELED, cancel

# For each point: by what it is passed, a function below.
POINTS = {"payout.cancel.recorded": "cancels", "case.noted": "orders", "case.changed": "orders", "connection.braked": "brakes",
          "merchant.changed": "changes",
          "inbox.ordered": "applies_again", "instant.sweep.stored": "asks_again", "recovery.marked": "recovers",
          "recovery.begun": "recovers", "recovery.ended": "recovers"}
SETTINGS = {**pairs.SETTINGS, "payments-svc": {**pairs.SETTINGS["payments-svc"], "instant.sweep_ms": 50, "instant.ask_again_ms": 500,
                                                "ach.list_lag_ms": 2000,
                                                "ach.archive_complete": "true"}}  # a recovery has its answer of what was never sent


class House:
    """A world whose payments-svc has a plan file; what a test has paid, it judges."""

    def __init__(self, world, folder):
        self.world, self.folder = world, folder
        self.payer = Payer(world)
        self.plan = PlanFile(folder / "plan")
        self.crasher = postgres_crasher(world, folder)
        world.payments.env.update(self.plan.env)
        world.payments.kill()
        world.payments.start()
        self.paid = []

    def merchant(self):
        made = self.payer.merchant(deposit=mix.DEPOSIT, prefix="room")
        made.recipient()
        self.paid.append((made, mix.DEPOSIT))
        return made

    def judge(self):
        """Every payout of this test is at its end, as the bank says."""
        paid, self.paid = self.paid, []
        for merchant, deposit in paid:
            assert_bank_agrees(self.payer, merchant.payouts())
            gone = sum(payout.amount_minor for payout in merchant.payouts() if payout.state == SETTLED)
            assert merchant.balance() == (deposit - gone, 0, deposit - gone)
        books = [merchant.book_id for merchant, _ in paid]
        assert_books_at_rest(self.payer, books)
        assert_ledger_equals_bank(self.payer)
        for book_id in set(books):
            pairs.assert_proven(self.world, book_id)

    def rows(self, sql):
        """The database may be away at this moment."""
        def look():
            try:
                return [self.world.payments_rows(sql)]
            except RunError:
                return None
        return wait_until(look, "the database answers")[0]


@pytest.fixture(scope="module")
def house(servers, tmp_path_factory):
    world = servers.world(SETTINGS, own_cluster=True)
    try:
        made = House(world.up(), tmp_path_factory.mktemp("rooms"))
        settle(made.merchant(), ACH)  # what the archive shows of it is what makes absence count
        yield made
        world.stop_and_check()
    finally:
        world.remove()


def settle(merchant, *rails):
    ids = [merchant.pay(1_000, rail).payout_id for rail in rails]
    return list(merchant.wait_for(ids, {SETTLED}).values())


# What passes the points: each arms the plan when all is ready for it, and says what must be so in the end. ----------------------


def cancels(house, arm):
    merchant, connections = house.merchant(), Connections(house.world)
    connections.pause(merchant_id=merchant.id)
    payout = merchant.pay(1_000, INSTANT)
    arm()
    cancel(house.payer, merchant, payout.payout_id, reason="asked for")
    connections.resume(merchant_id=merchant.id)
    goes_on_to(CANCELED, merchant, payout.payout_id)
    assert len(orders(merchant, payout.payout_id)) == 1


def orders_of_a_case(house, arm):
    cases = Cases(house.world)
    merchant, payout_id, case, repair = unreadable(house.payer, cases)
    house.paid.append((merchant, 10_000))
    repair()
    arm()
    for _ in range(2):
        assert cases.resolve(case, "RELEASE", key=f"release-{payout_id}").case.state == RESOLVED
    goes_on_to(SETTLED, merchant, payout_id)
    assert len(orders(merchant, payout_id)) == 1


def brakes(house, arm):
    merchant, connections = house.merchant(), Connections(house.world)
    arm()
    connections.pause(merchant_id=merchant.id)
    payout = merchant.pay(1_000, ACH)
    assert not connections.pause(merchant_id=merchant.id), "it is paused once"
    assert [pause.merchant_id for pause in connections.call("ListConnections").pauses] == [merchant.id]
    assert connections.resume(merchant_id=merchant.id)
    merchant.wait_for([payout.payout_id], {SETTLED})


def changes(house, arm):
    merchant, pb = house.merchant(), house.payer.merchants_pb
    request = pb.UpdateMerchantRequest(merchant_id=merchant.id, default_connections=["instant"], person="ada")
    arm()
    for _ in range(2):
        assert list(house.payer.call("Merchant", "UpdateMerchant", request).merchant.default_connections) == ["instant"]
    rows = f"SELECT change FROM merchant_connection WHERE merchant_id = '{merchant.id}'"
    assert house.rows(rows) == [["1"]], "it is changed once"
    settle(merchant, INSTANT)


def applies_again(house, arm):
    merchant = house.merchant()
    payout, = settle(merchant, ACH)
    item, = house.rows("SELECT i.book_id, i.inbox_id FROM inbox i WHERE i.kind = 1 AND i.state = 2 ORDER BY i.inbox_id DESC LIMIT 1")
    events = f"SELECT count(*) FROM rail_event WHERE payout_id = '{payout.payout_id}'"
    before = house.rows(events)
    pb = stubs.modules("payments/v1/inbox_service")[0]
    arm()
    persist(lambda: house.world.stub("payments/v1/inbox_service", "InboxService", "payments-svc").ApplyInbox,
            pb.ApplyInboxRequest(book_id=int(item[0]), inbox_id=item[1], person="ada"))
    assert house.rows(events) == before, "what was counted is not counted again"


def asks_again(house, arm):
    arm()
    settle(house.merchant(), INSTANT, INSTANT)
    wait_until(house.plan.hit, "settled payouts are asked for again")


def recovers(house, arm):
    """As if the database were on another timeline than it was."""
    merchant = house.merchant()
    arm()
    ids = [merchant.pay(1_000 + n, rail).payout_id for n, rail in enumerate((ACH, ACH, INSTANT, INSTANT))]
    since = house.rows("UPDATE timeline SET timeline_id = timeline_id + 7 RETURNING seen_at")[0][0]
    wait_until(lambda: house.rows(f"SELECT recovering_since IS NULL AND seen_at > '{since}' FROM timeline") == [["t"]],
               "the recovery has ended", 60)
    merchant.wait_for(ids, {SETTLED})


PASSED_BY = {"cancels": cancels, "orders": orders_of_a_case, "brakes": brakes, "changes": changes, "applies_again": applies_again, "asks_again": asks_again,
             "recovers": recovers}


def test_each_rare_point_of_an_order_is_here():
    """So that a new one is not forgotten."""
    rooms = ("payout.", "case.", "merchant.", "connection.", "inbox.ordered", "recovery.", "instant.sweep")
    assert {point for point in RARE_POINTS if point.startswith(rooms)} == set(POINTS)


@pytest.mark.parametrize("way", ["kill", "stop", "postgres"])
@pytest.mark.parametrize("point", POINTS)
def test_NO_LOSS_ended_in_three_ways_at(house, point, way):
    daemon = house.world.payments
    action = f"exec:{house.crasher}" if way == "postgres" else way
    back = house.folder / "back"
    back.unlink(missing_ok=True)
    with Reviver(daemon) as reviver:
        if way == "stop":
            reviver.continue_after(pairs.LEASES_S)
        PASSED_BY[POINTS[point]](house, lambda: house.plan.arm(point, action))
        assert house.plan.hit(), f"{point} was never hit"
        wait_until(lambda: not stopped(daemon) if daemon.alive() else way == "kill", "it goes on")
        wait_until(daemon.ready_file.exists, "it is ready")
        wait_until(lambda: way != "postgres" or back.exists(), "the database is back")
        house.judge()
    assert reviver.deaths == (1 if way == "kill" else 0)
    assert reviver.stops == (1 if way == "stop" else 0)
