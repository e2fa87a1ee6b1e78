#include "awaits/awaits.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"

enum {
    FIRST_PAUSE_MS = 100, // from the first look to the second; then it doubles
    LAST_PAUSE_MS = 1000,
    GONE_MS = 200,       // interval of removing waits whose caller is gone
    LOOK_SHARE = 20,     // looks without a request take at most a twentieth of the time
    QUIET_MAX_MS = 2000, // but they pause for at most this long
    LOOK_TIMEOUT_MS = 2000,
    RETRY_MS = 1000,
    COMPLAIN_EVERY_MS = 1000,
    ARENA_MAX = 64 << 20
};

typedef struct awaits_client {
    char *name; // NULL: free
    size_t n;
} awaits_client;

struct awaits {
    size_t max, client_max;
    awaits_calls calls;
    arena *a; // for one look
    payout_await *picked[AWAITS_LOOK_MAX];
    int64_t complained_ms;
    metric *looks, *told, *refused, *waiting_gauge;

    atomic_size_t waiting; // number of waits, readable without the mutex

    pthread_mutex_t mutex; // guards all below; never held across a look or an answer
    pthread_cond_t changed;
    bool started, closing;
    pthread_t thread;
    payout_await **all;
    size_t n;
    map *by_payout; // the first wait of each payout
    awaits_client *clients;
    size_t cursor;          // the next search begins here, so that each book has its turn
    int64_t quiet_until_ms; // no look without a request before this time
};

// --- The list (all with the mutex held) ------------------------------------------------------------------------------

static awaits_client *find_client(awaits *w, const char *name) {
    awaits_client *free_place = NULL;
    size_t seen = 0;
    for (size_t i = 0; i < w->max && seen < w->n; i++) {
        awaits_client *c = &w->clients[i];
        if (c->name != NULL && strcmp(c->name, name) == 0) {
            return c;
        }
        seen += c->name != NULL ? c->n : 0;
        free_place = c->name == NULL && free_place == NULL ? c : free_place;
    }
    for (size_t i = 0; free_place == NULL && i < w->max; i++) {
        free_place = w->clients[i].name == NULL ? &w->clients[i] : NULL;
    }
    ASSERT(free_place != NULL); // there are fewer waits than places
    return free_place;
}

static void put_in(awaits *w, awaits_client *c, payout_await *one) {
    if (c->name == NULL) {
        c->name = strdup(one->client);
        ASSERT(c->name != NULL);
    }
    c->n++;
    one->counted = c;
    one->told = true; // the first look comes at once
    one->pause_ms = FIRST_PAUSE_MS;
    one->next_look_ms = clock_mono_ms(clock_system());
    one->same = map_get(w->by_payout, one->payout_id);
    MUST(map_put(w->by_payout, one->payout_id, one)); // the map has room for all
    one->place = w->n;
    w->all[w->n++] = one;
    atomic_store(&w->waiting, w->n);
    metric_set(w->waiting_gauge, (int64_t)w->n);
}

static void take_from_payout(awaits *w, payout_await *one) {
    payout_await *first = map_get(w->by_payout, one->payout_id);
    if (first == one) {
        (void)map_remove(w->by_payout, one->payout_id);
        MUST(one->same == NULL || map_put(w->by_payout, one->payout_id, one->same));
        return;
    }
    while (first->same != one) {
        first = first->same;
    }
    first->same = one->same;
}

static void take_out(awaits *w, payout_await *one) {
    take_from_payout(w, one);
    if (--one->counted->n == 0) {
        free(one->counted->name);
        one->counted->name = NULL;
    }
    payout_await *last = w->all[--w->n];
    w->all[one->place] = last;
    last->place = one->place;
    atomic_store(&w->waiting, w->n);
    metric_set(w->waiting_gauge, (int64_t)w->n);
}

// --- Choosing waits (with the mutex held) --------------------------------------------------------------------------------

static bool must_look(const awaits *w, const payout_await *one, int64_t now_ms) {
    return one->told || now_ms >= one->end_mono_ms || w->calls.gone(one->owner);
}

static bool is_due(const awaits *w, const payout_await *one, int64_t now_ms) {
    return now_ms >= one->next_look_ms && now_ms >= w->quiet_until_ms;
}

// Picks the due waits of the first book that has one. *by_time: some are due only by time. Then waits whose time comes soon are added, so
// that one look at the database serves all of them.
static size_t pick(awaits *w, int64_t now_ms, int64_t *book_id, bool *by_time) {
    size_t n = 0, first = 0;
    bool found = false;
    *by_time = false;
    for (size_t i = 0; i < w->n; i++) {
        const size_t at = (w->cursor + i) % w->n;
        const payout_await *one = w->all[at];
        const bool due = is_due(w, one, now_ms);
        if ((!found || one->book_id == *book_id) && (due || must_look(w, one, now_ms))) {
            first = found ? first : at;
            found = true;
            *book_id = one->book_id;
            *by_time = *by_time || due;
        }
    }
    w->cursor = first + 1;
    for (size_t i = 0; found && i < w->n && n < AWAITS_LOOK_MAX; i++) {
        payout_await *one = w->all[i];
        const bool soon = *by_time && now_ms + one->pause_ms / 2 >= one->next_look_ms;
        if (one->book_id == *book_id && (soon || must_look(w, one, now_ms))) {
            one->told = false; // anything told from now on asks for another look
            one->over = false;
            one->answer = NULL;
            w->picked[n++] = one;
        }
    }
    return n;
}

static int64_t next_wake_ms(const awaits *w, int64_t now_ms) {
    int64_t wake_ms = now_ms + GONE_MS;
    for (size_t i = 0; i < w->n; i++) {
        const payout_await *one = w->all[i];
        const int64_t due_ms =
            one->next_look_ms > w->quiet_until_ms ? one->next_look_ms : w->quiet_until_ms;
        wake_ms = one->end_mono_ms < wake_ms ? one->end_mono_ms : wake_ms;
        wake_ms = due_ms < wake_ms ? due_ms : wake_ms;
    }
    return wake_ms;
}

// --- A look ------------------------------------------------------------------------------------------------------------

static bool look(awaits *w, int64_t book_id, size_t n, err *e) {
    err_clear(e);
    metric_add(w->looks, 1);
    const int64_t now_ms = clock_mono_ms(clock_system());
    if (w->calls.look(w->calls.look_arg, book_id, w->picked, n, now_ms + LOOK_TIMEOUT_MS, w->a,
                      e)) {
        return true;
    }
    if (now_ms - w->complained_ms >= COMPLAIN_EVERY_MS) {
        w->complained_ms = now_ms;
        log_err(LOG_WARN, "awaits.look_failed", e);
    }
    return false;
}

// Removes ended waits from the list, and leaves them at the beginning of picked. With the mutex held.
static size_t take_ended(awaits *w, size_t n, bool seen, int64_t asked_ms) {
    const int64_t now_ms = clock_mono_ms(clock_system());
    size_t n_ended = 0;
    for (size_t i = 0; i < n; i++) {
        payout_await *one = w->picked[i];
        // A wait that ends during the look was not looked at in its last moment; the next look does that.
        if ((seen && one->over) || asked_ms >= one->end_mono_ms || w->calls.gone(one->owner)) {
            take_out(w, one);
            w->picked[n_ended++] = one;
            continue;
        }
        one->next_look_ms = now_ms + one->pause_ms;
        one->pause_ms = 2 * one->pause_ms < LAST_PAUSE_MS ? 2 * one->pause_ms : LAST_PAUSE_MS;
    }
    return n_ended;
}

// Entered and left with the mutex held.
static void look_at(awaits *w, int64_t book_id, size_t n, bool by_time, int64_t now_ms) {
    pthread_mutex_unlock(&w->mutex);
    err e = {0};
    const bool seen = look(w, book_id, n, &e);
    const int64_t after_ms = clock_mono_ms(clock_system());
    pthread_mutex_lock(&w->mutex);
    if (by_time) {
        // A failed or slow look delays the next one only a little: payouts that it missed must be found in time.
        const int64_t quiet_ms = seen ? (LOOK_SHARE - 1) * (after_ms - now_ms) : 0;
        w->quiet_until_ms = after_ms + (quiet_ms < QUIET_MAX_MS ? quiet_ms : QUIET_MAX_MS);
    }
    const size_t n_ended = take_ended(w, n, seen, now_ms);
    pthread_mutex_unlock(&w->mutex);
    for (size_t i = 0; i < n_ended; i++) {
        w->calls.done(w->picked[i], seen ? NULL : &e);
    }
    arena_reset(w->a);
    pthread_mutex_lock(&w->mutex);
}

static void wait_until(awaits *w, int64_t wake_ms) {
    const struct timespec until = cond_at_ms(wake_ms);
    (void)cond_wait_until(&w->changed, &w->mutex, &until);
}

static bool stopping(err *e) {
    err_clear(e);
    (void)err_set(e, ERR_UNAVAILABLE, "SHUTTING_DOWN", "the service is stopping");
    e->flags |= ERR_RETRIABLE;
    return false;
}

static void answer_all(awaits *w) {
    err e = {0};
    (void)stopping(&e);
    while (w->n > 0) {
        payout_await *one = w->all[w->n - 1];
        take_out(w, one);
        one->answer = NULL;
        pthread_mutex_unlock(&w->mutex);
        w->calls.done(one, &e);
        pthread_mutex_lock(&w->mutex);
    }
}

static void *run(void *arg) {
    awaits *w = arg;
    pthread_mutex_lock(&w->mutex);
    while (!w->closing) {
        const int64_t now_ms = clock_mono_ms(clock_system());
        int64_t book_id = 0;
        bool by_time = false;
        const size_t n = pick(w, now_ms, &book_id, &by_time);
        if (n > 0) {
            look_at(w, book_id, n, by_time, now_ms);
        } else if (w->n > 0) {
            wait_until(w, next_wake_ms(w, now_ms));
        } else {
            (void)pthread_cond_wait(&w->changed, &w->mutex);
        }
    }
    answer_all(w);
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

// --- From outside --------------------------------------------------------------------------------------------------------

static bool too_many(awaits *w, const char *whose, size_t max, err *e) {
    metric_add(w->refused, 1);
    (void)err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_AWAITS", "%s waits for %zu payouts already",
                  whose, max);
    e->retry_after_ms = RETRY_MS;
    return false;
}

bool awaits_add(awaits *w, payout_await *one, err *e) {
    pthread_mutex_lock(&w->mutex);
    bool ok = w->started && !w->closing;
    if (!ok) {
        (void)stopping(e);
    } else if (w->n == w->max) {
        ok = too_many(w, "the service", w->max, e);
    } else {
        awaits_client *c = find_client(w, one->client);
        ok =
            c->name == NULL || c->n < w->client_max || too_many(w, "this client", w->client_max, e);
        if (ok) {
            put_in(w, c, one);
            pthread_cond_signal(&w->changed);
        }
    }
    pthread_mutex_unlock(&w->mutex);
    return ok;
}

bool awaits_any(awaits *w) {
    return w != NULL && atomic_load(&w->waiting) > 0;
}

void awaits_tell(awaits *w, int64_t book_id, const uuid *payout_ids, size_t n) {
    int64_t found = 0;
    pthread_mutex_lock(&w->mutex);
    for (size_t i = 0; i < n && w->n > 0; i++) {
        for (payout_await *one = map_get(w->by_payout, payout_ids[i]); one != NULL;
             one = one->same) {
            found += one->book_id == book_id ? 1 : 0;
            one->told = one->told || one->book_id == book_id;
        }
    }
    if (found > 0) {
        metric_add(w->told, found);
        pthread_cond_signal(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
}

void awaits_heard(awaits *w, int64_t book_id) {
    if (!awaits_any(w)) {
        return;
    }
    pthread_mutex_lock(&w->mutex);
    const int64_t now_ms = clock_mono_ms(clock_system());
    for (size_t i = 0; i < w->n; i++) {
        payout_await *one = w->all[i];
        if (one->book_id == book_id && one->next_look_ms > now_ms) {
            one->next_look_ms = now_ms;
        }
    }
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

// --- Life ----------------------------------------------------------------------------------------------------------------

awaits *awaits_create(size_t max, size_t client_max) {
    awaits *w = calloc(1, sizeof *w);
    ASSERT(w != NULL && max > 0 && client_max > 0);
    w->max = max;
    w->client_max = client_max;
    w->a = arena_create(ARENA_MAX);
    w->all = calloc(max, sizeof w->all[0]);
    w->clients = calloc(max, sizeof w->clients[0]);
    w->by_payout = map_create(max < 64 ? max : 64, max);
    ASSERT(w->all != NULL && w->clients != NULL && w->by_payout != NULL);
    w->looks = metric_counter("payout_await_looks_total", "",
                              "Statements that have looked at payouts for which calls wait.");
    w->told = metric_counter(
        "payout_awaits_told_total", "",
        "Calls of AwaitPayout that the engine of this process has told of their payout.");
    w->refused = metric_counter("payout_awaits_refused_total", "",
                                "Calls of AwaitPayout beyond the limits.");
    w->waiting_gauge = metric_gauge("payout_awaits", "", "Calls of AwaitPayout that wait.");
    MUST(pthread_mutex_init(&w->mutex, NULL) == 0);
    cond_init(&w->changed);
    return w;
}

void awaits_start(awaits *w, const awaits_calls *calls) {
    w->calls = *calls;
    MUST(pthread_create(&w->thread, NULL, run, w) == 0);
    pthread_mutex_lock(&w->mutex);
    w->started = true;
    pthread_mutex_unlock(&w->mutex);
}

void awaits_close(awaits *w) {
    if (w == NULL) {
        return;
    }
    pthread_mutex_lock(&w->mutex);
    const bool first = w->started && !w->closing;
    w->closing = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    if (first) {
        MUST(pthread_join(w->thread, NULL) == 0);
    }
}

void awaits_destroy(awaits *w) {
    if (w == NULL) {
        return;
    }
    ASSERT(w->n == 0 && (!w->started || w->closing));
    map_destroy(w->by_payout);
    free(w->clients);
    free(w->all);
    arena_destroy(w->a);
    MUST(pthread_cond_destroy(&w->changed) == 0);
    MUST(pthread_mutex_destroy(&w->mutex) == 0);
    free(w);
}
