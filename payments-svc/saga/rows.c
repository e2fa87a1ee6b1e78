// The row of a saga: read into the machine's struct, and written back in bulk.
#include <string.h>

#include "base/assert.h"
#include "events/sagas.h"
#include "feed/feed.h"
#include "saga/saga_internal.h"
#include "saga/saga_sql.h"

// --- Reading ---------------------------------------------------------------------------------------------------------

static void copy_column(char *to, size_t size, str from) {
    // the table holds only this program's own texts
    const size_t len = from.len < size - 1 ? from.len : size - 1;
    memcpy(to, from.ptr, len);
    to[len] = '\0';
}

// Reads columns in the order of SAGA_COLUMNS (saga_sql.c). A column that nearly no saga uses is NULL.
static int64_t rare_i64(const db_rows *rows, size_t row, int col) {
    return db_is_null(rows, row, col) ? 0 : db_get_i64(rows, row, col);
}

static int32_t rare_i32(const db_rows *rows, size_t row, int col, int32_t mostly) {
    return db_is_null(rows, row, col) ? mostly : db_get_i32(rows, row, col);
}

void saga_row_read(const db_rows *rows, size_t row, saga_item *item) {
    saga *s = &item->was;
    *item = (saga_item){.payout_id = db_get_uuid(rows, row, 0)};
    s->step = (saga_step)db_get_i16(rows, row, 1);
    s->phase = (saga_phase)db_get_i16(rows, row, 2);
    s->state = (saga_state)db_get_i16(rows, row, 3);
    s->outlook = (saga_state)db_get_i16(rows, row, 4);
    s->attempt = db_get_i32(rows, row, 5);
    s->tries = db_get_i32(rows, row, 6);
    item->log_seq = db_get_i32(rows, row, 7);
    item->events = db_get_i32(rows, row, 8);
    item->epoch = db_get_i64(rows, row, 9);
    s->due_at_us = db_is_null(rows, row, 10) ? SAGA_NEVER : db_get_time(rows, row, 10);
    copy_column(s->reason, sizeof s->reason, db_get_str(rows, row, 11));
    copy_column(s->reason_text, sizeof s->reason_text, db_get_str(rows, row, 12));
    item->reference = db_get_str(rows, row, 13);
    copy_column(s->hold, sizeof s->hold, db_get_str(rows, row, 14));
    copy_column(s->hold_text, sizeof s->hold_text, db_get_str(rows, row, 15));
    s->doubt = db_is_null(rows, row, 16) ? DOUBT_NONE : (saga_doubt)db_get_i16(rows, row, 16);
    s->returned = rare_i64(rows, row, 17);
    s->moving = rare_i64(rows, row, 18);
    s->written_off = rare_i64(rows, row, 19);
    s->leg = rare_i32(rows, row, 20, 1);
    s->reserve_leg = rare_i32(rows, row, 21, 1);
    s->orders = rare_i32(rows, row, 22, 0);
    s->judged = rare_i32(rows, row, 23, 0);
    s->absent_since_us = db_is_null(rows, row, 24) ? 0 : db_get_time(rows, row, 24);
    s->judged_settled = rare_i64(rows, row, 25);
    s->judged_returned = rare_i64(rows, row, 26);
    s->judged_refusals = rare_i32(rows, row, 27, 0);
    s->judged_odd = rare_i32(rows, row, 28, 0);
    item->now = *s;
}

// --- Writing ---------------------------------------------------------------------------------------------------------

// Columns that most rows of a batch share are sent once, as a shape, and chosen by its number (see saga_sql.c).
enum { SHAPE_NUMBERS = 14, SHAPE_TEXTS = 2 };
typedef struct shape {
    int64_t numbers[SHAPE_NUMBERS];
    str texts[SHAPE_TEXTS];
} shape;

// Shapes to compare before a new one is made.
enum { SHAPES_TRIED = 8 };

// The columns that each write sets. The numbers stand in the order of the statement.
enum { USUAL_NUMBERS = 10 };
static shape usual_shape(const saga_item *item) {
    const saga *s = &item->now;
    return (shape){{s->step, s->phase, saga_public_state(s), s->outlook, s->attempt, s->tries,
                    item->log_seq, item->events, item->uncounted, s->tries > 0},
                   {str_of(s->reason), str_of(s->reason_text)}};
}

// The columns that most sagas never use.
enum { RARE_NUMBERS = 14 };
static shape rare_shape(const saga *s) {
    return (shape){{s->hold[0] != '\0' ? (int64_t)s->state : 0, s->doubt, s->returned, s->moving,
                    s->written_off, s->leg, s->reserve_leg, s->orders, s->judged,
                    s->absent_since_us, s->judged_settled, s->judged_returned, s->judged_refusals,
                    s->judged_odd},
                   {str_of(s->hold), str_of(s->hold_text)}};
}

static bool same_shape(const shape *a, const shape *b) {
    bool same = memcmp(a->numbers, b->numbers, sizeof a->numbers) == 0;
    for (size_t i = 0; i < SHAPE_TEXTS; i++) {
        same = same && str_eq(a->texts[i], b->texts[i]);
    }
    return same;
}

// True when a rarely used column differs from what was read of the row, which is as it was: the epoch says so.
static bool is_rare(const saga_item *item) {
    const shape was = rare_shape(&item->was), now = rare_shape(&item->now);
    return !same_shape(&was, &now);
}

// The number of the wanted shape, from 1; adds it if it is not among the last ones.
static size_t find_shape(shape *shapes, size_t *n, const shape *wanted) {
    const size_t oldest = *n > SHAPES_TRIED ? *n - SHAPES_TRIED : 0;
    for (size_t i = *n; i > oldest; i--) {
        if (same_shape(&shapes[i - 1], wanted)) {
            return i;
        }
    }
    shapes[*n] = *wanted;
    return ++*n;
}

static bool shape_params(db_params *p, const shape *shapes, size_t n, size_t n_numbers, arena *a) {
    int64_t *numbers = ARENA_ARRAY(a, int64_t, n);
    str *texts = ARENA_ARRAY(a, str, n);
    int32_t *ids = ARENA_ARRAY(a, int32_t, n);
    if (numbers == NULL || texts == NULL || ids == NULL) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        ids[i] = (int32_t)i + 1;
    }
    db_i32_array(p, ids, n);
    for (size_t column = 0; column < n_numbers; column++) {
        for (size_t i = 0; i < n; i++) {
            numbers[i] = shapes[i].numbers[column];
        }
        db_i64_array(p, numbers, n);
    }
    for (size_t column = 0; column < SHAPE_TEXTS; column++) {
        for (size_t i = 0; i < n; i++) {
            texts[i] = shapes[i].texts[column];
        }
        db_text_array(p, texts, n);
    }
    return true;
}

// The columns with a value of each item's own.
typedef struct own_columns {
    uuid *payout_id;
    int64_t *epoch, *due_at;
    int32_t *shape;
    str *reference;
    shape *shapes;
    size_t n, n_shapes;
} own_columns;

static bool own_columns_alloc(own_columns *k, size_t n, arena *a, err *e) {
    *k = (own_columns){ARENA_ARRAY(a, uuid, n),
                       ARENA_ARRAY(a, int64_t, n),
                       ARENA_ARRAY(a, int64_t, n),
                       ARENA_ARRAY(a, int32_t, n),
                       ARENA_ARRAY(a, str, n),
                       ARENA_ARRAY(a, shape, n),
                       0,
                       0};
    return (k->payout_id != NULL && k->epoch != NULL && k->due_at != NULL && k->shape != NULL &&
            k->reference != NULL && k->shapes != NULL) ||
           err_no_memory(e, "the batch");
}

static void own_columns_add(own_columns *k, const saga_item *item, const shape *wanted) {
    const size_t i = k->n++;
    k->payout_id[i] = item->payout_id;
    k->epoch[i] = item->epoch;
    k->due_at[i] = item->now.due_at_us; // SAGA_NEVER is SQL NULL
    k->reference[i] = item->reference;
    k->shape[i] = (int32_t)find_shape(k->shapes, &k->n_shapes, wanted);
}

// Runs the statement, which must change as many rows as there are items. They are sorted, and the last parameters are their first and last.
static bool write_columns(db_conn *c, saga_sql_id sql, db_params *p, const own_columns *k,
                          size_t n_numbers, arena *a, err *e) {
    int64_t n_written = 0;
    if (!shape_params(p, k->shapes, k->n_shapes, n_numbers, a)) {
        return err_no_memory(e, "the batch");
    }
    ASSERT(uuid_cmp(k->payout_id[0], k->payout_id[k->n - 1]) <= 0);
    db_uuid(p, k->payout_id[0]);
    db_uuid(p, k->payout_id[k->n - 1]);
    if (!db_exec(c, saga_sql(sql), p, a, NULL, &n_written, e)) {
        return false;
    }
    return n_written == (int64_t)k->n ||
           err_set(e, ERR_INTERNAL, "SAGA_ROWS", "a saga has changed since it was claimed");
}

static bool write_usual(db_conn *c, int64_t book_id, const saga_item *const *items, size_t n,
                        int64_t now_us, arena *a, err *e) {
    own_columns k;
    if (!own_columns_alloc(&k, n, a, e)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const shape wanted = usual_shape(items[i]);
        own_columns_add(&k, items[i], &wanted);
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_time(p, now_us);
    db_uuid_array(p, k.payout_id, n);
    db_i64_array(p, k.epoch, n);
    db_i32_array(p, k.shape, n);
    db_time_array(p, k.due_at, n);
    db_text_array(p, k.reference, n);
    return write_columns(c, SAGA_SQL_WRITE, p, &k, USUAL_NUMBERS, a, e);
}

static bool write_rare(db_conn *c, int64_t book_id, const saga_item *const *items, size_t n,
                       arena *a, err *e) {
    size_t n_rare = 0;
    for (size_t i = 0; i < n; i++) {
        n_rare += is_rare(items[i]) ? 1 : 0;
    }
    own_columns k;
    if (n_rare == 0) {
        return true;
    }
    if (!own_columns_alloc(&k, n_rare, a, e)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (is_rare(items[i])) {
            const shape wanted = rare_shape(&items[i]->now);
            own_columns_add(&k, items[i], &wanted);
        }
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid_array(p, k.payout_id, n_rare);
    db_i64_array(p, k.epoch, n_rare);
    db_i32_array(p, k.shape, n_rare);
    return write_columns(c, SAGA_SQL_WRITE_RARE, p, &k, RARE_NUMBERS, a, e);
}

static bool is_end(saga_state state) {
    return state == STATE_SETTLED || state == STATE_FAILED || state == STATE_RETURNED ||
           state == STATE_CANCELED;
}

// Tells the sums of payouts (room jobs, sums.c) of payouts that leave a final state; few do.
static bool set_apart(db_conn *c, int64_t book_id, const saga_item *const *items, size_t n,
                      arena *a, err *e) {
    size_t n_left = 0;
    for (size_t i = 0; i < n; i++) {
        const saga_state was = saga_public_state(&items[i]->was);
        n_left += is_end(was) && was != saga_public_state(&items[i]->now) ? 1 : 0;
    }
    if (n_left == 0) {
        return true;
    }
    uuid *ids = ARENA_ARRAY(a, uuid, n_left);
    int16_t *states = ARENA_ARRAY(a, int16_t, n_left);
    if (ids == NULL || states == NULL) {
        return err_no_memory(e, "the batch");
    }
    n_left = 0;
    for (size_t i = 0; i < n; i++) {
        const saga_state was = saga_public_state(&items[i]->was);
        if (is_end(was) && was != saga_public_state(&items[i]->now)) {
            ids[n_left] = items[i]->payout_id;
            states[n_left++] = (int16_t)was;
        }
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid_array(p, ids, n_left);
    db_i16_array(p, states, n_left);
    return db_exec(c, saga_sql(SAGA_SQL_SET_APART), p, a, NULL, NULL, e);
}

// The reason for a state that somebody may ask about.
static str reason_of(const saga *s) {
    return s->hold[0] != '\0'                              ? str_of(s->hold)
           : is_end(s->state) && s->state != STATE_SETTLED ? str_of(s->reason)
                                                           : (str){NULL, 0};
}

static bool tell_feed(db_conn *c, int64_t book_id, const saga_item *const *items, size_t n,
                      arena *a, err *e) {
    feed_entry *entries = ARENA_ARRAY(a, feed_entry, n);
    if (entries == NULL) {
        return err_no_memory(e, "the batch");
    }
    for (size_t i = 0; i < n; i++) {
        entries[i] =
            (feed_entry){items[i]->payout_id, (int16_t)saga_public_state(&items[i]->was),
                         (int16_t)saga_public_state(&items[i]->now), reason_of(&items[i]->now)};
    }
    return feed_add(c, book_id, entries, n, a, e);
}

bool saga_rows_write(db_conn *c, int64_t book_id, const saga_item *const *items, size_t n,
                     int64_t now_us, arena *a, err *e) {
    return n == 0 ||
           (events_join_by_key(c, a, e) && write_usual(c, book_id, items, n, now_us, a, e) &&
            write_rare(c, book_id, items, n, a, e) && set_apart(c, book_id, items, n, a, e) &&
            tell_feed(c, book_id, items, n, a, e));
}

bool saga_rows_of_batch(saga_batch *b, db_conn *c, bool acting, int64_t now_us, err *e) {
    const saga_item **picked = ARENA_ARRAY(b->a, const saga_item *, b->n);
    if (picked == NULL) {
        return err_no_memory(e, "the batch");
    }
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        if ((b->items[i].acting != STEP_NONE) == acting) {
            picked[n++] = &b->items[i];
        }
    }
    return saga_rows_write(c, b->from.book_id, picked, n, now_us, b->a, e);
}
