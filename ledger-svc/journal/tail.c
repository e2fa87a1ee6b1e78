#include "journal/tail.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/map.h"

typedef struct tail_entry {
    uint32_t offset; // its sequence minus the checkpoint's
    uint32_t older;  // place of the same account's previous entry, plus one
} tail_entry;

struct tail {
    size_t rows_max;
    int64_t checkpoint, sequence, since_us;
    map *places; // account id → place in accounts, plus one
    tail_account *accounts;
    size_t n_accounts, accounts_room;
    tail_entry *entries;
    size_t n_entries, entries_room;
};

enum { ROOM_FIRST = 64, SIDES = 2 };

tail *tail_create(size_t rows_max) {
    ASSERT(rows_max > 0 && rows_max < UINT32_MAX / SIDES);
    tail *t = calloc(1, sizeof *t);
    ASSERT(t != NULL);
    t->rows_max = rows_max;
    t->places = map_create(ROOM_FIRST, SIDES * rows_max);
    tail_restart(t, 0);
    return t;
}

void tail_destroy(tail *t) {
    if (t != NULL) {
        map_destroy(t->places);
        free(t->accounts);
        free(t->entries);
        free(t);
    }
}

void tail_restart(tail *t, int64_t checkpoint_sequence) {
    map_clear(t->places);
    t->n_accounts = 0;
    t->n_entries = 0;
    t->checkpoint = checkpoint_sequence;
    t->sequence = checkpoint_sequence;
    t->since_us = INT64_MAX;
}

int64_t tail_checkpoint(const tail *t) {
    return t->checkpoint;
}

int64_t tail_sequence(const tail *t) {
    return t->sequence;
}

int64_t tail_since_us(const tail *t) {
    return t->since_us;
}

// An array with room for one more.
static void *grown(void *array, size_t n, size_t *room, size_t size) {
    if (n < *room) {
        return array;
    }
    *room = *room == 0 ? ROOM_FIRST : 2 * *room;
    array = realloc(array, *room * size);
    ASSERT(array != NULL);
    return array;
}

static tail_account *account_of(tail *t, uuid id, ledger_currency currency,
                                const ledger_balances *before) {
    const uintptr_t place = (uintptr_t)map_get(t->places, id);
    if (place != 0) {
        return &t->accounts[place - 1];
    }
    t->accounts = grown(t->accounts, t->n_accounts, &t->accounts_room, sizeof *t->accounts);
    tail_account *account = &t->accounts[t->n_accounts++];
    *account = (tail_account){.id = id, .currency = currency, .before = *before, .after = *before};
    MUST(map_put(t->places, id, (void *)(uintptr_t)t->n_accounts)); // a number, not an address
    return account;
}

static void entry_add(tail *t, uuid id, const ledger_row *row, const ledger_balances *before,
                      const ledger_balances *after, uint32_t state) {
    tail_account *account = account_of(t, id, row->currency, before);
    // A row's balances before must equal the previous row's balances after.
    ASSERT(memcmp(&account->after, before, sizeof *before) == 0);
    t->entries = grown(t->entries, t->n_entries, &t->entries_room, sizeof *t->entries);
    t->entries[t->n_entries++] =
        (tail_entry){(uint32_t)(row->sequence - t->checkpoint), account->newest};
    account->newest = (uint32_t)t->n_entries;
    account->n_entries++;
    account->after = *after;
    account->state = state;
}

void tail_fold(tail *t, const ledger_row *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const ledger_row *row = &rows[i];
        if (row->sequence != t->sequence + 1) {
            continue;
        }
        ASSERT((size_t)(row->sequence - t->checkpoint) <= t->rows_max);
        const ledger_effect effect = ledger_row_effect(row);
        ledger_balances debit_before = row->debit_after;
        debit_before.debits_pending -= effect.pending;
        debit_before.debits_posted -= effect.posted;
        ledger_balances credit_before = row->credit_after;
        credit_before.credits_pending -= effect.pending;
        credit_before.credits_posted -= effect.posted;
        entry_add(t, row->debit_account_id, row, &debit_before, &row->debit_after,
                  row->debit_state_after);
        entry_add(t, row->credit_account_id, row, &credit_before, &row->credit_after,
                  row->credit_state_after);
        t->sequence = row->sequence;
        t->since_us = t->since_us < row->timestamp_us ? t->since_us : row->timestamp_us;
    }
}

const tail_account *tail_find(const tail *t, uuid account_id) {
    const uintptr_t place = (uintptr_t)map_get(t->places, account_id);
    return place == 0 ? NULL : &t->accounts[place - 1];
}

size_t tail_n_accounts(const tail *t) {
    return t->n_accounts;
}

const tail_account *tail_account_at(const tail *t, size_t index) {
    ASSERT(index < t->n_accounts);
    return &t->accounts[index];
}

bool tail_next_older(const tail *t, uint32_t *entry, int64_t *sequence) {
    if (*entry == 0) {
        return false;
    }
    const tail_entry *found = &t->entries[*entry - 1];
    *sequence = t->checkpoint + found->offset;
    *entry = found->older;
    return true;
}
