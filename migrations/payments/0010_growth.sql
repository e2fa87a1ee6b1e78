-- What is finished costs nothing any more.

-- Sums of a merchant's payouts, so that nobody counts its whole history. A job adds payouts in the order of their ids, some time after they
-- came: those that are at their end then. Kept apart are those that are not, and those that have left their end since.
CREATE TABLE payout_sum (
    book_id     bigint NOT NULL,
    merchant_id text NOT NULL,
    rail        smallint NOT NULL,
    currency    text NOT NULL,
    state       smallint NOT NULL, -- 6 SETTLED 7 FAILED 8 RETURNED 9 CANCELED
    n           bigint NOT NULL,   -- payouts
    total       numeric NOT NULL,  -- minor units
    PRIMARY KEY (book_id, merchant_id, rail, currency, state)
);

-- How far the sums of a book go.
CREATE TABLE payout_sum_upto (
    book_id bigint PRIMARY KEY,
    upto    uuid NOT NULL -- payouts with a greater id are not in the sums
);

CREATE TABLE payout_apart (
    book_id     bigint NOT NULL,
    merchant_id text NOT NULL,
    payout_id   uuid NOT NULL,
    counted_as  smallint, -- the state in which the sums have it, or will have it; NULL: they do not
    PRIMARY KEY (book_id, merchant_id, payout_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

GRANT SELECT, INSERT, UPDATE (n, total) ON payout_sum TO payments_service;
GRANT SELECT, INSERT, UPDATE (upto) ON payout_sum_upto TO payments_service;
GRANT SELECT, INSERT, UPDATE (counted_as), DELETE ON payout_apart TO payments_service;

-- What was taken out of these tables, and into which file (room maintain). Written with the removal, in one transaction: a file without a
-- row here was left by a run that was interrupted, and its rows are in the tables still.
CREATE TABLE archive (
    book_id    bigint NOT NULL,
    archive_id uuid NOT NULL,
    kind       text NOT NULL, -- payouts, step_log …
    file       text NOT NULL, -- without its folder
    n_rows     bigint NOT NULL CHECK (n_rows > 0),
    sha256     bytea NOT NULL CHECK (octet_length(sha256) = 32), -- of the file
    before     timestamptz NOT NULL, -- rows of a time before this were taken
    at         timestamptz NOT NULL,
    PRIMARY KEY (book_id, archive_id)
);

-- What payouts that are archived have left on the bank's account, so that the proof of a book adds up without them.
CREATE TABLE payout_archived (
    book_id  bigint NOT NULL,
    rail     smallint NOT NULL,
    currency text NOT NULL,
    n        bigint NOT NULL,  -- payouts
    at_bank  numeric NOT NULL, -- minor units that the bank has paid, less what came back
    PRIMARY KEY (book_id, rail, currency)
);

GRANT SELECT ON archive, payout_archived TO payments_service;
