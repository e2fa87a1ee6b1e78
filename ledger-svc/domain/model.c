#include "domain/model.h"

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
