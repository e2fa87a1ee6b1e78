// An outbox with files that cannot be taken: the other files are taken, and a person is told.
#include "testing/ach_inbound_test_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "testing/fixture.h"

// A report without settlements.
static const char NOTHING[] = "H,none,1,2026-11-22T09:00:01Z\nT,0,0\n";

static ach_seen *seen_of(const char *name) {
    ach_rail *r = ach->self;
    for (size_t i = 0; i < r->n_seen; i++) {
        if (strcmp(r->seen[i].name, name) == 0) {
            return &r->seen[i];
        }
    }
    fail_msg("%s was not seen", name);
    return NULL;
}

static bool poll(void) {
    err e = {0};
    return ach_inbound_poll(ach->self, &e);
}

static void test_look__file_that_always_fails__rarer_and_told(void **state) {
    (void)state;
    const ach_rail *r = ach->self;
    fixture_sql("ALTER TABLE inbox ADD CONSTRAINT poison CHECK (name <> 'a-poison')", NULL, 0);
    put_text("a-poison", NOTHING);
    put_text("b-good", NOTHING);
    assert_true(poll());
    assert_false(poll());
    assert_true(is_there("outbox/done", "b-good"));
    for (int failures = 1;; failures++) {
        ach_seen *s = seen_of("a-poison");
        assert_int_equal(s->failures, failures);
        assert_true(s->retry_ms >= (failures == 1 ? 0 : s->since_ms + 2000 * failures));
        if (failures == ACH_INBOUND_FAILURES_TOLD) {
            break;
        }
        assert_count("payment_case", 0);
        s->retry_ms = INT64_MAX;
        assert_true(poll());
        assert_int_equal(seen_of("a-poison")->failures, failures); // too early for the next try
        seen_of("a-poison")->retry_ms = 0;
        assert_false(poll());
    }
    assert_count("payment_case WHERE kind = 'INBOX_FILE' AND subject_id = 'ach/a-poison'", 1);
    fixture_sql("ALTER TABLE inbox DROP CONSTRAINT poison", NULL, 0);
    seen_of("a-poison")->retry_ms = clock_mono_ms(r->clock);
    look_once();
    assert_true(is_there("outbox/done", "a-poison"));
}

static void test_look__unfinished_uploads__hide_no_file(void **state) {
    (void)state;
    ach_rail *r = ach->self;
    r->list_max = 100;
    put_text("first", NOTHING);
    for (int i = 0; i < 500; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%04d.tmp", i);
        put_text(name, "");
    }
    put_text("last", NOTHING);
    look();
    assert_true(is_there("outbox/done", "first"));
    assert_true(is_there("outbox/done", "last"));
    for (int i = 0; i < 500; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "root/outbox/%04d.tmp", i);
        assert_int_equal(unlink(sftp_server_path(server, name)), 0);
    }
}

static void test_look__longest_name__taken(void **state) {
    (void)state;
    char name[ACH_INBOUND_NAME_MAX + 2];
    memset(name, 'n', sizeof name);
    name[ACH_INBOUND_NAME_MAX] = '\0';
    put_text(name, NOTHING);
    look();
    assert_true(is_there("outbox/done", name));
    assert_true(ach_inbound_name_ok(name));
    name[ACH_INBOUND_NAME_MAX] = 'n';
    name[ACH_INBOUND_NAME_MAX + 1] = '\0';
    assert_false(ach_inbound_name_ok(name));
    assert_false(ach_inbound_name_ok("../inbox/x"));
    assert_false(ach_inbound_name_ok(""));
}

static void test_look__file_that_changes_for_ever__told(void **state) {
    (void)state;
    put_text("growing", "{");
    look_once();
    put_text("growing", "{ ");
    seen_of("growing")->first_ms -= ACH_INBOUND_LIES_MS;
    look_once();
    look_once();
    assert_count(
        "payment_case WHERE code = 'FILE_LIES' AND subject_id = 'ach/growing' AND seen = 1", 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_look__file_that_always_fails__rarer_and_told),
        TEST(test_look__unfinished_uploads__hide_no_file),
        TEST(test_look__longest_name__taken),
        TEST(test_look__file_that_changes_for_ever__told),
    };
    return cmocka_run_group_tests(tests, ach_world_begin, ach_world_end);
}
