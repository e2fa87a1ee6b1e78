-- Payouts of which the bank is asked again at a time of their own: they settled long after they were made, or the bank gave no answer.
CREATE TABLE inbox_sweep_again (
    book_id    bigint NOT NULL,
    payout_id  uuid NOT NULL,
    pass       smallint NOT NULL,    -- as inbox_sweep.pass
    connection smallint NOT NULL,
    due_at     timestamptz NOT NULL,
    tries      integer NOT NULL,     -- without an answer of use
    PRIMARY KEY (book_id, payout_id, pass)
);
CREATE INDEX inbox_sweep_again_due ON inbox_sweep_again (book_id, connection, due_at);
GRANT SELECT, INSERT, DELETE, UPDATE (due_at, tries) ON inbox_sweep_again TO payments_service;
