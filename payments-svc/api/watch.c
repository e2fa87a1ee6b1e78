// WatchPayouts: a stream of what has changed. Reads in short statements and compares with what was sent, so that nothing is held
// between two looks: no connection, no transaction.
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
    WATCH_MESSAGE_MAX = 500,
    WATCH_KNOWN_MAX = 4 * WATCH_MAX,
    // Ids are made a moment before they are committed, by several processes: a new payout may have an id below one that was
    // seen already, but not by more than this.
    WATCH_LATE_MS = 10000,
    NEVER_SENT = 1 // microseconds: a time that no payout has
};

// What is known of a payout: when it had changed last as it was sent, and whether that was terminal. As a word of the map.
typedef struct watched {
    int64_t updated_us;
    bool terminal;
} watched;

typedef struct watch {
    payments_service *s;
    const merchant *m;
    bool all;         // every payout of the merchant, also new ones
    bool first;       // the first look
    int64_t begun_ms; // of the wall
    uuid floor;       // all: what commits from now on has a higher id
    map *known;       // id → watched, packed; terminal ones until they are below the floor
    size_t n_open;    // of known: not terminal
    uuid *ids;        // of those, for one look
    size_t n_ids;
    Payments__V1__Payout **changed; // of one look
    size_t n_changed;
} watch;

static void *pack_watched(int64_t updated_us, bool terminal) {
    return (void *)(uintptr_t)((uint64_t)updated_us << 1 | (terminal ? 1u : 0u));
}

static watched unpack_watched(const void *word) {
    const uint64_t bits = (uint64_t)(uintptr_t)word;
    return (watched){(int64_t)(bits >> 1), (bits & 1u) != 0};
}

static int64_t updated_us(const Payments__V1__Payout *p) {
    return p->update_time->seconds * 1000000 + p->update_time->nanos / 1000;
}

static void take_row(watch *w, const db_rows *rows, size_t i, arena *a) {
    Payments__V1__Payout *p = payout_from_row(w->s->o.connections, rows, i, a);
    const uuid id = db_get_uuid(rows, i, 0);
    const void *word = map_get(w->known, id);
    const watched was = unpack_watched(word);
    const bool was_open = word != NULL && !was.terminal;
    const bool terminal = payout_is_terminal(p->state);
    if (word != NULL && was.updated_us == updated_us(p)) {
        return;
    }
    if (!map_put(w->known, id, pack_watched(updated_us(p), terminal))) {
        return; // too many at once: a later look has room
    }
    // What had ended before the watch began is known, so that it is not taken for new, and is not told.
    if (w->first && terminal && word == NULL && uuid_cmp(id, payout_lowest_id(w->begun_ms)) < 0) {
        return;
    }
    w->changed[w->n_changed++] = p;
    w->n_open -= was_open ? 1 : 0;
    w->n_open += terminal ? 0 : 1;
}

static bool read_known(watch *w, db_conn *c, arena *a, db_rows **rows, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, w->m->book_id);
    db_text(p, str_of(w->m->id));
    db_uuid_array(p, w->ids, w->n_ids);
    return w->n_ids == 0 || db_exec(c, payments_stmt(SQL_PAYOUT_GET_MANY), p, a, rows, NULL, e);
}

// At first everything that is open.
static bool read_open(const watch *w, db_conn *c, arena *a, db_rows **rows, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, w->m->book_id);
    db_text(p, str_of(w->m->id));
    db_i64(p, (int64_t)WATCH_MAX);
    return !w->all || !w->first || db_exec(c, payments_stmt(SQL_PAYOUT_OPEN), p, a, rows, NULL, e);
}

// Everything above the floor, from the first look on: what was accepted as the watch began is in one of the two.
static bool read_new(const watch *w, db_conn *c, arena *a, db_rows **rows, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, w->m->book_id);
    db_text(p, str_of(w->m->id));
    db_uuid(p, w->floor);
    db_i64(p, (int64_t)WATCH_MAX);
    return !w->all || w->n_open >= WATCH_MAX ||
           db_exec(c, payments_stmt(SQL_PAYOUT_NEW), p, a, rows, NULL, e);
}

static bool look_tx(db_conn *c, arena *a, void *arg, err *e) {
    watch *w = arg;
    db_rows *rows[3] = {NULL, NULL, NULL};
    size_t n = 0;
    if (!read_known(w, c, a, &rows[0], e) || !read_open(w, c, a, &rows[1], e) ||
        !read_new(w, c, a, &rows[2], e)) {
        return false;
    }
    for (size_t k = 0; k < 3; k++) {
        n += rows[k] != NULL ? db_count(rows[k]) : 0;
    }
    w->changed = ARENA_ARRAY(a, Payments__V1__Payout *, n + 1);
    w->n_changed = 0;
    if (w->changed == NULL) {
        return out_of_memory(e);
    }
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; rows[k] != NULL && i < db_count(rows[k]); i++) {
            take_row(w, rows[k], i, a);
        }
    }
    w->first = false;
    return true;
}

// What is to be asked again; and forgets what is terminal and so old that no look can meet it again.
static bool begin_look(watch *w, arena *a) {
    const int64_t late_ms = clock_wall_us(clock_system()) / 1000 - WATCH_LATE_MS;
    const size_t n = map_count(w->known);
    uuid *old = ARENA_ARRAY(a, uuid, n + 1);
    size_t n_old = 0;
    w->ids = ARENA_ARRAY(a, uuid, n + 1);
    w->n_ids = 0;
    if (w->ids == NULL || old == NULL) {
        return false;
    }
    w->floor = payout_lowest_id(late_ms);
    map_iter it = map_begin(w->known);
    while (map_next(&it)) {
        if (!unpack_watched(it.value).terminal) {
            w->ids[w->n_ids++] = it.key;
        } else if (uuid_cmp(it.key, w->floor) < 0) {
            old[n_old++] = it.key;
        }
    }
    for (size_t i = 0; i < n_old; i++) {
        (void)map_remove(w->known, old[i]);
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
    if (!begin_look(w, a)) {
        return out_of_memory(e);
    }
    return db_read(w->s->o.stream_pool, deadline, a, look_tx, w, e) && send_changes(w, call);
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
        const bool put = map_put(w->known, id, pack_watched(NEVER_SENT, false));
        ASSERT(put); // WATCH_MAX is below the map's
    }
    w->n_open = map_count(w->known);
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
    map_iter it = map_begin(w->known);
    while (map_next(&it)) {
        if (unpack_watched(it.value).updated_us == NEVER_SENT) {
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
    watch w = {.s = service, .known = map_create(256, WATCH_KNOWN_MAX)};
    w.begun_ms = clock_wall_us(clock_system()) / 1000;
    arena *a = arena_create(WATCH_ROUND_MAX);
    err e = {0};
    bool go_on = watch_begin(&w, r, &e);
    while (go_on && !rpc_cancelled(call)) {
        const bool opening = w.first;
        go_on = watch_round(&w, call, a, &e) && (!opening || w.all || all_were_found(&w, &e));
        arena_reset(a);
        if (go_on && r->until_terminal && w.n_open == 0) {
            break;
        }
        go_on = go_on && rpc_stream_wait(call, WATCH_POLL_MS);
    }
    map_destroy(w.known);
    arena_destroy(a);
    if (err_is_set(&e)) {
        rpc_fail(call, &e);
    } else {
        rpc_stream_end(call);
    }
}
