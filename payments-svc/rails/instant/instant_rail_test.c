// The instant rail against a small HTTPS bank with scripted faults, and its webhook listener against a real database.
#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "domain/ids.h"
#include "rails/instant/instant_internal.h"
#include "testing/fixture.h"
#include "testing/rail_fixture.h"

enum { BOOK = 7 };
static const char API_KEY[] = "key-of-the-test";
static const char SECRET[] = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

static char folder[64], ca_file[96], cert_file[96], key_file[96], api_key_file[96], secret_file[96];
static db_pool *pool;
static crypto_keyring *keys;
static inbox *box;
static arena *mem;
static rail *instant;
static http_client *caller; // plays the bank that sends webhooks
static atomic_int woken;

// --- The bank --------------------------------------------------------------------------------------------------------

static http_server *bank;
// What the bank does, set before the calls. status 0: as a bank should.
static struct {
    int status;
    const char *body;
    bool drop;
    int delay_ms;
    const char *payment_status, *extra; // extra: members added to the payment object
} script;
static atomic_int posts, gets, concurrent, concurrent_max;
static pthread_mutex_t seen_lock = PTHREAD_MUTEX_INITIALIZER; // guards seen
static char seen[4096];                                       // body of the last POST

static void answer_payment(const http_request *r, str key, http_response *out) {
    json_t *root = json_loadb(r->body.ptr, r->body.len, 0, NULL);
    const char *currency = json_string_value(json_object_get(root, "currency"));
    out->status = 201;
    out->body = str_of(arena_printf(r->arena,
                                    "{\"payment_id\":\"pay_%.8s\",\"key\":\"%.*s\",\"status\":\"%"
                                    "s\",\"amount\":%lld,\"currency\":\"%s\"%s}",
                                    key.ptr, (int)key.len, key.ptr, script.payment_status,
                                    (long long)json_integer_value(json_object_get(root, "amount")),
                                    currency == NULL ? "" : currency,
                                    script.extra == NULL ? "" : script.extra));
    json_decref(root);
}

static void bank_handle(void *arg, const http_request *r, http_response *out) {
    (void)arg;
    int now = atomic_fetch_add(&concurrent, 1) + 1;
    if (now > atomic_load(&concurrent_max)) {
        atomic_store(&concurrent_max, now);
    }
    bool post = str_eq_c(r->method, "POST");
    atomic_fetch_add(post ? &posts : &gets, 1);
    rail_fixture_nap_ms(script.delay_ms);
    char expected[128];
    snprintf(expected, sizeof expected, "Bearer %s", API_KEY);
    if (post) {
        pthread_mutex_lock(&seen_lock);
        snprintf(seen, sizeof seen, "%.*s", (int)r->body.len, r->body.ptr);
        pthread_mutex_unlock(&seen_lock);
    }
    if (script.drop) {
        out->drop = true;
    } else if (!str_eq_c(http_request_header(r, "Authorization"), expected)) {
        out->status = 401;
    } else if (script.status != 0) {
        out->status = script.status;
        out->body = str_of(script.body);
    } else if (post) {
        answer_payment(r, http_request_header(r, "Idempotency-Key"), out);
    }
    atomic_fetch_sub(&concurrent, 1);
}

// --- Items -----------------------------------------------------------------------------------------------------------

static uuid payout_number(uint32_t n) {
    uuid id = {{0x01, 0x93, 0, 0, 0, 0, 0x70, 0, 0x80}};
    id.b[14] = (uint8_t)(n >> 8);
    id.b[15] = (uint8_t)n;
    return id;
}

static rail_item *make_items(size_t n) {
    rail_item *items = arena_calloc(mem, n, sizeof *items);
    for (size_t i = 0; i < n; i++) {
        items[i] = (rail_item){
            .payout_id = payout_number((uint32_t)i + 1),
            .intent_id = payout_number((uint32_t)i + 1),
            .attempt = 1,
            .amount = 1000 + (int64_t)i,
            .currency = "INR",
            .recipient_name = STR("Asha \"A\" Rao\n"),
            .routing_code = STR("HDFC0000001"),
            .account_number = STR("0012345678"),
            .account_type = 2,
            .holder_type = 1,
            .description = STR("Wages"),
        };
        attempt_key(items[i].payout_id, items[i].attempt, items[i].key);
    }
    return items;
}

static rail_item *submit_one(void) {
    rail_item *item = make_items(1);
    instant->submit(instant, BOOK, item, 1, mem);
    return item;
}

static rail_item *query_one(void) {
    rail_item *item = make_items(1);
    instant->query(instant, BOOK, item, 1, mem);
    return item;
}

static void assert_verdict(const rail_item *item, rail_verdict verdict, const char *code) {
    if (item->verdict != verdict) {
        fail_msg("verdict %d, not %d: %.*s", item->verdict, verdict, (int)item->text.len,
                 item->text.ptr);
    }
    if (code != NULL && !str_eq_c(item->code, code)) {
        fail_msg("code %.*s, not %s", (int)item->code.len, item->code.ptr, code);
    }
}

static const char *payment_json(const rail_item *item, const char *status, int64_t amount,
                                const char *extra) {
    return arena_printf(mem,
                        "{\"payment_id\":\"pay_1\",\"key\":\"%s\",\"status\":\"%s\",\"amount\":%"
                        "lld,\"currency\":\"INR\"%s}",
                        item->key, status, (long long)amount, extra);
}

// --- Submit ----------------------------------------------------------------------------------------------------------

static void test_submit__many__concurrent_and_each_its_own_answer(void **state) {
    (void)state;
    enum { N = 40 };
    script.delay_ms = 30;
    rail_item *items = make_items(N);
    instant->submit(instant, BOOK, items, N, mem);
    for (size_t i = 0; i < N; i++) {
        assert_verdict(&items[i], RAIL_ACCEPTED, "");
        char id[16];
        snprintf(id, sizeof id, "pay_%.8s", items[i].key);
        assert_true(str_eq_c(items[i].reference, id));
    }
    assert_int_equal(atomic_load(&posts), N);
    assert_true(atomic_load(&concurrent_max) > 1);
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

static rail *open_rail(const char *url) {
    const instant_settings s = {.enabled = true,
                                .url = url,
                                .ca_file = ca_file,
                                .api_key_file = api_key_file,
                                .webhook_secret_file = secret_file,
                                .connections = 16,
                                .timeout_ms = 1500,
                                .sweep_ms = 20,
                                .ask_again_ms = 1000,
                                .returns_days = 10};
    err e = {0};
    rail *r = instant_rail_create(RAIL_INSTANT, "instant", &s, pool, clock_system(), &e);
    if (r == NULL) {
        fail_msg("%s %s", e.message, e.detail);
    }
    instant_rail_use_inbox(r, box);
    return r;
}

static void test_bank_down__submit_not_sent_query_unknown(void **state) {
    (void)state;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); // bound, and nobody listens
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    rail *r = open_rail(arena_printf(mem, "https://localhost:%d", ntohs(a.sin_port)));
    rail_item *item = make_items(1);
    r->submit(r, BOOK, item, 1, mem);
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

// --- Webhook ---------------------------------------------------------------------------------------------------------

typedef struct hook {
    const char *method, *path, *id, *body, *secret;
    int64_t skew_s;
} hook;

static int send_hook(hook h) {
    char signature[256], timestamp[32];
    const char *body = h.body, *id = h.id == NULL ? "msg_1" : h.id;
    int64_t now_s = clock_wall_us(clock_system()) / 1000000 + h.skew_s;
    assert_true(crypto_webhook_sign(str_of(h.secret == NULL ? SECRET : h.secret), str_of(id), now_s,
                                    str_of(body), signature, sizeof signature));
    snprintf(timestamp, sizeof timestamp, "%lld", (long long)now_s);
    const char *headers[] = {arena_printf(mem, "webhook-id: %s", id),
                             arena_printf(mem, "webhook-timestamp: %s", timestamp),
                             arena_printf(mem, "webhook-signature: %s", signature), NULL};
    http_exchange x = {
        .method = h.method == NULL ? "POST" : h.method,
        .url = arena_printf(mem, "https://localhost:%d%s", instant_rail_webhook_port(instant),
                            h.path == NULL ? "/webhooks/instant" : h.path),
        .headers = headers,
        .body = str_of(body),
    };
    http_client_run(caller, &x, 1, mem);
    if (x.outcome != HTTP_ANSWERED) {
        fail_msg("no answer: %s", x.failure);
    }
    return x.status;
}

static const char *hook_body(const char *type, const char *status, int32_t attempt, int64_t amount,
                             const char *reference) {
    char key[65], id[UUID_TEXT_LEN + 1];
    attempt_key(payout_number(1), attempt, key);
    uuid_format(payout_number(1), id);
    return arena_printf(
        mem,
        "{\"type\":\"%s\",\"timestamp\":\"2026-11-21T09:00:00.25Z\",\"data\":{\"payment_id\":\"pay_"
        "9\","
        "\"key\":\"%s\",\"status\":\"%s\",\"code\":\"AC04\",\"text\":\"closed\",\"amount\":%lld,"
        "\"currency\":\"INR\",\"reference\":\"%s\"}}",
        type, key, status, (long long)amount,
        reference != NULL ? reference : arena_printf(mem, "%d/%s", BOOK, id));
}

static void start_webhook(void) {
    err e = {0};
    rail_fixture_payout(BOOK, payout_number(1), RAIL_INSTANT, 1000, "INR", 3);
    if (!instant_rail_start_webhook(instant, cert_file, key_file, &e)) {
        fail_msg("%s %s", e.message, e.detail);
    }
}

static int64_t events(const char *where) {
    char sql[512];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM rail_event WHERE %s", where);
    return fixture_sql_i64(sql);
}

static void test_webhook__signed__recorded_once_with_its_attempt(void **state) {
    (void)state;
    start_webhook();
    const char *settled = hook_body("payment.settled", "settled", 2, 1000, NULL);
    assert_int_equal(send_hook((hook){.body = settled}), 200);
    assert_int_equal(events("kind = 3 AND attempt = 2 AND event_id = 'msg_1' AND book_id = 7 AND "
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

static int64_t count_of(const char *what) {
    char sql[512];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", what);
    return fixture_sql_i64(sql);
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

// Whatever a verified message says is kept, and the bank has done its part.
static void test_webhook__odd__recorded_raw_with_an_exception(void **state) {
    (void)state;
    start_webhook();
    const struct {
        const char *body, *reason;
    } cases[] = {
        {"{", "BAD_MESSAGE"},
        {"[]", "BAD_MESSAGE"},
        {hook_body("payment.settled", "refused", 1, 1000, NULL), "BAD_MESSAGE"},
        {hook_body("payment.settled", "settled", 2000, 1000, NULL), "OTHER_KEY"},
        {hook_body("payment.settled", "settled", 1, 1000, "nonsense"), "UNKNOWN_PAYMENT"},
        {hook_body("payment.settled", "settled", 1, 1000, "8/01930000-0000-7000-8000-000000000001"),
         "UNKNOWN_PAYMENT"},
        {hook_body("payment.settled", "settled", 1, 1001, NULL), "OTHER_AMOUNT"},
        {hook_body("payment.settled", "settled", 1, 999, NULL), "OTHER_AMOUNT"},
        {hook_body("payment.returned", "returned", 1, 1001, NULL), "OTHER_AMOUNT"},
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
    assert_int_equal(events("true"), 0);
    assert_int_equal(count_of("payment_case WHERE kind = 'INBOX_FILE'"), 3);
    assert_int_equal(count_of("payment_case WHERE kind = 'INBOX_LINE'"), 6);
    assert_int_equal(count_of("payment_case WHERE code = 'OTHER_AMOUNT' AND book_id = 7"), 3);
    assert_int_equal(
        count_of("inbox_exception WHERE compared LIKE '%amount 1001 INR, ours 1000 INR%'"), 2);
    // Another content under an id that is known.
    assert_int_equal(
        send_hook((hook){.body = hook_body("payment.settled", "settled", 1, 1000, NULL)}), 200);
    assert_int_equal(
        send_hook((hook){.body = hook_body("payment.refused", "refused", 1, 1000, NULL)}), 200);
    assert_int_equal(events("true"), 1);
    assert_int_equal(count_of("inbox_exception WHERE reason = 'OTHER_CONTENT'"), 1);
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
    assert_int_equal(events("kind = 4 AND currency = 'INR' AND amount IN (400, 600)"), 2);
    assert_int_equal(count_of("payment_case"), 0);
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
             "UPDATE saga SET payout_id = '%s', state = 6 WHERE payout_id = '%s'",
             id, old, id, old);
    fixture_sql(sql, NULL, 0);
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

// The bank has given up telling of it: only our question finds out.
static void test_sweep__return_that_was_never_told__found_by_asking(void **state) {
    (void)state;
    settled_payout(1, 60);
    settled_payout(2, 0); // too young to be asked for
    script.status = 200;
    script.body = returned_json(1, ",\"returned_amount\":400");
    sweep_ok();
    assert_int_equal(atomic_load(&gets), 1);
    assert_int_equal(events("kind = 4 AND amount = 400 AND attempt = 1 AND code = 'AC06'"), 1);
    assert_int_equal(count_of("inbox WHERE kind = 3 AND state = 2"), 1);
    sweep_ok();
    assert_int_equal(atomic_load(&gets), 1); // each is asked once at each age
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

// The message comes after all: it tells what is known already.
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

static const char CERTS[] =
    "set -e; cd \"$0\"; ec='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'\n"
    "openssl req -x509 $ec -keyout ca.key -out ca.pem -days 2 -subj /CN=ca -addext "
    "basicConstraints=critical,CA:TRUE 2>log\n"
    "openssl req $ec -keyout server.key -out server.csr -subj /CN=server 2>log\n"
    "printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\n' > ext\n"
    "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out "
    "server.pem -extfile ext 2>log\n"
    "chmod 600 server.key\n";

static void shell(const char *script_text) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)execl("/bin/sh", "sh", "-c", script_text, folder, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void write_secret(const char *path, const char *content) {
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fprintf(out, "%s\n", content);
    fclose(out);
    assert_int_equal(chmod(path, 0600), 0);
}

static const char *path_in_folder(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int group_setup(void **state) {
    (void)state;
    log_init("instant-rail-test", LOG_ERROR + 1);
    snprintf(folder, sizeof folder, "/tmp/disburse-instant.XXXXXX");
    assert_non_null(mkdtemp(folder));
    shell(CERTS);
    snprintf(ca_file, sizeof ca_file, "%s/ca.pem", folder);
    snprintf(cert_file, sizeof cert_file, "%s/server.pem", folder);
    snprintf(key_file, sizeof key_file, "%s/server.key", folder);
    snprintf(api_key_file, sizeof api_key_file, "%s/api_key", folder);
    snprintf(secret_file, sizeof secret_file, "%s/secret", folder);
    write_secret(secret_file, SECRET);
    write_secret(path_in_folder("ring"),
                 "k1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    rail_fixture_migrate();
    pool = fixture_pool(fixture_conninfo(), 4, 10000);
    const http_server_options so = {.address = "127.0.0.1",
                                    .cert_file = cert_file,
                                    .key_file = key_file,
                                    .n_threads = 16,
                                    .body_max = 65536,
                                    .handler = bank_handle};
    const http_client_options co = {.ca_file = ca_file,
                                    .connect_timeout_ms = 3000,
                                    .total_timeout_ms = 10000,
                                    .max_connections = 4,
                                    .response_max = 65536};
    err e = {0};
    keys = crypto_keyring_load(path_in_folder("ring"), &e);
    assert_non_null(keys);
    bank = http_server_start(&so, &e);
    caller = http_client_create(&co, &e);
    return bank != NULL && caller != NULL ? 0 : -1;
}

static int group_teardown(void **state) {
    (void)state;
    http_client_destroy(caller);
    http_server_stop(bank);
    db_pool_destroy(pool);
    crypto_keyring_destroy(keys);
    shell("rm -r \"$0\"");
    return 0;
}

static int setup(void **state) {
    (void)state;
    mem = arena_create(64 << 20);
    memset(&script, 0, sizeof script);
    script.payment_status = "accepted";
    atomic_store(&posts, 0);
    atomic_store(&gets, 0);
    atomic_store(&concurrent, 0);
    atomic_store(&concurrent_max, 0);
    atomic_store(&woken, 0);
    rail_fixture_clear();
    write_secret(api_key_file, API_KEY);
    box = inbox_create(pool, keys, clock_system());
    inbox_set_wake(box, rail_fixture_wake, &woken);
    instant = open_rail(arena_printf(mem, "https://localhost:%d", http_server_port(bank)));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    instant_rail_destroy(instant);
    inbox_destroy(box);
    arena_destroy(mem);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_submit__many__concurrent_and_each_its_own_answer),
        TEST(test_submit__request__as_agreed),
        TEST(test_submit__payment_object__verdict_by_its_status),
        TEST(test_submit__error_answers__as_the_contract_says),
        TEST(test_submit__answer_about_something_else__unknown),
        TEST(test_submit__answer_dropped_or_late__unknown),
        TEST(test_bank_down__submit_not_sent_query_unknown),
        TEST(test_query__answers__as_the_contract_says),
        TEST(test_webhook__signed__recorded_once_with_its_attempt),
        TEST(test_webhook__attempt_that_is_not_known_here__recorded),
        TEST(test_webhook__forged_or_old__refused),
        TEST(test_webhook__odd__recorded_raw_with_an_exception),
        TEST(test_webhook__part_of_it_returned__an_event_of_its_amount),
        TEST(test_webhook__database_fails__recorded_and_applied_later),
        TEST(test_sweep__return_that_was_never_told__found_by_asking),
        TEST(test_sweep__message_comes_later__counted_once),
        TEST(test_sweep__bank_is_away__asked_later),
        TEST(test_create__api_key_with_newline__refused),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
