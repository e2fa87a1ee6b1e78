-- Payments: merchants, recipients, payouts, sagas and what the rails said.
--
-- Runs unchanged on plain PostgreSQL and on Citus distributed by book_id: book_id is first in every key, ids and times come
-- from the service, there are no sequences, triggers or functions. The service's role can insert, and can update only the
-- mutable columns of `saga` and `ach_counter`: everything else is append-only by its grants (promise APPEND-ONLY).

-- The directory: which book a merchant belongs to. Never changes. A reference table on Citus.
CREATE TABLE merchant_book (
    merchant_id text PRIMARY KEY CHECK (merchant_id ~ '^[a-z0-9][a-z0-9_-]{0,63}$'),
    book_id     bigint NOT NULL CHECK (book_id > 0)
);

CREATE TABLE merchant (
    book_id     bigint NOT NULL CHECK (book_id > 0),
    merchant_id text NOT NULL,
    name        text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 200),
    currencies  text NOT NULL, -- sorted, comma-separated ISO 4217 codes
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (book_id, merchant_id)
);

-- One row for each key that was used with success: what it was used for, the hash of the request, and the first answer.
CREATE TABLE idempotency (
    book_id      bigint NOT NULL,
    merchant_id  text NOT NULL,
    key          text NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 128),
    operation    smallint NOT NULL, -- 1 payout, 2 recipient, 3 deposit
    request_hash bytea NOT NULL CHECK (octet_length(request_hash) = 32),
    response     bytea NOT NULL,    -- the packed message that was answered first; of a recipient sealed, as it has the name
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (book_id, merchant_id, key)
);

CREATE TABLE recipient (
    book_id       bigint NOT NULL,
    recipient_id  uuid NOT NULL,
    merchant_id   text NOT NULL,
    holder_type   smallint NOT NULL CHECK (holder_type IN (1, 2)),
    account_type  smallint NOT NULL CHECK (account_type IN (1, 2)),
    currency      text NOT NULL,
    routing_code  text NOT NULL,
    account_last4 text NOT NULL,
    name_sealed   bytea NOT NULL, -- AES-256-GCM, AAD "recipient|name|<book>|<recipient>"
    account_sealed bytea NOT NULL, -- AES-256-GCM, AAD "recipient|account|<book>|<recipient>"
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (book_id, recipient_id)
);

-- The intent. Never changes.
CREATE TABLE payout (
    book_id            bigint NOT NULL,
    payout_id          uuid NOT NULL,
    merchant_id        text NOT NULL,
    recipient_id       uuid NOT NULL,
    amount             bigint NOT NULL CHECK (amount > 0),
    currency           text NOT NULL CHECK (octet_length(currency) = 3),
    rail               smallint NOT NULL CHECK (rail IN (1, 2)),
    external_reference text NOT NULL,
    description        text NOT NULL,
    created_at         timestamptz NOT NULL,
    PRIMARY KEY (book_id, payout_id)
);
-- payout_id is time-ordered (UUIDv7), so this is also "newest first".
CREATE INDEX payout_merchant ON payout (book_id, merchant_id, payout_id);

-- Where the saga of a payout stands: a summary of its step log, and the lease. Narrow, because it is updated often.
CREATE TABLE saga (
    book_id     bigint NOT NULL,
    payout_id   uuid NOT NULL,
    rail        smallint NOT NULL,
    step        smallint NOT NULL CHECK (step BETWEEN 1 AND 8), -- 1 RESERVE 2 EXECUTE 3 RESOLVE 4 AWAIT 5 CONFIRM 6 VOID 7 RETURN 8 DONE
    phase       smallint NOT NULL CHECK (phase IN (0, 1)),      -- 0 ready, 1 acting: the intent is in the log
    state       smallint NOT NULL CHECK (state BETWEEN 1 AND 10), -- payments.v1.PayoutState
    outlook     smallint NOT NULL DEFAULT 0, -- the state that a VOID leads to (7 FAILED, 8 RETURNED); 0 otherwise
    attempt     integer NOT NULL,  -- submissions to the rail so far
    tries       integer NOT NULL,  -- tries of the current step since it last made progress
    log_seq     integer NOT NULL,  -- last row of the step log
    events      integer NOT NULL,  -- rail events recorded, those of kind "accepted" not counted: they move nothing
    events_seen integer NOT NULL,  -- rail events taken into account
    due_at      timestamptz,       -- when a worker may take it: the lease's end while one has it; NULL: nothing to do
    owner       uuid,              -- worker that has it
    epoch       bigint NOT NULL,   -- grows with each claim: the fencing token
    reason      text NOT NULL,
    reason_text text NOT NULL,
    rail_reference text NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (book_id, payout_id)
) WITH (fillfactor = 70);
CREATE INDEX saga_due ON saga (book_id, rail, step, due_at) WHERE due_at IS NOT NULL;

-- The step log: the truth about a payout. Inserted, never changed.
CREATE TABLE step_log (
    book_id     bigint NOT NULL,
    payout_id   uuid NOT NULL,
    seq         integer NOT NULL CHECK (seq > 0),
    step        smallint NOT NULL,
    kind        smallint NOT NULL CHECK (kind IN (1, 2)), -- 1 intent, 2 outcome
    outcome     smallint NOT NULL, -- 0 for an intent; see domain/machine.h
    attempt     integer NOT NULL,
    reason      text NOT NULL,
    detail      text NOT NULL,
    rail_reference text NOT NULL,
    transfer_id uuid,              -- ledger transfer of this step
    owner       uuid NOT NULL,
    epoch       bigint NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (book_id, payout_id, seq)
);

-- What a rail said of a payout by itself: a webhook, a line of a settlement or return file. event_id makes it once-only.
CREATE TABLE rail_event (
    book_id     bigint NOT NULL,
    payout_id   uuid NOT NULL,
    event_id    text NOT NULL CHECK (octet_length(event_id) BETWEEN 1 AND 200),
    attempt     integer NOT NULL,
    kind        smallint NOT NULL, -- 1 accepted, 2 refused, 3 settled, 4 returned
    code        text NOT NULL,     -- R03, AC04 …
    detail      text NOT NULL,
    rail_reference text NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (book_id, payout_id, event_id)
);

-- Files that came from a bank, once each.
CREATE TABLE inbound_file (
    book_id     bigint NOT NULL,
    name        text NOT NULL,
    sha256      bytea NOT NULL,
    records     integer NOT NULL,
    content_sealed bytea NOT NULL, -- AES-256-GCM, AAD "inbound_file|content|<book>|<name>"
    received_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, name)
);

-- NACHA numbering of a book: trace sequence, and the file id modifier of the day.
CREATE TABLE ach_counter (
    book_id       bigint PRIMARY KEY,
    next_trace    bigint NOT NULL CHECK (next_trace BETWEEN 1 AND 9999999),
    file_date     date NOT NULL,
    next_modifier smallint NOT NULL CHECK (next_modifier BETWEEN 0 AND 36) -- index in A-Z0-9; 36: exhausted for the day
);

CREATE TABLE ach_file (
    book_id     bigint NOT NULL,
    file_id     uuid NOT NULL,
    name        text NOT NULL,
    file_date   date NOT NULL,
    modifier    text NOT NULL CHECK (octet_length(modifier) = 1),
    entries     integer NOT NULL,
    total       bigint NOT NULL,
    sha256      bytea NOT NULL,
    content_sealed bytea NOT NULL, -- AES-256-GCM, AAD "ach_file|content|<book>|<file id>"
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (book_id, file_id),
    UNIQUE (book_id, file_date, modifier),
    UNIQUE (book_id, name)
);

CREATE TABLE ach_entry (
    book_id   bigint NOT NULL,
    trace     bigint NOT NULL, -- sequence part of the trace number
    payout_id uuid NOT NULL,
    attempt   integer NOT NULL,
    amount    bigint NOT NULL,
    file_id   uuid NOT NULL,
    PRIMARY KEY (book_id, trace),
    UNIQUE (book_id, payout_id, attempt)
);

GRANT SELECT, INSERT ON merchant_book, merchant, idempotency, recipient, payout, saga, step_log, rail_event,
    inbound_file, ach_counter, ach_file, ach_entry TO payments_service;
GRANT UPDATE (step, phase, state, outlook, attempt, tries, log_seq, events, events_seen, due_at, owner, epoch, reason,
    reason_text, rail_reference, updated_at) ON saga TO payments_service;
GRANT UPDATE (next_trace, file_date, next_modifier) ON ach_counter TO payments_service;
