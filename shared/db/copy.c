// COPY … FROM STDIN (FORMAT binary): the fastest way in for many rows.
#include "db_internal.h"

#include <stdlib.h>

static const char SIGNATURE[11] = "PGCOPY\n\377\r\n"; // with its NUL

// Names are constants of our own code; this enforces it.
static void check_identifiers(const char *s) {
    for (; *s != '\0'; s++) {
        ASSERT((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '_' || *s == ',' ||
               *s == ' ' || *s == '.');
    }
}

static void copy_fail(db_copy *w, const err *e) {
    if (!w->failed) {
        w->failed = true;
        w->error = *e;
    }
}

static void put(db_copy *w, const void *bytes, size_t len) {
    db_conn *c = w->c;
    err e = {0};
    int64_t until_ms = db_wire_until(c);
    if (w->failed || len == 0) {
        return;
    }
    if (PQputCopyData(c->pg, bytes, (int)len) != 1) {
        (void)db_wire_lost(c, &e, "copy");
        copy_fail(w, &e);
        return;
    }
    // Sends at once, so that memory stays at one block, however slow the server is.
    if (!db_wire_flush(c, until_ms, &e)) {
        copy_fail(w, &e);
    }
}

static void flush_buffer(db_copy *w) {
    put(w, w->buffer, w->len);
    w->len = 0;
}

static void append(db_copy *w, const void *bytes, size_t len) {
    if (len > sizeof w->buffer - w->len) {
        flush_buffer(w);
    }
    if (len > sizeof w->buffer) {
        put(w, bytes, len);
    } else if (len > 0) {
        memcpy(w->buffer + w->len, bytes, len);
        w->len += len;
    }
}

db_copy *db_copy_begin(db_conn *c, const char *table, const char *columns, int n_columns, err *e) {
    ASSERT(c->in_tx && n_columns > 0 && n_columns <= INT16_MAX);
    check_identifiers(table);
    check_identifiers(columns);
    if (!db_wire_ready(c, e)) {
        return NULL;
    }
    if (c->copy == NULL) {
        c->copy = malloc(sizeof *c->copy);
        ASSERT(c->copy != NULL);
        c->copy->active = false;
    }
    db_copy *w = c->copy;
    w->c = c;
    w->n_columns = n_columns;
    w->column = n_columns;
    w->n_rows = 0;
    w->len = 0;
    w->failed = false;
    strbuf sql;
    strbuf_init(&sql, 16384);
    strbuf_printf(&sql, "COPY %s (%s) FROM STDIN (FORMAT binary)", table, columns);
    ASSERT(strbuf_ok(&sql));
    PGresult *r = NULL;
    if (PQsendQuery(c->pg, sql.ptr)) {
        r = db_wire_result(c, db_wire_until(c), table, e);
    } else {
        (void)db_wire_lost(c, e, table);
    }
    strbuf_deinit(&sql);
    if (r == NULL) {
        return NULL;
    }
    ASSERT(PQresultStatus(r) == PGRES_COPY_IN);
    ASSERT(PQnfields(r) == n_columns);
    PQclear(r);
    w->active = true;
    uint8_t header[8] = {0}; // no flags, no extension
    append(w, SIGNATURE, sizeof SIGNATURE);
    append(w, header, sizeof header);
    return w;
}

void db_copy_row(db_copy *w) {
    ASSERT(w->active && w->column == w->n_columns); // the previous row is complete
    uint8_t n[2];
    db_put16(n, (uint16_t)w->n_columns);
    append(w, n, sizeof n);
    w->column = 0;
    w->n_rows++;
}

static void value(db_copy *w, const void *bytes, size_t len) {
    ASSERT(w->active && w->column < w->n_columns);
    w->column++;
    if (len > DB_VALUE_MAX) {
        err e = {0};
        (void)err_set(&e, ERR_RESOURCE_EXHAUSTED, "VALUE_TOO_LARGE", "a value is too large");
        copy_fail(w, &e);
        return;
    }
    uint8_t size[4];
    db_put32(size, (uint32_t)len);
    append(w, size, sizeof size);
    append(w, bytes, len);
}

void db_copy_i64(db_copy *w, int64_t v) {
    uint8_t b[8];
    db_put64(b, (uint64_t)v);
    value(w, b, sizeof b);
}

void db_copy_i32(db_copy *w, int32_t v) {
    uint8_t b[4];
    db_put32(b, (uint32_t)v);
    value(w, b, sizeof b);
}

void db_copy_i16(db_copy *w, int16_t v) {
    uint8_t b[2];
    db_put16(b, (uint16_t)v);
    value(w, b, sizeof b);
}

void db_copy_bool(db_copy *w, bool v) {
    uint8_t b = v ? 1 : 0;
    value(w, &b, 1);
}

void db_copy_text(db_copy *w, str v) {
    if (v.len > 0 && !str_is_text(v.ptr, v.len)) {
        err e = {0};
        (void)err_set(&e, ERR_INVALID_ARGUMENT, "INVALID_TEXT",
                      "a text is not valid UTF-8 or holds a NUL");
        copy_fail(w, &e);
    }
    value(w, v.ptr, v.len);
}

void db_copy_bytes(db_copy *w, const void *v, size_t len) {
    value(w, v, len);
}

void db_copy_uuid(db_copy *w, uuid v) {
    value(w, v.b, sizeof v.b);
}

void db_copy_time(db_copy *w, int64_t wall_us) {
    int64_t t = wall_us;
    if (wall_us != INT64_MAX && wall_us != INT64_MIN &&
        __builtin_sub_overflow(wall_us, DB_EPOCH_US, &t)) {
        err e = {0};
        (void)err_set(&e, ERR_OUT_OF_RANGE, "TIME_OUT_OF_RANGE", "a time is out of range");
        copy_fail(w, &e);
    }
    db_copy_i64(w, t);
}

void db_copy_null(db_copy *w) {
    ASSERT(w->active && w->column < w->n_columns);
    w->column++;
    uint8_t size[4];
    db_put32(size, UINT32_MAX);
    append(w, size, sizeof size);
}

bool db_copy_end(db_copy *w, int64_t *n_rows, err *e) {
    ASSERT(w->active);
    db_conn *c = w->c;
    err server = {0};
    PGresult *r = NULL;
    if (!w->failed) {
        ASSERT(w->column == w->n_columns);
        uint8_t end[2] = {0xff, 0xff};
        append(w, end, sizeof end);
        flush_buffer(w);
    }
    w->active = false;
    if (c->broken) {
        ASSERT(w->failed);
    } else if (PQputCopyEnd(c->pg, w->failed ? "given up by the client" : NULL) != 1) {
        (void)db_wire_lost(c, &server, "copy");
    } else {
        r = db_wire_result(c, db_wire_until(c), "copy", &server);
    }
    // Our own failure came first and is reported; the server only confirms that we gave up.
    if (w->failed || r == NULL) {
        PQclear(r);
        if (e != NULL) {
            *e = w->failed ? w->error : server;
        }
        return false;
    }
    if (n_rows != NULL) {
        *n_rows = db_result_affected(r);
    }
    PQclear(r);
    return true;
}
