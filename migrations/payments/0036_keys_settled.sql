-- When a key has sealed last, and which key a name means.

-- sealing_at: when an instance has said last that it seals with this key, by the clock of the database; NULL: no instance ever has. The row
-- outlives the instance, so a rotation knows of an instance that is gone.
-- check_value: tells the key from another one of the same name (a MAC that says nothing of the key). NULL: a row that is older than this,
-- until a ring was compared with what the key has sealed.
ALTER TABLE data_key ADD COLUMN sealing_at timestamptz, ADD COLUMN check_value bytea;
-- As far as instances have said it.
UPDATE data_key SET sealing_at = coalesce((SELECT max(i.seen_at) FROM key_instance AS i WHERE i.book_id = 0 AND i.current = data_key.key_id),
    first_at) WHERE sealed OR macs;
-- walk_at: when the rotation has begun to look at rows; NULL: it waits until what was sealed under other keys before is committed.
ALTER TABLE key_rotation ADD COLUMN walk_at timestamptz;
UPDATE key_rotation SET walk_at = started_at WHERE walked > 0 OR state = 2;

GRANT UPDATE (sealing_at, check_value) ON data_key TO payments_service;
GRANT UPDATE (walk_at) ON key_rotation TO payments_service;
