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
    API_FOLLOW_POLL_MS =
        200, // how late a commit of another instance is seen by a follower, at most
};

// --- decode.c: what came, checked, in the words of the domain --------------------------------------------------------

bool api_book_id_check(int64_t book_id, err *e) WARN_UNUSED;
// 0 … max items in the field.
bool api_count_check(size_t n, size_t max, const char *field, err *e) WARN_UNUSED;
bool api_accounts_decode(arena *a, const Ledger__V1__CreateAccountsRequest *request,
                         ledger_account_event **out, err *e) WARN_UNUSED;
bool api_transfers_decode(arena *a, const Ledger__V1__CreateTransfersRequest *request,
                          ledger_transfer_event **out, err *e) WARN_UNUSED;
// The ids of a lookup, in order, each once. The field is "ids".
bool api_ids_decode(arena *a, char *const *texts, size_t n, size_t max, uuid **out, size_t *n_out,
                    err *e) WARN_UNUSED;

// --- encode.c: rows to messages. NULL: the arena is full, *e says so ------------------------------------------------

void *api_array(arena *a, size_t n, size_t size, err *e);
Ledger__V1__Account *api_account_encode(arena *a, const ledger_account *account, err *e);
Ledger__V1__Transfer *api_transfer_encode(arena *a, const ledger_row *row, err *e);
Ledger__V1__Balances api_balances(const ledger_balances *b);

// --- Handlers --------------------------------------------------------------------------------------------------------

void api_create_book(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_create_accounts(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_create_transfers(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_lookup_accounts(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_lookup_transfers(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_get_trial_balance(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_check_accounts(rpc_call *call, void *service, const ProtobufCMessage *request);
void api_read_journal(rpc_call *call, void *service, const ProtobufCMessage *request);

#endif
