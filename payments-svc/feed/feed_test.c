// The feed against a real PostgreSQL: promise TOLD, as far as one room can keep it.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "feed/feed.h"
#include "testing/fixture.h"

enum { BOOK = 7, OTHER_BOOK = 3, WRITERS = 4, ROUNDS = 40, MANY = 2500 };

static db_pool *pool;
static arena *memory;

static int setup(void **state) {
    (void)state;
    log_init("feed-test", LOG_ERROR);
    pool = fixture_payments_pool(FEED_TEST_MIGRATIONS, WRITERS, 5000);
    memory = arena_create((size_t)32 << 20);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    db_pool_destroy(pool);
    arena_destroy(memory);
    return 0;
}

static int fresh(void **state) {
    (void)state;
    arena_reset(memory);
    fixture_sql("TRUNCATE feed, feed_head", NULL, 0);
    return 0;
}

static uuid id_of(int number) {
    return (uuid){
        {0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, (uint8_t)(number >> 8), (uint8_t)number}};
}

typedef struct change {
    int64_t book_id;
    const feed_entry *entries;
    size_t n;
} change;

typedef struct changes {
    const change *of;
    size_t n;
    bool refuse;
} changes;

static bool change_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    const changes *x = arg;
    for (size_t i = 0; i < x->n; i++) {
        if (!feed_add(c, x->of[i].book_id, x->of[i].entries, x->of[i].n, a, e)) {
            return false;
        }
    }
    return !x->refuse || err_set(e, ERR_FAILED_PRECONDITION, "NOT_NOW", "not now");
}

static void commit(const change *of, size_t n) {
    changes x = {.of = of, .n = n};
    err e = {0};
    if (!db_transact(pool, fixture_deadline(5000), memory, change_in_tx, &x, &e)) {
        fail_msg("%s: %s / %s", e.reason, e.message, e.detail);
    }
}

// What the feed says, in its own order: "position payout from>to reason", with the last digits of the payout.
static void expect_feed(int64_t book_id, const char *wanted) {
    char sql[600], got[600];
    (void)snprintf(sql, sizeof sql,
                   "SELECT coalesce(string_agg(f.position - f.n + u.nth || ' ' || "
                   "right(u.id::text, 2) || ' ' || u.was || '>' || u.became || coalesce(' ' || "
                   "u.reason, ''), ', ' ORDER BY f.position, u.nth), '') FROM feed f, "
                   "unnest(f.payout_ids, f.from_states, f.to_states, f.reasons) "
                   "WITH ORDINALITY AS u(id, was, became, reason, nth) WHERE f.book_id = %d",
                   (int)book_id);
    fixture_sql(sql, got, sizeof got);
    assert_string_equal(got, wanted);
}

static void test_TOLD_add__two_books__each_counts_its_own(void **state) {
    (void)state;
    const feed_entry new[] = {{.payout_id = id_of(1), .to = 3}, {.payout_id = id_of(2), .to = 3}},
                     moved[] = {{.payout_id = id_of(2), .from = 3, .to = 7, .reason = STR("R03")},
                                {.payout_id = id_of(1), .from = 3, .to = 4}},
                     other[] = {{.payout_id = id_of(9), .to = 3}};
    const change first[] = {{BOOK, new, 2}}, both[] = {{BOOK, moved, 2}, {OTHER_BOOK, other, 1}};
    commit(first, 1);
    commit(both, 2);
    expect_feed(BOOK, "1 01 0>3, 2 02 0>3, 3 02 3>7 R03, 4 01 3>4");
    expect_feed(OTHER_BOOK, "1 09 0>3");
    assert_int_equal(fixture_sql_i64("SELECT max(position) FROM feed WHERE book_id = 7"), 4);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM feed WHERE reasons IS NOT NULL"), 1);
}

static void test_TOLD_add__several_in_a_transaction__order_is_kept(void **state) {
    (void)state;
    const feed_entry held[] = {{.payout_id = id_of(1), .from = 4, .to = 10, .reason = STR("ODD")}},
                     freed[] = {{.payout_id = id_of(1), .from = 10, .to = 4}};
    const change of[] = {{BOOK, held, 1}, {OTHER_BOOK, freed, 1}, {BOOK, freed, 1}};
    commit(of, 3);
    expect_feed(BOOK, "1 01 4>10 ODD, 2 01 10>4");
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM feed"), 2);
}

static void test_add__state_did_not_change__no_entry(void **state) {
    (void)state;
    const feed_entry still[] = {{.payout_id = id_of(1), .from = 4, .to = 4}},
                     some[] = {{.payout_id = id_of(1), .from = 4, .to = 4},
                               {.payout_id = id_of(2), .from = 4, .to = 5}};
    const change none[] = {{BOOK, still, 1}}, one[] = {{BOOK, some, 2}};
    commit(none, 1);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM feed_head"), 0);
    commit(one, 1);
    expect_feed(BOOK, "1 02 4>5");
}

static void test_TOLD_add__rolled_back__no_number_is_used(void **state) {
    (void)state;
    const feed_entry new[] = {{.payout_id = id_of(1), .to = 3}};
    const change of[] = {{BOOK, new, 1}};
    changes x = {.of = of, .n = 1, .refuse = true};
    err e = {0};
    assert_false(db_transact(pool, fixture_deadline(5000), memory, change_in_tx, &x, &e));
    commit(of, 1);
    expect_feed(BOOK, "1 01 0>3");
}

static void test_add__many__rows_that_a_reader_can_stop_between(void **state) {
    (void)state;
    feed_entry *entries = ARENA_ARRAY(memory, feed_entry, MANY);
    for (int i = 0; i < MANY; i++) {
        entries[i] = (feed_entry){.payout_id = id_of(i), .to = 3};
    }
    const change of[] = {{BOOK, entries, MANY}};
    commit(of, 1);
    char got[200];
    fixture_sql("SELECT string_agg(position || ':' || n || ':' || cardinality(payout_ids), ' ' "
                "ORDER BY position) FROM feed",
                got, sizeof got);
    assert_string_equal(got, "1000:1000:1000 2000:1000:1000 2500:500:500");
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM feed f, unnest(payout_ids) WITH "
                                     "ORDINALITY AS u(id, nth) WHERE ('x' || right(id::text, "
                                     "4))::bit(16)::int = position - n + nth - 1"),
                     MANY);
}

// While somebody holds a snapshot, each version of a row that was changed since is looked through by each look for it.
static void test_add__commits_of_a_book__its_head_has_one_version(void **state) {
    (void)state;
    const feed_entry new[] = {{.payout_id = id_of(1), .to = 3}};
    const change of[] = {{BOOK, new, 1}};
    char before[40], after[40];
    commit(of, 1);
    fixture_sql("SELECT xmin || ' ' || ctid FROM feed_head", before, sizeof before);
    commit(of, 1);
    commit(of, 1);
    fixture_sql("SELECT xmin || ' ' || ctid FROM feed_head", after, sizeof after);
    assert_string_equal(after, before);
    expect_feed(BOOK, "1 01 0>3, 2 01 0>3, 3 01 0>3");
}

static void test_TOLD_add__clock_behind__time_does_not_go_back(void **state) {
    (void)state;
    const feed_entry new[] = {{.payout_id = id_of(1), .to = 3}};
    const change of[] = {{BOOK, new, 1}};
    commit(of, 1);
    fixture_sql("UPDATE feed SET at = now() + interval '1 day'", NULL, 0);
    commit(of, 1);
    assert_int_equal(
        fixture_sql_i64(
            "SELECT count(*) FROM feed f JOIN feed h ON f.at = h.at "
            "WHERE h.position = 1 AND f.position = 2 AND f.at > now() + interval '1 h'"),
        1);
}

typedef struct writer {
    pthread_t thread;
    int number;
    bool ok;
} writer;

// A payout goes from state to state, in transactions of its own.
static void *write_rounds(void *arg) {
    writer *w = arg;
    arena *a = arena_create((size_t)8 << 20);
    w->ok = true;
    for (int16_t i = 0; w->ok && i < ROUNDS; i++) {
        const feed_entry moved[] = {{.payout_id = id_of(w->number), .from = i, .to = i + 1},
                                    {.payout_id = id_of(100 + w->number), .from = i, .to = i + 1}};
        // Heads of two books, in whichever order they are named.
        const change of[] = {{w->number % 2 == 0 ? BOOK : OTHER_BOOK, moved, 2},
                             {w->number % 2 == 0 ? OTHER_BOOK : BOOK, moved, 1}};
        changes x = {.of = of, .n = 2};
        err e = {0};
        w->ok = db_transact(pool, fixture_deadline(20000), a, change_in_tx, &x, &e);
    }
    arena_destroy(a);
    return NULL;
}

static void test_TOLD_add__writers_beside_each_other__gapless_and_in_order(void **state) {
    (void)state;
    writer w[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        w[i] = (writer){.number = i};
        assert_int_equal(pthread_create(&w[i].thread, NULL, write_rounds, &w[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        (void)pthread_join(w[i].thread, NULL);
        assert_true(w[i].ok);
    }
    assert_int_equal(fixture_sql_i64("SELECT sum(position)::int8 FROM (SELECT max(position) "
                                     "AS position FROM feed GROUP BY book_id) AS h"),
                     WRITERS * ROUNDS * 3);
    assert_int_equal(
        fixture_sql_i64("SELECT count(*) FROM (SELECT position - n - lag(position, 1, 0::int8) "
                        "OVER (PARTITION BY book_id ORDER BY position) AS gap FROM feed) AS g "
                        "WHERE gap <> 0"),
        0);
    assert_int_equal(
        fixture_sql_i64(
            "SELECT count(*) FROM (SELECT u.was - lag(u.became, 1, 0::int2) OVER (PARTITION BY "
            "f.book_id, u.id ORDER BY f.position, u.nth) AS jump FROM feed f, unnest(payout_ids, "
            "from_states, to_states) WITH ORDINALITY AS u(id, was, became, nth)) AS j "
            "WHERE jump <> 0"),
        0);
}

// --- Reading ---------------------------------------------------------------------------------------------------------

typedef struct reading {
    int64_t after;
    feed_filter filter;
    int64_t entries;
    feed_page page;
    feed_ends ends;
} reading;

static bool read_in_db(db_conn *c, arena *a, void *arg, err *e) {
    reading *x = arg;
    return feed_look(c, BOOK, &x->ends, a, e) &&
           feed_read(c, BOOK, x->after, &x->filter, x->entries, &x->page, a, e);
}

static bool try_to_read(reading *x, err *e) {
    return db_read(pool, fixture_deadline(5000), memory, read_in_db, x, e);
}

static void must_read(reading *x) {
    err e = {0};
    if (!try_to_read(x, &e)) {
        fail_msg("%s: %s / %s", e.reason, e.message, e.detail);
    }
}

typedef struct beside {
    pthread_t thread;
    reading x;
    bool ok;
    err e;
} beside;

static const db_stmt LOCK_PAYOUTS = {"test_lock", "LOCK TABLE payout IN ACCESS EXCLUSIVE MODE"},
                     DROP_FIRST = {"test_drop", "DELETE FROM feed WHERE position <= 4"};

// Rows of one, three and two entries, in three transactions.
static void fill_six(void) {
    const feed_entry e[] = {{.payout_id = id_of(1), .to = 3},
                            {.payout_id = id_of(2), .to = 3},
                            {.payout_id = id_of(1), .from = 3, .to = 4},
                            {.payout_id = id_of(3), .to = 3},
                            {.payout_id = id_of(2), .from = 3, .to = 7, .reason = STR("R03")},
                            {.payout_id = id_of(1), .from = 4, .to = 5}};
    const change first = {BOOK, e, 1}, second = {BOOK, e + 1, 3}, third = {BOOK, e + 4, 2};
    commit(&first, 1);
    commit(&second, 1);
    commit(&third, 1);
}

static void test_TOLD_read__from_any_position__pages_follow_each_other(void **state) {
    (void)state;
    fill_six();
    for (int64_t entries = 1; entries <= 7; entries += 3) {
        for (int64_t from = 0; from <= 6; from++) {
            reading x = {.after = from, .entries = entries};
            int64_t next = from + 1;
            do {
                must_read(&x);
                for (size_t i = 0; i < x.page.n; i++) {
                    assert_int_equal(x.page.changes[i].position, next++);
                }
                assert_int_equal(x.page.upto, next - 1);
                assert_int_equal(x.page.head, 6);
                x.after = x.page.upto;
            } while (x.page.n > 0);
            assert_int_equal(next, 7);
        }
    }
}

static void test_read__filtered__positions_stay(void **state) {
    (void)state;
    fill_six();
    const int16_t failed[] = {7};
    reading x = {.entries = 100, .filter = {.states = failed, .n_states = 1}};
    must_read(&x);
    assert_int_equal(x.page.n, 1);
    assert_int_equal(x.page.changes[0].position, 5);
    assert_true(str_eq_c(x.page.changes[0].entry.reason, "R03"));
    assert_int_equal(x.page.upto, 6);
    x.filter = (feed_filter){.merchant_id = STR("nobody")};
    must_read(&x);
    assert_int_equal(x.page.n, 0);
    assert_int_equal(x.page.upto, 6);
}

static void test_read__nothing_was_written__nothing_is_there(void **state) {
    (void)state;
    reading x = {.entries = 100};
    must_read(&x);
    assert_int_equal(x.page.n, 0);
    assert_int_equal(x.page.upto, 0);
    assert_int_equal(x.ends.head, 0);
}

static void test_TOLD_read__gone_or_not_there__refused(void **state) {
    (void)state;
    fill_six();
    fixture_sql("DELETE FROM feed WHERE position <= 4", NULL, 0);
    reading x = {.entries = 100};
    must_read(&x);
    assert_int_equal(x.page.n, 2); // all that is kept
    assert_int_equal(x.ends.oldest, 4);
    x.after = 3;
    err e = {0};
    assert_false(try_to_read(&x, &e));
    assert_string_equal(e.reason, "FEED_POSITION_GONE");
    x.after = 7;
    err_clear(&e);
    assert_false(try_to_read(&x, &e));
    assert_string_equal(e.reason, "FEED_POSITION_UNKNOWN");
    x.after = 4;
    must_read(&x);
    assert_int_equal(x.page.n, 2);
    x.after = 6;
    must_read(&x);
    assert_int_equal(x.page.n, 0);
}

static void *read_beside(void *arg) {
    beside *b = arg;
    arena *a = arena_create((size_t)8 << 20);
    b->ok = db_read(pool, fixture_deadline(20000), a, read_in_db, &b->x, &b->e);
    arena_destroy(a);
    return NULL;
}

// The second statement of the page waits for the lock, the first one does not need it.
static void test_TOLD_read__retention_between_its_statements__refused(void **state) {
    (void)state;
    fill_six();
    beside b = {.x = {.after = 0, .entries = 100}};
    err e = {0};
    db_pool *owner = fixture_pool(fixture_conninfo(), 1, 20000);
    db_conn *c = db_pool_checkout(owner, fixture_deadline(5000), &e);
    assert_true(db_begin(c, fixture_deadline(20000), &e));
    assert_true(db_exec(c, &LOCK_PAYOUTS, NULL, memory, NULL, NULL, &e));
    assert_int_equal(pthread_create(&b.thread, NULL, read_beside, &b), 0);
    while (fixture_sql_i64("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = "
                           "'payout'::regclass") == 0) {
        clock_pause_ms(1);
    }
    assert_true(db_exec(c, &DROP_FIRST, NULL, memory, NULL, NULL, &e));
    assert_true(db_commit(c, &e));
    db_pool_checkin(owner, c);
    db_pool_destroy(owner);
    (void)pthread_join(b.thread, NULL);
    assert_false(b.ok);
    assert_string_equal(b.e.reason, "FEED_POSITION_GONE");
}

static void test_TOLD_read__behind_what_was_forgotten__refused(void **state) {
    (void)state;
    fill_six();
    // As a standby has it that did not get the last row, and goes on under the numbers of its own timeline.
    fixture_sql("DELETE FROM feed WHERE position > 4; "
                "UPDATE feed SET position = position + 1099511627776; "
                "INSERT INTO feed SELECT book_id, position - 1099511627776, n, at, payout_ids, "
                "from_states, to_states FROM feed",
                NULL, 0);
    reading x = {.entries = 100};
    err e = {0};
    const int64_t forgotten[] = {5, 6, 7, INT64_C(1099511627776) + 5};
    for (size_t i = 0; i < sizeof forgotten / sizeof forgotten[0]; i++) {
        x.after = forgotten[i];
        err_clear(&e);
        assert_false(try_to_read(&x, &e));
        assert_string_equal(e.reason, "FEED_POSITION_UNKNOWN");
    }
    x.after = 4;
    must_read(&x);
    assert_int_equal(x.page.n, 4);
    assert_int_equal(x.page.changes[0].position, INT64_C(1099511627776) + 1);
    x.after = INT64_C(1099511627776) + 2;
    must_read(&x);
    assert_int_equal(x.page.n, 2);
}

static void test_hub__a_head_moves__its_readers_wake(void **state) {
    (void)state;
    err e = {0};
    feed_hub *h = feed_hub_start(pool, &e);
    feed_reader *r = feed_reader_join(h, BOOK, &e), *other = feed_reader_join(h, OTHER_BOOK, &e);
    assert_false(feed_reader_wait(r, 1));
    const feed_entry new[] = {{.payout_id = id_of(1), .to = 3}};
    const change of[] = {{BOOK, new, 1}};
    commit(of, 1);
    assert_true(feed_reader_wait(r, 0)); // it was told before the commit was answered
    assert_false(feed_reader_wait(other, 1));
    feed_reader_note(r, 1, 1);
    assert_false(feed_reader_wait(r, 1));
    fixture_sql("INSERT INTO feed SELECT book_id, 2, n, at, payout_ids, from_states, to_states "
                "FROM feed",
                NULL, 0);
    assert_true(feed_reader_wait(r, 5000));
    feed_reader_leave(r);
    feed_reader_leave(other);
    feed_hub_stop(h);
    commit(of, 1); // nobody is told
}

static void test_hub__a_head_goes_back__nobody_is_woken_for_nothing(void **state) {
    (void)state;
    err e = {0};
    fill_six();
    feed_hub *h = feed_hub_start(pool, &e);
    feed_reader *r = feed_reader_join(h, BOOK, &e);
    feed_reader_note(r, 0, 6);
    fixture_sql("DELETE FROM feed WHERE position > 4", NULL, 0);
    feed_reader_note(r, 4, 4);
    // Each look takes what it has read. A reader waits for another head from then on.
    const int64_t until = fixture_deadline(5000);
    while (feed_reader_wait(r, 1) && clock_mono_ms(clock_system()) < until) {
        clock_pause_ms(1);
    }
    assert_false(feed_reader_wait(r, 1));
    const feed_entry more[] = {{.payout_id = id_of(7), .to = 3}};
    const change of = {BOOK, more, 1};
    commit(&of, 1);
    assert_true(feed_reader_wait(r, 0));
    feed_reader_leave(r);
    feed_hub_stop(h);
}

static void test_hub__books_that_are_written_or_left__take_no_place(void **state) {
    (void)state;
    err e = {0};
    feed_hub *h = feed_hub_start(pool, &e);
    for (int64_t b = 1000; b < 1000 + 1024; b++) {
        feed_tell(b, 1);
        feed_reader_leave(feed_reader_join(h, b, &e));
    }
    feed_reader *r = feed_reader_join(h, BOOK, &e);
    assert_non_null(r);
    assert_false(err_is_set(&e));
    feed_reader_leave(r);
    feed_hub_stop(h);
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_TOLD_add__two_books__each_counts_its_own),
        T(test_TOLD_add__several_in_a_transaction__order_is_kept),
        T(test_add__state_did_not_change__no_entry),
        T(test_TOLD_add__rolled_back__no_number_is_used),
        T(test_add__many__rows_that_a_reader_can_stop_between),
        T(test_add__commits_of_a_book__its_head_has_one_version),
        T(test_TOLD_add__clock_behind__time_does_not_go_back),
        T(test_TOLD_add__writers_beside_each_other__gapless_and_in_order),
        T(test_TOLD_read__from_any_position__pages_follow_each_other),
        T(test_read__filtered__positions_stay),
        T(test_read__nothing_was_written__nothing_is_there),
        T(test_TOLD_read__gone_or_not_there__refused),
        T(test_TOLD_read__retention_between_its_statements__refused),
        T(test_TOLD_read__behind_what_was_forgotten__refused),
        T(test_hub__a_head_moves__its_readers_wake),
        T(test_hub__a_head_goes_back__nobody_is_woken_for_nothing),
        T(test_hub__books_that_are_written_or_left__take_no_place),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
