#include "testing/bench_journal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "journal/entries.h"
#include "store/store.h"
#include "testing/fixture.h"

static atomic_int_least64_t clock_shift_us;
static atomic_int_least64_t clock_stands_us; // 0: the clock runs
static atomic_int_least64_t next_book = 1;

static int64_t shifted_wall_us(void *self) {
    (void)self;
    const int64_t stands_us = atomic_load(&clock_stands_us);
    return stands_us != 0 ? stands_us
                          : clock_wall_us(clock_system()) + atomic_load(&clock_shift_us);
}

static int64_t real_mono_us(void *self) {
    (void)self;
    return clock_mono_us(clock_system());
}

static void real_random(void *self, void *out, size_t len) {
    (void)self;
    clock_random(clock_system(), out, len);
}

static const clock_source SHIFTED_CLOCK = {shifted_wall_us, real_mono_us, real_random, NULL};

void bench_clock_shift(int64_t us) {
    atomic_store(&clock_shift_us, us);
}

void bench_clock_set(int64_t us) {
    atomic_store(&clock_stands_us, us);
}

void bench_database(void) {
    err e = {0};
    fixture_sql("CREATE ROLE ledger_migrator LOGIN; CREATE ROLE ledger_service LOGIN; "
                "CREATE ROLE ledger_sealer LOGIN; CREATE ROLE "
                "ledger_auditor LOGIN",
                NULL, 0);
    if (!db_migrate(fixture_conninfo(), LEDGER_MIGRATIONS_DIR, &e)) {
        (void)fprintf(stderr, "%s: %s\n", e.message, e.detail);
        ASSERT(!"migrations");
    }
}

static void conninfo_make(const char *host, char *out, size_t len) {
    (void)snprintf(out, len,
                   "host=%s user=ledger_service dbname=postgres options='" STORE_KEYED_OPTIONS "'",
                   host == NULL ? fixture_server_dir() : host);
}

const char *bench_service_conninfo(void) {
    static char text[512];
    conninfo_make(NULL, text, sizeof text);
    return text;
}

bench_instance bench_start(const char *host, void (*change)(journal_options *)) {
    char conninfo[512];
    err e = {0};
    conninfo_make(host, conninfo, sizeof conninfo);
    journal_options o = {
        .clock = &SHIFTED_CLOCK,
        .commit_threads = 3,
        .queue_requests_max = 1024,
        .queue_events_max = 131072,
        .books_max = 64,
        .cache_accounts_max = 10000,
        .commit_timeout_ms = 10000,
        .expiry_poll_ms = 50,
        .checkpoint_rows = 1000,
        .checkpoint_ms = 200,
    };
    if (change != NULL) {
        change(&o);
    }
    bench_instance i = {.pool = fixture_pool(conninfo, o.commit_threads + 3, 5000)};
    o.pool = i.pool;
    i.j = journal_create(&o, &e);
    ASSERT(i.j != NULL);
    return i;
}

void bench_stop(bench_instance *i) {
    journal_destroy(i->j);
    db_pool_destroy(i->pool);
    *i = (bench_instance){0};
}

static bool create_book(db_conn *c, arena *a, void *arg, err *e) {
    store_book book;
    return store_book_create(c, a, *(int64_t *)arg, STR("test"), shifted_wall_us(NULL), &book, e);
}

static void make_book(db_pool *pool, int64_t book_id) {
    arena *a = arena_create(1 << 20);
    err e = {0};
    MUST(db_transact(pool, fixture_deadline(5000), a, create_book, &book_id, &e));
    arena_destroy(a);
}

int64_t bench_new_book(void) {
    const int64_t book_id = atomic_fetch_add(&next_book, 1);
    db_pool *pool = fixture_pool(bench_service_conninfo(), 1, 5000);
    make_book(pool, book_id);
    db_pool_destroy(pool);
    return book_id;
}

void bench_make_book(bench_instance *i, int64_t book_id) {
    make_book(i->pool, book_id);
}

uuid bench_uuid(int64_t book_id, uint64_t n) {
    uuid id = {{0}};
    if (n != 0) {
        memcpy(id.b, &book_id, sizeof book_id);
        for (size_t k = 0; k < 8; k++) {
            id.b[15 - k] = (uint8_t)(n >> (8 * k));
        }
    }
    return id;
}

ledger_transfer_event bench_event(int64_t book_id, uint64_t id, uint64_t debit, uint64_t credit,
                                  int64_t amount) {
    return (ledger_transfer_event){
        .id = bench_uuid(book_id, id),
        .debit_account_id = bench_uuid(book_id, debit),
        .credit_account_id = bench_uuid(book_id, credit),
        .amount = amount,
        .code = 1,
        .currency = ledger_currency_pack(STR("USD")),
    };
}

// --- Calls that wait -------------------------------------------------------------------------------------------------

typedef struct waiter {
    journal_request request;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool done;
    bench_answer *answer;
} waiter;

static void on_done(journal_request *r, const err *failure) {
    waiter *w = r->owner;
    (void)pthread_mutex_lock(&w->lock);
    bench_answer *answer = w->answer;
    answer->ok = failure == NULL;
    if (failure != NULL) {
        answer->e = *failure;
    }
    for (size_t k = 0; k < r->n && r->transfers != NULL && answer->ok; k++) {
        answer->status[k] = r->transfer_results[k].status;
        answer->has_row[k] = r->transfer_results[k].row != NULL;
        if (answer->has_row[k]) {
            answer->rows[k] = *r->transfer_results[k].row;
        }
    }
    w->done = true;
    (void)pthread_cond_signal(&w->wake);
    (void)pthread_mutex_unlock(&w->lock);
}

static void submit_and_wait(bench_instance *i, waiter *w) {
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->wake, NULL);
    w->request.done = on_done;
    w->request.owner = w;
    w->answer->n = w->request.n;
    err_clear(&w->answer->e);
    if (journal_submit(i->j, &w->request, &w->answer->e)) {
        (void)pthread_mutex_lock(&w->lock);
        while (!w->done) {
            (void)pthread_cond_wait(&w->wake, &w->lock);
        }
        (void)pthread_mutex_unlock(&w->lock);
    } else {
        w->answer->ok = false;
    }
    (void)pthread_cond_destroy(&w->wake);
    (void)pthread_mutex_destroy(&w->lock);
}

void bench_commit(bench_instance *i, int64_t book_id, const ledger_transfer_event *events, size_t n,
                  int64_t deadline_ms, bench_answer *answer) {
    ledger_transfer_result results[BENCH_EVENTS_MAX];
    ASSERT(n <= BENCH_EVENTS_MAX);
    waiter w = {
        .request = {.book_id = book_id,
                    .deadline_mono_ms = fixture_deadline(deadline_ms),
                    .n = n,
                    .transfers = events,
                    .transfer_results = results},
        .answer = answer,
    };
    submit_and_wait(i, &w);
}

ledger_transfer_status bench_commit_one(bench_instance *i, int64_t book_id,
                                        ledger_transfer_event event) {
    bench_answer *answer = calloc(1, sizeof *answer);
    ASSERT(answer != NULL);
    bench_commit(i, book_id, &event, 1, 20000, answer);
    if (!answer->ok) {
        (void)fprintf(stderr, "%s %s %s %s\n", err_code_name(answer->e.code), answer->e.reason,
                      answer->e.message, answer->e.detail);
        ASSERT(!"the call failed");
    }
    const ledger_transfer_status status = answer->status[0];
    free(answer);
    return status;
}

void bench_commit_accounts(bench_instance *i, int64_t book_id, const ledger_account_event *events,
                           size_t n, ledger_account_result *results) {
    bench_answer *answer = calloc(1, sizeof *answer);
    ASSERT(answer != NULL);
    waiter w = {
        .request = {.book_id = book_id,
                    .deadline_mono_ms = fixture_deadline(20000),
                    .n = n,
                    .accounts = events,
                    .account_results = results},
        .answer = answer,
    };
    submit_and_wait(i, &w);
    ASSERT(answer->ok);
    free(answer);
}

void bench_make_accounts(bench_instance *i, int64_t book_id, uint64_t n, uint32_t flags) {
    ledger_account_event events[BENCH_EVENTS_MAX] = {0};
    ledger_account_result results[BENCH_EVENTS_MAX];
    ASSERT(n <= BENCH_EVENTS_MAX);
    for (uint64_t k = 0; k < n; k++) {
        events[k] = (ledger_account_event){.id = bench_uuid(book_id, k + 1),
                                           .code = 10,
                                           .flags = flags,
                                           .currency = ledger_currency_pack(STR("USD"))};
    }
    bench_commit_accounts(i, book_id, events, n, results);
    for (uint64_t k = 0; k < n; k++) {
        ASSERT(results[k].status == LEDGER_ACCOUNT_CREATED && results[k].timestamp_us > 0);
    }
}

// --- What the database says ------------------------------------------------------------------------------------------

typedef struct balance_read {
    journal *j;
    int64_t book_id;
    uuid id;
    ledger_balances balances;
} balance_read;

static bool read_balances(db_conn *c, arena *a, void *arg, err *e) {
    balance_read *r = arg;
    ledger_account *accounts = NULL;
    size_t n = 0;
    bool exists = false;
    int64_t sequence = 0;
    const store_ids ids = {&r->id, 1};
    if (!journal_read_accounts(r->j, c, a, r->book_id, ids, &exists, &sequence, &accounts, &n, e)) {
        return false;
    }
    ASSERT(exists && n == 1);
    r->balances = accounts[0].balances;
    return true;
}

ledger_balances bench_balances(bench_instance *i, int64_t book_id, uint64_t account) {
    balance_read r = {.j = i->j, .book_id = book_id, .id = bench_uuid(book_id, account)};
    arena *a = arena_create(1 << 20);
    err e = {0};
    MUST(db_read(i->pool, fixture_deadline(5000), a, read_balances, &r, &e));
    arena_destroy(a);
    return r.balances;
}

static int64_t book_number(const char *before, int64_t book_id, const char *after) {
    char text[2048];
    const int n = snprintf(text, sizeof text, "%s%lld%s", before, (long long)book_id, after);
    ASSERT(n > 0 && (size_t)n < sizeof text);
    return fixture_sql_i64(text);
}

void bench_await_checkpoint(int64_t book_id) {
    const struct timespec pause = {.tv_nsec = 10000000};
    const int64_t until_ms = fixture_deadline(10000);
    while (book_number("SELECT sequence - checkpoint_sequence FROM book_head WHERE book_id = ",
                       book_id, "") != 0) {
        ASSERT(fixture_deadline(0) < until_ms);
        (void)nanosleep(&pause, NULL);
    }
}

// A rule of a book, as a statement that counts its violations. A '#' stands for the book's id.
typedef struct book_rule {
    const char *broken, *count;
} book_rule;

static const book_rule BOOK_RULES[] = {
    {"sequences have gaps",
     "SELECT count(*) - coalesce(max(sequence), 0) FROM transfer WHERE book_id = # AND sequence > "
     "0"},
    {"times do not grow",
     "SELECT count(*) FROM (SELECT timestamp_us <= lag(timestamp_us) OVER (ORDER BY sequence) AS "
     "bad FROM transfer WHERE book_id = #) t WHERE bad"},
    {"debits do not equal credits",
     "SELECT count(*) FROM (SELECT currency FROM account WHERE book_id = # GROUP BY currency "
     "HAVING sum(debits_pending) <> sum(credits_pending) OR sum(debits_posted) <> "
     "sum(credits_posted)) s"},
    {"an account row is not what its entries up to the checkpoint add up to",
     "SELECT count(*) FROM (SELECT a.debits_pending, a.debits_posted, a.credits_pending, "
     "a.credits_posted, "
     "coalesce(sum(CASE WHEN kind = 2 THEN amount ELSE -coalesce(released, 0) END) "
     "FILTER (WHERE t.debit_account_id = a.account_id), 0) AS dp, "
     "coalesce(sum(amount) FILTER (WHERE t.debit_account_id = a.account_id AND kind IN (1, 3)), 0) "
     "AS dpo, "
     "coalesce(sum(CASE WHEN kind = 2 THEN amount ELSE -coalesce(released, 0) END) "
     "FILTER (WHERE t.credit_account_id = a.account_id), 0) AS cp, "
     "coalesce(sum(amount) FILTER (WHERE t.credit_account_id = a.account_id AND kind IN (1, 3)), "
     "0) AS cpo "
     "FROM account a JOIN book_head h ON h.book_id = a.book_id LEFT JOIN transfer t "
     "ON t.book_id = a.book_id AND t.sequence <= h.checkpoint_sequence AND a.account_id IN "
     "(t.debit_account_id, t.credit_account_id) WHERE a.book_id = # "
     "GROUP BY a.book_id, a.account_id) s WHERE (dp, dpo, cp, cpo) <> "
     "(debits_pending, debits_posted, credits_pending, credits_posted)"},
    {"postings do not name the rows that the journal does up to the checkpoint",
     "WITH h AS (SELECT book_id, checkpoint_sequence FROM book_head WHERE book_id = #), "
     "p AS (SELECT account_id, first_sequence + (get_byte(entries, 4 * i)::bigint << 24 | "
     "get_byte(entries, 4 * i + 1) << 16 | get_byte(entries, 4 * i + 2) << 8 | "
     "get_byte(entries, 4 * i + 3)) AS sequence FROM h JOIN posting USING (book_id), "
     "generate_series(0, octet_length(entries) / 4 - 1) i), "
     "j AS (SELECT unnest(ARRAY[debit_account_id, credit_account_id]) AS account_id, "
     "sequence FROM h JOIN transfer USING (book_id) WHERE sequence <= checkpoint_sequence) "
     "SELECT (SELECT count(*) FROM (TABLE p EXCEPT ALL TABLE j) x) + "
     "(SELECT count(*) FROM (TABLE j EXCEPT ALL TABLE p) y)"},
};

const char *bench_book_problem(int64_t book_id) {
    static char found[512];
    char text[8192];
    size_t at = (size_t)snprintf(text, sizeof text, "SELECT concat_ws('; '");
    for (size_t i = 0; i < sizeof BOOK_RULES / sizeof BOOK_RULES[0]; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, ", CASE WHEN (");
        for (const char *c = BOOK_RULES[i].count; *c != '\0' && at < sizeof text; c++) {
            at += *c == '#'
                      ? (size_t)snprintf(text + at, sizeof text - at, "%lld", (long long)book_id)
                      : (size_t)snprintf(text + at, sizeof text - at, "%c", *c);
        }
        at += (size_t)snprintf(text + at, sizeof text - at, ") <> 0 THEN '%s' END",
                               BOOK_RULES[i].broken);
    }
    at += (size_t)snprintf(text + at, sizeof text - at, ")");
    ASSERT(at < sizeof text);
    fixture_sql(text, found, sizeof found);
    return found[0] == '\0' ? NULL : found;
}

void bench_check_book(int64_t book_id) {
    const char *problem = bench_book_problem(book_id);
    if (problem != NULL) {
        fail_msg("book %lld: %s", (long long)book_id, problem);
    }
}
