// Cases against a real PostgreSQL: one open case for each subject, and a history that grows within bounds.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "cases/cases.h"
#include "testing/fixture.h"

enum { BOOK = 7 };

static db_pool *pool;
static arena *memory;
static crypto_keyring *keys;

static void load_keys(void) {
    static const char RING[] =
        "a 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
    char path[] = "/tmp/disburse-keys.XXXXXX";
    const int fd = mkstemp(path);
    err e = {0};
    assert_true(fd >= 0);
    assert_int_equal(write(fd, RING, strlen(RING)), strlen(RING));
    (void)close(fd);
    keys = crypto_keyring_load(path, &e);
    (void)unlink(path);
    assert_non_null(keys);
}

static int setup(void **state) {
    (void)state;
    log_init("cases-test", LOG_ERROR);
    load_keys();
    pool = fixture_payments_pool(CASES_TEST_MIGRATIONS, 2, 5000);
    memory = arena_create((size_t)32 << 20);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    db_pool_destroy(pool);
    crypto_keyring_destroy(keys);
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
    err e = {0};
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

// No text of a bank may fail the transaction that holds the payout.
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
    err e = {0};
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

// --- Reading and changing --------------------------------------------------------------------------------------------------

static bool list_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    case_filter *f = arg;
    case_row *rows = NULL;
    size_t n = 0;
    const bool ok = cases_list(c, f, a, &rows, &n, e);
    f->limit = (int64_t)n; // the answer, for listed
    if (ok && n > 0) {
        f->after = rows[n - 1].case_id;
    }
    return ok;
}

// Returns the number listed; f->after becomes the last one.
static size_t listed(case_filter *f) {
    err e = {0};
    if (!db_read(pool, fixture_deadline(5000), memory, list_in_tx, f, &e)) {
        fail_msg("%s: %s / %s", e.reason, e.message, e.detail);
    }
    return (size_t)f->limit;
}

typedef struct changing {
    case_change change;
    case_changed changed;
} changing;

static bool change_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    changing *x = arg;
    return cases_change(c, &x->change, a, &x->changed, e);
}

static str answer_of(void *arg, const case_row *row, arena *a, err *e) {
    (void)arg, (void)e;
    return str_of(arena_printf(a, "%d %.*s", (int)row->state, (int)row->owner.len, row->owner.ptr));
}

static err changed(case_change change, case_changed *out) {
    char id[UUID_TEXT_LEN + 1];
    fixture_sql("SELECT case_id FROM payment_case ORDER BY case_id LIMIT 1", id, sizeof id);
    changing x = {.change = change};
    x.change.book_id = BOOK;
    x.change.program = STR("spiffe://test");
    x.change.now_us = 5000000;
    x.change.keys = keys;
    x.change.answer = answer_of;
    x.change.content = str_of(arena_printf(
        memory, "%d|%.*s|%.*s|%.*s|%.*s", (int)change.act, (int)change.person.len,
        change.person.ptr, (int)change.text.len, change.text.ptr, (int)change.resolution.len,
        change.resolution.ptr, (int)change.evidence.len, change.evidence.ptr));
    assert_true(uuid_parse(str_of(id), &x.change.case_id));
    err e = {0};
    if (db_transact(pool, fixture_deadline(5000), memory, change_in_tx, &x, &e)) {
        err_clear(&e);
    }
    if (out != NULL) {
        *out = x.changed;
    }
    return e;
}

static void must(err e) {
    assert_string_equal(e.reason, "");
}

static case_change resolve(const char *resolution, const char *evidence, const char *key) {
    return (case_change){.act = CASE_ACT_RESOLVE,
                         .person = STR("ada"),
                         .text = STR("looked"),
                         .resolution = str_of(resolution),
                         .evidence = str_of(evidence),
                         .key = str_of(key)};
}

static void test_list__filters_and_pages(void **state) {
    (void)state;
    case_new cases[5];
    static const char *const NAMES[] = {"p1", "p2", "p3", "p4", "p5"};
    for (size_t i = 0; i < 5; i++) {
        cases[i] = held(NAMES[i], "A", "text");
        cases[i].merchant_id = i % 2 == 0 ? STR("shop") : STR("stall");
    }
    open_at(cases, 5, 1000000);
    fixture_sql("UPDATE payment_case SET state = 2, resolution = 'DONE', resolved_at = now() "
                "WHERE subject_id = 'p1'; UPDATE payment_case SET owner = 'ada' "
                "WHERE subject_id = 'p3'",
                NULL, 0);
    case_filter f = {.open = true, .limit = 3};
    assert_int_equal(listed(&f), 3); // of all books
    f.limit = 3;
    assert_int_equal(listed(&f), 1);
    f = (case_filter){.open = true, .limit = 9, .in_book = true, .book_id = BOOK};
    assert_int_equal(listed(&f), 4);
    f = (case_filter){.open = true, .limit = 9, .in_book = true, .book_id = BOOK + 1};
    assert_int_equal(listed(&f), 0);
    f = (case_filter){.open = true, .resolved = true, .limit = 9, .in_book = true, .book_id = BOOK};
    assert_int_equal(listed(&f), 5);
    f.after = (uuid){{0}};
    f.limit = 9;
    f.merchant_id = STR("shop");
    assert_int_equal(listed(&f), 3);
    f = (case_filter){.open = true, .limit = 9, .owner = STR("ada")};
    assert_int_equal(listed(&f), 1);
    f = (case_filter){.open = true, .limit = 9, .kind = STR("PAYOUT_OVERDUE")};
    assert_int_equal(listed(&f), 0);
    f = (case_filter){.resolved = true, .limit = 9, .in_book = true, .book_id = BOOK};
    f.subject_type = STR("payout");
    f.subject_id = STR("p1");
    assert_int_equal(listed(&f), 1);
    f.after = (uuid){{0}};
    f.limit = 9;
    f.merchant_id = STR("stall");
    assert_int_equal(listed(&f), 0); // every filter counts
}

static void test_EXPLAINED__what_a_person_does_is_history(void **state) {
    (void)state;
    const case_new one = held("p1", "A", "one");
    open_at(&one, 1, 1000000);
    case_changed out;
    must(changed(
        (case_change){
            .act = CASE_ACT_ASSIGN, .person = STR("ada"), .text = STR("grace"), .key = STR("k1")},
        &out));
    assert_true(str_eq_c(out.row.owner, "grace"));
    must(changed((case_change){.act = CASE_ACT_COMMENT,
                               .person = STR("grace"),
                               .text = STR("called the bank"),
                               .key = STR("k2")},
                 &out));
    must(changed(resolve("MARK_PAID", "statement of today", "k3"), &out));
    assert_int_equal(out.order->event_kind, 22);
    char notes[400];
    fixture_sql("SELECT string_agg(concat_ws(' ', kind, program, person, text, resolution, "
                "evidence), '; ' ORDER BY note_id) FROM case_note WHERE kind > 2",
                notes, sizeof notes);
    assert_string_equal(notes, "3 spiffe://test ada grace  ; 4 spiffe://test grace called the bank "
                               " ; 5 spiffe://test ada looked MARK_PAID statement of today");
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE state = 2 AND "
                                     "resolution = 'MARK_PAID' AND resolved_at IS NOT NULL AND "
                                     "owner = 'grace'"),
                     1);
}

static void test_DEFINITE_ERRORS__a_repeat_is_the_same_and_another_is_refused(void **state) {
    (void)state;
    const case_new one = held("p1", "A", "one");
    open_at(&one, 1, 1000000);
    case_changed out;
    err e = changed(resolve("GIVE_BACK", "", "k1"), &out);
    assert_string_equal(e.field, "evidence"); // money moves
    e = changed(resolve("GIVE_BACK", "letter\x1b[2J", "k1"), &out);
    assert_string_equal(e.field, "evidence"); // a terminal would obey
    e = changed((case_change){.act = CASE_ACT_COMMENT,
                              .person = STR("ada"),
                              .text = STR("\xc2\x9b"
                                          "2J"),
                              .key = STR("k1")},
                &out);
    assert_string_equal(e.reason, "FIELD_INVALID");
    e = changed(
        (case_change){
            .act = CASE_ACT_ASSIGN, .person = STR("ada\a"), .text = STR("grace"), .key = STR("k1")},
        &out);
    assert_string_equal(e.field, "person");
    e = changed(resolve("PAY_IT", "x", "k1"), &out);
    assert_string_equal(e.reason, "RESOLUTION_UNKNOWN");
    assert_non_null(strstr(e.message, " RELEASE, ")); // the whole list
    assert_non_null(strstr(e.message, ", IGNORE"));
    e = changed(resolve("IGNORE", "", "k1"), &out);
    assert_string_equal(e.reason, "RESOLUTION_NOT_ALLOWED");
    e = changed(resolve("GIVE_BACK", "letter", "k1"), &out); // the key is free: nothing was written
    assert_false(err_is_set(&e));
    assert_non_null(out.order);
    e = changed(resolve("GIVE_BACK", "letter", "k1"), &out);
    assert_false(err_is_set(&e));
    assert_null(out.order); // no second order
    assert_int_equal(out.row.state, CASE_STATE_RESOLVED);
    assert_true(str_eq_c(out.answer, "2 "));
    fixture_sql("UPDATE payment_case SET owner = 'grace'", NULL, 0);
    must(changed(resolve("GIVE_BACK", "letter", "k1"), &out));
    assert_true(str_eq_c(out.answer, "2 ")); // as it was first
    e = changed(resolve("GIVE_BACK", "another letter", "k1"), &out);
    assert_string_equal(e.reason, "IDEMPOTENCY_KEY_REUSED");
    e = changed(resolve("GIVE_BACK", "letter", "k2"), &out); // another person with the same wish
    assert_false(err_is_set(&e));
    assert_null(out.order);
    assert_null(out.answer.ptr); // nothing was written: the case as it stands
    e = changed(resolve("MARK_PAID", "letter", "k3"), &out);
    assert_int_equal(e.code, ERR_FAILED_PRECONDITION);
    assert_string_equal(e.reason, "CASE_RESOLVED");
    e = changed((case_change){.act = CASE_ACT_ASSIGN, .person = STR("ada"), .key = STR("k4")},
                &out);
    assert_string_equal(e.reason, "CASE_RESOLVED");
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM case_note WHERE kind = 5"), 1);
}

typedef struct closing {
    const char *kind;
    str subject;
    int64_t n;
} closing;

static bool close_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    closing *x = arg;
    return cases_close(c, BOOK, x->kind, "payout", &x->subject, 1, STR("it moved on"), 3000000, a,
                       &x->n, e);
}

static void test_close__by_kind_and_with_a_note(void **state) {
    (void)state;
    case_new cases[] = {held("p1", "A", "one"), held("p1", "B", "two"), held("p2", "A", "one")};
    cases[1].kind = "PAYOUT_OVERDUE";
    open_at(cases, 3, 1000000);
    closing x = {"PAYOUT_OVERDUE", STR("p1"), 0};
    err e = {0};
    assert_true(db_transact(pool, fixture_deadline(5000), memory, close_in_tx, &x, &e));
    assert_int_equal(x.n, 1);
    assert_true(db_transact(pool, fixture_deadline(5000), memory, close_in_tx, &x, &e));
    assert_int_equal(x.n, 0);
    x.kind = NULL;
    assert_true(db_transact(pool, fixture_deadline(5000), memory, close_in_tx, &x, &e));
    assert_int_equal(x.n, 1);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE state = 1"), 1);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM case_note WHERE kind = 6 AND "
                                     "text = 'it moved on' AND resolution = 'CLOSED'"),
                     2);
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

// docs/payments/cases.md has a row for each kind and each resolution, and no other row.
static void test_docs__say_what_the_table_says(void **state) {
    (void)state;
    static char page[1 << 16];
    FILE *f = fopen(CASES_TEST_DOC, "r");
    assert_non_null(f);
    page[fread(page, 1, sizeof page - 1, f)] = '\0';
    assert_int_equal(fclose(f), 0);
    size_t n = 0, rows = 0;
    char row[1200];
    for (; case_kind_at(n) != NULL; n++) {
        const case_kind *k = case_kind_at(n);
        strbuf allowed;
        char text[256];
        strbuf_init_fixed(&allowed, text, sizeof text);
        for (int i = 0; i < CASE_N_RESOLUTIONS; i++) {
            const case_order *o = case_order_at((case_resolution)i);
            if ((k->allowed & case_order_bit(o)) != 0) {
                strbuf_printf(&allowed, "%s%s", allowed.len > 0 ? ", " : "", o->name);
            }
        }
        assert_true(strbuf_ok(&allowed));
        (void)snprintf(row, sizeof row, "\n| %s | %s | %d h | %s | %s | %s |\n", k->name,
                       k->subject_type, (int)(k->due_us / 3600000000), text, k->meaning,
                       k->next_step);
        if (strstr(page, row) == NULL) {
            fail_msg("docs/payments/cases.md lacks this row:%s", row);
        }
    }
    for (int i = 0; i < CASE_N_RESOLUTIONS; i++) {
        const case_order *o = case_order_at((case_resolution)i);
        (void)snprintf(row, sizeof row, "\n| %s | %s | %s | %s |\n", o->name,
                       o->event_kind != 0 ? "yes" : "no",
                       o->moves_money ? "needed" : "may be given", o->meaning);
        if (strstr(page, row) == NULL) {
            fail_msg("docs/payments/cases.md lacks this row:%s", row);
        }
    }
    for (const char *at = page; (at = strstr(at, "\n| ")) != NULL; at++) {
        rows++;
    }
    assert_int_equal(rows, n + CASE_N_RESOLUTIONS + 2); // and two header rows
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
        cmocka_unit_test_setup(test_list__filters_and_pages, fresh),
        cmocka_unit_test_setup(test_EXPLAINED__what_a_person_does_is_history, fresh),
        cmocka_unit_test_setup(test_DEFINITE_ERRORS__a_repeat_is_the_same_and_another_is_refused,
                               fresh),
        cmocka_unit_test_setup(test_close__by_kind_and_with_a_note, fresh),
        cmocka_unit_test(test_APPEND_ONLY__the_service_cannot_change_history),
        cmocka_unit_test(test_docs__say_what_the_table_says),
        cmocka_unit_test(test_kinds__each_can_be_resolved_and_is_explained),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
