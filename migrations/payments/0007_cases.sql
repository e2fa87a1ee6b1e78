-- Cases: what a person must look at.
--
-- Whatever goes wrong and cannot be put right by the service itself becomes a case: of a payout, a submission, an inbox exception,
-- a connection, a merchant or a book. Book 0 stands for "no book is known".

CREATE TABLE payment_case (
    book_id      bigint NOT NULL CHECK (book_id >= 0),
    case_id      uuid NOT NULL, -- UUIDv7: in the order in which cases were opened
    kind         text NOT NULL CHECK (octet_length(kind) BETWEEN 1 AND 64), -- a name of cases/kinds.h
    subject_type text NOT NULL CHECK (octet_length(subject_type) BETWEEN 1 AND 32),
    subject_id   text NOT NULL CHECK (octet_length(subject_id) BETWEEN 1 AND 200),
    merchant_id  text NOT NULL, -- empty when no merchant is known
    code         text NOT NULL CHECK (octet_length(code) <= 64),   -- reason for programs
    text         text NOT NULL CHECK (octet_length(text) <= 1000), -- reason for people, as of the last time it was seen
    amount       bigint NOT NULL, -- minor units in question; 0 where it is not about an amount
    currency     text NOT NULL,   -- empty when there is no amount
    state        smallint NOT NULL CHECK (state IN (1, 2)), -- 1 OPEN, 2 RESOLVED
    owner        text NOT NULL,   -- person who looks after it; empty: nobody yet
    resolution   text NOT NULL,   -- how it ended; empty while it is open
    seen         bigint NOT NULL CHECK (seen > 0), -- how often the same thing was found while the case was open
    opened_at    timestamptz NOT NULL,
    due_at       timestamptz NOT NULL, -- when a person should have dealt with it
    seen_at      timestamptz NOT NULL,
    resolved_at  timestamptz,
    PRIMARY KEY (book_id, case_id)
);
-- One open case for each kind and subject; what is open of a subject is found here, too.
CREATE UNIQUE INDEX payment_case_one_open ON payment_case (book_id, subject_type, subject_id, kind) WHERE state = 1;
-- The lists of open cases, oldest first: their cost does not grow with what is resolved.
CREATE INDEX payment_case_open ON payment_case (book_id, case_id) WHERE state = 1;
CREATE INDEX payment_case_of_merchant ON payment_case (book_id, merchant_id, case_id) WHERE merchant_id <> '';
CREATE INDEX payment_case_of_subject ON payment_case (book_id, subject_id, case_id);

-- The history of a case. Inserted, never changed (promise EXPLAINED).
CREATE TABLE case_note (
    book_id     bigint NOT NULL,
    case_id     uuid NOT NULL,
    note_id     uuid NOT NULL, -- UUIDv7
    kind        smallint NOT NULL CHECK (kind BETWEEN 1 AND 6), -- 1 opened 2 seen again 3 assigned 4 comment 5 resolved 6 closed by itself
    program     text NOT NULL, -- identity of the program that caused it
    person      text NOT NULL, -- for whom the program acted; empty: for nobody
    text        text NOT NULL, -- the comment, the reason, or the new owner
    resolution  text NOT NULL, -- of a resolution; empty otherwise
    evidence    text NOT NULL, -- of a resolution; empty otherwise
    request_key text NOT NULL CHECK (octet_length(request_key) <= 128), -- idempotency key of the request; empty: the service's own
    at          timestamptz NOT NULL,
    PRIMARY KEY (book_id, case_id, note_id)
);
-- A key is used once for a case.
CREATE UNIQUE INDEX case_note_request ON case_note (book_id, case_id, request_key) WHERE request_key <> '';

GRANT SELECT, INSERT ON payment_case, case_note TO payments_service;
GRANT UPDATE (code, text, amount, currency, state, owner, resolution, seen, seen_at, resolved_at) ON payment_case TO payments_service;

-- Periodic work: which instance does it next is settled by this row's lock. Book 0: jobs belong to no book.
CREATE TABLE job (
    book_id bigint NOT NULL CHECK (book_id = 0),
    name    text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 64),
    next_at timestamptz NOT NULL, -- not before
    runs    bigint NOT NULL,
    ran_at  timestamptz,          -- when it last ended well
    PRIMARY KEY (book_id, name)
);

-- What is open stands in one of three indexes, none of which holds anything that is finished: saga_due has what is due, saga_held what
-- is held, saga_waiting what waits for its bank, the longest first. A payout comes into saga_waiting once, where an index of all that is
-- open would have an entry for each change of its row. Room in the pages as in saga_due, for the same reason.
CREATE INDEX saga_waiting ON saga (book_id, rail, step, step_since) WITH (fillfactor = 50, deduplicate_items = off)
    WHERE due_at IS NULL AND step <> 8 AND hold = ''; -- 8 DONE
CREATE INDEX saga_held ON saga (book_id, hold, step_since) WHERE hold <> '';

GRANT SELECT, INSERT ON job TO payments_service;
GRANT UPDATE (next_at, runs, ran_at) ON job TO payments_service;

-- What is paused now: a connection, a merchant, a book, or all of it. A row covers what agrees with all of its columns. Few rows, which
-- every claim reads: a reference table on Citus.
CREATE TABLE pause (
    book_id     bigint NOT NULL CHECK (book_id >= 0),     -- 0: every book
    connection  smallint NOT NULL CHECK (connection >= 0), -- 0: every connection
    merchant_id text NOT NULL,                             -- empty: every merchant
    reason      text NOT NULL CHECK (octet_length(reason) BETWEEN 1 AND 500),
    actor       text NOT NULL, -- program and person
    since       timestamptz NOT NULL,
    PRIMARY KEY (book_id, connection, merchant_id)
);

-- Who paused and resumed what, when and why. Inserted, never changed.
CREATE TABLE pause_log (
    book_id     bigint NOT NULL,
    entry_id    uuid NOT NULL, -- UUIDv7
    connection  smallint NOT NULL,
    merchant_id text NOT NULL,
    kind        smallint NOT NULL CHECK (kind IN (1, 2)), -- 1 paused 2 resumed
    reason      text NOT NULL,
    actor       text NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (book_id, entry_id)
);

GRANT SELECT, INSERT, DELETE ON pause TO payments_service;
GRANT SELECT, INSERT ON pause_log TO payments_service;

-- When a bank was last heard through a connection.
CREATE INDEX inbox_last ON inbox (book_id, connection, inbox_id);
