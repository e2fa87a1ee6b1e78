// Credit lines, external references and metadata of accounts and transfers as requests.
#include <string.h>

#include "testing/bench_book.h"

enum { DC = LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS };

static ledger_account_event usd(uint64_t id) {
    return (ledger_account_event){
        .id = bench_id(id), .code = 10, .flags = DC, .currency = bench_currency("USD")};
}

#define EXPECT_ONE(b, event, wanted)                                                               \
    do {                                                                                           \
        const ledger_account_event one = (event);                                                  \
        bench_apply_accounts((b), &one, 1);                                                        \
        EXPECT_ACCOUNT((b), 0, wanted);                                                            \
    } while (0)

static void test_metadata__sorted_and_read_back(void **state) {
    (void)state;
    ledger_metadata_entry entries[] = {
        {STR("region"), STR("eu")}, {STR("a"), STR("")}, {STR("regio"), STR("x\0y")}};
    char bytes[LEDGER_METADATA_MAX];
    size_t len = 0;
    assert_true(ledger_metadata_encode(entries, 3, bytes, &len));
    assert_int_equal(len, 3 * 3 + 6 + 2 + 1 + 5 + 3);
    str rest = {bytes, len};
    ledger_metadata_entry entry;
    assert_true(ledger_metadata_next(&rest, &entry));
    assert_true(str_eq(entry.key, STR("a")) && entry.value.len == 0);
    assert_true(ledger_metadata_next(&rest, &entry));
    assert_true(str_eq(entry.key, STR("regio")) && str_eq(entry.value, STR("x\0y")));
    assert_true(ledger_metadata_next(&rest, &entry));
    assert_true(str_eq(entry.key, STR("region")) && str_eq(entry.value, STR("eu")));
    assert_false(ledger_metadata_next(&rest, &entry));
    ledger_metadata_entry twice[] = {
        {STR("k"), STR("1")}, {STR("j"), STR("1")}, {STR("k"), STR("2")}};
    assert_false(ledger_metadata_encode(twice, 3, bytes, &len));
    assert_true(ledger_metadata_encode(NULL, 0, bytes, &len));
    assert_int_equal(len, 0);
}

static void test_metadata__the_most_there_can_be(void **state) {
    (void)state;
    static char keys[LEDGER_METADATA_ENTRIES_MAX][LEDGER_METADATA_KEY_MAX];
    static char value[LEDGER_METADATA_VALUE_MAX];
    ledger_metadata_entry entries[LEDGER_METADATA_ENTRIES_MAX];
    for (size_t i = 0; i < LEDGER_METADATA_ENTRIES_MAX; i++) {
        memset(keys[i], 'p' - (int)i, sizeof keys[i]);
        entries[i] = (ledger_metadata_entry){{keys[i], sizeof keys[i]}, {value, sizeof value}};
    }
    char bytes[LEDGER_METADATA_MAX];
    size_t len = 0;
    assert_true(ledger_metadata_encode(entries, LEDGER_METADATA_ENTRIES_MAX, bytes, &len));
    assert_int_equal(len, LEDGER_METADATA_MAX);
    str rest = {bytes, len};
    ledger_metadata_entry entry;
    size_t n = 0;
    for (; ledger_metadata_next(&rest, &entry); n++) {
        assert_int_equal(entry.key.ptr[0], 'a' + (int)n);
        assert_int_equal(entry.value.len, LEDGER_METADATA_VALUE_MAX);
    }
    assert_int_equal(n, LEDGER_METADATA_ENTRIES_MAX);
}

static void test_account__lowest_balance(void **state) {
    bench_book *b = *state;
    ledger_account_event a = usd(1);
    a.lowest_balance = 1;
    a.code = 0;
    EXPECT_ONE(b, a, CODE_MUST_NOT_BE_ZERO);
    a.code = 10;
    EXPECT_ONE(b, a, LOWEST_BALANCE_MUST_NOT_BE_POSITIVE);
    a.lowest_balance = -5;
    a.flags = LEDGER_ACCOUNT_FLAG_HISTORY;
    EXPECT_ONE(b, a, LOWEST_BALANCE_MUST_BE_ZERO);
    a.flags = DC | LEDGER_ACCOUNT_FLAG_HISTORY;
    EXPECT_ONE(b, a, CREATED);
    a.lowest_balance = -6;
    EXPECT_ONE(b, a, EXISTS_WITH_DIFFERENT_LOWEST_BALANCE);
    a.lowest_balance = -5;
    EXPECT_ONE(b, a, EXISTS);
}

static void test_account__reference_is_unique_in_its_book(void **state) {
    bench_book *b = *state;
    ledger_account_event a = usd(1);
    a.external_reference = STR("iban:1");
    a.metadata = STR("\1k\0\1v");
    EXPECT_ONE(b, a, CREATED);
    EXPECT_ONE(b, a, EXISTS);
    ledger_account_event other = usd(2);
    other.external_reference = STR("iban:1");
    EXPECT_ONE(b, other, EXTERNAL_REFERENCE_EXISTS);
    other.external_reference = STR("iban:2");
    EXPECT_ONE(b, other, CREATED);
    a.metadata = STR("\1k\0\1w");
    EXPECT_ONE(b, a, EXISTS_WITH_DIFFERENT_METADATA);
    a.external_reference = STR("");
    EXPECT_ONE(b, a, EXISTS_WITH_DIFFERENT_EXTERNAL_REFERENCE);
    // A failed chain frees the reference.
    ledger_account_event chain[2] = {usd(3), usd(4)};
    chain[0].flags |= LEDGER_ACCOUNT_FLAG_LINKED;
    chain[0].external_reference = STR("iban:3");
    chain[1].external_reference = STR("iban:3");
    bench_apply_accounts(b, chain, 2);
    EXPECT_ACCOUNT(b, 0, LINKED_EVENT_FAILED);
    EXPECT_ACCOUNT(b, 1, EXTERNAL_REFERENCE_EXISTS);
    EXPECT_ONE(b, chain[1], CREATED);
}

static void test_account__closed_since__is_the_same_request(void **state) {
    bench_book *b = *state;
    EXPECT_ONE(b, usd(1), CREATED);
    EXPECT_ONE(b, usd(2), CREATED);
    ledger_transfer_event close = bench_transfer(1, 1, 2, 0);
    close.flags = LEDGER_TRANSFER_FLAG_PENDING | LEDGER_TRANSFER_FLAG_CLOSING_DEBIT;
    EXPECT(b, close, CREATED);
    EXPECT_ONE(b, usd(1), EXISTS);
    ledger_account_event closed = usd(1);
    closed.flags |= LEDGER_ACCOUNT_FLAG_CLOSED;
    EXPECT_ONE(b, closed, EXISTS_WITH_DIFFERENT_FLAGS);
}

static void test_transfer__labels_are_part_of_the_request(void **state) {
    bench_book *b = *state;
    bench_account(b, 1, 0);
    bench_account(b, 2, 0);
    ledger_transfer_event t = bench_transfer(1, 1, 2, 5);
    t.external_reference = STR("invoice 7");
    t.metadata = STR("\1k\0\1v");
    t.flags = LEDGER_TRANSFER_FLAG_PENDING;
    EXPECT(b, t, CREATED);
    assert_true(str_eq(b->results[0].row->external_reference, STR("invoice 7")));
    EXPECT(b, t, EXISTS);
    t.metadata = STR("");
    EXPECT(b, t, EXISTS_WITH_DIFFERENT_METADATA);
    t.external_reference = STR("invoice 8");
    EXPECT(b, t, EXISTS_WITH_DIFFERENT_EXTERNAL_REFERENCE);
    t.code = 5;
    EXPECT(b, t, EXISTS_WITH_DIFFERENT_CODE);
    // A reference need not be unique, and the post does not take it from its pending transfer.
    ledger_transfer_event post = bench_post(2, 1, 5);
    EXPECT(b, post, CREATED);
    assert_int_equal(b->results[0].row->external_reference.len, 0);
    assert_int_equal(b->results[0].row->metadata.len, 0);
    post.external_reference = STR("invoice 7");
    EXPECT(b, post, EXISTS_WITH_DIFFERENT_EXTERNAL_REFERENCE);
    ledger_transfer_event next = bench_transfer(3, 1, 2, 5);
    next.external_reference = STR("invoice 7");
    EXPECT(b, next, CREATED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_metadata__sorted_and_read_back),
        T(test_metadata__the_most_there_can_be),
        T(test_account__lowest_balance),
        T(test_account__reference_is_unique_in_its_book),
        T(test_account__closed_since__is_the_same_request),
        T(test_transfer__labels_are_part_of_the_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
