// Random lives of random books: the posting rules against the model. DISBURSE_TEST_SEED repeats a run, DISBURSE_TEST_EVENTS
// says how many events a run has. A life that goes wrong is made as short as it can be, and printed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "domain/status.h"
#include "script.h"
#include "subject.h"

enum {
    EVENTS_WANTED = 100000,
    EVENTS_OF_A_LIFE = 320,
    REPLAYS_MAX = 4000,
    RARE = 20,
    MESSAGE_MAX = 1024
};

// What the process that lives a life leaves to the one that judges it: the rules may abort.
typedef struct verdict {
    bool ended; // it came to its end
    char message[MESSAGE_MAX];
    uint64_t transfers_seen[LEDGER_TRANSFER_STATUS_COUNT];
    uint64_t accounts_seen[LEDGER_ACCOUNT_STATUS_COUNT];
} verdict;

static verdict *shared;

static bool says(size_t step, const char *found) {
    if (found != NULL) {
        (void)snprintf(shared->message, sizeof shared->message, "step %zu: %s", step, found);
    }
    return found != NULL;
}

// A step whose events do not depend on being in one request: the first one decides whether all are imported, and their times
// must grow.
static bool splits(const model_step *step) {
    const uint32_t imported =
        step->kind == STEP_ACCOUNTS ? (uint32_t)A_IMPORTED : (uint32_t)T_IMPORTED;
    for (size_t i = 0; i < step->n; i++) {
        if ((step->events[i].flags & imported) != 0) {
            return false;
        }
    }
    return true;
}

// Each chain, and each event outside of one, as a request of its own.
static void apply_one_by_one(subject *s, const model_step *step, int64_t now_us) {
    for (size_t first = 0; first < step->n;) {
        size_t end = first + 1;
        while (end < step->n && (!splits(step) || (step->events[end - 1].flags & 1) != 0)) {
            end++;
        }
        subject_apply(s, step, first, end, now_us, first == 0);
        first = end;
    }
}

static bool live_step(model *m, subject *whole, subject *single, const model_step *step, size_t at,
                      int64_t now_us) {
    model_result results[MODEL_EVENTS_MAX];
    model_apply(m, step, now_us, results);
    subject_apply(whole, step, 0, step->n, now_us, true);
    apply_one_by_one(single, step, now_us);
    for (size_t i = 0; i < step->n; i++) {
        for (size_t k = 0; k < LEDGER_TRANSFER_STATUS_COUNT && step->kind != STEP_ACCOUNTS; k++) {
            const char *name = ledger_transfer_status_name((ledger_transfer_status)k);
            shared->transfers_seen[k] += strcmp(name, results[i].status) == 0;
        }
        for (size_t k = 0; k < LEDGER_ACCOUNT_STATUS_COUNT && step->kind == STEP_ACCOUNTS; k++) {
            const char *name = ledger_account_status_name((ledger_account_status)k);
            shared->accounts_seen[k] += strcmp(name, results[i].status) == 0;
        }
    }
    return !says(at, subject_differs_from_results(whole, m, step, results)) &&
           !says(at, subject_differs_from_rows(whole, m)) &&
           !says(at, subject_differs_from_accounts(whole, m)) &&
           !says(at, subject_differs_from(whole, single, step->n));
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
        (void)says(c->n_steps, subject_out_of_balance(whole));
    }
    subject_destroy(whole);
    subject_destroy(single);
    model_destroy(m);
}

// Lives it in a process of its own. False when it went wrong: shared->message says how.
static bool holds(const ledger_case *c, bool quiet) {
    shared->ended = false;
    shared->message[0] = '\0';
    (void)fflush(NULL);
    const pid_t child = fork();
    ASSERT(child >= 0);
    if (child == 0) {
        if (quiet) {
            ASSERT(freopen("/dev/null", "w", stderr) != NULL);
        }
        live(c);
        shared->ended = true;
        _exit(0);
    }
    int status = 0;
    ASSERT(waitpid(child, &status, 0) == child);
    if (!shared->ended) {
        (void)snprintf(shared->message, sizeof shared->message, "the rules aborted (status %d)",
                       status);
    }
    return shared->message[0] == '\0';
}

// --- Making a case short ---------------------------------------------------------------------------------------------

static void without_steps(const ledger_case *c, size_t first, size_t n, ledger_case *out) {
    *out = (ledger_case){.start_us = c->start_us};
    int64_t skipped_us = 0;
    for (size_t i = 0; i < c->n_steps; i++) {
        if (i >= first && i < first + n) {
            skipped_us += c->steps[i].advance_us;
            continue;
        }
        out->steps[out->n_steps] = c->steps[i];
        out->steps[out->n_steps++].advance_us += skipped_us;
        skipped_us = 0;
    }
}

static void without_event(const ledger_case *c, size_t step, size_t event, ledger_case *out) {
    *out = *c;
    model_step *s = &out->steps[step];
    memmove(&s->events[event], &s->events[event + 1], (s->n - event - 1) * sizeof s->events[0]);
    s->n--;
}

static bool try_shorter(ledger_case *c, const ledger_case *candidate, size_t *replays) {
    if (*replays >= REPLAYS_MAX || holds(candidate, true)) {
        (*replays)++;
        return false;
    }
    (*replays)++;
    *c = *candidate;
    return true;
}

static bool drop_steps(ledger_case *c, ledger_case *scratch, size_t *replays) {
    bool dropped = false;
    for (size_t chunk = c->n_steps / 2 + 1; chunk > 0; chunk /= 2) {
        for (size_t first = 0; first < c->n_steps;) {
            without_steps(c, first, chunk, scratch);
            if (try_shorter(c, scratch, replays)) {
                dropped = true;
            } else {
                first += chunk;
            }
        }
    }
    return dropped;
}

static bool drop_events(ledger_case *c, ledger_case *scratch, size_t *replays) {
    bool dropped = false;
    for (size_t i = 0; i < c->n_steps; i++) {
        for (size_t k = c->steps[i].n; k-- > 0 && c->steps[i].n > 1;) {
            without_event(c, i, k, scratch);
            dropped = try_shorter(c, scratch, replays) || dropped;
        }
    }
    return dropped;
}

static void shrink(ledger_case *c) {
    ledger_case *scratch = malloc(sizeof *scratch);
    ASSERT(scratch != NULL);
    size_t replays = 0;
    while (drop_steps(c, scratch, &replays) | drop_events(c, scratch, &replays)) {
    }
    free(scratch);
}

// --- The test --------------------------------------------------------------------------------------------------------

static uint64_t from_environment(const char *name, uint64_t otherwise) {
    const char *given = getenv(name);
    return given != NULL ? strtoull(given, NULL, 10) : otherwise;
}

static void expect_reached(void) {
    for (int k = 1; k < LEDGER_TRANSFER_STATUS_COUNT; k++) {
        if (shared->transfers_seen[k] < RARE) {
            print_message("rare: %s, %" PRIu64 " times\n",
                          ledger_transfer_status_name((ledger_transfer_status)k),
                          shared->transfers_seen[k]);
        }
        // Needs a year that bigint microseconds do not reach.
        if (shared->transfers_seen[k] == 0 && k != LEDGER_TRANSFER_OVERFLOWS_TIMEOUT) {
            fail_msg("no transfer was %s", ledger_transfer_status_name((ledger_transfer_status)k));
        }
    }
    for (int k = 1; k < LEDGER_ACCOUNT_STATUS_COUNT; k++) {
        if (shared->accounts_seen[k] < RARE) {
            print_message("rare: account %s, %" PRIu64 " times\n",
                          ledger_account_status_name((ledger_account_status)k),
                          shared->accounts_seen[k]);
        }
        if (shared->accounts_seen[k] == 0) {
            fail_msg("no account was %s", ledger_account_status_name((ledger_account_status)k));
        }
    }
}

static void the_rules_do_what_the_model_says(void **state) {
    (void)state;
    uint64_t seed = from_environment(
        "DISBURSE_TEST_SEED", (uint64_t)time(NULL)); // lint: allow wall-clock: a seed, printed
    const uint64_t wanted = from_environment("DISBURSE_TEST_EVENTS", EVENTS_WANTED);
    print_message("seed %" PRIu64 " (DISBURSE_TEST_SEED)\n", seed);
    ledger_case *c = malloc(sizeof *c);
    ASSERT(c != NULL);
    uint64_t events = 0;
    while (events < wanted) {
        generate_case(generate_next(&seed), EVENTS_OF_A_LIFE, TIME_EXACT, GENERATE_START_US, c);
        events += case_count_events(c);
        if (!holds(c, false)) {
            print_message("after %" PRIu64 " events: %s\n", events, shared->message);
            shrink(c);
            (void)holds(c, true);
            print_message("the shortest case found (%zu events): %s\n", case_count_events(c),
                          shared->message);
            script_print(c, stdout);
            free(c);
            fail_msg("the posting rules differ from the model");
        }
    }
    free(c);
    print_message("%" PRIu64 " events\n", events);
    if (wanted >= EVENTS_WANTED) {
        expect_reached();
    }
}

int main(void) {
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(shared != MAP_FAILED);
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_rules_do_what_the_model_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
