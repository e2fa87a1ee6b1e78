-- Requests: what a payout is outside of this database.

-- Derived from (book, merchant, idempotency key), so that a client's repeat which meets a database that has forgotten the payout
-- still meets the same payment at the bank and the same transfers in the ledger. Payouts that were accepted before this keep the
-- names that they have given out already, which were made of their ids.
ALTER TABLE payout ADD COLUMN intent_id uuid;
UPDATE payout SET intent_id = payout_id;
ALTER TABLE payout ALTER COLUMN intent_id SET NOT NULL;
-- One payout for an intent (promise NO-DOUBLE), and the way from a bank's word to its payout.
CREATE UNIQUE INDEX payout_intent ON payout (book_id, intent_id);

-- A key belongs to an operation of a merchant, so that a payout and a recipient may have the same one.
ALTER TABLE idempotency DROP CONSTRAINT idempotency_pkey;
ALTER TABLE idempotency ADD PRIMARY KEY (book_id, merchant_id, operation, key);
-- Hashes of requests were SHA-256 without a key (32 bytes), and let account numbers be guessed. New ones are an HMAC: version (1 byte),
-- key id length (1 byte), key id, MAC (32 bytes).
ALTER TABLE idempotency DROP CONSTRAINT idempotency_request_hash_check;
ALTER TABLE idempotency ADD CONSTRAINT idempotency_request_hash_check CHECK (octet_length(request_hash) BETWEEN 32 AND 66);
-- The answer is rebuilt from what was made, which never changes, or is kept whole as before.
ALTER TABLE idempotency ADD COLUMN made uuid;
ALTER TABLE idempotency ADD COLUMN format smallint NOT NULL DEFAULT 1; -- how it is rebuilt: a later form gets a later number
ALTER TABLE idempotency ALTER COLUMN response DROP NOT NULL;
ALTER TABLE idempotency ADD CONSTRAINT idempotency_answer_check CHECK ((response IS NULL) <> (made IS NULL));

-- Money in: a row (intent) before it is a transfer of the ledger, with the same id, derived from (book, merchant, key). Only what
-- became of it is written later. Deposits that were made before this have no row.
CREATE TABLE deposit (
    book_id     bigint NOT NULL,
    deposit_id  uuid NOT NULL,
    merchant_id text NOT NULL,
    key         text NOT NULL,
    amount      bigint NOT NULL CHECK (amount > 0),
    currency    text NOT NULL CHECK (octet_length(currency) = 3),
    reference   text NOT NULL,
    state       smallint NOT NULL CHECK (state BETWEEN 1 AND 3), -- 1 PENDING 2 CREDITED 3 REFUSED
    reason      text NOT NULL, -- why it is REFUSED
    created_at  timestamptz NOT NULL,
    decided_at  timestamptz,   -- when the ledger committed or refused it; NULL while PENDING
    PRIMARY KEY (book_id, deposit_id)
);
CREATE INDEX deposit_merchant ON deposit (book_id, merchant_id, created_at, deposit_id);
CREATE INDEX deposit_open ON deposit (book_id, deposit_id) WHERE state = 1;

GRANT SELECT, INSERT ON deposit TO payments_service;
GRANT UPDATE (state, reason, decided_at) ON deposit TO payments_service;

-- Lists and watches find what they ask for, whatever the merchant's history.
CREATE INDEX payout_reference ON payout (book_id, merchant_id, external_reference, payout_id) WHERE external_reference <> '';
CREATE INDEX payout_recipient ON payout (book_id, recipient_id, payout_id);
-- Its state when it ended otherwise than SETTLED. A column of its own, so that no index names the state: a change of the state alone
-- then touches no index.
ALTER TABLE saga ADD COLUMN ended_badly smallint GENERATED ALWAYS AS (CASE WHEN state IN (7, 8, 9) THEN state END) STORED;
CREATE INDEX saga_ended_badly ON saga (book_id, payout_id) WHERE ended_badly IS NOT NULL;
