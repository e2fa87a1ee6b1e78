"""Promise TOLD: each change of a payout is in the feed exactly once, gapless and in order in its book. Each world of all tests is held
against its feed when it ends (support/feed_record.py); here is what is the feed's own."""

import re

from test_sql_portability import payments_copies, payments_statements

# The statements that may change what the world sees of a payout. The function that runs one adds what changed to the feed
# (feed_add), in the same transaction.
TOLD = {"saga_write", "saga_reach_bank"}


def test_TOLD_no_other_statement_changes_the_state_of_a_payout():
    changing = {name for name, sql in payments_statements()
                if re.match(r"UPDATE saga\b", sql) and re.search(r"\b(state|held_state|hold) = ", sql.split(" FROM ")[0].split(" WHERE ")[0])}
    assert changing == TOLD
    assert not [name for name, sql in payments_statements() if re.match(r"INSERT INTO (saga|payout) ", sql)]
    assert sorted(table for table, _, _ in payments_copies() if table in ("saga", "payout")) == ["payout", "payout", "saga"]
