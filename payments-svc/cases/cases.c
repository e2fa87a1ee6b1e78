#include "cases/cases.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "cases/cases_internal.h"
#include "cases/cases_sql.h"

enum {
    TEXT_MAX = 1000,
    CODE_MAX = 64,
    NOTES_OF_THE_SAME_MAX = 50, // further ones are only counted
};

bool cases_no_memory(err *e) {
    return err_no_memory(e, "the request");
}

str cases_clip(arena *a, str s, size_t max) {
    if (s.len <= max && str_is_plain(s.ptr, s.len)) {
        return s;
    }
    size_t len = str_clip(s, max).len;
    char *copy = arena_strndup(a, s.ptr, len);
    if (copy == NULL) {
        return STR("");
    }
    len = str_make_plain(copy, len, "");
    copy[len] = '\0';
    return (str){copy, len};
}

typedef struct columns {
    uuid *ids; // ascending, as uuid_v7 makes them
    str *kinds, *types, *subjects, *merchants, *codes, *texts, *currencies;
    int64_t *amounts, *due;
} columns;

static bool columns_make(columns *k, arena *a, size_t n) {
    str *texts = ARENA_ARRAY(a, str, 7 * n);
    k->ids = ARENA_ARRAY(a, uuid, n);
    k->amounts = ARENA_ARRAY(a, int64_t, 2 * n);
    if (texts == NULL || k->ids == NULL || k->amounts == NULL) {
        return false;
    }
    str **const ends[] = {&k->kinds, &k->types, &k->subjects,  &k->merchants,
                          &k->codes, &k->texts, &k->currencies};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        *ends[i] = texts + i * n;
    }
    k->due = k->amounts + n;
    return true;
}

static void fill(columns *k, const case_new *cases, size_t n, int64_t now_us, arena *a) {
    for (size_t i = 0; i < n; i++) {
        const case_new *in = &cases[i];
        ASSERT(in->kind != NULL && in->subject_type != NULL);
        k->ids[i] = uuid_v7(clock_system());
        k->kinds[i] = str_of(in->kind);
        k->types[i] = str_of(in->subject_type);
        k->subjects[i] = in->subject_id.ptr != NULL ? in->subject_id : STR("");
        k->merchants[i] = in->merchant_id.ptr != NULL ? in->merchant_id : STR("");
        k->codes[i] = cases_clip(a, in->code.ptr != NULL ? in->code : STR(""), CODE_MAX);
        k->texts[i] = cases_clip(a, in->text.ptr != NULL ? in->text : STR(""), TEXT_MAX);
        k->currencies[i] = (str){in->currency, strnlen(in->currency, sizeof in->currency)};
        k->amounts[i] = in->amount;
        k->due[i] = now_us + case_kind_of(k->kinds[i])->due_us;
    }
}

static int compare(const void *a, const void *b) {
    return uuid_cmp(*(const uuid *)a, *(const uuid *)b);
}

typedef struct note_rows {
    const uuid *ids, *notes; // of the cases, and of the notes
    const int16_t *kinds;
    const str *texts;
    size_t n;
} note_rows;

// Adds the service's own notes.
static bool insert_notes(db_conn *c, int64_t book_id, const note_rows *r, str resolution,
                         int64_t now_us, arena *a, err *e) {
    if (r->n == 0) {
        return true;
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_time(p, now_us);
    db_uuid_array(p, r->ids, r->n);
    db_uuid_array(p, r->notes, r->n);
    db_i16_array(p, r->kinds, r->n);
    db_text_array(p, r->texts, r->n);
    db_text(p, resolution);
    return db_exec(c, cases_sql(CASES_SQL_NOTES), p, a, NULL, NULL, e);
}

// Adds a note to each case that was opened or seen again, unless it has too many notes, or is only refreshed.
static bool write_notes(db_conn *c, int64_t book_id, const db_rows *rows, const columns *k,
                        size_t n, bool again, int64_t now_us, arena *a, err *e) {
    const size_t n_rows = db_count(rows);
    uuid *ids = ARENA_ARRAY(a, uuid, 2 * n_rows);
    int16_t *kinds = ARENA_ARRAY(a, int16_t, n_rows);
    str *texts = ARENA_ARRAY(a, str, n_rows);
    if (ids == NULL || kinds == NULL || texts == NULL) {
        return cases_no_memory(e);
    }
    uuid *notes = ids + n_rows;
    size_t n_notes = 0;
    for (size_t i = 0; i < n_rows; i++) {
        const uuid id = db_get_uuid(rows, i, 0);
        const bool opened = bsearch(&id, k->ids, n, sizeof id, compare) != NULL;
        if (!opened && (!again || db_get_i64(rows, i, 1) > NOTES_OF_THE_SAME_MAX)) {
            continue;
        }
        const str code = db_get_str(rows, i, 2), text = db_get_str(rows, i, 3);
        ids[n_notes] = id;
        notes[n_notes] = uuid_v7(clock_system());
        kinds[n_notes] = opened ? CASE_NOTE_OPENED : CASE_NOTE_SEEN_AGAIN;
        texts[n_notes] =
            str_of(arena_printf(a, "%.*s%s%.*s", (int)code.len, code.ptr,
                                code.len > 0 && text.len > 0 ? ": " : "", (int)text.len, text.ptr));
        n_notes++;
    }
    const note_rows rows_of = {ids, notes, kinds, texts, n_notes};
    return insert_notes(c, book_id, &rows_of, STR(""), now_us, a, e);
}

static bool open_or_tell(db_conn *c, int64_t book_id, const case_new *cases, size_t n, bool again,
                         int64_t now_us, arena *a, err *e) {
    if (n == 0) {
        return true;
    }
    columns k;
    if (!columns_make(&k, a, n)) {
        return cases_no_memory(e);
    }
    fill(&k, cases, n, now_us, a);
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_time(p, now_us);
    db_uuid_array(p, k.ids, n);
    db_text_array(p, k.kinds, n);
    db_text_array(p, k.types, n);
    db_text_array(p, k.subjects, n);
    db_text_array(p, k.merchants, n);
    db_text_array(p, k.codes, n);
    db_text_array(p, k.texts, n);
    db_i64_array(p, k.amounts, n);
    db_text_array(p, k.currencies, n);
    db_time_array(p, k.due, n);
    db_bool(p, again);
    db_rows *rows = NULL;
    return db_exec(c, cases_sql(CASES_SQL_OPEN), p, a, &rows, NULL, e) &&
           write_notes(c, book_id, rows, &k, n, again, now_us, a, e);
}

bool cases_open(db_conn *c, int64_t book_id, const case_new *cases, size_t n, int64_t now_us,
                arena *a, err *e) {
    return open_or_tell(c, book_id, cases, n, true, now_us, a, e);
}

bool cases_keep(db_conn *c, int64_t book_id, const case_new *cases, size_t n, int64_t now_us,
                arena *a, err *e) {
    return open_or_tell(c, book_id, cases, n, false, now_us, a, e);
}

bool cases_close(db_conn *c, int64_t book_id, const char *kind, const char *subject_type,
                 const str *subject_ids, size_t n, str why, int64_t now_us, arena *a,
                 int64_t *closed, err *e) {
    if (closed != NULL) {
        *closed = 0;
    }
    if (n == 0) {
        return true;
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_time(p, now_us);
    db_text(p, str_of(subject_type));
    db_text_array(p, subject_ids, n);
    if (kind == NULL) {
        db_null(p, OID_TEXT);
    } else {
        db_text(p, str_of(kind));
    }
    db_rows *rows = NULL;
    if (!db_exec(c, cases_sql(CASES_SQL_CLOSE), p, a, &rows, NULL, e)) {
        return false;
    }
    const size_t n_rows = db_count(rows);
    uuid *ids = ARENA_ARRAY(a, uuid, 2 * n_rows);
    int16_t *kinds = ARENA_ARRAY(a, int16_t, n_rows);
    str *texts = ARENA_ARRAY(a, str, n_rows);
    if (ids == NULL || kinds == NULL || texts == NULL) {
        return cases_no_memory(e);
    }
    for (size_t i = 0; i < n_rows; i++) {
        ids[i] = db_get_uuid(rows, i, 0);
        ids[n_rows + i] = uuid_v7(clock_system());
        kinds[i] = CASE_NOTE_CLOSED;
        texts[i] = cases_clip(a, why, TEXT_MAX);
    }
    if (closed != NULL) {
        *closed = (int64_t)n_rows;
    }
    const note_rows rows_of = {ids, ids + n_rows, kinds, texts, n_rows};
    return insert_notes(c, book_id, &rows_of, STR("CLOSED"), now_us, a, e);
}
