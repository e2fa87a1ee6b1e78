// Who follows which book, and who wakes them.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"
#include "base/metrics.h"
#include "feed/feed.h"
#include "feed/feed_sql.h"

enum {
    BOOKS_MAX = 1024, // that are followed at a time
    BOOKS_WITH_A_GAUGE = 64,
    FIRST_PAUSE_MS = 100, // between two looks while other processes write; then it doubles
    LAST_PAUSE_MS = 500,
    LOOK_TIMEOUT_MS = 2000,
    LOOK_MEMORY = 1 << 20
};

typedef struct followed {
    int64_t book_id;
    int64_t head; // as far as is known
    // How often somebody told it, and how often until the last look began.
    uint64_t n_heard, n_heard_before;
    size_t n_readers; // 0: the place is free
} followed;

typedef struct book_gauge {
    int64_t book_id, head;
    metric *of;
} book_gauge;

struct feed_reader {
    feed_hub *hub;
    followed *of;
    int64_t position;
    feed_reader *next;
};

struct feed_hub {
    db_pool *pool;
    pthread_t thread;
    pthread_mutex_t lock;  // guards all below; never held across a look
    pthread_cond_t grown;  // a head has moved
    pthread_cond_t joined; // there is a reader more, or it is the end
    followed books[BOOKS_MAX];
    size_t n_books;
    book_gauge gauges[BOOKS_WITH_A_GAUGE];
    size_t n_gauges;
    feed_reader *readers;
    bool closing;
};

// The hub of the process, for threads that commit. The lock is held while the hub is used.
static pthread_mutex_t hub_lock = PTHREAD_MUTEX_INITIALIZER;
static feed_hub *the_hub;

// --- Books (with the lock held) --------------------------------------------------------------------------------------

// NULL: nobody follows it.
static followed *find_book(feed_hub *h, int64_t book_id) {
    for (size_t i = 0; i < h->n_books; i++) {
        if (h->books[i].book_id == book_id && h->books[i].n_readers > 0) {
            return &h->books[i];
        }
    }
    return NULL;
}

// Its place, or a free one. NULL: there is none.
static followed *follow_book(feed_hub *h, int64_t book_id) {
    followed *b = find_book(h, book_id);
    for (size_t i = 0; b == NULL && i < h->n_books; i++) {
        if (h->books[i].n_readers == 0) {
            b = &h->books[i];
        }
    }
    if (b == NULL && h->n_books < BOOKS_MAX) {
        b = &h->books[h->n_books++];
        b->n_readers = 0;
    }
    if (b != NULL && b->n_readers == 0) {
        *b = (followed){.book_id = book_id};
    }
    return b;
}

static book_gauge *gauge_of(feed_hub *h, int64_t book_id) {
    size_t i = 0;
    while (i < h->n_gauges && h->gauges[i].book_id != book_id) {
        i++;
    }
    if (i == BOOKS_WITH_A_GAUGE) {
        return NULL;
    }
    if (i == h->n_gauges) {
        char labels[40];
        (void)snprintf(labels, sizeof labels, "book=\"%lld\"", (long long)book_id);
        h->gauges[h->n_gauges++] =
            (book_gauge){.book_id = book_id,
                         .of = metric_gauge(
                             "feed_head", labels,
                             "The last position of a book's feed, as far as this process knows.")};
    }
    return &h->gauges[i];
}

static void show_head(feed_hub *h, int64_t book_id, int64_t head) {
    book_gauge *g = gauge_of(h, book_id);
    if (g != NULL) {
        g->head = head;
        metric_set(g->of, head);
    }
}

static void set_head(feed_hub *h, followed *b, int64_t head) {
    b->head = head;
    show_head(h, b->book_id, head);
    pthread_cond_broadcast(&h->grown);
}

static void note_head(feed_hub *h, followed *b, int64_t head) {
    b->n_heard++;
    if (head > b->head) {
        set_head(h, b, head);
    }
}

// Commits are told in any order.
static bool is_new_head(feed_hub *h, int64_t book_id, int64_t head) {
    const book_gauge *g = gauge_of(h, book_id);
    return g != NULL && head > g->head;
}

void feed_tell(int64_t book_id, int64_t head) {
    pthread_mutex_lock(&hub_lock);
    feed_hub *h = the_hub;
    if (h != NULL) {
        pthread_mutex_lock(&h->lock);
        followed *b = find_book(h, book_id);
        if (b != NULL) {
            note_head(h, b, head);
        } else if (is_new_head(h, book_id, head)) {
            show_head(h, book_id, head);
        }
        pthread_mutex_unlock(&h->lock);
    }
    pthread_mutex_unlock(&hub_lock);
}

// How many entries the reader that is farthest behind has before it.
static int64_t greatest_lag(void *arg) {
    feed_hub *h = arg;
    int64_t lag = 0;
    pthread_mutex_lock(&h->lock);
    for (const feed_reader *r = h->readers; r != NULL; r = r->next) {
        const int64_t behind = r->of->head - r->position;
        lag = behind > lag ? behind : lag;
    }
    pthread_mutex_unlock(&h->lock);
    return lag;
}

static int64_t count_readers(void *arg) {
    feed_hub *h = arg;
    int64_t n = 0;
    pthread_mutex_lock(&h->lock);
    for (const feed_reader *r = h->readers; r != NULL; r = r->next) {
        n++;
    }
    pthread_mutex_unlock(&h->lock);
    return n;
}

static void show_metrics(feed_hub *h, bool shown) {
    metric_gauge_fn("feed_lag_entries", "",
                    "Entries that the reader farthest behind has before it.",
                    shown ? greatest_lag : NULL, h);
    metric_gauge_fn("feed_readers", "", "Streams that follow the feed of a book.",
                    shown ? count_readers : NULL, h);
}

// --- Looking for what other processes write --------------------------------------------------------------------------

typedef struct heads {
    int64_t books[BOOKS_MAX];
    size_t n;
    db_rows *rows;
} heads;

static bool read_heads(db_conn *c, arena *a, void *arg, err *e) {
    heads *x = arg;
    db_params *p = db_params_create(a);
    db_i64_array(p, x->books, x->n);
    return db_exec(c, feed_sql(FEED_SQL_HEADS), p, a, &x->rows, NULL, e);
}

// True when a head has moved and this process had not heard of it. A head that nobody has told of meanwhile is as it was read: after a
// failover a head may be before the head that was known. Entered and left with the lock held.
static bool look(feed_hub *h, heads *x, arena *a) {
    bool moved = false;
    err e = {0};
    x->n = 0;
    for (size_t i = 0; i < h->n_books; i++) {
        if (h->books[i].n_readers > 0) {
            h->books[i].n_heard_before = h->books[i].n_heard;
            x->books[x->n++] = h->books[i].book_id;
        }
    }
    pthread_mutex_unlock(&h->lock);
    const bool ok =
        db_read(h->pool, clock_mono_ms(clock_system()) + LOOK_TIMEOUT_MS, a, read_heads, x, &e);
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; ok && i < db_count(x->rows); i++) {
        followed *b = find_book(h, db_get_i64(x->rows, i, 0));
        const int64_t head = db_get_i64(x->rows, i, 1);
        moved = moved || (b != NULL && head > b->head);
        if (b != NULL && b->n_heard == b->n_heard_before) {
            set_head(h, b, head);
        } else if (b != NULL) {
            note_head(h, b, head);
        }
    }
    arena_reset(a);
    return moved;
}

static void *run(void *arg) {
    feed_hub *h = arg;
    arena *a = arena_create(LOOK_MEMORY);
    heads *x = calloc(1, sizeof *x);
    int64_t pause_ms = FIRST_PAUSE_MS;
    ASSERT(x != NULL);
    pthread_mutex_lock(&h->lock);
    while (!h->closing) {
        if (h->readers == NULL) {
            pthread_cond_wait(&h->joined, &h->lock);
            pause_ms = FIRST_PAUSE_MS;
            continue;
        }
        const bool moved = look(h, x, a);
        pause_ms = moved                          ? FIRST_PAUSE_MS
                   : 2 * pause_ms < LAST_PAUSE_MS ? 2 * pause_ms
                                                  : LAST_PAUSE_MS;
        const struct timespec until = cond_after_ms(pause_ms);
        (void)cond_wait_until(&h->joined, &h->lock, &until);
    }
    pthread_mutex_unlock(&h->lock);
    free(x);
    arena_destroy(a);
    return NULL;
}

feed_hub *feed_hub_start(db_pool *pool, err *e) {
    feed_hub *h = calloc(1, sizeof *h);
    ASSERT(h != NULL);
    h->pool = pool;
    pthread_mutex_init(&h->lock, NULL);
    cond_init(&h->grown);
    cond_init(&h->joined);
    if (pthread_create(&h->thread, NULL, run, h) != 0) {
        free(h);
        (void)err_set(e, ERR_INTERNAL, "THREAD_FAILED", "could not start the thread of the feed");
        return NULL;
    }
    show_metrics(h, true);
    pthread_mutex_lock(&hub_lock);
    ASSERT(the_hub == NULL);
    the_hub = h;
    pthread_mutex_unlock(&hub_lock);
    return h;
}

void feed_hub_stop(feed_hub *h) {
    if (h == NULL) {
        return;
    }
    pthread_mutex_lock(&hub_lock);
    the_hub = NULL;
    pthread_mutex_unlock(&hub_lock);
    show_metrics(h, false);
    pthread_mutex_lock(&h->lock);
    ASSERT(h->readers == NULL);
    h->closing = true;
    pthread_cond_broadcast(&h->joined);
    pthread_mutex_unlock(&h->lock);
    (void)pthread_join(h->thread, NULL);
    pthread_cond_destroy(&h->grown);
    pthread_cond_destroy(&h->joined);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

// --- Readers ---------------------------------------------------------------------------------------------------------

feed_reader *feed_reader_join(feed_hub *h, int64_t book_id, err *e) {
    feed_reader *r = calloc(1, sizeof *r);
    ASSERT(r != NULL);
    pthread_mutex_lock(&h->lock);
    *r = (feed_reader){.hub = h, .of = follow_book(h, book_id), .next = h->readers};
    if (r->of != NULL) {
        r->of->n_readers++;
        h->readers = r;
        pthread_cond_signal(&h->joined);
    }
    pthread_mutex_unlock(&h->lock);
    if (r->of != NULL) {
        return r;
    }
    free(r);
    (void)err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_BOOKS", "too many books are followed");
    return NULL;
}

void feed_reader_leave(feed_reader *r) {
    if (r == NULL) {
        return;
    }
    feed_hub *h = r->hub;
    pthread_mutex_lock(&h->lock);
    feed_reader **at = &h->readers;
    while (*at != r) {
        at = &(*at)->next;
    }
    *at = r->next;
    r->of->n_readers--;
    pthread_mutex_unlock(&h->lock);
    free(r);
}

void feed_reader_note(feed_reader *r, int64_t position, int64_t head) {
    pthread_mutex_lock(&r->hub->lock);
    r->position = position;
    note_head(r->hub, r->of, head);
    pthread_mutex_unlock(&r->hub->lock);
}

bool feed_reader_wait(feed_reader *r, int64_t ms) {
    feed_hub *h = r->hub;
    const struct timespec until = cond_after_ms(ms);
    pthread_mutex_lock(&h->lock);
    bool in_time = true;
    while (in_time && r->of->head <= r->position) {
        in_time = cond_wait_until(&h->grown, &h->lock, &until);
    }
    const bool grown = r->of->head > r->position;
    pthread_mutex_unlock(&h->lock);
    return grown;
}
