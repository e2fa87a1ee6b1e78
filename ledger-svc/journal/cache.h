// A book's cache between transactions: accounts, open pending transfers, burned ids. It saves the next transaction a read. All of it is as
// of one sequence of the book's journal. It is bounded: a forgotten object is read from the database when it is named again. The cache
// belongs to the thread that runs the book.
#ifndef JOURNAL_CACHE_H
#define JOURNAL_CACHE_H

#include "base/map.h"
#include "domain/apply.h"

enum { CACHE_PENDINGS = 32768, CACHE_BURNED_MAX = 65536 };

typedef struct cache_account {
    ledger_account account; // first: the posting rules know the slot by this
    bool used;              // since the hand last passed by
    bool taken;
} cache_account;

typedef struct cache {
    map *accounts; // id → ledger_account, the first part of a cache_account
    cache_account **blocks;
    size_t n_blocks, n_slots, hand;
    size_t *free_slots; // a stack
    size_t n_free, free_room;
    // Open pendings: a ring of the newest.
    map *pendings; // id → place in the ring, plus one
    ledger_row *ring;
    size_t ring_next;
    // Burned ids; all of the book's when burned_complete.
    map *burned;
    int64_t burned_until_us;
    bool burned_complete;
} cache;

// accounts_max: the most accounts the cache will ever hold, those of one transaction included.
void cache_init(cache *c, size_t accounts_max);
void cache_deinit(cache *c);
void cache_clear(cache *c);

// A copy of the account, without its texts. NULL when accounts_max is reached.
ledger_account *cache_put(cache *c, const ledger_account *account) WARN_UNUSED;
// Marks a cached account as used.
void cache_use(ledger_account *account);
// Forgets accounts, least used first, until at most n are left. Not during a transaction.
void cache_shrink(cache *c, size_t n);

// Folds committed rows in, of any instance: cached accounts get the balances after the rows, pendings open and end.
void cache_fold_accounts(cache *c, const ledger_row *rows, size_t n);
void cache_fold_pendings(cache *c, const ledger_row *rows, size_t n);
// NULL: the id is no open pending, or the cache does not remember it.
const ledger_row *cache_pending(const cache *c, uuid id);

// Adds a burned id, in order of time. Beyond CACHE_BURNED_MAX all are forgotten, and burned_complete becomes false.
void cache_burn(cache *c, uuid id, int64_t time_us);

#endif
