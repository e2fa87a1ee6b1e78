// An interrupted upload is looked for in the folders of the settings: the folders must not change before it is decided.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "testing/sender_test_world.h"

static submission_sender *sender_of(const char *folders) {
    upload_folders = folders;
    submission_sender *s = make_sender(LEASE_MS, true);
    upload_folders = NULL;
    return s;
}

static bool fits(const char *folders, err *e) {
    submission_sender *s = sender_of(folders);
    err_clear(e);
    const bool ok = submission_sender_fits(s, e);
    submission_sender_destroy(s);
    return ok;
}

static void test_start__other_folders_while_a_file_is_open__refused(void **state) {
    (void)state;
    err e = {0};
    submission_sender *before = sender_of("in staging, then in inbox");
    const uuid id = prepare_one(1, 3, "f1", tomorrow(), 1);
    assert_true(fits("in inbox", &e)); // the upload has not begun
    the_bank.loses_answer = true;
    the_bank.no_archive = true;
    run(before, 1);
    assert_true(state_of(id) == SUBMISSION_SENDING || state_of(id) == SUBMISSION_UNKNOWN);
    assert_false(fits("in inbox", &e));
    assert_int_equal(e.code, ERR_FAILED_PRECONDITION);
    assert_string_equal(e.reason, "BAD_SETTING");
    assert_non_null(strstr(e.message, "f1"));
    assert_non_null(strstr(e.message, "in staging, then in inbox"));
    submission_sender *changed = sender_of("in inbox");
    assert_false(submission_sender_start(changed, &e));
    submission_sender_destroy(changed);
    assert_true(fits("in staging, then in inbox", &e));
    assert_true(fits(NULL, &e)); // a channel without folders
    submission_sender_destroy(before);
}

static void test_start__other_folders_when_all_is_decided__begins(void **state) {
    (void)state;
    err e = {0};
    submission_sender *before = sender_of("in staging, then in inbox");
    const uuid id = prepare_one(1, 3, "f1", tomorrow(), 1);
    run(before, 1);
    assert_int_equal(state_of(id), SUBMISSION_SENT);
    assert_true(fits("in inbox", &e));
    submission_sender_destroy(before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_start__other_folders_while_a_file_is_open__refused,
                                        world_set_up, world_tear_down),
        cmocka_unit_test_setup_teardown(test_start__other_folders_when_all_is_decided__begins,
                                        world_set_up, world_tear_down),
    };
    return cmocka_run_group_tests(tests, world_create, world_destroy);
}
