// Periodic work against a real PostgreSQL: once for all instances; overdue objects become a case, and a gauge shows them.
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
#include "base/metrics.h"
#include "jobs/deadlines.h"
#include "jobs/jobs_sql.h"
#include "testing/fixture.h"

enum { BOOK = 7, ACH = 1, INSTANT = 2, DAY_S = 86400 };

static db_pool *pool;
static arena *memory;

static int setup(void **state) {
    (void)state;
    log_init("jobs-test", LOG_ERROR);
    pool = fixture_payments_pool(JOBS_TEST_MIGRATIONS, 4, 5000);
    memory = arena_create((size_t)64 << 20);
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
    fixture_sql(
        "TRUNCATE payment_case, case_note, job, payout, saga, step_log, merchant_book, inbox, "
        "inbox_exception; "
        "INSERT INTO merchant_book VALUES ('shop', 7)",
        NULL, 0);
    return 0;
}

// --- The runner ------------------------------------------------------------------------------------------------------------

typedef struct counting {
    int runs;
    bool fail;
    const job *inner; // run during this one
    bool inner_ran;
} counting;

static const db_stmt WRITE = {"test_write",
                              "INSERT INTO merchant_book (merchant_id, book_id) VALUES ($1, 9)"};

static bool count_run(db_conn *c, int64_t now_us, arena *a, void *arg, err *e) {
    counting *x = arg;
    (void)now_us;
    x->runs++;
    char name[32];
    static int all;
    (void)snprintf(name, sizeof name, "run-%d", ++all);
    db_params *p = db_params_create(a);
    db_text(p, str_of(name));
    if (!db_exec(c, &WRITE, p, a, NULL, NULL, e)) {
        return false;
    }
    if (x->inner != NULL) { // plays another instance
        arena *other = arena_create(1 << 20);
        err failed;
        assert_true(jobs_run_one(pool, clock_system(), x->inner, other, &x->inner_ran, &failed));
        arena_destroy(other);
    }
    return !x->fail || err_set(e, ERR_INTERNAL, "TEST", "the test wants it so");
}

static bool run_job(const job *which) {
    bool ran = false;
    err e = {0};
    if (!jobs_run_one(pool, clock_system(), which, memory, &ran, &e)) {
        assert_string_equal(e.reason, "TEST");
        return false;
    }
    return ran;
}

static void test_FENCED__of_two_instances_one_does_it(void **state) {
    (void)state;
    counting inner = {0};
    const job other = {.name = "test", .every_ms = 60000, .run = count_run, .arg = &inner};
    counting outer = {.inner = &other, .inner_ran = true};
    const job first = {.name = "test", .every_ms = 60000, .run = count_run, .arg = &outer};
    assert_true(run_job(&first));
    assert_false(outer.inner_ran); // during the run
    assert_false(run_job(&other)); // and until the next due time
    assert_int_equal(inner.runs, 0);
    fixture_sql("UPDATE job SET next_at = now() - interval '1 s'", NULL, 0);
    assert_true(run_job(&other));
    assert_int_equal(fixture_sql_i64("SELECT runs FROM job WHERE name = 'test'"), 2);
}

static void test_run__a_failure_leaves_nothing_and_is_tried_again(void **state) {
    (void)state;
    counting x = {.fail = true};
    const job failing = {.name = "test", .every_ms = 60000, .run = count_run, .arg = &x};
    assert_false(run_job(&failing));
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM merchant_book WHERE book_id = 9"), 0);
    x.fail = false;
    assert_true(run_job(&failing));
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM merchant_book WHERE book_id = 9"), 1);
}

typedef struct sweeping {
    atomic_int runs;
    atomic_bool fail, waits, go_on;
} sweeping;

static bool sweep(void *arg) {
    sweeping *s = arg;
    atomic_fetch_add(&s->runs, 1);
    while (atomic_load(&s->waits) && !atomic_load(&s->go_on)) {
        clock_pause_ms(1);
    }
    return !atomic_load(&s->fail);
}

static void wait_for_runs(const metric *m, int64_t n) {
    const int64_t end_ms = clock_mono_ms(clock_system()) + 60000;
    while (metric_value(m) < n && clock_mono_ms(clock_system()) < end_ms) {
        clock_pause_ms(1);
    }
    assert_true(metric_value(m) >= n);
}

static bool nothing(db_conn *c, int64_t now_us, arena *a, void *arg, err *e) {
    (void)c, (void)now_us, (void)a, (void)arg, (void)e;
    return true;
}

// A job that calls others may wait for them, while the other jobs go on.
static void test_alone__has_a_thread_of_its_own(void **state) {
    (void)state;
    sweeping waiting = {.waits = true}, failing = {.fail = true};
    const job table[] = {{.name = "t.waits", .every_ms = 20, .alone = sweep, .arg = &waiting},
                         {.name = "t.fails", .every_ms = 20, .alone = sweep, .arg = &failing},
                         {.name = "t.runs", .every_ms = 20, .each_instance = true, .run = nothing}};
    const metric *runs = metric_counter("payments_job_runs_total", "job=\"t.runs\"", "");
    const metric *waited = metric_counter("payments_job_runs_total", "job=\"t.waits\"", "");
    const metric *failures = metric_counter("payments_job_failures_total", "job=\"t.fails\"", "");
    err e = {0};
    jobs *j = jobs_start(pool, clock_system(), table, 3, &e);
    assert_non_null(j);
    wait_for_runs(runs, 3);
    wait_for_runs(failures, 3);
    assert_int_equal(atomic_load(&waiting.runs), 1); // it waits, and delays nobody
    assert_int_equal(metric_value(waited), 0);
    atomic_store(&waiting.go_on, true);
    wait_for_runs(waited, 2);
    jobs_stop(j);
    const int after = atomic_load(&waiting.runs);
    clock_pause_ms(60);
    assert_int_equal(atomic_load(&waiting.runs), after);
}

// --- Deadlines -------------------------------------------------------------------------------------------------------------

static const connection_info BOTH[] = {
    {.id = ACH, .name = "ach", .on = true, .in_files = true, .notes_looks = true},
    {.id = INSTANT, .name = "instant", .on = true, .notes_looks = true}};
static const connection_info NO_ACH[] = {
    {.id = ACH, .name = "ach", .in_files = true},
    {.id = INSTANT, .name = "instant", .on = true, .notes_looks = true}};
static const deadlines_settings SETTINGS = {.every_ms = 1000,
                                            .reserve_s = 60,
                                            .execute_s = 600,
                                            .resolve_s = 300,
                                            .await_files_s = 3 * DAY_S,
                                            .await_s = 900,
                                            .confirm_s = 120,
                                            .switched_off_s = 30,
                                            .deposit_s = 200,
                                            .unheard_s = 300,
                                            .inbox_s = 600};

// n payouts of a connection that have been at a step for so long. due: SQL of due_at; hold: reason.
static void payouts(int rail, int step, int64_t age_s, int n, const char *due, const char *hold) {
    char sql[1400];
    (void)snprintf(
        sql, sizeof sql,
        "WITH new AS (SELECT md5(random()::text)::uuid AS id FROM generate_series(1, %d)), "
        "p AS (INSERT INTO payout (book_id, payout_id, merchant_id, recipient_id, amount, "
        "currency, "
        "rail, external_reference, description, created_at, intent_id) SELECT 7, id, 'shop', id, "
        "1234, 'USD', %d, '', '', now() - interval '10 d', id FROM new) "
        "INSERT INTO saga (book_id, payout_id, rail, step, phase, state, attempt, tries, log_seq, "
        "events, events_seen, due_at, epoch, reason, reason_text, rail_reference, updated_at, "
        "step_since, hold) SELECT 7, id, %d, %d, 0, 4, 1, 3, 2, 0, 0, %s, 1, 'BANK_BUSY', '', '', "
        "%s - interval '%lld s', now() - interval '%lld s', '%s' FROM new",
        n, rail, rail, step, due, "now()", strcmp(due, "now()") == 0 ? 0 : (long long)age_s,
        (long long)age_s, hold);
    fixture_sql(sql, NULL, 0);
}

static void look(const connection_info *list) {
    connections *known = connections_create(NULL, 0);
    connections_add(known, &list[0]);
    connections_add(known, &list[1]);
    deadlines *d = deadlines_create(&SETTINGS, known);
    job table[DEADLINES_JOBS];
    assert_int_equal(deadlines_jobs(d, table), DEADLINES_JOBS);
    fixture_sql("UPDATE job SET next_at = now() - interval '1 s'", NULL, 0);
    for (size_t i = 0; i < DEADLINES_JOBS; i++) {
        assert_true(run_job(&table[i]));
    }
    deadlines_destroy(d);
    connections_destroy(known);
}

static int64_t open_cases(const char *kind) {
    char sql[200];
    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM payment_case WHERE state = 1 AND kind = '%s'", kind);
    return fixture_sql_i64(sql);
}

static void test_SEEN__sent_for_ever_becomes_a_case(void **state) {
    (void)state;
    payouts(ACH, 4, 4 * DAY_S, 1, "NULL", "");     // no word about it will ever come
    payouts(ACH, 4, 2 * DAY_S, 1, "NULL", "");     // within its time
    payouts(INSTANT, 4, 1000, 1, "now()", "");     // a bank that says "accepted" for ever
    payouts(INSTANT, 3, 301, 1, "now()", "");      // asked for without end
    payouts(INSTANT, 2, 601, 1, "now()", "");      // tried without end
    payouts(INSTANT, 2, 500, 1, "now()", "");      // within its time
    payouts(INSTANT, 4, 1000, 1, "NULL", "HELD");  // has its own case
    payouts(INSTANT, 8, 9 * DAY_S, 5, "NULL", ""); // done
    look(BOTH);
    assert_int_equal(open_cases("PAYOUT_OVERDUE"), 4);
    assert_int_equal(
        fixture_sql_i64("SELECT count(*) FROM payment_case k JOIN saga s ON s.payout_id = "
                        "k.subject_id::uuid WHERE k.book_id = 7 AND k.merchant_id = 'shop' AND "
                        "k.amount = 1234 AND k.currency = 'USD' AND s.step = 4 AND s.rail = 1 AND "
                        "k.code = 'AWAIT' AND k.text LIKE 'at AWAIT of ach since %BANK_BUSY'"),
        1);
    look(BOTH); // found once
    assert_int_equal(open_cases("PAYOUT_OVERDUE"), 4);
    assert_int_equal(
        fixture_sql_i64("SELECT sum(seen) FROM payment_case WHERE kind = 'PAYOUT_OVERDUE'"), 4);
}

static void test_SEEN__what_is_planned_for_later_is_not_overdue_before(void **state) {
    (void)state;
    payouts(ACH, 2, DAY_S, 1, "now() + interval '1 d'", "");     // the next window is tomorrow
    payouts(ACH, 2, 4 * DAY_S, 1, "now() - interval '1 d'", ""); // the window has passed
    look(BOTH);
    assert_int_equal(open_cases("PAYOUT_OVERDUE"), 1);
}

// A payout misses its window again and again: it is planned anew each time, but its first time counts.
static void test_SEEN__window_after_window_is_missed__overdue(void **state) {
    (void)state;
    payouts(ACH, 2, 30 * DAY_S, 2, "now() + interval '1 d'", "");
    payouts(ACH, 2, 30 * DAY_S, 1, "now() + interval '2 d'", ""); // planned once, for this time
    fixture_sql("UPDATE saga SET planned_at = CASE WHEN due_at < now() + interval '25 h' THEN "
                "now() - interval '29 d' ELSE due_at END, updated_at = now()",
                NULL, 0);
    look(BOTH);
    assert_int_equal(open_cases("PAYOUT_OVERDUE"), 2);
}

static void test_SEEN__the_case_closes_when_the_payout_moves_on(void **state) {
    (void)state;
    payouts(INSTANT, 4, 1000, 3, "now()", "");
    look(BOTH);
    assert_int_equal(open_cases("PAYOUT_OVERDUE"), 3);
    fixture_sql("WITH o AS (SELECT payout_id, row_number() OVER () AS n FROM saga) "
                "UPDATE saga SET step = CASE o.n WHEN 1 THEN 5 WHEN 2 THEN 8 ELSE 4 END, "
                "step_since = CASE WHEN o.n = 3 THEN step_since ELSE now() + interval '1 s' END "
                "FROM o WHERE o.payout_id = saga.payout_id",
                NULL, 0);
    look(BOTH);
    assert_int_equal(open_cases("PAYOUT_OVERDUE"), 1);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM case_note WHERE kind = 6"), 2);
    fixture_sql("UPDATE saga SET hold = 'CONTRADICTION' WHERE step = 4", NULL, 0);
    look(BOTH);
    assert_int_equal(open_cases("PAYOUT_OVERDUE"), 0);
}

// As after an order that could not be carried out, or after an upgrade.
static void test_SEEN__what_is_held_has_a_case(void **state) {
    (void)state;
    payouts(INSTANT, 4, 10, 2, "NULL", "RAIL_CONTRADICTION");
    payouts(INSTANT, 4, 10, 1, "now()", "RAIL_CONTRADICTION"); // its order is not taken up yet
    look(BOTH);
    assert_int_equal(open_cases("PAYOUT_HELD"), 2);
    look(BOTH);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE seen = 1 AND "
                                     "code = 'RAIL_CONTRADICTION' AND amount = 1234"),
                     2);
    fixture_sql("UPDATE payment_case SET kind = 'PAYOUT_CONTRADICTION'", NULL, 0);
    look(BOTH); // a case of any kind suffices
    assert_int_equal(open_cases("PAYOUT_HELD"), 0);
    fixture_sql("UPDATE saga SET hold = ''", NULL, 0);
    look(BOTH);
    assert_int_equal(open_cases("PAYOUT_CONTRADICTION"), 0);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM case_note WHERE kind = 6"), 2);
}

static void test_SEEN__a_connection_that_is_switched_off_is_a_case(void **state) {
    (void)state;
    payouts(ACH, 2, 300, 7, "now()", "");
    payouts(INSTANT, 1, 5, 2, "now()", "");
    look(BOTH);
    assert_int_equal(open_cases("CONNECTION_OFF"), 0);
    look(NO_ACH);
    assert_int_equal(open_cases("CONNECTION_OFF"), 1);
    assert_int_equal(open_cases("PAYOUT_OVERDUE"), 0); // not one per payout
    char text[200];
    fixture_sql("SELECT concat_ws('|', book_id, subject_type, subject_id, left(text, 26)) "
                "FROM payment_case",
                text, sizeof text);
    assert_string_equal(text, "0|connection|ach|7 payouts wait for it, the");
    payouts(ACH, 2, 400, 1, "now()", "");
    look(NO_ACH); // new text, without a note
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE text LIKE "
                                     "'8 payouts%' AND seen = 1"),
                     1);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM case_note"), 1);
    look(BOTH);
    assert_int_equal(open_cases("CONNECTION_OFF"), 0);
}

// The same for a connection that is missing in the configuration.
static void test_SEEN__a_connection_that_nobody_knows_is_a_case(void **state) {
    (void)state;
    fixture_sql("ALTER TABLE payout DROP CONSTRAINT IF EXISTS payout_rail_check", NULL, 0);
    payouts(9, 4, 3600, 1, "NULL", "");
    look(BOTH);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE kind = "
                                     "'CONNECTION_OFF' AND subject_id = 'connection 9'"),
                     1);
}

static int64_t gauge(const char *name, const char *labels) {
    return metric_value(metric_gauge(name, labels, ""));
}

static void test_SEEN__gauges_show_the_oldest(void **state) {
    (void)state;
    payouts(ACH, 4, 2 * DAY_S, 1, "NULL", "");
    payouts(ACH, 4, 50, 1, "NULL", "");
    payouts(INSTANT, 3, 400, 1, "now()", "");
    payouts(INSTANT, 4, 10, 2, "NULL", "CONTRADICTION");
    payouts(INSTANT, 4, 10, 1, "NULL", "odd \"reason\"");
    look(BOTH);
    assert_in_range(gauge("payments_oldest_seconds", "connection=\"ach\",step=\"AWAIT\""),
                    2 * DAY_S, 2 * DAY_S + 60);
    assert_in_range(gauge("payments_oldest_seconds", "connection=\"instant\",step=\"RESOLVE\""),
                    400, 460);
    assert_int_equal(gauge("payments_oldest_seconds", "connection=\"instant\",step=\"AWAIT\""), 0);
    assert_int_equal(gauge("payments_held", "reason=\"CONTRADICTION\""), 2);
    assert_int_equal(gauge("payments_held", "reason=\"odd _reason_\""), 1);
    assert_int_equal(gauge("payments_cases_open", "kind=\"PAYOUT_OVERDUE\""), 1);
    fixture_sql("UPDATE saga SET step = 8, hold = ''", NULL, 0);
    look(BOTH);
    assert_int_equal(gauge("payments_oldest_seconds", "connection=\"ach\",step=\"AWAIT\""), 0);
    assert_int_equal(gauge("payments_cases_open", "kind=\"PAYOUT_OVERDUE\""), 0);
    assert_int_equal(gauge("payments_cases_oldest_seconds", ""), 0);
}

static void test_SEEN__what_lies_in_the_inbox_is_a_case(void **state) {
    (void)state;
    fixture_sql(
        "INSERT INTO inbox SELECT 0, md5(n::text)::uuid, 1, 1, 'file-' || n, 1, "
        "sha256(n::text::bytea), sha256(n::text::bytea), ''::bytea, now(), "
        "now() - n * interval '400 s', CASE n WHEN 3 THEN 3 ELSE 1 END, 1, '', 0, 0, 0, '', "
        "'', 4, 1, now() FROM generate_series(1, 3) AS n",
        NULL, 0);
    look(BOTH);
    assert_int_equal(open_cases("INBOX_WAITING"), 1);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE book_id = 0 AND "
                                     "subject_type = 'inbox' AND text LIKE 'file-2 of ach, "
                                     "recorded %, was not applied after 4 tries'"),
                     1);
    look(BOTH);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM case_note"), 1);
    assert_int_equal(gauge("payments_inbox_open", "what=\"recorded\""), 2);
    assert_int_equal(gauge("payments_inbox_open", "what=\"refused\""), 1);
    assert_in_range(gauge("payments_inbox_oldest_seconds", "what=\"recorded\""), 800, 860);
    fixture_sql("UPDATE inbox SET state = 2", NULL, 0);
    look(BOTH);
    assert_int_equal(open_cases("INBOX_WAITING"), 0);
    assert_int_equal(gauge("payments_inbox_oldest_seconds", "what=\"recorded\""), 0);
}

// A deposit without a decision.
static void test_SEEN__a_deposit_that_waits_is_a_case(void **state) {
    (void)state;
    fixture_sql("TRUNCATE deposit; INSERT INTO deposit (book_id, deposit_id, merchant_id, key, "
                "amount, currency, reference, state, reason, created_at) SELECT 7, "
                "md5(n::text)::uuid, 'shop', n::text, 500, 'USD', '', CASE n WHEN 3 THEN 2 WHEN 4 "
                "THEN 4 ELSE 1 END, '', now() - n * interval '150 s' FROM generate_series(1, 4) AS "
                "n",
                NULL, 0);
    look(BOTH);
    look(BOTH);
    assert_int_equal(open_cases("DEPOSIT_OVERDUE"), 2);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE merchant_id = 'shop' "
                                     "AND code = 'TAKING_BACK' AND amount = 500 AND seen = 1"),
                     1);
    assert_in_range(gauge("payments_deposits_oldest_seconds", ""), 600, 660);
    fixture_sql("UPDATE deposit SET state = 3", NULL, 0);
    look(BOTH);
    assert_int_equal(open_cases("DEPOSIT_OVERDUE"), 0);
    assert_int_equal(gauge("payments_deposits_oldest_seconds", ""), 0);
}

// A connection whose bank's folder could not be read: this silence is noticed.
static void test_SEEN__a_bank_that_is_not_heard_is_a_case(void **state) {
    (void)state;
    fixture_sql("UPDATE connection SET looked_at = now() - interval '400 s'", NULL, 0);
    look(BOTH);
    assert_int_equal(open_cases("CONNECTION_UNHEARD"), 2);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE subject_id IN "
                                     "('ach', 'instant') AND text LIKE "
                                     "'what the bank says was last looked for 20%'"),
                     2);
    assert_in_range(gauge("payments_unheard_seconds", "connection=\"ach\""), 400, 460);
    assert_in_range(gauge("payments_unheard_seconds", "connection=\"instant\""), 400, 460);
    fixture_sql("UPDATE connection SET looked_at = now()", NULL, 0);
    look(BOTH);
    assert_int_equal(open_cases("CONNECTION_UNHEARD"), 0);
    // Without any look: late from now on, not at once.
    fixture_sql("UPDATE connection SET looked_at = NULL", NULL, 0);
    look(BOTH);
    assert_int_equal(open_cases("CONNECTION_UNHEARD"), 0);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM connection WHERE looked_at IS NOT NULL"),
                     2);
    fixture_sql("UPDATE connection SET looked_at = now() - interval '400 s'", NULL, 0);
    look(NO_ACH); // switched off: no looks
    assert_int_equal(open_cases("CONNECTION_UNHEARD"), 1);
}

// The cost must not grow with finished payouts: the plans read only indexes of open sagas.
static void test_plans__read_open_sagas_only(void **state) {
    (void)state;
    payouts(INSTANT, 8, DAY_S, 20000, "NULL", "");
    payouts(INSTANT, 4, 1000, 10, "now()", "");
    fixture_sql("ANALYZE saga; ANALYZE payout", NULL, 0);
    static const char *const PLANS[] = {
        "SELECT s.step_since FROM saga s WHERE s.book_id = 7 AND s.rail = 2 AND s.step = 4 AND "
        "s.due_at IS NULL AND s.step <> 8 AND s.hold = '' ORDER BY s.step_since LIMIT 1",
        "SELECT min(s.step_since) FROM saga s WHERE s.book_id = 7 AND s.rail = 2 AND s.step = 4 "
        "AND s.due_at IS NOT NULL AND s.step <> 8 AND s.hold = ''",
        "SELECT count(*) FROM saga s WHERE s.book_id = 7 AND s.rail = 2 AND s.due_at IS NULL AND "
        "s.step <> 8 AND s.hold = ''",
        "SELECT s.hold, count(*) FROM saga s WHERE s.book_id = 7 AND s.hold <> '' GROUP BY s.hold"};
    for (size_t i = 0; i < sizeof PLANS / sizeof PLANS[0]; i++) {
        char plan[400];
        char quoted[400];
        size_t n = 0;
        for (const char *at = PLANS[i]; *at != '\0'; at++) {
            quoted[n++] = *at;
            if (*at == '\'') {
                quoted[n++] = '\'';
            }
        }
        quoted[n] = '\0';
        char whole[1200];
        (void)snprintf(whole, sizeof whole,
                       "DO $$ DECLARE line text; found text := ''; BEGIN FOR line IN EXECUTE "
                       "'EXPLAIN %s' LOOP found := found || line; END LOOP; "
                       "PERFORM set_config('test.plan', found, false); END $$; "
                       "SELECT current_setting('test.plan')",
                       quoted);
        fixture_sql(whole, plan, sizeof plan);
        if (strstr(plan, "saga_waiting") == NULL && strstr(plan, "saga_due") == NULL &&
            strstr(plan, "saga_held") == NULL) {
            fail_msg("%s: %s", PLANS[i], plan);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_FENCED__of_two_instances_one_does_it, fresh),
        cmocka_unit_test_setup(test_run__a_failure_leaves_nothing_and_is_tried_again, fresh),
        cmocka_unit_test_setup(test_alone__has_a_thread_of_its_own, fresh),
        cmocka_unit_test_setup(test_SEEN__sent_for_ever_becomes_a_case, fresh),
        cmocka_unit_test_setup(test_SEEN__what_is_planned_for_later_is_not_overdue_before, fresh),
        cmocka_unit_test_setup(test_SEEN__window_after_window_is_missed__overdue, fresh),
        cmocka_unit_test_setup(test_SEEN__the_case_closes_when_the_payout_moves_on, fresh),
        cmocka_unit_test_setup(test_SEEN__what_is_held_has_a_case, fresh),
        cmocka_unit_test_setup(test_SEEN__a_connection_that_is_switched_off_is_a_case, fresh),
        cmocka_unit_test_setup(test_SEEN__gauges_show_the_oldest, fresh),
        cmocka_unit_test_setup(test_SEEN__what_lies_in_the_inbox_is_a_case, fresh),
        cmocka_unit_test_setup(test_SEEN__a_deposit_that_waits_is_a_case, fresh),
        cmocka_unit_test_setup(test_SEEN__a_bank_that_is_not_heard_is_a_case, fresh),
        cmocka_unit_test_setup(test_plans__read_open_sagas_only, fresh),
        cmocka_unit_test_setup(test_SEEN__a_connection_that_nobody_knows_is_a_case, fresh),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
