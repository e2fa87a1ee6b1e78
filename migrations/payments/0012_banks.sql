-- What an unkind bank asks of us.

-- A bank's query may lag behind what the bank has accepted: so that it does not find a payment proves something only for as long after
-- the last submission as the connection's setting says. The first such answer is remembered; it comes after the submission.
ALTER TABLE saga ADD COLUMN absent_since timestamptz; -- the bank has said since then that it has not got it; NULL: it has not said so
GRANT UPDATE (absent_since) ON saga TO payments_service;

-- Settlement by the timetable: most banks send no line for each credit that has settled.
ALTER TABLE submission ADD COLUMN settles_at timestamptz; -- when its items have settled, unless something else is said; NULL: only the bank can tell, or it is done
CREATE INDEX submission_settles ON submission (book_id, settles_at) WHERE settles_at IS NOT NULL AND state NOT IN (5, 7);
GRANT UPDATE (settles_at) ON submission TO payments_service;

-- A database that has forgotten (a restore, a promoted standby) meets files of ours that it does not know.
ALTER TABLE timeline ADD COLUMN recovery_id text NOT NULL DEFAULT ''; -- of the last recovery: drawn, so that it never comes again
GRANT UPDATE (recovery_id) ON timeline TO payments_service;

-- In a recovery the bank's folders are listed, once for each connection that sends files.
CREATE TABLE recovery_listing (
    book_id    bigint NOT NULL CHECK (book_id = 0), -- one connection serves all books
    connection smallint NOT NULL,
    since      timestamptz NOT NULL, -- what is older was known, whatever was forgotten
    wanted_at  timestamptz NOT NULL,
    done_at    timestamptz,          -- NULL: not yet
    files      integer NOT NULL,     -- of ours that were not known
    shown      smallint NOT NULL,    -- 0 not known yet, 1 the bank shows nothing of what it took, 2 some of it, 3 all of it
    PRIMARY KEY (book_id, connection)
);
GRANT SELECT, INSERT ON recovery_listing TO payments_service;
GRANT UPDATE (since, wanted_at, done_at, files, shown) ON recovery_listing TO payments_service;

-- Entries of files that the database had forgotten: a payout that a client repeats is met by what the bank was told of it.
CREATE TABLE forgotten_entry (
    book_id       bigint NOT NULL,
    connection    smallint NOT NULL,
    individual_id text NOT NULL,   -- derived from the payout's intent
    inbox_id      uuid NOT NULL,   -- the file, as it was found
    number        bigint NOT NULL, -- of its trace
    amount        bigint NOT NULL, -- minor units
    met_attempt   integer,         -- attempt of a payout that was held because of it; a later one is a person's order. NULL: none was
    PRIMARY KEY (book_id, connection, individual_id, inbox_id, number)
);
GRANT SELECT, INSERT ON forgotten_entry TO payments_service;
GRANT UPDATE (met_attempt) ON forgotten_entry TO payments_service;
