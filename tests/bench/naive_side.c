// The usual loop, to compare with: for each payout, insert a row, call the bank, call the ledger, update the row. Same database, bank and
// ledger, with connections kept open. Only one payout at a time, and nothing in bulk.
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "bench.h"
#include "domain/ids.h"
#include "http/http.h"
#include "ledger/ledger_client.h"

enum {
    ARENA_BYTES_MAX = 8 << 20,
    RESPONSE_BYTES_MAX = 1 << 20,
    API_KEY_MAX = 256,
    CONNECT_MS = 2000
};

typedef struct naive {
    const bench *b;
    PGconn *db;
    http_client *http;
    char authorization[API_KEY_MAX + 32];
    arena *arena; // of one payout
} naive;

_Noreturn static void fail(const char *what, const char *why) {
    err e = {0};
    err_set(&e, ERR_INTERNAL, "NAIVE", "%s", why);
    bench_fail(what, &e);
}

// Each statement commits by itself.
static void execute(const naive *n, const char *sql, const char *const *params, int n_params) {
    PGresult *result = PQexecParams(n->db, sql, n_params, NULL, params, NULL, NULL, 0);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        fail(sql, PQerrorMessage(n->db));
    }
    PQclear(result);
}

static void pay_at_bank(const naive *n, const char *id, int64_t amount) {
    const char *headers[] = {n->authorization, "Content-Type: application/json",
                             arena_printf(n->arena, "Idempotency-Key: %.8s%.4s%.4s%.4s%.12s%032d",
                                          id, id + 9, id + 14, id + 19, id + 24, 0),
                             NULL};
    const char *body = arena_printf(
        n->arena,
        "{\"amount\":%lld,\"currency\":\"USD\",\"creditor\":{\"name\":\"Naive Recipient\","
        "\"routing_code\":\"021000021\",\"account_number\":\"4000000001\",\"account_type\":"
        "\"checking\"},"
        "\"reference\":\"%s\",\"description\":\"PAYOUT\"}",
        (long long)amount, id);
    http_exchange x = {.method = "POST",
                       .url = arena_printf(n->arena, "%s/v1/payments", n->b->o.bank_url),
                       .headers = headers,
                       .body = str_of(body)};
    http_client_run(n->http, &x, 1, n->arena);
    if (x.outcome != HTTP_ANSWERED || (x.status != 201 && x.status != 200)) {
        fail("the bank did not take a payment", x.failure);
    }
}

static void book_in_ledger(const naive *n, const bench_merchant *m, uuid id, int64_t amount) {
    ledger_transfer t = {.id = transfer_of_step(id, "naive", 1),
                         .debit = account_merchant_available(m->book_id, str_of(m->id), STR("USD")),
                         .credit = account_bank(m->book_id, STR(BANK_ACCOUNT_MAIN), STR("USD")),
                         .user_data_128 = id,
                         .amount = amount,
                         .code = TRANSFER_BANK_OUT,
                         .currency = "USD"};
    ledger_result r;
    err e = {0};
    if (!ledger_create_transfers(n->b->ledger, m->book_id, &t, 1, &r,
                                 bench_now_us() / 1000 + CALL_TIMEOUT_MS, n->arena, &e)) {
        bench_fail("CreateTransfers", &e);
    }
    if (r.status != LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_CREATED) {
        fail("CreateTransfers", ledger_status_name(r.status));
    }
}

static void pay_one(const naive *n, long number) {
    const bench_merchant *m = &n->b->merchants[number % n->b->o.merchants];
    const uuid id = uuid_v7(clock_system());
    const int64_t amount = 1 + number % AMOUNT_MINOR_MAX;
    const char *id_text = uuid_text(n->arena, id);
    const char *row[] = {id_text, m->id, m->recipients[number % RECIPIENTS],
                         arena_printf(n->arena, "%lld", (long long)amount)};
    execute(n,
            "INSERT INTO naive_payout (payout_id, merchant_id, recipient_id, amount, state) "
            "VALUES ($1::uuid, $2, $3::uuid, $4::bigint, 'PENDING')",
            row, 4);
    pay_at_bank(n, id_text, amount);
    book_in_ledger(n, m, id, amount);
    execute(n, "UPDATE naive_payout SET state = 'SETTLED' WHERE payout_id = $1::uuid", row, 1);
    arena_reset(n->arena);
}

static void read_api_key(naive *n) {
    char key[API_KEY_MAX] = "";
    FILE *in = fopen(n->b->o.api_key_file, "r");
    if (in == NULL || fgets(key, sizeof key, in) == NULL) {
        fail("the bank's API key", "cannot be read");
    }
    (void)fclose(in);
    key[strcspn(key, "\r\n")] = '\0';
    (void)snprintf(n->authorization, sizeof n->authorization, "Authorization: Bearer %s", key);
}

int64_t bench_run_naive(bench *b) {
    naive n = {.b = b, .arena = arena_create(ARENA_BYTES_MAX)};
    const http_client_options options = {.ca_file = b->o.bank_ca_file,
                                         .connect_timeout_ms = CONNECT_MS,
                                         .total_timeout_ms = CALL_TIMEOUT_MS,
                                         .max_connections = 1,
                                         .response_max = RESPONSE_BYTES_MAX};
    err e = {0};
    if ((n.http = http_client_create(&options, &e)) == NULL) {
        bench_fail("HTTP client", &e);
    }
    read_api_key(&n);
    n.db = PQconnectdb(b->o.conninfo);
    if (PQstatus(n.db) != CONNECTION_OK) {
        fail("the payments database", PQerrorMessage(n.db));
    }
    pay_one(&n, 0); // connections and caches: the other side has them, too
    const int64_t started_us = bench_now_us();
    for (long i = 0; i < b->o.naive; i++) {
        pay_one(&n, i);
        if (i % 50 == 49) {
            bench_progress("%6.1f s  %ld of %ld, one at a time ",
                           (double)(bench_now_us() - started_us) / 1e6, i + 1, b->o.naive);
        }
    }
    const int64_t total_us = bench_now_us() - started_us;
    (void)fprintf(stderr, "\n");
    PQfinish(n.db);
    http_client_destroy(n.http);
    arena_destroy(n.arena);
    return total_us;
}
