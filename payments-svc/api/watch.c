// WatchPayouts: a stream of what has changed. Reads in short statements and compares with what was sent, so that nothing is held
// between two looks: no connection, no transaction.
#include <stdlib.h>
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/map.h"
#include "store/payments_sql.h"

enum {
    WATCH_POLL_MS = 100,
    WATCH_READ_TIMEOUT_MS = 5000,
    WATCH_ROUND_MAX = 64u << 20,
    WATCH_MESSAGE_MAX = 500
};

typedef struct watch {
    payments_service *s;
    const merchant *m;
    bool all;    // every payout of the merchant, also new ones
    uuid newest; // all: those after it have not been seen
    bool first;  // all: the first look leaves out what is terminal
    map *open;   // watched and not terminal: id → update_time in microseconds of what was sent
    uuid *ids;   // the keys of open, for one look
    size_t n_ids;
    Payments__V1__Payout **changed; // of one look
    size_t n_changed;
} watch;

static int64_t updated_us(const Payments__V1__Payout *p) {
    return p->update_time->seconds * 1000000 + p->update_time->nanos / 1000;
}

static void take_row(watch *w, const db_rows *rows, size_t i, arena *a) {
    Payments__V1__Payout *p = payout_from_row(rows, i, a);
    const uuid id = db_get_uuid(rows, i, 0);
    const int64_t now = updated_us(p);
    const int64_t sent = (int64_t)(intptr_t)map_get(w->open, id);
    if (sent != now) {
        w->changed[w->n_changed++] = p;
    }
    if (payout_is_terminal(p->state)) {
        (void)map_remove(w->open, id);
    } else {
        const bool put = map_put(w->open, id, (void *)(intptr_t)now);
        ASSERT(put); // WATCH_MAX is checked before
    }
    if (uuid_cmp(id, w->newest) > 0) {
        w->newest = id;
    }
}

// The watched ones, and, for all, the new ones.
static bool look_tx(db_conn *c, arena *a, void *arg, err *e) {
    watch *w = arg;
    db_rows *known = NULL, *fresh = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, w->m->book_id);
    db_text(p, str_of(w->m->id));
    db_uuid_array(p, w->ids, w->n_ids);
    if (w->n_ids > 0 && !db_exec(c, payments_stmt(SQL_PAYOUT_GET_MANY), p, a, &known, NULL, e)) {
        return false;
    }
    if (w->all && map_count(w->open) < WATCH_MAX) {
        p = db_params_create(a);
        db_i64(p, w->m->book_id);
        db_text(p, str_of(w->m->id));
        db_uuid(p, w->newest);
        db_bool(p, !w->first);
        db_i64(p, (int64_t)(WATCH_MAX - map_count(w->open)));
        if (!db_exec(c, payments_stmt(SQL_PAYOUT_OPEN), p, a, &fresh, NULL, e)) {
            return false;
        }
    }
    const size_t n_known = known != NULL ? db_count(known) : 0;
    const size_t n_fresh = fresh != NULL ? db_count(fresh) : 0;
    w->changed = ARENA_ARRAY(a, Payments__V1__Payout *, n_known + n_fresh + 1);
    w->n_changed = 0;
    if (w->changed == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < n_known; i++) {
        take_row(w, known, i, a);
    }
    for (size_t i = 0; i < n_fresh; i++) {
        take_row(w, fresh, i, a);
    }
    w->first = false;
    return true;
}

static bool list_open(watch *w, arena *a) {
    w->ids = ARENA_ARRAY(a, uuid, map_count(w->open) + 1);
    w->n_ids = 0;
    if (w->ids == NULL) {
        return false;
    }
    map_iter it = map_begin(w->open);
    while (map_next(&it)) {
        w->ids[w->n_ids++] = it.key;
    }
    return true;
}

static bool send_changes(const watch *w, rpc_call *call) {
    bool ok = true;
    for (size_t at = 0; ok && at < w->n_changed; at += WATCH_MESSAGE_MAX) {
        Payments__V1__WatchPayoutsResponse m = PAYMENTS__V1__WATCH_PAYOUTS_RESPONSE__INIT;
        m.payouts = &w->changed[at];
        m.n_payouts = w->n_changed - at < WATCH_MESSAGE_MAX ? w->n_changed - at : WATCH_MESSAGE_MAX;
        ok = rpc_write(call, &m.base);
    }
    return ok;
}

// One look: read, send. False: the stream is over (*e set: with an error).
static bool watch_round(watch *w, rpc_call *call, arena *a, err *e) {
    const int64_t deadline = clock_mono_ms(clock_system()) + WATCH_READ_TIMEOUT_MS;
    if (!list_open(w, a)) {
        return out_of_memory(e);
    }
    return db_read(w->s->o.pool, deadline, a, look_tx, w, e) && send_changes(w, call);
}

static bool watch_named(watch *w, const Payments__V1__WatchPayoutsRequest *r, err *e) {
    if (r->n_payout_ids > WATCH_MAX) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "BATCH_SIZE_INVALID", "payout_ids",
                             "watch at most %d payouts", WATCH_MAX);
    }
    for (size_t i = 0; i < r->n_payout_ids; i++) {
        uuid id = {0};
        if (!rule_uuid(str_of(r->payout_ids[i]), "", "payout_ids", &id, e)) {
            return false;
        }
        // A time that no row has: the first look sends it.
        const bool put = map_put(w->open, id, (void *)(intptr_t)-1);
        ASSERT(put);
    }
    return true;
}

static bool watch_begin(watch *w, const Payments__V1__WatchPayoutsRequest *r, err *e) {
    if (!rule_merchant_id(str_of(r->merchant_id), "merchant_id", e) || !watch_named(w, r, e)) {
        return false;
    }
    const int64_t deadline = clock_mono_ms(clock_system()) + WATCH_READ_TIMEOUT_MS;
    w->m = merchant_find(w->s->merchants, str_of(r->merchant_id), deadline, e);
    w->all = r->n_payout_ids == 0;
    w->first = true;
    return w->m != NULL;
}

// Payouts that were named and that nobody has heard of: said at once, not waited for.
static bool all_were_found(const watch *w, err *e) {
    map_iter it = map_begin(w->open);
    while (map_next(&it)) {
        if ((intptr_t)it.value == -1) {
            char id[UUID_TEXT_LEN + 1];
            uuid_format(it.key, id);
            return err_set_field(e, ERR_NOT_FOUND, "PAYOUT_NOT_FOUND", "payout_ids",
                                 "the merchant has no payout %s", id);
        }
    }
    return true;
}

void handle_watch_payouts(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Payments__V1__WatchPayoutsRequest *r = (const Payments__V1__WatchPayoutsRequest *)request;
    watch w = {.s = service, .open = map_create(256, WATCH_MAX + 1)};
    arena *a = arena_create(WATCH_ROUND_MAX);
    err e = {0};
    bool go_on = watch_begin(&w, r, &e);
    while (go_on && !rpc_cancelled(call)) {
        const bool opening = w.first;
        go_on = watch_round(&w, call, a, &e) && (!opening || w.all || all_were_found(&w, &e));
        arena_reset(a);
        if (go_on && r->until_terminal && map_count(w.open) == 0) {
            break;
        }
        go_on = go_on && rpc_stream_wait(call, WATCH_POLL_MS);
    }
    map_destroy(w.open);
    arena_destroy(a);
    if (err_is_set(&e)) {
        rpc_fail(call, &e);
    } else {
        rpc_stream_end(call);
    }
}
