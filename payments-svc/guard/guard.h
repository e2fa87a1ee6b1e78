// What must hold before payments-svc takes up work that may move money:
//
// - its machine's clock is not a day or more away from the database's. A clock like that makes certificates, signatures and files of a
//   wrong date, whatever time the service itself goes by. Until then nothing is claimed.
// - the database is the one that it was. After a failover or a restore it may have forgotten what a bank has: until every open payout
//   and submission was compared with its bank by our own keys (recovery mode), nothing is sent.
#ifndef GUARD_GUARD_H
#define GUARD_GUARD_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "db/db.h"

typedef struct guard guard;

// The name of the engine in the health service (grpc.health.v1): not serving while nothing may be claimed, or nothing sent.
#define GUARD_HEALTH_NAME "payments.engine"

typedef struct guard_options {
    db_pool *pool;
    // A file beside the service that remembers how far the database was: a restore that makes no new timeline is noticed by it.
    // "" for none.
    const char *state_file;
    // Not "": ends a recovery by force: its id, a blank, and the reason with which a person answers for it. It ends no other recovery.
    const char *force_end;
} guard_options;

// Reads the database's clock and gives the process its time (db_clock); looks which database it is. Refuses a machine whose clock is more
// than a day away: FAILED_PRECONDITION, CLOCK_JUMP. A database that is not there yet is no error: then nothing may be sent until it was
// looked at. @borrows the options until guard_stop. One in a process.
guard *guard_start(const guard_options *o, err *e);
void guard_stop(guard *g); // accepts NULL

// A part of the service that has something to compare with a bank.
typedef struct guard_part {
    const char *name; // static
    void *arg;
    // In the transaction that begins a recovery: all that is open is to be compared.
    bool (*begin)(void *arg, db_conn *c, arena *a, err *e);
    // How many are not compared yet. Called again and again while a recovery lasts.
    bool (*left)(void *arg, db_conn *c, arena *a, int64_t *n, err *e);
} guard_part;
enum { GUARD_PARTS_MAX = 4, GUARD_ID_LEN = 8, GUARD_TEXT_MAX = 200 };

// How a recovery stands, as this process saw it last.
typedef struct guard_status {
    bool recovering;
    char id[GUARD_ID_LEN + 1];     // of the last recovery; "": there was none
    char why[GUARD_TEXT_MAX];      // it was begun
    char ended_by[GUARD_TEXT_MAX]; // the reason of the person who ended it by force; "" otherwise
    int64_t since_us, ended_us;    // 0: none
    struct {
        const char *name; // static
        int64_t left;     // to be compared
    } parts[GUARD_PARTS_MAX];
    size_t n_parts;
} guard_status;
void guard_look(guard *g, guard_status *out); // any thread; never blocks for long
// The parts, once, and before anybody else uses the guard; only then a recovery begins and ends. Looks at the database from then on, in a
// thread of its own. guard_unwatch, when nobody uses it any more: after that no part is called.
void guard_watch(guard *g, const guard_part *parts, size_t n);
void guard_unwatch(guard *g); // accepts NULL

// Told of each change of guard_may_claim or guard_may_send, on the thread that noticed it: whether both hold. NULL: nobody; returns when
// nobody is being told any more.
void guard_tell(guard *g, void (*changed)(void *arg, bool serves), void *arg);

// May work be taken up now? Cheap; any thread. A change is logged, and told.
bool guard_may_claim(guard *g);
// May anything be sent to a bank now? False while it is not known that the database is the one it was, and in recovery mode.
bool guard_may_send(const guard *g);
// The timeline of a session's server, as the first eight characters of pg_walfile_name(pg_current_wal_insert_lsn()) have it: false when it
// is not the one that the guard knows. Then nothing may be sent from that moment on, and the guard looks at once.
bool guard_same_timeline(guard *g, str timeline);

#endif
