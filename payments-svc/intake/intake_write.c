// The rows of accepted payouts, by COPY. The key of a payout is in its own row.
#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "command/audit.h"
#include "command/written_by.h"
#include "domain/ids.h"
#include "domain/machine.h"
#include "feed/feed.h"
#include "intake/intake_internal.h"

// Mostly there is no fee, and its column is not sent.
static bool some_have_a_fee(const intake_batch *b) {
    for (size_t i = 0; i < b->n_fresh; i++) {
        if (b->fresh[i]->fee > 0) {
            return true;
        }
    }
    return false;
}

#define PAYOUT_COLUMNS                                                                             \
    "book_id, payout_id, intent_id, merchant_id, recipient_id, amount, currency, rail, "           \
    "external_reference, description, created_at, request_hash, "                                  \
    "actor, request_id, trace_id"

static bool copy_payouts(const intake_batch *b, db_conn *c, err *e) {
    const bool fees = some_have_a_fee(b);
    db_copy *w = fees ? db_copy_begin(c, "payout", PAYOUT_COLUMNS ", fee", 16, e)
                      : db_copy_begin(c, "payout", PAYOUT_COLUMNS, 15, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < b->n_fresh; i++) {
        const intake_item *it = b->fresh[i];
        db_copy_row(w);
        db_copy_i64(w, b->book_id);
        db_copy_uuid(w, it->payout_id);
        db_copy_uuid(w, it->idem.intent);
        db_copy_text(w, it->idem.merchant_id);
        db_copy_uuid(w, it->recipient_id);
        db_copy_i64(w, it->wanted->amount);
        db_copy_text(w, str_of(it->wanted->currency));
        db_copy_i16(w, (int16_t)it->rail);
        db_copy_text(w, it->wanted->external_reference);
        db_copy_text(w, it->wanted->description);
        db_copy_time(w, it->created_us);
        db_copy_bytes(w, it->idem.hash.bytes, it->idem.hash.len);
        written_by_copy(w, it->by->who, it->by->actor);
        if (fees && it->fee > 0) {
            db_copy_i64(w, it->fee);
        } else if (fees) {
            db_copy_null(w);
        }
    }
    return db_copy_end(w, NULL, e);
}

static bool copy_sagas(const intake_batch *b, db_conn *c, int64_t now_us, err *e) {
    db_copy *w = db_copy_begin(
        c, "saga", "book_id, payout_id, rail, step, state, due_at, updated_at, step_since, lane", 9,
        e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < b->n_fresh; i++) {
        db_copy_row(w);
        db_copy_i64(w, b->book_id);
        db_copy_uuid(w, b->fresh[i]->payout_id);
        db_copy_i16(w, (int16_t)b->fresh[i]->rail);
        db_copy_i16(w, b->fresh[i]->to_gate ? STEP_GATE : STEP_RESERVE);
        db_copy_i16(w, STATE_PENDING);
        db_copy_time(w, b->fresh[i]->wait_until_us > now_us ? b->fresh[i]->wait_until_us : now_us);
        db_copy_time(w, b->fresh[i]->created_us); // updated_at, step_since
        db_copy_time(w, b->fresh[i]->created_us);
        db_copy_i16(w, merchant_lane(b->fresh[i]->idem.merchant_id));
    }
    return db_copy_end(w, NULL, e);
}

static bool tell_feed(const intake_batch *b, db_conn *c, arena *a, err *e) {
    feed_entry *entries = ARENA_ARRAY(a, feed_entry, b->n_fresh);
    if (entries == NULL) {
        return err_no_memory(e, "the gathering");
    }
    for (size_t i = 0; i < b->n_fresh; i++) {
        entries[i] = (feed_entry){b->fresh[i]->payout_id, STATE_NONE, STATE_PENDING, {NULL, 0}};
    }
    return feed_add(c, b->book_id, entries, b->n_fresh, a, e);
}

// Items of one submission stand behind each other, and their ids ascend.
static bool audit_fresh(const intake_batch *b, db_conn *c, int64_t now_us, arena *a, err *e) {
    audit_entry *entries = ARENA_ARRAY(a, audit_entry, b->n_fresh);
    size_t n = 0;
    if (entries == NULL) {
        return err_no_memory(e, "the request");
    }
    for (size_t i = 0; i < b->n_fresh;) {
        const intake_item *first = b->fresh[i];
        size_t end = i + 1;
        while (end < b->n_fresh && b->fresh[end]->by == first->by) {
            end++;
        }
        const char *from = uuid_text(a, first->payout_id);
        const char *to = uuid_text(a, b->fresh[end - 1]->payout_id);
        if (from == NULL || to == NULL) {
            return err_no_memory(e, "the request");
        }
        entries[n++] = (audit_entry){.by = first->by->who,
                                     .merchant_id = first->idem.merchant_id,
                                     .subject = "payouts",
                                     .subject_id = str_of(from),
                                     .last_id = str_of(to),
                                     .n = (int32_t)(end - i)};
        i = end;
    }
    return audit_write(c, b->book_id, entries, n, now_us, a, e);
}

bool intake_write(intake_batch *b, db_conn *c, arena *a, err *e) {
    const int64_t now_us = clock_wall_us(clock_system());
    for (size_t i = 0; i < b->n_fresh; i++) {
        intake_item *it = b->fresh[i];
        it->payout_id = uuid_v7(clock_system());
        // The creation time is in the id, so a range of times is a range of ids.
        it->created_us = uuid_v7_ms(it->payout_id) * 1000;
    }
    if (!copy_payouts(b, c, e) || !copy_sagas(b, c, now_us, e) ||
        !audit_fresh(b, c, now_us, a, e) || !tell_feed(b, c, a, e)) {
        return false;
    }
    CRASH_POINT("intake.copied");
    return true;
}
