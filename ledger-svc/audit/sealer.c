#include "audit/sealer.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "audit/heads_file.h"
#include "audit/tree_store.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/ticker.h"

enum {
    TICK_MS = 50,       // how often to look for new rows
    IDLE_TICK_MS = 200, // the same, after a while without new rows
    DATABASE_TIMEOUT_MS = 5000,
    BOOKS_PAGE = 1000,
    PUBLISH_PAGE = 1000,
    NODES_MAX = 512, // complete subtrees that one seal may add: rows_max / 255, and a few
    STEP_BYTES_MAX = 64 * 1024 * 1024,
    LOG_EVERY_MS = 10000,
};

// The sealer's knowledge of one book.
typedef struct sealed_book {
    int64_t book_id;
    uint64_t sequence; // of the last journal row
    bool loaded;       // head and tree agree with the database
    bool refused;   // its history does not fit: the sealer signs and publishes nothing of the book
    bool has_head;  // false: nothing is sealed
    tree_head head; // the latest
    merkle_tree tree; // of head.size
    bool has_published;
    tree_head published;     // the last in the heads file
    int64_t behind_since_ms; // monotonic; 0 when all is sealed
} sealed_book;

struct sealer {
    sealer_options o;
    head_signer *signer;
    head_keys keys;
    heads_file *file;
    map *books; // belongs to the ticker's thread once it runs
    arena *step;
    int64_t logged_ms;
    metric *rows_behind, *heads_signed, *books_refused;
    atomic_llong behind_since_ms; // of the book that is behind the longest; 0: no book is
    ticker *ticker;
};

// --- Books -----------------------------------------------------------------------------------------------------------

static uuid book_key(int64_t book_id) {
    uuid key = {{0}};
    memcpy(key.b, &book_id, sizeof book_id);
    return key;
}

// NULL when there are too many books.
static sealed_book *book_of(sealer *s, int64_t book_id) {
    sealed_book *b = map_get(s->books, book_key(book_id));
    if (b == NULL) {
        b = calloc(1, sizeof *b);
        ASSERT(b != NULL);
        b->book_id = book_id;
        if (!map_put(s->books, book_key(book_id), b)) {
            free(b);
            b = NULL;
        }
    }
    return b;
}

static void refuse(sealer *s, sealed_book *b, const err *e) {
    b->refused = true;
    metric_add(s->books_refused, 1);
    log_error("audit.book_refused", F_INT("book_id", b->book_id), F_STR("reason", e->reason),
              F_STR("message", e->message));
}

// True for a history that does not fit. Any other failure may pass by itself.
static bool is_refusal(const err *e) {
    return e->code == ERR_DATA_LOSS;
}

static bool does_not_fit(err *e, const char *reason, const sealed_book *b, const char *what) {
    return err_set(e, ERR_DATA_LOSS, reason, "book %lld: %s", (long long)b->book_id, what);
}

// --- Loading: once a process and book, and after another sealer was faster ---------------------------------------------

static bool same_head(const tree_head *a, const tree_head *b) {
    return a->book_id == b->book_id && a->size == b->size && merkle_equal(&a->root, &b->root) &&
           a->previous_size == b->previous_size &&
           merkle_equal(&a->previous_root, &b->previous_root) && a->time_us == b->time_us &&
           memcmp(a->key_id, b->key_id, sizeof a->key_id) == 0 &&
           memcmp(a->signature, b->signature, sizeof a->signature) == 0;
}

// The database must still have the published head. A missing or different head means that history was rewritten.
static bool check_published(db_conn *c, arena *a, const sealed_book *b, err *e) {
    bool exists = false;
    tree_head stored;
    if (!b->has_published) {
        return true;
    }
    if (!tree_head_load(c, a, b->book_id, b->published.size, &exists, &stored, e)) {
        return false;
    }
    return (exists && same_head(&stored, &b->published)) ||
           does_not_fit(e, "PUBLISHED_HEAD_DIFFERS", b,
                        "the database does not have the last published tree head any more");
}

typedef struct work {
    sealer *s;
    sealed_book *b;
    // State of one seal.
    uint64_t size; // the size after this seal
    merkle_tree tree;
    tree_head head;
    tree_node nodes[NODES_MAX];
    size_t n_nodes;
    bool lost; // another sealer was faster
} work;

static bool load(db_conn *c, arena *a, void *arg, err *e) {
    const work *w = arg;
    sealed_book *b = w->b;
    b->has_head = false;
    memset(&b->tree, 0, sizeof b->tree);
    if (!check_published(c, a, b, e) ||
        !tree_head_load(c, a, b->book_id, 0, &b->has_head, &b->head, e)) {
        return false;
    }
    if (!b->has_head) {
        return true;
    }
    tree_reader reader = {c, a, b->book_id};
    if (!head_verify(&b->head, &w->s->keys, NULL)) {
        return does_not_fit(e, "SIGNATURE_INVALID", b,
                            "the latest tree head is not signed by a known key");
    }
    if (!merkle_load(&b->tree, b->head.size, tree_read_subtree, &reader, e)) {
        return false;
    }
    const merkle_hash root = merkle_root(&b->tree);
    return merkle_equal(&root, &b->head.root) ||
           does_not_fit(e, "ROOT_DIFFERS", b, "the stored tree differs from the signed tree");
}

// --- Sealing ---------------------------------------------------------------------------------------------------------

static void keep_node(void *arg, unsigned level, uint64_t index, const merkle_hash *hash) {
    work *w = arg;
    if (level % TREE_LEVEL_STEP == 0) {
        ASSERT(w->n_nodes < NODES_MAX);
        w->nodes[w->n_nodes++] = (tree_node){level, index, *hash};
    }
}

// Is the last signed tree the beginning of this one? Answers from the stored tree, not from memory.
static bool check_consistency(db_conn *c, arena *a, const work *w, err *e) {
    const sealed_book *b = w->b;
    tree_reader reader = {c, a, b->book_id};
    merkle_proof proof;
    if (b->has_head) {
        tree_head stored;
        bool exists = false;
        if (!tree_head_load(c, a, b->book_id, b->head.size, &exists, &stored, e)) {
            return false;
        }
        if (!exists || !same_head(&stored, &b->head)) {
            return does_not_fit(e, "HEAD_DIFFERS", b, "the latest tree head was changed");
        }
    }
    if (!merkle_prove_consistency(w->head.previous_size, w->head.size, tree_read_subtree, &reader,
                                  &proof, e)) {
        return false;
    }
    return merkle_verify_consistency(w->head.previous_size, w->head.size, &w->head.previous_root,
                                     &w->head.root, &proof) ||
           does_not_fit(e, "TREE_INCONSISTENT", b,
                        "the tree does not begin with the tree that was signed before");
}

static void head_make(work *w) {
    const sealed_book *b = w->b;
    const int64_t now_us = clock_wall_us(w->s->o.clock);
    const bool back = b->has_head && now_us <= b->head.time_us; // the clock was set back
    w->head = (tree_head){
        .book_id = b->book_id,
        .size = w->tree.size,
        .root = merkle_root(&w->tree),
        .previous_size = b->tree.size,
        .previous_root = merkle_root(&b->tree),
        .time_us = back ? b->head.time_us + 1 : now_us,
    };
}

static bool seal(db_conn *c, arena *a, void *arg, err *e) {
    work *w = arg;
    const sealed_book *b = w->b;
    const uint64_t n = w->size - b->tree.size;
    merkle_hash *leaves = NULL;
    bool inserted = false;
    w->tree = b->tree;
    w->n_nodes = 0;
    w->lost = false;
    if (!tree_leaves(c, a, b->book_id, b->tree.size + 1, n, &leaves, e)) {
        return false;
    }
    for (uint64_t i = 0; i < n; i++) {
        merkle_append(&w->tree, &leaves[i], keep_node, w);
    }
    head_make(w);
    if (!tree_nodes_insert(c, b->book_id, w->nodes, w->n_nodes, e)) {
        w->lost = strcmp(e->sqlstate, "23505") == 0;
        return false;
    }
    if (!check_consistency(c, a, w, e)) {
        return false;
    }
    head_sign(w->s->signer, &w->head);
    if (!tree_head_insert(c, a, &w->head, &inserted, e)) {
        return false;
    }
    w->lost = !inserted;
    return inserted || err_set(e, ERR_ABORTED, "SEALED_BY_ANOTHER", "another sealer was faster");
}

// --- Publishing ------------------------------------------------------------------------------------------------------

typedef struct published {
    sealed_book *b;
    tree_head *heads;
    size_t n;
} published;

static bool read_unpublished(db_conn *c, arena *a, void *arg, err *e) {
    published *p = arg;
    const uint64_t after = p->b->has_published ? p->b->published.size : 0;
    return tree_heads_after(c, a, p->b->book_id, after, PUBLISH_PAGE, &p->heads, &p->n, e);
}

// Publishes the next heads after the last published one; any sealer may have signed them. Each must follow the head before.
static bool publish_page(sealer *s, sealed_book *b, err *e) {
    published p = {.b = b};
    const int64_t deadline_ms = clock_mono_ms(s->o.clock) + DATABASE_TIMEOUT_MS;
    if (!db_read(s->o.pool, deadline_ms, s->step, read_unpublished, &p, e)) {
        return false;
    }
    const tree_head *before = b->has_published ? &b->published : NULL;
    for (size_t i = 0; i < p.n; i++) {
        if (!head_follows(&p.heads[i], before) || !head_verify(&p.heads[i], &s->keys, NULL)) {
            return does_not_fit(
                e, "HEADS_BROKEN", b,
                "a tree head does not follow the one before it, or its signature is wrong");
        }
        before = &p.heads[i];
    }
    if (p.n == 0) { // the database had it a moment ago
        return does_not_fit(e, "HEADS_LOST", b, "tree heads are gone");
    }
    if (!heads_file_append(s->file, p.heads, p.n, e)) {
        return false;
    }
    b->published = p.heads[p.n - 1];
    b->has_published = true;
    return true;
}

// --- The thread ------------------------------------------------------------------------------------------------------

// Logs a failure, but not at every tick.
static void on_failure(sealer *s, sealed_book *b, const err *e) {
    if (b != NULL && is_refusal(e)) {
        refuse(s, b, e);
        return;
    }
    const int64_t now_ms = clock_mono_ms(s->o.clock);
    if (now_ms - s->logged_ms >= LOG_EVERY_MS) {
        s->logged_ms = now_ms;
        log_err(LOG_WARN, "audit.seal_failed", e);
    }
}

// Is it time? A book that has just fallen behind may wait a little, so that a head is worth its signature.
static bool is_due(const sealer *s, sealed_book *b, bool now) {
    const int64_t now_ms = clock_mono_ms(s->o.clock);
    const uint64_t rows = b->sequence - b->tree.size;
    if (rows == 0) {
        b->behind_since_ms = 0;
        return false;
    }
    if (b->behind_since_ms == 0) {
        b->behind_since_ms = now_ms;
    }
    return now || rows >= (uint64_t)s->o.rows_max / 2 ||
           now_ms - b->behind_since_ms >= s->o.interval_ms;
}

static bool seal_once(sealer *s, sealed_book *b, err *e) {
    const int64_t deadline_ms = clock_mono_ms(s->o.clock) + DATABASE_TIMEOUT_MS;
    const uint64_t rows = b->sequence - b->tree.size;
    work *w = arena_alloc(s->step, sizeof *w);
    ASSERT(w != NULL);
    w->s = s;
    w->b = b;
    w->size = b->tree.size + (rows < (uint64_t)s->o.rows_max ? rows : (uint64_t)s->o.rows_max);
    if (!db_transact(s->o.pool, deadline_ms, s->step, seal, w, e)) {
        // The seal failed, or only its answer was lost. Either way the next load asks the database.
        b->loaded = false;
        return w->lost; // a lost race is no failure: the book is loaded again
    }
    b->tree = w->tree;
    b->head = w->head;
    b->has_head = true;
    b->behind_since_ms = 0; // the rest was first seen just now
    metric_add(s->heads_signed, 1);
    return true;
}

static bool book_step(sealer *s, sealed_book *b, bool now, err *e) {
    if (!b->loaded) {
        work *w = arena_alloc(s->step, sizeof *w);
        ASSERT(w != NULL);
        w->s = s;
        w->b = b;
        const int64_t deadline_ms = clock_mono_ms(s->o.clock) + DATABASE_TIMEOUT_MS;
        if (!db_read(s->o.pool, deadline_ms, s->step, load, w, e)) {
            return false;
        }
        b->loaded = true;
    }
    if (b->sequence < b->tree.size) {
        // The caller's numbers may be older than another sealer's last seal: that passes. A journal that ends before its signed head does
        // not pass: the load reads the head again and finds leaves missing.
        b->loaded = false;
        return true;
    }
    while (b->loaded && is_due(s, b, now)) {
        if (!seal_once(s, b, e)) {
            return false;
        }
        arena_reset(s->step);
    }
    while (b->loaded && b->has_head && (!b->has_published || b->published.size < b->head.size)) {
        if (!publish_page(s, b, e)) {
            return false;
        }
        arena_reset(s->step);
    }
    return true;
}

typedef struct book_page {
    int64_t after_book_id;
    tree_book *books;
    size_t n;
} book_page;

static bool read_books(db_conn *c, arena *a, void *arg, err *e) {
    book_page *p = arg;
    return tree_books(c, a, p->after_book_id, BOOKS_PAGE, &p->books, &p->n, e);
}

// Seals one page of books; false at the end. The ids are copied out, since the arena is reset after each book.
static bool page_step(sealer *s, int64_t *after_book_id, bool now) {
    err e = {0};
    book_page p = {.after_book_id = *after_book_id};
    tree_book books[BOOKS_PAGE];
    arena_reset(s->step);
    const int64_t deadline_ms = clock_mono_ms(s->o.clock) + DATABASE_TIMEOUT_MS;
    if (!db_read(s->o.pool, deadline_ms, s->step, read_books, &p, &e)) {
        on_failure(s, NULL, &e);
        return false;
    }
    memcpy(books, p.books, p.n * sizeof books[0]);
    for (size_t i = 0; i < p.n; i++) {
        sealed_book *b = book_of(s, books[i].book_id);
        arena_reset(s->step);
        if (b == NULL) {
            (void)err_set(&e, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_BOOKS",
                          "more books than audit.books_max: book %lld is not sealed",
                          (long long)books[i].book_id);
            on_failure(s, NULL, &e);
            continue;
        }
        b->sequence = books[i].sequence;
        if (!b->refused && !book_step(s, b, now, &e)) {
            on_failure(s, b, &e);
        }
    }
    *after_book_id = p.n == 0 ? INT64_MAX : books[p.n - 1].book_id;
    return p.n == BOOKS_PAGE;
}

static void tell_metrics(sealer *s) {
    int64_t rows = 0, since_ms = 0;
    map_iter it = map_begin(s->books);
    while (map_next(&it)) {
        const sealed_book *b = it.value;
        rows += b->sequence > b->tree.size ? (int64_t)(b->sequence - b->tree.size) : 0;
        if (b->behind_since_ms != 0 && (since_ms == 0 || b->behind_since_ms < since_ms)) {
            since_ms = b->behind_since_ms;
        }
    }
    metric_set(s->rows_behind, rows);
    atomic_store(&s->behind_since_ms, since_ms);
}

static int64_t read_age_s(void *arg) {
    sealer *s = arg;
    const int64_t since_ms = atomic_load(&s->behind_since_ms);
    return since_ms == 0 ? 0 : (clock_mono_ms(s->o.clock) - since_ms) / 1000;
}

static void seal_all(sealer *s, bool now) {
    int64_t after_book_id = 0;
    while (page_step(s, &after_book_id, now)) {
    }
    tell_metrics(s);
}

// True when some rows have no head yet.
static bool tick(void *arg) {
    sealer *s = arg;
    seal_all(s, false);
    return metric_value(s->rows_behind) > 0;
}

// --- Life ------------------------------------------------------------------------------------------------------------

static bool on_published(void *arg, const tree_head *head, err *e) {
    sealer *s = arg;
    sealed_book *b = book_of(s, head->book_id);
    if (b == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_BOOKS",
                       "the heads file has more books than audit.books_max");
    }
    if (!head_follows(head, b->has_published ? &b->published : NULL)) {
        return does_not_fit(e, "HEADS_FILE_DAMAGED", b, "the heads file is not a chain of heads");
    }
    b->published = *head;
    b->has_published = true;
    return true;
}

static bool load_keys(sealer *s, err *e) {
    uint8_t raw[HEAD_KEY_LEN];
    s->signer = head_signer_load(s->o.key_file, e);
    if (s->signer == NULL) {
        return false;
    }
    if (s->o.public_keys_file[0] != '\0' && !head_keys_load(&s->keys, s->o.public_keys_file, e)) {
        return false;
    }
    head_signer_public(s->signer, raw);
    for (size_t i = 0; i < s->keys.n; i++) {
        if (memcmp(s->keys.keys[i].raw, raw, sizeof raw) == 0) {
            return true;
        }
    }
    return head_keys_add(&s->keys, raw) || err_set(e, ERR_INVALID_ARGUMENT, "BAD_KEY_FILE",
                                                   "more public keys than %d", HEAD_KEYS_MAX);
}

static void free_all(sealer *s) {
    map_iter it = map_begin(s->books);
    while (map_next(&it)) {
        free(it.value);
    }
    map_destroy(s->books);
    heads_file_close(s->file);
    head_signer_destroy(s->signer);
    arena_destroy(s->step);
    free(s);
}

sealer *sealer_create(const sealer_options *o, err *e) {
    sealer *s = calloc(1, sizeof *s);
    ASSERT(s != NULL && o->rows_max <= (int64_t)(NODES_MAX - 16) * 256);
    s->o = *o;
    s->books = map_create(16, (size_t)o->books_max);
    s->step = arena_create(STEP_BYTES_MAX);
    s->logged_ms = INT64_MIN / 2;
    s->rows_behind =
        metric_gauge("ledger_unsealed_rows", "", "journal rows that no signed tree head covers");
    s->heads_signed = metric_counter("ledger_tree_heads_total", "", "tree heads signed");
    s->books_refused = metric_gauge("ledger_audit_refused_books", "",
                                    "books whose history does not fit what was signed before");
    if (!load_keys(s, e) ||
        (s->file = heads_file_open(o->heads_file, on_published, s, e)) == NULL) {
        free_all(s);
        return NULL;
    }
    metric_gauge_fn("ledger_unsealed_age_seconds", "",
                    "how long the oldest unsealed journal row has waited", read_age_s, s);
    s->ticker = ticker_start_lazy(TICK_MS, IDLE_TICK_MS, tick, s);
    ASSERT(s->ticker != NULL);
    return s;
}

void sealer_destroy(sealer *s) {
    if (s == NULL) {
        return;
    }
    ticker_stop(s->ticker);
    seal_all(s, true);
    metric_gauge_fn("ledger_unsealed_age_seconds", "",
                    "how long the oldest unsealed journal row has waited", NULL, NULL);
    free_all(s);
}

const head_keys *sealer_keys(const sealer *s) {
    return &s->keys;
}
