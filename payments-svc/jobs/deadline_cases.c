// The cases of overdue objects: opened and closed book by book.
#include "base/assert.h"
#include "cases/cases.h"
#include "jobs/deadlines_internal.h"
#include "jobs/jobs_sql.h"

enum { KINDS_MAX = 8, CLOSED_MAX = 2000 }; // cases of one kind closed per run

bool deadlines_no_memory(err *e) {
    return err_no_memory(e, "what waits");
}

const char *deadlines_connection_name(const deadlines *d, int id, arena *a) {
    const connection_info *known = connections_of(d->connections, id);
    if (known != NULL) {
        return known->name;
    }
    const char *name = arena_printf(a, "connection %d", id);
    return name != NULL ? name : "connection";
}

bool deadlines_open(db_conn *c, const db_rows *rows, const case_new *cases, int64_t now_us,
                    arena *a, err *e) {
    const size_t n = db_count(rows);
    size_t first = 0;
    for (size_t i = 0; i < n; i++) {
        const int64_t book = db_get_i64(rows, i, 0);
        if (i + 1 == n || db_get_i64(rows, i + 1, 0) != book) {
            if (!cases_open(c, book, cases + first, i + 1 - first, now_us, a, e)) {
                return false;
            }
            first = i + 1;
        }
    }
    return true;
}

bool deadlines_close(db_conn *c, const deadlines_closing *what, int64_t now_us, arena *a, err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, CLOSED_MAX);
    size_t n_kinds = 0;
    str kinds[KINDS_MAX];
    while (what->kinds[n_kinds] != NULL) {
        ASSERT(n_kinds < KINDS_MAX);
        kinds[n_kinds] = str_of(what->kinds[n_kinds]);
        n_kinds++;
    }
    if (what->statement == JOBS_SQL_FREED) {
        db_text_array(p, kinds, n_kinds);
    }
    if (!db_exec(c, jobs_sql(what->statement), p, a, &rows, NULL, e)) {
        return false;
    }
    const size_t n = db_count(rows);
    str *subjects = ARENA_ARRAY(a, str, n + 1);
    if (subjects == NULL) {
        return deadlines_no_memory(e);
    }
    size_t first = 0;
    for (size_t i = 0; i < n; i++) {
        subjects[i] = db_get_str(rows, i, 1);
        const int64_t book = db_get_i64(rows, i, 0);
        if (i + 1 == n || db_get_i64(rows, i + 1, 0) != book) {
            for (size_t k = 0; k < n_kinds; k++) {
                if (!cases_close(c, book, what->kinds[k], what->subject_type, subjects + first,
                                 i + 1 - first, str_of(what->why), now_us, a, NULL, e)) {
                    return false;
                }
            }
            first = i + 1;
        }
    }
    return true;
}
