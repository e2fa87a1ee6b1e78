// Text of banks and clients cannot steer the reader's terminal.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/cli.h"

#define HOSTILE                                                                                    \
    "\x1b]0;x\x07\xc2\x9b"                                                                         \
    "2J\xe2\x80\xae\x7f"

static void test_print__text_that_steers__marks(void **state) {
    (void)state;
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    assert_non_null(to);
    cli_print(to, "%-4s|%s\t%d\n", "Zo\xc3\xab", HOSTILE, 5);
    assert_int_equal(fclose(to), 0);
    assert_string_equal(text, "Zo\xc3\xab|?]0;x??2J??\t5\n");
    free(text);
}

static void test_table__cell_that_steers__one_line_in_its_column(void **state) {
    (void)state;
    char got[200] = {0};
    FILE *file = tmpfile();
    assert_non_null(file);
    const int out = dup(STDOUT_FILENO);
    (void)fflush(stdout);
    assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0);
    table t;
    table_begin(&t, 2, 0, (const char *const[]){"A", "B"});
    table_row(&t, (const char *const[]){HOSTILE "\n\t", "b"});
    table_print(&t);
    (void)fflush(stdout);
    assert_true(dup2(out, STDOUT_FILENO) >= 0);
    (void)close(out);
    rewind(file);
    assert_true(fread(got, 1, sizeof got - 1, file) > 0);
    (void)fclose(file);
    assert_string_equal(got, "A              B\n?]0;x??2J????  b\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_print__text_that_steers__marks),
        cmocka_unit_test(test_table__cell_that_steers__one_line_in_its_column),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
