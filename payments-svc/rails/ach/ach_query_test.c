// Queries about one payout: the answer follows from its submission.
#include "testing/ach_inbound_test_world.h"

#include <stdio.h>

#include "submissions/machine.h"
#include "testing/fixture.h"

enum { BOOK = 3 };

// Asks about the only entry, in a submission of this state.
static rail_verdict asked(submission_state state) {
    char sql[80];
    arena *a = arena_create(1 << 16);
    rail_item item = {
        .payout_id = {{0x01, 0x93, 0, BOOK, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}},
        .attempt = 1,
    };
    (void)snprintf(sql, sizeof sql, "UPDATE submission SET state = %d", (int)state);
    fixture_sql(sql, NULL, 0);
    ach->query(ach, BOOK, &item, 1, a);
    arena_destroy(a);
    return item.verdict;
}

static void test_query__by_the_state_of_its_submission(void **state) {
    (void)state;
    send_entries(BOOK, 1);
    assert_int_equal(asked(SUBMISSION_SENT), RAIL_ACCEPTED);
    assert_int_equal(asked(SUBMISSION_ACKED), RAIL_ACCEPTED);
    assert_int_equal(asked(SUBMISSION_PREPARED), RAIL_HANDED_OVER);
    assert_int_equal(asked(SUBMISSION_SENDING), RAIL_HANDED_OVER);
    assert_int_equal(asked(SUBMISSION_UNKNOWN), RAIL_HANDED_OVER);
    assert_int_equal(asked(SUBMISSION_DISPUTED), RAIL_HANDED_OVER);
}

// It waits for the next file. No word about it can ever come.
static void test_query__submission_that_never_was_taken__not_sent(void **state) {
    (void)state;
    send_entries(BOOK, 1);
    assert_int_equal(asked(SUBMISSION_WITHDRAWN), RAIL_NOT_SENT);
    assert_int_equal(asked(SUBMISSION_REJECTED), RAIL_NOT_SENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_query__by_the_state_of_its_submission),
        TEST(test_query__submission_that_never_was_taken__not_sent),
    };
    return cmocka_run_group_tests(tests, ach_world_begin, ach_world_end);
}
