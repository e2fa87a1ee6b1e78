// The result of an account or a transfer in a batch: TigerBeetle's names, and some of our own. The numbers are those of the wire. The order
// of precedence is that of the checks (check.c, accounts.c); docs/ledger-semantics.md shows it.
#ifndef DOMAIN_STATUS_H
#define DOMAIN_STATUS_H

#include <stdbool.h>

enum { BURNS = 1, SPARES = 0 };

// X(name, number, does the refusal burn the id?). A refusal burns the id when the same request could succeed later: the caller must be able
// to rely on "no", so the id is spent for ever.
#define LEDGER_TRANSFER_STATUSES(X)                                                                \
    X(CREATED, 1, SPARES)                                                                          \
    X(LINKED_EVENT_FAILED, 2, SPARES)                                                              \
    X(LINKED_EVENT_CHAIN_OPEN, 3, SPARES)                                                          \
    X(TIMESTAMP_MUST_BE_ZERO, 4, SPARES)                                                           \
    X(RESERVED_FLAG, 5, SPARES)                                                                    \
    X(ID_MUST_NOT_BE_ZERO, 6, SPARES)                                                              \
    X(ID_MUST_NOT_BE_INT_MAX, 7, SPARES)                                                           \
    X(EXISTS_WITH_DIFFERENT_FLAGS, 8, SPARES)                                                      \
    X(EXISTS_WITH_DIFFERENT_PENDING_ID, 9, SPARES)                                                 \
    X(EXISTS_WITH_DIFFERENT_TIMEOUT, 10, SPARES)                                                   \
    X(EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID, 11, SPARES)                                          \
    X(EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID, 12, SPARES)                                         \
    X(EXISTS_WITH_DIFFERENT_AMOUNT, 13, SPARES)                                                    \
    X(EXISTS_WITH_DIFFERENT_USER_DATA_128, 14, SPARES)                                             \
    X(EXISTS_WITH_DIFFERENT_USER_DATA_64, 15, SPARES)                                              \
    X(EXISTS_WITH_DIFFERENT_USER_DATA_32, 16, SPARES)                                              \
    X(EXISTS_WITH_DIFFERENT_LEDGER, 17, SPARES)                                                    \
    X(EXISTS_WITH_DIFFERENT_CODE, 18, SPARES)                                                      \
    X(EXISTS, 19, SPARES)                                                                          \
    X(ID_ALREADY_FAILED, 20, SPARES)                                                               \
    X(FLAGS_ARE_MUTUALLY_EXCLUSIVE, 21, SPARES)                                                    \
    X(DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO, 22, SPARES)                                               \
    X(DEBIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX, 23, SPARES)                                            \
    X(CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO, 24, SPARES)                                              \
    X(CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX, 25, SPARES)                                           \
    X(ACCOUNTS_MUST_BE_DIFFERENT, 26, SPARES)                                                      \
    X(PENDING_ID_MUST_BE_ZERO, 27, SPARES)                                                         \
    X(PENDING_ID_MUST_NOT_BE_ZERO, 28, SPARES)                                                     \
    X(PENDING_ID_MUST_NOT_BE_INT_MAX, 29, SPARES)                                                  \
    X(PENDING_ID_MUST_BE_DIFFERENT, 30, SPARES)                                                    \
    X(TIMEOUT_RESERVED_FOR_PENDING_TRANSFER, 31, SPARES)                                           \
    X(LEDGER_MUST_NOT_BE_ZERO, 32, SPARES)                                                         \
    X(CODE_MUST_NOT_BE_ZERO, 33, SPARES)                                                           \
    X(DEBIT_ACCOUNT_NOT_FOUND, 34, BURNS)                                                          \
    X(CREDIT_ACCOUNT_NOT_FOUND, 35, BURNS)                                                         \
    X(ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER, 36, SPARES)                                              \
    X(TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS, 37, SPARES)                                  \
    X(PENDING_TRANSFER_NOT_FOUND, 38, BURNS)                                                       \
    X(PENDING_TRANSFER_NOT_PENDING, 39, SPARES)                                                    \
    X(PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT_ID, 40, SPARES)                                 \
    X(PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT_ID, 41, SPARES)                                \
    X(PENDING_TRANSFER_HAS_DIFFERENT_LEDGER, 42, SPARES)                                           \
    X(PENDING_TRANSFER_HAS_DIFFERENT_CODE, 43, SPARES)                                             \
    X(EXCEEDS_PENDING_TRANSFER_AMOUNT, 44, SPARES)                                                 \
    X(PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT, 45, SPARES)                                           \
    X(PENDING_TRANSFER_ALREADY_POSTED, 46, SPARES)                                                 \
    X(PENDING_TRANSFER_ALREADY_VOIDED, 47, SPARES)                                                 \
    X(PENDING_TRANSFER_EXPIRED, 48, SPARES)                                                        \
    X(OVERFLOWS_DEBITS_PENDING, 49, SPARES)                                                        \
    X(OVERFLOWS_CREDITS_PENDING, 50, SPARES)                                                       \
    X(OVERFLOWS_DEBITS_POSTED, 51, SPARES)                                                         \
    X(OVERFLOWS_CREDITS_POSTED, 52, SPARES)                                                        \
    X(OVERFLOWS_DEBITS, 53, SPARES)                                                                \
    X(OVERFLOWS_CREDITS, 54, SPARES)                                                               \
    X(OVERFLOWS_TIMEOUT, 55, SPARES)                                                               \
    X(EXCEEDS_CREDITS, 56, BURNS)                                                                  \
    X(EXCEEDS_DEBITS, 57, BURNS)                                                                   \
    X(IMPORTED_EVENT_EXPECTED, 58, SPARES)                                                         \
    X(IMPORTED_EVENT_NOT_EXPECTED, 59, SPARES)                                                     \
    X(IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE, 60, SPARES)                                           \
    X(IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE, 61, SPARES)                                       \
    X(IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS, 62, SPARES)                                       \
    X(IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT, 63, SPARES)                            \
    X(IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT, 64, SPARES)                           \
    X(IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO, 65, SPARES)                                             \
    X(CLOSING_TRANSFER_MUST_BE_PENDING, 66, SPARES)                                                \
    X(DEBIT_ACCOUNT_ALREADY_CLOSED, 67, BURNS)                                                     \
    X(CREDIT_ACCOUNT_ALREADY_CLOSED, 68, BURNS)                                                    \
    X(EXISTS_WITH_DIFFERENT_TIMESTAMP, 69, SPARES)                                                 \
    X(EXISTS_WITH_DIFFERENT_REVERSES_ID, 70, SPARES)                                               \
    X(EXISTS_WITH_DIFFERENT_EXTERNAL_REFERENCE, 71, SPARES)                                        \
    X(EXISTS_WITH_DIFFERENT_METADATA, 72, SPARES)                                                  \
    X(REVERSED_TRANSFER_NOT_FOUND, 73, BURNS)                                                      \
    X(REVERSED_TRANSFER_IS_PENDING, 74, SPARES)                                                    \
    X(REVERSED_TRANSFER_IS_VOID, 75, SPARES)                                                       \
    X(ALREADY_REVERSED, 76, SPARES)

#define LEDGER_ACCOUNT_STATUSES(X)                                                                 \
    X(CREATED, 1)                                                                                  \
    X(LINKED_EVENT_FAILED, 2)                                                                      \
    X(LINKED_EVENT_CHAIN_OPEN, 3)                                                                  \
    X(TIMESTAMP_MUST_BE_ZERO, 4)                                                                   \
    X(RESERVED_FLAG, 5)                                                                            \
    X(ID_MUST_NOT_BE_ZERO, 6)                                                                      \
    X(ID_MUST_NOT_BE_INT_MAX, 7)                                                                   \
    X(EXISTS_WITH_DIFFERENT_FLAGS, 8)                                                              \
    X(EXISTS_WITH_DIFFERENT_USER_DATA_128, 9)                                                      \
    X(EXISTS_WITH_DIFFERENT_USER_DATA_64, 10)                                                      \
    X(EXISTS_WITH_DIFFERENT_USER_DATA_32, 11)                                                      \
    X(EXISTS_WITH_DIFFERENT_LEDGER, 12)                                                            \
    X(EXISTS_WITH_DIFFERENT_CODE, 13)                                                              \
    X(EXISTS, 14)                                                                                  \
    X(FLAGS_ARE_MUTUALLY_EXCLUSIVE, 15)                                                            \
    X(DEBITS_PENDING_MUST_BE_ZERO, 16)                                                             \
    X(DEBITS_POSTED_MUST_BE_ZERO, 17)                                                              \
    X(CREDITS_PENDING_MUST_BE_ZERO, 18)                                                            \
    X(CREDITS_POSTED_MUST_BE_ZERO, 19)                                                             \
    X(LEDGER_MUST_NOT_BE_ZERO, 20)                                                                 \
    X(CODE_MUST_NOT_BE_ZERO, 21)                                                                   \
    X(IMPORTED_EVENT_EXPECTED, 22)                                                                 \
    X(IMPORTED_EVENT_NOT_EXPECTED, 23)                                                             \
    X(IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE, 24)                                                   \
    X(IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE, 25)                                               \
    X(IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS, 26)                                               \
    X(EXISTS_WITH_DIFFERENT_TIMESTAMP, 27)                                                         \
    X(EXISTS_WITH_DIFFERENT_LOWEST_BALANCE, 28)                                                    \
    X(EXISTS_WITH_DIFFERENT_EXTERNAL_REFERENCE, 29)                                                \
    X(EXISTS_WITH_DIFFERENT_METADATA, 30)                                                          \
    X(LOWEST_BALANCE_MUST_NOT_BE_POSITIVE, 31)                                                     \
    X(LOWEST_BALANCE_MUST_BE_ZERO, 32)                                                             \
    X(EXTERNAL_REFERENCE_EXISTS, 33)

typedef enum ledger_transfer_status {
#define LEDGER_STATUS_ENUM(name, number, burns) LEDGER_TRANSFER_##name = number,
    LEDGER_TRANSFER_STATUSES(LEDGER_STATUS_ENUM)
#undef LEDGER_STATUS_ENUM
        LEDGER_TRANSFER_STATUS_COUNT // one past the last number
} ledger_transfer_status;

typedef enum ledger_account_status {
#define LEDGER_STATUS_ENUM(name, number) LEDGER_ACCOUNT_##name = number,
    LEDGER_ACCOUNT_STATUSES(LEDGER_STATUS_ENUM)
#undef LEDGER_STATUS_ENUM
        LEDGER_ACCOUNT_STATUS_COUNT
} ledger_account_status;

// "CREATED", "EXCEEDS_CREDITS" …; "?" for a number outside of the set.
const char *ledger_transfer_status_name(ledger_transfer_status status);
const char *ledger_account_status_name(ledger_account_status status);
// True when this refusal burns the id: it may never be used again.
bool ledger_transfer_status_burns(ledger_transfer_status status);

#endif
