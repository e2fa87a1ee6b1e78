// Statements, prepared once a connection, and their rows.
#include "db_internal.h"

#include <limits.h>
#include <stdio.h>

// --- The server side's knowledge -------------------------------------------------------------------------------------

static uint64_t fnv(uint64_t h, const void *bytes, size_t len) {
    const uint8_t *at = bytes;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ at[i]) * UINT64_C(1099511628211);
    }
    return h;
}

db_prepared *db_prepared_find(db_conn *c, const db_stmt *s, const db_params *p) {
    const uint64_t seed = UINT64_C(14695981039346656037);
    size_t name_len = strlen(s->name);
    ASSERT(name_len > 0 && name_len < DB_NAME_LEN);
    uint64_t fingerprint = fnv(seed, s->sql, strlen(s->sql));
    if (p != NULL) {
        fingerprint = fnv(fingerprint, p->types, (size_t)p->n * sizeof p->types[0]);
    }
    size_t slot = (size_t)fnv(seed, s->name, name_len) % DB_PREPARED_SLOTS;
    while (c->prepared[slot].name[0] != '\0' && strcmp(c->prepared[slot].name, s->name) != 0) {
        slot = (slot + 1) % DB_PREPARED_SLOTS;
    }
    db_prepared *d = &c->prepared[slot];
    if (d->name[0] == '\0') {
        ASSERT(c->n_prepared < DB_PREPARED_MAX);
        c->n_prepared++;
        memcpy(d->name, s->name, name_len + 1);
        d->fingerprint = fingerprint;
    }
    // Two statements under one name, or one statement with two sets of types, would read each other's bytes.
    ASSERT(d->fingerprint == fingerprint);
    return d;
}

void db_prepared_name(const db_prepared *d, char out[DB_NAME_LEN + 12]) {
    if (d->generation == 0) {
        (void)snprintf(out, DB_NAME_LEN + 12, "%s", d->name);
    } else {
        // The number first: the server cuts long names at the end.
        (void)snprintf(out, DB_NAME_LEN + 12, "%u~%s", d->generation, d->name);
    }
}

// The stale plan keeps its old name until the connection ends: DEALLOCATE could fail.
void db_prepared_forget(db_prepared *d) {
    d->ready = false;
    d->generation++;
}

int db_send_prepare(db_conn *c, const db_stmt *s, const db_prepared *d, const db_params *p) {
    char name[DB_NAME_LEN + 12];
    db_prepared_name(d, name);
    return PQsendPrepare(c->pg, name, s->sql, p == NULL ? 0 : p->n, p == NULL ? NULL : p->types);
}

int db_send_prepared(db_conn *c, const db_prepared *d, const db_params *p) {
    char name[DB_NAME_LEN + 12];
    db_prepared_name(d, name);
    if (p == NULL) {
        return PQsendQueryPrepared(c->pg, name, 0, NULL, NULL, NULL, 1);
    }
    return PQsendQueryPrepared(c->pg, name, p->n, p->values, p->lengths, p->formats, 1);
}

// --- One statement ---------------------------------------------------------------------------------------------------

int64_t db_result_affected(PGresult *r) {
    int64_t n = 0;
    const char *tuples = PQcmdTuples(r);
    if (tuples[0] != '\0') {
        MUST(str_to_i64(str_of(tuples), 0, INT64_MAX, &n));
    }
    return n;
}

static void clear_rows(void *ptr) {
    db_rows *r = ptr;
    PQclear(r->result);
    r->result = NULL;
}

db_rows *db_rows_create(arena *a, err *e) {
    db_rows *r = arena_alloc(a, sizeof *r);
    if (r == NULL || !arena_defer(a, clear_rows, r)) {
        (void)err_no_memory(e, "the request");
        return NULL;
    }
    return r;
}

static bool prepare(db_conn *c, const db_stmt *s, const db_params *p, db_prepared *d,
                    int64_t until_ms, err *e) {
    if (!db_send_prepare(c, s, d, p)) {
        return db_wire_lost(c, e, s->name);
    }
    PGresult *r = db_wire_result(c, until_ms, s->name, e);
    d->ready = r != NULL;
    PQclear(r);
    return d->ready;
}

bool db_send_statement(db_conn *c, const db_stmt *s, const db_params *p, db_prepared *d,
                       int64_t until_ms, err *e) {
    if (!d->ready && !prepare(c, s, p, d, until_ms, e)) {
        return false;
    }
    return db_send_prepared(c, d, p) != 0 || db_wire_lost(c, e, s->name);
}

// NULL and *e on an error.
static PGresult *run_once(db_conn *c, const db_stmt *s, const db_params *p, db_prepared *d,
                          err *e) {
    const int64_t until_ms = db_wire_until(c);
    return db_send_statement(c, s, p, d, until_ms, e) ? db_wire_result(c, until_ms, s->name, e)
                                                      : NULL;
}

bool db_exec_plain(db_conn *c, const db_stmt *s, const db_params *p, db_rows *rows,
                   int64_t *n_affected, err *e) {
    db_prepared *d = db_prepared_find(c, s, p);
    PGresult *r = run_once(c, s, p, d, e);
    if (r == NULL && db_err_is_stale_plan(e)) {
        db_prepared_forget(d);
        // Inside of a transaction this try is lost; db_transact runs it again.
        if (PQtransactionStatus(c->pg) == PQTRANS_IDLE) {
            r = run_once(c, s, p, d, e);
        }
    }
    if (r == NULL) {
        if (d->ready && !c->in_tx && !c->read_only && (e->flags & ERR_CONNECTION_LOST) != 0) {
            e->flags |= ERR_COMMIT_UNKNOWN; // it may have run, and it committed itself
        }
        return false;
    }
    ASSERT(PQresultStatus(r) == PGRES_TUPLES_OK || PQresultStatus(r) == PGRES_COMMAND_OK);
    *n_affected = db_result_affected(r);
    rows->result = r;
    return true;
}

// --- Rows ------------------------------------------------------------------------------------------------------------

size_t db_count(const db_rows *r) {
    return (size_t)PQntuples(r->result);
}

// For getters that must tell a NULL cell from a missing one.
static void check_cell(const db_rows *r, size_t row, int col) {
    ASSERT(r->result != NULL && row < (size_t)PQntuples(r->result));
    ASSERT(col >= 0 && col < PQnfields(r->result));
}

bool db_is_null(const db_rows *r, size_t row, int col) {
    check_cell(r, row, col);
    return PQgetisnull(r->result, (int)row, col) != 0;
}

// The bytes of a cell that is not NULL, of this type and of exactly len bytes. A NULL or missing cell has length 0.
static const uint8_t *cell(const db_rows *r, size_t row, int col, Oid type, size_t len) {
    ASSERT(len > 0 && row <= INT_MAX);
    ASSERT((size_t)PQgetlength(r->result, (int)row, col) == len);
    ASSERT(PQfformat(r->result, col) == 1);
    ASSERT(PQftype(r->result, col) == type);
    return (const uint8_t *)PQgetvalue(r->result, (int)row, col);
}

static uint64_t read64(const uint8_t *at) {
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return be64toh(v);
}

int64_t db_get_i64(const db_rows *r, size_t row, int col) {
    Oid type = PQftype(r->result, col) == OID_XID8 ? OID_XID8 : OID_INT8;
    return (int64_t)read64(cell(r, row, col, type, 8));
}

int32_t db_get_i32(const db_rows *r, size_t row, int col) {
    uint32_t v;
    memcpy(&v, cell(r, row, col, OID_INT4, sizeof v), sizeof v);
    return (int32_t)be32toh(v);
}

int16_t db_get_i16(const db_rows *r, size_t row, int col) {
    uint16_t v;
    memcpy(&v, cell(r, row, col, OID_INT2, sizeof v), sizeof v);
    return (int16_t)be16toh(v);
}

bool db_get_bool(const db_rows *r, size_t row, int col) {
    return *cell(r, row, col, OID_BOOL, 1) != 0;
}

str db_get_str(const db_rows *r, size_t row, int col) {
    check_cell(r, row, col);
    ASSERT(PQfformat(r->result, col) == 1);
    if (PQgetisnull(r->result, (int)row, col)) {
        return (str){NULL, 0};
    }
    Oid type = PQftype(r->result, col);
    str v = {PQgetvalue(r->result, (int)row, col), (size_t)PQgetlength(r->result, (int)row, col)};
    if (type == OID_JSONB) { // a version byte, then the text
        ASSERT(v.len > 0 && v.ptr[0] == 1);
        return (str){v.ptr + 1, v.len - 1};
    }
    ASSERT(type == OID_TEXT || type == OID_BYTEA || type == OID_VARCHAR || type == OID_BPCHAR ||
           type == OID_NAME || type == OID_CHAR || type == OID_JSON || type >= OID_FIRST_USER);
    return v;
}

uuid db_get_uuid(const db_rows *r, size_t row, int col) {
    uuid id;
    memcpy(id.b, cell(r, row, col, OID_UUID, sizeof id.b), sizeof id.b);
    return id;
}

uuid db_get_uuid_or_nil(const db_rows *r, size_t row, int col) {
    return db_is_null(r, row, col) ? (uuid){{0}} : db_get_uuid(r, row, col);
}

int64_t db_get_time(const db_rows *r, size_t row, int col) {
    int64_t t = (int64_t)read64(cell(r, row, col, OID_TIMESTAMPTZ, 8));
    // 'infinity' and '-infinity' keep their extreme values; the server's last years do not fit and become 'infinity'.
    int64_t wall_us = t;
    if (t != INT64_MAX && t != INT64_MIN && __builtin_add_overflow(t, DB_EPOCH_US, &wall_us)) {
        wall_us = INT64_MAX;
    }
    return wall_us;
}
