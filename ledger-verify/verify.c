#include "ledger-verify/verify.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "audit/journal_file.h"
#include "base/assert.h"
#include "base/map.h"

enum {
    LINES_MAX = 50,           // these are printed; the rest is only counted
    ACCOUNTS_MAX = 100000000, // in memory: 40 bytes each, and the map
};

typedef struct verify {
    const verify_options *o;
    int64_t book_id;
    size_t n_wrong;
    // The journal so far.
    int64_t last_us;
    merkle_tree tree;
    map *balances; // of each account: ledger_balances
    // The heads: the next one, which the tree has not reached, and the one before it.
    size_t line;
    bool has_next, has_previous;
    tree_head next, previous;
    int last_key;
    size_t n_heads;
} verify;

static void wrong(verify *v, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void wrong(verify *v, const char *fmt, ...) {
    v->n_wrong++;
    if (v->n_wrong > LINES_MAX) {
        return;
    }
    va_list args;
    va_start(args, fmt);
    (void)fputs("WRONG: ", v->o->out);
    (void)vfprintf(v->o->out, fmt, args);
    (void)fputc('\n', v->o->out);
    va_end(args);
}

// --- Heads -----------------------------------------------------------------------------------------------------------

static void check_head(verify *v) {
    const tree_head *h = &v->next;
    int key = v->last_key;
    if (!head_verify(h, v->o->keys, &key)) {
        wrong(v, "tree head of size %llu (line %zu): not signed by a key of ours",
              (unsigned long long)h->size, v->line);
    } else if (key < v->last_key) {
        wrong(v, "tree head of size %llu (line %zu): signed by a key that had been replaced",
              (unsigned long long)h->size, v->line);
    }
    if (!head_follows(h, v->has_previous ? &v->previous : NULL)) {
        wrong(v, "tree head of size %llu (line %zu): does not follow the head before it",
              (unsigned long long)h->size, v->line);
    }
    v->last_key = key;
    v->n_heads++;
}

// Reads the next head of our book. A line of another book must be whole; its contents are ignored.
static void next_head(verify *v) {
    char line[HEAD_LINE_MAX];
    v->previous = v->next;
    v->has_previous = v->has_next;
    v->has_next = false;
    while (!v->has_next && fgets(line, sizeof line, v->o->heads) != NULL) {
        const size_t len = strlen(line);
        v->line++;
        if (len == 0 || line[len - 1] != '\n' || !head_line_read((str){line, len - 1}, &v->next)) {
            wrong(v, "line %zu of the heads file is no tree head", v->line);
            continue;
        }
        v->has_next = v->next.book_id == v->book_id;
    }
    if (v->has_next) {
        check_head(v);
    } else {
        v->next = v->previous; // for the report
    }
}

static void check_root(verify *v) {
    const merkle_hash root = merkle_root(&v->tree);
    while (v->has_next && v->next.size <= v->tree.size) {
        if (v->next.size == v->tree.size && !merkle_equal(&root, &v->next.root)) {
            wrong(v, "sequences %llu to %llu: not all of them are the rows that were signed",
                  (unsigned long long)v->next.previous_size + 1, (unsigned long long)v->next.size);
        }
        next_head(v);
    }
}

// --- Rows ------------------------------------------------------------------------------------------------------------

static ledger_balances *balances_of(verify *v, uuid account_id) {
    ledger_balances *b = map_get(v->balances, account_id);
    if (b == NULL) {
        b = calloc(1, sizeof *b);
        MUST(b != NULL && map_put(v->balances, account_id, b));
    }
    return b;
}

// Values may be anything. Sums may wrap: the comparison needs no more.
static int64_t add(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static bool is_after(ledger_balances *now, const ledger_balances *told) {
    const bool same = memcmp(now, told, sizeof *now) == 0;
    *now = *told; // continue with the row's value, so that one wrong row is told once
    return same;
}

static void check_balances(verify *v, const ledger_row *row) {
    if (row->amount < 0 || row->released < 0) {
        wrong(v, "sequence %lld: an amount below 0", (long long)row->sequence);
        return;
    }
    const ledger_effect effect = ledger_row_effect(row);
    ledger_balances *debit = balances_of(v, row->debit_account_id);
    ledger_balances *credit = balances_of(v, row->credit_account_id);
    debit->debits_pending = add(debit->debits_pending, effect.pending);
    debit->debits_posted = add(debit->debits_posted, effect.posted);
    credit->credits_pending = add(credit->credits_pending, effect.pending);
    credit->credits_posted = add(credit->credits_posted, effect.posted);
    const bool debit_ok = is_after(debit, &row->debit_after);
    const bool credit_ok = is_after(credit, &row->credit_after);
    if (!debit_ok || !credit_ok) {
        wrong(v, "sequence %lld: balances do not add up", (long long)row->sequence);
    }
}

static void check_row(verify *v, const journal_record *record) {
    const int64_t expected = (int64_t)v->tree.size + 1;
    ledger_row row;
    int64_t book_id = 0;
    const merkle_hash leaf = merkle_leaf(record->form, record->len);
    if (!merkle_equal(&leaf, &record->leaf)) {
        wrong(v, "sequence %lld: the row does not have its leaf hash", (long long)expected);
    }
    if (!ledger_leaf_decode(record->form, record->len, &book_id, &row)) {
        wrong(v, "sequence %lld: not the form of a row", (long long)expected);
    } else {
        if (book_id != v->book_id) {
            wrong(v, "sequence %lld: a row of another book", (long long)expected);
        }
        if (row.sequence != expected) {
            wrong(v, "sequence %lld: here stands the row of sequence %lld", (long long)expected,
                  (long long)row.sequence);
        }
        if (row.timestamp_us <= v->last_us) {
            wrong(v, "sequence %lld: not younger than the row before it", (long long)expected);
        }
        v->last_us = row.timestamp_us;
        check_balances(v, &row);
    }
    merkle_append(&v->tree, &leaf, NULL, NULL);
    check_root(v);
}

static void check_rows(verify *v) {
    journal_record record;
    for (;;) {
        const journal_read got = journal_file_next(v->o->journal, &record);
        if (got == JOURNAL_READ_ROW && v->tree.size < MERKLE_SIZE_MAX) {
            check_row(v, &record);
            continue;
        }
        if (got != JOURNAL_READ_END) {
            wrong(v, "sequence %llu: the file is damaged here, or ends in the middle of the row",
                  (unsigned long long)v->tree.size + 1);
        }
        return;
    }
}

// --- The end ---------------------------------------------------------------------------------------------------------

static void check_end(verify *v) {
    if (v->has_next) {
        wrong(v, "sequences %llu to %llu and perhaps more: signed, and not in the journal",
              (unsigned long long)v->tree.size + 1, (unsigned long long)v->next.size);
        while (v->has_next) {
            next_head(v);
        }
    }
    if (v->n_heads != 0 && v->last_key != (int)v->o->keys->n - 1) {
        wrong(v, "the last tree head is not signed by the last key");
    }
}

static verify_outcome report(const verify *v) {
    const uint64_t sealed = v->has_previous ? v->previous.size : 0;
    FILE *out = v->o->out;
    (void)fprintf(out, "book %lld: %llu rows, %zu tree heads, the last of size %llu\n",
                  (long long)v->book_id, (unsigned long long)v->tree.size, v->n_heads,
                  (unsigned long long)sealed);
    if (v->n_wrong != 0) {
        (void)fprintf(out, "WRONG: %zu findings\n", v->n_wrong);
        return VERIFY_WRONG;
    }
    if (sealed < v->tree.size || v->n_heads == 0) {
        (void)fprintf(out, "NOT PROVEN: no tree head covers the rows after sequence %llu\n",
                      (unsigned long long)sealed);
        return VERIFY_UNSEALED;
    }
    (void)fputs("PROVEN\n", out);
    return VERIFY_PROVEN;
}

verify_outcome verify_journal(const verify_options *o) {
    verify v = {.o = o};
    if (!journal_file_open(o->journal, &v.book_id)) {
        if (ferror(o->journal)) {
            return VERIFY_UNREADABLE;
        }
        (void)fputs("WRONG: this is no exported journal, or its beginning is damaged\n", o->out);
        return VERIFY_WRONG;
    }
    v.balances = map_create(1024, ACCOUNTS_MAX);
    next_head(&v);
    check_rows(&v);
    check_end(&v);
    map_iter it = map_begin(v.balances);
    while (map_next(&it)) {
        free(it.value);
    }
    map_destroy(v.balances);
    if (ferror(o->journal) || ferror(o->heads)) {
        (void)fputs("a file could not be read\n", o->out);
        return VERIFY_UNREADABLE;
    }
    return report(&v);
}
