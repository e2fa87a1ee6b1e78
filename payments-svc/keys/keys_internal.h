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
    bool looked; // the ring was compared with what is in use
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
// Those that run.
bool keys_read_instances(const keys *k, db_conn *c, arena *a, const key_instance_row **out,
                         size_t *n, err *e) WARN_UNUSED;
// The last one (KEYS_SQL_ROTATION_LAST), or the one that goes on and that nobody else works on (…_CLAIM).
bool keys_read_rotation(const keys *k, db_conn *c, keys_sql_id which, arena *a, bool *found,
                        rotation_row *out, err *e) WARN_UNUSED;
// Whether all that run seal with the key.
bool keys_all_seal_with(const key_instance_row *rows, size_t n, str key_id);
// For so long after a key has sealed last, what it has sealed may not be committed: its instance may not have said since that it runs, and
// what was sealed then was still to be written.
int64_t keys_unsettled_ms(const keys *k);

// walk.c: one batch of the walk that goes on. *found: there was one, and it was this instance's turn.
bool keys_walk(keys *k, bool *found, err *e) WARN_UNUSED;

#endif
