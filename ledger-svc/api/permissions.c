// Which permission each method needs. A method without a row here stops the service's start.
//
// The ledger knows accounts but no merchants, so a reader needs the right to read all. Only payments-svc writes: a second writer would
// bypass all of its rules.
#include "api/api.h"

#define LEDGER "ledger.v1.LedgerService/"

enum { READS = AUTHZ_BOOKKEEPER | AUTHZ_AUDITOR };

// clang-format off
const authz_permission LEDGER_PERMISSIONS[] = {
    {LEDGER "CreateBook", AUTHZ_BOOKKEEPER, AUTHZ_ON_ALL},
    {LEDGER "CreateAccounts", AUTHZ_BOOKKEEPER, AUTHZ_ON_ALL},
    {LEDGER "LookupAccounts", READS, AUTHZ_ON_ALL},
    {LEDGER "CreateTransfers", AUTHZ_BOOKKEEPER, AUTHZ_ON_ALL},
    {LEDGER "ReverseTransfers", AUTHZ_BOOKKEEPER, AUTHZ_ON_ALL},
    {LEDGER "LookupTransfers", READS, AUTHZ_ON_ALL},
    {LEDGER "ListAccounts", READS, AUTHZ_ON_ALL},
    {LEDGER "ListTransfers", READS, AUTHZ_ON_ALL},
    {LEDGER "ListAccountBalances", READS, AUTHZ_ON_ALL},
    {LEDGER "GetAccountBalances", READS, AUTHZ_ON_ALL},
    {LEDGER "GetAccountStatement", READS, AUTHZ_ON_ALL},
    {LEDGER "GetTrialBalance", READS, AUTHZ_ON_ALL},
    {LEDGER "CheckAccounts", READS, AUTHZ_ON_ALL},
    {LEDGER "CheckBook", READS, AUTHZ_ON_ALL},
    {LEDGER "ReadJournal", READS, AUTHZ_ON_ALL},
    {LEDGER "GetTreeHead", READS, AUTHZ_ON_ALL},
    {LEDGER "GetInclusionProof", READS, AUTHZ_ON_ALL},
    {LEDGER "GetConsistencyProof", READS, AUTHZ_ON_ALL},
};
// clang-format on
const size_t N_LEDGER_PERMISSIONS = sizeof LEDGER_PERMISSIONS / sizeof LEDGER_PERMISSIONS[0];
