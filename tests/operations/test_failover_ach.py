"""The database fails over while an ACH file is between us and the bank: prepared, uploaded, acknowledged. To a standby that has everything,
and to one that has forgotten all since that moment. The file goes out once and every payout is paid once (NO-DOUBLE, NO-LOSS)."""

import pytest
from support import mix
from support.crash import PlanFile, stopped
from support.metrics import metric
from support.paying import ACH, SETTLED, Payer
from support.waiting import wait_until
from test_cases import Cases
from test_connections import Connections
from test_failover import assert_recovered, fail_over, judge, pay_again, replicated

SENT, ACKED = 5, "4"
# Settlements wait for the test: what the bank says after the failover is said to the database that is there then.
SETTINGS = {**mix.SETTINGS, "payments-svc": {**mix.SETTINGS["payments-svc"], "books.count": 4, "ach.case_after": 2,
                                                "ach.list_lag_ms": 2000},
            "bank-sim": {**mix.SETTINGS["bank-sim"], "ach.settle_delay_ms": 86_400_000}}
N = 4


class Place:
    """A primary with a standby, four payouts in files, and a service that can be stopped at a point."""

    def __init__(self, new_world, folder, *, synchronous, archive_complete=True):
        """archive_complete: the bank has promised to show for ever what it took."""
        settings = {**SETTINGS, "payments-svc": {**SETTINGS["payments-svc"], "ach.archive_complete": str(archive_complete).lower()}}
        self.world, self.primary, self.standby = replicated(new_world, settings)
        if synchronous:
            self.primary.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'standby';\nSELECT pg_reload_conf();\n")
            wait_until(lambda: self.primary.rows("postgres", "SELECT sync_state FROM pg_stat_replication") == [["sync"]],
                       "the standby is synchronous")
        self.plan = PlanFile(folder / "plan")
        self.world.payments.env.update(self.plan.env)
        self.world.payments.kill()
        self.world.payments.start()
        self.payer = Payer(self.world)
        self.merchant = self.payer.merchant(deposit=mix.DEPOSIT, prefix="ach")
        self.merchant.recipient()
        self.requests = [self.merchant.request(1_000 + n, ACH) for n in range(N)]
        self.earlier = [self.merchant.request(2_000, ACH)] if archive_complete else []
        for request in self.earlier:  # what the archive shows of it is what makes absence count
            self.payer.call("Payout", "CreatePayout", request)
            wait_until(lambda: self.world.payments_rows("SELECT count(*) FROM submission WHERE state = " + ACKED) == [["1"]],
                       "the bank has a first file")

    def pay_until(self, point):
        """The service stands still at the point."""
        connections = Connections(self.world)
        connections.pause(connection="ach")
        for request in self.requests:
            self.payer.call("Payout", "CreatePayout", request)
        self.plan.arm(point, "stop")
        connections.resume(connection="ach")  # all of them go into one file
        wait_until(lambda: self.plan.hit() and stopped(self.world.payments), f"the service stands at {point}")

    def files(self):
        return [line for line in self.payer.bank.get("/admin/files") if line["status"] == "accepted"]

    def end(self):
        """All payouts again, by the same keys; then the bank's days pass, and everything is judged."""
        requests = self.earlier + self.requests
        for request in requests:
            self.payer.call("Payout", "CreatePayout", request)
        wait_until(lambda: len(self.merchant.payouts()) == len(requests) and all(payout.state == SENT for payout in self.merchant.payouts()),
                   "all are with the bank", 90)
        assert_recovered(self.world, "the database is on a new timeline", sending=False)
        for _ in range(2):
            self.payer.bank.post("/admin/flush")
        payouts = pay_again(self.payer, self.merchant, requests)
        assert len(payouts) == len(requests) and {payout.state for payout in payouts} == {SETTLED}
        judge(self.world, self.payer, self.merchant, payouts)
        files = self.files()
        assert len({line["file"] for line in files}) == len(files)
        assert not [line for line in self.payer.bank.get("/admin/files") if line["status"] != "accepted"], "the bank refused a copy"


@pytest.mark.parametrize("point, restarted", [
    ("ach.file.prepared", True), ("submission.claimed", False), ("ach.upload.written", True), ("ach.upload.fenced", False),
    ("ach.upload.renamed", True), ("submission.finished", False), ("submission.acknowledged", True)])
def test_NO_LOSS_a_synchronous_standby_takes_over_at(new_world, tmp_path, point, restarted):
    """The service stands at the point while its database fails over; it goes on there, or was killed there."""
    place = Place(new_world, tmp_path, synchronous=True)
    place.pay_until(point)
    if restarted:
        place.world.payments.kill()
    fail_over(place.world, place.primary, place.standby, restarted=False)
    if restarted:
        place.world.payments.start()
    else:
        place.world.payments.resume()
    place.end()


def test_UNKNOWN_IS_A_STATE_of_a_file_that_may_have_been_sent_before_the_failover(new_world, tmp_path):
    """The bank owes nobody an archive, so that it does not show a file says nothing: a person asks the bank, and the payouts go on."""
    place = Place(new_world, tmp_path, synchronous=True, archive_complete=False)
    place.pay_until("submission.claimed")
    fail_over(place.world, place.primary, place.standby, restarted=False)
    place.world.payments.resume()
    cases = Cases(place.world)
    wait_until(lambda: cases.list(kind="SUBMISSION_UNKNOWN"), "a person is asked", 60)
    assert place.files() == []
    for case in cases.list(kind="SUBMISSION_UNKNOWN"):
        cases.resolve(case, "BANK_HAS_IT_NOT", evidence="the bank's operator has looked for it")
    place.end()
    assert {payout.attempts for payout in place.merchant.payouts()} == {2}


@pytest.mark.parametrize("point", ["submission.claimed", "ach.upload.fenced", "submission.finished", "submission.acknowledged"])
def test_NO_DOUBLE_an_asynchronous_standby_has_forgotten_all_since(new_world, tmp_path, point):
    """The standby knows everything up to the point. The bank takes the file and acknowledges it; then the standby is promoted."""
    place = Place(new_world, tmp_path, synchronous=False)
    place.pay_until(point)
    wait_until(place.primary.caught_up, "the standby has all until here")
    place.standby.stop()
    place.world.payments.resume()
    known = "SELECT count(*) FROM submission_item i JOIN submission s USING (book_id, submission_id) WHERE s.state = " + ACKED
    wait_until(lambda: place.world.payments_rows(known) == [[str(N + len(place.earlier))]], "the bank has acknowledged them all")
    assert metric(place.world.payments, "engine_stopped", reason="recovery") == 0
    fail_over(place.world, place.primary, place.standby, restarted=False)
    place.end()
