"""Payouts that came to their end long ago, in the tables of payments, made in SQL: what a database of some age looks like."""

from __future__ import annotations

from run import Stack

MERCHANTS = 50
CHUNK = 200_000
# Each finished payout has what a real one leaves: the intent, the saga at DONE, the key with its answer, the step log, the bank's
# event. Their merchants are none of the benchmark's. $n, $first and the books are filled in below.
TABLES = """SET ROLE payments_owner; SET synchronous_commit = off;
DROP TABLE IF EXISTS made; CREATE UNLOGGED TABLE made AS SELECT 1 + i % 4 AS book_id, 'full-' || (i % {merchants}) AS merchant_id, i,
    (lpad(to_hex(1700000000000 + i), 12, '0') || '7' || substr(md5(i::text), 1, 3) || '8' || substr(md5(i::text), 4, 15))::uuid AS id,
    timestamptz '2025-01-01' + i * interval '1 second' AS at
    FROM generate_series({first}, {last}) AS i;
INSERT INTO payout ({payout_columns}) SELECT {payout_values} FROM made;
INSERT INTO saga ({saga_columns}) SELECT {saga_values} FROM made;
INSERT INTO idempotency ({key_columns}) SELECT {key_values} FROM made WHERE {keys_apart};
INSERT INTO step_log (book_id, payout_id, seq, step, kind, outcome, attempt, reason, detail, rail_reference, owner, epoch, at)
    SELECT book_id, id, s, 1 + s / 2, 1 + s % 2, s % 2, 1, '', '', '', id, s, at FROM made, generate_series(1, 6) AS s;
INSERT INTO rail_event (book_id, payout_id, event_id, attempt, kind, code, detail, rail_reference, at)
    SELECT book_id, id, 'settled-' || i, 1, 3, '', '', '', at FROM made;
"""
# column → value over made; the columns that a table has are asked for, so that this serves any version of the schema.
PAYOUT = {"book_id": "book_id", "payout_id": "id", "merchant_id": "merchant_id", "recipient_id": "id", "amount": "100 + i % 800",
          "currency": "'USD'", "rail": "1", "external_reference": "'ref-' || i", "description": "''", "created_at": "at",
          "intent_id": "id", "connection": "1", "request_hash": "sha256(i::text::bytea)"}
SAGA = {"book_id": "book_id", "payout_id": "id", "rail": "1", "connection": "1", "step": "8", "phase": "0", "state": "6",
        "attempt": "1", "tries": "0", "log_seq": "6", "events": "1", "events_seen": "1", "epoch": "6", "reason": "''",
        "reason_text": "''", "rail_reference": "'09100001' || lpad((i % 9999999)::text, 7, '0')", "updated_at": "at",
        "step_since": "at"}
KEY = {"book_id": "book_id", "merchant_id": "merchant_id", "key": "'key-' || i", "operation": "1",
       "request_hash": "sha256(i::text::bytea)", "response": "sha256(i::text::bytea) || sha256(i::text::bytea)", "created_at": "at"}


def _columns(stack: Stack, table: str, values: dict[str, str]) -> tuple[str, str]:
    rows = stack.cluster.rows(stack.databases[1], "SELECT attname FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped "
                              f"AND attrelid = '{table}'::regclass", role="payments_migrator")
    there = [row[0] for row in rows if row[0] in values]
    return ", ".join(there), ", ".join(values[name] for name in there)


def fill(stack: Stack, n: int) -> None:
    names = {}
    for prefix, table, values in (("payout", "payout", PAYOUT), ("saga", "saga", SAGA), ("key", "idempotency", KEY)):
        names[prefix + "_columns"], names[prefix + "_values"] = _columns(stack, table, values)
    names["keys_apart"] = str("request_hash" not in names["payout_columns"])  # else a payout's key is in its own row
    for first in range(0, n, CHUNK):
        sql = TABLES.format(merchants=MERCHANTS, first=first, last=min(first + CHUNK, n) - 1, **names)
        stack.cluster.psql(stack.databases[1], sql, role="payments_migrator")
    stack.cluster.psql(stack.databases[1], "SET ROLE payments_owner; DROP TABLE made", role="payments_migrator")
    stack.cluster.psql(stack.databases[1], "SET ROLE payments_owner; VACUUM (ANALYZE)", role="payments_migrator")
    # Disk writes that are left from the filling must not count as the cost of a later payout.
    stack.cluster.psql(stack.databases[1], "CHECKPOINT")
