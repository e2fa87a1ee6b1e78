// The promises of the books: no item is credited or returned twice, a failed job leaves no trace, and committed data is there after a
// restart.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
// cmocka wants the four above first.
#include <cmocka.h>

#include <sqlite3.h>

#include "books/books.h"

static char folder[64], path[128];
static books *b;

static int open_books(void **state) {
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/books-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/bank.db", folder);
    err e = {0};
    b = books_open(path, &e);
    assert_non_null(b);
    return 0;
}

static int close_books(void **state) {
    static const char *const PARTS[] = {"", "-wal", "-shm"};
    (void)state;
    books_close(b);
    for (int i = 0; i < 3; i++) {
        char name[160];
        (void)snprintf(name, sizeof(name), "%s%s", path, PARTS[i]);
        (void)unlink(name);
    }
    return rmdir(folder);
}

static books_payment payment(const char *key, const char *reference, int64_t amount) {
    books_payment p = {.amount = amount,
                       .created_us = 1,
                       .status = BOOKS_SETTLED,
                       .answered = BOOKS_ACCEPTED,
                       .currency = "USD"};
    (void)snprintf(p.key, sizeof(p.key), "%s", key);
    (void)snprintf(p.payment_id, sizeof(p.payment_id), "pay_%.30s", key);
    (void)snprintf(p.reference, sizeof(p.reference), "%s", reference);
    return p;
}

// Inserts a payment and moves its money, both or none.
static bool pay_job(books_tx *tx, void *arg, err *e) {
    books_payment *p = arg;
    if (!books_payment_insert(tx, p, e)) {
        return false;
    }
    books_move m = {.rail = BOOKS_RAIL_INSTANT,
                    .kind = BOOKS_CREDIT,
                    .item = p->id,
                    .part = 1,
                    .amount = p->amount,
                    .at_us = 1,
                    .currency = "USD"};
    return books_movement(tx, &m, e);
}

typedef struct moving {
    books_move move;
} moving;

static bool move_job(books_tx *tx, void *arg, err *e) {
    return books_movement(tx, &((moving *)arg)->move, e);
}

static char *report(bool (*make)(books_tx *, void *, err *), strbuf *out) {
    err e = {0};
    strbuf_init(out, 1 << 20);
    assert_true(books_read(b, BOOKS_LANE_REPORT, make, out, &e));
    return out->ptr;
}

static bool money_job(books_tx *tx, void *arg, err *e) {
    return books_report(tx, arg, e);
}

static bool duplicates_job(books_tx *tx, void *arg, err *e) {
    return books_report_duplicates(tx, false, arg, e);
}

static void assert_report(bool (*make)(books_tx *, void *, err *), const char *part) {
    strbuf out;
    if (strstr(report(make, &out), part) == NULL) {
        fail_msg("%s is not in %s", part, out.ptr);
    }
    strbuf_deinit(&out);
}

static void test_books_payment__same_key_twice__second_is_refused_whole(void **state) {
    (void)state;
    err e = {0};
    books_payment p = payment("k1", "r1", 100), again = payment("k1", "r1", 100);
    assert_true(books_write(b, pay_job, &p, &e));
    (void)snprintf(again.payment_id, sizeof(again.payment_id), "pay_other");
    assert_false(books_write(b, pay_job, &again, &e));
    assert_int_equal(e.code, ERR_ALREADY_EXISTS);
    assert_report(money_job, "\"credited_count\":1,\"credited_sum\":100,\"returned_count\":0");
}

static void test_books_movement__second_credit_or_orphan_return__is_refused(void **state) {
    (void)state;
    err e = {0};
    books_payment p = payment("k1", "r1", 100);
    assert_true(books_write(b, pay_job, &p, &e));
    moving m = {{.rail = BOOKS_RAIL_INSTANT,
                 .kind = BOOKS_CREDIT,
                 .item = p.id,
                 .part = 1,
                 .amount = 100,
                 .at_us = 2,
                 .currency = "USD"}};
    assert_false(books_write(b, move_job, &m, &e));
    m.move.kind = BOOKS_RETURN;
    m.move.amount = 101;
    assert_false(books_write(b, move_job, &m, &e)); // more than the credit
    m.move.amount = 100;
    assert_true(books_write(b, move_job, &m, &e));
    assert_false(books_write(b, move_job, &m, &e));
    m.move.item = p.id + 1;
    assert_false(books_write(b, move_job, &m, &e)); // never credited
    assert_report(money_job, "\"credited_count\":1,\"credited_sum\":100,\"returned_count\":1,"
                             "\"returned_sum\":100,\"net_sum\":0");
}

static void test_books_movement__return_in_parts__never_more_than_the_credit(void **state) {
    (void)state;
    err e = {0};
    books_payment p = payment("k1", "r1", 100);
    assert_true(books_write(b, pay_job, &p, &e));
    moving m = {{.rail = BOOKS_RAIL_INSTANT,
                 .kind = BOOKS_RETURN,
                 .item = p.id,
                 .part = 1,
                 .amount = 40,
                 .at_us = 2,
                 .currency = "USD"}};
    assert_true(books_write(b, move_job, &m, &e));
    assert_false(books_write(b, move_job, &m, &e)); // the same part
    m.move.part = 2;
    m.move.amount = 61;
    assert_false(books_write(b, move_job, &m, &e));
    m.move.amount = 60;
    assert_true(books_write(b, move_job, &m, &e));
    m.move.kind = BOOKS_CREDIT;
    assert_false(books_write(b, move_job, &m, &e)); // a credit has one part
    assert_report(money_job, "\"credited_sum\":100,\"returned_count\":2,\"returned_sum\":100");
}

static bool pay_then_fail_job(books_tx *tx, void *arg, err *e) {
    return pay_job(tx, arg, e) && err_set(e, ERR_ABORTED, "TEST", "on purpose");
}

static void test_books_write__job_fails_at_its_end__nothing_of_it_stays(void **state) {
    (void)state;
    err e = {0};
    books_payment p = payment("k1", "r1", 100), q = payment("k2", "r2", 200);
    assert_false(books_write(b, pay_then_fail_job, &p, &e));
    assert_string_equal(e.reason, "TEST");
    err_clear(&e);
    assert_true(books_write(b, pay_job, &q, &e));
    assert_report(money_job, "\"credited_count\":1,\"credited_sum\":200");
    assert_report(money_job, "\"instant_payments\":1,");
}

enum { THREADS = 8, EACH = 25 };
static void *pay_many(void *arg) {
    long thread = (long)(intptr_t)arg;
    for (int i = 0; i < EACH; i++) {
        char key[32];
        err e = {0};
        // All threads try each key: one of them wins.
        (void)snprintf(key, sizeof(key), "key-%d", i);
        books_payment p = payment(key, key, 10);
        (void)snprintf(p.payment_id, sizeof(p.payment_id), "pay_%ld_%d", thread, i);
        bool won = books_write(b, pay_job, &p, &e);
        if (!won && e.code != ERR_ALREADY_EXISTS) {
            return (void *)1;
        }
    }
    return NULL;
}

static void test_books_write__many_threads_one_key_each__one_wins(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, pay_many, (void *)(intptr_t)i), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_report(money_job, "\"credited_count\":25,\"credited_sum\":250");
    assert_report(duplicates_job, "[]");
}

static void test_books_report_duplicates__two_keys_one_reference__named(void **state) {
    (void)state;
    err e = {0};
    books_payment p = payment("k1", "0/abc", 100), q = payment("k2", "0/abc", 100);
    assert_true(books_write(b, pay_job, &p, &e));
    assert_report(duplicates_job, "[]");
    assert_true(books_write(b, pay_job, &q, &e));
    assert_report(duplicates_job,
                  "\"payout\":\"0/abc\",\"origin\":\"\",\"times_credited\":2,\"times_returned\":0");
    moving m = {{.rail = BOOKS_RAIL_INSTANT,
                 .kind = BOOKS_RETURN,
                 .item = p.id,
                 .part = 1,
                 .amount = 100,
                 .at_us = 2,
                 .currency = "USD"}};
    assert_true(books_write(b, move_job, &m, &e));
    assert_report(duplicates_job, "[]"); // net of its return it was paid once
}

typedef struct file_job {
    books_file file;
    int64_t trace;
    char earlier[BOOKS_NAME_MAX];
    bool lax; // a bank that takes everything
} file_job;

static bool file_with_entry(books_tx *tx, void *arg, err *e) {
    file_job *f = arg;
    if (!books_file_find_duplicate(tx, &f->file, f->earlier, e)) {
        return false;
    }
    if (f->earlier[0] != '\0') {
        return true;
    }
    books_entry entry = {.scope = books_scope(f->file.origin, f->file.date),
                         .trace = f->trace,
                         .amount = 5,
                         .line = 3,
                         .individual_id = STR("P1")};
    if (!books_file_insert(tx, &f->file, e)) {
        return false;
    }
    entry.file_id = f->file.id;
    return books_entry_insert(tx, &entry, !f->lax, e);
}

static file_job a_file(const char *name, const char *date, const char *modifier, uint8_t hash,
                       int64_t trace) {
    file_job f = {.file = {.name = name,
                           .origin = "1100000001",
                           .date = date,
                           .modifier = modifier,
                           .accepted = true,
                           .reason = "",
                           .entries = 1,
                           .total = 5,
                           .taken_us = 1,
                           .settle_due_us = 10},
                  .trace = trace};
    f.file.sha256[0] = hash;
    return f;
}

static void test_books_file__same_identity_content_or_trace__is_seen(void **state) {
    (void)state;
    err e = {0};
    file_job first = a_file("a", "261121", "A", 1, 7);
    assert_true(books_write(b, file_with_entry, &first, &e));
    assert_string_equal(first.earlier, "");
    file_job identity = a_file("b", "261121", "A", 2, 8),
             content = a_file("c", "261122", "B", 1, 8);
    assert_true(books_write(b, file_with_entry, &identity, &e));
    assert_string_equal(identity.earlier, "a");
    assert_true(books_write(b, file_with_entry, &content, &e));
    assert_string_equal(content.earlier, "a");
    file_job trace = a_file("d", "261121", "C", 3, 7), next_day = a_file("e", "261122", "C", 4, 7);
    assert_false(books_write(b, file_with_entry, &trace, &e));
    assert_int_equal(e.code, ERR_ALREADY_EXISTS);
    err_clear(&e);
    assert_true(books_write(b, file_with_entry, &next_day, &e));
    trace.lax = true;
    assert_true(books_write(b, file_with_entry, &trace, &e));
}

// Books of the first version, with a returned payment and an entry whose return was sent.
static const char OLD[] =
    "DROP TABLE movements; DROP TABLE ach_returns; DROP TABLE instant_payments; DROP TABLE "
    "creditors;"
    "DROP INDEX ach_files_identity; DROP INDEX ach_files_content; DROP INDEX ach_entries_trace;"
    "CREATE TABLE movements(rail INTEGER NOT NULL, item INTEGER NOT NULL, kind INTEGER NOT NULL, "
    "amount INTEGER NOT NULL,"
    " currency TEXT NOT NULL, at_us INTEGER NOT NULL, PRIMARY KEY(rail, item, kind)) WITHOUT ROWID;"
    "CREATE TRIGGER movements_return BEFORE INSERT ON movements WHEN NEW.kind = 3 BEGIN SELECT 1; "
    "END;"
    "CREATE UNIQUE INDEX ach_files_identity ON ach_files(origin, date, modifier) WHERE accepted = "
    "1;"
    "CREATE UNIQUE INDEX ach_files_content ON ach_files(sha256) WHERE accepted = 1;"
    "CREATE UNIQUE INDEX ach_entries_trace ON ach_entries(scope, trace);"
    "CREATE TABLE ach_returns(entry_id INTEGER PRIMARY KEY, file_id INTEGER NOT NULL, origin TEXT "
    "NOT NULL,"
    " code TEXT NOT NULL, after_settlement INTEGER NOT NULL, due_us INTEGER, entry_record TEXT, "
    "batch_record TEXT,"
    " return_file TEXT);"
    "CREATE INDEX ach_returns_due ON ach_returns(due_us) WHERE due_us IS NOT NULL;"
    "CREATE INDEX ach_returns_file ON ach_returns(file_id);"
    "CREATE TABLE instant_payments(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, payment_id "
    "TEXT NOT NULL UNIQUE,"
    " reference TEXT NOT NULL, request_sha256 BLOB NOT NULL, amount INTEGER NOT NULL, currency "
    "TEXT NOT NULL,"
    " status INTEGER NOT NULL, answered INTEGER NOT NULL, code TEXT NOT NULL, text TEXT NOT NULL,"
    " retriable INTEGER NOT NULL, created_us INTEGER NOT NULL, webhooks INTEGER NOT NULL,"
    " webhook_delay_us INTEGER NOT NULL, settle_due_us INTEGER, return_due_us INTEGER);"
    "INSERT INTO movements "
    "VALUES(2,1,1,100,'USD',1),(2,1,2,100,'USD',2),(1,1,1,5,'USD',3),(1,1,2,5,'USD',4);"
    "INSERT INTO "
    "ach_files(id,name,origin,date,modifier,sha256,accepted,reason,entries,total,taken_us)"
    " VALUES(1,'a','1100000001','261121','A',zeroblob(32),1,'',1,5,1);"
    "INSERT INTO ach_entries(id,file_id,scope,trace,individual_id,amount,line,status) "
    "VALUES(1,1,1,7,'P1',5,3,3);"
    "INSERT INTO ach_returns VALUES(1,1,'1100000001','R03',1,NULL,NULL,NULL,'ret-1');"
    "INSERT INTO instant_payments "
    "VALUES(1,'k','p','r',zeroblob(32),100,'USD',4,1,'','',0,1,1,0,NULL,NULL);"
    "PRAGMA user_version=0;";

static void test_books_open__books_of_the_first_version__are_brought_up(void **state) {
    (void)state;
    err e = {0};
    sqlite3 *db = NULL;
    books_close(b);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, OLD, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    for (int times = 0; times < 2; times++) {
        b = books_open(path, &e);
        if (b == NULL) {
            fail_msg("%s: %s", e.message, e.detail);
        }
        assert_report(money_job, "\"rail\":\"ach\",\"currency\":\"USD\",\"credited_count\":1,"
                                 "\"credited_sum\":5,\"returned_count\":1");
        assert_report(money_job, "\"rail\":\"instant\",\"currency\":\"USD\",\"credited_count\":1,"
                                 "\"credited_sum\":100,\"returned_count\":1");
        if (times == 0) {
            books_close(b);
        }
    }
    books_payment p = payment("k2", "r2", 100);
    assert_true(books_write(b, pay_job, &p, &e));
}

static bool add_outputs(books_tx *tx, void *arg, err *e) {
    (void)arg;
    return books_output_add(tx, "one.ack", STR("1"), e) &&
           books_output_add(tx, "two.ack", STR("22"), e);
}

typedef struct output {
    int64_t id;
    char name[BOOKS_NAME_MAX];
    strbuf content;
} output;

static bool next_output(books_tx *tx, void *arg, err *e) {
    output *o = arg;
    return books_output_next(tx, 0, &o->id, o->name, &o->content, e);
}

static bool written_output(books_tx *tx, void *arg, err *e) {
    return books_output_written(tx, ((output *)arg)->id, e);
}

static void test_books_output__after_a_restart__only_what_was_not_written(void **state) {
    (void)state;
    err e = {0};
    output o = {0};
    strbuf_init(&o.content, 100);
    assert_true(books_write(b, add_outputs, NULL, &e));
    assert_false(books_write(b, add_outputs, NULL, &e)); // each name is used only once
    err_clear(&e);
    assert_true(books_read(b, BOOKS_LANE_QUERY, next_output, &o, &e));
    assert_string_equal(o.name, "one.ack");
    assert_true(books_write(b, written_output, &o, &e));
    books_close(b);
    b = books_open(path, &e);
    assert_non_null(b);
    assert_true(books_read(b, BOOKS_LANE_QUERY, next_output, &o, &e));
    assert_string_equal(o.name, "two.ack");
    assert_string_equal(o.content.ptr, "22");
    assert_true(books_write(b, written_output, &o, &e));
    assert_true(books_read(b, BOOKS_LANE_QUERY, next_output, &o, &e));
    assert_int_equal(o.id, 0);
    strbuf_deinit(&o.content);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_books, close_books)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_books_payment__same_key_twice__second_is_refused_whole),
        TEST(test_books_movement__second_credit_or_orphan_return__is_refused),
        TEST(test_books_movement__return_in_parts__never_more_than_the_credit),
        TEST(test_books_open__books_of_the_first_version__are_brought_up),
        TEST(test_books_write__job_fails_at_its_end__nothing_of_it_stays),
        TEST(test_books_write__many_threads_one_key_each__one_wins),
        TEST(test_books_report_duplicates__two_keys_one_reference__named),
        TEST(test_books_file__same_identity_content_or_trace__is_seen),
        TEST(test_books_output__after_a_restart__only_what_was_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
