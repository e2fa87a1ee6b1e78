// One transaction on one book, from the lock to the durable answer. Read commit_once first: it is the whole story.
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/crash.h"
#include "base/log.h"
#include "journal/commit_internal.h"

// --- Preparing the work ----------------------------------------------------------------------------------------------

// Makes the arrays that the posting rules write into, with room for the whole batch.
static bool tx_prepare(commit *k, size_t n_due, err *e) {
    ledger_tx *tx = &k->tx;
    tx->accounts = k->book->cache.accounts;
    tx->transfers = k->transfers;
    tx->burned = k->book->cache.burned_complete ? k->book->cache.burned : k->burned;
    tx->references = k->references;
    tx->sequence = k->head.sequence;
    tx->timestamp_us = k->now_us - 1; // the first object gets now_us
    // One spare row: the event that is being checked writes its row before it is known to be good.
    tx->rows_max = k->n_transfer_events + n_due + 1;
    tx->new_accounts_max = k->n_account_events;
    tx->touched_max = 2 * tx->rows_max;
    tx->new_burned_max = k->n_transfer_events;
    tx->rows = arena_alloc(k->a, tx->rows_max * sizeof *tx->rows);
    tx->new_accounts = arena_alloc(k->a, (tx->new_accounts_max + 1) * sizeof *tx->new_accounts);
    tx->touched = arena_alloc(k->a, tx->touched_max * sizeof *tx->touched);
    tx->new_burned = arena_alloc(k->a, (tx->new_burned_max + 1) * sizeof *tx->new_burned);
    if (tx->rows == NULL || tx->new_accounts == NULL || tx->touched == NULL ||
        tx->new_burned == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "BATCH_TOO_LARGE",
                       "the batch needs too much memory");
    }
    return true;
}

// Releases expired holds before any request is looked at: the first request after a restart already sees the money free. The book's time
// decides, as in the checks of a post or void: a hold that they call expired is not still reserved.
static bool release_due(commit *k, err *e) {
    ledger_row *due = NULL;
    size_t n_due = 0;
    int64_t next_us = k->head.next_expires_us;
    if (next_us <= k->now_us && (!store_load_due(k->c, k->a, k->book->id, next_us, k->now_us,
                                                 JOURNAL_DUE_MAX, &due, &n_due, &next_us, e) ||
                                 !commit_know_due(k, due, n_due, e))) {
        return false;
    }
    if (!tx_prepare(k, n_due, e)) {
        return false;
    }
    k->tx.next_expires_us = n_due == JOURNAL_DUE_MAX ? due[n_due - 1].expires_us : next_us;
    for (size_t i = 0; i < n_due; i++) {
        ledger_row *pending = map_get(k->transfers, due[i].id);
        ASSERT(pending != NULL);
        ledger_apply_expiry(&k->tx, pending);
    }
    k->n_expired = n_due;
    return true;
}

static void apply_requests(commit *k) {
    for (journal_request *r = k->requests; r != NULL; r = r->next) {
        if (r->left_out) {
            continue;
        }
        if (r->accounts != NULL) {
            ledger_apply_accounts(&k->tx, r->accounts, r->n, r->account_results);
        } else {
            ledger_apply_transfers(&k->tx, r->transfers, r->n, r->transfer_results);
        }
    }
}

static bool made_something(const commit *k) {
    return k->tx.n_rows != 0 || k->tx.n_new_accounts != 0 || k->tx.n_new_burned != 0;
}

// --- The end ---------------------------------------------------------------------------------------------------------

// The head after this transaction.
static store_head head_after(const commit *k) {
    store_head after = k->head;
    after.sequence = k->tx.sequence;
    after.timestamp_us = made_something(k) ? k->tx.timestamp_us : k->head.timestamp_us;
    after.next_expires_us = k->tx.next_expires_us;
    after.burned_ids += (int64_t)k->tx.n_new_burned;
    if (k->checkpoint) {
        after.checkpoint_sequence = k->head.sequence;
    }
    return after;
}

static bool write_rows(commit *k, err *e) {
    return store_write(k->c, k->book->id, &k->tx, e) &&
           (!k->checkpoint || commit_write_checkpoint(k, e));
}

static bool send_commit(commit *k, err *e) {
    const store_head after = head_after(k);
    CRASH_POINT("journal.commit.sent");
    follow_announce(k->book->followed, after.sequence);
    const bool ok = k->optimistic
                        ? store_commit_at_once(k->c, k->a, k->book->id, &k->tx, &k->head, &after, e)
                        : store_commit(k->c, k->a, k->book->id, &k->tx, &k->head, &after, e);
    if (!ok) {
        follow_settle(k->book->followed);
        return false;
    }
    CRASH_POINT("journal.commit.acked");
    return true;
}

// After a commit, or with nothing to commit: memory now holds what the database holds, up to the head after this transaction.
static void keep(commit *k) {
    book *b = k->book;
    const ledger_tx *tx = &k->tx;
    ledger_tx_finish(&k->tx, false);
    for (size_t i = 0; i < tx->n_new_accounts; i++) { // they lie in this transaction's memory
        MUST(cache_put(&b->cache, &tx->new_accounts[i]) != NULL);
    }
    cache_fold_pendings(&b->cache, tx->rows, tx->n_rows);
    for (size_t i = 0; i < tx->n_new_burned && b->cache.burned_complete; i++) {
        cache_burn(&b->cache, tx->new_burned[i].id, tx->new_burned[i].timestamp_us);
    }
    if (k->checkpoint) {
        (void)follow_restart(b->followed, k->head.sequence);
        metric_add(k->j->m.checkpoints, 1);
    }
    follow_fold(b->followed, tx->rows, tx->n_rows);
    follow_settle(b->followed);
    b->head = head_after(k);
}

// Not committed, or outcome unknown: memory goes back to the head that the try began with. If rows were committed after all, the next
// transaction reads them in the journal.
static void take_back(commit *k) {
    cache *c = &k->book->cache;
    ledger_tx_finish(&k->tx, true);
    for (size_t i = 0; i < k->tx.n_new_accounts; i++) {
        (void)map_remove(c->accounts, k->tx.new_accounts[i].id);
    }
    for (size_t i = 0; i < k->tx.n_new_burned && c->burned_complete; i++) {
        (void)map_remove(c->burned, k->tx.new_burned[i].id);
    }
}

static void phase_done(commit *k, journal_phase phase) {
    const int64_t now_us = clock_mono_us(k->j->o.clock);
    metric_observe_us(k->j->m.phases[phase], now_us - k->phase_us);
    k->phase_us = now_us;
}

// True when an optimistic try must be given up. It must write something, or its answers rest on a head that nobody has checked. It must
// need no other round trip, so a refused event also ends it.
static bool is_out_of_hand(const commit *k) {
    return k->optimistic && (k->tx.n_rows != k->n_transfer_events || !store_is_one_trip(&k->tx));
}

// One whole try. False: nothing was committed; with ERR_COMMIT_UNKNOWN in *e the outcome is still unknown.
static bool commit_once(commit *k, err *e) {
    k->phase_us = clock_mono_us(k->j->o.clock);
    if (!commit_recall(k, e) || (!k->optimistic && !commit_lock_and_load(k, e))) {
        return false;
    }
    CRASH_POINT("journal.locked");
    if (!release_due(k, e)) {
        return false;
    }
    phase_done(k, JOURNAL_PHASE_LOAD);
    apply_requests(k);
    if (is_out_of_hand(k)) {
        k->met_conflict = true;
        return false;
    }
    if (!commit_check_refused(k, &k->met_used_id, e) || k->met_used_id) {
        return false;
    }
    phase_done(k, JOURNAL_PHASE_APPLY);
    CRASH_POINT("journal.applied");
    k->checkpoint = commit_checkpoint_is_due(k);
    if (!made_something(k) && !k->checkpoint && k->tx.next_expires_us == k->head.next_expires_us) {
        db_rollback(k->c); // only repeats and refusals: nothing to write, nothing to lose
        keep(k);
        return true;
    }
    ledger_tx_verify(&k->tx, k->head.sequence, k->head.timestamp_us);
    ASSERT(!k->optimistic || !k->checkpoint);
    if (!k->optimistic && !write_rows(k, e)) {
        return false;
    }
    phase_done(k, JOURNAL_PHASE_WRITE);
    if (!send_commit(k, e)) {
        return false;
    }
    phase_done(k, JOURNAL_PHASE_COMMIT);
    metric_add(k->j->m.optimistic, k->optimistic ? 1 : 0);
    keep(k);
    return true;
}

// --- When it fails ---------------------------------------------------------------------------------------------------

// The answer to COMMIT was lost. The head's lock is free only when the lost transaction has ended; then the database says how. The outcome
// is never guessed.
static bool settle_once(commit *k, bool *committed, err *e) {
    store_found found;
    const store_wanted only_the_lock = {.lock_head = true,
                                        .deadline_mono_ms = commit_deadline_ms(k)};
    const bool ok = store_load(k->c, k->a, k->book->id, &only_the_lock, &found, e) &&
                    store_was_committed(k->c, k->a, k->book->id, &k->tx, &k->head, committed, e);
    db_rollback(k->c);
    return ok;
}

static void pause_before(const journal *j, int try_number) {
    const int64_t ms =
        1 + clock_backoff_ms(j->o.clock, JOURNAL_RETRY_BASE_MS, JOURNAL_RETRY_CAP_MS, try_number);
    clock_pause_ms(ms);
}

// False: the outcome could not be found in time; *e then says "ask again with the same ids".
static bool settle(commit *k, bool *committed, err *e) {
    metric_add(k->j->m.settled, 1);
    const int64_t give_up_ms = clock_mono_ms(k->j->o.clock) + k->j->o.commit_timeout_ms;
    if (!made_something(k)) {
        *committed = true; // only the next expiry time moves: either outcome is fine
        return true;
    }
    for (int try_number = 0; clock_mono_ms(k->j->o.clock) < give_up_ms; try_number++) {
        err why = {0};
        k->c = db_pool_checkout(k->j->o.pool, give_up_ms, &why);
        const bool known = k->c != NULL && settle_once(k, committed, &why);
        db_pool_checkin(k->j->o.pool, k->c);
        k->c = NULL;
        if (known) {
            log_warn("journal.commit_settled", F_INT("book_id", k->book->id),
                     F_BOOL("committed", *committed));
            return true;
        }
        log_err(LOG_WARN, "journal.settle_failed", &why);
        pause_before(k->j, try_number);
    }
    (void)err_set(e, ERR_UNAVAILABLE, "COMMIT_UNKNOWN",
                  "the database did not say whether it committed: ask again with the same ids");
    e->flags = ERR_RETRIABLE;
    return false;
}

// True when the unique index met a used id in a try that had not looked ids up.
static bool is_used_id(const commit *k, const err *e) {
    return !k->careful && strcmp(e->sqlstate, "23505") == 0 &&
           strcmp(e->constraint, "transfer_id_key") == 0;
}

// Any other integrity error (class 23) means that the rules in memory and the rules in the schema disagree.
static void abort_on_violation(const commit *k, const err *e) {
    if (strncmp(e->sqlstate, "23", 2) == 0) {
        log_err(LOG_ERROR, "journal.invariant_violated", e);
        log_error("journal.invariant_violated", F_INT("book_id", k->book->id),
                  F_STR("constraint", e->constraint));
        ASSERT(!"the database refused a row that the posting rules had accepted");
    }
}

static bool try_commit(commit *k, err *e) {
    k->c =
        db_pool_checkout(k->j->o.pool, clock_mono_ms(k->j->o.clock) + k->j->o.commit_timeout_ms, e);
    if (k->c == NULL) {
        return false;
    }
    bool ok = commit_once(k, e);
    if (!ok) {
        k->met_used_id = k->met_used_id || is_used_id(k, e);
        k->met_conflict = k->met_conflict || (k->optimistic && store_head_moved(e));
        if (!k->met_used_id && !k->met_conflict) {
            abort_on_violation(k, e);
        }
        take_back(k);
        db_rollback(k->c);
    }
    db_pool_checkin(k->j->o.pool, k->c);
    k->c = NULL;
    if (!ok && (e->flags & ERR_COMMIT_UNKNOWN) != 0) {
        bool committed = false;
        if (!settle(k, &committed, e)) {
            return false;
        }
        if (committed) {
            return true;
        }
        (void)err_set(e, ERR_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database is not available");
        e->flags = ERR_RETRIABLE;
    }
    return ok;
}

// --- The batch -------------------------------------------------------------------------------------------------------

// Drops requests whose deadline has passed. A request that is in a transaction is never dropped. False when no request is left.
static bool leave_out_late(commit *k) {
    const int64_t now_ms = clock_mono_ms(k->j->o.clock);
    k->n_account_events = 0;
    k->n_transfer_events = 0;
    for (journal_request *r = k->requests; r != NULL; r = r->next) {
        r->left_out = r->left_out || r->deadline_mono_ms <= now_ms;
        if (!r->left_out) {
            k->n_account_events += r->accounts != NULL ? r->n : 0;
            k->n_transfer_events += r->transfers != NULL ? r->n : 0;
        }
    }
    return k->requests == NULL || k->n_account_events + k->n_transfer_events != 0;
}

static bool worth_another_try(const err *e, int try_number) {
    return (e->flags & ERR_RETRIABLE) != 0 && try_number + 1 < JOURNAL_RETRIES_MAX &&
           strcmp(e->reason, "COMMIT_UNKNOWN") != 0;
}

// Gives the caller a definite code only where the outcome is definite (DEFINITE-ERRORS): a database's complaint about a batch is not.
static void make_public(err *e) {
    if (err_is_definite(e->code) && strcmp(e->reason, "BOOK_NOT_FOUND") != 0) {
        const err cause = *e;
        (void)err_set(e, ERR_INTERNAL, "COMMIT_FAILED", "the transaction failed");
        (void)err_detail(e, "%s %s: %s", cause.sqlstate, cause.reason, cause.detail);
    }
    if (e->code != ERR_NOT_FOUND) {
        e->flags |= ERR_RETRIABLE;
    }
}

static void count_results(const commit *k) {
    const journal_metrics *m = &k->j->m;
    int64_t transfers[LEDGER_TRANSFER_STATUS_COUNT] = {0};
    int64_t accounts[LEDGER_ACCOUNT_STATUS_COUNT] = {0};
    for (const journal_request *r = k->requests; r != NULL; r = r->next) {
        for (size_t i = 0; i < r->n && !r->left_out; i++) {
            if (r->transfers != NULL) {
                transfers[r->transfer_results[i].status]++;
            } else {
                accounts[r->account_results[i].status]++;
            }
        }
    }
    for (size_t i = 1; i < LEDGER_TRANSFER_STATUS_COUNT; i++) {
        if (transfers[i] != 0) {
            metric_add(m->transfers[i], transfers[i]);
        }
    }
    for (size_t i = 1; i < LEDGER_ACCOUNT_STATUS_COUNT; i++) {
        if (accounts[i] != 0) {
            metric_add(m->accounts[i], accounts[i]);
        }
    }
    metric_add(m->commits, 1);
    metric_add(m->batch_events, (int64_t)(k->n_account_events + k->n_transfer_events));
    metric_set(m->batch_size, (int64_t)(k->n_account_events + k->n_transfer_events));
    metric_add(m->expired, (int64_t)k->n_expired);
}

// Makes room in a full cache: first drops idle books, then shrinks our own.
static void cache_make_room(commit *k) {
    journal *j = k->j;
    journal_trim(j);
    const size_t all = atomic_load(&j->cached_accounts);
    const size_t own = map_count(k->book->cache.accounts);
    if (all > j->o.cache_accounts_max) {
        const size_t surplus = all - j->o.cache_accounts_max;
        cache_shrink(&k->book->cache, own > surplus ? own - surplus : 0);
    }
}

// True when another try follows; sets how careful it is. *tries counts the tries that database failures took.
static bool try_again(commit *k, const err *e, int *tries) {
    if (k->met_used_id) {
        ASSERT(!k->careful); // a careful try knows every id
        k->careful = true;
        k->book->careful_commits = JOURNAL_CAREFUL_COMMITS;
        metric_add(k->j->m.used_ids, 1);
        return true;
    }
    if (k->met_conflict) {
        ASSERT(!k->lock_first);
        k->lock_first = true;
        k->book->locked_commits = JOURNAL_LOCKED_COMMITS;
        metric_add(k->j->m.conflicts, 1);
        return true;
    }
    if (!worth_another_try(e, *tries)) {
        return false;
    }
    metric_add(k->j->m.retries, 1);
    log_err(LOG_WARN, "journal.retry", e);
    pause_before(k->j, *tries);
    (*tries)++;
    return true;
}

// False: nothing was committed, and batch->failure says why.
static bool run_tries(commit *k, err *failure) {
    int tries = 0;
    while (leave_out_late(k)) {
        err_clear(failure);
        commit_begin_try(k);
        const bool ok = try_commit(k, failure);
        commit_end_try(k);
        if (ok || !try_again(k, failure, &tries)) {
            return ok;
        }
        arena_reset(k->a);
    }
    return true; // no caller waits any more
}

void commit_run(commit_worker *w, journal_batch *batch) {
    commit k = {.j = w->j, .a = w->a, .book = batch->book, .requests = batch->requests};
    const int64_t start_us = clock_mono_us(k.j->o.clock);
    const size_t cached_before = map_count(k.book->cache.accounts);
    if (k.book->careful_commits > 0) {
        k.careful = true;
        k.book->careful_commits--;
    }
    if (k.book->locked_commits > 0) {
        k.lock_first = true;
        k.book->locked_commits--;
    }
    cache_make_room(&k);
    const bool ok = run_tries(&k, &batch->failure);
    const size_t cached_now = map_count(k.book->cache.accounts);
    // wraps around where it shrinks
    atomic_fetch_add(&k.j->cached_accounts, cached_now - cached_before);
    metric_set(k.j->m.cache_accounts, (int64_t)atomic_load(&k.j->cached_accounts));
    if (ok) {
        err_clear(&batch->failure);
        count_results(&k);
        if (k.tx.n_rows != 0) {
            journal_notify(k.j, k.book->id);
        }
    } else {
        make_public(&batch->failure);
    }
    metric_observe_us(k.j->m.commit_seconds, clock_mono_us(k.j->o.clock) - start_us);
}
