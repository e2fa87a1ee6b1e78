#include "submissions/recovery.h"

#include "base/log.h"
#include "books/books.h"
#include "submissions/submissions_internal.h"
#include "submissions/submissions_sql.h"

enum { RAILS_MAX = 64 };

typedef struct where {
    int64_t *books;
    size_t n_books;
    int16_t connections[RAILS_MAX];
    size_t n_connections;
} where;

// A connection that is switched off sends nothing, and has no sender that could ask.
static bool look_where(const submission_recovery *r, where *w, db_conn *c, arena *a, err *e) {
    *w = (where){0};
    for (size_t i = 0; i < r->n_rails && w->n_connections < RAILS_MAX; i++) {
        if (r->rails[i]->hands_over) {
            w->connections[w->n_connections++] = (int16_t)r->rails[i]->id;
        }
    }
    return books_list(c, BOOKS_OF_MERCHANTS, &w->books, &w->n_books, a, e);
}

static db_params *of_book(const where *w, size_t book, arena *a) {
    db_params *p = db_params_create(a);
    db_i64(p, w->books[book]);
    db_i16_array(p, w->connections, w->n_connections);
    return p;
}

// Nobody can ask for a file that the database has forgotten altogether: a person must compare.
static bool open_cases(const submission_recovery *r, db_conn *c, arena *a, err *e) {
    for (size_t i = 0; i < r->n_rails; i++) {
        const case_new forgotten = {
            .kind = "RECOVERY",
            .subject_type = "connection",
            .subject_id = str_of(r->rails[i]->name),
            .code = STR("FILES_MAY_BE_UNKNOWN"),
            .text = STR("files that were sent before the restore may be unknown")};
        if (r->rails[i]->hands_over &&
            !cases_open(c, 0, &forgotten, 1, clock_wall_us(clock_system()), a, e)) {
            return false;
        }
    }
    return true;
}

static bool begin(void *arg, db_conn *c, arena *a, err *e) {
    where w;
    int64_t all = 0;
    if (!look_where(arg, &w, c, a, e)) {
        return false;
    }
    for (size_t i = 0; w.n_connections > 0 && i < w.n_books; i++) {
        int64_t n = 0;
        // Updates the rows first: this locks them, so no other writer adds evidence meanwhile.
        if (!db_exec(c, submissions_sql(SUBM_SQL_RECOVER), of_book(&w, i, a), a, NULL, &n, e) ||
            (n > 0 && !db_exec(c, submissions_sql(SUBM_SQL_RECOVER_EVIDENCE), of_book(&w, i, a), a,
                               NULL, NULL, e))) {
            return false;
        }
        all += n;
    }
    log_warn("submission.recovering", F_INT("n", all));
    return open_cases(arg, c, a, e);
}

// A sender that asks the bank, and is answered, moves a submission out of SENDING. Nothing is begun meanwhile.
static bool left(void *arg, db_conn *c, arena *a, int64_t *n, err *e) {
    where w;
    *n = 0;
    if (!look_where(arg, &w, c, a, e)) {
        return false;
    }
    for (size_t i = 0; w.n_connections > 0 && i < w.n_books; i++) {
        db_rows *rows = NULL;
        if (!db_exec(c, submissions_sql(SUBM_SQL_RECOVER_LEFT), of_book(&w, i, a), a, &rows, NULL,
                     e)) {
            return false;
        }
        *n += db_get_i64(rows, 0, 0);
    }
    return true;
}

guard_part submission_recovery_part(submission_recovery *r) {
    return (guard_part){"submissions", r, begin, left};
}
