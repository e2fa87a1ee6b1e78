-- Sagas: what was said of a payout says how much moved, who said it, and where its raw bytes are; a hold stands beside the step.

-- Rows from before have amount 0: the bank did not say, which means the whole amount of the payout.
ALTER TABLE rail_event
    ADD COLUMN amount     bigint NOT NULL DEFAULT 0 CHECK (amount >= 0), -- minor units that moved; 0: none, or not said
    ADD COLUMN currency   text NOT NULL DEFAULT '' CHECK (octet_length(currency) IN (0, 3)), -- '' when not said
    ADD COLUMN inbox_id   uuid,                          -- the raw file or message; NULL when there is none
    ADD COLUMN inbox_line integer NOT NULL DEFAULT 0,    -- line in it; 0: all of it
    ADD COLUMN source     smallint NOT NULL DEFAULT 1,   -- 1 bank 2 person 3 timer 4 submission 5 ledger
    ADD COLUMN actor      text NOT NULL DEFAULT '';      -- who gave an order: program and person; '' for a bank

-- Orders of a person are events, too. They are numbered, so that each is taken up once.
ALTER TABLE rail_event
    ADD COLUMN order_number integer; -- among the orders of the payout, from 1; NULL for what a bank says

-- A hold stands beside the step. What is seldom needed is NULL, so that a row stays as narrow as it was.
ALTER TABLE saga
    ADD COLUMN hold        text NOT NULL DEFAULT '', -- why a person must look; '' when it is not held
    ADD COLUMN hold_text   text NOT NULL DEFAULT '', -- the same for people
    ADD COLUMN held_state  smallint,                 -- while it is held (state 10): the state that it has beside the hold
    ADD COLUMN doubt       smallint,                 -- 1: the attempt was unknown once; 2: and a repeat of it was refused
    ADD COLUMN returned    bigint,                   -- of a settled payout: minor units that were moved back since
    ADD COLUMN moving      bigint,                   -- minor units that the present step of the ledger moves; NULL: all
    ADD COLUMN written_off bigint,                   -- minor units that suspense bears: above 0, the bank has paid more than the merchant
    ADD COLUMN leg         integer,                  -- number of the ledger's ids for the present step; NULL: 1
    ADD COLUMN reserve_leg integer,                  -- number that the reservation was made under; NULL: 1
    ADD COLUMN orders      integer,                  -- number of the last order that was taken up
    ADD COLUMN judged      integer;                  -- so many events were judged by a person and hold it no more
ALTER TABLE saga ADD COLUMN step_since timestamptz; -- when the step was entered
UPDATE saga SET step_since = updated_at;
ALTER TABLE saga ALTER COLUMN step_since SET NOT NULL; -- without a default: whoever adds a saga says when

-- Steps 9 GATE and 10 CANCEL. What is there already passes the old check, and so the new one.
ALTER TABLE saga DROP CONSTRAINT saga_step_check;
ALTER TABLE saga ADD CONSTRAINT saga_step_check CHECK (step BETWEEN 1 AND 10) NOT VALID;

ALTER TABLE step_log ADD COLUMN moving bigint; -- of an intent: minor units, as saga.moving

-- A payout that was HELD had lost its step, its outlook and the state beside the hold; its log still has them. One that may have been
-- submitted asks the bank first (3 RESOLVE) when a person lets it go on, whatever the reason was for which it was held.
UPDATE saga AS s
SET hold = s.reason,
    hold_text = s.reason_text,
    step = h.step,
    held_state = h.state,
    outlook = CASE WHEN h.step = 6 THEN h.outlook ELSE 0 END,
    doubt = CASE WHEN h.step = 3 THEN 1 END,
    reason = h.reason,
    reason_text = h.detail
FROM (
    SELECT f.book_id, f.payout_id, f.step, f.outlook, f.reason, f.detail,
        CASE f.step
            WHEN 1 THEN 4
            WHEN 2 THEN 4
            WHEN 3 THEN CASE WHEN f.accepted THEN 5 ELSE 4 END
            WHEN 7 THEN 6
            WHEN 8 THEN CASE f.ended_by WHEN 1 THEN 7 WHEN 5 THEN 6 WHEN 7 THEN 8 ELSE f.outlook END
            ELSE 5
        END AS state
    FROM (
        SELECT s.book_id, s.payout_id,
            CASE WHEN l.step = 2 AND EXISTS (
                SELECT 1 FROM step_log AS i
                WHERE i.book_id = s.book_id AND i.payout_id = s.payout_id AND i.step = 2 AND i.kind = 1 AND i.attempt = s.attempt
            ) THEN 3 ELSE l.step END AS step,
            EXISTS (
                SELECT 1 FROM step_log AS o
                WHERE o.book_id = s.book_id AND o.payout_id = s.payout_id AND o.kind = 2 AND o.outcome = 5 AND o.attempt = s.attempt
            ) AS accepted,
            -- Where a VOID led to: as its intent says (since 0002), or as the rail said.
            CASE
                WHEN v.outlook IN (7, 8) THEN v.outlook
                WHEN EXISTS (
                    SELECT 1 FROM step_log AS o
                    WHERE o.book_id = s.book_id AND o.payout_id = s.payout_id AND o.kind = 2 AND o.outcome = 7
                ) OR EXISTS (
                    SELECT 1 FROM rail_event AS e
                    WHERE e.book_id = s.book_id AND e.payout_id = s.payout_id AND e.kind = 4
                ) THEN 8
                ELSE 7
            END AS outlook,
            coalesce(v.reason, '') AS reason,
            coalesce(v.detail, '') AS detail,
            d.step AS ended_by
        FROM saga AS s
        JOIN step_log AS l ON l.book_id = s.book_id AND l.payout_id = s.payout_id AND l.seq = s.log_seq
        -- The last intent to give the money back, and the last step that ended it.
        LEFT JOIN LATERAL (
            SELECT i.outlook, i.reason, i.detail FROM step_log AS i
            WHERE i.book_id = s.book_id AND i.payout_id = s.payout_id AND i.step IN (6, 7) AND i.kind = 1
            ORDER BY i.seq DESC LIMIT 1
        ) AS v ON true
        LEFT JOIN LATERAL (
            SELECT o.step FROM step_log AS o
            WHERE o.book_id = s.book_id AND o.payout_id = s.payout_id AND o.kind = 2
                AND (o.step IN (5, 6, 7) AND o.outcome = 1 OR o.step = 1 AND o.outcome = 2)
            ORDER BY o.seq DESC LIMIT 1
        ) AS d ON true
        WHERE s.state = 10 AND s.step = 8
    ) AS f
) AS h
WHERE s.book_id = h.book_id AND s.payout_id = h.payout_id;

GRANT UPDATE (hold, hold_text, held_state, step_since, doubt, returned, moving, written_off, leg, reserve_leg, orders, judged)
    ON saga TO payments_service;
