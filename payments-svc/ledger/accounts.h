// The ledger accounts of payments' money, made on first use. Idempotent, and remembered, so that a repeat costs nothing.
#ifndef LEDGER_ACCOUNTS_H
#define LEDGER_ACCOUNTS_H

#include "ledger/ledger_client.h"

// One line of the chart for one book and currency.
ledger_account account_of_merchant(int64_t book_id, str merchant_id, str currency);
ledger_account account_of_receivable(int64_t book_id, str merchant_id, str currency);
ledger_account account_of_transit(int64_t book_id, int rail, str currency);
ledger_account account_of_bank(int64_t book_id, str label, str currency);
ledger_account account_of_fees(int64_t book_id, str currency);

// The merchant's debt, from the receivable account as looked up; never below 0.
int64_t account_owed(const ledger_account *receivable);

typedef struct ledger_accounts ledger_accounts; // the accounts known to exist; thread-safe
ledger_accounts *ledger_accounts_create(rpc_client *ledger);
void ledger_accounts_destroy(ledger_accounts *x); // accepts NULL
// Returns true when the book and these accounts exist. Calls the ledger only for unknown ones. n ≤
// LEDGER_ACCOUNTS_MAX.
enum { LEDGER_ACCOUNTS_MAX = 256 };
bool ledger_accounts_ensure(ledger_accounts *x, int64_t book_id, const ledger_account *accounts,
                            size_t n, int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;

#endif
