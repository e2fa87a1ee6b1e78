// The accounts that payments' money stands on, made in the ledger on first use: idempotent, and remembered, so that asking again
// costs nothing.
#ifndef LEDGER_ACCOUNTS_H
#define LEDGER_ACCOUNTS_H

#include "ledger/ledger_client.h"

// One line of the chart for one book and currency.
ledger_account account_of_merchant(int64_t book_id, str merchant_id, str currency);
ledger_account account_of_receivable(int64_t book_id, str merchant_id, str currency);
ledger_account account_of_transit(int64_t book_id, int rail, str currency);
ledger_account account_of_bank(int64_t book_id, str label, str currency);
ledger_account account_of_fees(int64_t book_id, str currency);

// What a merchant owes, of the account of receivable as it was looked up; never below 0.
int64_t account_owed(const ledger_account *receivable);

typedef struct ledger_accounts ledger_accounts; // what is known to be there; thread-safe
ledger_accounts *ledger_accounts_create(rpc_client *ledger);
void ledger_accounts_destroy(ledger_accounts *x); // accepts NULL
// The book and these accounts are there when this returns true. Calls the ledger only for what is not known yet.
// n ≤ LEDGER_ACCOUNTS_MAX.
enum { LEDGER_ACCOUNTS_MAX = 256 };
bool ledger_accounts_ensure(ledger_accounts *x, int64_t book_id, const ledger_account *accounts,
                            size_t n, int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;

#endif
