#include "journal/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { BLOCK_ACCOUNTS = 1024, EXPECTED = 64 };

void cache_init(cache *c, size_t accounts_max) {
    *c = (cache){0};
    c->accounts = map_create(EXPECTED, accounts_max);
    c->pendings = map_create(EXPECTED, CACHE_PENDINGS);
    c->burned = map_create(0, CACHE_BURNED_MAX + 4 * LEDGER_BATCH_MAX);
}

void cache_deinit(cache *c) {
    for (size_t i = 0; i < c->n_blocks; i++) {
        free(c->blocks[i]);
    }
    free(c->blocks);
    free(c->free_slots);
    free(c->ring);
    map_destroy(c->accounts);
    map_destroy(c->pendings);
    map_destroy(c->burned);
}

static cache_account *slot_at(const cache *c, size_t slot) {
    return &c->blocks[slot / BLOCK_ACCOUNTS][slot % BLOCK_ACCOUNTS];
}

static void slot_free(cache *c, size_t slot) {
    ASSERT(c->n_free < c->free_room);
    slot_at(c, slot)->taken = false;
    c->free_slots[c->n_free++] = slot;
}

// Adds one block of free slots. The memory is freed with the book.
static void block_add(cache *c) {
    const size_t n = c->n_blocks + 1;
    c->blocks = realloc(c->blocks, n * sizeof *c->blocks);
    c->free_slots = realloc(c->free_slots, n * BLOCK_ACCOUNTS * sizeof *c->free_slots);
    ASSERT(c->blocks != NULL && c->free_slots != NULL);
    c->blocks[c->n_blocks] = calloc(BLOCK_ACCOUNTS, sizeof **c->blocks);
    ASSERT(c->blocks[c->n_blocks] != NULL);
    c->free_room = n * BLOCK_ACCOUNTS;
    c->n_blocks = n;
    for (size_t i = 0; i < BLOCK_ACCOUNTS; i++) {
        slot_free(c, c->n_slots++);
    }
}

void cache_clear(cache *c) {
    map_clear(c->accounts);
    c->n_free = 0;
    for (size_t slot = 0; slot < c->n_slots; slot++) {
        slot_free(c, slot);
    }
    map_clear(c->pendings);
    map_clear(c->burned);
    c->burned_until_us = 0;
    c->burned_complete = false;
}

// --- Accounts --------------------------------------------------------------------------------------------------------

ledger_account *cache_put(cache *c, const ledger_account *account) {
    if (c->n_free == 0) {
        block_add(c);
    }
    cache_account *slot = slot_at(c, c->free_slots[c->n_free - 1]);
    if (!map_put(c->accounts, account->id, &slot->account)) {
        return NULL;
    }
    c->n_free--;
    *slot = (cache_account){.account = *account, .used = true, .taken = true};
    slot->account.touched = 0;
    // The texts lie in the transaction's memory; the digests stay.
    slot->account.external_reference = (str){0};
    slot->account.metadata = (str){0};
    return &slot->account;
}

void cache_use(ledger_account *account) {
    ((cache_account *)account)->used = true;
}

// A clock: the hand passes over the accounts, clears the mark of each used account, and forgets each unmarked one.
void cache_shrink(cache *c, size_t n) {
    while (map_count(c->accounts) > n) {
        c->hand = (c->hand + 1) % c->n_slots;
        cache_account *slot = slot_at(c, c->hand);
        if (slot->taken && !slot->used) {
            MUST(map_remove(c->accounts, slot->account.id) == slot);
            slot_free(c, c->hand);
        }
        slot->used = false;
    }
}

static void account_fold(const cache *c, uuid id, const ledger_balances *after, uint32_t state) {
    ledger_account *account = map_get(c->accounts, id);
    if (account != NULL) {
        account->balances = *after;
        account->state = state;
    }
}

void cache_fold_accounts(cache *c, const ledger_row *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        account_fold(c, rows[i].debit_account_id, &rows[i].debit_after, rows[i].debit_state_after);
        account_fold(c, rows[i].credit_account_id, &rows[i].credit_after,
                     rows[i].credit_state_after);
    }
}

// --- Pendings --------------------------------------------------------------------------------------------------------

static void pending_forget(cache *c, uuid id) {
    const uintptr_t place = (uintptr_t)map_remove(c->pendings, id);
    if (place != 0) {
        c->ring[place - 1].id = (uuid){{0}};
    }
}

static void pending_remember(cache *c, const ledger_row *row) {
    if (c->ring == NULL) {
        c->ring = calloc(CACHE_PENDINGS, sizeof *c->ring); // touched as it is used
        ASSERT(c->ring != NULL);
    }
    ledger_row *place = &c->ring[c->ring_next];
    if (!uuid_is_nil(place->id)) {
        (void)map_remove(c->pendings, place->id);
    }
    *place = *row;
    place->debit = place->credit = NULL;
    place->pending = place->reversed = place->reversal = NULL;
    place->resolution = LEDGER_KIND_NONE;
    c->ring_next = (c->ring_next + 1) % CACHE_PENDINGS;
    MUST(map_put(c->pendings, row->id, // a number, not an address
                 (void *)(uintptr_t)(place - c->ring + 1)));
}

void cache_fold_pendings(cache *c, const ledger_row *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const ledger_row *row = &rows[i];
        // A row with texts is not remembered: the cache does not own the texts.
        if (row->kind == LEDGER_KIND_PENDING && row->external_reference.len == 0 &&
            row->metadata.len == 0) {
            pending_remember(c, row);
        } else if (!uuid_is_nil(row->pending_id)) {
            pending_forget(c, row->pending_id);
        }
    }
}

const ledger_row *cache_pending(const cache *c, uuid id) {
    if (map_count(c->pendings) == 0) {
        return NULL;
    }
    const uintptr_t place = (uintptr_t)map_get(c->pendings, id);
    return place == 0 ? NULL : &c->ring[place - 1];
}

// --- Burned ids ------------------------------------------------------------------------------------------------------

void cache_burn(cache *c, uuid id, int64_t time_us) {
    MUST(map_put(c->burned, id, c->burned)); // any address
    c->burned_until_us = time_us;
    if (map_count(c->burned) > CACHE_BURNED_MAX) {
        map_clear(c->burned);
        c->burned_until_us = 0;
        c->burned_complete = false;
    }
}
