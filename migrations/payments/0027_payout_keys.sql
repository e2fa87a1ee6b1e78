-- A payout's key and what was asked for under it are in the payout's own row: intent_id is derived from (book, merchant, key), and is
-- unique. So whoever looks a key up finds the payout itself, and one row less is written for each.

-- HMAC of the request, as idempotency.request_hash. NULL: the payout was accepted before this, and its key is a row of idempotency.
ALTER TABLE payout ADD COLUMN request_hash bytea;

-- What every new saga begins with is not sent with each.
ALTER TABLE saga ALTER COLUMN phase SET DEFAULT 0, ALTER COLUMN attempt SET DEFAULT 0, ALTER COLUMN tries SET DEFAULT 0,
    ALTER COLUMN log_seq SET DEFAULT 0, ALTER COLUMN events SET DEFAULT 0, ALTER COLUMN events_seen SET DEFAULT 0,
    ALTER COLUMN epoch SET DEFAULT 0, ALTER COLUMN reason SET DEFAULT '', ALTER COLUMN reason_text SET DEFAULT '',
    ALTER COLUMN rail_reference SET DEFAULT '';
