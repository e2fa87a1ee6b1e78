#include "words.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

// The finding of the last comparison.
static char difference[512];

const char *words_differ(const char *what, uint64_t where, const char *field, int64_t wanted,
                         int64_t got) {
    (void)snprintf(difference, sizeof difference,
                   "%s %" PRIu64 ": %s is %" PRId64 ", the model says %" PRId64, what, where, field,
                   got, wanted);
    return difference;
}

// --- From the model's words to the ledger's --------------------------------------------------------------------------

uuid words_id(uint64_t n) {
    uuid id;
    memset(id.b, n == MODEL_ID_MAX ? 0xff : 0, sizeof id.b);
    for (size_t i = 0; i < 8 && n != MODEL_ID_MAX; i++) {
        id.b[15 - i] = (uint8_t)(n >> (8 * i));
    }
    return id;
}

ledger_currency words_currency(int c) {
    static const char *const codes[] = {"", "USD", "EUR", "QQQ"};
    return ledger_currency_pack(str_of(codes[c]));
}

static str text_of(arena *a, const char *prefix, int n) {
    return n == 0 ? (str){0} : str_of(arena_printf(a, "%s%d", prefix, n));
}

static str metadata_of(arena *a, int n) {
    char *out = arena_must(a, LEDGER_METADATA_MAX);
    ledger_metadata_entry entries[] = {{STR("number"), text_of(a, "m", n)},
                                       {STR("kind"), STR("test")}};
    size_t len = 0;
    MUST(ledger_metadata_encode(entries, n == 0 ? 0 : 2, out, &len));
    return (str){out, len};
}

ledger_account_event words_account_event(arena *a, const model_event *e) {
    return (ledger_account_event){
        .id = words_id(e->id),
        .user_data_128 = words_id(e->user_data_128),
        .user_data_64 = e->user_data_64,
        .user_data_32 = e->user_data_32,
        .code = e->code,
        .flags = e->flags,
        .currency = words_currency(e->currency),
        .timestamp_us = e->timestamp_us,
        .lowest_balance = e->lowest_balance,
        .balances = {e->balances.debits_pending, e->balances.debits_posted,
                     e->balances.credits_pending, e->balances.credits_posted},
        .external_reference = text_of(a, "account-", e->reference),
        .metadata = metadata_of(a, e->metadata),
    };
}

ledger_transfer_event words_transfer_event(arena *a, const model_event *e) {
    return (ledger_transfer_event){
        .id = words_id(e->id),
        .debit_account_id = words_id(e->debit),
        .credit_account_id = words_id(e->credit),
        .pending_id = words_id(e->pending),
        .user_data_128 = words_id(e->user_data_128),
        .user_data_64 = e->user_data_64,
        .user_data_32 = e->user_data_32,
        .timeout_s = e->timeout_s,
        .code = e->code,
        .flags = e->flags,
        .currency = words_currency(e->currency),
        .amount = e->amount,
        .timestamp_us = e->timestamp_us,
        .reverses_id = words_id(e->reverses),
        .external_reference = text_of(a, "transfer-", e->reference),
        .metadata = metadata_of(a, e->metadata),
    };
}

static const char *balances_differ(const char *what, uint64_t where, const model_balances *want,
                                   const ledger_balances *got) {
    if (want->debits_pending != got->debits_pending) {
        return words_differ(what, where, "debits_pending", want->debits_pending,
                            got->debits_pending);
    }
    if (want->debits_posted != got->debits_posted) {
        return words_differ(what, where, "debits_posted", want->debits_posted, got->debits_posted);
    }
    if (want->credits_pending != got->credits_pending) {
        return words_differ(what, where, "credits_pending", want->credits_pending,
                            got->credits_pending);
    }
    if (want->credits_posted != got->credits_posted) {
        return words_differ(what, where, "credits_posted", want->credits_posted,
                            got->credits_posted);
    }
    return NULL;
}

// An id as a number again.
int64_t words_number(uuid id) {
    uint64_t n = 0;
    for (size_t i = 8; i < 16; i++) {
        n = n << 8 | id.b[i];
    }
    return (int64_t)n;
}

const char *words_row_differs(const ledger_row *row, const model_row *want, uint64_t at) {
    const struct {
        const char *field;
        int64_t want, got;
    } fields[] = {
        {"kind", want->kind, row->kind},
        {"sequence", (int64_t)at, row->sequence},
        {"id", (int64_t)want->asked.id, words_number(row->id)},
        {"debit", (int64_t)want->asked.debit, words_number(row->debit_account_id)},
        {"credit", (int64_t)want->asked.credit, words_number(row->credit_account_id)},
        {"pending", (int64_t)want->asked.pending, words_number(row->pending_id)},
        {"reverses", (int64_t)want->asked.reverses, words_number(row->reverses_id)},
        {"amount", want->amount, row->amount},
        {"released", want->released, row->released},
        {"expires_us", want->expires_us, row->expires_us},
        {"timestamp_us", want->timestamp_us, row->timestamp_us},
        {"effective_us", want->effective_us, row->effective_us},
        {"code", want->asked.code, row->code},
        {"flags", want->asked.flags, row->flags},
        {"timeout_s", want->asked.timeout_s, row->timeout_s},
        {"currency", words_currency(want->asked.currency), row->currency},
        {"user_data_128", (int64_t)want->asked.user_data_128, words_number(row->user_data_128)},
        {"user_data_64", (int64_t)want->asked.user_data_64, (int64_t)row->user_data_64},
        {"user_data_32", want->asked.user_data_32, row->user_data_32},
        {"debit closed", want->debit_closed, row->debit_state_after & LEDGER_STATE_CLOSED},
        {"credit closed", want->credit_closed, row->credit_state_after & LEDGER_STATE_CLOSED},
        {"has a reference", want->asked.reference != 0, row->external_reference.len != 0},
        {"has metadata", want->asked.metadata != 0, row->metadata.len != 0},
        {"reversed", want->reversed, row->reversal != NULL},
        {"ended by", want->ended_by, row->resolution},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].want != fields[i].got) {
            return words_differ("row", at, fields[i].field, fields[i].want, fields[i].got);
        }
    }
    const char *found =
        balances_differ("debit side of row", at, &want->debit_after, &row->debit_after);
    return found != NULL
               ? found
               : balances_differ("credit side of row", at, &want->credit_after, &row->credit_after);
}

const char *words_account_differs(const ledger_account *got, const model_account *want) {
    const uint64_t id = want->asked.id;
    const char *found = balances_differ("account", id, &want->balances, &got->balances);
    if (found != NULL) {
        return found;
    }
    const uint32_t state = (want->closed ? LEDGER_STATE_CLOSED : 0u) |
                           (model_over_limit(want) ? LEDGER_STATE_OVER_LIMIT : 0u);
    if (state != got->state) {
        return words_differ("account", id, "state", state, got->state);
    }
    if (want->effective_us != got->effective_us) {
        return words_differ("account", id, "effective_us", want->effective_us, got->effective_us);
    }
    return NULL;
}
