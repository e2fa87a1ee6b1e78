// The columns of rows, as rows.c reads and writes them. For the statement tables of the store only.
#ifndef STORE_COLUMNS_INTERNAL_H
#define STORE_COLUMNS_INTERNAL_H

#define ACCOUNT_COLUMNS                                                                            \
    "account_id, timestamp_us, debits_pending, debits_posted, credits_pending, credits_posted, "   \
    "state, code, flags, currency, lowest_balance, user_data_128, user_data_64, user_data_32, "    \
    "effective_us, external_reference, metadata"

#define TRANSFER_COLUMNS                                                                           \
    "sequence, timestamp_us, transfer_id, debit_account_id, credit_account_id, amount, "           \
    "debit_debits_pending, debit_debits_posted, debit_credits_pending, debit_credits_posted, "     \
    "credit_debits_pending, credit_debits_posted, credit_credits_pending, "                        \
    "credit_credits_posted, code, kind, flags, currency, pending_id, released, expires_us, "       \
    "timeout_s, user_data_128, user_data_64, user_data_32, effective_us, states, reverses_id, "    \
    "external_reference, metadata, leaf_hash"
enum { ACCOUNT_COLUMN_COUNT = 17, TRANSFER_COLUMN_COUNT = 31 };

#endif
