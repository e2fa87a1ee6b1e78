"""Wall clocks that are wrong: two instances whose clocks are apart, and a clock that is stepped while payouts are under way.
Nothing stands, and nothing is paid twice (NO-DOUBLE, NO-LOSS, FENCED)."""

import pytest
from support import mix, stubs
from support.clocks import HOUR, SECOND, YEAR, Clock
from support.metrics import metric
from support.paying import INSTANT, SETTLED, Payer, assert_bank_agrees, assert_books_at_rest
from support.waiting import wait_until
from run.errors import RunError

OTHER = "payments-svc.2"
SLOW = 805  # the last digits of an amount for which the bank takes its time
DAY = 24 * HOUR


def serving(world, service="payments-svc"):
    """The health service's word about the engine."""
    messages, services = stubs.modules("grpc/health/v1/health")
    answer = services.HealthStub(world.channel(service)).Check(
        messages.HealthCheckRequest(service="payments.engine"), timeout=5)
    return answer.status == messages.HealthCheckResponse.SERVING


def with_clock(world, name="clock"):
    """The clock of payments-svc, and the world up."""
    clock = Clock(world.stack.folder.parent / f"{world.stack.folder.name}.{name}")
    world.payments.env.update(clock.env)
    return clock


def asked(world, merchant):
    """How many of the merchant's payouts were taken for lost, and so resolved at the bank."""
    rows = world.payments_rows("SELECT count(*) FROM step_log l JOIN payout p USING (book_id, payout_id) "
                               f"WHERE p.merchant_id = '{merchant.id}' AND l.step = 3")
    return int(rows[0][0])


@pytest.mark.parametrize("who_is_behind", ["payments-svc", OTHER])
def test_FENCED_clocks_eleven_seconds_apart_take_nothing_away(new_world, who_is_behind):
    """A lease is ten seconds; the bank answers after three. Whoever looks at the other's leases must not find them over."""
    ours = {**mix.SETTINGS["payments-svc"], "saga.lease_ms": 10_000, "instant.timeout_ms": 5_000,
            "saga.resolve_after_ms": 30_000}
    world = new_world({"payments-svc": ours, "bank-sim": {**mix.SETTINGS["bank-sim"], "faults.slow_ms": 3_000}}, up=False)
    with_clock(world).shift((-11 if who_is_behind == "payments-svc" else 11) * SECOND)  # the other one has the real time
    world.up()
    world.stack.add_instance("payments-svc", OTHER, {})
    world.daemon(OTHER).start()
    payers = [Payer(world), Payer(world, OTHER)]
    merchants = [payer.merchant(deposit=mix.DEPOSIT, prefix="apart") for payer in payers]
    for merchant in merchants:
        merchant.pay_many([merchant.new_payout(1_000 * n + SLOW, INSTANT) for n in range(1, 6)])
    for merchant in merchants:
        payouts = merchant.wait_for([payout.payout_id for payout in merchant.payouts()], {SETTLED})
        assert_bank_agrees(payers[0], list(payouts.values()))
        assert asked(world, merchant) == 0, "what was being submitted was resolved by somebody else"
    for service in ("payments-svc", OTHER):
        assert metric(world.daemon(service), "saga_lease_lost_total") == 0
        assert "saga.lease_taken_over" not in world.daemon(service).log_file.read_text(encoding="utf-8")
    assert_books_at_rest(payers[0], [merchant.book_id for merchant in merchants])


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
def test_NO_LOSS_a_clock_stepped_by_an_hour_is_not_noticed(new_world, step):
    world = new_world(mix.SETTINGS, up=False)
    clock = with_clock(world)
    payer = Payer(world.up())
    before = mix.start(payer)
    clock.step(step)
    after = mix.start(payer)
    mix.judge(payer, before)
    mix.judge(payer, after)
    assert metric(world.payments, "saga_lease_lost_total") == 0
    assert abs(metric(world.payments, "clock_ahead_of_database_seconds") - step / SECOND) < 5
    assert serving(world)
    clock.step(-step)
    back = mix.start(payer)
    mix.judge(payer, back)


@pytest.mark.parametrize("step", [YEAR, -YEAR], ids=["forward", "back"])
def test_NO_LOSS_a_clock_stepped_by_a_year_stops_the_engine_until_it_is_right(new_world, step):
    world = new_world(mix.SETTINGS, up=False)
    clock = with_clock(world)
    payer = Payer(world.up())
    before = mix.start(payer)
    clock.step(step)
    wait_until(lambda: metric(world.payments, "engine_stopped", reason="clock") == 1, "the engine has stopped")
    wait_until(lambda: world.payments_rows("SELECT count(*) FROM saga_lease") == [["0"]], "what was under way has ended")
    assert not serving(world)
    assert abs(metric(world.payments, "clock_ahead_of_database_seconds") - step / SECOND) < 5
    assert "guard.clock_jump" in world.payments.log_file.read_text(encoding="utf-8")

    # Payouts are taken in, and stand; they carry the right time all the same.
    taken_in = mix.start(payer)
    claimed = metric(world.payments, "saga_claimed_total")
    standing = world.payments_rows(
        "SELECT count(*) FILTER (WHERE s.log_seq > 0), max(abs(extract(epoch FROM s.due_at - now()))) < 600 FROM saga s "
        f"JOIN payout p USING (book_id, payout_id) WHERE p.merchant_id = '{taken_in.merchant.id}'")
    assert standing == [["0", "t"]]
    assert metric(world.payments, "saga_claimed_total") == claimed

    clock.step(-step)
    mix.judge(payer, before)
    mix.judge(payer, taken_in)
    assert serving(world)
    assert metric(world.payments, "engine_stopped", reason="clock") == 0


@pytest.mark.parametrize("shift", [2 * DAY, -YEAR], ids=["two_days_ahead", "a_year_behind"])
def test_a_machine_whose_clock_is_a_day_away_does_not_start(new_world, shift):
    world = new_world(up=False)
    clock = with_clock(world)
    world.up()
    world.payments.stop()
    clock.shift(shift)
    with pytest.raises(RunError, match="CLOCK_JUMP"):
        world.payments.start()
    clock.shift(0)
    world.payments.start()
    assert serving(world)
