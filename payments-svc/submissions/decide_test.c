// People's decisions about submissions, against a real PostgreSQL.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "events/events.h"
#include "submissions/decide.h"
#include "testing/fixture.h"
#include "testing/rail_fixture.h"

enum { BOOK = 7, ITEMS = 2 };

static db_pool *pool;
static arena *mem;

static const uuid ID = {{0x01, 0x93, 0, 0, 0, 0, 0x70, 1, 0x80, 0, 0, 0, 0, 0, 0, 1}};

static uuid payout(int n) {
    uuid id = ID;
    id.b[7] = 2;
    id.b[15] = (uint8_t)n;
    return id;
}

static bool add_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    (void)arg;
    submission_item items[ITEMS];
    for (int i = 0; i < ITEMS; i++) {
        items[i] = (submission_item){payout(i), 1, i + 1, 100};
    }
    const submission_new s = {.id = ID,
                              .connection = 1,
                              .kind = SUBMISSION_FILE,
                              .name = STR("a.ach"),
                              .origin = STR("1900000007"),
                              .cycle = 1,
                              .currency = "USD",
                              .total = 100 * ITEMS,
                              .size = 6,
                              .sealed = STR("sealed"),
                              .generation = 1,
                              .stale_us = clock_wall_us(clock_system()),
                              .created_us = clock_wall_us(clock_system()),
                              .items = items,
                              .n_items = ITEMS};
    return submission_add(c, BOOK, &s, a, e);
}

// A submission in this state.
static void prepare(submission_state state) {
    char sql[128];
    err e = {0};
    if (!db_transact(pool, fixture_deadline(30000), mem, add_in_tx, NULL, &e)) {
        fail_msg("%s %s", e.message, e.detail);
    }
    (void)snprintf(sql, sizeof sql, "UPDATE submission SET state = %d", (int)state);
    fixture_sql(sql, NULL, 0);
}

static bool contradicted;

// Makes any later write or lock in this transaction an error.
static bool only_read(db_conn *c, arena *a, err *e) {
    static const db_stmt READ_ONLY = {"test_read_only",
                                      "SELECT set_config('transaction_read_only', 'on', true)"};
    return db_exec(c, &READ_ONLY, NULL, a, NULL, NULL, e);
}

static submission_decision decision(bool bank_has_it) {
    return (submission_decision){.bank_has_it = bank_has_it,
                                 .contradicted = contradicted,
                                 .actor = STR("ada"),
                                 .evidence = STR("their letter of today"),
                                 .now_us = clock_wall_us(clock_system())};
}

static bool look_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    const submission_decision d = decision(*(const bool *)arg);
    return only_read(c, a, e) && submission_decide_look(c, BOOK, ID, &d, a, e);
}

static bool decide_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    const submission_decision d = decision(*(const bool *)arg);
    return submission_decide(c, BOOK, ID, &d, a, e);
}

// A look before the decision gives the same answer.
static const char *decide(bool bank_has_it) {
    static err e;
    err before = {0};
    err_clear(&e);
    const bool may =
        db_transact(pool, fixture_deadline(30000), mem, look_in_tx, &bank_has_it, &before);
    const bool done =
        db_transact(pool, fixture_deadline(30000), mem, decide_in_tx, &bank_has_it, &e);
    assert_int_equal(may, done);
    assert_string_equal(before.message, e.message);
    return done ? "" : e.reason;
}

static int64_t state_of(void) {
    return fixture_sql_i64("SELECT state FROM submission");
}

static int64_t events_of(int kind) {
    char sql[128];
    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM rail_event WHERE kind = %d", kind);
    return fixture_sql_i64(sql);
}

static void test_decide__the_bank_has_it__sent_and_told_once(void **state) {
    (void)state;
    prepare(SUBMISSION_UNKNOWN);
    assert_string_equal(decide(true), "");
    assert_string_equal(decide(true), "");
    assert_int_equal(state_of(), SUBMISSION_SENT);
    assert_int_equal(events_of(RAIL_EVENT_ACCEPTED), ITEMS);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM submission_upload WHERE kind = 4 AND "
                                     "detail = 'ada: their letter of today'"),
                     1);
    assert_string_equal(decide(false), "SUBMISSION_NOT_UNKNOWN");
    assert_int_equal(state_of(), SUBMISSION_SENT);
}

static void test_decide__the_bank_has_it_not__rejected_and_sent_anew(void **state) {
    (void)state;
    prepare(SUBMISSION_UNKNOWN);
    assert_string_equal(decide(false), "");
    assert_string_equal(decide(false), "");
    assert_int_equal(state_of(), SUBMISSION_REJECTED);
    assert_int_equal(events_of(RAIL_EVENT_NOT_TAKEN), ITEMS);
    assert_string_equal(decide(true), "SUBMISSION_NOT_UNKNOWN");
    assert_int_equal(events_of(RAIL_EVENT_ACCEPTED), 0);
}

// A sender is at work: a person's knowledge is older than that.
static void test_decide__being_sent__is_refused(void **state) {
    (void)state;
    const submission_state others[] = {SUBMISSION_PREPARED, SUBMISSION_SENDING,
                                       SUBMISSION_WITHDRAWN};
    prepare(SUBMISSION_PREPARED);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char sql[128];
        (void)snprintf(sql, sizeof sql, "UPDATE submission SET state = %d", (int)others[i]);
        fixture_sql(sql, NULL, 0);
        assert_string_equal(decide(true), "SUBMISSION_NOT_UNKNOWN");
        assert_string_equal(decide(false), "SUBMISSION_NOT_UNKNOWN");
        assert_int_equal(state_of(), others[i]);
    }
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM rail_event"), 0);
}

static void move_to(submission_state state, const char *reason) {
    char sql[200];
    (void)snprintf(sql, sizeof sql,
                   "UPDATE submission SET state = %d, reason = '%s'; DELETE FROM rail_event",
                   (int)state, reason);
    fixture_sql(sql, NULL, 0);
}

// Rejected for a reason that may mean a copy, or rejected after an acknowledgement: some decision always ends it.
static void test_decide__disputed__either_way(void **state) {
    (void)state;
    prepare(SUBMISSION_DISPUTED);
    assert_string_equal(decide(false), "");
    assert_int_equal(state_of(), SUBMISSION_REJECTED);
    assert_int_equal(events_of(RAIL_EVENT_NOT_TAKEN), ITEMS);
    move_to(SUBMISSION_DISPUTED, "");
    assert_string_equal(decide(true), "");
    assert_int_equal(state_of(), SUBMISSION_SENT);
    assert_int_equal(events_of(RAIL_EVENT_ACCEPTED), ITEMS);
    move_to(SUBMISSION_DISPUTED, "");
    fixture_sql("INSERT INTO submission_upload (book_id, submission_id, seq, kind, epoch, detail, "
                "at) SELECT book_id, submission_id, 90, 6, 0, '', now() FROM submission",
                NULL, 0);
    assert_string_equal(decide(true), "");
    assert_int_equal(state_of(), SUBMISSION_ACKED);
}

// An entry that moved proves that the bank has the file, whatever a person says.
static void test_decide__an_entry_was_settled__never_not_there(void **state) {
    (void)state;
    prepare(SUBMISSION_DISPUTED);
    fixture_sql("INSERT INTO rail_event (book_id, payout_id, attempt, event_id, kind, code, "
                "detail, rail_reference, at) SELECT book_id, payout_id, attempt, 'x', 3, '', '', "
                "'', now() FROM submission_item LIMIT 1",
                NULL, 0);
    assert_string_equal(decide(false), "SUBMISSION_NOT_UNKNOWN");
    assert_int_equal(state_of(), SUBMISSION_DISPUTED);
    assert_string_equal(decide(true), "");
}

// The bank contradicts itself: a person's evidence can overrule its first word.
static void test_decide__contradicted__either_way(void **state) {
    (void)state;
    prepare(SUBMISSION_ACKED);
    assert_string_equal(decide(false), "SUBMISSION_NOT_UNKNOWN");
    contradicted = true;
    assert_string_equal(decide(false), "");
    assert_int_equal(state_of(), SUBMISSION_REJECTED);
    assert_int_equal(events_of(RAIL_EVENT_NOT_TAKEN), ITEMS);
    assert_string_equal(decide(true), "");
    assert_int_equal(state_of(), SUBMISSION_SENT);
    contradicted = false;
}

// Rejected too often: its payouts wait until a person has them sent again.
static void test_decide__rebuilt_too_often__sent_anew(void **state) {
    (void)state;
    prepare(SUBMISSION_PREPARED);
    move_to(SUBMISSION_REJECTED, "REBUILT_TOO_OFTEN");
    assert_string_equal(decide(true), "SUBMISSION_NOT_UNKNOWN");
    assert_string_equal(decide(false), "");
    assert_int_equal(events_of(RAIL_EVENT_NOT_TAKEN), ITEMS);
    assert_string_equal(decide(false), "");
    assert_int_equal(state_of(), SUBMISSION_REJECTED);
}

static bool way_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    return submission_make_way(c, BOOK, payout(0), 1, STR("CANCEL by ada"), arg, a, e);
}

static bool way_look_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    return only_read(c, a, e) && submission_way_look(c, BOOK, payout(0), 1, arg, a, e);
}

static void test_make_way__by_the_state_of_the_submission(void **state) {
    (void)state;
    const struct {
        submission_state state;
        bool refused, gone;
    } cases[] = {{SUBMISSION_SENDING, true, false},  {SUBMISSION_UNKNOWN, true, false},
                 {SUBMISSION_SENT, false, false},    {SUBMISSION_ACKED, false, false},
                 {SUBMISSION_REJECTED, false, true}, {SUBMISSION_WITHDRAWN, false, true},
                 {SUBMISSION_DISPUTED, true, false}, {SUBMISSION_PREPARED, false, true}};
    prepare(SUBMISSION_PREPARED);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char sql[128];
        bool gone = false, would_be_gone = false;
        err e = {0}, before = {0};
        (void)snprintf(sql, sizeof sql, "UPDATE submission SET state = %d", (int)cases[i].state);
        fixture_sql(sql, NULL, 0);
        assert_int_equal(db_transact(pool, fixture_deadline(30000), mem, way_look_in_tx,
                                     &would_be_gone, &before),
                         !cases[i].refused);
        assert_int_equal(would_be_gone, cases[i].gone);
        assert_int_equal(db_transact(pool, fixture_deadline(30000), mem, way_in_tx, &gone, &e),
                         !cases[i].refused);
        assert_int_equal(gone, cases[i].gone);
        assert_true(!cases[i].refused || strcmp(e.reason, "SUBMISSION_UNDECIDED") == 0);
        assert_string_equal(before.reason, e.reason);
    }
    assert_int_equal(state_of(), SUBMISSION_WITHDRAWN); // its last item was taken out
    assert_int_equal(events_of(RAIL_EVENT_NOT_TAKEN), ITEMS - 1);
}

static int group_setup(void **state) {
    (void)state;
    log_init("decide-test", LOG_ERROR + 1);
    rail_fixture_migrate();
    pool = fixture_pool(fixture_conninfo(), 4, 30000);
    return 0;
}

static int group_teardown(void **state) {
    (void)state;
    db_pool_destroy(pool);
    return 0;
}

static int setup(void **state) {
    (void)state;
    rail_fixture_clear();
    mem = arena_create(16 << 20);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_destroy(mem);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_decide__the_bank_has_it__sent_and_told_once),
        TEST(test_decide__the_bank_has_it_not__rejected_and_sent_anew),
        TEST(test_decide__being_sent__is_refused),
        TEST(test_decide__disputed__either_way),
        TEST(test_decide__an_entry_was_settled__never_not_there),
        TEST(test_decide__contradicted__either_way),
        TEST(test_decide__rebuilt_too_often__sent_anew),
        TEST(test_make_way__by_the_state_of_the_submission),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
