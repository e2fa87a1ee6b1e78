#include "testing/saga_test_world.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/map.h"
#include "domain/ids.h"
#include "events/events.h"
#include "ledger/ledger_client.h"

enum { KEPT_MAX = 100000 };

world_plan world;
static world_seen seen;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; // guards seen and the fakes below

// --- The ledger: the functions of ledger_client, over arrays. The test links these instead of the real ones. ---------

typedef struct kept {
    ledger_transfer t;
    enum { SINGLE, PENDING, POSTED, VOIDED, BURNED } state;
} kept;
static kept ledger[KEPT_MAX];
static size_t n_ledger;
static map *by_id;
static int64_t available, paid_out;

const char *ledger_status_name(Ledger__V1__CreateTransferStatus s) {
    return s == 0 ? "?" : "STATUS";
}

#define STATUS(name) LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_##name

static void keep(const ledger_transfer *t, int state) {
    ASSERT(n_ledger < KEPT_MAX);
    ledger[n_ledger] = (kept){*t, state};
    MUST(map_put(by_id, t->id, &ledger[n_ledger]));
    n_ledger++;
}

static Ledger__V1__CreateTransferStatus commit_one(const ledger_transfer *t) {
    kept *there = map_get(by_id, t->id);
    if (there != NULL) {
        return there->state == BURNED ? STATUS(ID_ALREADY_FAILED) : STATUS(EXISTS);
    }
    const bool of_merchant =
        t->code != TRANSFER_BANK_OUT && t->code != TRANSFER_BANK_RETURN &&
        (t->flags & LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_VOID_PENDING_TRANSFER) == 0;
    if (world.ledger_closed && of_merchant) {
        keep(t, BURNED);
        return STATUS(DEBIT_ACCOUNT_ALREADY_CLOSED);
    }
    if (t->code == TRANSFER_PAY_AGAIN && t->amount > available) {
        keep(t, BURNED);
        return STATUS(EXCEEDS_CREDITS);
    }
    if (t->flags & LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_PENDING) {
        const bool enough = t->amount <= available;
        available -= enough ? t->amount : 0;
        keep(t, enough ? PENDING : BURNED);
        return enough ? STATUS(CREATED) : STATUS(EXCEEDS_CREDITS);
    }
    const bool post =
        (t->flags & LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_POST_PENDING_TRANSFER) != 0;
    const bool release =
        (t->flags & LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_VOID_PENDING_TRANSFER) != 0;
    if (post || release) {
        kept *p = map_get(by_id, t->pending_id);
        if (p == NULL) {
            return STATUS(PENDING_TRANSFER_NOT_FOUND);
        }
        if (p->state != PENDING) {
            return p->state == POSTED ? STATUS(PENDING_TRANSFER_ALREADY_POSTED)
                                      : STATUS(PENDING_TRANSFER_ALREADY_VOIDED);
        }
        p->state = post ? POSTED : VOIDED;
        available += release ? p->t.amount : 0;
    } else {
        paid_out += t->code == TRANSFER_BANK_OUT      ? t->amount
                    : t->code == TRANSFER_BANK_RETURN ? -t->amount
                                                      : 0;
        available += t->code == TRANSFER_RETURN      ? t->amount
                     : t->code == TRANSFER_PAY_AGAIN ? -t->amount
                                                     : 0;
    }
    keep(t, SINGLE);
    return STATUS(CREATED);
}

static int calls_now; // of the ledger

bool ledger_create_transfers(rpc_client *c, int64_t book_id, const ledger_transfer *transfers,
                             size_t n, ledger_result *results, int64_t deadline_mono_ms, arena *a,
                             err *e) {
    (void)c;
    (void)deadline_mono_ms;
    (void)a;
    ASSERT(book_id == WORLD_BOOK && n > 0 && n <= LEDGER_BATCH_MAX);
    pthread_mutex_lock(&mutex);
    seen.ledger_calls++;
    calls_now++;
    seen.ledger_at_once = calls_now > seen.ledger_at_once ? calls_now : seen.ledger_at_once;
    if (world.ledger_takes_ms > 0) {
        const struct timespec t = {.tv_nsec = (long)world.ledger_takes_ms * 1000000};
        pthread_mutex_unlock(&mutex);
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
        pthread_mutex_lock(&mutex);
    }
    calls_now--;
    const bool fails = world.ledger_failures > 0;
    world.ledger_failures -= fails ? 1 : 0;
    if (!fails || world.ledger_lost_answer) {
        seen.ledger_transfers += (int)n;
        bool chain_has_ended = false;
        for (size_t i = 0; i < n; i++) {
            // As TigerBeetle: a pair that exists, or whose first fails, ends at its first. (The fake does not take a first back when the
            // second fails.) So two transfers of one payout must be linked: else half of them could happen.
            ASSERT(i + 1 == n ||
                   !uuid_eq(transfers[i].user_data_128, transfers[i + 1].user_data_128) ||
                   (transfers[i].flags & LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_LINKED) != 0);
            results[i].status =
                chain_has_ended ? STATUS(LINKED_EVENT_FAILED) : commit_one(&transfers[i]);
            chain_has_ended =
                (transfers[i].flags & LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_LINKED) != 0 &&
                results[i].status != STATUS(CREATED);
        }
    }
    pthread_mutex_unlock(&mutex);
    return !fails || err_set(e, ERR_UNAVAILABLE, "DOWN", "the ledger is down");
}

bool ledger_create_book(rpc_client *c, int64_t book_id, const char *name, int64_t deadline_mono_ms,
                        arena *a, err *e) {
    (void)c;
    (void)name;
    (void)deadline_mono_ms;
    (void)a;
    (void)e;
    ASSERT(book_id == WORLD_BOOK);
    return true;
}

bool ledger_create_accounts(rpc_client *c, int64_t book_id, const ledger_account *accounts,
                            size_t n, int64_t deadline_mono_ms, arena *a, err *e) {
    (void)c;
    (void)accounts;
    (void)deadline_mono_ms;
    (void)a;
    ASSERT(book_id == WORLD_BOOK && n >= 1);
    pthread_mutex_lock(&mutex);
    const bool made = !world.no_accounts;
    seen.accounts_asked++;
    seen.accounts_made += made ? 1 : 0;
    pthread_mutex_unlock(&mutex);
    return made || err_set(e, ERR_UNAVAILABLE, "DOWN", "the ledger is down");
}

// --- The rail --------------------------------------------------------------------------------------------------------

static char taken[KEPT_MAX][65];
static size_t n_taken;

static bool is_taken(const char *key) {
    for (size_t i = 0; i < n_taken; i++) {
        if (strcmp(taken[i], key) == 0) {
            return true;
        }
    }
    return false;
}

static bool fake_prepare(rail *r, db_conn *c, int64_t book_id, rail_item *items, size_t n, arena *a,
                         err *e) {
    (void)c;
    (void)e;
    for (size_t i = 0; i < n; i++) {
        ASSERT(book_id == WORLD_BOOK && r->id != 0);
        ASSERT(str_eq_c(items[i].recipient_name, "Ada Lovelace") &&
               str_eq_c(items[i].account_number, "12345678"));
        if (world.hands_over) {
            items[i].verdict = world.prepare_verdict;
            items[i].retry_at_us = world.retry_at_us;
        }
        if (!world.no_reference) {
            items[i].reference = str_of(arena_printf(a, "ref-%d", items[i].attempt));
        }
    }
    return true;
}

static void fake_submit(rail *r, int64_t book_id, rail_item *items, size_t n,
                        const _Atomic int64_t *until_boot_ms, arena *a) {
    (void)r;
    (void)book_id;
    (void)until_boot_ms;
    (void)a;
    const struct timespec t = {.tv_sec = world.submit_takes_ms / 1000,
                               .tv_nsec = (world.submit_takes_ms % 1000) * 1000000};
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
    pthread_mutex_lock(&mutex);
    seen.submits++;
    seen.submitted += (int)n;
    for (size_t i = 0; i < n; i++) {
        items[i].verdict = world.submit_verdict;
        if (items[i].attempt <= world.refuse_first) {
            items[i].verdict = RAIL_REFUSED_RETRY;
            items[i].code = STR("AM04");
        }
        if (n < 100) { // large runs do not check this
            seen.twice += is_taken(items[i].key) ? 1 : 0;
            memcpy(taken[n_taken++], items[i].key, 65);
        }
    }
    pthread_mutex_unlock(&mutex);
}

static void fake_query(rail *r, int64_t book_id, rail_item *items, size_t n, arena *a) {
    (void)r;
    (void)book_id;
    (void)a;
    pthread_mutex_lock(&mutex);
    seen.queries++;
    for (size_t i = 0; i < n; i++) {
        items[i].verdict = world.query_verdict;
    }
    pthread_mutex_unlock(&mutex);
}

static bool fake_take_out(rail *r, db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt,
                          str why, bool *out, arena *a, err *e) {
    (void)why;
    (void)r, (void)c, (void)book_id, (void)payout_id, (void)attempt, (void)a, (void)e;
    *out = world.lets_out;
    return true;
}

rail *world_rail(int id, int64_t gather_ms) {
    static rail rails[3];
    rail *r = &rails[id];
    *r = (rail){.id = id,
                .scheme = id,
                .in_files = id == RAIL_ACH,
                .name = id == RAIL_ACH ? "ach" : "instant",
                .currencies = "USD",
                .amount_max = INT64_MAX,
                .batch_max = 8000,
                .gather_ms = gather_ms,
                .finality = "none",
                .hands_over = world.hands_over,
                .prepare = fake_prepare,
                .take_out = fake_take_out,
                .submit = fake_submit,
                .query = fake_query};
    return r;
}

// --- The database ----------------------------------------------------------------------------------------------------

static db_pool *pool;
static crypto_keyring *keys;

static void make_keys(void) {
    char path[] = "/tmp/disburse-saga-keys.XXXXXX";
    const int fd = mkstemp(path);
    ASSERT(fd >= 0);
    const char line[] = "k1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
    MUST(write(fd, line, sizeof line - 1) == (ssize_t)(sizeof line - 1));
    MUST(close(fd) == 0);
    err e = {0};
    keys = crypto_keyring_load(path, &e);
    (void)unlink(path);
    ASSERT(keys != NULL);
}

int world_setup(void **state) {
    (void)state;
    static char conninfo[256];
    err e = {0};
    fixture_sql("CREATE ROLE payments_service LOGIN", NULL, 0);
    if (!db_migrate(fixture_conninfo(), SAGA_TEST_MIGRATIONS, &e)) {
        (void)fprintf(stderr, "%s / %s\n", e.message, e.detail);
        return -1;
    }
    (void)snprintf(conninfo, sizeof conninfo, "host=%s user=payments_service dbname=postgres",
                   fixture_server_dir());
    pool = fixture_pool(conninfo, 12, 20000);
    make_keys();
    by_id = map_create(1024, KEPT_MAX);
    return 0;
}

void world_teardown(void) {
    db_pool_destroy(pool);
    crypto_keyring_destroy(keys);
    map_destroy(by_id);
}

db_pool *world_pool(void) {
    return pool;
}

crypto_keyring *world_keys(void) {
    return keys;
}

static str seal(const char *what, uuid recipient, const char *plain, arena *a) {
    char id[UUID_TEXT_LEN + 1];
    uuid_format(recipient, id);
    const char *aad = arena_printf(a, "recipient|%s|%d|%s", what, WORLD_BOOK, id);
    str sealed;
    err e = {0};
    MUST(crypto_seal(keys, str_of(aad), str_of(plain), a, &sealed, &e));
    return sealed;
}

static const db_stmt RECIPIENT = {
    "test_recipient",
    "INSERT INTO recipient VALUES ($1, $2, 'shop', 1, 1, 'USD', '021000021', '5678', $3, $4, $5)"};

static bool insert_recipient(db_conn *c, arena *a, void *arg, err *e) {
    const uuid id = *(const uuid *)arg;
    const str name = seal("name", id, "Ada Lovelace", a),
              account = seal("account", id, "12345678", a);
    db_params *p = db_params_create(a);
    db_i64(p, WORLD_BOOK);
    db_uuid(p, id);
    db_bytes(p, name.ptr, name.len);
    db_bytes(p, account.ptr, account.len);
    db_time(p, clock_wall_us(clock_system()));
    return db_exec(c, &RECIPIENT, p, a, NULL, NULL, e);
}

static uuid recipient_id(void) {
    const str part = STR("recipient");
    return uuid_derive(&part, 1);
}

void world_reset(void) {
    fixture_sql("TRUNCATE payment_case, case_note, merchant_book, merchant, recipient, payout, "
                "saga, saga_lease, saga_slot, saga_heard, "
                "step_log, "
                "rail_event; "
                "INSERT INTO merchant_book VALUES ('shop', 7); "
                "INSERT INTO merchant VALUES (7, 'shop', 'The Shop', 'USD', now())",
                NULL, 0);
    arena *a = arena_create(1 << 20);
    uuid id = recipient_id();
    err e = {0};
    MUST(db_transact(pool, fixture_deadline(5000), a, insert_recipient, &id, &e));
    arena_destroy(a);
    map_clear(by_id);
    n_ledger = n_taken = 0;
    available = paid_out = 0;
    world = (world_plan){.submit_verdict = RAIL_ACCEPTED,
                         .query_verdict = RAIL_UNKNOWN,
                         .prepare_verdict = RAIL_HANDED_OVER};
    seen = (world_seen){0};
}

typedef struct making {
    int rail_id;
    size_t n;
    int64_t amount;
    uuid *ids;
} making;

static bool copy_payouts(db_conn *c, const making *m, int64_t now, err *e) {
    db_copy *w =
        db_copy_begin(c, "payout",
                      "book_id, payout_id, merchant_id, recipient_id, amount, currency, rail, "
                      "external_reference, description, created_at, intent_id",
                      11, e);
    for (size_t i = 0; i < m->n; i++) {
        db_copy_row(w);
        db_copy_i64(w, WORLD_BOOK);
        db_copy_uuid(w, m->ids[i]);
        db_copy_text(w, STR("shop"));
        db_copy_uuid(w, recipient_id());
        db_copy_i64(w, m->amount);
        db_copy_text(w, STR("USD"));
        db_copy_i16(w, (int16_t)m->rail_id);
        db_copy_text(w, STR("ref"));
        db_copy_text(w, STR("PAYOUT"));
        db_copy_time(w, now);
        db_copy_uuid(w, m->ids[i]);
    }
    return db_copy_end(w, NULL, e);
}

// As the API's intake writes it.
static bool copy_sagas(db_conn *c, const making *m, int64_t now, err *e) {
    db_copy *w = db_copy_begin(
        c, "saga",
        "book_id, payout_id, rail, step, phase, state, attempt, tries, log_seq, events, "
        "events_seen, due_at, epoch, reason, reason_text, rail_reference, updated_at, step_since",
        18, e);
    for (size_t i = 0; i < m->n; i++) {
        const int16_t shorts[] = {(int16_t)m->rail_id, STEP_RESERVE, PHASE_READY, STATE_PENDING};
        db_copy_row(w);
        db_copy_i64(w, WORLD_BOOK);
        db_copy_uuid(w, m->ids[i]);
        for (size_t k = 0; k < 4; k++) {
            db_copy_i16(w, shorts[k]);
        }
        for (size_t k = 0; k < 5; k++) {
            db_copy_i32(w, 0);
        }
        db_copy_time(w, now);
        db_copy_i64(w, 0);
        for (size_t k = 0; k < 3; k++) {
            db_copy_text(w, STR(""));
        }
        db_copy_time(w, now);
        db_copy_time(w, now);
    }
    return db_copy_end(w, NULL, e);
}

static bool insert_payouts(db_conn *c, arena *a, void *arg, err *e) {
    (void)a;
    const int64_t now = clock_wall_us(clock_system());
    return copy_payouts(c, arg, now, e) && copy_sagas(c, arg, now, e);
}

void world_payouts(int rail_id, size_t n, int64_t amount, uuid *ids) {
    arena *a = arena_create(64 << 20);
    making m = {rail_id, n, amount, ids == NULL ? ARENA_ARRAY(a, uuid, n) : ids};
    for (size_t i = 0; i < n; i++) {
        m.ids[i] = uuid_v7(clock_system());
    }
    err e = {0};
    if (!db_transact(pool, fixture_deadline(20000), a, insert_payouts, &m, &e)) {
        (void)fprintf(stderr, "%s / %s\n", e.message, e.detail);
        ASSERT(!"payouts");
    }
    arena_destroy(a);
}

typedef struct recording {
    const rail_event *events;
    size_t n;
} recording;

static bool record(db_conn *c, arena *a, void *arg, err *e) {
    const recording *r = arg;
    return rail_events_record(c, WORLD_BOOK, r->events, r->n, a, e);
}

bool world_events(const rail_event *events, size_t n, err *e) {
    recording r = {events, n};
    arena *a = arena_create(1 << 20);
    err_clear(e);
    const bool ok = db_transact(pool, fixture_deadline(5000), a, record, &r, e);
    arena_destroy(a);
    return ok;
}

void world_event(uuid payout, int32_t attempt, rail_event_kind kind, const char *event_id) {
    char reference[16];
    (void)snprintf(reference, sizeof reference, "said-%d", (int)attempt);
    const rail_event event = {.payout_id = payout,
                              .attempt = attempt,
                              .kind = kind,
                              .event_id = str_of(event_id),
                              .code = STR("R03"),
                              .reference = str_of(reference),
                              .at_us = clock_wall_us(clock_system())};
    err e = {0};
    if (!world_events(&event, 1, &e)) {
        (void)fprintf(stderr, "%s / %s\n", e.message, e.detail);
        ASSERT(!"event");
    }
}

static const db_stmt WAITING = {"test_waiting",
                                "SELECT payout_id FROM saga WHERE book_id = 7 AND rail = $1 "
                                "AND attempt = 1 AND step < 5 AND events = 0"};

static bool settle_all(db_conn *c, arena *a, void *arg, err *e) {
    db_params *p = db_params_create(a);
    db_i16(p, (int16_t) * (const int *)arg);
    db_rows *rows = NULL;
    if (!db_exec(c, &WAITING, p, a, &rows, NULL, e)) {
        return false;
    }
    const size_t n = db_count(rows);
    rail_event *events = ARENA_ARRAY(a, rail_event, n + 1);
    for (size_t i = 0; i < n; i++) {
        events[i] = (rail_event){.payout_id = db_get_uuid(rows, i, 0),
                                 .attempt = 1,
                                 .kind = RAIL_EVENT_SETTLED,
                                 .event_id = STR("file.settle.1:2"),
                                 .at_us = clock_wall_us(clock_system())};
    }
    return rail_events_record(c, WORLD_BOOK, events, n, a, e);
}

void world_settle_all(int rail_id) {
    arena *a = arena_create(64 << 20);
    err e = {0};
    if (!db_transact(pool, fixture_deadline(20000), a, settle_all, &rail_id, &e)) {
        (void)fprintf(stderr, "%s / %s\n", e.message, e.detail);
        ASSERT(!"settle");
    }
    arena_destroy(a);
}

int64_t world_count(const char *format, ...) {
    char sql[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    return fixture_sql_i64(sql);
}

world_seen world_look(void) {
    pthread_mutex_lock(&mutex);
    const world_seen copy = seen;
    pthread_mutex_unlock(&mutex);
    return copy;
}

int64_t world_available(void) {
    return available;
}

int64_t world_paid_out(void) {
    return paid_out;
}

void world_fund(int64_t amount) {
    available += amount;
}
