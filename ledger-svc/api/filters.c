// Checks filters. A senseless filter is refused with the name of its field: a mistake never gets an empty list.
#include <stdio.h>

#include "api/lists_internal.h"

enum { FIELD_MAX = 64 };

// The fields of both filters.
typedef struct common_filter {
    uint32_t code;
    const char *currency, *external_reference, *metadata_key, *metadata_value, *user_data_128;
    int64_t from_us, to_us;
} common_filter;

bool api_refuse_field(err *e, const char *reason, const char *field, const char *what) {
    return err_set_field(e, ERR_INVALID_ARGUMENT, reason, field, "%s %s", field, what);
}

static bool refuse(err *e, const char *member, const char *what) {
    char field[FIELD_MAX];
    (void)snprintf(field, sizeof field, "filter.%s", member);
    return api_refuse_field(e, "INVALID_FILTER", field, what);
}

bool api_times_check(int64_t from_us, int64_t to_us, const char *from_field, const char *to_field,
                     err *e) {
    if (from_us < 0) {
        return api_refuse_field(e, "INVALID_TIME_RANGE", from_field, "must not be negative");
    }
    if (to_us < 0) {
        return api_refuse_field(e, "INVALID_TIME_RANGE", to_field, "must not be negative");
    }
    return to_us == 0 || from_us < to_us ||
           api_refuse_field(e, "INVALID_TIME_RANGE", to_field, "must be after the beginning");
}

static bool text_check(const char *text, size_t max, const char *member, const char *what, err *e) {
    const str s = str_of(text);
    return (s.len <= max && str_is_text(s.ptr, s.len)) || refuse(e, member, what);
}

static bool common_check(const common_filter *f, err *e) {
    if (f->code > LEDGER_CODE_MAX) {
        return refuse(e, "code", "must be at most 65535");
    }
    if (f->currency[0] != '\0' &&
        !ledger_currency_known(ledger_currency_pack(str_of(f->currency)))) {
        return api_refuse_field(e, "INVALID_CURRENCY", "filter.currency",
                                "must be a code of ISO 4217, in upper case");
    }
    if (f->metadata_value[0] != '\0' && f->metadata_key[0] == '\0') {
        return refuse(e, "metadata_value", "needs filter.metadata_key");
    }
    return text_check(f->external_reference, LEDGER_EXTERNAL_REFERENCE_MAX, "external_reference",
                      "must be at most 128 bytes of text", e) &&
           text_check(f->metadata_key, LEDGER_METADATA_KEY_MAX, "metadata_key",
                      "must be at most 64 bytes of text", e) &&
           text_check(f->metadata_value, LEDGER_METADATA_VALUE_MAX, "metadata_value",
                      "must be at most 256 bytes of text", e) &&
           api_times_check(f->from_us, f->to_us, "filter.from_us", "filter.to_us", e);
}

// Empty text is nil: not given. The nil UUID itself is refused as user data.
static bool id_decode(const char *text, uuid *out, const char *field, err *e) {
    *out = (uuid){{0}};
    return text[0] == '\0' || (uuid_parse(str_of(text), out) && !uuid_is_nil(*out)) ||
           api_refuse_field(e, "INVALID_UUID", field, "is not the UUID of anything");
}

// --- Transfers -------------------------------------------------------------------------------------------------------

static bool enums_check(const Ledger__V1__TransferFilter *m, err *e) {
    if ((unsigned)m->side > LEDGER__V1__ENTRY_SIDE__ENTRY_SIDE_CREDIT) {
        return refuse(e, "side", "must be DEBIT or CREDIT");
    }
    if (m->side != LEDGER__V1__ENTRY_SIDE__ENTRY_SIDE_UNSPECIFIED && m->account_id[0] == '\0') {
        return refuse(e, "side", "needs filter.account_id");
    }
    if ((unsigned)m->kind > LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_EXPIRE) {
        return refuse(e, "kind", "is not a TransferKind");
    }
    if ((unsigned)m->pending_state > LEDGER__V1__PENDING_STATE__PENDING_STATE_EXPIRED) {
        return refuse(e, "pending_state", "is not a PendingState");
    }
    if (m->pending_state != LEDGER__V1__PENDING_STATE__PENDING_STATE_UNSPECIFIED &&
        m->kind != LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_UNSPECIFIED &&
        m->kind != LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_PENDING) {
        return refuse(e, "pending_state", "is of pending transfers, and filter.kind of others");
    }
    return true;
}

static bool sequences_check(const Ledger__V1__TransferFilter *m, err *e) {
    if (m->from_sequence < 0) {
        return refuse(e, "from_sequence", "must not be negative");
    }
    if (m->to_sequence < 0) {
        return refuse(e, "to_sequence", "must not be negative");
    }
    return m->to_sequence == 0 || m->from_sequence <= m->to_sequence ||
           refuse(e, "to_sequence", "must not be before filter.from_sequence");
}

bool api_transfer_filter_decode(const Ledger__V1__TransferFilter *m, query_transfers *q, err *e) {
    if (m == NULL) {
        return true;
    }
    const common_filter common = {m->code,         m->currency,       m->external_reference,
                                  m->metadata_key, m->metadata_value, m->user_data_128,
                                  m->from_us,      m->to_us};
    store_transfer_filter *f = &q->filter;
    *f = (store_transfer_filter){
        .has_account = m->account_id[0] != '\0',
        .side = (store_side)m->side,
        .code = m->code,
        .currency = ledger_currency_pack(str_of(m->currency)),
        .external_reference = str_of(m->external_reference),
        .metadata_key = str_of(m->metadata_key),
        .metadata_value = str_of(m->metadata_value),
        .user_data_64 = m->user_data_64,
        .user_data_32 = m->user_data_32,
        .kind = (ledger_kind)m->kind,
        .pending_state = (store_pending_state)m->pending_state,
        .effective_from_us = m->effective_from_us,
        .effective_to_us = m->effective_to_us,
    };
    q->from_us = m->from_us;
    q->to_us = m->to_us;
    q->from_sequence = m->from_sequence;
    q->to_sequence = m->to_sequence;
    return id_decode(m->account_id, &f->account_id, "filter.account_id", e) &&
           id_decode(m->user_data_128, &f->user_data_128, "filter.user_data_128", e) &&
           common_check(&common, e) && enums_check(m, e) && sequences_check(m, e) &&
           api_times_check(m->effective_from_us, m->effective_to_us, "filter.effective_from_us",
                           "filter.effective_to_us", e);
}

// --- Accounts --------------------------------------------------------------------------------------------------------

bool api_account_filter_decode(const Ledger__V1__AccountFilter *m, query_accounts *q, err *e) {
    if (m == NULL) {
        return true;
    }
    const common_filter common = {m->code,         m->currency,       m->external_reference,
                                  m->metadata_key, m->metadata_value, m->user_data_128,
                                  m->from_us,      m->to_us};
    store_account_filter *f = &q->filter;
    *f = (store_account_filter){
        .code = m->code,
        .currency = ledger_currency_pack(str_of(m->currency)),
        .external_reference = str_of(m->external_reference),
        .metadata_key = str_of(m->metadata_key),
        .metadata_value = str_of(m->metadata_value),
        .user_data_64 = m->user_data_64,
        .user_data_32 = m->user_data_32,
        .flags = m->flags,
    };
    q->from_us = m->from_us;
    q->to_us = m->to_us;
    if ((m->flags & ~(uint32_t)LEDGER_ACCOUNT_FLAGS_KNOWN) != 0) {
        return refuse(e, "flags", "has a bit that is no AccountFlag");
    }
    return id_decode(m->user_data_128, &f->user_data_128, "filter.user_data_128", e) &&
           common_check(&common, e);
}
