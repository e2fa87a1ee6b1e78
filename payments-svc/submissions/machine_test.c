// The states of a submission: its sender's next task, the meaning of a look at the bank, and the effect of the bank's word.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "submissions/machine.h"
#include "submissions/mask.h"

static const submission_evidence NOTHING;
enum { NOW = 100, LATER = 200, PAST = 50 };

static void test_next__each_state__its_task(void **state) {
    (void)state;
    const submission_evidence begun = {.at_risk = 1};
    const submission_evidence finished = {.at_risk = 1, .finished = true};
    const submission_evidence told = {.accepted = true};
    const submission_evidence acked = {.at_risk = 1, .accepted = true};
    const submission_evidence heard = {.at_risk = 1, .items_heard = true};
    const struct {
        submission_state state;
        const submission_evidence *known;
        bool readable;
        int64_t stale_us;
        submission_task task;
    } CASES[] = {
        {SUBMISSION_PREPARED, &NOTHING, true, LATER, TASK_SEND},
        {SUBMISSION_PREPARED, &NOTHING, true, PAST, TASK_WITHDRAW},
        {SUBMISSION_PREPARED, &NOTHING, false, LATER, TASK_WITHDRAW},
        {SUBMISSION_PREPARED, &begun, true, PAST, TASK_ASK}, // a begun upload is never withdrawn
        {SUBMISSION_PREPARED, &told, true, PAST, TASK_RECORD_SENT},
        {SUBMISSION_PREPARED, &heard, false, LATER, TASK_RECORD_SENT},
        {SUBMISSION_SENDING, &begun, true, PAST, TASK_ASK},
        {SUBMISSION_SENDING, &begun, false, LATER, TASK_WAIT_READ},
        {SUBMISSION_SENDING, &finished, true, LATER, TASK_RECORD_SENT},
        {SUBMISSION_UNKNOWN, &begun, true, LATER, TASK_ASK},
        {SUBMISSION_UNKNOWN, &acked, true, LATER, TASK_RECORD_SENT},
        {SUBMISSION_UNKNOWN, &heard, false, LATER, TASK_RECORD_SENT},
        {SUBMISSION_SENT, &finished, true, PAST, TASK_NONE},
        {SUBMISSION_ACKED, &acked, true, PAST, TASK_NONE},
        {SUBMISSION_REJECTED, &begun, true, PAST, TASK_NONE},
        {SUBMISSION_WITHDRAWN, &NOTHING, true, PAST, TASK_NONE},
        {SUBMISSION_DISPUTED, &begun, true, LATER, TASK_NONE},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const submission_task task = submission_next(CASES[i].state, CASES[i].known,
                                                     CASES[i].readable, NOW, CASES[i].stale_us);
        if (task != CASES[i].task) {
            fail_msg("case %zu: task %d", i, (int)task);
        }
    }
}

// Promise UNKNOWN-IS-A-STATE: a begun upload that the bank does not show is "not sent" only when that is certain.
static void test_UNKNOWN_IS_A_STATE_begun__and_not_shown__unknown(void **state) {
    (void)state;
    const submission_evidence begun = {.at_risk = 1};
    const submission_evidence twice = {.at_risk = 2};
    const submission_evidence exposed = {.exposed = true}; // the bank sees temporary files
    const struct {
        const submission_evidence *known;
        submission_look look;
        bool taken_back, absence_counts;
        submission_finding finding;
    } CASES[] = {
        {&exposed, LOOK_ABSENT, false, false, FINDING_UNKNOWN},
        {&exposed, LOOK_ABSENT, true, false, FINDING_NOT_SENT},
        {&exposed, LOOK_ABSENT, false, true, FINDING_NOT_SENT},
        {&exposed, LOOK_THERE, false, false, FINDING_SENT},
        {&exposed, LOOK_SAME_SIZE, false, false, FINDING_UNKNOWN},
        {&exposed, LOOK_SAME_SIZE, true, false, FINDING_NAME_TAKEN},
        {&exposed, LOOK_OTHER, false, true, FINDING_UNKNOWN},
        {&exposed, LOOK_OTHER, true, false, FINDING_NAME_TAKEN},
        {&exposed, LOOK_FAILED, true, true, FINDING_UNKNOWN},
        {&begun, LOOK_ABSENT, false, false, FINDING_UNKNOWN},
        {&begun, LOOK_ABSENT, true, false, FINDING_NOT_SENT}, // its temporary file was still there
        {&begun, LOOK_ABSENT, false, true, FINDING_NOT_SENT},
        {&twice, LOOK_ABSENT, true, false, FINDING_UNKNOWN},
        {&begun, LOOK_UNPROVEN, false, true, FINDING_UNKNOWN}, // the archive is not complete
        {&begun, LOOK_UNPROVEN, true, true, FINDING_NOT_SENT},
        {&NOTHING, LOOK_UNPROVEN, false, true, FINDING_NOT_SENT},
        {&begun, LOOK_THERE, false, false, FINDING_SENT},
        {&begun, LOOK_SAME_SIZE, false, false, FINDING_SENT},
        {&begun, LOOK_OTHER, true, true, FINDING_UNKNOWN},
        {&begun, LOOK_FAILED, true, true, FINDING_UNKNOWN},
        {&NOTHING, LOOK_ABSENT, false, false, FINDING_NOT_SENT},
        {&NOTHING, LOOK_THERE, false, false, FINDING_SENT},
        {&NOTHING, LOOK_SAME_SIZE, false, false, FINDING_NAME_TAKEN},
        {&NOTHING, LOOK_OTHER, false, true, FINDING_NAME_TAKEN},
        {&NOTHING, LOOK_FAILED, false, true, FINDING_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const submission_finding finding = submission_judge(
            CASES[i].known, CASES[i].look, CASES[i].taken_back, CASES[i].absence_counts);
        if (finding != CASES[i].finding) {
            fail_msg("case %zu: finding %d", i, (int)finding);
        }
    }
}

// One look without the file begins a wait; it proves nothing.
static void test_absence__of_a_complete_archive__counts_after_the_lag(void **state) {
    (void)state;
    const submission_evidence none = {.at_risk = 1}, early = {.at_risk = 1, .absent_ms = 100},
                              late = {.at_risk = 1, .absent_ms = 101};
    assert_false(submission_absence_counts(&none, true, 100));
    assert_false(submission_absence_counts(&none, true, 0));
    assert_false(submission_absence_counts(&early, true, 100));
    assert_true(submission_absence_counts(&late, true, 100));
    assert_false(submission_absence_counts(&late, false, 100));
}

static void test_judge__our_evidence__goes_before_the_bank(void **state) {
    (void)state;
    const submission_evidence known[] = {{.at_risk = 1, .finished = true},
                                         {.at_risk = 1, .accepted = true},
                                         {.at_risk = 1, .items_heard = true}};
    for (size_t i = 0; i < 3; i++) {
        for (int look = LOOK_THERE; look <= LOOK_FAILED; look++) {
            assert_int_equal(submission_judge(&known[i], (submission_look)look, true, true),
                             FINDING_SENT);
        }
    }
}

static void test_hear__word_of_the_bank__by_state_and_evidence(void **state) {
    (void)state;
    const submission_evidence once = {.at_risk = 1};
    const submission_evidence twice = {.at_risk = 2};
    const submission_evidence again = {.at_risk = 1,
                                       .possible = 2}; // an archive did not show the first upload
    const submission_evidence heard = {.at_risk = 1, .items_heard = true};
    const submission_evidence acked = {.at_risk = 1, .accepted = true};
    const struct {
        submission_state state;
        const submission_evidence *known;
        bool accepted, sure;
        submission_word word;
    } CASES[] = {
        {SUBMISSION_SENT, &once, true, false, WORD_ACCEPT},
        {SUBMISSION_SENDING, &once, true, false, WORD_ACCEPT},
        {SUBMISSION_UNKNOWN, &twice, true, false, WORD_ACCEPT},
        {SUBMISSION_ACKED, &acked, true, false, WORD_REPEAT},
        {SUBMISSION_PREPARED, &NOTHING, true, false, WORD_ACCEPT},
        {SUBMISSION_WITHDRAWN, &NOTHING, true, false, WORD_CONTRARY},
        {SUBMISSION_REJECTED, &once, true, false, WORD_CONTRARY},
        {SUBMISSION_DISPUTED, &once, true, false, WORD_CONTRARY},
        {SUBMISSION_SENT, &once, false, true, WORD_REJECT},
        {SUBMISSION_UNKNOWN, &once, false, true, WORD_REJECT},
        {SUBMISSION_REJECTED, &once, false, true, WORD_REPEAT},
        {SUBMISSION_DISPUTED, &once, false, true, WORD_REPEAT},
        // The rejection of a copy never voids the payments of the original.
        {SUBMISSION_SENT, &once, false, false, WORD_DISPUTE},
        {SUBMISSION_SENDING, &once, false, false, WORD_DISPUTE},
        {SUBMISSION_SENT, &twice, false, true, WORD_DISPUTE},
        {SUBMISSION_SENT, &again, false, true, WORD_DISPUTE},
        {SUBMISSION_ACKED, &acked, false, true, WORD_DISPUTE},
        {SUBMISSION_PREPARED, &NOTHING, false, true, WORD_DISPUTE},
        {SUBMISSION_SENT, &heard, false, true, WORD_CONTRARY},
        {SUBMISSION_WITHDRAWN, &NOTHING, false, true, WORD_CONTRARY},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const submission_word word =
            submission_hear(CASES[i].state, CASES[i].known, CASES[i].accepted, CASES[i].sure);
        if (word != CASES[i].word) {
            fail_msg("case %zu: word %d", i, (int)word);
        }
    }
}

static void test_names__numbers_that_nobody_knows__question_mark(void **state) {
    (void)state;
    assert_string_equal(submission_state_name(SUBMISSION_WITHDRAWN), "WITHDRAWN");
    assert_string_equal(submission_state_name(99), "?");
    assert_string_equal(submission_evidence_name(EVIDENCE_TAKEN_BACK), "TAKEN_BACK");
    assert_string_equal(submission_evidence_name(0), "?");
}

static void test_mask__file__last_four_of_each_account_and_nothing_else(void **state) {
    (void)state;
    static const char *const ACCOUNTS[][2] = {{"000123456789     ", "********6789     "},
                                              {"12               ", "12               "},
                                              {"12-34 567        ", "***** 567        "},
                                              {"12345678901234567", "*************4567"}};
    for (size_t i = 0; i < 4; i++) {
        char file[512], want[512];
        for (int side = 0; side < 2; side++) {
            snprintf(side == 0 ? file : want, sizeof file, "1%-93s\n6%11s%s%-65s\n9%-93s\n",
                     "1123456789012345", "22231380104", ACCOUNTS[i][side], "1234567890", "99999");
        }
        assert_true(submission_mask_nacha(file, strlen(file)));
        assert_string_equal(file, want);
    }
    char other[] = "account 000123456789\n";
    assert_false(submission_mask_nacha(other, strlen(other)));
    assert_false(submission_mask_nacha(other, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next__each_state__its_task),
        cmocka_unit_test(test_UNKNOWN_IS_A_STATE_begun__and_not_shown__unknown),
        cmocka_unit_test(test_absence__of_a_complete_archive__counts_after_the_lag),
        cmocka_unit_test(test_judge__our_evidence__goes_before_the_bank),
        cmocka_unit_test(test_hear__word_of_the_bank__by_state_and_evidence),
        cmocka_unit_test(test_mask__file__last_four_of_each_account_and_nothing_else),
        cmocka_unit_test(test_names__numbers_that_nobody_knows__question_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
