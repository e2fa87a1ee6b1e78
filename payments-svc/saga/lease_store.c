// Leases in the database: one row for a batch that a worker has. What the log of a saga has beyond its row is being done under
// such a lease; when the lease is over, its intents are all that is known, and become the row.
#include "base/assert.h"
#include "saga/saga_internal.h"
#include "saga/saga_sql.h"

enum { EXPIRED_MAX = 100 }; // leases taken away at a time; the next scan finds the others

static db_params *lease_params(arena *a, int64_t book_id, uuid lease_id) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, lease_id);
    return p;
}

bool saga_lease_take(saga_batch *b, db_conn *c, int64_t ends_us, err *e) {
    uuid *ids = ARENA_ARRAY(b->a, uuid, b->n);
    if (ids == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "REQUEST_MEMORY",
                       "the batch needs too much memory");
    }
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (b->items[i].acting != STEP_NONE) {
            ids[n++] = b->items[i].payout_id;
        }
    }
    if (n == 0) {
        return true;
    }
    b->lease_id = uuid_v7(b->from.clock);
    db_params *p = lease_params(b->a, b->from.book_id, b->lease_id);
    db_i16(p, (int16_t)b->from.rail->id);
    db_i16(p, (int16_t)b->from.step);
    db_uuid(p, b->from.owner);
    db_time(p, ends_us);
    db_i32(p, (int32_t)n);
    db_uuid_array(p, ids, n);
    return db_exec(c, saga_sql(SAGA_SQL_LEASE), p, b->a, NULL, NULL, e);
}

bool saga_lease_give_back(saga_batch *b, db_conn *c, bool *ours, err *e) {
    db_params *p = lease_params(b->a, b->from.book_id, b->lease_id);
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
    db_params *p = lease_params(a, w->r->book_id, w->r->lease_id);
    db_uuid(p, w->r->owner);
    db_time(p, w->r->ends_us);
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

// --- Taking over -----------------------------------------------------------------------------------------------------

typedef struct expired {
    const int64_t *books;
    size_t n_books;
    int64_t now_us;
    db_rows *leases;
} expired;

static bool find_expired(db_conn *c, arena *a, void *arg, err *e) {
    expired *x = arg;
    db_params *p = db_params_create(a);
    db_i64_array(p, x->books, x->n_books);
    db_time(p, x->now_us);
    db_i64(p, EXPIRED_MAX);
    return db_exec(c, saga_sql(SAGA_SQL_EXPIRED), p, a, &x->leases, NULL, e);
}

typedef struct takeover {
    int64_t book_id;
    uuid lease_id;
    int64_t now_us;
    int32_t n; // sagas brought up to their logs; 0: it was renewed, given back, or taken by another
} takeover;

static bool take_over_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    takeover *t = arg;
    db_params *p = lease_params(a, t->book_id, t->lease_id);
    db_time(p, t->now_us);
    db_rows *rows = NULL;
    int64_t n_written = 0;
    t->n = 0;
    if (!db_exec(c, saga_sql(SAGA_SQL_LOCK_EXPIRED), p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) == 0) {
        return true;
    }
    t->n = db_get_i32(rows, 0, 0);
    if (!saga_plan_each_time(c, a, e) ||
        !db_exec(c, saga_sql(SAGA_SQL_TAKE_OVER), p, a, NULL, &n_written, e)) {
        return false;
    }
    if (n_written != t->n) {
        return err_set(e, ERR_INTERNAL, "SAGA_LEASE", "a leased saga has no intent in its log");
    }
    return db_exec(c, saga_sql(SAGA_SQL_DROP_LEASE), lease_params(a, t->book_id, t->lease_id), a,
                   NULL, NULL, e);
}

bool saga_store_take_over(db_pool *pool, const int64_t *books, size_t n_books, int64_t now_us,
                          int64_t *n, int64_t deadline_mono_ms, arena *a, err *e) {
    expired x = {books, n_books, now_us, NULL};
    *n = 0;
    if (!db_read(pool, deadline_mono_ms, a, find_expired, &x, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(x.leases); i++) {
        takeover t = {db_get_i64(x.leases, i, 0), db_get_uuid(x.leases, i, 1), now_us, 0};
        if (!db_transact(pool, deadline_mono_ms, a, take_over_in_tx, &t, e)) {
            return false;
        }
        *n += t.n;
        if (t.n > 0) {
            log_warn("saga.lease_taken_over", F_INT("book", t.book_id), F_INT("n", t.n));
        }
    }
    return true;
}
