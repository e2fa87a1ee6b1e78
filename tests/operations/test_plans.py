"""With 200,000 finished payouts in the tables, no statement of payments-svc reads one of them from end to end: each is planned as a session
would keep it for ever (the generic plan), whatever its parameters are."""

import json
import re

import pytest
from test_sql_portability import payments_statements

FINISHED = 200_000
GROWING = {"payout", "saga", "step_log", "rail_event", "idempotency", "recipient", "deposit", "submission", "submission_item",
           "submission_upload", "submission_directory", "inbox", "inbox_version", "inbox_exception", "payment_case", "case_note",
           "merchant", "merchant_book", "pause_log", "payout_sum", "archive", "audit", "feed"}
# Settings that a transaction makes before its statement (saga_join_by_key, saga_claim_begin, maintain_plans), or a session has
# (SAGA_LOOK_SESSION).
BY_KEY = ("enable_nestloop", "enable_bitmapscan", "enable_seqscan")
WRITES_BY_KEY = {"saga_write", "saga_write_rare", "saga_set_apart", "saga_count_events", "saga_count_accepted", "saga_reach_bank"}

LOOKS_BY_KEY = {"feed_add", "feed_span", "feed_read", "feed_heads",
                "saga_due", "saga_heard_sagas", "saga_events", "idempotency_lookup", "idempotency_lookup_payout", "recipient_check", "payout_accepted"}

# Types that the service gives with a parameter, where they cannot be told from the text.
TYPES = {"submission_move": "(int8, uuid, uuid, int8, int2)", "submission_decide": "(int8, uuid, int2)"}

AT = "now() - interval '1000 days' + n * interval '7 min'"
ID = ("(lpad(to_hex((extract(epoch FROM {at}) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text || '{salt}'), 1, 3) || '8' || "
      "substr(md5(n::text || '{salt}'), 4, 15))::uuid")
FILL = f"""
CREATE UNLOGGED TABLE made AS SELECT n, {AT} AS at, {ID.format(at=AT, salt='p')} AS id, {ID.format(at=AT, salt='s')} AS other,
    1 + n % 3 AS book FROM generate_series(1, {FINISHED}) AS n;
INSERT INTO merchant_book SELECT 'm-' || n, book FROM made WHERE n <= 5000;
INSERT INTO merchant SELECT book, 'm-' || n, 'Name', 'USD', at FROM made WHERE n <= 5000;
INSERT INTO recipient SELECT book, id, 'm-' || n % 5000, 1, 1, 'USD', '021000021', '1234', '', '', at FROM made WHERE n % 4 = 0;
INSERT INTO payout (book_id, payout_id, merchant_id, recipient_id, amount, currency, rail, external_reference, description, created_at,
    intent_id) SELECT book, id, 'm-' || n % 5000, other, 100, 'USD', 1 + n % 2, 'r' || n, '', at, other FROM made;
INSERT INTO saga (book_id, payout_id, rail, step, phase, state, attempt, tries, log_seq, events, events_seen, due_at, epoch, reason,
    reason_text, rail_reference, updated_at, step_since)
    SELECT book, id, 1 + n % 2, 8, 0, CASE WHEN n % 50 = 0 THEN 7 ELSE 6 END, 1, 0, 6, 1, 1, NULL, 4, '', '', 'x', at, at FROM made;
UPDATE saga SET step = 4, state = 5, due_at = CASE WHEN payout_id::text < '8' THEN now() END
    WHERE payout_id IN (SELECT id FROM made WHERE n > {FINISHED} - 100);
INSERT INTO step_log (book_id, payout_id, seq, step, kind, outcome, attempt, reason, detail, rail_reference, owner, epoch, at)
    SELECT book, id, s, 1, 1, 0, 1, '', '', '', id, 1, at FROM made, generate_series(1, 2) AS s;
INSERT INTO rail_event (book_id, payout_id, event_id, attempt, kind, code, detail, rail_reference, at)
    SELECT book, id, 'e', 1, 3, '', '', '', at FROM made;
INSERT INTO idempotency (book_id, merchant_id, key, operation, request_hash, made, created_at)
    SELECT book, 'm-' || n % 5000, 'k' || n, 1, sha256(n::text::bytea), id, at FROM made;
INSERT INTO deposit (book_id, deposit_id, merchant_id, key, amount, currency, reference, state, reason, created_at)
    SELECT book, id, 'm-' || n % 5000, 'd' || n, 1, 'USD', '', 2, '', at FROM made WHERE n % 4 = 0;
INSERT INTO submission (book_id, submission_id, connection, kind, name, origin, cycle, number_first, number_last, items, total, currency,
    size, sha256, content_sealed, seal, generation, window_at, stale_at, created_at, state, changed_at)
    SELECT book, other, 1, 1, 'f' || n, 'o', 1, n, n + 1, 1, 1, 'USD', 1, sha256(n::text::bytea), '', 'submission', 1, at, at, at, 4, at
    FROM made WHERE n % 4 = 0;
INSERT INTO submission_item SELECT book, other, id, 1, n, 100 FROM made;
INSERT INTO submission_upload (book_id, submission_id, seq, kind, epoch, detail, at) SELECT book, other, 1, 1, 1, '', at FROM made WHERE n % 4 = 0;
INSERT INTO submission_directory SELECT 0, other, 1, book, 'f' || n, 1, n, n + 1 FROM made WHERE n % 4 = 0;
INSERT INTO inbox SELECT book, id, 2, 2, 'w' || n, 1, sha256(n::text::bytea), sha256(n::text::bytea), '', at, at, 2, 1, '', 1, 1, 0, '', '', 1,
    1, at FROM made WHERE n % 2 = 0;
INSERT INTO inbox_version SELECT book, id, 2, 1, sha256(n::text::bytea), '', '', 'r', at FROM made WHERE n % 8 = 0;
INSERT INTO inbox_exception SELECT book, id, 1, 1, 'X', '', '', '', 0, id, 0, '', 2, '', '', at FROM made WHERE n % 4 = 0;
INSERT INTO payment_case SELECT book, id, 'PAYOUT_OVERDUE', 'payout', other::text, 'm-' || n % 5000, '', '', 0, '', 2, '', '', 1, at, at, at,
    at FROM made WHERE n % 4 = 0;
INSERT INTO case_note SELECT book, id, id, 1, 'p', '', '', '', '', '', at FROM made WHERE n % 4 = 0;
INSERT INTO pause_log SELECT book, id, 1, '', 1, '', '', at FROM made WHERE n % 8 = 0;
INSERT INTO audit SELECT book, id, at, 'm/' || n % 9, 'p', CASE WHEN n % 9 = 0 THEN 'ada' ELSE '' END, false, 'r' || n, NULL, 'm-' || n % 5000,
    'payouts', id::text, CASE WHEN n % 4 = 0 THEN '' ELSE id::text END, 1, '' FROM made;
INSERT INTO payout_sum SELECT book, 'm-' || n, 1, 'USD', 6, 1, 1 FROM made WHERE n <= 5000;
INSERT INTO archive SELECT book, id, 'payouts', 'f', 1, sha256(n::text::bytea), at, at FROM made WHERE n % 8 = 0;
INSERT INTO feed SELECT book, row_number() OVER (PARTITION BY book ORDER BY n), 1, at, ARRAY[id], ARRAY[0], ARRAY[3] FROM made;
INSERT INTO feed_head SELECT book_id, min(at) FROM feed GROUP BY book_id;
DROP TABLE made; ANALYZE;
"""


@pytest.fixture(scope="module")
def filled(servers):
    """A database of its own, with no services on it."""
    world = servers.world()
    try:
        world.payments_rows(FILL)
        yield world
    finally:
        world.remove()


def scanned_whole(plan):
    """Tables that are read from end to end; a partition stands for its table."""
    name = plan.get("Relation Name", "")
    table = re.sub(r"_(first|other|\d{4}_\d{2})$", "", name)
    empty = name.endswith("_other") or re.search(r"_\d{4}_\d{2}$", name)
    found = {table} if plan["Node Type"] == "Seq Scan" and table in GROWING and not empty else set()
    return found.union(*(scanned_whole(below) for below in plan.get("Plans", [])))


def generic_plan(world, name, sql):
    n = max((int(number) for number in re.findall(r"\$(\d+)", sql)), default=0)
    settings = "SET plan_cache_mode = force_generic_plan; "
    if name in WRITES_BY_KEY:
        settings += "".join(f"SET {setting} = off; " for setting in BY_KEY)
    if name in LOOKS_BY_KEY:
        settings += "SET enable_bitmapscan = off; SET enable_seqscan = off; "
    if name.startswith("maintain_"):
        settings += "SET enable_seqscan = off; "
    given = f"({', '.join(['NULL'] * n)})" if n else ""
    rows = world.payments_rows(f"{settings}PREPARE s{TYPES.get(name, '')} AS {sql}; EXPLAIN (FORMAT JSON) EXECUTE s{given}")
    return json.loads("\n".join("|".join(row) for row in rows))[0]["Plan"]


PLANNED = [pytest.param(name, sql, id=name) for name, sql in payments_statements()
           if re.match(r"(SELECT|UPDATE|DELETE|INSERT)\b", sql) and re.search(r"\b(FROM|UPDATE|JOIN)\s+(" + "|".join(GROWING) + r")\b", sql)]


@pytest.mark.parametrize("name, sql", PLANNED)
def test_no_statement_reads_a_growing_table_from_end_to_end(filled, name, sql):
    assert not scanned_whole(generic_plan(filled, name, sql)), name


def indexes(plan):
    return {plan["Index Name"]} if "Index Name" in plan else set().union(*(indexes(below) for below in plan.get("Plans", [])))


# Claims and intake keep these plans, whatever the tables have when the first one is made.
@pytest.mark.parametrize("name, wanted", [("saga_due", {"saga_due"}), ("saga_events", {"rail_event_pkey"}),
                                          ("saga_reach_bank", {"saga_pkey"}), ("saga_heard_sagas", {"saga_heard_pkey", "saga_pkey"}),
                                          ("idempotency_lookup", {"idempotency_pkey"}),
                                          ("idempotency_lookup_payout", {"payout_intent", "idempotency_pkey"}),
                                          ("recipient_check", {"recipient_pkey"}), ("payout_accepted", {"payout_pkey"}),
                                          ("feed_add", {"feed_pkey", "feed_head_pkey"}), ("feed_span", {"feed_pkey"}),
                                          ("feed_read", {"feed_pkey", "payout_pkey"}), ("feed_heads", {"feed_pkey"})])
def test_a_plan_that_is_kept_looks_up_by_key_also_when_it_is_made_on_empty_tables(servers, name, wanted):
    world = servers.world()
    try:
        (sql,) = [text for of, text in payments_statements() if of == name]
        found = {re.sub(r"_(first|other|\d{4}_\d{2})(?=_pkey)", "", index) for index in indexes(generic_plan(world, name, sql))}
    finally:
        world.remove()
    assert found - ({"payout_pkey", "saga_lease_pkey"} - wanted) == wanted


def rows_read(plan, table):
    own = plan["Actual Rows"] * plan["Actual Loops"] if plan.get("Relation Name") == table else 0
    return own + sum(rows_read(below, table) for below in plan.get("Plans", []))


def test_a_list_of_open_calls_joins_no_more_than_it_shows(filled):
    (sql,) = [text for name, text in payments_statements() if name == "calls_open"]
    rows = filled.payments_rows(f"SET plan_cache_mode = force_generic_plan; PREPARE o AS {sql}; EXPLAIN (ANALYZE, FORMAT JSON) "
                                "EXECUTE o('{1,2,3}', '{1,2}', '{2,3,4}', '{0,0,0}', 10)")
    plan = json.loads("\n".join("|".join(row) for row in rows))[0]["Plan"]
    assert plan["Actual Rows"] == 10, "there is more than that"
    assert rows_read(plan, "payout") == 10


@pytest.mark.parametrize("name, given", [("merchant_get", "'changing'"), ("merchant_list", "'changinf', 1"),
                                         ("merchant_connection_many", "1, 'changing', '{1,2}', '{9,9}', 100, now()"),
                                         ("merchant_connection_change", "1, 'changing', '{1,2}', '{9,9}', 'a', now()")])
def test_a_merchant_with_many_changes_is_read_as_one_with_few(filled, name, given):
    (sql,) = [text for of, text in payments_statements() if of == name]
    rows = filled.payments_rows("BEGIN; INSERT INTO merchant_book VALUES ('changing', 1); "
                                "INSERT INTO merchant VALUES (1, 'changing', 'Name', 'USD', now()); "
                                "INSERT INTO merchant_connection SELECT 1, 'changing', 1 + n % 2, n / 2, n % 4, '', now() "
                                "FROM generate_series(0, 19999) AS n; SET LOCAL plan_cache_mode = force_generic_plan; "
                                f"PREPARE c AS {sql}; EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE c({given}); ROLLBACK; DEALLOCATE c")
    plan = json.loads("\n".join("|".join(row) for row in rows))[0]["Plan"]
    limit = 2 * (100 + 1) if name == "merchant_connection_many" else 2
    assert rows_read(plan, "merchant_connection") <= limit


@pytest.mark.parametrize("name, given", [("feed_span", "1, {after}, 2000"), ("feed_read", "1, {after}, {head}, NULL, NULL"),
                                         ("feed_read", "1, {after}, {head}, 'm-1', '{{3}}'"), ("feed_heads", "'{{1}}'")])
def test_TOLD_a_look_at_the_feed_reads_what_is_new(filled, name, given):
    """And the first row, the last one, and that of the position, whatever the tables hold: here sixty thousand rows before it."""
    (sql,) = [text for of, text in payments_statements() if of == name]
    head = int(filled.payments_rows("SELECT max(position) FROM feed WHERE book_id = 1")[0][0])
    new = 50
    asked = given.format(after=head - new, head=head)
    rows = filled.payments_rows(f"SET plan_cache_mode = force_generic_plan; PREPARE f AS {sql}; EXPLAIN (ANALYZE, FORMAT JSON) "
                                f"EXECUTE f({asked}); DEALLOCATE f")
    plan = json.loads("\n".join("|".join(row) for row in rows))[0]["Plan"]
    assert head > 60_000 and rows_read(plan, "feed") <= new + 3 and rows_read(plan, "payout") <= new


def test_the_check_can_fail(filled):
    plan = generic_plan(filled, "bad", "SELECT count(*) FROM payout AS p JOIN saga AS s USING (book_id, payout_id) WHERE p.amount > $1")
    assert scanned_whole(plan) >= {"payout"}
    assert len(PLANNED) > 100
