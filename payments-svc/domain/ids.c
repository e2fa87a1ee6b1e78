#include "domain/ids.h"

#include <stdio.h>

#include "base/sha256.h"

// Every derivation begins with its own constant, so that ids of different kinds never meet.
static uuid derive(const char *kind, str a, str b, int64_t n) {
    char number[24];
    int len = snprintf(number, sizeof number, "%lld", (long long)n);
    const str parts[] = {STR("disburse"), str_of(kind), a, b, {number, (size_t)len}};
    return uuid_derive(parts, sizeof parts / sizeof parts[0]);
}

uuid account_merchant_available(int64_t book_id, str merchant_id, str currency) {
    return derive("account.merchant.available", merchant_id, currency, book_id);
}

uuid account_merchant_receivable(int64_t book_id, str merchant_id, str currency) {
    return derive("account.merchant.receivable", merchant_id, currency, book_id);
}

// The kind is the account's first name. A different kind is a different account, and existing ledgers could not continue.
uuid account_transit(int64_t book_id, int rail, str currency) {
    char number[16];
    int len = snprintf(number, sizeof number, "%d", rail);
    return derive("account.clearing", (str){number, (size_t)len}, currency, book_id);
}

uuid account_bank(int64_t book_id, str label, str currency) {
    const str none = {0};
    return derive("account.bank", str_eq_c(label, BANK_ACCOUNT_MAIN) ? none : label, currency,
                  book_id);
}

uuid account_fees(int64_t book_id, str currency) {
    return derive("account.fees", (str){0}, currency, book_id);
}

uuid account_suspense(int64_t book_id, str currency) {
    return derive("account.suspense", (str){0}, currency, book_id);
}

uuid payout_intent(int64_t book_id, str merchant_id, str idempotency_key) {
    return derive("payout.intent", merchant_id, idempotency_key, book_id);
}

uuid transfer_of_step(uuid intent_id, const char *leg, int32_t number) {
    const str id = {(const char *)intent_id.b, sizeof intent_id.b};
    return derive("transfer.step", id, str_of(leg), number);
}

uuid transfer_of_deposit(int64_t book_id, str merchant_id, str idempotency_key) {
    return derive("transfer.deposit", merchant_id, idempotency_key, book_id);
}

uuid transfer_of_deposit_leg(uuid deposit_id, const char *leg, int32_t number) {
    const str id = {(const char *)deposit_id.b, sizeof deposit_id.b};
    return derive("transfer.deposit.leg", id, str_of(leg), number);
}

void attempt_key(uuid intent_id, int32_t attempt, char out[65]) {
    uint8_t input[20], digest[SHA256_LEN];
    for (size_t i = 0; i < sizeof intent_id.b; i++) {
        input[i] = intent_id.b[i];
    }
    for (size_t i = 0; i < 4; i++) {
        input[16 + i] = (uint8_t)((uint32_t)attempt >> (24 - 8 * i));
    }
    sha256(input, sizeof input, digest);
    str_hex(digest, sizeof digest, out);
}

int16_t merchant_lane(str merchant_id) {
    const uint32_t hash = str_hash(merchant_id);
    return (int16_t)((hash >> 16 ^ hash) % MERCHANT_LANES);
}

void ach_individual_id(uuid intent_id, char out[ACH_INDIVIDUAL_ID_LEN + 1]) {
    char hex[33];
    str_hex(intent_id.b, sizeof intent_id.b, hex);
    for (size_t i = 0; i < ACH_INDIVIDUAL_ID_LEN; i++) {
        const char c = hex[32 - ACH_INDIVIDUAL_ID_LEN + i];
        out[i] = (char)(c >= 'a' ? c - 'a' + 'A' : c);
    }
    out[ACH_INDIVIDUAL_ID_LEN] = '\0';
}

void bank_reference(int64_t book_id, int rail, uuid intent_id, char out[BANK_REFERENCE_MAX]) {
    enum { ACH = 1 };
    char id[UUID_TEXT_LEN + 1];
    if (rail == ACH) {
        ach_individual_id(intent_id, out);
        return;
    }
    uuid_format(intent_id, id);
    (void)snprintf(out, BANK_REFERENCE_MAX, "%lld/%s", (long long)book_id, id);
}
