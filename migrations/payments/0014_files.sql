-- What banks say of files, and what is not heard.

-- A submission may be DISPUTED: the bank's words do not say whether it has it, so a person must.
ALTER TABLE submission DROP CONSTRAINT submission_state_check;
ALTER TABLE submission ADD CONSTRAINT submission_state_check CHECK (state BETWEEN 1 AND 8); -- 8 DISPUTED
