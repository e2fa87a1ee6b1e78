#include <string.h>

#include "base/assert.h"
#include "domain/leaf.h"
#include "store/rows_internal.h"

void *store_array(arena *a, size_t n, size_t size, err *e) {
    void *array = arena_calloc(a, n == 0 ? 1 : n, size);
    if (array == NULL) {
        (void)err_set(e, ERR_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE",
                      "the answer is larger than one call may be");
    }
    return array;
}

db_params *store_params(arena *a, int64_t book_id) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    return p;
}

// --- Reading ---------------------------------------------------------------------------------------------------------

// NULL is the nil id.
static uuid uuid_or_nil(const db_rows *r, size_t row, int col) {
    return db_is_null(r, row, col) ? (uuid){{0}} : db_get_uuid(r, row, col);
}

static int64_t i64_or_zero(const db_rows *r, size_t row, int col) {
    return db_is_null(r, row, col) ? 0 : db_get_i64(r, row, col);
}

static int32_t i32_or_zero(const db_rows *r, size_t row, int col) {
    return db_is_null(r, row, col) ? 0 : db_get_i32(r, row, col);
}

static ledger_currency get_currency(const db_rows *r, size_t row, int col) {
    const ledger_currency currency = ledger_currency_pack(db_get_str(r, row, col));
    ASSERT(currency != 0);
    return currency;
}

static ledger_balances get_balances(const db_rows *r, size_t row, int col) {
    return (ledger_balances){
        .debits_pending = db_get_i64(r, row, col),
        .debits_posted = db_get_i64(r, row, col + 1),
        .credits_pending = db_get_i64(r, row, col + 2),
        .credits_posted = db_get_i64(r, row, col + 3),
    };
}

// Borrowed from the rows, which live as long as the arena. NULL is empty text.
static str get_text(const db_rows *r, size_t row, int col) {
    return db_get_str(r, row, col);
}

void store_head_read(const db_rows *r, store_head *head) {
    *head = (store_head){0};
    if (db_count(r) != 0) {
        *head = (store_head){
            .exists = true,
            .sequence = db_get_i64(r, 0, 0),
            .timestamp_us = db_get_i64(r, 0, 1),
            .next_expires_us = db_get_i64(r, 0, 2),
            .checkpoint_sequence = db_get_i64(r, 0, 3),
            .burned_ids = db_get_i64(r, 0, 4),
        };
    }
}

void store_account_read(const db_rows *r, size_t row, int col, ledger_account *out) {
    *out = (ledger_account){
        .id = db_get_uuid(r, row, col),
        .timestamp_us = db_get_i64(r, row, col + 1),
        .balances = get_balances(r, row, col + 2),
        .state = (uint32_t)db_get_i16(r, row, col + 6),
        .code = (uint32_t)db_get_i32(r, row, col + 7),
        .flags = (uint32_t)db_get_i16(r, row, col + 8),
        .currency = get_currency(r, row, col + 9),
        .lowest_balance = i64_or_zero(r, row, col + 10),
        .user_data_128 = uuid_or_nil(r, row, col + 11),
        .user_data_64 = (uint64_t)i64_or_zero(r, row, col + 12),
        .user_data_32 = (uint32_t)i32_or_zero(r, row, col + 13),
        .effective_us = i64_or_zero(r, row, col + 14),
        .external_reference = get_text(r, row, col + 15),
        .metadata = get_text(r, row, col + 16),
    };
    if (out->effective_us == 0) {
        out->effective_us = out->timestamp_us;
    }
    out->reference_digest = ledger_digest(out->external_reference);
    out->metadata_digest = ledger_digest(out->metadata);
}

// Both accounts' states in one number; absent while both are 0, as nearly always.
enum { STATES_CREDIT_SHIFT = 4, STATES_MASK = 0xf };

// A check finds DATA-LOSS, a read does not: a hash of a wrong length reads as zeros, which is no row's hash.
static void get_leaf_hash(const db_rows *r, size_t row, int col, ledger_row *out) {
    const str hash = db_get_str(r, row, col);
    if (hash.len == sizeof out->leaf_hash) {
        memcpy(out->leaf_hash, hash.ptr, hash.len);
    }
}

void store_transfer_read(const db_rows *r, size_t row, ledger_row *out) {
    *out = (ledger_row){
        .sequence = db_get_i64(r, row, 0),
        .timestamp_us = db_get_i64(r, row, 1),
        .id = uuid_or_nil(r, row, 2),
        .debit_account_id = db_get_uuid(r, row, 3),
        .credit_account_id = db_get_uuid(r, row, 4),
        .amount = db_get_i64(r, row, 5),
        .debit_after = get_balances(r, row, 6),
        .credit_after = get_balances(r, row, 10),
        .code = (uint32_t)db_get_i32(r, row, 14),
        .kind = (ledger_kind)db_get_i16(r, row, 15),
        .flags = (uint32_t)db_get_i16(r, row, 16),
        .currency = get_currency(r, row, 17),
        .pending_id = uuid_or_nil(r, row, 18),
        .released = i64_or_zero(r, row, 19),
        .expires_us = i64_or_zero(r, row, 20),
        .timeout_s = (uint32_t)i64_or_zero(r, row, 21),
        .user_data_128 = uuid_or_nil(r, row, 22),
        .user_data_64 = (uint64_t)i64_or_zero(r, row, 23),
        .user_data_32 = (uint32_t)i32_or_zero(r, row, 24),
        .effective_us = i64_or_zero(r, row, 25),
        .reverses_id = uuid_or_nil(r, row, 27),
        .external_reference = get_text(r, row, 28),
        .metadata = get_text(r, row, 29),
    };
    get_leaf_hash(r, row, 30, out);
    const int16_t states = db_is_null(r, row, 26) ? 0 : db_get_i16(r, row, 26);
    out->debit_state_after = (uint8_t)(states & STATES_MASK);
    out->credit_state_after = (uint8_t)(states >> STATES_CREDIT_SHIFT & STATES_MASK);
    if (out->effective_us == 0) {
        out->effective_us = out->timestamp_us;
    }
}

bool store_accounts_read(arena *a, const db_rows *r, ledger_account **out, size_t *n, err *e) {
    *n = db_count(r);
    *out = store_array(a, *n, sizeof **out, e);
    for (size_t i = 0; *out != NULL && i < *n; i++) {
        store_account_read(r, i, 0, &(*out)[i]);
    }
    return *out != NULL;
}

bool store_transfers_read(arena *a, const db_rows *r, ledger_row **out, size_t *n, err *e) {
    *n = db_count(r);
    *out = store_array(a, *n, sizeof **out, e);
    for (size_t i = 0; *out != NULL && i < *n; i++) {
        store_transfer_read(r, i, &(*out)[i]);
    }
    return *out != NULL;
}

// --- Writing ---------------------------------------------------------------------------------------------------------

// Takes the values of a row: a COPY, or the parameters of an INSERT.
typedef struct store_sink {
    db_copy *copy;
    db_params *params;
} store_sink;

static void put_i64(store_sink s, int64_t v) {
    if (s.copy != NULL) {
        db_copy_i64(s.copy, v);
    } else {
        db_i64(s.params, v);
    }
}

static void put_i32(store_sink s, int32_t v) {
    if (s.copy != NULL) {
        db_copy_i32(s.copy, v);
    } else {
        db_i32(s.params, v);
    }
}

static void put_i16(store_sink s, int16_t v) {
    if (s.copy != NULL) {
        db_copy_i16(s.copy, v);
    } else {
        db_i16(s.params, v);
    }
}

static void put_uuid(store_sink s, uuid v) {
    if (s.copy != NULL) {
        db_copy_uuid(s.copy, v);
    } else {
        db_uuid(s.params, v);
    }
}

static void put_text(store_sink s, str v) {
    if (s.copy != NULL) {
        db_copy_text(s.copy, v);
    } else {
        db_text(s.params, v);
    }
}

static void put_bytes(store_sink s, const void *v, size_t len) {
    if (s.copy != NULL) {
        db_copy_bytes(s.copy, v, len);
    } else {
        db_bytes(s.params, v, len);
    }
}

static void put_null(store_sink s, unsigned oid) {
    if (s.copy != NULL) {
        db_copy_null(s.copy);
    } else {
        db_null(s.params, oid);
    }
}

static void put_uuid_unless_nil(store_sink s, uuid id) {
    if (uuid_is_nil(id)) {
        put_null(s, OID_UUID);
    } else {
        put_uuid(s, id);
    }
}

static void put_i64_unless_zero(store_sink s, int64_t v) {
    if (v == 0) {
        put_null(s, OID_INT8);
    } else {
        put_i64(s, v);
    }
}

static void put_i32_unless_zero(store_sink s, int32_t v) {
    if (v == 0) {
        put_null(s, OID_INT4);
    } else {
        put_i32(s, v);
    }
}

static void put_i16_unless_zero(store_sink s, int16_t v) {
    if (v == 0) {
        put_null(s, OID_INT2);
    } else {
        put_i16(s, v);
    }
}

static void put_text_unless_empty(store_sink s, str text) {
    if (text.len == 0) {
        put_null(s, OID_TEXT);
    } else {
        put_text(s, text);
    }
}

static void put_bytes_unless_empty(store_sink s, str bytes) {
    if (bytes.len == 0) {
        put_null(s, OID_BYTEA);
    } else {
        put_bytes(s, bytes.ptr, bytes.len);
    }
}

static void put_currency(store_sink s, ledger_currency currency) {
    char text[4];
    ledger_currency_text(currency, text);
    put_text(s, (str){text, 3});
}

static void put_balances(store_sink s, const ledger_balances *b) {
    put_i64(s, b->debits_pending);
    put_i64(s, b->debits_posted);
    put_i64(s, b->credits_pending);
    put_i64(s, b->credits_posted);
}

// Writes balances as 0. The next checkpoint sets them, together with all others.
void store_account_copy(db_copy *w, int64_t book_id, const ledger_account *account) {
    const store_sink s = {.copy = w};
    db_copy_row(w);
    put_i64(s, book_id);
    put_uuid(s, account->id);
    put_i64(s, account->timestamp_us);
    put_balances(s, &(ledger_balances){0});
    put_i16(s, (int16_t)ledger_account_state_at_birth(account));
    put_i32(s, (int32_t)account->code);
    put_i16(s, (int16_t)account->flags);
    put_currency(s, account->currency);
    put_i64_unless_zero(s, account->lowest_balance);
    put_uuid_unless_nil(s, account->user_data_128);
    put_i64_unless_zero(s, (int64_t)account->user_data_64);
    put_i32_unless_zero(s, (int32_t)account->user_data_32);
    put_i64_unless_zero(
        s, (account->flags & LEDGER_ACCOUNT_FLAG_IMPORTED) != 0 ? account->effective_us : 0);
    put_text_unless_empty(s, account->external_reference);
    put_bytes_unless_empty(s, account->metadata);
}

size_t store_metadata_count(str metadata) {
    size_t n = 0;
    for (ledger_metadata_entry entry; ledger_metadata_next(&metadata, &entry);) {
        n++;
    }
    return n;
}

void store_account_metadata_copy(db_copy *w, int64_t book_id, const ledger_account *account) {
    str rest = account->metadata;
    for (ledger_metadata_entry entry; ledger_metadata_next(&rest, &entry);) {
        db_copy_row(w);
        db_copy_i64(w, book_id);
        db_copy_text(w, entry.key);
        db_copy_text(w, entry.value);
        db_copy_i64(w, account->timestamp_us);
    }
}

void store_transfer_metadata_copy(db_copy *w, int64_t book_id, const ledger_row *row) {
    str rest = row->metadata;
    for (ledger_metadata_entry entry; ledger_metadata_next(&rest, &entry);) {
        db_copy_row(w);
        db_copy_i64(w, book_id);
        db_copy_text(w, entry.key);
        db_copy_text(w, entry.value);
        db_copy_i64(w, row->sequence);
    }
}

static void put_transfer(store_sink s, int64_t book_id, const ledger_row *row) {
    put_i64(s, book_id);
    put_i64(s, row->sequence);
    put_i64(s, row->timestamp_us);
    put_uuid_unless_nil(s, row->id);
    put_uuid(s, row->debit_account_id);
    put_uuid(s, row->credit_account_id);
    put_i64(s, row->amount);
    put_balances(s, &row->debit_after);
    put_balances(s, &row->credit_after);
    put_i32(s, (int32_t)row->code);
    put_i16(s, (int16_t)row->kind);
    put_i16(s, (int16_t)row->flags);
    put_currency(s, row->currency);
    put_uuid_unless_nil(s, row->pending_id);
    if (uuid_is_nil(row->pending_id)) {
        put_null(s, OID_INT8);
    } else {
        put_i64(s, row->released); // may be 0: the reservation of a zero amount
    }
    put_i64_unless_zero(s, row->expires_us);
    put_i64_unless_zero(s, row->timeout_s);
    put_uuid_unless_nil(s, row->user_data_128);
    put_i64_unless_zero(s, (int64_t)row->user_data_64);
    put_i32_unless_zero(s, (int32_t)row->user_data_32);
    put_i64_unless_zero(s,
                        (row->flags & LEDGER_TRANSFER_FLAG_IMPORTED) != 0 ? row->effective_us : 0);
    put_i16_unless_zero(
        s, (int16_t)(row->debit_state_after | row->credit_state_after << STATES_CREDIT_SHIFT));
    put_uuid_unless_nil(s, row->reverses_id);
    put_text_unless_empty(s, row->external_reference);
    put_bytes_unless_empty(s, row->metadata);
    uint8_t leaf[LEDGER_LEAF_HASH_LEN];
    ledger_leaf_hash(book_id, row, leaf);
    put_bytes(s, leaf, sizeof leaf);
}

void store_transfer_copy(db_copy *w, int64_t book_id, const ledger_row *row) {
    db_copy_row(w);
    put_transfer((store_sink){.copy = w}, book_id, row);
}

db_params *store_transfer_params(arena *a, int64_t book_id, const ledger_row *row) {
    db_params *p = db_params_create(a);
    put_transfer((store_sink){.params = p}, book_id, row);
    return p;
}
