-- Fewer and cheaper writes of sagas.

-- ended_badly is a plain column now: a generated one is computed again with each write of a saga, some 3 % of what a payout costs the
-- database. What it holds stays. The service writes it together with the state.
ALTER TABLE saga ALTER COLUMN ended_badly DROP EXPRESSION;
GRANT UPDATE (ended_badly) ON saga TO payments_service;

-- Payouts of which a bank has just said something in bulk, as in a file of settlements: each once for each message. Their sagas wait for the
-- bank's word and are not changed by it: the next claim of the step takes the list up. A row lives for a moment.
CREATE TABLE saga_heard (
    book_id    bigint NOT NULL,
    heard_id   uuid NOT NULL,
    rail       smallint NOT NULL,
    at         timestamptz NOT NULL,
    n          integer NOT NULL CHECK (n > 0),
    payout_ids uuid[] NOT NULL,
    PRIMARY KEY (book_id, heard_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
-- Ids do not become shorter by being compressed.
ALTER TABLE saga_heard ALTER COLUMN payout_ids SET STORAGE EXTERNAL;
GRANT SELECT, INSERT, DELETE ON saga_heard TO payments_service;
GRANT UPDATE (n, payout_ids) ON saga_heard TO payments_service;

-- How many sagas of a lease are due by their rows; the others were taken from saga_heard. NULL: a lease of an older version, whose sagas all
-- are.
ALTER TABLE saga_lease ADD COLUMN n_due integer;
