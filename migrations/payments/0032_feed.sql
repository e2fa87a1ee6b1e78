-- The feed: each change of a payout's public state, once, numbered without a gap in each book, in the order of the commits. The
-- transaction that changes payouts writes their entries, so the feed and the tables say the same at every moment. It begins with this
-- migration: what was done before is not in it.

-- The lock of a book's feed. It is taken last of all, right before COMMIT: so numbers come in the order of the commits, and nobody who
-- holds it waits for anything but the disk. The row is never changed: a row that each commit changes has as many versions as there were
-- commits since the oldest snapshot that somebody holds, and each commit would look through all of them.
CREATE TABLE feed_head (
    book_id  bigint NOT NULL CHECK (book_id > 0),
    begun_at timestamptz NOT NULL, -- when the book's first entries were written
    PRIMARY KEY (book_id)
);

-- One row for many entries, which one transaction has written. The entries are numbered up to position: the first is position - n + 1.
-- A book's last row says where its feed ends. It is never removed.
CREATE TABLE feed (
    book_id     bigint NOT NULL,
    position    bigint NOT NULL,
    n           integer NOT NULL CHECK (n > 0),
    at          timestamptz NOT NULL, -- never before that of the row before
    payout_ids  uuid[] NOT NULL,
    from_states smallint[] NOT NULL, -- payments.v1.PayoutState; 0: the payout is new
    to_states   smallint[] NOT NULL,
    reasons     text[],              -- why it failed, came back, was canceled or is held; NULL: none of them did
    PRIMARY KEY (book_id, position)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
-- Ids do not become shorter by being compressed.
ALTER TABLE feed ALTER COLUMN payout_ids SET STORAGE EXTERNAL;

GRANT SELECT, INSERT ON feed_head, feed TO payments_service;
-- Whoever locks a row must be allowed to change something of it.
GRANT UPDATE (begun_at) ON feed_head TO payments_service;
