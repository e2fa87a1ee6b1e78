#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lives.h"

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

enum { EVENTS_WANTED = 100000, EVENTS_OF_A_LIFE = 320, RARE = 20, MESSAGE_MAX = 1024 };

// The report of the process that lives some lives. Another process judges it, because the code under test may abort.
typedef struct verdict {
    bool ended; // all lives came to their end
    char message[MESSAGE_MAX];
    uint64_t number, seed; // of the last life that began
    uint64_t events;
    int64_t unique;
    uint64_t transfers_seen[LEDGER_TRANSFER_STATUS_COUNT];
    uint64_t accounts_seen[LEDGER_ACCOUNT_STATUS_COUNT];
} verdict;

static verdict *shared;

bool lives_says(size_t step, const char *found) {
    if (found != NULL) {
        (void)snprintf(shared->message, sizeof shared->message, "step %zu: %s", step, found);
    }
    return found != NULL;
}

int64_t lives_unique(void) {
    return ++shared->unique; // one process at a time
}

void lives_count(const model_step *step, const model_result *results) {
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
}

// True when the step's events may go in separate requests. Imported events may not: the first decides whether all are imported, and their
// times must grow.
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

size_t lives_alone(const model_step *step, size_t first) {
    size_t end = first + 1;
    while (end < step->n && (!splits(step) || (step->events[end - 1].flags & 1) != 0)) {
        end++;
    }
    return end;
}

// --- A process that lives --------------------------------------------------------------------------------------------

// The life of this number. *seed: the present seed of its run.
static void generate_life(const lives *l, uint64_t number, uint64_t *seed, ledger_case *out) {
    const bool coarse = l->coarse_every != 0 && number % l->coarse_every == 0;
    generate_case(generate_next(seed), EVENTS_OF_A_LIFE, coarse ? TIME_COARSE : TIME_EXACT,
                  GENERATE_START_US, out);
}

// In the child: one case, or as many of the run's as one process lives.
static void live(const lives *l, const ledger_case *given, uint64_t number, uint64_t seed,
                 uint64_t wanted) {
    ledger_case *c = malloc(sizeof *c);
    ASSERT(c != NULL);
    if (l->begin != NULL) {
        l->begin();
    }
    if (given != NULL) {
        l->live(given);
    }
    for (size_t i = 0;
         given == NULL && i < l->together && shared->events < wanted && shared->message[0] == '\0';
         i++) {
        shared->seed = seed;
        shared->number = number++;
        generate_life(l, shared->number, &seed, c);
        shared->events += case_count_events(c);
        l->live(c);
    }
    if (l->end != NULL) {
        l->end();
    }
    free(c);
    shared->ended = true;
}

// False when something failed in the child: shared->message says what.
static bool in_a_process(const lives *l, const ledger_case *given, uint64_t number, uint64_t seed,
                         uint64_t wanted) {
    shared->ended = false;
    shared->message[0] = '\0';
    (void)fflush(NULL);
    const pid_t child = fork();
    ASSERT(child >= 0);
    if (child == 0) {
        if (given != NULL) { // a replay: the first run has said it
            MUST(freopen("/dev/null", "w", stderr) != NULL);
        }
        live(l, given, number, seed, wanted);
        _exit(0);
    }
    int status = 0;
    MUST(waitpid(child, &status, 0) == child);
    if (!shared->ended && shared->message[0] == '\0') {
        (void)snprintf(shared->message, sizeof shared->message, "aborted (status %d)", status);
    }
    return shared->message[0] == '\0';
}

static bool holds(const lives *l, const ledger_case *c) {
    return in_a_process(l, c, 0, 0, 0);
}

// --- Making a case short ---------------------------------------------------------------------------------------------

static void without_steps(const ledger_case *c, size_t first, size_t n, ledger_case *out) {
    *out = (ledger_case){.start_us = c->start_us, .time = c->time};
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

static bool try_shorter(const lives *l, ledger_case *c, const ledger_case *candidate,
                        size_t *replays) {
    if (*replays >= l->replays_max || holds(l, candidate)) {
        (*replays)++;
        return false;
    }
    (*replays)++;
    *c = *candidate;
    return true;
}

static bool drop_steps(const lives *l, ledger_case *c, ledger_case *scratch, size_t *replays) {
    bool dropped = false;
    for (size_t chunk = c->n_steps / 2 + 1; chunk > 0; chunk /= 2) {
        for (size_t first = 0; first < c->n_steps;) {
            without_steps(c, first, chunk, scratch);
            if (try_shorter(l, c, scratch, replays)) {
                dropped = true;
            } else {
                first += chunk;
            }
        }
    }
    return dropped;
}

static bool drop_events(const lives *l, ledger_case *c, ledger_case *scratch, size_t *replays) {
    bool dropped = false;
    for (size_t i = 0; i < c->n_steps; i++) {
        for (size_t k = c->steps[i].n; k-- > 0 && c->steps[i].n > 1;) {
            without_event(c, i, k, scratch);
            dropped = try_shorter(l, c, scratch, replays) || dropped;
        }
    }
    return dropped;
}

static void shrink(const lives *l, ledger_case *c) {
    ledger_case *scratch = malloc(sizeof *scratch);
    ASSERT(scratch != NULL);
    size_t replays = 0;
    while (drop_steps(l, c, scratch, &replays) | drop_events(l, c, scratch, &replays)) {
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

// The failed life, made as short as possible.
static void explain(const lives *l) {
    ledger_case *c = malloc(sizeof *c);
    ASSERT(c != NULL);
    print_message("after %" PRIu64 " events: %s\n", shared->events, shared->message);
    uint64_t seed = shared->seed;
    generate_life(l, shared->number, &seed, c);
    if (holds(l, c)) {
        print_message("alone in a process it goes well: it takes the lives before it\n");
    } else {
        shrink(l, c);
        (void)holds(l, c);
        print_message("the shortest case found (%zu events): %s\n", case_count_events(c),
                      shared->message);
    }
    script_print(c, stdout);
    (void)fflush(stdout);
    free(c);
}

void lives_run(const lives *l) {
    const uint64_t now_s = (uint64_t)time(NULL); // lint: allow wall-clock: a seed, printed
    uint64_t seed = from_environment("DISBURSE_TEST_SEED", now_s);
    const uint64_t wanted = from_environment("DISBURSE_TEST_EVENTS", EVENTS_WANTED);
    print_message("seed %" PRIu64 " (DISBURSE_TEST_SEED)\n", seed);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(shared != MAP_FAILED);
    uint64_t number = 0;
    while (shared->events < wanted) {
        if (!in_a_process(l, NULL, number, seed, wanted)) {
            explain(l);
            fail_msg("%s differs from the model", l->name);
        }
        for (; number <= shared->number; number++) {
            (void)generate_next(&seed);
        }
    }
    print_message("%" PRIu64 " events in %" PRIu64 " lives\n", shared->events, number);
    if (wanted >= EVENTS_WANTED) {
        expect_reached();
    }
    MUST(munmap(shared, sizeof *shared) == 0);
}
