// The threads of the engine, and the board that shows where work is.
//
// The board has a slot for each (book, rail, step). Four events mark a slot: a scan of due sagas in the database, new payouts from the API,
// sagas that a batch has moved to its step, and a full batch, since there is more. A free worker takes the next marked slot, round robin.
// When no slot is marked, one worker scans, and the others wait. One worker has a slot at a time, so that new items gather into the next
// batch, unless there is more than one batch.
//
// A rail that does not gather answers each payout by itself, and may take its time. So up to half of the workers may be in further batches
// of such a slot: a merchant whose payment hangs at the bank does not delay the book's others. The rest of the workers stay for all other
// work. Other work hardly waits, so half of the workers are enough for it: more would only take the processors from incoming payouts. A
// worker that works for HANGS_AFTER_MS waits after all, as for a lock in one book, and others may take its place.
#include "saga/engine.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/cond.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/ticker.h"
#include "saga/saga_internal.h"

enum {
    BOOKS_REFRESH_MS = 2000,
    CLAIM_BACKOFF_BASE_MS = 100,
    CLAIM_BACKOFF_CAP_MS = 5000,
    SCAN_TIMEOUT_MS = 5000,
    HANGS_AFTER_MS = 500,
    MUCH = 100,       // per lane; more shows when a batch is full
    SCAN_SHARE = 100, // a look takes at most a hundredth of the time
    BULK_SHARE = 8,   // an eighth of a batch is a bulk
    QUIET_SHARE = 4,  // gathering of a bulk ends after a quarter of its time without new items
    ENGINE_ARENA_MAX = 16 * 1024 * 1024,
    US_PER_MS = 1000
};

typedef struct slot {
    bool marked;           // something is due, or may be
    bool more;             // more than one batch is due
    int busy;              // workers that have it
    int failures;          // failed claims in a row
    int64_t not_before_us; // the longest gathering, or the backoff (wall time)
    int64_t quiet_us;      // gathering: it ends early if nothing comes until then
    int64_t gathered;      // gathering: known number of waiting items
    int n_lanes;           // lanes in which the last claim found items; 0: not known
} slot;

typedef struct book {
    int64_t id;
    slot slots[SAGA_RAILS_MAX][STEP_COUNT];
} book;

typedef struct task {
    book *book;
    size_t rail;
    saga_step step;
    bool probe;  // the connection was down: one payout only
    int n_lanes; // lanes in which the slot's last claim found items
    int place;   // in at_work; NO_PLACE for work that may wait for a rail
} task;

struct saga_engine {
    saga_engine_options o;
    const clock_source *clock;
    saga_keeper *keeper;
    saga_tools tools;
    metric *due[STEP_COUNT];
    ticker *take_over;
    arena *take_over_arena;
    saga_stuck stuck; // for the take-over's ticker
    arena *a;         // the books
    pthread_t threads[SAGA_WORKERS_MAX];
    int n_threads;
    rail *rails[SAGA_RAILS_MAX];

    pthread_mutex_t mutex;  // guards all below; never held across SQL or a call
    pthread_cond_t changed; // for the worker that waits for a time
    pthread_cond_t others;  // for all other waiting workers
    bool stopping, scanning, scan_wanted;
    bool sends; // the guard's answer at the last look for work
    // one worker waits for the next scan or task (monotonic); the others wait to be woken
    bool waiting;
    int64_t waits_until_ms;
    int64_t pause_ms;                  // between two scans; grows while nothing is found
    int64_t next_scan_ms, books_at_ms; // monotonic
    book *books[SAGA_BOOKS_MAX];
    size_t n_books;
    size_t cursor;               // the round robin's next slot
    int at_rail[SAGA_RAILS_MAX]; // workers that submit to a rail, or query it, and wait
    // Since when a worker does any other work (monotonic); 0: the place is free.
    int64_t at_work_ms[SAGA_WORKERS_MAX];
    saga_breaker breakers[SAGA_RAILS_MAX];
    int64_t down_since_us[SAGA_RAILS_MAX]; // 0: it answers
    metric *down[SAGA_RAILS_MAX];
};

// --- Waking workers (all with the mutex held) --------------------------------------------------------------------------

// There may be work: wakes the worker that waits for a time, or else another one. Also called by each worker that takes work.
static void wake_one(saga_engine *g) {
    pthread_cond_signal(g->waiting ? &g->changed : &g->others);
}

static void wake_all(saga_engine *g) {
    pthread_cond_broadcast(&g->changed);
    pthread_cond_broadcast(&g->others);
}

// --- The board (all with the mutex held) -----------------------------------------------------------------------------

static book *find_book(saga_engine *g, int64_t book_id) {
    for (size_t i = 0; i < g->n_books; i++) {
        if (g->books[i]->id == book_id) {
            return g->books[i];
        }
    }
    book *fresh = g->n_books == SAGA_BOOKS_MAX ? NULL : arena_alloc(g->a, sizeof *fresh);
    if (fresh == NULL) {
        static saga_complaint complaint;
        if (saga_may_complain(&complaint)) {
            log_error("saga.too_many_books", F_INT("book", book_id), F_INT("max", SAGA_BOOKS_MAX));
        }
        return NULL;
    }
    fresh->id = book_id;
    g->books[g->n_books++] = fresh;
    return fresh;
}

static size_t limit_of(const saga_engine *g, size_t rail_index, saga_step step) {
    const int all = g->o.batch_max;
    const int of_rail = g->rails[rail_index]->batch_max;
    switch (step) {
    case STEP_EXECUTE:
    case STEP_RESOLVE: return (size_t)(of_rail < all ? of_rail : all);
    case STEP_AWAIT: // mostly becomes CONFIRM
    case STEP_CONFIRM:
    case STEP_RETURN:
    case STEP_DONE: return (size_t)(all < SAGA_LEDGER_PAIRS_MAX ? all : SAGA_LEDGER_PAIRS_MAX);
    case STEP_NONE:
    case STEP_GATE: // becomes RESERVE
    case STEP_RESERVE:
    case STEP_CANCEL:
    case STEP_VOID: break;
    }
    return (size_t)all;
}

static bool acts_at_rail(saga_step step) {
    return step == STEP_EXECUTE || step == STEP_RESOLVE;
}

// On a connection that is switched off, orders still free a payout's money. Steps that move money at the bank's account wait: only the
// connection's settings name the account.
static bool may_run(const saga_engine *g, size_t rail_index, saga_step step) {
    return !g->rails[rail_index]->off || step == STEP_VOID || step == STEP_CANCEL;
}

static bool waits_for_rail(const saga_engine *g, size_t rail_index, saga_step step) {
    return acts_at_rail(step) && g->rails[rail_index]->gather_ms == 0;
}

static int half_of_workers(const saga_engine *g) {
    return (g->o.workers + 1) / 2;
}

// Workers at other work that do not hang.
static int at_work(const saga_engine *g) {
    const int64_t now_ms = clock_mono_ms(g->clock);
    int n = 0;
    for (int i = 0; i < g->o.workers; i++) {
        n += g->at_work_ms[i] != 0 && now_ms - g->at_work_ms[i] < HANGS_AFTER_MS ? 1 : 0;
    }
    return n;
}

enum { NO_PLACE = -1 };

static int take_place(saga_engine *g) {
    for (int i = 0; i < g->o.workers; i++) {
        if (g->at_work_ms[i] == 0) {
            g->at_work_ms[i] = clock_mono_ms(g->clock);
            return i;
        }
    }
    ASSERT(!"there are as many places as workers");
    return NO_PLACE;
}

static void begin(saga_engine *g, slot *s, task *t) {
    s->busy++;
    if (waits_for_rail(g, t->rail, t->step)) {
        g->at_rail[t->rail]++;
        t->place = NO_PLACE;
    } else {
        t->place = take_place(g);
    }
}

static void end(saga_engine *g, slot *s, const task *t) {
    s->busy--;
    if (t->place == NO_PLACE) {
        g->at_rail[t->rail]--;
    } else {
        g->at_work_ms[t->place] = 0;
    }
}

// May one more worker take this slot? may_work: also for work that does not wait for a rail.
static bool has_room(const saga_engine *g, const slot *s, size_t rail_index, saga_step step,
                     bool may_work) {
    if (!waits_for_rail(g, rail_index, step) && !may_work) {
        return false;
    }
    if (s->busy == 0) {
        return true;
    }
    return waits_for_rail(g, rail_index, step) ? g->at_rail[rail_index] < half_of_workers(g)
                                               : s->more;
}

// A connection that is down is left alone. Rails that hand over have a sender with its own breaker.
static bool may_try(saga_engine *g, task *t, int64_t now_us, int64_t *wake_us) {
    if (!acts_at_rail(t->step) || g->rails[t->rail]->hands_over) {
        return true;
    }
    const int64_t now_ms = clock_mono_ms(g->clock);
    int64_t until_ms = INT64_MAX;
    const saga_breaker_says says = saga_breaker_ask(&g->breakers[t->rail], now_ms, &until_ms);
    t->probe = says == BREAKER_PROBE;
    if (says == BREAKER_WAIT && until_ms != INT64_MAX) {
        const int64_t at_us = now_us + (until_ms - now_ms) * US_PER_MS;
        *wake_us = at_us < *wake_us ? at_us : *wake_us;
    }
    return says != BREAKER_WAIT;
}

// Tells the breaker a batch's findings. The breaker must hear of each batch that it let go.
static void tell_breaker(saga_engine *g, const task *t, const saga_result *r) {
    if (!acts_at_rail(t->step) || g->rails[t->rail]->hands_over) {
        return;
    }
    const saga_policy *p = &g->o.policy;
    saga_breaker *b = &g->breakers[t->rail];
    saga_breaker_tell(b, r->in_vain, r->n_in_vain, r->n_answered, p->backoff_base_ms,
                      p->backoff_cap_ms, g->clock);
    const bool was_down = g->down_since_us[t->rail] != 0;
    if (b->open != was_down) {
        g->down_since_us[t->rail] = b->open ? clock_wall_us(g->clock) : 0;
        metric_set(g->down[t->rail], b->open ? 1 : 0);
        log_warn(b->open ? "saga.connection_down" : "saga.connection_back",
                 F_STR("connection", g->rails[t->rail]->name));
    }
    g->scan_wanted |= t->probe; // the probe was one payout, and more may be due
}

static bool gathers(const saga_engine *g, size_t rail_index, saga_step step) {
    return step == STEP_EXECUTE && g->rails[rail_index]->gather_ms > 0;
}

// The time at which a slot may be taken. A slot with a bulk is ready once no more payouts come (QUIET_SHARE), and none is at the gate or
// the reservation. A few payouts wait for the whole time, because a bank takes few files a day.
static int64_t ready_us(const saga_engine *g, const book *home, size_t rail_index, saga_step step) {
    const slot *all = home->slots[rail_index], *s = &all[step];
    const bool comes = all[STEP_GATE].marked || all[STEP_GATE].busy > 0 ||
                       all[STEP_RESERVE].marked || all[STEP_RESERVE].busy > 0;
    const bool quiet = gathers(g, rail_index, step) && s->failures == 0 && !comes &&
                       s->gathered * BULK_SHARE >= (int64_t)limit_of(g, rail_index, step);
    return quiet && s->quiet_us < s->not_before_us ? s->quiet_us : s->not_before_us;
}

// Takes the next slot with work. *wake_us is lowered to the time at which the next one becomes ready.
static bool pick(saga_engine *g, task *t, int64_t now_us, int64_t *wake_us) {
    const size_t per_book = g->o.n_rails * STEP_COUNT;
    const size_t total = g->n_books * per_book;
    const bool may_work = at_work(g) < half_of_workers(g);
    for (size_t i = 0; i < total; i++) {
        const size_t at = (g->cursor + i) % total;
        book *home = g->books[at / per_book];
        const size_t rail_index = at % per_book / STEP_COUNT;
        const size_t step = at % STEP_COUNT;
        slot *s = &home->slots[rail_index][step];
        if (step == STEP_EXECUTE && !g->sends) {
            continue; // in recovery mode; it stays marked
        }
        if (!s->marked || !may_run(g, rail_index, (saga_step)step) ||
            !has_room(g, s, rail_index, (saga_step)step, may_work)) {
            continue;
        }
        const int64_t ready = ready_us(g, home, rail_index, (saga_step)step);
        if (ready > now_us) {
            *wake_us = ready < *wake_us ? ready : *wake_us;
            continue;
        }
        *t = (task){home, rail_index, (saga_step)step, false, s->n_lanes, NO_PLACE};
        if (!may_try(g, t, now_us, wake_us)) {
            continue;
        }
        s->marked = s->more;
        s->gathered = 0;
        begin(g, s, t);
        g->cursor = at + 1;
        return true;
    }
    return false;
}

static int64_t quiet_from(const saga_engine *g, size_t rail_index, int64_t now_us) {
    return now_us + g->rails[rail_index]->gather_ms * US_PER_MS / QUIET_SHARE;
}

// n more sagas have arrived at a step, and are due.
static void arrived(saga_engine *g, book *home, size_t rail_index, saga_step step, size_t n,
                    int64_t now_us) {
    slot *s = &home->slots[rail_index][step];
    if (s->failures > 0) {
        return; // backing off
    }
    if (!gathers(g, rail_index, step)) {
        s->marked = true;
        return;
    }
    s->gathered += (int64_t)n;
    s->quiet_us = quiet_from(g, rail_index, now_us);
    if (s->gathered >= (int64_t)limit_of(g, rail_index, step)) {
        s->not_before_us = now_us;
    } else if (!s->marked) {
        s->not_before_us = now_us + g->rails[rail_index]->gather_ms * US_PER_MS;
    }
    s->marked = true;
}

static void put_back(saga_engine *g, const task *t, const saga_result *r) {
    slot *s = &t->book->slots[t->rail][t->step];
    const int64_t now_us = clock_wall_us(g->clock);
    end(g, s, t);
    s->n_lanes = r->failed ? 0 : r->n_lanes;
    tell_breaker(g, t, r);
    if (r->failed) {
        const int64_t wait_ms =
            clock_backoff_ms(g->clock, CLAIM_BACKOFF_BASE_MS, CLAIM_BACKOFF_CAP_MS, s->failures) +
            1;
        s->failures += s->failures < 16 ? 1 : 0;
        s->marked = true;
        s->more = false;
        s->not_before_us = now_us + wait_ms * US_PER_MS;
        return;
    }
    const bool full = r->more || r->n_found == limit_of(g, t->rail, t->step);
    s->failures = 0;
    if (gathers(g, t->rail, t->step)) {
        s->more = false;
        g->scan_wanted |= full; // only a scan can tell whether enough is left for another file
    } else {
        s->more = full;
        s->marked |= full;
    }
    for (int step = STEP_RESERVE; step < STEP_COUNT; step++) {
        if (r->n_next[step] > 0) {
            arrived(g, t->book, t->rail, (saga_step)step, r->n_next[step], now_us);
        }
    }
}

static void mark(saga_engine *g, const saga_due *due, size_t rail_index, int64_t now_us) {
    book *home = find_book(g, due->book_id);
    if (home == NULL) {
        return;
    }
    slot *s = &home->slots[rail_index][due->step];
    const int64_t limit = (int64_t)limit_of(g, rail_index, due->step);
    const int64_t gather_us = g->rails[rail_index]->gather_ms * US_PER_MS;
    if (!s->marked || due->count > s->gathered) { // another instance has reserved them
        s->quiet_us = quiet_from(g, rail_index, now_us);
    }
    s->marked = true;
    if (s->failures > 0) {
        return; // backing off
    }
    s->more |= due->count > limit; // not all are counted; a finding of put_back stays
    // A file is cut when it is full, or when its oldest payout has waited long enough.
    s->gathered = due->count > s->gathered ? due->count : s->gathered;
    const bool gather = gathers(g, rail_index, due->step) && s->gathered < limit;
    s->not_before_us = gather ? due->oldest_us + gather_us : now_us;
}

// --- Asking the database ---------------------------------------------------------------------------------------------

typedef struct scan {
    int64_t books[SAGA_BOOKS_MAX];
    size_t n_books;
    bool refresh;
    saga_scan found;
    int64_t now_us;
} scan;

static bool scan_database(saga_engine *g, scan *s, arena *a, err *e) {
    const int64_t deadline = clock_mono_ms(g->clock) + SCAN_TIMEOUT_MS;
    if (s->refresh &&
        !saga_store_books(g->o.look_pool, s->books, SAGA_BOOKS_MAX, &s->n_books, deadline, a, e)) {
        return false;
    }
    int16_t rails[SAGA_RAILS_MAX];
    for (size_t i = 0; i < g->o.n_rails; i++) {
        rails[i] = (int16_t)g->rails[i]->id;
    }
    s->now_us = clock_wall_us(g->clock);
    s->found = (saga_scan){NULL, 0, INT64_MAX};
    return s->n_books == 0 ||
           (saga_store_scan(g->o.look_pool, s->books, s->n_books, rails, g->o.n_rails, s->now_us,
                            MUCH, &s->found, deadline, a, e) &&
            saga_brake_scan(g->o.look_pool, &s->found, deadline, a, e));
}

static void take_scan(saga_engine *g, const scan *s) {
    int64_t counts[STEP_COUNT] = {0};
    for (size_t i = 0; i < s->n_books; i++) {
        (void)find_book(g, s->books[i]);
    }
    for (size_t i = 0; i < s->found.n; i++) {
        const saga_due *due = &s->found.due[i];
        // one of the steps asked for
        ASSERT(due->step >= STEP_RESERVE && (int)due->step < STEP_COUNT);
        counts[due->step] += due->count;
        for (size_t r = 0; r < g->o.n_rails; r++) {
            if (g->rails[r]->id == due->rail) {
                mark(g, due, r, s->now_us);
            }
        }
    }
    for (int step = STEP_RESERVE; step < STEP_COUNT; step++) {
        metric_set(g->due[step], counts[step]);
    }
}

// Plans the next scan: soon while there is work, later and later without, and in time for the next due saga. SCAN_SHARE limits a scan's
// share of the time. A scan that was slow without the database delays the next by idle_poll_ms at most.
static void plan_scan(saga_engine *g, const saga_scan *found, int64_t now_us, int64_t took_ms) {
    const int64_t more_ms = g->pause_ms + g->pause_ms / 4 + 1;
    g->pause_ms = found == NULL || found->n > 0 ? g->o.poll_ms
                  : more_ms < g->o.idle_poll_ms ? more_ms
                                                : g->o.idle_poll_ms;
    int64_t pause_ms = g->pause_ms > took_ms * SCAN_SHARE ? g->pause_ms : took_ms * SCAN_SHARE;
    pause_ms = pause_ms < g->o.idle_poll_ms ? pause_ms : g->o.idle_poll_ms;
    if (found != NULL && found->next_us != INT64_MAX) {
        const int64_t due_ms = (found->next_us - now_us) / US_PER_MS + 1;
        pause_ms = due_ms < pause_ms ? due_ms : pause_ms;
    }
    g->next_scan_ms = clock_mono_ms(g->clock) + pause_ms;
}

// Entered and left with the mutex held. One worker at a time.
static void run_scan(saga_engine *g, arena *a) {
    static saga_complaint complaint;
    scan *s = arena_alloc(a, sizeof *s);
    ASSERT(s != NULL);
    const int64_t now_ms = clock_mono_ms(g->clock);
    s->refresh = g->books_at_ms == 0 || now_ms - g->books_at_ms >= BOOKS_REFRESH_MS;
    for (size_t i = 0; i < g->n_books; i++) {
        s->books[s->n_books++] = g->books[i]->id;
    }
    g->scanning = true;
    g->scan_wanted = false;
    pthread_mutex_unlock(&g->mutex);
    err e = {0};
    const bool ok = scan_database(g, s, a, &e);
    if (!ok && saga_may_complain(&complaint)) {
        log_err(LOG_WARN, "saga.scan_failed", &e);
    }
    pthread_mutex_lock(&g->mutex);
    g->scanning = false;
    if (ok) {
        g->books_at_ms = s->refresh ? now_ms : g->books_at_ms;
        take_scan(g, s);
    }
    plan_scan(g, ok ? &s->found : NULL, s->now_us, clock_mono_ms(g->clock) - now_ms);
    arena_reset(a);
    wake_all(g);
}

// Takes over leases that are over. It may wait for locks of their owners, so it is not part of a scan. True: there were some.
static bool take_over(void *arg) {
    static saga_complaint complaint;
    saga_engine *g = arg;
    int64_t books[SAGA_BOOKS_MAX];
    pthread_mutex_lock(&g->mutex);
    const size_t n_books = g->n_books;
    for (size_t i = 0; i < n_books; i++) {
        books[i] = g->books[i]->id;
    }
    pthread_mutex_unlock(&g->mutex);
    int64_t n = 0;
    err e = {0};
    if (n_books > 0 &&
        !saga_store_take_over(g->o.look_pool, books, n_books, &g->stuck, &n,
                              clock_mono_ms(g->clock) + SCAN_TIMEOUT_MS, g->take_over_arena, &e) &&
        saga_may_complain(&complaint)) {
        log_err(LOG_WARN, "saga.take_over_failed", &e);
    }
    arena_reset(g->take_over_arena);
    if (n > 0) {
        pthread_mutex_lock(&g->mutex);
        g->scan_wanted = true;
        wake_all(g);
        pthread_mutex_unlock(&g->mutex);
    }
    return n > 0;
}

// --- A worker --------------------------------------------------------------------------------------------------------

typedef struct worker {
    saga_engine *engine;
    uuid owner;
    arena *a, *secrets;
} worker;

static saga_policy policy_for(const saga_engine *g, const rail *r) {
    saga_policy policy = g->o.policy;
    if (r->hands_over || r->in_files) {
        // files: the bank's word comes in its own time, and a query would not hurry it
        policy.resolve_after_ms = 0;
    }
    policy.absence_ms = r->query_lag_ms;
    policy.rebuild_ms = r->rebuild_ms;
    policy.cancel_wait_ms = g->o.lease_ms + r->call_ms;
    return policy;
}

static saga_result run_task(worker *w, const task *t) {
    saga_engine *g = w->engine;
    saga_batch b = {.from = {.pool = g->o.pool,
                             .guard = g->o.guard,
                             .awaits = g->o.awaits,
                             .keys = g->o.keys,
                             .clock = g->clock,
                             .policy = policy_for(g, g->rails[t->rail]),
                             .controls = g->o.controls,
                             .rail = g->rails[t->rail],
                             .book_id = t->book->id,
                             .step = t->step,
                             .limit = t->probe ? 1 : limit_of(g, t->rail, t->step),
                             .n_lanes = t->n_lanes,
                             .owner = w->owner,
                             .lease_ms = g->o.lease_ms},
                    .a = w->a,
                    .secrets = w->secrets};
    const saga_result result = saga_batch_run(&b, &g->tools, g->keeper);
    arena_reset(w->secrets);
    arena_reset(w->a);
    return result;
}

// One worker waits for a time, the others for that worker. So only one wakes up in vain.
static void wait_until(saga_engine *g, int64_t wake_us) {
    const int64_t now_ms = clock_mono_ms(g->clock);
    int64_t ms = (wake_us - clock_wall_us(g->clock)) / US_PER_MS + 1;
    ms = ms < g->next_scan_ms - now_ms ? ms : g->next_scan_ms - now_ms;
    ms = ms < 1 ? 1 : ms;
    if (g->waiting && now_ms + ms < g->waits_until_ms) {
        pthread_cond_signal(&g->changed); // it went to wait before this was known
    }
    if (g->waiting) {
        (void)pthread_cond_wait(&g->others, &g->mutex);
        return;
    }
    const struct timespec until = cond_after_ms(ms);
    g->waiting = true;
    g->waits_until_ms = now_ms + ms;
    (void)cond_wait_until(&g->changed, &g->mutex, &until);
    g->waiting = false;
}

static void work(worker *w) {
    saga_engine *g = w->engine;
    pthread_mutex_lock(&g->mutex);
    while (!g->stopping) {
        task t;
        int64_t wake_us = INT64_MAX / 2;
        g->sends = g->o.guard == NULL || guard_may_send(g->o.guard);
        if (g->o.guard != NULL && !guard_may_claim(g->o.guard)) {
            g->next_scan_ms = clock_mono_ms(g->clock) + g->o.poll_ms;
            wait_until(g, wake_us);
        } else if (pick(g, &t, clock_wall_us(g->clock), &wake_us)) {
            wake_one(g); // another worker may have work, and some worker must wait for the time
            pthread_mutex_unlock(&g->mutex);
            const saga_result result = run_task(w, &t);
            pthread_mutex_lock(&g->mutex);
            put_back(g, &t, &result);
        } else if (!g->scanning && (g->scan_wanted || clock_mono_ms(g->clock) >= g->next_scan_ms)) {
            run_scan(g, w->a);
        } else {
            wait_until(g, wake_us);
        }
    }
    pthread_mutex_unlock(&g->mutex);
}

static void *worker_main(void *arg) {
    worker w = {
        .engine = arg, .a = arena_create(SAGA_ARENA_MAX), .secrets = arena_create(SAGA_ARENA_MAX)};
    w.owner = uuid_v7(w.engine->clock);
    work(&w);
    arena_destroy(w.secrets);
    arena_destroy(w.a);
    return NULL;
}

// --- Life ------------------------------------------------------------------------------------------------------------

static bool is_given(const saga_engine_options *o, err *e) {
    return (o->pool != NULL && o->ledger != NULL && o->keys != NULL) ||
           err_set(e, ERR_INVALID_ARGUMENT, "SETTING", "pool, ledger and keys must be given");
}

bool saga_engine_check(const saga_engine_options *o, err *e) {
    const char *wrong = NULL;
    if (o->n_rails < 1 || o->n_rails > SAGA_RAILS_MAX) {
        wrong = "at least one rail must be enabled";
    } else if (o->workers < 1 || o->workers > SAGA_WORKERS_MAX) {
        wrong = "saga.workers must be 1 to 64";
    } else if (o->batch_max < 1 || o->batch_max > SAGA_BATCH_MAX) {
        wrong = "saga.batch_max must be 1 to 8000";
    } else if (o->lease_ms < 100 || o->poll_ms < 1 || o->idle_poll_ms < o->poll_ms) {
        wrong = "saga.lease_ms must be 100 or more, saga.poll_ms 1 or more, and no more than "
                "saga.idle_poll_ms";
    } else if (o->policy.attempts_max < 1 || o->policy.backoff_base_ms < 1 ||
               o->policy.resolve_after_ms < 0 ||
               o->policy.backoff_cap_ms < o->policy.backoff_base_ms) {
        wrong = "saga.attempts_max, backoff_base_ms, backoff_cap_ms and resolve_after_ms must fit "
                "each other";
    } else if (o->ledger_timeout_ms < 1) {
        wrong = "ledger.timeout_ms must be 1 or more";
    }
    for (size_t i = 0; wrong == NULL && i < o->n_rails; i++) {
        wrong = o->rails[i]->batch_max < 1 ? "a rail takes no items" : NULL;
        // A call must not be under way for long after its lease has ended.
        if (wrong == NULL && o->rails[i]->call_ms > o->lease_ms / 2) {
            return err_set(e, ERR_INVALID_ARGUMENT, "SETTING",
                           "timeout_ms of the connection %s is %lld, and must be at most half of "
                           "saga.lease_ms, which is %lld",
                           o->rails[i]->name, (long long)o->rails[i]->call_ms,
                           (long long)o->lease_ms);
        }
    }
    return wrong == NULL || err_set(e, ERR_INVALID_ARGUMENT, "SETTING", "%s", wrong);
}

// A lease that is over is found within a tenth of its length.
static int64_t take_over_pause_ms(const saga_engine_options *o) {
    const int64_t tenth_ms = o->lease_ms / 10;
    return tenth_ms < o->poll_ms        ? o->poll_ms
           : tenth_ms > o->idle_poll_ms ? o->idle_poll_ms
                                        : tenth_ms;
}

static void make_gauges(saga_engine *g) {
    for (int step = STEP_RESERVE; step < STEP_COUNT; step++) {
        char labels[32] = "";
        strbuf text;
        strbuf_init_fixed(&text, labels, sizeof labels);
        strbuf_printf(&text, "step=\"%s\"", saga_step_name(step));
        g->due[step] =
            metric_gauge("saga_due", labels,
                         "Sagas that are due, at most 100 of each lane of merchants counted.");
    }
}

static void make_down_gauges(saga_engine *g) {
    for (size_t i = 0; i < g->o.n_rails; i++) {
        char labels[96] = "";
        strbuf text;
        strbuf_init_fixed(&text, labels, sizeof labels);
        strbuf_printf(&text, "connection=\"%s\"", g->rails[i]->name);
        ASSERT(strbuf_ok(&text));
        if (g->rails[i]->off) {
            continue;
        }
        g->down[i] =
            metric_gauge("payments_connection_down", labels,
                         "1 while the bank does not answer and is left alone; 0: it answers");
        metric_set(g->down[i], 0);
    }
}

saga_engine *saga_engine_start(const saga_engine_options *o, err *e) {
    if (!is_given(o, e) || !saga_engine_check(o, e)) {
        return NULL;
    }
    saga_engine *g = calloc(1, sizeof *g);
    ASSERT(g != NULL);
    g->o = *o;
    memcpy(g->rails, o->rails, o->n_rails * sizeof g->rails[0]);
    g->clock = clock_system();
    g->tools = (saga_tools){o->ledger, o->accounts, o->ledger_timeout_ms};
    g->a = arena_create(ENGINE_ARENA_MAX);
    saga_batch_metrics_init();
    make_gauges(g);
    make_down_gauges(g);
    MUST(pthread_mutex_init(&g->mutex, NULL) == 0);
    cond_init(&g->changed);
    MUST(pthread_cond_init(&g->others, NULL) == 0);
    g->o.keeper_pool = o->keeper_pool == NULL ? o->pool : o->keeper_pool;
    g->o.look_pool = o->look_pool == NULL ? o->pool : o->look_pool;
    g->pause_ms = o->poll_ms;
    g->keeper = saga_keeper_start(g->o.keeper_pool, g->clock, o->lease_ms);
    g->take_over_arena = arena_create(SAGA_ARENA_MAX);
    g->take_over = ticker_start_lazy(o->poll_ms, take_over_pause_ms(o), take_over, g);
    ASSERT(g->take_over != NULL);
    for (int i = 0; i < o->workers; i++) {
        if (pthread_create(&g->threads[i], NULL, worker_main, g) != 0) {
            (void)err_set(e, ERR_RESOURCE_EXHAUSTED, "THREADS",
                          "a saga worker could not be started");
            saga_engine_stop(g);
            return NULL;
        }
        g->n_threads++;
    }
    return g;
}

static void mark_step(saga_engine *g, int64_t book_id, int rail_id, saga_step step) {
    pthread_mutex_lock(&g->mutex);
    book *home = find_book(g, book_id);
    for (size_t r = 0; home != NULL && r < g->o.n_rails; r++) {
        home->slots[r][step].marked |= rail_id == SAGA_ANY_RAIL || rail_id == g->rails[r]->id;
    }
    wake_one(g);
    pthread_mutex_unlock(&g->mutex);
}

void saga_engine_wake(saga_engine *g, int64_t book_id, int rail_id) {
    mark_step(g, book_id, rail_id,
              controls_any(g->o.controls, CONTROL_GATE) ? STEP_GATE : STEP_RESERVE);
}

void saga_engine_heard(saga_engine *g, int64_t book_id, int rail_id) {
    awaits_heard(g->o.awaits, book_id);
    pthread_mutex_lock(&g->mutex);
    // for payouts at other steps
    const int64_t soon_ms = clock_mono_ms(g->clock) + g->o.poll_ms;
    g->pause_ms = g->o.poll_ms;
    g->next_scan_ms = soon_ms < g->next_scan_ms ? soon_ms : g->next_scan_ms;
    pthread_mutex_unlock(&g->mutex);
    mark_step(g, book_id, rail_id, STEP_AWAIT); // nearly all payouts are here
}

int64_t saga_engine_down_since_us(saga_engine *g, int rail_id) {
    int64_t since_us = 0;
    pthread_mutex_lock(&g->mutex);
    for (size_t i = 0; i < g->o.n_rails; i++) {
        rail *r = g->rails[i];
        if (r->id == rail_id) {
            since_us = r->down_since_us != NULL ? r->down_since_us(r) : g->down_since_us[i];
        }
    }
    pthread_mutex_unlock(&g->mutex);
    return since_us;
}

void saga_engine_look(saga_engine *g) {
    pthread_mutex_lock(&g->mutex);
    g->pause_ms = g->o.poll_ms;
    g->scan_wanted = true;
    wake_one(g);
    pthread_mutex_unlock(&g->mutex);
}

rail *saga_engine_rail(const saga_engine *g, int id) {
    for (size_t i = 0; i < g->o.n_rails; i++) {
        if (g->rails[i]->id == id && !g->rails[i]->off) {
            return g->rails[i];
        }
    }
    return NULL;
}

void saga_engine_stop(saga_engine *g) {
    if (g == NULL) {
        return;
    }
    pthread_mutex_lock(&g->mutex);
    g->stopping = true;
    wake_all(g);
    pthread_mutex_unlock(&g->mutex);
    for (int i = 0; i < g->n_threads; i++) {
        MUST(pthread_join(g->threads[i], NULL) == 0);
    }
    ticker_stop(g->take_over);
    arena_destroy(g->take_over_arena);
    saga_keeper_stop(g->keeper);
    MUST(pthread_cond_destroy(&g->changed) == 0);
    MUST(pthread_cond_destroy(&g->others) == 0);
    MUST(pthread_mutex_destroy(&g->mutex) == 0);
    arena_destroy(g->a);
    free(g);
}
