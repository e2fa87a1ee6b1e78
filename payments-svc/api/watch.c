// WatchPayouts: the present state of payouts, and then each change, from the feed of their book.
#include <string.h>

#include "api/feed_stream.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/map.h"
#include "domain/rules.h"

enum {
    WATCH_READ_TIMEOUT_MS = 5000,
    WATCH_ROUND_MAX = 64u << 20,
    WATCH_MESSAGE_MAX = 500,
    WATCH_OPEN_MAX = 1000000, // unfinished payouts to wait for
};

typedef struct watch {
    payments_service *s;
    rpc_call *call;
    const merchant *m;
    bool all;            // every payout of the merchant, new ones too
    bool resumed;        // continues after a position: present states are not told
    int64_t from;        // this position
    bool until_terminal; // ends when all are finished
    map *named;          // the requested payouts; NULL: all
    uuid *ids;           // the same, as a list
    size_t n_ids;
    map *open; // until_terminal: the unfinished ones
    bool open_is_full;
    int64_t seen; // the position at which open and the present states were read
    // Of the present states, or of a page of the feed:
    Payments__V1__Payout **payouts;
    size_t n_payouts;
    const feed_change *first; // the change of payouts[0]
} watch;

static void *PRESENT = &PRESENT; // a value for maps that are sets

enum { NO_TOKEN = -1 };

// A caller that continues after `position` has got everything sent so far.
static bool send(const watch *w, Payments__V1__Payout **payouts, size_t n, int64_t position,
                 arena *a) {
    Payments__V1__WatchPayoutsResponse m = PAYMENTS__V1__WATCH_PAYOUTS_RESPONSE__INIT;
    uint8_t bytes[sizeof position];
    m.payouts = payouts;
    m.n_payouts = n;
    if (position != NO_TOKEN) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (uint8_t)((uint64_t)position >> (8 * i));
        }
        m.resume_token = page_token_make(a, str_of(w->m->id), bytes, sizeof bytes);
    }
    return rpc_write(w->call, &m.base);
}

static bool read_token(watch *w, const char *token, err *e) {
    uint8_t bytes[sizeof w->from];
    if (token[0] == '\0') {
        return true;
    }
    if (!page_token_read(token, str_of(w->m->id), bytes, sizeof bytes, e)) {
        err_clear(e);
        return err_set_field(e, ERR_INVALID_ARGUMENT, "RESUME_TOKEN_INVALID", "resume_token",
                             "resume_token is not one that a stream of this merchant has given");
    }
    uint64_t from = 0;
    for (size_t i = sizeof bytes; i-- > 0;) {
        from = from << 8 | bytes[i];
    }
    w->from = (int64_t)from;
    w->resumed = true;
    return true;
}

static void note_state(watch *w, uuid id, Payments__V1__PayoutState state) {
    if (payout_is_terminal(state)) {
        (void)map_remove(w->open, id);
    } else {
        w->open_is_full = !map_put(w->open, id, PRESENT) || w->open_is_full;
    }
}

// --- Present states --------------------------------------------------------------------------------------------------

// An unknown named payout is reported at once, not waited for.
static bool all_were_found(const watch *w, const payout_view *rows, size_t n, err *e) {
    for (size_t i = 0; i < n; i++) {
        (void)map_remove(w->named, rows[i].payout_id);
    }
    char missing[UUID_TEXT_LEN + 1] = "";
    map_iter it = map_begin(w->named);
    if (map_next(&it)) {
        uuid_format(it.key, missing);
    }
    for (size_t i = 0; i < w->n_ids; i++) {
        MUST(map_put(w->named, w->ids[i], PRESENT)); // has room: it had them before
    }
    return missing[0] == '\0' || err_set_field(e, ERR_NOT_FOUND, "PAYOUT_NOT_FOUND", "payout_ids",
                                               "the merchant has no payout %s", missing);
}

// The rows and the feed's position are of one moment. Without rows an earlier position is as good: the feed tells later payouts.
static bool stand_tx(db_conn *c, arena *a, void *arg, err *e) {
    watch *w = arg;
    payout_view *rows = NULL;
    size_t n = 0;
    int64_t position = 0;
    feed_ends ends;
    if (!feed_look(c, w->m->book_id, &ends, a, e) ||
        !payouts_at_feed(c, w->m->book_id, str_of(w->m->id), w->all ? NULL : w->ids,
                         w->all ? WATCH_MAX : w->n_ids, &rows, &n, &position, a, e) ||
        (!w->all && !all_were_found(w, rows, n, e))) {
        return false;
    }
    w->seen = n > 0 ? position : ends.head;
    w->payouts = ARENA_ARRAY(a, Payments__V1__Payout *, n + 1);
    w->n_payouts = n;
    if (w->payouts == NULL) {
        return out_of_memory(e);
    }
    map_clear(w->open);
    for (size_t i = 0; i < w->n_payouts; i++) {
        w->payouts[i] = payout_from_row(w->s->o.connections, &rows[i], a);
        note_state(w, rows[i].payout_id, w->payouts[i]->state);
    }
    return true;
}

// The token comes with the last message: a caller that missed it begins again.
static bool tell_standing(const watch *w, arena *a) {
    bool ok = true;
    size_t at = 0;
    do {
        const bool last = w->n_payouts - at <= WATCH_MESSAGE_MAX;
        const size_t n = last ? w->n_payouts - at : WATCH_MESSAGE_MAX;
        ok = send(w, w->payouts + at, n, last ? w->seen : NO_TOKEN, a);
        at += n;
    } while (ok && at < w->n_payouts);
    return ok;
}

// --- Changes -----------------------------------------------------------------------------------------------------------

static void leave_out_others(const watch *w, feed_page *page) {
    size_t n = 0;
    for (size_t i = 0; i < page->n; i++) {
        if (w->named == NULL || map_get(w->named, page->changes[i].entry.payout_id) != NULL) {
            page->changes[n++] = page->changes[i];
        }
    }
    page->n = n;
}

static bool read_payouts(const watch *w, db_conn *c, const feed_page *page, arena *a,
                         payout_view **rows, size_t *n_rows, err *e) {
    map *seen = map_create(page->n + 1, page->n + 1);
    uuid *ids = ARENA_ARRAY(a, uuid, page->n + 1);
    size_t n = 0;
    for (size_t i = 0; ids != NULL && i < page->n; i++) {
        const uuid id = page->changes[i].entry.payout_id;
        if (map_get(seen, id) == NULL) {
            MUST(map_put(seen, id, PRESENT));
            ids[n++] = id;
        }
    }
    map_destroy(seen);
    if (ids == NULL) {
        return out_of_memory(e);
    }
    return payouts_of_ids(c, w->m->book_id, str_of(w->m->id), ids, n, rows, n_rows, a, e);
}

// The payout after a change, as far as the feed tells; the other fields are present ones.
static Payments__V1__Payout *as_changed(Payments__V1__Payout *now, const feed_change *change,
                                        arena *a) {
    if ((int)now->state == change->entry.to) {
        return now;
    }
    Payments__V1__Payout *then = ARENA_NEW(a, Payments__V1__Payout);
    *then = *now;
    then->state = (Payments__V1__PayoutState)change->entry.to;
    then->reason = pb_text(a, change->entry.reason);
    then->reason_text = (char *)protobuf_c_empty_string;
    then->update_time = pb_time(a, change->at_us);
    return then;
}

static bool take_page(watch *w, feed_page *page, const payout_view *rows, size_t n_rows, arena *a,
                      err *e) {
    map *by_id = map_create(n_rows + 1, n_rows + 1);
    size_t n = 0;
    w->payouts = ARENA_ARRAY(a, Payments__V1__Payout *, page->n + 1);
    for (size_t i = 0; i < n_rows; i++) {
        MUST(map_put(by_id, rows[i].payout_id, payout_from_row(w->s->o.connections, &rows[i], a)));
    }
    for (size_t i = 0; w->payouts != NULL && i < page->n; i++) {
        const feed_change *change = &page->changes[i];
        Payments__V1__Payout *now = map_get(by_id, change->entry.payout_id);
        if (now != NULL) { // else it was archived just now
            w->payouts[n] = as_changed(now, change, a);
            page->changes[n++] = *change;
        }
    }
    map_destroy(by_id);
    page->n = n;
    w->first = page->changes;
    return w->payouts != NULL || out_of_memory(e);
}

static bool more(void *owner, db_conn *c, feed_page *page, arena *a, err *e) {
    watch *w = owner;
    payout_view *rows = NULL;
    size_t n_rows = 0;
    leave_out_others(w, page);
    if (page->n == 0) {
        return true;
    }
    if (!read_payouts(w, c, page, a, &rows, &n_rows, e) ||
        !take_page(w, page, rows, n_rows, a, e)) {
        return false;
    }
    for (size_t i = 0; w->until_terminal && i < page->n; i++) {
        if (page->changes[i].position > w->seen) {
            note_state(w, page->changes[i].entry.payout_id,
                       (Payments__V1__PayoutState)page->changes[i].entry.to);
        }
    }
    return !w->open_is_full || err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_PAYOUTS",
                                       "too many payouts are open to wait for all of them");
}

static bool send_changes(void *owner, const feed_change *changes, size_t n, int64_t position,
                         int64_t head, arena *a) {
    const watch *w = owner;
    (void)head;
    return send(w, n > 0 ? w->payouts + (changes - w->first) : NULL, n, position, a);
}

static bool is_over(void *owner) {
    const watch *w = owner;
    return w->until_terminal && map_count(w->open) == 0;
}

// --- The call --------------------------------------------------------------------------------------------------------

static bool read_named(watch *w, const Payments__V1__WatchPayoutsRequest *r, err *e) {
    if (r->n_payout_ids > WATCH_MAX) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "BATCH_SIZE_INVALID", "payout_ids",
                             "watch at most %d payouts", WATCH_MAX);
    }
    w->all = r->n_payout_ids == 0;
    w->named = w->all ? NULL : map_create(r->n_payout_ids, WATCH_MAX);
    w->ids = ARENA_ARRAY(rpc_arena(w->call), uuid, r->n_payout_ids + 1);
    if (w->ids == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < r->n_payout_ids; i++) {
        uuid id = {0};
        if (!rule_uuid(str_of(r->payout_ids[i]), "", "payout_ids", &id, e)) {
            return false;
        }
        if (map_get(w->named, id) == NULL) {
            MUST(map_put(w->named, id, PRESENT));
            w->ids[w->n_ids++] = id;
        }
    }
    return true;
}

static bool begin(watch *w, const Payments__V1__WatchPayoutsRequest *r, err *e) {
    if (!rule_merchant_id(str_of(r->merchant_id), "merchant_id", e) || !read_named(w, r, e)) {
        return false;
    }
    w->until_terminal = r->until_terminal;
    w->open = map_create(256, WATCH_OPEN_MAX);
    const int64_t deadline = clock_mono_ms(clock_system()) + WATCH_READ_TIMEOUT_MS;
    w->m = merchant_find(w->s->merchants, str_of(r->merchant_id), deadline, e);
    return w->m != NULL && read_token(w, r->resume_token, e);
}

// Reads the present states: to tell them, or, after a resume, only to know the unfinished ones.
static bool stand(watch *w, bool *told, err *e) {
    *told = true;
    if (w->resumed && w->all && !w->until_terminal) {
        return true;
    }
    const int64_t deadline = clock_mono_ms(clock_system()) + WATCH_READ_TIMEOUT_MS;
    arena *a = arena_create(WATCH_ROUND_MAX);
    const bool ok = db_read(w->s->o.stream_pool, deadline, a, stand_tx, w, e);
    *told = !ok || w->resumed || tell_standing(w, a);
    arena_destroy(a);
    return ok;
}

void handle_watch_payouts(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Payments__V1__WatchPayoutsRequest *r = (const Payments__V1__WatchPayoutsRequest *)request;
    watch w = {.s = service, .call = call};
    err e = {0};
    bool told = true;
    bool ok = begin(&w, r, &e) && stand(&w, &told, &e);
    if (ok && told && (w.resumed || !is_over(&w))) {
        feed_stream f = {.s = service,
                         .call = call,
                         .book_id = w.m->book_id,
                         .filter = {.merchant_id = str_of(w.m->id)},
                         .position = w.resumed ? w.from : w.seen,
                         .owner = &w,
                         .more = more,
                         .send = send_changes,
                         .is_over = is_over};
        ok = feed_stream_run(&f, &e);
    }
    if (w.open != NULL) {
        map_destroy(w.open);
    }
    if (w.named != NULL) {
        map_destroy(w.named);
    }
    if (ok) {
        rpc_stream_end(call);
    } else {
        rpc_fail(call, &e);
    }
}
