// Cases of exceptions that are closed.
#include <inttypes.h>
#include <stdlib.h>

#include "rails/inbox_internal.h"

typedef struct closing {
    int64_t book_id;
    str subject;
} closing;

static int by_book(const void *a, const void *b) {
    const closing *x = a, *y = b;
    return (x->book_id > y->book_id) - (x->book_id < y->book_id);
}

static bool close_sorted(db_conn *c, const closing *list, size_t n, str why, int64_t now_us,
                         arena *a, err *e) {
    str *subjects = ARENA_ARRAY(a, str, n + 1);
    if (subjects == NULL) {
        return inbox_no_memory(e);
    }
    for (size_t i = 0; i < n; i++) {
        subjects[i] = list[i].subject;
    }
    for (size_t from = 0; from < n;) {
        size_t to = from + 1;
        while (to < n && list[to].book_id == list[from].book_id) {
            to++;
        }
        if (!cases_close(c, list[from].book_id, NULL, "inbox", subjects + from, to - from, why,
                         now_us, a, NULL, e)) {
            return false;
        }
        from = to;
    }
    return true;
}

bool inbox_close_cases(db_conn *c, int64_t book_id, uuid inbox_id, const db_rows *lines, bool whole,
                       str why, int64_t now_us, arena *a, err *e) {
    const size_t n_rows = db_count(lines);
    closing *list = ARENA_ARRAY(a, closing, n_rows + 2);
    char id[UUID_TEXT_LEN + 1];
    uuid_format(inbox_id, id);
    size_t n = 0;
    if (list == NULL) {
        return inbox_no_memory(e);
    }
    for (size_t i = 0; i < n_rows; i++) {
        const int32_t line = db_get_i32(lines, i, 0);
        const char *subject =
            line == 0 ? arena_strdup(a, id) : arena_printf(a, "%s:%" PRId32, id, line);
        if (subject == NULL) {
            return inbox_no_memory(e);
        }
        whole = whole || line == 0;
        list[n++] = (closing){db_get_i64(lines, i, 1), str_of(subject)};
    }
    if (whole) { // the case of the item, and the case that many lines share
        list[n++] = (closing){book_id, str_of(id)};
        list[n++] = (closing){0, str_of(id)};
    }
    if (n > 1) {
        qsort(list, n, sizeof *list, by_book);
    }
    return close_sorted(c, list, n, why, now_us, a, e);
}
