-- What a person has judged stays judged: a later message is weighed by what it adds. Each is NULL for nearly all payouts.
ALTER TABLE saga
    ADD COLUMN judged_settled  bigint,  -- minor units; below 0: so much of what messages say has settled does not count; above 0: so much
                                        -- counts as settled, whether messages say so or not
    ADD COLUMN judged_returned bigint,  -- the same of what came back
    ADD COLUMN judged_refusals integer, -- so many refusals of the present attempt were judged
    ADD COLUMN judged_odd      integer; -- so many messages that cannot be were judged
GRANT UPDATE (judged_settled, judged_returned, judged_refusals, judged_odd) ON saga TO payments_service;
