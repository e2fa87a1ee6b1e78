// One statement on a second connection, while its caller runs another on the first.
#include "db_internal.h"

struct db_aside {
    db_conn *c;
    const db_stmt *stmt;
    db_prepared *prepared;
    db_rows *rows;
};

// A statement of a transaction must run in it, and a statement that ends with the deadline needs its limit first.
static bool may_run_aside(const db_conn *c, const db_params *p) {
    return c->read_only && !c->in_tx && !db_read_is_limited(c) &&
           (p == NULL || p->failed == ERR_OK);
}

db_aside *db_aside_start(db_conn *c, const db_stmt *s, const db_params *p, arena *a) {
    err e = {0};
    db_rows *rows = may_run_aside(c, p) ? db_rows_create(a, &e) : NULL;
    db_aside *x = rows == NULL ? NULL : arena_alloc(a, sizeof *x);
    db_conn *spare = x == NULL ? NULL : db_pool_spare(c->pool);
    if (spare == NULL) {
        return NULL;
    }
    spare->read_only = true;
    spare->deadline_ms = c->deadline_ms;
    *x = (db_aside){spare, s, db_prepared_find(spare, s, p), rows};
    const int64_t until_ms = db_wire_until(spare);
    if (!db_send_statement(spare, s, p, x->prepared, until_ms, &e) ||
        !db_wire_flush(spare, until_ms, &e)) {
        db_pool_checkin(spare->pool, spare);
        return NULL;
    }
    return x;
}

db_rows *db_aside_finish(db_aside *x) {
    err e = {0};
    if (x == NULL) {
        return NULL;
    }
    x->rows->result = db_wire_result(x->c, db_wire_until(x->c), x->stmt->name, &e);
    const bool ok = x->rows->result != NULL;
    if (!ok && db_err_is_stale_plan(&e)) {
        db_prepared_forget(x->prepared);
    }
    db_pool_checkin(x->c->pool, x->c);
    return ok ? x->rows : NULL;
}
