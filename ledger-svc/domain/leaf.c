#include "domain/leaf.h"

#include <endian.h>
#include <string.h>

#include "base/assert.h"
#include "base/sha256.h"

// --- Writing: each call appends -----------------------------------------------------------------------------------

static uint8_t *put_u8(uint8_t *p, uint8_t v) {
    *p = v;
    return p + 1;
}

static uint8_t *put_u16(uint8_t *p, uint16_t v) {
    const uint16_t be = htobe16(v);
    memcpy(p, &be, sizeof be);
    return p + sizeof be;
}

static uint8_t *put_u32(uint8_t *p, uint32_t v) {
    const uint32_t be = htobe32(v);
    memcpy(p, &be, sizeof be);
    return p + sizeof be;
}

static uint8_t *put_u64(uint8_t *p, uint64_t v) {
    const uint64_t be = htobe64(v);
    memcpy(p, &be, sizeof be);
    return p + sizeof be;
}

static uint8_t *put_i64(uint8_t *p, int64_t v) {
    return put_u64(p, (uint64_t)v);
}

static uint8_t *put_uuid(uint8_t *p, uuid id) {
    memcpy(p, id.b, sizeof id.b);
    return p + sizeof id.b;
}

static uint8_t *put_after(uint8_t *p, const ledger_balances *b, uint8_t state) {
    p = put_i64(p, b->debits_pending);
    p = put_i64(p, b->debits_posted);
    p = put_i64(p, b->credits_pending);
    p = put_i64(p, b->credits_posted);
    return put_u8(p, state);
}

static uint8_t *put_text(uint8_t *p, str text, size_t len_max) {
    ASSERT(text.len <= len_max);
    p = put_u16(p, (uint16_t)text.len);
    if (text.len != 0) {
        memcpy(p, text.ptr, text.len);
    }
    return p + text.len;
}

size_t ledger_leaf_encode(int64_t book_id, const ledger_row *row,
                          uint8_t out[LEDGER_LEAF_LEN_MAX]) {
    char currency[4];
    ledger_currency_text(row->currency, currency);
    uint8_t *p = put_u8(out, LEDGER_LEAF_VERSION);
    p = put_i64(p, book_id);
    p = put_i64(p, row->sequence);
    p = put_i64(p, row->timestamp_us);
    p = put_i64(p, row->effective_us);
    p = put_u8(p, (uint8_t)row->kind);
    p = put_u32(p, row->flags);
    p = put_u32(p, row->code);
    memcpy(p, currency, 3);
    p = put_uuid(p + 3, row->id);
    p = put_uuid(p, row->debit_account_id);
    p = put_uuid(p, row->credit_account_id);
    p = put_i64(p, row->amount);
    p = put_after(p, &row->debit_after, row->debit_state_after);
    p = put_after(p, &row->credit_after, row->credit_state_after);
    p = put_uuid(p, row->pending_id);
    p = put_i64(p, row->released);
    p = put_i64(p, row->expires_us);
    p = put_u32(p, row->timeout_s);
    p = put_uuid(p, row->reverses_id);
    p = put_uuid(p, row->user_data_128);
    p = put_u64(p, row->user_data_64);
    p = put_u32(p, row->user_data_32);
    p = put_text(p, row->external_reference, LEDGER_EXTERNAL_REFERENCE_MAX);
    p = put_text(p, row->metadata, LEDGER_METADATA_MAX);
    return (size_t)(p - out);
}

// --- Reading: each call takes from the front --------------------------------------------------------------------------

static uint8_t get_u8(const uint8_t **p) {
    return *(*p)++;
}

static uint16_t get_u16(const uint8_t **p) {
    uint16_t be;
    memcpy(&be, *p, sizeof be);
    *p += sizeof be;
    return be16toh(be);
}

static uint32_t get_u32(const uint8_t **p) {
    uint32_t be;
    memcpy(&be, *p, sizeof be);
    *p += sizeof be;
    return be32toh(be);
}

static uint64_t get_u64(const uint8_t **p) {
    uint64_t be;
    memcpy(&be, *p, sizeof be);
    *p += sizeof be;
    return be64toh(be);
}

static int64_t get_i64(const uint8_t **p) {
    return (int64_t)get_u64(p);
}

static uuid get_uuid(const uint8_t **p) {
    uuid id;
    memcpy(id.b, *p, sizeof id.b);
    *p += sizeof id.b;
    return id;
}

static ledger_balances get_balances(const uint8_t **p) {
    ledger_balances b;
    b.debits_pending = get_i64(p);
    b.debits_posted = get_i64(p);
    b.credits_pending = get_i64(p);
    b.credits_posted = get_i64(p);
    return b;
}

// `tail` bytes of fixed width follow the text.
static bool get_text(const uint8_t **p, const uint8_t *end, size_t tail, size_t len_max, str *out) {
    const size_t len = get_u16(p);
    if (len > len_max || len + tail > (size_t)(end - *p)) {
        return false;
    }
    *out = (str){(const char *)*p, len};
    *p += len;
    return true;
}

bool ledger_leaf_decode(const uint8_t *bytes, size_t len, int64_t *book_id, ledger_row *row) {
    memset(row, 0, sizeof *row);
    if (len < LEDGER_LEAF_FIXED_LEN || len > LEDGER_LEAF_LEN_MAX) {
        return false;
    }
    const uint8_t *p = bytes;
    if (get_u8(&p) != LEDGER_LEAF_VERSION) {
        return false;
    }
    *book_id = get_i64(&p);
    row->sequence = get_i64(&p);
    row->timestamp_us = get_i64(&p);
    row->effective_us = get_i64(&p);
    row->kind = (ledger_kind)get_u8(&p);
    row->flags = get_u32(&p);
    row->code = get_u32(&p);
    row->currency = ledger_currency_pack((str){(const char *)p, 3});
    p += 3;
    row->id = get_uuid(&p);
    row->debit_account_id = get_uuid(&p);
    row->credit_account_id = get_uuid(&p);
    row->amount = get_i64(&p);
    row->debit_after = get_balances(&p);
    row->debit_state_after = get_u8(&p);
    row->credit_after = get_balances(&p);
    row->credit_state_after = get_u8(&p);
    row->pending_id = get_uuid(&p);
    row->released = get_i64(&p);
    row->expires_us = get_i64(&p);
    row->timeout_s = get_u32(&p);
    row->reverses_id = get_uuid(&p);
    row->user_data_128 = get_uuid(&p);
    row->user_data_64 = get_u64(&p);
    row->user_data_32 = get_u32(&p);
    return get_text(&p, bytes + len, 2, LEDGER_EXTERNAL_REFERENCE_MAX, &row->external_reference) &&
           get_text(&p, bytes + len, 0, LEDGER_METADATA_MAX, &row->metadata) && p == bytes + len &&
           row->currency != 0 && row->kind >= LEDGER_KIND_SINGLE && row->kind <= LEDGER_KIND_EXPIRE;
}

void ledger_leaf_hash(int64_t book_id, const ledger_row *row, uint8_t out[LEDGER_LEAF_HASH_LEN]) {
    // Not zeroed, though the release build zeroes the stack: zeroing would cost a good part of the hash.
    uint8_t bytes[1 + LEDGER_LEAF_LEN_MAX] __attribute__((uninitialized));
    bytes[0] = 0x00; // marks a leaf; 0x01 marks an inner node
    sha256(bytes, 1 + ledger_leaf_encode(book_id, row, bytes + 1), out);
}
