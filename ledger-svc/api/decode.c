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

// Names a field: "transfers[3].debit_account_id"; "ids[3]" when there is no member.
bool api_refuse(err *e, const char *reason, const char *list, size_t index, const char *member,
                const char *what) {
    char path[FIELD_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s[%zu]%s%s", list, index, member[0] == '\0' ? "" : ".",
                   member);
    return err_set_field(e, ERR_INVALID_ARGUMENT, reason, path, "%s %s", path, what);
}

// Empty text is the nil id; the posting rules decide what it means.
bool api_id_decode(const char *text, uuid *out, const char *list, size_t index, const char *member,
                   err *e) {
    if (text[0] == '\0') {
        *out = (uuid){{0}};
        return true;
    }
    if (!uuid_parse(str_of(text), out)) {
        return api_refuse(e, "INVALID_UUID", list, index, member, "is not a UUID");
    }
    return true;
}

// Empty text is "none". The posting rules decide whether three letters are a currency.
static bool currency_decode(const char *text, ledger_currency *out, const char *list, size_t index,
                            err *e) {
    *out = ledger_currency_pack(str_of(text));
    if (*out == 0 && text[0] != '\0') {
        return api_refuse(e, "INVALID_CURRENCY", list, index, "currency",
                          "must be three upper-case letters");
    }
    return true;
}

static bool reference_decode(const char *text, str *out, const char *list, size_t index, err *e) {
    *out = str_of(text);
    if (out->len > LEDGER_EXTERNAL_REFERENCE_MAX || !str_is_text(out->ptr, out->len)) {
        return api_refuse(e, "INVALID_EXTERNAL_REFERENCE", list, index, "external_reference",
                          "must be at most 128 bytes of text");
    }
    return true;
}

static bool entry_decode(const Ledger__V1__MetadataEntry *m, ledger_metadata_entry *out) {
    *out = (ledger_metadata_entry){str_of(m->key), str_of(m->value)};
    return out->key.len != 0 && out->key.len <= LEDGER_METADATA_KEY_MAX &&
           out->value.len <= LEDGER_METADATA_VALUE_MAX && str_is_text(out->key.ptr, out->key.len) &&
           str_is_text(out->value.ptr, out->value.len);
}

static bool metadata_decode(arena *a, Ledger__V1__MetadataEntry *const *m, size_t n, str *out,
                            const char *list, size_t index, err *e) {
    ledger_metadata_entry entries[LEDGER_METADATA_ENTRIES_MAX];
    char bytes[LEDGER_METADATA_MAX];
    size_t len = 0;
    if (n > LEDGER_METADATA_ENTRIES_MAX) {
        return api_refuse(e, "TOO_MUCH_METADATA", list, index, "metadata",
                          "may have 16 entries at most");
    }
    for (size_t i = 0; i < n; i++) {
        if (!entry_decode(m[i], &entries[i])) {
            return api_refuse(e, "INVALID_METADATA", list, index, "metadata",
                              "must have keys of 1 to 64 bytes and values of at most 256, of text");
        }
    }
    if (!ledger_metadata_encode(entries, n, bytes, &len)) {
        return api_refuse(e, "DUPLICATE_METADATA_KEY", list, index, "metadata",
                          "has the same key twice");
    }
    char *copy = len == 0 ? NULL : api_array(a, len, 1, e);
    if (len != 0 && copy == NULL) {
        return false;
    }
    if (len != 0) {
        memcpy(copy, bytes, len);
    }
    *out = (str){copy, len};
    return true;
}

bool api_labels_decode(arena *a, const char *reference, Ledger__V1__MetadataEntry *const *metadata,
                       size_t n_metadata, const char *list, size_t index, str *reference_out,
                       str *metadata_out, err *e) {
    return reference_decode(reference, reference_out, list, index, e) &&
           metadata_decode(a, metadata, n_metadata, metadata_out, list, index, e);
}

static bool account_decode(arena *a, const Ledger__V1__Account *m, size_t i,
                           ledger_account_event *out, err *e) {
    *out = (ledger_account_event){
        .user_data_64 = m->user_data_64,
        .user_data_32 = m->user_data_32,
        .code = m->code,
        .flags = m->flags,
        .timestamp_us = m->timestamp_us,
        .lowest_balance = m->lowest_balance,
        .balances = {m->debits_pending, m->debits_posted, m->credits_pending, m->credits_posted},
    };
    if (m->lowest_balance == INT64_MIN) {
        return api_refuse(e, "INVALID_LOWEST_BALANCE", "accounts", i, "lowest_balance",
                          "must be at least -9223372036854775807");
    }
    return api_id_decode(m->id, &out->id, "accounts", i, "id", e) &&
           api_id_decode(m->user_data_128, &out->user_data_128, "accounts", i, "user_data_128",
                         e) &&
           currency_decode(m->currency, &out->currency, "accounts", i, e) &&
           api_labels_decode(a, m->external_reference, m->metadata, m->n_metadata, "accounts", i,
                             &out->external_reference, &out->metadata, e);
}

static bool transfer_decode(arena *a, const Ledger__V1__Transfer *m, size_t i,
                            ledger_transfer_event *out, err *e) {
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
        return api_refuse(e, "NEGATIVE_AMOUNT", "transfers", i, "amount", "must not be negative");
    }
    return api_id_decode(m->id, &out->id, "transfers", i, "id", e) &&
           api_id_decode(m->debit_account_id, &out->debit_account_id, "transfers", i,
                         "debit_account_id", e) &&
           api_id_decode(m->credit_account_id, &out->credit_account_id, "transfers", i,
                         "credit_account_id", e) &&
           api_id_decode(m->pending_id, &out->pending_id, "transfers", i, "pending_id", e) &&
           api_id_decode(m->user_data_128, &out->user_data_128, "transfers", i, "user_data_128",
                         e) &&
           currency_decode(m->currency, &out->currency, "transfers", i, e) &&
           api_labels_decode(a, m->external_reference, m->metadata, m->n_metadata, "transfers", i,
                             &out->external_reference, &out->metadata, e);
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
        if (!account_decode(a, request->accounts[i], i, &events[i], e)) {
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
        if (!transfer_decode(a, request->transfers[i], i, &events[i], e)) {
            return false;
        }
    }
    *out = events;
    return true;
}

static bool ids_unique(char *const *texts, size_t n, const char *field, map *seen, uuid *ids,
                       size_t *n_out, err *e) {
    size_t n_ids = 0;
    for (size_t i = 0; i < n; i++) {
        if (!uuid_parse(str_of(texts[i]), &ids[n_ids])) {
            return api_refuse(e, "INVALID_UUID", field, i, "", "is not a UUID");
        }
        if (map_get(seen, ids[n_ids]) == NULL && map_put(seen, ids[n_ids], ids)) {
            n_ids++;
        }
    }
    *n_out = n_ids;
    return true;
}

bool api_ids_decode(arena *a, char *const *texts, size_t n, size_t max, const char *field,
                    uuid **out, size_t *n_out, err *e) {
    if (!api_count_check(n, max, field, e)) {
        return false;
    }
    *out = api_array(a, n, sizeof **out, e);
    if (*out == NULL) {
        return false;
    }
    map *seen = map_create(n, max);
    const bool ok = ids_unique(texts, n, field, seen, *out, n_out, e);
    map_destroy(seen);
    return ok;
}
