// Asks again for settled payouts: a bank tells of a return for some minutes only, and nobody may hear it. Each payout is asked for three
// times, by pages in the order of their ids, which begin with a time; inbox_sweep has the position of each of the three. Ages count from
// settlement. Most payouts settle at once, and are asked for by their page. Payouts that settle later, or about which the bank gave no
// answer, are in inbox_sweep_again until their own time.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/crash.h"
#include "base/log.h"
#include "domain/ids.h"
#include "domain/machine.h"
#include "rails/instant/instant_internal.h"

enum {
    PASSES = 3,
    PAGE = 1000,    // payouts per statement, of any rail and state
    PAGES_MAX = 20, // per look, for each book and age, and for payouts with their own time
    SWEEP_REST_MAX_MS = 60 * 1000,
    STEPS_OF_AN_AGE = 20,
    // after the first question without an answer; doubles each time
    RETRY_MS = 60 * 1000,
    RETRY_DOUBLINGS_MAX = 6,
    NOTE_EVERY_MS = 30 * 1000,
    SCRATCH_MAX = 64 * 1024 * 1024
};
#define DAY_MS (INT64_C(24) * 3600 * 1000)

typedef struct sweep {
    instant_rail *r;
    int64_t book_id, now_ms;
    int pass;
    int64_t age_ms;
    int64_t next_book_id; // 0: no book is left
    db_rows *positions, *page;
    uuid from, to;
    // Of the page: payouts to ask for at another time, and payouts that are over.
    struct later *later;
    size_t n_later;
    uuid *over;
    int16_t *over_pass;
    size_t n_over;
    bool page_of_again;      // from inbox_sweep_again
    int64_t asked, answered; // of the whole look
    int64_t late_ms;         // age of the look's oldest leftover
} sweep;

// A payout with its own time for a question.
typedef struct later {
    uuid payout_id;
    int16_t pass;
    int64_t due_ms;
    int32_t tries;
} later;

static int64_t deadline_of(const instant_rail *r) {
    return clock_mono_ms(r->clock) + INSTANT_DB_TIMEOUT_MS;
}

static int64_t age_of(const instant_rail *r, int pass) {
    const int64_t last = r->settings.returns_days * DAY_MS;
    const int64_t ages[PASSES] = {r->settings.ask_again_ms, DAY_MS, last};
    return ages[pass] < last ? ages[pass] : last;
}

// Lower than the id of each payout made at this time or later, and higher than all earlier ones.
static uuid id_at(int64_t ms) {
    uuid id = {{0}};
    for (size_t i = 0; i < 6; i++) {
        id.b[i] = (uint8_t)((uint64_t)ms >> (40 - 8 * i));
    }
    return id;
}

static int64_t time_of(uuid id) {
    uint64_t ms = 0;
    for (size_t i = 0; i < 6; i++) {
        ms = ms << 8 | id.b[i];
    }
    return (int64_t)ms;
}

// The next book to sweep; 0: none.
static bool find_book(db_conn *c, arena *a, void *arg, err *e) {
    sweep *s = arg;
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, s->book_id);
    if (!db_exec(c, &INSTANT_SQL[INSTANT_SQL_SWEEP_BOOK], p, a, &rows, NULL, e)) {
        return false;
    }
    s->next_book_id = db_count(rows) == 0 ? 0 : db_get_i64(rows, 0, 0);
    return true;
}

static bool find_positions(db_conn *c, arena *a, void *arg, err *e) {
    sweep *s = arg;
    db_params *p = db_params_create(a);
    db_i64(p, s->book_id);
    db_i16(p, (int16_t)s->r->base.id);
    return db_exec(c, &INSTANT_SQL[INSTANT_SQL_SWEEP_POSITION], p, a, &s->positions, NULL, e);
}

static bool find_page(db_conn *c, arena *a, void *arg, err *e) {
    sweep *s = arg;
    db_params *p = db_params_create(a);
    db_i64(p, s->book_id);
    db_uuid(p, s->from);
    db_uuid(p, s->to);
    db_i64(p, PAGE);
    return db_exec(c, &INSTANT_SQL[INSTANT_SQL_SWEEP_PAGE], p, a, &s->page, NULL, e);
}

static bool find_again(db_conn *c, arena *a, void *arg, err *e) {
    sweep *s = arg;
    db_params *p = db_params_create(a);
    db_i64(p, s->book_id);
    db_i16(p, (int16_t)s->r->base.id);
    db_time(p, s->now_ms * 1000);
    db_i64(p, PAGE);
    return db_exec(c, &INSTANT_SQL[INSTANT_SQL_SWEEP_AGAIN], p, a, &s->page, NULL, e);
}

static bool store_later(const sweep *s, db_conn *c, arena *a, err *e) {
    const size_t n = s->n_later;
    uuid *ids = ARENA_ARRAY(a, uuid, n + 1);
    int16_t *passes = ARENA_ARRAY(a, int16_t, n + 1);
    int64_t *due = ARENA_ARRAY(a, int64_t, n + 1);
    int32_t *tries = ARENA_ARRAY(a, int32_t, n + 1);
    if (ids == NULL || passes == NULL || due == NULL || tries == NULL) {
        return err_no_memory(e, "the list of questions");
    }
    for (size_t i = 0; i < n; i++) {
        ids[i] = s->later[i].payout_id;
        passes[i] = s->later[i].pass;
        due[i] = s->later[i].due_ms * 1000;
        tries[i] = s->later[i].tries;
    }
    db_params *p = db_params_create(a);
    db_i64(p, s->book_id);
    db_i16(p, (int16_t)s->r->base.id);
    db_uuid_array(p, ids, n);
    db_i16_array(p, passes, n);
    db_time_array(p, due, n);
    db_i32_array(p, tries, n);
    return n == 0 || db_exec(c, &INSTANT_SQL[INSTANT_SQL_SWEEP_LATER], p, a, NULL, NULL, e);
}

static bool store_over(const sweep *s, db_conn *c, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, s->book_id);
    db_uuid_array(p, s->over, s->n_over);
    db_i16_array(p, s->over_pass, s->n_over);
    return s->n_over == 0 || db_exec(c, &INSTANT_SQL[INSTANT_SQL_SWEEP_OVER], p, a, NULL, NULL, e);
}

// Stores the results of a page.
static bool store_page(db_conn *c, arena *a, void *arg, err *e) {
    const sweep *s = arg;
    if (!store_later(s, c, a, e)) {
        return false;
    }
    if (s->page_of_again) {
        return store_over(s, c, a, e);
    }
    db_params *p = db_params_create(a);
    db_i64(p, s->book_id);
    db_i16(p, (int16_t)s->pass);
    db_uuid(p, s->to);
    db_time(p, s->now_ms * 1000);
    db_i16(p, (int16_t)s->r->base.id);
    return db_exec(c, &INSTANT_SQL[INSTANT_SQL_SWEEP_STORE], p, a, NULL, NULL, e);
}

// --- Asking ----------------------------------------------------------------------------------------------------------

// The question about one payout, and our knowledge of it.
typedef struct question {
    char key[65];
    int64_t amount;
    str currency;
    later place; // if there is no answer
} question;

// Records the bank's answer, which is read like its other words. An answer that cannot be applied now is applied later, like a message.
static bool record(instant_rail *r, int64_t book_id, const char *key, str answer, arena *a,
                   err *e) {
    err why = {0};
    inbox_ref ref;
    (void)a;
    const inbox_raw raw = {.book_id = book_id,
                           .connection = r->base.id,
                           .kind = INBOX_ANSWER,
                           .name = str_of(key),
                           .bytes = answer,
                           .said_us = clock_wall_us(r->clock)};
    if (!inbox_record(r->box, &raw, &ref, e)) {
        return false;
    }
    if (ref.state == INBOX_RECORDED && !inbox_apply(r->box, ref.book_id, ref.inbox_id, &why)) {
        log_err(LOG_WARN, "instant.answer.not_applied", &why);
    }
    return true;
}

// True when the answer is known: settled, as we have it.
static bool is_as_known(const payment *p, const question *q) {
    return p->status == PAYMENT_SETTLED && p->returned == 0 && strcmp(p->key, q->key) == 0 &&
           p->amount == q->amount && str_eq_c(q->currency, p->currency);
}

static bool hear(const sweep *s, const http_exchange *x, const question *q, arena *a, err *e) {
    payment p;
    err why = {0};
    return (payment_parse(x->response, a, &p, &why) && is_as_known(&p, q)) ||
           record(s->r, s->book_id, q->key, x->response, a, e);
}

static bool run(instant_rail *r, http_exchange *x, const question *questions, size_t n, arena *a,
                err *e) {
    const char **headers = ARENA_ARRAY(a, const char *, 2);
    bool ok = headers != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        x[i] = (http_exchange){
            .method = "GET",
            .headers = headers,
            .url = arena_printf(a, "%s/v1/payments/by-key/%s", r->settings.url, questions[i].key)};
        ok = x[i].url != NULL;
    }
    if (!ok) {
        return err_no_memory(e, "the list of questions");
    }
    headers[0] = r->authorization;
    http_client_run(r->client, x, n, a);
    metric_add(r->asked_again, (int64_t)n);
    return true;
}

bool instant_ask_one(instant_rail *r, int64_t book_id, const char *key, payment *said, arena *a,
                     err *e) {
    http_exchange x;
    question q = {.amount = 0};
    memcpy(q.key, key, sizeof q.key);
    err why = {0};
    if (!run(r, &x, &q, 1, a, e)) {
        return false;
    }
    if (x.outcome != HTTP_ANSWERED || x.status != 200 ||
        !payment_parse(x.response, a, said, &why)) {
        return err_set(e, ERR_FAILED_PRECONDITION, "BANK_SAYS_NOTHING",
                       "the bank was asked for the payment, and has not told of it");
    }
    return record(r, book_id, key, x.response, a, e);
}

static void put_off(sweep *s, const question *q) {
    const int doublings =
        q->place.tries < RETRY_DOUBLINGS_MAX ? (int)q->place.tries : RETRY_DOUBLINGS_MAX;
    later *l = &s->later[s->n_later++];
    *l = q->place;
    l->due_ms = s->now_ms + ((int64_t)RETRY_MS << doublings);
    l->tries++;
}

static void is_over(sweep *s, const later *place) {
    s->over[s->n_over] = place->payout_id;
    s->over_pass[s->n_over++] = place->pass;
}

// *answered: the bank has given a useful answer. A payout without an answer does not delay the others, and is asked for again soon.
static bool ask(sweep *s, const question *questions, size_t n, bool *answered, arena *a, err *e) {
    static log_gate gate;
    http_exchange *x = ARENA_ARRAY(a, http_exchange, n + 1);
    if (x == NULL || !run(s->r, x, questions, n, a, e)) {
        return x == NULL ? err_no_memory(e, "the list of questions") : false;
    }
    s->asked += (int64_t)n;
    for (size_t i = 0; i < n; i++) {
        // A gateway's page, or an error with a good status, is no answer.
        const bool known =
            x[i].outcome == HTTP_ANSWERED && x[i].status == 200 && answer_names_payment(&x[i]);
        // The bank has forgotten it: no sweep can change this.
        const bool forgotten = answer_says_not_found(&x[i]);
        if (known && !hear(s, &x[i], &questions[i], a, e)) {
            return false;
        }
        if (known || forgotten) {
            *answered = true;
            s->answered++;
            is_over(s, &questions[i].place);
            continue;
        }
        put_off(s, &questions[i]);
        if (log_gate_pass(&gate, "instant.sweep.no_answer", clock_mono_ms(s->r->clock))) {
            log_warn("instant.sweep.no_answer", F_STR("key", questions[i].key),
                     F_INT("status", x[i].status));
        }
    }
    return true;
}

// True when a payout is asked for now. For one that settled later than its id's time, or may still settle, notes another time.
static bool is_due(sweep *s, size_t row, later *place) {
    const int state = db_get_i16(s->page, row, 5);
    const int64_t since_ms = db_get_time(s->page, row, 7) / 1000;
    const int64_t age_ms = age_of(s->r, place->pass);
    const bool ours = db_get_i16(s->page, row, 4) == s->r->base.id;
    if (ours && state == STATE_SETTLED && s->now_ms - since_ms >= age_ms - age_ms / 10) {
        return true;
    }
    const bool open = state != STATE_SETTLED && !saga_state_is_final((saga_state)state);
    if (ours && (state == STATE_SETTLED || open)) {
        place->due_ms = open ? s->now_ms + (age_ms < DAY_MS ? age_ms : DAY_MS) : since_ms + age_ms;
        s->later[s->n_later++] = *place;
    } else {
        is_over(s, place);
    }
    return false;
}

static bool ask_page(sweep *s, arena *a, err *e) {
    const size_t rows = db_count(s->page), batch = (size_t)s->r->base.batch_max;
    question *questions = ARENA_ARRAY(a, question, rows + 1);
    bool answered = false;
    size_t n = 0;
    s->n_later = s->n_over = 0;
    s->later = ARENA_ARRAY(a, later, rows + 1);
    s->over = ARENA_ARRAY(a, uuid, rows + 1);
    s->over_pass = ARENA_ARRAY(a, int16_t, rows + 1);
    if (questions == NULL || s->later == NULL || s->over == NULL || s->over_pass == NULL) {
        return err_no_memory(e, "the list of questions");
    }
    for (size_t i = 0; i < rows; i++) {
        question *q = &questions[n];
        q->place = (later){.payout_id = db_get_uuid(s->page, i, 0),
                           .pass = s->page_of_again ? db_get_i16(s->page, i, 8) : (int16_t)s->pass,
                           .tries = s->page_of_again ? db_get_i32(s->page, i, 9) : 0};
        if (is_due(s, i, &q->place)) {
            attempt_key(db_get_uuid(s->page, i, 1), db_get_i32(s->page, i, 6), q->key);
            q->amount = db_get_i64(s->page, i, 2);
            q->currency = db_get_str(s->page, i, 3);
            n++;
        }
    }
    for (size_t i = 0; i < n; i += batch) {
        if (!ask(s, questions + i, n - i < batch ? n - i : batch, &answered, a, e)) {
            return false;
        }
    }
    return answered || n == 0 || s->page_of_again ||
           err_set(e, ERR_UNAVAILABLE, "RAIL_UNREACHABLE", "the bank could not be asked");
}

// --- One look --------------------------------------------------------------------------------------------------------

// pages: a separate arena, so that a pass may have many pages while the positions stay.
static bool sweep_pass(sweep *s, arena *pages, err *e) {
    s->age_ms = age_of(s->r, s->pass);
    s->from = id_at(s->now_ms - s->r->settings.returns_days * DAY_MS); // at the first time
    for (size_t i = 0; i < db_count(s->positions); i++) {
        if (db_get_i16(s->positions, i, 0) == s->pass) {
            s->from = db_get_uuid(s->positions, i, 1);
        }
    }
    s->to = id_at(s->now_ms - s->age_ms);
    if (time_of(s->to) - time_of(s->from) < s->age_ms / STEPS_OF_AN_AGE) {
        return true; // in larger steps, so that a quiet book costs nothing
    }
    const uuid end = s->to;
    bool full = true;
    for (int i = 0; full && i < PAGES_MAX; i++) {
        s->to = end;
        arena_reset(pages);
        if (!db_read(s->r->pool, deadline_of(s->r), pages, find_page, s, e) ||
            !ask_page(s, pages, e)) {
            return false;
        }
        full = db_count(s->page) == PAGE;
        s->to = full ? db_get_uuid(s->page, PAGE - 1, 0) : end;
        if (!db_transact(s->r->pool, deadline_of(s->r), pages, store_page, s, e)) {
            return false;
        }
        CRASH_POINT("instant.sweep.stored");
        s->from = s->to;
    }
    return true;
}

// The age of the oldest leftover question.
static bool find_late(db_conn *c, arena *a, void *arg, err *e) {
    sweep *s = arg;
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, s->book_id);
    db_i16(p, (int16_t)s->r->base.id);
    if (!db_exec(c, &INSTANT_SQL[INSTANT_SQL_SWEEP_LATE], p, a, &rows, NULL, e)) {
        return false;
    }
    const int64_t late_ms = db_count(rows) == 0 ? 0 : s->now_ms - db_get_time(rows, 0, 0) / 1000;
    s->late_ms = late_ms > s->late_ms ? late_ms : s->late_ms;
    return true;
}

static bool again_page(sweep *s, arena *a, err *e) {
    s->page_of_again = true;
    const bool ok =
        db_read(s->r->pool, deadline_of(s->r), a, find_again, s, e) &&
        (db_count(s->page) == 0 ||
         (ask_page(s, a, e) && db_transact(s->r->pool, deadline_of(s->r), a, store_page, s, e)));
    s->page_of_again = false;
    return ok;
}

// Payouts whose own time has come, oldest first. Each one on a page is over or gets a later time, so no page repeats. A bank that answers
// nothing on a page is not asked for another. Resets the arena.
static bool sweep_again(sweep *s, arena *a, err *e) {
    bool full = true, silent = false;
    for (int i = 0; full && !silent && i < PAGES_MAX; i++) {
        const int64_t asked = s->asked, answered = s->answered;
        arena_reset(a);
        if (!again_page(s, a, e)) {
            return false;
        }
        full = db_count(s->page) == PAGE;
        silent = s->asked > asked && s->answered == answered;
    }
    return !full || db_read(s->r->pool, deadline_of(s->r), a, find_late, s, e);
}

bool instant_sweep(instant_rail *r, err *e) {
    arena *a = arena_create(SCRATCH_MAX), *pages = arena_create(SCRATCH_MAX);
    sweep s = {.r = r, .now_ms = clock_wall_us(r->clock) / 1000};
    bool ok = db_read(r->pool, deadline_of(r), a, find_book, &s, e);
    while (ok && s.next_book_id != 0) {
        s.book_id = s.next_book_id;
        ok = db_read(r->pool, deadline_of(r), a, find_positions, &s, e);
        for (s.pass = 0; ok && s.pass < PASSES; s.pass++) {
            ok = sweep_pass(&s, pages, e);
        }
        ok = ok && sweep_again(&s, a, e) && db_read(r->pool, deadline_of(r), a, find_book, &s, e);
        arena_reset(a);
    }
    arena_destroy(pages);
    arena_destroy(a);
    r->silent = s.asked > 0 && s.answered == 0;
    if (ok) {
        r->late_ms = s.late_ms;
        metric_set(r->asked_late, s.late_ms / 1000);
    }
    return ok;
}

// --- Noting a look ----------------------------------------------------------------------------------------------------

static bool note_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    const instant_rail *r = arg;
    db_params *p = db_params_create(a);
    db_i16(p, (int16_t)r->base.id);
    db_time(p, clock_wall_us(r->clock) - r->late_ms * 1000);
    return db_exec(c, &INSTANT_SQL[INSTANT_SQL_LOOKED], p, a, NULL, NULL, e);
}

// Writes only now and then: the deadline that watches it is far longer. A look does not count for its leftovers: so a sweep that is behind
// for long becomes the same case as a silent bank.
static void note_look(instant_rail *r) {
    const int64_t now_ms = clock_mono_ms(r->clock);
    err e = {0};
    if (r->noted_ms != 0 && now_ms - r->noted_ms < NOTE_EVERY_MS) {
        return;
    }
    arena *a = arena_create(1 << 16);
    if (db_transact(r->pool, deadline_of(r), a, note_in_tx, r, &e)) {
        r->noted_ms = now_ms;
    } else {
        log_err(LOG_WARN, "instant.sweep.not_noted", &e);
    }
    arena_destroy(a);
}

void instant_sweep_look(void *arg) {
    instant_rail *r = arg;
    err e = {0};
    if (!inbox_apply_waiting(r->box, r->base.id, &e)) {
        log_err(LOG_WARN, "instant.inbox.postponed", &e);
        err_clear(&e);
    }
    const int64_t now_ms = clock_mono_ms(r->clock);
    if (now_ms < r->sweep_at_ms) {
        return;
    }
    const int64_t rest_ms = r->settings.ask_again_ms / STEPS_OF_AN_AGE;
    r->sweep_at_ms = now_ms + (rest_ms < SWEEP_REST_MAX_MS ? rest_ms : SWEEP_REST_MAX_MS);
    if (!instant_sweep(r, &e)) {
        log_err(LOG_WARN, "instant.sweep_failed", &e);
    } else if (!r->silent) {
        note_look(r);
    }
}
