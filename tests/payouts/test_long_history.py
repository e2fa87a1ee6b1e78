"""What lists and watches cost does not grow with what is finished: rows that a statement touches, counted by the planner's own
EXPLAIN ANALYZE, with the plan that is kept for ever in a session (the generic one)."""

import json

import pytest
from support.paying import INSTANT, SETTLED, Payer
from support.waiting import wait_until
from test_sql_portability import payments_statements

FINISHED = 30_000
TOUCHED_MAX = 1500
REFERENCE = "the-one"


@pytest.fixture(scope="module")
def history(servers):
    """A merchant with a long history of settled payouts and few others."""
    world = servers.world({"payments-svc": {"sums.every_ms": 300}})
    try:
        payer = Payer(world.up())
        merchant = payer.merchant(deposit=1_000_000)
        payer.world.payments_rows(f"""
            BEGIN;
            INSERT INTO payout (book_id, payout_id, intent_id, merchant_id, recipient_id, amount, currency, rail,
                                external_reference, description, created_at)
            SELECT {merchant.book_id}, id, id, '{merchant.id}', md5((n / 3)::text)::uuid, 100, 'USD', 2,
                   CASE n WHEN 77 THEN '{REFERENCE}' ELSE 'ref-' || n END, '', at
            FROM (SELECT n, at, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' ||
                         substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid AS id
                  FROM (SELECT n, now() - interval '400 days' + n * interval '15 minutes' AS at
                        FROM generate_series(1, {FINISHED}) AS n) AS t) AS t;
            INSERT INTO saga (book_id, payout_id, rail, step, phase, state, attempt, tries, log_seq, events, events_seen, due_at,
                              epoch, reason, reason_text, rail_reference, updated_at, step_since, ended_badly)
            SELECT book_id, payout_id, rail, 8, 0, CASE WHEN external_reference = 'ref-5' THEN 7 ELSE 6 END, 1, 0, 6, 1, 1, NULL,
                   4, '', '', 'x', created_at, created_at, CASE WHEN external_reference = 'ref-5' THEN 7 END FROM payout WHERE merchant_id = '{merchant.id}';
            COMMIT;
            ANALYZE payout; ANALYZE saga;""")
        yield payer, merchant
        made_up = f"book_id = {merchant.book_id} AND payout_id IN (SELECT payout_id FROM payout " \
                  f"WHERE merchant_id = '{merchant.id}' AND created_at < now() - interval '1 day')"
        world.payments_rows(f"DELETE FROM saga WHERE {made_up}; DELETE FROM payout WHERE {made_up}")  # the bank has none of them
        world.stop_and_check()
    finally:
        world.remove()


def rows_touched(plan):
    loops = plan.get("Actual Loops", 1)
    own = 0
    if "Scan" in plan["Node Type"]:
        own = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)) * loops
    return own + sum(rows_touched(below) for below in plan.get("Plans", []))


def touched(payer, name, *arguments):
    (sql,) = [sql for of, sql in payments_statements() if of == name]
    rows = payer.world.payments_rows(
        f"SET plan_cache_mode = force_generic_plan; PREPARE s AS {sql}; "
        f"EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF, FORMAT JSON) EXECUTE s({', '.join(arguments)})")
    return rows_touched(json.loads("\n".join("|".join(row) for row in rows))[0]["Plan"])


NONE, LOW, HIGH = "NULL", "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"


def list_arguments(merchant, *, states=NONE, recipient=NONE, reference=NONE, below=HIGH, above=LOW):
    return (str(merchant.book_id), f"'{merchant.id}'", below, states, NONE, NONE, recipient, reference, NONE, NONE, "101", above)


@pytest.mark.parametrize("name, filters", [
    ("payout_list", {}),
    ("payout_list", {"below": "'01800000-0000-7000-8000-000000000000'", "above": "'01700000-0000-7000-8000-000000000000'"}),
    ("payout_list_reference", {"reference": f"'{REFERENCE}'"}),
    ("payout_list_recipient", {"recipient": "md5('77')::uuid"}),
    ("payout_list_open", {"states": "'{3,4,5,10}'"}),
    ("payout_list_ended_badly", {"states": "'{7}'"}),
])
def test_a_page_costs_what_it_shows(history, name, filters):
    payer, merchant = history
    assert touched(payer, name, *list_arguments(merchant, **filters)) <= TOUCHED_MAX


def test_a_watch_begins_without_a_walk_through_the_history(history):
    payer, merchant = history
    assert touched(payer, "payout_open", str(merchant.book_id), f"'{merchant.id}'", "10000") <= TOUCHED_MAX
    (head,) = payer.world.payments_rows(f"SELECT coalesce(max(position), 0) FROM feed WHERE book_id = {merchant.book_id}")[0]
    assert touched(payer, "feed_span", str(merchant.book_id), head, "2000") <= TOUCHED_MAX
    assert touched(payer, "feed_read", str(merchant.book_id), head, head, f"'{merchant.id}'", "NULL") <= TOUCHED_MAX


def test_a_summary_does_not_count_the_history(history):
    payer, merchant = history
    old = f"SELECT payout_id FROM payout WHERE merchant_id = '{merchant.id}' AND created_at < now() - interval '3 days' " \
          "ORDER BY payout_id DESC LIMIT 1"
    wait_until(lambda: payer.world.payments_rows(f"SELECT 1 FROM payout_sum_upto WHERE book_id = {merchant.book_id} "
                                                 f"AND upto >= ({old})"), "the history is in the sums")
    answer = payer.call("Payout", "SummarizePayouts", payer.pb.SummarizePayoutsRequest(merchant_id=merchant.id))
    counted = payer.world.payments_rows(f"SELECT s.state, count(*), sum(p.amount) FROM payout p JOIN saga s USING (book_id, payout_id) "
                                        f"WHERE p.merchant_id = '{merchant.id}' GROUP BY 1 ORDER BY 1")
    assert [[str(line.state), str(line.count), line.sum_minor] for line in answer.lines] == counted
    assert touched(payer, "payout_summary", str(merchant.book_id), f"'{merchant.id}'") <= TOUCHED_MAX


def test_the_books_are_found_without_a_look_at_each_merchant(history):
    """Three rounds: before, between and behind the books that are known."""
    payer, merchant = history
    payer.world.payments_rows("INSERT INTO merchant_book SELECT 'many-' || n, 900 + n % 3 FROM generate_series(1, 20000) AS n; "
                              "ANALYZE merchant_book")
    try:
        for known in ([], [901], [900, 901, 902]):
            gaps = [f"'{{{','.join(map(str, edges))}}}'" for edges in ([-1, *known], [*known, 1 << 62])]
            assert touched(payer, "books_of_merchants", *gaps) <= 20
    finally:
        payer.world.payments_rows("DELETE FROM merchant_book WHERE merchant_id LIKE 'many-%'")


def test_the_count_can_fail(history):
    """A page of a filter that has no index of its own is found by a walk: the measure sees it."""
    payer, merchant = history
    assert touched(payer, "payout_list", *list_arguments(merchant, states="'{7}'")) > FINISHED / 2


def test_the_filters_find_what_is_there(history):
    payer, merchant = history
    assert [payout.external_reference for payout in merchant.payouts(external_reference=REFERENCE)] == [REFERENCE]
    assert [payout.external_reference for payout in merchant.payouts(states=[7])] == ["ref-5"]
    paid = merchant.pay(100, INSTANT)
    (one,) = payer.stub("Payout").WatchPayouts(payer.pb.WatchPayoutsRequest(merchant_id=merchant.id), timeout=30).next().payouts
    assert one.payout_id == paid.payout_id
    merchant.wait_for([paid.payout_id], {SETTLED})
