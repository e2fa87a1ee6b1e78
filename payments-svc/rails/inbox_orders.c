// A person's orders about the inbox.
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crash.h"
#include "base/log.h"
#include "command/audit.h"
#include "rails/inbox_desk.h"
#include "rails/inbox_internal.h"

// --- Orders ----------------------------------------------------------------------------------------------------------

typedef struct ordering {
    inbox *box;
    const inbox_order *order;
    str bytes; // for a repair
    bool replace_applied;
    int32_t line; // for a dismissal
    uint8_t sha256[32];
    int64_t now_us;
} ordering;

static db_params *name_item(const ordering *x, arena *a) {
    db_params *p = db_params_create(a);
    db_i64(p, x->order->book_id);
    db_uuid(p, x->order->inbox_id);
    return p;
}

static bool run(ordering *x, db_tx_fn step, err *e) {
    arena *a = arena_create(INBOX_SCRATCH_MAX);
    x->now_us = clock_wall_us(x->box->clock);
    const bool ok = db_transact(x->box->pool, clock_mono_ms(x->box->clock) + INBOX_DB_TIMEOUT_MS, a,
                                step, x, e);
    CRASH_POINT("inbox.ordered");
    arena_destroy(a);
    return ok;
}

// Logs a person's decision, since it changes how money is understood.
static void tell(const ordering *x, const char *what) {
    char id[UUID_TEXT_LEN + 1];
    char actor[300];
    uuid_format(x->order->inbox_id, id);
    (void)snprintf(actor, sizeof actor, "%.*s", (int)x->order->actor.len, x->order->actor.ptr);
    log_info("inbox.ordered", F_STR("id", id), F_STR("what", what), F_STR("actor", actor));
}

// An item of a few megabytes takes hundreds while it is applied, on a thread that serves all clients. One item is applied for one person at
// a time.
static bool take_place(inbox *box, uuid inbox_id, err *e) {
    uuid *place = NULL;
    bool same = false;
    MUST(pthread_mutex_lock(&box->lock) == 0);
    for (size_t i = 0; i < INBOX_ORDERS_MAX; i++) {
        same = same || uuid_eq(box->orders[i], inbox_id);
        place = uuid_is_nil(box->orders[i]) ? &box->orders[i] : place;
    }
    if (place != NULL && !same) {
        *place = inbox_id;
    }
    MUST(pthread_mutex_unlock(&box->lock) == 0);
    if (place == NULL || same) {
        err_set(e, ERR_RESOURCE_EXHAUSTED, "INBOX_BUSY",
                same ? "it is being applied" : "other items are being applied");
        e->retry_after_ms = 1000;
    }
    return place != NULL && !same;
}

static void give_place_back(inbox *box, uuid inbox_id) {
    MUST(pthread_mutex_lock(&box->lock) == 0);
    for (size_t i = 0; i < INBOX_ORDERS_MAX; i++) {
        if (uuid_eq(box->orders[i], inbox_id)) {
            box->orders[i] = (uuid){{0}};
        }
    }
    MUST(pthread_mutex_unlock(&box->lock) == 0);
}

// Does the step, and then applies the item.
static bool run_and_apply(ordering *x, db_tx_fn step, const char *what, err *not_applied, err *e) {
    const inbox_order *o = x->order;
    if (uuid_is_nil(o->inbox_id)) { // looks like a free place
        return err_set_field(e, ERR_NOT_FOUND, "INBOX_NOT_FOUND", "inbox_id",
                             "no item has this id");
    }
    if (!take_place(x->box, o->inbox_id, e)) {
        return false;
    }
    const bool ok = run(x, step, e);
    if (ok) {
        tell(x, what);
        (void)!inbox_apply(x->box, o->book_id, o->inbox_id, not_applied);
    }
    give_place_back(x->box, o->inbox_id);
    return ok;
}

static str why_of(const ordering *x, const char *what, arena *a) {
    const inbox_order *o = x->order;
    const char *why = arena_printf(a, "%s by %.*s: %.*s", what, (int)o->actor.len, o->actor.ptr,
                                   (int)o->reason.len, o->reason.ptr);
    return why == NULL ? o->reason : str_of(why);
}

static bool audit(const ordering *x, db_conn *c, arena *a, err *e) {
    const inbox_order *o = x->order;
    return o->by == NULL || audit_write_id(c, o->book_id, o->by, STR(""), "inbox", o->inbox_id,
                                           o->reason, x->now_us, a, e);
}

static bool again(db_conn *c, arena *a, void *arg, err *e) {
    const ordering *x = arg;
    inbox_row row;
    if (!inbox_lock(c, x->order->book_id, x->order->inbox_id, &row, a, e)) {
        return false;
    }
    db_params *p = name_item(x, a);
    db_time(p, x->now_us);
    return db_exec(c, &INBOX_SQL[INBOX_SQL_AGAIN], p, a, NULL, NULL, e) && audit(x, c, a, e);
}

bool inbox_again(inbox *box, const inbox_order *o, err *not_applied, err *e) {
    ordering x = {.box = box, .order = o};
    err_clear(not_applied);
    return run_and_apply(&x, again, "applied again", not_applied, e);
}

// The item has these bytes already.
static bool is_same(const ordering *x, db_conn *c, const inbox_row *row, arena *a, bool *same,
                    err *e) {
    inbox_version_row *versions = NULL;
    size_t n = 0;
    *same = false;
    if (!inbox_versions(c, row->book_id, row->inbox_id, &versions, &n, a, e)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        *same = *same || (versions[i].version == row->version && versions[i].sha256.len == 32 &&
                          memcmp(versions[i].sha256.ptr, x->sha256, 32) == 0);
    }
    return true;
}

static bool insert_version(const ordering *x, db_conn *c, int32_t version, arena *a, err *e) {
    const inbox_order *o = x->order;
    char aad[INBOX_AAD_MAX];
    str sealed;
    if (!crypto_seal(x->box->keys, inbox_content_aad(o->book_id, o->inbox_id, version, aad),
                     x->bytes, a, &sealed, e)) {
        return false;
    }
    db_params *p = name_item(x, a);
    db_i32(p, version);
    db_i64(p, (int64_t)x->bytes.len);
    db_bytes(p, x->sha256, sizeof x->sha256);
    db_bytes(p, sealed.ptr, sealed.len);
    db_text(p, o->actor);
    db_text(p, o->reason);
    db_time(p, x->now_us);
    return db_exec(c, &INBOX_SQL[INBOX_SQL_VERSION_INSERT], p, a, NULL, NULL, e);
}

bool inbox_may_be_repaired(const inbox_row *row, bool replace_applied, err *e) {
    if (row->state == INBOX_RECORDED) {
        return err_set(e, ERR_FAILED_PRECONDITION, "INBOX_WAITS",
                       "it is still to be applied; what cannot be read is repaired after that");
    }
    return row->state != INBOX_APPLIED || replace_applied ||
           err_set(e, ERR_FAILED_PRECONDITION, "INBOX_APPLIED",
                   "it was applied, and what it said counts: say that it is to be replaced all "
                   "the same");
}

static bool repair(db_conn *c, arena *a, void *arg, err *e) {
    const ordering *x = arg;
    const inbox_order *o = x->order;
    inbox_row row;
    bool same = false;
    db_rows *lines = NULL;
    if (!inbox_lock(c, o->book_id, o->inbox_id, &row, a, e) || !is_same(x, c, &row, a, &same, e) ||
        same) {
        return same;
    }
    if (!inbox_may_be_repaired(&row, x->replace_applied, e)) {
        return false;
    }
    db_params *p = name_item(x, a);
    db_i32(p, row.version + 1);
    db_time(p, x->now_us);
    db_params *q = name_item(x, a);
    db_text(q, o->actor);
    db_text(q, o->reason);
    db_time(q, x->now_us);
    return insert_version(x, c, row.version + 1, a, e) &&
           db_exec(c, &INBOX_SQL[INBOX_SQL_REPAIRED], p, a, NULL, NULL, e) &&
           db_exec(c, &INBOX_SQL[INBOX_SQL_REPLACED], q, a, &lines, NULL, e) &&
           inbox_close_cases(c, o->book_id, o->inbox_id, lines, true, why_of(x, "repaired", a),
                             x->now_us, a, e) &&
           audit(x, c, a, e);
}

bool inbox_repair(inbox *box, const inbox_order *o, str bytes, bool replace_applied,
                  err *not_applied, err *e) {
    ordering x = {.box = box, .order = o, .bytes = bytes, .replace_applied = replace_applied};
    err_clear(not_applied);
    if (bytes.len > INBOX_BYTES_MAX) {
        return err_set(e, ERR_INVALID_ARGUMENT, "TOO_LARGE", "more bytes than can be recorded");
    }
    crypto_sha256(bytes.ptr, bytes.len, x.sha256);
    return run_and_apply(&x, repair, "repaired", not_applied, e);
}

// No open exception is on this line: was it dismissed before?
static bool was_dismissed(const ordering *x, db_conn *c, arena *a, err *e) {
    db_params *p = name_item(x, a);
    db_rows *rows = NULL;
    db_i32(p, x->line);
    if (!db_exec(c, &INBOX_SQL[INBOX_SQL_LINE_STATE], p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) == 0) {
        return err_set_field(e, ERR_NOT_FOUND, "EXCEPTION_NOT_FOUND", "line",
                             "nothing was set aside on this line");
    }
    return db_get_i16(rows, 0, 0) == INBOX_EXCEPTION_DISMISSED ||
           err_set(e, ERR_FAILED_PRECONDITION, "EXCEPTION_REPLACED",
                   "this line was replaced, or is understood by now");
}

static bool dismiss(db_conn *c, arena *a, void *arg, err *e) {
    const ordering *x = arg;
    const inbox_order *o = x->order;
    inbox_row row;
    db_rows *lines = NULL;
    if (!inbox_lock(c, o->book_id, o->inbox_id, &row, a, e)) {
        return false;
    }
    db_params *p = name_item(x, a);
    db_i32(p, row.version);
    db_i32(p, x->line);
    db_text(p, o->actor);
    db_text(p, o->reason);
    db_time(p, x->now_us);
    if (!db_exec(c, &INBOX_SQL[INBOX_SQL_DISMISS_LINES], p, a, &lines, NULL, e)) {
        return false;
    }
    if (db_count(lines) == 0) {
        return was_dismissed(x, c, a, e);
    }
    db_params *q = name_item(x, a);
    db_time(q, x->now_us);
    return (x->line != 0 || db_exec(c, &INBOX_SQL[INBOX_SQL_DISMISS], q, a, NULL, NULL, e)) &&
           inbox_close_cases(c, o->book_id, o->inbox_id, lines, false, why_of(x, "dismissed", a),
                             x->now_us, a, e) &&
           audit(x, c, a, e);
}

bool inbox_dismiss(inbox *box, const inbox_order *o, int32_t line, err *e) {
    ordering x = {.box = box, .order = o, .line = line};
    if (!run(&x, dismiss, e)) {
        return false;
    }
    tell(&x, "dismissed");
    return true;
}

// --- A resolved case --------------------------------------------------------------------------------------------------

static bool read_subject(str subject, uuid *id, int64_t *line) {
    const char *colon = memchr(subject.ptr, ':', subject.len);
    const size_t len = colon == NULL ? subject.len : (size_t)(colon - subject.ptr);
    *line = 0;
    return uuid_parse((str){subject.ptr, len}, id) &&
           (colon == NULL ||
            str_to_i64((str){colon + 1, subject.len - len - 1}, 1, INT32_MAX, line));
}

static bool resolve_in(db_conn *c, int64_t item_book_id, int64_t book_id, uuid id, int32_t line,
                       str actor, str reason, int64_t now_us, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, item_book_id);
    db_uuid(p, id);
    db_i32(p, line);
    db_text(p, actor);
    db_text(p, reason);
    db_time(p, now_us);
    db_i64(p, book_id);
    if (!db_exec(c, &INBOX_SQL[INBOX_SQL_RESOLVED_LINE], p, a, NULL, NULL, e)) {
        return false;
    }
    db_params *q = db_params_create(a);
    db_i64(q, item_book_id);
    db_uuid(q, id);
    db_time(q, now_us);
    return line != 0 || db_exec(c, &INBOX_SQL[INBOX_SQL_DISMISS], q, a, NULL, NULL, e);
}

static bool lock_in(db_conn *c, int64_t book_id, uuid id, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, id);
    return db_exec(c, &INBOX_SQL[INBOX_SQL_LOCK], p, a, NULL, NULL, e);
}

bool inbox_case_lock(db_conn *c, int64_t book_id, str subject, arena *a, err *e) {
    uuid id;
    int64_t line = 0;
    return !read_subject(subject, &id, &line) ||
           (lock_in(c, 0, id, a, e) && (book_id == 0 || lock_in(c, book_id, id, a, e)));
}

// Files are in book 0, messages in their own book.
bool inbox_case_resolved(db_conn *c, int64_t book_id, str subject, str actor, str reason,
                         int64_t now_us, arena *a, err *e) {
    uuid id;
    int64_t line = 0;
    return !read_subject(subject, &id, &line) ||
           (resolve_in(c, 0, book_id, id, (int32_t)line, actor, reason, now_us, a, e) &&
            (book_id == 0 ||
             resolve_in(c, book_id, book_id, id, (int32_t)line, actor, reason, now_us, a, e)));
}
