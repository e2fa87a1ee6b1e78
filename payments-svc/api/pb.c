#include <stdio.h>
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "crypto/crypto.h"

enum { US_PER_S = 1000000, PAGE_HASH_LEN = 8, PAGE_POSITION_MAX = 64 };

Google__Protobuf__Timestamp *pb_time(arena *a, int64_t wall_us) {
    Google__Protobuf__Timestamp *t = ARENA_NEW(a, Google__Protobuf__Timestamp);
    google__protobuf__timestamp__init(t);
    t->seconds = wall_us / US_PER_S;
    t->nanos = (int32_t)(wall_us % US_PER_S) * 1000;
    return t;
}

bool pb_time_us(const Google__Protobuf__Timestamp *t, const char *field, int64_t *wall_us, err *e) {
    // Years 1970 … 9999: nothing here is older.
    const int64_t seconds_max = 253402300799;
    if (t->seconds < 0 || t->seconds > seconds_max || t->nanos < 0 || t->nanos > 999999999) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "TIMESTAMP_INVALID", field,
                             "%s is not a time from 1970 to 9999", field);
    }
    *wall_us = t->seconds * US_PER_S + t->nanos / 1000;
    return true;
}

bool out_of_memory(err *e) {
    return err_no_memory(e, "the request");
}

static void *pb_alloc(void *a, size_t size) {
    return arena_alloc(a, size);
}

static void pb_free(void *a, void *ptr) {
    (void)a;
    (void)ptr;
}

ProtobufCAllocator pb_allocator(arena *a) {
    return (ProtobufCAllocator){pb_alloc, pb_free, a};
}

str pb_pack(arena *a, const ProtobufCMessage *m, err *e) {
    const size_t len = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = arena_alloc(a, len + 1); // never NULL for an empty message
    if (bytes == NULL) {
        out_of_memory(e);
        return (str){0};
    }
    const size_t written = protobuf_c_message_pack(m, bytes);
    ASSERT(written == len);
    return (str){(const char *)bytes, len};
}

char *pb_text(arena *a, str s) {
    char *text = arena_must(a, s.len + 1);
    memcpy(text, s.ptr, s.len);
    return text;
}

const err *pb_keep_err(arena *a, const err *e) {
    err *kept = arena_must(a, sizeof *kept);
    *kept = *e;
    return kept;
}

bool pb_is_known_here(const ProtobufCMessage *m, const char *path, err *e) {
    if (m->n_unknown_fields == 0) {
        return true;
    }
    char field[96];
    (void)snprintf(field, sizeof field, "%s%u", path, m->unknown_fields[0].tag);
    return err_set_field(e, ERR_INVALID_ARGUMENT, "UNKNOWN_FIELD", field,
                         "%s has a field %u that this version does not know", m->descriptor->name,
                         m->unknown_fields[0].tag);
}

static const ProtobufCMessage *message_at(const void *member) {
    return *(ProtobufCMessage *const *)member;
}

// The messages of one field: none, one, or as many as the list has.
static bool field_is_known(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                           const char *path, err *e) {
    const char *base = (const char *)m;
    char below[64];
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t n = 0;
        memcpy(&n, base + f->quantifier_offset, sizeof n);
        const ProtobufCMessage *const *list = NULL;
        memcpy(&list, base + f->offset, sizeof list);
        for (size_t i = 0; i < n; i++) {
            (void)snprintf(below, sizeof below, "%s%s[%zu].", path, f->name, i);
            if (!pb_is_known(list[i], below, e)) {
                return false;
            }
        }
        return true;
    }
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        uint32_t chosen = 0;
        memcpy(&chosen, base + f->quantifier_offset, sizeof chosen);
        if (chosen != f->id) {
            return true;
        }
    }
    const ProtobufCMessage *one = message_at(base + f->offset);
    (void)snprintf(below, sizeof below, "%s%s.", path, f->name);
    return one == NULL || pb_is_known(one, below, e);
}

// As deep as the messages are declared: none of ours holds itself.
bool pb_is_known(const ProtobufCMessage *m, const char *path, err *e) {
    if (!pb_is_known_here(m, path, e)) {
        return false;
    }
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (f->type == PROTOBUF_C_TYPE_MESSAGE && !field_is_known(m, f, path, e)) {
            return false;
        }
    }
    return true;
}

Payments__V1__ItemError *pb_item_error(arena *a, const err *e) {
    Payments__V1__ItemError *x = ARENA_NEW(a, Payments__V1__ItemError);
    payments__v1__item_error__init(x);
    x->code = (int32_t)e->code;
    x->reason = pb_text(a, str_of(e->reason));
    x->field = pb_text(a, str_of(e->field));
    x->message = pb_text(a, str_of(e->message));
    return x;
}

Payments__V1__Rail pb_rail(const connections *k, int number) {
    const connection_info *found = connections_of(k, number);
    return found == NULL ? PAYMENTS__V1__RAIL__RAIL_UNSPECIFIED
                         : (Payments__V1__Rail)found->scheme_id;
}

char *pb_connection(const connections *k, int number, arena *a) {
    const connection_info *found = connections_of(k, number);
    char *name =
        found == NULL ? arena_printf(a, "connection %d", number) : pb_text(a, str_of(found->name));
    ASSERT(name != NULL);
    return name;
}

bool pb_connections_of(const connections *k, Payments__V1__Rail scheme, const char *name,
                       int16_t *out, size_t *n, err *e) {
    size_t n_known = 0;
    const connection_info *known = connections_all(k, &n_known);
    *n = 0;
    if (protobuf_c_enum_descriptor_get_value(&payments__v1__rail__descriptor, (int)scheme) ==
        NULL) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "RAIL_UNKNOWN", "rail",
                             "rail is not one of Rail");
    }
    if (scheme == PAYMENTS__V1__RAIL__RAIL_UNSPECIFIED && name[0] == '\0') {
        return true;
    }
    if (name[0] != '\0' && connection_named(known, n_known, str_of(name)) == NULL) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "CONNECTION_UNKNOWN", "connection",
                             "there is no such connection");
    }
    for (size_t i = 0; i < n_known; i++) {
        if ((scheme == PAYMENTS__V1__RAIL__RAIL_UNSPECIFIED || (int)scheme == known[i].scheme_id) &&
            (name[0] == '\0' || str_eq_c(str_of(name), known[i].name))) {
            out[(*n)++] = (int16_t)known[i].id;
        }
    }
    if (*n == 0) {
        out[(*n)++] = 0; // nothing is of both, and no connection has this number
    }
    return true;
}

Payments__V1__Payout *payout_from_row(const connections *k, const payout_view *row, arena *a) {
    Payments__V1__Payout *p = ARENA_NEW(a, Payments__V1__Payout);
    payments__v1__payout__init(p);
    p->payout_id = uuid_text(a, row->payout_id);
    p->merchant_id = pb_text(a, row->merchant_id);
    p->recipient_id = uuid_text(a, row->recipient_id);
    p->amount_minor = row->amount;
    p->currency = pb_text(a, row->currency);
    p->rail = pb_rail(k, row->connection);
    p->connection = pb_connection(k, row->connection, a);
    p->state = (Payments__V1__PayoutState)row->state;
    // Of a payout on its way the saga already knows why it will end; that is not said before it has ended so.
    const bool ended_badly = p->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_FAILED ||
                             p->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_RETURNED ||
                             p->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_CANCELED ||
                             p->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_HELD;
    p->reason = pb_text(a, ended_badly ? row->reason : STR(""));
    p->reason_text = pb_text(a, ended_badly ? row->reason_text : STR(""));
    p->external_reference = pb_text(a, row->external_reference);
    p->description = pb_text(a, row->description);
    p->attempts = row->attempts;
    p->rail_reference = pb_text(a, row->rail_reference);
    p->create_time = pb_time(a, row->created_us);
    p->update_time = pb_time(a, row->updated_us);
    p->intent_id = uuid_text(a, row->intent_id);
    p->fee_minor = row->fee;
    const bool settled = p->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_SETTLED ||
                         p->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_HELD;
    p->returned_minor = settled ? row->returned : 0;
    return p;
}

char *pb_trace(arena *a, uuid trace) {
    char *text = arena_must(a, 2 * sizeof trace.b + 1);
    text[0] = '\0';
    if (!uuid_is_nil(trace)) {
        str_hex(trace.b, sizeof trace.b, text);
    }
    return text;
}

uuid payout_lowest_id(int64_t wall_ms) {
    uuid id = {{0}};
    for (int i = 0; i < 6; i++) {
        id.b[i] = (uint8_t)((uint64_t)wall_ms >> (40 - 8 * i));
    }
    return id;
}

bool payout_is_terminal(Payments__V1__PayoutState s) {
    return s == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_SETTLED ||
           s == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_FAILED ||
           s == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_RETURNED ||
           s == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_CANCELED;
}

char *page_token_make(arena *a, str filters, const uint8_t *position, size_t len) {
    uint8_t hash[32];
    uint8_t raw[PAGE_HASH_LEN + PAGE_POSITION_MAX];
    ASSERT(len <= PAGE_POSITION_MAX);
    crypto_sha256(filters.ptr, filters.len, hash);
    memcpy(raw, hash, PAGE_HASH_LEN);
    memcpy(raw + PAGE_HASH_LEN, position, len);
    // hexadecimal is safe in a URL as it is
    char *hex = arena_must(a, 2 * (PAGE_HASH_LEN + len) + 1);
    str_hex(raw, PAGE_HASH_LEN + len, hex);
    return hex;
}

bool page_token_read(const char *token, str filters, uint8_t *position, size_t len, err *e) {
    uint8_t hash[32];
    uint8_t raw[PAGE_HASH_LEN + PAGE_POSITION_MAX];
    ASSERT(len <= PAGE_POSITION_MAX);
    crypto_sha256(filters.ptr, filters.len, hash);
    if (!str_unhex(str_of(token), raw, PAGE_HASH_LEN + len) ||
        memcmp(raw, hash, PAGE_HASH_LEN) != 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "PAGE_TOKEN_INVALID", "page_token",
                             "page_token is not from an answer to this request with these filters");
    }
    memcpy(position, raw + PAGE_HASH_LEN, len);
    return true;
}

bool pb_book_exists(const payments_service *s, db_conn *c, int64_t book_id, const char *field,
                    arena *a, err *e) {
    if (book_id <= s->o.books.count) {
        return true;
    }
    bool has = false;
    if (!book_has_merchant(c, book_id, &has, a, e)) {
        return false;
    }
    return has || err_set_field(e, ERR_NOT_FOUND, "BOOK_NOT_FOUND", field,
                                "there is no book %lld: books are 1 to %lld", (long long)book_id,
                                (long long)s->o.books.count);
}

bool page_size_of(int32_t asked, int64_t *size, err *e) {
    if (asked < 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "PAGE_SIZE_INVALID", "page_size",
                             "page_size must not be negative");
    }
    *size = asked == 0 ? PAGE_DEFAULT : asked > PAGE_MAX ? PAGE_MAX : asked;
    return true;
}
