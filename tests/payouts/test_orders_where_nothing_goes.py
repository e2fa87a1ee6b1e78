"""Orders of people where no worker comes by: in a pause, and of a connection that is switched off."""

import pytest
from support.paying import ACH, paying
from support.waiting import wait_until

from test_case_orders import ACH_FAST, SETTINGS
from test_connections import Connections
from test_deposits import restart_with

CANCELED = 9
LATE = {**SETTINGS, "payments-svc": {**SETTINGS["payments-svc"], "books.count": 1, "ach.windows": "23:59"}}


@pytest.fixture
def payer(servers):
    """Payouts by file wait, with their money reserved."""
    yield from paying(servers, LATE)


def waiting(payer):
    merchant = payer.merchant(deposit=10_000)
    payout = merchant.pay(1_000, ACH)
    wait_until(lambda: merchant.balance() == (9_000, 1_000, 10_000), "it is reserved, and waits")
    return merchant, payout


def cancel(payer, merchant, payout):
    payer.call("Payout", "CancelPayout", payer.pb.CancelPayoutRequest(
        merchant_id=merchant.id, payout_id=payout.payout_id, reason="not wanted", person="ann"))


def assert_free(merchant, payout, state):
    merchant.wait_for([payout.payout_id], {state})
    assert merchant.balance() == (10_000, 0, 10_000)


def test_a_cancel_is_carried_out_in_a_pause(payer):
    merchant, payout = waiting(payer)
    assert Connections(payer.world).pause()
    cancel(payer, merchant, payout)
    assert_free(merchant, payout, CANCELED)
    new = merchant.pay(500, ACH)
    cancel(payer, merchant, new)
    assert_free(merchant, new, CANCELED)
    assert Connections(payer.world).resume()


def test_a_payout_of_a_connection_that_is_switched_off_can_be_canceled(payer):
    merchant, payout = waiting(payer)
    restart_with(payer.world, ach__enabled="false")
    cancel(payer, merchant, payout)
    assert_free(merchant, payout, CANCELED)
    restart_with(payer.world, ach__enabled="true")


@pytest.fixture
def quick(servers):
    """Payouts by file go into one at once."""
    yield from paying(servers, {**SETTINGS, "payments-svc": {**ACH_FAST, **SETTINGS["payments-svc"]}})


def test_a_payout_in_a_file_of_a_connection_that_is_switched_off_can_be_canceled(quick):
    quick.world.bank.stop()
    merchant, payout = waiting(quick)
    prepared = ("SELECT s.state FROM submission s JOIN submission_item i USING (book_id, submission_id) "
                f"WHERE i.payout_id = '{payout.payout_id}'")
    wait_until(lambda: quick.world.payments_rows(prepared) == [["1"]], "it is in a file that has not left")
    restart_with(quick.world, ach__enabled="false")
    cancel(quick, merchant, payout)
    assert_free(merchant, payout, CANCELED)
    assert quick.world.payments_rows(prepared) == [["7"]], "its file does not leave any more"
    quick.world.bank.start()
    restart_with(quick.world, ach__enabled="true")
