-- What the engine looks at all the time stays cheap, whatever has piled up.

-- Which books there are, without reading every merchant.
CREATE INDEX merchant_book_book ON merchant_book (book_id);

-- Merchants of a book are spread over lanes, and a claim takes from all lanes that have something: a merchant with a hundred thousand
-- payouts does not hold up the first one of another. Rows from before are in lane 0. The steps of the ledger that come after the bank's
-- word take whole batches in milliseconds and need no lanes, so there the index has one.
ALTER TABLE saga ADD COLUMN lane smallint NOT NULL DEFAULT 0 CHECK (lane BETWEEN 0 AND 15);
DROP INDEX saga_due;
CREATE INDEX saga_due ON saga (book_id, rail, step, (CASE WHEN step <= 2 THEN lane ELSE 0::smallint END), due_at)
    WITH (fillfactor = 50, deduplicate_items = off) WHERE due_at IS NOT NULL;

-- Rows of these tables are updated a few times and then never again, or inserted only. The defaults wait until a fifth of a table is dead,
-- which in a table of a hundred million rows is twenty million.
ALTER TABLE saga SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE saga_slot SET (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE payout SET (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE step_log SET (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE rail_event SET (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);

-- Which database this is, as the service saw it last: after a failover or a restore it is another one, and may have forgotten what a bank
-- has. Then nothing is sent until every open payout was compared with its bank. One row, of book 0: it is about all of them.
CREATE TABLE timeline (
    book_id          bigint PRIMARY KEY CHECK (book_id = 0),
    system_id        bigint NOT NULL,    -- pg_control_system(): of the cluster
    timeline_id      integer NOT NULL,   -- of its write-ahead log; a promotion begins a new one
    seen_at          timestamptz NOT NULL,
    recovering_since timestamptz,        -- NULL: nothing is left to compare
    why              text NOT NULL DEFAULT '', -- the last recovery was begun
    ended_at         timestamptz,
    ended_by         text NOT NULL DEFAULT '' -- the reason of the person who ended it by force; '' by itself
);
GRANT SELECT, INSERT, UPDATE (system_id, timeline_id, seen_at, recovering_since, why, ended_at, ended_by)
    ON timeline TO payments_service;
