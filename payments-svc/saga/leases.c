// Leases in the database: one row for a worker's batch. A saga's log rows beyond its own row are being done under a lease. After the
// lease's end only its intents are known, and become the row (takeover.c).
#include "base/assert.h"
#include "saga/saga_internal.h"
#include "saga/saga_sql.h"

db_params *saga_lease_params(arena *a, int64_t book_id, uuid lease_id) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, lease_id);
    return p;
}

bool saga_lease_take(saga_batch *b, db_conn *c, err *e) {
    uuid *ids = ARENA_ARRAY(b->a, uuid, b->n);
    if (ids == NULL) {
        return err_no_memory(e, "the batch");
    }
    size_t n = 0, n_due = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (b->items[i].acting != STEP_NONE) {
            ids[n++] = b->items[i].payout_id;
            n_due += b->items[i].uncounted == 0 ? 1 : 0;
        }
    }
    if (n == 0) {
        return true;
    }
    b->lease_id = uuid_v7(b->from.clock);
    db_params *p = saga_lease_params(b->a, b->from.book_id, b->lease_id);
    db_i16(p, (int16_t)b->from.rail->id);
    db_i16(p, (int16_t)b->from.step);
    db_uuid(p, b->from.owner);
    db_i64(p, b->from.lease_ms);
    db_i32(p, (int32_t)n);
    db_uuid_array(p, ids, n);
    db_i32(p, (int32_t)n_due);
    return db_exec(c, saga_sql(SAGA_SQL_LEASE), p, b->a, NULL, NULL, e);
}

bool saga_lease_give_back(saga_batch *b, db_conn *c, bool *ours, err *e) {
    db_params *p = saga_lease_params(b->a, b->from.book_id, b->lease_id);
    db_uuid(p, b->from.owner);
    int64_t n = 0;
    const bool ok = db_exec(c, saga_sql(SAGA_SQL_END_LEASE), p, b->a, NULL, &n, e);
    ASSERT(n <= 1);
    *ours = ok && n == 1;
    return ok;
}

// --- Renewal ---------------------------------------------------------------------------------------------------------

typedef struct renewing {
    const saga_renewal *r;
    int64_t n_kept;
} renewing;

static bool renew_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    renewing *w = arg;
    db_params *p = saga_lease_params(a, w->r->book_id, w->r->lease_id);
    db_uuid(p, w->r->owner);
    db_i64(p, w->r->lease_ms);
    return db_exec(c, saga_sql(SAGA_SQL_RENEW), p, a, NULL, &w->n_kept, e);
}

bool saga_store_renew(const saga_renewal *r, bool *kept, int64_t deadline_mono_ms, arena *a,
                      err *e) {
    renewing w = {r, 0};
    if (!db_transact(r->pool, deadline_mono_ms, a, renew_in_tx, &w, e)) {
        return false;
    }
    *kept = w.n_kept == 1;
    return true;
}
