// The walk over all rows that hold something sealed: what is under another key than the walk's is sealed anew.
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "books/books.h"
#include "keys/keys_internal.h"

enum {
    US_PER_MS = 1000,
    HEAD_MAX = 2 + CRYPTO_KEY_ID_MAX + 12, // with the nonce, which no other envelope has
    IDS_MAX = 64,                          // of one batch; further ones are not counted apart
    USES_MAX = 1000
};

typedef struct tally {
    str ids[IDS_MAX];
    int64_t n[IDS_MAX];
    size_t count;
} tally;

typedef struct walk {
    keys *k;
    rotation_row at;
    bool found;
    // Of this batch.
    int64_t walked, resealed, unreadable;
    tally under;
} walk;

static void count(tally *t, str id, int64_t n) {
    for (size_t i = 0; i < t->count; i++) {
        if (str_eq(t->ids[i], id)) {
            t->n[i] += n;
            return;
        }
    }
    if (t->count < IDS_MAX) {
        t->ids[t->count] = id;
        t->n[t->count++] = n;
    }
}

// --- A batch ---------------------------------------------------------------------------------------------------------

typedef struct batch {
    str *k[3], *heads, *values;
    size_t n;
} batch;

static bool batch_init(batch *b, size_t n, arena *a, err *e) {
    *b = (batch){0};
    for (int i = 0; i < 3; i++) {
        b->k[i] = ARENA_ARRAY(a, str, n + 1);
    }
    b->heads = ARENA_ARRAY(a, str, n + 1);
    b->values = ARENA_ARRAY(a, str, n + 1);
    return (b->k[0] != NULL && b->k[1] != NULL && b->k[2] != NULL && b->heads != NULL &&
            b->values != NULL) ||
           err_no_memory(e, "a batch of values");
}

// Opens and seals one value. False: it stays as it is.
static bool reseal(walk *w, str aad, str sealed, str *out) {
    err e = {0};
    str plain;
    if (!crypto_open(w->k->o.ring, aad, sealed, w->k->batch, &plain, &e)) {
        static log_gate gate;
        if (log_gate_pass(&gate, "keys.unreadable", clock_mono_ms(clock_system()))) {
            log_err(LOG_WARN, "keys.unreadable", &e);
        }
        return false;
    }
    const bool ok = crypto_seal(w->k->o.ring, aad, plain, w->k->batch, out, &e);
    explicit_bzero((char *)(uintptr_t)plain.ptr, plain.len);
    return ok;
}

static void take_row(walk *w, batch *b, const db_rows *rows, size_t i) {
    const str id = db_get_str(rows, i, 3), sealed = db_get_str(rows, i, 4);
    str fresh;
    w->walked++;
    if (id.ptr == NULL) {
        return; // nothing, or of a form that has no key
    }
    if (sealed.ptr == NULL) {
        count(&w->under, id, 1);
        return;
    }
    if (!reseal(w, db_get_str(rows, i, 5), sealed, &fresh)) {
        w->unreadable++;
        count(&w->under, id, 1);
        return;
    }
    const size_t head = 2 + id.len + 12;
    for (int part = 0; part < 3; part++) {
        b->k[part][b->n] = db_get_str(rows, i, part);
    }
    b->heads[b->n] = (str){sealed.ptr, head < HEAD_MAX ? head : HEAD_MAX};
    b->values[b->n++] = fresh;
    count(&w->under, w->at.key_id, 1);
}

static bool write_batch(walk *w, const key_target *t, const batch *b, db_conn *c, arena *a,
                        err *e) {
    db_rows *rows = NULL;
    if (b->n == 0) {
        return true;
    }
    ASSERT(t->resealed);
    db_params *p = db_params_create(a);
    db_text(p, str_of(t->name));
    db_i64(p, w->at.at_book);
    for (int part = 0; part < 3; part++) {
        db_text_array(p, b->k[part], b->n);
    }
    db_bytes_array(p, b->heads, b->n);
    db_bytes_array(p, b->values, b->n);
    if (!db_exec(c, keys_sql(KEYS_SQL_RESEAL), p, a, &rows, NULL, e)) {
        return false;
    }
    w->resealed += db_get_i64(rows, 0, 0);
    return true;
}

// *more: there may be further rows in this book.
static bool walk_rows(walk *w, const key_target *t, db_conn *c, bool *more, arena *a, err *e) {
    db_rows *rows = NULL;
    batch b;
    db_params *p = db_params_create(a);
    db_i64(p, w->at.at_book);
    for (int part = 0; part < 3; part++) {
        db_text(p, w->at.at[part]);
    }
    db_bytes(p, w->at.key_id.ptr, w->at.key_id.len);
    if (!db_exec(c, keys_sql(t->read), p, a, &rows, NULL, e)) {
        return false;
    }
    const size_t n = db_count(rows);
    if (!batch_init(&b, n, a, e)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        take_row(w, &b, rows, i);
    }
    for (int part = 0; n > 0 && part < 3; part++) {
        w->at.at[part] = db_get_str(rows, n - 1, part);
    }
    *more = n > 0;
    return write_batch(w, t, &b, c, a, e);
}

// --- Where the walk stands -------------------------------------------------------------------------------------------

static bool next_book(walk *w, db_conn *c, bool *found, arena *a, err *e) {
    int64_t *books = ARENA_ARRAY(a, int64_t, BOOKS_MAX);
    size_t n = 0;
    if (books == NULL) {
        return err_no_memory(e, "the list of books");
    }
    books[n++] = 0; // of what belongs to no book that is known
    if (!books_more(c, BOOKS_OF_MERCHANTS, books, BOOKS_MAX, &n, a, e) ||
        !books_more(c, BOOKS_OF_INBOX, books, BOOKS_MAX, &n, a, e)) {
        return false;
    }
    *found = false;
    for (size_t i = 0; i < n && !*found; i++) {
        if (books[i] > w->at.at_book) {
            w->at.at_book = books[i];
            *found = true;
        }
    }
    return true;
}

// The first book of the target is looked for from here.
static void next_target(walk *w) {
    w->at.target++;
    w->at.at_book = -1;
}

static bool note(const walk *w, int32_t target, db_conn *c, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_uuid(p, w->at.id);
    db_i32(p, w->at.target);
    db_i64(p, w->at.at_book);
    for (int part = 0; part < 3; part++) {
        db_text(p, w->at.at[part]);
    }
    db_i64(p, w->walked);
    db_i64(p, w->resealed);
    db_i64(p, w->unreadable);
    if (!db_exec(c, keys_sql(KEYS_SQL_ROTATION_STEP), p, a, NULL, NULL, e)) {
        return false;
    }
    if (w->under.count == 0) {
        return true;
    }
    p = db_params_create(a);
    db_uuid(p, w->at.id);
    db_text(p, str_of(key_target_name(target)));
    db_text_array(p, w->under.ids, w->under.count);
    db_i64_array(p, w->under.n, w->under.count);
    return db_exec(c, keys_sql(KEYS_SQL_COUNT_ADD), p, a, NULL, NULL, e);
}

// --- Its end ---------------------------------------------------------------------------------------------------------

static const key_target *target_named(str name) {
    for (int i = 0; i < KEY_TARGETS; i++) {
        if (str_eq_c(name, KEY_TARGET[i].name)) {
            return &KEY_TARGET[i];
        }
    }
    return NULL;
}

// Whether all that was sealed under a key was committed when the walk began, and nothing was sealed under it since. The row says so also of
// an instance that is gone.
static bool is_settled(const walk *w, const key_row *key) {
    return w->at.walk_us != 0 &&
           key->sealing_us + keys_unsettled_ms(w->k) * US_PER_MS <= w->at.walk_us;
}

// What the walk has found under one key. A key that somebody may have sealed with meanwhile stays in use.
static bool judge_key(db_conn *c, const key_row *key, const db_rows *counts, bool settled, arena *a,
                      err *e) {
    bool sealed = false, macs = false;
    const char *uses = "";
    for (size_t i = 0; i < db_count(counts); i++) {
        const key_target *t = target_named(db_get_str(counts, i, 1));
        if (!str_eq(db_get_str(counts, i, 0), key->id)) {
            continue;
        }
        sealed = sealed || t == NULL || !t->macs;
        macs = macs || t == NULL || t->macs;
        const str name = db_get_str(counts, i, 1);
        uses = arena_printf(a, "%s%s%.*s: %" PRId64, uses, uses[0] == '\0' ? "" : ", ",
                            (int)name.len, name.ptr, db_get_i64(counts, i, 2));
        if (uses == NULL) {
            return err_no_memory(e, "the uses of a key");
        }
    }
    db_params *p = db_params_create(a);
    db_text(p, key->id);
    db_bool(p, sealed || (key->sealed && !settled));
    db_bool(p, macs || (key->macs && !settled));
    db_text(p, str_clip(str_of(uses), USES_MAX));
    return db_exec(c, keys_sql(KEYS_SQL_COUNTED), p, a, NULL, NULL, e);
}

// Keys that the walk has met and nobody has written down.
static bool add_found(db_conn *c, const db_rows *counts, arena *a, err *e) {
    str *ids = ARENA_ARRAY(a, str, db_count(counts) + 1);
    size_t n = 0;
    if (ids == NULL) {
        return err_no_memory(e, "the ids of keys");
    }
    for (size_t i = 0; i < db_count(counts); i++) {
        const str id = db_get_str(counts, i, 0);
        if (n == 0 || !str_eq(ids[n - 1], id)) { // they are sorted
            ids[n++] = id;
        }
    }
    db_params *p = db_params_create(a);
    db_text_array(p, ids, n);
    db_time(p, clock_wall_us(clock_system()));
    return db_exec(c, keys_sql(KEYS_SQL_ADD_FOUND), p, a, NULL, NULL, e);
}

static bool finish(walk *w, db_conn *c, arena *a, err *e) {
    const key_row *list = NULL;
    const key_instance_row *instances = NULL;
    size_t n = 0, n_instances = 0;
    db_rows *counts = NULL;
    db_params *p = db_params_create(a);
    db_uuid(p, w->at.id);
    // The lock first: an instance that writes down that a key seals has done so by then, or waits.
    if (!keys_read_list(c, KEYS_SQL_LOCK, a, &list, &n, e) ||
        !keys_read_instances(w->k, c, a, &instances, &n_instances, e) ||
        !db_exec(c, keys_sql(KEYS_SQL_COUNTS), p, a, &counts, NULL, e) ||
        !add_found(c, counts, a, e) || !keys_read_list(c, KEYS_SQL_LIST, a, &list, &n, e)) {
        return false;
    }
    // An instance of an older version does not say in the key's row that it seals with it.
    const bool all_seal = keys_all_seal_with(instances, n_instances, w->at.key_id);
    for (size_t i = 0; i < n; i++) {
        const bool current = str_eq(list[i].id, w->at.key_id);
        if (!judge_key(c, &list[i], counts, is_settled(w, &list[i]) && all_seal && !current, a,
                       e)) {
            return false;
        }
    }
    p = db_params_create(a);
    db_uuid(p, w->at.id);
    return db_exec(c, keys_sql(KEYS_SQL_ROTATION_END), p, a, NULL, NULL, e);
}

// --- One transaction -------------------------------------------------------------------------------------------------

static bool step(walk *w, db_conn *c, arena *a, err *e) {
    const int32_t target = w->at.target;
    bool more = true;
    if (target < 0 || target >= KEY_TARGETS) {
        return finish(w, c, a, e);
    }
    const key_target *t = &KEY_TARGET[target];
    if (w->at.at[0].len == 0 && w->at.at[1].len == 0 && w->at.at[2].len == 0) {
        bool found = false;
        if (!next_book(w, c, &found, a, e)) {
            return false;
        }
        if (!found) {
            next_target(w);
            return note(w, target, c, a, e);
        }
        for (int part = 0; part < 3; part++) {
            w->at.at[part] = str_of(t->start[part]);
        }
    }
    if (!walk_rows(w, t, c, &more, a, e)) {
        return false;
    }
    if (!more) { // the next book
        w->at.at[0] = w->at.at[1] = w->at.at[2] = STR("");
    }
    const bool ok = note(w, target, c, a, e);
    CRASH_POINT("keys.batch.resealed");
    return ok;
}

static bool walk_tx(db_conn *c, arena *a, void *arg, err *e) {
    walk *w = arg;
    keys *k = w->k;
    ring_ids r;
    *w = (walk){.k = k};
    if (!keys_read_rotation(k, c, KEYS_SQL_ROTATION_CLAIM, a, &w->found, &w->at, e) || !w->found) {
        return !w->found && !err_is_set(e);
    }
    r.n = crypto_keyring_keys(k->o.ring, r.keys, &r.current);
    // An instance that seals with another key leaves the walk to others. A value that was sealed under another key before, and is not
    // committed yet, would be behind the walk.
    w->found = str_eq_c(w->at.key_id, r.keys[r.current].id) && w->at.waits_until_us == 0;
    return !w->found || step(w, c, a, e);
}

bool keys_walk(keys *k, bool *found, err *e) {
    walk w = {.k = k};
    const bool ok = db_transact(k->o.pool, keys_soon(), k->a, walk_tx, &w, e);
    *found = ok && w.found;
    if (*found) {
        metric_add(k->walked, w.walked);
        metric_add(k->resealed, w.resealed);
        metric_add(k->unreadable, w.unreadable);
        CRASH_POINT("keys.batch.committed");
    }
    return ok;
}
