#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "bench.h"

enum { PROGRESS_EVERY_US = 5000000 };

const char *const WATCHED_NAMES[WATCHED] = {"ledger_svc", "payments_svc", "bank_sim"};

int64_t bench_now_us(void) {
    return clock_mono_us(clock_system());
}

void bench_fail(const char *what, const err *e) {
    (void)fprintf(stderr, "payouts_bench: %s: %s %s %s\n", what, e->reason, e->message, e->detail);
    exit(1);
}

void bench_progress(const char *format, ...) {
    static int64_t told_us;
    const bool terminal = isatty(STDERR_FILENO) == 1;
    if (!terminal && bench_now_us() - told_us < PROGRESS_EVERY_US) {
        return;
    }
    told_us = bench_now_us();
    va_list args;
    va_start(args, format);
    (void)fputs(terminal ? "\r" : "", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputs(terminal ? "" : "\n", stderr);
    va_end(args);
}

int bench_compare(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

int64_t bench_percentile(const int64_t *sorted, size_t n, int percent) {
    ASSERT(percent > 0 && percent <= 100);
    const size_t rank = (n * (size_t)percent + 99) / 100;
    return n == 0 ? 0 : sorted[rank - 1];
}

// The number behind a name in /proc/PID/status.
static int64_t status_kib(const char *line, const char *name) {
    const size_t len = strlen(name);
    return strncmp(line, name, len) == 0 ? strtoll(line + len, NULL, 10) : 0;
}

void bench_memory(const bench *b, memory_sample *out) {
    for (size_t i = 0; i < WATCHED; i++) {
        char path[64], line[256];
        (void)snprintf(path, sizeof path, "/proc/%ld/status", b->o.pids[i]);
        FILE *status = fopen(path, "r");
        if (status == NULL) {
            err e = {0};
            err_set(&e, ERR_INTERNAL, "NO_PROCESS", "%s: %s", path, strerror(errno));
            bench_fail(WATCHED_NAMES[i], &e);
        }
        while (fgets(line, sizeof line, status) != NULL) {
            out->peak_kib[i] += status_kib(line, "VmHWM:");
            out->rss_kib[i] += status_kib(line, "VmRSS:");
        }
        (void)fclose(status);
    }
}

static void print_memory(const bench *b, const saga_figures rounds[ROUNDS]) {
    (void)printf("  \"memory\": [\n");
    for (size_t k = 0; k < (size_t)ROUNDS * SAMPLES; k++) {
        const memory_sample *s = &rounds[k / SAMPLES].samples[k % SAMPLES];
        (void)printf("    {\"settled\": %ld", (long)(k / SAMPLES) * b->o.payouts + s->settled);
        for (size_t i = 0; i < WATCHED; i++) {
            (void)printf(", \"%s_rss_mib\": %.1f, \"%s_peak_mib\": %.1f", WATCHED_NAMES[i],
                         (double)s->rss_kib[i] / 1024, WATCHED_NAMES[i],
                         (double)s->peak_kib[i] / 1024);
        }
        (void)printf("}%s\n", k + 1 < (size_t)ROUNDS * SAMPLES ? "," : "");
    }
    (void)printf("  ],\n");
}

void bench_print_paced(const bench *b, const saga_figures *paced) {
    (void)printf("{\"payouts_per_s\": %ld, \"p50_ms\": %.2f, \"p99_ms\": %.2f, "
                 "\"max_ms\": %.2f}\n",
                 b->o.pace, (double)paced->p50_us / 1e3, (double)paced->p99_us / 1e3,
                 (double)paced->max_us / 1e3);
}

void bench_print(const bench *b, const saga_figures rounds[ROUNDS], int64_t naive_us) {
    const bench_options *o = &b->o;
    const saga_figures *saga = &rounds[0];
    const double per_s = (double)o->payouts * 1e6 / (double)saga->total_us;
    const double again_per_s = (double)o->payouts * 1e6 / (double)rounds[ROUNDS - 1].total_us;
    const double naive_per_s = (double)o->naive * 1e6 / (double)naive_us;
    memory_sample end = {0};
    bench_memory(b, &end);
    (void)printf("{\n");
    (void)printf("  \"payouts_per_s\": %.1f,\n  \"naive_per_s\": %.1f,\n  \"ratio\": %.1f,\n",
                 per_s, naive_per_s, per_s / naive_per_s);
    (void)printf("  \"p50_ms\": %.2f,\n  \"p99_ms\": %.2f,\n  \"max_ms\": %.2f,\n",
                 (double)saga->p50_us / 1e3, (double)saga->p99_us / 1e3,
                 (double)saga->max_us / 1e3);
    (void)printf("  \"accepted_after_s\": %.2f,\n  \"settled_after_s\": %.2f,\n",
                 (double)saga->accepted_us / 1e6, (double)saga->total_us / 1e6);
    (void)printf("  \"again_payouts_per_s\": %.1f,\n", again_per_s);
    for (size_t i = 0; i < WATCHED; i++) {
        (void)printf("  \"%s_peak_mib\": %.1f,\n", WATCHED_NAMES[i],
                     (double)end.peak_kib[i] / 1024);
    }
    print_memory(b, rounds);
    (void)printf(
        "  \"parameters\": {\"payouts\": %ld, \"by_create_payout\": %ld, \"in_flight\": %ld, "
        "\"bulk_chunk\": %ld, \"bulk_threads\": %ld, \"merchants\": %ld, \"naive\": %ld}\n}\n",
        o->payouts, o->singles, o->in_flight, o->chunk, o->bulk_threads, o->merchants, o->naive);
}
