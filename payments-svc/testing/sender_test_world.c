// The common ground of the tests of senders.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "testing/fixture.h"
#include "testing/rail_fixture.h"
#include "testing/sender_test_world.h"

// --- An obedient guard, in place of the real one -------------------------------------------------------------------------

bool guard_may_send(const guard *g) {
    return g->may_send;
}

bool guard_same_timeline(guard *g, str timeline) {
    assert_int_equal(timeline.len, 8);
    return g->same_timeline;
}

// --- A bank --------------------------------------------------------------------------------------------------------------

bank_file bank_file_of(const char *name, const char *content) {
    bank_file f = {.size = (int64_t)strlen(content)};
    snprintf(f.name, sizeof f.name, "%s", name);
    crypto_sha256(content, strlen(content), f.sha256);
    return f;
}

static bank_file *find_file(bank_file *files, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(files[i].name, name) == 0) {
            return &files[i];
        }
    }
    return NULL;
}

static submission_look bank_look(void *self, const submission_file *f, arena *a) {
    (void)a;
    bank *b = self;
    b->looks++;
    if (b->down || b->fails_looks > 0) {
        b->fails_looks -= b->fails_looks > 0 ? 1 : 0;
        return LOOK_FAILED;
    }
    const bank_file *found = b->no_archive ? NULL : find_file(b->taken, b->n_taken, f->name);
    if (found == NULL) {
        return LOOK_ABSENT;
    }
    if (found->size != f->size) {
        return LOOK_OTHER;
    }
    return b->unreadable                                   ? LOOK_SAME_SIZE
           : memcmp(found->sha256, f->sha256.ptr, 32) == 0 ? LOOK_THERE
                                                           : LOOK_OTHER;
}

void temporary_name(const char *name, int64_t epoch, char out[160]) {
    snprintf(out, 160, "%s.%d", name, (int)epoch);
}

static bool drop_temporary(bank *b, const char *name) {
    bank_file *f = find_file(b->temporary, b->n_temporary, name);
    if (f == NULL) {
        return false;
    }
    *f = b->temporary[--b->n_temporary];
    return true;
}

static submission_sent bank_send(void *self, const submission_file *f, submission_fence still_ours,
                                 void *arg) {
    bank *b = self;
    char name[160];
    if (!still_ours(arg, false)) {
        return SENT_FENCED;
    }
    if (b->refuses_writes || b->down) {
        return SENT_NOT;
    }
    temporary_name(f->name, f->epoch, name);
    bank_file file = {.size = (int64_t)f->content.len};
    snprintf(file.name, sizeof file.name, "%s", name);
    crypto_sha256(f->content.ptr, f->content.len, file.sha256);
    assert_true(b->n_temporary < FILES_MAX && b->n_taken < FILES_MAX);
    b->temporary[b->n_temporary++] = file;
    void (*on_written)(bank *) = b->on_written;
    b->on_written = NULL;
    if (on_written != NULL) {
        on_written(b);
    }
    if (!still_ours(arg, true)) {
        return SENT_FENCED;
    }
    void (*on_fenced)(bank *) = b->on_fenced;
    b->on_fenced = NULL;
    if (on_fenced != NULL) {
        on_fenced(b);
    }
    if (b->refuses_renames || !drop_temporary(b, name)) {
        return SENT_UNKNOWN; // "no such file": the caller cannot tell why
    }
    snprintf(file.name, sizeof file.name, "%s", f->name);
    b->taken[b->n_taken++] = file;
    return b->loses_answer ? SENT_UNKNOWN : SENT_DONE;
}

static bool bank_take_back(void *self, const submission_file *f, bool *was_there) {
    bank *b = self;
    *was_there = false;
    for (size_t i = 0; i < f->n_epochs; i++) {
        char name[160];
        temporary_name(f->name, f->epochs[i], name);
        *was_there = drop_temporary(b, name) || *was_there;
    }
    void (*on_taken_back)(bank *) = *was_there ? b->on_taken_back : NULL;
    if (on_taken_back != NULL) {
        b->on_taken_back = NULL;
        on_taken_back(b);
    }
    return !b->down;
}

// --- The world -----------------------------------------------------------------------------------------------------------

db_pool *pool;
crypto_keyring *keys;
arena *mem;
int64_t poll_ms = 10;
int64_t retry_ms = 1;
bool expose_uploads;
bank the_bank;
submission_sender *sender, *other; // senders of two processes
const char *upload_folders;

guard the_guard;

submission_sender *make_sender(int64_t lease_ms, bool archive_complete) {
    const submission_sender_options o = {
        .pool = pool,
        .guard = &the_guard,
        .keys = keys,
        .clock = clock_system(),
        .channel = {.connection = CONNECTION,
                    .name = "test",
                    .archive_complete = archive_complete,
                    .lag_ms = LAG_MS,
                    .exposed = expose_uploads,
                    .folders = upload_folders,
                    .look = bank_look,
                    .send = bank_send,
                    .take_back = bank_take_back,
                    .self = &the_bank},
        .lease_ms = lease_ms,
        .poll_ms = poll_ms,
        .retry_base_ms = retry_ms,
        .retry_cap_ms = retry_ms,
        .case_after = CASE_AFTER,
    };
    return submission_sender_create(&o);
}

uuid number_id(uint8_t group, uint32_t n) {
    uuid id = {{0x01, 0x93, 0, 0, 0, 0, 0x70, group, 0x80}};
    for (size_t i = 0; i < 4; i++) {
        id.b[12 + i] = (uint8_t)(n >> (24 - 8 * i));
    }
    return id;
}

typedef struct making {
    submission_new s;
} making;

static bool add_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    making *m = arg;
    return submission_add(c, BOOK, &m->s, a, e);
}

// A submission of n payouts; `which` determines ids, numbers and name.
uuid prepare_one(uint32_t which, size_t n, const char *name, int64_t stale_us, int attempt) {
    err e = {0};
    making m = {.s = {.id = number_id(1, which),
                      .connection = CONNECTION,
                      .kind = SUBMISSION_FILE,
                      .name = str_of(name),
                      .origin = STR("1900000007"),
                      .cycle = 1,
                      .currency = "USD",
                      .size = sizeof CONTENT - 1,
                      .generation = attempt,
                      .stale_us = stale_us,
                      .created_us = clock_wall_us(clock_system()),
                      .n_items = n}};
    submission_item *items = arena_calloc(mem, n, sizeof *items);
    for (size_t i = 0; i < n; i++) {
        items[i] = (submission_item){number_id(2, (uint32_t)i), attempt,
                                     (int64_t)(which * 1000 + i + 1), 100};
        m.s.total += 100;
    }
    m.s.items = items;
    crypto_sha256(CONTENT, sizeof CONTENT - 1, m.s.sha256);
    if (!submission_seal(keys, BOOK, m.s.id, STR(CONTENT), mem, &m.s.sealed, &e) ||
        !db_transact(pool, fixture_deadline(30000), mem, add_in_tx, &m, &e)) {
        fail_msg("%s %s", e.message, e.detail);
    }
    return m.s.id;
}

int64_t tomorrow(void) {
    return clock_wall_us(clock_system()) + INT64_C(86400) * 1000000;
}

int state_of(uuid id) {
    char sql[256], text[UUID_TEXT_LEN + 1];
    uuid_format(id, text);
    snprintf(sql, sizeof sql, "SELECT state FROM submission WHERE submission_id = '%s'", text);
    return (int)fixture_sql_i64(sql);
}

int64_t count_evidence(uuid id, int kind) {
    char sql[256], text[UUID_TEXT_LEN + 1];
    uuid_format(id, text);
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM submission_upload WHERE submission_id = '%s' AND kind = %d",
             text, kind);
    return fixture_sql_i64(sql);
}

int64_t count_events(int kind) {
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM rail_event WHERE kind = %d", kind);
    return fixture_sql_i64(sql);
}

// Makes everything due now.
void make_due(void) {
    fixture_sql("UPDATE submission SET due_at = now() WHERE due_at IS NOT NULL", NULL, 0);
}

void end_leases(void) {
    fixture_sql("UPDATE submission SET lease_ends_at = now() - interval '1 s'"
                " WHERE lease_ends_at IS NOT NULL",
                NULL, 0);
}

void run(submission_sender *s, int times) {
    for (int i = 0; i < times; i++) {
        make_due();
        (void)submission_sender_run(s);
    }
}

typedef struct acking {
    uuid id;
    submission_ack_text said;
    submission_word word;
} acking;

static bool ack_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    acking *k = arg;
    return submission_ack(c, BOOK, k->id, &k->said, &k->word, a, e);
}

submission_word ack(uuid id, submission_ack_text said) {
    acking k = {.id = id, .said = said};
    err e = {0};
    if (!db_transact(pool, fixture_deadline(30000), mem, ack_in_tx, &k, &e)) {
        fail_msg("%s %s", e.message, e.detail);
    }
    return k.word;
}

// Leaves the submission as if its sender was killed right after writing this evidence: "(seq, kind), …".
void leave_as_killed(uuid id, const char *evidence) {
    char sql[512], text[UUID_TEXT_LEN + 1];
    uuid_format(id, text);
    snprintf(
        sql, sizeof sql,
        "UPDATE submission SET state = 2, epoch = 1; INSERT INTO submission_upload (book_id,"
        " submission_id, seq, kind, epoch, detail, at) SELECT %d, '%s', seq, kind, 1, '', now()"
        " FROM (VALUES %s) AS v(seq, kind)",
        BOOK, text, evidence);
    fixture_sql(sql, NULL, 0);
}

// --- Life ----------------------------------------------------------------------------------------------------------------

int world_create(void **state) {
    (void)state;
    char path[] = "/tmp/disburse-ring.XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *out = fdopen(fd, "w");
    fprintf(out, "k1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n");
    fclose(out);
    chmod(path, 0600);
    log_init("sender-test", LOG_ERROR + 1);
    rail_fixture_migrate();
    pool = fixture_pool(fixture_conninfo(), 4, 30000);
    err e = {0};
    keys = crypto_keyring_load(path, &e);
    assert_non_null(keys);
    unlink(path);
    return 0;
}

int world_destroy(void **state) {
    (void)state;
    crypto_keyring_destroy(keys);
    db_pool_destroy(pool);
    return 0;
}

int world_set_up(void **state) {
    (void)state;
    rail_fixture_clear();
    the_bank = (bank){0};
    the_guard = (guard){true, true};
    mem = arena_create(64 << 20);
    sender = make_sender(LEASE_MS, false);
    other = make_sender(LEASE_MS, false);
    return 0;
}

int world_tear_down(void **state) {
    (void)state;
    submission_sender_destroy(sender);
    submission_sender_destroy(other);
    arena_destroy(mem);
    return 0;
}
