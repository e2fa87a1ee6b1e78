// Parameters in PostgreSQL's binary format. A failure is sticky and reported when the statement runs.
#include "db_internal.h"

db_params *db_params_create(arena *a) {
    db_params *p = ARENA_NEW(a, db_params);
    p->a = a;
    return p;
}

static void fail(db_params *p, err_code code, const char *why) {
    if (p->failed == ERR_OK) {
        p->failed = code;
        p->failed_why = why;
    }
}

static void push(db_params *p, Oid type, const void *value, size_t len) {
    ASSERT(p->n < DB_PARAMS_MAX);
    if (len > DB_VALUE_MAX) {
        fail(p, ERR_RESOURCE_EXHAUSTED, "a value is too large");
        len = 0;
    }
    p->types[p->n] = type;
    p->values[p->n] = value;
    p->lengths[p->n] = (int)len;
    p->formats[p->n] = 1;
    p->n++;
}

// Room for a value of fixed width in the builder.
static uint8_t *small(db_params *p, Oid type, size_t len) {
    ASSERT(p->n < DB_PARAMS_MAX);
    uint8_t *at = p->small[p->n];
    push(p, type, at, len);
    return at;
}

void db_i64(db_params *p, int64_t v) {
    db_put64(small(p, OID_INT8, 8), (uint64_t)v);
}

void db_i32(db_params *p, int32_t v) {
    db_put32(small(p, OID_INT4, 4), (uint32_t)v);
}

void db_i16(db_params *p, int16_t v) {
    db_put16(small(p, OID_INT2, 2), (uint16_t)v);
}

void db_bool(db_params *p, bool v) {
    *small(p, OID_BOOL, 1) = v ? 1 : 0;
}

void db_uuid(db_params *p, uuid v) {
    memcpy(small(p, OID_UUID, sizeof v.b), v.b, sizeof v.b);
}

void db_null(db_params *p, unsigned oid) {
    push(p, oid, NULL, 0);
}

static void copied(db_params *p, Oid type, const void *v, size_t len) {
    // One byte more: an empty value must not look like NULL.
    uint8_t *copy = len > DB_VALUE_MAX ? NULL : arena_alloc(p->a, len + 1);
    if (copy == NULL) {
        fail(p, ERR_RESOURCE_EXHAUSTED, "the request needs too much memory");
        push(p, type, NULL, 0);
        return;
    }
    if (len > 0) {
        memcpy(copy, v, len);
    }
    push(p, type, copy, len);
}

void db_text(db_params *p, str v) {
    if (v.len > 0 && !str_is_text(v.ptr, v.len)) {
        fail(p, ERR_INVALID_ARGUMENT, "a text is not valid UTF-8 or holds a NUL");
    }
    copied(p, OID_TEXT, v.ptr, v.len);
}

void db_bytes(db_params *p, const void *v, size_t len) {
    copied(p, OID_BYTEA, v, len);
}

// INT64_MAX and INT64_MIN are 'infinity' and '-infinity' on both sides.
static bool to_server_time(int64_t wall_us, int64_t *out) {
    if (wall_us == INT64_MAX || wall_us == INT64_MIN) {
        *out = wall_us;
        return true;
    }
    return !__builtin_sub_overflow(wall_us, DB_EPOCH_US, out);
}

void db_time(db_params *p, int64_t wall_us) {
    int64_t t = 0;
    if (!to_server_time(wall_us, &t)) {
        fail(p, ERR_OUT_OF_RANGE, "a time is out of range");
    }
    db_put64(small(p, OID_TIMESTAMPTZ, 8), (uint64_t)t);
}

// --- Arrays: one dimension from 1; header, then length and bytes of each element. ------------------------------------

enum { ARRAY_HEADER_LEN = 20, ARRAY_EMPTY_LEN = 12 };

// Allocates room for n elements of value_bytes in all, writes the header, pushes. NULL on failure, or when n is 0.
static uint8_t *array_begin(db_params *p, Oid array, Oid element, size_t n, size_t value_bytes,
                            bool has_null) {
    size_t len = ARRAY_HEADER_LEN + 4 * n + value_bytes;
    if (n > DB_VALUE_MAX / 4 || value_bytes > DB_VALUE_MAX) {
        fail(p, ERR_RESOURCE_EXHAUSTED, "a value is too large");
        push(p, array, NULL, 0);
        return NULL;
    }
    uint8_t *at = arena_alloc(p->a, len);
    if (at == NULL) {
        fail(p, ERR_RESOURCE_EXHAUSTED, "the request needs too much memory");
        push(p, array, NULL, 0);
        return NULL;
    }
    db_put32(at, n > 0 ? 1 : 0);
    db_put32(at + 4, has_null ? 1 : 0);
    db_put32(at + 8, element);
    if (n == 0) {
        push(p, array, at, ARRAY_EMPTY_LEN);
        return NULL;
    }
    db_put32(at + 12, (uint32_t)n);
    db_put32(at + 16, 1);
    push(p, array, at, len);
    return at + ARRAY_HEADER_LEN;
}

void db_i64_array(db_params *p, const int64_t *v, size_t n) {
    uint8_t *at = array_begin(p, OID_INT8_ARRAY, OID_INT8, n, n * 8, false);
    for (size_t i = 0; at != NULL && i < n; i++, at += 12) {
        db_put32(at, 8);
        db_put64(at + 4, (uint64_t)v[i]);
    }
}

void db_i32_array(db_params *p, const int32_t *v, size_t n) {
    uint8_t *at = array_begin(p, OID_INT4_ARRAY, OID_INT4, n, n * 4, false);
    for (size_t i = 0; at != NULL && i < n; i++, at += 8) {
        db_put32(at, 4);
        db_put32(at + 4, (uint32_t)v[i]);
    }
}

void db_i16_array(db_params *p, const int16_t *v, size_t n) {
    uint8_t *at = array_begin(p, OID_INT2_ARRAY, OID_INT2, n, n * 2, false);
    for (size_t i = 0; at != NULL && i < n; i++, at += 6) {
        db_put32(at, 2);
        db_put16(at + 4, (uint16_t)v[i]);
    }
}

void db_uuid_array(db_params *p, const uuid *v, size_t n) {
    uint8_t *at = array_begin(p, OID_UUID_ARRAY, OID_UUID, n, n * sizeof v->b, false);
    for (size_t i = 0; at != NULL && i < n; i++, at += 4 + sizeof v->b) {
        db_put32(at, sizeof v->b);
        memcpy(at + 4, v[i].b, sizeof v->b);
    }
}

void db_time_array(db_params *p, const int64_t *wall_us, size_t n) {
    size_t n_values = 0;
    for (size_t i = 0; i < n; i++) {
        n_values += wall_us[i] != INT64_MIN ? 1 : 0;
    }
    uint8_t *at =
        array_begin(p, OID_TIMESTAMPTZ_ARRAY, OID_TIMESTAMPTZ, n, n_values * 8, n_values < n);
    for (size_t i = 0; at != NULL && i < n; i++) {
        int64_t t = 0;
        if (wall_us[i] == INT64_MIN) {
            db_put32(at, UINT32_MAX);
            at += 4;
            continue;
        }
        if (!to_server_time(wall_us[i], &t)) {
            fail(p, ERR_OUT_OF_RANGE, "a time is out of range");
        }
        db_put32(at, 8);
        db_put64(at + 4, (uint64_t)t);
        at += 12;
    }
}

static void str_array(db_params *p, Oid array, Oid element, const str *v, size_t n) {
    size_t value_bytes = 0;
    bool has_null = false;
    for (size_t i = 0; i < n; i++) {
        if (v[i].ptr == NULL) {
            has_null = true;
            continue;
        }
        if (v[i].len > DB_VALUE_MAX || value_bytes > DB_VALUE_MAX) {
            value_bytes = (size_t)DB_VALUE_MAX + 1;
            break;
        }
        value_bytes += v[i].len;
        if (element == OID_TEXT && v[i].len > 0 && !str_is_text(v[i].ptr, v[i].len)) {
            fail(p, ERR_INVALID_ARGUMENT, "a text is not valid UTF-8 or holds a NUL");
        }
    }
    uint8_t *at = array_begin(p, array, element, n, value_bytes, has_null);
    for (size_t i = 0; at != NULL && i < n; i++) {
        if (v[i].ptr == NULL) {
            db_put32(at, UINT32_MAX);
            at += 4;
            continue;
        }
        db_put32(at, (uint32_t)v[i].len);
        if (v[i].len > 0) {
            memcpy(at + 4, v[i].ptr, v[i].len);
        }
        at += 4 + v[i].len;
    }
}

void db_text_array(db_params *p, const str *v, size_t n) {
    str_array(p, OID_TEXT_ARRAY, OID_TEXT, v, n);
}

void db_bytes_array(db_params *p, const str *v, size_t n) {
    str_array(p, OID_BYTEA_ARRAY, OID_BYTEA, v, n);
}
