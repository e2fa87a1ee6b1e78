// Migrations against a real database.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "db_internal.h"
#include "testing/fixture.h"

static char dir[64];

static void write_file(const char *name, const char *text) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

static void remove_file(const char *name) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    (void)unlink(path);
}

static int setup(void **state) {
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/disburse-migrate.XXXXXX");
    assert_non_null(mkdtemp(dir));
    fixture_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public", NULL, 0);
    write_file("0001_first.sql", "CREATE TABLE one (id int8);\nCREATE TABLE two (id int8);\n");
    write_file("0002_second.sql", "INSERT INTO one VALUES (1);\n");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    const char *const names[] = {"0001_first.sql", "0002_second.sql", "0002_other.sql",
                                 "0003_third.sql", "0003_x.sql",      "3_bad.sql",
                                 "README.md"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        remove_file(names[i]);
    }
    return rmdir(dir);
}

static void must_migrate(void) {
    err e = {0};
    if (!db_migrate(fixture_conninfo(), dir, &e)) {
        fail_msg("%s / %s", e.message, e.detail);
    }
}

static void must_refuse(const char *message_part) {
    err e = {0};
    assert_false(db_migrate(fixture_conninfo(), dir, &e));
    assert_int_equal(e.code, ERR_FAILED_PRECONDITION);
    if (strstr(e.message, message_part) == NULL) {
        fail_msg("expected \"%s\" in: %s", message_part, e.message);
    }
}

static void test_migrate__twice__second_does_nothing(void **state) {
    (void)state;
    write_file("README.md", "not a migration");
    must_migrate();
    must_migrate();
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM one"), 1);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM schema_migration"), 2);
    write_file("0003_third.sql", "INSERT INTO one VALUES (2)");
    must_migrate();
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM one"), 2);
}

static void test_migrate__applied_file_changed__refused(void **state) {
    (void)state;
    must_migrate();
    write_file("0002_second.sql", "INSERT INTO one VALUES (2);\n");
    write_file("0003_third.sql", "INSERT INTO one VALUES (3)");
    must_refuse("was changed");
    assert_int_equal(fixture_sql_i64("SELECT sum(id)::int8 FROM one"), 1);
}

static void test_migrate__applied_file_missing__refused(void **state) {
    (void)state;
    must_migrate();
    remove_file("0001_first.sql");
    must_refuse("file is missing");
    write_file("0001_first.sql", "CREATE TABLE one (id int8);\nCREATE TABLE two (id int8);\n");
    remove_file("0002_second.sql");
    must_refuse("file is missing");
}

static void test_migrate__late_number__refused(void **state) {
    (void)state;
    write_file("0003_third.sql", "SELECT 1");
    remove_file("0002_second.sql");
    must_migrate();
    write_file("0002_second.sql", "INSERT INTO one VALUES (1);\n");
    must_refuse("comes before");
}

static void test_migrate__bad_names__refused(void **state) {
    (void)state;
    write_file("3_bad.sql", "SELECT 1");
    must_refuse("is not named");
    remove_file("3_bad.sql");
    write_file("0002_other.sql", "SELECT 1");
    must_refuse("has the number of another");
}

static void test_migrate__the_schema_for_people__is_no_migration(void **state) {
    (void)state;
    write_file("schema.sql", "this is not run");
    must_migrate();
    remove_file("schema.sql");
}

static void test_migrate__statement_fails__nothing_of_the_file_is_kept(void **state) {
    (void)state;
    err e = {0};
    write_file("0003_third.sql", "INSERT INTO one VALUES (3);\n\nSELECT nowhere FROM one;\n");
    assert_false(db_migrate(fixture_conninfo(), dir, &e));
    assert_string_equal(e.reason, "MIGRATION_FAILED");
    assert_non_null(strstr(e.detail, "0003_third.sql line 3"));
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM one"), 1);
    assert_int_equal(fixture_sql_i64("SELECT max(version) FROM schema_migration"), 2);
}

static void test_migrate__file_commits_itself__refused(void **state) {
    (void)state;
    write_file("0003_third.sql", "COMMIT;");
    must_refuse("ends the transaction");
}

static void *migrate_in_thread(void *arg) {
    err e = {0};
    *(bool *)arg = db_migrate(fixture_conninfo(), dir, &e);
    return NULL;
}

static void test_migrate__four_at_once__applied_once(void **state) {
    (void)state;
    pthread_t threads[4];
    bool ok[4] = {false};
    write_file("0003_third.sql", "SELECT pg_sleep(0.2); INSERT INTO one VALUES (3)");
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, migrate_in_thread, &ok[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], NULL);
        assert_true(ok[i]);
    }
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM one"), 2);
}

// Before the first version there is no row to lock: the others wait for its own row.
static void test_migrate__four_at_once_into_nothing__applied_once(void **state) {
    (void)state;
    pthread_t threads[4];
    bool ok[4] = {false};
    write_file("0001_first.sql", "CREATE TABLE one (id int8); SELECT pg_sleep(0.2);");
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, migrate_in_thread, &ok[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], NULL);
        assert_true(ok[i]);
    }
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM one"), 1);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM schema_migration"), 2);
}

static void run(db_conn *c, arena *a, const char *name, const char *sql) {
    const db_stmt statement = {name, sql};
    err e = {0};
    if (!db_exec(c, &statement, NULL, a, NULL, NULL, &e)) {
        fail_msg("%s / %s", e.message, e.detail);
    }
}

typedef struct attempt {
    bool ok;
    err e;
} attempt;

static void *attempt_in_thread(void *arg) {
    attempt *t = arg;
    t->ok = db_migrate(fixture_conninfo(), dir, &t->e);
    return NULL;
}

static void wait_for_waiting_migrator(void) {
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    for (int k = 0; k < 1000; k++) {
        if (fixture_sql_i64("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                            "AND application_name = 'disburse-migrate'") == 1) {
            return;
        }
        (void)nanosleep(&pause, NULL);
    }
    fail_msg("the migrator does not wait");
}

// The other program knows a version 4, and no version 3: the second one must see this before it does anything.
static void test_migrate__overtaken_by_a_program_with_other_files__refused(void **state) {
    (void)state;
    pthread_t thread;
    attempt late = {.ok = true};
    err e = {0};
    must_migrate();
    write_file("0003_third.sql", "INSERT INTO one VALUES (3)");
    arena *a = arena_create(1 << 20);
    db_pool *pool = fixture_pool(fixture_conninfo(), 1, 20000);
    db_conn *c = db_pool_checkout(pool, fixture_deadline(20000), &e);
    assert_non_null(c);
    assert_true(db_begin(c, fixture_deadline(20000), &e));
    run(c, a, "other_lock", "SELECT version FROM schema_migration WHERE version = 2 FOR UPDATE");
    run(c, a, "other_version",
        "INSERT INTO schema_migration (version, name, sha256) "
        "VALUES (4, '0004_other.sql', sha256(''))");
    assert_int_equal(pthread_create(&thread, NULL, attempt_in_thread, &late), 0);
    wait_for_waiting_migrator();
    assert_true(db_commit(c, &e));
    (void)pthread_join(thread, NULL);
    assert_false(late.ok);
    assert_string_equal(late.e.reason, "BAD_MIGRATIONS");
    assert_non_null(strstr(late.e.message, "comes before one that is applied already"));
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM one"), 1);
    db_pool_checkin(pool, c);
    db_pool_destroy(pool);
    arena_destroy(a);
}

static void test_migrate__no_database__unavailable(void **state) {
    (void)state;
    err e = {0};
    assert_false(db_migrate("host=/nonexistent", dir, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    log_init("db-test", LOG_ERROR);
    const struct CMUnitTest tests[] = {
        T(test_migrate__twice__second_does_nothing),
        T(test_migrate__applied_file_changed__refused),
        T(test_migrate__applied_file_missing__refused),
        T(test_migrate__late_number__refused),
        T(test_migrate__bad_names__refused),
        T(test_migrate__the_schema_for_people__is_no_migration),
        T(test_migrate__statement_fails__nothing_of_the_file_is_kept),
        T(test_migrate__file_commits_itself__refused),
        T(test_migrate__four_at_once__applied_once),
        T(test_migrate__four_at_once_into_nothing__applied_once),
        T(test_migrate__overtaken_by_a_program_with_other_files__refused),
        T(test_migrate__no_database__unavailable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
