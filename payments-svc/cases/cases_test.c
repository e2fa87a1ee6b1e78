// Cases against a real PostgreSQL: one open case for each subject, and a history that grows within bounds.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "cases/cases.h"
#include "testing/fixture.h"

enum { BOOK = 7 };

static db_pool *pool;
static arena *memory;

static int setup(void **state) {
    (void)state;
    static char conninfo[256];
    log_init("cases-test", LOG_ERROR);
    fixture_sql("CREATE ROLE payments_service LOGIN", NULL, 0);
    err e;
    if (!db_migrate(fixture_conninfo(), CASES_TEST_MIGRATIONS, &e)) {
        fprintf(stderr, "%s: %s %s\n", e.reason, e.message, e.detail);
        return -1;
    }
    // With the service's rights, so that a grant that is missing shows.
    (void)snprintf(conninfo, sizeof conninfo, "host=%s user=payments_service dbname=postgres",
                   fixture_server_dir());
    pool = fixture_pool(conninfo, 2, 5000);
    memory = arena_create((size_t)32 << 20);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    db_pool_destroy(pool);
    arena_destroy(memory);
    return 0;
}

static int fresh(void **state) {
    (void)state;
    arena_reset(memory);
    fixture_sql("TRUNCATE payment_case, case_note", NULL, 0);
    return 0;
}

typedef struct opening {
    const case_new *cases;
    size_t n;
    int64_t now_us;
} opening;

static bool open_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    const opening *o = arg;
    return cases_open(c, BOOK, o->cases, o->n, o->now_us, a, e);
}

static void open_at(const case_new *cases, size_t n, int64_t now_us) {
    opening o = {cases, n, now_us};
    err e;
    if (!db_transact(pool, fixture_deadline(5000), memory, open_in_tx, &o, &e)) {
        fail_msg("%s: %s / %s", e.reason, e.message, e.detail);
    }
}

static case_new held(const char *payout, const char *code, const char *text) {
    return (case_new){.kind = "PAYOUT_HELD",
                      .subject_type = "payout",
                      .subject_id = str_of(payout),
                      .merchant_id = STR("shop"),
                      .code = str_of(code),
                      .text = str_of(text),
                      .amount = 1250,
                      .currency = "USD"};
}

static void test_SEEN__a_second_case_of_a_subject_is_a_note_of_the_first(void **state) {
    (void)state;
    const case_new first = held("p1", "CONTRADICTION", "first"),
                   second = held("p1", "CONTRADICTION", "second");
    open_at(&first, 1, 1000000);
    open_at(&second, 1, 2000000);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case"), 1);
    assert_int_equal(fixture_sql_i64("SELECT seen FROM payment_case WHERE text = 'second' AND "
                                     "amount = 1250 AND currency = 'USD' AND state = 1 AND "
                                     "opened_at < seen_at AND due_at > opened_at"),
                     2);
    char notes[200];
    fixture_sql("SELECT string_agg(kind || ' ' || text, '; ' ORDER BY note_id) FROM case_note",
                notes, sizeof notes);
    assert_string_equal(notes, "1 CONTRADICTION: first; 2 CONTRADICTION: second");
}

static void test_SEEN__one_list_may_name_a_subject_twice(void **state) {
    (void)state;
    const case_new cases[] = {held("p1", "A", "one"), held("p2", "B", "two"),
                              held("p1", "C", "three")};
    open_at(cases, 3, 1000000);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case"), 2);
    assert_int_equal(
        fixture_sql_i64("SELECT seen FROM payment_case WHERE subject_id = 'p1' AND code = 'C'"), 2);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM case_note WHERE kind = 1"), 2);
}

static void test_SEEN__a_resolved_case_does_not_hide_a_new_one(void **state) {
    (void)state;
    const case_new one = held("p1", "A", "one");
    open_at(&one, 1, 1000000);
    fixture_sql("UPDATE payment_case SET state = 2, resolution = 'DONE'", NULL, 0);
    open_at(&one, 1, 2000000);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE seen = 1"), 2);
}

static void test_open__the_same_for_ever_does_not_grow_for_ever(void **state) {
    (void)state;
    const case_new one = held("p1", "A", "one");
    for (int i = 0; i < 60; i++) {
        open_at(&one, 1, 1000000 + i);
    }
    assert_int_equal(fixture_sql_i64("SELECT seen FROM payment_case"), 60);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM case_note"), 50);
}

// What a bank writes must not fail the transaction that holds the payout.
static void test_open__takes_any_bytes_as_text(void **state) {
    (void)state;
    char longer[1500];
    memset(longer, 'x', sizeof longer);
    memcpy(longer + 998, "\xC3\xA4\xC3\xA4", 4); // a character that ends after the limit's middle
    case_new cases[] = {held("p1", "A", ""), held("p2", "A", "")};
    cases[0].text = (str){"Kont\xE4 \0 leer", 12};
    cases[1].text = (str){longer, sizeof longer};
    open_at(cases, 2, 1000000);
    char text[64];
    fixture_sql("SELECT text FROM payment_case WHERE subject_id = 'p1'", text, sizeof text);
    assert_string_equal(text, "Kont? ? leer");
    assert_int_equal(
        fixture_sql_i64("SELECT octet_length(text) FROM payment_case WHERE subject_id = 'p2'"),
        1000);
    cases[1].text.ptr = longer + 1;
    cases[1].text.len = sizeof longer - 1;
    open_at(&cases[1], 1, 1000000);
    assert_int_equal(
        fixture_sql_i64("SELECT octet_length(text) FROM payment_case WHERE subject_id = 'p2'"),
        999);
}

static void test_open__nothing_costs_nothing(void **state) {
    (void)state;
    err e;
    assert_true(cases_open(NULL, BOOK, NULL, 0, 0, memory, &e));
}

static void test_open__a_kind_of_another_version_is_taken(void **state) {
    (void)state;
    case_new one = held("p1", "A", "one");
    one.kind = "KIND_TO_COME";
    open_at(&one, 1, 1000000);
    assert_int_equal(
        fixture_sql_i64("SELECT count(*) FROM payment_case WHERE kind = 'KIND_TO_COME'"), 1);
}

static void test_APPEND_ONLY__the_service_cannot_change_history(void **state) {
    (void)state;
    assert_int_equal(
        fixture_sql_i64("SELECT count(*) FROM (VALUES ('UPDATE'), ('DELETE'), ('TRUNCATE')) AS v(p)"
                        " WHERE has_table_privilege('payments_service', 'case_note', p)"),
        0);
    assert_int_equal(
        fixture_sql_i64("SELECT count(*) FROM (VALUES ('DELETE'), ('TRUNCATE')) AS v(p)"
                        " WHERE has_table_privilege('payments_service', 'payment_case', p)"),
        0);
}

static void test_kinds__each_can_be_resolved_and_is_explained(void **state) {
    (void)state;
    for (size_t i = 0; case_kind_at(i) != NULL; i++) {
        const case_kind *k = case_kind_at(i);
        assert_true(k->allowed != 0 && k->due_us > 0);
        assert_true(strlen(k->meaning) > 20 && strlen(k->next_step) > 20);
        assert_true(case_kind_of(str_of(k->name)) == k);
    }
    assert_true(case_kind_of(STR("KIND_TO_COME"))->allowed != 0);
    assert_null(case_order_of(STR("KEEP_IT")));
    assert_int_equal(case_order_of(STR("WRITE_OFF"))->event_kind, 24);
    assert_true(case_order_at(CASE_MARK_PAID)->moves_money);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_SEEN__a_second_case_of_a_subject_is_a_note_of_the_first, fresh),
        cmocka_unit_test_setup(test_SEEN__one_list_may_name_a_subject_twice, fresh),
        cmocka_unit_test_setup(test_SEEN__a_resolved_case_does_not_hide_a_new_one, fresh),
        cmocka_unit_test_setup(test_open__the_same_for_ever_does_not_grow_for_ever, fresh),
        cmocka_unit_test_setup(test_open__takes_any_bytes_as_text, fresh),
        cmocka_unit_test_setup(test_open__nothing_costs_nothing, fresh),
        cmocka_unit_test_setup(test_open__a_kind_of_another_version_is_taken, fresh),
        cmocka_unit_test(test_APPEND_ONLY__the_service_cannot_change_history),
        cmocka_unit_test(test_kinds__each_can_be_resolved_and_is_explained),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
