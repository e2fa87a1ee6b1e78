-- What the key of an import, and that of a change of a case, stands for is in the object's own row, as a payout's is. So it lives as long
-- as the object.

-- HMAC of the request, as payout.request_hash. NULL: the row is older than this, and its columns are compared with the request; or nobody
-- has asked for it under a key.
ALTER TABLE payment_import ADD COLUMN request_hash bytea;
-- response: the bytes that the request was answered first. NULL: as above; a repeat is answered the case as it stands.
ALTER TABLE case_note ADD COLUMN request_hash bytea, ADD COLUMN response bytea;
