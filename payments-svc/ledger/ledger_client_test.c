// The wire format, and the reading of answers, with the test's own ledger: it stands in for rpc_client_call at link time.
#include "ledger/ledger_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define T_STATUS(name) LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_##name
#define A_STATUS(name) LEDGER__V1__CREATE_ACCOUNT_STATUS__CREATE_ACCOUNT_STATUS_##name

static arena *memory;
static ProtobufCMessage *answers[2]; // to the next calls; NULL fails
static int n_calls;
static char paths[2][64];
static ProtobufCMessage *requests[2]; // as they arrive

bool rpc_client_call(rpc_client *c, const char *path, const ProtobufCMessage *request,
                     const ProtobufCMessageDescriptor *response_type, int64_t deadline_mono_ms,
                     arena *a, ProtobufCMessage **response, err *e) {
    (void)c;
    (void)deadline_mono_ms;
    // Packs and unpacks: this finds a value that cannot be packed.
    const size_t len = protobuf_c_message_get_packed_size(request);
    uint8_t *bytes = arena_alloc(a, len + 1);
    assert_int_equal(protobuf_c_message_pack(request, bytes), len);
    ProtobufCMessage *copy = protobuf_c_message_unpack(request->descriptor, NULL, len, bytes);
    assert_non_null(copy);
    requests[n_calls] = copy;
    (void)snprintf(paths[n_calls], sizeof paths[0], "%s", path);
    *response = answers[n_calls++];
    if (*response == NULL) {
        return err_set(e, ERR_UNAVAILABLE, "DOWN", "the ledger is down");
    }
    assert_ptr_equal((*response)->descriptor, response_type);
    return true;
}

static int fresh(void **state) {
    (void)state;
    memory = arena_create(1 << 24);
    memset(answers, 0, sizeof answers);
    n_calls = 0;
    return 0;
}

static int done(void **state) {
    (void)state;
    for (int i = 0; i < n_calls; i++) {
        protobuf_c_message_free_unpacked(requests[i], NULL);
    }
    arena_destroy(memory);
    return 0;
}

static uuid id(uint8_t n) {
    return (uuid){{0x10, 0, 0, 0, 0, 0, 0x80, 0, 0x80, 0, 0, 0, 0, 0, 0, n}};
}

static char *text(uint8_t n) {
    return uuid_text(memory, id(n));
}

static void test_transfers__fields_and_results(void **state) {
    (void)state;
    Ledger__V1__CreateTransferResult rows[2] = {LEDGER__V1__CREATE_TRANSFER_RESULT__INIT,
                                                LEDGER__V1__CREATE_TRANSFER_RESULT__INIT};
    rows[0].status = T_STATUS(CREATED);
    rows[0].sequence = 7;
    rows[0].timestamp_us = 70;
    rows[1].status = T_STATUS(EXCEEDS_CREDITS);
    Ledger__V1__CreateTransferResult *list[] = {&rows[0], &rows[1]};
    Ledger__V1__CreateTransfersResponse answer = LEDGER__V1__CREATE_TRANSFERS_RESPONSE__INIT;
    answer.n_results = 2;
    answer.results = list;
    answers[0] = &answer.base;
    const ledger_transfer transfers[] = {
        {.id = id(1),
         .debit = id(2),
         .credit = id(3),
         .user_data_128 = id(4),
         .amount = 5,
         .flags = 2,
         .code = 10,
         .currency = "USD"},
        {.id = id(6), .pending_id = id(1), .amount = INT64_MAX, .flags = 4}};
    ledger_result results[2];
    err e = {0};
    assert_true(ledger_create_transfers(NULL, 9, transfers, 2, results, 0, memory, &e));
    assert_string_equal(paths[0], "/ledger.v1.LedgerService/CreateTransfers");
    const Ledger__V1__CreateTransfersRequest *sent = (const void *)requests[0];
    assert_int_equal(sent->book_id, 9);
    assert_string_equal(sent->transfers[0]->id, text(1));
    assert_string_equal(sent->transfers[0]->debit_account_id, text(2));
    assert_string_equal(sent->transfers[0]->credit_account_id, text(3));
    assert_string_equal(sent->transfers[0]->user_data_128, text(4));
    assert_string_equal(sent->transfers[0]->pending_id, "");
    assert_string_equal(sent->transfers[0]->currency, "USD");
    assert_int_equal(sent->transfers[0]->code, 10);
    assert_string_equal(sent->transfers[1]->debit_account_id, ""); // inherited
    assert_string_equal(sent->transfers[1]->pending_id, text(1));
    assert_string_equal(sent->transfers[1]->currency, "");
    assert_true(sent->transfers[1]->amount == INT64_MAX);
    assert_int_equal(results[0].status, T_STATUS(CREATED));
    assert_int_equal(results[0].sequence, 7);
    assert_int_equal(results[1].status, T_STATUS(EXCEEDS_CREDITS));
}

static void test_transfers__wrong_count__error(void **state) {
    (void)state;
    Ledger__V1__CreateTransfersResponse answer = LEDGER__V1__CREATE_TRANSFERS_RESPONSE__INIT;
    answers[0] = &answer.base;
    const ledger_transfer one = {.id = id(1)};
    ledger_result result;
    err e = {0};
    assert_false(ledger_create_transfers(NULL, 9, &one, 1, &result, 0, memory, &e));
    assert_string_equal(e.reason, "LEDGER_ANSWER");
    // no answer at all
    assert_false(ledger_create_transfers(NULL, 9, &one, 1, &result, 0, memory, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
}

static void test_accounts__refused__named(void **state) {
    (void)state;
    Ledger__V1__CreateAccountResult rows[2] = {LEDGER__V1__CREATE_ACCOUNT_RESULT__INIT,
                                               LEDGER__V1__CREATE_ACCOUNT_RESULT__INIT};
    Ledger__V1__CreateAccountResult *list[] = {&rows[0], &rows[1]};
    Ledger__V1__CreateAccountsResponse answer = LEDGER__V1__CREATE_ACCOUNTS_RESPONSE__INIT;
    answer.n_results = 2;
    answer.results = list;
    rows[0].status = A_STATUS(CREATED);
    rows[1].status = A_STATUS(EXISTS);
    const ledger_account accounts[] = {{.id = id(1), .code = 100, .currency = "USD"},
                                       {.id = id(2), .code = 200, .currency = "USD"}};
    err e = {0};
    answers[0] = answers[1] = &answer.base;
    assert_true(ledger_create_accounts(NULL, 9, accounts, 2, 0, memory, &e));
    rows[1].status = A_STATUS(EXISTS_WITH_DIFFERENT_CODE);
    assert_false(ledger_create_accounts(NULL, 9, accounts, 2, 0, memory, &e));
    assert_non_null(strstr(e.message, "EXISTS_WITH_DIFFERENT_CODE"));
    assert_non_null(strstr(e.message, text(2)));
}

static void test_lookup__with_proof(void **state) {
    (void)state;
    Ledger__V1__Account rows[2] = {LEDGER__V1__ACCOUNT__INIT, LEDGER__V1__ACCOUNT__INIT};
    Ledger__V1__Account *list[] = {&rows[0], &rows[1]};
    Ledger__V1__LookupAccountsResponse found = LEDGER__V1__LOOKUP_ACCOUNTS_RESPONSE__INIT;
    rows[0].id = text(1);
    rows[1].id = text(2);
    rows[0].currency = rows[1].currency = (char *)"USD";
    rows[0].credits_posted = 40;
    found.n_accounts = 2;
    found.accounts = list;
    found.sequence = 11;
    Ledger__V1__Balances kept = LEDGER__V1__BALANCES__INIT;
    kept.credits_posted = 50;
    Ledger__V1__AccountCheck checks[2] = {LEDGER__V1__ACCOUNT_CHECK__INIT,
                                          LEDGER__V1__ACCOUNT_CHECK__INIT};
    Ledger__V1__AccountCheck *check_list[] = {&checks[0], &checks[1]};
    Ledger__V1__CheckAccountsResponse proof = LEDGER__V1__CHECK_ACCOUNTS_RESPONSE__INIT;
    for (uint8_t i = 0; i < 2; i++) {
        checks[i].id = text((uint8_t)(i + 1));
        checks[i].kept = &kept;
        checks[i].entries = 3;
        checks[i].equal = true;
    }
    proof.n_checks = 2;
    proof.checks = check_list;
    proof.sequence = 12;
    answers[0] = &found.base;
    answers[1] = &proof.base;
    ledger_account accounts[] = {{.id = id(1)}, {.id = id(2)}};
    int64_t sequence = 0;
    err e = {0};
    assert_true(ledger_lookup_accounts(NULL, 9, accounts, 2, true, &sequence, 0, memory, &e));
    assert_int_equal(sequence, 12);
    assert_int_equal(accounts[0].credits_posted, 50); // one reading: the proof's
    assert_true(accounts[0].checked && accounts[0].equal);
    assert_string_equal(accounts[1].currency, "USD");
}

static void test_lookup__unknown_account__error(void **state) {
    (void)state;
    Ledger__V1__LookupAccountsResponse found = LEDGER__V1__LOOKUP_ACCOUNTS_RESPONSE__INIT;
    answers[0] = &found.base;
    ledger_account account = {.id = id(1)};
    int64_t sequence = 0;
    err e = {0};
    assert_false(ledger_lookup_accounts(NULL, 9, &account, 1, false, &sequence, 0, memory, &e));
    assert_int_equal(e.code, ERR_INTERNAL);
}

static void test_status_name__known_and_unknown__said(void **state) {
    (void)state;
    assert_string_equal(ledger_status_name(T_STATUS(EXCEEDS_CREDITS)), "EXCEEDS_CREDITS");
    assert_string_equal(ledger_status_name((Ledger__V1__CreateTransferStatus)999),
                        "UNKNOWN_STATUS");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_transfers__fields_and_results, fresh, done),
        cmocka_unit_test_setup_teardown(test_transfers__wrong_count__error, fresh, done),
        cmocka_unit_test_setup_teardown(test_accounts__refused__named, fresh, done),
        cmocka_unit_test_setup_teardown(test_lookup__with_proof, fresh, done),
        cmocka_unit_test_setup_teardown(test_lookup__unknown_account__error, fresh, done),
        cmocka_unit_test_setup_teardown(test_status_name__known_and_unknown__said, fresh, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
