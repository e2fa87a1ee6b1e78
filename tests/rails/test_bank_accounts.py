"""TIED-OUT: each connection pays from the bank account that its settings name, and the proof knows them all, also one that was renamed."""

import pytest
from support import stubs
from support.ledger import Ledger
from support.paying import ACH, INSTANT, SETTLED, Payer, assert_bank_agrees, assert_books_at_rest
from support.payctl import Payctl
from test_deposits import restart_with

BANK = 300  # code of ledger accounts
FAST = {"payments-svc": {"saga.poll_ms": 25, "ach.gather_ms": 40, "ach.poll_ms": 40, "ach.send_poll_ms": 25, "books.count": 1}}


@pytest.fixture
def payer(new_world):
    """The only book, so that a code is enough to find an account."""
    return Payer(new_world({**FAST, "payments-svc": {**FAST["payments-svc"], "instant.bank_account": "payroll"}}))


def banks(payer, tmp_path):
    """{label: minor units that are posted} as the proof has it; what differs is nothing."""
    _, answer, err = Payctl(payer.world, tmp_path).json("report")
    assert answer["agree"] and answer["differences"] == [], err
    return {line["bank_account"]: line["found_posted_minor"] for line in answer["accounts"] if line["kind"] == "BANK"}


def pays(merchant, rail, amount):
    payout = merchant.pay(amount, rail)
    merchant.wait_for([payout.payout_id], {SETTLED})


def test_TIED_OUT_each_connection_has_its_bank_account(payer, tmp_path):
    merchant = payer.merchant(deposit=10_000)
    pays(merchant, INSTANT, 1_000)
    pays(merchant, ACH, 2_000)
    assert banks(payer, tmp_path) == {"main": 2_000 - 10_000, "payroll": 1_000}
    capabilities = payer.world.stub("payments/v1/connection_service", "ConnectionService", "payments-svc").GetCapabilities(
        stubs.modules("payments/v1/connection_service")[0].GetCapabilitiesRequest(), timeout=10).capabilities
    assert {one.connection: one.bank_account for one in capabilities} == {"ach": "main", "instant": "payroll"}
    # Another label is another account; what was paid from the old one stays there, and is proven all the same.
    restart_with(payer.world, instant__bank_account="ops-2")
    pays(merchant, INSTANT, 500)
    assert banks(payer, tmp_path) == {"main": 2_000 - 10_000, "": 1_000, "ops-2": 500}
    assert len(Ledger(payer.world, merchant.book_id).world.ledger_rows(
        f"SELECT 1 FROM account WHERE book_id = {merchant.book_id} AND code = {BANK} AND currency = 'USD'")) == 3
    assert_bank_agrees(payer, merchant.payouts())
    assert_books_at_rest(payer, [merchant.book_id])


def test_a_label_that_cannot_be_is_refused_at_the_start(payer):
    with pytest.raises(Exception, match="bank_account"):
        restart_with(payer.world, instant__bank_account="Not A Label")
    restart_with(payer.world, instant__bank_account="main")
