#include "ledger/ledger_journal.h"

#include <string.h>

#include "base/assert.h"

enum { ROWS_OF_A_MESSAGE = 1000 };

static bool nonsense(err *e) {
    return err_set(e, ERR_INTERNAL, "LEDGER_ANSWER", "the ledger's answer is not usable");
}

// --- The journal -----------------------------------------------------------------------------------------------------

typedef struct reading {
    ledger_on_row on_row;
    void *arg;
    bool bad;
} reading;

static bool kind_of(Ledger__V1__TransferKind kind, ledger_row_kind *out) {
    switch (kind) {
    case LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_SINGLE_PHASE:
        *out = LEDGER_ROW_MOVED;
        return true;
    case LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_PENDING: *out = LEDGER_ROW_RESERVED; return true;
    case LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_POST: *out = LEDGER_ROW_POSTED; return true;
    case LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_VOID:
    case LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_EXPIRE: *out = LEDGER_ROW_RELEASED; return true;
    case LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_UNSPECIFIED:
    default: break; // of a later version
    }
    return false;
}

static bool read_row(const Ledger__V1__Transfer *t, ledger_row *out) {
    *out = (ledger_row){
        .sequence = t->sequence, .amount = t->amount, .released = t->released, .code = t->code};
    const size_t len = strlen(t->currency);
    if (len >= sizeof out->currency) {
        return false;
    }
    memcpy(out->currency, t->currency, len);
    return kind_of(t->kind, &out->kind) && uuid_parse(str_of(t->debit_account_id), &out->debit) &&
           uuid_parse(str_of(t->credit_account_id), &out->credit) &&
           (t->user_data_128[0] == '\0' ||
            uuid_parse(str_of(t->user_data_128), &out->user_data_128));
}

static bool on_message(void *arg, const ProtobufCMessage *m) {
    reading *r = arg;
    const Ledger__V1__ReadJournalResponse *page = (const Ledger__V1__ReadJournalResponse *)m;
    for (size_t i = 0; i < page->n_transfers; i++) {
        ledger_row row;
        if (!read_row(page->transfers[i], &row)) {
            r->bad = true;
            return false;
        }
        if (!r->on_row(r->arg, &row)) {
            return false;
        }
    }
    return true;
}

bool ledger_read_journal(rpc_client *c, int64_t book_id, int64_t from_sequence,
                         int64_t deadline_mono_ms, ledger_on_row on_row, void *arg, err *e) {
    Ledger__V1__ReadJournalRequest request = LEDGER__V1__READ_JOURNAL_REQUEST__INIT;
    reading r = {.on_row = on_row, .arg = arg};
    request.book_id = book_id;
    request.from_sequence = from_sequence;
    request.batch_max = ROWS_OF_A_MESSAGE;
    if (!rpc_client_stream(c, "/ledger.v1.LedgerService/ReadJournal", &request.base,
                           &ledger__v1__read_journal_response__descriptor, deadline_mono_ms,
                           on_message, &r, e)) {
        return false;
    }
    return !r.bad || nonsense(e);
}

// --- Balances --------------------------------------------------------------------------------------------------------

static bool take_balances(const Ledger__V1__GetAccountBalancesResponse *answer,
                          ledger_account *accounts, size_t n, err *e) {
    for (size_t i = 0; i < answer->n_balances; i++) {
        const Ledger__V1__AccountBalanceAsOf *x = answer->balances[i];
        uuid id = {{0}};
        if (x->balances == NULL || !uuid_parse(str_of(x->account_id), &id)) {
            return nonsense(e);
        }
        for (size_t k = 0; k < n; k++) {
            if (uuid_eq(accounts[k].id, id)) {
                accounts[k].debits_pending = x->balances->debits_pending;
                accounts[k].debits_posted = x->balances->debits_posted;
                accounts[k].credits_pending = x->balances->credits_pending;
                accounts[k].credits_posted = x->balances->credits_posted;
            }
        }
    }
    return true;
}

bool ledger_balances_as_of(rpc_client *c, int64_t book_id, ledger_account *accounts, size_t n,
                           int64_t as_of_sequence, int64_t *sequence, int64_t deadline_mono_ms,
                           arena *a, err *e) {
    Ledger__V1__GetAccountBalancesRequest request = LEDGER__V1__GET_ACCOUNT_BALANCES_REQUEST__INIT;
    Ledger__V1__Moment as_of = LEDGER__V1__MOMENT__INIT;
    ProtobufCMessage *response = NULL;
    request.book_id = book_id;
    request.account_ids = ARENA_ARRAY(a, char *, n);
    if (request.account_ids == NULL) {
        return err_no_memory(e, "the request");
    }
    for (size_t i = 0; i < n; i++) {
        request.account_ids[request.n_account_ids++] = uuid_text(a, accounts[i].id);
    }
    as_of.known_at_sequence = as_of_sequence;
    request.as_of = as_of_sequence > 0 ? &as_of : NULL;
    if (!rpc_client_call(c, "/ledger.v1.LedgerService/GetAccountBalances", &request.base,
                         &ledger__v1__get_account_balances_response__descriptor, deadline_mono_ms,
                         a, &response, e)) {
        return false;
    }
    const Ledger__V1__GetAccountBalancesResponse *answer = (const void *)response;
    *sequence = answer->sequence;
    return take_balances(answer, accounts, n, e);
}

// --- Lists of accounts -----------------------------------------------------------------------------------------------

enum { ACCOUNTS_OF_A_PAGE = 1000 };

static bool take_page(const Ledger__V1__ListAccountsResponse *answer, size_t n_max,
                      ledger_account **list, size_t *n, arena *a, err *e) {
    if (answer->n_accounts > n_max - *n) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_ACCOUNTS",
                       "the book has more than %zu accounts of this kind", n_max);
    }
    ledger_account *more = ARENA_ARRAY(a, ledger_account, *n + answer->n_accounts + 1);
    if (more == NULL) {
        return err_no_memory(e, "the request");
    }
    if (*n > 0) {
        memcpy(more, *list, *n * sizeof *more);
    }
    for (size_t i = 0; i < answer->n_accounts; i++) {
        const Ledger__V1__Account *x = answer->accounts[i];
        ledger_account *account = &more[*n];
        if (!uuid_parse(str_of(x->id), &account->id) ||
            strlen(x->currency) >= sizeof account->currency) {
            return nonsense(e);
        }
        account->code = x->code;
        account->flags = x->flags;
        memcpy(account->currency, x->currency, strlen(x->currency) + 1);
        (*n)++;
    }
    *list = more;
    return true;
}

bool ledger_list_accounts(rpc_client *c, int64_t book_id, uint32_t code, size_t n_max,
                          ledger_account **out, size_t *n, int64_t deadline_mono_ms, arena *a,
                          err *e) {
    Ledger__V1__ListAccountsRequest request = LEDGER__V1__LIST_ACCOUNTS_REQUEST__INIT;
    Ledger__V1__AccountFilter filter = LEDGER__V1__ACCOUNT_FILTER__INIT;
    filter.code = code;
    request.book_id = book_id;
    request.filter = &filter;
    request.page_size = ACCOUNTS_OF_A_PAGE;
    *out = NULL;
    *n = 0;
    do {
        ProtobufCMessage *response = NULL;
        if (!rpc_client_call(c, "/ledger.v1.LedgerService/ListAccounts", &request.base,
                             &ledger__v1__list_accounts_response__descriptor, deadline_mono_ms, a,
                             &response, e)) {
            return false;
        }
        const Ledger__V1__ListAccountsResponse *answer = (const void *)response;
        if (!take_page(answer, n_max, out, n, a, e)) {
            return false;
        }
        request.page_token = answer->next_page_token;
    } while (request.page_token[0] != '\0');
    return true;
}
