// Each case runs in a child, because a process reads its plan once.
#include "base/crash.h"

#include <errno.h>
#include <limits.h>

#include "base/test_support.h"

static char folder[] = "/tmp/crash-test-XXXXXX";
static char record_path[PATH_MAX], done_path[PATH_MAX], script_path[PATH_MAX],
    output_path[PATH_MAX], plan_path[PATH_MAX], taken_path[PATH_MAX];

static int setup(void **state) {
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int each_setup(void **state) {
    (void)state;
    snprintf(record_path, sizeof(record_path), "%s/record", folder);
    snprintf(done_path, sizeof(done_path), "%s/done", folder);
    snprintf(script_path, sizeof(script_path), "%s/script", folder);
    snprintf(output_path, sizeof(output_path), "%s/output", folder);
    snprintf(plan_path, sizeof(plan_path), "%s/plan", folder);
    snprintf(taken_path, sizeof(taken_path), "%s/plan.done", folder);
    unlink(plan_path);
    unlink(taken_path);
    unlink(record_path);
    unlink(done_path);
    unlink(script_path);
    unlink(output_path);
    unsetenv("DISBURSE_CRASH_RECORD");
    unsetenv("DISBURSE_CRASH_AT");
    unsetenv("DISBURSE_CRASH_ACTION");
    unsetenv("DISBURSE_CRASH_DONE");
    unsetenv("DISBURSE_CRASH_PLAN");
    return 0;
}

static int teardown(void **state) {
    each_setup(state);
    return rmdir(folder);
}

// Passes a, b, a, c and ends with 0.
static void pass_points(void *arg) {
    (void)arg;
    CRASH_POINT("a");
    CRASH_POINT("b");
    CRASH_POINT("a");
    CRASH_POINT("c");
}

static void test_crash__no_plan__nothing_happens(void **state) {
    (void)state;
    assert_int_equal(test_in_child(pass_points, NULL), 0);
}

static void test_crash_record__points_passed__each_once_in_order_and_appended(void **state) {
    (void)state;
    setenv("DISBURSE_CRASH_RECORD", record_path, 1);
    assert_int_equal(test_in_child(pass_points, NULL), 0);
    char *text = test_read_file(record_path);
    assert_string_equal(text, "a\nb\nc\n");
    free(text);
    assert_int_equal(test_in_child(pass_points, NULL), 0);
    text = test_read_file(record_path);
    assert_string_equal(text, "a\nb\nc\na\nb\nc\n");
    free(text);
}

static void test_crash_at__nth_hit__killed_there(void **state) {
    (void)state;
    setenv("DISBURSE_CRASH_RECORD", record_path, 1);
    setenv("DISBURSE_CRASH_AT", "a", 1);
    int status = test_in_child(pass_points, NULL);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    char *text = test_read_file(record_path);
    assert_string_equal(text, "a\n");
    free(text);
    setenv("DISBURSE_CRASH_AT", "a:2", 1);
    unlink(record_path);
    status = test_in_child(pass_points, NULL);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    text = test_read_file(record_path);
    assert_string_equal(text, "a\nb\n");
    free(text);
    setenv("DISBURSE_CRASH_AT", "a:3", 1);
    assert_int_equal(test_in_child(pass_points, NULL), 0);
    setenv("DISBURSE_CRASH_AT", "elsewhere", 1);
    assert_int_equal(test_in_child(pass_points, NULL), 0);
}

static void test_crash_done__second_process__does_not_fire_again(void **state) {
    (void)state;
    setenv("DISBURSE_CRASH_AT", "b", 1);
    setenv("DISBURSE_CRASH_DONE", done_path, 1);
    int status = test_in_child(pass_points, NULL);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(access(done_path, F_OK), 0);
    assert_int_equal(test_in_child(pass_points, NULL), 0);
    unlink(done_path);
    status = test_in_child(pass_points, NULL);
    assert_true(WIFSIGNALED(status));
}

static void test_crash_stop__continued__goes_on(void **state) {
    (void)state;
    setenv("DISBURSE_CRASH_AT", "b", 1);
    setenv("DISBURSE_CRASH_ACTION", "stop", 1);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        pass_points(NULL);
        _exit(7);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    kill(pid, SIGCONT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void block_term_and_pass(void *arg) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pass_points(arg);
}

static void test_crash_exec__program__runs_once_and_is_waited_for(void **state) {
    (void)state;
    char script[3 * PATH_MAX], action[PATH_MAX + 8];
    // The file is written after a while, which reveals a crash point that does not wait. The signal mask must be clear.
    snprintf(script, sizeof(script),
             "#!/bin/sh\nsleep 0.2\necho \"$1\" $(grep SigBlk /proc/self/status | cut -f2) >>%s\n",
             output_path);
    test_write_file(script_path, script, 0700);
    snprintf(action, sizeof(action), "exec:%s", script_path);
    setenv("DISBURSE_CRASH_AT", "b", 1);
    setenv("DISBURSE_CRASH_ACTION", action, 1);
    setenv("DISBURSE_CRASH_DONE", done_path, 1);
    assert_int_equal(test_in_child(block_term_and_pass, NULL), 0);
    char *text = test_read_file(output_path);
    assert_string_equal(text, "b 0000000000000000\n");
    free(text);
    assert_int_equal(test_in_child(pass_points, NULL), 0);
    text = test_read_file(output_path);
    assert_string_equal(text, "b 0000000000000000\n");
    free(text);
}

static void test_crash__plan_that_cannot_be_read__aborts(void **state) {
    (void)state;
    static const char *const PLANS[] = {"b:0", "b:", "b:x", ":1", "b:-1"};
    for (size_t i = 0; i < N_OF(PLANS); i++) {
        setenv("DISBURSE_CRASH_AT", PLANS[i], 1);
        assert_aborts(pass_points, NULL);
    }
    setenv("DISBURSE_CRASH_AT", "b", 1);
    setenv("DISBURSE_CRASH_ACTION", "explode", 1);
    assert_aborts(pass_points, NULL);
    setenv("DISBURSE_CRASH_ACTION", "exec:", 1);
    assert_aborts(pass_points, NULL);
    setenv("DISBURSE_CRASH_ACTION", "exec:/nonexistent", 1);
    assert_aborts(pass_points, NULL);
}

// Passes points, then gets a plan, then passes them again.
static void pass_and_plan(void *arg) {
    pass_points(NULL);
    test_write_file(plan_path, arg, 0600);
    pass_points(NULL);
}

static void test_crash_plan_file__written_while_it_runs__counts_from_then(void **state) {
    (void)state;
    setenv("DISBURSE_CRASH_RECORD", record_path, 1);
    setenv("DISBURSE_CRASH_PLAN", plan_path, 1);
    int status = test_in_child(pass_and_plan, "a:2 kill\n");
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(access(taken_path, F_OK), 0);
    assert_int_not_equal(access(plan_path, F_OK), 0);
    // The plan is taken once: the next process finds none.
    assert_int_equal(test_in_child(pass_points, NULL), 0);
    assert_int_equal(test_in_child(pass_and_plan, "a:3 kill\n"), 0);
    assert_int_equal(access(plan_path, F_OK), 0);
}

static void test_crash_plan_file__that_cannot_be_read__aborts(void **state) {
    (void)state;
    static char *const PLANS[] = {
        "a", "a:1", "a:1 kill", "a:0 kill\n", "a:1 explode\n", " kill\n", "a:1 kill\nb:1 kill\n"};
    setenv("DISBURSE_CRASH_PLAN", plan_path, 1);
    for (size_t i = 0; i < N_OF(PLANS); i++) {
        assert_aborts(pass_and_plan, PLANS[i]);
    }
}

#define CRASH_TEST(fn) cmocka_unit_test_setup(fn, each_setup)

int main(void) {
    const struct CMUnitTest tests[] = {
        CRASH_TEST(test_crash__no_plan__nothing_happens),
        CRASH_TEST(test_crash_record__points_passed__each_once_in_order_and_appended),
        CRASH_TEST(test_crash_at__nth_hit__killed_there),
        CRASH_TEST(test_crash_done__second_process__does_not_fire_again),
        CRASH_TEST(test_crash_stop__continued__goes_on),
        CRASH_TEST(test_crash_exec__program__runs_once_and_is_waited_for),
        CRASH_TEST(test_crash_plan_file__written_while_it_runs__counts_from_then),
        CRASH_TEST(test_crash_plan_file__that_cannot_be_read__aborts),
        CRASH_TEST(test_crash__plan_that_cannot_be_read__aborts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
