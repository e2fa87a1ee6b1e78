#include "base/log.h"

#include <errno.h>
#include <jansson.h>
#include <time.h>

#include "base/assert.h"
#include "base/test_support.h"

// stderr is a pipe while a test runs; the test reads its own lines.
static int saved_stderr = -1;
static int pipe_out = -1;

static int setup(void **state) {
    (void)state;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    saved_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    pipe_out = ends[0];
    fcntl(pipe_out, F_SETFL, O_NONBLOCK);
    log_ctx_clear();
    log_init("tester", LOG_INFO);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(pipe_out);
    return 0;
}

static char text[1 << 20];

static char *read_lines(void) {
    size_t len = 0;
    for (;;) {
        ssize_t n = read(pipe_out, text + len, sizeof(text) - 1 - len);
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
    }
    text[len] = '\0';
    return text;
}

// The only written line, parsed strictly.
static json_t *read_one(void) {
    char *line = read_lines();
    size_t len = strlen(line);
    assert_true(len > 0 && len <= 4096);
    assert_ptr_equal(strchr(line, '\n'), line + len - 1);
    json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    return json;
}

static void assert_member(json_t *json, const char *key, const char *want) {
    assert_string_equal(json_string_value(json_object_get(json, key)), want);
}

static void test_log__typed_fields__one_json_line(void **state) {
    (void)state;
    errno = 42;
    log_info("saga.claimed", F_STR("book", "b1"), F_INT("n", INT64_MIN), F_BOOL("ok", true),
             F_BOOL("no", false), F_STR("none", NULL));
    assert_int_equal(errno, 42);
    json_t *json = read_one();
    assert_member(json, "level", "info");
    assert_member(json, "service", "tester");
    assert_member(json, "event", "saga.claimed");
    assert_member(json, "book", "b1");
    assert_true(strncmp(json_string_value(json_object_get(json, "site")), "base/log_test.c:", 16) ==
                0);
    assert_int_equal(json_integer_value(json_object_get(json, "n")), INT64_MIN);
    assert_true(json_is_true(json_object_get(json, "ok")));
    assert_true(json_is_false(json_object_get(json, "no")));
    assert_true(json_is_null(json_object_get(json, "none")));
    const char *ts = json_string_value(json_object_get(json, "ts"));
    struct tm tm;
    memset(&tm, 0, sizeof(tm));
    assert_non_null(strptime(ts, "%Y-%m-%dT%H:%M:%S", &tm));
    assert_int_equal(strlen(ts), 27);
    assert_null(json_object_get(json, "trace_id"));
    json_decref(json);
}

static void test_log__no_fields__still_valid(void **state) {
    (void)state;
    log_error("plain");
    json_t *json = read_one();
    assert_member(json, "level", "error");
    json_decref(json);
}

static void test_log__levels__below_the_minimum_is_silent(void **state) {
    (void)state;
    log_debug("a");
    assert_string_equal(read_lines(), "");
    log_set_level(LOG_DEBUG);
    log_debug("a");
    json_decref(read_one());
    log_set_level(LOG_ERROR);
    log_warn("a");
    assert_string_equal(read_lines(), "");
    log_level level = LOG_DEBUG;
    assert_true(log_level_parse("warn", &level));
    assert_int_equal(level, LOG_WARN);
    assert_false(log_level_parse("WARN", &level));
    assert_false(log_level_parse("", &level));
}

static void test_log__context__added_until_cleared(void **state) {
    (void)state;
    snprintf(log_ctx()->trace_id, sizeof(log_ctx()->trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    snprintf(log_ctx()->span_id, sizeof(log_ctx()->span_id), "00f067aa0ba902b7");
    snprintf(log_ctx()->request_id, sizeof(log_ctx()->request_id), "r-1");
    snprintf(log_ctx()->payout_id, sizeof(log_ctx()->payout_id), "p-1");
    log_info("x");
    json_t *json = read_one();
    assert_member(json, "trace_id", "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_member(json, "span_id", "00f067aa0ba902b7");
    assert_member(json, "request_id", "r-1");
    assert_member(json, "payout_id", "p-1");
    json_decref(json);
    log_ctx_clear();
    log_info("x");
    json = read_one();
    assert_null(json_object_get(json, "payout_id"));
    json_decref(json);
}

static void test_log__hostile_text__escaped(void **state) {
    (void)state;
    log_info("x", F_STR("a", "line\n\"quote\" \\ \x01 \xff \xe2\x82\xac"));
    json_t *json = read_one();
    assert_member(json, "a", "line\n\"quote\" \\ \x01 \xef\xbf\xbd \xe2\x82\xac");
    json_decref(json);
}

static void test_log__long_values__cut_but_valid(void **state) {
    (void)state;
    static char longest[5000];
    for (size_t i = 0; i + 3 < sizeof(longest); i += 3) {
        memcpy(longest + i, "\xe2\x82\xac", 3);
    }
    log_info("x", F_STR("a", longest));
    json_t *json = read_one();
    const char *a = json_string_value(json_object_get(json, "a"));
    assert_true(strlen(a) > 1000 && strlen(a) <= 1027);
    assert_string_equal(a + strlen(a) - 3, "\xe2\x80\xa6");
    json_decref(json);
    // More than fits into a line: whole members are left out, and the line says so.
    memset(longest, 1, sizeof(longest) - 1);
    log_info("x", F_STR("a", "first"), F_STR("b", longest), F_INT("c", 3));
    json = read_one();
    assert_member(json, "a", "first");
    assert_null(json_object_get(json, "b"));
    assert_int_equal(json_integer_value(json_object_get(json, "c")), 3);
    assert_true(json_is_true(json_object_get(json, "truncated")));
    json_decref(json);
}

static void test_log_err__every_part__in_the_line(void **state) {
    (void)state;
    err e = {0};
    err_set_field(&e, ERR_ABORTED, "SERIALIZATION", "book", "try again");
    err_detail(&e, "private");
    snprintf(e.sqlstate, sizeof(e.sqlstate), "40001");
    snprintf(e.constraint, sizeof(e.constraint), "uq_x");
    e.flags = ERR_RETRIABLE | ERR_COMMIT_UNKNOWN | ERR_CONNECTION_LOST;
    log_err(LOG_WARN, "db.failed", &e);
    json_t *json = read_one();
    assert_member(json, "code", "ABORTED");
    assert_member(json, "reason", "SERIALIZATION");
    assert_member(json, "field", "book");
    assert_member(json, "message", "try again");
    assert_member(json, "detail", "private");
    assert_member(json, "sqlstate", "40001");
    assert_member(json, "constraint", "uq_x");
    assert_true(json_is_true(json_object_get(json, "retriable")));
    assert_true(json_is_true(json_object_get(json, "commit_unknown")));
    assert_true(json_is_true(json_object_get(json, "connection_lost")));
    assert_true(strncmp(json_string_value(json_object_get(json, "site")), "base/log_test.c:", 16) ==
                0);
    json_decref(json);
}

static void test_log__reader_stalls__drops_counts_and_says_so(void **state) {
    (void)state;
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int i = 0; i < 2000; i++) {
        log_info("flood", F_STR("pad", "0123456789012345678901234567890123456789"));
    }
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(after.tv_sec - before.tv_sec < 5);
    (void)read_lines();
    log_info("after");
    char *lines = read_lines();
    char *second = strchr(lines, '\n');
    assert_non_null(second);
    *second++ = '\0';
    json_t *json = json_loads(lines, JSON_REJECT_DUPLICATES, NULL);
    assert_member(json, "event", "log.dropped");
    assert_true(json_integer_value(json_object_get(json, "lines")) > 100);
    json_decref(json);
    json = json_loads(second, JSON_REJECT_DUPLICATES, NULL);
    assert_member(json, "event", "after");
    json_decref(json);
}

static void test_gate__at_somebody_s_will__some_of_a_minute_and_a_count(void **state) {
    (void)state;
    log_gate g = {0};
    int passed = 0;
    for (int i = 0; i < 1000; i++) {
        passed += log_gate_pass(&g, "hostile", 59999) ? 1 : 0;
    }
    assert_int_equal(passed, LOG_GATE_LINES);
    assert_string_equal(read_lines(), "");
    assert_true(log_gate_pass(&g, "hostile", 60000));
    json_t *json = read_one();
    assert_member(json, "event", "log.suppressed");
    assert_member(json, "of", "hostile");
    assert_int_equal(json_integer_value(json_object_get(json, "lines")), 1000 - LOG_GATE_LINES);
    json_decref(json);
    assert_true(log_gate_pass(&g, "hostile", 120000));
    assert_string_equal(read_lines(), ""); // no member was left out
}

static void test_assert__broken__says_what_and_where(void **state) {
    (void)state;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        ASSERT(1 + 1 == 3);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    json_t *json = read_one();
    assert_member(json, "event", "assert.failed");
    assert_member(json, "condition", "1 + 1 == 3");
    json_decref(json);
}

#define LOG_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_log__typed_fields__one_json_line),
        LOG_TEST(test_log__no_fields__still_valid),
        LOG_TEST(test_log__levels__below_the_minimum_is_silent),
        LOG_TEST(test_log__context__added_until_cleared),
        LOG_TEST(test_log__hostile_text__escaped),
        LOG_TEST(test_log__long_values__cut_but_valid),
        LOG_TEST(test_log_err__every_part__in_the_line),
        LOG_TEST(test_log__reader_stalls__drops_counts_and_says_so),
        LOG_TEST(test_gate__at_somebody_s_will__some_of_a_minute_and_a_count),
        LOG_TEST(test_assert__broken__says_what_and_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
