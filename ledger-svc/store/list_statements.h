// The SQL strings of lists. For lists.c and the test that reads every string of the service.
#ifndef STORE_LIST_STATEMENTS_H
#define STORE_LIST_STATEMENTS_H

#include "db/db.h"

// A statement with a direction comes in two: _UP is oldest first, the next is newest first.
typedef enum list_statement {
    LIST_TIMES,
    LIST_BY_ID,
    LIST_BY_SEQUENCE,
    LIST_ROWS_UP,
    LIST_ROWS_DOWN,
    LIST_ROWS_AT_UP,
    LIST_ROWS_AT_DOWN,
    LIST_REFERENCE_UP,
    LIST_REFERENCE_DOWN,
    LIST_METADATA_UP,
    LIST_METADATA_DOWN,
    LIST_METADATA_KEY_UP,
    LIST_METADATA_KEY_DOWN,
    LIST_BACKDATED,
    LIST_BACKDATED_SUM,
    LIST_ACCOUNT_TIMES_UP,
    LIST_ACCOUNT_TIMES_DOWN,
    LIST_ACCOUNT_REFERENCE,
    LIST_ACCOUNT_METADATA_UP,
    LIST_ACCOUNT_METADATA_DOWN,
    LIST_ACCOUNT_METADATA_KEY_UP,
    LIST_ACCOUNT_METADATA_KEY_DOWN,
    LIST_ACCOUNTS_AT_UP,
    LIST_ACCOUNTS_AT_DOWN,
    LIST_STATEMENT_COUNT
} list_statement;

extern const db_stmt LIST_STATEMENTS[LIST_STATEMENT_COUNT];

#endif
