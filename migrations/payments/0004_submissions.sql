-- Submissions: what is sent to a bank as one thing, such as a file, has a row, a state and one sender at a time.
--
-- Until now a file was sent by whoever held one of its entries, so that two could send it at once, and what was known about an
-- upload was known only while it ran. Now the sender has a lease by the database's clock, each upload leaves rows before and
-- after it, and the numbers that a scheme limits belong to the connection, whose books share them.

CREATE TABLE submission (
    book_id        bigint NOT NULL CHECK (book_id > 0),
    submission_id  uuid NOT NULL,
    connection     smallint NOT NULL,
    kind           smallint NOT NULL CHECK (kind IN (1, 2)), -- 1 a file, 2 a single call
    name           text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 200), -- at the bank
    origin         text NOT NULL,            -- who we are at the bank in it
    cycle          integer NOT NULL,         -- of its numbers; 0: files of the first version, numbered by book
    number_first   bigint NOT NULL,
    number_last    bigint NOT NULL,
    items          integer NOT NULL CHECK (items > 0),
    total          bigint NOT NULL,          -- minor units
    currency       text NOT NULL CHECK (octet_length(currency) = 3),
    size           bigint NOT NULL,          -- of the content, bytes
    sha256         bytea NOT NULL CHECK (octet_length(sha256) = 32),
    content_sealed bytea NOT NULL,           -- AES-256-GCM, AAD "<seal>|content|<book>|<submission>"
    seal           text NOT NULL CHECK (seal IN ('submission', 'ach_file')),
    generation     integer NOT NULL CHECK (generation > 0), -- 1, and one more each time that its payouts had to be put into a new one
    window_at      timestamptz NOT NULL,     -- the cut-off that it was made for
    stale_at       timestamptz NOT NULL,     -- from then on its dates are past
    created_at     timestamptz NOT NULL,
    state          smallint NOT NULL CHECK (state BETWEEN 1 AND 7), -- 1 PREPARED 2 SENDING 3 SENT 4 ACKED 5 REJECTED 6 UNKNOWN 7 WITHDRAWN
    tries          integer NOT NULL DEFAULT 0, -- fruitless tries since it last made progress
    due_at         timestamptz,              -- when its sender looks at it next; NULL: nothing to do by itself
    owner          uuid,                     -- who has it at the moment
    epoch          bigint NOT NULL DEFAULT 0, -- grows with each claim: the fencing token
    lease_ends_at  timestamptz,              -- by this database's clock; NULL: nobody has it
    reason         text NOT NULL DEFAULT '',
    reason_text    text NOT NULL DEFAULT '',
    sent_at        timestamptz,
    changed_at     timestamptz NOT NULL,
    PRIMARY KEY (book_id, submission_id)
);
CREATE INDEX submission_due ON submission (book_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX submission_state ON submission (book_id, state, submission_id);
-- Sealed bytes: trying to compress them is in vain.
ALTER TABLE submission ALTER COLUMN content_sealed SET STORAGE EXTERNAL;

-- The attempts of payouts that are in it. A number is unique within its connection and cycle.
CREATE TABLE submission_item (
    book_id       bigint NOT NULL,
    submission_id uuid NOT NULL,
    payout_id     uuid NOT NULL,
    attempt       integer NOT NULL,
    number        bigint NOT NULL,
    amount        bigint NOT NULL,
    PRIMARY KEY (book_id, payout_id, attempt),
    UNIQUE (book_id, submission_id, number)
);

-- What is known about it, in the order in which it became known. Inserted, never changed.
CREATE TABLE submission_upload (
    book_id       bigint NOT NULL,
    submission_id uuid NOT NULL,
    seq           integer NOT NULL CHECK (seq > 0),
    kind          smallint NOT NULL, -- 1 begun 2 finished 3 taken back 4 seen 5 not seen 6 accepted 7 rejected 8 withdrawn 9 last step begun 10 the archive does not have it
    epoch         bigint NOT NULL,   -- of the claim under which it was done
    owner         uuid,              -- who did it; NULL: the bank said it
    inbox_id      uuid,              -- where the bank's bytes are
    detail        text NOT NULL,
    at            timestamptz NOT NULL,
    PRIMARY KEY (book_id, submission_id, seq)
);

-- Where a name or a number of a connection leads. In book 0: one connection serves all books, and a bank's line does not name one.
CREATE TABLE submission_directory (
    book_id       bigint NOT NULL CHECK (book_id = 0),
    submission_id uuid NOT NULL,
    connection    smallint NOT NULL,
    home_book     bigint NOT NULL,   -- of the submission
    name          text NOT NULL,
    cycle         integer NOT NULL,
    number_first  bigint NOT NULL,
    number_last   bigint NOT NULL CHECK (number_last >= number_first),
    PRIMARY KEY (book_id, submission_id)
);
CREATE INDEX submission_directory_number ON submission_directory (book_id, connection, number_first);
CREATE INDEX submission_directory_name ON submission_directory (book_id, connection, name);

-- The next number of a connection, in book 0. When they are used up, the next cycle begins at 1.
CREATE TABLE submission_number (
    book_id     bigint NOT NULL CHECK (book_id = 0),
    connection  smallint NOT NULL,
    cycle       integer NOT NULL CHECK (cycle > 0),
    next_number bigint NOT NULL CHECK (next_number > 0),
    PRIMARY KEY (book_id, connection)
);

-- File ids that an origin has used on a day, in book 0: there are 36. The day is in the key, so a day that was wrong is used up alone.
CREATE TABLE submission_day (
    book_id       bigint NOT NULL CHECK (book_id = 0),
    connection    smallint NOT NULL,
    origin        text NOT NULL,
    file_date     date NOT NULL,
    next_modifier smallint NOT NULL CHECK (next_modifier BETWEEN 0 AND 36), -- index in A-Z0-9
    window_at     timestamptz NOT NULL, -- the window in which the last file was cut
    in_window     integer NOT NULL,     -- files that were cut in it since few were left
    cut_at        timestamptz NOT NULL, -- when the last file was cut
    PRIMARY KEY (book_id, connection, origin, file_date)
);

GRANT SELECT, INSERT ON submission, submission_item, submission_upload, submission_directory, submission_number, submission_day
    TO payments_service;
GRANT UPDATE (state, tries, due_at, owner, epoch, lease_ends_at, reason, reason_text, sent_at, changed_at) ON submission
    TO payments_service;
GRANT UPDATE (cycle, next_number) ON submission_number TO payments_service;
GRANT UPDATE (next_modifier, window_at, in_window, cut_at) ON submission_day TO payments_service;

-- The files of the first version. What the sagas of a file's entries say, decides where it stands:
-- heard of (settled, returned, accepted, or waiting for the bank): 3 SENT; refused as a whole: 5 REJECTED; all of its entries
-- ready to be sent, with no try ever begun and none ever asked for: 1 PREPARED; all else: 2 SENDING, and the bank is asked.
INSERT INTO submission (book_id, submission_id, connection, kind, name, origin, cycle, number_first, number_last, items, total,
    currency, size, sha256, content_sealed, seal, generation, window_at, stale_at, created_at, state, due_at, changed_at)
SELECT f.book_id, f.file_id, 1, 1, f.name, split_part(f.name, '-', 1), 0, i.number_first, i.number_last, f.entries, f.total, 'USD',
    octet_length(f.content_sealed) - 30 - get_byte(f.content_sealed, 1), f.sha256, f.content_sealed, 'ach_file', 1, f.created_at,
    (f.file_date + 1)::timestamp AT TIME ZONE 'America/New_York', f.created_at, i.state,
    CASE WHEN i.state IN (1, 2) THEN f.created_at END, f.created_at
FROM ach_file AS f
JOIN (
    SELECT e.book_id, e.file_id, min(e.trace) AS number_first, max(e.trace) AS number_last,
        CASE WHEN bool_or(v.settled) OR bool_or(s.attempt = e.attempt AND s.step IN (4, 5, 7)) OR bool_or(l.accepted) THEN 3
             WHEN bool_or(v.refused) THEN 5
             WHEN bool_and(s.attempt = e.attempt AND s.step = 2 AND s.phase = 0 AND NOT coalesce(l.touched, false)) THEN 1
             ELSE 2 END AS state
    FROM ach_entry AS e
    JOIN saga AS s ON s.book_id = e.book_id AND s.payout_id = e.payout_id
    LEFT JOIN (SELECT book_id, payout_id, attempt, bool_or(kind IN (3, 4)) AS settled,
                   bool_or(kind = 2 AND code = 'FILE_REJECTED') AS refused
               FROM rail_event GROUP BY book_id, payout_id, attempt) AS v
        ON v.book_id = e.book_id AND v.payout_id = e.payout_id AND v.attempt = e.attempt
    LEFT JOIN (SELECT g.book_id, g.payout_id, g.attempt, bool_or(g.kind = 2 AND g.outcome = 5) AS accepted,
                   bool_or((g.step = 2 AND g.kind = 1) OR (g.step = 3 AND g.kind = 2)) AS touched
               FROM step_log AS g
               WHERE g.step IN (2, 3) GROUP BY g.book_id, g.payout_id, g.attempt) AS l
        ON l.book_id = e.book_id AND l.payout_id = e.payout_id AND l.attempt = e.attempt
    GROUP BY e.book_id, e.file_id
) AS i ON i.book_id = f.book_id AND i.file_id = f.file_id;

INSERT INTO submission_item (book_id, submission_id, payout_id, attempt, number, amount)
SELECT book_id, file_id, payout_id, attempt, trace, amount FROM ach_entry;

-- An upload of the first version left no row; where nobody knows, one was begun.
INSERT INTO submission_upload (book_id, submission_id, seq, kind, epoch, detail, at)
SELECT s.book_id, s.submission_id, k.seq, k.kind, 0, 'a file of the first version', s.created_at
FROM submission AS s CROSS JOIN (VALUES (1, 1), (2, 9)) AS k (seq, kind) WHERE s.state IN (2, 3, 5);

INSERT INTO submission_directory (book_id, submission_id, connection, home_book, name, cycle, number_first, number_last)
SELECT 0, submission_id, connection, book_id, name, cycle, number_first, number_last FROM submission;

-- The first version's numbers and file ids must not come again.
INSERT INTO submission_number (book_id, connection, cycle, next_number)
SELECT 0, 1, 1, max(next_trace) FROM ach_counter HAVING max(next_trace) IS NOT NULL;
INSERT INTO submission_day (book_id, connection, origin, file_date, next_modifier, window_at, in_window, cut_at)
SELECT 0, 1, split_part(f.name, '-', 1), f.file_date, count(*), max(f.created_at), 0, max(f.created_at)
FROM ach_file AS f GROUP BY split_part(f.name, '-', 1), f.file_date;

DROP TABLE ach_entry, ach_file, ach_counter;
