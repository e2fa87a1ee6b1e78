#include "connections/connections.h"

#include "base/assert.h"
#include "books/books.h"
#include "connections/connections_sql.h"

const connection_info *connection_named(const connection_info *list, size_t n, str name) {
    for (size_t i = 0; i < n; i++) {
        if (str_eq_c(name, list[i].name)) {
            return &list[i];
        }
    }
    return NULL;
}

bool connections_queue(db_conn *c, const connection_info *list, size_t n_list, arena *a,
                       connection_queue **out, size_t *n, err *e) {
    ASSERT(n_list <= CONNECTIONS_MAX);
    db_rows *rows = NULL;
    int64_t *books = NULL;
    size_t n_books = 0;
    if (!books_list(c, BOOKS_OF_MERCHANTS, &books, &n_books, a, e)) {
        return false;
    }
    int16_t ids[CONNECTIONS_MAX], steps[CONNECTION_STEPS];
    for (size_t i = 0; i < n_list; i++) {
        ids[i] = (int16_t)list[i].id;
    }
    for (int16_t step = 1; step <= CONNECTION_STEPS; step++) {
        steps[step - 1] = step;
    }
    db_params *p = db_params_create(a);
    db_i64_array(p, books, n_books);
    db_i16_array(p, ids, n_list);
    db_i16_array(p, steps, CONNECTION_STEPS);
    db_i64(p, CONNECTION_COUNTED_MAX);
    if (!db_exec(c, connections_sql(CONNECTIONS_SQL_QUEUE), p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    *out = ARENA_ARRAY(a, connection_queue, *n + 1);
    if (*out == NULL) {
        return err_no_memory(e, "the answer");
    }
    for (size_t i = 0; i < *n; i++) {
        (*out)[i] = (connection_queue){.connection = db_get_i16(rows, i, 0),
                                       .step = db_get_i16(rows, i, 1),
                                       .count = db_get_i64(rows, i, 2),
                                       .oldest_us = db_get_time(rows, i, 3)};
    }
    return true;
}

bool connections_last_word(db_conn *c, int id, int64_t *at_us, arena *a, err *e) {
    db_rows *rows = NULL;
    int64_t *books = NULL;
    size_t n_books = 0;
    if (!books_list(c, BOOKS_OF_INBOX, &books, &n_books, a, e)) {
        return false;
    }
    db_params *p = db_params_create(a);
    db_i16(p, (int16_t)id);
    db_i64_array(p, books, n_books);
    if (!db_exec(c, connections_sql(CONNECTIONS_SQL_LAST_WORD), p, a, &rows, NULL, e)) {
        return false;
    }
    *at_us = db_is_null(rows, 0, 0) ? 0 : db_get_time(rows, 0, 0);
    return true;
}
