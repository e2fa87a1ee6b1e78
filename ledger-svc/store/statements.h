// Every SQL string of the service in one table, so that a test can read all.
#ifndef STORE_STATEMENTS_H
#define STORE_STATEMENTS_H

#include "db/db.h"

typedef enum store_statement {
    // The commit path.
    STORE_HEAD_LOCK,
    STORE_ACCOUNTS_LOAD,
    STORE_TRANSFERS_LOAD,
    STORE_RESOLUTIONS_LOAD,
    STORE_REVERSALS_LOAD,
    STORE_REFERENCES_LOAD,
    STORE_BURNED_LOAD,
    STORE_DUE_LOAD,
    STORE_NEXT_EXPIRY_LOAD,
    STORE_ACCOUNTS_UPDATE,
    STORE_TRANSFER_INSERT,
    STORE_HEAD_UPDATE,
    STORE_BURNED_SINCE,
    STORE_ROWS_READ,
    STORE_POSTINGS_UP,
    STORE_POSTINGS_DOWN,
    STORE_HEAD_READ,
    STORE_ROW_COMMITTED,
    STORE_ACCOUNT_COMMITTED,
    STORE_BURNED_COMMITTED,
    // Reversals of linked groups.
    STORE_GROUP_READ,
    // The sweeper.
    STORE_DUE_BOOKS,
    // Calls.
    STORE_BOOK_INSERT,
    STORE_HEAD_INSERT,
    STORE_BOOK_READ,
    STORE_ACCOUNTS_LOOKUP,
    STORE_ACCOUNT_LOOKUP,
    STORE_TRIAL_BALANCE,
    STORE_ACCOUNTS_CHECK,
    STORE_JOURNAL_READ,
    STORE_STATEMENT_COUNT
} store_statement;

extern const db_stmt STORE_STATEMENTS[STORE_STATEMENT_COUNT];

typedef struct store_copy_target {
    const char *table, *columns;
    int n_columns;
} store_copy_target;

extern const store_copy_target STORE_COPY_ACCOUNT;
extern const store_copy_target STORE_COPY_TRANSFER;
extern const store_copy_target STORE_COPY_BURNED;
extern const store_copy_target STORE_COPY_POSTING;
extern const store_copy_target STORE_COPY_ACCOUNT_METADATA;
extern const store_copy_target STORE_COPY_TRANSFER_METADATA;

#endif
