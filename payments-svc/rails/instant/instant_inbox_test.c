// The instant bank's messages and answers become events, exceptions and cases: a real database.
#include "domain/machine.h"
#include "testing/instant_test_world.h"

static void test_webhook__signed__recorded_once_with_its_attempt(void **state) {
    (void)state;
    start_webhook();
    const char *settled = hook_body("payment.settled", "settled", 2, 1000, NULL);
    assert_int_equal(send_hook((hook){.body = settled}), 200);
    assert_int_equal(
        events("kind = 3 AND attempt = 2 AND event_id = 'settled:2:pay_9' AND book_id = 7 AND "
               "rail_reference = 'pay_9'"
               " AND at = '2026-11-21T09:00:00.25Z'"),
        1);
    assert_int_equal(atomic_load(&woken), 1);
    assert_int_equal(send_hook((hook){.body = settled}), 200); // the same delivery again
    assert_int_equal(events("true"), 1);
    assert_int_equal(
        send_hook((hook){.id = "msg_2",
                         .body = hook_body("payment.returned", "returned", 3, 1000, NULL)}),
        200);
    assert_int_equal(
        send_hook(
            (hook){.id = "msg_3", .body = hook_body("payment.refused", "refused", 1, 1000, NULL)}),
        200);
    assert_int_equal(
        events("(kind = 4 AND attempt = 3) OR (kind = 2 AND attempt = 1 AND code = 'AC04')"), 2);
    assert_int_equal(send_hook((hook){.id = "msg_4", .body = "{\"type\":\"account.updated\"}"}),
                     200);
    assert_int_equal(events("true"), 3);
}

// Only we can have made the key: the bank may speak of an attempt that this database has forgotten.
static void test_webhook__attempt_that_is_not_known_here__recorded(void **state) {
    (void)state;
    start_webhook();
    const hook hook_4 = {.body = hook_body("payment.settled", "settled", 4, 1000, NULL)};
    assert_int_equal(send_hook(hook_4), 200);
    assert_int_equal(events("kind = 3 AND attempt = 4"), 1);
}

static void test_webhook__forged_or_old__refused(void **state) {
    (void)state;
    start_webhook();
    const char *good = hook_body("payment.settled", "settled", 1, 1000, NULL);
    const char *other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    assert_int_equal(send_hook((hook){.body = good, .secret = other}), 401);
    assert_int_equal(send_hook((hook){.body = good, .skew_s = -400}), 401);
    assert_int_equal(send_hook((hook){.body = good, .skew_s = 400}), 401);
    assert_int_equal(send_hook((hook){.body = good, .path = "/webhooks/other"}), 404);
    assert_int_equal(send_hook((hook){.body = "", .method = "GET"}), 405);
    assert_int_equal(count_of("inbox"), 0);
    assert_int_equal(atomic_load(&woken), 0);
    assert_int_equal(send_hook((hook){.body = good}), 200);
}

static const char *with_currency(const char *currency) {
    const char *body = hook_body("payment.settled", "settled", 1, 1000, NULL);
    const char *at = strstr(body, "INR");
    return arena_printf(mem, "%.*s%s%s", (int)(at - body), body, currency, at + 3);
}

// The bank's words are kept in many places; an account number in them is not.
static void test_webhook__account_number_in_its_words__hidden(void **state) {
    (void)state;
    start_webhook();
    const char *body = hook_body("payment.refused", "refused", 1, 1000, NULL);
    const char *at = strstr(body, "closed");
    body = arena_printf(mem, "%.*saccount 9182 7364 5546 closed on 2026-11-21, reason 42%s",
                        (int)(at - body), body, at + 6);
    assert_int_equal(send_hook((hook){.body = body}), 200);
    assert_int_equal(events("kind = 2 AND rail_reference = 'pay_9' AND detail ="
                            " 'account **** **** 5546 closed on 2026-11-21, reason 42'"),
                     1);
}

// Every verified message is kept, and the bank has done its part.
static void test_webhook__odd__recorded_raw_with_an_exception(void **state) {
    (void)state;
    start_webhook();
    const struct {
        const char *body, *reason;
    } cases[] = {
        {"{", "BAD_MESSAGE"},
        {"[]", "BAD_MESSAGE"},
        {hook_body("payment.settled", "refused", 1, 1000, NULL), "BAD_MESSAGE"},
        {with_currency("inr"), "BAD_MESSAGE"},
        {with_currency("I\\u0000R"), "BAD_MESSAGE"},
        {with_currency("\xe2\x82\xac"), "BAD_MESSAGE"}, // three bytes
        {hook_body("payment.settled", "settled", 2000, 1000, NULL), "OTHER_KEY"},
        {hook_body("payment.settled", "settled", 1, 1000, "nonsense"), "UNKNOWN_PAYMENT"},
        {hook_body("payment.settled", "settled", 1, 1000, "8/01930000-0000-7000-8000-000000000001"),
         "UNKNOWN_PAYMENT"},
        {hook_body("payment.settled", "settled", 1, 1001, NULL), "OTHER_AMOUNT"},
        {hook_body("payment.settled", "settled", 1, 999, NULL), "OTHER_AMOUNT"},
        {hook_body("payment.returned", "returned", 1, 1001, NULL), "OTHER_AMOUNT"},
        {hook_body("payment.reversed", "reversed", 1, 1000, NULL), "UNKNOWN_TYPE"},
        {hook_body("Payment.Returned", "returned", 1, 1000, NULL), "UNKNOWN_TYPE"},
        // the intent is ours
        {hook_body("transfer.undone", "undone", 1, 1000, NULL), "UNKNOWN_TYPE"},
        {"{\"type\":\"payment.failed\"}", "UNKNOWN_TYPE"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *id = arena_printf(mem, "odd_%zu", i);
        assert_int_equal(send_hook((hook){.id = id, .body = cases[i].body}), 200);
        if (count_of(arena_printf(mem,
                                  "inbox b JOIN inbox_exception x USING (book_id, inbox_id)"
                                  " WHERE b.name = '%s' AND b.kind = 2 AND x.reason = '%s'",
                                  id, cases[i].reason)) != 1) {
            fail_msg("case %zu", i);
        }
    }
    assert_int_equal(count_of("inbox WHERE book_id = 8"), 0); // no merchant has this book
    assert_int_equal(events("true"), 0);
    assert_int_equal(count_of("payment_case WHERE kind = 'INBOX_FILE'"), 6);
    assert_int_equal(count_of("payment_case WHERE kind = 'INBOX_LINE'"), 10);
    assert_int_equal(count_of("payment_case WHERE code = 'UNKNOWN_TYPE' AND book_id = 7"), 3);
    assert_int_equal(count_of("payment_case WHERE code = 'OTHER_AMOUNT' AND book_id = 7"), 3);
    assert_int_equal(
        count_of("inbox_exception WHERE compared LIKE '%amount 1001 INR, ours 1000 INR%'"), 2);
    // New content under a known id: it counts, whatever its id.
    assert_int_equal(
        send_hook((hook){.body = hook_body("payment.settled", "settled", 1, 1000, NULL)}), 200);
    assert_int_equal(
        send_hook((hook){.body = hook_body("payment.refused", "refused", 1, 1000, NULL)}), 200);
    assert_int_equal(events("kind = 3"), 1);
    assert_int_equal(events("kind = 2"), 1); // it holds the payout
}

static void apply_waiting(bool expected) {
    err e = {0};
    fixture_sql("UPDATE inbox SET received_at = received_at - interval '1 minute'", NULL, 0);
    assert_int_equal(inbox_apply_waiting(box, RAIL_INSTANT, &e), expected);
}

static const char *answer_json(const char *status, const char *extra) {
    char key[65], id[UUID_TEXT_LEN + 1];
    attempt_key(payout_number(1), 1, key);
    uuid_format(payout_number(1), id);
    return arena_printf(mem,
                        "{\"payment_id\":\"pay_9\",\"key\":\"%s\",\"status\":\"%s\","
                        "\"amount\":1000,\"currency\":\"INR\",\"reference\":\"%d/%s\"%s}",
                        key, status, BOOK, id, extra);
}

// The id belongs to the delivery, and says nothing about the movement.
static void test_NO_DOUBLE_webhook__same_movement_delivered_again__counts_once(void **state) {
    (void)state;
    start_webhook();
    const char *settled = hook_body("payment.settled", "settled", 1, 1000, NULL);
    const char *returned = hook_body("payment.returned", "returned", 1, 1000, NULL);
    assert_int_equal(send_hook((hook){.id = "evt_1", .body = settled}), 200);
    assert_int_equal(send_hook((hook){.id = "evt_2", .body = returned}), 200);
    assert_int_equal(send_hook((hook){.id = "evt_3", .body = returned}), 200);
    assert_int_equal(events("kind = 4 AND amount = 1000"), 1);
    // A settlement is told after a return: only the bank knows whether it has paid again.
    assert_int_equal(send_hook((hook){.id = "evt_4", .body = settled}), 200);
    assert_int_equal(events("kind = 3"), 1);
    assert_int_equal(count_of("inbox WHERE state = 1"), 1);
    script.status = 200;
    script.body = answer_json("returned", "");
    apply_waiting(true);
    assert_int_equal(atomic_load(&gets), 1);
    assert_int_equal(events("true"), 2);
    assert_int_equal(count_of("inbox WHERE state <> 2"), 0);
    assert_int_equal(count_of("payment_case"), 0);
}

static void test_webhook__settled_after_a_return__bank_shows_it_settled__a_case(void **state) {
    (void)state;
    start_webhook();
    const char *settled = hook_body("payment.settled", "settled", 1, 1000, NULL);
    assert_int_equal(send_hook((hook){.id = "evt_1", .body = settled}), 200);
    assert_int_equal(
        send_hook((hook){.id = "evt_2",
                         .body = hook_body("payment.returned", "returned", 1, 1000, NULL)}),
        200);
    assert_int_equal(send_hook((hook){.id = "evt_3", .body = settled}), 200);
    script.status = 200;
    script.body = answer_json("settled", "");
    apply_waiting(true);
    assert_int_equal(events("true"), 2); // a person says whether it was paid again
    assert_int_equal(count_of("payment_case WHERE code = 'SETTLED_AGAIN' AND book_id = 7"), 1);
}

// Nobody can tell a second part from a second delivery: the bank is asked for the total.
static void test_webhook__further_return__the_total_is_asked_for(void **state) {
    (void)state;
    start_webhook();
    const char *part = hook_body("payment.returned", "returned", 1, 400, NULL);
    assert_int_equal(send_hook((hook){.id = "evt_1", .body = part}), 200);
    assert_int_equal(send_hook((hook){.id = "evt_2", .body = part}), 200); // the same again
    script.drop = true;
    apply_waiting(false); // the bank is away
    assert_int_equal(count_of("inbox WHERE name = 'evt_2' AND state = 1"), 1);
    script.drop = false;
    script.status = 200;
    script.body = answer_json("settled", "");
    apply_waiting(false); // the first return is missing in its answer
    script.body = answer_json("returned", ",\"returned_amount\":400");
    apply_waiting(true);
    assert_int_equal(events("kind = 4"), 1);
    // A real second part, of the same amount.
    assert_int_equal(send_hook((hook){.id = "evt_3", .body = part}), 200);
    script.body = answer_json("returned", ",\"returned_amount\":800");
    apply_waiting(true);
    assert_int_equal(events("kind = 4 AND amount = 400"), 2);
    assert_int_equal(count_of("inbox WHERE state <> 2"), 0);
}

// A bank that sends the whole payment: its amount is not what came back.
static void test_webhook__whole_payment_with_a_returned_part__the_bank_is_asked(void **state) {
    (void)state;
    start_webhook();
    char *body = arena_strdup(mem, hook_body("payment.returned", "returned", 1, 1000, NULL));
    const char *whole =
        arena_printf(mem, "%.*s,\"returned_amount\":400}}", (int)(strstr(body, "}}") - body), body);
    assert_int_equal(send_hook((hook){.id = "evt_1", .body = whole}), 200);
    assert_int_equal(events("kind = 4"), 0);
    script.status = 200;
    script.body = answer_json("returned", ",\"returned_amount\":400");
    apply_waiting(true);
    assert_int_equal(events("kind = 4 AND amount = 400"), 1);
    assert_int_equal(events("kind = 4"), 1);
    assert_int_equal(count_of("inbox WHERE state <> 2"), 0);
    assert_int_equal(count_of("payment_case"), 0);
}

// A settlement under another id, after a return, and the bank does not know of one: no second payment, and a person looks.
static void test_NO_DOUBLE_webhook__settled_again_under_another_id__a_case(void **state) {
    (void)state;
    start_webhook();
    const char *settled = hook_body("payment.settled", "settled", 1, 1000, NULL);
    char *other = arena_strdup(mem, settled);
    memcpy(strstr(other, "pay_9"), "PAY_9", 5);
    assert_int_equal(send_hook((hook){.id = "evt_1", .body = settled}), 200);
    assert_int_equal(
        send_hook((hook){.id = "evt_2",
                         .body = hook_body("payment.returned", "returned", 1, 1000, NULL)}),
        200);
    assert_int_equal(send_hook((hook){.id = "evt_3", .body = other}), 200);
    script.status = 200;
    script.body = answer_json("returned", "");
    apply_waiting(true);
    assert_int_equal(events("kind = 3"), 1);
    assert_int_equal(count_of("payment_case WHERE code = 'SETTLED_AGAIN' AND book_id = 7"), 1);
}

static void test_NO_LOSS_webhook__settled_told_after_its_return__counts(void **state) {
    (void)state;
    start_webhook();
    assert_int_equal(
        send_hook((hook){.id = "evt_1",
                         .body = hook_body("payment.returned", "returned", 1, 1000, NULL)}),
        200);
    assert_int_equal(
        send_hook(
            (hook){.id = "evt_2", .body = hook_body("payment.settled", "settled", 1, 1000, NULL)}),
        200);
    script.status = 200;
    script.body = answer_json("returned", "");
    apply_waiting(true);
    assert_int_equal(events("kind = 3"), 1);
    assert_int_equal(events("kind = 4"), 1);
    assert_int_equal(count_of("payment_case"), 0);
}

static void test_webhook__part_of_it_returned__an_event_of_its_amount(void **state) {
    (void)state;
    start_webhook();
    assert_int_equal(
        send_hook(
            (hook){.id = "a", .body = hook_body("payment.returned", "returned", 1, 400, NULL)}),
        200);
    assert_int_equal(
        send_hook(
            (hook){.id = "b", .body = hook_body("payment.returned", "returned", 1, 600, NULL)}),
        200);
    script.status = 200;
    script.body = answer_json("returned", "");
    apply_waiting(true);
    assert_int_equal(events("kind = 4 AND currency = 'INR' AND amount IN (400, 600)"), 2);
    assert_int_equal(count_of("payment_case"), 0);
}

static void add_movements(int n) {
    fixture_sql(
        arena_printf(mem,
                     "INSERT INTO rail_event (book_id, payout_id, event_id, attempt, kind, "
                     "code, detail, rail_reference, at, amount, currency) SELECT book_id, "
                     "payout_id, 'test:' || n, 1, 3 + n %% 2, '', '', 'pay_' || n, now(), 1, "
                     "'USD' FROM payout, generate_series(1, %d) AS n",
                     n),
        NULL, 0);
}

// Each movement is weighed whenever the payout is, so a payout takes in only some, and a person looks at the rest.
static void test_NO_LOSS_webhook__more_movements_than_are_taken_in__one_case(void **state) {
    (void)state;
    start_webhook();
    add_movements(SAGA_MOVEMENTS_MAX - 1);
    for (int i = 0; i < 5; i++) { // payments that the bank made anew, each a separate movement
        char *body = arena_strdup(mem, hook_body("payment.settled", "settled", 2, 1000, NULL));
        *(strstr(body, "pay_9") + 4) = (char)('0' + i);
        assert_int_equal(send_hook((hook){.id = arena_printf(mem, "msg_%d", i), .body = body}),
                         200);
    }
    assert_int_equal(events("kind IN (3, 4)"), SAGA_MOVEMENTS_MAX);
    assert_int_equal(count_of("inbox_exception WHERE reason = 'TOO_MANY_MOVEMENTS' AND state = 1"
                              " AND payout_id IS NOT NULL AND amount = 1000"),
                     4);
    assert_int_equal(
        send_hook(
            (hook){.id = "back", .body = hook_body("payment.returned", "returned", 3, 400, NULL)}),
        200);
    assert_int_equal(events("kind IN (3, 4)"), SAGA_MOVEMENTS_MAX);
    assert_int_equal(count_of("inbox_exception WHERE reason = 'TOO_MANY_MOVEMENTS'"), 5);
    assert_int_equal(count_of("payment_case WHERE state = 1 AND book_id = 7"), 1);
    assert_int_equal(count_of("payment_case WHERE state = 1 AND seen = 5 AND kind = 'INBOX_LINE'"
                              " AND code = 'TOO_MANY_MOVEMENTS'"),
                     1);
}

// The same with refusals: the bank may give each its own id.
static void test_webhook__refused_again_and_again__some_are_taken_in_and_one_case(void **state) {
    (void)state;
    start_webhook();
    add_movements(SAGA_MOVEMENTS_MAX - 3);
    for (int i = 0; i < 7; i++) {
        char *body = arena_strdup(mem, hook_body("payment.refused", "refused", 2, 1000, NULL));
        *(strstr(body, "pay_9") + 4) = (char)('0' + i);
        assert_int_equal(send_hook((hook){.id = arena_printf(mem, "msg_%d", i), .body = body}),
                         200);
    }
    assert_int_equal(events("kind = 2"), 3);
    assert_int_equal(count_of("inbox_exception WHERE reason = 'TOO_MANY_MOVEMENTS'"), 4);
    assert_int_equal(count_of("payment_case WHERE state = 1 AND seen = 4 AND kind = 'INBOX_LINE'"
                              " AND code = 'TOO_MANY_MOVEMENTS'"),
                     1);
    assert_int_equal(
        send_hook(
            (hook){.id = "back", .body = hook_body("payment.returned", "returned", 3, 400, NULL)}),
        200);
    assert_int_equal(events("true"), SAGA_MOVEMENTS_MAX);
    assert_int_equal(count_of("inbox_exception WHERE reason = 'TOO_MANY_MOVEMENTS'"), 5);
}

static void test_webhook__database_fails__recorded_and_applied_later(void **state) {
    (void)state;
    start_webhook();
    const char *body = hook_body("payment.settled", "settled", 1, 1000, NULL);
    atomic_store(&rail_fixture_events_fail, true);
    assert_int_equal(send_hook((hook){.body = body}), 200); // it is recorded
    for (int i = 0; i < 500 && count_of("inbox WHERE state = 1 AND tries = 1") == 0; i++) {
        rail_fixture_nap_ms(20);
    }
    assert_int_equal(events("true"), 0);
    assert_int_equal(atomic_load(&woken), 0);
    atomic_store(&rail_fixture_events_fail, false);
    fixture_sql("UPDATE inbox SET received_at = received_at - interval '1 minute'", NULL, 0);
    err e = {0};
    assert_true(inbox_apply_waiting(box, RAIL_INSTANT, &e));
    assert_int_equal(events("true"), 1);
    assert_int_equal(atomic_load(&woken), 1);
    fixture_sql("ALTER TABLE inbox RENAME TO inbox_away", NULL, 0);
    assert_int_equal(send_hook((hook){.id = "late", .body = body}), 503);
    fixture_sql("ALTER TABLE inbox_away RENAME TO inbox", NULL, 0);
    assert_int_equal(send_hook((hook){.id = "late", .body = body}), 200);
}

// --- Asking again ----------------------------------------------------------------------------------------------------

static void settled_payout(uint32_t n, int64_t age_s) {
    char sql[600], id[UUID_TEXT_LEN + 1], old[UUID_TEXT_LEN + 1];
    uuid made = payout_number(n);
    const uint64_t ms = (uint64_t)(clock_wall_us(clock_system()) / 1000 - age_s * 1000);
    for (size_t i = 0; i < 6; i++) {
        made.b[i] = (uint8_t)(ms >> (40 - 8 * i));
    }
    uuid_format(made, id);
    uuid_format(payout_number(n), old);
    rail_fixture_payout(BOOK, payout_number(n), RAIL_INSTANT, 1000, "INR", 1);
    snprintf(sql, sizeof sql,
             "INSERT INTO merchant_book VALUES ('m', 7) ON CONFLICT DO NOTHING;"
             "UPDATE payout SET payout_id = '%s' WHERE payout_id = '%s';"
             "UPDATE saga SET payout_id = '%s', state = 6, step = 8, step_since = now() - "
             "interval '%d s' WHERE payout_id = '%s'",
             id, old, id, (int)age_s, old);
    fixture_sql(sql, NULL, 0);
}

static void again_is_due(void) {
    fixture_sql("UPDATE inbox_sweep_again SET due_at = now() - interval '1 s'", NULL, 0);
}

static const char *returned_json(uint32_t n, const char *extra) {
    char key[65], id[UUID_TEXT_LEN + 1];
    attempt_key(payout_number(n), 1, key);
    uuid_format(payout_number(n), id);
    return arena_printf(mem,
                        "{\"payment_id\":\"pay_1\",\"key\":\"%s\",\"status\":\"returned\","
                        "\"code\":\"AC06\",\"amount\":1000,\"currency\":\"INR\","
                        "\"reference\":\"%d/%s\"%s}",
                        key, BOOK, id, extra);
}

static void sweep_ok(void) {
    err e = {0};
    if (!instant_sweep(instant->self, &e)) {
        fail_msg("%s %s", e.message, e.detail);
    }
}

// The bank has given up telling it: only our question finds the return.
static void test_sweep__return_that_was_never_told__found_by_asking(void **state) {
    (void)state;
    settled_payout(1, 60);
    settled_payout(2, 0); // too young for a question
    script.status = 200;
    script.body = returned_json(1, ",\"returned_amount\":400");
    sweep_ok();
    assert_int_equal(atomic_load(&gets), 1);
    assert_int_equal(events("kind = 4 AND amount = 400 AND attempt = 1 AND code = 'AC06'"), 1);
    assert_int_equal(count_of("inbox WHERE kind = 3 AND state = 2"), 1);
    sweep_ok();
    assert_int_equal(atomic_load(&gets), 1); // each is asked for once at each age
    fixture_sql("DELETE FROM inbox_sweep", NULL, 0);
    sweep_ok();
    assert_int_equal(atomic_load(&gets), 2);
    assert_int_equal(events("kind = 4"), 1);
    fixture_sql("DELETE FROM inbox_sweep", NULL, 0);
    script.body = returned_json(1, "");
    sweep_ok();
    assert_int_equal(events("kind = 4 AND amount = 600"), 1);
    assert_int_equal(events("kind = 4"), 2);
}

// A failed question does not wait for the next age, when the bank may have forgotten.
static void test_sweep__no_answer_about_one__asked_again_soon(void **state) {
    (void)state;
    settled_payout(1, 60);
    script.status = 500;
    script.body = "{}";
    err e = {0};
    assert_false(instant_sweep(instant->self, &e)); // no answer: the page is tried again
    assert_int_equal(count_of("inbox_sweep WHERE pass = 0"), 0);
    fixture_sql("INSERT INTO inbox_sweep_again SELECT book_id, payout_id, 0, 2, now() - interval "
                "'1 s', 1 FROM payout",
                NULL, 0);
    script.status = 200;
    script.body = answer_json("settled", "");
    sweep_ok(); // the page is done, and so is the waiting one
    assert_int_equal(count_of("inbox_sweep_again"), 0);
    fixture_sql("INSERT INTO inbox_sweep_again SELECT book_id, payout_id, 0, 2, now() - interval "
                "'1 s', 1 FROM payout",
                NULL, 0);
    script.status = 500;
    script.body = "{}";
    sweep_ok(); // does not delay the others
    assert_int_equal(count_of("inbox_sweep_again WHERE tries = 2 AND due_at BETWEEN now() +"
                              " interval '1 minute' AND now() + interval '3 minutes'"),
                     1);
    again_is_due();
    script.status = 200;
    script.body = returned_json(1, ",\"returned_amount\":400");
    sweep_ok();
    assert_int_equal(events("kind = 4 AND amount = 400"), 1);
    assert_int_equal(count_of("inbox_sweep_again"), 0);
}

// A gateway also says 404 while its bank is away. Only the bank's own word ends the question.
static void test_NO_LOSS_sweep__not_found_of_somebody_else__asked_again(void **state) {
    (void)state;
    settled_payout(1, 60);
    script.status = 404;
    script.body = "<html>no such page</html>";
    err e = {0};
    assert_false(instant_sweep(instant->self, &e)); // no answer: the page is tried again
    assert_int_equal(count_of("inbox_sweep WHERE pass = 0"), 0);
    fixture_sql("INSERT INTO inbox_sweep_again SELECT book_id, payout_id, 0, 2, now() - interval "
                "'1 s', 1 FROM payout",
                NULL, 0);
    const char *page = "INSERT INTO inbox_sweep SELECT book_id, 2, n, "
                       "'ffffffff-ffff-7fff-bfff-ffffffffffff', now() FROM payout, "
                       "generate_series(0, 2) AS n";
    fixture_sql(page, NULL, 0); // all pages are done
    script.body = "{\"error\":\"no such route\"}";
    sweep_ok();
    assert_int_equal(count_of("inbox_sweep_again WHERE tries = 2"), 1);
    again_is_due();
    script.body = "{\"error\":\"not_found\"}";
    sweep_ok(); // the bank has forgotten it
    assert_int_equal(count_of("inbox_sweep_again"), 0);
}

static int64_t late_s(void) {
    return metric_value(metric_gauge("instant_asked_late_seconds", "connection=\"instant\"", ""));
}

// After a pause or an outage many payouts have a time of their own, more than a page.
static void test_NO_LOSS_sweep__more_than_a_page_of_own_time__all_in_one_look(void **state) {
    (void)state;
    settled_payout(1, 0);
    // Payouts that are gone need no question.
    fixture_sql("INSERT INTO inbox_sweep_again SELECT 7, ('01930000-0000-7000-8000-' || "
                "lpad(to_hex(n), 12, '0'))::uuid, 1, 2, now() - n * interval '1 s', 0 "
                "FROM generate_series(1, 2500) AS n",
                NULL, 0);
    sweep_ok();
    assert_int_equal(count_of("inbox_sweep_again WHERE pass = 1"), 0);
    assert_int_equal(late_s(), 0);
}

// A look that leaves payouts over does not count for them: a person hears of it as of a silent bank.
static void test_SEEN_sweep__far_behind__not_looked_since_then(void **state) {
    (void)state;
    instant_rail *r = instant->self;
    settled_payout(1, -600);
    fixture_sql("INSERT INTO connection (book_id, number, name, scheme, made_at) "
                "VALUES (0, 2, 'instant', 2, now()) ON CONFLICT DO NOTHING;"
                "UPDATE connection SET looked_at = NULL;"
                "INSERT INTO inbox_sweep_again SELECT 7, ('01930000-0000-7000-8000-' || "
                "lpad(to_hex(n), 12, '0'))::uuid, 1, 2, now() - interval '1 hour', 0 "
                "FROM generate_series(1, 20500) AS n",
                NULL, 0);
    const int64_t ages[] = {3600, 0};
    for (size_t i = 0; i < 2; i++) {
        r->sweep_at_ms = r->noted_ms = 0;
        instant_sweep_look(r);
        assert_in_range(fixture_sql_i64("SELECT extract(epoch FROM now() - looked_at)::int8 "
                                        "FROM connection WHERE number = 2"),
                        ages[i], ages[i] + 100);
    }
}

// A look has an end, and its rest is visible. A bank that answers nothing is not asked page after page.
static void test_SEEN_sweep__what_a_look_leaves_over__how_late_it_is(void **state) {
    (void)state;
    settled_payout(1, -600); // no page asks for it, however long this takes
    const char *many = "INSERT INTO inbox_sweep_again SELECT 7, ('01930000-0000-7000-8000-' || "
                       "lpad(to_hex(n), 12, '0'))::uuid, 1, 2, now() - interval '1 hour', 0 "
                       "FROM generate_series(1, 20500) AS n";
    fixture_sql(many, NULL, 0);
    sweep_ok();
    assert_int_equal(count_of("inbox_sweep_again WHERE pass = 1"), 500);
    assert_in_range(late_s(), 3600, 3700);
    sweep_ok();
    assert_int_equal(count_of("inbox_sweep_again WHERE pass = 1"), 0);
    assert_int_equal(late_s(), 0);
    fixture_sql(many, NULL, 0);
    fixture_sql("UPDATE saga SET step_since = now() - interval '1 hour';"
                "INSERT INTO inbox_sweep_again SELECT book_id, payout_id, 0, 2, now() - interval "
                "'2 hours', 1 FROM payout",
                NULL, 0);
    script.status = 500;
    sweep_ok();
    assert_int_equal(count_of("inbox_sweep_again WHERE pass = 1"), 19501);
}

// A payout that was paused for long settles long after its creation, and is asked for at its own time.
static void test_sweep__settled_late__age_counts_from_settlement(void **state) {
    (void)state;
    settled_payout(1, 60);
    fixture_sql("UPDATE saga SET step = 4, state = 5, step_since = now()", NULL, 0);
    script.status = 200;
    script.body = returned_json(1, ",\"returned_amount\":400");
    sweep_ok();
    assert_int_equal(atomic_load(&gets), 0); // it has not settled
    assert_int_equal(count_of("inbox_sweep_again WHERE pass = 0 AND tries = 0"), 1);
    fixture_sql("UPDATE saga SET step = 8, state = 6, step_since = now()", NULL, 0);
    again_is_due();
    sweep_ok();
    assert_int_equal(atomic_load(&gets), 0); // it has just settled
    assert_int_equal(count_of("inbox_sweep_again WHERE due_at > now()"), 1);
    fixture_sql("UPDATE saga SET step_since = now() - interval '1 hour'", NULL, 0);
    again_is_due();
    sweep_ok();
    assert_int_equal(events("kind = 4 AND amount = 400"), 1);
    assert_int_equal(count_of("inbox_sweep_again"), 0);
    // A payout with another end is not asked for.
    fixture_sql("DELETE FROM inbox_sweep; UPDATE saga SET state = 7", NULL, 0);
    sweep_ok();
    assert_int_equal(atomic_load(&gets), 1);
    assert_int_equal(count_of("inbox_sweep_again"), 0);
}

// The message comes after all: its content is known.
static void test_sweep__message_comes_later__counted_once(void **state) {
    (void)state;
    start_webhook();
    script.status = 200;
    settled_payout(3, 60);
    script.body = returned_json(3, "");
    sweep_ok();
    assert_int_equal(events("kind = 4 AND amount = 1000"), 1);
    char id[UUID_TEXT_LEN + 1];
    uuid_format(payout_number(3), id);
    const char *body = arena_printf(mem,
                                    "{\"type\":\"payment.returned\",\"timestamp\":"
                                    "\"2026-11-21T09:00:00Z\",\"data\":%s}",
                                    returned_json(3, ""));
    assert_int_equal(send_hook((hook){.id = "late", .body = body}), 200);
    assert_int_equal(events("kind = 4"), 1);
    assert_int_equal(count_of("inbox WHERE kind = 2 AND state = 2 AND events = 0"), 1);
}

// The bank has told us 400 on our question, and then tells of another 300.
static void test_sweep__message_of_another_part_comes_later__counted(void **state) {
    (void)state;
    start_webhook();
    settled_payout(3, 60);
    script.status = 200;
    script.body = returned_json(3, ",\"returned_amount\":400");
    sweep_ok();
    assert_int_equal(events("kind = 4 AND amount = 400"), 1);
    char key[65], id[UUID_TEXT_LEN + 1];
    attempt_key(payout_number(3), 1, key);
    uuid_format(payout_number(3), id);
    const char *body = arena_printf(
        mem,
        "{\"type\":\"payment.returned\",\"timestamp\":\"2026-11-21T09:00:00Z\",\"data\":{"
        "\"payment_id\":\"pay_1\",\"key\":\"%s\",\"status\":\"returned\",\"amount\":300,"
        "\"currency\":\"INR\",\"reference\":\"%d/%s\"}}",
        key, BOOK, id);
    assert_int_equal(send_hook((hook){.id = "evt_1", .body = body}), 200);
    script.body = returned_json(3, ",\"returned_amount\":700");
    apply_waiting(true);
    assert_int_equal(events("kind = 4 AND amount = 300"), 1);
    assert_int_equal(events("kind = 4"), 2);
}

// An unexpected answer is the bank's word, too.
static void test_sweep__answer_contradicts__heard(void **state) {
    (void)state;
    settled_payout(1, 60);
    script.status = 200;
    script.body = answer_json("refused", "");
    sweep_ok();
    assert_int_equal(events("kind = 2 AND source = 1"), 1); // it holds the payout
    fixture_sql("DELETE FROM inbox_sweep", NULL, 0);
    script.body = answer_json("settled", ",\"amount\":900");
    sweep_ok(); // a repeated member makes it no answer
    assert_int_equal(count_of("inbox WHERE kind = 3 AND state = 3"), 1);
    fixture_sql("DELETE FROM inbox_sweep", NULL, 0);
    script.body = answer_json("accepted", "");
    sweep_ok();
    assert_int_equal(count_of("inbox_exception WHERE reason = 'NOT_SETTLED'"), 1);
    fixture_sql("DELETE FROM inbox_sweep", NULL, 0);
    script.body = answer_json("settled", "");
    sweep_ok();
    assert_int_equal(count_of("inbox WHERE kind = 3"), 3); // this one was known
}

static void test_sweep__bank_is_away__asked_later(void **state) {
    (void)state;
    settled_payout(1, 60);
    script.drop = true;
    err e = {0};
    assert_false(instant_sweep(instant->self, &e));
    assert_string_equal(e.reason, "RAIL_UNREACHABLE");
    assert_int_equal(count_of("inbox_sweep WHERE pass = 0"), 0);
    script.drop = false;
    script.status = 200;
    script.body = returned_json(1, "");
    sweep_ok();
    assert_int_equal(events("kind = 4 AND amount = 1000"), 1);
}

#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, instant_world_setup, instant_world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_webhook__signed__recorded_once_with_its_attempt),
        TEST(test_webhook__attempt_that_is_not_known_here__recorded),
        TEST(test_webhook__forged_or_old__refused),
        TEST(test_webhook__account_number_in_its_words__hidden),
        TEST(test_webhook__odd__recorded_raw_with_an_exception),
        TEST(test_NO_DOUBLE_webhook__same_movement_delivered_again__counts_once),
        TEST(test_webhook__settled_after_a_return__bank_shows_it_settled__a_case),
        TEST(test_webhook__further_return__the_total_is_asked_for),
        TEST(test_sweep__message_of_another_part_comes_later__counted),
        TEST(test_sweep__answer_contradicts__heard),
        TEST(test_webhook__part_of_it_returned__an_event_of_its_amount),
        TEST(test_webhook__whole_payment_with_a_returned_part__the_bank_is_asked),
        TEST(test_NO_LOSS_webhook__settled_told_after_its_return__counts),
        TEST(test_NO_DOUBLE_webhook__settled_again_under_another_id__a_case),
        TEST(test_NO_LOSS_webhook__more_movements_than_are_taken_in__one_case),
        TEST(test_webhook__refused_again_and_again__some_are_taken_in_and_one_case),
        TEST(test_webhook__database_fails__recorded_and_applied_later),
        TEST(test_sweep__return_that_was_never_told__found_by_asking),
        TEST(test_sweep__no_answer_about_one__asked_again_soon),
        TEST(test_NO_LOSS_sweep__not_found_of_somebody_else__asked_again),
        TEST(test_NO_LOSS_sweep__more_than_a_page_of_own_time__all_in_one_look),
        TEST(test_SEEN_sweep__what_a_look_leaves_over__how_late_it_is),
        TEST(test_SEEN_sweep__far_behind__not_looked_since_then),
        TEST(test_sweep__settled_late__age_counts_from_settlement),
        TEST(test_sweep__message_comes_later__counted_once),
        TEST(test_sweep__bank_is_away__asked_later),
    };
    return cmocka_run_group_tests(tests, instant_world_begin, instant_world_end);
}
