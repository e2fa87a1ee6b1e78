// The parts of the ledger's benchmark. Any error ends the program: half a benchmark has no figures.
#ifndef TESTS_LEDGER_BENCH_H
#define TESTS_LEDGER_BENCH_H

#include <libpq-fe.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/uuid.h"
#include "rpc/rpc.h"

enum {
    BATCH = 8190,     // transfers in one call, and rows in one COPY of the floor
    ACCOUNTS = 10000, // of each book
    PAGE_SIZE = 100   // of a list
};

typedef struct ledger_bench_options {
    const char *part, *ledger;
    const char *ca_file, *cert_file, *key_file;
    const char *conninfo; // of the ledger's database, for a role that may make tables
    long round_batches, in_flight, single_calls, singles_in_flight, singles_s, fill_rows,
        list_calls;
    long ledger_pid;
    long book; // for the parts that may use any book
} ledger_bench_options;

typedef struct ledger_bench {
    ledger_bench_options o;
    rpc_client *client;
    PGconn *pg;
} ledger_bench;

typedef enum load_kind {
    LOAD_UNIFORM, // both accounts drawn evenly
    LOAD_HOT,     // account 0 is debited in every transfer
    LOAD_PENDING, // a batch of pendings, then a batch that posts each of them, and so on
    LOAD_KINDS
} load_kind;

// --- ledger_load.c: the client's side ---------------------------------------------------------------------------------

// A book with its accounts.
void load_make_book(const ledger_bench *b, int64_t book_id);
// Sends n batches, several calls in flight; all requests are packed before the clock starts. Every result must be CREATED.
// Microseconds from the first call to the last answer.
int64_t load_run(const ledger_bench *b, int64_t book_id, load_kind kind, size_t n_batches);
// One transfer a call, one call in flight: the median, in microseconds.
int64_t load_single_latency_us(const ledger_bench *b, int64_t book_id, size_t n);
// One transfer a call, many in flight, for some seconds: calls a second.
double load_singles_per_s(const ledger_bench *b, int64_t book_id, size_t in_flight, long seconds);
// The first page of ListTransfers of a random account, one call in flight: latencies in microseconds.
void load_list_latencies(const ledger_bench *b, int64_t book_id, size_t n, uint64_t *random,
                         int64_t *latency_us);

// --- ledger_floor.c: the same rows by a bare client -------------------------------------------------------------------

// Creates the floor's tables: the ledger's journal with all its indexes and checks, in its own schema.
void floor_create(const ledger_bench *b);
// The last row of the book's journal.
int64_t floor_last_sequence(const ledger_bench *b, int64_t book_id);
// Reads these rows from the journal and copies them into the floor's table, BATCH rows a transaction. Returns the microseconds of the
// copying alone.
int64_t floor_copy(const ledger_bench *b, int64_t book_id, int64_t first_sequence,
                   int64_t last_sequence);

// Reads as many journal rows as a page needs, by sequence, as far apart as the rows of one account: latencies in microseconds.
void floor_list_latencies(const ledger_bench *b, int64_t book_id, size_t n, uint64_t *random,
                          int64_t *latency_us);

// --- ledger_bench.c ---------------------------------------------------------------------------------------------------

int64_t bench_now_us(void);
int bench_compare(const void *a, const void *b);
uint64_t bench_random(uint64_t *state);
_Noreturn void bench_fail(const char *what, const char *why);

#endif
