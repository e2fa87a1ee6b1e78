// Claim, lease, fencing, events and whole batches against a real PostgreSQL.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "events/events.h"
#include "saga/saga_sql.h"
#include "testing/saga_test_worker.h"

// --- Claims and leases -----------------------------------------------------------------------------------------------

static void test_claim__writes_intents_and_one_lease(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 3, 100, NULL);
    saga_batch b = batch(STEP_RESERVE, 1, 5000);
    assert_int_equal(claim(&b), 3);
    assert_int_equal(
        world_count("SELECT count(*) FROM saga_lease, unnest(payout_ids) WHERE n = 3 AND "
                    "step = 1 AND owner = '01000000-0000-0000-0000-000000000000' AND "
                    "ends_at BETWEEN now() + interval '4 s' AND now() + interval '6 s'"),
        3);
    assert_int_equal(
        world_count("SELECT count(*) FROM step_log WHERE seq = 1 AND step = 1 AND kind = 1 AND "
                    "outcome = 0 AND transfer_id IS NOT NULL AND epoch = 1"),
        3);
    // The sagas' rows are written with the outcome.
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE log_seq = 0 AND epoch = 0"), 3);
    saga_batch other = batch(STEP_RESERVE, 2, 5000);
    assert_int_equal(claim(&other), 0); // leased
}

static void test_claim__limit_and_other_books_rails_and_steps(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 5, 100, NULL);
    world_payouts(RAIL_ACH, 5, 100, NULL);
    saga_batch b = batch(STEP_RESERVE, 1, 5000);
    b.from.limit = 3;
    assert_int_equal(claim(&b), 3);
    saga_batch rest = batch(STEP_RESERVE, 2, 5000);
    assert_int_equal(claim(&rest), 2); // two owners share the book
    saga_batch execute = batch(STEP_EXECUTE, 3, 5000);
    assert_int_equal(claim(&execute), 0);
    saga_batch elsewhere = batch(STEP_RESERVE, 3, 5000);
    elsewhere.from.book_id = WORLD_BOOK + 1;
    assert_int_equal(claim(&elsewhere), 0);
}

static void test_outcome__gives_the_lease_back_and_logs(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 3, 100, NULL);
    saga_batch b = batch(STEP_RESERVE, 1, 5000);
    assert_int_equal(claim(&b), 3);
    finish_all(&b, OUT_DONE);
    assert_int_equal(written(&b), 3);
    assert_int_equal(
        world_count("SELECT count(*) FROM saga WHERE phase = 0 AND step = 2 AND epoch = 1 AND "
                    "log_seq = 2 AND due_at <= now()"),
        3);
    assert_int_equal(world_count("SELECT count(*) FROM saga_lease"), 0);
    assert_int_equal(world_count("SELECT count(*) FROM step_log WHERE seq = 2 AND step = 1 AND "
                                 "kind = 2 AND outcome = 1"),
                     3);
}

// The batch's rows share columns by shape: more shapes than are compared, unordered, each payout with its own.
static void test_outcome__every_row_gets_its_own(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 60, 100, NULL);
    saga_batch b = batch(STEP_RESERVE, 1, 5000);
    assert_int_equal(claim(&b), 60);
    finish_all(&b, OUT_DONE);
    for (size_t i = 0; i < b.n; i++) {
        saga_item *item = &b.items[i];
        const int shape = (int)(i * 7 % 23);
        item->now.attempt = shape;
        item->now.tries = shape + 1;
        (void)snprintf(item->now.reason, sizeof item->now.reason, "REASON_%d", shape);
        (void)snprintf(item->now.reason_text, sizeof item->now.reason_text, "text %d", shape);
        item->reference =
            str_of(arena_printf(memory, "%s %d", uuid_text(memory, item->payout_id), shape));
    }
    assert_int_equal(written(&b), 60);
    assert_int_equal(
        world_count("SELECT count(*) FROM saga WHERE tries = attempt + 1 AND "
                    "reason = 'REASON_' || attempt AND reason_text = 'text ' || attempt AND "
                    "rail_reference = payout_id || ' ' || attempt AND step = 2"),
        60);
    assert_int_equal(world_count("SELECT count(DISTINCT attempt) FROM saga"), 23);
}

// Promise FENCED.
static void test_fenced__who_lost_the_lease_writes_nothing(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 3, 100, NULL);
    saga_batch dead = batch(STEP_RESERVE, 1, 5000);
    assert_int_equal(claim(&dead), 3);
    end_leases();
    saga_batch heir = batch(STEP_RESERVE, 2, 5000);
    heir.from.limit = 2;
    assert_int_equal(claim(&heir), 0); // over, but not taken away yet
    take_over();
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE phase = 1 AND log_seq = 1 AND "
                                 "epoch = 1 AND state = 4 AND due_at <= now()"),
                     3);
    assert_int_equal(claim(&heir), 2); // orphans
    assert_int_equal(heir.items[0].acting, STEP_RESERVE);
    assert_int_equal(heir.items[0].epoch, 2);
    finish_all(&dead, OUT_DONE);
    assert_int_equal(written(&dead), 0);
    assert_true(dead.lost);
    assert_int_equal(world_count("SELECT count(*) FROM step_log WHERE kind = 2"), 0);
    finish_all(&heir, OUT_DONE);
    assert_int_equal(written(&heir), 2);
    assert_int_equal(in_state(STEP_EXECUTE, STATE_PROCESSING), 2);
    assert_int_equal(in_state(STEP_RESERVE, STATE_PROCESSING), 1); // it has no owner now
    assert_int_equal(run(STEP_RESERVE).n_moved, 1);
}

// The rows that the take-over of this lease would find.
static size_t lockable(uuid lease_id) {
    err e = {0};
    db_rows *rows = NULL;
    db_params *p = db_params_create(memory);
    db_i64(p, WORLD_BOOK);
    db_uuid(p, lease_id);
    db_conn *c = db_pool_checkout(world_pool(), fixture_deadline(5000), &e);
    assert_non_null(c);
    assert_true(db_begin(c, fixture_deadline(20000), &e));
    assert_true(db_exec(c, saga_sql(SAGA_SQL_LOCK_EXPIRED), p, memory, &rows, NULL, &e));
    db_rollback(c);
    db_pool_checkin(world_pool(), c);
    return db_count(rows);
}

// Promise FENCED: between the look and the take-over of an ended lease, its owner may have renewed it.
static void test_take_over__a_lease_was_renewed_meanwhile__it_stays(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 2, 100, NULL);
    saga_batch b = batch(STEP_RESERVE, 1, 5000);
    assert_int_equal(claim(&b), 2);
    end_leases();
    assert_int_equal(lockable(b.lease_id), 1);
    bool kept = false;
    err e = {0};
    const saga_renewal renewal = {.pool = world_pool(),
                                  .book_id = WORLD_BOOK,
                                  .lease_id = b.lease_id,
                                  .owner = b.from.owner,
                                  .lease_ms = 5000};
    assert_true(saga_store_renew(&renewal, &kept, fixture_deadline(5000), memory, &e));
    assert_true(kept);
    assert_int_equal(lockable(b.lease_id), 0);
}

// A process stands still while it gives a lease back: only this lease waits.
static void test_take_over__a_lease_is_locked__the_others_are_taken(void **state) {
    (void)state;
    static const db_stmt LOCK_OLDEST = {
        "lock_oldest", "SELECT 1 FROM saga_lease ORDER BY lease_id LIMIT 1 FOR UPDATE"};
    err e = {0};
    world_payouts(RAIL_INSTANT, 5, 100, NULL);
    saga_batch first = batch(STEP_RESERVE, 1, 5000), second = batch(STEP_RESERVE, 2, 5000);
    first.from.limit = 2;
    assert_int_equal(claim(&first), 2);
    assert_int_equal(claim(&second), 3);
    end_leases();
    db_conn *c = db_pool_checkout(world_pool(), fixture_deadline(5000), &e);
    assert_non_null(c);
    assert_true(db_begin(c, fixture_deadline(20000), &e));
    assert_true(db_exec(c, &LOCK_OLDEST, NULL, memory, NULL, NULL, &e));
    take_over();
    assert_int_equal(world_count("SELECT n FROM saga_lease"), 2);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE phase = 1"), 3);
    db_rollback(c);
    db_pool_checkin(world_pool(), c);
    take_over();
    assert_int_equal(world_count("SELECT count(*) FROM saga_lease"), 0);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE phase = 1"), 5);
}

// As after a partial restore: the log lacks the intent, or the saga is missing. A person must look; all others go on.
static void test_take_over__a_lease_without_intents__held_with_a_case(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 6, 100, NULL);
    saga_batch first = batch(STEP_RESERVE, 1, 5000), second = batch(STEP_RESERVE, 2, 5000);
    first.from.limit = 3;
    assert_int_equal(claim(&first), 3);
    assert_int_equal(claim(&second), 3);
    fixture_sql("DELETE FROM step_log WHERE payout_id = (SELECT payout_ids[1] FROM saga_lease "
                "ORDER BY lease_id LIMIT 1); DELETE FROM saga WHERE payout_id = (SELECT "
                "payout_ids[2] FROM saga_lease ORDER BY lease_id LIMIT 1)",
                NULL, 0);
    end_leases();
    take_over();
    assert_int_equal(world_count("SELECT count(*) FROM saga_lease"), 0);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE phase = 1"), 4);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE hold = 'LEASE_WITHOUT_INTENT' "
                                 "AND state = 10 AND step = 1 AND due_at IS NULL"),
                     1);
    assert_int_equal(world_count("SELECT count(*) FROM payment_case WHERE kind = 'PAYOUT_HELD' "
                                 "AND code = 'LEASE_WITHOUT_INTENT'"),
                     2);
}

// It may have been sent: when it goes on, the bank is first asked, under its coming attempt.
static void test_take_over__execute_without_intents__held_before_resolve(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 1, 100, NULL);
    (void)run(STEP_RESERVE);
    saga_batch b = batch(STEP_EXECUTE, 1, 5000);
    assert_int_equal(claim(&b), 1);
    fixture_sql("DELETE FROM step_log WHERE step = 2", NULL, 0);
    end_leases();
    take_over();
    assert_int_equal(
        world_count("SELECT count(*) FROM saga WHERE hold = 'LEASE_WITHOUT_INTENT' AND step = 3 "
                    "AND phase = 0 AND attempt = 1 AND doubt = 1"),
        1);
}

// The database refuses the take-over of the oldest lease: the others go on, and it is not tried each time.
static void test_take_over__a_lease_is_refused__the_others_are_taken(void **state) {
    (void)state;
    char out[64];
    world_payouts(RAIL_INSTANT, 5, 100, NULL);
    saga_batch first = batch(STEP_RESERVE, 1, 5000), second = batch(STEP_RESERVE, 2, 5000);
    first.from.limit = 2;
    assert_int_equal(claim(&first), 2);
    assert_int_equal(claim(&second), 3);
    fixture_sql("UPDATE saga SET rail_reference = 'odd' WHERE payout_id = (SELECT payout_ids[1] "
                "FROM saga_lease ORDER BY lease_id LIMIT 1); "
                "ALTER TABLE saga ADD CONSTRAINT odd CHECK (rail_reference <> 'odd' OR phase = 0)",
                out, sizeof out);
    fixture_sql("UPDATE step_log SET rail_reference = 'odd' WHERE payout_id IN (SELECT payout_id "
                "FROM saga WHERE rail_reference = 'odd')",
                NULL, 0);
    end_leases();
    take_over();
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE phase = 1"), 3);
    assert_int_equal(world_count("SELECT n FROM saga_lease"), 2);
    assert_int_equal(metric_value(metric_gauge("saga_leases_stuck", "", "")), 1);
    const metric *failures = metric_counter("saga_take_over_failures_total", "", "");
    assert_int_equal(metric_value(failures), 1);
    take_over();
    assert_int_equal(metric_value(failures), 1);
    fixture_sql("ALTER TABLE saga DROP CONSTRAINT odd", out, sizeof out);
}

// The worker machine's clock does not matter to the lease: the database sets and judges its end.
static void test_lease__a_workers_clock_is_wrong__its_end_is_the_databases(void **state) {
    (void)state;
    static const int64_t HOUR_US = INT64_C(3600) * 1000000;
    test_clock ahead;
    test_clock_init(&ahead, clock_wall_us(clock_system()) + HOUR_US, 1);
    world_payouts(RAIL_INSTANT, 2, 100, NULL);
    saga_batch b = batch(STEP_RESERVE, 1, 5000);
    b.from.clock = &ahead.source;
    assert_int_equal(claim(&b), 2);
    assert_int_equal(world_count("SELECT count(*) FROM saga_lease WHERE ends_at BETWEEN "
                                 "now() + interval '4 s' AND now() + interval '6 s'"),
                     1);
    take_over();
    assert_int_equal(world_count("SELECT count(*) FROM saga_lease"), 1);
}

// A late worker that was not replaced may still write.
static void test_lease__over_and_not_taken_away__outcome_counts(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 2, 100, NULL);
    saga_batch b = batch(STEP_RESERVE, 1, 5000);
    assert_int_equal(claim(&b), 2);
    end_leases();
    finish_all(&b, OUT_DONE);
    assert_int_equal(written(&b), 2);
    take_over();
    assert_int_equal(in_state(STEP_EXECUTE, STATE_PROCESSING), 2);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE phase = 0"), 2);
}

static void test_fenced__same_owner_stale_lease(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 1, 100, NULL);
    saga_batch first = batch(STEP_RESERVE, 1, 5000);
    assert_int_equal(claim(&first), 1);
    end_leases();
    take_over();
    saga_batch second = batch(STEP_RESERVE, 1, 5000); // the same worker, later
    assert_int_equal(claim(&second), 1);
    finish_all(&first, OUT_REFUSED);
    assert_int_equal(written(&first), 0);
    finish_all(&second, OUT_DONE);
    assert_int_equal(written(&second), 1);
}

// A row that is not as claimed is never overwritten, whoever changed it.
static void test_fenced__foreign_epoch__nothing_is_written(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 2, 100, NULL);
    saga_batch b = batch(STEP_RESERVE, 1, 5000);
    assert_int_equal(claim(&b), 2);
    fixture_sql("UPDATE saga SET epoch = 7 WHERE payout_id = "
                "(SELECT min(payout_id::text)::uuid FROM saga)",
                NULL, 0);
    finish_all(&b, OUT_DONE);
    err e = {0};
    assert_false(saga_store_outcome(&b, fixture_deadline(5000), &e));
    assert_string_equal(e.reason, "SAGA_ROWS");
    assert_int_equal(world_count("SELECT count(*) FROM step_log WHERE kind = 2"), 0);
    assert_int_equal(in_state(STEP_RESERVE, STATE_PENDING), 2);
    assert_int_equal(world_count("SELECT count(*) FROM saga_lease"), 1);
}

// Only its intents tell a dead worker's plan: each kind of step, taken over.
static void test_take_over__the_sagas_become_what_their_intents_say(void **state) {
    (void)state;
    uuid id[3];
    world_payouts(RAIL_INSTANT, 3, 100, id);
    (void)run(STEP_RESERVE);
    saga_batch execute = batch(STEP_EXECUTE, 1, 5000);
    assert_int_equal(claim(&execute), 3);
    end_leases();
    take_over();
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE step = 2 AND phase = 1 AND "
                                 "attempt = 1 AND state = 4 AND log_seq = 3 AND epoch = 2"),
                     3);
    world.query_verdict = RAIL_ACCEPTED;
    assert_int_equal(run(STEP_EXECUTE).n_moved, 3);
    world_event(id[0], 1, RAIL_EVENT_SETTLED, "a");
    world_event(id[1], 1, RAIL_EVENT_REFUSED, "a");
    world_event(id[2], 1, RAIL_EVENT_RETURNED, "a");
    saga_batch await = batch(STEP_AWAIT, 1, 5000);
    assert_int_equal(claim(&await), 3);
    end_leases();
    take_over();
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE step = 5 AND phase = 1 AND "
                                 "outlook = 0 AND reason = '' AND tries = 0"),
                     1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE step = 6 AND phase = 1 AND "
                                 "outlook = 7 AND reason = 'R03'"),
                     1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE step = 6 AND phase = 1 AND "
                                 "outlook = 8 AND reason = 'R03'"),
                     1);
    assert_int_equal(run(STEP_CONFIRM).n_moved, 1);
    assert_int_equal(run(STEP_VOID).n_moved, 2);
    assert_int_equal(in_state(STEP_DONE, STATE_SETTLED), 1);
    assert_int_equal(in_state(STEP_DONE, STATE_FAILED), 1);
    assert_int_equal(in_state(STEP_DONE, STATE_RETURNED), 1);
    assert_int_equal(world_available(), 1000000 - 100);
    world_event(id[0], 1, RAIL_EVENT_RETURNED, "b");
    saga_batch returned = batch(STEP_DONE, 1, 5000);
    assert_int_equal(claim(&returned), 1);
    end_leases();
    take_over();
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE step = 7 AND phase = 1 AND "
                                 "state = 6 AND reason = 'R03'"),
                     1);
    assert_int_equal(run(STEP_RETURN).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_RETURNED), 2);
    assert_int_equal(world_available(), 1000000);
    assert_int_equal(world_count("SELECT count(*) FROM saga_lease"), 0);
}

static void test_outcome__written_twice__second_writes_nothing(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 2, 100, NULL);
    saga_batch b = batch(STEP_RESERVE, 1, 5000);
    assert_int_equal(claim(&b), 2);
    finish_all(&b, OUT_DONE);
    assert_int_equal(written(&b), 2);
    assert_int_equal(written(&b), 0); // as after a lost answer to COMMIT
    assert_int_equal(world_count("SELECT count(*) FROM step_log"), 4);
}

static void test_lease__renewed_only_by_its_owner(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 2, 100, NULL);
    saga_batch b = batch(STEP_RESERVE, 1, 5000);
    assert_int_equal(claim(&b), 2);
    saga_renewal r = {world_pool(), WORLD_BOOK, b.lease_id, b.from.owner, 9000};
    bool kept = false;
    err e = {0};
    end_leases();
    assert_true(saga_store_renew(&r, &kept, fixture_deadline(5000), memory, &e));
    assert_true(kept);
    take_over();
    saga_batch other = batch(STEP_RESERVE, 2, 5000);
    assert_int_equal(claim(&other), 0);
    r.owner = (uuid){{2}};
    assert_true(saga_store_renew(&r, &kept, fixture_deadline(5000), memory, &e));
    assert_false(kept);
    r.owner = b.from.owner;
    r.lease_id = (uuid){{3}};
    assert_true(saga_store_renew(&r, &kept, fixture_deadline(5000), memory, &e));
    assert_false(kept);
}

static void test_keeper__long_submission_keeps_its_lease(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 4, 100, NULL);
    (void)run(STEP_RESERVE);
    world.submit_takes_ms = 1500; // the lease is 600 ms
    const saga_result r = run(STEP_EXECUTE);
    assert_int_equal(r.n_moved, 4);
    assert_int_equal(in_state(STEP_AWAIT, STATE_SENT), 4);
    assert_int_equal(world_look().queries, 0);
}

// Such a write was once tried for ever, under a lease renewed for ever.
static void test_outcome__refused_by_the_database__given_up(void **state) {
    (void)state;
    char out[64];
    world_payouts(RAIL_INSTANT, 1, 100, NULL);
    (void)run(STEP_RESERVE);
    fixture_sql("ALTER TABLE saga ADD CONSTRAINT no_await CHECK (step <> 4)", out, sizeof out);
    const saga_result r = run(STEP_EXECUTE);
    fixture_sql("ALTER TABLE saga DROP CONSTRAINT no_await", out, sizeof out);
    assert_int_equal(r.n_found, 1);
    assert_int_equal(r.n_moved, 0);
    assert_int_equal(in_state(STEP_EXECUTE, STATE_PROCESSING), 1);
    world.query_verdict = RAIL_ACCEPTED;
    (void)run_soon(STEP_EXECUTE); // the next worker asks the rail
    assert_int_equal(in_state(STEP_AWAIT, STATE_SENT), 1);
    assert_int_equal(world_look().submits, 1);
}

static void test_lease__over_before_the_rail__nothing_is_sent(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 1, 100, NULL);
    (void)run(STEP_RESERVE);
    saga_batch b = batch(STEP_EXECUTE, 1, 5000);
    assert_int_equal(claim(&b), 1);
    end_leases(); // as if it had been stopped for so long
    atomic_store(&b.until_boot_ms, 0);
    const saga_tools tools = {NULL, NULL, 1000};
    saga_steps_act(&b, &tools);
    assert_int_equal(world_look().submits, 0);
    assert_true(b.lost);
    assert_int_equal(written(&b), 0);
    world.query_verdict = RAIL_NOT_SENT;
    (void)run_soon(STEP_EXECUTE); // the next owner asks first
    assert_int_equal(world_look().queries, 1);
    assert_int_equal(world_look().submits, 0);
    assert_int_equal(run_soon(STEP_EXECUTE).n_moved, 1);
    assert_int_equal(world_count("SELECT attempt FROM saga"), 1);
    assert_int_equal(in_state(STEP_AWAIT, STATE_SENT), 1);
}

// --- Batches ---------------------------------------------------------------------------------------------------------

static void test_batch__no_money__failed(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 3, 400000, NULL);
    assert_int_equal(run(STEP_RESERVE).n_moved, 3);
    assert_int_equal(in_state(STEP_EXECUTE, STATE_PROCESSING), 2);
    assert_int_equal(
        world_count("SELECT count(*) FROM saga WHERE state = 7 AND reason = 'INSUFFICIENT_FUNDS'"),
        1);
}

static void test_batch__refusal_whose_answer_was_lost__failed(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 1, 2000000, NULL);
    world.ledger_failures = 1;
    world.ledger_lost_answer = true;
    assert_int_equal(run(STEP_RESERVE).n_moved, 1);
    assert_int_equal(in_state(STEP_RESERVE, STATE_PROCESSING), 1);
    // The id has failed for ever, and the answer with the reason is lost: the next number gets it again.
    assert_int_equal(run_soon(STEP_RESERVE).n_moved, 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE step = 1 AND leg = 2"), 1);
    assert_int_equal(run_soon(STEP_RESERVE).n_moved, 1);
    assert_int_equal(
        world_count("SELECT count(*) FROM saga WHERE state = 7 AND reason = 'INSUFFICIENT_FUNDS'"),
        1);
}

static void test_batch__ledger_down__tried_again_with_the_same_ids(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 2, 100, NULL);
    world.ledger_failures = 3;
    world.ledger_lost_answer = true;
    for (int i = 0; i < 20 && in_state(STEP_EXECUTE, STATE_PROCESSING) < 2; i++) {
        (void)run_soon(STEP_RESERVE);
    }
    assert_int_equal(in_state(STEP_EXECUTE, STATE_PROCESSING), 2);
    assert_int_equal(world_available(), 1000000 - 200);
    assert_true(
        world_count(
            "SELECT count(*) FROM step_log WHERE outcome = 3 AND reason = 'LEDGER_UNAVAILABLE'") >=
        2);
}

static void test_batch__pair_whose_answer_was_lost__done_once(void **state) {
    (void)state;
    const uuid id = sent_payout();
    world_event(id, 1, RAIL_EVENT_SETTLED, "a");
    world.ledger_failures = 1;
    world.ledger_lost_answer = true;
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(in_state(STEP_CONFIRM, STATE_SENT), 1);
    assert_int_equal(run_soon(STEP_CONFIRM).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_SETTLED), 1);
    assert_int_equal(world_paid_out(), 100);
}

static void test_batch__worker_died_after_sending__asks_and_does_not_send_again(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 1, 100, NULL);
    (void)run(STEP_RESERVE);
    saga_batch b = batch(STEP_EXECUTE, 1, 5000);
    assert_int_equal(claim(&b), 1);
    const saga_tools tools = {NULL, NULL, 1000};
    saga_steps_act(&b, &tools); // then it dies
    assert_int_equal(world_look().submitted, 1);
    end_leases();
    world.query_verdict = RAIL_UNKNOWN;
    assert_int_equal(run(STEP_EXECUTE).n_moved, 1);
    assert_int_equal(in_state(STEP_RESOLVE, STATE_PROCESSING), 1);
    world.query_verdict = RAIL_ACCEPTED;
    assert_int_equal(run_soon(STEP_RESOLVE).n_moved, 1);
    assert_int_equal(in_state(STEP_AWAIT, STATE_SENT), 1);
    assert_int_equal(world_look().submitted, 1);
}

static void test_batch__refused_for_now__new_attempts(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 1, 100, NULL);
    (void)run(STEP_RESERVE);
    world.refuse_first = 2;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(run_soon(STEP_EXECUTE).n_moved, 1);
    }
    assert_int_equal(in_state(STEP_AWAIT, STATE_SENT), 1);
    assert_int_equal(world_look().twice, 0);
    assert_int_equal(world_count("SELECT attempt FROM saga WHERE rail_reference = 'ref-3'"), 3);
}

static void test_batch__attempts_exhausted__voided(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 1, 100, NULL);
    (void)run(STEP_RESERVE);
    world.refuse_first = 99;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(run_soon(STEP_EXECUTE).n_moved, 1);
    }
    assert_int_equal(run(STEP_VOID).n_moved, 1);
    assert_int_equal(
        world_count("SELECT count(*) FROM saga WHERE state = 7 AND reason = 'ATTEMPTS_EXHAUSTED'"),
        1);
    assert_int_equal(world_available(), 1000000);
}

static void test_batch__silent_or_absurd_rail__never_guessed(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 1, 100, NULL);
    (void)run(STEP_RESERVE);
    world.submit_verdict = (rail_verdict)0;
    assert_int_equal(run(STEP_EXECUTE).n_moved, 1);
    assert_int_equal(in_state(STEP_RESOLVE, STATE_PROCESSING), 1);
}

static void test_batch__unreadable_recipient__held_and_the_others_go_on(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 3, 100, NULL);
    (void)run(STEP_RESERVE);
    fixture_sql("INSERT INTO recipient SELECT book_id, '11111111-1111-4111-8111-111111111111', "
                "merchant_id, holder_type, "
                "account_type, currency, routing_code, account_last4, name_sealed, account_sealed, "
                "created_at FROM recipient; "
                "UPDATE payout SET recipient_id = '11111111-1111-4111-8111-111111111111' "
                "WHERE payout_id = (SELECT min(payout_id::text)::uuid FROM payout)",
                NULL, 0);
    // its bank details belong to another row: the AAD differs
    assert_int_equal(run(STEP_EXECUTE).n_moved, 3);
    assert_int_equal(in_state(STEP_AWAIT, STATE_SENT), 2);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE state = 10 AND attempt = 0 AND "
                                 "hold = 'RECIPIENT_UNREADABLE' AND step = 2 AND held_state = 4"),
                     1);
    assert_int_equal(world_count("SELECT count(*) FROM payment_case WHERE kind = "
                                 "'PAYOUT_UNREADABLE' AND merchant_id = 'shop' AND amount = 100"),
                     1);
    assert_int_equal(world_look().submitted, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_claim__writes_intents_and_one_lease, fresh),
        cmocka_unit_test_setup(test_claim__limit_and_other_books_rails_and_steps, fresh),
        cmocka_unit_test_setup(test_outcome__gives_the_lease_back_and_logs, fresh),
        cmocka_unit_test_setup(test_outcome__every_row_gets_its_own, fresh),
        cmocka_unit_test_setup(test_fenced__who_lost_the_lease_writes_nothing, fresh),
        cmocka_unit_test_setup(test_take_over__a_lease_was_renewed_meanwhile__it_stays, fresh),
        cmocka_unit_test_setup(test_take_over__a_lease_is_locked__the_others_are_taken, fresh),
        cmocka_unit_test_setup(test_take_over__a_lease_without_intents__held_with_a_case, fresh),
        cmocka_unit_test_setup(test_take_over__execute_without_intents__held_before_resolve, fresh),
        cmocka_unit_test_setup(test_take_over__a_lease_is_refused__the_others_are_taken, fresh),
        cmocka_unit_test_setup(test_lease__a_workers_clock_is_wrong__its_end_is_the_databases,
                               fresh),
        cmocka_unit_test_setup(test_lease__over_and_not_taken_away__outcome_counts, fresh),
        cmocka_unit_test_setup(test_fenced__same_owner_stale_lease, fresh),
        cmocka_unit_test_setup(test_fenced__foreign_epoch__nothing_is_written, fresh),
        cmocka_unit_test_setup(test_take_over__the_sagas_become_what_their_intents_say, fresh),
        cmocka_unit_test_setup(test_outcome__written_twice__second_writes_nothing, fresh),
        cmocka_unit_test_setup(test_lease__renewed_only_by_its_owner, fresh),
        cmocka_unit_test_setup(test_keeper__long_submission_keeps_its_lease, fresh),
        cmocka_unit_test_setup(test_outcome__refused_by_the_database__given_up, fresh),
        cmocka_unit_test_setup(test_lease__over_before_the_rail__nothing_is_sent, fresh),
        cmocka_unit_test_setup(test_batch__no_money__failed, fresh),
        cmocka_unit_test_setup(test_batch__refusal_whose_answer_was_lost__failed, fresh),
        cmocka_unit_test_setup(test_batch__ledger_down__tried_again_with_the_same_ids, fresh),
        cmocka_unit_test_setup(test_batch__pair_whose_answer_was_lost__done_once, fresh),
        cmocka_unit_test_setup(test_batch__worker_died_after_sending__asks_and_does_not_send_again,
                               fresh),
        cmocka_unit_test_setup(test_batch__refused_for_now__new_attempts, fresh),
        cmocka_unit_test_setup(test_batch__attempts_exhausted__voided, fresh),
        cmocka_unit_test_setup(test_batch__silent_or_absurd_rail__never_guessed, fresh),
        cmocka_unit_test_setup(test_batch__unreadable_recipient__held_and_the_others_go_on, fresh),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
