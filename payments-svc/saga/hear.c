// Hearing: what is said of a batch's payouts is read, and boiled down for the machine.
#include "base/assert.h"
#include "saga/saga_internal.h"
#include "saga/saga_sql.h"

bool saga_store_events(saga_batch *b, db_conn *c, db_rows **rows, err *e) {
    uuid *ids = ARENA_ARRAY(b->a, uuid, b->n);
    if (ids == NULL) {
        return err_no_memory(e, "the batch of messages");
    }
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (b->items[i].events > 0) {
            ids[n++] = b->items[i].payout_id;
        }
    }
    *rows = NULL;
    if (n == 0) {
        return true;
    }
    db_params *p = db_params_create(b->a);
    db_i64(p, b->from.book_id);
    db_uuid_array(p, ids, n);
    return db_exec(c, saga_sql(SAGA_SQL_EVENTS), p, b->a, rows, NULL, e);
}

// Items and rows are both sorted by payout, so one walk joins them.
bool saga_store_hear_also(saga_batch *b, const db_rows *rows, const saga_event *also, err *e) {
    const size_t n_rows = rows == NULL ? 0 : db_count(rows);
    const size_t n_also = also == NULL ? 0 : 1;
    saga_event *events = ARENA_ARRAY(b->a, saga_event, n_rows + 1);
    if (events == NULL) {
        return err_no_memory(e, "the batch of messages");
    }
    ASSERT(also == NULL || b->n == 1);
    if (also != NULL) {
        events[n_rows] = *also;
    }
    size_t row = 0;
    for (size_t i = 0; i < b->n; i++) {
        saga_item *item = &b->items[i];
        const size_t first = row;
        while (row < n_rows && uuid_eq(db_get_uuid(rows, row, 0), item->payout_id)) {
            const str currency = db_get_str(rows, row, 7);
            events[row] =
                (saga_event){.attempt = db_get_i32(rows, row, 1),
                             .kind = (saga_event_kind)db_get_i16(rows, row, 2),
                             .code = db_get_str(rows, row, 3),
                             .text = db_get_str(rows, row, 4),
                             .reference = db_get_str(rows, row, 5),
                             .amount = db_get_i64(rows, row, 6),
                             .foreign = currency.len > 0 && !str_eq_c(currency, item->currency),
                             .order = db_get_i32(rows, row, 8)};
            row++;
        }
        item->said = saga_hear(&item->was, events + first, row - first + n_also,
                               item->events + (int32_t)n_also);
        if (item->reference.len == 0 && item->said.reference.len > 0) {
            item->reference = item->said.reference; // the answer with it may be lost
        }
    }
    ASSERT(row == n_rows);
    return true;
}

bool saga_store_hear(saga_batch *b, const db_rows *rows, err *e) {
    return saga_store_hear_also(b, rows, NULL, e);
}
