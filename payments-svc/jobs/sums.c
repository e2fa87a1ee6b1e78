// The sums of payouts: the set of counted payouts and their states are exact at every moment (table payout_sum; PAYOUTS_SQL_SUMMARY reads
// it).
//
// The sums have a payout if its id is not beyond payout_sum_upto and it is not kept apart, or if it is kept apart with a counted state.
// When a payout leaves a final state, its saga keeps it apart (saga_rows.c), in the transaction that moves it.
#include "jobs/sums.h"

#include "base/log.h"
#include "books/books.h"
#include "jobs/jobs_sql.h"

enum {
    PIECE_MAX = 20000, // payouts of one book per statement
    FOLDED_MAX = 5000, // payouts kept apart, per book and run
    RUN_MS = 6000,     // after this time a run begins no new piece; the next run continues
    US_PER_S = 1000000,
};

// The lowest id of a time: payouts' ids are UUIDv7, which begin with a time.
static uuid id_of_time(int64_t wall_us) {
    uuid id = {{0}};
    uint64_t ms = (uint64_t)(wall_us / 1000);
    for (size_t i = 6; i > 0; i--) {
        id.b[i - 1] = (uint8_t)ms;
        ms >>= 8;
    }
    return id;
}

static bool add_piece(db_conn *c, int64_t book_id, uuid after, uuid upto, arena *a, err *e) {
    static const jobs_sql_id STEPS[] = {JOBS_SQL_SUMS_APART, JOBS_SQL_SUMS_ADD};
    for (size_t i = 0; i < sizeof STEPS / sizeof STEPS[0]; i++) {
        db_params *p = db_params_create(a);
        db_i64(p, book_id);
        db_uuid(p, after);
        db_uuid(p, upto);
        if (!db_exec(c, jobs_sql(STEPS[i]), p, a, NULL, NULL, e)) {
            return false;
        }
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, upto);
    return db_exec(c, jobs_sql(JOBS_SQL_SUMS_UPTO), p, a, NULL, NULL, e);
}

// Adds one piece of each book that has one.
static bool add_pieces(db_conn *c, const int64_t *books, size_t n_books, uuid before, size_t *n,
                       arena *a, err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64_array(p, books, n_books);
    db_uuid(p, before);
    db_i64(p, PIECE_MAX);
    if (!db_exec(c, jobs_sql(JOBS_SQL_SUMS_NEXT), p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    for (size_t i = 0; i < *n; i++) {
        if (!add_piece(c, db_get_i64(rows, i, 0), db_get_uuid(rows, i, 1), db_get_uuid(rows, i, 2),
                       a, e)) {
            return false;
        }
    }
    return true;
}

static db_params *of_ids(int64_t book_id, const uuid *ids, size_t n, arena *a) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid_array(p, ids, n);
    return p;
}

// Takes finished payouts that were kept apart into the sums. One may have moved between the lock and the second look; after that it cannot.
static bool fold(db_conn *c, int64_t book_id, arena *a, err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_i64(p, FOLDED_MAX);
    if (!db_exec(c, jobs_sql(JOBS_SQL_SUMS_LOCK), p, a, &rows, NULL, e)) {
        return false;
    }
    size_t n = db_count(rows);
    uuid *ids = ARENA_ARRAY(a, uuid, n + 1);
    if (ids == NULL) {
        return err_no_memory(e, "the list of sums");
    }
    for (size_t i = 0; i < n; i++) {
        ids[i] = db_get_uuid(rows, i, 0);
    }
    if (n == 0 ||
        !db_exec(c, jobs_sql(JOBS_SQL_SUMS_ENDED), of_ids(book_id, ids, n, a), a, &rows, NULL, e)) {
        return n == 0;
    }
    n = db_count(rows);
    for (size_t i = 0; i < n; i++) {
        ids[i] = db_get_uuid(rows, i, 0);
    }
    return db_exec(c, jobs_sql(JOBS_SQL_SUMS_FOLD), of_ids(book_id, ids, n, a), a, NULL, NULL, e) &&
           db_exec(c, jobs_sql(JOBS_SQL_SUMS_FOLDED), of_ids(book_id, ids, n, a), a, NULL, NULL, e);
}

static bool run(db_conn *c, int64_t now_us, arena *a, void *arg, err *e) {
    const int64_t until_ms = clock_mono_ms(clock_system()) + RUN_MS;
    const uuid before = id_of_time(now_us - (int64_t)SUMS_YOUNG_S * US_PER_S);
    int64_t *books = NULL;
    size_t n_books = 0, n = 1;
    (void)arg;
    if (!books_list(c, BOOKS_OF_MERCHANTS, &books, &n_books, a, e)) {
        return false;
    }
    while (n > 0 && clock_mono_ms(clock_system()) < until_ms) {
        if (!add_pieces(c, books, n_books, before, &n, a, e)) {
            return false;
        }
    }
    for (size_t i = 0; i < n_books && clock_mono_ms(clock_system()) < until_ms; i++) {
        if (!fold(c, books[i], a, e)) {
            return false;
        }
    }
    return true;
}

job sums_job(int64_t every_ms) {
    return (job){.name = "sums", .every_ms = every_ms, .run = run};
}
