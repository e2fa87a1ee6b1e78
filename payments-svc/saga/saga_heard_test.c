// Messages about many payouts at once, against a real PostgreSQL: their sagas are not written, and the next claim takes their list up.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "events/events.h"
#include "testing/saga_test_worker.h"

enum { MANY = 20 };

static uuid ids[MANY];

// Nothing is planned for them, as on a rail of files: they wait for the bank's word.
static void sent_payouts(size_t n) {
    world_payouts(RAIL_INSTANT, n, 100, ids);
    (void)run(STEP_RESERVE);
    (void)run(STEP_EXECUTE);
    fixture_sql("UPDATE saga SET due_at = NULL", NULL, 0);
    assert_int_equal(in_state(STEP_AWAIT, STATE_SENT), n);
}

typedef struct told {
    const rail_event *events;
    size_t n;
} told;

static bool add(db_conn *c, arena *a, void *arg, err *e) {
    const told *t = arg;
    return rail_events_add(c, WORLD_BOOK, RAIL_INSTANT, t->events, t->n, a, e);
}

static bool tell_events(const rail_event *events, size_t n, err *e) {
    told t = {events, n};
    arena *a = arena_create(1 << 20);
    const bool ok = db_transact(world_pool(), fixture_deadline(5000), a, add, &t, e);
    arena_destroy(a);
    return ok;
}

// As one file of the bank: the same word about the first n payouts.
static void tell(size_t n, rail_event_kind kind, const char *event_id) {
    rail_event events[MANY];
    err e = {0};
    for (size_t i = 0; i < n; i++) {
        events[i] = (rail_event){.payout_id = ids[i],
                                 .attempt = 1,
                                 .kind = kind,
                                 .event_id = str_of(event_id),
                                 .code = kind == RAIL_EVENT_RETURNED ? STR("R03") : STR(""),
                                 .at_us = 1};
    }
    assert_true(tell_events(events, n, &e));
}

static int64_t listed(void) {
    return world_count("SELECT coalesce(sum(n), 0)::int8 FROM saga_heard");
}

// True when each row counts all messages, and has heard them.
static bool all_are_heard(void) {
    return world_count("SELECT count(*) FROM saga AS s WHERE s.events <> s.events_seen OR "
                       "s.events <> (SELECT count(*) FROM rail_event AS v WHERE v.book_id = "
                       "s.book_id AND v.payout_id = s.payout_id)") == 0 &&
           listed() == 0;
}

static void test_heard__in_bulk__no_saga_is_written_before_its_claim(void **state) {
    (void)state;
    sent_payouts(MANY);
    const int64_t before = world_count("SELECT sum(xmin::text::int8)::int8 FROM saga");
    tell(MANY, RAIL_EVENT_SETTLED, "a");
    assert_int_equal(world_count("SELECT sum(xmin::text::int8)::int8 FROM saga"), before);
    assert_int_equal(listed(), MANY);
    const saga_result r = run(STEP_AWAIT);
    assert_int_equal(r.n_moved, MANY);
    assert_false(r.more);
    assert_int_equal(in_state(STEP_DONE, STATE_SETTLED), MANY);
    assert_int_equal(world_paid_out(), MANY * 100);
    assert_true(all_are_heard());
    assert_int_equal(run(STEP_AWAIT).n_found, 0);
    assert_int_equal(run(STEP_DONE).n_found, 0);
}

// As in a file: unordered, with parts of one payout apart.
static void test_heard__parts_of_one_payout__counted_or_refused_whole(void **state) {
    (void)state;
    rail_event events[3];
    err e = {0};
    sent_payouts(2);
    for (int i = 0; i < 3; i++) {
        events[i] = (rail_event){.payout_id = ids[i % 2],
                                 .attempt = 1,
                                 .kind = RAIL_EVENT_RETURNED,
                                 .event_id = i == 2 ? STR("b") : STR("a"),
                                 .code = STR("R03"),
                                 .at_us = 1,
                                 .amount = 10 + i,
                                 .currency = "USD",
                                 .inbox_id = {{5}},
                                 .inbox_line = 3 + i};
    }
    assert_true(tell_events(events, 3, &e));
    assert_int_equal(world_count("SELECT count(*) FROM rail_event WHERE kind = 4 AND code = 'R03' "
                                 "AND currency = 'USD' AND source = 1 AND actor = '' AND "
                                 "order_number IS NULL AND detail = '' AND rail_reference = ''"),
                     3);
    assert_int_equal(world_count("SELECT sum(amount) FROM rail_event WHERE inbox_id IS NOT NULL "
                                 "AND inbox_line = amount - 7"),
                     33);
    assert_int_equal(listed(), 3);
    for (int i = 0; i < 2; i++) {
        events[i].event_id = STR("c");
    }
    assert_false(tell_events(events, 3, &e));
    assert_int_equal(e.code, ERR_ALREADY_EXISTS);
    assert_int_equal(world_count("SELECT count(*) FROM rail_event"), 3);
    assert_int_equal(listed(), 3);
    assert_int_equal(run(STEP_AWAIT).n_found, 2);
    assert_int_equal(world_count("SELECT max(events) FROM saga"), 2);
    assert_true(all_are_heard());
}

static void test_heard__by_sagas_that_do_more_than_wait__they_become_due(void **state) {
    (void)state;
    char of[4][UUID_TEXT_LEN + 1];
    char sql[800];
    sent_payouts(5);
    for (size_t i = 0; i < 4; i++) {
        uuid_format(ids[i], of[i]);
    }
    (void)snprintf(sql, sizeof sql,
                   "UPDATE saga SET state = 4 WHERE payout_id = '%s'; "
                   "UPDATE saga SET hold = 'A_REASON', held_state = 5, state = 10 "
                   "WHERE payout_id = '%s'; "
                   "UPDATE saga SET judged = 0 WHERE payout_id = '%s'; "
                   "UPDATE saga SET due_at = now() + interval '1 h' WHERE payout_id = '%s'",
                   of[0], of[1], of[2], of[3]);
    fixture_sql(sql, NULL, 0);
    tell(5, RAIL_EVENT_SETTLED, "a");
    const saga_result r = run(STEP_AWAIT); // only tells
    assert_int_equal(r.n_found, 0);
    assert_true(r.more);
    assert_int_equal(listed(), 1);
    assert_int_equal(run(STEP_AWAIT).n_found, 5);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE hold = '' AND state = 6"), 4);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE events = 1"), 5);
    assert_int_equal(listed(), 0);
    assert_true(all_are_heard());
}

static void test_heard__again_while_leased__heard_after_the_outcome(void **state) {
    (void)state;
    sent_payouts(3);
    tell(3, RAIL_EVENT_SETTLED, "a");
    saga_batch b = batch(STEP_AWAIT, 1, 5000);
    assert_int_equal(claim(&b), 3);
    assert_int_equal(world_count("SELECT n_due FROM saga_lease"), 0);
    tell(2, RAIL_EVENT_RETURNED, "b");
    saga_batch other = batch(STEP_AWAIT, 2, 5000);
    assert_int_equal(claim(&other), 0); // they have a worker, and are told
    assert_int_equal(listed(), 0);
    finish_all(&b, OUT_DONE);
    assert_int_equal(written(&b), 3);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE due_at <= now()"), 2);
    assert_int_equal(run(STEP_DONE).n_found, 2);
    assert_int_equal(in_state(STEP_DONE, STATE_RETURNED), 2);
    assert_true(all_are_heard());
}

static void test_heard__its_worker_dies__heard_by_the_next(void **state) {
    (void)state;
    sent_payouts(3);
    tell(3, RAIL_EVENT_SETTLED, "a");
    saga_batch b = batch(STEP_AWAIT, 1, 5000);
    assert_int_equal(claim(&b), 3);
    tell(1, RAIL_EVENT_RETURNED, "b");
    end_leases();
    take_over();
    assert_int_equal(world_count("SELECT count(*) FROM saga_lease"), 0);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE step = 5 AND due_at <= now()"),
                     3);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE events >= 1"), 3);
    (void)run(STEP_AWAIT); // tells the return
    (void)run(STEP_CONFIRM);
    (void)run(STEP_DONE);
    assert_int_equal(in_state(STEP_DONE, STATE_SETTLED), 2);
    assert_int_equal(in_state(STEP_DONE, STATE_RETURNED), 1);
    assert_int_equal(world_paid_out(), 200);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE events <> events_seen"), 0);
}

static void test_heard__more_than_a_batch__cut(void **state) {
    (void)state;
    sent_payouts(MANY);
    tell(MANY, RAIL_EVENT_SETTLED, "a");
    int64_t left = MANY;
    for (int i = 0; left > 0; i++) {
        assert_true(i < MANY);
        saga_batch b = batch(STEP_AWAIT, 1, 5000);
        b.from.limit = 7;
        const size_t n = claim(&b);
        assert_int_equal(n, left < 7 ? left : 7);
        left -= (int64_t)n;
        assert_int_equal(b.more, left > 0);
        assert_int_equal(listed(), left);
        finish_all(&b, OUT_DONE);
        assert_int_equal(written(&b), n);
    }
    assert_int_equal(in_state(STEP_DONE, STATE_SETTLED), MANY);
    assert_true(all_are_heard());
}

// A list leaves room for sagas that are due by themselves, and a list that does not fit waits for the next claim.
static void test_heard__and_due__both_have_their_share(void **state) {
    (void)state;
    sent_payouts(MANY);
    fixture_sql("UPDATE saga SET due_at = now() - interval '1 h' WHERE payout_id IN (SELECT "
                "payout_id FROM saga ORDER BY payout_id DESC LIMIT 4)",
                NULL, 0);
    tell(10, RAIL_EVENT_SETTLED, "a");
    tell(10, RAIL_EVENT_RETURNED, "b");
    saga_batch b = batch(STEP_AWAIT, 1, 5000);
    b.from.limit = 16;
    assert_int_equal(claim(&b), 14);
    assert_true(b.more);
    assert_int_equal(listed(), 10);
}

// Retention may be about to archive it.
static void test_heard__an_old_payout__told_by_its_row(void **state) {
    (void)state;
    static const char OLD[] = "01600000-0000-7000-8000-000000000001"; // of 2017
    char id[UUID_TEXT_LEN + 1], sql[300];
    sent_payouts(2);
    uuid_format(ids[0], id);
    (void)snprintf(sql, sizeof sql,
                   "UPDATE saga SET payout_id = '%s' WHERE payout_id = '%s'; "
                   "UPDATE payout SET payout_id = '%s' WHERE payout_id = '%s'",
                   OLD, id, OLD, id);
    fixture_sql(sql, NULL, 0);
    assert_true(uuid_parse(str_of(OLD), &ids[0]));
    tell(2, RAIL_EVENT_SETTLED, "a");
    assert_int_equal(listed(), 0);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE events = 1 AND due_at <= now()"),
                     2);
}

static bool scan(saga_scan *s, arena *a) {
    const int64_t book = WORLD_BOOK;
    const int16_t rails[] = {RAIL_INSTANT};
    err e = {0};
    return saga_store_scan(world_pool(), &book, 1, rails, 1, clock_wall_us(clock_system()), 100, s,
                           fixture_deadline(5000), a, &e);
}

static void test_heard__listed__the_scan_sees_it(void **state) {
    (void)state;
    arena *a = arena_create(1 << 20);
    saga_scan s;
    sent_payouts(3);
    assert_true(scan(&s, a));
    assert_int_equal(s.n, 0);
    tell(3, RAIL_EVENT_SETTLED, "a");
    assert_true(scan(&s, a));
    assert_int_equal(s.n, 1);
    assert_int_equal(s.due[0].step, STEP_AWAIT);
    assert_int_equal(s.due[0].count, 3);
    saga_batch b = batch(STEP_AWAIT, 1, 5000);
    assert_int_equal(claim(&b), 3);
    assert_true(scan(&s, a)); // they have an owner
    assert_int_equal(s.n, 0);
    fixture_sql("UPDATE saga SET due_at = now() - interval '1 s' WHERE payout_id NOT IN (SELECT "
                "unnest(payout_ids) FROM saga_lease)",
                NULL, 0);
    arena_destroy(a);
}

// What the payouts' archive has taken is not there any more. The others are heard.
static void test_heard__of_no_payout__the_others_go_on(void **state) {
    (void)state;
    sent_payouts(2);
    const rail_event events[] = {
        {.payout_id = ids[0], .attempt = 1, .kind = RAIL_EVENT_SETTLED, .event_id = STR("a")},
        {.payout_id = {{9}}, .attempt = 1, .kind = RAIL_EVENT_SETTLED, .event_id = STR("a")}};
    err e = {0};
    assert_true(tell_events(events, 2, &e));
    assert_int_equal(run(STEP_AWAIT).n_found, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_SETTLED), 1);
    assert_int_equal(listed(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_heard__in_bulk__no_saga_is_written_before_its_claim, fresh),
        cmocka_unit_test_setup(test_heard__parts_of_one_payout__counted_or_refused_whole, fresh),
        cmocka_unit_test_setup(test_heard__by_sagas_that_do_more_than_wait__they_become_due, fresh),
        cmocka_unit_test_setup(test_heard__again_while_leased__heard_after_the_outcome, fresh),
        cmocka_unit_test_setup(test_heard__its_worker_dies__heard_by_the_next, fresh),
        cmocka_unit_test_setup(test_heard__more_than_a_batch__cut, fresh),
        cmocka_unit_test_setup(test_heard__and_due__both_have_their_share, fresh),
        cmocka_unit_test_setup(test_heard__an_old_payout__told_by_its_row, fresh),
        cmocka_unit_test_setup(test_heard__listed__the_scan_sees_it, fresh),
        cmocka_unit_test_setup(test_heard__of_no_payout__the_others_go_on, fresh),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
