// Life of the inbox, and recording.
#include "rails/inbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crash.h"
#include "base/log.h"
#include "rails/inbox_internal.h"

bool inbox_no_memory(err *e) {
    return err_no_memory(e, "what a bank says");
}

str inbox_content_aad(int64_t book_id, uuid inbox_id, int32_t version, char out[INBOX_AAD_MAX]) {
    char id[UUID_TEXT_LEN + 1];
    uuid_format(inbox_id, id);
    const int n =
        snprintf(out, INBOX_AAD_MAX, "inbox|content|%" PRId64 "|%s|%" PRId32, book_id, id, version);
    ASSERT(n > 0 && n < INBOX_AAD_MAX);
    return (str){out, (size_t)n};
}

str inbox_line_aad(int64_t book_id, uuid inbox_id, int32_t version, int32_t line,
                   char out[INBOX_AAD_MAX]) {
    char id[UUID_TEXT_LEN + 1];
    uuid_format(inbox_id, id);
    const int n = snprintf(out, INBOX_AAD_MAX, "inbox|line|%" PRId64 "|%s|%" PRId32 "|%" PRId32,
                           book_id, id, version, line);
    ASSERT(n > 0 && n < INBOX_AAD_MAX);
    return (str){out, (size_t)n};
}

str inbox_text(arena *a, str s, size_t max) {
    const bool whole = str_is_text(s.ptr, s.len);
    size_t len = whole ? str_clip(s, max).len : s.len < max ? s.len : max;
    char *copy = arena_strndup(a, len == 0 ? "" : s.ptr, len);
    if (copy == NULL) {
        return STR("");
    }
    len = str_make_plain(copy, len, "");
    copy[len] = '\0';
    return (str){copy, len};
}

// --- Life ------------------------------------------------------------------------------------------------------------

inbox *inbox_create(db_pool *pool, crypto_keyring *keys, const clock_source *clock) {
    inbox *box = calloc(1, sizeof *box);
    ASSERT(box != NULL);
    box->pool = pool;
    box->keys = keys;
    box->clock = clock;
    MUST(pthread_mutex_init(&box->lock, NULL) == 0);
    static const char HELP[] = "files and messages of banks";
    box->recorded = metric_counter("inbox_items_total", "result=\"recorded\"", HELP);
    box->repeated = metric_counter("inbox_items_total", "result=\"repeated\"", HELP);
    box->applied = metric_counter("inbox_items_total", "result=\"applied\"", HELP);
    box->refused = metric_counter("inbox_items_total", "result=\"refused\"", HELP);
    box->failed = metric_counter("inbox_items_total", "result=\"failed\"", HELP);
    box->exceptions = metric_counter("inbox_exceptions_total", "", "lines that were set aside");
    return box;
}

void inbox_destroy(inbox *box) {
    if (box == NULL) {
        return;
    }
    ASSERT(box->n_readers == 0);
    MUST(pthread_mutex_destroy(&box->lock) == 0);
    free(box);
}

void inbox_listen(inbox *box, const inbox_reader *reader) {
    MUST(pthread_mutex_lock(&box->lock) == 0);
    ASSERT(box->n_readers < INBOX_SOURCES_MAX);
    box->readers[box->n_readers++] = *reader;
    MUST(pthread_mutex_unlock(&box->lock) == 0);
}

void inbox_unlisten(inbox *box, int connection) {
    MUST(pthread_mutex_lock(&box->lock) == 0);
    for (size_t i = 0; i < box->n_readers; i++) {
        if (box->readers[i].connection == connection) {
            box->readers[i--] = box->readers[--box->n_readers];
        }
    }
    MUST(pthread_mutex_unlock(&box->lock) == 0);
}

void inbox_set_wake(inbox *box, rail_wake wake, void *arg) {
    MUST(pthread_mutex_lock(&box->lock) == 0);
    box->wake = wake;
    box->wake_arg = arg;
    MUST(pthread_mutex_unlock(&box->lock) == 0);
}

void inbox_wake(inbox *box, int64_t book_id, int connection) {
    MUST(pthread_mutex_lock(&box->lock) == 0);
    const rail_wake wake = box->wake;
    void *arg = box->wake_arg;
    MUST(pthread_mutex_unlock(&box->lock) == 0);
    if (wake != NULL) {
        wake(arg, book_id, connection);
    }
}

// --- Recording -------------------------------------------------------------------------------------------------------

typedef struct recording {
    inbox *box;
    const inbox_raw *raw;
    uint8_t sha256[32], once[32];
    uuid id;
    int64_t now_us;
    inbox_ref *out;
} recording;

static bool insert_row(const recording *r, db_conn *c, arena *a, int64_t *n, err *e) {
    char aad[INBOX_AAD_MAX];
    str sealed;
    const inbox_raw *raw = r->raw;
    if (!crypto_seal(r->box->keys, inbox_content_aad(raw->book_id, r->id, 1, aad), raw->bytes, a,
                     &sealed, e)) {
        return false;
    }
    db_params *p = db_params_create(a);
    db_i64(p, raw->book_id);
    db_uuid(p, r->id);
    db_i16(p, (int16_t)raw->connection);
    db_i16(p, (int16_t)raw->kind);
    db_text(p, inbox_text(a, raw->name, INBOX_NAME_MAX));
    db_i64(p, (int64_t)raw->bytes.len);
    db_bytes(p, r->sha256, sizeof r->sha256);
    db_bytes(p, r->once, sizeof r->once);
    db_bytes(p, sealed.ptr, sealed.len);
    db_time(p, raw->said_us);
    db_time(p, r->now_us);
    return db_exec(c, &INBOX_SQL[INBOX_SQL_INSERT], p, a, NULL, n, e);
}

static bool record_row(db_conn *c, arena *a, void *arg, err *e) {
    recording *r = arg;
    int64_t inserted = 0;
    if (!insert_row(r, c, a, &inserted, e)) {
        return false;
    }
    *r->out = (inbox_ref){r->raw->book_id, r->id, inserted == 0, INBOX_RECORDED};
    if (inserted == 1) {
        return true;
    }
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, r->raw->book_id);
    db_i16(p, (int16_t)r->raw->connection);
    db_i16(p, (int16_t)r->raw->kind);
    db_bytes(p, r->once, sizeof r->once);
    db_time(p, r->now_us);
    if (!db_exec(c, &INBOX_SQL[INBOX_SQL_SEEN], p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) != 1) {
        return err_set(e, ERR_ABORTED, "INBOX_RACE", "the same was recorded at this moment");
    }
    r->out->inbox_id = db_get_uuid(rows, 0, 0);
    r->out->state = (inbox_state)db_get_i16(rows, 0, 1);
    return true;
}

// Makes the value that identifies a repeat. A bank may send the same words twice and mean two things, but not under one id.
static bool make_once(recording *r, arena *a, err *e) {
    const inbox_raw *raw = r->raw;
    crypto_sha256(raw->bytes.ptr, raw->bytes.len, r->sha256);
    memcpy(r->once, r->sha256, sizeof r->once);
    if (raw->kind == INBOX_FILE || raw->kind == INBOX_OURS) {
        return true;
    }
    char *both = arena_alloc(a, raw->name.len + 1 + sizeof r->sha256);
    if (both == NULL) {
        return inbox_no_memory(e);
    }
    if (raw->name.len > 0) {
        memcpy(both, raw->name.ptr, raw->name.len);
    }
    memcpy(both + raw->name.len + 1, r->sha256, sizeof r->sha256);
    crypto_sha256(both, raw->name.len + 1 + sizeof r->sha256, r->once);
    return true;
}

bool inbox_record(inbox *box, const inbox_raw *raw, inbox_ref *out, err *e) {
    arena *a = arena_create(INBOX_SCRATCH_MAX);
    recording r = {.box = box,
                   .raw = raw,
                   .id = uuid_v7(box->clock),
                   .now_us = clock_wall_us(box->clock),
                   .out = out};
    *out = (inbox_ref){0};
    bool ok = raw->bytes.len <= INBOX_BYTES_MAX ||
              err_set(e, ERR_INVALID_ARGUMENT, "TOO_LARGE", "more bytes than can be recorded");
    // After a lost answer to COMMIT it tries again: the same bytes are then a repeat.
    ok = ok && make_once(&r, a, e) &&
         db_transact(box->pool, clock_mono_ms(box->clock) + INBOX_DB_TIMEOUT_MS, a, record_row, &r,
                     e);
    arena_destroy(a);
    if (ok) {
        CRASH_POINT("inbox.recorded");
        metric_add(out->repeated ? box->repeated : box->recorded, 1);
    }
    return ok;
}

// --- Complaints ------------------------------------------------------------------------------------------------------

typedef struct complaint {
    case_new what;
    int64_t now_us;
} complaint;

static bool complain(db_conn *c, arena *a, void *arg, err *e) {
    const complaint *x = arg;
    return cases_open(c, 0, &x->what, 1, x->now_us, a, e);
}

bool inbox_complain(inbox *box, const char *subject, const char *code, const char *text, err *e) {
    arena *a = arena_create(INBOX_SCRATCH_MAX);
    complaint x = {.what = {.kind = "INBOX_FILE",
                            .subject_type = "inbox",
                            .subject_id = inbox_text(a, str_of(subject), 200),
                            .code = str_of(code),
                            .text = str_of(text)},
                   .now_us = clock_wall_us(box->clock)};
    const bool ok =
        db_transact(box->pool, clock_mono_ms(box->clock) + INBOX_DB_TIMEOUT_MS, a, complain, &x, e);
    arena_destroy(a);
    return ok;
}
