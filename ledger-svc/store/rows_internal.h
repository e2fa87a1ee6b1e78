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

void store_account_copy(db_copy *w, int64_t book_id, const ledger_account *account);
void store_transfer_copy(db_copy *w, int64_t book_id, const ledger_row *row);
// One row for each entry.
size_t store_metadata_count(str metadata);
void store_account_metadata_copy(db_copy *w, int64_t book_id, const ledger_account *account);
void store_transfer_metadata_copy(db_copy *w, int64_t book_id, const ledger_row *row);

// n * size in the arena, or RESOURCE_EXHAUSTED.
void *store_array(arena *a, size_t n, size_t size, err *e);

#endif
