// The memory between two checkpoints: the tail, the cache, used ids. Against a real PostgreSQL.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "journal/entries.h"
#include "testing/bench_journal.h"
#include "testing/fixture.h"

#define EXPECT_STATUS(actual, wanted) assert_int_equal(actual, LEDGER_TRANSFER_##wanted)

static int64_t in_book(const char *sql, int64_t book) {
    char text[512];
    (void)snprintf(text, sizeof text, "%s%lld", sql, (long long)book);
    return fixture_sql_i64(text);
}

static void no_checkpoints(journal_options *o) {
    o->checkpoint_rows = 100000;
    o->checkpoint_ms = 60000;
}

// Checkpoints by number of rows, never by age: the sweeper must not write the tail of an ended process in these tests.
static void checkpoint_each_commit(journal_options *o) {
    o->checkpoint_rows = 1;
    o->checkpoint_ms = 60000;
}

static void tiny_cache_no_checkpoints(journal_options *o) {
    no_checkpoints(o);
    o->cache_accounts_max = 3;
}

static void expect_posted(bench_instance *i, int64_t book, uint64_t account, int64_t debits,
                          int64_t credits) {
    const ledger_balances b = bench_balances(i, book, account);
    assert_int_equal(b.debits_posted, debits);
    assert_int_equal(b.credits_posted, credits);
}

static void test_restart__folds_in_the_tail(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, no_checkpoints);
    bench_make_accounts(&i, book, 3, 0);
    for (uint64_t n = 0; n < 20; n++) {
        EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 100 + n, 1, 2 + n % 2, 5)),
                      CREATED);
    }
    bench_stop(&i);
    // The account rows have nothing of it yet.
    assert_int_equal(in_book("SELECT checkpoint_sequence FROM book_head WHERE book_id = ", book),
                     0);
    assert_int_equal(
        in_book("SELECT sum(debits_posted)::bigint FROM account WHERE book_id = ", book), 0);
    i = bench_start(NULL, no_checkpoints);
    expect_posted(&i, book, 1, 100, 0); // a reader is the first to come
    bench_stop(&i);
    i = bench_start(NULL, checkpoint_each_commit);
    ledger_transfer_event event = bench_event(book, 200, 2, 1, 5);
    EXPECT_STATUS(bench_commit_one(&i, book, event), CREATED);
    expect_posted(&i, book, 1, 100, 5);
    expect_posted(&i, book, 2, 5, 50);
    assert_int_equal(in_book("SELECT checkpoint_sequence FROM book_head WHERE book_id = ", book),
                     20);
    bench_check_book(book);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 201, 3, 1, 5)), CREATED);
    bench_check_book(book);
    bench_stop(&i);
}

// The account table is renamed, so any read of an account row fails.
static void test_two_instances__alternate_without_reading_accounts(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i[2] = {bench_start(NULL, no_checkpoints), bench_start(NULL, no_checkpoints)};
    bench_make_accounts(&i[0], book, 2, 0);
    for (uint64_t k = 0; k < 2; k++) {
        EXPECT_STATUS(bench_commit_one(&i[k], book, bench_event(book, 90 + k, 1, 2, 0)), CREATED);
    }
    fixture_sql("ALTER TABLE account RENAME TO account_away", NULL, 0);
    // Each instance sees at once the other's transfers, holds and ends of holds.
    for (uint64_t n = 0; n < 30; n++) {
        const ledger_transfer_event move = bench_event(book, 100 + n, 1 + n % 2, 2 - n % 2, 1);
        ledger_transfer_event hold = bench_event(book, 200 + n, 1, 2, 3);
        ledger_transfer_event post = bench_event(book, 300 + n, 0, 0, LEDGER_AMOUNT_MAX);
        hold.flags = LEDGER_TRANSFER_FLAG_PENDING;
        post.flags = LEDGER_TRANSFER_FLAG_POST;
        post.pending_id = hold.id;
        post.currency = 0;
        post.code = 0;
        EXPECT_STATUS(bench_commit_one(&i[n % 2], book, move), CREATED);
        EXPECT_STATUS(bench_commit_one(&i[n % 2], book, hold), CREATED);
        EXPECT_STATUS(bench_commit_one(&i[1 - n % 2], book, post), CREATED);
    }
    fixture_sql("ALTER TABLE account_away RENAME TO account", NULL, 0);
    for (size_t k = 0; k < 2; k++) {
        expect_posted(&i[k], book, 1, 15 + 90, 15);
        expect_posted(&i[k], book, 2, 15, 15 + 90);
    }
    bench_stop(&i[0]);
    bench_stop(&i[1]);
}

// Runs this program again with a crash point armed: a process reads crash points once.
static void die_at(const char *point, int64_t book, uint64_t id) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char book_text[32];
        char id_text[32];
        (void)snprintf(book_text, sizeof book_text, "%lld", (long long)book);
        (void)snprintf(id_text, sizeof id_text, "%llu", (unsigned long long)id);
        (void)setenv("DISBURSE_CRASH_AT", point, 1);
        (void)execl("/proc/self/exe", "follow_test", book_text, id_text, (char *)NULL);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static int commit_and_checkpoint(const char *book_text, const char *id_text) {
    const int64_t book = strtoll(book_text, NULL, 10);
    bench_instance i = bench_start(NULL, checkpoint_each_commit);
    (void)bench_commit_one(&i, book, bench_event(book, strtoull(id_text, NULL, 10), 1, 2, 1));
    return 0;
}

static void test_crash_in_a_checkpoint__leaves_nothing(void **state) {
    (void)state;
    static const char *const POINTS[] = {"journal.copied", "journal.checkpoint.accounts",
                                         "journal.checkpoint.postings", "journal.commit.sent"};
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, no_checkpoints);
    bench_make_accounts(&i, book, 2, 0);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 100, 1, 2, 5)), CREATED);
    bench_stop(&i);
    for (size_t k = 0; k < sizeof POINTS / sizeof POINTS[0]; k++) {
        die_at(POINTS[k], book, 101);
        assert_int_equal(
            in_book("SELECT checkpoint_sequence FROM book_head WHERE book_id = ", book), 0);
        assert_int_equal(in_book("SELECT count(*) FROM posting WHERE book_id = ", book), 0);
        assert_int_equal(in_book("SELECT count(*) FROM transfer WHERE book_id = ", book), 1);
        bench_check_book(book);
    }
    die_at("journal.commit.acked", book, 101); // done, but nobody was told
    assert_int_equal(in_book("SELECT checkpoint_sequence FROM book_head WHERE book_id = ", book),
                     1);
    i = bench_start(NULL, NULL);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 101, 1, 2, 1)), EXISTS);
    expect_posted(&i, book, 1, 6, 0);
    bench_await_checkpoint(book);
    bench_check_book(book);
    bench_stop(&i);
}

static void test_evicted_accounts__come_back_as_they_are(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, tiny_cache_no_checkpoints);
    bench_make_accounts(&i, book, 10, 0);
    for (uint64_t n = 0; n < 40; n++) {
        EXPECT_STATUS(
            bench_commit_one(&i, book, bench_event(book, 100 + n, 1 + n % 10, 1 + (n + 1) % 10, 7)),
            CREATED);
    }
    for (uint64_t account = 1; account <= 10; account++) {
        expect_posted(&i, book, account, 28, 28);
    }
    bench_stop(&i);
}

// --- Ids that were used before ---------------------------------------------------------------------------------------

static void test_used_ids__in_and_across_batches(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    bench_answer *answer = calloc(1, sizeof *answer);
    bench_make_accounts(&i, book, 3, LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS);
    ledger_transfer_event fund = bench_event(book, 100, 1, 2, 10);
    fund.amount = 0;
    EXPECT_STATUS(bench_commit_one(&i, book, fund), CREATED);
    // The same batch again: the cache knows it. A batch later: the index finds the used id, and the other events stand.
    ledger_transfer_event batch[4] = {bench_event(book, 101, 1, 2, 0),
                                      bench_event(book, 101, 1, 2, 0), fund,
                                      bench_event(book, 102, 1, 2, 0)};
    bench_commit(&i, book, batch, 4, 5000, answer);
    assert_true(answer->ok);
    EXPECT_STATUS(answer->status[0], CREATED);
    EXPECT_STATUS(answer->status[1], EXISTS);
    EXPECT_STATUS(answer->status[2], EXISTS);
    assert_int_equal(answer->rows[2].sequence, 1);
    EXPECT_STATUS(answer->status[3], CREATED);
    bench_check_book(book);
    bench_stop(&i);
    // A used id whose repeat would now be refused for lack of money: it answers EXISTS, and the id is not burned.
    i = bench_start(NULL, NULL);
    ledger_transfer_event dear = bench_event(book, 101, 1, 2, 999);
    EXPECT_STATUS(bench_commit_one(&i, book, dear), EXISTS_WITH_DIFFERENT_AMOUNT);
    for (int k = 0; k < 20; k++) { // until the careful commits are used up
        EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 200 + (uint64_t)k, 1, 2, 0)),
                      CREATED);
    }
    // The same in a chain that fails further on.
    ledger_transfer_event chain[2] = {fund, bench_event(book, 300, 1, 2, 999)};
    chain[0].flags = LEDGER_TRANSFER_FLAG_LINKED;
    bench_commit(&i, book, chain, 2, 5000, answer);
    assert_true(answer->ok);
    EXPECT_STATUS(answer->status[0], EXISTS_WITH_DIFFERENT_FLAGS);
    EXPECT_STATUS(answer->status[1], LINKED_EVENT_FAILED);
    assert_int_equal(in_book("SELECT count(*) FROM burned_transfer WHERE book_id = ", book), 0);
    bench_stop(&i);
    free(answer);
}

static void test_burned_ids__known_to_all_instances(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i[2] = {bench_start(NULL, NULL), bench_start(NULL, NULL)};
    bench_make_accounts(&i[0], book, 3, LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS);
    EXPECT_STATUS(bench_commit_one(&i[1], book, bench_event(book, 99, 1, 2, 0)), CREATED);
    for (uint64_t n = 0; n < 10; n++) {
        const ledger_transfer_event poor = bench_event(book, 100 + n, 1, 2, 5);
        EXPECT_STATUS(bench_commit_one(&i[n % 2], book, poor), EXCEEDS_CREDITS);
        EXPECT_STATUS(bench_commit_one(&i[1 - n % 2], book, poor), ID_ALREADY_FAILED);
    }
    bench_stop(&i[0]);
    EXPECT_STATUS(bench_commit_one(&i[1], book, bench_event(book, 100, 1, 2, 0)),
                  ID_ALREADY_FAILED);
    bench_stop(&i[1]);
}

typedef struct repeater {
    bench_instance *i;
    int64_t book;
    size_t n_created;
} repeater;

static void *send_same_ids(void *arg) {
    repeater *r = arg;
    bench_answer *answer = calloc(1, sizeof *answer);
    ASSERT(answer != NULL);
    for (uint64_t round = 0; round < 20; round++) {
        ledger_transfer_event events[20];
        for (uint64_t k = 0; k < 20; k++) {
            events[k] = bench_event(r->book, 1000 + round * 10 + k, 1 + k % 2, 2 - k % 2, 1);
            events[k].amount = 1;
            if (((round * 10 + k) & 1) != 0) { // the same for the same id, whichever round it is in
                events[k].debit_account_id = bench_uuid(r->book, 2);
                events[k].credit_account_id = bench_uuid(r->book, 1);
            }
        }
        bench_commit(r->i, r->book, events, 20, 10000, answer);
        ASSERT(answer->ok);
        for (size_t k = 0; k < 20; k++) {
            ASSERT(answer->status[k] == LEDGER_TRANSFER_CREATED ||
                   answer->status[k] == LEDGER_TRANSFER_EXISTS);
            r->n_created += answer->status[k] == LEDGER_TRANSFER_CREATED;
        }
    }
    free(answer);
    return NULL;
}

static void test_used_ids__by_two_instances_at_once(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i[2] = {bench_start(NULL, NULL), bench_start(NULL, NULL)};
    bench_make_accounts(&i[0], book, 2, 0);
    repeater r[4] = {{&i[0], book, 0}, {&i[1], book, 0}, {&i[0], book, 0}, {&i[1], book, 0}};
    pthread_t threads[4];
    size_t n_created = 0;
    for (size_t k = 0; k < 4; k++) {
        MUST(pthread_create(&threads[k], NULL, send_same_ids, &r[k]) == 0);
    }
    for (size_t k = 0; k < 4; k++) {
        MUST(pthread_join(threads[k], NULL) == 0);
        n_created += r[k].n_created;
    }
    assert_int_equal(n_created, 210); // each of the ids once
    assert_int_equal(in_book("SELECT sequence FROM book_head WHERE book_id = ", book), 210);
    bench_await_checkpoint(book);
    bench_check_book(book);
    bench_stop(&i[0]);
    bench_stop(&i[1]);
}

// --- Entries ---------------------------------------------------------------------------------------------------------

typedef struct entries_read {
    journal *j;
    int64_t book;
    journal_entries_query q;
    journal_entries out;
} entries_read;

static bool read_entries(db_conn *c, arena *a, void *arg, err *e) {
    entries_read *r = arg;
    return journal_account_entries(r->j, c, a, r->book, &r->q, &r->out, e);
}

// Account 1 is debited by one in every third row of `last` rows: 1, 4, 7 …
static void expect_these(bench_instance *i, int64_t book, journal_entries_query q, int64_t last) {
    const int64_t from = q.from_sequence, to = q.to_sequence;
    const bool newest_first = q.newest_first;
    const size_t max = q.max;
    entries_read r = {.j = i->j, .book = book, .q = q};
    arena *a = arena_create(1 << 20);
    err e = {0};
    size_t n = 0;
    MUST(db_read(i->pool, fixture_deadline(5000), a, read_entries, &r, &e));
    assert_true(r.out.exists);
    assert_int_equal(r.out.at_sequence, last);
    for (int64_t k = 1; k <= last; k++) {
        const int64_t sequence = newest_first ? last + 1 - k : k;
        if (sequence % 3 == 1 && sequence >= from && sequence <= to && n < max) {
            assert_true(n < r.out.n);
            assert_int_equal(r.out.sequences[n++], sequence);
        }
    }
    assert_int_equal(r.out.n, n);
    arena_destroy(a);
}

// Reads entries with the head, before anyone follows the book here, and entries up to a known end.
static void expect_entries(bench_instance *i, int64_t book, int64_t from, int64_t to, size_t max,
                           bool newest_first, int64_t last) {
    const uuid account = bench_uuid(book, 1);
    const int64_t ends[] = {to, to < last ? to : last};
    for (size_t n = 0; n < 2; n++) {
        expect_these(i, book,
                     (journal_entries_query){account, from, ends[n], newest_first, max, n == 0},
                     last);
    }
}

// This instance believes a hold to be open that another has ended. The batch names the hold twice: to post it, and as a used id. The used
// id makes the row known before anyone has asked how the hold ended.
static void test_ended_elsewhere__and_named_twice(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i[2] = {bench_start(NULL, NULL), bench_start(NULL, NULL)};
    bench_answer *answer = calloc(1, sizeof *answer);
    bench_make_accounts(&i[0], book, 2, 0);
    ledger_transfer_event hold = bench_event(book, 100, 1, 2, 10);
    hold.flags = LEDGER_TRANSFER_FLAG_PENDING;
    EXPECT_STATUS(bench_commit_one(&i[0], book, hold), CREATED);
    // for a while every id is looked up
    EXPECT_STATUS(bench_commit_one(&i[0], book, hold), EXISTS);
    const ledger_transfer_event post = {.id = bench_uuid(book, 101),
                                        .pending_id = hold.id,
                                        .amount = 10,
                                        .flags = LEDGER_TRANSFER_FLAG_POST};
    EXPECT_STATUS(bench_commit_one(&i[1], book, post), CREATED);
    ledger_transfer_event batch[2] = {post, hold};
    batch[0].id = bench_uuid(book, 102);
    bench_commit(&i[0], book, batch, 2, 5000, answer);
    assert_true(answer->ok);
    EXPECT_STATUS(answer->status[0], PENDING_TRANSFER_ALREADY_POSTED);
    EXPECT_STATUS(answer->status[1], EXISTS);
    expect_posted(&i[0], book, 1, 10, 0);
    bench_check_book(book);
    free(answer);
    bench_stop(&i[0]);
    bench_stop(&i[1]);
}

static void test_entries__from_postings_and_tail(void **state) {
    (void)state;
    enum { BATCHES = 8, ROWS = 240 };
    const int64_t book = bench_new_book();
    bench_answer *answer = calloc(1, sizeof *answer);
    bench_instance i = bench_start(NULL, no_checkpoints);
    bench_make_accounts(&i, book, 4, 0);
    int64_t last = 0;
    for (uint64_t b = 0; b < BATCHES; b++) {
        // writes the rows so far, with two postings for account 1; the later rows stay in the tail
        if (b == 5) {
            bench_stop(&i);
            i = bench_start(NULL, checkpoint_each_commit);
        } else if (b == 6) {
            bench_stop(&i);
            i = bench_start(NULL, no_checkpoints);
        }
        ledger_transfer_event events[ROWS];
        for (uint64_t k = 0; k < ROWS; k++) {
            events[k] = bench_event(book, 1000 + b * ROWS + k, k % 3 == 0 ? 1 : 2, 3 + k % 2, 1);
        }
        bench_commit(&i, book, events, ROWS, 5000, answer);
        assert_true(answer->ok);
        last += ROWS;
    }
    bench_check_book(book);
    assert_int_equal(in_book("SELECT checkpoint_sequence FROM book_head WHERE book_id = ", book),
                     5 * ROWS);
    for (int newest_first = 0; newest_first < 2; newest_first++) {
        expect_entries(&i, book, 1, INT64_MAX, JOURNAL_ENTRIES_MAX, newest_first != 0, last);
        expect_entries(&i, book, 1, INT64_MAX, 10, newest_first != 0, last);
        expect_entries(&i, book, 1100, 1300, 1000, newest_first != 0, last);
        expect_entries(&i, book, 1100, 1300, 40, newest_first != 0, last);
        expect_entries(&i, book, 1, 1000, 7, newest_first != 0, last);
        expect_entries(&i, book, 1500, 1600, 7, newest_first != 0, last);
        expect_entries(&i, book, 2, 3, 7, newest_first != 0, last);
    }
    free(answer);
    bench_stop(&i);
}

// This instance's tail begins at a checkpoint; meanwhile another instance has made a later one.
static void test_entries__checkpoint_made_elsewhere__read_again(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance here = bench_start(NULL, no_checkpoints);
    bench_instance there = bench_start(NULL, checkpoint_each_commit);
    bench_make_accounts(&here, book, 4, 0);
    int64_t last = 0;
    for (uint64_t round = 0; round < 6; round++) {
        bench_instance *writer = round % 2 == 0 ? &here : &there;
        for (uint64_t k = 0; k < 9; k++, last++) {
            EXPECT_STATUS(bench_commit_one(writer, book,
                                           bench_event(book, 1000 + (uint64_t)last,
                                                       k % 3 == 0 ? 1 : 2, 3 + k % 2, 1)),
                          CREATED);
        }
        for (int newest_first = 0; newest_first < 2; newest_first++) {
            expect_entries(&here, book, 1, INT64_MAX, 5, newest_first != 0, last);
            expect_entries(&here, book, 1, INT64_MAX, 1000, newest_first != 0, last);
            expect_entries(&there, book, 1, INT64_MAX, 1000, newest_first != 0, last);
        }
    }
    bench_check_book(book);
    bench_stop(&here);
    bench_stop(&there);
}

static void test_entries__no_such_account_or_book__said_so(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    arena *a = arena_create(1 << 20);
    err e = {0};
    bench_make_accounts(&i, book, 1, 0);
    entries_read r = {
        .j = i.j, .book = book, .q = {bench_uuid(book, 99), 1, INT64_MAX, true, 10, true}};
    MUST(db_read(i.pool, fixture_deadline(5000), a, read_entries, &r, &e));
    assert_true(r.out.exists);
    assert_int_equal(r.out.n, 0);
    r.book = INT64_C(987654321);
    MUST(db_read(i.pool, fixture_deadline(5000), a, read_entries, &r, &e));
    assert_false(r.out.exists);
    arena_destroy(a);
    bench_stop(&i);
}

static int setup(void **state) {
    (void)state;
    bench_database();
    return 0;
}

// More postings than one read takes: one per row, and one for two rows.
static void test_entries__from_very_many_postings(void **state) {
    (void)state;
    enum { ROWS = 120 };
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, checkpoint_each_commit);
    bench_make_accounts(&i, book, 4, 0);
    for (uint64_t k = 0; k < ROWS; k++) {
        EXPECT_STATUS(bench_commit_one(
                          &i, book, bench_event(book, 1000 + k, k % 3 == 0 ? 1 : 2, 3 + k % 2, 1)),
                      CREATED);
    }
    assert_true(in_book("SELECT count(*) FROM posting WHERE book_id = ", book) > ROWS);
    for (int newest_first = 0; newest_first < 2; newest_first++) {
        for (int64_t from = 1; from <= ROWS; from += 29) {
            for (int64_t to = from; to <= ROWS; to += 23) {
                expect_entries(&i, book, from, to, 1000, newest_first != 0, ROWS);
                expect_entries(&i, book, from, to, 17, newest_first != 0, ROWS);
                expect_entries(&i, book, from, to, 1, newest_first != 0, ROWS);
            }
        }
        expect_entries(&i, book, 1, INT64_MAX, 1000, newest_first != 0, ROWS);
    }
    bench_stop(&i);
}

int main(int argc, char **argv) {
    if (argc == 3) {
        return commit_and_checkpoint(argv[1], argv[2]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restart__folds_in_the_tail),
        cmocka_unit_test(test_two_instances__alternate_without_reading_accounts),
        cmocka_unit_test(test_crash_in_a_checkpoint__leaves_nothing),
        cmocka_unit_test(test_evicted_accounts__come_back_as_they_are),
        cmocka_unit_test(test_used_ids__in_and_across_batches),
        cmocka_unit_test(test_burned_ids__known_to_all_instances),
        cmocka_unit_test(test_used_ids__by_two_instances_at_once),
        cmocka_unit_test(test_ended_elsewhere__and_named_twice),
        cmocka_unit_test(test_entries__from_postings_and_tail),
        cmocka_unit_test(test_entries__from_very_many_postings),
        cmocka_unit_test(test_entries__checkpoint_made_elsewhere__read_again),
        cmocka_unit_test(test_entries__no_such_account_or_book__said_so),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
