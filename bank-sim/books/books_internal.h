// Shared by the files of the books.
#ifndef BOOKS_BOOKS_INTERNAL_H
#define BOOKS_BOOKS_INTERNAL_H

#include <sqlite3.h>

#include "books/books.h"

// The prepared statements. Each connection prepares a statement once, at its first use.
typedef enum books_statement {
    S_BEGIN,
    S_COMMIT,
    S_ROLLBACK,
    S_SAVE,
    S_RELEASE,
    S_UNDO,
    S_MOVEMENT,
    S_COUNTER,
    S_OUTPUT_ADD,
    S_OUTPUT_NEXT,
    S_OUTPUT_WRITTEN,
    S_FILE_INSERT,
    S_FILE_DUPLICATE,
    S_FILE_STATE,
    S_FILE_ARCHIVED,
    S_FILE_DUE,
    S_FILE_NEXT_DUE,
    S_FILE_REFUSE,
    S_FILE_CREDIT,
    S_FILE_MARK,
    S_FILE_LIST,
    S_FILE_DONE,
    S_ENTRY_KNOWN,
    S_ENTRY_INSERT,
    S_CREDITOR_INSERT,
    S_ENTRY_SETTLED,
    S_ENTRY_RETURNED,
    S_ENTRY_REFUSED,
    S_RETURN_PLAN,
    S_RETURNS_OF_FILE,
    S_RETURNS_LATER,
    S_RETURNS_OF_ORIGIN,
    S_RETURNS_DUE,
    S_RETURN_DONE,
    S_RETURN_MONEY,
    S_PAYMENT_BY_KEY,
    S_PAYMENT_INSERT,
    S_PAYMENT_UPDATE,
    S_PAYMENTS_DUE,
    S_PAYMENTS_NEXT,
    S_REFUSALS,
    S_TRIES,
    S_TRIES_ADD,
    S_WEBHOOK_INSERT,
    S_WEBHOOKS_DUE,
    S_WEBHOOK_UNTRIED,
    S_WEBHOOKS_NEXT,
    S_WEBHOOK_RESULT,
    S_FLUSH_FILES,
    S_FLUSH_RETURNS,
    S_FLUSH_SETTLE,
    S_FLUSH_RETURN,
    S_FLUSH_WEBHOOKS,
    S_REPORT_MONEY,
    S_REPORT_COUNTS,
    S_REPORT_PAYMENTS,
    S_REPORT_PAYMENTS_PAYOUT,
    S_REPORT_DUPLICATES,
    S_REPORT_FILES,
    N_STATEMENTS
} books_statement;

struct books_tx {
    sqlite3 *db;
    sqlite3_stmt *prepared[N_STATEMENTS];
};

extern const char *const BOOKS_UPGRADE; // for user_version 0 with tables
extern const char *const BOOKS_SCHEMA;
extern const char *const BOOKS_SQL[N_STATEMENTS];

// The statement, reset and without values. NULL with *e.
sqlite3_stmt *books_stmt(books_tx *tx, books_statement s, err *e);
// Fills *e from the connection. Returns false.
bool books_failed(books_tx *tx, err *e, const char *what);
// Steps a statement that gives no rows, and resets it.
bool books_exec(books_tx *tx, sqlite3_stmt *s, err *e) WARN_UNUSED;
// Steps to the next row: *row says whether there is one; at the end the statement is reset.
bool books_step(books_tx *tx, sqlite3_stmt *s, bool *row, err *e) WARN_UNUSED;
// Runs a statement without values and rows.
bool books_simple(books_tx *tx, books_statement s, err *e) WARN_UNUSED;
void bind_i64(sqlite3_stmt *s, int at, int64_t value);
void bind_str(sqlite3_stmt *s, int at, str value); // value must outlive the step
void bind_c(sqlite3_stmt *s, int at, const char *value);
void bind_blob(sqlite3_stmt *s, int at, const void *bytes, size_t len);
// Copies a text column; cuts a text that is too long.
void column_copy(sqlite3_stmt *s, int column, char *out, size_t out_len);
str column_str(sqlite3_stmt *s, int column); // valid until the next step

#endif
