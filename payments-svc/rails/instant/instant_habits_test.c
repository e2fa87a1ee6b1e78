// Banks whose answers and messages have unusual shapes: nothing is held or lost for that.
#include "testing/instant_test_world.h"

// --- Members without a value -----------------------------------------------------------------------------------------

// A bank may write every member, even without a value.
static void test_answer__members_without_a_value__as_if_not_there(void **state) {
    (void)state;
    static const char *const empty = ",\"returned_amount\":0,\"retriable\":null,\"code\":null,"
                                     "\"text\":null,\"reference\":null";
    const rail_item *item = make_items(1);
    script.status = 200;
    script.body = payment_json(item, "settled", 1000, empty);
    assert_verdict(submit_one(), RAIL_SETTLED, "");
    assert_verdict(query_one(), RAIL_SETTLED, "");
    script.body = payment_json(item, "returned", 1000, ",\"returned_amount\":null");
    assert_verdict(query_one(), RAIL_RETURNED, "");
    script.body = payment_json(item, "refused", 1000, empty);
    assert_verdict(query_one(), RAIL_REFUSED, "");
    script.body = payment_json(item, "settled", 1000, ",\"returned_amount\":-1"); // no sum
    assert_verdict(query_one(), RAIL_UNKNOWN, "BAD_ANSWER");
}

// Promise NO-LOSS: a bank that says "returned" and "nothing came back" has said neither. A person reads it.
static void test_NO_LOSS_answer__returned_and_nothing_came_back__believed_by_nobody(void **state) {
    (void)state;
    static const char *const ZERO = ",\"returned_amount\":0";
    const rail_item *item = make_items(1);
    script.status = 200;
    script.body = payment_json(item, "returned", 1000, ZERO);
    assert_verdict(query_one(), RAIL_UNKNOWN, "BAD_ANSWER");
    start_webhook();
    const char *body = hook_body("payment.returned", "returned", 1, 1000, NULL);
    const char *data = strstr(body, "\"amount\"");
    assert_non_null(data);
    const hook h = {.id = "zero",
                    .body =
                        arena_printf(mem, "%.*s%s,%s", (int)(data - body), body, ZERO + 1, data)};
    assert_int_equal(send_hook(h), 200);
    assert_int_equal(count_of("rail_event"), 0);
    assert_int_equal(count_of("inbox b JOIN inbox_exception x USING (book_id, inbox_id)"
                              " WHERE b.name = 'zero' AND x.reason = 'BAD_MESSAGE'"),
                     1);
    assert_int_equal(count_of("payment_case"), 1);
}

// --- Messages of other types -------------------------------------------------------------------------------------------

// Promise HEARD: a person reads every message about money. A bank has its own types, and names a payment anywhere.
static void test_HEARD_message__unknown_type_that_speaks_of_money__a_case(void **state) {
    (void)state;
    start_webhook();
    char id[UUID_TEXT_LEN + 1];
    uuid_format(payout_number(1), id);
    const char *const cases[] = {
        "{\"type\":\"transfer.returned\",\"data\":{\"payment_id\":\"pay_9\",\"amount\":1000}}",
        arena_printf(mem,
                     "{\"type\":\"return.created\",\"data\":{\"payment\":{\"reference\":\"%d/%s\"},"
                     "\"sum\":\"10.00\"}}",
                     BOOK, id),
        "{\"type\":\"refund\",\"data\":{\"refund\":{\"original\":{\"payment_id\":\"pay_9\"}}}}",
        "{\"type\":\"clawback\",\"amount\":1000,\"currency\":\"INR\"}",
        "{\"type\":\"batch\",\"items\":[{\"payment_id\":\"pay_9\"}]}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const hook h = {.id = arena_printf(mem, "m%zu", i), .body = cases[i]};
        assert_int_equal(send_hook(h), 200);
        if (count_of(arena_printf(mem,
                                  "inbox b JOIN inbox_exception x USING (book_id, inbox_id)"
                                  " WHERE b.name = 'm%zu' AND x.reason = 'UNKNOWN_TYPE'",
                                  i)) != 1) {
            fail_msg("case %zu", i);
        }
    }
    assert_int_equal(count_of("payment_case WHERE code = 'UNKNOWN_TYPE'"), 5);
    // A message without money is kept, and nobody has to read it.
    static const char *const others[] = {"{\"type\":\"account.updated\",\"data\":{\"id\":\"a\"}}",
                                         "{\"type\":\"ping\"}", "{\"type\":\"ping\",\"data\":[]}"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        const hook h = {.id = arena_printf(mem, "o%zu", i), .body = others[i]};
        assert_int_equal(send_hook(h), 200);
    }
    assert_int_equal(count_of("inbox WHERE state = 2 AND about = 'another type'"), 3);
    assert_int_equal(count_of("payment_case"), 5);
}

// The bank's time may have any form. The movement counts, and its message came now.
static void test_HEARD_message__time_of_another_form__counts(void **state) {
    (void)state;
    start_webhook();
    static const char *const TIMES[] = {"1795254067", "\"2026-11-21 09:00:00\"", "\"now\"", "null"};
    const char *body = hook_body("payment.settled", "settled", 1, 1000, NULL);
    const char *at = strstr(body, "\"2026-11-21T09:00:00.25Z\"");
    for (size_t i = 0; i < sizeof TIMES / sizeof TIMES[0]; i++) {
        fixture_sql("DELETE FROM rail_event", NULL, 0);
        const hook h = {.id = arena_printf(mem, "t%zu", i),
                        .body = arena_printf(mem, "%.*s%s%s", (int)(at - body), body, TIMES[i],
                                             at + strlen("\"2026-11-21T09:00:00.25Z\""))};
        assert_int_equal(send_hook(h), 200);
        assert_int_equal(events("kind = 3 AND amount = 1000 AND at BETWEEN now() - interval"
                                " '1 minute' AND now() + interval '1 minute'"),
                         1);
    }
    assert_int_equal(count_of("inbox_exception"), 0);
}

// --- Answers without a payment -----------------------------------------------------------------------------------------

static void sweep(bool expected) {
    err e = {0};
    assert_int_equal(instant_sweep(instant->self, &e), expected);
}

// A gateway's page, or an error with a good status, says nothing about the payment: it is asked for again.
static void test_NO_LOSS_sweep__good_status_and_no_payment__asked_again(void **state) {
    (void)state;
    static const char *const bodies[] = {"<html>We are down for maintenance.</html>", "",
                                         "{\"error\":\"internal\"}", "[]", "null"};
    rail_fixture_payout(BOOK, payout_number(1), RAIL_INSTANT, 1000, "INR", 1);
    fixture_sql("UPDATE payout SET created_at = now() - interval '1 minute';"
                "UPDATE saga SET state = 6, step = 8, step_since = now() - interval '1 minute';"
                "INSERT INTO merchant_book VALUES ('m', 7) ON CONFLICT DO NOTHING",
                NULL, 0);
    script.status = 200;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        fixture_sql("DELETE FROM inbox_sweep_again; INSERT INTO inbox_sweep_again SELECT book_id,"
                    " payout_id, 0, 2, now() - interval '1 s', 1 FROM payout;"
                    "DELETE FROM inbox_sweep; INSERT INTO inbox_sweep SELECT book_id, 2, n,"
                    " 'ffffffff-ffff-7fff-bfff-ffffffffffff', now() FROM payout,"
                    " generate_series(0, 2) AS n", // all pages are done
                    NULL, 0);
        script.body = bodies[i];
        sweep(true);
        if (count_of("inbox_sweep_again WHERE tries = 2") != 1 || count_of("inbox") != 0) {
            fail_msg("case %zu", i);
        }
    }
}

#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, instant_world_setup, instant_world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_answer__members_without_a_value__as_if_not_there),
        TEST(test_NO_LOSS_answer__returned_and_nothing_came_back__believed_by_nobody),
        TEST(test_HEARD_message__unknown_type_that_speaks_of_money__a_case),
        TEST(test_HEARD_message__time_of_another_form__counts),
        TEST(test_NO_LOSS_sweep__good_status_and_no_payment__asked_again),
    };
    return cmocka_run_group_tests(tests, instant_world_begin, instant_world_end);
}
