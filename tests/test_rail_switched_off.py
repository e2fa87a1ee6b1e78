"""A rail that is switched off when a merchant is made, and on later."""

from support.paying import INSTANT, SETTLED, Payer

CLEARING = 200  # the ledger code of clearing accounts


def test_a_merchant_has_the_clearing_accounts_of_rails_that_are_off(new_world):
    """Else each payout would be HELD when the rail comes, as a reservation whose account is missing burns its id."""
    world = new_world({"payments-svc": {"ach.enabled": "false"}})
    payer = Payer(world)
    merchant = payer.merchant(deposit=1000)
    rows = world.ledger_rows(f"SELECT count(*) FROM account WHERE book_id = {merchant.book_id} AND code = {CLEARING}")
    assert rows == [["2"]]
    paid = merchant.pay(100, INSTANT)
    assert merchant.wait_for([paid.payout_id], {SETTLED})
