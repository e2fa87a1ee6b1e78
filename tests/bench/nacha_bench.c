// NACHA at size: writes 100,000 entries as one file, then reads a bank's return of 100,000 and matches it with its candidates. Only our own
// time: no database, no network. Prints one JSON object with medians.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "rails/ach/ach_internal.h"
#include "testing/bank_file.h"

enum { ENTRIES = 100000, ROUNDS = 9, ARENA_BYTES_MAX = 1 << 30, TEXT_LEN = 20 };

typedef struct texts {
    char account[TEXT_LEN], id[TEXT_LEN], trace[TEXT_LEN];
} texts;

static int compare(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static double median_ms(int64_t *us) {
    qsort(us, ROUNDS, sizeof *us, compare);
    return (double)us[ROUNDS / 2] / 1e3;
}

static int64_t now_us(void) {
    return clock_mono_us(clock_system());
}

static void fill(texts *t, size_t n) {
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(t[i].account, TEXT_LEN, "%zu", 4000000000 + i);
        (void)snprintf(t[i].id, TEXT_LEN, "%015zX", i * 7919 + 1);
        (void)snprintf(t[i].trace, TEXT_LEN, "09100001%07zu", i + 1);
    }
}

static double write_ms(const texts *t) {
    const nacha_file_spec spec = {.immediate_destination = STR("091000019"),
                                  .immediate_origin = STR("1000000001"),
                                  .created = {2026, 11, 30},
                                  .modifier = 'A',
                                  .odfi = STR("09100001"),
                                  .company_name = STR("DISBURSE"),
                                  .company_id = STR("1000000001"),
                                  .effective = {2026, 12, 1}};
    nacha_credit *credits = calloc(ENTRIES, sizeof *credits);
    int64_t took[ROUNDS];
    ASSERT(credits != NULL);
    for (size_t i = 0; i < ENTRIES; i++) {
        credits[i] = (nacha_credit){.sec = NACHA_PPD,
                                    .routing = STR("021000021"),
                                    .account = str_of(t[i].account),
                                    .amount_cents = 100 + (int64_t)i % 90000,
                                    .individual_id = str_of(t[i].id),
                                    .name = STR("Jörg Müller-Lüdenscheidt"),
                                    .description = STR("PAYOUT"),
                                    .trace_sequence = (int64_t)i + 1};
    }
    for (size_t r = 0; r < ROUNDS; r++) {
        strbuf out;
        err e = {0};
        strbuf_init(&out, nacha_size_max(ENTRIES, false));
        const int64_t begun = now_us();
        const bool ok = nacha_write(&spec, credits, ENTRIES, &out, NULL, &e);
        took[r] = now_us() - begun;
        ASSERT(ok);
        strbuf_deinit(&out);
    }
    free(credits);
    return median_ms(took);
}

static str returns_of(const texts *t, strbuf *out) {
    bank_entry *entries = calloc(ENTRIES, sizeof *entries);
    ASSERT(entries != NULL);
    for (size_t i = 0; i < ENTRIES; i++) {
        entries[i] = (bank_entry){.code = "R03",
                                  .trace = t[i].trace,
                                  .amount = 100 + (int64_t)i % 90000,
                                  .individual_id = t[i].id,
                                  .account = t[i].account,
                                  .rdfi = "02100002"};
    }
    const bank_batch batch = {.company_id = "1000000001", .entries = entries, .n = ENTRIES};
    const bank_file file = {.destination = "1000000001", .batches = &batch, .n = 1};
    strbuf_init(out, INBOX_BYTES_MAX);
    bank_file_write(&file, out);
    ASSERT(strbuf_ok(out));
    free(entries);
    return strbuf_str(out);
}

static ach_candidate *candidates_of(const texts *t, char (*last4)[5]) {
    ach_candidate *c = calloc(ENTRIES, sizeof *c);
    ASSERT(c != NULL);
    for (size_t i = 0; i < ENTRIES; i++) {
        const size_t len = strlen(t[i].account);
        memcpy(last4[i], t[i].account + len - 4, 5);
        c[i] = (ach_candidate){.line = i,
                               .book_id = 1,
                               .attempt = 1,
                               .amount = 100 + (int64_t)i % 90000,
                               .sent_us = clock_wall_us(clock_system()),
                               .routing = STR("021000021"),
                               .last4 = {last4[i], 4},
                               .currency = "USD"};
        // ids end in random bytes
        const uint64_t mixed = (uint64_t)i * UINT64_C(0x9E3779B97F4A7C15);
        memcpy(c[i].payout_id.b, &i, sizeof i);
        memcpy(c[i].payout_id.b + 8, &mixed, sizeof mixed);
        memcpy(c[i].individual_id, t[i].id, NACHA_ID_LEN);
    }
    return c;
}

static double read_ms(const texts *t, double *parse) {
    static char last4[ENTRIES][5];
    static int64_t books[ENTRIES];
    static ach_rail connection = {.settings = {.returns_days = 60}};
    int64_t took[ROUNDS], parsing[ROUNDS];
    strbuf out;
    const str bytes = returns_of(t, &out);
    ach_candidate *candidates = candidates_of(t, last4);
    for (size_t i = 0; i < ENTRIES; i++) {
        books[i] = 1;
    }
    for (size_t r = 0; r < ROUNDS; r++) {
        arena *a = arena_create(ARENA_BYTES_MAX);
        ach_report report;
        inbox_said said = {0};
        err e = {0};
        const int64_t begun = now_us();
        bool ok = ach_returns_parse(bytes, clock_wall_us(clock_system()), a, &report, &e);
        parsing[r] = now_us() - begun;
        const ach_match m = {&connection, &report, candidates, ENTRIES, books, false};
        ok = ok && ach_match_lines(&m, a, &said, &e);
        took[r] = now_us() - begun;
        ASSERT(ok && said.n_events == ENTRIES && said.n_odd == 0);
        arena_destroy(a);
    }
    strbuf_deinit(&out);
    free(candidates);
    *parse = median_ms(parsing);
    return median_ms(took);
}

int main(void) {
    texts *t = calloc(ENTRIES, sizeof *t);
    double parse = 0;
    ASSERT(t != NULL);
    fill(t, ENTRIES);
    const double written = write_ms(t), matched = read_ms(t, &parse);
    (void)printf("{\"entries\": %d, \"write_ms\": %.1f, \"return_parse_ms\": %.1f, "
                 "\"return_read_and_match_ms\": %.1f}\n",
                 ENTRIES, written, parse, matched);
    free(t);
    return 0;
}
