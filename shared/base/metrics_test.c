#include "base/metrics.h"

#include <pthread.h>

#include "base/test_support.h"

static char *render(void) {
    static strbuf out;
    strbuf_deinit(&out);
    strbuf_init(&out, 1 << 20);
    metrics_render(&out);
    assert_true(strbuf_ok(&out));
    return out.ptr;
}

static int count_of(const char *text, const char *part) {
    int n = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        n++;
    }
    return n;
}

static void test_metrics__same_name_and_labels__same_metric(void **state) {
    (void)state;
    metric *a = metric_counter("t_calls_total", "method=\"A\"", "Calls.");
    metric *b = metric_counter("t_calls_total", "method=\"B\"", "Calls.");
    assert_ptr_equal(a, metric_counter("t_calls_total", "method=\"A\"", "Calls."));
    assert_ptr_not_equal(a, b);
    metric_add(a, 2);
    metric_add(b, 3);
    metric_add(a, 40);
    assert_int_equal(metric_value(a), 42);
}

static void test_metrics_render__one_name_many_labels__one_head_and_contiguous(void **state) {
    (void)state;
    metric_set(metric_gauge("t_between", "", "A \\ and\na line."), -5);
    metric_add(metric_counter("t_calls_total", "method=\"C\"", "Calls."), 1);
    const char *text = render();
    assert_int_equal(count_of(text, "# HELP t_calls_total Calls.\n"), 1);
    assert_int_equal(count_of(text, "# TYPE t_calls_total counter\n"), 1);
    assert_non_null(strstr(text, "# TYPE t_calls_total counter\n"
                                 "t_calls_total{method=\"A\"} 42\n"
                                 "t_calls_total{method=\"B\"} 3\n"
                                 "t_calls_total{method=\"C\"} 1\n"));
    assert_non_null(strstr(
        text, "# HELP t_between A \\\\ and\\na line.\n# TYPE t_between gauge\nt_between -5\n"));
    assert_int_equal(text[strlen(text) - 1], '\n');
}

static void test_metrics_render__histogram__cumulative_buckets(void **state) {
    (void)state;
    metric *h = metric_histogram("t_seconds", "m=\"x\"", "Latency.");
    metric_observe_us(h, 100); // on the bound: inside
    metric_observe_us(h, 101);
    metric_observe_us(h, 2000000);
    metric_observe_us(h, 99000000); // above every bound
    metric_observe_us(h, -5);       // a clock that stepped back counts as nothing
    assert_int_equal(metric_value(h), 5);
    const char *text = render();
    assert_non_null(strstr(text, "# TYPE t_seconds histogram\n"
                                 "t_seconds_bucket{m=\"x\",le=\"0.0001\"} 2\n"
                                 "t_seconds_bucket{m=\"x\",le=\"0.00025\"} 3\n"));
    assert_non_null(strstr(text, "t_seconds_bucket{m=\"x\",le=\"1\"} 3\n"
                                 "t_seconds_bucket{m=\"x\",le=\"2.5\"} 4\n"));
    assert_non_null(strstr(text, "t_seconds_bucket{m=\"x\",le=\"10\"} 4\n"
                                 "t_seconds_bucket{m=\"x\",le=\"+Inf\"} 5\n"
                                 "t_seconds_sum{m=\"x\"} 101.000201\n"
                                 "t_seconds_count{m=\"x\"} 5\n"));
    metric_observe_us(metric_histogram("t_bare_seconds", "", "No labels."), 1);
    text = render();
    assert_non_null(strstr(text, "t_bare_seconds_bucket{le=\"0.0001\"} 1\n"));
    assert_non_null(strstr(text, "t_bare_seconds_sum 0.000001\nt_bare_seconds_count 1\n"));
}

static int64_t read_seven(void *arg) {
    (void)metric_counter("t_looked_up_while_read", "", "Readers may look metrics up.");
    return *(int64_t *)arg;
}

static void test_metric_gauge_fn__read_replaced_and_taken_out__as_asked(void **state) {
    (void)state;
    int64_t seven = 7, eight = 8;
    metric_gauge_fn("t_read", "", "Read.", read_seven, &seven);
    assert_non_null(strstr(render(), "\nt_read 7\n"));
    metric_gauge_fn("t_read", "", "Read.", read_seven, &eight);
    assert_non_null(strstr(render(), "\nt_read 8\n"));
    metric_gauge_fn("t_read", "", "Read.", NULL, NULL);
    assert_null(strstr(render(), "t_read "));
}

enum { THREADS = 4, EACH = 50000 };
static void *hammer(void *arg) {
    metric *c = metric_counter("t_hammered_total", "", "x");
    metric *h = metric_histogram("t_hammered_seconds", "", "x");
    for (int i = 0; i < EACH; i++) {
        metric_add(c, 1);
        metric_observe_us(h, i);
    }
    return arg;
}

static void test_metrics__threads__no_count_lost(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, NULL), 0);
    }
    for (int i = 0; i < 10; i++) {
        (void)render();
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(metric_value(metric_counter("t_hammered_total", "", "x")), THREADS * EACH);
    assert_int_equal(metric_value(metric_histogram("t_hammered_seconds", "", "x")), THREADS * EACH);
}

static void use_bad_labels(void *labels) {
    (void)metric_counter("t_bad_total", labels, "x");
}
static void use_bad_name(void *name) {
    (void)metric_counter(name, "", "x");
}
static void use_other_type(void *arg) {
    (void)arg;
    (void)metric_gauge("t_calls_total", "method=\"A\"", "x");
}
static void count_down(void *arg) {
    (void)arg;
    metric_add(metric_counter("t_calls_total", "method=\"A\"", "x"), -1);
}

static void test_metrics__what_would_break_every_scrape__aborts(void **state) {
    (void)state;
    static const char *const LABELS[] = {
        "a",        "a=",       "a=\"",      "a=\"x",          "a=\"x\",", "=\"x\"",
        "1a=\"x\"", "a=\"\n\"", "a=\"\\x\"", "a=\"x\"b=\"y\"", "{a=\"x\"}"};
    for (size_t i = 0; i < N_OF(LABELS); i++) {
        assert_aborts(use_bad_labels, (void *)LABELS[i]);
    }
    assert_int_equal(test_in_child(use_bad_labels, (void *)"a=\"\\\"\\\\\\n{},=\",b2=\"\""), 0);
    assert_aborts(use_bad_name, (void *)"");
    assert_aborts(use_bad_name, (void *)"1a");
    assert_aborts(use_bad_name, (void *)"a-b");
    assert_aborts(use_other_type, NULL);
    assert_aborts(count_down, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics__same_name_and_labels__same_metric),
        cmocka_unit_test(test_metrics_render__one_name_many_labels__one_head_and_contiguous),
        cmocka_unit_test(test_metrics_render__histogram__cumulative_buckets),
        cmocka_unit_test(test_metric_gauge_fn__read_replaced_and_taken_out__as_asked),
        cmocka_unit_test(test_metrics__threads__no_count_lost),
        cmocka_unit_test(test_metrics__what_would_break_every_scrape__aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
