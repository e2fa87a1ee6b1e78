#include "keys/keys.h"
#include "command/audit.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "books/books.h"
#include "keys/keys_internal.h"

enum {
    LIST_ARENA_MAX = 16 << 20,
    BATCH_ARENA_MAX = 512 << 20, // a value of 32 MiB sealed twice, and open
    SAMPLE_BOOKS_MAX = 16,
    START_MS = 5000,
    IDLE_PAUSE_MS = 5000
};

typedef struct taking {
    keys *k;
    crypto_keyring *keyring;
    ring_ids ring;
} taking;

// --- What a ring must have -------------------------------------------------------------------------------------------

static const crypto_key_info *of_ring(const ring_ids *r, str id) {
    for (size_t i = 0; i < r->n; i++) {
        if (str_eq_c(id, r->keys[i].id)) {
            return &r->keys[i];
        }
    }
    return NULL;
}

// In a list of ids between commas.
static bool is_listed(const char *list, str id) {
    for (const char *at = list; *at != '\0';
         at += strcspn(at, ",") + (at[strcspn(at, ",")] == ',')) {
        const char *begin = at + strspn(at, " ");
        size_t len = strcspn(begin, ",");
        while (len > 0 && begin[len - 1] == ' ') {
            len--;
        }
        if (str_eq((str){begin, len}, id)) {
            return true;
        }
        at = begin;
    }
    return false;
}

static bool has_all(const keys *k, const ring_ids *r, const key_row *rows, size_t n, err *e) {
    for (size_t i = 0; i < n; i++) {
        const crypto_key_info *there = of_ring(r, rows[i].id);
        const bool opens = rows[i].sealed && (there == NULL || !there->opens);
        const bool compares = rows[i].macs && there == NULL;
        if ((!opens && !compares) || is_listed(k->o.settings.lost, rows[i].id)) {
            continue;
        }
        return err_set(e, ERR_FAILED_PRECONDITION, "KEY_MISSING",
                       "the key ring lacks the key %.*s, which is in use%s%.*s: put its line back "
                       "(%.80s)",
                       (int)rows[i].id.len, rows[i].id.ptr, rows[i].uses.len > 0 ? " by " : "",
                       rows[i].uses.len < 200 ? (int)rows[i].uses.len : 200, rows[i].uses.ptr,
                       k->o.settings.file);
    }
    return true;
}

// --- That a name means the key that it has meant before --------------------------------------------------------------

static bool changed(const keys *k, const char *id, const char *why, err *e) {
    return err_set(e, ERR_FAILED_PRECONDITION, "KEY_CHANGED",
                   "the key %s of the ring is another one than the key of that name %s: put its "
                   "line back as it was, and give a new key a new name (%.80s)",
                   id, why, k->o.settings.file);
}

// A name that nothing is sealed under, as that of a key with a slip of the pen, may be given to another key when no instance has it.
static bool is_elsewhere(const keys *k, const char *id, const key_instance_row *rows, size_t n) {
    char wanted[CRYPTO_KEY_ID_MAX + 3];
    (void)snprintf(wanted, sizeof wanted, ",%s,", id);
    for (size_t i = 0; i < n; i++) {
        if (!uuid_eq(rows[i].id, k->instance) &&
            memmem(rows[i].key_ids.ptr, rows[i].key_ids.len, wanted, strlen(wanted)) != NULL) {
            return true;
        }
    }
    return false;
}

// A row of an older version has no check value: one value that the key has sealed is opened instead.
static bool opens_a_sample(const keys *k, crypto_keyring *ring, const char *id, db_conn *c,
                           arena *a, err *e) {
    int64_t *books = ARENA_ARRAY(a, int64_t, SAMPLE_BOOKS_MAX);
    size_t n = 0;
    if (books == NULL) {
        return err_no_memory(e, "the list of books");
    }
    if (!books_more(c, BOOKS_OF_MERCHANTS, books, SAMPLE_BOOKS_MAX, &n, a, e)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        db_rows *rows = NULL;
        db_params *p = db_params_create(a);
        db_i64(p, books[i]);
        db_bytes(p, id, strlen(id));
        if (!db_exec(c, keys_sql(KEYS_SQL_SAMPLE), p, a, &rows, NULL, e)) {
            return false;
        }
        if (db_count(rows) == 0) {
            continue;
        }
        const str recipient = db_get_str(rows, 0, 0);
        const char *aad = arena_printf(a, "recipient|name|%" PRId64 "|%.*s", books[i],
                                       (int)recipient.len, recipient.ptr);
        str plain;
        err why = {0};
        if (aad == NULL) {
            return err_no_memory(e, "the place of a value");
        }
        if (!crypto_open(ring, str_of(aad), db_get_str(rows, 0, 1), a, &plain, &why)) {
            return changed(k, id, "that has sealed values", e);
        }
        explicit_bzero((char *)(uintptr_t)plain.ptr, plain.len);
        return true;
    }
    return true;
}

static bool means_the_same(const taking *x, const key_row *rows, size_t n,
                           const key_instance_row *instances, size_t n_instances, db_conn *c,
                           arena *a, err *e) {
    for (size_t i = 0; i < n; i++) {
        const crypto_key_info *ours = of_ring(&x->ring, rows[i].id);
        const bool used = rows[i].sealed || rows[i].macs;
        if (ours == NULL || is_listed(x->k->o.settings.lost, rows[i].id)) {
            continue;
        }
        if (rows[i].check.len == 0) {
            if (used && ours->opens && !opens_a_sample(x->k, x->keyring, ours->id, c, a, e)) {
                return false;
            }
        } else if ((rows[i].check.len != CRYPTO_CHECK_LEN ||
                    !crypto_equal(rows[i].check.ptr, ours->check, CRYPTO_CHECK_LEN)) &&
                   (used || is_elsewhere(x->k, ours->id, instances, n_instances))) {
            return changed(x->k, ours->id, used ? "that is in use" : "of another instance", e);
        }
    }
    return true;
}

// --- The exchange ----------------------------------------------------------------------------------------------------

static bool known_everywhere(const keys *k, const ring_ids *r, const key_instance_row *rows,
                             size_t n, err *e) {
    char id[UUID_TEXT_LEN + 1], wanted[CRYPTO_KEY_ID_MAX + 3];
    (void)snprintf(wanted, sizeof wanted, ",%s,", r->keys[r->current].id);
    for (size_t i = 0; i < n; i++) {
        const bool ours = uuid_eq(rows[i].id, k->instance);
        if (!ours &&
            memmem(rows[i].key_ids.ptr, rows[i].key_ids.len, wanted, strlen(wanted)) == NULL) {
            uuid_format(rows[i].id, id);
            return err_set(e, ERR_FAILED_PRECONDITION, "KEY_NOT_EVERYWHERE",
                           "the key %s cannot seal yet: instance %s, which was seen within %d s, "
                           "does not have it in its ring",
                           r->keys[r->current].id, id, (int)(k->o.settings.alive_ms / 1000));
        }
    }
    return true;
}

static bool put_instance(const keys *k, const ring_ids *r, db_conn *c, arena *a, err *e) {
    const char *ids = ",";
    for (size_t i = 0; i < r->n; i++) {
        ids = r->keys[i].opens ? arena_printf(a, "%s%s,", ids, r->keys[i].id) : ids;
    }
    db_params *p = db_params_create(a);
    db_uuid(p, k->instance);
    db_text(p, str_of(ids));
    db_text(p, str_of(r->keys[r->current].id));
    return db_exec(c, keys_sql(KEYS_SQL_INSTANCE_PUT), p, a, NULL, NULL, e);
}

// Writes the ring's keys down. all: each may have sealed; else the current one does. anew: under a name that nobody uses may stand another
// key than before.
static bool put_keys(const ring_ids *r, bool all, bool anew, db_conn *c, arena *a, err *e) {
    str ids[CRYPTO_KEYS_MAX], checks[CRYPTO_KEYS_MAX];
    for (size_t i = 0; i < r->n; i++) {
        ids[i] = str_of(r->keys[i].id);
        checks[i] = (str){(const char *)r->keys[i].check, CRYPTO_CHECK_LEN};
    }
    db_params *p = db_params_create(a);
    db_text_array(p, ids, r->n);
    db_time(p, clock_wall_us(clock_system()));
    db_bytes_array(p, checks, r->n);
    db_text_array(p, all ? ids : &ids[r->current], all ? r->n : 1);
    db_bool(p, anew);
    return db_exec(c, keys_sql(KEYS_SQL_PUT), p, a, NULL, NULL, e);
}

// Before the first value is sealed under a key, it is written down as one in use. Where nothing is written down yet, whatever the ring has
// may be in use, until a walk has looked.
static bool take_tx(db_conn *c, arena *a, void *arg, err *e) {
    const taking *x = arg;
    const key_row *rows = NULL;
    const key_instance_row *instances = NULL;
    size_t n = 0, n_instances = 0;
    if (!keys_read_list(c, KEYS_SQL_LOCK, a, &rows, &n, e) ||
        !has_all(x->k, &x->ring, rows, n, e) ||
        !keys_read_instances(x->k, c, a, &instances, &n_instances, e) ||
        !means_the_same(x, rows, n, instances, n_instances, c, a, e) ||
        !known_everywhere(x->k, &x->ring, instances, n_instances, e)) {
        return false;
    }
    return put_keys(&x->ring, n == 0, true, c, a, e) && put_instance(x->k, &x->ring, c, a, e);
}

static bool take(keys *k, crypto_keyring *ring, int64_t deadline_mono_ms, err *e) {
    taking x = {.k = k, .keyring = ring};
    x.ring.n = crypto_keyring_keys(ring, x.ring.keys, &x.ring.current);
    arena *a = arena_create(LIST_ARENA_MAX);
    const bool ok = db_transact(k->o.pool, deadline_mono_ms, a, take_tx, &x, e);
    arena_destroy(a);
    return ok;
}

static void tell_ring(const keys *k) {
    ring_ids r;
    r.n = crypto_keyring_keys(k->o.ring, r.keys, &r.current);
    log_info("keys.loaded", F_STR("file", k->o.settings.file), F_INT("keys", r.n),
             F_STR("current", r.keys[r.current].id));
}

bool keys_read_again(keys *k, err *e) {
    crypto_keyring *fresh = crypto_keyring_load(k->o.settings.file, e);
    if (fresh == NULL || !take(k, fresh, keys_soon(), e)) {
        metric_set(k->faulty, 1);
        crypto_keyring_destroy(fresh);
        return false;
    }
    crypto_keyring_take(k->o.ring, fresh);
    metric_set(k->faulty, 0);
    tell_ring(k);
    return true;
}

// --- The thread ------------------------------------------------------------------------------------------------------

// Says again which key seals. After a failover the database may have forgotten the keys.
static bool beat_tx(db_conn *c, arena *a, void *arg, err *e) {
    const taking *x = arg;
    return put_keys(&x->ring, false, false, c, a, e) && put_instance(x->k, &x->ring, c, a, e) &&
           db_exec(c, keys_sql(KEYS_SQL_INSTANCES_OLD), db_params_create(a), a, NULL, NULL, e);
}

static bool beat(keys *k, err *e) {
    const int64_t now_ms = clock_mono_ms(clock_system());
    taking x = {.k = k};
    if (k->beaten_ms != 0 && now_ms - k->beaten_ms < k->o.settings.alive_ms / KEYS_BEATS) {
        return true;
    }
    x.ring.n = crypto_keyring_keys(k->o.ring, x.ring.keys, &x.ring.current);
    if (!db_transact(k->o.pool, keys_soon(), k->a, beat_tx, &x, e)) {
        return false;
    }
    k->beaten_ms = now_ms;
    return true;
}

// There was no database at the start. Nothing could be opened meanwhile, and what lacks its key is not to be held.
static bool look_late(keys *k, err *e) {
    if (k->looked) {
        return true;
    }
    if (take(k, k->o.ring, keys_soon(), e)) {
        k->looked = true;
        return true;
    }
    if (e->code == ERR_FAILED_PRECONDITION) {
        log_err(LOG_ERROR, "keys.refused", e);
        (void)kill(getpid(), SIGTERM);
    }
    return false;
}

static bool work(void *arg) {
    keys *k = arg;
    err e = {0};
    bool found = false;
    if (!look_late(k, &e) || !beat(k, &e) || !keys_walk(k, &found, &e)) {
        log_err(LOG_WARN, "keys.not_now", &e);
    }
    arena_reset(k->batch);
    arena_reset(k->a);
    return found;
}

keys *keys_start(const keys_options *o, err *e) {
    keys *k = calloc(1, sizeof *k);
    ASSERT(k != NULL);
    k->o = *o;
    k->instance = uuid_v7(clock_system());
    k->a = arena_create(LIST_ARENA_MAX);
    k->batch = arena_create(BATCH_ARENA_MAX);
    k->faulty = metric_gauge("data_keys_faulty", "",
                             "1 while the key file was refused and an older ring is in force");
    k->walked =
        metric_counter("data_key_rows_walked_total", "", "Rows that walks of keys have looked at.");
    k->resealed = metric_counter("data_key_rows_resealed_total", "", "Values sealed anew.");
    k->unreadable =
        metric_counter("data_key_rows_unreadable_total", "", "Values that the ring did not open.");
    metric_set(k->faulty, 0);
    err why = {0};
    k->looked = take(k, o->ring, clock_mono_ms(clock_system()) + START_MS, &why);
    if (!k->looked && (why.flags & ERR_RETRIABLE) == 0 && why.code != ERR_UNAVAILABLE &&
        why.code != ERR_DEADLINE_EXCEEDED) {
        *e = why;
        keys_stop(k);
        return NULL;
    }
    tell_ring(k);
    const int64_t beat_ms = o->settings.alive_ms / KEYS_BEATS;
    const int64_t idle_ms = beat_ms < IDLE_PAUSE_MS ? beat_ms : IDLE_PAUSE_MS;
    k->ticker =
        ticker_start_lazy(o->settings.pause_ms,
                          o->settings.pause_ms > idle_ms ? o->settings.pause_ms : idle_ms, work, k);
    if (k->ticker == NULL) {
        (void)err_set(e, ERR_RESOURCE_EXHAUSTED, "THREADS", "the keys' thread did not start");
        keys_stop(k);
        return NULL;
    }
    return k;
}

static bool gone_tx(db_conn *c, arena *a, void *arg, err *e) {
    const keys *k = arg;
    db_params *p = db_params_create(a);
    db_uuid(p, k->instance);
    return db_exec(c, keys_sql(KEYS_SQL_INSTANCE_GONE), p, a, NULL, NULL, e);
}

void keys_stop(keys *k) {
    err e = {0};
    if (k == NULL) {
        return;
    }
    const bool ran = k->ticker != NULL;
    ticker_stop(k->ticker);
    // Else the others take it for alive for a while.
    if (ran &&
        !db_transact(k->o.pool, clock_mono_ms(clock_system()) + 1000, k->a, gone_tx, k, &e)) {
        log_err(LOG_INFO, "keys.instance_not_gone", &e);
    }
    arena_destroy(k->batch);
    arena_destroy(k->a);
    free(k);
}

// --- For people ------------------------------------------------------------------------------------------------------

typedef struct looking {
    const keys *k;
    keys_report *out;
} looking;

static bool look_tx(db_conn *c, arena *a, void *arg, err *e) {
    const looking *x = arg;
    keys_report *out = x->out;
    return keys_read_list(c, KEYS_SQL_LIST, a, &out->keys, &out->n_keys, e) &&
           keys_read_instances(x->k, c, a, &out->instances, &out->n_instances, e) &&
           keys_read_rotation(x->k, c, KEYS_SQL_ROTATION_LAST, a, &out->has_rotation,
                              &out->rotation, e);
}

bool keys_look(keys *k, int64_t deadline_mono_ms, arena *a, keys_report *out, err *e) {
    looking x = {k, out};
    return db_read(k->o.pool, deadline_mono_ms, a, look_tx, &x, e);
}

typedef struct beginning {
    const keys *k;
    const actor_info *by;
    rotation_row *out;
} beginning;

static bool begin_tx(db_conn *c, arena *a, void *arg, err *e) {
    const beginning *x = arg;
    const key_instance_row *instances = NULL;
    size_t n = 0;
    bool found = false;
    if (!keys_read_rotation(x->k, c, KEYS_SQL_ROTATION_LAST, a, &found, x->out, e)) {
        return false;
    }
    if (!keys_read_instances(x->k, c, a, &instances, &n, e)) {
        return false;
    }
    const bool running = found && x->out->state == ROTATION_RUNNING;
    if (running && keys_all_seal_with(instances, n, x->out->key_id)) {
        return true;
    }
    if (n == 0 || !keys_all_seal_with(instances, n, instances[0].current)) {
        return err_set(e, ERR_FAILED_PRECONDITION, "KEYS_DIFFER",
                       "the instances that run seal with different keys: give all of them the "
                       "same current key first");
    }
    db_params *p = db_params_create(a);
    db_uuid(p, x->out->id);
    // A walk for a key that seals no more would never come to its end.
    if (running && !db_exec(c, keys_sql(KEYS_SQL_ROTATION_END), p, a, NULL, NULL, e)) {
        return false;
    }
    p = db_params_create(a);
    db_uuid(p, uuid_v7(clock_system()));
    db_text(p, instances[0].current);
    const char *actor = actor_text(x->by, a);
    db_text(p, str_of(actor == NULL ? "" : actor));
    return (actor != NULL || err_no_memory(e, "the request")) &&
           db_exec(c, keys_sql(KEYS_SQL_ROTATION_NEW), p, a, NULL, NULL, e) &&
           keys_read_rotation(x->k, c, KEYS_SQL_ROTATION_LAST, a, &found, x->out, e) &&
           (found || err_set(e, ERR_INTERNAL, "ROTATION_LOST", "a new rotation is not there")) &&
           audit_write_one(c, 0, x->by, STR(""), "key", x->out->key_id, STR(""),
                           clock_wall_us(clock_system()), a, e);
}

bool keys_rotate(keys *k, const actor_info *by, int64_t deadline_mono_ms, arena *a,
                 rotation_row *out, err *e) {
    beginning x = {k, by, out};
    const bool ok = db_transact(k->o.pool, deadline_mono_ms, a, begin_tx, &x, e);
    ticker_wake(k->ticker);
    return ok;
}
