-- What merchants owe: money that a bank has paid, or taken back, and that the merchant's balance did not cover.

-- The ledger says how much (merchant.receivable); a row says whom to look at, so that what comes in later repays it. It is written in the
-- transaction that writes what was paid, and goes when nothing is owed any more: there are few.
CREATE TABLE receivable (
    book_id     bigint NOT NULL,
    merchant_id text NOT NULL,
    currency    text NOT NULL CHECK (octet_length(currency) = 3),
    noted       bigint NOT NULL CHECK (noted > 0), -- how often something was found to be owed: whoever ends the row has seen the last
    owed        bigint NOT NULL CHECK (owed >= 0), -- minor units, as of the last look; 0: not looked at yet
    since       timestamptz NOT NULL,
    PRIMARY KEY (book_id, merchant_id, currency)
);
GRANT SELECT, INSERT, DELETE ON receivable TO payments_service;
GRANT UPDATE (noted, owed) ON receivable TO payments_service;

-- A deposit that its bank took back: an intent (4) before the ledger is told. back_number: which try it is, since a try that the ledger has
-- refused has burned its ids.
ALTER TABLE deposit DROP CONSTRAINT deposit_state_check;
ALTER TABLE deposit ADD CONSTRAINT deposit_state_check CHECK (state BETWEEN 1 AND 5); -- 4 TAKING_BACK 5 TAKEN_BACK
ALTER TABLE deposit ADD COLUMN back_number integer NOT NULL DEFAULT 0;
ALTER TABLE deposit ADD COLUMN back_reason text NOT NULL DEFAULT '';
ALTER TABLE deposit ADD COLUMN back_at timestamptz;
CREATE INDEX deposit_going_back ON deposit (book_id, deposit_id) WHERE state = 4;
GRANT UPDATE (back_number, back_reason, back_at) ON deposit TO payments_service;
