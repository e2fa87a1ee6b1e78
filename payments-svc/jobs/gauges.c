// Gauges from the database: the age of the oldest waiting objects. Every instance shows the same.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/metrics.h"
#include "books/books.h"
#include "cases/kinds.h"
#include "domain/machine.h"
#include "jobs/deadlines_internal.h"
#include "jobs/jobs_sql.h"

enum { REASONS_MAX = 32, KINDS_MAX = 64, INBOX_KINDS = 3, US_PER_S = 1000000 };

typedef struct named_gauge {
    char name[65];
    metric *gauge;
} named_gauge;

struct gauges {
    metric *step[CONNECTIONS_MAX][DEADLINES_STEPS];
    metric *unheard[CONNECTIONS_MAX];
    metric *oldest_deposit;
    size_t n_connections;              // that have gauges
    named_gauge held[REASONS_MAX + 1]; // the last one is for all others
    size_t n_held;
    named_gauge kinds[KINDS_MAX];
    size_t n_kinds;
    metric *other_cases, *oldest_case, *partitions;
    metric *inbox_open[INBOX_KINDS], *inbox_oldest[INBOX_KINDS];
};

static metric *gauge_of(const char *name, const char *help, const char *format, const char *a,
                        const char *b) {
    char labels[192];
    strbuf out;
    strbuf_init_fixed(&out, labels, sizeof labels);
    strbuf_add_c(&out, format);
    strbuf_add_char(&out, '"');
    strbuf_add_c(&out, a);
    strbuf_add_char(&out, '"');
    if (b != NULL) {
        strbuf_add_c(&out, ",step=\"");
        strbuf_add_c(&out, b);
        strbuf_add_char(&out, '"');
    }
    ASSERT(strbuf_ok(&out));
    return metric_gauge(name, labels, help);
}

// Connections become known at any time, in the registry's order.
static void make_steps(gauges *g, const connection_info *known, size_t n) {
    for (; g->n_connections < n; g->n_connections++) {
        g->unheard[g->n_connections] =
            gauge_of("payments_unheard_seconds",
                     "since the bank's folder was last looked through; 0: it is not watched",
                     "connection=", known[g->n_connections].name, NULL);
        for (size_t k = 0; k < DEADLINES_STEPS; k++) {
            g->step[g->n_connections][k] = gauge_of(
                "payments_oldest_seconds",
                "age of the payout that has stood longest at a step; 0: none",
                "connection=", known[g->n_connections].name, saga_step_name(DEADLINES_STEP[k]));
        }
    }
}

gauges *gauges_create(void) {
    gauges *g = calloc(1, sizeof *g);
    ASSERT(g != NULL);
    for (size_t i = 0; case_kind_at(i) != NULL; i++) {
        ASSERT(i < KINDS_MAX);
        named_gauge *k = &g->kinds[g->n_kinds++];
        (void)snprintf(k->name, sizeof k->name, "%s", case_kind_at(i)->name);
        k->gauge =
            gauge_of("payments_cases_open", "cases that need a person", "kind=", k->name, NULL);
    }
    g->other_cases =
        gauge_of("payments_cases_open", "cases that need a person", "kind=", "other", NULL);
    static const char *const WAITS[INBOX_KINDS] = {"recorded", "refused", "line"};
    for (size_t i = 0; i < INBOX_KINDS; i++) {
        g->inbox_open[i] = gauge_of("payments_inbox_open",
                                    "what banks have said that is not applied or needs a person",
                                    "what=", WAITS[i], NULL);
        g->inbox_oldest[i] = gauge_of("payments_inbox_oldest_seconds",
                                      "age of the oldest of it; 0: none", "what=", WAITS[i], NULL);
    }
    g->partitions = metric_gauge("payments_partitions_missed", "",
                                 "tables with rows of a month that has no partition: run maintain");
    g->oldest_deposit =
        metric_gauge("payments_deposits_oldest_seconds", "",
                     "age of the oldest deposit that waits for the ledger; 0: none");
    g->oldest_case = metric_gauge("payments_cases_oldest_seconds", "",
                                  "age of the oldest case that needs a person; 0: none");
    return g;
}

void gauges_destroy(gauges *g) {
    free(g);
}

static int64_t age_s(int64_t now_us, int64_t since_us) {
    return now_us > since_us ? (now_us - since_us) / US_PER_S : 0;
}

static bool read_steps(const deadlines *d, db_conn *c, const int64_t *books, size_t n_books,
                       int64_t now_us, arena *a, err *e) {
    int16_t rails[CONNECTIONS_MAX];
    int64_t oldest[CONNECTIONS_MAX][DEADLINES_STEPS] = {0};
    size_t n_known = 0;
    const connection_info *known = connections_all(d->connections, &n_known);
    make_steps(d->gauges, known, n_known);
    for (size_t i = 0; i < n_known; i++) {
        rails[i] = (int16_t)known[i].id;
    }
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64_array(p, books, n_books);
    db_i16_array(p, rails, n_known);
    db_i16_array(p, DEADLINES_STEP, DEADLINES_STEPS);
    if (!db_exec(c, jobs_sql(JOBS_SQL_OLDEST), p, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        for (size_t k = 0; k < n_known; k++) {
            for (size_t step = 0; step < DEADLINES_STEPS; step++) {
                if (known[k].id == db_get_i16(rows, i, 0) &&
                    DEADLINES_STEP[step] == db_get_i16(rows, i, 1)) {
                    oldest[k][step] = age_s(now_us, db_get_time(rows, i, 2));
                }
            }
        }
    }
    for (size_t k = 0; k < n_known; k++) {
        for (size_t step = 0; step < DEADLINES_STEPS; step++) {
            metric_set(d->gauges->step[k][step], oldest[k][step]);
        }
    }
    return true;
}

static bool read_unheard(const deadlines *d, db_conn *c, int64_t now_us, arena *a, err *e) {
    int16_t rails[CONNECTIONS_MAX];
    size_t n_known = 0;
    const connection_info *known = connections_all(d->connections, &n_known);
    for (size_t i = 0; i < n_known; i++) {
        rails[i] = (int16_t)known[i].id;
    }
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, 0);
    db_i16_array(p, rails, n_known);
    if (!db_exec(c, jobs_sql(JOBS_SQL_LOOKS), p, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t k = 0; k < n_known && k < d->gauges->n_connections; k++) {
        int64_t age = 0;
        for (size_t i = 0; i < db_count(rows); i++) {
            const bool watched = known[k].on && known[k].notes_looks && !db_is_null(rows, i, 1);
            age = watched && db_get_i16(rows, i, 0) == known[k].id
                      ? age_s(now_us, db_get_time(rows, i, 1))
                      : age;
        }
        metric_set(d->gauges->unheard[k], age);
    }
    return true;
}

// Reasons are no closed set: the first REASONS_MAX seen have a gauge each, the rest share one.
static named_gauge *held_gauge(gauges *g, str reason) {
    for (size_t i = 0; i < g->n_held; i++) {
        if (str_eq_c(reason, g->held[i].name)) {
            return &g->held[i];
        }
    }
    const bool room = g->n_held < REASONS_MAX && reason.len < sizeof g->held[0].name;
    named_gauge *x = &g->held[room ? g->n_held : REASONS_MAX];
    if (x->gauge == NULL) {
        (void)snprintf(x->name, sizeof x->name, "%.*s", room ? (int)reason.len : 5,
                       room ? reason.ptr : "OTHER");
        for (char *at = x->name; *at != '\0'; at++) { // a label's value, from any text
            *at = *at == '"' || *at == '\\' || (unsigned char)*at < ' ' ? '_' : *at;
        }
        x->gauge = gauge_of("payments_held", "payouts that are held for a person",
                            "reason=", x->name, NULL);
        metric_set(x->gauge, 0);
        g->n_held += room ? 1 : 0;
    }
    return x;
}

static bool read_held(gauges *g, db_conn *c, const int64_t *books, size_t n_books, arena *a,
                      err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64_array(p, books, n_books);
    db_i64(p, 2 * REASONS_MAX);
    if (!db_exec(c, jobs_sql(JOBS_SQL_HELD), p, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i <= REASONS_MAX; i++) {
        if (g->held[i].gauge != NULL) {
            metric_set(g->held[i].gauge, 0);
        }
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        metric_add(held_gauge(g, db_get_str(rows, i, 0))->gauge, db_get_i64(rows, i, 1));
    }
    return true;
}

static bool read_cases(gauges *g, db_conn *c, int64_t now_us, arena *a, err *e) {
    db_rows *rows = NULL;
    if (!db_exec(c, jobs_sql(JOBS_SQL_CASES_OPEN), db_params_create(a), a, &rows, NULL, e)) {
        return false;
    }
    int64_t counts[KINDS_MAX] = {0};
    int64_t other = 0, oldest = 0;
    for (size_t i = 0; i < db_count(rows); i++) {
        size_t k = 0;
        while (k < g->n_kinds && !str_eq_c(db_get_str(rows, i, 0), g->kinds[k].name)) {
            k++;
        }
        int64_t *count = k < g->n_kinds ? &counts[k] : &other;
        *count += db_get_i64(rows, i, 1);
        const int64_t age = age_s(now_us, db_get_time(rows, i, 2));
        oldest = age > oldest ? age : oldest;
    }
    for (size_t k = 0; k < g->n_kinds; k++) {
        metric_set(g->kinds[k].gauge, counts[k]);
    }
    metric_set(g->other_cases, other);
    metric_set(g->oldest_case, oldest);
    return true;
}

static bool read_deposits(gauges *g, db_conn *c, int64_t now_us, arena *a, err *e) {
    db_rows *rows = NULL;
    if (!db_exec(c, jobs_sql(JOBS_SQL_DEPOSITS_OLDEST), db_params_create(a), a, &rows, NULL, e)) {
        return false;
    }
    metric_set(g->oldest_deposit,
               db_is_null(rows, 0, 0) ? 0 : age_s(now_us, db_get_time(rows, 0, 0)));
    return true;
}

static bool read_inbox(gauges *g, db_conn *c, int64_t now_us, arena *a, err *e) {
    db_rows *rows = NULL;
    if (!db_exec(c, jobs_sql(JOBS_SQL_INBOX_OPEN), db_params_create(a), a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        const size_t what = (size_t)db_get_i32(rows, i, 0) - 1;
        ASSERT(what < INBOX_KINDS); // the statement numbers them
        metric_set(g->inbox_open[what], db_get_i64(rows, i, 1));
        metric_set(g->inbox_oldest[what],
                   db_is_null(rows, i, 2) ? 0 : age_s(now_us, db_get_time(rows, i, 2)));
    }
    return true;
}

// Rows of a month without a partition: `maintain` was not run for months.
static bool read_partitions(gauges *g, db_conn *c, arena *a, err *e) {
    db_rows *rows = NULL;
    if (!db_exec(c, jobs_sql(JOBS_SQL_PARTITIONS_MISSED), db_params_create(a), a, &rows, NULL, e)) {
        return false;
    }
    const int64_t n = db_get_i64(rows, 0, 0);
    if (n > 0 && metric_value(g->partitions) == 0) {
        log_warn("jobs.partition_missing", F_INT("tables", n));
    }
    metric_set(g->partitions, n);
    return true;
}

bool gauges_read(db_conn *c, int64_t now_us, arena *a, void *arg, err *e) {
    const deadlines *d = arg;
    int64_t *books = NULL;
    size_t n_books = 0;
    return connections_refresh(d->connections, c, a, e) &&
           books_list(c, BOOKS_OF_MERCHANTS, &books, &n_books, a, e) &&
           read_steps(d, c, books, n_books, now_us, a, e) && read_unheard(d, c, now_us, a, e) &&
           read_held(d->gauges, c, books, n_books, a, e) &&
           read_deposits(d->gauges, c, now_us, a, e) && read_cases(d->gauges, c, now_us, a, e) &&
           read_inbox(d->gauges, c, now_us, a, e) && read_partitions(d->gauges, c, a, e);
}
