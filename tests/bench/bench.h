// The benchmark's parts. One thread unless said otherwise. Any error ends the program: half a benchmark has no figures.
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "rpc/rpc.h"

enum {
    // round 1 gives the figure; the memory that later rounds add shows whether it grows
    ROUNDS = 2,
    MERCHANTS_MAX = 64,
    RECIPIENTS = 100,       // of each merchant
    AMOUNT_MINOR_MAX = 900, // below 901: no amount asks the simulator bank for a fault
    CALL_TIMEOUT_MS = 30000,
    SAMPLES = 4,
    WATCHED = 3,
    PACE_SECONDS = 10, // of the run at half of the load
    SINGLE_OF = 10     // one payout in ten comes by CreatePayout in a run at a pace
};

typedef struct bench_options {
    const char *payments, *ledger, *bank_url;
    const char *ca_file, *cert_file, *key_file;
    const char *bank_ca_file, *api_key_file;
    const char *conninfo; // of the payments database; has the table naive_payout
    long metrics_port;    // of payments-svc
    long payouts, singles, in_flight, chunk, bulk_threads, merchants, naive;
    long pace;          // payouts a second of a run at a pace; 0: rounds
    long pids[WATCHED]; // of the processes whose memory is watched
} bench_options;

typedef struct bench_merchant {
    char id[32];
    int64_t book_id;
    char *recipients[RECIPIENTS];
} bench_merchant;

typedef struct bench {
    bench_options o;
    arena *arena; // for the life of the program
    rpc_client *payments, *ledger;
    bench_merchant merchants[MERCHANTS_MAX];
    long settled; // payouts that were made and settled so far
} bench;

typedef struct memory_sample {
    long settled;
    int64_t at_us; // since the first create
    int64_t rss_kib[WATCHED], peak_kib[WATCHED];
} memory_sample;

typedef struct saga_figures {
    int64_t total_us;    // first create to last settled
    int64_t accepted_us; // first create to last accepted
    int64_t p50_us, p99_us, max_us;
    memory_sample samples[SAMPLES];
} saga_figures;

extern const char *const WATCHED_NAMES[WATCHED];

// Merchants with deposits and recipients.
void bench_setup(bench *b);
// All of o.payouts, from the first call to the last settled. round: 0, 1 …, each with payouts of its own.
saga_figures bench_run_saga(bench *b, long round);
// o.pace payouts a second for PACE_SECONDS, each call at a time of its own; latencies count from the time at which it is due.
saga_figures bench_run_paced(bench *b, long round);
// Microseconds for o.naive payouts.
int64_t bench_run_naive(bench *b);

int64_t bench_now_us(void);
// value[rank] of the sorted values: rank = ceil(n * percent / 100).
int64_t bench_percentile(const int64_t *sorted, size_t n, int percent);
int bench_compare(const void *a, const void *b);
void bench_memory(const bench *b, memory_sample *out);
void bench_print(const bench *b, const saga_figures rounds[ROUNDS], int64_t naive_us);
void bench_print_paced(const bench *b, const saga_figures *paced);
// Tells how far it is: in place on a terminal, else a line every few seconds.
void bench_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void bench_fail(const char *what, const err *e);

#endif
