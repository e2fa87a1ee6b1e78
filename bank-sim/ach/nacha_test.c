// The bank's reader against one good file, and against this file after each rule is broken once; the writer of returns against the reader.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the four above first.
#include <cmocka.h>

#include "ach/nacha.h"

enum { FILE_MAX = 16 * 1024, LINE = NACHA_RECORD_LEN + 1, ARENA_MAX = 4 * 1024 * 1024 };

static char good[FILE_MAX];
static size_t good_len;

static const nacha_rules RULES = {.destination = "091000019", .origin_prefix = "11"};

static int load(void **state) {
    (void)state;
    FILE *f = fopen(TESTDATA "/valid.ach", "rb");
    assert_non_null(f);
    good_len = fread(good, 1, sizeof(good), f);
    (void)fclose(f);
    assert_int_equal(good_len, 10 * LINE);
    return 0;
}

static bool check(const char *bytes, size_t len, nacha_file *file, nacha_fault *fault, arena *a) {
    return nacha_check((str){bytes, len}, &RULES, a, file, fault);
}

static void test_nacha_check__valid_file__all_of_it_is_read(void **state) {
    (void)state;
    nacha_file file;
    nacha_fault fault;
    arena *a = arena_create(ARENA_MAX);
    assert_true(check(good, good_len, &file, &fault, a));
    assert_string_equal(file.origin, "1100000001");
    assert_string_equal(file.date, "261121");
    assert_string_equal(file.modifier, "A");
    assert_int_equal(file.n_entries, 3);
    assert_int_equal(file.n_batches, 2);
    assert_int_equal(file.credits, 251149);
    assert_int_equal(file.entries[1].amount, 250000);
    assert_int_equal(file.entries[1].trace, 91000010000002);
    assert_int_equal(file.entries[1].line, 4);
    assert_null(file.entries[0].addenda);
    assert_memory_equal(file.entries[1].addenda, "705INVOICE 4711", 15);
    assert_memory_equal(file.entries[2].batch, "5220ACME MARKET", 15);
    arena_destroy(a);
}

static void test_nacha_check__crlf_and_no_last_line_end__are_taken(void **state) {
    (void)state;
    char text[FILE_MAX];
    size_t len = 0;
    nacha_file file;
    nacha_fault fault;
    arena *a = arena_create(ARENA_MAX);
    for (size_t i = 0; i < good_len; i++) {
        if (good[i] == '\n') {
            text[len++] = '\r';
        }
        text[len++] = good[i];
    }
    assert_true(check(text, len, &file, &fault, a));
    assert_true(check(text, len - 2, &file, &fault, a));
    assert_true(check(good, good_len - 1, &file, &fault, a));
    arena_destroy(a);
}

// One broken rule: a text at a line and column (both from 1), and the expected fault with its line.
typedef struct breach {
    int line, column;
    const char *text;
    int at;
    const char *reason;
} breach;

// clang-format off
static const breach BREACHES[] = {
    {1, 1, "2", 1, "the first record must be the file header (1)"},
    {1, 2, "02", 1, "file header: priority code must be 01"},
    {1, 4, " 021000021", 1, "file header: immediate destination must be a space and 091000019"},
    {1, 4, "0091000019", 1, "file header: immediate destination must be a space and 091000019"},
    {1, 14, "110000000X", 1, "file header: immediate origin must be ten digits, or a space and nine"},
    {1, 14, "2100000001", 1, "file header: no agreement with this immediate origin"},
    {1, 24, "261321", 1, "file header: creation date is not a date"},
    {1, 24, "270229", 1, "file header: creation date is not a date"},
    {1, 30, "2400", 1, "file header: creation time is not a time"},
    {1, 34, "a", 1, "file header: file id modifier must be A to Z or 0 to 9"},
    {1, 35, "095", 1, "file header: record size, blocking factor and format code must be 094, 10 and 1"},
    {1, 64, "                       ", 1, "file header: immediate origin name is missing"},
    {2, 1, "6", 2, "a batch header (5) or the file control (9) must stand here"},
    {2, 2, "280", 2, "batch header: service class must be 200, 220 or 225"},
    {2, 5, " ", 2, "batch header: company name is missing or not left-justified"},
    {2, 41, "          ", 2, "batch header: company identification is missing"},
    {2, 51, "WEB", 2, "batch header: entry class must be PPD or CCD"},
    {2, 54, "          ", 2, "batch header: entry description is missing or not left-justified"},
    {2, 70, "      ", 2, "batch header: effective entry date is not a date"},
    {2, 76, "325", 2, "batch header: settlement date must be blank, the operator fills it"},
    {2, 79, "2", 2, "batch header: originator status must be 1"},
    {2, 80, "0910000X", 2, "batch header: originating institution must be 8 digits"},
    {2, 88, "0000000", 2, "batch header: batch numbers must be digits and ascend"},
    {7, 88, "0000001", 7, "batch header: batch numbers must be digits and ascend"},
    {3, 1, "5", 3, "an entry (6), its addenda (7) or the batch control (8) must stand here"},
    {3, 2, "2X", 3, "entry: unknown transaction code"},
    {3, 2, "27", 3, "entry: a debit in a batch of service class 220 (credits only)"},
    {2, 2, "225", 3, "entry: a credit in a batch of service class 225 (debits only)"},
    {3, 2, "23", 3, "entry: transaction code 23 is not agreed with this originator"},
    {3, 2, "21", 3, "entry: transaction code 21 is not agreed with this originator"},
    {3, 4, "0210000A", 3, "entry: receiving institution must be 8 digits"},
    {3, 12, "2", 3, "entry: check digit of receiving institution 02100002 must be 1"},
    {3, 13, "                 ", 3, "entry: account number is missing or not left-justified"},
    {3, 30, "00000-1050", 3, "entry: amount must be ten digits"},
    {3, 30, "0000000000", 3, "entry: amount must be greater than zero"},
    {3, 55, "                      ", 3, "entry: name is missing or not left-justified"},
    {8, 55, "                      ", 8, "entry: name is missing or not left-justified"},
    {3, 79, "2", 3, "entry: addenda indicator must be 0 or 1"},
    {3, 79, "1", 4, "entry: the entry before announced an addenda record that is not there"},
    {4, 79, "0", 5, "addenda: no entry announced it"},
    {8, 79, "1", 9, "batch control: the entry before announced an addenda record that is not there"},
    {3, 80, "091000010000 01", 3, "entry: trace number must be 15 digits"},
    {3, 80, "02100002", 3, "entry: trace number must begin with the batch's originating institution 09100001"},
    {4, 88, "0000001", 4, "entry: trace numbers must ascend within the batch"},
    {5, 2, "98", 5, "addenda: type must be 05"},
    {5, 84, "0002", 5, "addenda: sequence must be 0001"},
    {5, 88, "0000001", 5, "addenda: the last seven digits must be those of the entry's trace number"},
    {6, 2, "200", 6, "batch control: service class differs from the batch header"},
    {6, 5, "000002", 6, "batch control: entry and addenda count must be 3"},
    {6, 11, "0000000001", 6, "batch control: entry hash must be 0003240155"},
    {6, 21, "000000000001", 6, "batch control: total debits must be 0"},
    {6, 33, "000000251051", 6, "batch control: total credits must be 251050"},
    {6, 45, "1100000002", 6, "batch control: company identification differs from the batch header"},
    {6, 55, "X", 6, "batch control: authentication code and reserved must be blank"},
    {6, 80, "09100002", 6, "batch control: originating institution differs from the batch header"},
    {6, 88, "0000002", 6, "batch control: batch number differs from the batch header"},
    {10, 2, "000001", 10, "file control: batch count must be 2"},
    {10, 8, "000002", 10, "file control: block count must be 1"},
    {10, 14, "00000003", 10, "file control: entry and addenda count must be 4"},
    {10, 22, "0000000000", 10, "file control: entry hash must be 0015440179"},
    {10, 32, "000000000001", 10, "file control: total debits must be 0"},
    {10, 44, "000000251148", 10, "file control: total credits must be 251149"},
    {10, 56, "X", 10, "file control: reserved must be blank"},
    {4, 20, "\xc3", 4, "column 20: only printable ASCII is allowed"},
    {4, 20, "\t", 4, "column 20: only printable ASCII is allowed"},
};
// clang-format on

static void test_nacha_check__each_rule_broken__line_and_reason(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(BREACHES) / sizeof(BREACHES[0]); i++) {
        const breach *b = &BREACHES[i];
        char text[FILE_MAX];
        nacha_file file;
        nacha_fault fault;
        arena *a = arena_create(ARENA_MAX);
        memcpy(text, good, good_len);
        memcpy(text + (b->line - 1) * LINE + b->column - 1, b->text, strlen(b->text));
        if (check(text, good_len, &file, &fault, a)) {
            fail_msg("breach %zu was taken: %s", i, b->reason);
        }
        if (strcmp(fault.reason, b->reason) != 0 || fault.line != b->at) {
            fail_msg("breach %zu: line %d: %s; expected line %d: %s", i, fault.line, fault.reason,
                     b->at, b->reason);
        }
        arena_destroy(a);
    }
}

static void refused(const char *text, size_t len, int line, const char *reason) {
    nacha_file file;
    nacha_fault fault;
    arena *a = arena_create(ARENA_MAX);
    assert_false(check(text, len, &file, &fault, a));
    assert_string_equal(fault.reason, reason);
    assert_int_equal(fault.line, line);
    arena_destroy(a);
}

static void test_nacha_check__wrong_shape__is_refused(void **state) {
    (void)state;
    char text[FILE_MAX];
    refused("", 0, 0, "the file is empty");
    refused(good, 9 * LINE, 9, "the file ends without a file control record (9)");
    refused(good, 6 * LINE, 6, "the file ends without a file control record (9)");
    // A byte order mark, a short record, a long one.
    (void)snprintf(text, sizeof(text), "\xef\xbb\xbf%.*s", (int)good_len, good);
    refused(text, good_len + 3, 1, "column 1: only printable ASCII is allowed");
    memcpy(text, good, good_len);
    memmove(text + 93, text + 94, good_len - 94);
    refused(text, good_len - 1, 1, "a record has 94 characters, this one has 93");
    memcpy(text, good, 94);
    text[94] = ' ';
    memcpy(text + 95, good + 94, good_len - 94);
    refused(text, good_len + 1, 1, "a record has 94 characters, this one has 95");
    // Needless padding, a full block of padding, and text after the control.
    memcpy(text, good, good_len);
    memset(text + good_len, '9', 10 * LINE);
    for (int i = 1; i <= 10; i++) {
        text[good_len + (size_t)(i * LINE) - 1] = '\n';
    }
    refused(text, good_len + 9 * LINE, 10, "file control: block count must be 2");
    memcpy(text + 9 * LINE + 7, "000002", 6);
    refused(text, good_len + 10 * LINE, 20, "padding: more lines of 9s than the last block needs");
    refused(text, good_len + 3 * LINE, 13,
            "the file must be padded with lines of 9s to a multiple of ten");
    text[good_len + 5] = '8';
    refused(text, good_len + 10 * LINE, 11,
            "after the file control only padding of ninety-four 9s may follow");
    // Line ends of two kinds.
    memcpy(text, good, LINE - 1);
    memcpy(text + LINE - 1, "\r\n", 2);
    memcpy(text + LINE + 1, good + LINE, good_len - LINE);
    refused(text, good_len + 1, 2, "line ends must all be LF or all be CRLF");
}

static void test_nacha_check__empty_batch_or_no_batch__is_refused(void **state) {
    (void)state;
    char text[FILE_MAX];
    memcpy(text, good, 2 * LINE);
    memcpy(text + 2 * LINE, good + 5 * LINE, LINE); // header and control
    refused(text, 3 * LINE, 3, "batch control: the batch is empty");
    memcpy(text + LINE, good + 9 * LINE, LINE);
    refused(text, 2 * LINE, 2, "file control: the file has no batch");
}

static void make_return(nacha_return *r, const char *entry, const char *batch, const char *code,
                        int64_t trace) {
    *r = (nacha_return){.trace = trace};
    assert_true(str_to_i64((str){entry + 29, 10}, 0, INT64_MAX, &r->amount));
    (void)snprintf(r->entry, sizeof(r->entry), "%.94s", entry);
    (void)snprintf(r->batch, sizeof(r->batch), "%.94s", batch);
    (void)snprintf(r->code, sizeof(r->code), "%s", code);
}

static void test_nacha_returns_write__two_banks__the_reader_takes_it(void **state) {
    (void)state;
    nacha_return r[3];
    make_return(&r[0], good + 3 * LINE, good + LINE, "R03", 0);     // RDFI 01140153
    make_return(&r[1], good + 7 * LINE, good + 6 * LINE, "R16", 0); // RDFI 12200024
    make_return(&r[2], good + 2 * LINE, good + LINE, "R01", 0);     // RDFI 02100002
    nacha_returns_sort(r, 3);
    assert_string_equal(r[0].code, "R03");
    assert_string_equal(r[1].code, "R01");
    assert_string_equal(r[2].code, "R16");
    r[0].trace = 11401530000001;
    r[1].trace = 21000020000001;
    r[2].trace = 122000240000009;
    nacha_return_file f = {.destination = "1100000001",
                           .origin = "091000019",
                           .destination_name = "ORIGINATOR",
                           .origin_name = "SIMULATOR BANK",
                           .date = "261122",
                           .time = "1000",
                           .modifier = 'A',
                           .settled_on = "261122"};
    strbuf out;
    strbuf_init(&out, FILE_MAX);
    assert_true(nacha_returns_write(&f, r, 3, &out));
    nacha_rules rules = {.destination = "1100000001", .origin_prefix = "", .returns = true};
    nacha_file file;
    nacha_fault fault;
    arena *a = arena_create(ARENA_MAX);
    if (!nacha_check(strbuf_str(&out), &rules, a, &file, &fault)) {
        fail_msg("line %d: %s", fault.line, fault.reason);
    }
    assert_int_equal(file.n_entries, 3);
    assert_int_equal(file.n_batches, 3);
    assert_int_equal(file.credits, 251149);
    assert_memory_equal(file.entries[0].record,
                        "631091000019A-99 1           0000250000PAY-000000002  BOB EXAMPLE", 65);
    assert_memory_equal(file.entries[0].addenda, "799R03091000010000002      01140153", 35);
    assert_int_equal(file.entries[2].trace, 122000240000009);
    // The file is not valid as an input.
    assert_false(nacha_check(strbuf_str(&out), &RULES, a, &file, &fault));
    arena_destroy(a);
    strbuf_deinit(&out);
}

// Writes one return in this form.
static strbuf write_one(nacha_form form, const char *code, int64_t amount) {
    nacha_return r;
    make_return(&r, good + 2 * LINE, good + LINE, code, 21000020000001);
    r.amount = amount;
    nacha_return_file f = {.destination = "1100000001",
                           .origin = "091000019",
                           .destination_name = "ORIGINATOR",
                           .origin_name = "SIMULATOR BANK",
                           .date = "261122",
                           .time = "1000",
                           .modifier = 'A',
                           .settled_on = "261122",
                           .form = form};
    strbuf out;
    strbuf_init(&out, FILE_MAX);
    assert_true(nacha_returns_write(&f, &r, 1, &out));
    return out;
}

static void assert_form(nacha_form form, size_t len, size_t at, const char *text) {
    strbuf out = write_one(form, "R03", 1149);
    assert_int_equal(out.len, len);
    assert_memory_equal(out.ptr + at, text, strlen(text));
    strbuf_deinit(&out);
}

static void test_nacha_returns_write__each_form__differs_where_it_should(void **state) {
    (void)state;
    const size_t whole = 10 * LINE, line = LINE;
    assert_form((nacha_form){0}, whole, line, "5220ACME MARKET");
    assert_form((nacha_form){.crlf = true}, whole + 10, 94, "\r\n5220ACME");
    assert_form((nacha_form){.fixed_94 = true}, 10 * NACHA_RECORD_LEN, 94, "5220ACME");
    assert_form((nacha_form){.no_padding = true}, 6 * LINE, 5 * line, "9000001000001");
    assert_form((nacha_form){.blank_date = true}, whole, line + 69, "         1");
    assert_form((nacha_form){.status_2 = true}, whole, line + 69, "261122   2");
    assert_form((nacha_form){.blank_names = true}, whole, line, "5220                ");
    assert_form((nacha_form){.blank_names = true}, whole, 2 * line + 54, "                      ");
    assert_form((nacha_form){0}, whole, 2 * line, "621");
    assert_form((nacha_form){.forward_codes = true}, whole, 2 * line, "622");
    strbuf trimmed = write_one((nacha_form){.trim_blanks = true}, "R03", 1149);
    assert_null(memmem(trimmed.ptr, trimmed.len, " \n", 2));
    assert_true(trimmed.len < whole);
    strbuf_deinit(&trimmed);
}

static void test_nacha_returns_write__descending__traces_run_down_the_batch(void **state) {
    (void)state;
    enum { N = 3 };
    nacha_return r[N];
    for (int i = 0; i < N; i++) {
        make_return(&r[i], good + 2 * LINE, good + LINE, "R03", 21000020000001 + i);
    }
    nacha_return_file f = {.destination = "1100000001",
                           .origin = "091000019",
                           .destination_name = "",
                           .origin_name = "",
                           .date = "261122",
                           .time = "1000",
                           .modifier = 'A',
                           .settled_on = "261122",
                           .form = {.descending_traces = true}};
    strbuf out;
    strbuf_init(&out, FILE_MAX);
    assert_true(nacha_returns_write(&f, r, N, &out));
    assert_memory_equal(out.ptr + 2 * LINE + 79, "021000020000003", 15);
    assert_memory_equal(out.ptr + 3 * LINE + 79, "021000020000003", 15);
    assert_memory_equal(out.ptr + 6 * LINE + 79, "021000020000001", 15);
    strbuf_deinit(&out);
}

static void test_nacha_returns_write__changes_disputes_and_debits__their_own_layout(void **state) {
    (void)state;
    strbuf out = write_one((nacha_form){0}, "C01", 1149);
    assert_memory_equal(out.ptr + LINE + 50, "COR", 3);
    assert_memory_equal(out.ptr + 2 * LINE + 29, "0000000000", 10);
    assert_memory_equal(out.ptr + 3 * LINE, "798C01091000010000001      02100002987654321 ", 45);
    strbuf_deinit(&out);
    out = write_one((nacha_form){0}, "R61", 1149);
    assert_memory_equal(out.ptr + 3 * LINE,
                        "799R61091000010000001      02100002   021000020000001   03", 57);
    strbuf_deinit(&out);
    out = write_one((nacha_form){0}, "R03", 574); // a part of the amount
    assert_memory_equal(out.ptr + 2 * LINE + 29, "0000000574", 10);
    strbuf_deinit(&out);
    char debit[NACHA_RECORD_LEN + 1];
    (void)snprintf(debit, sizeof(debit), "%.94s", good + 2 * LINE);
    debit[2] = '7';
    nacha_return r;
    make_return(&r, debit, good + LINE, "R10", 21000020000001);
    nacha_return_file f = {.destination = "1100000001",
                           .origin = "091000019",
                           .destination_name = "",
                           .origin_name = "",
                           .date = "261122",
                           .time = "1000",
                           .modifier = 'A',
                           .settled_on = "261122"};
    strbuf_init(&out, FILE_MAX);
    assert_true(nacha_returns_write(&f, &r, 1, &out));
    assert_memory_equal(out.ptr + LINE, "5225", 4);
    assert_memory_equal(out.ptr + 2 * LINE, "626", 3);
    assert_memory_equal(out.ptr + 4 * LINE + 20, "000000001050000000000000", 24);
    strbuf_deinit(&out);
}

static void test_nacha_returns_write__many_of_one_bank__one_batch(void **state) {
    (void)state;
    enum { N = 500 };
    static nacha_return r[N];
    for (int i = 0; i < N; i++) {
        make_return(&r[i], good + 2 * LINE, good + LINE, "R02", 21000020000001 + i);
        char trace[16];
        (void)snprintf(trace, sizeof(trace), "%015lld", 91000010000001LL + i);
        memcpy(r[i].entry + 79, trace, 15);
    }
    nacha_returns_sort(r, N);
    nacha_return_file f = {.destination = "110000000",
                           .origin = "091000019",
                           .destination_name = "ORIGINATOR",
                           .origin_name = "SIMULATOR BANK",
                           .date = "261122",
                           .time = "1000",
                           .modifier = '9',
                           .settled_on = "261122"};
    strbuf out;
    strbuf_init(&out, 1024 * 1024);
    assert_true(nacha_returns_write(&f, r, N, &out));
    nacha_rules rules = {.destination = "110000000", .origin_prefix = "", .returns = true};
    nacha_file file;
    nacha_fault fault;
    arena *a = arena_create(ARENA_MAX);
    if (!nacha_check(strbuf_str(&out), &rules, a, &file, &fault)) {
        fail_msg("line %d: %s", fault.line, fault.reason);
    }
    assert_int_equal(file.n_batches, 1);
    assert_int_equal(file.n_entries, N);
    arena_destroy(a);
    strbuf_deinit(&out);
}

static void test_nacha_check_digit__known_numbers__are_right(void **state) {
    (void)state;
    assert_int_equal(nacha_check_digit(STR("02100002")), 1);
    assert_int_equal(nacha_check_digit(STR("01140153")), 3);
    assert_int_equal(nacha_check_digit(STR("12200024")), 7);
    assert_int_equal(nacha_check_digit(STR("0210000")), -1);
    assert_true(nacha_is_routing(STR("091000019")));
    assert_false(nacha_is_routing(STR("091000018")));
    assert_false(nacha_is_routing(STR("09100001")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nacha_check__valid_file__all_of_it_is_read),
        cmocka_unit_test(test_nacha_check__crlf_and_no_last_line_end__are_taken),
        cmocka_unit_test(test_nacha_check__each_rule_broken__line_and_reason),
        cmocka_unit_test(test_nacha_check__wrong_shape__is_refused),
        cmocka_unit_test(test_nacha_check__empty_batch_or_no_batch__is_refused),
        cmocka_unit_test(test_nacha_returns_write__two_banks__the_reader_takes_it),
        cmocka_unit_test(test_nacha_returns_write__each_form__differs_where_it_should),
        cmocka_unit_test(test_nacha_returns_write__descending__traces_run_down_the_batch),
        cmocka_unit_test(test_nacha_returns_write__changes_disputes_and_debits__their_own_layout),
        cmocka_unit_test(test_nacha_returns_write__many_of_one_bank__one_batch),
        cmocka_unit_test(test_nacha_check_digit__known_numbers__are_right),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
