-- What a person has judged stays judged: a later message is weighed by what it adds. Each is NULL for nearly all payouts.
ALTER TABLE saga
    ADD COLUMN judged_settled  bigint,  -- minor units by which what counts as settled differs from what the messages add up to
    ADD COLUMN judged_returned bigint,  -- the same of what came back
    ADD COLUMN judged_refusals integer, -- so many refusals of the present attempt were judged
    ADD COLUMN judged_odd      integer; -- so many messages that cannot be were judged
GRANT UPDATE (judged_settled, judged_returned, judged_refusals, judged_odd) ON saga TO payments_service;
