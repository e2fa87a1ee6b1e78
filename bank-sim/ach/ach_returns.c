// Return files, each made in the transaction that moves the money back.
#include <stdio.h>
#include <string.h>

#include "ach/ach_internal.h"
#include "base/log.h"

static const char BANK_NAME[] = "SIMULATOR BANK";

typedef struct collection {
    nacha_return *items;
    size_t n;
} collection;

static void collect(void *arg, const books_return_row *row) {
    collection *c = arg;
    nacha_return *r = &c->items[c->n++];
    *r = (nacha_return){.id = row->id, .amount = row->amount};
    (void)snprintf(r->code, sizeof(r->code), "%s", row->code);
    (void)snprintf(r->entry, sizeof(r->entry), "%s", row->entry);
    (void)snprintf(r->batch, sizeof(r->batch), "%s", row->batch);
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

// Our own strict reader must take the file: a bank that sends broken files is of no use to a test.
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

// --- Foreign lines -------------------------------------------------------------------------------------------------------

// Sets a field of an addenda or entry record.
static void set_field(char *record, int first, int last, const char *text) {
    int width = last - first + 1;
    char padded[NACHA_RECORD_LEN + 1];
    (void)snprintf(padded, sizeof(padded), "%-*.*s", width, width, text);
    memcpy(record + first - 1, padded, (size_t)width);
}

static nacha_return *odd_line(collection *c, const char *code) {
    nacha_return *odd = &c->items[c->n++];
    *odd = c->items[0]; // a copy of a real line, until more is changed
    odd->id = 0;
    (void)snprintf(odd->code, sizeof(odd->code), "%s", code);
    return odd;
}

// Turns the line into a return for another customer: another company, receiver and receiver's bank.
static void make_strange(nacha_return *odd) {
    set_field(odd->batch, 5, 20, "SOMEBODY ELSE");
    set_field(odd->batch, 41, 50, "9999999999");
    set_field(odd->entry, 4, 11, "01140153");
    set_field(odd->entry, 12, 12, "3");
    set_field(odd->entry, 13, 29, "777000777");
    set_field(odd->entry, 40, 54, "STRANGER");
    set_field(odd->entry, 55, 76, "JO STRANGER");
}

// Adds the habits' foreign lines to a file that has at least one return.
static bool add_odd(const habits_config *h, books_tx *tx, const char *origin, collection *c,
                    err *e) {
    char trace[32];
    int64_t number = 0, amount = 0;
    if (h->odd_dishonored != 0) {
        (void)odd_line(c, "R61");
    }
    if (h->odd_web != 0) {
        nacha_return *odd = odd_line(c, "R10");
        make_strange(odd);
        set_field(odd->batch, 51, 53, "WEB");
        set_field(odd->entry, 2, 3, "27");
        set_field(odd->entry, 88, 94, "9999998");
    }
    if (h->odd_trace != 0) {
        nacha_return *odd = odd_line(c, "R03");
        set_field(odd->entry, 40, 54, "NOBODY");
        set_field(odd->entry, 88, 94, "9999997");
    }
    if (h->odd_company != 0) {
        if (!books_entry_settled(tx, origin, &number, &amount, e)) {
            return false;
        }
        if (number != 0) {
            nacha_return *odd = odd_line(c, "R02");
            make_strange(odd);
            odd->amount = amount;
            (void)snprintf(trace, sizeof(trace), "%015lld", (long long)number);
            set_field(odd->entry, 80, 94, trace);
        }
    }
    return true;
}

// --- The file ------------------------------------------------------------------------------------------------------------

static nacha_form form_of(const habits_config *h) {
    return (nacha_form){.crlf = h->crlf != 0,
                        .fixed_94 = h->fixed_94 != 0,
                        .trim_blanks = h->trim_blanks != 0,
                        .no_padding = h->no_padding != 0,
                        .descending_traces = h->descending_traces != 0,
                        .blank_date = h->blank_date != 0,
                        .status_2 = h->status_2 != 0,
                        .blank_names = h->blank_names != 0,
                        .forward_codes = h->forward_codes != 0};
}

// True when the file follows the book of rules, so that our own strict reader must take it.
static bool is_plain(const habits_config *h, const nacha_return *r, size_t n) {
    static const nacha_form KIND;
    nacha_form form = form_of(h);
    bool plain = memcmp(&form, &KIND, sizeof(form)) == 0;
    for (size_t i = 0; i < n; i++) {
        plain = plain && r[i].id != 0 && r[i].code[0] == 'R';
    }
    return plain;
}

typedef struct naming {
    char day[16], name[BOOKS_NAME_MAX];
    int64_t sequence;
} naming;

static bool next_name(books_tx *tx, const char *origin, int64_t now_us, naming *out, err *e) {
    char counter[64];
    civil_date d = time_civil_date(now_us);
    (void)snprintf(out->day, sizeof(out->day), "%04d%02d%02d", d.year % 10000, d.month % 100,
                   d.day % 100);
    (void)snprintf(counter, sizeof(counter), "ret-%s-%s", origin, out->day);
    if (!books_counter_next(tx, counter, &out->sequence, e)) {
        return false;
    }
    (void)snprintf(out->name, sizeof(out->name), "ret-%s-%s-%lld.ach", origin, out->day,
                   (long long)out->sequence);
    return true;
}

static bool write_returns(ach *a, books_tx *tx, const char *origin, collection *c, int64_t now_us,
                          err *e) {
    static const char MODIFIERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    habits_config h = habits_get(a->o.habits);
    naming named;
    char hhmm[32], given[BOOKS_NAME_MAX];
    if (!add_odd(&h, tx, origin, c, e)) {
        return false;
    }
    nacha_returns_sort(c->items, c->n);
    if (!number_returns(tx, c->items, c->n, e) || !next_name(tx, origin, now_us, &named, e)) {
        return false;
    }
    int64_t minutes = now_us / 60000000 % (24 * 60L);
    nacha_return_file f = {
        .destination = origin,
        .origin = a->o.routing,
        .destination_name = "ORIGINATOR",
        .origin_name = BANK_NAME,
        // A real day has 36 modifiers; a test day may have more files, and starts over.
        .modifier = MODIFIERS[(named.sequence - 1) % 36],
        .form = form_of(&h)};
    (void)snprintf(f.date, sizeof(f.date), "%.6s", named.day + 2);
    (void)snprintf(f.settled_on, sizeof(f.settled_on), "%.6s", named.day + 2);
    (void)snprintf(hhmm, sizeof(hhmm), "%02d%02d", (int)(minutes / 60), (int)(minutes % 60));
    (void)snprintf(f.time, sizeof(f.time), "%.4s", hhmm);
    strbuf_clear(&a->text);
    if (!nacha_returns_write(&f, c->items, c->n, &a->text)) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "OUTPUT_TOO_LARGE",
                       "the return file is too large");
    }
    if ((is_plain(&h, c->items, c->n) && !prove(strbuf_str(&a->text), origin, e)) ||
        !ach_output_add(a, tx, ACH_OUT_RETURNS, named.name, strbuf_str(&a->text), given, e)) {
        return false;
    }
    for (size_t i = 0; i < c->n; i++) {
        if (c->items[i].id != 0 && !books_return_done(tx, c->items[i].id, given, now_us, e)) {
            return false;
        }
    }
    log_info("ach.returns", F_STR("file", given), F_INT("entries", c->n));
    return true;
}

bool ach_returns_send(ach *a, books_tx *tx, int64_t file_id, const char *origin, int64_t now_us,
                      size_t *n, err *e) {
    collection c = {.items = a->returns};
    bool together = file_id == 0 && habits_get(a->o.habits).returns_together != 0;
    if (!books_returns_list(tx, file_id, together ? "" : origin, now_us, ACH_RETURNS_PER_FILE,
                            collect, &c, e)) {
        return false;
    }
    *n = c.n;
    return c.n == 0 || write_returns(a, tx, origin, &c, now_us, e);
}

typedef struct due {
    ach *a;
    int64_t now_us, next_us;
    char origin[16];
} due;

static bool find_origin(books_tx *tx, void *arg, err *e) {
    due *d = arg;
    return books_returns_due(tx, d->now_us, d->origin, &d->next_us, e);
}

static bool returns_job(books_tx *tx, void *arg, err *e) {
    due *d = arg;
    size_t n = 0;
    return ach_returns_send(d->a, tx, 0, d->origin, d->now_us, &n, e);
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
