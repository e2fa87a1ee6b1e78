"""Money that comes in is a debit of the bank's account and a credit of the merchant's, and of no other."""

import pytest
from support.paying import Payer


@pytest.mark.parametrize("currency", ["USD", "INR"])
def test_BALANCED_a_deposit_is_posted_from_the_bank_account(world, currency):
    payer = Payer(world)
    merchant = payer.merchant(currencies=("INR", "USD"))

    def of_code(code):
        rows = world.ledger_rows("SELECT coalesce(sum(debits_posted), 0), coalesce(sum(credits_posted), 0) FROM account "
                                 f"WHERE book_id = {merchant.book_id} AND code = {code} AND currency = '{currency}'")
        return tuple(int(value) for value in rows[0])

    merchant.ledger.await_checkpoint()
    bank, theirs = of_code(300), of_code(100)
    merchant.deposit(12_345, currency)
    merchant.ledger.await_checkpoint()
    assert of_code(300) == (bank[0] + 12_345, bank[1])
    assert of_code(100) == (theirs[0], theirs[1] + 12_345)
    merchant.ledger.assert_balanced()
