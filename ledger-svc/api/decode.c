#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "base/map.h"

enum { FIELD_PATH_MAX = 64 };

void *api_array(arena *a, size_t n, size_t size, err *e) {
    void *array = arena_calloc(a, n == 0 ? 1 : n, size);
    if (array == NULL) {
        (void)err_set(e, ERR_RESOURCE_EXHAUSTED, "CALL_TOO_LARGE",
                      "the call needs more memory than one call may have");
    }
    return array;
}

bool api_book_id_check(int64_t book_id, err *e) {
    if (book_id <= 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID_BOOK_ID", "book_id",
                             "book_id must be positive");
    }
    return true;
}

bool api_count_check(size_t n, size_t max, const char *field, err *e) {
    if (n > max) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "BATCH_TOO_LARGE", field,
                             "%s holds %zu items, at most %zu may be", field, n, max);
    }
    return true;
}

// "transfers[3].debit_account_id"; "ids[3]" when there is no member.
static bool refuse(err *e, const char *reason, const char *list, size_t index, const char *member,
                   const char *what) {
    char path[FIELD_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s[%zu]%s%s", list, index, member[0] == '\0' ? "" : ".",
                   member);
    return err_set_field(e, ERR_INVALID_ARGUMENT, reason, path, "%s %s", path, what);
}

// Empty is the nil id: what that means is for the posting rules to say.
static bool id_decode(const char *text, uuid *out, const char *list, size_t index,
                      const char *member, err *e) {
    if (text[0] == '\0') {
        *out = (uuid){{0}};
        return true;
    }
    if (!uuid_parse(str_of(text), out)) {
        return refuse(e, "INVALID_UUID", list, index, member, "is not a UUID");
    }
    return true;
}

// Empty stands for "none". Whether three letters are a currency is for the posting rules to say.
static bool currency_decode(const char *text, ledger_currency *out, const char *list, size_t index,
                            err *e) {
    *out = ledger_currency_pack(str_of(text));
    if (*out == 0 && text[0] != '\0') {
        return refuse(e, "INVALID_CURRENCY", list, index, "currency",
                      "must be three upper-case letters");
    }
    return true;
}

static bool account_decode(const Ledger__V1__Account *m, size_t i, ledger_account_event *out,
                           err *e) {
    *out = (ledger_account_event){
        .user_data_64 = m->user_data_64,
        .user_data_32 = m->user_data_32,
        .code = m->code,
        .flags = m->flags,
        .timestamp_us = m->timestamp_us,
        .balances = {m->debits_pending, m->debits_posted, m->credits_pending, m->credits_posted},
    };
    return id_decode(m->id, &out->id, "accounts", i, "id", e) &&
           id_decode(m->user_data_128, &out->user_data_128, "accounts", i, "user_data_128", e) &&
           currency_decode(m->currency, &out->currency, "accounts", i, e);
}

static bool transfer_decode(const Ledger__V1__Transfer *m, size_t i, ledger_transfer_event *out,
                            err *e) {
    *out = (ledger_transfer_event){
        .user_data_64 = m->user_data_64,
        .user_data_32 = m->user_data_32,
        .timeout_s = m->timeout_s,
        .code = m->code,
        .flags = m->flags,
        .amount = m->amount,
        .timestamp_us = m->timestamp_us,
    };
    if (m->amount < 0) {
        return refuse(e, "NEGATIVE_AMOUNT", "transfers", i, "amount", "must not be negative");
    }
    return id_decode(m->id, &out->id, "transfers", i, "id", e) &&
           id_decode(m->debit_account_id, &out->debit_account_id, "transfers", i,
                     "debit_account_id", e) &&
           id_decode(m->credit_account_id, &out->credit_account_id, "transfers", i,
                     "credit_account_id", e) &&
           id_decode(m->pending_id, &out->pending_id, "transfers", i, "pending_id", e) &&
           id_decode(m->user_data_128, &out->user_data_128, "transfers", i, "user_data_128", e) &&
           currency_decode(m->currency, &out->currency, "transfers", i, e);
}

bool api_accounts_decode(arena *a, const Ledger__V1__CreateAccountsRequest *request,
                         ledger_account_event **out, err *e) {
    if (!api_book_id_check(request->book_id, e) ||
        !api_count_check(request->n_accounts, LEDGER_BATCH_MAX, "accounts", e)) {
        return false;
    }
    ledger_account_event *events = api_array(a, request->n_accounts, sizeof *events, e);
    if (events == NULL) {
        return false;
    }
    for (size_t i = 0; i < request->n_accounts; i++) {
        if (!account_decode(request->accounts[i], i, &events[i], e)) {
            return false;
        }
    }
    *out = events;
    return true;
}

bool api_transfers_decode(arena *a, const Ledger__V1__CreateTransfersRequest *request,
                          ledger_transfer_event **out, err *e) {
    if (!api_book_id_check(request->book_id, e) ||
        !api_count_check(request->n_transfers, LEDGER_BATCH_MAX, "transfers", e)) {
        return false;
    }
    ledger_transfer_event *events = api_array(a, request->n_transfers, sizeof *events, e);
    if (events == NULL) {
        return false;
    }
    for (size_t i = 0; i < request->n_transfers; i++) {
        if (!transfer_decode(request->transfers[i], i, &events[i], e)) {
            return false;
        }
    }
    *out = events;
    return true;
}

static bool ids_unique(char *const *texts, size_t n, map *seen, uuid *ids, size_t *n_out, err *e) {
    size_t n_ids = 0;
    for (size_t i = 0; i < n; i++) {
        if (!uuid_parse(str_of(texts[i]), &ids[n_ids])) {
            return refuse(e, "INVALID_UUID", "ids", i, "", "is not a UUID");
        }
        if (map_get(seen, ids[n_ids]) == NULL && map_put(seen, ids[n_ids], ids)) {
            n_ids++;
        }
    }
    *n_out = n_ids;
    return true;
}

bool api_ids_decode(arena *a, char *const *texts, size_t n, size_t max, uuid **out, size_t *n_out,
                    err *e) {
    if (!api_count_check(n, max, "ids", e)) {
        return false;
    }
    *out = api_array(a, n, sizeof **out, e);
    if (*out == NULL) {
        return false;
    }
    map *seen = map_create(n, max);
    const bool ok = ids_unique(texts, n, seen, *out, n_out, e);
    map_destroy(seen);
    return ok;
}
