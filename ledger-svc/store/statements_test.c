// Holds every SQL string of the service against what a PostgreSQL distributed by book_id cannot do, and against our rules.
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/list_statements.h"
#include "store/statements.h"

enum { SQL_MAX = 8192, ALL_STATEMENT_COUNT = STORE_STATEMENT_COUNT + LIST_STATEMENT_COUNT };

static const db_stmt *statement(size_t i) {
    return i < STORE_STATEMENT_COUNT ? &STORE_STATEMENTS[i]
                                     : &LIST_STATEMENTS[i - STORE_STATEMENT_COUNT];
}

// Lower case, blanks collapsed, a blank at either end: so that " word " is a word.
static void normalize(const char *sql, char out[SQL_MAX]) {
    size_t n = 0;
    out[n++] = ' ';
    for (; *sql != '\0' && n < SQL_MAX - 2; sql++) {
        const bool blank =
            isspace((unsigned char)*sql) != 0 || *sql == '(' || *sql == ')' || *sql == ',';
        if (!blank) {
            out[n++] = (char)tolower((unsigned char)*sql);
        } else if (out[n - 1] != ' ') {
            out[n++] = ' ';
        }
    }
    out[n++] = ' ';
    out[n] = '\0';
}

static void nothing_that_cannot_be_distributed(void **state) {
    (void)state;
    static const char *const BANNED[] = {
        " now ",
        " clock_timestamp ",
        " statement_timestamp ",
        " current_timestamp ",
        " random ",
        " gen_random_uuid ",
        " nextval ",
        " currval ",
        " pg_advisory",
        " lock table ",
        " pg_try_advisory",
        " listen ",
        " notify ",
        " savepoint ",
        " create ",
        " temp ",
        " truncate ",
        " delete ",
        " do ",
        " serializable ",
        " with recursive ",
        " merge ",
        " tablesample ",
        " ; ",
    };
    char sql[SQL_MAX];
    for (size_t i = 0; i < ALL_STATEMENT_COUNT; i++) {
        normalize(statement(i)->sql, sql);
        for (size_t k = 0; k < sizeof BANNED / sizeof BANNED[0]; k++) {
            const char *found = strstr(sql, BANNED[k]);
            // "ON CONFLICT … DO NOTHING" is allowed.
            if (found != NULL && strncmp(found, " do nothing ", 12) != 0) {
                fail_msg("%s: %s", statement(i)->name, BANNED[k]);
            }
        }
        assert_null(strchr(statement(i)->sql, ';'));
    }
}

// An INSERT … SELECT, a subquery in an INSERT, or a data-modifying CTE is planned on the coordinator, or refused.
static void plain_inserts_and_updates(void **state) {
    (void)state;
    char sql[SQL_MAX];
    for (size_t i = 0; i < ALL_STATEMENT_COUNT; i++) {
        normalize(statement(i)->sql, sql);
        if (strstr(sql, " insert ") != NULL) {
            assert_null(strstr(sql, " select "));
            assert_non_null(strstr(sql, " values "));
        }
        if (strstr(sql, " update ") != NULL && strstr(sql, " for update ") == NULL) {
            assert_null(strstr(sql, " with "));
            assert_null(strstr(sql, " set book_id "));
        }
    }
}

static void book_id_in_every_statement(void **state) {
    (void)state;
    char sql[SQL_MAX];
    for (size_t i = 0; i < ALL_STATEMENT_COUNT; i++) {
        normalize(statement(i)->sql, sql);
        if (i == STORE_DUE_BOOKS) { // the one that looks across books: a read without a lock
            assert_null(strstr(sql, " update "));
            continue;
        }
        if (strstr(sql, " insert ") == NULL && strstr(sql, "book_id = $1 ") == NULL) {
            fail_msg("%s does not name its book", statement(i)->name);
        }
        // Each scan of a table of the ledger names the book: as many conditions as there are tables.
        size_t tables = 0;
        size_t books = 0;
        for (const char *p = sql; (p = strstr(p, " from ")) != NULL; p += 5) {
            tables += strncmp(p, " from unnest ", 13) != 0 && strncmp(p, " from select ", 13) != 0;
        }
        for (const char *p = sql; (p = strstr(p, "book_id = ")) != NULL; p += 10) {
            books++;
        }
        assert_true(strstr(sql, " insert ") != NULL || books >= tables);
    }
}

static void names_are_unique(void **state) {
    (void)state;
    for (size_t i = 0; i < ALL_STATEMENT_COUNT; i++) {
        assert_non_null(statement(i)->name);
        assert_non_null(statement(i)->sql);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(statement(i)->name, statement(k)->name);
        }
    }
}

static void copies_begin_with_the_book(void **state) {
    (void)state;
    const store_copy_target *targets[] = {&STORE_COPY_ACCOUNT, &STORE_COPY_TRANSFER,
                                          &STORE_COPY_BURNED};
    for (size_t i = 0; i < 3; i++) {
        int n = 1;
        for (const char *p = targets[i]->columns; *p != '\0'; p++) {
            n += *p == ',';
        }
        assert_int_equal(n, targets[i]->n_columns);
        assert_int_equal(strncmp(targets[i]->columns, "book_id, ", 9), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_cannot_be_distributed),
        cmocka_unit_test(plain_inserts_and_updates),
        cmocka_unit_test(book_id_in_every_statement),
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(copies_begin_with_the_book),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
