-- Data keys: which have sealed what is kept, which instance has which, and the walk that seals anew what older ones have sealed.
-- book_id is 0 in all four: keys belong to the service.
CREATE TABLE data_key (
    book_id  bigint NOT NULL CHECK (book_id = 0),
    key_id   text NOT NULL CHECK (octet_length(key_id) BETWEEN 1 AND 32),
    first_at timestamptz NOT NULL,
    sealed   boolean NOT NULL,     -- values may be sealed under it: every ring must open them
    macs     boolean NOT NULL,     -- hashes of requests may be made under it: every ring must compare them
    uses     text NOT NULL,        -- for people: how many rows of what, as the last walk has counted them
    PRIMARY KEY (book_id, key_id)
);

-- What each running process has in its ring.
CREATE TABLE key_instance (
    book_id  bigint NOT NULL CHECK (book_id = 0),
    instance uuid NOT NULL,
    key_ids  text NOT NULL,        -- those that it can open with, between commas
    current  text NOT NULL,        -- the one that it seals with
    since    timestamptz NOT NULL, -- by the clock of the database, as seen_at
    seen_at  timestamptz NOT NULL,
    PRIMARY KEY (book_id, instance)
);

-- A walk over all rows that hold something sealed or a hash. One at a time; whoever has the lock of its row goes on with it.
CREATE TABLE key_rotation (
    book_id     bigint NOT NULL CHECK (book_id = 0),
    rotation_id uuid NOT NULL,
    key_id      text NOT NULL,        -- under which all is sealed at its end
    state       smallint NOT NULL,    -- 1 it goes on, 2 done
    actor       text NOT NULL,
    started_at  timestamptz NOT NULL, -- by the clock of the database
    ended_at    timestamptz,
    target      integer NOT NULL,     -- number of what is walked over, from 0
    at_book     bigint NOT NULL,      -- its book, and behind which row of it to go on
    at1         text NOT NULL,
    at2         text NOT NULL,
    at3         text NOT NULL,
    walked      bigint NOT NULL,      -- rows looked at
    resealed    bigint NOT NULL,      -- and sealed anew
    unreadable  bigint NOT NULL,      -- and not to be opened with the ring
    PRIMARY KEY (book_id, rotation_id)
);
CREATE UNIQUE INDEX key_rotation_one ON key_rotation (book_id) WHERE state = 1;

-- How many rows are under which key, as the walk has left them.
CREATE TABLE key_count (
    book_id     bigint NOT NULL CHECK (book_id = 0),
    rotation_id uuid NOT NULL,
    key_id      text NOT NULL,
    target      text NOT NULL,
    n           bigint NOT NULL,
    PRIMARY KEY (book_id, rotation_id, key_id, target)
);

GRANT SELECT, INSERT ON data_key TO payments_service;
GRANT UPDATE (sealed, macs, uses) ON data_key TO payments_service;
GRANT SELECT, INSERT, DELETE ON key_instance TO payments_service;
GRANT UPDATE (key_ids, current, since, seen_at) ON key_instance TO payments_service;
GRANT SELECT, INSERT ON key_rotation TO payments_service;
GRANT UPDATE (state, ended_at, target, at_book, at1, at2, at3, walked, resealed, unreadable) ON key_rotation TO payments_service;
GRANT SELECT, INSERT ON key_count TO payments_service;
GRANT UPDATE (n) ON key_count TO payments_service;

-- Sealing anew changes the envelope and never what is in it: the place of a value is sealed with it, and size and SHA-256 of what banks
-- wrote and of what is sent stand beside it in columns that stay closed. Hashes of requests (request_hash) cannot be made anew.
GRANT UPDATE (name_sealed, account_sealed) ON recipient TO payments_service;
GRANT UPDATE (response) ON idempotency TO payments_service;
GRANT UPDATE (content_sealed) ON submission TO payments_service;
GRANT UPDATE (content_sealed) ON inbox TO payments_service;
GRANT UPDATE (content_sealed) ON inbox_version TO payments_service;
GRANT UPDATE (raw_sealed) ON inbox_exception TO payments_service;
