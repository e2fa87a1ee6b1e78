// Balances as of a moment in two times: when entries became known, and when they took effect.
#include "query/query_internal.h"

#include "base/assert.h"
#include "base/map.h"

bool query_account_now(const query_at *at, uuid account_id, bool *book_exists, int64_t *head,
                       ledger_account **account, err *e) {
    const store_ids ids = {&account_id, 1};
    ledger_account *found = NULL;
    size_t n = 0;
    if (!journal_read_accounts(at->j, at->c, at->a, at->book_id, ids, book_exists, head, &found, &n,
                               e)) {
        return false;
    }
    *account = *book_exists && n == 1 ? found : NULL;
    return true;
}

bool query_moment_find(const query_at *at, int64_t known, int64_t effective_at_us,
                       query_moment *out, err *e) {
    *out = (query_moment){known, known, effective_at_us};
    return effective_at_us == 0 ||
           query_sequence_at(at, known, effective_at_us, &out->effective, e);
}

// An entry committed by then also took effect by then. A later entry counts if it was backdated far enough.
bool query_balances_of(const query_at *at, uuid account_id, const query_moment *moment,
                       ledger_balances *out, err *e) {
    bool exists = false;
    bool found = false;
    *out = (ledger_balances){0};
    if (moment->effective != 0 &&
        !journal_balances_at(at->j, at->c, at->a, at->book_id, account_id, moment->effective,
                             &exists, &found, out, e)) {
        return false;
    }
    return moment->effective == moment->known ||
           store_sum_backdated(at->c, at->a, at->book_id, account_id, moment->effective_at_us,
                               moment->effective, moment->known, out, e);
}

static bool find_known(const query_at *at, const query_balances *q, int64_t head, int64_t *known,
                       err *e) {
    *known = q->known_at_sequence == 0 ? head : query_lower(head, q->known_at_sequence);
    return q->known_at_us == 0 || query_sequence_at(at, head, q->known_at_us, known, e);
}

static bool fill(const query_at *at, query_balances *q, const map *accounts, int64_t head,
                 const query_moment *moment, err *e) {
    for (size_t i = 0; i < q->ids.n; i++) {
        const ledger_account *account = map_get(accounts, q->ids.ids[i]);
        query_balance *out = &q->balances[q->n];
        if (account == NULL) {
            continue;
        }
        *out = (query_balance){account->id, account->balances};
        if (moment->effective != head &&
            !query_balances_of(at, account->id, moment, &out->balances, e)) {
            return false;
        }
        q->n++;
    }
    return true;
}

bool query_balances_read(journal *j, db_conn *c, arena *a, query_balances *q, err *e) {
    const query_at at = {j, c, a, q->book_id};
    ledger_account *accounts = NULL;
    size_t n = 0;
    int64_t head = 0;
    query_moment moment;
    ASSERT(q->ids.n <= QUERY_BALANCES_MAX);
    q->n = 0;
    if (!journal_read_accounts(j, c, a, q->book_id, q->ids, &q->book_exists, &head, &accounts, &n,
                               e)) {
        return false;
    }
    if (!q->book_exists) {
        return true;
    }
    q->balances = arena_calloc(a, q->ids.n + 1, sizeof *q->balances);
    if (q->balances == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE",
                       "the answer is larger than one call may be");
    }
    if (!find_known(&at, q, head, &q->sequence, e) ||
        !query_moment_find(&at, q->sequence, q->effective_at_us, &moment, e)) {
        return false;
    }
    map *by_id = map_create(n, n + 1);
    for (size_t i = 0; i < n; i++) {
        MUST(map_put(by_id, accounts[i].id, &accounts[i]));
    }
    const bool ok = fill(&at, q, by_id, head, &moment, e);
    map_destroy(by_id);
    return ok;
}
