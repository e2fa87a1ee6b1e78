"""Connections apart by what they are for: readers that hold all of theirs starve no claim, no renewal and no webhook (FENCED)."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from run import keys
from run.cluster import ADMIN, BIN, PORT
from run.layout import clean_environment
from support import mix, stubs
from support.metrics import metric
from support.paying import INSTANT, SETTLED, Payer, assert_bank_agrees
from support.waiting import wait_until

SLOW = 805  # the last digits of an amount for which the bank takes its time
READERS = 20  # more than the pool for reads has connections, and as many as there are workers for calls, less a few


@contextmanager
def locked(world, table):
    """Nobody can read the table meanwhile."""
    env = {**clean_environment(), "PGPASSFILE": str(keys.password_file(world.cluster.secrets, ADMIN))}
    argv = [str(BIN / "psql"), "-X", "-q", "-A", "-t", "-h", str(world.cluster.socket), "-p", PORT, "-U", ADMIN,
            "-d", world.stack.databases[1], "-w"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as psql:
        try:
            psql.stdin.write(f"BEGIN;\nLOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;\nSELECT 'held';\n")
            psql.stdin.flush()
            assert psql.stdout.readline().strip() == "held"
            yield
        finally:
            psql.kill()


def test_who_reads_merchants_keeps_no_payout_out(new_world):
    """Nobody can read what connections a merchant has chosen, and many wait to: its payouts are accepted, as was last known."""
    world = new_world({"payments-svc": {**mix.SETTINGS["payments-svc"], "server.workers": 24}, "bank-sim": mix.SETTINGS["bank-sim"]})
    payer = Payer(world)
    merchant = payer.merchant(deposit=mix.DEPOSIT)
    merchant.recipient()
    merchant.pay(1_000, INSTANT)
    messages, services = stubs.modules("payments/v1/merchant_service")

    def read(_):
        try:
            services.MerchantServiceStub(world.channel("payments-svc")).GetMerchant(
                messages.GetMerchantRequest(merchant_id=merchant.id), timeout=25)
        except Exception:  # whether and how it ends is not the question
            pass

    def paid_unread():
        merchant.pay(1_000, INSTANT)
        return any("merchant.defaults.not_read" in line for line in world.payments.log_file.read_text().splitlines())

    with ThreadPoolExecutor(READERS) as pool, locked(world, "merchant_connection"):
        reading = [pool.submit(read, n) for n in range(READERS)]
        wait_until(lambda: metric(world.payments, "db_pool_in_use", pool="payments-svc") > 0, "they wait")
        wait_until(paid_unread, "paid, although it could not be read", 20)
        assert not all(one.done() for one in reading), "they must have waited all the time"


def test_FENCED_slow_readers_starve_no_renewal(new_world):
    """The bank answers one payment after the other, for longer than a lease: it is kept while every connection for reading waits."""
    settings = {"payments-svc": {**mix.SETTINGS["payments-svc"], "saga.lease_ms": 2_000, "instant.timeout_ms": 1_000,
                                 "instant.connections": 1,
                                 "saga.resolve_after_ms": 30_000, "server.workers": 24, "db.pool_size": 4},
                "bank-sim": {**mix.SETTINGS["bank-sim"], "faults.slow_ms": 700}}
    world = new_world(settings)
    payer = Payer(world)
    merchant = payer.merchant(deposit=mix.DEPOSIT)
    merchant.recipient()
    messages, services = stubs.modules("payments/v1/case_service")

    def read(_):
        try:
            services.CaseServiceStub(world.channel("payments-svc")).ListCases(messages.ListCasesRequest(), timeout=25)
        except Exception:  # whether and how it ends is not the question
            pass

    with ThreadPoolExecutor(READERS) as pool:
        with locked(world, "payment_case"):
            reading = [pool.submit(read, n) for n in range(READERS)]
            wait_until(lambda: metric(world.payments, "db_pool_in_use", pool="payments-svc") == 4, "all of them wait")
            paid = merchant.pay_many([merchant.new_payout(1_000 * n + SLOW, INSTANT) for n in range(1, 5)])
            ids = [result.payout.payout_id for result in paid]
            rows = "SELECT count(*) FROM saga WHERE state = 6 AND payout_id IN ('" + "','".join(ids) + "')"
            wait_until(lambda: world.payments_rows(rows) == [["4"]], "paid, while nobody can read", 40)
            assert not any(one.done() for one in reading[:4]), "they must have waited all the time"
            assert metric(world.payments, "saga_lease_lost_total") == 0
    payouts = merchant.wait_for(ids, {SETTLED})
    assert_bank_agrees(payer, list(payouts.values()))
    assert world.payments_rows("SELECT count(*) FROM step_log WHERE step = 3") == [["0"]], "nothing was resolved"
