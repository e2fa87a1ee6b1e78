// A person's changes of a case: assign, comment, resolve. Each happens once per idempotency key.
#include "base/assert.h"
#include "base/clock.h"
#include "cases/cases.h"
#include "cases/cases_internal.h"
#include "cases/cases_sql.h"
#include "command/idempotency.h"
#include "domain/rules.h"

static int16_t note_of(case_act act) {
    return act == CASE_ACT_ASSIGN    ? CASE_NOTE_ASSIGNED
           : act == CASE_ACT_COMMENT ? CASE_NOTE_COMMENT
                                     : CASE_NOTE_RESOLVED;
}

// Whether the note of a key from before migration 0037 is of this request.
static bool compare_columns(db_conn *c, const case_change *x, arena *a, bool *same, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, x->book_id);
    db_uuid(p, x->case_id);
    db_text(p, x->key);
    db_rows *rows = NULL;
    if (!db_exec(c, cases_sql(CASES_SQL_FIND_KEY), p, a, &rows, NULL, e)) {
        return false;
    }
    *same = db_count(rows) > 0 && db_get_i16(rows, 0, 0) == note_of(x->act) &&
            str_eq(db_get_str(rows, 0, 1), x->person) && str_eq(db_get_str(rows, 0, 2), x->text) &&
            str_eq(db_get_str(rows, 0, 3), x->resolution) &&
            str_eq(db_get_str(rows, 0, 4), x->evidence);
    return true;
}

// An error if the key was used for other content.
static bool find_key(db_conn *c, const case_change *x, idem_entry *one, arena *a, err *e) {
    return idem_lookup(c, x->keys, x->book_id, IDEM_CASE, &one, 1, a, e) &&
           (!one->unhashed || compare_columns(c, x, a, &one->same, e)) &&
           (one->same || idem_conflict("", e));
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

static bool write_note(db_conn *c, const case_change *x, const idem_entry *one, arena *a, err *e) {
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
    db_bytes(p, one->hash.bytes, one->hash.len);
    db_bytes(p, one->answer.ptr, one->answer.len);
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

static void set_row(const case_change *x, case_row *row) {
    if (x->act == CASE_ACT_RESOLVE) {
        row->state = CASE_STATE_RESOLVED;
        row->resolution = x->resolution;
        row->resolved_us = x->now_us;
    } else if (x->act == CASE_ACT_ASSIGN) {
        row->owner = x->text;
    }
}

bool cases_change(db_conn *c, const case_change *x, arena *a, case_changed *out, err *e) {
    *out = (case_changed){0};
    idem_entry one = {
        .merchant_id = STR(""), .key = x->key, .case_id = x->case_id, .content = x->content};
    // Locks first: of two calls with one key the second then finds the first one's row.
    if (!cases_read(c, true, x->book_id, x->case_id, a, &out->row, e) ||
        !find_key(c, x, &one, a, e)) {
        return false;
    }
    if (one.known) {
        out->answer = one.kept_answer;
        return true;
    }
    if (!validate(x, &out->row, e)) {
        return false;
    }
    // The case was resolved in the same way under another key: nothing more to do.
    if (x->act == CASE_ACT_RESOLVE && out->row.state != CASE_STATE_OPEN) {
        return true;
    }
    set_row(x, &out->row);
    idem_hash(x->keys, IDEM_CASE, &one);
    one.answer = x->answer(x->arg, &out->row, a, e);
    if (one.answer.ptr == NULL || !write_note(c, x, &one, a, e) || !write_case(c, x, a, e)) {
        return false;
    }
    out->written = true;
    out->answer = one.answer;
    out->order = x->act == CASE_ACT_RESOLVE ? case_order_of(x->resolution) : NULL;
    return true;
}
