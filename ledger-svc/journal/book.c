#include <stdlib.h>

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

enum { CACHE_EXPECTED = 64, CACHE_BYTES_AN_ACCOUNT = sizeof(ledger_account) + 64 };

book *book_create(int64_t id, size_t cache_accounts_max) {
    book *b = calloc(1, sizeof *b);
    ASSERT(b != NULL);
    b->id = id;
    // The cache is trimmed between transactions, so it may pass its size by what one transaction can name.
    const size_t accounts_max = cache_accounts_max + JOURNAL_ACCOUNTS_MAX;
    b->accounts = map_create(CACHE_EXPECTED, accounts_max);
    b->memory = arena_create(accounts_max * CACHE_BYTES_AN_ACCOUNT);
    return b;
}

void book_destroy(book *b) {
    if (b != NULL) {
        ASSERT(b->n_requests == 0);
        map_destroy(b->accounts);
        arena_destroy(b->memory);
        free(b);
    }
}

void book_cache_drop(book *b) {
    map_clear(b->accounts);
    arena_reset(b->memory);
    b->warm = false;
}

ledger_account *book_cache_put(book *b, const ledger_account *account) {
    ledger_account *copy = arena_alloc(b->memory, sizeof *copy);
    if (copy == NULL) {
        return NULL;
    }
    *copy = *account;
    copy->touched = 0;
    // Their memory is the transaction's; the digests stay.
    copy->external_reference = (str){0};
    copy->metadata = (str){0};
    return map_put(b->accounts, copy->id, copy) ? copy : NULL;
}
