#include "api/api_internal.h"

// Answers for the methods whose rooms are still to be built.
static void api_unimplemented(rpc_call *call, void *service, const ProtobufCMessage *request) {
    (void)service;
    (void)request;
    err e;
    err_clear(&e);
    (void)err_set(&e, ERR_UNIMPLEMENTED, "UNIMPLEMENTED", "not implemented yet");
    rpc_fail(call, &e);
}

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
    {"ListAccounts", api_unimplemented, NULL},
    {"ListTransfers", api_unimplemented, NULL},
    {"ListAccountBalances", api_unimplemented, NULL},
    {"GetAccountBalances", api_unimplemented, NULL},
    {"GetAccountStatement", api_unimplemented, NULL},
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
