// One statement: by itself, or within the time that its reader has.
#include "db_internal.h"

bool db_exec(db_conn *c, const db_stmt *s, const db_params *p, arena *a, db_rows **rows,
             int64_t *n_affected, err *e) {
    err local = {0};
    e = e == NULL ? &local : e;
    if (p != NULL && p->failed != ERR_OK) {
        return db_err_from_params(e, p, s->name);
    }
    if (!db_wire_ready(c, e)) {
        return false;
    }
    db_rows unwanted = {0};
    db_rows *out = &unwanted;
    if (rows != NULL && (out = db_rows_create(a, e)) == NULL) {
        return false;
    }
    int64_t affected = 0;
    if (!(db_read_is_limited(c) ? db_exec_limited(c, s, p, out, &affected, e)
                                : db_exec_plain(c, s, p, out, &affected, e))) {
        return false;
    }
    if (n_affected != NULL) {
        *n_affected = affected;
    }
    if (rows != NULL) {
        *rows = out;
    } else {
        PQclear(unwanted.result);
    }
    return true;
}
