#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "journal/journal_internal.h"

void book_list_append(book_list *l, book *b) {
    b->prev = l->last;
    b->next = NULL;
    if (l->last != NULL) {
        l->last->next = b;
    } else {
        l->first = b;
    }
    l->last = b;
}

void book_list_remove(book_list *l, book *b) {
    if (b->prev != NULL) {
        b->prev->next = b->next;
    } else {
        l->first = b->next;
    }
    if (b->next != NULL) {
        b->next->prev = b->prev;
    } else {
        l->last = b->prev;
    }
    b->prev = b->next = NULL;
}

book *book_create(journal *j, int64_t id) {
    book *b = calloc(1, sizeof *b);
    ASSERT(b != NULL);
    b->id = id;
    b->followed = follow_hold(&j->follower, id);
    b->unsaved_since_us = INT64_MAX;
    // The cache shrinks only between transactions, so one transaction may exceed the size by all accounts that it can name.
    cache_init(&b->cache, j->o.cache_accounts_max + JOURNAL_ACCOUNTS_MAX);
    return b;
}

void book_destroy(journal *j, book *b) {
    ASSERT(b->n_requests == 0);
    follow_release(&j->follower, b->followed);
    cache_deinit(&b->cache);
    free(b);
}

void book_cache_drop(journal *j, book *b) {
    cache_clear(&b->cache);
    b->warm = false;
    metric_add(j->m.cache_drops, 1);
}

uuid journal_book_key(int64_t book_id) {
    uuid key = {{0}};
    memcpy(key.b, &book_id, sizeof book_id);
    return key;
}

void book_forget(journal *j, book *b) {
    ASSERT(b->state == BOOK_IDLE);
    book_list_remove(&j->idle, b);
    MUST(map_remove(j->books, journal_book_key(b->id)) == b);
    atomic_fetch_sub(&j->cached_accounts, map_count(b->cache.accounts));
    book_destroy(j, b);
}

void journal_trim(journal *j) {
    (void)pthread_mutex_lock(&j->lock);
    while (atomic_load(&j->cached_accounts) > j->o.cache_accounts_max && j->idle.first != NULL) {
        book_forget(j, j->idle.first);
    }
    (void)pthread_mutex_unlock(&j->lock);
}
