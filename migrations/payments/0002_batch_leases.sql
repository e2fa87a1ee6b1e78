-- A lease belongs to a batch, not to each of its sagas.
--
-- Until now a claim wrote owner, epoch and the end of the lease into every saga that it took, which made three of the seven
-- updates that a payout costs. Now a claim writes its intents into the step log, and one row here; a saga is written when
-- the outcome of its step is known. What the log has beyond saga.log_seq is being done by whoever has the lease; when its
-- time is up, the next worker takes the lease away and brings the sagas up to their logs (promise FENCED).

-- Claims of one (book, rail, step) come one after the other, whichever process makes them: who has this row's lock sees all
-- leases that were given before.
CREATE TABLE saga_slot (
    book_id bigint NOT NULL,
    rail    smallint NOT NULL,
    step    smallint NOT NULL,
    claims  bigint NOT NULL,
    PRIMARY KEY (book_id, rail, step)
);

CREATE TABLE saga_lease (
    book_id    bigint NOT NULL,
    lease_id   uuid NOT NULL,
    rail       smallint NOT NULL,
    step       smallint NOT NULL,    -- that the sagas stood at when they were taken
    owner      uuid NOT NULL,        -- worker that has them
    ends_at    timestamptz NOT NULL, -- moved on by its owner while it works; whoever finds it in the past may take it away
    n          integer NOT NULL,
    payout_ids uuid[] NOT NULL,
    PRIMARY KEY (book_id, lease_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
-- Random bytes: trying to compress them is in vain.
ALTER TABLE saga_lease ALTER COLUMN payout_ids SET STORAGE EXTERNAL;

-- The state that a VOID leads to, in the row of its intent: with it a saga can be brought up to its log. 0 otherwise.
ALTER TABLE step_log ADD COLUMN outlook smallint NOT NULL DEFAULT 0;

-- A saga that is acting as this is applied (phase 1) stays so until its due_at, the end of its lease then; nobody but the
-- worker that was stopped before this could have written its outcome.
ALTER TABLE saga DROP COLUMN owner;

GRANT SELECT, INSERT ON saga_slot, saga_lease TO payments_service;
GRANT UPDATE (claims) ON saga_slot TO payments_service;
GRANT UPDATE (ends_at) ON saga_lease TO payments_service;
GRANT DELETE ON saga_lease TO payments_service;
