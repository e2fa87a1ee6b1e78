#include "testing/instant_test_world.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char API_KEY[] = "key-of-the-test";
static const char SECRET[] = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

static char folder[64];
char ca_file[96], cert_file[96], key_file[96], api_key_file[96], secret_file[96];
db_pool *pool;
static crypto_keyring *keys;
inbox *box;
arena *mem;
rail *instant;
static http_client *caller; // plays the bank that sends webhooks
atomic_int woken;

// --- The bank --------------------------------------------------------------------------------------------------------

static http_server *bank;
instant_script script;
_Atomic int64_t right = INT64_MAX;
atomic_int posts, gets, concurrent, concurrent_max;
pthread_mutex_t seen_lock = PTHREAD_MUTEX_INITIALIZER; // guards seen
char seen[4096];                                       // body of the last POST

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
    if (post && script.takes_right) {
        atomic_store(&right, 0);
    }
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

uuid payout_number(uint32_t n) {
    uuid id = {{0x01, 0x93, 0, 0, 0, 0, 0x70, 0, 0x80}};
    id.b[14] = (uint8_t)(n >> 8);
    id.b[15] = (uint8_t)n;
    return id;
}

rail_item *make_items(size_t n) {
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

rail_item *submit_one(void) {
    rail_item *item = make_items(1);
    instant->submit(instant, BOOK, item, 1, &right, mem);
    return item;
}

rail_item *query_one(void) {
    rail_item *item = make_items(1);
    instant->query(instant, BOOK, item, 1, mem);
    return item;
}

void assert_verdict(const rail_item *item, rail_verdict verdict, const char *code) {
    if (item->verdict != verdict) {
        fail_msg("verdict %d, not %d: %.*s", item->verdict, verdict, (int)item->text.len,
                 item->text.ptr);
    }
    if (code != NULL && !str_eq_c(item->code, code)) {
        fail_msg("code %.*s, not %s", (int)item->code.len, item->code.ptr, code);
    }
}

const char *payment_json(const rail_item *item, const char *status, int64_t amount,
                         const char *extra) {
    return arena_printf(mem,
                        "{\"payment_id\":\"pay_1\",\"key\":\"%s\",\"status\":\"%s\",\"amount\":%"
                        "lld,\"currency\":\"INR\"%s}",
                        item->key, status, (long long)amount, extra);
}

rail *open_rail(const char *url) {
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

// --- Webhooks --------------------------------------------------------------------------------------------------------

int send_hook(hook h) {
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

const char *hook_body(const char *type, const char *status, int32_t attempt, int64_t amount,
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

void start_webhook(void) {
    err e = {0};
    rail_fixture_payout(BOOK, payout_number(1), RAIL_INSTANT, 1000, "INR", 3);
    if (!instant_rail_start_webhook(instant, cert_file, key_file, &e)) {
        fail_msg("%s %s", e.message, e.detail);
    }
}

int64_t events(const char *where) {
    char sql[512];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM rail_event WHERE %s", where);
    return fixture_sql_i64(sql);
}

int64_t count_of(const char *what) {
    char sql[512];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", what);
    return fixture_sql_i64(sql);
}

// --- Life ------------------------------------------------------------------------------------------------------------

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

int instant_world_begin(void **state) {
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

int instant_world_end(void **state) {
    (void)state;
    http_client_destroy(caller);
    http_server_stop(bank);
    db_pool_destroy(pool);
    crypto_keyring_destroy(keys);
    shell("rm -r \"$0\"");
    return 0;
}

int instant_world_setup(void **state) {
    (void)state;
    mem = arena_create(64 << 20);
    memset(&script, 0, sizeof script);
    script.payment_status = "accepted";
    atomic_store(&right, INT64_MAX);
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

int instant_world_teardown(void **state) {
    (void)state;
    instant_rail_destroy(instant);
    inbox_destroy(box);
    arena_destroy(mem);
    return 0;
}
