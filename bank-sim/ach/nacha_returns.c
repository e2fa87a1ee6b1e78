// The return file writer: what a receiving bank sends back through the operator.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ach/nacha.h"
#include "base/assert.h"

enum { LINE_ROOM = 192 }; // more than a record, so that a wrong one is seen and not cut
#define HASH_MODULUS INT64_C(10000000000)

typedef struct sums {
    int64_t count, hash, credits;
    int batches, lines;
} sums;

static int compare(const void *a, const void *b) {
    const nacha_return *x = a, *y = b;
    int d = memcmp(x->entry + 3, y->entry + 3, 8); // RDFI
    if (d == 0) {
        d = memcmp(x->batch, y->batch, NACHA_RECORD_LEN);
    }
    return d != 0 ? d : memcmp(x->entry + 79, y->entry + 79, 15);
}

void nacha_returns_sort(nacha_return *r, size_t n) {
    if (n > 1) {
        qsort(r, n, sizeof(*r), compare);
    }
}

static bool same_batch(const nacha_return *a, const nacha_return *b) {
    return memcmp(a->entry + 3, b->entry + 3, 8) == 0 &&
           memcmp(a->batch, b->batch, NACHA_RECORD_LEN) == 0;
}

static void line(strbuf *out, sums *s, const char *record) {
    ASSERT(strnlen(record, LINE_ROOM) == NACHA_RECORD_LEN);
    strbuf_add(out, record, NACHA_RECORD_LEN);
    strbuf_add_char(out, '\n');
    s->lines++;
}

static void write_file_header(const nacha_return_file *f, sums *s, strbuf *out) {
    char r[LINE_ROOM];
    (void)snprintf(r, sizeof(r), "101%10.10s %9.9s%.6s%.4s%c094101%-23.23s%-23.23s%8s",
                   f->destination, f->origin, f->date, f->time, f->modifier, f->destination_name,
                   f->origin_name, "");
    line(out, s, r);
}

// The company of the original batch, but the returning bank as the one that originates.
static void write_batch_header(const nacha_return_file *f, const nacha_return *first, int number,
                               sums *s, strbuf *out) {
    char r[LINE_ROOM];
    const char *b = first->batch;
    (void)snprintf(r, sizeof(r), "5220%.16s%.20s%.10s%.3s%.10s%.6s%.6s   1%.8s%07d", b + 4, b + 20,
                   b + 40, b + 50, b + 53, b + 63, f->settled_on, first->entry + 3, number);
    line(out, s, r);
}

static void write_entry(const nacha_return *x, sums *batch, sums *s, strbuf *out) {
    char r[LINE_ROOM];
    const char *e = x->entry, *odfi = x->batch + 79;
    int digit = nacha_check_digit((str){odfi, 8});
    // 22 comes back as 21, 32 as 31 …; to the institution that the entry came from.
    (void)snprintf(r, sizeof(r), "6%c1%.8s%d%.17s%.10s%.15s%.22s%.2s1%015lld", e[1], odfi, digit,
                   e + 12, e + 29, e + 39, e + 54, e + 76, (long long)x->trace);
    line(out, s, r);
    (void)snprintf(r, sizeof(r), "799%.3s%.15s%6s%.8s%44s%015lld", x->code, e + 79, "", e + 3, "",
                   (long long)x->trace);
    line(out, s, r);
    int64_t amount = 0, institution = 0;
    // Both were digits when the bank took the entry.
    bool digits = str_to_i64((str){e + 29, 10}, 0, INT64_MAX, &amount) &&
                  str_to_i64((str){odfi, 8}, 0, INT64_MAX, &institution);
    ASSERT(digits);
    batch->count += 2;
    batch->hash = (batch->hash + institution) % HASH_MODULUS;
    batch->credits += amount;
}

static void write_batch_control(const nacha_return *first, const sums *batch, int number, sums *s,
                                strbuf *out) {
    char r[LINE_ROOM];
    (void)snprintf(r, sizeof(r), "8220%06lld%010lld%012d%012lld%.10s%25s%.8s%07d",
                   (long long)batch->count, (long long)batch->hash, 0, (long long)batch->credits,
                   first->batch + 40, "", first->entry + 3, number);
    line(out, s, r);
    s->count += batch->count;
    s->hash = (s->hash + batch->hash) % HASH_MODULUS;
    s->credits += batch->credits;
}

static void write_file_control(sums *s, strbuf *out) {
    char r[LINE_ROOM];
    int blocks = (s->lines + 1 + NACHA_BLOCKING - 1) / NACHA_BLOCKING;
    (void)snprintf(r, sizeof(r), "9%06d%06d%08lld%010lld%012d%012lld%39s", s->batches, blocks,
                   (long long)s->count, (long long)s->hash, 0, (long long)s->credits, "");
    line(out, s, r);
    memset(r, '9', NACHA_RECORD_LEN);
    r[NACHA_RECORD_LEN] = '\0';
    while (s->lines % NACHA_BLOCKING != 0) {
        line(out, s, r);
    }
}

bool nacha_returns_write(const nacha_return_file *f, const nacha_return *r, size_t n, strbuf *out) {
    sums s = {0};
    write_file_header(f, &s, out);
    for (size_t i = 0; i < n;) {
        sums batch = {0};
        const nacha_return *first = &r[i];
        s.batches++;
        write_batch_header(f, first, s.batches, &s, out);
        for (; i < n && same_batch(first, &r[i]); i++) {
            write_entry(&r[i], &batch, &s, out);
        }
        write_batch_control(first, &batch, s.batches, &s, out);
    }
    write_file_control(&s, out);
    return strbuf_ok(out);
}
