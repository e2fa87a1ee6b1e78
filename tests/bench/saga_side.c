// Our own way: many callers at once, bulk calls beside them, and every payout on to SETTLED.
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
    long round;
    atomic_long next_single, next_bulk; // number of the next free payout
    int64_t *latency_us;                // of each single payout
    atomic_llong last_accepted_us;
} senders;

// Payouts a second, open loop: each call has its own due time, however long earlier calls take. Its latency counts from the due time. A
// tenth of the payouts come one by one, as in a round; the rest in chunks.
typedef struct pace {
    senders s;
    int64_t started_us;
    double single_every_us, chunk_every_us;
    long singles, chunks;
} pace;

// Payout number n belongs to merchant n % merchants, so that every book has work at every moment.
static const bench_merchant *merchant_of(const bench *b, long n) {
    return &b->merchants[n % b->o.merchants];
}

static void fill(const senders *s, long n, arena *a, Payments__V1__NewPayout *out) {
    const bench *b = s->b;
    payments__v1__new_payout__init(out);
    out->idempotency_key = arena_printf(a, "payout-%ld-%ld", s->round, n);
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

// since_us: when the call is due.
static void send_single(senders *s, long n, int64_t since_us, arena *a) {
    Payments__V1__CreatePayoutRequest request = PAYMENTS__V1__CREATE_PAYOUT_REQUEST__INIT;
    Payments__V1__NewPayout payout;
    ProtobufCMessage *answer = NULL;
    err e = {0};
    fill(s, n, a, &payout);
    request.merchant_id = (char *)merchant_of(s->b, n)->id;
    request.payout = &payout;
    if (!rpc_client_call(s->b->payments, "/payments.v1.PayoutService/CreatePayout", &request.base,
                         &payments__v1__create_payout_response__descriptor,
                         bench_now_us() / 1000 + CALL_TIMEOUT_MS, a, &answer, &e)) {
        bench_fail("CreatePayout", &e);
    }
    s->latency_us[n] = bench_now_us() - since_us;
    note_accepted(s);
    arena_reset(a);
}

static void *send_singles(void *arg) {
    senders *s = arg;
    arena *a = arena_create(ARENA_BYTES_MAX);
    for (long n; (n = atomic_fetch_add(&s->next_single, 1)) < s->b->o.singles;) {
        send_single(s, n, bench_now_us(), a);
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
        fill(s, first + i * s->b->o.merchants, a, &rows[i]);
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

// How many payouts payments-svc reports as ended. Its counter costs nothing; polling the database would be a part of the measurement.
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

// The proof, after the clock has stopped: the service answers that every payout of every merchant is SETTLED.
static void check_all_settled(const bench *b, long expected, arena *a) {
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
    if (settled != expected) {
        err_set(&e, ERR_INTERNAL, "NOT_SETTLED", "%ld of %ld are", settled, expected);
        bench_fail("not all payouts are settled", &e);
    }
}

// Waits for n more payouts than before.
static void wait_until_settled(bench *b, long n, int64_t started_us, saga_figures *out) {
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
    for (long settled = 0; settled < n;) {
        const struct timespec pause = {.tv_nsec = POLL_MS * (long)NS_PER_MS};
        (void)nanosleep(&pause, NULL);
        settled = settled_so_far(b, http, a) - b->settled;
        out->total_us = bench_now_us() - started_us;
        bench_progress("%6.1f s  %ld of %ld settled ", (double)out->total_us / 1e6, settled, n);
        while (sample < SAMPLES && settled >= n * (long)(sample + 1) / SAMPLES) {
            out->samples[sample] = (memory_sample){.settled = settled, .at_us = out->total_us};
            bench_memory(b, &out->samples[sample++]);
        }
        if (out->total_us > WAIT_S_MAX * INT64_C(1000000)) {
            err_set(&e, ERR_DEADLINE_EXCEEDED, "TOO_SLOW", "after %d s", WAIT_S_MAX);
            bench_fail("not all payouts are settled", &e);
        }
    }
    (void)fprintf(stderr, "\n");
    b->settled += n;
    check_all_settled(b, b->settled, a);
    http_client_destroy(http);
    arena_destroy(a);
}

static void take_latencies(const senders *s, size_t n, saga_figures *out) {
    qsort(s->latency_us, n, sizeof *s->latency_us, bench_compare);
    out->p50_us = bench_percentile(s->latency_us, n, 50);
    out->p99_us = bench_percentile(s->latency_us, n, 99);
    out->max_us = bench_percentile(s->latency_us, n, 100);
}

saga_figures bench_run_saga(bench *b, long round) {
    const bench_options *o = &b->o;
    saga_figures out = {0};
    senders s = {.b = b, .round = round};
    pthread_t threads[THREADS_MAX];
    ASSERT(o->in_flight + o->bulk_threads <= THREADS_MAX);
    s.latency_us = calloc((size_t)o->singles + 1, sizeof *s.latency_us);
    ASSERT(s.latency_us != NULL);
    const int64_t started_us = bench_now_us();
    for (long i = 0; i < o->in_flight + o->bulk_threads; i++) {
        void *(*work)(void *) = i < o->in_flight ? send_singles : send_bulk;
        MUST(pthread_create(&threads[i], NULL, work, &s) == 0);
    }
    wait_until_settled(b, o->payouts, started_us, &out);
    for (long i = 0; i < o->in_flight + o->bulk_threads; i++) {
        MUST(pthread_join(threads[i], NULL) == 0);
    }
    take_latencies(&s, (size_t)o->singles, &out);
    out.accepted_us = atomic_load(&s.last_accepted_us) - started_us;
    free(s.latency_us);
    return out;
}

// --- At a pace -------------------------------------------------------------------------------------------------------

// Waits until a call is due, and returns the due time.
static int64_t wait_until_due(const pace *p, double every_us, long n) {
    const int64_t due_us = p->started_us + (int64_t)(every_us * (double)n);
    const int64_t left_us = due_us - bench_now_us();
    if (left_us > 0) {
        const struct timespec pause = {left_us / 1000000, (long)(left_us % 1000000) * 1000};
        (void)nanosleep(&pause, NULL);
    }
    return due_us;
}

static void *pace_singles(void *arg) {
    pace *p = arg;
    arena *a = arena_create(ARENA_BYTES_MAX);
    for (long n; (n = atomic_fetch_add(&p->s.next_single, 1)) < p->singles;) {
        send_single(&p->s, n, wait_until_due(p, p->single_every_us, n), a);
    }
    arena_destroy(a);
    return NULL;
}

static void *pace_chunks(void *arg) {
    pace *p = arg;
    const bench_options *o = &p->s.b->o;
    arena *a = arena_create(ARENA_BYTES_MAX);
    for (long k; (k = atomic_fetch_add(&p->s.next_bulk, 1)) < p->chunks;) {
        (void)wait_until_due(p, p->chunk_every_us, k);
        // Payout numbers of one merchant that no other chunk and no single payout has.
        const long rows = k / o->merchants * o->chunk * o->merchants + k % o->merchants;
        send_chunk(&p->s, (p->singles / o->merchants + 1) * o->merchants + rows, o->chunk, a);
        arena_reset(a);
    }
    arena_destroy(a);
    return NULL;
}

saga_figures bench_run_paced(bench *b, long round) {
    const bench_options *o = &b->o;
    saga_figures out = {0};
    pace p = {.s = {.b = b, .round = round}};
    const double per_s = (double)o->pace;
    pthread_t threads[THREADS_MAX];
    p.singles = (long)(per_s * PACE_SECONDS / SINGLE_OF);
    p.chunks = (long)(per_s * PACE_SECONDS * (SINGLE_OF - 1) / SINGLE_OF / (double)o->chunk);
    p.single_every_us = PACE_SECONDS * 1e6 / (double)p.singles;
    p.chunk_every_us = PACE_SECONDS * 1e6 / (double)(p.chunks + 1);
    p.s.latency_us = calloc((size_t)p.singles + 1, sizeof *p.s.latency_us);
    ASSERT(p.s.latency_us != NULL);
    p.started_us = bench_now_us();
    for (long i = 0; i < o->in_flight + o->bulk_threads; i++) {
        void *(*work)(void *) = i < o->in_flight ? pace_singles : pace_chunks;
        MUST(pthread_create(&threads[i], NULL, work, &p) == 0);
    }
    wait_until_settled(b, p.singles + p.chunks * o->chunk, p.started_us, &out);
    for (long i = 0; i < o->in_flight + o->bulk_threads; i++) {
        MUST(pthread_join(threads[i], NULL) == 0);
    }
    take_latencies(&p.s, (size_t)p.singles, &out);
    out.accepted_us = atomic_load(&p.s.last_accepted_us) - p.started_us;
    free(p.s.latency_us);
    return out;
}
