-- What was said of a payout says how much moved, who said it, and where its raw bytes are.

-- Rows from before have amount 0: the bank did not say, which means the whole amount of the payout.
ALTER TABLE rail_event
    ADD COLUMN amount     bigint NOT NULL DEFAULT 0 CHECK (amount >= 0), -- minor units that moved; 0: none, or not said
    ADD COLUMN currency   text NOT NULL DEFAULT '' CHECK (octet_length(currency) IN (0, 3)), -- '' when not said
    ADD COLUMN inbox_id   uuid,                          -- the raw file or message; NULL when there is none
    ADD COLUMN inbox_line integer NOT NULL DEFAULT 0,    -- line in it; 0: all of it
    ADD COLUMN source     smallint NOT NULL DEFAULT 1,   -- 1 bank 2 person 3 timer 4 submission 5 ledger
    ADD COLUMN actor      text NOT NULL DEFAULT '';      -- who gave an order: program and person; '' for a bank
