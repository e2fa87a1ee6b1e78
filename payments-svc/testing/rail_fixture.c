#include "testing/rail_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "events/events.h"
#include "testing/fixture.h"

atomic_bool rail_fixture_events_fail, rail_fixture_events_race;

void rail_fixture_migrate(void) {
    err e = {0};
    const char *dir = getenv("PAYMENTS_MIGRATIONS");
    ASSERT(dir != NULL);
    fixture_sql("CREATE ROLE payments_service", NULL, 0);
    if (!db_migrate(fixture_conninfo(), dir, &e)) {
        (void)fprintf(stderr, "%s %s\n", e.message, e.detail);
        abort();
    }
}

void rail_fixture_clear(void) {
    fixture_sql("TRUNCATE submission, submission_item, submission_upload, submission_directory, "
                "submission_number, submission_day, inbound_file, rail_event, payout, "
                "saga, step_log, recipient, inbox, inbox_version, inbox_exception, inbox_sweep, "
                "inbox_sweep_again, "
                "payment_case, "
                "case_note",
                NULL, 0);
    atomic_store(&rail_fixture_events_fail, false);
}

typedef struct prepare_arg {
    rail *r;
    int64_t book_id;
    rail_item *items;
    size_t n;
} prepare_arg;

static bool prepare(db_conn *c, arena *a, void *arg, err *e) {
    prepare_arg *p = arg;
    return p->r->prepare(p->r, c, p->book_id, p->items, p->n, a, e);
}

bool rail_fixture_prepare(db_pool *pool, rail *r, int64_t book_id, rail_item *items, size_t n,
                          arena *a, err *e) {
    prepare_arg p = {r, book_id, items, n};
    return db_transact(pool, fixture_deadline(30000), a, prepare, &p, e);
}

void rail_fixture_payout(int64_t book_id, uuid payout_id, int rail_id, int64_t amount,
                         const char *currency, int attempt) {
    char sql[1024], id[UUID_TEXT_LEN + 1];
    uuid_format(payout_id, id);
    (void)snprintf(
        sql, sizeof sql,
        "INSERT INTO payout (book_id, payout_id, merchant_id, recipient_id, amount, currency, rail,"
        " external_reference, description, created_at, intent_id) VALUES (%" PRId64
        ", '%s', 'm', '%s', %" PRId64 ", '%s', %d, '', '', now(), '%s');"
        "INSERT INTO saga (book_id, payout_id, rail, step, phase, state, attempt, tries, log_seq, "
        "events,"
        " events_seen, due_at, epoch, reason, reason_text, rail_reference, updated_at, step_since) "
        "VALUES (%" PRId64 ", '%s', %d, 4, 0, 5, %d, 0, 1, 0, 0, NULL, 1, '', '', '',"
        " now(), now())",
        book_id, id, id, amount, currency, rail_id, id, book_id, id, rail_id, attempt);
    fixture_sql(sql, NULL, 0);
}

#define INSERT                                                                                     \
    "INSERT INTO rail_event (book_id, payout_id, event_id, attempt, kind, code, "                  \
    "detail, rail_reference, at, amount, currency, source, actor, inbox_id, inbox_line)"           \
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) "
static const db_stmt RECORD_EVENT = {"fixture_record_event", INSERT "ON CONFLICT DO NOTHING"};
static const db_stmt ADD_EVENT = {"fixture_add_event", INSERT};

static bool insert_event(db_conn *c, const db_stmt *insert, int64_t book_id, const rail_event *v,
                         arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, v->payout_id);
    db_text(p, v->event_id);
    db_i32(p, v->attempt);
    db_i16(p, (int16_t)v->kind);
    db_text(p, v->code);
    db_text(p, v->text);
    db_text(p, v->reference);
    db_time(p, v->at_us);
    db_i64(p, v->amount);
    db_text(p, str_of(v->currency));
    db_i16(p, (int16_t)(v->source == 0 ? RAIL_SOURCE_BANK : v->source));
    db_text(p, v->actor.ptr == NULL ? (str){"", 0} : v->actor);
    db_uuid(p, v->inbox_id);
    db_i32(p, v->inbox_line);
    return db_exec(c, insert, p, a, NULL, NULL, e);
}

static bool insert_events(db_conn *c, const db_stmt *insert, int64_t book_id,
                          const rail_event *events, size_t n, arena *a, err *e) {
    for (size_t i = 0; i < n; i++) {
        if (!insert_event(c, insert, book_id, &events[i], a, e)) {
            return false;
        }
        if (atomic_load(&rail_fixture_events_fail)) {
            return err_set(e, ERR_INTERNAL, "TEST", "told to fail");
        }
    }
    return true;
}

bool rail_events_record(db_conn *c, int64_t book_id, const rail_event *events, size_t n, arena *a,
                        err *e) {
    return insert_events(c, &RECORD_EVENT, book_id, events, n, a, e);
}

static void say_the_same(int64_t book_id, const rail_event *v) {
    char sql[1024], id[UUID_TEXT_LEN + 1];
    uuid_format(v->payout_id, id);
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO rail_event (book_id, payout_id, event_id, attempt, kind, code, "
                   "detail, rail_reference, at, amount, currency) VALUES (%" PRId64
                   ", '%s', '%.*s', %d, %d, '', '', '', now(), %" PRId64 ", '%s')",
                   book_id, id, (int)v->event_id.len, v->event_id.ptr, (int)v->attempt,
                   (int)v->kind, v->amount, v->currency);
    fixture_sql(sql, NULL, 0);
}

bool rail_events_add(db_conn *c, int64_t book_id, int connection, const rail_event *events,
                     size_t n, arena *a, err *e) {
    (void)connection;
    if (atomic_exchange(&rail_fixture_events_race, false)) {
        say_the_same(book_id, &events[n - 1]);
    }
    return insert_events(c, &ADD_EVENT, book_id, events, n, a, e);
}

void rail_fixture_nap_ms(int ms) {
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    (void)nanosleep(&t, NULL);
}

void rail_fixture_wake(void *arg, int64_t book_id, int connection) {
    ASSERT(book_id > 0 && connection > 0);
    atomic_fetch_add((atomic_int *)arg, 1);
}
