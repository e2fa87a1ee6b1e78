-- Which connection of a rail carries a merchant's payouts that name none: the row with the highest change counts. Rows are added, never
-- changed, so that it can be read who had them go where, and since when.
CREATE TABLE merchant_connection (
    book_id     bigint NOT NULL CHECK (book_id > 0),
    merchant_id text NOT NULL,
    rail        smallint NOT NULL CHECK (rail > 0),
    change      integer NOT NULL CHECK (change >= 0),      -- 0: made with the merchant
    connection  smallint NOT NULL CHECK (connection >= 0), -- number; 0: that of all merchants
    actor       text NOT NULL,
    changed_at  timestamptz NOT NULL,
    PRIMARY KEY (book_id, merchant_id, rail, change)
);
GRANT SELECT, INSERT ON merchant_connection TO payments_service;

-- The recipients of a merchant, newest first.
CREATE INDEX recipient_merchant ON recipient (book_id, merchant_id, recipient_id);
