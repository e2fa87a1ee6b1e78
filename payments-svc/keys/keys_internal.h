// What the files of this room share.
#ifndef KEYS_KEYS_INTERNAL_H
#define KEYS_KEYS_INTERNAL_H

#include <stdatomic.h>

#include "base/metrics.h"
#include "base/ticker.h"
#include "keys/keys.h"
#include "keys/keys_sql.h"

enum {
    KEYS_DB_MS = 15000,
    KEYS_BEATS = 3 // an instance says so often within alive_ms that it runs
};

struct keys {
    keys_options o;
    uuid instance;
    ticker *ticker;
    arena *a, *batch; // batch: of what is opened; wiped value by value
    int64_t beaten_ms;
    bool looked; // the ring was compared with the keys in use
    metric *faulty, *walked, *resealed, *unreadable;
};

// What a ring has, as the tables say it.
typedef struct ring_ids {
    crypto_key_info keys[CRYPTO_KEYS_MAX];
    size_t n, current;
} ring_ids;

int64_t keys_soon(void); // a deadline for one transaction of our own
bool keys_read_list(db_conn *c, keys_sql_id which, arena *a, const key_row **out, size_t *n,
                    err *e) WARN_UNUSED;
// The running instances.
bool keys_read_instances(const keys *k, db_conn *c, arena *a, const key_instance_row **out,
                         size_t *n, err *e) WARN_UNUSED;
// The last rotation (KEYS_SQL_ROTATION_LAST), or the rotation under way if no other instance works on it (…_CLAIM).
bool keys_read_rotation(const keys *k, db_conn *c, keys_sql_id which, arena *a, bool *found,
                        rotation_row *out, err *e) WARN_UNUSED;
// True when all running instances seal with the key.
bool keys_all_seal_with(const key_instance_row *rows, size_t n, str key_id);
// How long after a key's last seal its values may still be uncommitted: the instance may have stopped reporting, with values to write.
int64_t keys_unsettled_ms(const keys *k);

// One batch of the walk under way (walk.c). *found: there is a walk, and it was this instance's turn.
bool keys_walk(keys *k, bool *found, err *e) WARN_UNUSED;

#endif
