// The whole commit path against the model: the lives of property_test.c on a real PostgreSQL, through two instances of the journal that
// take turns on a book. Their caches hold less than a book, and a checkpoint comes after a few rows. So eviction, catching up, the tail and
// checkpoints are always at work.
#include "testing/bench_journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "journal/entries.h"
#include "lives.h"
#include "store/lists.h"
#include "testing/fixture.h"
#include "words.h"

enum {
    TURN_STEPS = 3, // after so many steps the other instance takes over
    READ_STEPS = 4, // how often all accounts are read and compared
    CALL_TIMEOUT_MS = 60000,
    MEMORY_MAX = 64 * 1024 * 1024
};

static bench_instance instances[2];

// The answer to a request of a life.
typedef struct answers {
    const char *statuses[MODEL_EVENTS_MAX];
    int64_t sequences[MODEL_EVENTS_MAX]; // of the rows that they name; 0: none
    int64_t times_us[MODEL_EVENTS_MAX];  // of accounts
    bool has_row[MODEL_EVENTS_MAX];
    ledger_row rows[MODEL_EVENTS_MAX]; // only the length of their texts is left
} answers;

static char difference[512];

static void small_and_busy(journal_options *o) {
    o->commit_threads = 1;
    o->books_max = 2;
    o->cache_accounts_max = 12;
    o->checkpoint_rows = 16;
    o->checkpoint_ms = 3600000;  // the clock stands: only rows count
    o->expiry_poll_ms = 3600000; // so do expiries: each request releases what is due itself
}

static void smaller(journal_options *o) {
    small_and_busy(o);
    o->books_max = 1;
    o->cache_accounts_max = 4;
    o->checkpoint_rows = 50;
}

static void begin(void) {
    bench_clock_set(GENERATE_START_US - 1);
    instances[0] = bench_start(NULL, small_and_busy);
    instances[1] = bench_start(NULL, smaller);
}

static void end(void) {
    bench_stop(&instances[0]);
    bench_stop(&instances[1]);
}

// --- Requests --------------------------------------------------------------------------------------------------------

static void commit_accounts(bench_instance *i, int64_t book, const model_event *events, size_t n,
                            arena *a, answers *out) {
    ledger_account_event asked[MODEL_EVENTS_MAX] = {0};
    ledger_account_result results[MODEL_EVENTS_MAX];
    for (size_t k = 0; k < n; k++) {
        asked[k] = words_account_event(a, &events[k]);
    }
    bench_commit_accounts(i, book, asked, n, results);
    for (size_t k = 0; k < n; k++) {
        out->statuses[k] = ledger_account_status_name(results[k].status);
        out->times_us[k] = results[k].timestamp_us;
        out->sequences[k] = 0;
        out->has_row[k] = false;
    }
}

static void commit_transfers(bench_instance *i, int64_t book, const model_event *events, size_t n,
                             arena *a, answers *out) {
    static bench_answer answer;
    ledger_transfer_event asked[MODEL_EVENTS_MAX] = {0};
    for (size_t k = 0; k < n; k++) {
        asked[k] = words_transfer_event(a, &events[k]);
    }
    bench_commit(i, book, asked, n, CALL_TIMEOUT_MS, &answer);
    if (!answer.ok) {
        (void)fprintf(stderr, "%s %s %s\n", answer.e.reason, answer.e.message, answer.e.detail);
        ASSERT(!"the call failed");
    }
    for (size_t k = 0; k < n; k++) {
        out->statuses[k] = ledger_transfer_status_name(answer.status[k]);
        out->times_us[k] = 0;
        out->has_row[k] = answer.has_row[k];
        out->rows[k] = answer.rows[k];
        out->sequences[k] = answer.has_row[k] ? answer.rows[k].sequence : 0;
    }
}

static void commit(bench_instance *i, int64_t book, const model_step *step, size_t first,
                   size_t end_at, answers *out) {
    arena *a = arena_create(MEMORY_MAX);
    const size_t n = end_at - first;
    answers *some = calloc(1, sizeof *some);
    ASSERT(some != NULL);
    if (step->kind == STEP_ACCOUNTS) {
        commit_accounts(i, book, step->events + first, n, a, some);
    } else {
        commit_transfers(i, book, step->events + first, n, a, some);
    }
    for (size_t k = 0; k < n; k++) {
        out->statuses[first + k] = some->statuses[k];
        out->sequences[first + k] = some->sequences[k];
        out->times_us[first + k] = some->times_us[k];
        out->has_row[first + k] = some->has_row[k];
        out->rows[first + k] = some->rows[k];
    }
    free(some);
    arena_destroy(a);
}

// --- Comparisons -----------------------------------------------------------------------------------------------------

static const char *answers_differ(const answers *got, const model *m, const model_step *step,
                                  const model_result *wanted) {
    for (size_t i = 0; i < step->n; i++) {
        if (strcmp(got->statuses[i], wanted[i].status) != 0) {
            (void)snprintf(difference, sizeof difference, "event %zu is %s, the model says %s", i,
                           got->statuses[i], wanted[i].status);
            return difference;
        }
        if (got->times_us[i] != wanted[i].timestamp_us) {
            return words_differ("event", i, "timestamp_us", wanted[i].timestamp_us,
                                got->times_us[i]);
        }
        if (got->sequences[i] != (int64_t)wanted[i].sequence) {
            return words_differ("event", i, "sequence", (int64_t)wanted[i].sequence,
                                got->sequences[i]);
        }
        if (got->has_row[i]) {
            // The journal alone knows a row's later fate, which is compared at the end.
            const size_t at = wanted[i].sequence;
            model_row want = m->rows[at - 1];
            ledger_row row = got->rows[i];
            want.ended_by = (model_row_kind)row.resolution;
            want.reversed = row.reversal != NULL;
            const char *found = words_row_differs(&row, &want, at);
            if (found != NULL) {
                return found;
            }
        }
    }
    return NULL;
}

static const char *one_by_one_differs(const answers *whole, const answers *single, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(whole->statuses[i], single->statuses[i]) != 0 ||
            whole->sequences[i] != single->sequences[i] ||
            whole->times_us[i] != single->times_us[i]) {
            (void)snprintf(difference, sizeof difference,
                           "event %zu is %s (row %" PRId64 ") in the batch and %s (row %" PRId64
                           ") one by one",
                           i, whole->statuses[i], whole->sequences[i], single->statuses[i],
                           single->sequences[i]);
            return difference;
        }
    }
    return NULL;
}

typedef struct reading {
    bench_instance *i;
    int64_t book;
    const model *m;
    const char *found;
} reading;

// Reads as the service does for any reader: from the tables and the tail.
static bool read_accounts(db_conn *c, arena *a, void *arg, err *e) {
    reading *r = arg;
    uuid ids[MODEL_ACCOUNTS_MAX];
    ledger_account *accounts = NULL;
    size_t n = 0;
    bool exists = false;
    int64_t at = 0;
    r->found = NULL;
    for (size_t k = 0; k < r->m->n_accounts; k++) {
        ids[k] = words_id(r->m->accounts[k].asked.id);
    }
    if (!journal_read_accounts(r->i->j, c, a, r->book, (store_ids){ids, r->m->n_accounts}, &exists,
                               &at, &accounts, &n, e)) {
        return false;
    }
    if (at != (int64_t)r->m->n_rows || n != r->m->n_accounts) {
        r->found = n != r->m->n_accounts
                       ? words_differ("book", 0, "accounts", (int64_t)r->m->n_accounts, (int64_t)n)
                       : words_differ("book", 0, "sequence", (int64_t)r->m->n_rows, at);
        return true;
    }
    map *by_id = map_create(n, MODEL_ACCOUNTS_MAX);
    for (size_t k = 0; k < n; k++) {
        MUST(map_put(by_id, accounts[k].id, &accounts[k]));
    }
    for (size_t k = 0; k < n && r->found == NULL; k++) {
        const ledger_account *account = map_get(by_id, ids[k]);
        r->found = account != NULL
                       ? words_account_differs(account, &r->m->accounts[k])
                       : words_differ("account", r->m->accounts[k].asked.id, "is there", 1, 0);
    }
    map_destroy(by_id);
    return true;
}

// The journal in the database, with the later fate of each row.
static bool read_rows(db_conn *c, arena *a, void *arg, err *e) {
    reading *r = arg;
    const store_transfer_filter all = {0};
    const store_range range = {.from = 1, .to = INT64_MAX, .max = MODEL_ROWS_MAX};
    ledger_row *rows = NULL;
    size_t n = 0;
    if (!store_list_rows(c, a, r->book, &all, &range, &rows, &n, e)) {
        return false;
    }
    r->found = n == r->m->n_rows
                   ? NULL
                   : words_differ("journal", 0, "rows", (int64_t)r->m->n_rows, (int64_t)n);
    for (size_t k = 0; k < n && r->found == NULL; k++) {
        r->found = words_row_differs(&rows[k], &r->m->rows[k], k + 1);
    }
    return true;
}

static const char *read_differs(bench_instance *i, int64_t book, const model *m, db_tx_fn work) {
    reading r = {.i = i, .book = book, .m = m};
    arena *a = arena_create(MEMORY_MAX);
    err e = {0};
    if (!db_read(i->pool, fixture_deadline(CALL_TIMEOUT_MS), a, work, &r, &e)) {
        (void)snprintf(difference, sizeof difference, "reading: %s %s", e.reason, e.message);
        r.found = difference;
    }
    arena_destroy(a);
    return r.found;
}

// --- A life ----------------------------------------------------------------------------------------------------------

// The content of the tables when the tail is empty. Two refused requests empty it. The first transaction releases what has run out by then,
// and makes a checkpoint of the rows before. The second makes a checkpoint of the releases.
static const char *at_rest_differs(int64_t book, int64_t now_us) {
    const model_step nothing = {.kind = STEP_TRANSFERS, .n = 1};
    answers *ignored = calloc(1, sizeof *ignored);
    ASSERT(ignored != NULL);
    for (int i = 1; i <= 2; i++) {
        bench_clock_set(now_us + i * INT64_C(7200000000));
        commit(&instances[i - 1], book, &nothing, 0, 1, ignored);
    }
    free(ignored);
    bench_clock_set(now_us);
    return bench_book_problem(book);
}

typedef struct life {
    const ledger_case *c;
    model *m;
    int64_t book, single_book; // the second: one by one; 0 for none
    answers whole, single;
} life;

static bool live_step(life *l, size_t at, int64_t now_us) {
    const model_step *step = &l->c->steps[at];
    bench_instance *writer = &instances[at / TURN_STEPS % 2];
    bench_instance *other = &instances[(at / TURN_STEPS + 1) % 2];
    model_result results[MODEL_EVENTS_MAX];
    bench_clock_set(now_us);
    model_apply(l->m, step, now_us, results);
    commit(writer, l->book, step, 0, step->n, &l->whole);
    lives_count(step, results);
    if (lives_says(at, answers_differ(&l->whole, l->m, step, results))) {
        return false;
    }
    if (l->single_book != 0) {
        for (size_t first = 0; first < step->n;) {
            const size_t end_at = lives_alone(step, first);
            commit(writer, l->single_book, step, first, end_at, &l->single);
            first = end_at;
        }
        if (lives_says(at, one_by_one_differs(&l->whole, &l->single, step->n)) ||
            lives_says(at, read_differs(other, l->single_book, l->m, read_accounts))) {
            return false;
        }
    }
    return at % READ_STEPS != 0 ||
           !lives_says(at, read_differs(other, l->book, l->m, read_accounts));
}

static bool book_is_good(const life *l, int64_t book, int64_t now_us) {
    const size_t end_step = l->c->n_steps;
    return !lives_says(end_step, read_differs(&instances[0], book, l->m, read_rows)) &&
           !lives_says(end_step, read_differs(&instances[0], book, l->m, read_accounts)) &&
           !lives_says(end_step, read_differs(&instances[1], book, l->m, read_accounts)) &&
           !lives_says(end_step, at_rest_differs(book, now_us));
}

static void live(const ledger_case *c) {
    life *l = calloc(1, sizeof *l);
    ASSERT(l != NULL);
    l->c = c;
    l->m = model_create();
    int64_t now_us = c->start_us;
    bench_clock_set(now_us - 1); // the making of a book has a time, too
    l->book = lives_unique();
    bench_make_book(&instances[0], l->book);
    // Exact lives end a hold between two microseconds: one by one, that is between two requests.
    if (c->time == TIME_COARSE) {
        l->single_book = lives_unique();
        bench_make_book(&instances[0], l->single_book);
    }
    bool good = true;
    for (size_t i = 0; i < c->n_steps && good; i++) {
        now_us += c->steps[i].advance_us;
        good = live_step(l, i, now_us);
    }
    if (good) {
        good = book_is_good(l, l->book, now_us);
    }
    if (good && l->single_book != 0) {
        (void)book_is_good(l, l->single_book, now_us);
    }
    model_destroy(l->m);
    free(l);
}

static void test_service__lives_at_random__does_what_the_model_says(void **state) {
    (void)state;
    const lives l = {.name = "what the commit path does",
                     .together = 16,
                     .replays_max = 400,
                     .coarse_every = 10,
                     .begin = begin,
                     .live = live,
                     .end = end};
    lives_run(&l);
}

int main(void) {
    bench_database();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_service__lives_at_random__does_what_the_model_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
