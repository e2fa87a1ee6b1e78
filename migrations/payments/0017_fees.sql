-- What a payout costs its merchant beside its amount, in minor units, as the settings said when it was accepted; NULL: nothing.
ALTER TABLE payout ADD COLUMN fee bigint;
ALTER TABLE payout ADD CONSTRAINT payout_fee_check CHECK (fee > 0) NOT VALID; -- no row that is there has one, so none is read
