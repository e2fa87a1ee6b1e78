// A journal on a private PostgreSQL, with calls that wait. For tests only.
#ifndef TESTING_BENCH_JOURNAL_H
#define TESTING_BENCH_JOURNAL_H

// cmocka.h needs these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal/journal.h"

// One instance of the service's commit path.
typedef struct bench_instance {
    db_pool *pool;
    journal *j;
} bench_instance;

// Creates the roles and applies the migrations, as superuser. Once a test program.
void bench_database(void);
const char *bench_service_conninfo(void); // as ledger_service
// host NULL: the server's own socket. change may be NULL.
bench_instance bench_start(const char *host, void (*change)(journal_options *));
void bench_stop(bench_instance *i);

int64_t bench_new_book(void);                             // a book of its own for each test
void bench_make_book(bench_instance *i, int64_t book_id); // its id must be new
uuid bench_uuid(int64_t book_id, uint64_t n);

// The wall clock of all instances: the system's plus this.
void bench_clock_shift(int64_t us);
// Stops the clock at this time until the next call; 0 lets it run.
void bench_clock_set(int64_t us);

// The answer to a call. rows[k] is a copy, valid when has_row[k].
enum { BENCH_EVENTS_MAX = 256 };
typedef struct bench_answer {
    bool ok;
    err e;
    size_t n;
    ledger_transfer_status status[BENCH_EVENTS_MAX];
    bool has_row[BENCH_EVENTS_MAX];
    ledger_row rows[BENCH_EVENTS_MAX];
} bench_answer;

// Makes accounts 1 … n in USD, all with the same flags. All must be created.
void bench_make_accounts(bench_instance *i, int64_t book_id, uint64_t n, uint32_t flags);
// Sends the events unchanged and returns their results.
void bench_commit_accounts(bench_instance *i, int64_t book_id, const ledger_account_event *events,
                           size_t n, ledger_account_result *results);
void bench_commit(bench_instance *i, int64_t book_id, const ledger_transfer_event *events, size_t n,
                  int64_t deadline_ms, bench_answer *answer);
ledger_transfer_event bench_event(int64_t book_id, uint64_t id, uint64_t debit, uint64_t credit,
                                  int64_t amount);
// One transfer in a call of its own; aborts when the call fails.
ledger_transfer_status bench_commit_one(bench_instance *i, int64_t book_id,
                                        ledger_transfer_event event);
// Reads the balances from the database.
ledger_balances bench_balances(bench_instance *i, int64_t book_id, uint64_t account);
// Waits until a running instance has made a checkpoint of all rows: then the account table is current.
void bench_await_checkpoint(int64_t book_id);
// Gapless sequences, growing times, debits equal to credits, kept balances equal to the entries.
void bench_check_book(int64_t book_id);
// NULL, or the first broken rule of bench_check_book. Valid until the next call.
const char *bench_book_problem(int64_t book_id);

#endif
