-- What banks say of files, and what is not heard.

-- A submission may be DISPUTED: the bank's words do not say whether it has it, so a person must.
ALTER TABLE submission DROP CONSTRAINT submission_state_check;
ALTER TABLE submission ADD CONSTRAINT submission_state_check CHECK (state BETWEEN 1 AND 8); -- 8 DISPUTED

-- When the bank's folder of a connection was last looked through as a whole; NULL: never. Written every half minute at most.
ALTER TABLE connection ADD COLUMN looked_at timestamptz;
GRANT UPDATE (looked_at) ON connection TO payments_service;

-- For when a step was planned first, where that was far ahead, such as the next window of a file; NULL: it was not. It stays when the step
-- misses that time and is planned anew, so that one that misses window after window is overdue.
ALTER TABLE saga ADD COLUMN planned_at timestamptz;
GRANT UPDATE (planned_at) ON saga TO payments_service;

-- A number is found in each cycle by one look, however many files there are.
CREATE INDEX submission_directory_range ON submission_directory (book_id, connection, cycle, number_first);
DROP INDEX submission_directory_number;
