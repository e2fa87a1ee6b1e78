// Settles by the timetable: if the bank sends no word of settlement, the time settles. Items that came back before are left out. An item
// that comes back later is booked as a return.
#include "submissions/settle.h"

#include "base/crash.h"
#include "base/log.h"
#include "events/events.h"
#include "submissions/submissions_internal.h"
#include "submissions/submissions_sql.h"

enum { SETTLE_AT_ONCE = 20 }; // submissions per run; the next run takes the rest

static bool settle(db_conn *c, int64_t book_id, uuid id, int64_t now_us, arena *a, err *e) {
    // Without an amount: the whole amount, however often it is said. So the bank's own word does not count twice.
    const subm_said said = {.kind = RAIL_EVENT_SETTLED,
                            .tag = "timetable",
                            .text = STR("by the timetable: nobody said otherwise in time"),
                            .at_us = now_us,
                            .source = RAIL_SOURCE_TIMER,
                            .silent = true};
    size_t n = 0;
    int64_t ours = 0;
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, id);
    if (!db_exec(c, submissions_sql(SUBM_SQL_SETTLED), p, a, NULL, &ours, e) ||
        (ours > 0 && !subm_events_record(c, book_id, id, &said, &n, a, e))) {
        return false;
    }
    log_info("submission.settled", F_INT("book", book_id), F_INT("items", n));
    return true;
}

bool submission_settle_due(db_conn *c, int64_t now_us, arena *a, void *arg, err *e) {
    const guard *g = arg;
    if (g != NULL && !guard_may_send(g)) {
        return true;
    }
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, SETTLE_AT_ONCE);
    if (!db_exec(c, submissions_sql(SUBM_SQL_SETTLES), p, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        if (!settle(c, db_get_i64(rows, i, 0), db_get_uuid(rows, i, 1), now_us, a, e)) {
            return false;
        }
    }
    if (db_count(rows) > 0) {
        CRASH_POINT("submission.settled");
    }
    return true;
}
