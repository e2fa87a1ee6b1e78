// The conditions under which payments-svc takes up work that may move money:
//
// - its machine's clock is less than a day away from the database's. With a worse clock, certificates, signatures and files have a
//   wrong date, whatever time the service itself uses. Until then nothing is claimed.
// - the database is the same as before. After a failover or a restore it may have forgotten what a bank has. Until every open payout
//   and submission is compared with its bank by our own keys (recovery mode), nothing is sent.
#ifndef GUARD_GUARD_H
#define GUARD_GUARD_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/config.h"
#include "base/err.h"
#include "base/str.h"
#include "db/db.h"

typedef struct guard guard;

// The engine's name in the health service (grpc.health.v1). It is not serving while nothing may be claimed, or nothing sent.
#define GUARD_HEALTH_NAME "payments.engine"

typedef struct guard_settings {
    // A file beside the service that remembers the database's log position, so that a restore without a new timeline is noticed. "": no
    // file.
    const char *state_file;
    // Not "": ends a recovery by force. Its id, a blank, and the reason for which a person answers. It ends no other recovery.
    const char *force_end;
} guard_settings;
extern const config_part GUARD_SETTINGS;

typedef struct guard_options {
    db_pool *pool;
    guard_settings settings;
} guard_options;

// Reads the database's clock and gives the process its time (db_clock); learns which database it is. Refuses a machine whose clock is more
// than a day away: FAILED_PRECONDITION, CLOCK_JUMP. An absent database is no error: then nothing may be sent until the first look. @borrows
// the options until guard_stop. One in a process.
guard *guard_start(const guard_options *o, err *e);
void guard_stop(guard *g); // accepts NULL

// A part of the service that compares its rows with a bank.
typedef struct guard_part {
    const char *name; // static
    void *arg;
    // In the transaction that begins a recovery: marks all open rows for comparison.
    bool (*begin)(void *arg, db_conn *c, arena *a, err *e);
    // *n: rows not compared yet. Called again and again during a recovery.
    bool (*left)(void *arg, db_conn *c, arena *a, int64_t *n, err *e);
} guard_part;
enum { GUARD_PARTS_MAX = 4, GUARD_ID_LEN = 8, GUARD_TEXT_MAX = 200 };

// The state of a recovery, as this process saw it last.
typedef struct guard_status {
    bool recovering;
    char id[GUARD_ID_LEN + 1];     // of the last recovery; "": there was none
    char why[GUARD_TEXT_MAX];      // the reason of its beginning
    char ended_by[GUARD_TEXT_MAX]; // the reason of the person who ended it by force; "" otherwise
    int64_t since_us, ended_us;    // 0: none
    struct {
        const char *name; // static
        int64_t left;     // to be compared
    } parts[GUARD_PARTS_MAX];
    size_t n_parts;
} guard_status;
void guard_look(guard *g, guard_status *out); // any thread; never blocks for long
// Sets the parts, once, before anyone uses the guard; only with parts a recovery begins and ends. From then on a separate thread looks at
// the database. Call guard_unwatch when nobody uses the parts any more: afterwards none is called.
void guard_watch(guard *g, const guard_part *parts, size_t n);
void guard_unwatch(guard *g); // accepts NULL

// `changed` hears each change of guard_may_claim or guard_may_send, on the thread that notices it; serves: both hold. NULL: no listener;
// returns when no call is running any more.
void guard_tell(guard *g, void (*changed)(void *arg, bool serves), void *arg);

// May work be taken up now? Cheap; any thread. Changes are logged and told.
bool guard_may_claim(guard *g);
// May anything be sent to a bank now? False in recovery mode, and until the database is known to be the same as before.
bool guard_may_send(const guard *g);
// Takes the timeline of a session's server: the first eight characters of pg_walfile_name(pg_current_wal_insert_lsn()). False when the
// guard knows another timeline. Then nothing may be sent from that moment on, and the guard looks at once.
bool guard_same_timeline(guard *g, str timeline);

#endif
