// A reader that follows a book sleeps here until a commit of this instance wakes it, or its time is up.
#include "base/cond.h"
#include "journal/journal_internal.h"

static journal_watch *watch_of(journal *j, int64_t book_id) {
    // Books that share a bucket wake each other: harmless, since a woken reader only looks.
    return &j->watches[(uint64_t)book_id % JOURNAL_WATCH_BUCKETS];
}

void journal_notify(journal *j, int64_t book_id) {
    journal_watch *w = watch_of(j, book_id);
    (void)pthread_mutex_lock(&w->lock);
    w->mark++;
    (void)pthread_cond_broadcast(&w->moved);
    (void)pthread_mutex_unlock(&w->lock);
}

uint64_t journal_mark(journal *j, int64_t book_id) {
    journal_watch *w = watch_of(j, book_id);
    (void)pthread_mutex_lock(&w->lock);
    const uint64_t mark = w->mark;
    (void)pthread_mutex_unlock(&w->lock);
    return mark;
}

void journal_wait(journal *j, int64_t book_id, uint64_t mark, int64_t ms) {
    const struct timespec until = cond_after_ms(ms);
    journal_watch *w = watch_of(j, book_id);
    (void)pthread_mutex_lock(&w->lock);
    while (w->mark == mark && !atomic_load(&j->quiet) &&
           cond_wait_until(&w->moved, &w->lock, &until)) {
    }
    (void)pthread_mutex_unlock(&w->lock);
}
