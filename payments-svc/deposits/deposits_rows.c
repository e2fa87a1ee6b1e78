// Rows of deposits as structs, and the deadline of what is asked of the ledger about one.
#include "base/clock.h"
#include "deposits/deposits_internal.h"
#include "deposits/deposits_sql.h"

deposit deposits_read_row(const db_rows *rows, size_t row) {
    const int state = db_get_i16(rows, row, 6);
    const bool goes_back = state == DEPOSIT_TAKING_BACK || state == DEPOSIT_TAKEN_BACK;
    return (deposit){.id = db_get_uuid(rows, row, 0),
                     .merchant_id = db_get_str(rows, row, 1),
                     .key = db_get_str(rows, row, 2),
                     .amount = db_get_i64(rows, row, 3),
                     .currency = db_get_str(rows, row, 4),
                     .reference = db_get_str(rows, row, 5),
                     .state = state,
                     .reason = db_get_str(rows, row, goes_back ? 11 : 7),
                     .created_us = db_get_time(rows, row, 8),
                     .decided_us = db_is_null(rows, row, 9) ? 0 : db_get_time(rows, row, 9),
                     .back_number = db_get_i32(rows, row, 10),
                     .back_us = db_is_null(rows, row, 12) ? 0 : db_get_time(rows, row, 12)};
}

bool deposits_read_one(db_conn *c, int64_t book_id, str merchant_id, uuid id, arena *a,
                       deposit *out, bool *found, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, id);
    db_text(p, merchant_id);
    if (!db_exec(c, deposits_sql(DEPOSITS_SQL_GET), p, a, &rows, NULL, e)) {
        return false;
    }
    *found = db_count(rows) == 1;
    if (*found) {
        *out = deposits_read_row(rows, 0);
    }
    return true;
}

int64_t deposits_ledger_deadline(const deposits_options *o, int64_t asked_ms) {
    const int64_t own = clock_mono_ms(clock_system()) + o->ledger_timeout_ms;
    return own < asked_ms ? own : asked_ms;
}
