#include "ledger/ledger_client.h"

#include <string.h>

#include "base/assert.h"

#define LEDGER_PATH(method) "/ledger.v1.LedgerService/" method

// --- Small parts -----------------------------------------------------------------------------------------------------

// The ledger's answer does not fit the question: a bug on one of the two sides, so the caller must not continue.
static bool nonsense(err *e, const char *what) {
    return err_set(e, ERR_INTERNAL, "LEDGER_ANSWER", "the ledger's answer is not usable: %s", what);
}

// "" for the nil id. All ids of a batch share one allocation, because a batch has tens of thousands.
static char *id_text(arena *a, uuid id, bool *ok) {
    if (uuid_is_nil(id)) {
        return (char *)protobuf_c_empty_string;
    }
    char *text = arena_alloc(a, UUID_TEXT_LEN + 1);
    if (text == NULL) {
        *ok = false;
        return (char *)protobuf_c_empty_string;
    }
    uuid_format(id, text);
    return text;
}

static bool status_name_of(const ProtobufCEnumDescriptor *d, int value, size_t prefix,
                           const char **out) {
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d, value);
    *out = v == NULL ? "UNKNOWN_STATUS" : v->name + prefix;
    return v != NULL;
}

const char *ledger_status_name(Ledger__V1__CreateTransferStatus s) {
    const char *name = NULL;
    (void)status_name_of(&ledger__v1__create_transfer_status__descriptor, (int)s,
                         sizeof "CREATE_TRANSFER_STATUS_" - 1, &name);
    return name;
}

// --- Books and accounts ----------------------------------------------------------------------------------------------

bool ledger_create_book(rpc_client *c, int64_t book_id, const char *name, int64_t deadline_mono_ms,
                        arena *a, err *e) {
    ASSERT(book_id > 0);
    Ledger__V1__CreateBookRequest request = LEDGER__V1__CREATE_BOOK_REQUEST__INIT;
    request.book_id = book_id;
    if ((request.name = arena_strdup(a, name)) == NULL) {
        return err_no_memory(e, "the request");
    }
    ProtobufCMessage *response = NULL;
    return rpc_client_call(c, LEDGER_PATH("CreateBook"), &request.base,
                           &ledger__v1__create_book_response__descriptor, deadline_mono_ms, a,
                           &response, e);
}

static bool check_account(const ledger_account *account, const Ledger__V1__CreateAccountResult *r,
                          err *e) {
    if (r->status == LEDGER__V1__CREATE_ACCOUNT_STATUS__CREATE_ACCOUNT_STATUS_CREATED ||
        r->status == LEDGER__V1__CREATE_ACCOUNT_STATUS__CREATE_ACCOUNT_STATUS_EXISTS) {
        return true;
    }
    const char *name = NULL;
    (void)status_name_of(&ledger__v1__create_account_status__descriptor, (int)r->status,
                         sizeof "CREATE_ACCOUNT_STATUS_" - 1, &name);
    char id[UUID_TEXT_LEN + 1];
    uuid_format(account->id, id);
    return err_set(e, ERR_INTERNAL, "LEDGER_ACCOUNT", "account %s was not made: %s", id, name);
}

bool ledger_create_accounts(rpc_client *c, int64_t book_id, const ledger_account *accounts,
                            size_t n, int64_t deadline_mono_ms, arena *a, err *e) {
    ASSERT(book_id > 0 && n <= LEDGER_BATCH_MAX);
    Ledger__V1__CreateAccountsRequest request = LEDGER__V1__CREATE_ACCOUNTS_REQUEST__INIT;
    Ledger__V1__Account *rows = ARENA_ARRAY(a, Ledger__V1__Account, n);
    request.accounts = ARENA_ARRAY(a, Ledger__V1__Account *, n);
    bool ok = rows != NULL && request.accounts != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        ledger__v1__account__init(&rows[i]);
        rows[i].id = id_text(a, accounts[i].id, &ok);
        rows[i].code = accounts[i].code;
        rows[i].flags = accounts[i].flags;
        rows[i].currency = (char *)accounts[i].currency;
        request.accounts[i] = &rows[i];
    }
    if (!ok) {
        return err_no_memory(e, "the request");
    }
    request.book_id = book_id;
    request.n_accounts = n;
    ProtobufCMessage *response = NULL;
    if (!rpc_client_call(c, LEDGER_PATH("CreateAccounts"), &request.base,
                         &ledger__v1__create_accounts_response__descriptor, deadline_mono_ms, a,
                         &response, e)) {
        return false;
    }
    const Ledger__V1__CreateAccountsResponse *answer = (const void *)response;
    if (answer->n_results != n) {
        return nonsense(e, "the count of accounts");
    }
    for (size_t i = 0; i < n; i++) {
        if (!check_account(&accounts[i], answer->results[i], e)) {
            return false;
        }
    }
    return true;
}

// --- Transfers -------------------------------------------------------------------------------------------------------

static bool pack_transfer(const ledger_transfer *from, Ledger__V1__Transfer *to, arena *a) {
    bool ok = true;
    ledger__v1__transfer__init(to);
    to->id = id_text(a, from->id, &ok);
    to->debit_account_id = id_text(a, from->debit, &ok);
    to->credit_account_id = id_text(a, from->credit, &ok);
    to->pending_id = id_text(a, from->pending_id, &ok);
    to->user_data_128 = id_text(a, from->user_data_128, &ok);
    to->amount = from->amount;
    to->flags = from->flags;
    to->code = from->code;
    to->timeout_s = from->timeout_s;
    to->currency = (char *)from->currency;
    return ok;
}

bool ledger_create_transfers(rpc_client *c, int64_t book_id, const ledger_transfer *transfers,
                             size_t n, ledger_result *results, int64_t deadline_mono_ms, arena *a,
                             err *e) {
    ASSERT(book_id > 0 && n <= LEDGER_BATCH_MAX);
    Ledger__V1__CreateTransfersRequest request = LEDGER__V1__CREATE_TRANSFERS_REQUEST__INIT;
    Ledger__V1__Transfer *rows = ARENA_ARRAY(a, Ledger__V1__Transfer, n);
    request.transfers = ARENA_ARRAY(a, Ledger__V1__Transfer *, n);
    bool ok = rows != NULL && request.transfers != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        ok = pack_transfer(&transfers[i], &rows[i], a);
        request.transfers[i] = &rows[i];
    }
    if (!ok) {
        return err_no_memory(e, "the request");
    }
    request.book_id = book_id;
    request.n_transfers = n;
    ProtobufCMessage *response = NULL;
    if (!rpc_client_call(c, LEDGER_PATH("CreateTransfers"), &request.base,
                         &ledger__v1__create_transfers_response__descriptor, deadline_mono_ms, a,
                         &response, e)) {
        return false;
    }
    const Ledger__V1__CreateTransfersResponse *answer = (const void *)response;
    if (answer->n_results != n) {
        return nonsense(e, "the count of transfers");
    }
    for (size_t i = 0; i < n; i++) {
        const Ledger__V1__CreateTransferResult *r = answer->results[i];
        results[i] = (ledger_result){r->status, r->sequence, r->timestamp_us};
    }
    return true;
}

// --- Balances --------------------------------------------------------------------------------------------------------

static char **id_list(arena *a, const ledger_account *accounts, size_t n) {
    char **ids = ARENA_ARRAY(a, char *, n);
    bool ok = ids != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        ids[i] = id_text(a, accounts[i].id, &ok);
    }
    return ok ? ids : NULL;
}

// Answers omit unknown ids and name a repeated id once, in the order of the request: so each answer belongs to the next account with its
// id.
static ledger_account *next_with_id(ledger_account *accounts, size_t n, size_t *from,
                                    const char *id) {
    uuid wanted;
    if (!uuid_parse(str_of(id), &wanted)) {
        return NULL;
    }
    while (*from < n) {
        ledger_account *account = &accounts[(*from)++];
        if (uuid_eq(account->id, wanted)) {
            return account;
        }
    }
    return NULL;
}

static bool fill_balances(const Ledger__V1__LookupAccountsResponse *answer,
                          ledger_account *accounts, size_t n, bool all, err *e) {
    if (all && answer->n_accounts != n) {
        return nonsense(e, "an account is unknown to the ledger");
    }
    size_t from = 0;
    for (size_t i = 0; i < answer->n_accounts; i++) {
        const Ledger__V1__Account *r = answer->accounts[i];
        ledger_account *account = next_with_id(accounts, n, &from, r->id);
        if (account == NULL || strlen(r->currency) >= sizeof account->currency) {
            return nonsense(e, "an account that was not asked for");
        }
        account->code = r->code;
        account->flags = r->flags;
        memcpy(account->currency, r->currency, strlen(r->currency) + 1);
        account->debits_pending = r->debits_pending;
        account->debits_posted = r->debits_posted;
        account->credits_pending = r->credits_pending;
        account->credits_posted = r->credits_posted;
    }
    return true;
}

// With a proof the balances also come from CheckAccounts, so that the shown and the proven values are one reading.
static bool prove_balances(rpc_client *c, int64_t book_id, char **ids, ledger_account *accounts,
                           size_t n, bool all, int64_t *sequence, int64_t deadline_mono_ms,
                           arena *a, err *e) {
    Ledger__V1__CheckAccountsRequest request = LEDGER__V1__CHECK_ACCOUNTS_REQUEST__INIT;
    request.book_id = book_id;
    request.ids = ids;
    request.n_ids = n;
    ProtobufCMessage *response = NULL;
    if (!rpc_client_call(c, LEDGER_PATH("CheckAccounts"), &request.base,
                         &ledger__v1__check_accounts_response__descriptor, deadline_mono_ms, a,
                         &response, e)) {
        return false;
    }
    const Ledger__V1__CheckAccountsResponse *answer = (const void *)response;
    if (all && answer->n_checks != n) {
        return nonsense(e, "an account is unknown to the ledger");
    }
    size_t from = 0;
    for (size_t i = 0; i < answer->n_checks; i++) {
        const Ledger__V1__AccountCheck *check = answer->checks[i];
        ledger_account *account = next_with_id(accounts, n, &from, check->id);
        if (account == NULL || check->kept == NULL) {
            return nonsense(e, "an account that was not asked for");
        }
        account->debits_pending = check->kept->debits_pending;
        account->debits_posted = check->kept->debits_posted;
        account->credits_pending = check->kept->credits_pending;
        account->credits_posted = check->kept->credits_posted;
        account->checked = true;
        account->equal = check->equal;
        account->entries = check->entries;
    }
    *sequence = answer->sequence;
    return true;
}

static bool lookup(rpc_client *c, int64_t book_id, ledger_account *accounts, size_t n, bool all,
                   bool prove, int64_t *sequence, int64_t deadline_mono_ms, arena *a, err *e) {
    ASSERT(book_id > 0 && n <= LEDGER_BATCH_MAX);
    Ledger__V1__LookupAccountsRequest request = LEDGER__V1__LOOKUP_ACCOUNTS_REQUEST__INIT;
    request.book_id = book_id;
    request.ids = id_list(a, accounts, n);
    request.n_ids = n;
    if (request.ids == NULL) {
        return err_no_memory(e, "the request");
    }
    ProtobufCMessage *response = NULL;
    if (!rpc_client_call(c, LEDGER_PATH("LookupAccounts"), &request.base,
                         &ledger__v1__lookup_accounts_response__descriptor, deadline_mono_ms, a,
                         &response, e)) {
        return false;
    }
    const Ledger__V1__LookupAccountsResponse *answer = (const void *)response;
    *sequence = answer->sequence;
    if (!fill_balances(answer, accounts, n, all, e)) {
        return false;
    }
    return !prove || prove_balances(c, book_id, request.ids, accounts, n, all, sequence,
                                    deadline_mono_ms, a, e);
}

bool ledger_lookup_accounts(rpc_client *c, int64_t book_id, ledger_account *accounts, size_t n,
                            bool prove, int64_t *sequence, int64_t deadline_mono_ms, arena *a,
                            err *e) {
    return lookup(c, book_id, accounts, n, true, prove, sequence, deadline_mono_ms, a, e);
}

bool ledger_lookup_accounts_if_any(rpc_client *c, int64_t book_id, ledger_account *accounts,
                                   size_t n, bool prove, int64_t *sequence,
                                   int64_t deadline_mono_ms, arena *a, err *e) {
    return lookup(c, book_id, accounts, n, false, prove, sequence, deadline_mono_ms, a, e);
}
