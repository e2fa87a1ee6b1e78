-- Several connections of one scheme. A connection's number is what payouts, sagas, submissions, the inbox and the ledger's accounts
-- hold; its name is what people and settings say. A name gets its number once and for ever, and never changes its scheme. In book 0:
-- one connection serves all books.
CREATE TABLE connection (
    book_id bigint      NOT NULL CHECK (book_id = 0),
    number  smallint    NOT NULL CHECK (number BETWEEN 1 AND 64),
    name    text        NOT NULL CHECK (name <> ''),
    scheme  smallint    NOT NULL, -- 1 ach 2 instant
    made_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, number)
);
CREATE UNIQUE INDEX connection_by_name ON connection (book_id, name);
GRANT SELECT, INSERT ON connection TO payments_service;

-- The connections that there were before they had names of their own; since when, nobody knows.
INSERT INTO connection (book_id, number, name, scheme, made_at) VALUES
    (0, 1, 'ach', 1, '1970-01-01 00:00:00+00'), (0, 2, 'instant', 2, '1970-01-01 00:00:00+00');

-- payout.rail holds the connection's number from now on, as saga.rail does.
ALTER TABLE payout DROP CONSTRAINT payout_rail_check;
ALTER TABLE payout ADD CONSTRAINT payout_rail_check CHECK (rail BETWEEN 1 AND 64) NOT VALID;
