// The house's own way: many callers at once, bulk calls beside them, and everything on to SETTLED.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "bench.h"
#include "http/http.h"
#include "payments/v1/payout_service.pb-c.h"

enum {
    THREADS_MAX = 256,
    ARENA_BYTES_MAX = 64 << 20,
    POLL_MS = 50,
    METRICS_BYTES_MAX = 4 << 20,
    WAIT_S_MAX = 900,
    NS_PER_MS = 1000000
};

typedef struct senders {
    bench *b;
    atomic_long next_single, next_bulk; // number of the next payout that nobody has taken
    int64_t *latency_us;                // of each single one
    atomic_llong last_accepted_us;
} senders;

// Payout number n belongs to merchant n % merchants, so that every book has work at every moment.
static const bench_merchant *merchant_of(const bench *b, long n) {
    return &b->merchants[n % b->o.merchants];
}

static void fill(const bench *b, long n, arena *a, Payments__V1__NewPayout *out) {
    payments__v1__new_payout__init(out);
    out->idempotency_key = arena_printf(a, "payout-%ld", n);
    out->recipient_id = merchant_of(b, n)->recipients[(n / b->o.merchants) % RECIPIENTS];
    out->amount_minor = 1 + n % AMOUNT_MINOR_MAX;
    out->currency = "USD";
    out->rail = PAYMENTS__V1__RAIL__RAIL_ACH;
    out->external_reference = out->idempotency_key;
}

static void note_accepted(senders *s) {
    long long now = bench_now_us(), last = atomic_load(&s->last_accepted_us);
    while (now > last && !atomic_compare_exchange_weak(&s->last_accepted_us, &last, now)) {
    }
}

static void *send_singles(void *arg) {
    senders *s = arg;
    arena *a = arena_create(ARENA_BYTES_MAX);
    for (long n; (n = atomic_fetch_add(&s->next_single, 1)) < s->b->o.singles;) {
        Payments__V1__CreatePayoutRequest request = PAYMENTS__V1__CREATE_PAYOUT_REQUEST__INIT;
        Payments__V1__NewPayout payout;
        ProtobufCMessage *answer = NULL;
        err e = {0};
        fill(s->b, n, a, &payout);
        request.merchant_id = (char *)merchant_of(s->b, n)->id;
        request.payout = &payout;
        const int64_t before = bench_now_us();
        if (!rpc_client_call(s->b->payments, "/payments.v1.PayoutService/CreatePayout",
                             &request.base, &payments__v1__create_payout_response__descriptor,
                             before / 1000 + CALL_TIMEOUT_MS, a, &answer, &e)) {
            bench_fail("CreatePayout", &e);
        }
        s->latency_us[n] = bench_now_us() - before;
        note_accepted(s);
        arena_reset(a);
    }
    arena_destroy(a);
    return NULL;
}

// One call: the payouts first, first + merchants, first + 2 * merchants …, all of one merchant.
static void send_chunk(senders *s, long first, long n, arena *a) {
    Payments__V1__BulkCreatePayoutsRequest request =
        PAYMENTS__V1__BULK_CREATE_PAYOUTS_REQUEST__INIT;
    Payments__V1__NewPayout *rows = ARENA_ARRAY(a, Payments__V1__NewPayout, (size_t)n);
    ProtobufCMessage *answer = NULL;
    err e = {0};
    request.merchant_id = (char *)merchant_of(s->b, first)->id;
    request.payouts = ARENA_ARRAY(a, Payments__V1__NewPayout *, (size_t)n);
    ASSERT(rows != NULL && request.payouts != NULL);
    for (long i = 0; i < n; i++) {
        fill(s->b, first + i * s->b->o.merchants, a, &rows[i]);
        request.payouts[request.n_payouts++] = &rows[i];
    }
    if (!rpc_client_call(s->b->payments, "/payments.v1.PayoutService/BulkCreatePayouts",
                         &request.base, &payments__v1__bulk_create_payouts_response__descriptor,
                         bench_now_us() / 1000 + CALL_TIMEOUT_MS, a, &answer, &e)) {
        bench_fail("BulkCreatePayouts", &e);
    }
    const Payments__V1__BulkCreatePayoutsResponse *r = (const void *)answer;
    ASSERT(r->n_results == (size_t)n);
    for (size_t i = 0; i < r->n_results; i++) {
        ASSERT(r->results[i]->outcome_case == PAYMENTS__V1__PAYOUT_RESULT__OUTCOME_PAYOUT);
    }
    note_accepted(s);
}

static void *send_bulk(void *arg) {
    senders *s = arg;
    const bench_options *o = &s->b->o;
    const long rows = (o->payouts - o->singles + o->merchants - 1) / o->merchants; // of a merchant
    const long chunks = (rows + o->chunk - 1) / o->chunk;
    arena *a = arena_create(ARENA_BYTES_MAX);
    for (long k; (k = atomic_fetch_add(&s->next_bulk, 1)) < chunks * o->merchants;) {
        const long first =
            o->singles + (k / o->merchants) * o->chunk * o->merchants + k % o->merchants;
        const long left =
            first < o->payouts ? (o->payouts - first + o->merchants - 1) / o->merchants : 0;
        if (left > 0) {
            send_chunk(s, first, left < o->chunk ? left : o->chunk, a);
        }
        arena_reset(a);
    }
    arena_destroy(a);
    return NULL;
}

// How many payouts payments-svc says to have brought to their end. Its counter costs it nothing; asking the database all the time
// would be a part of what is measured.
static long settled_so_far(const bench *b, http_client *http, arena *a) {
    static const char NAME[] = "\nsaga_finished_total{state=\"SETTLED\"} ";
    http_exchange x = {.method = "GET",
                       .url = arena_printf(a, "http://127.0.0.1:%ld/metrics", b->o.metrics_port)};
    http_client_run(http, &x, 1, a);
    const char *text = x.status == 200 ? arena_strndup(a, x.response.ptr, x.response.len) : NULL;
    const char *at = text != NULL ? strstr(text, NAME) : NULL;
    if (at == NULL) {
        err e = {0};
        err_set(&e, ERR_INTERNAL, "NO_METRICS", "status %d %s", x.status, x.failure);
        bench_fail("the metrics of payments-svc", &e);
    }
    const long settled = strtol(at + sizeof NAME - 1, NULL, 10);
    arena_reset(a);
    return settled;
}

// The proof, after the clock has stopped: every payout of every merchant is SETTLED, as the service answers its callers.
static void check_all_settled(const bench *b, arena *a) {
    long settled = 0;
    err e = {0};
    for (long i = 0; i < b->o.merchants; i++) {
        Payments__V1__SummarizePayoutsRequest request =
            PAYMENTS__V1__SUMMARIZE_PAYOUTS_REQUEST__INIT;
        ProtobufCMessage *answer = NULL;
        request.merchant_id = (char *)b->merchants[i].id;
        if (!rpc_client_call(b->payments, "/payments.v1.PayoutService/SummarizePayouts",
                             &request.base, &payments__v1__summarize_payouts_response__descriptor,
                             bench_now_us() / 1000 + CALL_TIMEOUT_MS, a, &answer, &e)) {
            bench_fail("SummarizePayouts", &e);
        }
        const Payments__V1__SummarizePayoutsResponse *r = (const void *)answer;
        for (size_t k = 0; k < r->n_lines; k++) {
            const bool good =
                r->lines[k]->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_SETTLED;
            settled += good ? (long)r->lines[k]->count : 0;
        }
    }
    if (settled != b->o.payouts) {
        err_set(&e, ERR_INTERNAL, "NOT_SETTLED", "%ld of %ld are", settled, b->o.payouts);
        bench_fail("not all payouts are settled", &e);
    }
}

static void wait_until_settled(const bench *b, int64_t started_us, saga_figures *out) {
    arena *a = arena_create(ARENA_BYTES_MAX);
    const http_client_options options = {.connect_timeout_ms = CALL_TIMEOUT_MS,
                                         .total_timeout_ms = CALL_TIMEOUT_MS,
                                         .max_connections = 1,
                                         .response_max = METRICS_BYTES_MAX};
    err e = {0};
    http_client *http = http_client_create(&options, &e);
    size_t sample = 0;
    if (http == NULL) {
        bench_fail("HTTP client", &e);
    }
    for (long settled = 0; settled < b->o.payouts;) {
        const struct timespec pause = {.tv_nsec = POLL_MS * (long)NS_PER_MS};
        (void)nanosleep(&pause, NULL);
        settled = settled_so_far(b, http, a);
        out->total_us = bench_now_us() - started_us;
        (void)fprintf(stderr, "\r%6.1f s  %ld of %ld settled ", (double)out->total_us / 1e6,
                      settled, b->o.payouts);
        while (sample < SAMPLES && settled >= b->o.payouts * (long)(sample + 1) / SAMPLES) {
            out->samples[sample] = (memory_sample){.settled = settled, .at_us = out->total_us};
            bench_memory(b, &out->samples[sample++]);
        }
        if (out->total_us > WAIT_S_MAX * INT64_C(1000000)) {
            err_set(&e, ERR_DEADLINE_EXCEEDED, "TOO_SLOW", "after %d s", WAIT_S_MAX);
            bench_fail("not all payouts are settled", &e);
        }
    }
    (void)fprintf(stderr, "\n");
    check_all_settled(b, a);
    http_client_destroy(http);
    arena_destroy(a);
}

saga_figures bench_run_saga(bench *b) {
    const bench_options *o = &b->o;
    saga_figures out = {0};
    senders s = {.b = b};
    pthread_t threads[THREADS_MAX];
    ASSERT(o->in_flight + o->bulk_threads <= THREADS_MAX);
    s.latency_us = calloc((size_t)o->singles + 1, sizeof *s.latency_us);
    ASSERT(s.latency_us != NULL);
    const int64_t started_us = bench_now_us();
    for (long i = 0; i < o->in_flight + o->bulk_threads; i++) {
        void *(*work)(void *) = i < o->in_flight ? send_singles : send_bulk;
        ASSERT(pthread_create(&threads[i], NULL, work, &s) == 0);
    }
    wait_until_settled(b, started_us, &out);
    for (long i = 0; i < o->in_flight + o->bulk_threads; i++) {
        ASSERT(pthread_join(threads[i], NULL) == 0);
    }
    qsort(s.latency_us, (size_t)o->singles, sizeof *s.latency_us, bench_compare);
    out.p50_us = bench_percentile(s.latency_us, (size_t)o->singles, 50);
    out.p99_us = bench_percentile(s.latency_us, (size_t)o->singles, 99);
    out.max_us = bench_percentile(s.latency_us, (size_t)o->singles, 100);
    out.accepted_us = atomic_load(&s.last_accepted_us) - started_us;
    free(s.latency_us);
    return out;
}
