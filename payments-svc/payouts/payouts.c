#include "payouts/payouts.h"

#include "base/assert.h"
#include "domain/machine.h"
#include "payouts/payouts_sql.h"

payout_view payout_view_read(const db_rows *rows, size_t i) {
    return (payout_view){.payout_id = db_get_uuid(rows, i, 0),
                         .merchant_id = db_get_str(rows, i, 1),
                         .recipient_id = db_get_uuid(rows, i, 2),
                         .amount = db_get_i64(rows, i, 3),
                         .currency = db_get_str(rows, i, 4),
                         .connection = db_get_i16(rows, i, 5),
                         .state = db_get_i16(rows, i, 6),
                         .reason = db_get_str(rows, i, 7),
                         .reason_text = db_get_str(rows, i, 8),
                         .external_reference = db_get_str(rows, i, 9),
                         .description = db_get_str(rows, i, 10),
                         .attempts = db_get_i32(rows, i, 11),
                         .rail_reference = db_get_str(rows, i, 12),
                         .created_us = db_get_time(rows, i, 13),
                         .updated_us = db_get_time(rows, i, 14),
                         .intent_id = db_get_uuid(rows, i, 15),
                         .fee = db_get_i64(rows, i, 16),
                         .returned = db_get_i64(rows, i, 17)};
}

// --- One payout ------------------------------------------------------------------------------------------------------

bool payout_find(db_conn *c, int64_t book_id, uuid payout_id, str merchant_id, payout_view *out,
                 bool *found, arena *a, err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, payout_id);
    db_text(p, merchant_id);
    if (!db_exec(c, payouts_sql(PAYOUTS_SQL_GET), p, a, &rows, NULL, e)) {
        return false;
    }
    *found = db_count(rows) > 0;
    if (*found) {
        *out = payout_view_read(rows, 0);
        out->actor = db_get_str(rows, 0, PAYOUT_VIEW_COLUMNS);
        out->request_id = db_get_str(rows, 0, PAYOUT_VIEW_COLUMNS + 1);
        out->trace = db_get_uuid_or_nil(rows, 0, PAYOUT_VIEW_COLUMNS + 2);
    }
    return true;
}

bool payout_place_of(db_conn *c, int64_t book_id, uuid payout_id, payout_place *out, bool *found,
                     arena *a, err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, payout_id);
    if (!db_exec(c, payouts_sql(PAYOUTS_SQL_ATTEMPT), p, a, &rows, NULL, e)) {
        return false;
    }
    *found = db_count(rows) > 0;
    if (*found) {
        *out = (payout_place){db_get_i16(rows, 0, 0), db_get_i32(rows, 0, 1)};
    }
    return true;
}

// --- Several payouts -------------------------------------------------------------------------------------------------

static bool read_views(const db_rows *rows, payout_view **out, size_t *n, arena *a, err *e) {
    *n = db_count(rows);
    *out = ARENA_ARRAY(a, payout_view, *n + 1);
    if (*out == NULL) {
        return err_no_memory(e, "the answer");
    }
    for (size_t i = 0; i < *n; i++) {
        (*out)[i] = payout_view_read(rows, i);
    }
    return true;
}

bool payouts_of_ids(db_conn *c, int64_t book_id, str merchant_id, const uuid *ids, size_t n,
                    payout_view **out, size_t *n_out, arena *a, err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_text(p, merchant_id);
    db_uuid_array(p, ids, n);
    return db_exec(c, payouts_sql(PAYOUTS_SQL_GET_MANY), p, a, &rows, NULL, e) &&
           read_views(rows, out, n_out, a, e);
}

bool payouts_at_feed(db_conn *c, int64_t book_id, str merchant_id, const uuid *ids, size_t n,
                     payout_view **out, size_t *n_out, int64_t *position, arena *a, err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_text(p, merchant_id);
    if (ids == NULL) {
        db_i64(p, (int64_t)n);
    } else {
        db_uuid_array(p, ids, n);
    }
    if (!db_exec(c, payouts_sql(ids == NULL ? PAYOUTS_SQL_OPEN : PAYOUTS_SQL_WATCHED), p, a, &rows,
                 NULL, e) ||
        !read_views(rows, out, n_out, a, e)) {
        return false;
    }
    *position = *n_out > 0 ? db_get_i64(rows, 0, PAYOUT_VIEW_COLUMNS) : 0;
    return true;
}

bool payouts_standing(db_conn *c, int64_t book_id, const uuid *ids, size_t n, payout_standing **out,
                      size_t *n_out, arena *a, err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid_array(p, ids, n);
    if (!db_exec(c, payouts_sql(PAYOUTS_SQL_AWAITED), p, a, &rows, NULL, e)) {
        return false;
    }
    *n_out = db_count(rows);
    *out = ARENA_ARRAY(a, payout_standing, *n_out + 1);
    if (*out == NULL) {
        return err_no_memory(e, "the answer");
    }
    for (size_t i = 0; i < *n_out; i++) {
        (*out)[i] = (payout_standing){.view = payout_view_read(rows, i),
                                      .step = db_get_i16(rows, i, PAYOUT_VIEW_COLUMNS),
                                      .state = db_get_i16(rows, i, PAYOUT_VIEW_COLUMNS + 1),
                                      .outlook = db_get_i16(rows, i, PAYOUT_VIEW_COLUMNS + 2),
                                      .held = db_get_str(rows, i, PAYOUT_VIEW_COLUMNS + 3).len > 0};
    }
    return true;
}

bool payouts_owners(db_conn *c, int64_t book_id, const uuid *ids, size_t n, payout_owner **out,
                    size_t *n_out, arena *a, err *e) {
    db_rows *rows = NULL;
    *n_out = 0;
    if (n == 0) {
        return true;
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid_array(p, ids, n);
    if (!db_exec(c, payouts_sql(PAYOUTS_SQL_MERCHANTS), p, a, &rows, NULL, e)) {
        return false;
    }
    *out = ARENA_ARRAY(a, payout_owner, db_count(rows) + 1);
    if (*out == NULL) {
        return err_no_memory(e, "the answer");
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        (*out)[(*n_out)++] = (payout_owner){db_get_uuid(rows, i, 0), db_get_str(rows, i, 1)};
    }
    return true;
}

static payout_entry read_entry(const db_rows *rows, size_t i) {
    const uuid nil = {{0}};
    return (payout_entry){.at_us = db_get_time(rows, i, 0),
                          .sequence = db_get_i32(rows, i, 1),
                          .step = db_get_i16(rows, i, 2),
                          .kind = db_get_i16(rows, i, 3),
                          .outcome = db_get_i16(rows, i, 4),
                          .attempt = db_get_i32(rows, i, 5),
                          .reason = db_get_str(rows, i, 6),
                          .detail = db_get_str(rows, i, 7),
                          .rail_reference = db_get_str(rows, i, 8),
                          .transfer = db_is_null(rows, i, 9) ? nil : db_get_uuid(rows, i, 9),
                          .worker = db_is_null(rows, i, 10) ? nil : db_get_uuid(rows, i, 10),
                          .epoch = db_get_i64(rows, i, 11),
                          .actor = db_get_str(rows, i, 12),
                          .amount = db_get_i64(rows, i, 13)};
}

bool payout_timeline(db_conn *c, int64_t book_id, uuid payout_id, int64_t max, payout_entry **out,
                     size_t *n, arena *a, err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, payout_id);
    db_i64(p, max);
    if (!db_exec(c, payouts_sql(PAYOUTS_SQL_TIMELINE), p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    *out = ARENA_ARRAY(a, payout_entry, *n + 1);
    if (*out == NULL) {
        return err_no_memory(e, "the answer");
    }
    for (size_t i = 0; i < *n; i++) {
        (*out)[i] = read_entry(rows, i);
    }
    return true;
}

// --- Many ------------------------------------------------------------------------------------------------------------

static void text_or_null(db_params *p, str text) {
    if (text.len == 0) {
        db_null(p, OID_TEXT);
    } else {
        db_text(p, text);
    }
}

static void time_or_null(db_params *p, bool given, int64_t us) {
    if (given) {
        db_time(p, us);
    } else {
        db_null(p, OID_TIMESTAMPTZ);
    }
}

static void numbers_or_null(db_params *p, const int16_t *numbers, size_t n) {
    if (n == 0) {
        db_null(p, OID_INT2_ARRAY);
    } else {
        db_i16_array(p, numbers, n);
    }
}

static db_params *list_params(const payout_filter *f, arena *a) {
    db_params *p = db_params_create(a);
    db_i64(p, f->book_id);
    db_text(p, f->merchant_id);
    db_uuid(p, f->before);
    numbers_or_null(p, f->states, f->n_states);
    numbers_or_null(p, f->connections, f->n_connections);
    text_or_null(p, f->currency);
    if (f->of_recipient) {
        db_uuid(p, f->recipient);
    } else {
        db_null(p, OID_UUID);
    }
    text_or_null(p, f->external_reference);
    time_or_null(p, f->has_from, f->from_us);
    time_or_null(p, f->has_to, f->to_us);
    db_i64(p, f->limit);
    db_uuid(p, f->from);
    return p;
}

// Whether all states that are asked for are among these. False when none is asked for, which means all.
static bool states_are_among(const payout_filter *f, const int16_t *wanted, size_t n) {
    bool all = f->n_states > 0;
    for (size_t i = 0; i < f->n_states; i++) {
        bool found = false;
        for (size_t k = 0; k < n; k++) {
            found = found || f->states[i] == wanted[k];
        }
        all = all && found;
    }
    return all;
}

// By the filter that leaves the fewest: its index finds them without a walk through all of the merchant's payouts.
static payouts_sql_id list_statement(const payout_filter *f) {
    static const int16_t OPEN[] = {STATE_PENDING_APPROVAL, STATE_SCHEDULED, STATE_PENDING,
                                   STATE_PROCESSING,       STATE_SENT,      STATE_HELD};
    static const int16_t ENDED_BADLY[] = {STATE_FAILED, STATE_RETURNED, STATE_CANCELED};
    if (f->external_reference.len > 0) {
        return PAYOUTS_SQL_LIST_REFERENCE;
    }
    if (f->of_recipient) {
        return PAYOUTS_SQL_LIST_RECIPIENT;
    }
    if (states_are_among(f, OPEN, sizeof OPEN / sizeof OPEN[0])) {
        return PAYOUTS_SQL_LIST_OPEN;
    }
    return states_are_among(f, ENDED_BADLY, sizeof ENDED_BADLY / sizeof ENDED_BADLY[0])
               ? PAYOUTS_SQL_LIST_ENDED_BADLY
               : PAYOUTS_SQL_LIST;
}

bool payouts_list(db_conn *c, const payout_filter *f, payout_view **out, size_t *n, arena *a,
                  err *e) {
    db_rows *rows = NULL;
    if (!db_exec(c, payouts_sql(list_statement(f)), list_params(f, a), a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    *out = ARENA_ARRAY(a, payout_view, *n + 1);
    if (*out == NULL) {
        return err_no_memory(e, "the answer");
    }
    for (size_t i = 0; i < *n; i++) {
        (*out)[i] = payout_view_read(rows, i);
    }
    return true;
}

bool payouts_sums(db_conn *c, int64_t book_id, str merchant_id, payout_sum **out, size_t *n,
                  arena *a, err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_text(p, merchant_id);
    if (!db_exec(c, payouts_sql(PAYOUTS_SQL_SUMMARY), p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    *out = ARENA_ARRAY(a, payout_sum, *n + 1); // states x connections x currencies: few
    if (*out == NULL) {
        return err_no_memory(e, "the answer");
    }
    for (size_t i = 0; i < *n; i++) {
        (*out)[i] = (payout_sum){.state = db_get_i16(rows, i, 0),
                                 .connection = db_get_i16(rows, i, 1),
                                 .currency = db_get_str(rows, i, 2),
                                 .count = db_get_i64(rows, i, 3),
                                 .sum = db_get_str(rows, i, 4)};
    }
    return true;
}
