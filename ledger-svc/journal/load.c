// Loads what a transaction needs to decide: the head, the book as of the head, and all that its requests name.
#include "base/assert.h"
#include "base/crash.h"
#include "journal/commit_internal.h"

enum { CATCH_UP_PAGE = LEDGER_BATCH_MAX };

typedef struct id_list {
    uuid *ids;
    size_t n, max;
} id_list;

static bool too_large(err *e) {
    return err_set(e, ERR_RESOURCE_EXHAUSTED, "BATCH_TOO_LARGE", "the batch needs too much memory");
}

static bool list_create(arena *a, size_t max, id_list *l, err *e) {
    l->n = 0;
    l->max = max;
    l->ids = arena_alloc(a, (max + 1) * sizeof *l->ids);
    return l->ids != NULL || too_large(e);
}

// The nil id names nothing and is not looked for.
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
    k->asked = map_create(0, JOURNAL_ACCOUNTS_MAX);
    k->head = (store_head){0};
    k->n_expired = 0;
    k->checkpoint = false;
    k->met_used_id = false;
    k->met_conflict = false;
    k->optimistic = false;
    k->tx = (ledger_tx){0};
}

void commit_end_try(commit *k) {
    map_destroy(k->transfers);
    map_destroy(k->burned);
    map_destroy(k->references);
    map_destroy(k->asked);
    k->transfers = NULL;
    k->burned = NULL;
    k->references = NULL;
    k->asked = NULL;
}

// --- What the requests name ------------------------------------------------------------------------------------------

// Adds each account once: else a cold cache would ask for a busy account as often as it is named.
static void want_account(const commit *k, id_list *l, uuid id) {
    ledger_account *cached = map_get(k->book->cache.accounts, id);
    if (cached != NULL) {
        cache_use(cached);
    } else if (map_get(k->asked, id) == NULL) {
        list_add(l, id);
        MUST(map_put(k->asked, id, k->asked));
    }
}

// Lists the accounts that the requests name and the cache lacks.
static bool missing_accounts(const commit *k, id_list *l, err *e) {
    if (!list_create(k->a, k->n_account_events + 2 * k->n_transfer_events, l, e)) {
        return false;
    }
    map_clear(k->asked);
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

// Transfers that the requests name: all to look for, and separately the pendings to end and the transfers to reverse.
typedef struct wanted_ids {
    id_list all, pendings, reversed;
} wanted_ids;

// Only a careful try looks for a transfer's own id: an id is nearly always new, and otherwise the unique index says so. A pending that the
// cache remembers as open needs no look either.
static bool wanted_transfers(const commit *k, wanted_ids *w, err *e) {
    if (!list_create(k->a, 2 * k->n_transfer_events, &w->all, e) ||
        !list_create(k->a, k->n_transfer_events, &w->pendings, e) ||
        !list_create(k->a, k->n_transfer_events, &w->reversed, e)) {
        return false;
    }
    for (const journal_request *r = k->requests; r != NULL; r = r->next) {
        for (size_t i = 0; i < r->n && r->transfers != NULL && !r->left_out; i++) {
            const ledger_transfer_event *t = &r->transfers[i];
            if (k->careful) {
                list_add(&w->all, t->id);
            }
            if (!uuid_is_nil(t->reverses_id)) {
                list_add(&w->all, t->reverses_id);
                list_add(&w->reversed, t->reverses_id);
            } else if (!uuid_is_nil(t->pending_id) &&
                       cache_pending(&k->book->cache, t->pending_id) == NULL) {
                list_add(&w->all, t->pending_id);
                list_add(&w->pendings, t->pending_id);
            }
        }
    }
    return true;
}

// External references that new accounts want to have.
static bool wanted_references(const commit *k, store_wanted *w, err *e) {
    str *references = arena_alloc(k->a, (k->n_account_events + 1) * sizeof *references);
    if (references == NULL) {
        return too_large(e);
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

// --- What was found --------------------------------------------------------------------------------------------------

// Account rows are as of the checkpoint; the tail brings them to the head.
static bool know_accounts(commit *k, const store_found *f, err *e) {
    for (size_t i = 0; i < f->n_accounts; i++) {
        if (map_get(k->book->cache.accounts, f->accounts[i].id) == NULL) {
            ledger_account *account = cache_put(&k->book->cache, &f->accounts[i]);
            if (account == NULL) {
                return err_set(e, ERR_RESOURCE_EXHAUSTED, "BATCH_TOO_LARGE",
                               "the batch names too many accounts");
            }
            journal_overlay_account(k->book->followed->tail, account);
        }
    }
    return true;
}

static void know_transfers(commit *k, const store_found *f) {
    for (size_t i = 0; i < f->n_transfers; i++) {
        MUST(map_put(k->transfers, f->transfers[i].id, &f->transfers[i]));
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
        MUST(map_put(k->references, ledger_digest(f->references[i]), &f->references[i]));
    }
}

// Copies the open pendings that the requests end: the posting rules write into the copies.
static bool know_open_pendings(commit *k, err *e) {
    const cache *c = &k->book->cache;
    for (const journal_request *r = k->requests; r != NULL && map_count(c->pendings) != 0;
         r = r->next) {
        for (size_t i = 0; i < r->n && r->transfers != NULL && !r->left_out; i++) {
            const ledger_row *open = cache_pending(c, r->transfers[i].pending_id);
            if (open == NULL || map_get(k->transfers, open->id) != NULL) {
                continue;
            }
            ledger_row *copy = arena_alloc(k->a, sizeof *copy);
            if (copy == NULL) {
                return too_large(e);
            }
            *copy = *open;
            MUST(map_put(k->transfers, copy->id, copy));
        }
    }
    return true;
}

// --- Rounds of looking -----------------------------------------------------------------------------------------------

// One more round trip, if there is anything to look for.
static bool load_accounts(commit *k, const id_list *l, err *e) {
    store_found f;
    const store_wanted w = {.accounts = list_ids(l)};
    return l->n == 0 || (store_load(k->c, k->a, k->book->id, &w, &f, e) && know_accounts(k, &f, e));
}

// Loads the accounts of known transfers, since a request need not name them. Takes the rows given, or a whole map.
static bool load_accounts_of(commit *k, const ledger_row *rows, size_t n, err *e) {
    id_list l;
    if (!list_create(k->a, 2 * n, &l, e)) {
        return false;
    }
    map_clear(k->asked);
    for (size_t i = 0; i < n; i++) {
        want_account(k, &l, rows[i].debit_account_id);
        want_account(k, &l, rows[i].credit_account_id);
    }
    return load_accounts(k, &l, e);
}

static bool missing_accounts_of_transfers(const commit *k, id_list *l, err *e) {
    if (!list_create(k->a, 2 * map_count(k->transfers), l, e)) {
        return false;
    }
    map_clear(k->asked);
    for (map_iter it = map_begin(k->transfers); map_next(&it);) {
        const ledger_row *row = it.value;
        want_account(k, l, row->debit_account_id);
        want_account(k, l, row->credit_account_id);
    }
    return true;
}

static bool load_accounts_of_transfers(commit *k, err *e) {
    id_list l;
    return missing_accounts_of_transfers(k, &l, e) && load_accounts(k, &l, e);
}

// Another instance may have ended a pending that we believed open: then nobody has asked how it ended, even if a request names it for a
// second reason and so made its row known.
static bool load_pendings_that_ended(commit *k, err *e) {
    wanted_ids ids;
    store_found f;
    if (!wanted_transfers(k, &ids, e)) {
        return false;
    }
    id_list missing, unresolved;
    if (!list_create(k->a, ids.pendings.n, &missing, e) ||
        !list_create(k->a, ids.pendings.n, &unresolved, e)) {
        return false;
    }
    for (size_t i = 0; i < ids.pendings.n; i++) {
        const ledger_row *row = map_get(k->transfers, ids.pendings.ids[i]);
        if (row == NULL) {
            list_add(&missing, ids.pendings.ids[i]);
        }
        if (row == NULL || row->resolution == LEDGER_KIND_NONE) {
            list_add(&unresolved, ids.pendings.ids[i]);
        }
    }
    const store_wanted w = {.transfers = list_ids(&missing), .resolutions = list_ids(&unresolved)};
    if (unresolved.n == 0) {
        return true;
    }
    if (!store_load(k->c, k->a, k->book->id, &w, &f, e)) {
        return false;
    }
    know_transfers(k, &f);
    return true;
}

// --- The book as it is -----------------------------------------------------------------------------------------------

// Brings tail and cache to the head, whose lock we hold, by reading other instances' rows in the journal. A cache that is far behind starts
// empty, and so does a cold cache: the tail overlays what it reads.
static bool catch_up(commit *k, err *e) {
    book *b = k->book;
    const int64_t rows_max = JOURNAL_CATCH_UP_ROWS_MAX;
    int64_t at = follow_restart(b->followed, k->head.checkpoint_sequence);
    if (b->warm && k->head.sequence - b->head.sequence > rows_max) {
        book_cache_drop(k->j, b);
    }
    const int64_t cache_at = b->warm ? b->head.sequence : k->head.sequence;
    at = at < cache_at ? at : cache_at;
    metric_add(at == k->head.sequence ? k->j->m.cache_hits : k->j->m.cache_misses, 1);
    while (at < k->head.sequence) {
        ledger_row *rows = NULL;
        size_t n = 0;
        if (!store_read_rows(k->c, k->a, b->id, at + 1, k->head.sequence, CATCH_UP_PAGE, &rows, &n,
                             e)) {
            return false;
        }
        ASSERT(n != 0); // the head names rows that are there
        follow_fold(b->followed, rows, n);
        if (b->warm) {
            // Rows that the cache already has do no harm: an account's last row decides.
            cache_fold_accounts(&b->cache, rows, n);
            cache_fold_pendings(&b->cache, rows, n);
        }
        at = rows[n - 1].sequence;
    }
    b->head = k->head;
    b->warm = true;
    ASSERT(tail_sequence(b->followed->tail) == k->head.sequence);
    ASSERT(tail_checkpoint(b->followed->tail) == k->head.checkpoint_sequence);
    return true;
}

// Burned ids. If there are few, memory keeps all; if there are many, a query finds the ids that this batch might use.
static bool load_burned(commit *k, err *e) {
    cache *c = &k->book->cache;
    const size_t n_burned = (size_t)k->head.burned_ids;
    if (n_burned > CACHE_BURNED_MAX) {
        c->burned_complete = false;
    } else if (!c->burned_complete || map_count(c->burned) != n_burned) {
        uuid *ids = NULL;
        int64_t *times_us = NULL;
        size_t n = 0;
        if (n_burned != 0 && !store_burned_since(k->c, k->a, k->book->id, c->burned_until_us, &ids,
                                                 &times_us, &n, e)) {
            return false;
        }
        for (size_t i = 0; i < n; i++) {
            cache_burn(c, ids[i], times_us[i]);
        }
        ASSERT(map_count(c->burned) == n_burned);
        c->burned_complete = true;
    }
    return true;
}

static bool look_up_burned(commit *k, err *e) {
    id_list own;
    store_found f;
    if (k->book->cache.burned_complete || k->n_transfer_events == 0) {
        return true;
    }
    if (!list_create(k->a, k->n_transfer_events, &own, e)) {
        return false;
    }
    for (const journal_request *r = k->requests; r != NULL; r = r->next) {
        for (size_t i = 0; i < r->n && r->transfers != NULL && !r->left_out; i++) {
            list_add(&own, r->transfers[i].id);
        }
    }
    const store_wanted w = {.burned = list_ids(&own)};
    if (!store_load(k->c, k->a, k->book->id, &w, &f, e)) {
        return false;
    }
    for (size_t i = 0; i < f.n_burned; i++) {
        MUST(map_put(k->burned, f.burned[i], &f.burned[i]));
    }
    return true;
}

// --- All of it -------------------------------------------------------------------------------------------------------

bool commit_lock_and_load(commit *k, err *e) {
    id_list accounts;
    wanted_ids ids;
    store_found f;
    const bool was_warm = k->book->warm;
    const int64_t was_at = k->book->head.sequence;
    if (!missing_accounts(k, &accounts, e) || !wanted_transfers(k, &ids, e)) {
        return false;
    }
    // A hopeful round trip: it asks for what the cache lacks before the head says whether the cache is current.
    store_wanted w = {.lock_head = true,
                      .deadline_mono_ms = commit_deadline_ms(k),
                      .accounts = list_ids(&accounts),
                      .transfers = list_ids(&ids.all),
                      .resolutions = list_ids(&ids.pendings),
                      .reversals = list_ids(&ids.reversed)};
    if (!wanted_references(k, &w, e) || !store_load(k->c, k->a, k->book->id, &w, &f, e)) {
        return false;
    }
    CRASH_POINT("journal.begin");
    if (!f.head.exists) {
        return err_set_field(e, ERR_NOT_FOUND, "BOOK_NOT_FOUND", "book_id",
                             "there is no such book");
    }
    k->head = f.head;
    if (!catch_up(k, e) || !know_accounts(k, &f, e)) {
        return false;
    }
    know_transfers(k, &f);
    if (!know_open_pendings(k, e)) {
        return false;
    }
    if (was_warm && was_at != k->head.sequence) {
        id_list again; // cached objects may have been dropped since we asked
        if (!missing_accounts(k, &again, e) || !load_accounts(k, &again, e) ||
            !load_pendings_that_ended(k, e)) {
            return false;
        }
    }
    k->now_us = commit_now_us(k);
    return load_burned(k, e) && look_up_burned(k, e) && load_accounts_of_transfers(k, e);
}

// --- Nothing to ask --------------------------------------------------------------------------------------------------

// True for a few transfers in a book that, as far as we know, is as our last commit left it and has nothing else to do.
static bool is_quiet(const commit *k) {
    const book *b = k->book;
    return !k->lock_first && !k->careful && b->warm && b->cache.burned_complete &&
           k->n_account_events == 0 && k->n_transfer_events != 0 &&
           k->n_transfer_events <= STORE_FEW_ROWS &&
           follow_restart(b->followed, b->head.checkpoint_sequence) == b->head.sequence;
}

bool commit_recall(commit *k, err *e) {
    id_list accounts, of_pendings;
    wanted_ids ids;
    if (!is_quiet(k)) {
        return true;
    }
    if (!missing_accounts(k, &accounts, e) || !wanted_transfers(k, &ids, e) ||
        !know_open_pendings(k, e) || !missing_accounts_of_transfers(k, &of_pendings, e)) {
        return false;
    }
    k->head = k->book->head;
    k->now_us = commit_now_us(k);
    k->optimistic = accounts.n == 0 && ids.all.n == 0 && of_pendings.n == 0 &&
                    k->head.next_expires_us > k->now_us && !commit_checkpoint_is_due(k);
    if (!k->optimistic) {
        map_clear(k->transfers); // they may have ended elsewhere
    }
    return true;
}

bool commit_know_due(commit *k, ledger_row *due, size_t n, err *e) {
    for (size_t i = 0; i < n; i++) {
        if (map_get(k->transfers, due[i].id) == NULL) { // else a request names it too
            MUST(map_put(k->transfers, due[i].id, &due[i]));
        }
    }
    return load_accounts_of(k, due, n, e);
}

// --- Afterwards ------------------------------------------------------------------------------------------------------

// A used id answers EXISTS, whatever else is wrong with the event. For created events a careless try learns this from the unique index. For
// refused events it has to ask.
bool commit_check_refused(commit *k, bool *exists, err *e) {
    id_list refused;
    store_found f = {0};
    *exists = false;
    if (k->careful) {
        return true;
    }
    if (!list_create(k->a, k->n_transfer_events, &refused, e)) {
        return false;
    }
    for (const journal_request *r = k->requests; r != NULL; r = r->next) {
        for (size_t i = 0; i < r->n && r->transfers != NULL && !r->left_out; i++) {
            if (r->transfer_results[i].status != LEDGER_TRANSFER_CREATED &&
                map_get(k->transfers, r->transfers[i].id) == NULL) {
                list_add(&refused, r->transfers[i].id);
            }
        }
    }
    const store_wanted w = {.transfers = list_ids(&refused)};
    if (refused.n != 0 && !store_load(k->c, k->a, k->book->id, &w, &f, e)) {
        return false;
    }
    *exists = f.n_transfers != 0;
    return true;
}
