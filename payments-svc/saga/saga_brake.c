// The brake in a claim: nothing that is paused begins to move money. Read in the claiming transaction, after the slot's lock, so that a
// claim that begins after a pause was committed sees it.
#include <stdlib.h>

#include "connections/pause.h"
#include "domain/ids.h"
#include "saga/engine.h"
#include "saga/saga_internal.h"
#include "saga/saga_sql.h"

// What a bank says, and what must be given back, goes on.
static bool begins_to_move_money(saga_step step) {
    return step == STEP_RESERVE || step == STEP_EXECUTE;
}

bool saga_brake(saga_batch *b, db_conn *c, bool *stopped, err *e) {
    *stopped = false;
    b->paused = NULL;
    b->n_paused = 0;
    if (!begins_to_move_money(b->from.step)) {
        return true;
    }
    pause_set set;
    if (!pause_read(c, &set, b->a, e)) {
        return false;
    }
    *stopped = pause_stops(&set, b->from.book_id, b->from.rail->id);
    const size_t n = pause_merchants(&set, b->from.book_id, b->from.rail->id, NULL, 0);
    if (*stopped || n == 0) {
        return true;
    }
    b->paused = ARENA_ARRAY(b->a, str, n);
    if (b->paused == NULL) {
        return err_no_memory(e, "the list of pauses");
    }
    b->n_paused = pause_merchants(&set, b->from.book_id, b->from.rail->id, b->paused, n);
    b->paused_us = 0;
    for (size_t i = 0; i < set.n; i++) {
        b->paused_us = set.rows[i].since_us > b->paused_us ? set.rows[i].since_us : b->paused_us;
    }
    return true;
}

// --- What stands at the head of a lane and may not go ------------------------------------------------------------------

enum { RESUMED_MAX = 5000 }; // of a connection and step, at once

// Less than what counts as a time that was planned.
static const int64_t PUT_OFF_MIN_US = INT64_C(2) * 1000000, PUT_OFF_MAX_US = INT64_C(240) * 1000000;

typedef struct paused_look {
    int64_t book_id;
    int rail;
    saga_step step;
    const int16_t *lanes;
    size_t n_lanes;
    const str *merchants;
    size_t n_merchants;
    int64_t after_us, until_us; // due then
    int64_t max;                // of each lane
} paused_look;

static int compare_uuids(const void *a, const void *b) {
    return uuid_cmp(*(const uuid *)a, *(const uuid *)b);
}

// *ids ascending, as all writers of sagas have them.
static bool find_paused(db_conn *c, const paused_look *k, uuid **ids, size_t *n, arena *a, err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, k->book_id);
    db_i16(p, (int16_t)k->rail);
    db_i16(p, (int16_t)k->step);
    db_time(p, k->until_us);
    db_i16_array(p, k->lanes, k->n_lanes);
    db_i64(p, k->max);
    db_text_array(p, k->merchants, k->n_merchants);
    db_time(p, k->after_us);
    if (!db_exec(c, saga_sql(SAGA_SQL_PAUSED), p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    *ids = ARENA_ARRAY(a, uuid, *n + 1);
    if (*ids == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "REQUEST_MEMORY", "too much is paused");
    }
    for (size_t i = 0; i < *n; i++) {
        (*ids)[i] = db_get_uuid(rows, i, 0);
    }
    qsort(*ids, *n, sizeof **ids, compare_uuids);
    return true;
}

static bool make_due(db_conn *c, int64_t book_id, const uuid *ids, size_t n, int64_t due_us,
                     int64_t now_us, int64_t *moved, arena *a, err *e) {
    *moved = 0;
    if (n == 0) {
        return true;
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid_array(p, ids, n);
    db_time(p, due_us);
    db_time(p, now_us);
    return db_exec(c, saga_sql(SAGA_SQL_PUT_OFF), p, a, NULL, moved, e);
}

// The lanes of these merchants. Sagas from before there were lanes are in the first.
static size_t lanes_of(const str *merchants, size_t n_merchants, int16_t lanes[MERCHANT_LANES]) {
    bool has[MERCHANT_LANES] = {[0] = true};
    size_t n = 0;
    for (size_t i = 0; i < n_merchants; i++) {
        has[merchant_lane(merchants[i])] = true;
    }
    for (int16_t i = 0; i < MERCHANT_LANES; i++) {
        if (has[i]) {
            lanes[n++] = i;
        }
    }
    return n;
}

static int64_t put_off_until(int64_t paused_us, int64_t now_us) {
    const int64_t quarter = (now_us - paused_us) / 4;
    return now_us + (quarter < PUT_OFF_MIN_US   ? PUT_OFF_MIN_US
                     : quarter > PUT_OFF_MAX_US ? PUT_OFF_MAX_US
                                                : quarter);
}

bool saga_put_off(saga_batch *b, db_conn *c, int64_t now_us, err *e) {
    int16_t lanes[MERCHANT_LANES];
    uuid *ids = NULL;
    size_t n = 0;
    int64_t moved = 0;
    if (b->n_paused == 0) {
        return true;
    }
    const paused_look k = {.book_id = b->from.book_id,
                           .rail = b->from.rail->id,
                           .step = b->from.step,
                           .lanes = lanes,
                           .n_lanes = lanes_of(b->paused, b->n_paused, lanes),
                           .merchants = b->paused,
                           .n_merchants = b->n_paused,
                           .until_us = now_us,
                           .max = SAGA_PUT_OFF_MAX};
    const bool ok = find_paused(c, &k, &ids, &n, b->a, e) &&
                    make_due(c, k.book_id, ids, n, put_off_until(b->paused_us, now_us), now_us,
                             &moved, b->a, e);
    b->more = moved > 0;
    return ok;
}

bool saga_resume_merchant(db_conn *c, int64_t book_id, int rail_id, str merchant_id, int64_t now_us,
                          arena *a, err *e) {
    static const saga_step STEPS[] = {STEP_RESERVE, STEP_EXECUTE};
    int16_t lanes[MERCHANT_LANES];
    paused_look k = {.book_id = book_id,
                     .rail = rail_id,
                     .lanes = lanes,
                     .n_lanes = lanes_of(&merchant_id, 1, lanes),
                     .merchants = &merchant_id,
                     .n_merchants = 1,
                     .after_us = now_us,
                     .until_us = now_us + PUT_OFF_MAX_US,
                     .max = RESUMED_MAX};
    for (size_t i = 0; i < sizeof STEPS / sizeof STEPS[0]; i++) {
        uuid *ids = NULL;
        size_t n = 0;
        int64_t moved = 0;
        k.step = STEPS[i];
        if (!find_paused(c, &k, &ids, &n, a, e) ||
            !make_due(c, book_id, ids, n, now_us, now_us, &moved, a, e)) {
            return false;
        }
    }
    return true;
}

// --- In a scan ---------------------------------------------------------------------------------------------------------

static bool drop_paused(db_conn *c, arena *a, void *arg, err *e) {
    saga_scan *s = arg;
    pause_set set;
    if (!pause_read(c, &set, a, e)) {
        return false;
    }
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!begins_to_move_money(s->due[i].step) ||
            !pause_stops(&set, s->due[i].book_id, s->due[i].rail)) {
            s->due[kept++] = s->due[i];
        }
    }
    s->n = kept;
    return true;
}

bool saga_brake_scan(db_pool *pool, saga_scan *s, int64_t deadline_mono_ms, arena *a, err *e) {
    return s->n == 0 || db_read(pool, deadline_mono_ms, a, drop_paused, s, e);
}
