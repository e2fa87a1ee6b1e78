// Settlement reports and return files, each made in the transaction that moves the money.
#include <stdio.h>
#include <string.h>

#include "ach/ach_internal.h"
#include "base/log.h"

static const char BANK_NAME[] = "SIMULATOR BANK";

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

typedef struct collection {
    nacha_return *items;
    size_t n;
} collection;

static void collect(void *arg, int64_t entry_id, const char *code, const char *entry,
                    const char *batch) {
    collection *c = arg;
    nacha_return *r = &c->items[c->n++];
    *r = (nacha_return){.id = entry_id};
    (void)snprintf(r->code, sizeof(r->code), "%s", code);
    (void)snprintf(r->entry, sizeof(r->entry), "%s", entry);
    (void)snprintf(r->batch, sizeof(r->batch), "%s", batch);
}

// The returning bank counts its own traces.
static bool number_returns(books_tx *tx, nacha_return *r, size_t n, err *e) {
    enum { SEQUENCE = 10000000 };
    for (size_t i = 0; i < n; i++) {
        char counter[32];
        int64_t sequence = 0, rdfi = 0;
        (void)snprintf(counter, sizeof(counter), "trace-%.8s", r[i].entry + 3);
        if (!books_counter_next(tx, counter, &sequence, e) ||
            !str_to_i64((str){r[i].entry + 3, 8}, 0, INT64_MAX, &rdfi)) {
            return false;
        }
        r[i].trace = rdfi * SEQUENCE + sequence % SEQUENCE;
    }
    return true;
}

// Our own strict reader must take what we write: a bank that sends broken files is of no use to a test.
static bool prove(str text, const char *destination, err *e) {
    nacha_rules rules = {.destination = destination, .origin_prefix = "", .returns = true};
    nacha_fault fault;
    nacha_file parsed;
    arena *mem = arena_create(ACH_ARENA_MAX);
    bool ok = nacha_check(text, &rules, mem, &parsed, &fault);
    arena_destroy(mem);
    if (!ok) {
        (void)err_set(e, ERR_INTERNAL, "RETURN_FILE", "the return file would break the rules");
        return err_detail(e, "line %d: %s", fault.line, fault.reason);
    }
    return true;
}

static bool write_returns(ach *a, books_tx *tx, const char *origin, nacha_return *r, size_t n,
                          int64_t now_us, err *e) {
    static const char MODIFIERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    char day[16], hhmm[32], counter[64], name[BOOKS_NAME_MAX];
    int64_t sequence = 0;
    civil_date d = time_civil_date(now_us);
    (void)snprintf(day, sizeof(day), "%04d%02d%02d", d.year % 10000, d.month % 100, d.day % 100);
    (void)snprintf(counter, sizeof(counter), "ret-%s-%s", origin, day);
    if (!number_returns(tx, r, n, e) || !books_counter_next(tx, counter, &sequence, e)) {
        return false;
    }
    int64_t minutes = now_us / 60000000 % (24 * 60L);
    nacha_return_file f = {
        .destination = origin,
        .origin = a->o.routing,
        .destination_name = "ORIGINATOR",
        .origin_name = BANK_NAME,
        // A real day has 36 modifiers; a test day may have more files, and starts over.
        .modifier = MODIFIERS[(sequence - 1) % 36]};
    (void)snprintf(f.date, sizeof(f.date), "%.6s", day + 2);
    (void)snprintf(f.settled_on, sizeof(f.settled_on), "%.6s", day + 2);
    (void)snprintf(hhmm, sizeof(hhmm), "%02d%02d", (int)(minutes / 60), (int)(minutes % 60));
    (void)snprintf(f.time, sizeof(f.time), "%.4s", hhmm);
    (void)snprintf(name, sizeof(name), "ret-%s-%s-%lld.ach", origin, day, (long long)sequence);
    strbuf_clear(&a->text);
    if (!nacha_returns_write(&f, r, n, &a->text) || !prove(strbuf_str(&a->text), origin, e) ||
        !books_output_add(tx, name, strbuf_str(&a->text), e)) {
        return err_is_set(e) ? false
                             : err_set(e, ERR_RESOURCE_EXHAUSTED, "OUTPUT_TOO_LARGE",
                                       "the return file is too large");
    }
    for (size_t i = 0; i < n; i++) {
        if (!books_return_done(tx, r[i].id, name, now_us, e)) {
            return false;
        }
    }
    log_info("ach.returns", F_STR("file", name), F_INT("entries", n));
    return true;
}

// Returns of a file before its settlement (file_id > 0), or the due ones of an origin. *n: how many went out.
static bool send_returns(ach *a, books_tx *tx, int64_t file_id, const char *origin, int64_t now_us,
                         size_t *n, err *e) {
    collection c = {.items = a->returns};
    if (!books_returns_list(tx, file_id, origin, now_us, ACH_RETURNS_PER_FILE, collect, &c, e)) {
        return false;
    }
    *n = c.n;
    if (c.n == 0) {
        return true;
    }
    nacha_returns_sort(c.items, c.n);
    return write_returns(a, tx, origin, c.items, c.n, now_us, e);
}

static bool send_report(ach *a, books_tx *tx, int64_t file_id, const char *name, int64_t now_us,
                        err *e) {
    report r = {.text = &a->text};
    char counter[BOOKS_NAME_MAX + 16], output[BOOKS_NAME_MAX + 32];
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
    if (r.count == 0) {
        return true; // all of it came back: there is nothing to report
    }
    strbuf_printf(&a->text, "T,%lld,%lld\n", (long long)r.count, (long long)r.sum);
    (void)snprintf(output, sizeof(output), "%s.settle.%lld", name, (long long)number);
    log_info("ach.settled", F_STR("file", name), F_INT("entries", r.count), F_INT("total", r.sum));
    return (strbuf_ok(&a->text) ||
            err_set(e, ERR_RESOURCE_EXHAUSTED, "OUTPUT_TOO_LARGE", "the report is too large")) &&
           books_output_add(tx, output, strbuf_str(&a->text), e);
}

bool ach_settle_file(ach *a, books_tx *tx, int64_t file_id, const char *name, const char *origin,
                     int64_t now_us, err *e) {
    size_t n = 0;
    do { // the returned ones first: they never settle
        if (!send_returns(a, tx, file_id, origin, now_us, &n, e)) {
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

static bool find_origin(books_tx *tx, void *arg, err *e) {
    due *d = arg;
    return books_returns_due(tx, d->now_us, d->origin, &d->next_us, e);
}

static bool returns_job(books_tx *tx, void *arg, err *e) {
    due *d = arg;
    size_t n = 0;
    return send_returns(d->a, tx, 0, d->origin, d->now_us, &n, e);
}

bool ach_returns_due(ach *a, err *e) {
    due d = {.a = a, .now_us = clock_wall_us(a->o.clock)};
    while (books_read(a->o.books, BOOKS_LANE_QUERY, find_origin, &d, e)) {
        if (d.origin[0] == '\0') {
            return true;
        }
        if (!books_write(a->o.books, returns_job, &d, e)) {
            return false;
        }
    }
    return false;
}
