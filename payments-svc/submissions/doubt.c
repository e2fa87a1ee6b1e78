// Submissions that count as never taken, yet of which the bank speaks.
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "domain/machine.h"
#include "events/events.h"
#include "submissions/submissions_internal.h"
#include "submissions/submissions_sql.h"

typedef struct locked {
    submission_state state;
    int64_t total;
    char currency[4];
} locked;

static bool lock_it(db_conn *c, int64_t book_id, uuid id, locked *out, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, id);
    *out = (locked){.state = SUBMISSION_WITHDRAWN};
    if (!db_exec(c, submissions_sql(SUBM_SQL_LOCK), p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) != 1) {
        return err_set(e, ERR_NOT_FOUND, "SUBMISSION_NOT_FOUND", "there is no such submission");
    }
    const str currency = db_get_str(rows, 0, 5);
    out->state = (submission_state)db_get_i16(rows, 0, 0);
    out->total = db_get_i64(rows, 0, 4);
    memcpy(out->currency, currency.ptr, currency.len < 3 ? currency.len : 3);
    return true;
}

// Stops a submission, unless it has begun to leave.
static bool stop_one(db_conn *c, int64_t book_id, uuid id, arena *a, err *e) {
    static const char TEXT[] = "The bank speaks of an earlier submission of its payouts as taken. "
                               "Nothing of this one is sent before a person has decided.";
    locked it;
    subm_claimed found = {0};
    if (!lock_it(c, book_id, id, &it, a, e) || !subm_evidence_read(c, book_id, id, &found, a, e)) {
        return false;
    }
    if (it.state != SUBMISSION_PREPARED || found.known.at_risk > 0 || found.known.finished) {
        return true;
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, id);
    db_i16(p, SUBMISSION_DISPUTED);
    db_text(p, STR(SUBM_EARLIER_TAKEN));
    db_text(p, STR(""));
    return db_exec(c, submissions_sql(SUBM_SQL_DECIDE), p, a, NULL, NULL, e) &&
           subm_case_open(c, book_id, id, "SUBMISSION_UNKNOWN", STR(SUBM_EARLIER_TAKEN),
                          str_of(TEXT), it.total, it.currency, clock_wall_us(clock_system()), a, e);
}

// An event with a given tag is told once. So the tag counts the refusals so far, by the bank or by a person. A person's decision counts as
// a refusal, so that the bank may insist.
static bool tell(db_conn *c, int64_t book_id, uuid id, bool taken, str text, arena *a, err *e) {
    subm_claimed found = {0};
    char tag[32];
    size_t n = 0;
    if (!subm_evidence_read(c, book_id, id, &found, a, e)) {
        return false;
    }
    (void)snprintf(tag, sizeof tag, "%s/%d", taken ? "after-all" : "not-after-all",
                   (int)found.known.refusals);
    const subm_said said = {.kind = taken ? RAIL_EVENT_ACCEPTED : RAIL_EVENT_NOT_TAKEN,
                            .tag = tag,
                            .code =
                                taken ? STR(SAGA_TAKEN_AFTER_ALL) : STR(SAGA_NOT_TAKEN_AFTER_ALL),
                            .text = text,
                            .at_us = clock_wall_us(clock_system()),
                            .source = RAIL_SOURCE_SUBMISSION,
                            .not_told = taken,
                            .told = !taken};
    return subm_events_record(c, book_id, id, &said, &n, a, e);
}

bool subm_not_after_all(db_conn *c, int64_t book_id, uuid id, str text, arena *a, err *e) {
    return tell(c, book_id, id, false, text, a, e);
}

bool subm_stop_rebuilt(db_conn *c, int64_t book_id, uuid id, str text, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, id);
    if (!db_exec(c, submissions_sql(SUBM_SQL_REBUILT), p, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        if (!stop_one(c, book_id, db_get_uuid(rows, i, 0), a, e)) {
            return false;
        }
    }
    return tell(c, book_id, id, true, text, a, e);
}

bool submission_moved(db_conn *c, int64_t book_id, uuid submission_id, str text, arena *a, err *e) {
    locked it;
    if (!lock_it(c, book_id, submission_id, &it, a, e)) {
        return false;
    }
    if (it.state != SUBMISSION_REJECTED && it.state != SUBMISSION_WITHDRAWN) {
        return true;
    }
    log_error("submission.moved_after_all", F_INT("book", book_id),
              F_STR("state", submission_state_name((int)it.state)));
    return subm_case_open(c, book_id, submission_id, "SUBMISSION_UNKNOWN", STR(SUBM_MOVED), text,
                          it.total, it.currency, clock_wall_us(clock_system()), a, e) &&
           subm_stop_rebuilt(c, book_id, submission_id, text, a, e);
}
