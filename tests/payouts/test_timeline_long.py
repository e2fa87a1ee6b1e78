"""EXPLAINED: a payout with more of a past than one answer holds still says where it stands."""

from support.paying import INSTANT, SETTLED, Payer

TIMELINE_MAX = 2000


def test_EXPLAINED_a_long_timeline_ends_with_what_happened_last(world):
    payer = Payer(world)
    merchant = payer.merchant(deposit=1000)
    paid = merchant.pay(100, INSTANT)
    merchant.wait_for([paid.payout_id], {SETTLED})
    before = merchant.timeline(paid.payout_id).entries
    # Tries of long ago that bore no fruit: what a ledger that was away for days leaves behind.
    world.payments_rows(
        "INSERT INTO step_log SELECT book_id, payout_id, 1000 + n, 1, 2, 3, 0, 'LEDGER_UNAVAILABLE', '', '', NULL, owner, epoch, "
        "at - interval '1 day' + n * interval '1 s' "
        f"FROM step_log, generate_series(1, {TIMELINE_MAX}) AS n WHERE payout_id = '{paid.payout_id}' AND seq = 1")
    after = merchant.timeline(paid.payout_id).entries
    assert len(after) == TIMELINE_MAX
    assert [e.SerializeToString() for e in after[-len(before):]] == [e.SerializeToString() for e in before]
