// Queues and threads of the commit path: they decide which thread works for which book, and when.
#include "journal/journal_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/cond.h"
#include "base/crash.h"
#include "base/log.h"
#include "store/store.h"

// --- Books in memory. @locks journal.lock held -----------------------------------------------------------------------

// The book's place in memory; takes the place of the book that was idle longest. NULL when all are at work.
static book *book_find(journal *j, int64_t book_id) {
    book *b = map_get(j->books, journal_book_key(book_id));
    if (b != NULL) {
        return b;
    }
    if (map_count(j->books) >= j->o.books_max) {
        if (j->idle.first == NULL) {
            return NULL;
        }
        book_forget(j, j->idle.first);
    }
    b = book_create(j, book_id);
    MUST(map_put(j->books, journal_book_key(book_id), b));
    book_list_append(&j->idle, b);
    return b;
}

static void book_make_ready(journal *j, book *b) {
    if (b->state == BOOK_IDLE) {
        book_list_remove(&j->idle, b);
        book_list_append(&j->ready, b);
        b->state = BOOK_READY;
        (void)pthread_cond_signal(&j->work);
    }
}

// --- Taking in -------------------------------------------------------------------------------------------------------

static bool refuse_full(err *e) {
    (void)err_set(e, ERR_RESOURCE_EXHAUSTED, "LEDGER_BUSY",
                  "the ledger has too many requests waiting");
    e->flags |= ERR_RETRIABLE;
    e->retry_after_ms = JOURNAL_QUEUE_RETRY_AFTER_MS;
    return false;
}

// @locks journal.lock held. One book may take half of the queue, so that a busy book leaves room for others.
static bool enqueue(journal *j, journal_request *r, err *e) {
    if (j->stopping) {
        (void)err_set(e, ERR_UNAVAILABLE, "SHUTTING_DOWN", "the ledger is stopping");
        e->flags |= ERR_RETRIABLE;
        return false;
    }
    if (j->n_requests >= j->o.queue_requests_max || j->n_events + r->n > j->o.queue_events_max) {
        return refuse_full(e);
    }
    book *b = book_find(j, r->book_id);
    if (b == NULL || 2 * b->n_requests >= j->o.queue_requests_max ||
        (b->n_events != 0 && 2 * (b->n_events + r->n) > j->o.queue_events_max)) {
        return refuse_full(e);
    }
    if (b->last != NULL) {
        b->last->next = r;
    } else {
        b->first = r;
    }
    b->last = r;
    b->n_requests++;
    b->n_events += r->n;
    j->n_requests++;
    j->n_events += r->n;
    metric_set(j->m.queue, (int64_t)j->n_requests);
    book_make_ready(j, b);
    return true;
}

bool journal_submit(journal *j, journal_request *r, err *e) {
    ASSERT(r->n > 0 && r->n <= LEDGER_BATCH_MAX && r->done != NULL);
    ASSERT((r->accounts != NULL) != (r->transfers != NULL));
    r->next = NULL;
    r->left_out = false;
    (void)pthread_mutex_lock(&j->lock);
    const bool ok = enqueue(j, r, e);
    (void)pthread_mutex_unlock(&j->lock);
    return ok;
}

// --- The commit threads ----------------------------------------------------------------------------------------------

// @locks journal.lock held. Collects the book's waiting requests, up to the limit of one transaction.
static void gather(journal *j, book *b, journal_batch *batch) {
    journal_request **end = &batch->requests;
    while (b->first != NULL &&
           (batch->n_events == 0 || batch->n_events + b->first->n <= JOURNAL_GATHER_EVENTS_MAX)) {
        journal_request *r = b->first;
        b->first = r->next;
        b->n_requests--;
        b->n_events -= r->n;
        j->n_requests--;
        j->n_events -= r->n;
        r->next = NULL;
        *end = r;
        end = &r->next;
        batch->n_events += r->n;
    }
    if (b->first == NULL) {
        b->last = NULL;
    }
    b->sweep = false;
    metric_set(j->m.queue, (int64_t)j->n_requests);
}

// Waits for a book with work and takes the work. False when the journal stops and nothing is left.
static bool take(journal *j, journal_batch *batch) {
    memset(batch, 0, sizeof *batch);
    (void)pthread_mutex_lock(&j->lock);
    while (j->ready.first == NULL && !j->stopping) {
        (void)pthread_cond_wait(&j->work, &j->lock);
    }
    book *b = j->ready.first;
    if (b != NULL) {
        book_list_remove(&j->ready, b);
        b->state = BOOK_RUNNING;
        batch->book = b;
        gather(j, b, batch);
    }
    (void)pthread_mutex_unlock(&j->lock);
    return b != NULL;
}

// Frees the book before the answers are sent, so that its next commit need not wait for them.
static void release(journal *j, book *b, int64_t unsaved_since_us) {
    (void)pthread_mutex_lock(&j->lock);
    b->unsaved_since_us = unsaved_since_us;
    b->state = BOOK_IDLE;
    book_list_append(&j->idle, b);
    if (b->first != NULL || b->sweep) {
        book_make_ready(j, b);
    }
    (void)pthread_mutex_unlock(&j->lock);
}

static void answer(const journal *j, journal_batch *batch) {
    journal_request *next = NULL;
    for (journal_request *r = batch->requests; r != NULL; r = next) {
        next = r->next; // r is gone after done
        if (r->left_out) {
            err late = {0};
            (void)err_set(&late, ERR_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED",
                          "the deadline passed in the queue");
            metric_add(j->m.deadline_passed, 1);
            r->done(r, &late);
        } else {
            r->done(r, err_is_set(&batch->failure) ? &batch->failure : NULL);
        }
    }
    CRASH_POINT("journal.replied");
}

static void *commit_thread(void *arg) {
    commit_worker *w = arg;
    journal_batch batch;
    while (take(w->j, &batch)) {
        commit_run(w, &batch);
        release(w->j, batch.book, follow_since_us(batch.book->followed));
        answer(w->j, &batch);
        arena_reset(w->a); // the rows of the results
    }
    return NULL;
}

// --- The sweeper: finds books in which time has run out for a pending transfer ------------------------------------------

typedef struct due_search {
    journal *j;
    int64_t *book_ids;
    size_t n;
} due_search;

static bool find_due(db_conn *c, arena *a, void *arg, err *e) {
    due_search *s = arg;
    const int64_t now_us = clock_wall_us(s->j->o.clock);
    // Twice the usual age: a living process writes its own checkpoint sooner.
    const int64_t unsaved_before_us = now_us - 2 * s->j->o.checkpoint_ms * 1000;
    return store_due_books(c, a, now_us, unsaved_before_us, JOURNAL_DUE_BOOKS_MAX, &s->book_ids,
                           &s->n, e);
}

static void sweep_books(journal *j, const due_search *s) {
    (void)pthread_mutex_lock(&j->lock);
    for (size_t i = 0; i < s->n && !j->stopping; i++) {
        book *b = book_find(j, s->book_ids[i]);
        if (b != NULL) { // else all places are busy; busy books look for expiries themselves
            b->sweep = true;
            book_make_ready(j, b);
        }
    }
    (void)pthread_mutex_unlock(&j->lock);
}

// Books that came to rest after a few rows: the next commit would make the checkpoint, but may come late.
static void sweep_unsaved(journal *j) {
    const int64_t before_us = clock_wall_us(j->o.clock) - j->o.checkpoint_ms * 1000;
    (void)pthread_mutex_lock(&j->lock);
    book *next = NULL;
    for (book *b = j->idle.first; b != NULL && !j->stopping; b = next) {
        next = b->next;
        if (b->unsaved_since_us <= before_us) {
            b->sweep = true;
            book_make_ready(j, b);
        }
    }
    (void)pthread_mutex_unlock(&j->lock);
}

static void sweep(void *arg) {
    journal *j = arg;
    due_search s = {.j = j};
    err e = {0};
    if (db_read(j->o.pool, clock_mono_ms(j->o.clock) + j->o.commit_timeout_ms, j->sweeper_arena,
                find_due, &s, &e)) {
        sweep_books(j, &s);
        j->sweeper_failing = false;
    } else if (!j->sweeper_failing) { // once for each outage
        log_err(LOG_WARN, "journal.sweep_failed", &e);
        j->sweeper_failing = true;
    }
    sweep_unsaved(j);
    arena_reset(j->sweeper_arena);
}

// --- Life ------------------------------------------------------------------------------------------------------------

static void metrics_create(journal_metrics *m) {
    char label[96];
#define STATUS_METRIC(name, number, burns)                                                         \
    (void)snprintf(label, sizeof label, "result=\"%s\"", #name);                                   \
    m->transfers[number] =                                                                         \
        metric_counter("ledger_transfers_total", label, "transfers answered, by status");
    LEDGER_TRANSFER_STATUSES(STATUS_METRIC)
#undef STATUS_METRIC
#define STATUS_METRIC(name, number)                                                                \
    (void)snprintf(label, sizeof label, "result=\"%s\"", #name);                                   \
    m->accounts[number] =                                                                          \
        metric_counter("ledger_accounts_total", label, "accounts answered, by status");
    LEDGER_ACCOUNT_STATUSES(STATUS_METRIC)
#undef STATUS_METRIC
    m->commit_seconds =
        metric_histogram("ledger_commit_seconds", "", "from taking a batch to its durable outcome");
#define PHASE_METRIC(name, label)                                                                  \
    m->phases[JOURNAL_PHASE_##name] = metric_histogram(                                            \
        "ledger_commit_phase_seconds", "phase=\"" label "\"", "parts of a commit");
    JOURNAL_PHASES(PHASE_METRIC)
#undef PHASE_METRIC
    m->commits = metric_counter("ledger_commits_total", "", "transactions committed");
    m->batch_events =
        metric_counter("ledger_batch_events_total", "", "events in committed transactions");
    m->batch_size = metric_gauge("ledger_batch_size", "", "events in the last transaction");
    m->retries = metric_counter("ledger_commit_retries_total", "", "transactions tried again");
    m->settled = metric_counter("ledger_commit_settled_total", "",
                                "lost answers to COMMIT that were looked up");
    m->queue = metric_gauge("ledger_queue", "", "requests that wait for a commit");
    m->cache_hits = metric_counter("ledger_cache_hits_total", "",
                                   "transactions that found their book in memory current");
    m->cache_misses = metric_counter("ledger_cache_misses_total", "",
                                     "transactions that had to read what others committed");
    m->cache_drops =
        metric_counter("ledger_cache_drops_total", "", "caches dropped: too far behind");
    m->cache_accounts = metric_gauge("ledger_cache_accounts", "", "accounts in memory");
    m->checkpoints = metric_counter("ledger_checkpoints_total", "",
                                    "transactions that wrote account rows and postings");
    m->used_ids = metric_counter("ledger_used_ids_total", "",
                                 "transactions that met an id that was used before");
    m->optimistic = metric_counter("ledger_optimistic_commits_total", "",
                                   "transactions that took one round trip, and no lock before it");
    m->conflicts = metric_counter("ledger_optimistic_conflicts_total", "",
                                  "transactions that had to be made again with the lock");
    m->expired =
        metric_counter("ledger_expired_total", "", "pending transfers released by the clock");
    m->deadline_passed = metric_counter("ledger_deadline_passed_total", "",
                                        "requests left out: their deadline passed");
}

static bool options_ok(const journal_options *o, err *e) {
    if (o->commit_threads < 1 || o->commit_threads > JOURNAL_THREADS_MAX ||
        o->queue_requests_max < 2 || o->queue_events_max < (size_t)2 * LEDGER_BATCH_MAX ||
        o->books_max < (size_t)o->commit_threads || o->cache_accounts_max == 0 ||
        o->commit_timeout_ms < 1 || o->expiry_poll_ms < 1 || o->checkpoint_rows < 1 ||
        o->checkpoint_rows > JOURNAL_CHECKPOINT_ROWS_MAX || o->checkpoint_ms < 1) {
        return err_set(e, ERR_INVALID_ARGUMENT, "BAD_SETTING", "a journal setting is out of range");
    }
    return true;
}

journal *journal_create(const journal_options *o, err *e) {
    if (!options_ok(o, e)) {
        return NULL;
    }
    journal *j = calloc(1, sizeof *j);
    ASSERT(j != NULL);
    j->o = *o;
    metrics_create(&j->m);
    j->books = map_create(64, o->books_max);
    // Readers may follow any number of books, but no more at a time than there are threads.
    follower_init(&j->follower, o->books_max + JOURNAL_READERS_MAX, JOURNAL_IDLE_TAILS_MAX,
                  JOURNAL_TAIL_ROWS_MAX);
    MUST(pthread_mutex_init(&j->lock, NULL) == 0);
    MUST(pthread_cond_init(&j->work, NULL) == 0);
    for (size_t i = 0; i < JOURNAL_WATCH_BUCKETS; i++) {
        MUST(pthread_mutex_init(&j->watches[i].lock, NULL) == 0);
        cond_init(&j->watches[i].moved);
    }
    for (int i = 0; i < o->commit_threads; i++) {
        commit_worker *w = &j->workers[i];
        w->j = j;
        w->a = arena_create(JOURNAL_ARENA_MAX);
        MUST(pthread_create(&w->thread, NULL, commit_thread, w) == 0);
    }
    j->sweeper_arena = arena_create(JOURNAL_ARENA_MAX);
    j->sweeper = ticker_start(o->expiry_poll_ms, sweep, j);
    ASSERT(j->sweeper != NULL);
    return j;
}

void journal_quiesce(journal *j) {
    atomic_store(&j->quiet, true);
    for (size_t i = 0; i < JOURNAL_WATCH_BUCKETS; i++) {
        (void)pthread_mutex_lock(&j->watches[i].lock);
        (void)pthread_cond_broadcast(&j->watches[i].moved);
        (void)pthread_mutex_unlock(&j->watches[i].lock);
    }
}

void journal_destroy(journal *j) {
    if (j == NULL) {
        return;
    }
    journal_quiesce(j);
    ticker_stop(j->sweeper);
    arena_destroy(j->sweeper_arena);
    (void)pthread_mutex_lock(&j->lock);
    j->stopping = true;
    (void)pthread_cond_broadcast(&j->work);
    (void)pthread_mutex_unlock(&j->lock);
    for (int i = 0; i < j->o.commit_threads; i++) {
        (void)pthread_join(j->workers[i].thread, NULL);
        arena_destroy(j->workers[i].a);
    }
    ASSERT(j->n_requests == 0 && j->ready.first == NULL);
    while (j->idle.first != NULL) {
        book_forget(j, j->idle.first);
    }
    map_destroy(j->books);
    follower_deinit(&j->follower);
    for (size_t i = 0; i < JOURNAL_WATCH_BUCKETS; i++) {
        (void)pthread_mutex_destroy(&j->watches[i].lock);
        (void)pthread_cond_destroy(&j->watches[i].moved);
    }
    (void)pthread_cond_destroy(&j->work);
    (void)pthread_mutex_destroy(&j->lock);
    free(j);
}
