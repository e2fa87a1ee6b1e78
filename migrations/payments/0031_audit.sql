-- Who caused what: in each row that a call makes, and one row of `audit` for each call that wrote something.

-- actor: "PROGRAM", "PROGRAM for PERSON" of a person that the service knows, or "PROGRAM says for PERSON" of a name that the program
-- stated. request_id and trace_id: of the call. NULL: the row is older than this, or no call stands behind it.
ALTER TABLE payout ADD COLUMN actor text, ADD COLUMN request_id text, ADD COLUMN trace_id uuid;
ALTER TABLE recipient ADD COLUMN actor text, ADD COLUMN request_id text, ADD COLUMN trace_id uuid;
ALTER TABLE merchant ADD COLUMN actor text, ADD COLUMN request_id text, ADD COLUMN trace_id uuid;
-- back_…: of the call that took it back.
ALTER TABLE deposit ADD COLUMN actor text, ADD COLUMN request_id text, ADD COLUMN trace_id uuid,
    ADD COLUMN back_actor text, ADD COLUMN back_request_id text, ADD COLUMN back_trace_id uuid;
GRANT UPDATE (back_actor, back_request_id, back_trace_id) ON deposit TO payments_service;
-- Of the call that started the import: the job pays for it.
ALTER TABLE payment_import ADD COLUMN started_request_id text, ADD COLUMN started_trace_id uuid;
GRANT UPDATE (started_request_id, started_trace_id) ON payment_import TO payments_service;

CREATE TABLE audit (
    book_id      bigint NOT NULL CHECK (book_id >= 0), -- 0: it is of no book, or of all
    audit_id     uuid NOT NULL,                        -- UUIDv7: the order of the table is that of time
    at           timestamptz NOT NULL,
    method       text NOT NULL CHECK (method <> ''),   -- "payments.v1.PayoutService/CancelPayout", or a job of the service, "job/imports"
    program      text NOT NULL CHECK (program <> ''),
    person       text NOT NULL,                        -- empty: the program acted for itself
    stated       boolean NOT NULL,                     -- the program stated the person's name, and nobody has proved it
    request_id   text NOT NULL,
    trace_id     uuid,
    merchant_id  text NOT NULL,                        -- empty: it is of no merchant, or of all
    subject_type text NOT NULL,
    subject_id   text NOT NULL,                        -- of a run of new rows: the first
    last_id      text NOT NULL,                        -- of a run: the last, which may be the first; empty: it is no run
    subjects     integer NOT NULL CHECK (subjects > 0),
    what         text NOT NULL,                        -- for people, where the method does not say it all
    PRIMARY KEY (book_id, audit_id)
);
CREATE INDEX audit_merchant ON audit (book_id, merchant_id, audit_id);
CREATE INDEX audit_request ON audit (book_id, request_id, audit_id);
-- Runs are found by the request that their rows name: so what comes most often is in none of these.
CREATE INDEX audit_subject ON audit (book_id, subject_id, audit_id) WHERE last_id = '';
CREATE INDEX audit_person ON audit (book_id, person, audit_id) WHERE person <> '';

GRANT SELECT, INSERT ON audit TO payments_service;

-- The planner takes an empty table for ten pages of rows of the declared width. With the columns above it believes in so few payouts and
-- recipients that each index which begins with book_id seems as good as the one of the key, and statements keep such a plan. An index with
-- this condition, which holds for each row, is only looked at where its second column is asked for.
DROP INDEX payout_merchant, payout_recipient, payout_intent, recipient_merchant, deposit_merchant;
CREATE INDEX payout_merchant ON payout (book_id, merchant_id, payout_id) WHERE merchant_id IS NOT NULL;
CREATE INDEX payout_recipient ON payout (book_id, recipient_id, payout_id) WHERE recipient_id IS NOT NULL;
CREATE UNIQUE INDEX payout_intent ON payout (book_id, intent_id) WHERE intent_id IS NOT NULL;
CREATE INDEX recipient_merchant ON recipient (book_id, merchant_id, recipient_id) WHERE merchant_id IS NOT NULL;
CREATE INDEX deposit_merchant ON deposit (book_id, merchant_id, created_at, deposit_id) WHERE merchant_id IS NOT NULL;
