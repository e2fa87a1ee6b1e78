// The sealer, the proofs and the check of a book against a real PostgreSQL, with a real journal before them.
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/check.h"
#include "audit/heads_file.h"
#include "audit/sealer.h"
#include "audit/tree_store.h"
#include "base/assert.h"
#include "testing/bench_journal.h"
#include "testing/fixture.h"

static char dir[] = "/tmp/disburse-audit.XXXXXX";
static char key_path[64];
static bench_answer answer;

// --- Helpers ---------------------------------------------------------------------------------------------------------

static const char *path_of(const char *name) {
    static char path[4][128];
    static int next;
    next = (next + 1) % 4;
    (void)snprintf(path[next], sizeof path[next], "%s/%s", dir, name);
    return path[next];
}

static void sql(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void sql(const char *fmt, ...) {
    char text[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fixture_sql(text, NULL, 0);
}

static int64_t sql_i64(const char *select, int64_t book, const char *more) {
    char text[1024];
    (void)snprintf(text, sizeof text, "SELECT %s WHERE book_id = %lld %s", select, (long long)book,
                   more);
    return fixture_sql_i64(text);
}

typedef struct sealing {
    db_pool *pool;
    sealer *s;
} sealing;

static sealing sealing_start_with(const char *heads_name, int64_t interval_ms, int64_t rows_max) {
    char conninfo[256];
    err e = {0};
    (void)snprintf(conninfo, sizeof conninfo, "host=%s user=ledger_sealer dbname=postgres",
                   fixture_server_dir());
    sealing x = {.pool = fixture_pool(conninfo, 1, 5000)};
    const sealer_options o = {.pool = x.pool,
                              .clock = clock_system(),
                              .key_file = key_path,
                              .public_keys_file = "",
                              .heads_file = path_of(heads_name),
                              .interval_ms = interval_ms,
                              .rows_max = rows_max,
                              .books_max = 1000};
    x.s = sealer_create(&o, &e);
    if (x.s == NULL) {
        (void)fprintf(stderr, "%s %s\n", e.message, e.detail);
    }
    assert_non_null(x.s);
    return x;
}

static sealing sealing_start(const char *heads_name, int64_t rows_max) {
    return sealing_start_with(heads_name, 20, rows_max);
}

static void sealing_stop(sealing *x) {
    sealer_destroy(x->s);
    db_pool_destroy(x->pool);
}

// One run of a sealer: seals what there is.
static void seal_all(const char *heads_name) {
    sealing x = sealing_start(heads_name, 10000);
    sealing_stop(&x);
}

static int64_t heads_of(int64_t book) {
    return sql_i64("count(*) FROM tree_head", book, "");
}

static int64_t sealed_size(int64_t book) {
    return sql_i64("coalesce(max(size), 0) FROM tree_head", book, "");
}

static void commit_rows(bench_instance *i, int64_t book, uint64_t first_id, size_t n) {
    for (size_t done = 0; done < n; done += BENCH_EVENTS_MAX) {
        ledger_transfer_event events[BENCH_EVENTS_MAX];
        const size_t some = n - done < BENCH_EVENTS_MAX ? n - done : BENCH_EVENTS_MAX;
        for (size_t k = 0; k < some; k++) {
            events[k] =
                bench_event(book, first_id + done + k, 1 + k % 2, 3 + k % 3, (int64_t)k + 1);
            events[k].user_data_64 = k;
        }
        bench_commit(i, book, events, some, 5000, &answer);
        assert_true(answer.ok);
        for (size_t k = 0; k < some; k++) {
            assert_int_equal(answer.status[k], LEDGER_TRANSFER_CREATED);
        }
    }
}

// A book with n rows, sealed.
static int64_t sealed_book_of(size_t n, const char *heads_name) {
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    bench_make_accounts(&i, book, 6, 0);
    commit_rows(&i, book, 1000, n);
    bench_await_checkpoint(book);
    bench_stop(&i);
    seal_all(heads_name);
    assert_int_equal(sealed_size(book), n);
    return book;
}

// Removes the book's head, so that later tests do not meet the book: a journal whose rows have a gap ends the process that reads it.
static void forget(int64_t book) {
    sql("DELETE FROM book_head WHERE book_id = %lld", (long long)book);
}

static void public_keys(head_keys *keys) {
    err e = {0};
    uint8_t raw[HEAD_KEY_LEN];
    head_signer *s = head_signer_load(key_path, &e);
    assert_non_null(s);
    head_signer_public(s, raw);
    memset(keys, 0, sizeof *keys);
    assert_true(head_keys_add(keys, raw));
    head_signer_destroy(s);
}

static bool no_progress(void *arg, const check_result *so_far) {
    (void)arg;
    (void)so_far;
    return true;
}

// Checks the book as the auditor. The map of accounts is small, so that some books take more than one pass.
static void check(int64_t book, check_result *r) {
    char conninfo[256];
    head_keys keys;
    err e = {0};
    public_keys(&keys);
    (void)snprintf(conninfo, sizeof conninfo, "host=%s user=ledger_auditor dbname=postgres",
                   fixture_server_dir());
    db_pool *pool = fixture_pool(conninfo, 1, 5000);
    const check_options o = {.pool = pool,
                             .clock = clock_system(),
                             .keys = &keys,
                             .book_id = book,
                             .deadline_mono_ms = fixture_deadline(20000),
                             .accounts_max = 6,
                             .progress = no_progress};
    if (!check_book(&o, r, &e)) {
        (void)fprintf(stderr, "%s %s\n", e.message, e.detail);
        fail();
    }
    db_pool_destroy(pool);
}

static bool has_finding(const check_result *r, const char *reason, int64_t sequence) {
    for (size_t i = 0; i < r->n_findings && i < CHECK_FINDINGS_MAX; i++) {
        if (strcmp(r->findings[i].reason, reason) == 0 && r->findings[i].sequence == sequence) {
            return true;
        }
    }
    for (size_t i = 0; i < r->n_findings && i < CHECK_FINDINGS_MAX; i++) {
        print_message("%s %lld %s\n", r->findings[i].reason, (long long)r->findings[i].sequence,
                      r->findings[i].message);
    }
    return false;
}

static void expect_good(int64_t book, int64_t rows) {
    static check_result r;
    check(book, &r);
    (void)(r.ok || has_finding(&r, "", 0));
    assert_true(r.done && r.ok);
    assert_int_equal(r.rows, rows);
    assert_int_equal(r.sequence, rows);
    assert_int_equal(r.unsealed_rows, 0);
    assert_int_equal(r.heads, heads_of(book));
    assert_int_equal(r.accounts, sql_i64("count(*) FROM account", book, ""));
}

static void expect_finding(int64_t book, const char *reason, int64_t sequence) {
    static check_result r;
    check(book, &r);
    assert_true(r.done && !r.ok);
    assert_true(has_finding(&r, reason, sequence));
}

// --- The sealer ------------------------------------------------------------------------------------------------------

static void test_sealer__follows_the_journal_while_it_grows(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    sealing x = sealing_start("follow", 200);
    bench_make_accounts(&i, book, 6, 0);
    for (uint64_t k = 0; k < 5; k++) {
        commit_rows(&i, book, 1000 + 300 * k, 300);
    }
    for (int tries = 0; sealed_size(book) < 1500; tries++) { // at most a second behind
        assert_true(tries < 100);
        const struct timespec t = {.tv_nsec = 10000000};
        (void)nanosleep(&t, NULL);
    }
    assert_true(heads_of(book) >= 1500 / 200); // never more than rows_max under one head
    sealing_stop(&x);
    bench_stop(&i);
    expect_good(book, 1500);
}

// The defaults of audit.seal_interval_ms and audit.seal_rows_max.
enum {
    DEFAULT_INTERVAL_MS = 500,
    DEFAULT_ROWS = 10000,
    LAG_ROWS_MAX = 10000,
    LAG_US_MAX = 1000000,
    WRITERS = 3,
    WRITE_MS = 5000
};

typedef struct busy_writer {
    bench_instance *i;
    int64_t book;
    uint64_t first_id;
    int64_t until_ms;
    bool ok;
    bench_answer answer;
    pthread_t thread;
} busy_writer;

// Writes batches without a pause. The journal commits the batches of all waiting writers together.
static void *write_on(void *arg) {
    busy_writer *w = arg;
    ledger_transfer_event events[BENCH_EVENTS_MAX];
    w->ok = true;
    while (w->ok && fixture_deadline(0) < w->until_ms) {
        for (size_t k = 0; k < BENCH_EVENTS_MAX; k++) {
            events[k] = bench_event(w->book, w->first_id++, 1 + k % 2, 3 + k % 3, 1);
        }
        bench_commit(w->i, w->book, events, BENCH_EVENTS_MAX, 20000, &w->answer);
        w->ok = w->answer.ok;
    }
    return NULL;
}

typedef struct lag {
    int64_t rows, age_us;
} lag;

// The rows that no head covers. Rows and heads come from one snapshot, no older than the time it is compared with.
static lag read_lag(int64_t book) {
    char sql[512];
    char text[64];
    long long rows = 0;
    long long age_us = 0;
    (void)snprintf(
        sql, sizeof sql,
        "SELECT h.sequence - s.size || ' ' || coalesce((extract(epoch FROM statement_timestamp()) "
        "* 1000000)::bigint - t.timestamp_us, 0) FROM book_head h, LATERAL (SELECT "
        "coalesce(max(size), 0) AS size FROM tree_head WHERE book_id = h.book_id) s "
        "LEFT JOIN LATERAL (SELECT timestamp_us FROM transfer WHERE book_id = h.book_id AND "
        "sequence = s.size + 1) t ON true WHERE h.book_id = %lld",
        (long long)book);
    fixture_sql(sql, text, sizeof text);
    assert_int_equal(sscanf(text, "%lld %lld", &rows, &age_us), 2);
    return (lag){rows, age_us};
}

static void test_sealer__writer_at_full_speed__a_second_or_10000_rows_behind(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    sealing x = sealing_start_with("busy", DEFAULT_INTERVAL_MS, DEFAULT_ROWS);
    busy_writer *writers = calloc(WRITERS, sizeof *writers);
    assert_non_null(writers);
    bench_make_accounts(&i, book, 6, 0);
    const int64_t until_ms = fixture_deadline(WRITE_MS);
    for (uint64_t k = 0; k < WRITERS; k++) {
        writers[k].i = &i;
        writers[k].book = book;
        writers[k].first_id = 1000 + k * 100000000;
        writers[k].until_ms = until_ms;
        MUST(pthread_create(&writers[k].thread, NULL, write_on, &writers[k]) == 0);
    }
    lag most_rows = {0}, oldest = {0}, too_late = {0};
    int samples = 0;
    for (; fixture_deadline(0) < until_ms; samples++) {
        const lag now = read_lag(book);
        most_rows = now.rows > most_rows.rows ? now : most_rows;
        oldest = now.age_us > oldest.age_us ? now : oldest;
        if (now.rows > LAG_ROWS_MAX && now.age_us > LAG_US_MAX) {
            too_late = now;
        }
    }
    bool ok = true;
    for (int k = 0; k < WRITERS; k++) {
        MUST(pthread_join(writers[k].thread, NULL) == 0);
        ok = ok && writers[k].ok;
    }
    free(writers);
    const int64_t rows = sql_i64("sequence FROM book_head", book, "");
    print_message("%lld rows in %d ms, %d samples: at most %lld rows (%lld ms) and %lld ms (%lld "
                  "rows) behind\n",
                  (long long)rows, WRITE_MS, samples, (long long)most_rows.rows,
                  (long long)most_rows.age_us / 1000, (long long)oldest.age_us / 1000,
                  (long long)oldest.rows);
    sealing_stop(&x);
    bench_await_checkpoint(book);
    bench_stop(&i);
    assert_true(ok);
    assert_true(samples >= 20 && rows > 2 * BENCH_EVENTS_MAX);
    assert_int_equal(too_late.rows, 0);
    expect_good(book, rows);
}

static void test_two_sealers__make_one_line_of_heads(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    sealing x = sealing_start("first", 2), y = sealing_start("second", 3);
    bench_make_accounts(&i, book, 6, 0);
    for (uint64_t k = 0; k < 60; k++) {
        commit_rows(&i, book, 1000 + 10 * k, 10);
    }
    bench_stop(&i);
    sealing_stop(&x);
    sealing_stop(&y);
    seal_all("first"); // also publishes the head that the other sealer signed last
    seal_all("second");
    expect_good(book, 600);
    FILE *a = fopen(path_of("first"), "re"), *b = fopen(path_of("second"), "re");
    char line_a[HEAD_LINE_MAX], line_b[HEAD_LINE_MAX];
    int64_t lines = 0;
    // The same heads in the same order, in each book. Other tests' books may stand between.
    tree_head head;
    while (fgets(line_a, sizeof line_a, a) != NULL) {
        assert_true(head_line_read((str){line_a, strlen(line_a) - 1}, &head));
        if (head.book_id != book) {
            continue;
        }
        do {
            assert_non_null(fgets(line_b, sizeof line_b, b));
            assert_true(head_line_read((str){line_b, strlen(line_b) - 1}, &head));
        } while (head.book_id != book);
        assert_string_equal(line_a, line_b);
        lines++;
    }
    assert_int_equal(lines, heads_of(book));
    (void)fclose(a);
    (void)fclose(b);
}

static bool ignore_head(void *arg, const tree_head *head, err *e) {
    (void)head;
    (void)e;
    (*(size_t *)arg)++;
    return true;
}

static void test_heads_file__survives_a_torn_line_and_nothing_else(void **state) {
    (void)state;
    (void)sealed_book_of(10, "torn");
    size_t before = 0, after = 0;
    err e = {0};
    heads_file *f = heads_file_open(path_of("torn"), ignore_head, &before, &e);
    assert_non_null(f);
    size_t none = 0;
    assert_null(heads_file_open(path_of("torn"), ignore_head, &none, &e)); // one process at a time
    assert_string_equal(e.reason, "HEADS_FILE_IN_USE");
    heads_file_close(f);
    FILE *file = fopen(path_of("torn"), "ae");
    assert_true(fputs("{\"book_id\":1,\"tree", file) >= 0);
    (void)fclose(file);
    f = heads_file_open(path_of("torn"), ignore_head, &after, &e);
    assert_non_null(f);
    assert_int_equal(before, after);
    heads_file_close(f);
    file = fopen(path_of("torn"), "ae");
    assert_true(fputs("not a head\n", file) >= 0);
    (void)fclose(file);
    assert_null(heads_file_open(path_of("torn"), ignore_head, &after, &e));
    assert_int_equal(e.code, ERR_DATA_LOSS);
}

// Signed history is changed behind the service's back; the sealer must not sign on top of it.
static void expect_refused(int64_t book, const char *heads_name) {
    bench_instance i = bench_start(NULL, NULL);
    const int64_t size = sealed_size(book), heads = heads_of(book);
    commit_rows(&i, book, 500000, 10);
    bench_stop(&i);
    seal_all(heads_name);
    assert_int_equal(sealed_size(book), size);
    assert_int_equal(heads_of(book), heads);
    forget(book);
}

static void test_rewritten_history__is_not_signed(void **state) {
    (void)state;
    int64_t book = sealed_book_of(100, "refused1");
    sql("UPDATE transfer SET leaf_hash = sha256('x') WHERE book_id = %lld AND sequence = 50",
        (long long)book);
    expect_refused(book, "refused1");
    // The whole history signed anew, with the right key, over other rows: only the published head tells.
    book = sealed_book_of(100, "refused2");
    sql("DELETE FROM tree_head WHERE book_id = %lld", (long long)book);
    sql("UPDATE transfer SET leaf_hash = sha256('x') WHERE book_id = %lld AND sequence = 50",
        (long long)book);
    seal_all("elsewhere");
    assert_int_equal(sealed_size(book), 100);
    expect_refused(book, "refused2");
    // The rows are gone: a backup was restored.
    book = sealed_book_of(100, "refused3");
    sql("DELETE FROM tree_head WHERE book_id = %lld", (long long)book);
    seal_all("refused3");
    assert_int_equal(sealed_size(book), 0);
    forget(book);
    // A head whose signature is of none of our keys.
    book = sealed_book_of(100, "refused4");
    sql("UPDATE tree_head SET signature = set_byte(signature, 5, 7) WHERE book_id = %lld",
        (long long)book);
    seal_all("fresh");
    expect_refused(book, "fresh");
    // A row is missing.
    book = sealed_book_of(100, "refused5");
    bench_instance i = bench_start(NULL, NULL);
    commit_rows(&i, book, 600000, 20);
    bench_stop(&i);
    sql("DELETE FROM transfer WHERE book_id = %lld AND sequence = 110", (long long)book);
    seal_all("refused5");
    assert_int_equal(sealed_size(book), 100);
    forget(book);
}

// The same, while a sealer runs with the tree in memory: it must look at the stored rows.
static void test_rewritten_under_a_running_sealer__is_not_signed(void **state) {
    (void)state;
    static const char *const CHANGES[] = {
        "UPDATE transfer SET leaf_hash = sha256('x') WHERE sequence = 50 AND book_id = ",
        "UPDATE tree_head SET root = sha256('x') WHERE size = 101 AND book_id = ",
        "DELETE FROM tree_head WHERE book_id = ",
    };
    for (size_t k = 0; k < sizeof CHANGES / sizeof CHANGES[0]; k++) {
        const int64_t book = sealed_book_of(100, "running");
        sealing x = sealing_start("running", 10000);
        bench_instance i = bench_start(NULL, NULL);
        commit_rows(&i, book, 2000, 1);
        const int64_t deadline_ms = fixture_deadline(5000);
        while (sealed_size(book) < 101) {
            assert_true(fixture_deadline(0) < deadline_ms);
        }
        sql("%s%lld", CHANGES[k], (long long)book);
        commit_rows(&i, book, 3000, 10);
        bench_stop(&i);
        const int64_t heads = heads_of(book);
        sealing_stop(&x);
        assert_int_equal(heads_of(book), heads);
        assert_true(sealed_size(book) <= 101);
        forget(book);
    }
}

// --- Proofs ----------------------------------------------------------------------------------------------------------

// Rows with hashes only, to have a tree of three kept levels: the sealer looks at nothing else.
static int64_t wide_book(int64_t rows) {
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    bench_make_accounts(&i, book, 2, 0);
    bench_stop(&i);
    sql("INSERT INTO transfer (book_id, sequence, timestamp_us, transfer_id, debit_account_id, "
        "credit_account_id, amount, debit_debits_pending, debit_debits_posted, "
        "debit_credits_pending, debit_credits_posted, credit_debits_pending, credit_debits_posted, "
        "credit_credits_pending, credit_credits_posted, code, kind, flags, currency, leaf_hash) "
        "SELECT %lld, n, n, lpad(to_hex(n), 32, '0')::uuid, "
        "'00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002', "
        "1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 'USD', sha256(n::text::bytea) "
        "FROM generate_series(1, %lld) n",
        (long long)book, (long long)rows);
    sql("UPDATE book_head SET sequence = %lld WHERE book_id = %lld", (long long)rows,
        (long long)book);
    return book;
}

typedef struct prove {
    int64_t book;
    merkle_tree tree; // grown from the leaves alone
} prove;

static bool prove_some(db_conn *c, arena *a, void *arg, err *e) {
    prove *p = arg;
    static const uint64_t INDEXES[] = {0,     1,     255,   256,   257,  4095,
                                       65535, 65536, 65537, 69998, 69999};
    tree_reader reader = {c, a, p->book};
    tree_head *heads = NULL;
    size_t n = 0;
    assert_true(tree_heads_after(c, a, p->book, 0, 100, &heads, &n, e));
    const tree_head *last = &heads[n - 1];
    assert_int_equal(last->size, 70000);
    const merkle_hash root = merkle_root(&p->tree);
    assert_true(merkle_equal(&root, &last->root));
    for (size_t i = 0; i < sizeof INDEXES / sizeof INDEXES[0]; i++) {
        merkle_proof proof;
        merkle_hash leaf;
        assert_true(tree_read_subtree(&reader, 0, INDEXES[i], &leaf, e));
        assert_true(
            merkle_prove_inclusion(INDEXES[i], last->size, tree_read_subtree, &reader, &proof, e));
        assert_true(merkle_verify_inclusion(INDEXES[i], last->size, &leaf, &proof, &last->root));
        assert_false(
            merkle_verify_inclusion(INDEXES[i] ^ 1, last->size, &leaf, &proof, &last->root));
    }
    for (size_t i = 0; i < n; i++) {
        merkle_proof proof;
        assert_true(merkle_prove_consistency(heads[i].size, last->size, tree_read_subtree, &reader,
                                             &proof, e));
        assert_true(merkle_verify_consistency(heads[i].size, last->size, &heads[i].root,
                                              &last->root, &proof));
    }
    return true;
}

static bool grow(db_conn *c, arena *a, void *arg, err *e) {
    prove *p = arg;
    merkle_hash *leaves = NULL;
    assert_true(tree_leaves(c, a, p->book, 1, 70000, &leaves, e));
    for (size_t i = 0; i < 70000; i++) {
        merkle_append(&p->tree, &leaves[i], NULL, NULL);
    }
    return true;
}

static void test_proofs__from_kept_nodes__hold(void **state) {
    (void)state;
    prove p = {.book = wide_book(70000)};
    seal_all("wide");
    assert_int_equal(sealed_size(p.book), 70000);
    assert_int_equal(sql_i64("count(*) FROM tree_node", p.book, "AND level = 8"), 273);
    assert_int_equal(sql_i64("count(*) FROM tree_node", p.book, "AND level = 16"), 1);
    err e = {0};
    arena *a = arena_create(64 * 1024 * 1024);
    db_pool *pool = fixture_pool(bench_service_conninfo(), 1, 5000); // the role that answers calls
    assert_true(db_read(pool, fixture_deadline(20000), a, grow, &p, &e));
    assert_true(db_read(pool, fixture_deadline(20000), a, prove_some, &p, &e));
    arena_reset(a);
    db_pool_destroy(pool);
    arena_destroy(a);
    forget(p.book);
}

// --- The check of a book ---------------------------------------------------------------------------------------------

static void test_check__names_the_row_that_was_changed(void **state) {
    (void)state;
    const int64_t book = sealed_book_of(300, "check1");
    expect_good(book, 300);
    // Every column that a row has, one at a time, in a transaction of its own, and back again.
    static const char *const CHANGES[] = {
        "timestamp_us = timestamp_us + 0, effective_us = 1, flags = flags | 256",
        "transfer_id = '00000000-0000-0000-0000-0000000000ff'",
        "debit_account_id = '00000000-0000-0000-0000-0000000000ff'",
        "credit_account_id = '00000000-0000-0000-0000-0000000000ff'",
        "amount = amount + 1",
        "debit_debits_pending = debit_debits_pending + 1",
        "debit_debits_posted = debit_debits_posted + 1",
        "debit_credits_pending = debit_credits_pending + 1",
        "debit_credits_posted = debit_credits_posted + 1",
        "credit_debits_pending = credit_debits_pending + 1",
        "credit_debits_posted = credit_debits_posted + 1",
        "credit_credits_pending = credit_credits_pending + 1",
        "credit_credits_posted = credit_credits_posted + 1",
        "code = code + 1",
        "kind = 2",
        "flags = flags + 1",
        "currency = 'EUR'",
        "expires_us = 5, kind = 2",
        "timeout_s = 5",
        "user_data_128 = '00000000-0000-0000-0000-0000000000ff'",
        "user_data_64 = 123456",
        "user_data_32 = 5",
        "states = 1",
        "states = 16",
        "reverses_id = '00000000-0000-0000-0000-0000000000ff'",
        "external_reference = 'x'",
        "metadata = '\\x016b000176'",
        "leaf_hash = sha256('x')",
    };
    for (size_t i = 0; i < sizeof CHANGES / sizeof CHANGES[0]; i++) {
        sql("CREATE TABLE saved AS SELECT * FROM transfer WHERE book_id = %lld AND sequence = 123",
            (long long)book);
        sql("UPDATE transfer SET %s WHERE book_id = %lld AND sequence = 123", CHANGES[i],
            (long long)book);
        expect_finding(book, "LEAF_HASH_DIFFERS", 123);
        sql("DELETE FROM transfer WHERE book_id = %lld AND sequence = 123", (long long)book);
        sql("INSERT INTO transfer SELECT * FROM saved");
        sql("DROP TABLE saved");
    }
    expect_good(book, 300);
}

// A row and its hash changed together: the row is what it says it is, but not what was signed.
static void test_check__finds_what_was_not_signed(void **state) {
    (void)state;
    int64_t book = sealed_book_of(300, "check2");
    const int64_t size = 300;
    sql("UPDATE transfer SET leaf_hash = sha256('x') WHERE book_id = %lld AND sequence = 7",
        (long long)book);
    expect_finding(book, "ROOT_HASH_DIFFERS", size);
    expect_finding(book, "TREE_NODE_DIFFERS", 256);

    forget(book);
    book = sealed_book_of(300, "check3");
    sql("DELETE FROM transfer WHERE book_id = %lld AND sequence = 300", (long long)book);
    expect_finding(book, "SEQUENCE_GAP", 300);
    expect_finding(book, "ROOT_HASH_DIFFERS", 300);
    sql("ALTER TABLE book_head DROP CONSTRAINT IF EXISTS book_head_checkpoint");
    sql("UPDATE book_head SET sequence = 299 WHERE book_id = %lld", (long long)book);
    expect_finding(book, "ROOT_HASH_DIFFERS", 300); // the tail is gone as if it never was

    forget(book);
    book = sealed_book_of(300, "check4");
    sql("DELETE FROM transfer WHERE book_id = %lld AND sequence = 150", (long long)book);
    expect_finding(book, "SEQUENCE_GAP", 150);

    forget(book);
    book = sealed_book_of(300, "check5");
    sql("DELETE FROM tree_node WHERE book_id = %lld", (long long)book);
    expect_finding(book, "TREE_NODE_MISSING", 256);

    forget(book);
    book = sealed_book_of(300, "check6");
    sql("UPDATE tree_head SET time_us = time_us + 1 WHERE book_id = %lld AND size = 300",
        (long long)book);
    expect_finding(book, "SIGNATURE_INVALID", 300);

    forget(book);
    book = sealed_book_of(300, "check7");
    sql("UPDATE transfer SET timestamp_us = 1 WHERE book_id = %lld AND sequence = 9",
        (long long)book);
    expect_finding(book, "TIME_NOT_INCREASING", 9);
    expect_finding(book, "LEAF_HASH_DIFFERS", 9);
    forget(book);
}

static void test_check__finds_wrong_balances(void **state) {
    (void)state;
    static check_result r;
    int64_t book = sealed_book_of(50, "check8");
    sql("UPDATE account SET debits_posted = debits_posted + 1 WHERE book_id = %lld AND "
        "account_id = (SELECT debit_account_id FROM transfer WHERE book_id = %lld AND sequence = "
        "1)",
        (long long)book, (long long)book);
    check(book, &r);
    assert_false(r.ok);
    assert_int_equal(r.n_differences, 1);
    assert_int_equal(r.differences[0].kept.debits_posted,
                     r.differences[0].recomputed.debits_posted + 1);
    // at the last checkpoint
    assert_true(r.differences[0].entries == 25 || r.differences[0].entries == 0);

    forget(book);
    book = sealed_book_of(50, "check9");
    sql("UPDATE account SET state = 1 WHERE book_id = %lld", (long long)book);
    expect_finding(book, "ACCOUNT_STATE_DIFFERS", 0);

    book = sealed_book_of(50, "check10");
    sql("DELETE FROM account WHERE book_id = %lld AND account_id = "
        "(SELECT debit_account_id FROM transfer WHERE book_id = %lld AND sequence = 1)",
        (long long)book, (long long)book);
    expect_finding(book, "ACCOUNT_MISSING", 0);

    book = sealed_book_of(50, "check11");
    sql("UPDATE transfer SET amount = amount + 1 WHERE book_id = %lld AND sequence = 20",
        (long long)book);
    expect_finding(book, "BALANCES_AFTER_DIFFER", 20);
}

// --- Life ------------------------------------------------------------------------------------------------------------

static int setup(void **state) {
    (void)state;
    bench_database();
    assert_non_null(mkdtemp(dir));
    (void)snprintf(key_path, sizeof key_path, "%s/key", dir);
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    const int fd = open(key_path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    FILE *f = fdopen(fd, "w");
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    EVP_PKEY_free(key);
    return fclose(f);
}

static int teardown(void **state) {
    static const char *const NAMES[] = {
        "key",      "follow",   "first",    "second",    "torn",    "refused1", "refused2",
        "refused3", "refused4", "refused5", "elsewhere", "running", "fresh",    "wide",
        "check1",   "check2",   "check3",   "check4",    "check5",  "check6",   "check7",
        "check8",   "check9",   "check10",  "check11",   "busy"};
    (void)state;
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        (void)unlink(path_of(NAMES[i]));
    }
    return rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sealer__follows_the_journal_while_it_grows),
        cmocka_unit_test(test_sealer__writer_at_full_speed__a_second_or_10000_rows_behind),
        cmocka_unit_test(test_two_sealers__make_one_line_of_heads),
        cmocka_unit_test(test_heads_file__survives_a_torn_line_and_nothing_else),
        cmocka_unit_test(test_proofs__from_kept_nodes__hold),
        cmocka_unit_test(test_check__names_the_row_that_was_changed),
        cmocka_unit_test(test_check__finds_what_was_not_signed),
        cmocka_unit_test(test_check__finds_wrong_balances),
        cmocka_unit_test(test_rewritten_history__is_not_signed),
        cmocka_unit_test(test_rewritten_under_a_running_sealer__is_not_signed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
