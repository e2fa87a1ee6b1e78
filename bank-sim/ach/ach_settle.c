// Settlement, with its report, made in the transaction that moves the money.
#include <stdio.h>
#include <string.h>

#include "ach/ach_internal.h"
#include "base/log.h"

typedef struct report {
    strbuf *text;
    char at[32];
    int64_t count, sum;
} report;

static void add_line(void *arg, int64_t trace, int64_t amount) {
    report *r = arg;
    strbuf_printf(r->text, "D,%015lld,%lld,SETTLED,%s\n", (long long)trace, (long long)amount,
                  r->at);
    r->count++;
    r->sum += amount;
}

static bool send_report(ach *a, books_tx *tx, int64_t file_id, const char *name, int64_t now_us,
                        err *e) {
    report r = {.text = &a->text};
    char counter[BOOKS_NAME_MAX + 16], output[BOOKS_NAME_MAX + 32], given[BOOKS_NAME_MAX];
    int64_t number = 0;
    (void)snprintf(counter, sizeof(counter), "settle-%s", name);
    if (!books_counter_next(tx, counter, &number, e)) {
        return false;
    }
    time_format_rfc3339(now_us, r.at, sizeof(r.at));
    strbuf_clear(&a->text);
    strbuf_printf(&a->text, "H,%s,%lld,%s\n", name, (long long)number, r.at);
    if (!books_file_settle(tx, file_id, now_us, add_line, &r, e)) {
        return false;
    }
    log_info("ach.settled", F_STR("file", name), F_INT("entries", r.count), F_INT("total", r.sum));
    if (r.count == 0 || habits_get(a->o.habits).settlement_lines == 0) {
        return true; // all entries came back, or the bank sends no reports
    }
    strbuf_printf(&a->text, "T,%lld,%lld\n", (long long)r.count, (long long)r.sum);
    (void)snprintf(output, sizeof(output), "%s.settle.%lld", name, (long long)number);
    return (strbuf_ok(&a->text) ||
            err_set(e, ERR_RESOURCE_EXHAUSTED, "OUTPUT_TOO_LARGE", "the report is too large")) &&
           ach_output_add(a, tx, ACH_OUT_SETTLEMENT, output, strbuf_str(&a->text), given, e);
}

bool ach_settle_file(ach *a, books_tx *tx, int64_t file_id, const char *name, const char *origin,
                     int64_t now_us, err *e) {
    size_t n = 0;
    // these returns wait for the returns of other files
    if (habits_get(a->o.habits).returns_together != 0) {
        return books_returns_later(tx, file_id, now_us, e) &&
               send_report(a, tx, file_id, name, now_us, e);
    }
    do { // returned entries first: they never settle
        if (!ach_returns_send(a, tx, file_id, origin, now_us, &n, e)) {
            return false;
        }
    } while (n == ACH_RETURNS_PER_FILE);
    return send_report(a, tx, file_id, name, now_us, e);
}

typedef struct due {
    ach *a;
    int64_t now_us, file_id, next_us;
    char name[BOOKS_NAME_MAX], origin[16];
} due;

static bool find_file(books_tx *tx, void *arg, err *e) {
    due *d = arg;
    return books_file_due(tx, d->now_us, &d->file_id, d->name, d->origin, &d->next_us, e);
}

static bool settle_job(books_tx *tx, void *arg, err *e) {
    due *d = arg;
    return ach_settle_file(d->a, tx, d->file_id, d->name, d->origin, d->now_us, e);
}

bool ach_settle_due(ach *a, err *e) {
    due d = {.a = a, .now_us = clock_wall_us(a->o.clock)};
    while (books_read(a->o.books, BOOKS_LANE_QUERY, find_file, &d, e)) {
        if (d.file_id == 0) {
            return true;
        }
        if (!books_write(a->o.books, settle_job, &d, e)) {
            return false;
        }
    }
    return false;
}
