// Derived names, never random ones: the same step of the same payout is the same ledger transfer, however often it is repeated.
#ifndef DOMAIN_IDS_H
#define DOMAIN_IDS_H

#include <stdint.h>

#include "base/str.h"
#include "base/uuid.h"

// Chart of accounts: ledger account codes.
enum {
    ACCOUNT_MERCHANT_AVAILABLE = 100,
    // a merchant's debt, after a bank has paid or taken back more than the merchant had
    ACCOUNT_MERCHANT_RECEIVABLE = 110,
    ACCOUNT_TRANSIT = 200,
    ACCOUNT_BANK = 300,
    ACCOUNT_FEES = 400,
    // the difference between the bank's money and the merchants', by order of a person
    ACCOUNT_SUSPENSE = 500
};
// Ledger transfer codes.
enum {
    TRANSFER_DEPOSIT = 1,
    TRANSFER_DEPOSIT_BACK = 2, // a deposit that its bank took back: from receivable to bank
    TRANSFER_RESERVE = 10,
    TRANSFER_BANK_OUT = 12,
    TRANSFER_BANK_RETURN = 13,
    TRANSFER_RETURN = 14,
    TRANSFER_PAY_AGAIN = 15, // from available, when the bank has paid returned money again
    TRANSFER_WRITE_OFF = 16,
    TRANSFER_OWE = 17,   // like PAY_AGAIN, from receivable if available is too small
    TRANSFER_REPAY = 18, // from available to receivable: as much as both allow
    // from available to fees: pending beside a reservation, or posted with a repeated payment
    TRANSFER_FEE = 19,
    // from fees to available, with the return that leaves nothing at the bank
    TRANSFER_FEE_BACK = 20
};

uuid account_merchant_available(int64_t book_id, str merchant_id, str currency);
uuid account_merchant_receivable(int64_t book_id, str merchant_id, str currency);
uuid account_transit(int64_t book_id, int rail, str currency);
// An account at a bank, named by a label of the settings (rule_bank_account). BANK_ACCOUNT_MAIN is the only account from before labels
// existed.
#define BANK_ACCOUNT_MAIN "main"
uuid account_bank(int64_t book_id, str label, str currency);
uuid account_fees(int64_t book_id, str currency);
uuid account_suspense(int64_t book_id, str currency);

// The identity of a payout outside of this database, derived from the client's request. If a repeated request meets a database that has
// forgotten the payout, it still meets the same payment at the bank and the same transfers in the ledger. It is payout.intent_id; for
// payouts from before intents existed it is the payout's id.
uuid payout_intent(int64_t book_id, str merchant_id, str idempotency_key);
// Ledger transfers of a payout. number: 1 for the first; raised when an id has failed for ever, or when money moves again.
uuid transfer_of_step(uuid intent_id, const char *leg, int32_t number);
uuid transfer_of_deposit(int64_t book_id, str merchant_id, str idempotency_key);
// Further transfers of a deposit. number: the try, from 1; 0 for a transfer of the deposit itself.
uuid transfer_of_deposit_leg(uuid deposit_id, const char *leg, int32_t number);
// Idempotency key of one submission to a rail: hex SHA-256 of (intent id, attempt).
void attempt_key(uuid intent_id, int32_t attempt, char out[65]);
// The individual id of the entries of an ACH payout, 15 characters. The receiver's statement may show it, and a person at the bank can name
// the payout by it. It is the end of the intent, which is random.
enum { ACH_INDIVIDUAL_ID_LEN = 15 };
void ach_individual_id(uuid intent_id, char out[ACH_INDIVIDUAL_ID_LEN + 1]);
// The payout's name in the bank's records: the individual id, or the reference of an instant payment, "book/intent". rail:
// payments.v1.Rail.
enum { BANK_REFERENCE_MAX = 64 };
void bank_reference(int64_t book_id, int rail, uuid intent_id, char out[BANK_REFERENCE_MAX]);

// The lane of a merchant's payouts in its book (saga.lane), 0 … MERCHANT_LANES - 1. Payouts of one lane wait for no other lane.
enum { MERCHANT_LANES = 16 };
int16_t merchant_lane(str merchant_id);

#endif
