#include <stdio.h>

#include "base/assert.h"
#include "base/clock.h"
#include "bench.h"
#include "payments/v1/merchant_service.pb-c.h"
#include "payments/v1/recipient_service.pb-c.h"

static ProtobufCMessage *call(const bench *b, const char *path, const ProtobufCMessage *request,
                              const ProtobufCMessageDescriptor *answer_type) {
    ProtobufCMessage *answer = NULL;
    err e = {0};
    if (!rpc_client_call(b->payments, path, request, answer_type,
                         clock_mono_ms(clock_system()) + CALL_TIMEOUT_MS, b->arena, &answer, &e)) {
        bench_fail(path, &e);
    }
    return answer;
}

static void create_merchant(const bench *b, bench_merchant *m) {
    char *currencies[] = {"USD"};
    Payments__V1__CreateMerchantRequest request = PAYMENTS__V1__CREATE_MERCHANT_REQUEST__INIT;
    request.merchant_id = m->id;
    request.name = m->id;
    request.currencies = currencies;
    request.n_currencies = 1;
    const Payments__V1__CreateMerchantResponse *answer =
        (const void *)call(b, "/payments.v1.MerchantService/CreateMerchant", &request.base,
                           &payments__v1__create_merchant_response__descriptor);
    m->book_id = answer->merchant->book_id;

    Payments__V1__CreateDepositRequest deposit = PAYMENTS__V1__CREATE_DEPOSIT_REQUEST__INIT;
    deposit.merchant_id = m->id;
    deposit.idempotency_key = "bench";
    deposit.amount_minor = (2 * ROUNDS * b->o.payouts + b->o.naive) * (int64_t)AMOUNT_MINOR_MAX;
    deposit.currency = "USD";
    (void)call(b, "/payments.v1.MerchantService/CreateDeposit", &deposit.base,
               &payments__v1__create_deposit_response__descriptor);
}

static void create_recipients(const bench *b, bench_merchant *m) {
    Payments__V1__NewRecipient rows[RECIPIENTS], *pointers[RECIPIENTS];
    Payments__V1__BankAccount accounts[RECIPIENTS];
    Payments__V1__BulkCreateRecipientsRequest request =
        PAYMENTS__V1__BULK_CREATE_RECIPIENTS_REQUEST__INIT;
    for (size_t i = 0; i < RECIPIENTS; i++) {
        payments__v1__new_recipient__init(&rows[i]);
        payments__v1__bank_account__init(&accounts[i]);
        rows[i].idempotency_key = arena_printf(b->arena, "recipient-%zu", i);
        rows[i].name = arena_printf(b->arena, "Recipient %zu of %s", i, m->id);
        rows[i].holder_type = i % 4 == 0 ? PAYMENTS__V1__HOLDER_TYPE__HOLDER_TYPE_COMPANY
                                         : PAYMENTS__V1__HOLDER_TYPE__HOLDER_TYPE_INDIVIDUAL;
        rows[i].bank_account = &accounts[i];
        accounts[i].routing_code = i % 2 == 0 ? "021000021" : "011000015";
        accounts[i].account_number = arena_printf(b->arena, "%zu", 4000000000 + i);
        accounts[i].account_type =
            i % 3 == 0 ? PAYMENTS__V1__BANK_ACCOUNT_TYPE__BANK_ACCOUNT_TYPE_SAVINGS
                       : PAYMENTS__V1__BANK_ACCOUNT_TYPE__BANK_ACCOUNT_TYPE_CHECKING;
        accounts[i].currency = "USD";
        pointers[i] = &rows[i];
    }
    request.merchant_id = m->id;
    request.recipients = pointers;
    request.n_recipients = RECIPIENTS;
    const Payments__V1__BulkCreateRecipientsResponse *answer =
        (const void *)call(b, "/payments.v1.RecipientService/BulkCreateRecipients", &request.base,
                           &payments__v1__bulk_create_recipients_response__descriptor);
    ASSERT(answer->n_results == RECIPIENTS);
    for (size_t i = 0; i < RECIPIENTS; i++) {
        const Payments__V1__RecipientResult *r = answer->results[i];
        ASSERT(r->outcome_case == PAYMENTS__V1__RECIPIENT_RESULT__OUTCOME_RECIPIENT);
        m->recipients[i] = r->recipient->recipient_id;
    }
}

void bench_setup(bench *b) {
    for (long i = 0; i < b->o.merchants; i++) {
        bench_merchant *m = &b->merchants[i];
        (void)snprintf(m->id, sizeof m->id, "merchant-%02ld", i);
        create_merchant(b, m);
        create_recipients(b, m);
        bench_progress("%s in book %lld ", m->id, (long long)m->book_id);
    }
    (void)fprintf(stderr, "\n");
}
