// Compares an item's events with recorded ones: which are known, which repeat another, and which are too many.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "domain/machine.h"
#include "events/events.h"
#include "rails/inbox_internal.h"

// The events of one item. keep: memory that lives as long as the reader's result.
typedef struct knowing {
    const inbox_item *item;
    inbox_said *said;
    int32_t *before;
    arena *keep;
} knowing;

static void set_aside(knowing *x, const inbox_event *v, const char *reason, const char *text) {
    inbox_odd *o = &x->said->odd[x->said->n_odd++];
    *o = (inbox_odd){.line = v->line,
                     .reason = reason,
                     .text = text,
                     .compared = "",
                     .raw = v->raw,
                     .about_book_id = v->book_id,
                     .payout_id = v->event.payout_id,
                     .amount = v->event.amount};
    memcpy(o->currency, v->event.currency, sizeof o->currency);
}

// Recorded events that may make an event a repeat.
typedef struct prior {
    bool known, ours, same; // an event has its id; it is this item's; it has the same content
    bool settled;           // its attempt has settled under the same bank reference
    bool returned;          // part of its attempt came back
    bool same_amount;       // one of these returns has the same amount
    int64_t movements;      // of its payout: movements and refusals of all attempts
} prior;

static prior prior_of(const knowing *x, const db_rows *rows, size_t row) {
    return (prior){.known = db_get_bool(rows, row, 0),
                   .ours = !db_is_null(rows, row, 1) &&
                           uuid_eq(db_get_uuid(rows, row, 1), x->item->inbox_id),
                   .same = db_get_bool(rows, row, 2),
                   .settled = db_get_bool(rows, row, 3),
                   .returned = db_get_bool(rows, row, 4),
                   .same_amount = db_get_bool(rows, row, 5),
                   .movements = db_get_i64(rows, row, 6)};
}

static void set_aside_for_case(knowing *x, const inbox_event *v, const char *reason,
                               const char *text) {
    set_aside(x, v, reason, text);
    x->said->odd[x->said->n_odd - 1].case_kind = "INBOX_LINE";
}

// True for an event of a file that repeats another and does not count. A delivery is not a movement: an entry settles once, and an amount
// that comes back again under another number may be a resend. A person decides if nobody else can.
static bool is_repeat(knowing *x, const inbox_event *v, const prior *f) {
    const bool settles = v->event.kind == RAIL_EVENT_SETTLED && f->settled;
    if (x->item->kind != INBOX_FILE || f->ours) {
        return false;
    }
    if (settles && f->returned) {
        set_aside_for_case(x, v, "SETTLED_AGAIN",
                           "it was settled before and came back: look whether it was paid again");
    } else if (settles || (f->known && f->same)) {
        set_aside(x, v, "DOUBLED", "the same was said before, and counts once");
    } else if (!f->known && v->event.kind == RAIL_EVENT_RETURNED && f->same_amount) {
        set_aside_for_case(x, v, "RETURNED_AGAIN",
                           "the same amount came back before under another number: look whether "
                           "it came back again");
    } else {
        return false;
    }
    return true;
}

// A new movement or refusal, with the number of its payout's movements.
typedef struct newcomer {
    uuid payout_id;
    size_t at; // among the events
    int64_t movements;
} newcomer;

static int by_payout_and_place(const void *a, const void *b) {
    const newcomer *x = a, *y = b;
    const int order = uuid_cmp(x->payout_id, y->payout_id);
    return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

static void set_aside_beyond(knowing *x, const inbox_event *v, bool first) {
    char id[UUID_TEXT_LEN + 1];
    set_aside(x, v, "TOO_MANY_MOVEMENTS", INBOX_TOO_MANY_MOVEMENTS);
    if (first) {
        inbox_odd *o = &x->said->odd[x->said->n_odd - 1];
        uuid_format(v->event.payout_id, id);
        o->case_kind = "INBOX_LINE";
        o->case_subject = arena_printf(x->keep, "movements:%s", id);
    }
}

// One payout takes in a limited number of movements and refusals; the rest share one case. Each is read whenever the payout is, a part may
// be as small as one cent, and a refusal costs the bank nothing. `newcomers` are events of [from, *to).
static bool limit_movements(knowing *x, newcomer *newcomers, size_t n, size_t from, size_t *to,
                            err *e) {
    inbox_said *s = x->said;
    bool *beyond = arena_calloc(x->keep, *to - from + 1, sizeof *beyond);
    if (beyond == NULL) {
        return inbox_no_memory(e);
    }
    qsort(newcomers, n, sizeof *newcomers, by_payout_and_place);
    for (size_t i = 0, k = 0; i < n; i++, k++) {
        k = i > 0 && uuid_eq(newcomers[i].payout_id, newcomers[i - 1].payout_id) ? k : 0;
        const int64_t count = newcomers[i].movements + (int64_t)k;
        if (count >= SAGA_MOVEMENTS_MAX) {
            beyond[newcomers[i].at - from] = true;
            set_aside_beyond(x, &s->events[newcomers[i].at], k == 0 || count == SAGA_MOVEMENTS_MAX);
        }
    }
    size_t kept = from;
    for (size_t i = from; i < *to; i++) {
        if (!beyond[i - from]) {
            s->events[kept++] = s->events[i];
        }
    }
    *to = kept;
    return true;
}

// Known events: this item's own were written before a crash; another item's say the same again.
static bool sift(knowing *x, const prior *priors, size_t from, size_t to, err *e) {
    inbox_said *s = x->said;
    newcomer *newcomers = ARENA_ARRAY(x->keep, newcomer, to - from);
    size_t kept = from, n = 0;
    if (newcomers == NULL) {
        return inbox_no_memory(e);
    }
    for (size_t i = from; i < to; i++) {
        const inbox_event v = s->events[i];
        const prior f = priors[i - from];
        if (is_repeat(x, &v, &f)) {
            continue;
        }
        if (f.known && !f.same) {
            set_aside_for_case(x, &v, "OTHER_CONTENT",
                               "the same was said before, with another content");
        } else if (f.known) {
            (*x->before)++;
        } else {
            if (v.event.kind != RAIL_EVENT_ACCEPTED) { // submissions tell acceptance, once
                newcomers[n++] = (newcomer){v.event.payout_id, kept, f.movements};
            }
            s->events[kept++] = v;
        }
    }
    if (!limit_movements(x, newcomers, n, from, &kept, e)) {
        return false;
    }
    memmove(s->events + kept, s->events + to, (s->n_events - to) * sizeof *s->events);
    s->n_events -= to - kept;
    return true;
}

// The events whose payouts have earlier events, as indexes into the events of one book. *n: their number.
static bool find_spoken_of(const knowing *x, db_conn *c, size_t from, size_t to, size_t **at,
                           size_t *n, arena *a, err *e) {
    uuid *ids = ARENA_ARRAY(a, uuid, to - from);
    *at = ARENA_ARRAY(a, size_t, to - from);
    if (ids == NULL || *at == NULL) {
        return inbox_no_memory(e);
    }
    for (size_t i = from; i < to; i++) {
        ids[i - from] = x->said->events[i].event.payout_id;
    }
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, x->said->events[from].book_id);
    db_uuid_array(p, ids, to - from);
    if (!db_exec(c, &INBOX_SQL[INBOX_SQL_SPOKEN_OF], p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    for (size_t i = 0; i < *n; i++) {
        (*at)[i] = (size_t)(db_get_i64(rows, i, 0) - 1);
    }
    return true;
}

// Reads the recorded events for n events of one book; the first is `from`.
static bool find_known(const knowing *x, db_conn *c, size_t from, const size_t *at, size_t n,
                       db_rows **rows, arena *a, err *e) {
    uuid *ids = ARENA_ARRAY(a, uuid, n);
    str *names = ARENA_ARRAY(a, str, 2 * n);
    int32_t *attempts = ARENA_ARRAY(a, int32_t, n);
    int16_t *kinds = ARENA_ARRAY(a, int16_t, n);
    int64_t *amounts = ARENA_ARRAY(a, int64_t, n);
    if (ids == NULL || names == NULL || attempts == NULL || kinds == NULL || amounts == NULL) {
        return inbox_no_memory(e);
    }
    for (size_t i = 0; i < n; i++) {
        const rail_event *v = &x->said->events[from + at[i]].event;
        ids[i] = v->payout_id;
        names[i] = v->event_id;
        names[n + i] = v->reference.ptr == NULL ? STR("") : v->reference;
        attempts[i] = v->attempt;
        kinds[i] = (int16_t)v->kind;
        amounts[i] = v->amount;
    }
    db_params *p = db_params_create(a);
    db_i64(p, x->said->events[from].book_id);
    db_uuid_array(p, ids, n);
    db_text_array(p, names, n);
    db_i32_array(p, attempts, n);
    db_i16_array(p, kinds, n);
    db_i64_array(p, amounts, n);
    db_text_array(p, names + n, n);
    db_i64(p, 2 * (int64_t)SAGA_MOVEMENTS_MAX);
    return db_exec(c, &INBOX_SQL[INBOX_SQL_KNOWN_EVENTS], p, a, rows, NULL, e);
}

// Finds for each event of one book the recorded ones that may make it a repeat. NULL: out of memory, or the database.
static prior *find_priors(const knowing *x, db_conn *c, size_t from, size_t to, arena *a, err *e) {
    prior *priors = ARENA_ARRAY(a, prior, to - from); // zeroed: no recorded events
    size_t *at = NULL, n = 0;
    db_rows *rows = NULL;
    if (priors == NULL) {
        (void)inbox_no_memory(e);
        return NULL;
    }
    if (!find_spoken_of(x, c, from, to, &at, &n, a, e) ||
        (n > 0 && !find_known(x, c, from, at, n, &rows, a, e))) {
        return NULL;
    }
    ASSERT(n == 0 || db_count(rows) == n); // one aggregate row each
    for (size_t i = from; i < to; i++) {
        x->said->events[i].fresh = x->said->events[i].event.kind != RAIL_EVENT_ACCEPTED;
    }
    for (size_t i = 0; i < n; i++) {
        priors[at[i]] = prior_of(x, rows, i);
        x->said->events[from + at[i]].fresh = false;
    }
    return priors;
}

// Goes from the last book to the first, so that removing events does not move the events that are still to be checked.
bool inbox_know(db_conn *c, const inbox_item *item, inbox_said *s, int32_t *before, arena *keep,
                arena *a, err *e) {
    knowing x = {.item = item, .said = s, .before = before, .keep = keep};
    for (size_t to = s->n_events; to > 0;) {
        size_t from = to - 1;
        while (from > 0 && s->events[from - 1].book_id == s->events[to - 1].book_id) {
            from--;
        }
        const prior *priors = find_priors(&x, c, from, to, a, e);
        if (priors == NULL || !sift(&x, priors, from, to, e)) {
            return false;
        }
        to = from;
    }
    return true;
}
