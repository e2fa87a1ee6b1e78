// The benchmark of the ledger: one part of it, against a running service. Prints one JSON object of what it measured. ledger.py
// starts all that is needed, lets the parts and pgbench take turns, and makes the ratios.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/str.h"
#include "ledger_bench.h"

enum {
    MESSAGE_BYTES_MAX = 64 << 20,
    FILL_SAMPLES = 8,
    FILL_STEP = 24, // batches that are packed at once
    BOOK_BATCHES = 1,
    BOOK_SINGLES = 4,
    BOOK_FILL = 5,
    SMALL_ROWS = 100000,
    LIST_TURN = 200 // pages of the service, then as many of the floor
};

static const char *const KIND_NAMES[LOAD_KINDS] = {"uniform", "hot", "pending"};

int64_t bench_now_us(void) {
    return clock_mono_us(clock_system());
}

int bench_compare(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a;
    const int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void bench_fail(const char *what, const char *why) {
    (void)fprintf(stderr, "ledger_bench: %s: %s\n", what, why);
    exit(1);
}

// --- Options: every one is --name=value, and all of them must be there -----------------------------------------------

typedef struct number_option {
    const char *name;
    long *to;
    long min, max;
} number_option;

static void read_options(int argc, char **argv, ledger_bench_options *o) {
    const struct {
        const char *name, **to;
    } texts[] = {{"part", &o->part},         {"ledger", &o->ledger},
                 {"ca-file", &o->ca_file},   {"cert-file", &o->cert_file},
                 {"key-file", &o->key_file}, {"conninfo", &o->conninfo}};
    const number_option numbers[] = {
        {"round-batches", &o->round_batches, 2, 1000},
        {"in-flight", &o->in_flight, 1, 32},
        {"single-calls", &o->single_calls, 1, 1000000},
        {"singles-in-flight", &o->singles_in_flight, 1, 256},
        {"singles-s", &o->singles_s, 1, 600},
        {"fill-rows", &o->fill_rows, 200000, 1000000000},
        {"list-calls", &o->list_calls, 1, 1000000},
        {"ledger-pid", &o->ledger_pid, 1, INT32_MAX},
        {"book", &o->book, 0, INT32_MAX},
    };
    enum { TEXTS = sizeof texts / sizeof texts[0], NUMBERS = sizeof numbers / sizeof numbers[0] };
    struct option table[TEXTS + NUMBERS + 1] = {0};
    for (int i = 0; i < TEXTS + NUMBERS; i++) {
        table[i].name = i < TEXTS ? texts[i].name : numbers[i - TEXTS].name;
        table[i].has_arg = required_argument;
        table[i].val = i + 1;
    }
    int given = 0;
    for (int opt = 0; (opt = getopt_long(argc, argv, "", table, NULL)) != -1; given++) {
        if (opt == '?') {
            exit(2);
        }
        if (opt <= TEXTS) {
            *texts[opt - 1].to = optarg;
            continue;
        }
        const number_option *x = &numbers[opt - 1 - TEXTS];
        int64_t number = 0;
        if (!str_to_i64(str_of(optarg), x->min, x->max, &number)) {
            bench_fail(x->name, "out of range");
        }
        *x->to = (long)number;
    }
    if (given != TEXTS + NUMBERS || optind != argc) {
        bench_fail("options", "see tests/bench/ledger.py for how it is called");
    }
}

static void connect_all(ledger_bench *b) {
    const rpc_client_options options = {
        .target = b->o.ledger,
        .tls = {b->o.ca_file, b->o.cert_file, b->o.key_file, false},
        .tls_server_name = "localhost",
        .message_max = MESSAGE_BYTES_MAX,
        .retries_max = 0, // a call that is made twice has no latency
    };
    err e = {0};
    b->client = rpc_client_create(&options, &e);
    if (b->client == NULL) {
        bench_fail(b->o.ledger, e.message);
    }
    b->pg = PQconnectdb(b->o.conninfo);
    if (PQstatus(b->pg) != CONNECTION_OK) {
        bench_fail("conninfo", PQerrorMessage(b->pg));
    }
}

// --- What is measured ------------------------------------------------------------------------------------------------

static double per_s(int64_t rows, int64_t us) {
    return (double)rows * 1e6 / (double)us;
}

static void set_up(const ledger_bench *b) {
    floor_create(b);
    for (int kind = 0; kind < LOAD_KINDS; kind++) {
        load_make_book(b, BOOK_BATCHES + kind);
        (void)load_run(b, BOOK_BATCHES + kind, kind, 2); // accounts known, plans made
    }
    load_make_book(b, BOOK_SINGLES);
    (void)load_single_latency_us(b, BOOK_SINGLES, 100);
}

// The service and the floor take turns with the same rows, so that both meet tables of the same size and the same machine.
static void measure_batches(const ledger_bench *b) {
    (void)printf("{\"batches\": [\n");
    for (int kind = 0; kind < LOAD_KINDS; kind++) {
        const int64_t book_id = BOOK_BATCHES + kind;
        const int64_t before = floor_last_sequence(b, book_id);
        const int64_t service_us = load_run(b, book_id, kind, (size_t)b->o.round_batches);
        const int64_t last = floor_last_sequence(b, book_id);
        ASSERT(last - before == (int64_t)BATCH * b->o.round_batches);
        const int64_t floor_us = floor_copy(b, book_id, before + 1, last);
        const double service = per_s(last - before, service_us);
        const double floor = per_s(last - before, floor_us);
        (void)fprintf(stderr, "%-8s %9.0f a second, floor %9.0f, ratio %.3f\n", KIND_NAMES[kind],
                      service, floor, service / floor);
        (void)printf("{\"kind\": \"%s\", \"service_per_s\": %.0f, \"floor_per_s\": %.0f}%s\n",
                     KIND_NAMES[kind], service, floor, kind + 1 < LOAD_KINDS ? "," : "");
    }
    (void)printf("]}\n");
}

static void measure_single(const ledger_bench *b) {
    (void)printf("{\"median_us\": %lld}\n",
                 (long long)load_single_latency_us(b, BOOK_SINGLES, (size_t)b->o.single_calls));
}

static void measure_many(const ledger_bench *b) {
    (void)printf(
        "{\"per_s\": %.0f}\n",
        load_singles_per_s(b, BOOK_SINGLES, (size_t)b->o.singles_in_flight, b->o.singles_s));
}

static long resident_kib(const ledger_bench *b) {
    char path[64];
    char line[256];
    long kib = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/status", b->o.ledger_pid);
    FILE *status = fopen(path, "r");
    if (status == NULL) {
        bench_fail(path, "the service is gone");
    }
    while (fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0) {
            kib = strtol(line + 6, NULL, 10);
        }
    }
    (void)fclose(status);
    return kib;
}

// A book with 100,000 rows.
static void make_small_book(const ledger_bench *b) {
    load_make_book(b, b->o.book);
    (void)load_run(b, b->o.book, LOAD_UNIFORM, SMALL_ROWS / BATCH);
}

static void measure_step(const ledger_bench *b) {
    (void)printf("{\"per_s\": %.0f}\n",
                 per_s(BATCH * FILL_STEP, load_run(b, b->o.book, LOAD_UNIFORM, FILL_STEP)));
}

// One book from empty to fill_rows, and the service's memory on the way.
static void measure_fill(const ledger_bench *b) {
    const size_t all = (size_t)b->o.fill_rows / BATCH;
    size_t done = 0;
    load_make_book(b, BOOK_FILL);
    (void)printf("{\"resident\": [\n");
    for (size_t sample = 1; sample <= FILL_SAMPLES; sample++) {
        for (; done < all * sample / FILL_SAMPLES; done += FILL_STEP) {
            const int64_t us = load_run(b, BOOK_FILL, LOAD_UNIFORM, FILL_STEP);
            (void)fprintf(stderr, "%zu rows: %.0f a second\n", done * BATCH,
                          per_s(BATCH * FILL_STEP, us));
        }
        (void)printf("{\"rows\": %zu, \"mib\": %.1f}%s\n", done * BATCH,
                     (double)resident_kib(b) / 1024, sample < FILL_SAMPLES ? "," : "");
    }
    (void)printf("], \"rows\": %zu, \"book\": %d}\n", done * BATCH, BOOK_FILL);
}

static void print_latencies(const char *prefix, int64_t *us, size_t n, const char *end) {
    qsort(us, n, sizeof *us, bench_compare);
    (void)printf("\"%sp50_us\": %lld, \"%sp99_us\": %lld%s", prefix, (long long)us[n / 2], prefix,
                 (long long)us[n - 1 - n / 100], end);
}

// Pages of the service and of the floor take turns, LIST_TURN calls at a time. The first turn of each is not counted: a new session of
// PostgreSQL first has to map the pages that it reads.
static void measure_lists(const ledger_bench *b) {
    const size_t n = (size_t)b->o.list_calls;
    uint64_t random = 11;
    int64_t *us = calloc(n + LIST_TURN, sizeof *us), *floor_us = calloc(n + LIST_TURN, sizeof *us);
    ASSERT(us != NULL && floor_us != NULL);
    for (size_t done = 0; done < n + LIST_TURN; done += LIST_TURN) {
        const size_t left = n + LIST_TURN - done, turn = left < LIST_TURN ? left : LIST_TURN;
        load_list_latencies(b, BOOK_FILL, turn, &random, us + done);
        floor_list_latencies(b, BOOK_FILL, turn, &random, floor_us + done);
    }
    (void)printf("{");
    print_latencies("", us + LIST_TURN, n, ", ");
    print_latencies("floor_", floor_us + LIST_TURN, n, "}\n");
    free(us);
    free(floor_us);
}

uint64_t bench_random(uint64_t *state) { // xorshift64*
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static void run_part(const ledger_bench *b) {
    static const struct {
        const char *name;
        void (*run)(const ledger_bench *b);
    } parts[] = {{"set-up", set_up},     {"batches", measure_batches},   {"single", measure_single},
                 {"many", measure_many}, {"fill", measure_fill},         {"lists", measure_lists},
                 {"step", measure_step}, {"small-book", make_small_book}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strcmp(parts[i].name, b->o.part) == 0) {
            parts[i].run(b);
            return;
        }
    }
    bench_fail(b->o.part, "there is no such part");
}

int main(int argc, char **argv) {
    static ledger_bench b;
    read_options(argc, argv, &b.o);
    rpc_init();
    connect_all(&b);
    run_part(&b);
    PQfinish(b.pg);
    rpc_client_destroy(b.client);
    rpc_shutdown();
    return 0;
}
