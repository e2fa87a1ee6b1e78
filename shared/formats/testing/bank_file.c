#include "testing/bank_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { RECORD = 94, BLOCK = 10 };

typedef struct totals {
    int64_t records, hash, debits, credits;
} totals;

typedef struct writer {
    const bank_file *file;
    strbuf *out;
    int64_t lines, own;
    bool first;
} writer;

static const char *or_else(const char *s, const char *otherwise) {
    return s == NULL ? otherwise : s;
}

static void put(writer *w, const char *record) {
    const bank_file *f = w->file;
    size_t len = strlen(record);
    ASSERT(len == RECORD);
    while (f->cut_blanks && len > 0 && record[len - 1] == ' ') {
        len--;
    }
    if (!w->first) {
        strbuf_add_c(w->out, or_else(f->line_end, "\n"));
    }
    w->first = false;
    strbuf_add(w->out, record, len);
    for (int i = 0; i < f->extra_blanks; i++) {
        strbuf_add_char(w->out, ' ');
    }
    w->lines++;
}

static void entry_records(writer *w, const bank_entry *e, totals *sum) {
    char record[256], own[16];
    const int code = e->transaction_code == 0 ? 21 : e->transaction_code;
    const char *rdfi = or_else(e->rdfi, "23138010");
    (void)snprintf(own, sizeof own, "%.8s%07" PRId64, rdfi, ++w->own);
    const char *trace = or_else(e->own_trace, own);
    (void)snprintf(record, sizeof record, "6%02d%.8s2%-17.17s%010" PRId64 "%-15.15s%-22.22s  %d%s",
                   code, "12104288", or_else(e->account, "12345678"), e->amount,
                   or_else(e->individual_id, ""), or_else(e->name, "ANN EXAMPLE"),
                   e->code == NULL ? 0 : 1, trace);
    put(w, record);
    sum->records++;
    sum->hash += 12104288;
    *(code % 10 < 5 ? &sum->credits : &sum->debits) += e->amount;
    if (e->code == NULL) {
        return;
    }
    (void)snprintf(record, sizeof record, "7%s%-3.3s%-15.15s      %-8.8s%-44.44s%s",
                   e->code[0] == 'C' ? "98" : "99", e->code, or_else(e->trace, ""), rdfi,
                   or_else(e->info, ""), trace);
    put(w, record);
    sum->records++;
}

static void batch_records(writer *w, const bank_batch *b, int64_t number, totals *sum) {
    char record[256];
    totals own = {0};
    number = b->number == 0 ? number : b->number;
    (void)snprintf(record, sizeof record,
                   "5220%-16.16s%-20.20s%-10.10s%-3.3s%-10.10s%-6.6s%-6.6s   %c%s%07" PRId64,
                   "DISBURSE INC", "", b->company_id, or_else(b->sec, "PPD"),
                   or_else(b->description, "PAYOUT"), "", or_else(b->effective, "261201"),
                   b->status == 0 ? '1' : b->status, "23138010", number);
    put(w, record);
    for (size_t i = 0; i < b->n; i++) {
        entry_records(w, &b->entries[i], &own);
    }
    (void)snprintf(record, sizeof record,
                   "8220%06" PRId64 "%010" PRId64 "%012" PRId64 "%012" PRId64
                   "%-10.10s%-19.19s%-6.6s%s%07" PRId64,
                   own.records, own.hash % INT64_C(10000000000), own.debits, own.credits,
                   b->company_id, "", "", "23138010", number);
    put(w, record);
    sum->records += own.records;
    sum->hash += own.hash;
    sum->debits += own.debits;
    sum->credits += own.credits;
}

void bank_file_write(const bank_file *f, strbuf *out) {
    writer w = {.file = f, .out = out, .first = true};
    totals sum = {0};
    char record[256];
    (void)snprintf(
        record, sizeof record, "101%-10.10s 1210428822611210442%c094101%-23.23s%-23.23s%-8.8s",
        or_else(f->destination, "1900000001"), 'A', "DISBURSE", "FIRST EXAMPLE BANK", "");
    put(&w, record);
    for (size_t i = 0; i < f->n; i++) {
        batch_records(&w, &f->batches[i], (int64_t)i + 1, &sum);
    }
    const int64_t blocks = (w.lines + 1 + BLOCK - 1) / BLOCK;
    (void)snprintf(
        record, sizeof record,
        "9%06zu%06" PRId64 "%08" PRId64 "%010" PRId64 "%012" PRId64 "%012" PRId64 "%-39.39s", f->n,
        blocks, sum.records, sum.hash % INT64_C(10000000000), sum.debits, sum.credits, "");
    put(&w, record);
    memset(record, '9', RECORD);
    record[RECORD] = '\0';
    while (!f->unpadded && w.lines % BLOCK != 0) {
        put(&w, record);
    }
    if (!f->no_final_line_end) {
        strbuf_add_c(out, or_else(f->line_end, "\n"));
    }
}
