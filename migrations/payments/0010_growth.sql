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
