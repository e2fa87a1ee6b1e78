// Shared between the files of the api only.
#ifndef API_INTERNAL_H
#define API_INTERNAL_H

#include "api/api.h"
#include "ledger/v1/ledger.pb-c.h"
#include "store/store.h"

enum {
    API_LOOKUP_MAX = LEDGER_BATCH_MAX,
    API_CHECK_MAX = 1000,
    API_BOOK_NAME_MAX = 200,
    API_PAGE_DEFAULT = 500,
    API_PAGE_MAX = 1000,
    // a follower sees another instance's commit at most this late
    API_FOLLOW_POLL_MS = 200,
};

// --- decode.c: checks requests and turns them into the domain's words ------------------------------------------------

bool api_book_id_check(int64_t book_id, err *e) WARN_UNUSED;
// The field must have 0 … max items.
bool api_count_check(size_t n, size_t max, const char *field, err *e) WARN_UNUSED;
bool api_accounts_decode(arena *a, const Ledger__V1__CreateAccountsRequest *request,
                         ledger_account_event **out, err *e) WARN_UNUSED;
bool api_transfers_decode(arena *a, const Ledger__V1__CreateTransfersRequest *request,
                          ledger_transfer_event **out, err *e) WARN_UNUSED;
// INVALID_ARGUMENT about "transfers[3].debit_account_id"; "ids[3]" when the member is "". Always false.
bool api_refuse(err *e, const char *reason, const char *list, size_t index, const char *member,
                const char *what);
// Empty text is the nil id.
bool api_id_decode(const char *text, uuid *out, const char *list, size_t index, const char *member,
                   err *e) WARN_UNUSED;
// Checks the external reference, borrowed from the message, and the metadata, @arena.
bool api_labels_decode(arena *a, const char *reference, Ledger__V1__MetadataEntry *const *metadata,
                       size_t n_metadata, const char *list, size_t index, str *reference_out,
                       str *metadata_out, err *e) WARN_UNUSED;
// The ids of a lookup, in order, without repeats.
bool api_ids_decode(arena *a, char *const *texts, size_t n, size_t max, const char *field,
                    uuid **out, size_t *n_out, err *e) WARN_UNUSED;

// --- encode.c: rows to messages. NULL: the arena is full, *e says so ------------------------------------------------

void *api_array(arena *a, size_t n, size_t size, err *e);
Ledger__V1__Account *api_account_encode(arena *a, const ledger_account *account, err *e);
Ledger__V1__Transfer *api_transfer_encode(arena *a, const ledger_row *row, err *e);
Ledger__V1__Balances api_balances(const ledger_balances *b);
// Adds the transfer's outcome. The row must have its resolution and reversal loaded.
bool api_transfer_outcome_encode(arena *a, Ledger__V1__Transfer *m, const ledger_row *row,
                                 err *e) WARN_UNUSED;

// --- Handlers --------------------------------------------------------------------------------------------------------

void api_create_book(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_create_accounts(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_create_transfers(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_reverse_transfers(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_lookup_accounts(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_lookup_transfers(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_get_trial_balance(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_check_accounts(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_list_accounts(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_list_transfers(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_list_account_balances(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_get_account_balances(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_get_account_statement(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_read_journal(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_get_tree_head(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_get_inclusion_proof(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_get_consistency_proof(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_check_book(rpc_call *call, void *service, const ProtobufCMessage *request);

#endif
