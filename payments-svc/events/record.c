// Recording: each message once, its saga told of it.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "domain/machine.h"
#include "events/events.h"
#include "events/events_sql.h"
#include "events/sagas.h"
#include "feed/feed.h"

enum {
    EVENTS_CHUNK = 5000, // per statement
    LISTED_DAYS = 90     // half of what retention keeps at least (retention.payouts_days)
};

// --- Recording -------------------------------------------------------------------------------------------------------

// All writers of messages and of sagas use one order: by payout, and one payout's messages by their ids.
static int by_payout_and_id(const void *a, const void *b) {
    const rail_event *x = *(const rail_event *const *)a, *y = *(const rail_event *const *)b;
    const int order = uuid_cmp(x->payout_id, y->payout_id);
    if (order != 0) {
        return order;
    }
    const size_t n = x->event_id.len < y->event_id.len ? x->event_id.len : y->event_id.len;
    const int bytes = n == 0 ? 0 : memcmp(x->event_id.ptr, y->event_id.ptr, n);
    return bytes != 0 ? bytes
                      : (x->event_id.len > y->event_id.len) - (x->event_id.len < y->event_id.len);
}

static int compare_uuids(const void *a, const void *b) {
    return uuid_cmp(*(const uuid *)a, *(const uuid *)b);
}

// The payouts with new messages, without repeats, and the number of messages of each.
typedef struct event_counts {
    uuid *ids; // sorted
    int32_t *n;
    int32_t *reached; // of these, the submissions' messages
    size_t n_ids;
} event_counts;

// Counts the new messages that say "accepted", or all others. ids: the payouts of all n messages, sorted.
static bool count_new(event_counts *k, const db_rows *new_rows, bool accepted, const uuid *ids,
                      size_t n, arena *a, err *e) {
    int32_t *numbers = ARENA_ARRAY(a, int32_t, 2 * n); // all 0
    *k = (event_counts){.ids = ARENA_ARRAY(a, uuid, n)};
    if (k->ids == NULL || numbers == NULL) {
        return err_no_memory(e, "the batch of messages");
    }
    k->n = numbers;
    k->reached = numbers + n;
    for (size_t i = 0; i < n; i++) {
        if (k->n_ids == 0 || !uuid_eq(k->ids[k->n_ids - 1], ids[i])) {
            k->ids[k->n_ids++] = ids[i];
        }
    }
    for (size_t i = 0; i < db_count(new_rows); i++) {
        const uuid id = db_get_uuid(new_rows, i, 0);
        const uuid *at = bsearch(&id, k->ids, k->n_ids, sizeof ids[0], compare_uuids);
        ASSERT(at != NULL); // the statement returns its input's ids
        if (saga_is_plain_acceptance(db_get_i16(new_rows, i, 1), db_get_str(new_rows, i, 3)) ==
            accepted) {
            const size_t of = (size_t)(at - k->ids);
            k->reached[of] += db_get_i16(new_rows, i, 2) == RAIL_SOURCE_SUBMISSION ? 1 : 0;
            k->n[of]++;
        }
    }
    size_t n_heard = 0;
    for (size_t i = 0; i < k->n_ids; i++) {
        if (k->n[i] > 0) {
            k->ids[n_heard] = k->ids[i];
            k->reached[n_heard] = k->reached[i];
            k->n[n_heard++] = k->n[i];
        }
    }
    k->n_ids = n_heard;
    return true;
}

// Tells the sagas of messages that say "accepted".
static bool tell_accepted(db_conn *c, int64_t book_id, const event_counts *k, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_time(p, clock_wall_us(clock_system()));
    db_uuid_array(p, k->ids, k->n_ids);
    db_i32_array(p, k->n, k->n_ids);
    db_uuid(p, k->ids[0]);
    db_uuid(p, k->ids[k->n_ids - 1]);
    db_i32_array(p, k->reached, k->n_ids);
    return db_exec(c, events_sql(EVENTS_SQL_COUNT_ACCEPTED), p, a, NULL, NULL, e);
}

static bool not_there(err *e) {
    return err_set(e, ERR_INTERNAL, "RAIL_EVENT", "a message about a payout that is not there");
}

// Tells sagas of any other messages.
static bool tell_all(db_conn *c, int64_t book_id, const uuid *ids, const int32_t *n, size_t n_ids,
                     arena *a, err *e) {
    const int64_t now_us = clock_wall_us(clock_system());
    int64_t n_told = 0;
    return events_tell(c, book_id, ids, n, n_ids, now_us, &n_told, a, e) &&
           (n_told == (int64_t)n_ids || not_there(e));
}

static bool tell_new(db_conn *c, int64_t book_id, const db_rows *new_rows, const uuid *ids,
                     size_t n, arena *a, err *e) {
    event_counts moving, accepted;
    return count_new(&moving, new_rows, false, ids, n, a, e) &&
           (moving.n_ids == 0 || tell_all(c, book_id, moving.ids, moving.n, moving.n_ids, a, e)) &&
           count_new(&accepted, new_rows, true, ids, n, a, e) &&
           (accepted.n_ids == 0 || tell_accepted(c, book_id, &accepted, a, e));
}

// A missing text is "", never NULL: the columns are NOT NULL.
static str text_or_empty(str text) {
    return text.ptr == NULL ? (str){"", 0} : text;
}

static bool is_order(rail_event_kind kind) {
    return kind >= RAIL_EVENT_RELEASE && kind <= RAIL_EVENT_CANCEL;
}

static bool can_be(const rail_event *event) {
    const bool known =
        (event->kind >= RAIL_EVENT_ACCEPTED && event->kind <= RAIL_EVENT_NOT_TAKEN) ||
        is_order(event->kind);
    return known && event->attempt >= (is_order(event->kind) ? 0 : 1) && event->amount >= 0 &&
           memchr(event->currency, '\0', sizeof event->currency) != NULL;
}

static bool cannot_be(err *e) {
    return err_set(e, ERR_INVALID_ARGUMENT, "RAIL_EVENT",
                   "a message of a kind, attempt or amount that cannot be");
}

// The columns of rail_event except the book, in the order of the statement.
typedef struct event_columns {
    uuid *payout_id, *inbox_id;
    str *event_id, *code, *text, *reference, *currency, *actor;
    int32_t *attempt, *inbox_line, *order_number;
    int16_t *kind, *source;
    int64_t *at, *amount;
} event_columns;

static bool event_columns_alloc(event_columns *k, size_t n, arena *a) {
    uuid *ids = ARENA_ARRAY(a, uuid, 2 * n);
    str *texts = ARENA_ARRAY(a, str, 6 * n);
    int32_t *ints = ARENA_ARRAY(a, int32_t, 3 * n);
    int16_t *shorts = ARENA_ARRAY(a, int16_t, 2 * n);
    int64_t *longs = ARENA_ARRAY(a, int64_t, 2 * n);
    if (ids == NULL || texts == NULL || ints == NULL || shorts == NULL || longs == NULL) {
        return false;
    }
    *k = (event_columns){.payout_id = ids,
                         .inbox_id = ids + n,
                         .event_id = texts,
                         .code = texts + n,
                         .text = texts + 2 * n,
                         .reference = texts + 3 * n,
                         .currency = texts + 4 * n,
                         .actor = texts + 5 * n,
                         .attempt = ints,
                         .inbox_line = ints + n,
                         .order_number = ints + 2 * n,
                         .kind = shorts,
                         .source = shorts + n,
                         .at = longs,
                         .amount = longs + n};
    return true;
}

static void event_columns_set(event_columns *k, size_t i, const rail_event *event,
                              int32_t order_number) {
    k->payout_id[i] = event->payout_id;
    k->inbox_id[i] = event->inbox_id;
    k->event_id[i] = event->event_id;
    k->code[i] = text_or_empty(event->code);
    k->text[i] = text_or_empty(event->text);
    k->reference[i] = text_or_empty(event->reference);
    k->currency[i] = str_of(event->currency);
    k->actor[i] = text_or_empty(event->actor);
    k->attempt[i] = event->attempt;
    k->inbox_line[i] = event->inbox_line;
    k->kind[i] = (int16_t)event->kind;
    k->source[i] = (int16_t)(event->source == 0 ? RAIL_SOURCE_BANK : event->source);
    k->at[i] = event->at_us;
    k->amount[i] = event->amount;
    k->order_number[i] = order_number;
}

static db_params *event_columns_params(const event_columns *k, int64_t book_id, size_t n,
                                       arena *a) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid_array(p, k->payout_id, n);
    db_text_array(p, k->event_id, n);
    db_i32_array(p, k->attempt, n);
    db_i16_array(p, k->kind, n);
    db_text_array(p, k->code, n);
    db_text_array(p, k->text, n);
    db_text_array(p, k->reference, n);
    db_time_array(p, k->at, n);
    db_i64_array(p, k->amount, n);
    db_text_array(p, k->currency, n);
    db_uuid_array(p, k->inbox_id, n);
    db_i32_array(p, k->inbox_line, n);
    db_i16_array(p, k->source, n);
    db_text_array(p, k->actor, n);
    db_i32_array(p, k->order_number, n);
    return p;
}

// --- Orders ----------------------------------------------------------------------------------------------------------

static bool count_orders(db_conn *c, int64_t book_id, const uuid *ids, size_t n, db_rows **rows,
                         arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid_array(p, ids, n);
    return db_exec(c, events_sql(EVENTS_SQL_COUNT_ORDERS), p, a, rows, NULL, e);
}

// The number of a payout's last order; 0: none.
static int32_t last_order(const db_rows *rows, uuid payout_id) {
    for (size_t i = 0; i < db_count(rows); i++) { // orders come one by one
        if (uuid_eq(db_get_uuid(rows, i, 0), payout_id)) {
            return db_get_i32(rows, i, 1);
        }
    }
    return 0;
}

// Numbers the orders among n messages from each payout's last one on, under the lock of its saga. So an order is taken up once, whatever
// the clocks of its authors say. *numbers stays NULL when there is none, which is nearly always.
static bool number_orders(db_conn *c, int64_t book_id, const rail_event *const *events, size_t n,
                          const int32_t **numbers, arena *a, err *e) {
    uuid *ids = NULL;
    size_t n_ids = 0;
    for (size_t i = 0; i < n; i++) {
        if (is_order(events[i]->kind)) {
            ids = ids == NULL ? ARENA_ARRAY(a, uuid, n) : ids;
            if (ids == NULL) {
                return err_no_memory(e, "the batch of messages");
            }
            ids[n_ids++] = events[i]->payout_id;
        }
    }
    if (n_ids == 0) {
        return true;
    }
    int32_t *given = ARENA_ARRAY(a, int32_t, n);
    db_rows *rows = NULL;
    if (given == NULL) {
        return err_no_memory(e, "the batch of messages");
    }
    if (!events_lock_sagas(c, book_id, ids, n_ids, a, e) ||
        !count_orders(c, book_id, ids, n_ids, &rows, a, e)) {
        return false;
    }
    size_t before = n; // the previous order among the messages
    for (size_t i = 0; i < n; i++) {
        if (is_order(events[i]->kind)) {
            const bool same =
                before < n && uuid_eq(events[before]->payout_id, events[i]->payout_id);
            given[i] = 1 + (same ? given[before] : last_order(rows, events[i]->payout_id));
            before = i;
        }
    }
    *numbers = given;
    return true;
}

// --- Submissions at their bank -------------------------------------------------------------------------------------------

static bool is_reached(const rail_event *event) {
    return saga_is_plain_acceptance((int)event->kind, event->code) &&
           event->source == RAIL_SOURCE_SUBMISSION;
}

// Moves payouts to SENT if a message says that they have reached their bank, and nothing else has to be weighed. rows: these payouts; NULL
// when no message says so. The messages are sorted by payout.
static bool reach_bank(db_conn *c, int64_t book_id, const rail_event *const *events, size_t n,
                       db_rows **rows, arena *a, err *e) {
    uuid *ids = ARENA_ARRAY(a, uuid, n);
    int32_t *attempts = ARENA_ARRAY(a, int32_t, n);
    if (ids == NULL || attempts == NULL) {
        return err_no_memory(e, "the batch of messages");
    }
    size_t n_ids = 0;
    for (size_t i = 0; i < n; i++) {
        if (is_reached(events[i])) {
            attempts[n_ids] = events[i]->attempt;
            ids[n_ids++] = events[i]->payout_id;
        }
    }
    *rows = NULL;
    if (n_ids == 0) {
        return true;
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_time(p, clock_wall_us(clock_system()));
    db_uuid_array(p, ids, n_ids);
    db_i32_array(p, attempts, n_ids);
    db_uuid(p, ids[0]);
    db_uuid(p, ids[n_ids - 1]);
    return db_exec(c, events_sql(EVENTS_SQL_REACH_BANK), p, a, rows, NULL, e);
}

typedef struct reached {
    uuid payout_id;
    int32_t attempt;
} reached;

static int compare_reached(const void *a, const void *b) {
    return uuid_cmp(((const reached *)a)->payout_id, ((const reached *)b)->payout_id);
}

static bool tell_sent(db_conn *c, int64_t book_id, const reached *moved, size_t n, arena *a,
                      err *e) {
    feed_entry *entries = ARENA_ARRAY(a, feed_entry, n);
    if (entries == NULL) {
        return err_no_memory(e, "the batch of messages");
    }
    for (size_t i = 0; i < n; i++) {
        entries[i] = (feed_entry){moved[i].payout_id, STATE_PROCESSING, STATE_SENT, {NULL, 0}};
    }
    return feed_add(c, book_id, entries, n, a, e);
}

// Removes the messages that need no record: the row of the submission says the same for all of its payouts. *n: the number left in *events.
static bool without_reached(db_conn *c, int64_t book_id, const rail_event *const **events,
                            size_t *n, arena *a, err *e) {
    db_rows *rows = NULL;
    if (!reach_bank(c, book_id, *events, *n, &rows, a, e)) {
        return false;
    }
    const size_t n_moved = rows == NULL ? 0 : db_count(rows);
    if (n_moved == 0) {
        return true;
    }
    reached *moved = ARENA_ARRAY(a, reached, n_moved);
    const rail_event **left = ARENA_ARRAY(a, const rail_event *, *n);
    if (moved == NULL || left == NULL) {
        return err_no_memory(e, "the batch of messages");
    }
    for (size_t i = 0; i < n_moved; i++) {
        moved[i] = (reached){db_get_uuid(rows, i, 0), db_get_i32(rows, i, 1)};
    }
    qsort(moved, n_moved, sizeof moved[0], compare_reached);
    if (!tell_sent(c, book_id, moved, n_moved, a, e)) {
        return false;
    }
    size_t at = 0, n_left = 0;
    for (size_t i = 0; i < *n; i++) {
        const rail_event *event = (*events)[i];
        while (at < n_moved && uuid_cmp(moved[at].payout_id, event->payout_id) < 0) {
            at++;
        }
        if (at == n_moved || !is_reached(event) || moved[at].attempt != event->attempt ||
            !uuid_eq(moved[at].payout_id, event->payout_id)) {
            left[n_left++] = event;
        }
    }
    *events = left;
    *n = n_left;
    return true;
}

static bool record_chunk(db_conn *c, int64_t book_id, const rail_event *const *events, size_t n,
                         arena *a, err *e) {
    for (size_t i = 0; i < n; i++) {
        if (!can_be(events[i])) {
            return cannot_be(e);
        }
    }
    if (!without_reached(c, book_id, &events, &n, a, e)) {
        return false;
    }
    if (n == 0) {
        return true;
    }
    event_columns k;
    if (!event_columns_alloc(&k, n, a)) {
        return err_no_memory(e, "the batch of messages");
    }
    const int32_t *numbers = NULL;
    if (!number_orders(c, book_id, events, n, &numbers, a, e)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        event_columns_set(&k, i, events[i], numbers == NULL ? 0 : numbers[i]);
    }
    db_rows *new_rows = NULL;
    return db_exec(c, events_sql(EVENTS_SQL_RECORD_EVENTS), event_columns_params(&k, book_id, n, a),
                   a, &new_rows, NULL, e) &&
           tell_new(c, book_id, new_rows, k.payout_id, n, a, e);
}

static const rail_event **sort_events(const rail_event *events, size_t n, arena *a, err *e) {
    const rail_event **sorted = ARENA_ARRAY(a, const rail_event *, n);
    if (sorted == NULL) {
        (void)err_no_memory(e, "the batch of messages");
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        sorted[i] = &events[i];
    }
    qsort(sorted, n, sizeof sorted[0], by_payout_and_id);
    return sorted;
}

bool rail_events_record(db_conn *c, int64_t book_id, const rail_event *events, size_t n, arena *a,
                        err *e) {
    if (n == 0) {
        return true;
    }
    const rail_event **sorted = sort_events(events, n, a, e);
    if (sorted == NULL || !events_join_by_key(c, a, e)) {
        return false;
    }
    for (size_t i = 0; i < n; i += EVENTS_CHUNK) {
        const size_t m = n - i < EVENTS_CHUNK ? n - i : EVENTS_CHUNK;
        if (!record_chunk(c, book_id, sorted + i, m, a, e)) {
            return false;
        }
    }
    CRASH_POINT("saga.event.recorded");
    return true;
}

// --- Payouts without earlier messages ------------------------------------------------------------------------------------

#define EVENT_COLUMNS                                                                              \
    "book_id, payout_id, event_id, attempt, kind, code, detail, rail_reference, at, amount, "      \
    "currency, inbox_id, inbox_line, source, actor"
enum { EVENT_N_COLUMNS = 15 };

static void copy_event(db_copy *w, int64_t book_id, const rail_event *event) {
    db_copy_row(w);
    db_copy_i64(w, book_id);
    db_copy_uuid(w, event->payout_id);
    db_copy_text(w, event->event_id);
    db_copy_i32(w, event->attempt);
    db_copy_i16(w, (int16_t)event->kind);
    db_copy_text(w, text_or_empty(event->code));
    db_copy_text(w, text_or_empty(event->text));
    db_copy_text(w, text_or_empty(event->reference));
    db_copy_time(w, event->at_us);
    db_copy_i64(w, event->amount);
    db_copy_text(w, str_of(event->currency));
    if (uuid_is_nil(event->inbox_id)) {
        db_copy_null(w);
    } else {
        db_copy_uuid(w, event->inbox_id);
    }
    db_copy_i32(w, event->inbox_line);
    db_copy_i16(w, (int16_t)(event->source == 0 ? RAIL_SOURCE_BANK : event->source));
    db_copy_text(w, text_or_empty(event->actor));
}

static bool copy_events(db_conn *c, int64_t book_id, const rail_event *const *events, size_t n,
                        err *e) {
    db_copy *w = db_copy_begin(c, "rail_event", EVENT_COLUMNS, EVENT_N_COLUMNS, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        copy_event(w, book_id, events[i]);
    }
    return db_copy_end(w, NULL, e);
}

static bool is_movement(const rail_event *event) {
    return event->kind != RAIL_EVENT_ACCEPTED && !is_order(event->kind);
}

// Tells the payouts' sagas. Of one message, its saga; of many, a list, which the next claim takes up.
//
// An old payout is always told by its saga: retention may be about to archive it, which the saga's row prevents and a new list does not.
static bool may_be_listed(const uuid *ids, size_t n) {
    const int64_t old_ms = clock_wall_us(clock_system()) / 1000 - LISTED_DAYS * INT64_C(86400000);
    return n > 1 && uuid_v7_ms(ids[0]) > old_ms; // the ids are sorted
}

// The same for ids that are sorted and may repeat.
static bool tell_each(db_conn *c, int64_t book_id, const uuid *ids, size_t n, arena *a, err *e) {
    uuid *once = ARENA_ARRAY(a, uuid, n);
    int32_t *counts = ARENA_ARRAY(a, int32_t, n); // all 0
    size_t n_once = 0;
    if (once == NULL || counts == NULL) {
        return err_no_memory(e, "the batch of messages");
    }
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !uuid_eq(once[n_once - 1], ids[i])) {
            once[n_once++] = ids[i];
        }
        counts[n_once - 1]++;
    }
    return tell_all(c, book_id, once, counts, n_once, a, e);
}

static bool tell_added(db_conn *c, int64_t book_id, int connection, const uuid *ids, size_t n,
                       arena *a, err *e) {
    return may_be_listed(ids, n) ? events_list(c, book_id, connection, ids, n, a, e)
                                 : tell_each(c, book_id, ids, n, a, e);
}

bool rail_events_add(db_conn *c, int64_t book_id, int connection, const rail_event *events,
                     size_t n, arena *a, err *e) {
    if (n == 0) {
        return true;
    }
    const rail_event **sorted = sort_events(events, n, a, e);
    uuid *ids = ARENA_ARRAY(a, uuid, n);
    if (sorted == NULL || ids == NULL) {
        return err_no_memory(e, "the batch of messages");
    }
    for (size_t i = 0; i < n; i++) {
        ASSERT(is_movement(sorted[i]));
        if (!can_be(sorted[i])) {
            return cannot_be(e);
        }
        ids[i] = sorted[i]->payout_id;
    }
    if (!events_join_by_key(c, a, e) || !copy_events(c, book_id, sorted, n, e) ||
        !tell_added(c, book_id, connection, ids, n, a, e)) {
        return false;
    }
    CRASH_POINT("saga.event.recorded");
    return true;
}
