-- Requests: what a payout is outside of this database.

-- Derived from (book, merchant, idempotency key), so that a client's repeat which meets a database that has forgotten the payout
-- still meets the same payment at the bank and the same transfers in the ledger. Payouts that were accepted before this keep the
-- names that they have given out already, which were made of their ids.
ALTER TABLE payout ADD COLUMN intent_id uuid;
UPDATE payout SET intent_id = payout_id;
ALTER TABLE payout ALTER COLUMN intent_id SET NOT NULL;
-- One payout for an intent (promise NO-DOUBLE), and the way from a bank's word to its payout.
CREATE UNIQUE INDEX payout_intent ON payout (book_id, intent_id);
