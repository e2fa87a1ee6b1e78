// In any form of a file that the parser takes or refuses, no account number is shown to a person.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "rails/ach/ach_internal.h"
#include "rails/inbox_mask.h"
#include "testing/bank_file.h"

#define ACCOUNT "445566778899"
#define TRACE "121042880000001"

static arena *mem;

static const bank_entry TWO[] = {
    {.code = "R03", .trace = TRACE, .amount = 1000, .account = ACCOUNT, .name = "ANN EXAMPLE"},
    {.code = "C01",
     .trace = TRACE,
     .amount = 0,
     .account = ACCOUNT,
     .name = "EX " ACCOUNT,
     .info = ACCOUNT},
};
static const bank_batch BATCH = {.company_id = "1800000001", .entries = TWO, .n = 2};

static str write_file(bank_file f) {
    strbuf b;
    f.batches = &BATCH;
    f.n = 1;
    strbuf_init(&b, 1024 * 1024);
    bank_file_write(&f, &b);
    assert_true(strbuf_ok(&b));
    const str out = {arena_strndup(mem, b.ptr, b.len), b.len};
    strbuf_deinit(&b);
    return out;
}

static str both(const char *before, str file, const char *after) {
    const size_t begin = strlen(before), end = strlen(after);
    char *all = arena_alloc(mem, begin + file.len + end + 1);
    memcpy(all, before, begin);
    memcpy(all + begin, file.ptr, file.len);
    memcpy(all + begin + file.len, after, end + 1);
    return (str){all, begin + file.len + end};
}

// The masked bytes. The mask gets bytes of exactly this length, so that the sanitizer sees each look beyond them.
static const char *shown(str bytes) {
    char *exact = malloc(bytes.len);
    assert_non_null(exact);
    memcpy(exact, bytes.ptr, bytes.len);
    inbox_mask(exact, bytes.len);
    const char *copy = arena_strndup(mem, exact, bytes.len);
    free(exact);
    return copy;
}

// Six of its digits are already more than the last four.
static void assert_hidden(str bytes) {
    const char *text = shown(bytes);
    for (size_t i = 0; i + 6 <= strlen(ACCOUNT); i++) {
        char part[7];
        (void)snprintf(part, sizeof part, "%.6s", ACCOUNT + i);
        if (strstr(text, part) != NULL) {
            fail_msg("'%s' is shown of:\n%s", part, text);
        }
    }
}

static void test_returns__each_form_that_is_taken__account_hidden_and_trace_shown(void **state) {
    (void)state;
    const bank_file FORMS[] = {
        {.line_end = "\n"},
        {.line_end = "\r\n"},
        {.line_end = "\r"},
        {.line_end = ""}, // with one line end behind all
        {.line_end = "", .unpadded = true},
        {.line_end = "", .unpadded = true, .no_final_line_end = true},
        {.unpadded = true, .no_final_line_end = true},
        {.cut_blanks = true},
        {.cut_blanks = true, .line_end = "\r"},
        {.extra_blanks = 3},
        {.extra_blanks = 2, .line_end = "\r\n"},
    };
    static const char *const BEFORE[] = {"", "\xef\xbb\xbf", "\r\n  \n", "\xef\xbb\xbf\r"};
    for (size_t i = 0; i < sizeof FORMS / sizeof FORMS[0]; i++) {
        for (size_t k = 0; k < sizeof BEFORE / sizeof BEFORE[0]; k++) {
            const str bytes = both(BEFORE[k], write_file(FORMS[i]), i == 3 ? "\n" : "");
            ach_report report;
            err e = {0};
            assert_int_equal(ach_look(bytes), ACH_NACHA);
            assert_true(ach_returns_parse(bytes, 0, mem, &report, &e));
            assert_hidden(bytes);
            assert_non_null(strstr(shown(bytes), TRACE));
            assert_non_null(strstr(shown(bytes), "********8899"));
            assert_non_null(strstr(shown(bytes), "ANN EXAMPLE"));
            for (size_t n = 0; n < report.n; n++) { // the single lines, as they are set aside
                assert_hidden(report.lines[n].raw);
                assert_non_null(strstr(shown(report.lines[n].raw), TRACE));
            }
        }
    }
}

static void test_returns__not_as_they_should_be__account_hidden(void **state) {
    (void)state;
    const str file = write_file((bank_file){0});
    assert_hidden(both("$$ADD ID=" ACCOUNT " BID='RET'\n", file, ""));
    assert_hidden(both("Returns of " ACCOUNT "\n", file, ""));
    assert_hidden(both("1 account " ACCOUNT "\n", file, ""));
    assert_hidden(both("9 account " ACCOUNT "\n", file, ""));
    assert_hidden(both("5" ACCOUNT "\n", file, ""));
    assert_hidden(both("\xff\xfe", file, ""));
    assert_hidden(both("\t", file, ""));
    assert_hidden(both("\xef\xbb\xbf\xef\xbb\xbf", file, ""));
    for (size_t cut = 0; cut < file.len; cut += 7) { // the beginning or the end is lost
        assert_hidden((str){file.ptr + cut, file.len - cut});
        assert_hidden((str){file.ptr, cut});
    }
}

static void test_ack__account_in_its_words__hidden(void **state) {
    (void)state;
    static const char *const ACKS[] = {
        "{\"file\":\"a.ach\",\"status\":\"rejected\",\"at\":\"2026-11-30T10:00:00Z\","
        "\"reason\":\"number " ACCOUNT " is closed\"}",
        "{\"file\":\"a.ach\",\"status\":\"rejected\",\"at\":\"2026-11-30T10:00:00Z\","
        "\"reason\":\"4455-6677-8899 or 4455 6677 8899\",\"x\":" ACCOUNT "}",
        "\xef\xbb\xbf {\"file\":\"a.ach\",\"status\":\"rejected\",\"at\":\"2026-11-30T10:00:00Z\","
        "\"account\":{\"type\":\"savings\",\"number\":\"" ACCOUNT "\"},"
        "\"lines\":[" ACCOUNT ",{\"file\":\"" ACCOUNT "\"}]}",
    };
    for (size_t i = 0; i < sizeof ACKS / sizeof ACKS[0]; i++) {
        const str bytes = str_of(ACKS[i]);
        ach_ack ack;
        err e = {0};
        assert_true(ach_ack_parse(bytes, mem, &ack, &e));
        assert_hidden(bytes);
        assert_null(strstr(shown(bytes), "6677-8"));
        assert_null(strstr(shown(bytes), "6677 8"));
        assert_non_null(strstr(shown(bytes), "\"a.ach\",\"status\":\"rejected\","
                                             "\"at\":\"2026-11-30T10:00:00Z\""));
    }
}

static void test_settlement__lines_shown_and_the_rest_hidden(void **state) {
    (void)state;
    const str good = STR("\xef\xbb\xbfH,1000000001-20261130-A.ach,1234567,2026-11-30T10:00:00Z\r\n"
                         "D," TRACE ",1000000,SETTLED,2026-11-30T10:00:00Z\r\n"
                         "T,1,1000000\r\n");
    ach_report report;
    err e = {0};
    assert_true(ach_settlement_parse(good, "", mem, &report, &e));
    assert_string_equal(shown((str){good.ptr + 3, good.len - 3}),
                        arena_strndup(mem, good.ptr + 3, good.len - 3));
    assert_string_equal(shown(report.lines[0].raw),
                        "D," TRACE ",1000000,SETTLED,2026-11-30T10:00:00Z");
    assert_hidden(STR("H,a.ach,1,2026-11-30T10:00:00Z\nD," TRACE ",1," ACCOUNT ",now\nT,1,1\n"));
    assert_hidden(STR("H,a.ach,1,2026-11-30T10:00:00Z\nD," ACCOUNT ",1,SETTLED,now\nT,1,1\n"));
    assert_hidden(STR("H,a.ach,1,2026-11-30T10:00:00Z\nD," TRACE "," ACCOUNT ",SETTLED,now\n"));
    assert_hidden(STR("H,a.ach,1,2026-11-30T10:00:00Z," ACCOUNT "\n"));
    assert_hidden(STR("H,a.ach,1\nof " ACCOUNT "\n"));
}

static void test_unknown__account_hidden(void **state) {
    (void)state;
    assert_hidden(STR("Account;Amount\n" ACCOUNT ";10.00\n"));
    assert_hidden(STR("<Acct><Id>" ACCOUNT "</Id></Acct>"));
    assert_hidden(STR(ACCOUNT));
    assert_hidden(STR("\x01" ACCOUNT "\xff"));
}

static int set_up(void **state) {
    (void)state;
    mem = arena_create(64 * 1024 * 1024);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_destroy(mem);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_returns__each_form_that_is_taken__account_hidden_and_trace_shown),
        cmocka_unit_test(test_returns__not_as_they_should_be__account_hidden),
        cmocka_unit_test(test_ack__account_in_its_words__hidden),
        cmocka_unit_test(test_settlement__lines_shown_and_the_rest_hidden),
        cmocka_unit_test(test_unknown__account_hidden),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
