"""A rail that is switched off when a merchant is made, and on later; and accounts that are made on first use."""

from support.paying import INSTANT, SETTLED, Merchant, Payer

TRANSIT = 200  # the ledger code of transit accounts


def test_a_merchant_has_the_transit_accounts_of_rails_that_are_off(new_world):
    """Else each payout would be HELD when the rail comes, as a reservation whose account is missing burns its id."""
    world = new_world({"payments-svc": {"ach.enabled": "false"}})
    payer = Payer(world)
    merchant = payer.merchant(deposit=1000)
    rows = world.ledger_rows(f"SELECT count(*) FROM account WHERE book_id = {merchant.book_id} AND code = {TRANSIT}")
    assert rows == [["2"]]
    paid = merchant.pay(100, INSTANT)
    assert merchant.wait_for([paid.payout_id], {SETTLED})


def test_a_merchant_without_ledger_accounts_gets_them_on_first_use(new_world):
    """As one that is older than a connection or a currency: its first deposit and its first payout make what they need."""
    world = new_world()
    payer = Payer(world)
    made = payer.merchant()
    name, book_id = "m-of-old", 1000 + made.book_id  # a book that the ledger does not know either
    world.payments_rows(f"INSERT INTO merchant_book VALUES ('{name}', {book_id}); "
                        f"INSERT INTO merchant VALUES ({book_id}, '{name}', 'Old', 'USD', now())")
    merchant = Merchant(payer, name, book_id)
    merchant.deposit(1000)
    paid = merchant.pay(100, INSTANT)
    assert merchant.wait_for([paid.payout_id], {SETTLED})
    assert merchant.balance() == (900, 0, 900)
