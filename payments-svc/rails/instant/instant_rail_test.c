// The instant rail against a small HTTPS bank with scripted faults: submit and query.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "testing/instant_test_world.h"

// --- Submit ----------------------------------------------------------------------------------------------------------

static void test_submit__many__concurrent_and_each_its_own_answer(void **state) {
    (void)state;
    enum { N = 40 };
    script.delay_ms = 30;
    rail_item *items = make_items(N);
    instant->submit(instant, BOOK, items, N, &right, mem);
    for (size_t i = 0; i < N; i++) {
        assert_verdict(&items[i], RAIL_ACCEPTED, "");
        char id[16];
        snprintf(id, sizeof id, "pay_%.8s", items[i].key);
        assert_true(str_eq_c(items[i].reference, id));
    }
    assert_int_equal(atomic_load(&posts), N);
    assert_true(atomic_load(&concurrent_max) > 1);
}

// A worker is stopped past its lease: after it wakes, it sends no request that was not yet written.
static void test_FENCED_submit__lease_is_over__nothing_more_leaves(void **state) {
    (void)state;
    enum { N = 200 };
    rail_item *items = make_items(N);
    script.takes_right = true;
    instant->submit(instant, BOOK, items, N, &right, mem);
    int not_sent = 0;
    for (size_t i = 0; i < N; i++) {
        not_sent += items[i].verdict == RAIL_NOT_SENT ? 1 : 0;
    }
    assert_true(not_sent > 0);
    assert_int_equal(atomic_load(&posts) + not_sent, N);
    const int before = atomic_load(&posts);
    assert_verdict(submit_one(), RAIL_NOT_SENT, "NOT_OURS");
    assert_int_equal(atomic_load(&posts), before);
}

static void test_submit__request__as_agreed(void **state) {
    (void)state;
    submit_one();
    assert_string_equal(
        seen,
        "{\"amount\":1000,\"currency\":\"INR\",\"creditor\":{\"name\":\"Asha \\\"A\\\" Rao\\n\","
        "\"routing_code\":\"HDFC0000001\",\"account_number\":\"0012345678\",\"account_type\":"
        "\"savings\"},"
        "\"reference\":\"7/01930000-0000-7000-8000-000000000001\",\"description\":\"Wages\"}");
}

static void test_submit__payment_object__verdict_by_its_status(void **state) {
    (void)state;
    script.payment_status = "settled";
    assert_verdict(submit_one(), RAIL_SETTLED, "");
    script.payment_status = "refused";
    script.extra = ",\"code\":\"AC04\",\"text\":\"closed\",\"retriable\":false";
    rail_item *item = submit_one();
    assert_verdict(item, RAIL_REFUSED, "AC04");
    assert_true(str_eq_c(item->text, "closed"));
    script.extra = ",\"code\":\"AM04\",\"retriable\":true";
    assert_verdict(submit_one(), RAIL_REFUSED_RETRY, "AM04");
    script.payment_status = "returned";
    assert_verdict(submit_one(), RAIL_UNKNOWN, NULL);
}

static void test_submit__error_answers__as_the_contract_says(void **state) {
    (void)state;
    static const struct {
        int status;
        rail_verdict verdict;
        const char *body, *code;
    } CASES[] = {
        {400, RAIL_REFUSED,
         "{\"error\":\"invalid\",\"field\":\"creditor.name\",\"message\":\"must not be empty\"}",
         "INVALID"},
        {400, RAIL_UNKNOWN, "<html>", NULL},
        {401, RAIL_NOT_SENT, "{}", "RAIL_UNAUTHORIZED"},
        {403, RAIL_NOT_SENT, "{}", "RAIL_UNAUTHORIZED"},
        {404, RAIL_UNKNOWN, "{\"error\":\"not_found\"}", NULL},
        {409, RAIL_UNKNOWN, "{\"error\":\"key_reused\"}", "KEY_REUSED"},
        {429, RAIL_UNKNOWN, "{}", NULL},
        {500, RAIL_UNKNOWN, "{}", NULL},
        {503, RAIL_UNKNOWN, "{}", NULL},
        {302, RAIL_UNKNOWN, "{}", NULL},
        {201, RAIL_UNKNOWN, "", "BAD_ANSWER"},
        {201, RAIL_UNKNOWN, "[]", "BAD_ANSWER"},
        {201, RAIL_UNKNOWN, "{\"status\":\"accepted\",\"status\":\"refused\"}", "BAD_ANSWER"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        script.status = CASES[i].status;
        script.body = CASES[i].body;
        rail_item *item = submit_one();
        if (item->verdict != CASES[i].verdict) {
            fail_msg("case %zu: verdict %d", i, item->verdict);
        }
        assert_verdict(item, CASES[i].verdict, CASES[i].code);
    }
    script.status = 400;
    script.body = CASES[0].body;
    assert_true(str_eq_c(submit_one()->text, "creditor.name: must not be empty"));
}

// An object that is not exactly about this attempt decides nothing.
static void test_submit__answer_about_something_else__unknown(void **state) {
    (void)state;
    rail_item *item = make_items(1);
    char other[65];
    attempt_key(item->payout_id, 2, other);
    const char *const bodies[] = {
        payment_json(item, "settled", 1001, ""),
        arena_printf(mem,
                     "{\"key\":\"%s\",\"status\":\"settled\",\"amount\":1000,\"currency\":\"INR\"}",
                     other),
        arena_printf(mem,
                     "{\"key\":\"%s\",\"status\":\"settled\",\"amount\":1000,\"currency\":\"USD\"}",
                     item->key),
        arena_printf(
            mem, "{\"key\":\"%s\",\"status\":\"settled\",\"amount\":1000.0,\"currency\":\"INR\"}",
            item->key),
        arena_printf(
            mem, "{\"key\":\"%s\",\"status\":\"settled\",\"amount\":\"1000\",\"currency\":\"INR\"}",
            item->key),
        arena_printf(mem,
                     "{\"key\":\"%s\",\"status\":\"done\",\"amount\":1000,\"currency\":\"INR\"}",
                     item->key),
        payment_json(item, "refused", 1000, ",\"retriable\":\"no\""),
    };
    script.status = 200;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        script.body = bodies[i];
        assert_verdict(submit_one(), RAIL_UNKNOWN, NULL);
    }
    script.body = payment_json(item, "settled", 1000, "");
    assert_verdict(submit_one(), RAIL_SETTLED, NULL);
}

static void test_submit__answer_dropped_or_late__unknown(void **state) {
    (void)state;
    script.drop = true;
    assert_verdict(submit_one(), RAIL_UNKNOWN, "NO_ANSWER");
    assert_int_equal(atomic_load(&posts), 1); // and never sent again by itself
    script.drop = false;
    script.delay_ms = 2500;
    assert_verdict(submit_one(), RAIL_UNKNOWN, "NO_ANSWER");
}

static void test_bank_down__submit_not_sent_query_unknown(void **state) {
    (void)state;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); // bound, without a listener
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    rail *r = open_rail(arena_printf(mem, "https://localhost:%d", ntohs(a.sin_port)));
    rail_item *item = make_items(1);
    r->submit(r, BOOK, item, 1, &right, mem);
    assert_verdict(item, RAIL_NOT_SENT, "RAIL_UNREACHABLE");
    r->query(r, BOOK, item, 1, mem);
    assert_verdict(item, RAIL_UNKNOWN, NULL);
    instant_rail_destroy(r);
    close(fd);
}

// --- Query -----------------------------------------------------------------------------------------------------------

static void test_query__answers__as_the_contract_says(void **state) {
    (void)state;
    rail_item *item = make_items(1);
    const struct {
        int status;
        rail_verdict verdict;
        const char *body;
    } cases[] = {
        {200, RAIL_ACCEPTED, payment_json(item, "accepted", 1000, "")},
        {200, RAIL_SETTLED, payment_json(item, "settled", 1000, "")},
        {200, RAIL_REFUSED, payment_json(item, "refused", 1000, "")},
        {200, RAIL_REFUSED_RETRY, payment_json(item, "refused", 1000, ",\"retriable\":true")},
        {200, RAIL_RETURNED, payment_json(item, "returned", 1000, ",\"code\":\"AC06\"")},
        {200, RAIL_UNKNOWN, payment_json(item, "settled", 999, "")},
        {404, RAIL_NOT_SENT, "{\"error\":\"not_found\"}"},
        {404, RAIL_UNKNOWN, "{\"error\":\"no such page\"}"},
        {404, RAIL_UNKNOWN, ""},
        {401, RAIL_UNKNOWN, "{}"},
        {500, RAIL_UNKNOWN, "{}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        script.status = cases[i].status;
        script.body = cases[i].body;
        item = query_one();
        if (item->verdict != cases[i].verdict) {
            fail_msg("case %zu: verdict %d", i, item->verdict);
        }
    }
    script.drop = true;
    assert_verdict(query_one(), RAIL_UNKNOWN, NULL);
}

// --- Settings ---------------------------------------------------------------------------------------------------------

static void test_create__api_key_with_newline__refused(void **state) {
    (void)state;
    FILE *out = fopen(api_key_file, "w");
    fprintf(out, "key\r\nX-Other: 1\n");
    fclose(out);
    const instant_settings s = {.url = "https://localhost:1",
                                .ca_file = ca_file,
                                .api_key_file = api_key_file,
                                .webhook_secret_file = secret_file,
                                .connections = 1,
                                .timeout_ms = 1000,
                                .sweep_ms = 20,
                                .ask_again_ms = 1000,
                                .returns_days = 10};
    err e = {0};
    assert_null(instant_rail_create(RAIL_INSTANT, "instant", &s, pool, clock_system(), &e));
    assert_string_equal(e.field, "instant.api_key_file");
    assert_null(strstr(e.message, "X-Other"));
}

// --- Main ------------------------------------------------------------------------------------------------------------

#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, instant_world_setup, instant_world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_submit__many__concurrent_and_each_its_own_answer),
        TEST(test_FENCED_submit__lease_is_over__nothing_more_leaves),
        TEST(test_submit__request__as_agreed),
        TEST(test_submit__payment_object__verdict_by_its_status),
        TEST(test_submit__error_answers__as_the_contract_says),
        TEST(test_submit__answer_about_something_else__unknown),
        TEST(test_submit__answer_dropped_or_late__unknown),
        TEST(test_bank_down__submit_not_sent_query_unknown),
        TEST(test_query__answers__as_the_contract_says),
        TEST(test_create__api_key_with_newline__refused),
    };
    return cmocka_run_group_tests(tests, instant_world_begin, instant_world_end);
}
