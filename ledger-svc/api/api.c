#include "api/api_internal.h"

static const rpc_method METHODS[] = {
    {"CreateBook", api_create_book, NULL},
    {"CreateAccounts", api_create_accounts, NULL},
    {"LookupAccounts", api_lookup_accounts, NULL},
    {"CreateTransfers", api_create_transfers, NULL},
    {"LookupTransfers", api_lookup_transfers, NULL},
    {"GetTrialBalance", api_get_trial_balance, NULL},
    {"CheckAccounts", api_check_accounts, NULL},
    {"ReadJournal", NULL, api_read_journal},
    {"ReverseTransfers", api_reverse_transfers, NULL},
    {"ListAccounts", api_list_accounts, NULL},
    {"ListTransfers", api_list_transfers, NULL},
    {"ListAccountBalances", api_list_account_balances, NULL},
    {"GetAccountBalances", api_get_account_balances, NULL},
    {"GetAccountStatement", api_get_account_statement, NULL},
    {"CheckBook", NULL, api_check_book},
    {"GetTreeHead", api_get_tree_head, NULL},
    {"GetInclusionProof", api_get_inclusion_proof, NULL},
    {"GetConsistencyProof", api_get_consistency_proof, NULL},
};

rpc_service ledger_api_service(ledger_api *api) {
    return (rpc_service){
        .descriptor = &ledger__v1__ledger_service__descriptor,
        .methods = METHODS,
        .n_methods = sizeof METHODS / sizeof METHODS[0],
        .self = api,
    };
}
