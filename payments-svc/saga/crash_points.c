// The crash points of a step, by their names.
#include <pthread.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/crash.h"
#include "saga/saga_internal.h"

#ifdef DISBURSE_CRASH_POINTS
static char crash_names[STEP_COUNT][AT_COUNT][48];

static void make_crash_names(void) {
    static const char *const BOUNDARIES[AT_COUNT] = {"prepared", "sent", "acked", "recorded",
                                                     "committed"};
    for (int step = 0; step < STEP_COUNT; step++) {
        for (int at = 0; at < AT_COUNT; at++) {
            char *name = crash_names[step][at];
            (void)snprintf(name, sizeof crash_names[step][at], "saga.%s.%s", saga_step_name(step),
                           BOUNDARIES[at]);
            for (; *name != '\0'; name++) {
                *name = (char)(*name >= 'A' && *name <= 'Z' ? *name - 'A' + 'a' : *name);
            }
        }
    }
}

void saga_crash_at(const saga_batch *b, saga_boundary boundary, unsigned step_mask) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    MUST(pthread_once(&once, make_crash_names) == 0);
    unsigned acting = 0;
    for (size_t i = 0; i < b->n; i++) {
        acting |= b->items[i].acting == STEP_NONE ? 0 : SAGA_STEP_BIT(b->items[i].acting);
    }
    for (int step = STEP_RESERVE; step < STEP_COUNT; step++) {
        if ((acting & step_mask & SAGA_STEP_BIT(step)) != 0) {
            CRASH_POINT(crash_names[step][boundary]);
        }
    }
}
#endif
