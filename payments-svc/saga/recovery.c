#include "saga/recovery.h"

#include "saga/engine.h"
#include "saga/saga_internal.h"
#include "saga/saga_sql.h"

enum { BOOKS_TIMEOUT_MS = 10000 };

typedef struct where {
    int64_t *books;
    size_t n_books;
    int16_t rails[SAGA_RAILS_MAX]; // rails that send by themselves
    size_t n_rails;
} where;

// A handed-over payout belongs to its submission, which asks the bank.
static bool look_where(const saga_recovery *r, where *w, arena *a, err *e) {
    *w = (where){.books = ARENA_ARRAY(a, int64_t, SAGA_BOOKS_MAX)};
    if (w->books == NULL) {
        return err_no_memory(e, "the list of books");
    }
    for (size_t i = 0; i < r->n_rails; i++) {
        if (!r->rails[i]->hands_over) {
            w->rails[w->n_rails++] = (int16_t)r->rails[i]->id;
        }
    }
    return saga_store_books(r->pool, w->books, SAGA_BOOKS_MAX, &w->n_books,
                            clock_mono_ms(clock_system()) + BOOKS_TIMEOUT_MS, a, e);
}

static db_params *of_book(const where *w, size_t book, arena *a) {
    db_params *p = db_params_create(a);
    db_i64(p, w->books[book]);
    db_i16_array(p, w->rails, w->n_rails);
    return p;
}

static bool resolve_book(const where *w, size_t book, saga_sql_id sql, db_conn *c, arena *a,
                         int64_t *n, err *e) {
    db_params *p = of_book(w, book, a);
    db_time(p, clock_wall_us(clock_system()));
    return db_exec(c, saga_sql(sql), p, a, NULL, n, e);
}

static bool begin(void *arg, db_conn *c, arena *a, err *e) {
    where w;
    int64_t all = 0;
    if (!look_where(arg, &w, a, e) || !saga_plan_each_time(c, a, e)) {
        return false;
    }
    for (size_t i = 0; i < w.n_books; i++) {
        int64_t n = 0;
        if (!resolve_book(&w, i, SAGA_SQL_RECOVER, c, a, &n, e)) {
            return false;
        }
        all += n;
    }
    log_warn("saga.recovering", F_INT("n", all));
    return true;
}

// Leases that ended meanwhile have left orphans before EXECUTE, which is not claimed now: they are asked for, too.
static bool left(void *arg, db_conn *c, arena *a, int64_t *n, err *e) {
    where w;
    *n = 0;
    if (!look_where(arg, &w, a, e) || !saga_plan_each_time(c, a, e)) {
        return false;
    }
    for (size_t i = 0; i < w.n_books; i++) {
        db_rows *rows = NULL;
        if (!resolve_book(&w, i, SAGA_SQL_RECOVER_ORPHANS, c, a, NULL, e) ||
            !db_exec(c, saga_sql(SAGA_SQL_RECOVER_LEFT), of_book(&w, i, a), a, &rows, NULL, e)) {
            return false;
        }
        *n += db_get_i64(rows, 0, 0);
    }
    return true;
}

guard_part saga_recovery_part(saga_recovery *r) {
    return (guard_part){"sagas", r, begin, left};
}
