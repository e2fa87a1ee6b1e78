// Rows of the database to structs and back. For the files of the store only.
#ifndef STORE_ROWS_INTERNAL_H
#define STORE_ROWS_INTERNAL_H

#include "store/statements.h"
#include "store/store.h"

// The columns from `col` on must be ACCOUNT_COLUMNS or TRANSFER_COLUMNS of statements.c.
void store_account_read(const db_rows *r, size_t row, int col, ledger_account *out);
bool store_accounts_read(arena *a, const db_rows *r, ledger_account **out, size_t *n,
                         err *e) WARN_UNUSED;
bool store_transfers_read(arena *a, const db_rows *r, ledger_row **out, size_t *n,
                          err *e) WARN_UNUSED;
void store_transfer_read(const db_rows *r, size_t row, ledger_row *out);

// The same, with two more columns for each row's outcome, as the lists have them (list_statements.c).
bool store_rows_with_outcomes(arena *a, const db_rows *r, ledger_row **rows, size_t *n,
                              err *e) WARN_UNUSED;

void store_account_copy(db_copy *w, int64_t book_id, const ledger_account *account);
void store_transfer_copy(db_copy *w, int64_t book_id, const ledger_row *row);
// Parameters of STORE_TRANSFER_INSERT.
db_params *store_transfer_params(arena *a, int64_t book_id, const ledger_row *row);
// The number of entries; each becomes one row.
size_t store_metadata_count(str metadata);
void store_account_metadata_copy(db_copy *w, int64_t book_id, const ledger_account *account);
void store_transfer_metadata_copy(db_copy *w, int64_t book_id, const ledger_row *row);

// Reads the head from columns 0 … of the first row: HEAD_COLUMNS of statements.c, never NULL. Without a row exists is false.
enum { STORE_HEAD_COLUMNS = 5 };
void store_head_read(const db_rows *r, store_head *head);

// New parameters; the book is the first.
db_params *store_params(arena *a, int64_t book_id);

db_copy *store_copy_open(db_conn *c, const store_copy_target *t, err *e);
// Aborts when the server counted differently.
bool store_copy_finish(db_copy *w, size_t n_expected, err *e) WARN_UNUSED;

// n * size in the arena, or RESOURCE_EXHAUSTED.
void *store_array(arena *a, size_t n, size_t size, err *e);

#endif
