// The posting rules, in memory, against the model. Every life also runs one event at a time.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lives.h"
#include "subject.h"

static bool live_step(model *m, subject *whole, subject *single, const model_step *step, size_t at,
                      int64_t now_us) {
    model_result results[MODEL_EVENTS_MAX];
    model_apply(m, step, now_us, results);
    subject_apply(whole, step, 0, step->n, now_us, true);
    for (size_t first = 0; first < step->n;) {
        const size_t end = lives_alone(step, first);
        subject_apply(single, step, first, end, now_us, first == 0);
        first = end;
    }
    lives_count(step, results);
    return !lives_says(at, subject_differs_from_results(whole, m, step, results)) &&
           !lives_says(at, subject_differs_from_rows(whole, m)) &&
           !lives_says(at, subject_differs_from_accounts(whole, m)) &&
           !lives_says(at, subject_differs_from(whole, single, step->n));
}

static void live(const ledger_case *c) {
    model *m = model_create();
    subject *whole = subject_create();
    subject *single = subject_create();
    int64_t now_us = c->start_us;
    bool good = true;
    for (size_t i = 0; i < c->n_steps && good; i++) {
        now_us += c->steps[i].advance_us;
        good = live_step(m, whole, single, &c->steps[i], i, now_us);
    }
    if (good) {
        (void)lives_says(c->n_steps, subject_out_of_balance(whole));
    }
    subject_destroy(whole);
    subject_destroy(single);
    model_destroy(m);
}

static void test_rules__lives_at_random__do_what_the_model_says(void **state) {
    (void)state;
    const lives l = {
        .name = "what the posting rules do", .together = 1, .replays_max = 4000, .live = live};
    lives_run(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules__lives_at_random__do_what_the_model_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
