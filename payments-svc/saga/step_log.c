// The step log: one row per intent, outcome or note (promise APPEND-ONLY).
#include "saga/saga_internal.h"

#define STEP_LOG_COLUMNS                                                                           \
    "book_id, payout_id, seq, step, kind, outcome, attempt, reason, detail, rail_reference, "      \
    "transfer_id, owner, epoch, at, outlook, moving"
enum { STEP_LOG_N_COLUMNS = 16, LOG_INTENT = 1, LOG_OUTCOME = 2 };

db_copy *saga_log_begin(db_conn *c, err *e) {
    return db_copy_begin(c, "step_log", STEP_LOG_COLUMNS, STEP_LOG_N_COLUMNS, e);
}

void saga_log_row(db_copy *w, const saga_batch *b, const saga_item *item, saga_step step,
                  const saga_answer *answer, int64_t now_us) {
    const bool intent = answer->outcome == OUT_NONE;
    db_copy_row(w);
    db_copy_i64(w, b->from.book_id);
    db_copy_uuid(w, item->payout_id);
    db_copy_i32(w, item->log_seq);
    db_copy_i16(w, (int16_t)step);
    db_copy_i16(w, intent ? LOG_INTENT : LOG_OUTCOME);
    db_copy_i16(w, (int16_t)answer->outcome);
    db_copy_i32(w, item->now.attempt);
    db_copy_text(w, answer->code);
    db_copy_text(w, answer->text);
    db_copy_text(w, item->reference);
    if (uuid_is_nil(item->transfer)) {
        db_copy_null(w);
    } else {
        db_copy_uuid(w, item->transfer);
    }
    db_copy_uuid(w, b->from.owner);
    db_copy_i64(w, item->epoch);
    db_copy_time(w, now_us);
    db_copy_i16(w, intent ? (int16_t)item->now.outlook : (int16_t)STATE_NONE);
    if (intent && item->now.moving != 0) {
        db_copy_i64(w, item->now.moving);
    } else {
        db_copy_null(w);
    }
}
