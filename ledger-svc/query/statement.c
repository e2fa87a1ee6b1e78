// The statement of an account. By commit time it is a page of the journal: its rows have the balances. By effective time it merges two
// lists and computes running balances: entries that took effect at commit, in journal order, and backdated entries, in their own order.
#include "query/query_internal.h"

#include "base/assert.h"

typedef struct writer {
    query_at at;
    query_statement *q;
    int64_t known, first,
        last;          // sequences: the last known; the last within the times of the statement
    query_place place; // the last entry on the page so far
    size_t want;       // one more than the page, to know whether there is more
} writer;

static bool too_large(err *e) {
    return err_set(e, ERR_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE",
                   "the answer is larger than one call may be");
}

static bool is_debit(const query_statement *q, const ledger_row *row) {
    return uuid_eq(row->debit_account_id, q->account_id);
}

// --- By commit time --------------------------------------------------------------------------------------------------

static bool committed_page(writer *w, err *e) {
    query_statement *q = w->q;
    query_transfers page = {
        .book_id = q->book_id,
        .filter = {.has_account = true, .account_id = q->account_id},
        .from_sequence = w->first,
        .to_sequence = w->last,
        .page_size = q->page_size,
        .examine_max = q->examine_max,
        .after = q->resumed ? q->after.sequence : 0,
    };
    if (w->last < w->first) {
        return true;
    }
    if (!query_transfers_read(w->at.j, w->at.c, w->at.a, &page, e)) {
        return false;
    }
    q->rows = page.rows;
    q->n = page.n;
    q->more = page.more;
    q->balances = arena_calloc(w->at.a, q->n + 1, sizeof *q->balances);
    if (q->balances == NULL) {
        return too_large(e);
    }
    for (size_t i = 0; i < q->n; i++) {
        q->balances[i] =
            is_debit(q, &q->rows[i]) ? q->rows[i].debit_after : q->rows[i].credit_after;
    }
    w->place.sequence = page.position;
    return true;
}

// --- By effective time: the two lists -------------------------------------------------------------------------------

typedef struct entries {
    ledger_row *rows;
    size_t n;
} entries;

static bool rows_of(writer *w, const int64_t *sequences, size_t n, entries *out, err *e) {
    const store_transfer_filter all = {0};
    const store_range range = {.max = n};
    out->n = 0;
    return n == 0 || store_list_rows_at(w->at.c, w->at.a, w->at.book_id, &all, sequences, n, &range,
                                        &out->rows, &out->n, e);
}

// Sorts rows from journal order into the order of the sequences.
static bool in_order(writer *w, const int64_t *sequences, entries *found, err *e) {
    ledger_row *ordered = arena_calloc(w->at.a, found->n + 1, sizeof *ordered);
    if (ordered == NULL) {
        return too_large(e);
    }
    for (size_t i = 0; i < found->n; i++) {
        size_t low = 0;
        size_t high = found->n - 1;
        while (low < high) {
            const size_t middle = (low + high) / 2;
            if (found->rows[middle].sequence < sequences[i]) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        ASSERT(found->rows[low].sequence == sequences[i]);
        ordered[i] = found->rows[low];
    }
    found->rows = ordered;
    return true;
}

static bool read_backdated(writer *w, entries *out, err *e) {
    const query_statement *q = w->q;
    const store_backdated_query wanted = {
        .account_id = q->account_id,
        .after_effective_us = w->place.effective_us,
        .after_sequence = w->place.sequence,
        .effective_to_us = q->to_us == 0 ? INT64_MAX : q->to_us,
        .to_sequence = w->known,
        .max = w->want,
    };
    int64_t *sequences = NULL;
    size_t n = 0;
    return store_list_backdated(w->at.c, w->at.a, w->at.book_id, &wanted, &sequences, &n, e) &&
           rows_of(w, sequences, n, out, e) && in_order(w, sequences, out, e);
}

// Entries that are not backdated, in the range of sequences.
typedef struct prompt_run {
    entries found;
    bool all;              // there are no more in the range
    int64_t seen_us, seen; // else: all rows up to this one were looked at
} prompt_run;

static bool read_prompt(writer *w, int64_t from, int64_t to, prompt_run *out, err *e) {
    query_transfers page = {
        .book_id = w->q->book_id,
        .filter = {.has_account = true, .account_id = w->q->account_id, .prompt_only = true},
        .from_sequence = from,
        .to_sequence = to,
        .page_size = w->q->page_size,
        .examine_max = w->q->examine_max,
    };
    int64_t *sequences = NULL;
    int64_t *times_us = NULL;
    size_t n = 0;
    *out = (prompt_run){.all = true};
    if (from > to) {
        return true;
    }
    if (!query_transfers_read(w->at.j, w->at.c, w->at.a, &page, e)) {
        return false;
    }
    out->found = (entries){page.rows, page.n};
    out->all = !page.more;
    out->seen = page.position;
    if (out->all) {
        return true;
    }
    if (!store_list_times(w->at.c, w->at.a, w->at.book_id, &out->seen, 1, &sequences, &times_us, &n,
                          e)) {
        return false;
    }
    ASSERT(n == 1); // a position is a row of the journal
    out->seen_us = times_us[0];
    return true;
}

// --- By effective time: the page ------------------------------------------------------------------------------------

static bool comes_first(const ledger_row *x, const ledger_row *y) {
    return x->effective_us < y->effective_us ||
           (x->effective_us == y->effective_us && x->sequence < y->sequence);
}

static bool put(writer *w, const ledger_row *row, err *e) {
    query_statement *q = w->q;
    const ledger_effect effect = ledger_row_effect(row);
    ledger_balances *running = &w->place.running;
    const bool debit = is_debit(q, row);
    if (!store_balance_add(debit ? &running->debits_pending : &running->credits_pending,
                           effect.pending, e) ||
        !store_balance_add(debit ? &running->debits_posted : &running->credits_posted,
                           effect.posted, e)) {
        return false;
    }
    w->place.effective_us = row->effective_us;
    w->place.sequence = row->sequence;
    q->rows[q->n] = *row;
    q->balances[q->n++] = *running;
    return true;
}

// Merges entries that took effect at or before until_us; *full when the page had no room for all.
static bool merge(writer *w, const entries *x, const entries *y, int64_t until_us, bool *full,
                  err *e) {
    query_statement *q = w->q;
    *full = false;
    size_t bytes_left = QUERY_PAGE_BYTES_MAX;
    for (size_t i = 0, k = 0; i < x->n || k < y->n;) {
        const bool from_x = k == y->n || (i < x->n && comes_first(&x->rows[i], &y->rows[k]));
        const ledger_row *row = from_x ? &x->rows[i++] : &y->rows[k++];
        const size_t bytes = sizeof *row + row->external_reference.len + row->metadata.len;
        if (row->effective_us > until_us) {
            return true;
        }
        if (q->n == q->page_size || (bytes > bytes_left && q->n != 0)) {
            *full = true;
            return true;
        }
        if (!put(w, row, e)) {
            return false;
        }
        bytes_left -= bytes < bytes_left ? bytes : bytes_left;
    }
    return true;
}

// Moves the place to the last row that was looked at, even if this row is not on the page.
static void move_place(query_place *place, const prompt_run *looked) {
    if (place->effective_us < looked->seen_us ||
        (place->effective_us == looked->seen_us && place->sequence < looked->seen)) {
        place->effective_us = looked->seen_us;
        place->sequence = looked->seen;
    }
}

static bool effective_page(writer *w, err *e) {
    query_statement *q = w->q;
    entries backdated = {0};
    prompt_run prompt;
    int64_t before = 0;
    int64_t last = w->last;
    q->rows = arena_calloc(w->at.a, q->page_size, sizeof *q->rows);
    q->balances = arena_calloc(w->at.a, q->page_size, sizeof *q->balances);
    if (q->rows == NULL || q->balances == NULL) {
        return too_large(e);
    }
    if (!read_backdated(w, &backdated, e) ||
        !query_sequence_at(&w->at, w->known, w->place.effective_us, &before, e)) {
        return false;
    }
    // The backdated entries alone fill the page: no entry after their last one can be on it.
    if (backdated.n == w->want &&
        !query_sequence_at(&w->at, last, backdated.rows[backdated.n - 1].effective_us, &last, e)) {
        return false;
    }
    if (!read_prompt(w, before + 1, last, &prompt, e)) {
        return false;
    }
    const int64_t until_us = prompt.all ? INT64_MAX : prompt.seen_us;
    bool full = false;
    if (!merge(w, &prompt.found, &backdated, until_us, &full, e)) {
        return false;
    }
    q->more = full || !prompt.all;
    if (!full && !prompt.all) {
        move_place(&w->place, &prompt);
    }
    return true;
}

// --- The statement ---------------------------------------------------------------------------------------------------

static bool balances_at(writer *w, int64_t sequence, int64_t effective_at_us, bool to_the_end,
                        ledger_balances *out, err *e) {
    query_moment moment = {sequence, sequence, 0};
    if (w->q->effective && !to_the_end) {
        moment = (query_moment){w->known, sequence, effective_at_us};
    }
    return query_balances_of(&w->at, w->q->account_id, &moment, out, e);
}

// Opening and closing balances of the whole statement, and its range of sequences.
static bool frame(writer *w, err *e) {
    query_statement *q = w->q;
    int64_t before = 0;
    w->last = w->known;
    if (q->from_us != 0 && !query_sequence_at(&w->at, w->known, q->from_us - 1, &before, e)) {
        return false;
    }
    if (q->to_us != 0 && !query_sequence_at(&w->at, w->known, q->to_us - 1, &w->last, e)) {
        return false;
    }
    w->first = before + 1;
    return balances_at(w, before, q->from_us - 1, false, &q->opening, e) &&
           balances_at(w, w->last, q->to_us - 1, q->to_us == 0, &q->closing, e);
}

bool query_statement_read(journal *j, db_conn *c, arena *a, query_statement *q, err *e) {
    writer w = {.at = {j, c, a, q->book_id}, .q = q, .want = q->page_size + 1};
    ledger_account *account = NULL;
    int64_t head = 0;
    ASSERT(q->page_size >= 1 && q->page_size <= QUERY_PAGE_MAX);
    q->n = 0;
    q->more = false;
    if (!query_account_now(&w.at, q->account_id, &q->book_exists, &head, &account, e)) {
        return false;
    }
    q->account_exists = account != NULL;
    if (account == NULL) {
        return true;
    }
    q->account = *account;
    w.known = q->known_at_sequence == 0 ? head : query_lower(head, q->known_at_sequence);
    if (q->resumed) {
        w.known = query_lower(head, q->after.known_at);
    }
    q->sequence = w.known;
    if (!frame(&w, e)) {
        return false;
    }
    w.place = (query_place){w.known, q->from_us - 1, INT64_MAX, q->opening};
    if (q->resumed) {
        w.place = q->after;
    }
    if (!(q->effective ? effective_page(&w, e) : committed_page(&w, e))) {
        return false;
    }
    q->place = w.place;
    return true;
}
