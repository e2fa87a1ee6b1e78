#include "api/api_internal.h"

static const rpc_method METHODS[] = {
    {.name = "CreateBook", .unary = api_create_book},
    {.name = "CreateAccounts", .unary = api_create_accounts},
    {.name = "LookupAccounts", .unary = api_lookup_accounts},
    {.name = "CreateTransfers", .unary = api_create_transfers, .never_waits = true},
    {.name = "LookupTransfers", .unary = api_lookup_transfers},
    {.name = "GetTrialBalance", .unary = api_get_trial_balance},
    {.name = "CheckAccounts", .unary = api_check_accounts},
    {.name = "ReadJournal", .stream = api_read_journal},
    {.name = "ReverseTransfers", .unary = api_reverse_transfers},
    {.name = "ListAccounts", .unary = api_list_accounts},
    {.name = "ListTransfers", .unary = api_list_transfers},
    {.name = "ListAccountBalances", .unary = api_list_account_balances},
    {.name = "GetAccountBalances", .unary = api_get_account_balances},
    {.name = "GetAccountStatement", .unary = api_get_account_statement},
    {.name = "CheckBook", .stream = api_check_book},
    {.name = "GetTreeHead", .unary = api_get_tree_head},
    {.name = "GetInclusionProof", .unary = api_get_inclusion_proof},
    {.name = "GetConsistencyProof", .unary = api_get_consistency_proof},
};

rpc_service ledger_api_service(ledger_api *api) {
    return (rpc_service){
        .descriptor = &ledger__v1__ledger_service__descriptor,
        .methods = METHODS,
        .n_methods = sizeof METHODS / sizeof METHODS[0],
        .self = api,
    };
}
