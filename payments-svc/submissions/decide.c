#include "submissions/decide.h"

#include <stdio.h>

#include "events/events.h"
#include "submissions/submissions_internal.h"
#include "submissions/submissions_sql.h"

// --- Of a whole submission ---------------------------------------------------------------------------------------------

// how: the statement that locks the row, or only reads it.
static bool read_it(db_conn *c, submissions_sql_id how, int64_t book_id, uuid id,
                    submission_state *state, str *reason, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, id);
    if (!db_exec(c, submissions_sql(how), p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) != 1) {
        return err_set(e, ERR_NOT_FOUND, "SUBMISSION_NOT_FOUND", "there is no such submission");
    }
    *state = (submission_state)db_get_i16(rows, 0, 0);
    *reason = db_get_str(rows, 0, how == SUBM_SQL_LOCK ? 7 : 1);
    return true;
}

static bool write_it(db_conn *c, int64_t book_id, uuid id, const submission_decision *d,
                     bool accepted, arena *a, err *e) {
    const uuid nil = {{0}};
    char text[SUBM_DETAIL_MAX + 1];
    const str detail = subm_detail(text, d->actor, d->evidence);
    const char *code = d->bank_has_it ? "" : "BANK_HAS_IT_NOT";
    const subm_said said = {.kind = d->bank_has_it ? RAIL_EVENT_ACCEPTED : RAIL_EVENT_NOT_TAKEN,
                            .tag = d->bank_has_it ? "accepted" : "not-taken",
                            .code = str_of(code),
                            .text = d->bank_has_it ? STR("") : detail,
                            .at_us = d->now_us,
                            .source = RAIL_SOURCE_SUBMISSION,
                            .silent = !d->bank_has_it}; // items refused by name stay refused
    size_t n = 0;
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, id);
    db_i16(p, !d->bank_has_it ? SUBMISSION_REJECTED
              : accepted      ? SUBMISSION_ACKED
                              : SUBMISSION_SENT);
    db_text(p, str_of(code));
    db_text(p, detail);
    return (d->bank_has_it || subm_not_after_all(c, book_id, id, detail, a, e)) &&
           subm_evidence_add(c, book_id, id, d->bank_has_it ? EVIDENCE_SEEN : EVIDENCE_REFUSED, 0,
                             nil, nil, text, a, e) &&
           db_exec(c, submissions_sql(SUBM_SQL_DECIDE), p, a, NULL, NULL, e) &&
           subm_events_record(c, book_id, id, &said, &n, a, e) &&
           subm_cases_close(c, book_id, id, d->now_us, a, e);
}

// The submission counts as never taken already, and stays so. Payouts that were held because the bank spoke of it as taken may go on.
static bool confirm_it(db_conn *c, int64_t book_id, uuid id, const submission_decision *d, arena *a,
                       err *e) {
    const uuid nil = {{0}};
    char text[SUBM_DETAIL_MAX + 1];
    const str detail = subm_detail(text, d->actor, d->evidence);
    return d->bank_has_it || !d->contradicted ||
           (subm_not_after_all(c, book_id, id, detail, a, e) &&
            subm_evidence_add(c, book_id, id, EVIDENCE_REFUSED, 0, nil, nil, text, a, e));
}

bool submission_is_contradiction(str code) {
    return str_eq_c(code, SUBM_CONTRADICTS) || str_eq_c(code, SUBM_MOVED);
}

// "This one never left" is true whatever became of an earlier submission, and says nothing about it. So the earlier one is decided first.
static bool earlier_is_decided(db_conn *c, int64_t book_id, uuid id, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, id);
    return db_exec(c, submissions_sql(SUBM_SQL_EARLIER_OPEN), p, a, &rows, NULL, e) &&
           (db_count(rows) == 0 ||
            err_set(e, ERR_FAILED_PRECONDITION, "EARLIER_UNDECIDED",
                    "the bank may have an earlier submission of its payouts: decide about that "
                    "one's case first"));
}

typedef enum verdict { VERDICT_DONE, VERDICT_WRITE, VERDICT_NO } verdict;

// Whether a person may decide so. reason: the reason of the submission's state.
static verdict judge(submission_state state, str reason, const submission_evidence *known,
                     const submission_decision *d) {
    const bool heard = known->finished || known->accepted || known->items_heard;
    switch (state) {
    case SUBMISSION_SENT:
    case SUBMISSION_ACKED:
        return d->bank_has_it                           ? VERDICT_DONE
               : d->contradicted && !known->items_heard ? VERDICT_WRITE
                                                        : VERDICT_NO;
    case SUBMISSION_REJECTED:
        return d->bank_has_it                     ? d->contradicted ? VERDICT_WRITE : VERDICT_NO
               : str_eq_c(reason, SUBM_TOO_OFTEN) ? VERDICT_WRITE // its payouts still wait
                                                  : VERDICT_DONE;
    case SUBMISSION_WITHDRAWN:
        return !d->contradicted ? VERDICT_NO : d->bank_has_it ? VERDICT_WRITE : VERDICT_DONE;
    case SUBMISSION_UNKNOWN: return d->bank_has_it || !heard ? VERDICT_WRITE : VERDICT_NO;
    case SUBMISSION_DISPUTED:
        return d->bank_has_it || !known->items_heard ? VERDICT_WRITE : VERDICT_NO;
    case SUBMISSION_PREPARED:
    case SUBMISSION_SENDING: break;
    }
    return VERDICT_NO;
}

// Finds the verdict on a decision, and writes nothing. VERDICT_NO is an error.
static bool reach_verdict(db_conn *c, submissions_sql_id how, int64_t book_id, uuid id,
                          const submission_decision *d, verdict *out, bool *accepted, arena *a,
                          err *e) {
    submission_state state = SUBMISSION_WITHDRAWN;
    str reason = {0};
    subm_claimed found = {0};
    if (!read_it(c, how, book_id, id, &state, &reason, a, e) ||
        !subm_evidence_read(c, book_id, id, &found, a, e) ||
        !subm_items_heard(c, book_id, id, &found.known.items_heard, a, e)) {
        return false;
    }
    if (state == SUBMISSION_DISPUTED && !d->bank_has_it && str_eq_c(reason, SUBM_EARLIER_TAKEN) &&
        !earlier_is_decided(c, book_id, id, a, e)) {
        return false;
    }
    *out = judge(state, reason, &found.known, d);
    *accepted = found.known.accepted;
    if (*out != VERDICT_NO) {
        return true;
    }
    const bool heard = found.known.finished || found.known.accepted || found.known.items_heard;
    return err_set(e, ERR_FAILED_PRECONDITION, "SUBMISSION_NOT_UNKNOWN", "the submission is %s%s",
                   submission_state_name((int)state),
                   heard ? ", and the bank has spoken of it" : "");
}

bool submission_decide(db_conn *c, int64_t book_id, uuid id, const submission_decision *d, arena *a,
                       err *e) {
    verdict v = VERDICT_NO;
    bool accepted = false;
    if (!reach_verdict(c, SUBM_SQL_LOCK, book_id, id, d, &v, &accepted, a, e)) {
        return false;
    }
    return v == VERDICT_WRITE ? write_it(c, book_id, id, d, accepted, a, e)
                              : confirm_it(c, book_id, id, d, a, e);
}

bool submission_decide_look(db_conn *c, int64_t book_id, uuid id, const submission_decision *d,
                            arena *a, err *e) {
    verdict v = VERDICT_NO;
    bool accepted = false;
    return reach_verdict(c, SUBM_SQL_STANDING, book_id, id, d, &v, &accepted, a, e);
}

// --- Of one attempt ----------------------------------------------------------------------------------------------------

static bool undecided(err *e) {
    return err_set(e, ERR_FAILED_PRECONDITION, "SUBMISSION_UNDECIDED",
                   "its submission is leaving, or nobody knows whether it has left: decide about "
                   "that first");
}

// Takes an item out of a PREPARED submission.
static bool take_out(db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt, str why,
                     bool *gone, arena *a, err *e) {
    submission_removal removal = REMOVAL_ABSENT;
    if (!submission_take_out(c, book_id, payout_id, attempt, why, &removal, a, e)) {
        return false;
    }
    *gone = removal != REMOVAL_TOO_LATE; // ABSENT: withdrawn or rejected meanwhile
    return *gone || undecided(e);
}

static bool may_take_out(db_conn *c, int64_t book_id, uuid id, bool *gone, arena *a, err *e) {
    subm_claimed found = {0};
    if (!subm_evidence_read(c, book_id, id, &found, a, e)) {
        return false;
    }
    *gone = subm_may_withdraw(&found.known);
    return *gone || undecided(e);
}

// why NULL: looks only.
static bool way(db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt, const str *why,
                bool *gone, arena *a, err *e) {
    submission_place place = {0};
    *gone = false;
    if (!submission_places(c, book_id, &payout_id, &attempt, 1, &place, a, e)) {
        return false;
    }
    if (!place.known) {
        return true;
    }
    switch (place.state) {
    case SUBMISSION_REJECTED:
    case SUBMISSION_WITHDRAWN: *gone = true; return true;
    case SUBMISSION_PREPARED:
        return why == NULL ? may_take_out(c, book_id, place.submission_id, gone, a, e)
                           : take_out(c, book_id, payout_id, attempt, *why, gone, a, e);
    case SUBMISSION_SENDING:
    case SUBMISSION_UNKNOWN:
    case SUBMISSION_DISPUTED: return undecided(e);
    case SUBMISSION_SENT:
    case SUBMISSION_ACKED: break;
    }
    return true;
}

bool submission_make_way(db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt, str why,
                         bool *gone, arena *a, err *e) {
    return way(c, book_id, payout_id, attempt, &why, gone, a, e);
}

bool submission_way_look(db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt, bool *gone,
                         arena *a, err *e) {
    return way(c, book_id, payout_id, attempt, NULL, gone, a, e);
}
