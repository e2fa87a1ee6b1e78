// FeedService: the feed of a book, for programs that follow it. Reads page by page, and holds nothing between two looks.
#include "api/feed_stream.h"
#include "base/clock.h"
#include "domain/machine.h"
#include "domain/rules.h"
#include "payments/v1/feed_service.pb-c.h"

enum {
    READ_TIMEOUT_MS = 5000,
    ROUND_MAX = 64u << 20,
    PAGE_ENTRIES = 2000,
    MESSAGE_MAX = 500,
    GATHER_MS = 20, // before a look, so that a busy book does not wake its readers at each commit
    WAIT_MS = 200,  // how soon a missing caller is noticed
    PROGRESS_MS = 2000
};

// --- Following, for FeedService and WatchPayouts ---------------------------------------------------------------------

typedef struct look_arg {
    feed_stream *f;
    feed_page *page;
} look_arg;

static bool look_tx(db_conn *c, arena *a, void *arg, err *e) {
    const look_arg *x = arg;
    const feed_stream *f = x->f;
    return feed_read(c, f->book_id, f->position, &f->filter, PAGE_ENTRIES, x->page, a, e) &&
           (f->more == NULL || f->more(f->owner, c, x->page, a, e));
}

static bool look(feed_stream *f, feed_page *page, arena *a, err *e) {
    look_arg x = {f, page};
    const int64_t deadline = clock_mono_ms(clock_system()) + READ_TIMEOUT_MS;
    return db_read(f->s->o.stream_pool, deadline, a, look_tx, &x, e);
}

// Tells the position also when there was nothing to send for long: so a caller that restarts need not read all again.
static bool is_time_to_tell(const feed_stream *f, int64_t now_ms) {
    return f->position > f->told && now_ms - f->told_ms >= PROGRESS_MS;
}

static bool send_page(feed_stream *f, const feed_page *page, arena *a) {
    const int64_t now_ms = clock_mono_ms(clock_system());
    for (size_t at = 0; at < page->n; at += MESSAGE_MAX) {
        const bool last = page->n - at <= MESSAGE_MAX;
        const size_t n = last ? page->n - at : MESSAGE_MAX;
        const int64_t position = last ? page->upto : page->changes[at + n - 1].position;
        if (!f->send(f->owner, &page->changes[at], n, position, page->head, a)) {
            return false;
        }
    }
    f->position = page->upto;
    const bool quiet = page->n == 0;
    const bool last = page->upto >= page->head && f->position > f->told && f->is_over(f->owner);
    if (quiet && !last && !is_time_to_tell(f, now_ms)) {
        return true;
    }
    f->told = f->position;
    f->told_ms = now_ms;
    return !quiet || f->send(f->owner, NULL, 0, f->position, page->head, a);
}

bool feed_stream_run(feed_stream *f, err *e) {
    feed_reader *r = feed_reader_join(f->s->feed, f->book_id, e);
    arena *a = arena_create(ROUND_MAX);
    bool go_on = r != NULL;
    f->told = f->position;
    f->told_ms = clock_mono_ms(clock_system());
    while (go_on && !rpc_cancelled(f->call)) {
        feed_page page;
        go_on = look(f, &page, a, e) && send_page(f, &page, a);
        const bool at_end = go_on && page.upto >= page.head;
        arena_reset(a);
        if (!go_on || (at_end && f->is_over(f->owner))) {
            break;
        }
        feed_reader_note(r, f->position, page.head);
        while (at_end && !rpc_cancelled(f->call) && !feed_reader_wait(r, WAIT_MS) &&
               !is_time_to_tell(f, clock_mono_ms(clock_system()))) {
        }
        go_on = !at_end || rpc_stream_wait(f->call, GATHER_MS);
    }
    arena_destroy(a);
    feed_reader_leave(r);
    return !err_is_set(e);
}

// --- FeedService -----------------------------------------------------------------------------------------------------

typedef struct reading {
    payments_service *s;
    rpc_call *call;
    const merchant *m; // NULL: the whole book
    int64_t book_id;
    bool follow;
    feed_ends ends;
} reading;

static bool book_tx(db_conn *c, arena *a, void *arg, err *e) {
    reading *x = arg;
    return (x->m != NULL || pb_book_exists(x->s, c, x->book_id, "book_id", a, e)) &&
           feed_look(c, x->book_id, &x->ends, a, e);
}

// Finds the book by its number or by its merchant.
static bool find_book(reading *x, const char *merchant_id, int64_t book_id, err *e) {
    const int64_t deadline = clock_mono_ms(clock_system()) + READ_TIMEOUT_MS;
    x->book_id = book_id;
    if (merchant_id[0] != '\0') {
        if (!rule_merchant_id(str_of(merchant_id), "merchant_id", e)) {
            return false;
        }
        x->m = merchant_find(x->s->merchants, str_of(merchant_id), deadline, e);
        if (x->m == NULL) {
            return false;
        }
        x->book_id = x->m->book_id;
    }
    if (x->book_id <= 0 || (book_id != 0 && book_id != x->book_id)) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "BOOK_INVALID", "book_id",
                             x->m != NULL ? "the merchant is in another book"
                                          : "name a merchant, or a book from 1 on");
    }
    return db_read(x->s->o.stream_pool, deadline, rpc_arena(x->call), book_tx, x, e);
}

static bool read_states(const Payments__V1__ReadRequest *r, feed_filter *filter, arena *a, err *e) {
    int16_t *states = ARENA_ARRAY(a, int16_t, r->n_states + 1);
    if (states == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < r->n_states; i++) {
        if ((int)r->states[i] < 1 || (int)r->states[i] > STATE_HELD) {
            return err_set_field(e, ERR_INVALID_ARGUMENT, "STATE_UNKNOWN", "states",
                                 "states[%zu] is not one of PayoutState", i);
        }
        states[i] = (int16_t)r->states[i];
    }
    filter->states = states;
    filter->n_states = r->n_states;
    return true;
}

static Payments__V1__FeedEntry *entry_to_pb(const feed_change *change, arena *a) {
    Payments__V1__FeedEntry *out = ARENA_NEW(a, Payments__V1__FeedEntry);
    char *id = arena_must(a, UUID_TEXT_LEN + 1);
    payments__v1__feed_entry__init(out);
    uuid_format(change->entry.payout_id, id);
    out->position = change->position;
    out->at = pb_time(a, change->at_us);
    out->payout_id = id;
    out->merchant_id = pb_text(a, change->merchant_id);
    out->from_state = (Payments__V1__PayoutState)change->entry.from;
    out->to_state = (Payments__V1__PayoutState)change->entry.to;
    out->reason = pb_text(a, change->entry.reason);
    return out;
}

static bool send_entries(void *owner, const feed_change *changes, size_t n, int64_t position,
                         int64_t head, arena *a) {
    const reading *x = owner;
    Payments__V1__ReadResponse m = PAYMENTS__V1__READ_RESPONSE__INIT;
    Payments__V1__FeedEntry *entries[MESSAGE_MAX];
    for (size_t i = 0; i < n; i++) {
        entries[i] = entry_to_pb(&changes[i], a);
    }
    m.entries = entries;
    m.n_entries = n;
    m.position = position;
    m.head_position = head;
    return rpc_write(x->call, &m.base);
}

static bool is_read(void *owner) {
    return !((const reading *)owner)->follow;
}

static void handle_read(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Payments__V1__ReadRequest *r = (const Payments__V1__ReadRequest *)request;
    reading x = {.s = service, .call = call, .follow = r->follow};
    feed_stream f = {.s = service,
                     .call = call,
                     .position = r->after_position,
                     .owner = &x,
                     .send = send_entries,
                     .is_over = is_read};
    err e = {0};
    bool ok = r->after_position >= 0 ||
              err_set_field(&e, ERR_INVALID_ARGUMENT, "POSITION_INVALID", "after_position",
                            "after_position must not be negative");
    ok = ok && read_states(r, &f.filter, rpc_arena(call), &e) &&
         find_book(&x, r->merchant_id, r->book_id, &e);
    if (ok) {
        f.book_id = x.book_id;
        f.filter.merchant_id = x.m != NULL ? str_of(x.m->id) : STR("");
        ok = feed_stream_run(&f, &e);
    }
    if (ok) {
        rpc_stream_end(call);
    } else {
        rpc_fail(call, &e);
    }
}

static void handle_get_feed(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Payments__V1__GetFeedRequest *r = (const Payments__V1__GetFeedRequest *)request;
    Payments__V1__GetFeedResponse answer = PAYMENTS__V1__GET_FEED_RESPONSE__INIT;
    reading x = {.s = service, .call = call};
    err e = {0};
    if (!find_book(&x, r->merchant_id, r->book_id, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.book_id = x.book_id;
    answer.oldest_position = x.ends.oldest;
    answer.head_position = x.ends.head;
    rpc_reply(call, &answer.base);
}

const rpc_method FEED_METHODS[] = {
    {.name = "Read", .stream = handle_read},
    {.name = "GetFeed", .unary = handle_get_feed},
};
const size_t N_FEED_METHODS = sizeof FEED_METHODS / sizeof FEED_METHODS[0];
