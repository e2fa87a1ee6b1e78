// Every query against brute force over the journal of a random book, with a private PostgreSQL. The seed is printed, and taken
// from DISBURSE_SEED when that is set.
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testing/bench_journal.h"

#include "base/assert.h"
#include "query/query.h"
#include "testing/fixture.h"

enum {
    ACCOUNTS = 12,
    BATCHES = 80,
    BATCH_MAX = 40,
    ROWS_MAX = 16384,
    FILTERS = 400,
    MOMENTS = 150,
    STATEMENTS = 150,
    DAYS_BACK = 10,
    TIMEOUT_MAX_S = 3600,
};
#define SECOND_US INT64_C(1000000)
#define DAY_US (86400 * SECOND_US)
#define ARENA_BYTES ((size_t)64 * 1024 * 1024)

static uint64_t state_of_random;

static uint64_t below(uint64_t n) { // splitmix64
    uint64_t z = state_of_random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % n;
}

static bool one_in(uint64_t n) {
    return below(n) == 0;
}

// --- The book --------------------------------------------------------------------------------------------------------

static bench_instance instance;
static db_pool *pool; // like the pool of the service's readers
static int64_t book;
static uint64_t next_id = 1000;
static uint64_t reserved[4096]; // ids of transfers that were to be pending
static size_t n_reserved;
static int64_t shift_us; // of the clock
static bench_answer answer;

static arena *memory;
static ledger_row *rows; // all of the journal
static size_t n_rows;

static const str REFERENCES[] = {{"inv:0", 5}, {"inv:1", 5}, {"inv:2", 5}, {"common", 6}};
static const str METADATA[] = {{"\1k\0\1a", 5}, {"\1k\0\1b", 5}, {"\1k\0\1a\1m\0\0", 9}};

static int64_t now_us(void) {
    return clock_wall_us(clock_system()) + shift_us;
}

static void small_checkpoints(journal_options *o) {
    o->checkpoint_rows = 300; // so that the reads use both postings and the tail
    o->checkpoint_ms = 600000;
    // the sweeper adds no row during a run, however slow the machine is
    o->expiry_poll_ms = 3600000;
}

static ledger_currency currency_of(uint64_t account) {
    return ledger_currency_pack(account <= ACCOUNTS * 2 / 3 ? STR("USD") : STR("EUR"));
}

static void make_accounts(void) {
    ledger_account_event events[ACCOUNTS];
    ledger_account_result results[ACCOUNTS];
    static char references[ACCOUNTS][16];
    for (uint64_t i = 0; i < ACCOUNTS; i++) {
        (void)snprintf(references[i], sizeof references[i], "acct:%u", (unsigned)i);
        events[i] = (ledger_account_event){
            .id = bench_uuid(book, i + 1),
            .code = 1 + (uint32_t)(i % 3),
            .flags = LEDGER_ACCOUNT_FLAG_IMPORTED | (i % 4 == 0 ? LEDGER_ACCOUNT_FLAG_HISTORY : 0),
            .currency = currency_of(i + 1),
            .user_data_64 = i % 2 == 0 ? UINT64_MAX : 0,
            .user_data_32 = i % 3 == 0 ? UINT32_MAX : 7,
            .user_data_128 = i % 5 == 0 ? bench_uuid(book, 5) : (uuid){{0}},
            .timestamp_us = now_us() - 20 * DAY_US + (int64_t)i,
            .external_reference = i % 2 == 0 ? str_of(references[i]) : (str){0},
            .metadata = i % 3 == 0 ? (str){0} : METADATA[i % 3],
        };
    }
    bench_commit_accounts(&instance, book, events, ACCOUNTS, results);
    for (size_t i = 0; i < ACCOUNTS; i++) {
        assert_int_equal(results[i].status, LEDGER_ACCOUNT_CREATED);
    }
}

static ledger_transfer_event random_event(void) {
    const uint64_t debit = 1 + below(ACCOUNTS);
    uint64_t credit = 1 + below(ACCOUNTS);
    while (credit == debit || currency_of(credit) != currency_of(debit)) {
        credit = 1 + below(ACCOUNTS);
    }
    ledger_transfer_event t = bench_event(book, next_id++, debit, credit, (int64_t)below(100));
    t.currency = currency_of(debit);
    t.code = 1 + (uint32_t)below(3);
    t.user_data_128 = one_in(3) ? bench_uuid(book, 1 + below(3)) : (uuid){{0}};
    t.user_data_64 = one_in(3) ? UINT64_MAX - below(2) : 0;
    t.user_data_32 = one_in(3) ? UINT32_MAX - (uint32_t)below(2) : 0;
    t.external_reference = one_in(3) ? REFERENCES[below(4)] : (str){0};
    t.metadata = one_in(3) ? METADATA[below(3)] : (str){0};
    if (one_in(3)) {
        t.flags = LEDGER_TRANSFER_FLAG_PENDING;
        reserved[n_reserved++ % 4096] = next_id - 1;
        t.timeout_s = one_in(3) ? 1 + (uint32_t)below(TIMEOUT_MAX_S) : 0;
        if (one_in(40)) {
            t.flags |= LEDGER_TRANSFER_FLAG_CLOSING_DEBIT;
            t.timeout_s = 60;
        }
    }
    return t;
}

// The id of a transfer that may exist, may be pending, may be ended.
static uuid random_earlier(void) {
    return bench_uuid(book, 1000 + below(next_id - 1000));
}

static ledger_transfer_event random_follower(void) {
    ledger_transfer_event t = {.id = bench_uuid(book, next_id++)};
    if (one_in(5)) {
        t.reverses_id = random_earlier();
        t.flags = one_in(2) ? LEDGER_TRANSFER_FLAG_FORCED : 0;
        return t;
    }
    t.pending_id = one_in(4) || n_reserved == 0 ? random_earlier()
                                                : bench_uuid(book, reserved[below(n_reserved)]);
    t.flags = one_in(3) ? LEDGER_TRANSFER_FLAG_VOID : LEDGER_TRANSFER_FLAG_POST;
    t.amount = (t.flags & LEDGER_TRANSFER_FLAG_VOID) != 0 ? 0
               : one_in(2)                                ? LEDGER_AMOUNT_MAX
                                                          : (int64_t)below(50);
    return t;
}

// A random time between the accounts' birth and now, often to the very microsecond of another entry.
static int64_t random_effective(int64_t after_us, int64_t started_us) {
    const int64_t end_us = now_us() - SECOND_US;
    int64_t t = one_in(2) && n_rows != 0 ? rows[below(n_rows)].effective_us
                                         : started_us + (int64_t)below(DAYS_BACK * DAY_US);
    t = t > end_us ? end_us : t;
    return t <= after_us ? after_us + (int64_t)below(3) + 1 : t;
}

static void commit_batch(int64_t started_us) {
    ledger_transfer_event events[BATCH_MAX];
    const size_t n = 1 + below(BATCH_MAX);
    const bool imported = one_in(3);
    int64_t last_us = started_us;
    for (size_t i = 0; i < n; i++) {
        events[i] = next_id > 1010 && one_in(4) ? random_follower() : random_event();
        if (imported && uuid_is_nil(events[i].reverses_id)) {
            last_us = i % 8 == 0 ? random_effective(last_us, started_us) : last_us + 1;
            events[i].flags |= LEDGER_TRANSFER_FLAG_IMPORTED;
            events[i].timestamp_us = last_us;
            events[i].timeout_s = 0;
        }
    }
    bench_commit(&instance, book, events, n, 20000, &answer);
    assert_true(answer.ok);
}

static bool read_all(db_conn *c, arena *a, void *arg, err *e) {
    (void)arg;
    bool exists = false;
    n_rows = 0;
    for (size_t n = 1; n != 0; n_rows += n) {
        ledger_row *some = NULL;
        if (!store_read_journal(c, a, book, (int64_t)n_rows + 1, 1000, &exists, &some, &n, e)) {
            return false;
        }
        ASSERT(n_rows + n <= ROWS_MAX);
        if (n != 0) {
            memcpy(rows + n_rows, some, n * sizeof *some);
        }
    }
    return true;
}

static void run(arena *a, db_tx_fn fn, void *arg) {
    err e = {0};
    if (!db_read(pool, fixture_deadline(20000), a, fn, arg, &e)) {
        (void)fprintf(stderr, "%s %s %s\n", e.reason, e.message, e.detail);
        fail();
    }
}

// Finds the outcome of each transfer again, from the rows alone.
static void derive_outcomes(void) {
    map *by_id = map_create(n_rows, n_rows + 1);
    for (size_t i = 0; i < n_rows; i++) {
        if (!uuid_is_nil(rows[i].id)) {
            MUST(map_put(by_id, rows[i].id, &rows[i]));
        }
    }
    for (size_t i = 0; i < n_rows; i++) {
        if (!uuid_is_nil(rows[i].pending_id)) {
            ((ledger_row *)map_get(by_id, rows[i].pending_id))->resolution = rows[i].kind;
        }
        if (!uuid_is_nil(rows[i].reverses_id)) {
            ((ledger_row *)map_get(by_id, rows[i].reverses_id))->reversal = &rows[i];
        }
    }
    map_destroy(by_id);
}

static void load(void) {
    arena_reset(memory);
    rows = arena_calloc(memory, ROWS_MAX, sizeof *rows);
    assert_non_null(rows);
    run(memory, read_all, NULL);
    derive_outcomes();
}

static bool state_is(const ledger_row *row, store_pending_state wanted) {
    static const ledger_kind ENDED_BY[] = {
        [STORE_PENDING_OPEN] = LEDGER_KIND_NONE,
        [STORE_PENDING_POSTED] = LEDGER_KIND_POST,
        [STORE_PENDING_VOIDED] = LEDGER_KIND_VOID,
        [STORE_PENDING_EXPIRED] = LEDGER_KIND_EXPIRE,
    };
    return wanted == STORE_PENDING_ANY ||
           (row->kind == LEDGER_KIND_PENDING && row->resolution == ENDED_BY[wanted]);
}

// Checks that the book is mixed enough: else it would prove nothing.
static void check_mixture(void) {
    size_t by_kind[LEDGER_KIND_EXPIRE + 1] = {0};
    size_t reversed = 0;
    size_t backdated = 0;
    size_t open = 0;
    for (size_t i = 0; i < n_rows; i++) {
        by_kind[rows[i].kind]++;
        reversed += rows[i].reversal != NULL;
        backdated += rows[i].effective_us != rows[i].timestamp_us;
        open += state_is(&rows[i], STORE_PENDING_OPEN);
    }
    (void)fprintf(
        stderr,
        "%zu rows: %zu %zu %zu %zu %zu of each kind, %zu open, %zu reversed, %zu backdated\n",
        n_rows, by_kind[1], by_kind[2], by_kind[3], by_kind[4], by_kind[5], open, reversed,
        backdated);
    for (size_t k = LEDGER_KIND_SINGLE; k <= LEDGER_KIND_EXPIRE; k++) {
        assert_true(by_kind[k] >= 10);
    }
    assert_true(n_rows > 500 && reversed >= 5 && backdated >= 100 && open >= 10);
}

// Lets open holds expire now: later expiries would change the book under brute force.
static void let_holds_run_out(void) {
    shift_us += 2 * TIMEOUT_MAX_S * INT64_C(1000000);
    bench_clock_shift(shift_us);
    const ledger_transfer_event nothing = {.code = 1}; // every transaction releases what is due
    assert_int_not_equal(bench_commit_one(&instance, book, nothing), LEDGER_TRANSFER_CREATED);
    assert_int_equal(
        fixture_sql_i64(
            "SELECT count(*) FROM book_head WHERE next_expires_us < 9223372036854775807"),
        0);
}

static int make_book(void **state) {
    (void)state;
    const char *seed = getenv("DISBURSE_SEED");
    char conninfo[512];
    state_of_random =
        seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)clock_wall_us(clock_system());
    (void)fprintf(stderr, "seed %" PRIu64 " (DISBURSE_SEED)\n", state_of_random);
    bench_database();
    (void)snprintf(conninfo, sizeof conninfo,
                   "host=%s user=ledger_service dbname=postgres options='" STORE_READER_OPTIONS "'",
                   fixture_server_dir());
    pool = fixture_pool(conninfo, 4, 20000);
    fixture_open_idle(pool, 2); // one to spare for the second half of a page
    memory = arena_create(ARENA_BYTES);
    shift_us = -DAYS_BACK * DAY_US;
    bench_clock_shift(shift_us);
    book = bench_new_book();
    instance = bench_start(NULL, small_checkpoints);
    const int64_t started_us = now_us();
    make_accounts();
    for (size_t i = 0; i < BATCHES; i++) {
        commit_batch(started_us);
        shift_us += (int64_t)below(2 * DAYS_BACK * DAY_US / BATCHES);
        bench_clock_shift(shift_us);
        if (i % 10 == 0) {
            load();
        }
    }
    let_holds_run_out();
    load();
    check_mixture();
    return 0;
}

static int drop_book(void **state) {
    (void)state;
    bench_stop(&instance);
    db_pool_destroy(pool);
    arena_destroy(memory);
    return 0;
}

// --- Brute force -----------------------------------------------------------------------------------------------------

static bool has_metadata(str metadata, str key, str value) {
    for (ledger_metadata_entry entry; ledger_metadata_next(&metadata, &entry);) {
        if (str_eq(entry.key, key) && (value.len == 0 || str_eq(entry.value, value))) {
            return true;
        }
    }
    return false;
}

static bool names_account(const ledger_row *row, const store_transfer_filter *f) {
    return !f->has_account ||
           (f->side != STORE_SIDE_CREDIT && uuid_eq(row->debit_account_id, f->account_id)) ||
           (f->side != STORE_SIDE_DEBIT && uuid_eq(row->credit_account_id, f->account_id));
}

static bool in_range(int64_t v, int64_t from, int64_t to) {
    return v >= from && (to == 0 || v < to);
}

static bool passes(const ledger_row *row, const query_transfers *q) {
    const store_transfer_filter *f = &q->filter;
    return names_account(row, f) && (f->code == 0 || f->code == row->code) &&
           (f->currency == 0 || f->currency == row->currency) &&
           (f->external_reference.len == 0 ||
            str_eq(f->external_reference, row->external_reference)) &&
           (f->metadata_key.len == 0 ||
            has_metadata(row->metadata, f->metadata_key, f->metadata_value)) &&
           (uuid_is_nil(f->user_data_128) || uuid_eq(f->user_data_128, row->user_data_128)) &&
           (f->user_data_64 == 0 || f->user_data_64 == row->user_data_64) &&
           (f->user_data_32 == 0 || f->user_data_32 == row->user_data_32) &&
           (f->kind == LEDGER_KIND_NONE || f->kind == row->kind) &&
           state_is(row, f->pending_state) && in_range(row->timestamp_us, q->from_us, q->to_us) &&
           in_range(row->effective_us, f->effective_from_us, f->effective_to_us) &&
           row->sequence >= q->from_sequence &&
           (q->to_sequence == 0 || row->sequence <= q->to_sequence) &&
           (!f->prompt_only || row->effective_us == row->timestamp_us);
}

// --- Transfers -------------------------------------------------------------------------------------------------------

static bool read_transfers(db_conn *c, arena *a, void *arg, err *e) {
    return query_transfers_read(instance.j, c, a, arg, e);
}

static int64_t random_time(void) {
    const ledger_row *row = &rows[below(n_rows)];
    return (one_in(2) ? row->timestamp_us : row->effective_us) + (int64_t)below(3) - 1;
}

// Each part is given as often as not, so that parts meet in all combinations.
static query_transfers random_query(void) {
    query_transfers q = {.book_id = book, .newest_first = one_in(2), .page_size = 1 + below(40)};
    const ledger_row *like = &rows[below(n_rows)]; // so that most queries find something
    store_transfer_filter *f = &q.filter;
    const uint64_t parts = one_in(3) ? 2 : 5; // each part is given with this chance
    if (one_in(2)) {
        f->has_account = true;
        f->account_id = one_in(2) ? like->debit_account_id : like->credit_account_id;
        f->side = one_in(2) ? STORE_SIDE_EITHER : 1 + (store_side)below(2);
    }
    q.from_sequence = one_in(parts + 1) ? (int64_t)below(n_rows) : 0;
    q.to_sequence = one_in(parts + 1) ? 1 + (int64_t)below(n_rows + 10) : 0;
    q.examine_max = one_in(3) ? 1 + below(100) : 0;
    if (one_in(5)) {
        return q; // the usual query: one account, or all
    }
    f->code = one_in(parts) ? like->code : 0;
    f->currency = one_in(parts) ? like->currency : 0;
    f->external_reference = one_in(parts) ? like->external_reference : (str){0};
    f->user_data_128 = one_in(parts) ? like->user_data_128 : (uuid){{0}};
    f->user_data_64 = one_in(parts) ? like->user_data_64 : 0;
    f->user_data_32 = one_in(parts) ? like->user_data_32 : 0;
    f->kind = one_in(parts) ? like->kind : LEDGER_KIND_NONE;
    if (one_in(parts)) {
        f->metadata_key = one_in(2) ? STR("k") : STR("m");
        f->metadata_value = one_in(2) ? STR("a") : (str){0};
    }
    if (one_in(parts)) {
        f->kind = one_in(2) ? LEDGER_KIND_PENDING : LEDGER_KIND_NONE;
        f->pending_state = 1 + (store_pending_state)below(4);
    }
    q.from_us = one_in(parts + 1) ? random_time() : 0;
    q.to_us = one_in(parts + 1) ? random_time() : 0;
    f->effective_from_us = one_in(parts + 1) ? random_time() : 0;
    f->effective_to_us = one_in(parts + 1) ? random_time() : 0;
    f->prompt_only = one_in(10);
    return q;
}

static void same_row(const ledger_row *found, const ledger_row *expected) {
    assert_int_equal(found->sequence, expected->sequence);
    assert_true(uuid_eq(found->id, expected->id));
    assert_int_equal(found->resolution, expected->resolution);
    assert_int_equal(found->reversal != NULL, expected->reversal != NULL);
    if (found->reversal != NULL) {
        assert_true(uuid_eq(found->reversal->id, expected->reversal->id));
    }
    assert_memory_equal(&found->debit_after, &expected->debit_after, sizeof found->debit_after);
}

static size_t compare_all_pages(query_transfers q, arena *a) {
    size_t k = 0; // the next row to look at
    size_t n_found = 0;
    do {
        arena_reset(a);
        run(a, read_transfers, &q);
        assert_true(q.book_exists && q.account_exists && q.n <= q.page_size);
        assert_int_equal(q.sequence, (int64_t)n_rows);
        for (size_t i = 0; i < q.n; i++, k++, n_found++) {
            while (k < n_rows && !passes(&rows[q.newest_first ? n_rows - 1 - k : k], &q)) {
                k++;
            }
            assert_true(k < n_rows);
            same_row(&q.rows[i], &rows[q.newest_first ? n_rows - 1 - k : k]);
        }
        assert_true(!q.more || q.position != q.after);
        q.after = q.position;
    } while (q.more);
    for (; k < n_rows; k++) {
        assert_false(passes(&rows[q.newest_first ? n_rows - 1 - k : k], &q));
    }
    return n_found;
}

static void test_transfers__all_filters_at_random__as_brute_force(void **state) {
    (void)state;
    arena *a = arena_create(ARENA_BYTES);
    size_t hits = 0;
    size_t empty = 0;
    for (size_t i = 0; i < FILTERS; i++) {
        const size_t n = compare_all_pages(random_query(), a);
        hits += n;
        empty += n == 0;
    }
    assert_true(hits > FILTERS && empty < FILTERS / 2); // else the queries test nothing
    arena_destroy(a);
}

static void test_transfers__nothing_to_find__said_so(void **state) {
    (void)state;
    arena *a = arena_create(ARENA_BYTES);
    query_transfers q = {.book_id = book + 1000, .page_size = 10};
    run(a, read_transfers, &q);
    assert_false(q.book_exists);
    q = (query_transfers){.book_id = book,
                          .page_size = 10,
                          .filter = {.has_account = true, .account_id = bench_uuid(book, 99)}};
    run(a, read_transfers, &q);
    assert_true(q.book_exists);
    assert_false(q.account_exists);
    arena_destroy(a);
}

// --- Balances as of a moment -----------------------------------------------------------------------------------------

static void replay(const ledger_row *row, uuid account, ledger_balances *b) {
    const ledger_effect effect = ledger_row_effect(row);
    if (uuid_eq(row->debit_account_id, account)) {
        b->debits_pending += effect.pending;
        b->debits_posted += effect.posted;
    } else if (uuid_eq(row->credit_account_id, account)) {
        b->credits_pending += effect.pending;
        b->credits_posted += effect.posted;
    }
}

static bool read_balances(db_conn *c, arena *a, void *arg, err *e) {
    return query_balances_read(instance.j, c, a, arg, e);
}

static void test_balances__as_known_and_as_effective__as_replay(void **state) {
    (void)state;
    arena *a = arena_create(ARENA_BYTES);
    uuid ids[ACCOUNTS + 1];
    for (uint64_t i = 0; i <= ACCOUNTS; i++) {
        ids[i] = bench_uuid(book, ACCOUNTS + 1 - i); // the first one does not exist
    }
    for (size_t i = 0; i < MOMENTS; i++) {
        query_balances q = {.book_id = book, .ids = {ids, ACCOUNTS + 1}};
        const uint64_t known = below(3);
        q.known_at_us = known == 1 ? random_time() : 0;
        q.known_at_sequence = known == 2 ? 1 + (int64_t)below(n_rows + 5) : 0;
        q.effective_at_us = one_in(4) ? 0 : random_time();
        arena_reset(a);
        run(a, read_balances, &q);
        assert_true(q.book_exists);
        assert_int_equal(q.n, ACCOUNTS);
        for (size_t k = 0; k < q.n; k++) {
            ledger_balances expected = {0};
            assert_true(uuid_eq(q.balances[k].account_id, ids[k + 1]));
            for (size_t r = 0; r < n_rows; r++) {
                if ((q.known_at_us == 0 || rows[r].timestamp_us <= q.known_at_us) &&
                    (q.known_at_sequence == 0 || rows[r].sequence <= q.known_at_sequence) &&
                    (q.effective_at_us == 0 || rows[r].effective_us <= q.effective_at_us)) {
                    replay(&rows[r], ids[k + 1], &expected);
                }
            }
            assert_memory_equal(&q.balances[k].balances, &expected, sizeof expected);
        }
    }
    arena_destroy(a);
}

// --- Statements ------------------------------------------------------------------------------------------------------

static bool read_statement(db_conn *c, arena *a, void *arg, err *e) {
    return query_statement_read(instance.j, c, a, arg, e);
}

static bool by_effective;

static int statement_order(const void *x, const void *y) {
    const ledger_row *p = *(const ledger_row *const *)x;
    const ledger_row *q = *(const ledger_row *const *)y;
    if (by_effective && p->effective_us != q->effective_us) {
        return p->effective_us < q->effective_us ? -1 : 1;
    }
    return (p->sequence > q->sequence) - (p->sequence < q->sequence);
}

static void compare_statement(query_statement q, arena *a) {
    const ledger_row **expected = calloc(n_rows, sizeof *expected);
    ledger_balances opening = {0};
    ledger_balances running;
    size_t n = 0;
    size_t k = 0;
    for (size_t i = 0; i < n_rows; i++) {
        const int64_t t = q.effective ? rows[i].effective_us : rows[i].timestamp_us;
        const bool named = uuid_eq(rows[i].debit_account_id, q.account_id) ||
                           uuid_eq(rows[i].credit_account_id, q.account_id);
        const bool known = q.known_at_sequence == 0 || rows[i].sequence <= q.known_at_sequence;
        if (named && known && t < q.from_us) {
            replay(&rows[i], q.account_id, &opening);
        } else if (named && known && (q.to_us == 0 || t < q.to_us)) {
            expected[n++] = &rows[i];
        }
    }
    by_effective = q.effective;
    qsort(expected, n, sizeof(void *), statement_order);
    running = opening;
    ledger_balances closing;
    do {
        arena_reset(a);
        run(a, read_statement, &q);
        assert_true(q.book_exists && q.account_exists && q.n <= q.page_size);
        assert_memory_equal(&q.opening, &opening, sizeof opening);
        for (size_t i = 0; i < q.n; i++, k++) {
            assert_true(k < n);
            same_row(&q.rows[i], expected[k]);
            replay(expected[k], q.account_id, &running);
            assert_memory_equal(&q.balances[i], &running, sizeof running);
        }
        closing = q.closing;
        q.resumed = true;
        q.after = q.place;
    } while (q.more);
    assert_int_equal(k, n);
    assert_memory_equal(&closing, &running, sizeof running); // opening + entries = closing
    free(expected);
}

static void test_statements__at_random__opening_and_entries_are_closing(void **state) {
    (void)state;
    arena *a = arena_create(ARENA_BYTES);
    for (size_t i = 0; i < STATEMENTS; i++) {
        query_statement q = {
            .book_id = book,
            .account_id = bench_uuid(book, 1 + below(ACCOUNTS)),
            .effective = !one_in(3),
            .from_us = one_in(3) ? 0 : random_time(),
            .to_us = one_in(3) ? 0 : random_time(),
            .known_at_sequence = one_in(2) ? 1 + (int64_t)below(n_rows) : 0,
            .page_size = 1 + below(one_in(2) ? 5 : 60),
            .examine_max = one_in(3) ? 1 + below(20) : 0,
        };
        if (q.to_us != 0 && q.from_us >= q.to_us) {
            const int64_t from_us = q.from_us;
            q.from_us = q.to_us;
            q.to_us = from_us + 1;
        }
        compare_statement(q, a);
    }
    arena_destroy(a);
}

// --- Accounts --------------------------------------------------------------------------------------------------------

static bool read_accounts(db_conn *c, arena *a, void *arg, err *e) {
    return query_accounts_read(instance.j, c, a, arg, e);
}

static bool account_passes(const ledger_account *account, const query_accounts *q) {
    const store_account_filter *f = &q->filter;
    const uint32_t flags =
        (account->flags & ~(uint32_t)LEDGER_ACCOUNT_FLAG_CLOSED) |
        ((account->state & LEDGER_STATE_CLOSED) != 0 ? LEDGER_ACCOUNT_FLAG_CLOSED : 0);
    return (f->code == 0 || f->code == account->code) &&
           (f->currency == 0 || f->currency == account->currency) &&
           (f->external_reference.len == 0 ||
            str_eq(f->external_reference, account->external_reference)) &&
           (f->metadata_key.len == 0 ||
            has_metadata(account->metadata, f->metadata_key, f->metadata_value)) &&
           (uuid_is_nil(f->user_data_128) || uuid_eq(f->user_data_128, account->user_data_128)) &&
           (f->user_data_64 == 0 || f->user_data_64 == account->user_data_64) &&
           (f->user_data_32 == 0 || f->user_data_32 == account->user_data_32) &&
           (flags & f->flags) == f->flags && in_range(account->timestamp_us, q->from_us, q->to_us);
}

static query_accounts random_account_query(const ledger_account *all) {
    const ledger_account *like = &all[below(ACCOUNTS)];
    query_accounts q = {.book_id = book, .newest_first = one_in(2), .page_size = 1 + below(6)};
    store_account_filter *f = &q.filter;
    f->code = one_in(4) ? like->code : 0;
    f->currency = one_in(4) ? like->currency : 0;
    f->external_reference = one_in(4) ? like->external_reference : (str){0};
    f->user_data_128 = one_in(4) ? like->user_data_128 : (uuid){{0}};
    f->user_data_64 = one_in(4) ? like->user_data_64 : 0;
    f->user_data_32 = one_in(4) ? like->user_data_32 : 0;
    f->flags = one_in(4) ? like->flags : 0;
    f->flags |= one_in(6) ? LEDGER_ACCOUNT_FLAG_CLOSED : 0;
    if (one_in(3)) {
        f->metadata_key = one_in(2) ? STR("k") : STR("m");
        f->metadata_value = one_in(2) ? STR("a") : (str){0};
    }
    q.examine_max = one_in(3) ? 1 + below(4) : 0;
    q.from_us = one_in(4) ? like->timestamp_us + (int64_t)below(3) - 1 : 0;
    q.to_us = one_in(4) ? all[below(ACCOUNTS)].timestamp_us + (int64_t)below(3) - 1 : 0;
    return q;
}

static void test_accounts__all_filters_at_random__as_brute_force(void **state) {
    (void)state;
    arena *keep = arena_create(ARENA_BYTES);
    arena *a = arena_create(ARENA_BYTES);
    query_accounts all = {.book_id = book, .page_size = 100};
    run(keep, read_accounts, &all);
    assert_int_equal(all.n, ACCOUNTS);
    assert_false(all.more);
    for (size_t i = 0; i < all.n; i++) {
        ledger_balances expected = {0};
        assert_true(i == 0 || all.accounts[i].timestamp_us > all.accounts[i - 1].timestamp_us);
        for (size_t r = 0; r < n_rows; r++) {
            replay(&rows[r], all.accounts[i].id, &expected);
        }
        assert_memory_equal(&all.accounts[i].balances, &expected, sizeof expected);
    }
    for (size_t i = 0; i < FILTERS; i++) {
        query_accounts q = random_account_query(all.accounts);
        size_t k = 0;
        do {
            arena_reset(a);
            run(a, read_accounts, &q);
            for (size_t r = 0; r < q.n; r++, k++) {
                while (k < all.n &&
                       !account_passes(&all.accounts[q.newest_first ? all.n - 1 - k : k], &q)) {
                    k++;
                }
                assert_true(k < all.n);
                assert_true(
                    uuid_eq(q.accounts[r].id, all.accounts[q.newest_first ? all.n - 1 - k : k].id));
            }
            q.after = q.position;
        } while (q.more);
        for (; k < all.n; k++) {
            assert_false(account_passes(&all.accounts[q.newest_first ? all.n - 1 - k : k], &q));
        }
    }
    arena_destroy(a);
    arena_destroy(keep);
}

// --- While others write ----------------------------------------------------------------------------------------------

static atomic_bool stop_writing;
static atomic_int written;

static void *write_on(void *arg) {
    (void)arg;
    static bench_answer own; // of this thread
    while (!atomic_load(&stop_writing)) {
        ledger_transfer_event events[5];
        for (size_t i = 0; i < 5; i++) {
            events[i] = bench_event(book, next_id++, 1 + i % 2, 2 - i % 2, 1);
            events[i].external_reference = REFERENCES[3];
            events[i].metadata = METADATA[0];
        }
        bench_commit(&instance, book, events, 5, 20000, &own);
        ASSERT(own.ok);
        atomic_fetch_add(&written, 5);
    }
    return NULL;
}

// The sequences of all pages, which must go in one direction. Returns their count, and the head of the first and of the last page.
static size_t walk(query_transfers q, int64_t *sequences, int64_t *first_head, int64_t *last_head) {
    arena *a = arena_create(ARENA_BYTES);
    size_t n = 0;
    *first_head = 0;
    do {
        arena_reset(a);
        run(a, read_transfers, &q);
        *first_head = *first_head == 0 ? q.sequence : *first_head;
        *last_head = q.sequence;
        for (size_t i = 0; i < q.n; i++) {
            ASSERT(n < ROWS_MAX);
            sequences[n++] = q.rows[i].sequence;
        }
        q.after = q.position;
    } while (q.more);
    arena_destroy(a);
    return n;
}

static void test_transfers__range_ends_early__still_tells_where_the_book_is(void **state) {
    (void)state;
    bench_instance other = bench_start(NULL, NULL);
    const int64_t fresh = bench_new_book();
    arena *a = arena_create(ARENA_BYTES);
    bench_make_accounts(&instance, fresh, 2, 0);
    for (int64_t n = 1; n <= 3; n++) {
        bench_commit_one(&other, fresh, bench_event(fresh, 100 + (uint64_t)n, 1, 2, 1));
        query_transfers q = {.book_id = fresh, .to_sequence = 1, .page_size = 10};
        q.filter = (store_transfer_filter){.has_account = true, .account_id = bench_uuid(fresh, 1)};
        run(a, read_transfers, &q);
        assert_int_equal(q.sequence, n);
    }
    arena_destroy(a);
    bench_stop(&other);
}

static void test_transfers__paged_while_others_write__nothing_missing_or_twice(void **state) {
    (void)state;
    int64_t *sequences[4];
    int64_t first_head[4];
    int64_t last_head[4];
    size_t n[4];
    query_transfers q[4];
    pthread_t writer;
    for (size_t i = 0; i < 4; i++) {
        sequences[i] = calloc(ROWS_MAX, sizeof **sequences);
        q[i] = (query_transfers){.book_id = book, .newest_first = i % 2 == 0, .page_size = 25};
        q[i].filter.has_account = i < 2;
        q[i].filter.account_id = bench_uuid(book, 1);
        q[i].filter.external_reference = i == 2 ? REFERENCES[3] : (str){0};
        q[i].filter.metadata_key = i == 3 ? STR("k") : (str){0};
    }
    assert_int_equal(pthread_create(&writer, NULL, write_on, NULL), 0);
    for (size_t i = 0; i < 4; i++) {
        n[i] = walk(q[i], sequences[i], &first_head[i], &last_head[i]);
    }
    atomic_store(&stop_writing, true);
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_true(atomic_load(&written) > 0);
    load();
    for (size_t i = 0; i < 4; i++) {
        // Newest first sees the book as of the first page, oldest first as of the last page.
        const int64_t head = q[i].newest_first ? first_head[i] : last_head[i];
        size_t k = 0;
        for (int64_t s = 1; s <= head; s++) {
            const int64_t at = q[i].newest_first ? head + 1 - s : s;
            if (passes(&rows[at - 1], &q[i])) {
                assert_true(k < n[i]);
                assert_int_equal(sequences[i][k++], at);
            }
        }
        assert_int_equal(k, n[i]);
        free(sequences[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfers__all_filters_at_random__as_brute_force),
        cmocka_unit_test(test_transfers__nothing_to_find__said_so),
        cmocka_unit_test(test_balances__as_known_and_as_effective__as_replay),
        cmocka_unit_test(test_statements__at_random__opening_and_entries_are_closing),
        cmocka_unit_test(test_accounts__all_filters_at_random__as_brute_force),
        cmocka_unit_test(test_transfers__range_ends_early__still_tells_where_the_book_is),
        cmocka_unit_test(test_transfers__paged_while_others_write__nothing_missing_or_twice),
    };
    return cmocka_run_group_tests(tests, make_book, drop_book);
}
