// The writer of return files: lines that a receiving bank sends back through the operator.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ach/nacha.h"
#include "base/assert.h"

enum { LINE_ROOM = 192 }; // more than a record, so that an overlong one is seen, not cut
#define HASH_MODULUS INT64_C(10000000000)

typedef struct sums {
    int64_t count, hash, debits, credits;
    int batches, lines;
} sums;

typedef struct writer {
    const nacha_return_file *f;
    sums file, batch;
    strbuf *out;
} writer;

static bool is_change(const nacha_return *r) {
    return r->code[0] == 'C';
}

// R61 to R77: an answer to a return, with a layout of its own.
static bool is_dispute(const nacha_return *r) {
    return r->code[0] == 'R' && (r->code[1] == '6' || r->code[1] == '7');
}

static int kind_of(const nacha_return *r) {
    return is_change(r) ? 1 : is_dispute(r) ? 2 : 0;
}

// By the entry's transaction code in the original file.
static bool is_debit(const nacha_return *r) {
    return r->entry[2] == '7';
}

static int compare_batch(const nacha_return *x, const nacha_return *y) {
    int d = memcmp(x->entry + 3, y->entry + 3, 8); // RDFI
    if (d == 0) {
        d = memcmp(x->batch, y->batch, NACHA_RECORD_LEN);
    }
    if (d == 0) {
        d = kind_of(x) - kind_of(y);
    }
    return d != 0 ? d : (int)is_debit(x) - (int)is_debit(y);
}

static int compare(const void *a, const void *b) {
    const nacha_return *x = a, *y = b;
    int d = compare_batch(x, y);
    return d != 0 ? d : memcmp(x->entry + 79, y->entry + 79, 15);
}

void nacha_returns_sort(nacha_return *r, size_t n) {
    if (n > 1) {
        qsort(r, n, sizeof(*r), compare);
    }
}

static void line(writer *w, const char *record) {
    ASSERT(strnlen(record, LINE_ROOM) == NACHA_RECORD_LEN);
    const nacha_form *form = &w->f->form;
    size_t len = NACHA_RECORD_LEN;
    while (form->trim_blanks && !form->fixed_94 && record[len - 1] == ' ') {
        len--;
    }
    strbuf_add(w->out, record, len);
    if (!form->fixed_94) {
        strbuf_add_c(w->out, form->crlf ? "\r\n" : "\n");
    }
    w->file.lines++;
}

static void write_file_header(writer *w) {
    char r[LINE_ROOM];
    const nacha_return_file *f = w->f;
    (void)snprintf(r, sizeof(r), "101%10.10s %9.9s%.6s%.4s%c094101%-23.23s%-23.23s%8s",
                   f->destination, f->origin, f->date, f->time, f->modifier, f->destination_name,
                   f->origin_name, "");
    line(w, r);
}

// Has the company of the original batch, with the returning bank as the originator.
static void write_batch_header(writer *w, const nacha_return *first) {
    char r[LINE_ROOM];
    const char *b = first->batch;
    const nacha_form *form = &w->f->form;
    (void)snprintf(r, sizeof(r), "5%s%-16.16s%.20s%.10s%.3s%.10s%.6s%-6.6s   %c%.8s%07d",
                   is_debit(first) ? "225" : "220", form->blank_names ? "" : b + 4, b + 20, b + 40,
                   is_change(first) ? "COR" : b + 50, b + 53, b + 63,
                   form->blank_date ? "" : w->f->settled_on, form->status_2 ? '2' : '1',
                   first->entry + 3, w->file.batches);
    line(w, r);
}

// Writes an addenda 99 or 98. The columns before its trace depend on the code.
static void write_addenda(writer *w, const nacha_return *x, int64_t trace) {
    char r[LINE_ROOM], more[45];
    const char *e = x->entry;
    if (is_change(x)) { // the account number has changed
        (void)snprintf(more, sizeof(more), "%-44s", "987654321");
    } else if (is_dispute(x)) { // trace, date and reason of the disputed return
        (void)snprintf(more, sizeof(more), "   %015lld%3s03%21s", (long long)trace, "", "");
    } else {
        (void)snprintf(more, sizeof(more), "%44s", "");
    }
    (void)snprintf(r, sizeof(r), "7%s%.3s%.15s%6s%.8s%s%015lld", is_change(x) ? "98" : "99",
                   x->code, e + 79, "", e + 3, more, (long long)trace);
    line(w, r);
}

static void write_entry(writer *w, const nacha_return *x, int64_t trace) {
    char r[LINE_ROOM];
    const char *e = x->entry, *odfi = x->batch + 79;
    const nacha_form *form = &w->f->form;
    int digit = nacha_check_digit((str){odfi, 8});
    // 22 comes back as 21, 32 as 31, 27 as 26 …; it goes to the institution of the original entry.
    char unit = form->forward_codes ? e[2] : (char)(e[2] - 1);
    int64_t amount = is_change(x) ? 0 : x->amount, institution = 0;
    (void)snprintf(r, sizeof(r), "6%c%c%.8s%d%.17s%010lld%.15s%-22.22s%.2s1%015lld", e[1], unit,
                   odfi, digit, e + 12, (long long)amount, e + 39, form->blank_names ? "" : e + 54,
                   e + 76, (long long)trace);
    line(w, r);
    write_addenda(w, x, trace);
    bool digits = str_to_i64((str){odfi, 8}, 0, INT64_MAX, &institution);
    ASSERT(digits); // the bank took the entry, so these are digits
    w->batch.count += 2;
    w->batch.hash = (w->batch.hash + institution) % HASH_MODULUS;
    *(is_debit(x) ? &w->batch.debits : &w->batch.credits) += amount;
}

static void write_batch_control(writer *w, const nacha_return *first) {
    char r[LINE_ROOM];
    const sums *batch = &w->batch;
    sums *file = &w->file;
    (void)snprintf(r, sizeof(r), "8%s%06lld%010lld%012lld%012lld%.10s%25s%.8s%07d",
                   is_debit(first) ? "225" : "220", (long long)batch->count, (long long)batch->hash,
                   (long long)batch->debits, (long long)batch->credits, first->batch + 40, "",
                   first->entry + 3, file->batches);
    line(w, r);
    file->count += batch->count;
    file->hash = (file->hash + batch->hash) % HASH_MODULUS;
    file->debits += batch->debits;
    file->credits += batch->credits;
}

static void write_file_control(writer *w) {
    char r[LINE_ROOM];
    const sums *s = &w->file;
    int blocks = (s->lines + 1 + NACHA_BLOCKING - 1) / NACHA_BLOCKING;
    (void)snprintf(r, sizeof(r), "9%06d%06d%08lld%010lld%012lld%012lld%39s", s->batches, blocks,
                   (long long)s->count, (long long)s->hash, (long long)s->debits,
                   (long long)s->credits, "");
    line(w, r);
    memset(r, '9', NACHA_RECORD_LEN);
    r[NACHA_RECORD_LEN] = '\0';
    while (!w->f->form.no_padding && w->file.lines % NACHA_BLOCKING != 0) {
        line(w, r);
    }
}

bool nacha_returns_write(const nacha_return_file *f, const nacha_return *r, size_t n, strbuf *out) {
    writer w = {.f = f, .out = out};
    write_file_header(&w);
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && compare_batch(&r[i], &r[end]) == 0) {
            end++;
        }
        w.batch = (sums){0};
        w.file.batches++;
        write_batch_header(&w, &r[i]);
        for (size_t k = i; k < end; k++) {
            write_entry(&w, &r[k], r[f->form.descending_traces ? i + end - 1 - k : k].trace);
        }
        write_batch_control(&w, &r[i]);
        i = end;
    }
    write_file_control(&w);
    return strbuf_ok(out);
}
