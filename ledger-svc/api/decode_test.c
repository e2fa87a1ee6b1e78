// The envelope: bad requests are refused before anything is queued, with the code, the reason and the field.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/api_internal.h"

static char ID[] = "0190b6a0-0000-7000-8000-000000000001";
static char NOT_ID[] = "0190b6a0-0000-7000-8000-00000000000g";
static char USD[] = "USD";
static char LOWER[] = "usd";

static arena *mem;

static int setup(void **state) {
    (void)state;
    mem = arena_create((size_t)16 * 1024 * 1024);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_destroy(mem);
    return 0;
}

static Ledger__V1__Transfer transfer(void) {
    Ledger__V1__Transfer t = LEDGER__V1__TRANSFER__INIT;
    t.id = ID;
    t.currency = USD;
    t.amount = 5;
    return t;
}

// Decodes two transfers; t is the second.
static bool decode(Ledger__V1__Transfer *t, ledger_transfer_event **events, err *e) {
    Ledger__V1__Transfer first = transfer();
    Ledger__V1__Transfer *list[] = {&first, t};
    Ledger__V1__CreateTransfersRequest r = LEDGER__V1__CREATE_TRANSFERS_REQUEST__INIT;
    r.book_id = 1;
    r.transfers = list;
    r.n_transfers = 2;
    err_clear(e);
    return api_transfers_decode(mem, &r, events, e);
}

static void expect_refusal(Ledger__V1__Transfer *t, const char *reason, const char *field) {
    ledger_transfer_event *events = NULL;
    err e = {0};
    assert_false(decode(t, &events, &e));
    assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(e.reason, reason);
    assert_string_equal(e.field, field);
}

static void test_decode__bad_fields__are_named(void **state) {
    (void)state;
    Ledger__V1__Transfer t = transfer();
    t.id = NOT_ID;
    expect_refusal(&t, "INVALID_UUID", "transfers[1].id");
    t = transfer();
    t.debit_account_id = NOT_ID;
    expect_refusal(&t, "INVALID_UUID", "transfers[1].debit_account_id");
    t = transfer();
    t.credit_account_id = NOT_ID;
    expect_refusal(&t, "INVALID_UUID", "transfers[1].credit_account_id");
    t = transfer();
    t.pending_id = NOT_ID;
    expect_refusal(&t, "INVALID_UUID", "transfers[1].pending_id");
    t = transfer();
    t.user_data_128 = NOT_ID;
    expect_refusal(&t, "INVALID_UUID", "transfers[1].user_data_128");
    t = transfer();
    t.amount = -1;
    expect_refusal(&t, "NEGATIVE_AMOUNT", "transfers[1].amount");
    t.amount = INT64_MIN;
    expect_refusal(&t, "NEGATIVE_AMOUNT", "transfers[1].amount");
    t = transfer();
    t.currency = LOWER;
    expect_refusal(&t, "INVALID_CURRENCY", "transfers[1].currency");
}

static void test_decode__absent_fields__are_nil(void **state) {
    (void)state;
    Ledger__V1__Transfer t = LEDGER__V1__TRANSFER__INIT;
    ledger_transfer_event *events = NULL;
    err e = {0};
    assert_true(decode(&t, &events, &e));
    assert_true(uuid_is_nil(events[1].id) && uuid_is_nil(events[1].pending_id));
    assert_int_equal(events[1].currency, 0);
    assert_int_equal(events[0].amount, 5);
}

static void test_decode__sizes_and_book__are_checked(void **state) {
    (void)state;
    Ledger__V1__CreateTransfersRequest r = LEDGER__V1__CREATE_TRANSFERS_REQUEST__INIT;
    ledger_transfer_event *events = NULL;
    err e = {0};
    assert_false(api_transfers_decode(mem, &r, &events, &e));
    assert_string_equal(e.reason, "INVALID_BOOK_ID");
    r.book_id = 1;
    assert_true(api_transfers_decode(mem, &r, &events, &e));
    Ledger__V1__Transfer t = transfer();
    Ledger__V1__Transfer **list = calloc(LEDGER_BATCH_MAX + 1, sizeof *list);
    assert_non_null(list);
    for (size_t i = 0; i <= LEDGER_BATCH_MAX; i++) {
        list[i] = &t;
    }
    r.transfers = list;
    r.n_transfers = LEDGER_BATCH_MAX + 1;
    assert_false(api_transfers_decode(mem, &r, &events, &e));
    assert_string_equal(e.reason, "BATCH_TOO_LARGE");
    r.n_transfers = LEDGER_BATCH_MAX;
    assert_true(api_transfers_decode(mem, &r, &events, &e));
    free(list);
}

static void test_decode__ids__keep_their_order_and_lose_repeats(void **state) {
    (void)state;
    static char other[] = "0190B6A0-0000-7000-8000-000000000002";
    static char upper[] = "0190B6A0-0000-7000-8000-000000000001";
    static char empty[] = "";
    char *texts[] = {other, ID, upper, other};
    uuid *ids = NULL;
    size_t n = 0;
    err e = {0};
    assert_true(api_ids_decode(mem, texts, 4, 10, "ids", &ids, &n, &e));
    assert_int_equal(n, 2);
    assert_int_equal(ids[0].b[15], 2);
    assert_int_equal(ids[1].b[15], 1);
    assert_false(api_ids_decode(mem, texts, 4, 3, "ids", &ids, &n, &e));
    assert_string_equal(e.reason, "BATCH_TOO_LARGE");
    texts[1] = empty;
    assert_false(api_ids_decode(mem, texts, 2, 3, "ids", &ids, &n, &e));
    assert_string_equal(e.field, "ids[1]");
}

static void test_decode__accounts__bad_fields_are_named(void **state) {
    (void)state;
    Ledger__V1__Account a = LEDGER__V1__ACCOUNT__INIT;
    Ledger__V1__Account *list[] = {&a};
    Ledger__V1__CreateAccountsRequest r = LEDGER__V1__CREATE_ACCOUNTS_REQUEST__INIT;
    ledger_account_event *events = NULL;
    err e = {0};
    r.book_id = 1;
    r.accounts = list;
    r.n_accounts = 1;
    a.id = NOT_ID;
    assert_false(api_accounts_decode(mem, &r, &events, &e));
    assert_string_equal(e.field, "accounts[0].id");
    a.id = ID;
    a.currency = LOWER;
    assert_false(api_accounts_decode(mem, &r, &events, &e));
    assert_string_equal(e.field, "accounts[0].currency");
    a.currency = USD;
    a.debits_posted = 3;
    assert_true(api_accounts_decode(mem, &r, &events, &e));
    // the posting rules refuse it with a status; the envelope passes it
    assert_int_equal(events[0].balances.debits_posted, 3);
}

static void test_encode__rows__are_whole(void **state) {
    (void)state;
    err e = {0};
    ledger_row row = {.kind = LEDGER_KIND_EXPIRE,
                      .amount = INT64_MAX,
                      .released = INT64_MAX,
                      .currency = ledger_currency_pack(STR("USD")),
                      .user_data_64 = UINT64_MAX,
                      .sequence = 9,
                      .debit_after = {1, 2, 3, 4},
                      .credit_after = {5, 6, 7, 8}};
    row.pending_id.b[0] = 1;
    const Ledger__V1__Transfer *t = api_transfer_encode(mem, &row, &e);
    assert_non_null(t);
    assert_string_equal(t->id, "");
    assert_string_equal(t->pending_id, "01000000-0000-0000-0000-000000000000");
    assert_int_equal(t->kind, LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_EXPIRE);
    assert_int_equal(t->debit_balances->credits_posted, 4);
    assert_int_equal(t->credit_balances->debits_pending, 5);
    uint8_t packed[512];
    assert_true(ledger__v1__transfer__get_packed_size(t) <= sizeof packed);
    assert_true(ledger__v1__transfer__pack(t, packed) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode__bad_fields__are_named),
        cmocka_unit_test(test_decode__absent_fields__are_nil),
        cmocka_unit_test(test_decode__sizes_and_book__are_checked),
        cmocka_unit_test(test_decode__ids__keep_their_order_and_lose_repeats),
        cmocka_unit_test(test_decode__accounts__bad_fields_are_named),
        cmocka_unit_test(test_encode__rows__are_whole),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
