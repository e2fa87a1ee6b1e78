// The pool against a real database: limits, fairness, lost servers.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "db_internal.h"
#include "testing/fixture.h"
#include "testing/lossy_proxy.h"

static const db_stmt ONE = {"one", "SELECT 1::int8"};
static const db_stmt PID = {"pid", "SELECT pg_backend_pid()"};

static void nap_ms(long ms) {
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

static int pid_of(db_conn *c) {
    err e = {0};
    arena *a = arena_create(1 << 20);
    db_rows *r = NULL;
    assert_true(db_exec(c, &PID, NULL, a, &r, NULL, &e));
    int pid = db_get_i32(r, 0, 0);
    arena_destroy(a);
    return pid;
}

static void test_create__bad_options__refused(void **state) {
    (void)state;
    const db_pool_options bad[] = {
        {.conninfo = "host=x", .size = 0, .statement_timeout_ms = 100},
        {.conninfo = "host=x", .size = 257, .statement_timeout_ms = 100},
        {.conninfo = "host=x", .size = 1, .statement_timeout_ms = 0},
        {.conninfo = NULL, .size = 1, .statement_timeout_ms = 100},
        {.conninfo = "password=secret nonsense", .size = 1, .statement_timeout_ms = 100},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        err e = {0};
        assert_null(db_pool_create(&bad[i], &e));
        assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
        assert_null(strstr(e.message, "secret"));
        assert_null(strstr(e.detail, "secret"));
    }
}

static void test_checkout__exhausted__resource_exhausted_at_the_deadline(void **state) {
    (void)state;
    err e = {0};
    db_pool *p = fixture_pool(fixture_conninfo(), 2, 5000);
    db_conn *a = db_pool_checkout(p, fixture_deadline(5000), &e);
    db_conn *b = db_pool_checkout(p, fixture_deadline(5000), &e);
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(metric_value(p->in_use), 2);
    int64_t start = fixture_deadline(0);
    assert_null(db_pool_checkout(p, fixture_deadline(150), &e));
    assert_int_equal(e.code, ERR_RESOURCE_EXHAUSTED);
    assert_in_range(fixture_deadline(0) - start, 149, 1000);
    assert_null(p->first); // the line is empty
    db_pool_checkin(p, a);
    db_conn *c = db_pool_checkout(p, fixture_deadline(150), &e);
    assert_ptr_equal(c, a);
    db_pool_checkin(p, b);
    db_pool_checkin(p, c);
    assert_int_equal(metric_value(p->in_use), 0);
    db_pool_destroy(p);
}

static void test_checkout__several_idle__the_oldest(void **state) {
    (void)state;
    enum { N = 3 };
    const int orders[][N] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}};
    err e = {0};
    db_pool *p = fixture_pool(fixture_conninfo(), N, 5000);
    db_conn *opened[N];
    for (int i = 0; i < N; i++) {
        opened[i] = db_pool_checkout(p, fixture_deadline(5000), &e);
        assert_non_null(opened[i]);
    }
    for (size_t o = 0; o < sizeof orders / sizeof orders[0]; o++) {
        for (int i = 0; i < N; i++) {
            db_pool_checkin(p, opened[orders[o][i]]);
        }
        for (int i = 0; i < N; i++) {
            assert_ptr_equal(db_pool_checkout(p, fixture_deadline(5000), &e), opened[i]);
        }
    }
    for (int i = 0; i < N; i++) {
        db_pool_checkin(p, opened[i]);
    }
    db_pool_destroy(p);
}

enum { LINE = 8 };
typedef struct line {
    db_pool *p;
    pthread_mutex_t lock;
    int order[LINE], n;
    int next;
} line;
typedef struct stander {
    line *l;
    int number;
} stander;

static void *stand_in_line(void *arg) {
    stander *s = arg;
    err e = {0};
    db_conn *c = db_pool_checkout(s->l->p, fixture_deadline(10000), &e);
    if (c != NULL) {
        (void)pthread_mutex_lock(&s->l->lock);
        s->l->order[s->l->n++] = s->number;
        (void)pthread_mutex_unlock(&s->l->lock);
        nap_ms(2);
        db_pool_checkin(s->l->p, c);
    }
    return NULL;
}

static int waiting(db_pool *p) {
    int n = 0;
    (void)pthread_mutex_lock(&p->lock);
    for (const db_waiter *w = p->first; w != NULL; w = w->next) {
        n++;
    }
    (void)pthread_mutex_unlock(&p->lock);
    return n;
}

static void test_checkout__many_wait__first_come_first_served(void **state) {
    (void)state;
    err e = {0};
    line l = {.p = fixture_pool(fixture_conninfo(), 1, 5000), .lock = PTHREAD_MUTEX_INITIALIZER};
    db_conn *held = db_pool_checkout(l.p, fixture_deadline(5000), &e);
    assert_non_null(held);
    pthread_t threads[LINE];
    stander standers[LINE];
    for (int i = 0; i < LINE; i++) {
        standers[i] = (stander){&l, i};
        assert_int_equal(pthread_create(&threads[i], NULL, stand_in_line, &standers[i]), 0);
        while (waiting(l.p) != i + 1) {
            nap_ms(1);
        }
    }
    db_pool_checkin(l.p, held);
    for (int i = 0; i < LINE; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    assert_int_equal(l.n, LINE);
    for (int i = 0; i < LINE; i++) {
        assert_int_equal(l.order[i], i);
    }
    db_pool_destroy(l.p);
}

static void test_checkin__broken_connection__slot_goes_to_who_waits(void **state) {
    (void)state;
    err e = {0};
    line l = {.p = fixture_pool(fixture_conninfo(), 1, 5000), .lock = PTHREAD_MUTEX_INITIALIZER};
    db_conn *held = db_pool_checkout(l.p, fixture_deadline(5000), &e);
    pthread_t thread;
    stander s = {&l, 1};
    assert_int_equal(pthread_create(&thread, NULL, stand_in_line, &s), 0);
    while (waiting(l.p) != 1) {
        nap_ms(1);
    }
    held->broken = true;
    db_pool_checkin(l.p, held);
    (void)pthread_join(thread, NULL);
    assert_int_equal(l.n, 1);
    assert_int_equal(l.p->n_open, 1);
    db_pool_destroy(l.p);
}

static void test_checkin__open_transaction__discarded(void **state) {
    (void)state;
    err e = {0};
    db_pool *p = fixture_pool(fixture_conninfo(), 1, 5000);
    db_conn *c = db_pool_checkout(p, fixture_deadline(5000), &e);
    int pid = pid_of(c);
    assert_true(db_begin(c, fixture_deadline(5000), &e));
    db_pool_checkin(p, c);
    assert_int_equal(p->n_open, 0);
    c = db_pool_checkout(p, fixture_deadline(5000), &e);
    assert_int_not_equal(pid_of(c), pid);
    db_pool_checkin(p, c);
    db_pool_destroy(p);
}

static void test_checkout__idle_backend_was_killed__a_new_one(void **state) {
    (void)state;
    err e = {0};
    db_pool *p = fixture_pool(fixture_conninfo(), 3, 5000);
    db_conn *c[3];
    for (int i = 0; i < 3; i++) {
        c[i] = db_pool_checkout(p, fixture_deadline(5000), &e);
    }
    for (int i = 0; i < 3; i++) {
        db_pool_checkin(p, c[i]);
    }
    fixture_sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE "
                "application_name = 'db-test'",
                NULL, 0);
    for (int i = 0; i < 3; i++) {
        c[i] = db_pool_checkout(p, fixture_deadline(5000), &e);
        assert_non_null(c[i]);
        assert_true(db_exec(c[i], &ONE, NULL, NULL, NULL, NULL, &e));
    }
    for (int i = 0; i < 3; i++) {
        db_pool_checkin(p, c[i]);
    }
    db_pool_destroy(p);
}

static void test_checkout__database_down__unavailable_without_spinning_then_back(void **state) {
    (void)state;
    err e = {0};
    char dir[] = "/tmp/disburse-down.XXXXXX";
    char link[64], conninfo[128];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(link, sizeof link, "%s/pg", dir);
    (void)snprintf(conninfo, sizeof conninfo, "host=%s user=postgres dbname=postgres", link);
    db_pool *p = fixture_pool(conninfo, 4, 5000);
    int tried = 0;
    int64_t start = fixture_deadline(0);
    while (fixture_deadline(0) - start < 400) {
        assert_null(db_pool_checkout(p, fixture_deadline(5000), &e));
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        assert_true(e.flags & ERR_RETRIABLE);
        assert_true(e.retry_after_ms > 0);
        tried += strncmp(e.detail, "not tried", 9) != 0 ? 1 : 0;
        nap_ms(1);
    }
    assert_in_range(tried, 2, 8);
    assert_int_equal(p->n_open, 0);
    assert_false(db_pool_ping(p, fixture_deadline(100), &e));
    assert_int_equal(symlink(fixture_server_dir(), link), 0);
    bool back = false;
    for (int i = 0; i < 400 && !back; i++) {
        back = db_pool_ping(p, fixture_deadline(1000), &e);
        nap_ms(5);
    }
    assert_true(back);
    assert_int_equal(p->connect_failures, 0);
    db_pool_destroy(p);
    (void)unlink(link);
    (void)rmdir(dir);
}

static void test_session__settings__ours_and_the_conninfos(void **state) {
    (void)state;
    static const db_stmt SETTINGS = {
        "settings", "SELECT current_setting('statement_timeout'), current_setting('search_path'),"
                    " current_setting('application_name'), current_setting('synchronous_commit')"};
    err e = {0};
    char conninfo[256];
    (void)snprintf(conninfo, sizeof conninfo, "%s options='-c search_path=pg_temp'",
                   fixture_conninfo());
    db_pool *p = fixture_pool(conninfo, 1, 4321);
    arena *a = arena_create(1 << 20);
    db_conn *c = db_pool_checkout(p, fixture_deadline(5000), &e);
    assert_non_null(c);
    db_rows *r = NULL;
    assert_true(db_exec(c, &SETTINGS, NULL, a, &r, NULL, &e));
    assert_true(str_eq_c(db_get_str(r, 0, 0), "4321ms"));
    assert_true(str_eq_c(db_get_str(r, 0, 1), "pg_temp"));
    assert_true(str_eq_c(db_get_str(r, 0, 2), "db-test"));
    assert_true(str_eq_c(db_get_str(r, 0, 3), "on"));
    db_pool_checkin(p, c);
    arena_destroy(a);
    db_pool_destroy(p);
}

static void test_exec__network_is_stuck__unavailable_and_discarded(void **state) {
    (void)state;
    err e = {0};
    char conninfo[128];
    lossy_proxy *x = lossy_proxy_start(fixture_server_dir());
    (void)snprintf(conninfo, sizeof conninfo, "host=%s user=postgres dbname=postgres",
                   lossy_proxy_dir(x));
    db_pool *p = fixture_pool(conninfo, 1, 200);
    db_conn *c = db_pool_checkout(p, fixture_deadline(5000), &e);
    assert_non_null(c);
    assert_true(db_exec(c, &ONE, NULL, NULL, NULL, NULL, &e));
    lossy_proxy_set(x, LOSSY_STALL);
    int64_t start = fixture_deadline(0);
    assert_false(db_exec(c, &ONE, NULL, NULL, NULL, NULL, &e));
    assert_in_range(fixture_deadline(0) - start, 200, 200 + DB_NETWORK_GRACE_MS + 1000);
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    assert_true(e.flags & ERR_CONNECTION_LOST);
    db_pool_checkin(p, c);
    assert_int_equal(p->n_open, 0);
    // Nor does connecting hang.
    start = fixture_deadline(0);
    assert_null(db_pool_checkout(p, fixture_deadline(300), &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    assert_in_range(fixture_deadline(0) - start, 290, 1000);
    db_pool_destroy(p);
    lossy_proxy_stop(x);
}

// Promises NO-LOSS and NO-DOUBLE: no connection string may turn them off.
static void test_pool_create__conninfo_weakens_commits__refused(void **state) {
    (void)state;
    static const char *const WEAK[] = {"options='-c synchronous_commit=off'",
                                       "options='-c synchronous_commit = local'",
                                       "options='-c work_mem=1MB -c synchronous_commit=FALSE'",
                                       "options='--synchronous_commit=remote_write'"};
    static const char *const FINE[] = {"options='-c synchronous_commit=on'",
                                       "options='-c synchronous_commit=remote_apply -c jit=off'"};
    err e = {0};
    for (size_t i = 0; i < sizeof WEAK / sizeof WEAK[0]; i++) {
        const db_pool_options o = {.conninfo = WEAK[i], .size = 1, .statement_timeout_ms = 1000};
        assert_null(db_pool_create(&o, &e));
        assert_string_equal(e.reason, "BAD_CONNINFO");
    }
    for (size_t i = 0; i < sizeof FINE / sizeof FINE[0]; i++) {
        const db_pool_options o = {.conninfo = FINE[i], .size = 1, .statement_timeout_ms = 1000};
        db_pool *p = db_pool_create(&o, &e);
        assert_non_null(p);
        db_pool_destroy(p);
    }
}

int main(void) {
    log_init("db-test", LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_create__conninfo_weakens_commits__refused),
        cmocka_unit_test(test_create__bad_options__refused),
        cmocka_unit_test(test_checkout__exhausted__resource_exhausted_at_the_deadline),
        cmocka_unit_test(test_checkout__several_idle__the_oldest),
        cmocka_unit_test(test_checkout__many_wait__first_come_first_served),
        cmocka_unit_test(test_checkin__broken_connection__slot_goes_to_who_waits),
        cmocka_unit_test(test_checkin__open_transaction__discarded),
        cmocka_unit_test(test_checkout__idle_backend_was_killed__a_new_one),
        cmocka_unit_test(test_checkout__database_down__unavailable_without_spinning_then_back),
        cmocka_unit_test(test_session__settings__ours_and_the_conninfos),
        cmocka_unit_test(test_exec__network_is_stuck__unavailable_and_discarded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
