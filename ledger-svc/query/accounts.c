// A page of accounts, in order of their creation here.
#include "query/query_internal.h"

#include <string.h>

#include "base/assert.h"

enum { CANDIDATES_FIRST = 64, CANDIDATES_GROWTH = 4, CANDIDATES_MAX = 8192, ACCOUNT_BYTES = 512 };

typedef struct pager {
    query_at at;
    query_accounts *q;
    store_range left; // times
    size_t want;
    size_t candidates_max;
    size_t examined, examine_max;
} pager;

static bool is_left(const pager *p) {
    return p->left.from <= p->left.to;
}

static void find_range(pager *p) {
    const query_accounts *q = p->q;
    p->left = (store_range){
        .from = query_higher(1, q->from_us),
        .to = q->to_us == 0 ? INT64_MAX : q->to_us - 1,
        .newest_first = q->newest_first,
    };
    if (q->after != 0 && q->newest_first) {
        p->left.to = query_lower(p->left.to, q->after - 1);
    } else if (q->after != 0) {
        p->left.from = query_higher(p->left.from, q->after + 1);
    }
}

static void advance(pager *p, int64_t past) {
    if (p->left.newest_first) {
        p->left.to = past - 1;
    } else {
        p->left.from = past + 1;
    }
}

static void end(pager *p) {
    p->left.from = 1;
    p->left.to = 0;
}

static bool passes_now(const query_accounts *q, const ledger_account *account) {
    return (q->filter.flags & LEDGER_ACCOUNT_FLAG_CLOSED) == 0 ||
           (account->state & LEDGER_STATE_CLOSED) != 0;
}

// Balances and state in the tables lag behind the journal. Brings the accounts to one sequence, and drops accounts that the filter no
// longer lets through.
static bool refresh(pager *p, ledger_account *accounts, size_t *n, err *e) {
    query_accounts *q = p->q;
    size_t kept = 0;
    if (!journal_refresh_accounts(p->at.j, p->at.c, p->at.a, q->book_id, &q->book_exists,
                                  &q->sequence, accounts, *n, e)) {
        return false;
    }
    for (size_t i = 0; i < *n; i++) {
        if (passes_now(q, &accounts[i])) {
            accounts[kept++] = accounts[i];
        }
    }
    *n = kept;
    return true;
}

static bool step(pager *p, err *e) {
    query_accounts *q = p->q;
    store_range range = p->left;
    int64_t *times_us = NULL;
    ledger_account *accounts = NULL;
    size_t n_times = 0;
    size_t n = 0;
    range.max = p->candidates_max;
    if (!store_list_account_times(p->at.c, p->at.a, q->book_id, &q->filter, &range, &times_us,
                                  &n_times, e)) {
        return false;
    }
    range.max = p->want - q->n;
    if (n_times != 0 && !store_list_accounts_at(p->at.c, p->at.a, q->book_id, &q->filter, times_us,
                                                n_times, &range, &accounts, &n, e)) {
        return false;
    }
    p->examined += n_times;
    if (n == range.max) {
        advance(p, accounts[n - 1].timestamp_us);
    } else if (n_times == p->candidates_max) {
        advance(p, times_us[n_times - 1]);
    } else {
        end(p);
    }
    // Else accounts that are closed only in the tables would fill the page.
    if ((q->filter.flags & LEDGER_ACCOUNT_FLAG_CLOSED) != 0 && n != 0 &&
        !refresh(p, accounts, &n, e)) {
        return false;
    }
    if (n != 0) {
        memcpy(q->accounts + q->n, accounts, n * sizeof *accounts);
        q->n += n;
    }
    p->candidates_max = p->candidates_max * CANDIDATES_GROWTH > CANDIDATES_MAX
                            ? CANDIDATES_MAX
                            : p->candidates_max * CANDIDATES_GROWTH;
    return true;
}

static size_t fitting(const query_accounts *q) {
    const size_t n = q->n < q->page_size ? q->n : q->page_size;
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        bytes +=
            ACCOUNT_BYTES + q->accounts[i].external_reference.len + q->accounts[i].metadata.len;
        if (bytes > QUERY_PAGE_BYTES_MAX && i != 0) {
            return i;
        }
    }
    return n;
}

static void end_page(pager *p) {
    query_accounts *q = p->q;
    const size_t fit = fitting(q);
    q->more = is_left(p);
    q->position = p->left.newest_first ? p->left.to + 1 : p->left.from - 1;
    if (fit < q->n) {
        q->more = true;
        q->n = fit;
        q->position = q->accounts[fit - 1].timestamp_us;
    }
}

bool query_accounts_read(journal *j, db_conn *c, arena *a, query_accounts *q, err *e) {
    ASSERT(q->page_size >= 1 && q->page_size <= QUERY_PAGE_MAX);
    pager p = {.at = {j, c, a, q->book_id},
               .q = q,
               .want = q->page_size + 1,
               .examine_max = q->examine_max == 0 ? QUERY_EXAMINE_MAX : q->examine_max};
    p.candidates_max = p.want < CANDIDATES_FIRST ? CANDIDATES_FIRST : p.want;
    q->n = 0;
    q->more = false;
    if (!journal_head(j, c, a, q->book_id, &q->book_exists, &q->sequence, e)) {
        return false;
    }
    if (!q->book_exists) {
        return true;
    }
    q->accounts = arena_calloc(a, p.want, sizeof *q->accounts);
    if (q->accounts == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE",
                       "the answer is larger than one call may be");
    }
    find_range(&p);
    while (is_left(&p) && q->n < p.want && p.examined < p.examine_max) {
        if (!step(&p, e)) {
            return false;
        }
    }
    end_page(&p);
    return refresh(&p, q->accounts, &q->n, e);
}
