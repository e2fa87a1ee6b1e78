#include "audit/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/tree_statements.h"
#include "audit/tree_store.h"
#include "base/assert.h"
#include "base/map.h"
#include "domain/leaf.h"
#include "store/store.h"

enum {
    ROWS_PAGE = 2000,
    HEADS_PAGE = 500,
    ACCOUNTS_PAGE = 2000,
    PROGRESS_ROWS = 100000,
    PAGE_BYTES_MAX = 64 * 1024 * 1024,
    NODES_PAGE_MAX = 64, // complete subtrees of kept levels that one page of rows may end
};

typedef struct tally {
    uuid account_id;
    ledger_balances balances;
    int64_t entries;
    uint32_t state;
    bool known; // the account exists
} tally;

typedef struct check {
    const check_options *o;
    check_result *result;
    db_conn *c;
    arena *page;
    int64_t checkpoint_sequence; // the accounts' kept balances are true at this row
    int64_t account_count;
    uint64_t sealed_size; // of the latest head
    // The current pass: it looks at the accounts whose hash leaves this remainder.
    size_t pass, n_passes;
    map *tallies;
    tally *tally_memory;
    size_t n_tallies;
    // Progress through the rows, in the first pass.
    int64_t next_sequence, last_us;
    merkle_tree tree;
    bool tree_ended; // a row is missing: nothing after it can be compared with the tree
    tree_node nodes[NODES_PAGE_MAX];
    size_t n_nodes;
    // The next heads to check.
    tree_head heads[HEADS_PAGE];
    size_t n_heads, next_head;
    bool heads_ended;
    tree_head last_head; // size 0: none yet
    int last_key;
} check;

static void find(check *k, const char *reason, int64_t sequence, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
static void find(check *k, const char *reason, int64_t sequence, const char *fmt, ...) {
    check_result *r = k->result;
    if (r->n_findings < CHECK_FINDINGS_MAX) {
        check_finding *f = &r->findings[r->n_findings];
        va_list args;
        va_start(args, fmt);
        f->reason = reason;
        f->sequence = sequence;
        (void)vsnprintf(f->message, sizeof f->message, fmt, args);
        va_end(args);
    }
    r->n_findings++;
}

// --- Balances --------------------------------------------------------------------------------------------------------

// Values that were tampered with may be anything. Sums may wrap: the comparison needs no more.
static int64_t add(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static bool same_balances(const ledger_balances *a, const ledger_balances *b) {
    return a->debits_pending == b->debits_pending && a->debits_posted == b->debits_posted &&
           a->credits_pending == b->credits_pending && a->credits_posted == b->credits_posted;
}

// NULL: the account belongs to another pass, or (with a finding) the book has more accounts than it says.
static tally *tally_of(check *k, uuid account_id) {
    if (uuid_hash(account_id) % k->n_passes != k->pass) {
        return NULL;
    }
    tally *t = map_get(k->tallies, account_id);
    if (t == NULL && k->n_tallies < k->o->accounts_max) {
        t = &k->tally_memory[k->n_tallies++];
        *t = (tally){.account_id = account_id};
        MUST(map_put(k->tallies, account_id, t));
    } else if (t == NULL) {
        find(k, "ACCOUNT_MISSING", 0, "the rows name more accounts than the book has");
    }
    return t;
}

static void tally_row(check *k, const ledger_row *row) {
    if (row->amount < 0 || row->released < 0) {
        find(k, "AMOUNT_NEGATIVE", row->sequence, "an amount below 0");
        return;
    }
    const ledger_effect effect = ledger_row_effect(row);
    tally *debit = tally_of(k, row->debit_account_id);
    tally *credit = tally_of(k, row->credit_account_id);
    bool ok = true;
    if (debit != NULL) {
        ledger_balances *b = &debit->balances;
        b->debits_pending = add(b->debits_pending, effect.pending);
        b->debits_posted = add(b->debits_posted, effect.posted);
        debit->state = row->debit_state_after;
        debit->entries++;
        ok = same_balances(b, &row->debit_after);
    }
    if (credit != NULL) {
        ledger_balances *b = &credit->balances;
        b->credits_pending = add(b->credits_pending, effect.pending);
        b->credits_posted = add(b->credits_posted, effect.posted);
        credit->state = row->credit_state_after;
        credit->entries++;
        ok = same_balances(b, &row->credit_after) && ok;
    }
    if (!ok) {
        find(k, "BALANCES_AFTER_DIFFER", row->sequence,
             "the balances of the row are not the sum of the rows up to this row");
    }
}

// The account's state: before any entry, or after its last one.
static uint32_t state_of(const tally *t, uint32_t flags) {
    if (t != NULL && t->entries != 0) {
        return t->state;
    }
    return (flags & LEDGER_ACCOUNT_FLAG_CLOSED) != 0 ? LEDGER_STATE_CLOSED : 0;
}

static void compare_account(check *k, const db_rows *r, size_t i) {
    const uuid id = db_get_uuid(r, i, 0);
    if (uuid_hash(id) % k->n_passes != k->pass) {
        return;
    }
    const ledger_balances kept = {db_get_i64(r, i, 1), db_get_i64(r, i, 2), db_get_i64(r, i, 3),
                                  db_get_i64(r, i, 4)};
    tally *t = tally_of(k, id);
    const ledger_balances recomputed = t == NULL ? (ledger_balances){0} : t->balances;
    k->result->accounts++;
    if (t != NULL) {
        t->known = true;
    }
    if (!same_balances(&kept, &recomputed)) {
        if (k->result->n_differences < CHECK_FINDINGS_MAX) {
            k->result->differences[k->result->n_differences] =
                (check_difference){id, kept, recomputed, t == NULL ? 0 : t->entries};
        }
        k->result->n_differences++;
    } else if (state_of(t, (uint32_t)db_get_i16(r, i, 6)) != (uint32_t)db_get_i16(r, i, 5)) {
        char text[UUID_TEXT_LEN + 1];
        uuid_format(id, text);
        find(k, "ACCOUNT_STATE_DIFFERS", 0, "account %s: its state is not that of its last entry",
             text);
    }
}

// Compares every kept account with the sum of the rows up to the checkpoint.
static bool compare_accounts(check *k, err *e) {
    uuid after = {{0}};
    for (size_t n = ACCOUNTS_PAGE; n == ACCOUNTS_PAGE;) {
        db_rows *rows = NULL;
        arena_reset(k->page);
        db_params *p = db_params_create(k->page);
        db_i64(p, k->o->book_id);
        db_uuid(p, after);
        db_i64(p, ACCOUNTS_PAGE);
        if (!db_exec(k->c, &TREE_STATEMENTS[TREE_CHECK_ACCOUNTS], p, k->page, &rows, NULL, e)) {
            return false;
        }
        n = db_count(rows);
        for (size_t i = 0; i < n; i++) {
            compare_account(k, rows, i);
            after = db_get_uuid(rows, i, 0);
        }
    }
    return true;
}

// --- Heads and the tree ------------------------------------------------------------------------------------------------

static bool heads_refill(check *k, err *e) {
    tree_head *heads = NULL;
    if (k->next_head < k->n_heads || k->heads_ended) {
        return true;
    }
    if (!tree_heads_after(k->c, k->page, k->o->book_id, k->last_head.size, HEADS_PAGE, &heads,
                          &k->n_heads, e)) {
        return false;
    }
    memcpy(k->heads, heads, k->n_heads * sizeof *heads);
    k->next_head = 0;
    k->heads_ended = k->n_heads == 0;
    return true;
}

static void check_head(check *k, const tree_head *head) {
    const int64_t size = (int64_t)head->size;
    int key = k->last_key;
    if (!head_follows(head, k->last_head.size == 0 ? NULL : &k->last_head)) {
        find(k, "HEAD_CHAIN_BROKEN", size, "the tree head does not follow the one before it");
    }
    if (k->o->keys->n == 0) {
        if (k->last_head.size == 0) {
            find(k, "SIGNATURES_NOT_CHECKED", size, "no public keys: set audit.public_keys_file");
        }
    } else if (!head_verify(head, k->o->keys, &key)) {
        find(k, "SIGNATURE_INVALID", size, "the tree head is not signed by a known key");
    } else if (key < k->last_key) {
        find(k, "SIGNATURE_INVALID", size,
             "the tree head is signed by a key that was replaced before");
    }
    k->last_key = key;
    k->result->heads++;
    k->last_head = *head;
}

// Checks all heads that end where the tree ends now.
static bool check_heads(check *k, err *e) {
    for (;;) {
        if (!heads_refill(k, e)) {
            return false;
        }
        if (k->heads_ended || k->heads[k->next_head].size > k->tree.size) {
            return true;
        }
        const tree_head *head = &k->heads[k->next_head++];
        const merkle_hash root = merkle_root(&k->tree);
        if (head->size == k->tree.size && !merkle_equal(&root, &head->root)) {
            find(k, "ROOT_HASH_DIFFERS", (int64_t)head->size,
                 "rows %llu to %llu, or earlier rows, differ from the signed rows",
                 (unsigned long long)head->previous_size + 1, (unsigned long long)head->size);
        }
        check_head(k, head);
    }
}

static void keep_node(void *arg, unsigned level, uint64_t index, const merkle_hash *hash) {
    check *k = arg;
    if (level % TREE_LEVEL_STEP == 0) {
        ASSERT(k->n_nodes < NODES_PAGE_MAX);
        k->nodes[k->n_nodes++] = (tree_node){level, index, *hash};
    }
}

// Compares the stored nodes that proofs are made of. A node that is not stored yet belongs to rows that are not sealed.
static bool check_nodes(check *k, err *e) {
    tree_reader reader = {k->c, k->page, k->o->book_id};
    for (size_t i = 0; i < k->n_nodes; i++) {
        const tree_node *node = &k->nodes[i];
        const uint64_t size = (node->index + 1) << node->level;
        merkle_hash stored;
        err why = {0};
        if (tree_read_subtree(&reader, node->level, node->index, &stored, &why)) {
            if (!merkle_equal(&stored, &node->hash)) {
                find(k, "TREE_NODE_DIFFERS", (int64_t)size, "a stored hash of level %u is wrong",
                     node->level);
            }
        } else if (why.code != ERR_DATA_LOSS) {
            *e = why;
            return false;
        } else if (size <= k->sealed_size) {
            find(k, "TREE_NODE_MISSING", (int64_t)size, "a stored hash of level %u is gone",
                 node->level);
        }
    }
    k->n_nodes = 0;
    return true;
}

// --- Rows ------------------------------------------------------------------------------------------------------------

static bool check_row(check *k, const ledger_row *row, err *e) {
    merkle_hash leaf;
    if (row->sequence != k->next_sequence) {
        find(k, "SEQUENCE_GAP", k->next_sequence, "the rows %lld to %lld are missing",
             (long long)k->next_sequence, (long long)row->sequence - 1);
        k->tree_ended = true;
    }
    k->next_sequence = row->sequence + 1;
    if (row->timestamp_us <= k->last_us) {
        find(k, "TIME_NOT_INCREASING", row->sequence,
             "the row is not younger than the one before it");
    }
    k->last_us = row->timestamp_us;
    ledger_leaf_hash(k->o->book_id, row, leaf.b);
    if (memcmp(leaf.b, row->leaf_hash, sizeof leaf.b) != 0) {
        find(k, "LEAF_HASH_DIFFERS", row->sequence, "the row differs from the row that was hashed");
    }
    k->result->rows++;
    if (k->tree_ended) {
        return true;
    }
    // The signature covers the row as it was written. If the row was changed since, only its stored hash still says how it was.
    memcpy(leaf.b, row->leaf_hash, sizeof leaf.b);
    merkle_append(&k->tree, &leaf, keep_node, k);
    return check_heads(k, e);
}

static bool progress(check *k, int64_t *told_rows, err *e) {
    if (clock_mono_ms(k->o->clock) >= k->o->deadline_mono_ms) {
        return err_set(e, ERR_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the check took too long");
    }
    if (k->result->rows - *told_rows < PROGRESS_ROWS) {
        return true;
    }
    *told_rows = k->result->rows;
    return k->o->progress(k->o->arg, k->result) ||
           err_set(e, ERR_CANCELLED, "CANCELLED", "nobody waits for the check any more");
}

static bool read_page(check *k, int64_t from, int64_t to, ledger_row **rows, size_t *n, err *e) {
    bool exists = false;
    const int64_t left = to - from + 1;
    arena_reset(k->page);
    return store_read_journal(k->c, k->page, k->o->book_id, from,
                              left < ROWS_PAGE ? (size_t)left : ROWS_PAGE, &exists, rows, n, e);
}

// Checks the rows from … to; there may be fewer.
static bool check_rows(check *k, int64_t from, int64_t to, err *e) {
    int64_t told_rows = k->result->rows;
    while (from <= to) {
        ledger_row *rows = NULL;
        size_t n = 0;
        if (!read_page(k, from, to, &rows, &n, e)) {
            return false;
        }
        for (size_t i = 0; i < n; i++) {
            if (rows[i].sequence > to) { // a gap, then rows beyond the range
                n = 0;
                break;
            }
            if (k->pass == 0 && !check_row(k, &rows[i], e)) {
                return false;
            }
            tally_row(k, &rows[i]);
        }
        if (!check_nodes(k, e) || !progress(k, &told_rows, e)) {
            return false;
        }
        if (n == 0) {
            return true;
        }
        from = rows[n - 1].sequence + 1;
    }
    return true;
}

static bool end_of_rows(check *k, err *e) {
    check_result *r = k->result;
    if (k->next_sequence <= r->sequence) {
        find(k, "SEQUENCE_GAP", k->next_sequence, "the rows %lld to %lld are missing",
             (long long)k->next_sequence, (long long)r->sequence);
    }
    const uint64_t checked_size = k->tree.size;
    k->tree.size = MERKLE_SIZE_MAX; // the remaining heads cover rows that are missing
    for (bool more = true; more;) {
        if (!heads_refill(k, e)) {
            return false;
        }
        more = !k->heads_ended;
        if (more) {
            const tree_head *head = &k->heads[k->next_head++];
            find(k, "ROOT_HASH_DIFFERS", (int64_t)head->size,
                 "signed for %llu rows, and %llu in order are there",
                 (unsigned long long)head->size, (unsigned long long)checked_size);
            check_head(k, head);
        }
    }
    k->tree.size = checked_size;
    r->unsealed_rows = r->sequence - (int64_t)k->last_head.size;
    return true;
}

// Finds accounts that rows name but that do not exist.
static void find_missing_accounts(check *k) {
    for (size_t i = 0; i < k->n_tallies; i++) {
        if (!k->tally_memory[i].known) {
            char text[UUID_TEXT_LEN + 1];
            uuid_format(k->tally_memory[i].account_id, text);
            find(k, "ACCOUNT_MISSING", 0, "account %s has entries and does not exist", text);
        }
    }
}

static bool run_pass(check *k, err *e) {
    map_clear(k->tallies);
    k->n_tallies = 0;
    if (!check_rows(k, 1, k->checkpoint_sequence, e) || !compare_accounts(k, e) ||
        !check_rows(k, k->checkpoint_sequence + 1, k->result->sequence, e)) {
        return false;
    }
    find_missing_accounts(k);
    return k->pass != 0 || end_of_rows(k, e);
}

// --- The whole -------------------------------------------------------------------------------------------------------

static bool open_snapshot(check *k, err *e) {
    db_rows *rows = NULL;
    db_params *none = db_params_create(k->page), *p = db_params_create(k->page);
    db_i64(p, k->o->book_id);
    if (!db_exec(k->c, &TREE_STATEMENTS[TREE_CHECK_SNAPSHOT], none, k->page, NULL, NULL, e) ||
        !db_exec(k->c, &TREE_STATEMENTS[TREE_CHECK_BOOK], p, k->page, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) == 0) {
        return err_set_field(e, ERR_NOT_FOUND, "BOOK_NOT_FOUND", "book_id",
                             "there is no such book");
    }
    k->result->sequence = db_get_i64(rows, 0, 0);
    k->checkpoint_sequence = db_get_i64(rows, 0, 1);
    k->account_count = db_get_i64(rows, 0, 2);
    bool exists = false;
    tree_head latest;
    if (!tree_head_load(k->c, k->page, k->o->book_id, 0, &exists, &latest, e)) {
        return false;
    }
    k->sealed_size = exists ? latest.size : 0;
    return true;
}

static bool run_all(check *k, err *e) {
    if (!open_snapshot(k, e)) {
        return false;
    }
    // Hashes spread the accounts over the passes, but not evenly: leave some room.
    k->n_passes = (size_t)k->account_count / (k->o->accounts_max / 2 + 1) + 1;
    bool ok = true;
    for (k->pass = 0; ok && k->pass < k->n_passes; k->pass++) {
        ok = run_pass(k, e);
    }
    k->result->done = ok;
    k->result->ok = ok && k->result->n_findings == 0 && k->result->n_differences == 0;
    return ok;
}

bool check_book(const check_options *o, check_result *result, err *e) {
    memset(result, 0, sizeof *result);
    check *k = calloc(1, sizeof *k);
    ASSERT(k != NULL);
    k->o = o;
    k->result = result;
    k->next_sequence = 1;
    bool ok = false;
    k->page = arena_create(PAGE_BYTES_MAX);
    k->tallies = map_create(1024, o->accounts_max);
    k->tally_memory = calloc(o->accounts_max, sizeof *k->tally_memory); // touched as it is used
    if (k->tally_memory == NULL) {
        (void)err_no_memory(e, "the check");
        goto out;
    }
    k->c = db_pool_checkout(o->pool, o->deadline_mono_ms, e);
    if (k->c == NULL || !db_begin(k->c, o->deadline_mono_ms, e)) {
        goto out;
    }
    ok = run_all(k, e);
    db_rollback(k->c); // it has only read
out:
    arena_reset(k->page); // rows go before their connection
    db_pool_checkin(o->pool, k->c);
    free(k->tally_memory);
    map_destroy(k->tallies);
    arena_destroy(k->page);
    free(k);
    return ok;
}
