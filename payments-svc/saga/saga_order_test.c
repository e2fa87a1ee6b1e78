// Holds, orders and money that moves more than once, against a real PostgreSQL.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "events/events.h"
#include "ledger/accounts.h"
#include "saga/orders.h"
#include "testing/saga_test_worker.h"

static void say(uuid id, rail_event_kind kind, int64_t amount, const char *event_id) {
    const rail_event event = {.payout_id = id,
                              .attempt = 1,
                              .kind = kind,
                              .event_id = str_of(event_id),
                              .code = STR("R03"),
                              .amount = amount,
                              .currency = "USD",
                              .at_us = clock_wall_us(clock_system())};
    err e = {0};
    assert_true(world_events(&event, 1, &e));
}

// A message about another payment of the bank for the same payout, with its own reference.
static void say_once_more(uuid id, rail_event_kind kind, int64_t amount, const char *event_id) {
    const rail_event event = {.payout_id = id,
                              .attempt = 1,
                              .kind = kind,
                              .event_id = str_of(event_id),
                              .reference = str_of(event_id),
                              .amount = amount,
                              .currency = "USD",
                              .at_us = clock_wall_us(clock_system())};
    err e = {0};
    assert_true(world_events(&event, 1, &e));
}

static void give(uuid id, rail_event_kind kind, const char *event_id) {
    const rail_event order = {.payout_id = id,
                              .kind = kind,
                              .event_id = str_of(event_id),
                              .text = STR("as ordered"),
                              .source = RAIL_SOURCE_PERSON,
                              .actor = STR("ada"),
                              .at_us = 1}; // whatever the author's clock says
    err e = {0};
    assert_true(world_events(&order, 1, &e));
}

static uuid settled_payout(void) {
    const uuid id = sent_payout();
    say(id, RAIL_EVENT_SETTLED, 100, "settled");
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_SETTLED), 1);
    return id;
}

static void test_return__by_the_events_amount__each_part_with_ids_of_its_own(void **state) {
    (void)state;
    const uuid id = settled_payout();
    say(id, RAIL_EVENT_RETURNED, 30, "first");
    assert_int_equal(run(STEP_DONE).n_moved, 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE state = 6 AND returned = 30 AND "
                                 "leg = 2 AND due_at IS NULL"),
                     1);
    assert_int_equal(world_paid_out(), 70);
    assert_int_equal(world_available(), 999930);
    say(id, RAIL_EVENT_RETURNED, 70, "second");
    assert_int_equal(run(STEP_DONE).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_RETURNED), 1);
    assert_int_equal(world_paid_out(), 0);
    assert_int_equal(world_available(), 1000000);
    // paid again: it leaves the merchant again
    say_once_more(id, RAIL_EVENT_SETTLED, 100, "again");
    assert_int_equal(run(STEP_DONE).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_SETTLED), 1);
    assert_int_equal(world_paid_out(), 100);
    assert_int_equal(world_available(), 999900);
    assert_int_equal(
        world_count("SELECT count(DISTINCT transfer_id) FROM step_log WHERE kind = 1 AND "
                    "moving IN (30, 70, 100)"),
        3);
}

// An amount beyond the merchant's balance is a debt, and the case tells it from the beginning.
static void test_paid_again__beyond_the_balance__the_case_says_how_much(void **state) {
    (void)state;
    const uuid id = settled_payout();
    say(id, RAIL_EVENT_RETURNED, 100, "back");
    assert_int_equal(run(STEP_DONE).n_moved, 1);
    uuid other;
    world_payouts(RAIL_INSTANT, 1, world_available(), &other);
    assert_int_equal(run(STEP_RESERVE).n_moved, 1);
    assert_int_equal(world_available(), 0);
    say_once_more(id, RAIL_EVENT_SETTLED, 100, "again");
    assert_int_equal(run(STEP_DONE).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_SETTLED), 1);
    assert_int_equal(
        world_count("SELECT sum(amount) FROM payment_case WHERE kind = 'MERCHANT_OWES'"), 100);
}

// The worker dies between the ledger's answer and its own row, and more comes back meanwhile: the first part is repeated unchanged.
static void test_return__whose_worker_died__is_repeated_as_it_was(void **state) {
    (void)state;
    const uuid id = settled_payout();
    say(id, RAIL_EVENT_RETURNED, 30, "first");
    saga_batch b = batch(STEP_DONE, 1, 5000);
    const saga_tools tools = {NULL, NULL, 1000};
    assert_int_equal(claim(&b), 1);
    saga_steps_act(&b, &tools);
    assert_int_equal(world_paid_out(), 70);
    say(id, RAIL_EVENT_RETURNED, 20, "second");
    end_leases();
    take_over();
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE step = 7 AND phase = 1 AND "
                                 "moving = 30"),
                     1);
    assert_int_equal(run(STEP_RETURN).n_moved, 1);
    assert_int_equal(world_paid_out(), 70); // the same ids
    assert_int_equal(run(STEP_DONE).n_moved, 1);
    assert_int_equal(world_paid_out(), 50);
    assert_int_equal(world_count("SELECT returned FROM saga"), 50);
}

static void test_closed__held_at_its_step__released_under_the_next_number(void **state) {
    (void)state;
    const uuid id = sent_payout();
    world.ledger_closed = true;
    say(id, RAIL_EVENT_SETTLED, 100, "settled");
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(
        world_count("SELECT count(*) FROM saga WHERE step = 5 AND state = 10 AND hold = "
                    "'LEDGER_ACCOUNT_CLOSED' AND due_at IS NULL"),
        1);
    assert_int_equal(world_count("SELECT count(*) FROM payment_case WHERE kind = 'PAYOUT_LEDGER'"),
                     1);
    world.ledger_closed = false;
    give(id, RAIL_EVENT_RELEASE, "order");
    give(id, RAIL_EVENT_RELEASE, "order"); // once
    assert_int_equal(world_count("SELECT max(order_number) FROM rail_event"), 1);
    assert_int_equal(run(STEP_CONFIRM).n_moved, 1); // the order
    assert_int_equal(run(STEP_CONFIRM).n_moved, 1); // the id is burned
    assert_int_equal(run_soon(STEP_CONFIRM).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_SETTLED), 1);
    assert_int_equal(world_paid_out(), 100);
}

// Two settlements of one payout were told, and a person left it so. A later return is the merchant's.
static void test_NO_LOSS_return_after_a_judgement__goes_back(void **state) {
    (void)state;
    const uuid id = settled_payout();
    say_once_more(id, RAIL_EVENT_SETTLED, 100, "again");
    assert_int_equal(run(STEP_DONE).n_moved, 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE hold = 'RAIL_CONTRADICTION'"), 1);
    give(id, RAIL_EVENT_RELEASE, "order");
    assert_int_equal(run(STEP_DONE).n_moved, 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE hold = '' AND judged_settled = "
                                 "-100 AND judged_returned IS NULL AND judged_odd IS NULL"),
                     1);
    say(id, RAIL_EVENT_RETURNED, 100, "back");
    assert_int_equal(run(STEP_DONE).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_RETURNED), 1);
    assert_int_equal(world_available(), 1000000);
}

static void test_orders__are_numbered_and_taken_up_one_by_one(void **state) {
    (void)state;
    const uuid id = sent_payout();
    give(id, RAIL_EVENT_WRITE_OFF, "a"); // not possible: it has not ended
    give(id, RAIL_EVENT_GIVE_BACK, "b");
    assert_int_equal(world_count("SELECT sum(order_number) FROM rail_event"), 3);
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(world_count("SELECT orders FROM saga"), 1);
    assert_int_equal(world_count("SELECT count(*) FROM step_log WHERE outcome = 14 AND reason = "
                                 "'WRITE_OFF'"),
                     1);
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE step = 6 AND orders = 2"), 1);
    assert_int_equal(run(STEP_VOID).n_moved, 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE state = 7 AND reason = "
                                 "'GIVEN_BACK' AND reason_text = 'as ordered'"),
                     1);
    assert_int_equal(world_available(), 1000000);
}

static void test_write_off__makes_suspense_and_leaves_the_state(void **state) {
    (void)state;
    const uuid id = sent_payout();
    say(id, RAIL_EVENT_REFUSED, 0, "refused");
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    say(id, RAIL_EVENT_SETTLED, 100, "settled");
    assert_int_equal(run(STEP_DONE).n_moved, 1);
    give(id, RAIL_EVENT_WRITE_OFF, "order");
    assert_int_equal(run(STEP_DONE).n_moved, 1);
    assert_int_equal(run(STEP_CONFIRM).n_moved, 1);
    assert_int_equal(
        world_count("SELECT count(*) FROM saga WHERE state = 7 AND written_off = 100 AND "
                    "hold = '' AND reason = 'R03'"),
        1);
    assert_int_equal(world_look().accounts_made, 1);
    assert_int_equal(world_available(), 1000000);
    assert_int_equal(world_paid_out(), 100);
}

static void test_log__tries_in_vain__the_first_and_every_tenth(void **state) {
    (void)state;
    world.submit_verdict = RAIL_NOT_SENT;
    world_payouts(RAIL_INSTANT, 1, 100, NULL);
    assert_int_equal(run(STEP_RESERVE).n_moved, 1);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(run_soon(STEP_EXECUTE).n_moved, 1);
    }
    assert_int_equal(world_count("SELECT tries FROM saga"), 40);
    // Three, and the eleventh, twenty-first and thirty-first: an intent and an outcome each.
    assert_int_equal(world_count("SELECT count(*) FROM step_log WHERE step = 2"), 12);
    // A worker dies in a try that is not in the log: the rail is asked, as always.
    saga_batch b = batch(STEP_EXECUTE, 1, 5000);
    fixture_sql("UPDATE saga SET tries = 45, due_at = now()", NULL, 0);
    assert_int_equal(claim(&b), 1);
    assert_int_equal(world_count("SELECT count(*) FROM step_log WHERE step = 2"), 12);
    end_leases();
    take_over();
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE step = 2 AND phase = 1"), 1);
    world.query_verdict = RAIL_SETTLED;
    assert_int_equal(run(STEP_EXECUTE).n_moved, 1);
    assert_int_equal(run(STEP_CONFIRM).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_SETTLED), 1);
    // The log's rows have consecutive numbers.
    assert_int_equal(world_count("SELECT max(seq) - count(*) FROM step_log"), 0);
}

// Held at RESERVE, with its worker gone: the reservation may exist or not.
static void test_held_at_reserve__given_up__no_reservation_stays(void **state) {
    (void)state;
    uuid ids[2];
    world_payouts(RAIL_INSTANT, 1, 100, &ids[0]);
    world.ledger_failures = 1;
    world.ledger_lost_answer = true;
    assert_int_equal(run(STEP_RESERVE).n_moved, 1); // made, with a lost answer
    assert_int_equal(world_available(), 999900);
    world_payouts(RAIL_INSTANT, 1, 50, &ids[1]); // never made
    fixture_sql("UPDATE saga SET tries = 0, hold = 'LEASE_WITHOUT_INTENT', held_state = state, "
                "state = 10, due_at = NULL",
                NULL, 0);
    give(ids[0], RAIL_EVENT_GIVE_BACK, "order");
    give(ids[1], RAIL_EVENT_CANCEL, "order");
    assert_int_equal(run(STEP_RESERVE).n_moved, 2);
    assert_int_equal(run(STEP_VOID).n_moved, 1);
    assert_int_equal(run(STEP_CANCEL).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_FAILED), 1);
    assert_int_equal(in_state(STEP_DONE, STATE_CANCELED), 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE hold <> ''"), 0);
    assert_int_equal(world_available(), 1000000);
}

static bool restored; // the database may have forgotten sent payouts

static bool cancel_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    const saga_cancellation x = {.book_id = WORLD_BOOK,
                                 .payout_id = *(const uuid *)arg,
                                 .may_be_forgotten = restored,
                                 .actor = STR("ada"),
                                 .reason = STR("a mistake"),
                                 .now_us = clock_wall_us(clock_system())};
    return saga_cancel(NULL, c, &x, a, e);
}

static bool cancels(uuid id) {
    err e = {0};
    return db_transact(world_pool(), fixture_deadline(5000), memory_2, cancel_in_tx, &id, &e);
}

// In a pause, with a silent bank or a connection that is off, no worker may come for days: the order needs none.
static void test_cancel__no_worker_comes_by__the_order_is_carried_out(void **state) {
    (void)state;
    uuid early, reserved;
    world_payouts(RAIL_INSTANT, 1, 100, &reserved);
    assert_int_equal(run(STEP_RESERVE).n_moved, 1);
    world_payouts(RAIL_INSTANT, 1, 50, &early);
    assert_true(cancels(early));
    assert_int_equal(in_state(STEP_DONE, STATE_CANCELED), 1);
    assert_true(cancels(reserved));
    assert_int_equal(in_state(STEP_CANCEL, STATE_PROCESSING), 1);
    assert_int_equal(world_count("SELECT count(*) FROM step_log WHERE outcome = 13"), 2);
    assert_int_equal(run(STEP_CANCEL).n_moved, 1); // this step is not paused
    assert_int_equal(in_state(STEP_DONE, STATE_CANCELED), 2);
    assert_int_equal(world_available(), 1000000);
}

// A repeated order does not get "impossible", though the bank was faster than the order.
static void test_cancel__accepted_before__is_answered_as_before(void **state) {
    (void)state;
    const uuid id = sent_payout();
    assert_false(cancels(id));
    give(id, RAIL_EVENT_CANCEL, "order");
    assert_int_equal(run(STEP_AWAIT).n_moved, 1); // not possible any more
    assert_int_equal(world_count("SELECT count(*) FROM step_log WHERE outcome = 14"), 1);
    assert_true(cancels(id));
    assert_int_equal(world_count("SELECT count(*) FROM rail_event WHERE kind = 25"), 1);
}

// The first order came to nothing, since the bank had it then. Now it waits to be sent anew, and must not be.
static void test_cancel__came_to_nothing_before__is_given_again(void **state) {
    (void)state;
    const uuid id = sent_payout();
    give(id, RAIL_EVENT_CANCEL, "order");
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(world_count("SELECT count(*) FROM step_log WHERE outcome = 14"), 1);
    fixture_sql("UPDATE saga SET due_at = now() - interval '1 hour'", NULL, 0);
    world.query_verdict = RAIL_REFUSED_RETRY;
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(in_state(STEP_EXECUTE, STATE_SENT), 1); // the second attempt is next
    assert_true(cancels(id));
    assert_true(cancels(id)); // the same order
    assert_int_equal(world_count("SELECT count(*) FROM rail_event WHERE kind = 25"), 2);
    assert_int_equal(run(STEP_CANCEL).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_CANCELED), 1);
    assert_int_equal(world_look().submits, 1);
}

// The restored database knows of no action; yet the bank has paid it.
static void test_NO_DOUBLE_cancel__after_a_restore__the_bank_is_asked_first(void **state) {
    (void)state;
    uuid id;
    world_payouts(RAIL_INSTANT, 1, 100, &id);
    world.query_verdict = RAIL_SETTLED;
    restored = true;
    assert_true(cancels(id));
    restored = false;
    assert_int_equal(run(STEP_RESERVE).n_moved, 1);
    assert_int_equal(run(STEP_EXECUTE).n_moved, 1);
    assert_int_equal(world_look().queries, 1);
    assert_int_equal(world_look().submits, 0);
    assert_int_equal(run(STEP_CONFIRM).n_moved, 1); // the order is not possible any more
    assert_int_equal(world_count("SELECT count(*) FROM step_log WHERE outcome = 14"), 1);
    assert_int_equal(run(STEP_CONFIRM).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_SETTLED), 1);
    assert_int_equal(world_available(), 1000000 - 100);
}

// --- An order that meets a worker -------------------------------------------------------------------------------------

static int64_t free_slots; // seen from outside during the order's transaction

// As ResolveCase gives it.
static bool cancel_by_a_case(db_conn *c, arena *a, void *arg, err *e) {
    const rail_event order = {.payout_id = *(const uuid *)arg,
                              .kind = RAIL_EVENT_CANCEL,
                              .event_id = STR("case"),
                              .code = STR("CANCEL"),
                              .at_us = 1,
                              .source = RAIL_SOURCE_PERSON,
                              .actor = STR("ada")};
    saga_slots held;
    if (!saga_orders_lock(NULL, c, WORLD_BOOK, order.payout_id, order.kind, &held, a, e) ||
        !saga_order_check(c, WORLD_BOOK, order.payout_id, order.kind, order.code, a, e) ||
        !rail_events_record(c, WORLD_BOOK, &order, 1, a, e) ||
        !saga_orders_take(NULL, c, WORLD_BOOK, order.payout_id, &held, a, e)) {
        return false;
    }
    free_slots = world_count("SELECT count(*) FROM (SELECT 1 FROM saga_slot WHERE step = 2 "
                             "FOR UPDATE SKIP LOCKED) AS free");
    return true;
}

static void *resolve_case(void *arg) {
    err e = {0};
    arena *own = arena_create(SAGA_ARENA_MAX);
    const bool given =
        db_transact(world_pool(), fixture_deadline(5000), own, cancel_by_a_case, arg, &e);
    arena_destroy(own);
    return given ? arg : NULL;
}

static bool order_by_a_case(db_conn *c, arena *a, void *arg, err *e) {
    const rail_event *order = arg;
    saga_slots held;
    return saga_orders_lock(NULL, c, WORLD_BOOK, order->payout_id, order->kind, &held, a, e) &&
           saga_order_check(c, WORLD_BOOK, order->payout_id, order->kind, order->code, a, e) &&
           rail_events_record(c, WORLD_BOOK, order, 1, a, e) &&
           saga_orders_take(NULL, c, WORLD_BOOK, order->payout_id, &held, a, e);
}

// The bank is silent, and a cancel waits for it. An impossible order is refused, and the cancel goes on waiting.
static void test_cancel__waits__what_is_not_possible_behind_it_is_refused(void **state) {
    (void)state;
    const rail_event_kind kinds[] = {RAIL_EVENT_RELEASE, RAIL_EVENT_WRITE_OFF};
    uuid id;
    world_payouts(RAIL_INSTANT, 1, 100, &id);
    assert_int_equal(run(STEP_RESERVE).n_moved, 1);
    world.submit_verdict = world.query_verdict = RAIL_UNKNOWN;
    assert_int_equal(run(STEP_EXECUTE).n_moved, 1);
    assert_int_equal(run_soon(STEP_RESOLVE).n_moved, 1);
    give(id, RAIL_EVENT_CANCEL, "cancel");
    for (size_t i = 0; i < 2; i++) {
        rail_event order = {.payout_id = id,
                            .kind = kinds[i],
                            .event_id = STR("case"),
                            .at_us = 1,
                            .source = RAIL_SOURCE_PERSON,
                            .actor = STR("ada")};
        err e = {0};
        assert_false(db_transact(world_pool(), fixture_deadline(5000), memory_2, order_by_a_case,
                                 &order, &e));
        assert_string_equal(e.reason, "ORDER_NOT_POSSIBLE");
    }
    assert_int_equal(world_count("SELECT coalesce(orders, 0) FROM saga"), 0);
    assert_int_equal(world_count("SELECT count(*) FROM rail_event WHERE kind >= 20"), 1);
}

// A worker has RESOLVE's slot and moves the payout to EXECUTE while the order waits for this slot.
static bool move_meanwhile(db_conn *c, arena *a, void *arg, err *e) {
    pthread_t *thread = ((void **)arg)[0];
    static const db_stmt MOVE = {"test_move",
                                 "UPDATE saga SET step = 2, doubt = 0, due_at = now()"};
    static const db_stmt LOCK = {"test_lock",
                                 "UPDATE saga_slot SET claims = claims + 1 WHERE step = 3"};
    if (!db_exec(c, &LOCK, NULL, a, NULL, NULL, e) ||
        pthread_create(thread, NULL, resolve_case, ((void **)arg)[1]) != 0) {
        return false;
    }
    while (world_count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                       "AND wait_event_type = 'Lock'") == 0) {
    }
    return db_exec(c, &MOVE, NULL, a, NULL, NULL, e);
}

static void test_NO_LOSS_cancel__moves_while_the_order_waits__no_worker_sends_it(void **state) {
    (void)state;
    pthread_t thread;
    uuid id;
    void *given = NULL, *args[] = {&thread, &id};
    err e = {0};
    world_payouts(RAIL_INSTANT, 1, 100, &id);
    assert_int_equal(run(STEP_RESERVE).n_moved, 1);
    world.submit_verdict = world.query_verdict = RAIL_UNKNOWN;
    assert_int_equal(run(STEP_EXECUTE).n_moved, 1);
    assert_int_equal(run_soon(STEP_RESOLVE).n_moved, 1);
    assert_true(
        db_transact(world_pool(), fixture_deadline(5000), memory_2, move_meanwhile, args, &e));
    assert_int_equal(pthread_join(thread, &given), 0);
    assert_non_null(given);
    assert_int_equal(in_state(STEP_CANCEL, STATE_PROCESSING), 1);
    assert_int_equal(free_slots, 0);
}

// A ledger that is down is asked once per batch, not once per payout.
static void test_reserve__no_transit_account__the_ledger_is_asked_once(void **state) {
    (void)state;
    ledger_accounts *accounts = ledger_accounts_create(NULL);
    const saga_tools tools = {.accounts = accounts, .ledger_timeout_ms = 1000};
    world_payouts(RAIL_INSTANT, 5, 100, NULL);
    world.no_accounts = true;
    saga_batch b = batch(STEP_RESERVE, 9, 600);
    assert_int_equal(saga_batch_run(&b, &tools, keeper).n_moved, 5);
    ledger_accounts_destroy(accounts);
    assert_int_equal(world_look().accounts_asked, 1);
    assert_int_equal(world_look().ledger_transfers, 0);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE step = 1 AND tries = 1"), 5);
}

// The tries were for another step: the present step is new, and the log tells it.
static void test_log__a_step_of_the_ledger_after_many_tries(void **state) {
    (void)state;
    const uuid id = sent_payout();
    fixture_sql("UPDATE saga SET tries = 45", NULL, 0);
    say(id, RAIL_EVENT_SETTLED, 100, "settled");
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_SETTLED), 1);
    assert_int_equal(world_count("SELECT count(*) FROM step_log WHERE step = 5"), 2);
    say(id, RAIL_EVENT_RETURNED, 100, "returned");
    fixture_sql("UPDATE saga SET tries = 45", NULL, 0);
    saga_batch b = batch(STEP_DONE, 1, 5000);
    assert_int_equal(claim(&b), 1);
    end_leases();
    take_over(); // from the intent, which has the amount and the reason
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE step = 7 AND phase = 1 AND "
                                 "reason = 'R03' AND hold = ''"),
                     1);
}

static void test_log__a_hand_over_after_many_tries(void **state) {
    (void)state;
    world.hands_over = true;
    world_payouts(RAIL_INSTANT, 1, 100, NULL);
    assert_int_equal(run(STEP_RESERVE).n_moved, 1);
    fixture_sql("UPDATE saga SET tries = 45", NULL, 0);
    run(STEP_EXECUTE);
    assert_int_equal(in_state(STEP_AWAIT, STATE_PROCESSING), 1);
    assert_int_equal(world_count("SELECT count(*) FROM step_log WHERE outcome = 10"), 1);
}

static void test_recipient_or_payout_missing__holds_one_and_stops_nobody(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 3, 100, NULL);
    assert_int_equal(run(STEP_RESERVE).n_moved, 3);
    fixture_sql(
        "UPDATE payout SET recipient_id = '22222222-2222-4222-8222-222222222222' "
        "WHERE payout_id = (SELECT min(payout_id::text)::uuid FROM payout); "
        "DELETE FROM payout WHERE payout_id = (SELECT max(payout_id::text)::uuid FROM payout)",
        NULL, 0);
    assert_int_equal(run(STEP_EXECUTE).n_moved, 3);
    assert_int_equal(in_state(STEP_AWAIT, STATE_SENT), 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE step = 2 AND hold IN "
                                 "('RECIPIENT_MISSING', 'VALUE_NOT_KNOWN')"),
                     2);
    assert_int_equal(world_count("SELECT count(*) FROM payment_case"), 2);
}

static void test_step_since__is_when_the_step_was_entered(void **state) {
    (void)state;
    (void)sent_payout();
    fixture_sql("UPDATE saga SET step_since = now() - interval '1 h', due_at = now()", NULL, 0);
    world.query_verdict = RAIL_ACCEPTED;
    assert_int_equal(run(STEP_AWAIT).n_moved, 1); // asked, and still waiting
    assert_int_equal(
        world_count("SELECT count(*) FROM saga WHERE step = 4 AND step_since < now() - "
                    "interval '59 min'"),
        1);
    fixture_sql("UPDATE saga SET due_at = now()", NULL, 0);
    world.query_verdict = RAIL_SETTLED;
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(
        world_count("SELECT count(*) FROM saga WHERE step = 5 AND step_since > now() - "
                    "interval '1 min'"),
        1);
}

// The machine's tables equal the database's CHECKs: exactly the named numbers are allowed.
static void test_numbers__of_the_machine_are_those_of_the_schema(void **state) {
    (void)state;
    (void)sent_payout();
    for (int n = -1; n < 20; n++) {
        const bool is_step = n > 0 && strcmp(saga_step_name(n), "?") != 0;
        const bool is_state = n > 0 && strcmp(saga_state_name(n), "?") != 0;
        assert_int_equal(n >= 1 && n < STEP_COUNT, is_step);
        assert_int_equal(
            world_count("SELECT count(*) FROM pg_constraint WHERE conrelid = 'saga'::regclass "
                        "AND conname = 'saga_step_check' AND (%d BETWEEN 1 AND 10) AND "
                        "pg_get_constraintdef(oid) LIKE '%%step >= 1%%step <= 10%%'",
                        n),
            is_step);
        assert_int_equal(
            world_count("SELECT count(*) FROM pg_constraint WHERE conrelid = 'saga'::regclass "
                        "AND conname = 'saga_state_check' AND (%d BETWEEN 1 AND 10) AND "
                        "pg_get_constraintdef(oid) LIKE '%%state >= 1%%state <= 10%%'",
                        n),
            is_state);
    }
    for (int outcome = 0; outcome < OUT_COUNT; outcome++) {
        assert_string_not_equal(saga_outcome_name(outcome), "?");
    }
    assert_string_equal(saga_outcome_name(OUT_COUNT), "?");
    // The rails' and the machine's names of messages agree.
    assert_int_equal(RAIL_EVENT_ACCEPTED, EVENT_ACCEPTED);
    assert_int_equal(RAIL_EVENT_NOT_TAKEN, EVENT_NOT_TAKEN);
    assert_int_equal(RAIL_EVENT_RELEASE, EVENT_RELEASE);
    assert_int_equal(RAIL_EVENT_RETRY, EVENT_RETRY);
    assert_int_equal(RAIL_EVENT_MARK_PAID, EVENT_MARK_PAID);
    assert_int_equal(RAIL_EVENT_GIVE_BACK, EVENT_GIVE_BACK);
    assert_int_equal(RAIL_EVENT_WRITE_OFF, EVENT_WRITE_OFF);
    assert_int_equal(RAIL_EVENT_CANCEL, EVENT_CANCEL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_cancel__came_to_nothing_before__is_given_again, fresh),
        cmocka_unit_test_setup(test_return__by_the_events_amount__each_part_with_ids_of_its_own,
                               fresh),
        cmocka_unit_test_setup(test_paid_again__beyond_the_balance__the_case_says_how_much, fresh),
        cmocka_unit_test_setup(test_return__whose_worker_died__is_repeated_as_it_was, fresh),
        cmocka_unit_test_setup(test_closed__held_at_its_step__released_under_the_next_number,
                               fresh),
        cmocka_unit_test_setup(test_NO_LOSS_return_after_a_judgement__goes_back, fresh),
        cmocka_unit_test_setup(test_orders__are_numbered_and_taken_up_one_by_one, fresh),
        cmocka_unit_test_setup(test_write_off__makes_suspense_and_leaves_the_state, fresh),
        cmocka_unit_test_setup(test_log__tries_in_vain__the_first_and_every_tenth, fresh),
        cmocka_unit_test_setup(test_held_at_reserve__given_up__no_reservation_stays, fresh),
        cmocka_unit_test_setup(test_NO_DOUBLE_cancel__after_a_restore__the_bank_is_asked_first,
                               fresh),
        cmocka_unit_test_setup(test_cancel__accepted_before__is_answered_as_before, fresh),
        cmocka_unit_test_setup(test_cancel__no_worker_comes_by__the_order_is_carried_out, fresh),
        cmocka_unit_test_setup(test_NO_LOSS_cancel__moves_while_the_order_waits__no_worker_sends_it,
                               fresh),
        cmocka_unit_test_setup(test_cancel__waits__what_is_not_possible_behind_it_is_refused,
                               fresh),
        cmocka_unit_test_setup(test_reserve__no_transit_account__the_ledger_is_asked_once, fresh),
        cmocka_unit_test_setup(test_log__a_step_of_the_ledger_after_many_tries, fresh),
        cmocka_unit_test_setup(test_log__a_hand_over_after_many_tries, fresh),
        cmocka_unit_test_setup(test_recipient_or_payout_missing__holds_one_and_stops_nobody, fresh),
        cmocka_unit_test_setup(test_step_since__is_when_the_step_was_entered, fresh),
        cmocka_unit_test_setup(test_numbers__of_the_machine_are_those_of_the_schema, fresh),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
