// Takes over a database of the first version with files in every state: open files end well, closed files stay closed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "submissions/machine.h"
#include "testing/fixture.h"

static void migrate_from(const char *dir) {
    err e = {0};
    if (!db_migrate(fixture_conninfo(), dir, &e)) {
        fail_msg("%s %s", e.message, e.detail);
    }
}

// A folder with the migrations of the first version.
static void migrate_first_version(const char *all) {
    static const char *const NAMES[] = {"0001_payouts.sql", "0002_batch_leases.sql"};
    char dir[] = "/tmp/disburse-first.XXXXXX", from[512], to[512];
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < 2; i++) {
        snprintf(from, sizeof from, "%s/%s", all, NAMES[i]);
        snprintf(to, sizeof to, "%s/%s", dir, NAMES[i]);
        assert_int_equal(symlink(from, to), 0);
    }
    migrate_from(dir);
    for (size_t i = 0; i < 2; i++) {
        snprintf(to, sizeof to, "%s/%s", dir, NAMES[i]);
        assert_int_equal(unlink(to), 0);
    }
    assert_int_equal(rmdir(dir), 0);
}

enum { FILES = 10 };

// The first version's knowledge of file n. Its one payout has the id n in book 1.
static const struct {
    const char *what;
    int step, phase, state; // of the saga
    int intent,
        outcome; // rows of the log beyond and within log_seq: 1 EXECUTE begun, outcome of EXECUTE
    int event;   // rail_event.kind
    int want;    // submission_state
    int log_step, log_seq; // the log row's own, where they differ
} CASES[FILES] = {
    {"waits for its first upload", 2, 0, 4, 0, 3, 0, SUBMISSION_PREPARED, 0, 0},
    {"was being uploaded by a worker that has a lease", 2, 0, 4, 1, 0, 0, SUBMISSION_SENDING, 0, 0},
    {"was taken away from its worker", 2, 1, 4, 0, 0, 0, SUBMISSION_SENDING, 0, 0},
    {"is being asked for", 3, 0, 4, 0, 8, 0, SUBMISSION_SENDING, 0, 0},
    {"waits for the bank", 4, 0, 5, 0, 5, 0, SUBMISSION_SENT, 0, 0},
    {"is settled", 8, 0, 6, 0, 5, 3, SUBMISSION_SENT, 0, 0},
    {"came back", 8, 0, 8, 0, 5, 4, SUBMISSION_SENT, 0, 0},
    {"was asked for, and is to be sent again", 2, 0, 4, 0, 3, 0, SUBMISSION_SENDING, 3, 4},
    {"was begun before, and is to be sent again", 2, 0, 4, 1, 0, 0, SUBMISSION_SENDING, 2, 3},
    {"was rejected", 8, 0, 7, 0, 8, 2, SUBMISSION_REJECTED, 0, 0},
};

static void insert_case(int n) {
    char sql[4096];
    snprintf(
        sql, sizeof sql,
        "INSERT INTO payout VALUES (1, ('00000000-0000-7000-8000-00000000000%d')::uuid, 'm',"
        " '00000000-0000-7000-8000-0000000000ff', 100, 'USD', 1, '', '', now());"
        "INSERT INTO saga (book_id, payout_id, rail, step, phase, state, attempt, tries, log_seq,"
        " events, events_seen, due_at, epoch, reason, reason_text, rail_reference, updated_at)"
        " VALUES (1, ('00000000-0000-7000-8000-00000000000%d')::uuid, 1, %d, %d, %d, 1, 0, 4, 0, 0,"
        " now(), 1, '', '', '', now());"
        "INSERT INTO ach_file VALUES (1, ('00000000-0000-7000-9000-00000000000%d')::uuid,"
        " '1000000001-20261121-%c.ach', '2026-11-21', '%c', 1, 100, decode(repeat('ab', 32), "
        "'hex'),"
        " decode('01026b31' || repeat('00', 100), 'hex'), '2026-11-21T12:00:00Z');"
        "INSERT INTO ach_entry VALUES (1, %d, ('00000000-0000-7000-8000-00000000000%d')::uuid, 1,"
        " 100, ('00000000-0000-7000-9000-00000000000%d')::uuid);",
        n, n, CASES[n].step, CASES[n].phase, CASES[n].state, n, 'A' + n, 'A' + n, 10 + n, n, n);
    fixture_sql(sql, NULL, 0);
    if (CASES[n].intent != 0 || CASES[n].outcome != 0) {
        snprintf(
            sql, sizeof sql,
            "INSERT INTO step_log (book_id, payout_id, seq, step, kind, outcome, attempt,"
            " reason, detail, rail_reference, owner, epoch, at)"
            " VALUES (1, ('00000000-0000-7000-8000-00000000000%d')::uuid, %d, %d, %d, %d, 1, '',"
            " '', '', '00000000-0000-7000-8000-0000000000ee', 1, now())",
            n,
            CASES[n].log_seq != 0  ? CASES[n].log_seq
            : CASES[n].intent != 0 ? 5
                                   : 4,
            CASES[n].log_step != 0 ? CASES[n].log_step : 2, CASES[n].intent != 0 ? 1 : 2,
            CASES[n].outcome);
        fixture_sql(sql, NULL, 0);
    }
    if (CASES[n].event != 0) {
        snprintf(
            sql, sizeof sql,
            "INSERT INTO rail_event VALUES (1, ('00000000-0000-7000-8000-00000000000%d')::uuid,"
            " 'e', 1, %d, '%s', '', '', now())",
            n, CASES[n].event, CASES[n].event == 2 ? "FILE_REJECTED" : "");
        fixture_sql(sql, NULL, 0);
    }
}

static void test_upgrade__files_of_the_first_version__each_to_its_state(void **state) {
    (void)state;
    const char *all = getenv("PAYMENTS_MIGRATIONS");
    assert_non_null(all);
    fixture_sql("CREATE ROLE payments_service", NULL, 0);
    migrate_first_version(all);
    for (int n = 0; n < FILES; n++) {
        insert_case(n);
    }
    // Another book has used the same trace numbers, and more.
    fixture_sql(
        "INSERT INTO ach_counter VALUES (1, 20, '2026-11-21', 8), (2, 700, '2026-11-21', 0)", NULL,
        0);
    migrate_from(all);
    for (int n = 0; n < FILES; n++) {
        char sql[512];
        snprintf(sql, sizeof sql,
                 "SELECT state FROM submission WHERE book_id = 1 AND submission_id ="
                 " '00000000-0000-7000-9000-00000000000%d'",
                 n);
        if (fixture_sql_i64(sql) != CASES[n].want) {
            fail_msg("the file that %s is %s", CASES[n].what,
                     submission_state_name((int)fixture_sql_i64(sql)));
        }
    }
    // Only open submissions are due. Where the outcome is unknown, an upload was begun.
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM submission WHERE (state IN (1, 2)) <>"
                                     " (due_at IS NOT NULL)"),
                     0);
    assert_int_equal(fixture_sql_i64("SELECT count(DISTINCT submission_id) FROM submission_upload"
                                     " WHERE kind = 9"),
                     FILES - 1);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM submission_item"), FILES);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM submission WHERE size = 72"), FILES);
    // Numbers and file ids of the first version are not given again.
    assert_int_equal(fixture_sql_i64("SELECT next_number FROM submission_number"), 700);
    assert_int_equal(fixture_sql_i64("SELECT next_modifier FROM submission_day"), FILES);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM submission_directory WHERE home_book = 1"
                                     " AND number_first = number_last AND cycle = 0"),
                     FILES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upgrade__files_of_the_first_version__each_to_its_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
