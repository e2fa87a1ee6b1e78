#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/pay_file.h"
#include "payments/v1/common.pb-c.h"
#include "payout_file/csv_file.h"

#define HEADER                                                                                     \
    "reference,merchant_id,recipient_name,holder_type,rail,currency,amount,routing_code,"          \
    "account_number,account_type,description\n"
#define GOOD "ref-1,acme,Ada Lovelace,individual,ach,USD,12.50,021000021,12345678,checking,PAYOUT\n"

static cli C;
static payout_file FILE_READ;

static bool read_text(const char *text, err *e) {
    char path[] = "/tmp/payctl-test-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (long)strlen(text));
    close(fd);
    const bool ok = pay_file_read(&C, path, &FILE_READ, e);
    unlink(path);
    return ok;
}

static int set_up(void **state) {
    (void)state;
    C = (cli){.arena = arena_create(1 << 20)};
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    payout_file_free(&FILE_READ);
    arena_destroy(C.arena);
    return 0;
}

static void test_read__good_row__all_fields(void **state) {
    (void)state;
    err e = {0};
    assert_true(read_text(HEADER GOOD, &e));
    assert_int_equal(FILE_READ.n, 1);
    assert_int_equal(FILE_READ.bad, 0);
    const payout_row *r = &FILE_READ.rows[0];
    assert_string_equal(r->reference, "ref-1");
    assert_string_equal(r->recipient_name, "Ada Lovelace");
    assert_int_equal(r->amount_minor, 1250);
    assert_int_equal(r->rail, 1);
    assert_int_equal(r->line, 2);
    assert_int_equal(strlen(r->recipient_key), 69);
}

static void test_read__quotes_bom_crlf_and_column_order(void **state) {
    (void)state;
    err e = {0};
    assert_true(read_text(
        "\xef\xbb\xbf"
        "amount,reference,merchant_id,recipient_name,holder_type,rail,currency,routing_code,"
        "account_number,account_type\r\n"
        "1000,ref-9,acme,\"Lovelace, \"\"Ada\"\"\",company,instant,INR,HDFC0001234,99,savings\r\n",
        &e));
    assert_int_equal(FILE_READ.n, 1);
    assert_string_equal(FILE_READ.rows[0].recipient_name, "Lovelace, \"Ada\"");
    assert_int_equal(FILE_READ.rows[0].amount_minor, 100000);
    assert_string_equal(FILE_READ.rows[0].description, "");
}

static void test_read__every_bad_line_is_counted__good_ones_kept(void **state) {
    (void)state;
    err e = {0};
    assert_true(read_text(HEADER GOOD
                          "ref-2,acme,Ada,individual,ach,USD,0,021000021,1,checking,\n"
                          "ref-3,acme,Ada,individual,ach,USD,1.234,021000021,1,checking,\n"
                          "ref-4,acme,Ada,individual,ach,USD,1.00,021000022,1,checking,\n"
                          "ref-5,acme,Ada,individual,ach,INR,1.00,HDFC0001234,1,checking,\n"
                          "ref-6,Acme,Ada,individual,ach,USD,1.00,021000021,1,checking,\n"
                          "ref-7,acme,Ada,person,ach,USD,1.00,021000021,1,checking,\n"
                          "ref-1,acme,Ada,individual,ach,USD,1.00,021000021,1,checking,\n"
                          "ref-8,acme,,individual,ach,USD,1.00,021000021,1,checking,\n"
                          "ref-9,acme,Ada,individual,ach,USD,1.00\n"
                          "ref-10,acme,Ada,individual,ach,USD,100000000.00,021000021,1,checking,\n"
                          "ref-1,other,Ada,individual,ach,USD,1.00,021000021,1,checking,\n",
                          &e));
    assert_int_equal(FILE_READ.bad, 8);
    // The first row, the same reference of another merchant, and two rows that only the service can judge: what a rail carries.
    assert_int_equal(FILE_READ.n, 4);
}

static void test_read__missing_column__refused_by_name(void **state) {
    (void)state;
    err e = {0};
    assert_false(read_text("reference,merchant_id\nx,y\n", &e));
    assert_string_equal(e.reason, "COLUMN_MISSING");
}

static void test_read__empty_file__refused(void **state) {
    (void)state;
    err e = {0};
    assert_false(read_text("", &e));
    assert_string_equal(e.reason, "FILE_EMPTY");
    assert_false(read_text(HEADER, &e));
    assert_string_equal(e.reason, "FILE_EMPTY");
}

static void test_read__no_such_file__refused(void **state) {
    (void)state;
    err e = {0};
    assert_false(pay_file_read(&C, "/nonexistent/payouts.csv", &FILE_READ, &e));
    assert_string_equal(e.reason, "FILE_UNREADABLE");
}

static void read_bytes(const char *bytes, size_t len, const char *reason) {
    char path[] = "/tmp/payctl-test-XXXXXX";
    err e = {0};
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (long)len);
    close(fd);
    assert_false(pay_file_read(&C, path, &FILE_READ, &e));
    unlink(path);
    assert_string_equal(e.reason, reason);
}

static void assert_complaint(size_t i, size_t line, const char *field, const char *reason) {
    assert_true(i < FILE_READ.bad);
    assert_int_equal(FILE_READ.complaints[i].line, line);
    assert_string_equal(FILE_READ.complaints[i].field, field);
    assert_string_equal(FILE_READ.complaints[i].reason, reason);
}

static void test_read__another_number_of_cells__bad_line_with_both_counts(void **state) {
    (void)state;
    err e = {0};
    assert_true(read_text(
        HEADER "ref-1,acme,Ada,individual,ach,USD,1,234.56,021000021,12345678,checking,PAYOUT\n"
               "ref-2,acme,Ada,individual,ach,USD,1.00,021000021,12345678,checking\n" GOOD,
        &e));
    assert_int_equal(FILE_READ.n, 1);
    assert_int_equal(FILE_READ.bad, 2);
    assert_complaint(0, 2, "", "CELL_COUNT");
    assert_string_equal(FILE_READ.complaints[0].text,
                        "has 12 cells, and the header line has 11 columns");
    assert_complaint(1, 3, "", "CELL_COUNT");
}

static void test_read__column_twice_or_unknown__file_refused(void **state) {
    (void)state;
    err e = {0};
    assert_false(read_text("amount," HEADER "1.00," GOOD, &e));
    assert_string_equal(e.reason, "COLUMN_REPEATED");
    assert_string_equal(e.field, "amount");
    assert_false(read_text("notes," HEADER "x," GOOD, &e));
    assert_string_equal(e.reason, "COLUMN_UNKNOWN");
}

static void test_read__rows_of_empty_cells__no_rows_but_lines(void **state) {
    (void)state;
    err e = {0};
    assert_true(read_text(HEADER ",,,,,,,,,,\n" GOOD ",,,,,,,,,,\n\n , ,\nx,\n", &e));
    assert_int_equal(FILE_READ.n, 1);
    assert_int_equal(FILE_READ.rows[0].line, 3);
    assert_int_equal(FILE_READ.bad, 1);
    assert_complaint(0, 7, "", "CELL_COUNT");
}

static void test_read__other_kinds_of_file__each_named(void **state) {
    (void)state;
    static const char UTF16[] = "r\0e\0f\0e\0r\0e\0n\0c\0e\0,\0\n\0";
    read_bytes(UTF16, sizeof UTF16 - 1, "FILE_UTF16");
    read_bytes("\xff\xfer\0", 4, "FILE_UTF16");
    read_bytes("PK\x03\x04zzzz", 8, "FILE_NOT_CSV");
    read_bytes("reference;amount\nx;y\n", 21, "SEPARATOR_UNKNOWN");
    read_bytes("reference\tamount\nx\ty\n", 21, "SEPARATOR_UNKNOWN");
    read_bytes("reference,amount\rx,y\r", 21, "LINE_ENDS_CR");
}

static void test_cell_is_text__says_which_byte(void **state) {
    (void)state;
    err e = {0};
    assert_true(csv_file_cell_is_text(STR("Zo\xc3\xab \xf0\x9f\x99\x82"), "x", &e));
    assert_true(csv_file_cell_is_text(STR(""), "x", &e));
    static const struct {
        str cell;
        const char *reason, *text;
    } CASES[] = {
        {{"12\0"
          "34",
          5},
         "CONTROL_CHARACTER",
         "has a control character, U+0000, at byte 3"},
        {{"a\x7f", 2}, "CONTROL_CHARACTER", "has a control character, U+007F, at byte 2"},
        {{"\xc2\x9f", 2}, "CONTROL_CHARACTER", "has a control character, U+009F, at byte 1"},
        {{"\xe9t\xe9", 3},
         "INVALID_UTF8",
         "is not UTF-8 text: byte 1 is 0xE9; save the file as CSV UTF-8"},
        {{"ab\xc3", 3},
         "INVALID_UTF8",
         "is not UTF-8 text: byte 3 is 0xC3; save the file as CSV UTF-8"},
        {{"\xed\xa0\x80", 3},
         "INVALID_UTF8",
         "is not UTF-8 text: byte 1 is 0xED; save the file as CSV UTF-8"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        assert_false(csv_file_cell_is_text(CASES[i].cell, "name", &e));
        assert_string_equal(e.reason, CASES[i].reason);
        assert_string_equal(e.message, CASES[i].text);
        assert_string_equal(e.field, "name");
    }
}

static void test_recipient_key__of_the_reference__not_of_the_account(void **state) {
    (void)state;
    err e = {0};
    char first[72];
    assert_true(read_text(HEADER GOOD
                          "ref-2,acme,Ada,individual,ach,USD,99,021000021,12345678,checking,\n"
                          "ref-1,other,Ada,individual,ach,USD,99,021000021,12345678,checking,\n",
                          &e));
    assert_int_equal(FILE_READ.n, 3);
    memcpy(first, FILE_READ.rows[0].recipient_key, sizeof first);
    assert_string_not_equal(first, FILE_READ.rows[1].recipient_key);
    assert_string_not_equal(first, FILE_READ.rows[2].recipient_key);
    payout_file_free(&FILE_READ);
    assert_true(read_text(HEADER "ref-1,acme,B,company,ach,USD,9,021000021,999,savings,\n", &e));
    assert_string_equal(first, FILE_READ.rows[0].recipient_key);
}

// The reader knows no protobuf: this compares the values of its cells with the published numbers.
static void check_choices(const ProtobufCEnumDescriptor *d, const char *row, size_t field) {
    for (unsigned i = 0; i < d->n_values; i++) {
        char name[32], text[512];
        err e = {0};
        if (d->values[i].value == 0) {
            continue;
        }
        cli_enum_name_lower(d, d->values[i].value, name, sizeof name);
        (void)snprintf(text, sizeof text, "%s", HEADER);
        const size_t len = strlen(text);
        const char *at = strchr(row, '*');
        assert_non_null(at);
        (void)snprintf(text + len, sizeof text - len, "%.*s%s%s\n", (int)(at - row), row, name,
                       at + 1);
        assert_true(read_text(text, &e));
        assert_int_equal(FILE_READ.n, 1);
        int value = 0;
        memcpy(&value, (const char *)&FILE_READ.rows[0] + field, sizeof value);
        assert_int_equal(value, d->values[i].value);
        payout_file_free(&FILE_READ);
    }
}

static void test_choices__all_of_the_published_enums(void **state) {
    (void)state;
    check_choices(&payments__v1__holder_type__descriptor,
                  "r,acme,Ada,*,ach,USD,1.00,021000021,1,checking,",
                  offsetof(payout_row, holder_type));
    check_choices(&payments__v1__rail__descriptor,
                  "r,acme,Ada,company,*,USD,1.00,021000021,1,checking,",
                  offsetof(payout_row, rail));
    check_choices(&payments__v1__bank_account_type__descriptor,
                  "r,acme,Ada,company,ach,USD,1.00,021000021,1,*,",
                  offsetof(payout_row, account_type));
}

static void test_money__digits_of_the_currency(void **state) {
    (void)state;
    assert_string_equal(cli_money(&C, 123456789, "USD"), "1,234,567.89 USD");
    assert_string_equal(cli_money(&C, 5, "USD"), "0.05 USD");
    assert_string_equal(cli_money(&C, -1234, "USD"), "-12.34 USD");
    assert_string_equal(cli_money(&C, 1234, "JPY"), "1,234 JPY");
    assert_string_equal(cli_money(&C, 100000, "USD"), "1,000.00 USD");
    assert_string_equal(cli_money_text(&C, "123456789012345678901234567890", "USD"),
                        "1,234,567,890,123,456,789,012,345,678.90 USD");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_read__good_row__all_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_read__quotes_bom_crlf_and_column_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_read__every_bad_line_is_counted__good_ones_kept,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_read__missing_column__refused_by_name, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_read__empty_file__refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_read__no_such_file__refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_read__another_number_of_cells__bad_line_with_both_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_read__column_twice_or_unknown__file_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_read__rows_of_empty_cells__no_rows_but_lines, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_read__other_kinds_of_file__each_named, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_cell_is_text__says_which_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_recipient_key__of_the_reference__not_of_the_account,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_choices__all_of_the_published_enums, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_money__digits_of_the_currency, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
