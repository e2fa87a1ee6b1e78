-- Imports: payout files that are handed in whole. The bytes hold account numbers: they are sealed, and gone when the import is at its end.
CREATE TABLE payment_import (
    book_id       bigint NOT NULL CHECK (book_id > 0),
    import_id     uuid NOT NULL,
    merchant_id   text NOT NULL,
    key           text NOT NULL,                 -- the client's idempotency key
    file_name     text NOT NULL,                 -- for people
    size_bytes    bigint NOT NULL CHECK (size_bytes > 0), -- as the client announced it
    state         smallint NOT NULL CHECK (state BETWEEN 1 AND 7), -- payments.v1.ImportState
    slot          smallint,                      -- among the merchant's open imports; NULL: it is at its end
    received      bigint NOT NULL,               -- bytes that are there
    sha256        text,                          -- of the file, in hexadecimal, as the client said at the end of the upload
    row_count     integer NOT NULL,              -- good rows of the file, once it was checked
    fault_count   integer NOT NULL,
    handed        integer NOT NULL,              -- rows from the beginning whose result is written
    accepted      integer NOT NULL,              -- of those
    refused       integer NOT NULL,
    stop          boolean NOT NULL,              -- canceled while it ran: it ends with the rows that are under way
    actor         text NOT NULL,                 -- who made it
    started_by    text NOT NULL,                 -- who started it; empty: nobody has
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    owner         uuid,                          -- the instance that works on it
    lease_ends_at timestamptz,                   -- by the clock of the database
    PRIMARY KEY (book_id, import_id)
);
CREATE UNIQUE INDEX payment_import_key ON payment_import (book_id, merchant_id, key);
CREATE UNIQUE INDEX payment_import_slot ON payment_import (book_id, merchant_id, slot) WHERE slot IS NOT NULL;
CREATE INDEX payment_import_list ON payment_import (book_id, merchant_id, import_id);
-- What there is to do, for all instances: few at any time.
CREATE INDEX payment_import_work ON payment_import (book_id, import_id) WHERE state IN (2, 5);

CREATE TABLE import_part (
    book_id   bigint NOT NULL,
    import_id uuid NOT NULL,
    at_byte   bigint NOT NULL,
    sealed    bytea NOT NULL,
    PRIMARY KEY (book_id, import_id, at_byte)
);

CREATE TABLE import_fault (
    book_id   bigint NOT NULL,
    import_id uuid NOT NULL,
    number    integer NOT NULL, -- in the order of the file, from 1
    line      integer NOT NULL, -- 0: the file as a whole
    field     text NOT NULL,
    reason    text NOT NULL,
    detail    text NOT NULL,
    PRIMARY KEY (book_id, import_id, number)
);

CREATE TABLE import_result (
    book_id    bigint NOT NULL,
    import_id  uuid NOT NULL,
    line       integer NOT NULL,
    reference  text NOT NULL,
    payout_id  uuid,           -- accepted, now or before under the same key
    field      text NOT NULL,  -- of a refusal
    reason     text NOT NULL,
    detail     text NOT NULL,
    PRIMARY KEY (book_id, import_id, line)
);
CREATE INDEX import_result_refused ON import_result (book_id, import_id, line) WHERE payout_id IS NULL;

GRANT SELECT, INSERT ON payment_import, import_part, import_fault, import_result TO payments_service;
GRANT UPDATE (state, slot, received, sha256, row_count, fault_count, handed, accepted, refused, stop, started_by, updated_at, owner,
    lease_ends_at) ON payment_import TO payments_service;
GRANT DELETE ON import_part TO payments_service;
