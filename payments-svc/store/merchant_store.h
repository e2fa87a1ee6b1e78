// Merchants: rows that never change, kept in memory once read; and their default connections, which do change, and are read anew when
// they were read too long ago.
#ifndef STORE_MERCHANT_STORE_H
#define STORE_MERCHANT_STORE_H

#include "db/db.h"

typedef struct merchant {
    char id[65];
    char name[201];
    char currencies[80]; // sorted, comma-separated
    int64_t book_id;
    int64_t created_us;
} merchant;

// Rails of which a merchant may have a default connection, and how old what is known of them may be where a payout is taken in. Their
// changes are kept for ever, so a rail has no more than that many within a day.
enum {
    MERCHANT_DEFAULTS_MAX = 16, // as merchant_get and merchant_list
    MERCHANT_DEFAULTS_FRESH_MS = 5000,
    MERCHANT_CHANGES_MAX = 100
};

// The connections that carry payouts which name only a rail: one a rail, sorted by rail.
typedef struct merchant_defaults {
    struct {
        int rail;       // payments.v1.Rail
        int connection; // number; 0, in a change: none any more
    } of[MERCHANT_DEFAULTS_MAX];
    size_t n;
} merchant_defaults;

typedef struct merchant_listed {
    merchant m;
    merchant_defaults defaults;
} merchant_listed;

typedef struct merchant_store merchant_store;

// intake: for what the payouts that come in need; pool: for all else. Those who only read hold nothing up that comes in. @borrows both.
merchant_store *merchant_store_create(db_pool *pool, db_pool *intake);
void merchant_store_destroy(merchant_store *s);
// NULL with NOT_FOUND (reason MERCHANT_NOT_FOUND), or another error. @borrowed: lives as long as the store. Thread-safe.
const merchant *merchant_find(merchant_store *s, str merchant_id, int64_t deadline_mono_ms, err *e);
// Inserts, with the default connections that it begins with; ALREADY_EXISTS when the id is taken (another instance was faster).
bool merchant_insert(merchant_store *s, const merchant *m, const merchant_defaults *first,
                     str actor, int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;
// Ordered by id, those after `after`. @arena
bool merchant_list(merchant_store *s, str after, int64_t limit, int64_t deadline_mono_ms, arena *a,
                   merchant_listed **out, size_t *n, err *e) WARN_UNUSED;

// The default connections of a merchant of this store as they are now. Thread-safe.
bool merchant_defaults_find(merchant_store *s, const merchant *m, int64_t deadline_mono_ms,
                            merchant_defaults *out, err *e) WARN_UNUSED;
// As they were MERCHANT_DEFAULTS_FRESH_MS ago or later. When they cannot be read within a second, as they were when they last could be:
// that a merchant's choice cannot be read is no reason to pay for none. Thread-safe.
void merchant_defaults_known(merchant_store *s, const merchant *m, int64_t deadline_mono_ms,
                             merchant_defaults *out);
// Those that it was made with.
bool merchant_defaults_first(merchant_store *s, const merchant *m, int64_t deadline_mono_ms,
                             merchant_defaults *out, err *e) WARN_UNUSED;
// Rails that changes does not name stay as they are; what is so already writes nothing. ABORTED, reason MERCHANT_CHANGED, when another
// call was faster; RESOURCE_EXHAUSTED, reason TOO_MANY_CHANGES, when a rail has had MERCHANT_CHANGES_MAX within a day.
bool merchant_defaults_change(merchant_store *s, const merchant *m,
                              const merchant_defaults *changes, str actor, int64_t now_us,
                              int64_t deadline_mono_ms, err *e) WARN_UNUSED;
// The number of the rail's; 0: it has none.
int merchant_default_of(const merchant_defaults *d, int rail);

#endif
