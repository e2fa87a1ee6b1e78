-- What banks say is compared with what was sent to them.

-- By which numbers the bank knows who sent a submission: of an ACH file the first eight digits of its traces and the company id of its
-- batches. What comes back names them, for weeks, whatever the settings say by then. NULL: made before they were kept; today's are meant.
ALTER TABLE submission
    ADD COLUMN sender_bank    text CHECK (octet_length(sender_bank) BETWEEN 1 AND 32),
    ADD COLUMN sender_company text CHECK (octet_length(sender_company) BETWEEN 1 AND 32);
