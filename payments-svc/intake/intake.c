#include "intake/intake.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/queue.h"
#include "intake/intake_internal.h"

enum {
    INTAKE_QUEUE_MAX = 4096,       // submissions
    INTAKE_JOBS_MAX = 512,         // submissions per gathering
    INTAKE_ARENA_MAX = 256u << 20, // bytes per gathering
    INTAKE_TX_TIMEOUT_MS = 15000,
    INTAKE_TRIES_MAX = 8,
    INTAKE_FEW = 32, // a submission with so few payouts delays no other
    INTAKE_THREADS_MAX = 16
};

typedef struct intake_job {
    intake_submission from;
    intake_by by;
    intake_item *items;
    bool answered;
} intake_job;

typedef struct intake_thread {
    intake *owner;
    pthread_t thread;
    queue *jobs;
    arena *arena;
} intake_thread;

// The options set the number of threads of each kind: first for submissions with few payouts, then for submissions with many. A single
// payout waits for others like it, not for somebody's thousand.
struct intake {
    intake_options o;
    intake_thread *threads;
    size_t n_threads;
    metric *accepted, *replayed, *refused;
};

static bool prepare(const intake *in, intake_job *job, err *e) {
    const intake_submission *s = &job->from;
    ASSERT(s->n > 0 && s->n <= INTAKE_REQUEST_MAX);
    job->items = ARENA_ARRAY(s->a, intake_item, s->n);
    const char *actor = s->by == NULL ? "" : actor_text(s->by, s->a);
    bool ok = (job->items != NULL && actor != NULL) || err_no_memory(e, "the request");
    job->by = (intake_by){s->by, ok ? str_of(actor) : STR("")};
    for (size_t i = 0; ok && i < s->n; i++) {
        ok = intake_item_prepare(&in->o, s->merchant, &s->requests[i], &job->items[i], s->a, e);
        job->items[i].by = &job->by;
    }
    return ok;
}

// --- The transaction -------------------------------------------------------------------------------------------------

// May run again as a whole: each run decides everything anew.
static bool take_in(db_conn *c, arena *a, void *arg, err *e) {
    intake_batch *b = arg;
    return intake_look(b, c, a, e) && (b->n_fresh == 0 || intake_write(b, c, a, e));
}

static bool commit(const intake *in, intake_batch *b, int64_t latest_ms, arena *a, err *e) {
    const int64_t own_ms = clock_mono_ms(clock_system()) + INTAKE_TX_TIMEOUT_MS;
    const int64_t deadline = latest_ms < own_ms ? latest_ms : own_ms;
    bool ok = false;
    bool again = true;
    for (int i = 0; again && i < INTAKE_TRIES_MAX; i++) {
        err_clear(e);
        ok = db_transact(in->o.pool, deadline, a, take_in, b, e);
        again = !ok && idem_should_look_again(e) && clock_mono_ms(clock_system()) < deadline;
    }
    return ok || idem_give_up(e);
}

// --- Answers ---------------------------------------------------------------------------------------------------------

static void count(const intake *in, const intake_item *it, const payout_outcome *outcome) {
    metric_add(outcome->refused != NULL    ? in->refused
               : intake_item_is_replay(it) ? in->replayed
                                           : in->accepted,
               1);
}

static void answer(const intake *in, intake_job *job, const err *failed, arena *a) {
    const intake_submission *s = &job->from;
    job->answered = true;
    if (failed != NULL) {
        s->done(s->owner, NULL, 0, failed, a);
        return;
    }
    payout_outcome *outcomes = ARENA_ARRAY(a, payout_outcome, s->n);
    ASSERT(outcomes != NULL); // INTAKE_REQUEST_MAX keeps this far below the arena's cap
    for (size_t i = 0; i < s->n; i++) {
        intake_item_outcome(&job->items[i], &outcomes[i], a);
        count(in, &job->items[i], &outcomes[i]);
    }
    s->done(s->owner, outcomes, s->n, NULL, a);
}

// --- Gathering -------------------------------------------------------------------------------------------------------

// Adds the items to the batch. The first valid item with a key decides for later ones with the same key.
static void batch_add(intake_batch *b, map *keys, intake_item *items, size_t n) {
    for (size_t i = 0; i < n; i++) {
        intake_item *it = &items[i];
        it->same_key = NULL;
        if (it->unreadable) {
            continue;
        }
        b->items[b->n++] = it;
        if (it->invalid == NULL) {
            // the intent is unique for merchant and key
            it->same_key = map_get(keys, it->idem.intent);
            if (it->same_key == NULL) {
                const bool put = map_put(keys, it->idem.intent, it);
                ASSERT(put);
            }
        }
    }
}

static bool batch_begin(const intake *in, intake_batch *b, int64_t book_id, size_t n, arena *a) {
    *b = (intake_batch){.o = &in->o, .book_id = book_id};
    b->items = ARENA_ARRAY(a, intake_item *, n);
    b->fresh = ARENA_ARRAY(a, intake_item *, n);
    return b->items != NULL && b->fresh != NULL;
}

// Tells each connection of its new payouts. Items of one connection are mostly adjacent, so few are told twice.
static void tell_accepted(const intake *in, const intake_batch *b) {
    for (size_t i = 0; i < b->n_fresh; i++) {
        if (i == 0 || b->fresh[i]->rail != b->fresh[i - 1]->rail) {
            in->o.accepted(in->o.accepted_arg, b->book_id, b->fresh[i]->rail);
        }
    }
}

// Commits the jobs of one book, from the first unanswered one on, as many as fit one transaction.
static void run_book(intake_thread *t, intake_job **jobs, size_t n, size_t first) {
    const intake *in = t->owner;
    arena *a = t->arena;
    const int64_t book_id = jobs[first]->from.merchant->book_id;
    intake_job *mine[INTAKE_JOBS_MAX];
    intake_batch b;
    size_t n_mine = 0, n_items = 0;
    int64_t latest_ms = 0; // the latest deadline of its jobs
    err e = {0};
    for (size_t i = first; i < n; i++) {
        intake_job *job = jobs[i];
        const bool fits = n_mine == 0 || n_items + job->from.n <= INTAKE_ITEMS_MAX;
        if (!job->answered && job->from.merchant->book_id == book_id && fits) {
            const int64_t until_ms = job->from.deadline_mono_ms;
            mine[n_mine++] = job;
            n_items += job->from.n;
            latest_ms = until_ms > latest_ms ? until_ms : latest_ms;
        }
    }
    const bool begun = batch_begin(in, &b, book_id, n_items, a);
    ASSERT(begun);
    map *keys = map_create(n_items, INTAKE_ITEMS_MAX);
    for (size_t i = 0; i < n_mine; i++) {
        batch_add(&b, keys, mine[i]->items, mine[i]->from.n);
    }
    map_destroy(keys);
    CRASH_POINT("intake.gathered");
    const bool ok = b.n == 0 || commit(in, &b, latest_ms, a, &e);
    CRASH_POINT("intake.committed");
    if (!ok) {
        log_err(LOG_WARN, "intake.failed", &e);
    } else if (in->o.accepted != NULL) {
        tell_accepted(in, &b);
    }
    // Goes from the last: done may free a submission's memory, and later items point to earlier ones with the same key.
    for (size_t i = n_mine; i-- > 0;) {
        answer(in, mine[i], ok ? NULL : &e, a);
    }
    CRASH_POINT("intake.replied");
}

// Refuses a submission whose time was up before its transaction began: nothing is written, and its owner hears so.
static void refuse_late(const intake *in, intake_job *job, arena *a) {
    if (job->from.deadline_mono_ms <= clock_mono_ms(clock_system())) {
        err e = {0};
        err_set(&e, ERR_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED",
                "the deadline passed before the work began");
        answer(in, job, &e, a);
    }
}

static void *intake_run(void *arg) {
    intake_thread *t = arg;
    void *jobs[INTAKE_JOBS_MAX];
    size_t n = 0;
    while ((n = queue_pop_many(t->jobs, jobs, INTAKE_JOBS_MAX)) > 0) {
        for (size_t i = 0; i < n; i++) {
            refuse_late(t->owner, jobs[i], t->arena);
        }
        for (size_t i = 0; i < n; i++) {
            intake_job *job = jobs[i];
            while (!job->answered) {
                run_book(t, (intake_job **)jobs, n, i);
                arena_reset(t->arena);
            }
            free(job);
        }
    }
    return NULL;
}

// --- Life ------------------------------------------------------------------------------------------------------------

intake *intake_create(const intake_options *o, err *e) {
    intake *in = calloc(1, sizeof *in);
    ASSERT(in != NULL && o->threads >= 1 && o->threads <= INTAKE_THREADS_MAX);
    in->o = *o;
    in->accepted = metric_counter("payouts_intake_total", "result=\"accepted\"",
                                  "Payouts taken in, by result");
    in->replayed = metric_counter("payouts_intake_total", "result=\"replayed\"",
                                  "Payouts taken in, by result");
    in->refused =
        metric_counter("payouts_intake_total", "result=\"refused\"", "Payouts taken in, by result");
    in->threads = calloc(2 * (size_t)o->threads, sizeof *in->threads);
    ASSERT(in->threads != NULL);
    for (int i = 0; i < 2 * o->threads; i++) {
        intake_thread *t = &in->threads[i];
        t->owner = in;
        t->jobs = queue_create(INTAKE_QUEUE_MAX);
        t->arena = arena_create(INTAKE_ARENA_MAX);
        if (pthread_create(&t->thread, NULL, intake_run, t) != 0) {
            queue_destroy(t->jobs);
            arena_destroy(t->arena);
            intake_destroy(in);
            err_set(e, ERR_INTERNAL, "THREAD_FAILED", "could not start an intake thread");
            return NULL;
        }
        in->n_threads++;
    }
    return in;
}

void intake_destroy(intake *in) {
    if (in == NULL) {
        return;
    }
    for (size_t i = 0; i < in->n_threads; i++) {
        queue_close(in->threads[i].jobs);
        pthread_join(in->threads[i].thread, NULL);
        queue_destroy(in->threads[i].jobs);
        arena_destroy(in->threads[i].arena);
    }
    free(in->threads);
    free(in);
}

bool intake_submit(intake *in, const intake_submission *s, err *e) {
    const size_t each = (size_t)in->o.threads;
    const size_t of_book = (uint64_t)s->merchant->book_id % each;
    intake_thread *t = &in->threads[s->n <= INTAKE_FEW ? of_book : each + of_book];
    intake_job *job = calloc(1, sizeof *job);
    ASSERT(job != NULL);
    for (size_t i = 0; i < s->n; i++) {
        // for an unregistered recipient: intake_check only
        ASSERT(s->requests[i].recipient_currency == NULL);
    }
    job->from = *s;
    bool ok = prepare(in, job, e);
    if (ok && !queue_push(t->jobs, job)) {
        ok = err_set(e, ERR_RESOURCE_EXHAUSTED, "OVERLOADED",
                     "too many payouts are waiting to be taken in");
        e->retry_after_ms = 200;
    }
    if (!ok) {
        free(job);
    }
    return ok;
}

static bool look(db_conn *c, arena *a, void *arg, err *e) {
    return intake_look(arg, c, a, e);
}

bool intake_check(intake *in, const merchant *m, const payout_request *requests, size_t n,
                  payout_outcome *outcomes, int64_t deadline_mono_ms, arena *a, err *e) {
    intake_job job = {.from = {.merchant = m, .requests = requests, .n = n, .a = a}};
    intake_batch b;
    if (!prepare(in, &job, e)) {
        return false;
    }
    if (!batch_begin(in, &b, m->book_id, n, a)) {
        return err_no_memory(e, "the request");
    }
    map *keys = map_create(n, INTAKE_ITEMS_MAX);
    batch_add(&b, keys, job.items, n);
    map_destroy(keys);
    if (b.n > 0 && !db_read(in->o.read_pool, deadline_mono_ms, a, look, &b, e)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        intake_item_outcome(&job.items[i], &outcomes[i], a);
    }
    return true;
}
