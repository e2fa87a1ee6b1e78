// The bank's word about a whole submission.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/crash.h"
#include "base/log.h"
#include "domain/machine.h"
#include "events/events.h"
#include "submissions/submissions_internal.h"
#include "submissions/submissions_sql.h"

enum { REASON_LEN_MAX = 160 };

typedef struct hearing {
    int64_t book_id;
    uuid id;
    const submission_ack_text *said;
    str reason; // cut to the length of a row
    submission_state state;
    int32_t generation;
    int64_t total;
    char currency[4];
    subm_claimed found; // the submission's evidence
} hearing;

// Locks the submission, and reads its state.
static bool lock_it(db_conn *c, hearing *h, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, h->book_id);
    db_uuid(p, h->id);
    if (!db_exec(c, submissions_sql(SUBM_SQL_LOCK), p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) != 1) {
        return err_set(e, ERR_NOT_FOUND, "SUBMISSION_NOT_FOUND", "there is no such submission");
    }
    const str currency = db_get_str(rows, 0, 5);
    h->state = (submission_state)db_get_i16(rows, 0, 0);
    h->generation = db_get_i32(rows, 0, 2);
    h->total = db_get_i64(rows, 0, 4);
    (void)snprintf(h->currency, sizeof h->currency, "%.*s", (int)currency.len, currency.ptr);
    // No earlier word about an item contradicts an acknowledgement that accepts the file.
    return subm_evidence_read(c, h->book_id, h->id, &h->found, a, e) &&
           (h->said->accepted ||
            subm_items_heard(c, h->book_id, h->id, &h->found.known.items_heard, a, e));
}

static bool decide(db_conn *c, const hearing *h, submission_state state, const char *code, arena *a,
                   err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, h->book_id);
    db_uuid(p, h->id);
    db_i16(p, (int16_t)state);
    db_text(p, str_of(code));
    db_text(p, h->reason);
    return db_exec(c, submissions_sql(SUBM_SQL_DECIDE), p, a, NULL, NULL, e);
}

static bool note(db_conn *c, const hearing *h, int kind, arena *a, err *e) {
    const uuid nil = {{0}};
    char text[REASON_LEN_MAX + 1];
    (void)snprintf(text, sizeof text, "%.*s", (int)h->reason.len, h->reason.ptr);
    return subm_evidence_add(c, h->book_id, h->id, kind, 0, nil, h->said->inbox_id, text, a, e);
}

static bool open_case(db_conn *c, const hearing *h, const char *kind, const char *code, arena *a,
                      err *e) {
    return subm_case_open(c, h->book_id, h->id, kind, str_of(code), h->reason, h->total,
                          h->currency, clock_wall_us(clock_system()), a, e);
}

static subm_said words(const hearing *h, int kind, const char *tag, const char *code) {
    return (subm_said){.kind = kind,
                       .tag = tag,
                       .code = str_of(code),
                       .text = h->reason,
                       .at_us = h->said->at_us,
                       .source = RAIL_SOURCE_BANK,
                       .inbox_id = h->said->inbox_id};
}

// Refuses the items that the bank names. If the bank has said otherwise of an item before, the payout's machine judges.
static bool refuse_items(db_conn *c, const hearing *h, arena *a, err *e) {
    subm_said refused = words(h, RAIL_EVENT_REFUSED, "refused", "ITEM_REJECTED");
    size_t n = 0;
    refused.listed = h->said->refused;
    refused.n_listed = h->said->n_refused;
    return h->said->n_refused == 0 || subm_events_record(c, h->book_id, h->id, &refused, &n, a, e);
}

// Tells the payouts of all named items: certainly not paid, or a person must say whether the bank pays them. The bank's word about an entry
// holds, whatever becomes of the file.
static bool tell_items(db_conn *c, const hearing *h, arena *a, err *e) {
    subm_said unsure = words(h, RAIL_EVENT_ACCEPTED, "unsure", SAGA_REFUSED_UNSURE);
    size_t n = 0;
    unsure.listed = h->said->unsure;
    unsure.n_listed = h->said->n_unsure;
    return refuse_items(c, h, a, e) &&
           (h->said->n_unsure == 0 || subm_events_record(c, h->book_id, h->id, &unsure, &n, a, e));
}

static bool accept(db_conn *c, const hearing *h, arena *a, err *e) {
    subm_said said = words(h, RAIL_EVENT_ACCEPTED, "accepted", "");
    said.text = STR("");
    // the same event as the sender's own, so that it is recorded once
    said.source = RAIL_SOURCE_SUBMISSION;
    size_t n = 0;
    // A case about a SENT submission is about a contradiction, and stays open.
    const bool was_open = h->state != SUBMISSION_SENT;
    // The payouts of a SENT submission know already that it is at the bank.
    return note(c, h, EVIDENCE_ACCEPTED, a, e) && decide(c, h, SUBMISSION_ACKED, "", a, e) &&
           (!was_open || subm_events_record(c, h->book_id, h->id, &said, &n, a, e)) &&
           tell_items(c, h, a, e) &&
           (!was_open ||
            subm_cases_close(c, h->book_id, h->id, clock_wall_us(clock_system()), a, e));
}

// Has the payouts sent anew, except those that the bank refuses by name. After too many times a person must look first.
static bool reject(db_conn *c, const hearing *h, arena *a, err *e) {
    const int most = h->said->rebuilds_max > 0 ? h->said->rebuilds_max : SUBM_REBUILDS_MAX;
    size_t n = 0;
    if (!note(c, h, EVIDENCE_REFUSED, a, e) ||
        !decide(c, h, SUBMISSION_REJECTED, "FILE_REJECTED", a, e) ||
        !open_case(c, h, "SUBMISSION_REJECTED", "FILE_REJECTED", a, e)) {
        return false;
    }
    if (!refuse_items(c, h, a, e)) {
        return false;
    }
    if (h->generation > most) { // whatever is named: the other items could go on for ever
        log_error("submission.rebuilt_too_often", F_INT("book", h->book_id),
                  F_INT("generation", h->generation));
        return decide(c, h, SUBMISSION_REJECTED, SUBM_TOO_OFTEN, a, e) &&
               open_case(c, h, "SUBMISSION_REJECTED", SUBM_TOO_OFTEN, a, e);
    }
    subm_said again = words(h, RAIL_EVENT_NOT_TAKEN, "not-taken", "FILE_REJECTED");
    again.listed = h->said->refused;
    again.n_listed = h->said->n_refused;
    again.but_listed = true;
    return subm_events_record(c, h->book_id, h->id, &again, &n, a, e);
}

// Only a person can find out whether the bank has the submission. Its payouts hear only the bank's words about named items.
static bool dispute(db_conn *c, const hearing *h, arena *a, err *e) {
    const bool contradicts = h->found.known.accepted;
    log_error("submission.disputed", F_INT("book", h->book_id),
              F_STR("state", submission_state_name((int)h->state)));
    return note(c, h, EVIDENCE_REFUSED, a, e) &&
           decide(c, h, SUBMISSION_DISPUTED, "FILE_REJECTED", a, e) &&
           open_case(c, h, contradicts ? "SUBMISSION_UNKNOWN" : "SUBMISSION_REJECTED",
                     contradicts ? SUBM_CONTRADICTS : "REASON_NOT_LISTED", a, e) &&
           tell_items(c, h, a, e);
}

// A contradiction changes no state, but stops everything that could still leave.
static bool contradict(db_conn *c, const hearing *h, arena *a, err *e) {
    log_error("submission.contradicted", F_INT("book", h->book_id),
              F_STR("state", submission_state_name((int)h->state)),
              F_BOOL("accepted", h->said->accepted));
    return (!h->said->accepted || note(c, h, EVIDENCE_ACCEPTED, a, e)) &&
           open_case(c, h, "SUBMISSION_UNKNOWN", SUBM_CONTRADICTS, a, e) &&
           (!h->said->accepted ||
            subm_stop_rebuilt(c, h->book_id, h->id,
                              STR("the bank accepted its file after it had rejected it, or "
                                  "after it was withdrawn"),
                              a, e)) &&
           tell_items(c, h, a, e);
}

bool submission_ack(db_conn *c, int64_t book_id, uuid submission_id,
                    const submission_ack_text *said, submission_word *word, arena *a, err *e) {
    hearing h = {.book_id = book_id, .id = submission_id, .said = said, .reason = said->reason};
    if (h.reason.len > REASON_LEN_MAX || h.reason.ptr == NULL) {
        h.reason.len = h.reason.ptr == NULL ? 0 : REASON_LEN_MAX;
        h.reason.ptr = h.reason.ptr == NULL ? "" : h.reason.ptr;
        while (h.reason.len > 0 && !str_is_text(h.reason.ptr, h.reason.len)) {
            h.reason.len--; // never inside of a character
        }
    }
    if (!lock_it(c, &h, a, e)) {
        return false;
    }
    *word = submission_hear(h.state, &h.found.known, said->accepted, said->sure);
    bool ok = true;
    switch (*word) {
    case WORD_REPEAT: ok = tell_items(c, &h, a, e); break; // may name more items
    case WORD_ACCEPT: ok = accept(c, &h, a, e); break;
    case WORD_REJECT: ok = reject(c, &h, a, e); break;
    case WORD_DISPUTE: ok = dispute(c, &h, a, e); break;
    case WORD_CONTRARY: ok = contradict(c, &h, a, e); break;
    }
    CRASH_POINT("submission.acknowledged");
    return ok;
}
