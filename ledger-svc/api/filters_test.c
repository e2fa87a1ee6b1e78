// The filters of the lists: how each field is decoded, and which mistakes are refused by name instead of finding nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "api/lists_internal.h"

static char ID[] = "0190b6a0-0000-7000-8000-000000000001";
static char NIL[] = "00000000-0000-0000-0000-000000000000";
static char NOT_ID[] = "0190b6a0-0000-7000-8000-00000000000g";
static char USD[] = "USD";
static char LOWER[] = "usd";
static char KEY[] = "invoice";
static char VALUE[] = "17";
static char CUT[] = "caf\xc3"; // no valid text

// n times the letter x; valid until the next call.
static char *xs(size_t n) {
    static char text[1024];
    memset(text, 'x', n);
    text[n] = '\0';
    return text;
}

static Ledger__V1__TransferFilter transfers(void) {
    Ledger__V1__TransferFilter m = LEDGER__V1__TRANSFER_FILTER__INIT;
    return m;
}

static void expect_fine(const Ledger__V1__TransferFilter *m) {
    query_transfers q = {0};
    err e = {0};
    if (!api_transfer_filter_decode(m, &q, &e)) {
        fail_msg("%s: %s", e.field, e.message);
    }
}

static void expect_refused(const Ledger__V1__TransferFilter *m, const char *reason,
                           const char *field) {
    query_transfers q = {0};
    err e = {0};
    assert_false(api_transfer_filter_decode(m, &q, &e));
    assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(e.reason, reason);
    assert_string_equal(e.field, field);
    assert_memory_equal(e.message, field, strlen(field)); // names the field
}

static void test_transfers__no_filter__nothing_is_set(void **state) {
    (void)state;
    const query_transfers untouched = {.book_id = 7};
    query_transfers q = untouched;
    err e = {0};
    assert_true(api_transfer_filter_decode(NULL, &q, &e));
    assert_memory_equal(&q, &untouched, sizeof q);
    const Ledger__V1__TransferFilter empty = transfers();
    assert_true(api_transfer_filter_decode(&empty, &q, &e));
    assert_false(q.filter.has_account);
    assert_int_equal(q.filter.currency, 0);
    assert_int_equal(q.filter.external_reference.len, 0);
    assert_true(uuid_is_nil(q.filter.user_data_128));
}

static void test_transfers__each_field__is_where_it_belongs(void **state) {
    (void)state;
    Ledger__V1__TransferFilter m = transfers();
    m.account_id = ID;
    m.side = LEDGER__V1__ENTRY_SIDE__ENTRY_SIDE_CREDIT;
    m.code = 65535;
    m.currency = USD;
    m.external_reference = VALUE;
    m.metadata_key = KEY;
    m.metadata_value = VALUE;
    m.user_data_128 = ID;
    m.user_data_64 = UINT64_MAX;
    m.user_data_32 = UINT32_MAX;
    m.kind = LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_PENDING;
    m.pending_state = LEDGER__V1__PENDING_STATE__PENDING_STATE_VOIDED;
    m.from_us = 1;
    m.to_us = 2;
    m.effective_from_us = 3;
    m.effective_to_us = 4;
    m.from_sequence = 5;
    m.to_sequence = 6;
    query_transfers q = {0};
    err e = {0};
    uuid id;
    assert_true(uuid_parse(str_of(ID), &id));
    assert_true(api_transfer_filter_decode(&m, &q, &e));
    assert_true(q.filter.has_account);
    assert_memory_equal(&q.filter.account_id, &id, sizeof id);
    assert_int_equal(q.filter.side, STORE_SIDE_CREDIT);
    assert_int_equal(q.filter.code, 65535);
    assert_int_equal(q.filter.currency, ledger_currency_pack(STR("USD")));
    assert_true(str_eq(q.filter.external_reference, STR("17")));
    assert_true(str_eq(q.filter.metadata_key, STR("invoice")));
    assert_true(str_eq(q.filter.metadata_value, STR("17")));
    assert_memory_equal(&q.filter.user_data_128, &id, sizeof id);
    assert_true(q.filter.user_data_64 == UINT64_MAX);
    assert_int_equal(q.filter.user_data_32, UINT32_MAX);
    assert_int_equal(q.filter.kind, LEDGER_KIND_PENDING);
    assert_int_equal(q.filter.pending_state, STORE_PENDING_VOIDED);
    assert_int_equal(q.from_us, 1);
    assert_int_equal(q.to_us, 2);
    assert_int_equal(q.filter.effective_from_us, 3);
    assert_int_equal(q.filter.effective_to_us, 4);
    assert_int_equal(q.from_sequence, 5);
    assert_int_equal(q.to_sequence, 6);
}

static void test_transfers__values_out_of_range__refused(void **state) {
    (void)state;
    Ledger__V1__TransferFilter m = transfers();
    m.code = 65536;
    expect_refused(&m, "INVALID_FILTER", "filter.code");
    m = transfers();
    m.currency = LOWER;
    expect_refused(&m, "INVALID_CURRENCY", "filter.currency");
    m = transfers();
    m.account_id = NOT_ID;
    expect_refused(&m, "INVALID_UUID", "filter.account_id");
    m.account_id = NIL;
    expect_refused(&m, "INVALID_UUID", "filter.account_id");
    m = transfers();
    m.user_data_128 = NOT_ID;
    expect_refused(&m, "INVALID_UUID", "filter.user_data_128");
    m = transfers();
    m.kind = (Ledger__V1__TransferKind)99;
    expect_refused(&m, "INVALID_FILTER", "filter.kind");
    m = transfers();
    m.pending_state = (Ledger__V1__PendingState)-1;
    expect_refused(&m, "INVALID_FILTER", "filter.pending_state");
    m.pending_state = (Ledger__V1__PendingState)99;
    expect_refused(&m, "INVALID_FILTER", "filter.pending_state");
    m = transfers();
    m.account_id = ID;
    m.side = (Ledger__V1__EntrySide)3;
    expect_refused(&m, "INVALID_FILTER", "filter.side");
}

static void test_transfers__texts__to_their_limit(void **state) {
    (void)state;
    Ledger__V1__TransferFilter m = transfers();
    m.external_reference = xs(LEDGER_EXTERNAL_REFERENCE_MAX);
    expect_fine(&m);
    m.external_reference = xs(LEDGER_EXTERNAL_REFERENCE_MAX + 1);
    expect_refused(&m, "INVALID_FILTER", "filter.external_reference");
    m.external_reference = CUT;
    expect_refused(&m, "INVALID_FILTER", "filter.external_reference");
    m = transfers();
    m.metadata_key = xs(LEDGER_METADATA_KEY_MAX);
    expect_fine(&m);
    m.metadata_key = xs(LEDGER_METADATA_KEY_MAX + 1);
    expect_refused(&m, "INVALID_FILTER", "filter.metadata_key");
    m.metadata_key = KEY;
    m.metadata_value = xs(LEDGER_METADATA_VALUE_MAX);
    expect_fine(&m);
    m.metadata_value = xs(LEDGER_METADATA_VALUE_MAX + 1);
    expect_refused(&m, "INVALID_FILTER", "filter.metadata_value");
}

static void test_transfers__what_cannot_be_meant_together__refused(void **state) {
    (void)state;
    Ledger__V1__TransferFilter m = transfers();
    m.side = LEDGER__V1__ENTRY_SIDE__ENTRY_SIDE_DEBIT; // of which account?
    expect_refused(&m, "INVALID_FILTER", "filter.side");
    m = transfers();
    m.metadata_value = VALUE; // of which key?
    expect_refused(&m, "INVALID_FILTER", "filter.metadata_value");
    m = transfers();
    m.pending_state = LEDGER__V1__PENDING_STATE__PENDING_STATE_OPEN;
    expect_fine(&m);
    m.kind = LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_PENDING;
    expect_fine(&m);
    m.kind = LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_EXPIRE; // never pending
    expect_refused(&m, "INVALID_FILTER", "filter.pending_state");
}

static void test_transfers__ranges__not_negative_and_not_backwards(void **state) {
    (void)state;
    Ledger__V1__TransferFilter m = transfers();
    m.from_us = -1;
    expect_refused(&m, "INVALID_TIME_RANGE", "filter.from_us");
    m = transfers();
    m.to_us = -1;
    expect_refused(&m, "INVALID_TIME_RANGE", "filter.to_us");
    m.from_us = m.to_us = 5; // from is exclusive: an empty range
    expect_refused(&m, "INVALID_TIME_RANGE", "filter.to_us");
    m.to_us = 6;
    expect_fine(&m);
    m.to_us = 0; // without an end
    expect_fine(&m);
    m = transfers();
    m.effective_from_us = 9;
    m.effective_to_us = 8;
    expect_refused(&m, "INVALID_TIME_RANGE", "filter.effective_to_us");
    m = transfers();
    m.from_sequence = -1;
    expect_refused(&m, "INVALID_FILTER", "filter.from_sequence");
    m = transfers();
    m.to_sequence = -1;
    expect_refused(&m, "INVALID_FILTER", "filter.to_sequence");
    m.from_sequence = m.to_sequence = 5; // from is inclusive: one row
    expect_fine(&m);
    m.to_sequence = 4;
    expect_refused(&m, "INVALID_FILTER", "filter.to_sequence");
}

static void test_accounts__fields_and_flags(void **state) {
    (void)state;
    Ledger__V1__AccountFilter m = LEDGER__V1__ACCOUNT_FILTER__INIT;
    query_accounts q = {0};
    err e = {0};
    m.code = 12;
    m.currency = USD;
    m.metadata_key = KEY;
    m.user_data_64 = 3;
    m.user_data_32 = 4;
    m.flags = LEDGER_ACCOUNT_FLAGS_KNOWN;
    m.from_us = 1;
    m.to_us = 2;
    assert_true(api_account_filter_decode(&m, &q, &e));
    assert_int_equal(q.filter.code, 12);
    assert_int_equal(q.filter.currency, ledger_currency_pack(STR("USD")));
    assert_true(str_eq(q.filter.metadata_key, STR("invoice")));
    assert_int_equal(q.filter.user_data_64, 3);
    assert_int_equal(q.filter.user_data_32, 4);
    assert_int_equal(q.filter.flags, LEDGER_ACCOUNT_FLAGS_KNOWN);
    assert_int_equal(q.from_us, 1);
    assert_int_equal(q.to_us, 2);
    m.flags = LEDGER_ACCOUNT_FLAGS_KNOWN + 1;
    assert_false(api_account_filter_decode(&m, &q, &e));
    assert_string_equal(e.reason, "INVALID_FILTER");
    assert_string_equal(e.field, "filter.flags");
    m.flags = 0;
    m.currency = LOWER;
    assert_false(api_account_filter_decode(&m, &q, &e));
    assert_string_equal(e.field, "filter.currency");
    const query_accounts untouched = {0};
    q = untouched;
    assert_true(api_account_filter_decode(NULL, &q, &e));
    assert_memory_equal(&q, &untouched, sizeof q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfers__no_filter__nothing_is_set),
        cmocka_unit_test(test_transfers__each_field__is_where_it_belongs),
        cmocka_unit_test(test_transfers__values_out_of_range__refused),
        cmocka_unit_test(test_transfers__texts__to_their_limit),
        cmocka_unit_test(test_transfers__what_cannot_be_meant_together__refused),
        cmocka_unit_test(test_transfers__ranges__not_negative_and_not_backwards),
        cmocka_unit_test(test_accounts__fields_and_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
