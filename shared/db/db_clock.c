// The database's clock, carried by the monotonic clock: the common time of all processes on a database.
//
// A reading proves that the database's time lay between two moments of ours. So the difference is known to within the round trip. The
// anchor moves only as far as a reading forces it to: slow answers do not make it waver.
#include "db_internal.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/ticker.h"

enum { READ_TIMEOUT_MS = 2000, READ_BYTES_MAX = 64 * 1024 };

static const db_stmt READ_CLOCK = {"db_clock", "SELECT clock_timestamp()"};

struct db_clock {
    db_pool *pool;
    arena *a; // for the ticker, after the first reading
    ticker *ticker;
    _Atomic bool anchored;
    _Atomic int64_t offset_us;
};

typedef struct reading {
    int64_t sent_us, answered_us, database_us;
} reading;

static bool read_clock(db_conn *c, arena *a, void *arg, err *e) {
    reading *r = arg;
    db_rows *rows = NULL;
    r->sent_us = clock_mono_us(clock_system());
    if (!db_exec(c, &READ_CLOCK, NULL, a, &rows, NULL, e)) {
        return false;
    }
    r->answered_us = clock_mono_us(clock_system());
    r->database_us = db_get_time(rows, 0, 0);
    return true;
}

int64_t db_clock_offset(int64_t offset_us, bool known, int64_t sent_us, int64_t answered_us,
                        int64_t database_us) {
    const int64_t least = database_us - answered_us, most = database_us - sent_us;
    if (!known) {
        return least + (most - least) / 2;
    }
    return offset_us < least ? least : offset_us > most ? most : offset_us;
}

static bool read_once(db_clock *c, err *e) {
    reading r;
    const bool ok = db_read(c->pool, db_now_ms() + READ_TIMEOUT_MS, c->a, read_clock, &r, e);
    arena_reset(c->a);
    if (ok) {
        const int64_t offset_us =
            db_clock_offset(atomic_load(&c->offset_us), atomic_load(&c->anchored), r.sent_us,
                            r.answered_us, r.database_us);
        atomic_store(&c->offset_us, offset_us);
        atomic_store(&c->anchored, true);
        clock_anchor(offset_us);
    }
    return ok;
}

static void read_again(void *arg) {
    err e = {0};
    if (!read_once(arg, &e)) {
        log_err(LOG_DEBUG, "db.clock_not_read", &e); // others report that the database is away
    }
}

static int64_t gap_seconds(void *arg) {
    return db_clock_gap_us(arg) / 1000000;
}

db_clock *db_clock_start(db_pool *p, int64_t every_ms) {
    db_clock *c = calloc(1, sizeof *c);
    ASSERT(c != NULL);
    c->pool = p;
    c->a = arena_create(READ_BYTES_MAX);
    read_again(c); // before anyone uses the time
    c->ticker = ticker_start(every_ms, read_again, c);
    ASSERT(c->ticker != NULL);
    metric_gauge_fn("clock_ahead_of_database_seconds", "",
                    "The machine's clock minus the database's; 0 while it was never read.",
                    gap_seconds, c);
    return c;
}

int64_t db_clock_gap_us(const db_clock *c) {
    return !atomic_load(&c->anchored)
               ? 0
               : clock_wall_us(clock_machine()) -
                     (clock_mono_us(clock_machine()) + atomic_load(&c->offset_us));
}

void db_clock_stop(db_clock *c) {
    if (c == NULL) {
        return;
    }
    metric_gauge_fn("clock_ahead_of_database_seconds", "", "", NULL, NULL);
    ticker_stop(c->ticker);
    arena_destroy(c->a);
    free(c);
}
