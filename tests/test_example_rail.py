"""The shape of the house: a rail and a control that the product has not, each a folder and a line of a test build (tests/examples)."""

from __future__ import annotations

import grpc
import pytest

from support import world as worlds
from support.paying import HELD, SETTLED, Payer
from support.waiting import wait_until

UNWANTED, ODD = 66600, 1300  # of example_control
EXAMPLE = 99  # the rail's number


@pytest.fixture
def payer(servers, test_folder, monkeypatch):
    """A world whose payments-svc is the test build."""
    build = test_folder / "examples"
    (build / "bin").mkdir(parents=True)
    for program in (worlds.BUILD / "bin").iterdir():
        (build / "bin" / program.name).symlink_to(
            program.with_name("payments-svc-examples") if program.name == "payments-svc" else program)
    (build / "proto").symlink_to(worlds.BUILD / "proto")
    monkeypatch.setattr(worlds, "BUILD", build)
    monkeypatch.setattr(worlds.stubs, "install", lambda _: None)  # they are the same
    world = servers.world({"payments-svc": {"example.enabled": "true", "example.file": build / "paid.txt"}})
    try:
        yield Payer(world.up())
        world.stop_and_check(of_the_bank=False)  # which is not the example's bank
    finally:
        world.remove()


def test_an_example_rail_and_an_example_control(payer):
    file = payer.world.stack.build / "paid.txt"
    merchant = payer.merchant(deposit=200_000)

    paid = merchant.pay(2_500, 0, connection="example")
    request = merchant.request(1_200, 0, connection="example")
    twice = [payer.call("Payout", "CreatePayout", request).payout.payout_id for _ in range(2)]
    assert twice[0] == twice[1]
    for payout_id in (paid.payout_id, twice[0]):
        final = merchant.wait_for([payout_id])[payout_id]
        assert (final.state, final.connection, final.rail) == (SETTLED, "example", EXAMPLE)
    lines = [line.split() for line in file.read_text(encoding="ascii").splitlines()]
    assert sorted((amount, currency) for _, amount, currency in lines) == [("1200", "USD"), ("2500", "USD")]
    assert len({key for key, _, _ in lines}) == 2
    assert merchant.balance()[0] == 200_000 - 3_700

    # The call is refused where the control refuses; what it holds is accepted, and waits for a person at the gate.
    with pytest.raises(grpc.RpcError) as refused:
        payer.stub("Payout").CreatePayout(merchant.request(UNWANTED, 0, connection="example"), timeout=10)
    assert (refused.value.code(), "this amount is not paid" in refused.value.details()) == (grpc.StatusCode.FAILED_PRECONDITION, True)
    held = merchant.pay(ODD, 0, connection="example")
    wait_until(lambda: merchant.payout(held.payout_id).state == HELD, "the control holds it")
    assert merchant.payout(held.payout_id).reason == "EXAMPLE_HELD"
    assert [(entry.step, entry.control, entry.reason) for entry in merchant.timeline(held.payout_id).entries if entry.control] == [
        ("GATE", "example", "EXAMPLE_HELD")]
    assert merchant.balance()[0] == 200_000 - 3_700  # nothing was reserved
