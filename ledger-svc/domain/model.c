#include "domain/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

ledger_currency ledger_currency_pack(str text) {
    ledger_currency packed = 0;
    if (text.len != 3) {
        return 0;
    }
    for (size_t i = 0; i < 3; i++) {
        const char letter = text.ptr[i];
        if (letter < 'A' || letter > 'Z') {
            return 0;
        }
        packed = packed << 8 | (uint8_t)letter;
    }
    return packed;
}

void ledger_currency_text(ledger_currency c, char out[4]) {
    out[0] = (char)(c >> 16 & 0xff);
    out[1] = (char)(c >> 8 & 0xff);
    out[2] = (char)(c & 0xff);
    out[3] = '\0';
}

ledger_effect ledger_row_effect(const ledger_row *row) {
    ledger_effect effect = {.pending = -row->released, .posted = 0};
    switch (row->kind) {
    case LEDGER_KIND_SINGLE:
    case LEDGER_KIND_POST: effect.posted = row->amount; break;
    case LEDGER_KIND_PENDING: effect.pending = row->amount; break;
    case LEDGER_KIND_VOID:
    case LEDGER_KIND_EXPIRE: break;
    case LEDGER_KIND_NONE:
    default: ASSERT(!"a row without a kind");
    }
    return effect;
}

// --- Metadata --------------------------------------------------------------------------------------------------------

static int entry_cmp(const void *a, const void *b) {
    const str x = ((const ledger_metadata_entry *)a)->key;
    const str y = ((const ledger_metadata_entry *)b)->key;
    const int order = memcmp(x.ptr, y.ptr, x.len < y.len ? x.len : y.len);
    return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

bool ledger_metadata_encode(ledger_metadata_entry *entries, size_t n, char *out, size_t *out_len) {
    ASSERT(n <= LEDGER_METADATA_ENTRIES_MAX);
    if (n != 0) {
        qsort(entries, n, sizeof *entries, entry_cmp);
    }
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        const str key = entries[i].key;
        const str value = entries[i].value;
        ASSERT(key.len != 0 && key.len <= LEDGER_METADATA_KEY_MAX &&
               value.len <= LEDGER_METADATA_VALUE_MAX);
        if (i != 0 && str_eq(entries[i - 1].key, key)) {
            return false;
        }
        out[len++] = (char)key.len;
        memcpy(out + len, key.ptr, key.len);
        len += key.len;
        out[len++] = (char)(value.len >> 8);
        out[len++] = (char)(value.len & 0xff);
        if (value.len != 0) {
            memcpy(out + len, value.ptr, value.len);
        }
        len += value.len;
    }
    *out_len = len;
    return true;
}

static str take(str *from, size_t len) {
    ASSERT(len <= from->len);
    const str taken = {from->ptr, len};
    *from = (str){from->ptr + len, from->len - len};
    return taken;
}

bool ledger_metadata_next(str *metadata, ledger_metadata_entry *out) {
    if (metadata->len == 0) {
        return false;
    }
    const str key_len = take(metadata, 1);
    out->key = take(metadata, (uint8_t)key_len.ptr[0]);
    const str value_len = take(metadata, 2);
    out->value = take(metadata, (size_t)(uint8_t)value_len.ptr[0] << 8 | (uint8_t)value_len.ptr[1]);
    return true;
}

uuid ledger_digest(str text) {
    return text.len == 0 ? (uuid){{0}} : uuid_derive(&text, 1);
}
