#include "example_command.h"

#include "base/clock.h"

// Its line: the operation that its keys belong to.
static const idem_operation IDEM_EXAMPLE = (idem_operation)99;

static const db_stmt NOTE = {"example_note",
                             "INSERT INTO example_note (book_id, note) VALUES ($1, $2)"};

typedef struct taking {
    const example_note *note;
    const crypto_keyring *keys;
    idem_entry entry;
} taking;

static bool write_note(db_conn *c, taking *x, arena *a, err *e) {
    idem_entry *one = &x->entry;
    db_params *p = db_params_create(a);
    db_i64(p, x->note->book_id);
    db_text(p, x->note->text);
    one->answer = str_of(arena_printf(a, "noted: %.*s", (int)x->note->text.len, x->note->text.ptr));
    return db_exec(c, &NOTE, p, a, NULL, NULL, e) &&
           idem_insert(c, x->note->book_id, IDEM_EXAMPLE, &one, 1, clock_wall_us(clock_system()),
                       e);
}

// Looks the key up first: a repeat gets the first answer.
static bool take(db_conn *c, arena *a, void *arg, err *e) {
    taking *x = arg;
    idem_entry *one = &x->entry;
    if (!idem_lookup(c, x->keys, x->note->book_id, IDEM_EXAMPLE, &one, 1, a, e)) {
        return false;
    }
    return one->known || write_note(c, x, a, e);
}

bool example_note_take(db_pool *pool, const crypto_keyring *keys, const example_note *note,
                       str *answer, int64_t deadline_mono_ms, arena *a, err *e) {
    enum { TRIES_MAX = 8 };
    taking x = {
        .note = note,
        .keys = keys,
        .entry = {.merchant_id = note->merchant_id, .key = note->key, .content = note->text}};
    idem_hash(keys, IDEM_EXAMPLE, &x.entry);
    bool ok = false, again = true;
    for (int i = 0; again && i < TRIES_MAX; i++) {
        err_clear(e);
        ok = db_transact(pool, deadline_mono_ms, a, take, &x, e);
        again = !ok && idem_should_look_again(e);
    }
    if (!ok) {
        return idem_give_up(e);
    }
    if (x.entry.known && !x.entry.same) {
        return idem_conflict("", e);
    }
    *answer = x.entry.known ? x.entry.kept_answer : x.entry.answer;
    return true;
}
