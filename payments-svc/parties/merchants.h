// Merchants: rows that never change, kept in memory once read. Their default connections do change, and are read again when they are too
// old.
#ifndef PARTIES_MERCHANTS_H
#define PARTIES_MERCHANTS_H

#include "authz/actor.h"
#include "db/db.h"

typedef struct merchant {
    char id[65];
    char name[201];
    char currencies[80]; // sorted, comma-separated
    int64_t book_id;
    int64_t created_us;
} merchant;

// Limits of default connections: how many rails have one, and how old they may be at the intake of a payout. Changes are kept for ever, so
// a rail may have only so many within a day.
enum {
    MERCHANT_DEFAULTS_MAX = 16, // as merchant_get and merchant_list
    MERCHANT_DEFAULTS_FRESH_MS = 5000,
    MERCHANT_CHANGES_MAX = 100
};

// The connections of payouts that name only a rail: at most one per rail, sorted by rail.
typedef struct merchant_defaults {
    struct {
        int rail;       // payments.v1.Rail
        int connection; // number; in a change, 0 removes the default
    } of[MERCHANT_DEFAULTS_MAX];
    size_t n;
} merchant_defaults;

typedef struct merchant_listed {
    merchant m;
    merchant_defaults defaults;
} merchant_listed;

// Called in the transaction that wrote the merchant, before its end: what else is to be written with it.
typedef bool (*merchant_written)(db_conn *c, const merchant *m, const actor_info *by,
                                 int64_t now_us, arena *a, err *e);

typedef struct merchant_store merchant_store;

// intake: the pool for incoming payouts; pool: for all else, so that mere readers never delay payouts. @borrows both.
merchant_store *merchant_store_create(db_pool *pool, db_pool *intake);
void merchant_store_destroy(merchant_store *s);
// NULL with NOT_FOUND (reason MERCHANT_NOT_FOUND) or another error. @borrowed: lives as long as the store. Thread-safe.
const merchant *merchant_find(merchant_store *s, str merchant_id, int64_t deadline_mono_ms, err *e);
// Inserts a merchant with its first default connections. ALREADY_EXISTS when the id is taken (another instance was faster).
bool merchant_insert(merchant_store *s, const merchant *m, const merchant_defaults *first,
                     const actor_info *by, merchant_written also, int64_t deadline_mono_ms,
                     arena *a, err *e) WARN_UNUSED;
// The merchants after `after`, ordered by id. @arena
bool merchant_list(merchant_store *s, str after, int64_t limit, int64_t deadline_mono_ms, arena *a,
                   merchant_listed **out, size_t *n, err *e) WARN_UNUSED;

// The present default connections of a merchant of this store. Thread-safe.
bool merchant_defaults_find(merchant_store *s, const merchant *m, int64_t deadline_mono_ms,
                            merchant_defaults *out, err *e) WARN_UNUSED;
// The default connections, at most MERCHANT_DEFAULTS_FRESH_MS old. If reading takes over a second, the last known ones: an unreadable
// choice of one merchant is no reason to stop its payouts. Thread-safe.
void merchant_defaults_known(merchant_store *s, const merchant *m, int64_t deadline_mono_ms,
                             merchant_defaults *out);
// The default connections at the merchant's creation.
bool merchant_defaults_first(merchant_store *s, const merchant *m, int64_t deadline_mono_ms,
                             merchant_defaults *out, err *e) WARN_UNUSED;
// Rails that `changes` does not name stay unchanged; a change to the present value writes nothing. ABORTED, reason MERCHANT_CHANGED, when
// another call was faster. RESOURCE_EXHAUSTED, reason TOO_MANY_CHANGES, when a rail has had MERCHANT_CHANGES_MAX within a day.
bool merchant_defaults_change(merchant_store *s, const merchant *m,
                              const merchant_defaults *changes, const actor_info *by,
                              merchant_written also, int64_t now_us, int64_t deadline_mono_ms,
                              err *e) WARN_UNUSED;
// The rail's connection number; 0: no default.
int merchant_default_of(const merchant_defaults *d, int rail);
// Whether a book has a merchant. Within a transaction or db_read.
bool book_has_merchant(db_conn *c, int64_t book_id, bool *has, arena *a, err *e) WARN_UNUSED;

#endif
