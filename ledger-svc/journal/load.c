// What a transaction must know before it can decide: the head, and all that its requests name.
#include "base/assert.h"
#include "journal/commit_internal.h"

typedef struct id_list {
    uuid *ids;
    size_t n, max;
} id_list;

static bool list_create(arena *a, size_t max, id_list *l, err *e) {
    l->n = 0;
    l->max = max;
    l->ids = arena_alloc(a, (max + 1) * sizeof *l->ids);
    if (l->ids == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "BATCH_TOO_LARGE",
                       "the batch needs too much memory");
    }
    return true;
}

// Ids that name nothing are not looked for.
static void list_add(id_list *l, uuid id) {
    if (!uuid_is_nil(id)) {
        ASSERT(l->n < l->max);
        l->ids[l->n++] = id;
    }
}

static store_ids list_ids(const id_list *l) {
    return (store_ids){l->ids, l->n};
}

void commit_begin_try(commit *k) {
    const size_t rows_max = 4 * JOURNAL_GATHER_EVENTS_MAX + JOURNAL_DUE_MAX;
    // Room for each event's id and pending_id; the limit is what a whole batch can name.
    k->transfers = map_create(2 * k->n_transfer_events, rows_max);
    k->burned = map_create(0, rows_max);
    k->references = map_create(0, rows_max);
    k->wanted = map_create(0, JOURNAL_ACCOUNTS_MAX);
    k->head = (store_head){0};
    k->n_expired = 0;
    k->tx = (ledger_tx){0};
}

void commit_end_try(commit *k) {
    map_destroy(k->transfers);
    map_destroy(k->burned);
    map_destroy(k->references);
    map_destroy(k->wanted);
    k->transfers = NULL;
    k->wanted = NULL;
    k->burned = NULL;
    k->references = NULL;
}

// Each once: a cold cache would else ask for a busy account as often as it is named.
static void want_account(const commit *k, id_list *l, uuid id) {
    if (map_get(k->book->accounts, id) == NULL && map_get(k->wanted, id) == NULL) {
        list_add(l, id);
        ASSERT(map_put(k->wanted, id, k->wanted));
    }
}

// Accounts that the requests name and the cache does not have.
static bool missing_accounts(const commit *k, id_list *l, err *e) {
    if (!list_create(k->a, k->n_account_events + 2 * k->n_transfer_events, l, e)) {
        return false;
    }
    for (const journal_request *r = k->requests; r != NULL; r = r->next) {
        for (size_t i = 0; i < r->n && !r->left_out; i++) {
            if (r->accounts != NULL) {
                want_account(k, l, r->accounts[i].id);
            } else {
                want_account(k, l, r->transfers[i].debit_account_id);
                want_account(k, l, r->transfers[i].credit_account_id);
            }
        }
    }
    return true;
}

// Transfers that the requests name: all of them, and apart from that their own ids, those that they end, and those that
// they reverse.
typedef struct wanted_ids {
    id_list all, own, pendings, reversed;
} wanted_ids;

static bool wanted_transfers(const commit *k, wanted_ids *w, err *e) {
    if (!list_create(k->a, 2 * k->n_transfer_events, &w->all, e) ||
        !list_create(k->a, k->n_transfer_events, &w->pendings, e) ||
        !list_create(k->a, k->n_transfer_events, &w->reversed, e) ||
        !list_create(k->a, k->n_transfer_events, &w->own, e)) {
        return false;
    }
    for (const journal_request *r = k->requests; r != NULL; r = r->next) {
        for (size_t i = 0; i < r->n && r->transfers != NULL && !r->left_out; i++) {
            const ledger_transfer_event *t = &r->transfers[i];
            list_add(&w->all, t->id);
            list_add(&w->own, t->id);
            if (uuid_is_nil(t->reverses_id)) {
                list_add(&w->all, t->pending_id);
                list_add(&w->pendings, t->pending_id);
            } else {
                list_add(&w->all, t->reverses_id);
                list_add(&w->reversed, t->reverses_id);
            }
        }
    }
    return true;
}

static bool know_accounts(commit *k, const store_found *f, err *e) {
    for (size_t i = 0; i < f->n_accounts; i++) {
        if (map_get(k->book->accounts, f->accounts[i].id) == NULL &&
            book_cache_put(k->book, &f->accounts[i]) == NULL) {
            return err_set(e, ERR_RESOURCE_EXHAUSTED, "BATCH_TOO_LARGE",
                           "the batch names too many accounts");
        }
    }
    return true;
}

static void know_transfers(commit *k, const store_found *f) {
    for (size_t i = 0; i < f->n_transfers; i++) {
        ASSERT(map_put(k->transfers, f->transfers[i].id, &f->transfers[i]));
    }
    for (size_t i = 0; i < f->n_resolutions; i++) {
        ledger_row *pending = map_get(k->transfers, f->resolutions[i].pending_id);
        ASSERT(pending != NULL);
        pending->resolution = f->resolutions[i].kind;
    }
    for (size_t i = 0; i < f->n_reversals; i++) {
        ledger_row *reversed = map_get(k->transfers, f->reversals[i].reverses_id);
        ASSERT(reversed != NULL);
        reversed->reversal = &f->reversals[i];
    }
    for (size_t i = 0; i < f->n_references; i++) {
        ASSERT(map_put(k->references, ledger_digest(f->references[i]), &f->references[i]));
    }
    for (size_t i = 0; i < f->n_burned; i++) {
        ASSERT(map_put(k->burned, f->burned[i], &f->burned[i]));
    }
}

// External references that new accounts want to have.
static bool wanted_references(const commit *k, store_wanted *w, err *e) {
    str *references = arena_alloc(k->a, (k->n_account_events + 1) * sizeof *references);
    if (references == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "BATCH_TOO_LARGE",
                       "the batch needs too much memory");
    }
    w->references = references;
    for (const journal_request *r = k->requests; r != NULL; r = r->next) {
        for (size_t i = 0; i < r->n && r->accounts != NULL && !r->left_out; i++) {
            if (r->accounts[i].external_reference.len != 0) {
                references[w->n_references++] = r->accounts[i].external_reference;
            }
        }
    }
    return true;
}

// The accounts of these rows that are not known yet.
static bool want_accounts_of(const commit *k, const ledger_row *rows, size_t n, id_list *l,
                             err *e) {
    if (!list_create(k->a, 2 * n, l, e)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        want_account(k, l, rows[i].debit_account_id);
        want_account(k, l, rows[i].credit_account_id);
    }
    return true;
}

// One more round trip, if there is anything to look for.
static bool load_accounts(commit *k, const id_list *l, err *e) {
    store_found f;
    const store_wanted w = {.accounts = list_ids(l)};
    map_clear(k->wanted);
    return l->n == 0 || (store_load(k->c, k->a, k->book->id, &w, &f, e) && know_accounts(k, &f, e));
}

// Is the cache what the head says? If not, another instance has written the book since, and nothing in it counts.
static void check_cache(commit *k) {
    book *b = k->book;
    if (b->warm && b->sequence == k->head.sequence && b->timestamp_us == k->head.timestamp_us) {
        metric_add(k->j->m.cache_hits, 1);
        return;
    }
    book_cache_drop(b);
    metric_add(k->j->m.cache_misses, 1);
}

bool commit_lock_and_load(commit *k, err *e) {
    id_list accounts;
    wanted_ids ids;
    store_found f;
    if (!missing_accounts(k, &accounts, e) || !wanted_transfers(k, &ids, e)) {
        return false;
    }
    // A hopeful round trip: it asks for what the cache lacks before we know, by the head, whether the cache is current.
    store_wanted w = {.lock_head = true,
                      .accounts = list_ids(&accounts),
                      .transfers = list_ids(&ids.all),
                      .resolutions = list_ids(&ids.pendings),
                      .reversals = list_ids(&ids.reversed),
                      .burned = list_ids(&ids.own)};
    if (!wanted_references(k, &w, e) || !store_load(k->c, k->a, k->book->id, &w, &f, e)) {
        return false;
    }
    if (!f.head.exists) {
        return err_set_field(e, ERR_NOT_FOUND, "BOOK_NOT_FOUND", "book_id",
                             "there is no such book");
    }
    k->head = f.head;
    check_cache(k);
    if (!know_accounts(k, &f, e)) {
        return false;
    }
    know_transfers(k, &f);
    id_list of_events;
    id_list of_pendings;
    if (!k->book->warm &&
        (!missing_accounts(k, &of_events, e) || !load_accounts(k, &of_events, e))) {
        return false;
    }
    return want_accounts_of(k, f.transfers, f.n_transfers, &of_pendings, e) &&
           load_accounts(k, &of_pendings, e);
}

bool commit_know_due(commit *k, ledger_row *due, size_t n, err *e) {
    for (size_t i = 0; i < n; i++) {
        if (map_get(k->transfers, due[i].id) == NULL) { // else a request names it too
            ASSERT(map_put(k->transfers, due[i].id, &due[i]));
        }
    }
    id_list accounts;
    return want_accounts_of(k, due, n, &accounts, e) && load_accounts(k, &accounts, e);
}
