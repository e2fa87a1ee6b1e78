#include "journal/follow.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/cond.h"

enum { PAGE_ROWS = LEDGER_BATCH_MAX, PATIENCE_MS = 1000, NS_PER_MS = 1000000 };

// --- Who is followed -------------------------------------------------------------------------------------------------

static uuid book_key(int64_t book_id) {
    uuid key = {{0}};
    memcpy(key.b, &book_id, sizeof book_id);
    return key;
}

void follower_init(follower *w, size_t books_max, size_t idle_max, size_t rows_max) {
    *w = (follower){.idle_max = idle_max, .rows_max = rows_max};
    w->books = map_create(64, books_max);
    MUST(pthread_mutex_init(&w->lock, NULL) == 0);
}

static followed *followed_create(int64_t book_id, size_t rows_max) {
    followed *f = calloc(1, sizeof *f);
    ASSERT(f != NULL);
    f->book_id = book_id;
    f->tail = tail_create(rows_max);
    MUST(pthread_mutex_init(&f->lock, NULL) == 0);
    cond_init(&f->moved);
    return f;
}

static void followed_destroy(followed *f) {
    (void)pthread_cond_destroy(&f->moved);
    (void)pthread_mutex_destroy(&f->lock);
    tail_destroy(f->tail);
    free(f);
}

// @locks follower.lock held.
static void idle_remove(follower *w, followed *f) {
    *(f->prev != NULL ? &f->prev->next : &w->first) = f->next;
    *(f->next != NULL ? &f->next->prev : &w->last) = f->prev;
    f->prev = f->next = NULL;
    w->n_idle--;
}

// @locks follower.lock held.
static void forget_first(follower *w) {
    followed *f = w->first;
    idle_remove(w, f);
    MUST(map_remove(w->books, book_key(f->book_id)) == f);
    followed_destroy(f);
}

void follower_deinit(follower *w) {
    while (w->first != NULL) {
        forget_first(w);
    }
    ASSERT(map_count(w->books) == 0);
    map_destroy(w->books);
    (void)pthread_mutex_destroy(&w->lock);
}

followed *follow_hold(follower *w, int64_t book_id) {
    (void)pthread_mutex_lock(&w->lock);
    followed *f = map_get(w->books, book_key(book_id));
    if (f == NULL) {
        f = followed_create(book_id, w->rows_max);
        MUST(map_put(w->books, book_key(book_id), f));
    } else if (f->holders == 0) {
        idle_remove(w, f);
    }
    f->holders++;
    (void)pthread_mutex_unlock(&w->lock);
    return f;
}

void follow_release(follower *w, followed *f) {
    (void)pthread_mutex_lock(&w->lock);
    ASSERT(f->holders > 0);
    if (--f->holders == 0) {
        f->prev = w->last;
        *(w->last != NULL ? &w->last->next : &w->first) = f;
        w->last = f;
        w->n_idle++;
    }
    while (w->n_idle > w->idle_max) {
        forget_first(w);
    }
    (void)pthread_mutex_unlock(&w->lock);
}

// --- Catching up -----------------------------------------------------------------------------------------------------

// @locks f->lock held.
static bool reached(const followed *f, const store_head *head) {
    return tail_checkpoint(f->tail) >= head->checkpoint_sequence &&
           tail_sequence(f->tail) >= head->sequence;
}

// @locks f->lock held. True while somebody here is about to move the tail.
static bool on_its_way(const followed *f, const store_head *head) {
    return f->reading || f->committing >= head->sequence;
}

// @locks f->lock held. Waits for the thread that moves the tail, but not for ever, since a COMMIT may hang.
static void wait_for_others(followed *f, const store_head *head) {
    const struct timespec until = cond_after_ms(PATIENCE_MS);
    while (!reached(f, head) && on_its_way(f, head) &&
           cond_wait_until(&f->moved, &f->lock, &until)) {
    }
}

// @locks f->lock held, except during a read. Reads the missing rows, page by page.
static bool read_missing(followed *f, db_conn *c, arena *a, const store_head *head, err *e) {
    bool ok = true;
    if (tail_checkpoint(f->tail) < head->checkpoint_sequence) {
        tail_restart(f->tail, head->checkpoint_sequence);
    }
    while (ok && !reached(f, head)) {
        ledger_row *rows = NULL;
        size_t n = 0;
        const int64_t from = tail_sequence(f->tail) + 1;
        (void)pthread_mutex_unlock(&f->lock);
        ok = store_read_rows(c, a, f->book_id, from, head->sequence, PAGE_ROWS, &rows, &n, e);
        ASSERT(!ok || n != 0); // a head names rows that are there
        (void)pthread_mutex_lock(&f->lock);
        if (ok) {
            tail_fold(f->tail, rows, n);
        }
    }
    return ok;
}

int64_t follow_since_us(followed *f) {
    (void)pthread_mutex_lock(&f->lock);
    const int64_t since_us = tail_since_us(f->tail);
    (void)pthread_mutex_unlock(&f->lock);
    return since_us;
}

bool follow_reach(followed *f, db_conn *c, arena *a, const store_head *head, err *e) {
    (void)pthread_mutex_lock(&f->lock);
    wait_for_others(f, head);
    bool ok = true;
    if (!reached(f, head)) {
        f->reading = true;
        ok = read_missing(f, c, a, head, e);
        f->reading = false;
        (void)pthread_cond_broadcast(&f->moved);
    }
    (void)pthread_mutex_unlock(&f->lock);
    return ok;
}

// --- The commit thread -----------------------------------------------------------------------------------------------

int64_t follow_restart(followed *f, int64_t checkpoint_sequence) {
    (void)pthread_mutex_lock(&f->lock);
    if (tail_checkpoint(f->tail) < checkpoint_sequence) {
        tail_restart(f->tail, checkpoint_sequence);
    }
    const int64_t at = tail_sequence(f->tail);
    (void)pthread_mutex_unlock(&f->lock);
    return at;
}

void follow_fold(followed *f, const ledger_row *rows, size_t n) {
    (void)pthread_mutex_lock(&f->lock);
    tail_fold(f->tail, rows, n);
    (void)pthread_mutex_unlock(&f->lock);
}

void follow_announce(followed *f, int64_t sequence) {
    (void)pthread_mutex_lock(&f->lock);
    f->committing = sequence;
    (void)pthread_mutex_unlock(&f->lock);
}

void follow_settle(followed *f) {
    (void)pthread_mutex_lock(&f->lock);
    f->committing = 0;
    (void)pthread_cond_broadcast(&f->moved);
    (void)pthread_mutex_unlock(&f->lock);
}
