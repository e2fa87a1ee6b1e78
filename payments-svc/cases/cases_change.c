// A person's changes of a case: assign, comment, resolve. Each happens once per idempotency key.
#include "base/assert.h"
#include "base/clock.h"
#include "cases/cases.h"
#include "cases/cases_internal.h"
#include "cases/cases_sql.h"
#include "domain/rules.h"

static int16_t note_of(case_act act) {
    return act == CASE_ACT_ASSIGN    ? CASE_NOTE_ASSIGNED
           : act == CASE_ACT_COMMENT ? CASE_NOTE_COMMENT
                                     : CASE_NOTE_RESOLVED;
}

// *known: the key was used before. An error if it was used for other content.
static bool find_key(db_conn *c, const case_change *x, arena *a, bool *known, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, x->book_id);
    db_uuid(p, x->case_id);
    db_text(p, x->key);
    db_rows *rows = NULL;
    if (!db_exec(c, cases_sql(CASES_SQL_FIND_KEY), p, a, &rows, NULL, e)) {
        return false;
    }
    *known = db_count(rows) > 0;
    if (!*known) {
        return true;
    }
    const bool same =
        db_get_i16(rows, 0, 0) == note_of(x->act) && str_eq(db_get_str(rows, 0, 1), x->person) &&
        str_eq(db_get_str(rows, 0, 2), x->text) && str_eq(db_get_str(rows, 0, 3), x->resolution) &&
        str_eq(db_get_str(rows, 0, 4), x->evidence);
    return same || err_set_field(e, ERR_ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED", "idempotency_key",
                                 "idempotency_key was used before for another request");
}

static bool validate(const case_change *x, const case_row *now, err *e) {
    const bool assigns = x->act == CASE_ACT_ASSIGN;
    if (x->refusal != NULL) {
        *e = *x->refusal;
        return false;
    }
    if (!rule_text(x->person, 1, CASE_PERSON_MAX, "", "person", e) ||
        !rule_text(x->text, x->act == CASE_ACT_COMMENT ? 1 : 0,
                   assigns ? CASE_PERSON_MAX : CASE_TEXT_MAX, "", assigns ? "owner" : "comment",
                   e)) {
        return false;
    }
    if (assigns && now->state != CASE_STATE_OPEN) {
        return err_set(e, ERR_FAILED_PRECONDITION, "CASE_RESOLVED", "the case was resolved: %.*s",
                       (int)now->resolution.len, now->resolution.ptr);
    }
    if (x->act != CASE_ACT_RESOLVE) {
        return true;
    }
    const case_order *order = case_order_of(x->resolution);
    if (order == NULL) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "RESOLUTION_UNKNOWN", "resolution",
                             "resolution must be one of %s", case_order_names());
    }
    if (!rule_text(x->evidence, order->moves_money ? 1 : 0, CASE_TEXT_MAX, "", "evidence", e)) {
        return false;
    }
    if (now->state != CASE_STATE_OPEN) {
        return str_eq(now->resolution, x->resolution) ||
               err_set(e, ERR_FAILED_PRECONDITION, "CASE_RESOLVED",
                       "the case was resolved in another way: %.*s", (int)now->resolution.len,
                       now->resolution.ptr);
    }
    if ((case_kind_of(now->kind)->allowed & case_order_bit(order)) == 0) {
        return err_set_field(e, ERR_FAILED_PRECONDITION, "RESOLUTION_NOT_ALLOWED", "resolution",
                             "a case of this kind cannot be resolved so");
    }
    return true;
}

static bool write_note(db_conn *c, const case_change *x, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, x->book_id);
    db_uuid(p, x->case_id);
    db_uuid(p, uuid_v7(clock_system()));
    db_i16(p, note_of(x->act));
    db_text(p, x->program);
    db_text(p, x->person);
    db_text(p, x->text);
    db_text(p, x->resolution);
    db_text(p, x->evidence);
    db_text(p, x->key);
    db_time(p, x->now_us);
    return db_exec(c, cases_sql(CASES_SQL_NOTE), p, a, NULL, NULL, e);
}

static bool write_case(db_conn *c, const case_change *x, arena *a, err *e) {
    if (x->act == CASE_ACT_COMMENT) {
        return true;
    }
    const bool assigns = x->act == CASE_ACT_ASSIGN;
    db_params *p = db_params_create(a);
    db_i64(p, x->book_id);
    db_uuid(p, x->case_id);
    db_text(p, assigns ? x->text : x->resolution);
    if (!assigns) {
        db_time(p, x->now_us);
    }
    int64_t n = 0;
    if (!db_exec(c, cases_sql(assigns ? CASES_SQL_ASSIGN : CASES_SQL_RESOLVE), p, a, NULL, &n, e)) {
        return false;
    }
    ASSERT(n == 1); // its row is locked, and was open
    return true;
}

bool cases_change(db_conn *c, const case_change *x, arena *a, case_changed *out, err *e) {
    *out = (case_changed){0};
    bool known = false;
    // Locks first: of two calls with one key the second then finds the first one's row.
    if (!cases_read(c, true, x->book_id, x->case_id, a, &out->row, e) ||
        !find_key(c, x, a, &known, e)) {
        return false;
    }
    if (known) {
        return true;
    }
    if (!validate(x, &out->row, e)) {
        return false;
    }
    // The case was resolved in the same way under another key: nothing more to do.
    if (x->act == CASE_ACT_RESOLVE && out->row.state != CASE_STATE_OPEN) {
        return true;
    }
    if (!write_note(c, x, a, e) || !write_case(c, x, a, e)) {
        return false;
    }
    out->written = true;
    if (x->act == CASE_ACT_RESOLVE) {
        out->order = case_order_of(x->resolution);
        out->row.state = CASE_STATE_RESOLVED;
        out->row.resolution = x->resolution;
        out->row.resolved_us = x->now_us;
    } else if (x->act == CASE_ACT_ASSIGN) {
        out->row.owner = x->text;
    }
    return true;
}
