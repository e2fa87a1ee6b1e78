// Payouts of which a bank has said something in bulk. Most wait for just that: their sagas are not written, and the next claim of AWAIT
// takes the list up. A saga for which the message means more is told as by any other message (room events).
#include "base/assert.h"
#include "base/log.h"
#include "events/sagas.h"
#include "saga/saga_internal.h"
#include "saga/saga_sql.h"

enum {
    LISTS_MAX = 64, // rows looked at by a claim
    DUE_SHARE = 8   // an eighth of a batch is left to sagas that are due by themselves
};

// --- Taking up -------------------------------------------------------------------------------------------------------

// The lists that a claim takes up: whole ones, or the beginning of the first.
typedef struct lists {
    uuid *ids;
    size_t n;
    int64_t total; // payouts
    bool cut;      // only `total` of the first list
} lists;

static bool choose(saga_batch *b, db_conn *c, int64_t limit, lists *l, err *e) {
    db_params *p = db_params_create(b->a);
    db_rows *rows = NULL;
    db_i64(p, b->from.book_id);
    db_i16(p, (int16_t)b->from.rail->id);
    db_i64(p, LISTS_MAX);
    if (!db_exec(c, saga_sql(SAGA_SQL_HEARD_LISTS), p, b->a, &rows, NULL, e)) {
        return false;
    }
    *l = (lists){.ids = ARENA_ARRAY(b->a, uuid, LISTS_MAX)};
    if (l->ids == NULL) {
        return err_no_memory(e, "the batch");
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        const int64_t n = db_get_i32(rows, i, 1);
        if (l->total + n > limit && i > 0) {
            break;
        }
        l->cut = n > limit;
        l->total += l->cut ? limit : n;
        l->ids[l->n++] = db_get_uuid(rows, i, 0);
    }
    b->more = l->cut || l->n < db_count(rows) || l->n == LISTS_MAX;
    return true;
}

static bool remove_lists(saga_batch *b, db_conn *c, const lists *l, err *e) {
    db_params *p = db_params_create(b->a);
    db_i64(p, b->from.book_id);
    if (l->cut) {
        db_uuid(p, l->ids[0]);
        db_i32(p, (int32_t)l->total);
    } else {
        db_uuid_array(p, l->ids, l->n);
    }
    return db_exec(c, saga_sql(l->cut ? SAGA_SQL_HEARD_CUT : SAGA_SQL_HEARD_DROP), p, b->a, NULL,
                   NULL, e);
}

static bool read_sagas(saga_batch *b, db_conn *c, const lists *l, db_rows **rows, err *e) {
    db_params *p = db_params_create(b->a);
    db_i64(p, b->from.book_id);
    db_i16(p, (int16_t)b->from.rail->id);
    db_uuid_array(p, l->ids, l->n);
    db_i32(p, l->cut ? (int32_t)l->total : EVENTS_LISTED_MAX);
    return db_exec(c, saga_sql(SAGA_SQL_HEARD_SAGAS), p, b->a, rows, NULL, e);
}

// Tells sagas that do more than wait: they become due, or already have a worker who must hear. The plain ones are listed again. This is all
// that the transaction does: it has locked sagas, and a claim may lock submissions, which come first.
static bool tell_others(saga_batch *b, db_conn *c, const db_rows *rows, int64_t n_messages,
                        int64_t now_us, err *e) {
    const size_t n_rows = db_count(rows);
    uuid *others = ARENA_ARRAY(b->a, uuid, n_rows), *plain = NULL;
    int32_t *counts = ARENA_ARRAY(b->a, int32_t, n_rows);
    plain = ARENA_ARRAY(b->a, uuid, (size_t)n_messages);
    if (others == NULL || counts == NULL || plain == NULL) {
        return err_no_memory(e, "the batch");
    }
    size_t n_others = 0, n_plain = 0;
    for (size_t i = 0; i < n_rows; i++) {
        const uuid id = db_get_uuid(rows, i, 0);
        const int32_t n = db_get_i32(rows, i, SAGA_HEARD_COUNT);
        if (!db_get_bool(rows, i, SAGA_HEARD_PLAIN)) {
            others[n_others] = id;
            counts[n_others++] = n;
            continue;
        }
        for (int32_t k = 0; k < n; k++) {
            plain[n_plain++] = id;
        }
    }
    b->more = true;
    return events_list(c, b->from.book_id, b->from.rail->id, plain, n_plain, b->a, e) &&
           events_join_by_key(c, b->a, e) &&
           events_tell(c, b->from.book_id, others, counts, n_others, now_us, NULL, b->a, e);
}

bool saga_heard_take(saga_batch *b, db_conn *c, int64_t now_us, db_rows **rows, bool *told,
                     err *e) {
    lists l;
    *rows = NULL;
    *told = false;
    const int64_t limit = (int64_t)(b->from.limit - b->from.limit / DUE_SHARE);
    if (!choose(b, c, limit, &l, e)) {
        return false;
    }
    if (l.n == 0) {
        return true;
    }
    if (!read_sagas(b, c, &l, rows, e) || !remove_lists(b, c, &l, e)) {
        return false;
    }
    int64_t n_messages = 0;
    for (size_t i = 0; i < db_count(*rows); i++) {
        *told |= !db_get_bool(*rows, i, SAGA_HEARD_PLAIN);
        n_messages += db_get_i32(*rows, i, SAGA_HEARD_COUNT);
    }
    if (n_messages != l.total) { // the message was of a payout that is gone
        log_error("saga.heard_of_nobody", F_INT("book", b->from.book_id),
                  F_INT("n", l.total - n_messages));
    }
    return !*told || tell_others(b, c, *rows, n_messages, now_us, e);
}
