// The benchmark of payments: payouts through the whole saga against running services, and the naive loop against the same services. Prints
// one JSON object; progress goes to stderr. payouts.py starts the services and runs this program.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "bench.h"

enum { ARENA_BYTES_MAX = 256 << 20, MESSAGE_BYTES_MAX = 64 << 20 };

typedef struct text_option {
    const char *name;
    const char **to;
} text_option;

typedef struct number_option {
    const char *name;
    long *to;
    long min, max;
} number_option;

static void usage(const char *what) {
    (void)fprintf(stderr, "payouts_bench: %s; see tests/bench/payouts.py for how it is called\n",
                  what);
    exit(2);
}

// Every argument is --name=value; all of them must be there.
static void read_options(int argc, char **argv, bench_options *o) {
    const text_option texts[] = {
        {"payments", &o->payments},         {"ledger", &o->ledger},
        {"bank-url", &o->bank_url},         {"ca-file", &o->ca_file},
        {"cert-file", &o->cert_file},       {"key-file", &o->key_file},
        {"bank-ca-file", &o->bank_ca_file}, {"api-key-file", &o->api_key_file},
        {"conninfo", &o->conninfo},
    };
    const number_option numbers[] = {
        {"metrics-port", &o->metrics_port, 1, 65535},
        {"payouts", &o->payouts, 1, 10000000},
        {"singles", &o->singles, 0, 10000000},
        {"in-flight", &o->in_flight, 1, 200},
        {"chunk", &o->chunk, 1, 10000},
        {"bulk-threads", &o->bulk_threads, 1, 50},
        {"merchants", &o->merchants, 1, MERCHANTS_MAX},
        {"naive", &o->naive, 1, 1000000},
        {"pace", &o->pace, 0, 1000000},
        {"ledger-pid", &o->pids[0], 1, INT32_MAX},
        {"payments-pid", &o->pids[1], 1, INT32_MAX},
        {"bank-pid", &o->pids[2], 1, INT32_MAX},
    };
    enum { TEXTS = sizeof texts / sizeof texts[0], NUMBERS = sizeof numbers / sizeof numbers[0] };
    struct option table[TEXTS + NUMBERS + 1] = {0};
    for (int i = 0; i < TEXTS + NUMBERS; i++) {
        table[i].name = i < TEXTS ? texts[i].name : numbers[i - TEXTS].name;
        table[i].has_arg = required_argument;
        table[i].val = i + 1;
    }
    int given = 0, opt = 0;
    for (; (opt = getopt_long(argc, argv, "", table, NULL)) != -1; given++) {
        int64_t number = 0;
        if (opt == '?') {
            usage("unknown option");
        } else if (opt <= TEXTS) {
            *texts[opt - 1].to = optarg;
        } else {
            const number_option *x = &numbers[opt - 1 - TEXTS];
            if (!str_to_i64(str_of(optarg), x->min, x->max, &number)) {
                usage(x->name);
            }
            *x->to = (long)number;
        }
    }
    if (given != TEXTS + NUMBERS || optind != argc || o->singles > o->payouts) {
        usage("an option is missing");
    }
}

static rpc_client *connect_to(const bench_options *o, const char *target) {
    const rpc_client_options options = {.target = target,
                                        .tls = {o->ca_file, o->cert_file, o->key_file, false},
                                        .tls_server_name = "localhost",
                                        .message_max = MESSAGE_BYTES_MAX,
                                        // a call that is made twice has no latency
                                        .retries_max = 0};
    err e = {0};
    rpc_client *client = rpc_client_create(&options, &e);
    if (client == NULL) {
        bench_fail(target, &e);
    }
    return client;
}

int main(int argc, char **argv) {
    static bench b;
    read_options(argc, argv, &b.o);
    rpc_init();
    b.arena = arena_create(ARENA_BYTES_MAX);
    b.payments = connect_to(&b.o, b.o.payments);
    b.ledger = connect_to(&b.o, b.o.ledger);
    bench_setup(&b);
    if (b.o.pace > 0) {
        const saga_figures paced = bench_run_paced(&b, 0);
        bench_print_paced(&b, &paced);
    } else {
        saga_figures rounds[ROUNDS];
        for (long i = 0; i < ROUNDS; i++) {
            rounds[i] = bench_run_saga(&b, i);
        }
        const int64_t naive_us = bench_run_naive(&b);
        bench_print(&b, rounds, naive_us);
    }
    rpc_client_destroy(b.payments);
    rpc_client_destroy(b.ledger);
    arena_destroy(b.arena);
    rpc_shutdown();
    return 0;
}
