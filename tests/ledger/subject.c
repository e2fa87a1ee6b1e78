#include "subject.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "domain/apply.h"
#include "words.h"

// The finding of the last comparison.
static char difference[512];

enum { ROWS_MAX = MODEL_ROWS_MAX, MAP_MAX = 1 << 14, MEMORY_MAX = 64 * 1024 * 1024 };

struct subject {
    arena *a;
    map *accounts, *transfers, *burned, *references;
    int64_t sequence, timestamp_us, next_expires_us;
    ledger_row *rows[ROWS_MAX]; // the journal
    size_t n_rows;
    ledger_account *made[MODEL_ACCOUNTS_MAX];
    size_t n_made;
    ledger_transfer_result transfer_results[MODEL_EVENTS_MAX];
    ledger_account_result account_results[MODEL_EVENTS_MAX];
    model_step_kind kind; // of the last step
};

subject *subject_create(void) {
    subject *s = calloc(1, sizeof *s);
    ASSERT(s != NULL);
    s->a = arena_create(MEMORY_MAX);
    s->accounts = map_create(16, MAP_MAX);
    s->transfers = map_create(16, MAP_MAX);
    s->burned = map_create(16, MAP_MAX);
    s->references = map_create(16, MAP_MAX);
    s->next_expires_us = LEDGER_NEVER_US;
    return s;
}

void subject_destroy(subject *s) {
    map_destroy(s->accounts);
    map_destroy(s->transfers);
    map_destroy(s->burned);
    map_destroy(s->references);
    arena_destroy(s->a);
    free(s);
}

// --- One transaction -------------------------------------------------------------------------------------------------

static int by_deadline(const void *a, const void *b) {
    const ledger_row *x = *(ledger_row *const *)a;
    const ledger_row *y = *(ledger_row *const *)b;
    if (x->expires_us != y->expires_us) {
        return x->expires_us < y->expires_us ? -1 : 1;
    }
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static void release(subject *s, ledger_tx *tx) {
    ledger_row *due[ROWS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < s->n_rows; i++) {
        ledger_row *row = s->rows[i];
        if (row->expires_us != 0 && row->resolution == LEDGER_KIND_NONE &&
            row->expires_us <= tx->timestamp_us + 1) {
            due[n++] = row;
        }
    }
    qsort(due, n, sizeof due[0], by_deadline);
    for (size_t i = 0; i < n; i++) {
        // Each release takes a moment, in which the next pending may run out. The next transaction finds it.
        ledger_apply_expiry(tx, due[i]);
    }
}

static void tx_begin(subject *s, ledger_tx *tx, int64_t now_us, size_t n) {
    const size_t rows_max = n + s->n_rows + 1;
    *tx = (ledger_tx){
        .accounts = s->accounts,
        .transfers = s->transfers,
        .burned = s->burned,
        .references = s->references,
        .sequence = s->sequence,
        .timestamp_us = (now_us > s->timestamp_us ? now_us : s->timestamp_us + 1) - 1,
        .next_expires_us = s->next_expires_us,
        .rows = ARENA_ARRAY(s->a, ledger_row, rows_max),
        .rows_max = rows_max,
        .new_accounts = ARENA_ARRAY(s->a, ledger_account, n),
        .new_accounts_max = n,
        .touched = ARENA_ARRAY(s->a, ledger_touched, 2 * rows_max),
        .touched_max = 2 * rows_max,
        .new_burned = ARENA_ARRAY(s->a, ledger_burned, n),
        .new_burned_max = n,
    };
    ASSERT(tx->rows != NULL && tx->new_accounts != NULL && tx->touched != NULL &&
           tx->new_burned != NULL);
}

static void tx_end(subject *s, ledger_tx *tx) {
    ledger_tx_verify(tx, s->sequence, s->timestamp_us);
    ledger_tx_finish(tx, false);
    s->sequence = tx->sequence;
    if (tx->n_rows != 0 || tx->n_new_accounts != 0 || tx->n_new_burned != 0) {
        s->timestamp_us = tx->timestamp_us;
    }
    s->next_expires_us = tx->next_expires_us;
    ASSERT(s->n_rows + tx->n_rows <= ROWS_MAX);
    for (size_t i = 0; i < tx->n_rows; i++) {
        s->rows[s->n_rows++] = &tx->rows[i];
    }
    for (size_t i = 0; i < tx->n_new_accounts; i++) {
        s->made[s->n_made++] = &tx->new_accounts[i];
    }
}

void subject_apply(subject *s, const model_step *step, size_t first, size_t end, int64_t now_us,
                   bool releases) {
    const size_t n = end - first;
    ledger_account_event accounts[MODEL_EVENTS_MAX];
    ledger_transfer_event transfers[MODEL_EVENTS_MAX];
    ledger_tx tx;
    tx_begin(s, &tx, now_us, n);
    if (releases) {
        release(s, &tx);
    }
    s->kind = step->kind;
    if (step->kind == STEP_ACCOUNTS) {
        for (size_t i = 0; i < n; i++) {
            accounts[i] = words_account_event(s->a, &step->events[first + i]);
        }
        ledger_apply_accounts(&tx, accounts, n, s->account_results + first);
    } else {
        for (size_t i = 0; i < n; i++) {
            transfers[i] = words_transfer_event(s->a, &step->events[first + i]);
        }
        ledger_apply_transfers(&tx, transfers, n, s->transfer_results + first);
    }
    tx_end(s, &tx);
}

const char *subject_status(const subject *s, size_t i) {
    return s->kind == STEP_ACCOUNTS ? ledger_account_status_name(s->account_results[i].status)
                                    : ledger_transfer_status_name(s->transfer_results[i].status);
}

// --- Comparisons -----------------------------------------------------------------------------------------------------

const char *subject_differs_from_results(const subject *s, const model *m, const model_step *step,
                                         const model_result *results) {
    (void)m;
    for (size_t i = 0; i < step->n; i++) {
        if (strcmp(subject_status(s, i), results[i].status) != 0) {
            (void)snprintf(difference, sizeof difference, "event %zu is %s, the model says %s", i,
                           subject_status(s, i), results[i].status);
            return difference;
        }
        if (step->kind == STEP_ACCOUNTS) {
            const int64_t got_us = s->account_results[i].timestamp_us;
            if (got_us != results[i].timestamp_us) {
                return words_differ("event", i, "timestamp_us", results[i].timestamp_us, got_us);
            }
            continue;
        }
        const ledger_row *row = s->transfer_results[i].row;
        const int64_t sequence = row == NULL ? 0 : row->sequence;
        if (sequence != (int64_t)results[i].sequence) {
            return words_differ("event", i, "sequence", (int64_t)results[i].sequence, sequence);
        }
    }
    return NULL;
}

const char *subject_differs_from_rows(const subject *s, const model *m) {
    if (s->n_rows != m->n_rows) {
        return words_differ("journal", 0, "rows", (int64_t)m->n_rows, (int64_t)s->n_rows);
    }
    for (size_t i = 0; i < s->n_rows; i++) {
        const char *found = words_row_differs(s->rows[i], &m->rows[i], i + 1);
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

const char *subject_differs_from_accounts(const subject *s, const model *m) {
    if (map_count(s->accounts) != m->n_accounts) {
        return words_differ("book", 0, "accounts", (int64_t)m->n_accounts,
                            (int64_t)map_count(s->accounts));
    }
    for (size_t i = 0; i < m->n_accounts; i++) {
        const model_account *want = &m->accounts[i];
        const ledger_account *got = map_get(s->accounts, words_id(want->asked.id));
        const uint64_t id = want->asked.id;
        if (got == NULL) {
            return words_differ("account", id, "is there", 1, 0);
        }
        const char *found = words_account_differs(got, want);
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

static const char *accounts_differ(const subject *s, const subject *other) {
    for (size_t i = 0; i < s->n_made; i++) {
        const ledger_account *x = s->made[i];
        const ledger_account *y = map_get(other->accounts, x->id);
        if (y == NULL || memcmp(&x->balances, &y->balances, sizeof x->balances) != 0 ||
            x->state != y->state) {
            (void)snprintf(difference, sizeof difference,
                           "account %" PRId64 " differs after one by one", words_number(x->id));
            return difference;
        }
    }
    return NULL;
}

const char *subject_differs_from(const subject *s, const subject *other, size_t n_events) {
    for (size_t i = 0; i < n_events; i++) {
        if (strcmp(subject_status(s, i), subject_status(other, i)) != 0) {
            (void)snprintf(difference, sizeof difference,
                           "event %zu is %s in the batch and %s one by one", i,
                           subject_status(s, i), subject_status(other, i));
            return difference;
        }
    }
    if (s->n_rows != other->n_rows || s->timestamp_us != other->timestamp_us) {
        return "one by one, the journal has another end";
    }
    return accounts_differ(s, other);
}

// --- The books themselves --------------------------------------------------------------------------------------------

typedef struct replayed {
    __int128 pending, posted;
} replayed;

static void replay(const ledger_row *row, replayed *by) {
    switch (row->kind) {
    case LEDGER_KIND_SINGLE: by->posted += row->amount; break;
    case LEDGER_KIND_PENDING: by->pending += row->amount; break;
    case LEDGER_KIND_POST:
        by->posted += row->amount;
        by->pending -= row->released;
        break;
    case LEDGER_KIND_VOID:
    case LEDGER_KIND_EXPIRE: by->pending -= row->released; break;
    case LEDGER_KIND_NONE:
    default: ASSERT(!"a row without a kind");
    }
}

static bool replays_to(const subject *s, const ledger_account *account) {
    replayed debits = {0};
    replayed credits = {0};
    for (size_t i = 0; i < s->n_rows; i++) {
        if (uuid_eq(s->rows[i]->debit_account_id, account->id)) {
            replay(s->rows[i], &debits);
        }
        if (uuid_eq(s->rows[i]->credit_account_id, account->id)) {
            replay(s->rows[i], &credits);
        }
    }
    const ledger_balances *b = &account->balances;
    return debits.pending == b->debits_pending && debits.posted == b->debits_posted &&
           credits.pending == b->credits_pending && credits.posted == b->credits_posted;
}

const char *subject_out_of_balance(const subject *s) {
    const int currencies[] = {C_USD, C_EUR};
    for (size_t c = 0; c < 2; c++) {
        __int128 pending = 0;
        __int128 posted = 0;
        for (size_t i = 0; i < s->n_made; i++) {
            const ledger_account *account = s->made[i];
            if (account->currency == words_currency(currencies[c])) {
                const ledger_balances *b = &account->balances;
                pending += (__int128)b->debits_pending - b->credits_pending;
                posted += (__int128)b->debits_posted - b->credits_posted;
            }
        }
        if (pending != 0 || posted != 0) {
            return "debits do not equal credits";
        }
    }
    for (size_t i = 0; i < s->n_made; i++) {
        if (!replays_to(s, s->made[i])) {
            (void)snprintf(difference, sizeof difference,
                           "the journal does not replay to account %" PRId64,
                           words_number(s->made[i]->id));
            return difference;
        }
    }
    return NULL;
}
