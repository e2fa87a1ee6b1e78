// Every change of an exported journal or its heads is found. If a row was changed, its sequence is named. DISBURSE_TAMPERINGS and
// DISBURSE_SEED choose how many changes and which.
#include "ledger-verify/verify.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "audit/journal_file.h"
#include "base/clock.h"
#include "base/test_support.h"

enum { ROWS = 150, ACCOUNTS = 8, HEADS_MAX = 40, TAMPERINGS = 10240 };

static char dir[] = "/tmp/disburse-tamper.XXXXXX";
static test_clock clock_;
static head_signer *old_key, *new_key, *foreign_key;
static head_keys keys; // old, new
static ledger_row rows[ROWS];
static char texts[ROWS][32];
static tree_head heads[HEADS_MAX];
static size_t n_heads;

// --- A journal and its heads -------------------------------------------------------------------------------------------

static uint64_t below(uint64_t bound) {
    return clock_random_below(&clock_.source, bound);
}

static uuid account_of(uint64_t n) {
    uuid id = {{0}};
    id.b[15] = (uint8_t)(n + 1);
    return id;
}

// Kinds of rows: the ledger's kinds, and more for some special rows.
enum { IMPORTED = LEDGER_KIND_EXPIRE, REVERSAL, CLOSING, LABELED, KINDS };

static bool is_of_kind(const ledger_row *r, size_t kind) {
    switch (kind) {
    case IMPORTED: return r->effective_us != r->timestamp_us;
    case REVERSAL: return !uuid_is_nil(r->reverses_id);
    case CLOSING: return r->debit_state_after != 0;
    case LABELED: return r->metadata.len != 0;
    default: return (size_t)r->kind == kind + 1;
    }
}

// The last open pending before row i; NULL when there is none.
static const ledger_row *some_pending(size_t i) {
    for (size_t k = i; k-- > 0;) {
        bool ended = rows[k].kind != LEDGER_KIND_PENDING;
        for (size_t after = k; after < i && !ended; after++) {
            ended = uuid_eq(rows[after].pending_id, rows[k].id);
        }
        if (!ended) {
            return &rows[k];
        }
    }
    return NULL;
}

static void end_pending(ledger_row *r, const ledger_row *pending) {
    r->kind = (ledger_kind)(LEDGER_KIND_POST + below(3));
    r->pending_id = pending->id;
    r->debit_account_id = pending->debit_account_id;
    r->credit_account_id = pending->credit_account_id;
    r->released = pending->amount;
    r->amount = r->kind == LEDGER_KIND_POST ? pending->amount / 2 : pending->amount;
    r->flags = r->kind == LEDGER_KIND_POST   ? (uint32_t)LEDGER_TRANSFER_FLAG_POST
               : r->kind == LEDGER_KIND_VOID ? (uint32_t)LEDGER_TRANSFER_FLAG_VOID
                                             : 0;
    if (r->kind == LEDGER_KIND_EXPIRE) {
        r->id = (uuid){{0}};
    }
}

static void reverse(ledger_row *r, const ledger_row *reversed) {
    r->reverses_id = reversed->id;
    r->debit_account_id = reversed->credit_account_id;
    r->credit_account_id = reversed->debit_account_id;
    r->amount = reversed->amount;
    r->flags = LEDGER_TRANSFER_FLAG_FORCED;
}

static void make_pending(ledger_row *r) {
    r->kind = LEDGER_KIND_PENDING;
    r->flags = LEDGER_TRANSFER_FLAG_PENDING;
    if (below(2) == 0) {
        r->timeout_s = 1 + (uint32_t)below(1000);
        r->expires_us = r->timestamp_us + r->timeout_s * INT64_C(1000000);
    }
    if (below(3) == 0) {
        r->flags |= LEDGER_TRANSFER_FLAG_CLOSING_DEBIT;
        r->debit_state_after = LEDGER_STATE_CLOSED;
    }
}

static void make_row(size_t i) {
    const uint64_t debit = below(ACCOUNTS);
    ledger_row *r = &rows[i];
    *r = (ledger_row){.kind = LEDGER_KIND_SINGLE,
                      .debit_account_id = account_of(debit),
                      .credit_account_id = account_of((debit + 1 + below(ACCOUNTS - 1)) % ACCOUNTS),
                      .amount = (int64_t)below(1000000),
                      .code = 1 + (uint32_t)below(100),
                      .currency = ledger_currency_pack(STR("USD")),
                      .user_data_64 = below(UINT64_MAX),
                      .sequence = (int64_t)i + 1,
                      .timestamp_us = 1000000 + (int64_t)i * 10};
    clock_random(&clock_.source, r->id.b, sizeof r->id.b);
    r->effective_us = r->timestamp_us;
    if (below(3) == 0) {
        (void)snprintf(texts[i], sizeof texts[i], "invoice %zu", i);
        r->external_reference = str_of(texts[i]);
        r->metadata = STR("\x01k\0\x01v");
    }
    const ledger_row *pending = some_pending(i);
    const uint64_t what = below(8);
    if (what < 2) {
        make_pending(r);
    } else if (what < 4 && pending != NULL) {
        end_pending(r, pending);
    } else if (what == 4) {
        r->flags = LEDGER_TRANSFER_FLAG_IMPORTED;
        r->effective_us -= 1 + (int64_t)below(100000);
    } else if (what == 5 && i > 0 && rows[i - 1].kind == LEDGER_KIND_SINGLE) {
        reverse(r, &rows[i - 1]);
    }
}

static void make_rows(void) {
    ledger_balances balances[ACCOUNTS] = {{0}};
    size_t found[KINDS] = {0};
    for (size_t i = 0; i < ROWS; i++) {
        ledger_row *r = &rows[i];
        make_row(i);
        const ledger_effect e = ledger_row_effect(r);
        ledger_balances *debit = &balances[r->debit_account_id.b[15] - 1];
        ledger_balances *credit = &balances[r->credit_account_id.b[15] - 1];
        debit->debits_pending += e.pending;
        debit->debits_posted += e.posted;
        credit->credits_pending += e.pending;
        credit->credits_posted += e.posted;
        r->debit_after = *debit;
        r->credit_after = *credit;
        for (size_t kind = 0; kind < KINDS; kind++) {
            found[kind] += is_of_kind(r, kind);
        }
    }
    for (size_t kind = 0; kind < KINDS; kind++) {
        assert_true(found[kind] > 0);
    }
}

// Signs heads over the rows, at the old heads' places if there are any, else at new ones; the second half with the new key.
static void make_heads(head_signer *first, head_signer *second) {
    const bool again = n_heads != 0;
    merkle_tree t = {0};
    size_t n = 0;
    tree_head before = {.root = merkle_root(&t)};
    for (size_t i = 0; i < ROWS; i++) {
        merkle_hash leaf;
        ledger_leaf_hash(7, &rows[i], leaf.b);
        merkle_append(&t, &leaf, NULL, NULL);
        const bool here = again ? heads[n].size == i + 1 : i + 1 == ROWS || below(16) == 0;
        if (here && n < HEADS_MAX) {
            heads[n] = (tree_head){.book_id = 7,
                                   .size = i + 1,
                                   .root = merkle_root(&t),
                                   .previous_size = before.size,
                                   .previous_root = before.root,
                                   .time_us = 2000000 + (int64_t)i};
            head_sign(i < ROWS / 2 ? first : second, &heads[n]);
            before = heads[n++];
        }
    }
    n_heads = n;
    assert_int_equal(heads[n - 1].size, ROWS);
}

static head_signer *new_signer(void) {
    char path[64];
    err e = {0};
    (void)snprintf(path, sizeof path, "%s/key", dir);
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    FILE *f = fdopen(open(path, O_WRONLY | O_CREAT | O_EXCL, 0600), "w");
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(f);
    EVP_PKEY_free(key);
    head_signer *s = head_signer_load(path, &e);
    assert_non_null(s);
    (void)unlink(path);
    return s;
}

// --- Files in memory, with the places of their parts -----------------------------------------------------------------------

typedef struct file {
    char bytes[256 * 1024];
    size_t len;
    size_t at[ROWS + 2]; // start of part n; one more for the end
    size_t n;
} file;

static file journal, lines;         // the true files
static file bad_journal, bad_lines; // the changed files

static void write_journal(file *f) {
    FILE *out = fmemopen(f->bytes, sizeof f->bytes, "w");
    journal_file_begin(out, 7);
    for (size_t i = 0; i < ROWS; i++) {
        uint8_t form[LEDGER_LEAF_LEN_MAX];
        merkle_hash leaf;
        f->at[i] = (size_t)ftell(out);
        ledger_leaf_hash(7, &rows[i], leaf.b);
        journal_file_put(out, form, ledger_leaf_encode(7, &rows[i], form), &leaf);
    }
    f->at[ROWS] = f->len = (size_t)ftell(out);
    f->n = ROWS;
    (void)fclose(out);
}

static void write_lines(file *f) {
    f->len = 0;
    for (size_t i = 0; i < n_heads; i++) {
        f->at[i] = f->len;
        f->len += head_line_write(&heads[i], f->bytes + f->len);
    }
    f->at[n_heads] = f->len;
    f->n = n_heads;
}

static char said[16384];

static verify_outcome verify(file *j, file *h) {
    // fmemopen of 0 bytes fails on some systems, so /dev/null stands for an empty file.
    FILE *jf = j->len == 0 ? fopen("/dev/null", "re") : fmemopen(j->bytes, j->len, "r");
    FILE *hf = h->len == 0 ? fopen("/dev/null", "re") : fmemopen(h->bytes, h->len, "r");
    memset(said, 0, sizeof said);
    FILE *out = fmemopen(said, sizeof said - 1, "w");
    const verify_options o = {jf, hf, &keys, out};
    const verify_outcome outcome = verify_journal(&o);
    (void)fclose(jf);
    (void)fclose(hf);
    (void)fclose(out);
    return outcome;
}

// --- Ways to tamper ------------------------------------------------------------------------------------------------------

static void flip(file *f) {
    f->bytes[below(f->len)] ^= (char)(1u << below(8));
}

static void cut_out(file *f, size_t from, size_t to) {
    memmove(f->bytes + from, f->bytes + to, f->len - to);
    f->len -= to - from;
}

static void delete_part(file *f) {
    const size_t i = below(f->n);
    cut_out(f, f->at[i], f->at[i + 1]);
}

static void swap_parts(file *f) {
    static char other[sizeof f->bytes];
    size_t a = below(f->n), b = below(f->n);
    while (a == b) {
        b = below(f->n);
    }
    size_t len = f->at[0];
    memcpy(other, f->bytes, len);
    for (size_t i = 0; i < f->n; i++) {
        const size_t from = i == a ? b : i == b ? a : i;
        memcpy(other + len, f->bytes + f->at[from], f->at[from + 1] - f->at[from]);
        len += f->at[from + 1] - f->at[from];
    }
    memcpy(f->bytes, other, len);
}

static void repeat_part(file *f) {
    const size_t i = below(f->n), len = f->at[i + 1] - f->at[i];
    memmove(f->bytes + f->at[i + 1] + len, f->bytes + f->at[i + 1], f->len - f->at[i + 1]);
    memcpy(f->bytes + f->at[i + 1], f->bytes + f->at[i], len);
    f->len += len;
}

static void truncate_part(file *f) {
    f->len = f->at[below(f->n)];
}

static void truncate_anywhere(file *f) {
    f->len = below(f->len);
}

// Changes a row to another valid one, with its right leaf hash and balances that add up: only the signature tells.
static void change_row(ledger_row *r) {
    switch (below(6)) {
    case 0: r->user_data_64 ^= 1 + below(1000); break;
    case 1: r->code += 1; break;
    case 2: r->id.b[below(16)] ^= (uint8_t)(1 + below(255)); break;
    case 3: r->external_reference = STR("another"); break;
    case 4: r->timestamp_us += 1; break;
    default: r->metadata = STR("\x01k\0\x01w"); break;
    }
}

typedef enum tampering {
    FLIP_ROW,
    DELETE_ROW,
    SWAP_ROWS,
    REPEAT_ROW,
    TRUNCATE_JOURNAL,
    TRUNCATE_JOURNAL_ANYWHERE,
    REWRITE_ROW,
    FLIP_HEAD,
    DELETE_HEAD,
    SWAP_HEADS,
    REPEAT_HEAD,
    TRUNCATE_HEADS,
    RESIGN_ONE_HEAD,
    REWRITE_AND_RESIGN_OLD,
    REWRITE_AND_RESIGN_FOREIGN,
    TRUNCATE_BOTH_AND_RESIGN_OLD,
    TAMPERINGS_COUNT
} tampering;

static void rewrite_and_resign(head_signer *first, head_signer *second) {
    static ledger_row saved_rows[ROWS];
    static tree_head saved_heads[HEADS_MAX];
    const size_t saved_n = n_heads;
    memcpy(saved_rows, rows, sizeof rows);
    memcpy(saved_heads, heads, sizeof heads);
    change_row(&rows[below(ROWS)]);
    make_heads(first, second);
    write_journal(&bad_journal);
    write_lines(&bad_lines);
    memcpy(rows, saved_rows, sizeof rows);
    memcpy(heads, saved_heads, sizeof heads);
    n_heads = saved_n;
}

// Signs some head wrongly: with a wrong key, or over a wrong root.
static void resign_one(void) {
    const size_t i = below(n_heads);
    const tree_head saved = heads[i];
    const bool was_old = saved.size <= ROWS / 2;
    // At the change of keys the same head signed by the old key claims nothing false.
    const bool took_over = !was_old && (i == 0 || heads[i - 1].size <= ROWS / 2);
    switch (below(3)) {
    case 0: head_sign(foreign_key, &heads[i]); break;
    case 1: head_sign(was_old || took_over ? foreign_key : old_key, &heads[i]); break;
    default:
        // signed with its own key, but with a root that does not follow from the rows
        heads[i].root.b[below(32)] ^= 1;
        head_sign(was_old ? old_key : new_key, &heads[i]);
        break;
    }
    write_lines(&bad_lines);
    heads[i] = saved;
}

// Cuts the journal where the old key signed last. Only the rule that the new key must have signed last reveals this.
static void truncate_both(void) {
    size_t last = 0;
    while (heads[last + 1].size <= ROWS / 2) {
        last++;
    }
    last = below(last + 1);
    bad_journal.len = bad_journal.at[heads[last].size];
    bad_lines.len = bad_lines.at[last + 1];
}

static void tamper(tampering t) {
    switch (t) {
    case FLIP_ROW: flip(&bad_journal); break;
    case DELETE_ROW: delete_part(&bad_journal); break;
    case SWAP_ROWS: swap_parts(&bad_journal); break;
    case REPEAT_ROW: repeat_part(&bad_journal); break;
    case TRUNCATE_JOURNAL: truncate_part(&bad_journal); break;
    case TRUNCATE_JOURNAL_ANYWHERE: truncate_anywhere(&bad_journal); break;
    case REWRITE_ROW: {
        const size_t i = below(ROWS);
        const ledger_row saved = rows[i];
        change_row(&rows[i]);
        write_journal(&bad_journal);
        rows[i] = saved;
        break;
    }
    case FLIP_HEAD: flip(&bad_lines); break;
    case DELETE_HEAD: delete_part(&bad_lines); break;
    case SWAP_HEADS: swap_parts(&bad_lines); break;
    case REPEAT_HEAD: repeat_part(&bad_lines); break;
    case TRUNCATE_HEADS: truncate_anywhere(&bad_lines); break;
    case RESIGN_ONE_HEAD: resign_one(); break;
    case REWRITE_AND_RESIGN_OLD: rewrite_and_resign(old_key, old_key); break;
    case REWRITE_AND_RESIGN_FOREIGN: rewrite_and_resign(foreign_key, foreign_key); break;
    case TRUNCATE_BOTH_AND_RESIGN_OLD: truncate_both(); break;
    case TAMPERINGS_COUNT: break;
    }
}

// --- Tests ---------------------------------------------------------------------------------------------------------------

static int setup(void **state) {
    (void)state;
    const char *seed = getenv("DISBURSE_SEED");
    int64_t n = clock_wall_us(clock_system());
    (void)(seed != NULL && str_to_i64(str_of(seed), 0, INT64_MAX, &n));
    print_message("seed %lld (DISBURSE_SEED)\n", (long long)n);
    test_clock_init(&clock_, 0, (uint64_t)n);
    assert_non_null(mkdtemp(dir));
    old_key = new_signer();
    new_key = new_signer();
    foreign_key = new_signer();
    uint8_t raw[HEAD_KEY_LEN];
    head_signer_public(old_key, raw);
    assert_true(head_keys_add(&keys, raw));
    head_signer_public(new_key, raw);
    assert_true(head_keys_add(&keys, raw));
    make_rows();
    make_heads(old_key, new_key);
    write_journal(&journal);
    write_lines(&lines);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    head_signer_destroy(old_key);
    head_signer_destroy(new_key);
    head_signer_destroy(foreign_key);
    return rmdir(dir);
}

static void test_what_was_not_touched__is_proven(void **state) {
    (void)state;
    assert_int_equal(verify(&journal, &lines), VERIFY_PROVEN);
    // Heads of other books may come in between.
    bad_lines = lines;
    tree_head other = heads[3];
    other.book_id = 8;
    bad_lines.len += head_line_write(&other, bad_lines.bytes + bad_lines.len);
    assert_int_equal(verify(&journal, &bad_lines), VERIFY_PROVEN);
}

static void test_rows_after_the_last_head__are_not_proven(void **state) {
    (void)state;
    bad_lines = lines;
    bad_lines.len = lines.at[lines.n - 1];
    // If this was the last key's only head, the head before is signed by a retired key, which is worse.
    const bool of_last_key = n_heads == 1 || heads[n_heads - 2].size > ROWS / 2;
    assert_int_equal(verify(&journal, &bad_lines), of_last_key ? VERIFY_UNSEALED : VERIFY_WRONG);
    bad_lines.len = 0;
    assert_int_equal(verify(&journal, &bad_lines), VERIFY_UNSEALED);
}

// A shorter heads file is no lie: it only proves less. The same holds if its last head became another book's.
static bool proves_less(tampering t) {
    tree_head last;
    const size_t at = lines.at[lines.n - 1];
    if (t == DELETE_HEAD || t == TRUNCATE_HEADS) {
        return memcmp(bad_lines.bytes, lines.bytes, bad_lines.len) == 0;
    }
    return t == FLIP_HEAD && memcmp(bad_lines.bytes, lines.bytes, at) == 0 &&
           head_line_read((str){bad_lines.bytes + at, bad_lines.len - at - 1}, &last) &&
           last.book_id != heads[n_heads - 1].book_id;
}

static void test_every_tampering__is_found(void **state) {
    (void)state;
    int64_t n = TAMPERINGS;
    const char *given = getenv("DISBURSE_TAMPERINGS");
    (void)(given != NULL && str_to_i64(str_of(given), 1, 100000000, &n));
    for (int64_t i = 0; i < n; i++) {
        const tampering t = (tampering)((uint64_t)i % TAMPERINGS_COUNT);
        bad_journal = journal;
        bad_lines = lines;
        tamper(t);
        if ((bad_journal.len == journal.len &&
             memcmp(bad_journal.bytes, journal.bytes, journal.len) == 0) &&
            (bad_lines.len == lines.len && memcmp(bad_lines.bytes, lines.bytes, lines.len) == 0)) {
            fail_msg("tampering %lld of kind %d changed nothing", (long long)i, (int)t);
        }
        const verify_outcome outcome = verify(&bad_journal, &bad_lines);
        const bool found =
            outcome == VERIFY_WRONG || (outcome == VERIFY_UNSEALED && proves_less(t));
        if (!found) {
            fail_msg("tampering %lld of kind %d: outcome %d\n%s", (long long)i, (int)t,
                     (int)outcome, said);
        }
    }
    print_message("%lld tamperings, all found\n", (long long)n);
}

// Flips every bit of one row of one kind, and some bits of a row of each other kind. The report names that row's sequence.
static void test_a_flipped_bit__names_its_sequence(void **state) {
    (void)state;
    char expected[64];
    const size_t thorough = below(KINDS);
    bad_journal = journal;
    for (size_t kind = 0; kind < KINDS; kind++) {
        size_t row = below(ROWS);
        while (!is_of_kind(&rows[row], kind)) {
            row = (row + 1) % ROWS;
        }
        (void)snprintf(expected, sizeof expected, "WRONG: sequence %zu: ", row + 1);
        const size_t step = kind == thorough ? 1 : 31;
        for (size_t bit = 8 * journal.at[row]; bit < 8 * journal.at[row + 1]; bit += step) {
            const char mask = (char)(1u << bit % 8);
            bad_journal.bytes[bit / 8] ^= mask;
            assert_int_equal(verify(&bad_journal, &lines), VERIFY_WRONG);
            assert_ptr_equal(strstr(said, "WRONG: "), strstr(said, expected)); // the first finding
            bad_journal.bytes[bit / 8] ^= mask;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_not_touched__is_proven),
        cmocka_unit_test(test_rows_after_the_last_head__are_not_proven),
        cmocka_unit_test(test_a_flipped_bit__names_its_sequence),
        cmocka_unit_test(test_every_tampering__is_found),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
