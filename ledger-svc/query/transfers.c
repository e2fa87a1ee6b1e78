// A page of transfers. The narrowest source of the filter gives candidates in order of their sequence. Their rows are read by key, and the
// rest of the filter is applied to each row.
#include "query/query_internal.h"

#include <string.h>

#include "base/assert.h"

enum { CANDIDATES_FIRST = 64, CANDIDATES_GROWTH = 4, ROW_BYTES = 1024 };

typedef enum source {
    SOURCE_LABEL,   // external reference or metadata: one index has the sequences
    SOURCE_ACCOUNT, // postings
    SOURCE_JOURNAL  // all rows
} source;

typedef struct pager {
    query_at at;
    query_transfers *q;
    source source;
    bool all_pass;    // every candidate passes: the filter has no other part
    store_range left; // the range still to look at; max is its limit of rows
    size_t want;      // one more than the page, to know whether there are more
    size_t candidates_max;
    int64_t examine;       // how many more rows may be looked at
    journal_entries first; // the first step's candidates, read together with the head
} pager;

// An external reference names few rows. A metadata entry may name half of the journal: an account is better then.
static source choose_source(const store_transfer_filter *f) {
    if (f->external_reference.len != 0) {
        return SOURCE_LABEL;
    }
    if (f->has_account) {
        return SOURCE_ACCOUNT;
    }
    return f->metadata_key.len != 0 ? SOURCE_LABEL : SOURCE_JOURNAL;
}

// True when the filter asks only for an account on either side.
static bool is_account_only(const store_transfer_filter *f) {
    return f->has_account && f->side == STORE_SIDE_EITHER && f->code == 0 && f->currency == 0 &&
           f->external_reference.len == 0 && f->metadata_key.len == 0 &&
           uuid_is_nil(f->user_data_128) && f->user_data_64 == 0 && f->user_data_32 == 0 &&
           f->kind == LEDGER_KIND_NONE && f->pending_state == STORE_PENDING_ANY &&
           f->effective_from_us == 0 && f->effective_to_us == 0 && !f->prompt_only;
}

// --- The range -------------------------------------------------------------------------------------------------------

static bool limit_by_time(pager *p, int64_t head, err *e) {
    const query_transfers *q = p->q;
    // No transfer takes effect after its commit, so a late effect means a late commit.
    const int64_t from_us = query_higher(q->from_us, q->filter.effective_from_us);
    int64_t sequence = 0;
    if (from_us != 0) {
        if (!query_sequence_at(&p->at, head, from_us - 1, &sequence, e)) {
            return false;
        }
        p->left.from = query_higher(p->left.from, sequence + 1);
    }
    if (q->to_us != 0) {
        if (!query_sequence_at(&p->at, head, q->to_us - 1, &sequence, e)) {
            return false;
        }
        p->left.to = query_lower(p->left.to, sequence);
    }
    return true;
}

static void limit_by_sequence(pager *p, int64_t head) {
    const query_transfers *q = p->q;
    p->left = (store_range){
        .from = query_higher(1, q->from_sequence),
        .to = q->to_sequence == 0 ? head : query_lower(head, q->to_sequence),
        .newest_first = q->newest_first,
    };
    if (q->after != 0 && q->newest_first) {
        p->left.to = query_lower(p->left.to, q->after - 1);
    } else if (q->after != 0) {
        p->left.from = query_higher(p->left.from, q->after + 1);
    }
}

static bool find_range(pager *p, err *e) {
    limit_by_sequence(p, p->q->sequence);
    return limit_by_time(p, p->q->sequence, e);
}

static bool has_times(const query_transfers *q) {
    return q->from_us != 0 || q->filter.effective_from_us != 0 || q->to_us != 0;
}

static bool is_left(const pager *p) {
    return p->left.from <= p->left.to;
}

static void advance(pager *p, int64_t past) {
    if (p->left.newest_first) {
        p->left.to = past - 1;
    } else {
        p->left.from = past + 1;
    }
}

// --- Steps -----------------------------------------------------------------------------------------------------------

// Takes a step's rows. The step has looked at all rows up to `end`, unless it stopped when it had enough.
static void take_rows(pager *p, const ledger_row *rows, size_t n, int64_t end) {
    query_transfers *q = p->q;
    ASSERT(n <= p->left.max);
    if (n != 0) {
        memcpy(q->rows + q->n, rows, n * sizeof *rows);
        q->n += n;
    }
    advance(p, n == p->left.max ? rows[n - 1].sequence : end);
}

static bool step_journal(pager *p, err *e) {
    ledger_row *rows = NULL;
    size_t n = 0;
    store_range chunk = p->left;
    const int64_t size = query_lower(p->examine, chunk.to - chunk.from + 1);
    if (chunk.newest_first) {
        chunk.from = chunk.to - size + 1;
    } else {
        chunk.to = chunk.from + size - 1;
    }
    if (!store_list_rows(p->at.c, p->at.a, p->at.book_id, &p->q->filter, &chunk, &rows, &n, e)) {
        return false;
    }
    p->examine -= size;
    take_rows(p, rows, n, chunk.newest_first ? chunk.from : chunk.to);
    return true;
}

static bool find_entries(pager *p, bool with_head, journal_entries *entries, err *e) {
    const journal_entries_query q = {
        .account_id = p->q->filter.account_id,
        .from_sequence = p->left.from,
        .to_sequence = p->left.to,
        .newest_first = p->left.newest_first,
        .max = p->candidates_max,
        .with_head = with_head,
    };
    return journal_account_entries(p->at.j, p->at.c, p->at.a, p->at.book_id, &q, entries, e);
}

static bool find_candidates(pager *p, int64_t **sequences, size_t *n, err *e) {
    const store_transfer_filter *f = &p->q->filter;
    if (p->source == SOURCE_LABEL) {
        store_range range = p->left;
        range.max = p->candidates_max;
        return store_list_labeled(p->at.c, p->at.a, p->at.book_id, f, &range, sequences, n, e);
    }
    journal_entries entries = p->first;
    if (entries.sequences == NULL && !find_entries(p, false, &entries, e)) {
        return false;
    }
    p->first = (journal_entries){0};
    *sequences = entries.sequences;
    *n = entries.n;
    return true;
}

static bool read_candidates(pager *p, const int64_t *sequences, size_t n_sequences,
                            ledger_row **rows, size_t *n, err *e) {
    if (p->all_pass) {
        *n = n_sequences < p->left.max ? n_sequences : p->left.max;
        return store_list_rows_of(p->at.c, p->at.a, p->at.book_id, sequences, *n,
                                  p->left.newest_first, rows, e);
    }
    return store_list_rows_at(p->at.c, p->at.a, p->at.book_id, &p->q->filter, sequences,
                              n_sequences, &p->left, rows, n, e);
}

static bool step_candidates(pager *p, err *e) {
    int64_t *sequences = NULL;
    ledger_row *rows = NULL;
    size_t n_sequences = 0;
    size_t n = 0;
    const int64_t end = p->left.newest_first ? p->left.from : p->left.to;
    if (!find_candidates(p, &sequences, &n_sequences, e)) {
        return false;
    }
    if (n_sequences != 0 && !read_candidates(p, sequences, n_sequences, &rows, &n, e)) {
        return false;
    }
    const bool all = n_sequences < p->candidates_max;
    take_rows(p, rows, n, all ? end : sequences[n_sequences - 1]);
    p->examine -= (int64_t)n_sequences;
    p->candidates_max = p->candidates_max * CANDIDATES_GROWTH;
    if (p->candidates_max > JOURNAL_ENTRIES_MAX) {
        p->candidates_max = JOURNAL_ENTRIES_MAX;
    }
    return true;
}

static bool run_steps(pager *p, err *e) {
    bool ok = true;
    while (ok && is_left(p) && p->q->n < p->want && p->examine > 0) {
        p->left.max = p->want - p->q->n;
        ok = p->source == SOURCE_JOURNAL ? step_journal(p, e) : step_candidates(p, e);
    }
    return ok;
}

// --- The page --------------------------------------------------------------------------------------------------------

size_t query_rows_fitting(const ledger_row *rows, size_t n) {
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        bytes += ROW_BYTES + rows[i].external_reference.len + rows[i].metadata.len;
        if (bytes > QUERY_PAGE_BYTES_MAX && i != 0) {
            return i;
        }
    }
    return n;
}

static void end_page(pager *p) {
    query_transfers *q = p->q;
    q->more = is_left(p) || q->n > q->page_size;
    q->position = p->left.newest_first ? p->left.to + 1 : p->left.from - 1;
    const size_t fit = query_rows_fitting(q->rows, q->n < q->page_size ? q->n : q->page_size);
    if (fit < q->n) {
        q->more = true;
        q->n = fit;
        q->position = q->rows[fit - 1].sequence;
    }
}

static bool look_first(pager *p, err *e) {
    query_transfers *q = p->q;
    ledger_account *account = NULL;
    int64_t sequence = 0;
    q->account_exists = true;
    if (!q->filter.has_account) {
        return journal_head(p->at.j, p->at.c, p->at.a, q->book_id, &q->book_exists, &q->sequence,
                            e);
    }
    limit_by_sequence(p, INT64_MAX);
    // Here the page's beginning does not depend on the head, so the head comes with the first candidates.
    const bool entries_first = p->source == SOURCE_ACCOUNT && !has_times(q) && is_left(p);
    if (entries_first) {
        const bool ok = find_entries(p, true, &p->first, e);
        q->book_exists = p->first.exists;
        q->sequence = p->first.at_sequence;
        if (!ok || !q->book_exists || p->first.n != 0) {
            return ok; // an account with entries exists
        }
    }
    const bool ok =
        query_account_now(&p->at, q->filter.account_id, &q->book_exists, &sequence, &account, e);
    q->account_exists = account != NULL;
    q->sequence = entries_first ? q->sequence : sequence;
    return ok;
}

bool query_transfers_read(journal *j, db_conn *c, arena *a, query_transfers *q, err *e) {
    ASSERT(q->page_size >= 1 && q->page_size <= QUERY_PAGE_MAX);
    pager p = {.at = {j, c, a, q->book_id},
               .q = q,
               .source = choose_source(&q->filter),
               .all_pass = is_account_only(&q->filter),
               .want = q->page_size + 1,
               .examine = q->examine_max == 0 ? QUERY_EXAMINE_MAX : (int64_t)q->examine_max};
    p.candidates_max = p.want < CANDIDATES_FIRST ? CANDIDATES_FIRST : p.want;
    if ((int64_t)p.candidates_max > p.examine) {
        p.candidates_max = (size_t)p.examine;
    }
    q->n = 0;
    q->more = false;
    if (!look_first(&p, e)) {
        return false;
    }
    if (!q->book_exists || !q->account_exists) {
        return true;
    }
    q->rows = arena_calloc(a, p.want, sizeof *q->rows);
    if (q->rows == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE",
                       "the answer is larger than one call may be");
    }
    if (!find_range(&p, e) || !run_steps(&p, e)) {
        return false;
    }
    end_page(&p);
    return true;
}
