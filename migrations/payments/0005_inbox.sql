-- The inbox: what banks say, as they said it, before anybody matches it (promise HEARD).

-- A file or message of a bank. Recorded first, in a transaction of its own; applied afterwards. Files are of book 0: one may hold
-- lines of several books. The bytes never change; the service may write only what became of them.
CREATE TABLE inbox (
    book_id        bigint NOT NULL CHECK (book_id >= 0), -- 0: a file, or a message of which the book is not known
    inbox_id       uuid NOT NULL,     -- UUIDv7: in the order in which they came
    connection     smallint NOT NULL, -- from where it came
    kind           smallint NOT NULL, -- 1 file, 2 message that the bank sent by itself, 3 answer to a question of ours
    name           text NOT NULL CHECK (octet_length(name) <= 300), -- of the file, or the bank's id of the message
    size           bigint NOT NULL CHECK (size >= 0),
    sha256         bytea NOT NULL CHECK (octet_length(sha256) = 32), -- of the bytes
    once           bytea NOT NULL CHECK (octet_length(once) = 32),   -- what makes it the same again: of a message its id and its bytes
    content_sealed bytea NOT NULL,    -- AES-256-GCM, AAD "inbox|content|<book>|<inbox id>|1"
    said_at        timestamptz NOT NULL, -- by the bank's clock
    received_at    timestamptz NOT NULL,
    state          smallint NOT NULL, -- 1 RECORDED 2 APPLIED 3 REFUSED as a whole 4 DISMISSED
    version        integer NOT NULL,  -- of the bytes that count: 1 as received, more when they were repaired
    about          text NOT NULL,     -- what it turned out to be: returns, settlement, ack, payment …; empty before
    lines          integer NOT NULL,  -- that say something
    events         integer NOT NULL,  -- of them applied
    exceptions     integer NOT NULL,  -- of them set aside
    reason         text NOT NULL,     -- of a refusal, for programs
    reason_text    text NOT NULL,     -- the same for people
    tries          integer NOT NULL,  -- to apply it that failed for a reason of ours
    seen           integer NOT NULL,  -- how often it came
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (book_id, inbox_id)
);
-- The same again is a repeat.
CREATE UNIQUE INDEX inbox_once ON inbox (book_id, connection, kind, once);
-- What came, newest first, by where it came from and what became of it.
CREATE INDEX inbox_by_state ON inbox (book_id, connection, state, inbox_id);
-- What waits to be applied, or for a person; both are few.
CREATE INDEX inbox_open ON inbox (book_id, inbox_id) WHERE state = 1;
CREATE INDEX inbox_refused ON inbox (book_id, inbox_id) WHERE state = 3;

-- Bytes that a person has put in the place of what could not be read. Inserted, never changed: the first ones stay beside them.
CREATE TABLE inbox_version (
    book_id        bigint NOT NULL,
    inbox_id       uuid NOT NULL,
    version        integer NOT NULL CHECK (version > 1),
    size           bigint NOT NULL CHECK (size >= 0),
    sha256         bytea NOT NULL CHECK (octet_length(sha256) = 32),
    content_sealed bytea NOT NULL, -- AES-256-GCM, AAD "inbox|content|<book>|<inbox id>|<version>"
    actor          text NOT NULL,  -- program and person
    reason         text NOT NULL CHECK (octet_length(reason) BETWEEN 1 AND 1000),
    at             timestamptz NOT NULL,
    PRIMARY KEY (book_id, inbox_id, version)
);

-- A line that matches nothing of ours, or does not agree with it, and what was compared.
CREATE TABLE inbox_exception (
    book_id     bigint NOT NULL, -- of the inbox row
    inbox_id    uuid NOT NULL,
    version     integer NOT NULL,
    line        integer NOT NULL CHECK (line >= 0), -- 0: all of it
    reason      text NOT NULL CHECK (octet_length(reason) BETWEEN 1 AND 64),
    reason_text text NOT NULL CHECK (octet_length(reason_text) <= 1000),
    compared    text NOT NULL CHECK (octet_length(compared) <= 2000), -- field by field: the bank's and ours
    raw_sealed  bytea NOT NULL,  -- AES-256-GCM, AAD "inbox|line|<book>|<inbox id>|<version>|<line>"
    about_book_id bigint NOT NULL, -- 0: not known
    payout_id   uuid,            -- of the nearest payout of ours; NULL when there is none
    amount      bigint NOT NULL, -- minor units that moved, as the bank says; 0: none
    currency    text NOT NULL,
    state       smallint NOT NULL, -- 1 OPEN 2 DISMISSED 3 REPLACED by a repair
    closed_by   text NOT NULL,
    closed_reason text NOT NULL,
    at          timestamptz NOT NULL,
    closed_at   timestamptz,
    PRIMARY KEY (book_id, inbox_id, version, line)
);
CREATE INDEX inbox_exception_open ON inbox_exception (book_id, inbox_id, version, line) WHERE state = 1;

-- How far the payouts of a book have been asked for again, in each of the times that they are.
CREATE TABLE inbox_sweep (
    book_id    bigint NOT NULL,
    connection smallint NOT NULL,
    pass       smallint NOT NULL,
    upto       uuid NOT NULL, -- payouts up to this one were asked for
    at         timestamptz NOT NULL,
    PRIMARY KEY (book_id, connection, pass)
);

GRANT SELECT, INSERT ON inbox_sweep TO payments_service;
GRANT UPDATE (upto, at) ON inbox_sweep TO payments_service;
GRANT SELECT, INSERT ON inbox, inbox_version, inbox_exception TO payments_service;
GRANT UPDATE (state, version, about, lines, events, exceptions, reason, reason_text, tries, seen, updated_at) ON inbox TO payments_service;
GRANT UPDATE (state, closed_by, closed_reason, closed_at) ON inbox_exception TO payments_service;
