"""NO-DOUBLE when payments' database has forgotten: it is put back to an older state, as by a restore or by the promotion of a
standby that had not got the last commits, and the client repeats what was acknowledged."""

import pytest
from support import mix, rpc, stubs
from support.metrics import metric
from support.paying import (ACH, FAILED, HELD, INSTANT, SETTLED, Payer, assert_bank_agrees,
                            assert_books_at_rest, assert_ledger_equals_bank, of_bank)
from support.payctl import Payctl
from support.waiting import wait_until

from test_case_orders import case_of, goes_on_to
from test_cases import OPEN, Cases
from test_connections import Connections

CANCELED = 9
RESERVE, PENDING = 10, 2  # the ledger's code and flag of reservations


class Older:
    """The payments database as it is now, to be put back later."""

    def __init__(self, world):
        self.world, self.name = world, world.stack.databases[1]
        self.copy = f"{self.name}_older"
        world.payments.stop()
        world.cluster.copy_database(self.name, self.copy)
        world.payments.start()

    def put_back(self, changed: str = ""):
        """changed: what the row of the database's timeline says then, as after a restore into another place."""
        self.world.payments.stop()
        self.world.cluster.drop_database(self.name)
        self.world.cluster.copy_database(self.copy, self.name)
        if changed:
            self.world.payments_rows(f"UPDATE timeline SET {changed} RETURNING 1")
        self.world.payments.start()


class Recovery:
    def __init__(self, world):
        self.world = world

    def now(self):
        request = stubs.modules("payments/v1/connection_service")[0].GetRecoveryRequest()
        return rpc.persist(
            lambda: self.world.stub("payments/v1/connection_service", "ConnectionService", "payments-svc").GetRecovery, request)

    def wait(self):
        """Until one was begun and has ended."""
        wait_until(lambda: self.world.payments_rows("SELECT recovery_id <> '' AND recovering_since IS NULL FROM timeline") == [["t"]],
                   "the recovery is over", 60)
        wait_until(lambda: not self.now().under_way and metric(self.world.payments, "engine_stopped", reason="recovery") == 0,
                   "payouts are sent again", 30)


FILES = {"payments-svc": {**mix.SETTINGS["payments-svc"], "books.count": 1}}


@pytest.fixture
def payer(new_world):
    return Payer(new_world())


def reservations(merchant):
    (row,) = merchant.payer.world.ledger_rows(
        f"SELECT count(*) FROM transfer WHERE book_id = {merchant.book_id} AND code = {RESERVE} AND flags & {PENDING} <> 0")
    return int(row[0])


def test_NO_DOUBLE_a_repeat_after_the_database_forgot_meets_the_same_payment(payer):
    merchant = payer.merchant(deposit=100_000)
    merchant.recipient()
    older = Older(payer.world)
    # The bank refuses the last one.
    requests = [merchant.request(amount, INSTANT) for amount in (1500, 1500, 2801)]
    forgotten = [payer.call("Payout", "CreatePayout", request).payout for request in requests]
    first = merchant.wait_for([payout.payout_id for payout in forgotten])
    balance = merchant.balance()
    older.put_back()
    assert merchant.payouts() == []
    again = [payer.call("Payout", "CreatePayout", request).payout for request in requests]
    final = list(merchant.wait_for([payout.payout_id for payout in again]).values())
    assert sorted(payout.state for payout in final) == sorted(payout.state for payout in first.values()) == [
        SETTLED, SETTLED, FAILED]
    rows = payer.bank.payments()
    for payout in final:
        assert len(of_bank(rows, payout)) == 1, "the bank saw more than one submission"
    assert_bank_agrees(payer, final)
    assert [payout.intent_id for payout in again] == [payout.intent_id for payout in forgotten]
    assert reservations(merchant) == len(requests)
    assert merchant.balance() == balance
    assert_books_at_rest(payer, [merchant.book_id])
    assert_ledger_equals_bank(payer)


def test_NO_DOUBLE_another_amount_under_a_forgotten_key_is_never_paid(payer):
    """The ledger still knows what the key stood for, so the other content cannot be reserved under it."""
    merchant = payer.merchant(deposit=100_000)
    merchant.recipient()
    older = Older(payer.world)
    request = merchant.request(1500, INSTANT)
    merchant.wait_for([payer.call("Payout", "CreatePayout", request).payout.payout_id])
    older.put_back()
    request.payout.amount_minor = 1600
    other = payer.call("Payout", "CreatePayout", request).payout
    merchant.wait_for([other.payout_id], {HELD})
    payer.world.people.other_amounts.add(other.payout_id)
    assert len(payer.bank.payments()) == 1
    assert merchant.balance() == (98_500, 0, 98_500)


def cancel(merchant, payout):
    payer = merchant.payer
    return payer.call("Payout", "CancelPayout", payer.pb.CancelPayoutRequest(merchant_id=merchant.id, payout_id=payout.payout_id))


def cancel_by_a_case(merchant, payout):
    """Orders as a person whose case says that the payout is overdue."""
    cases = Cases(merchant.payer.world)
    cases.resolve(cases.insert(book_id=merchant.book_id, kind="PAYOUT_OVERDUE", subject_type="payout", subject_id=payout.payout_id,
                               merchant_id=merchant.id), "CANCEL")


@pytest.mark.parametrize("cancel", [cancel, cancel_by_a_case])
def test_NO_DOUBLE_what_a_restored_database_knows_as_untouched_is_asked_for_before_it_is_canceled(payer, cancel):
    """One of two payouts was paid after the copy was made. The restored database knows of no payment for either."""
    merchant, connections = payer.merchant(deposit=100_000), Connections(payer.world)
    merchant.recipient()
    connections.pause(connection="instant")
    paid = merchant.pay(1_500, INSTANT)
    older = Older(payer.world)
    connections.resume(connection="instant")
    merchant.wait_for([paid.payout_id])
    connections.pause(connection="instant")
    older.put_back("timeline_id = timeline_id + 1")
    untouched = merchant.pay(1_600, INSTANT)
    Recovery(payer.world).wait()
    for payout in (paid, untouched):
        cancel(merchant, payout)
    connections.resume(connection="instant")
    assert merchant.wait_for([paid.payout_id])[paid.payout_id].state == SETTLED
    assert merchant.wait_for([untouched.payout_id], {CANCELED}, 30)
    assert_bank_agrees(payer, merchant.payouts())
    assert_books_at_rest(payer, [merchant.book_id])
    assert_ledger_equals_bank(payer)
    assert merchant.balance() == (98_500, 0, 98_500)


def test_NO_DOUBLE_what_a_forgotten_file_has_is_not_canceled(new_world):
    payer = Payer(new_world(FILES))
    merchant, connections = payer.merchant(deposit=100_000), Connections(payer.world)
    merchant.recipient()
    connections.pause(connection="ach")
    paid = merchant.pay(1_500, ACH)
    older = Older(payer.world)
    connections.resume(connection="ach")
    merchant.wait_for([paid.payout_id], {SETTLED})
    older.put_back("timeline_id = timeline_id + 1")
    Recovery(payer.world).wait()
    request = payer.pb.CancelPayoutRequest(merchant_id=merchant.id, payout_id=paid.payout_id)
    assert "file that was forgotten" in merchant.refused("CancelPayout", request).message
    assert merchant.payout(paid.payout_id).state < SETTLED


def forget_files(new_world, settings, changed, between=lambda world: None):
    """(payer, merchant, requests, payouts) of a database that has forgotten two payouts that a bank has in a file, or in two."""
    payer = Payer(new_world(settings))
    merchant = payer.merchant(deposit=100_000)
    merchant.recipient()
    older = Older(payer.world)
    requests = [merchant.request(amount, ACH) for amount in (1500, 1600)]
    paid = [payer.call("Payout", "CreatePayout", request).payout for request in requests]
    merchant.wait_for([payout.payout_id for payout in paid], {SETTLED})
    between(payer.world)
    older.put_back(changed)
    return payer, merchant, requests, paid


@pytest.mark.parametrize("changed", ["timeline_id = timeline_id + 1", "system_id = system_id + 1"], ids=["timeline", "system"])
def test_NO_DOUBLE_a_repeat_after_the_database_forgot_a_file_is_met_by_the_bank_s_folders(new_world, changed):
    payer, merchant, requests, paid = forget_files(new_world, FILES, changed)
    world, recovery, cases = payer.world, Recovery(payer.world), Cases(payer.world)
    recovery.wait()
    files = len(payer.bank.get("/admin/files"))
    assert world.payments_rows("SELECT count(*) FROM payment_case WHERE kind = 'FORGOTTEN_FILE' AND state = 1") == [[str(files)]]
    assert world.payments_rows("SELECT files, shown FROM recovery_listing") == [[str(files), "2"]]
    assert world.payments_rows("SELECT count(*) FROM pause") == [["0"]]
    again = [payer.call("Payout", "CreatePayout", request).payout for request in requests]
    assert [payout.intent_id for payout in again] == [payout.intent_id for payout in paid]
    merchant.wait_for([payout.payout_id for payout in again], {HELD})
    # Letting it go on from where it is held is no proof that it was not paid; and what is new is paid as ever.
    new = merchant.pay(1_700, ACH)
    cases.resolve(case_of(cases, merchant, again[0].payout_id), "RELEASE")
    merchant.wait_for([new.payout_id], {SETTLED}, 60)
    wait_until(lambda: world.payments_rows(
        f"SELECT count(*) FROM step_log WHERE payout_id = '{again[0].payout_id}' AND reason = 'FORGOTTEN_ENTRY'") != [["1"]],
        "it was looked at once more", 30)
    merchant.wait_for([again[0].payout_id], {HELD})
    for payout in again:
        cases.resolve(case_of(cases, merchant, payout.payout_id, states=[OPEN]), "MARK_PAID", evidence="the bank's archive shows it")
        goes_on_to(SETTLED, merchant, payout.payout_id)
    assert all(line["times_credited"] == 1 for line in payer.bank.payments()), payer.bank.payments()
    assert sorted(line["amount"] for line in payer.bank.payments()) == [1500, 1600, 1700]
    assert_books_at_rest(payer, [merchant.book_id])
    assert_ledger_equals_bank(payer)
    assert merchant.balance() == (100_000 - 4_800, 0, 100_000 - 4_800)


def test_a_bank_that_shows_nothing_leaves_the_connection_paused_for_a_person(new_world):
    settings = {"payments-svc": {**FILES["payments-svc"], "ach.archive_dir": "no-such-folder"}}
    payer, merchant, requests, _ = forget_files(new_world, settings, "timeline_id = timeline_id + 1")
    world = payer.world
    Recovery(world).wait()
    assert world.payments_rows("SELECT shown FROM recovery_listing") == [["1"]]
    ((connection, reason),) = world.payments_rows("SELECT connection, reason FROM pause")
    assert connection == str(ACH) and reason.startswith("recovery: ")
    assert world.payments_rows("SELECT code FROM payment_case WHERE kind = 'RECOVERY' AND state = 1") == [["FILES_MAY_BE_UNKNOWN"]]
    instant = merchant.pay(1_100, INSTANT)
    merchant.wait_for([instant.payout_id], {SETTLED})
    again, _ = [payer.call("Payout", "CreatePayout", request).payout for request in requests]
    assert merchant.payout(again.payout_id).state < SETTLED
    assert len(payer.bank.get("/admin/files")) <= 2, "nothing was sent by ACH"


def test_what_the_bank_had_said_is_heard_again_after_it_was_forgotten(new_world):
    """A return that was read and put away before the database forgot it."""
    payer = Payer(new_world(FILES))
    merchant = payer.merchant(deposit=100_000)
    payer.bank.post("/admin/habits", {**payer.bank.get("/admin/habits"), "settle_days": 1})
    payout = merchant.pay(4_901, ACH)
    wait_until(lambda: merchant.payout(payout.payout_id).state == 5, "it is sent", 30)
    wait_until(lambda: payer.world.payments_rows("SELECT state FROM submission") == [["4"]], "the bank has it", 30)
    older = Older(payer.world)
    payer.bank.post("/admin/flush")
    merchant.wait_for([payout.payout_id], {7, 8})
    older.put_back("timeline_id = timeline_id + 1")
    Recovery(payer.world).wait()
    merchant.wait_for([payout.payout_id], {7, 8})
    assert_books_at_rest(payer, [merchant.book_id])


def test_a_database_that_went_back_without_a_new_timeline_is_noticed(new_world, tmp_path):
    state_file = tmp_path / "guard.state"
    payer = Payer(new_world({"payments-svc": {"recovery.state_file": str(state_file)}}))
    world = payer.world
    wait_until(state_file.exists, "the state is written", 30)
    world.payments.stop()
    system_id, timeline, log_at = state_file.read_text().split()
    # As far as it was, and not farther: nothing was forgotten.
    world.payments.start()
    wait_until(lambda: metric(world.payments, "engine_stopped", reason="recovery") == 0, "it sends", 30)
    assert world.payments_rows("SELECT recovery_id FROM timeline") == [[""]]
    world.payments.stop()
    state_file.write_text(f"{system_id} {timeline} {int(log_at) + 10**12}\n")
    world.payments.start()
    recovery = Recovery(world)
    recovery.wait()
    found = recovery.now()
    assert (found.why, found.ended_by, len(found.recovery_id)) == ("the database went back", "", 8)
    assert found.ended_time.seconds > 0
    # The loss is told once: the next start is an ordinary one.
    before = found.recovery_id
    world.payments.stop()
    world.payments.start()
    wait_until(lambda: metric(world.payments, "engine_stopped", reason="recovery") == 0, "it sends", 30)
    assert recovery.now().recovery_id == before


def test_payctl_shows_a_recovery(new_world, tmp_path):
    world = new_world({"payments-svc": {"ach.enabled": "false"}})
    world.payments.stop()
    world.payments_rows("UPDATE timeline SET timeline_id = timeline_id + 1 RETURNING 1")
    world.payments.start()
    Recovery(world).wait()
    code, shown, _ = Payctl(world, tmp_path).run("recovery")
    assert code == 0
    (recovery_id,) = world.payments_rows("SELECT recovery_id FROM timeline")[0]
    assert f"the last one, {recovery_id} (the database is on a new timeline), ended 20" in shown
