#include "ach/ach.h"

#include <stdlib.h>

#include "ach/ach_internal.h"
#include "base/assert.h"
#include "base/cond.h"
#include "base/log.h"

static void report(const char *event, const err *e) {
    log_err(LOG_ERROR, event, e);
}

static bool take(ach *a, const char *name) {
    a->took = true;
    return ach_take(a, name);
}

// Does all due work. A failed step is repeated at the next pass.
static void pass(ach *a) {
    err e = {0};
    a->took = false;
    ach_inbox_each(a, take);
    ach_archive_prune(a);
    if (!ach_settle_due(a, &e)) {
        report("ach.settle_failed", &e);
        err_clear(&e);
    }
    if (!ach_returns_due(a, &e)) {
        report("ach.returns_failed", &e);
        err_clear(&e);
    }
    if (!ach_outputs_write(a, &e)) {
        report("ach.output_failed", &e);
    }
}

// Slows the reading of the inbox by this factor after a while without files.
enum { IDLE_FACTOR = 8 };

static int64_t next_pause_ms(const ach *a, int64_t pause_ms) {
    const int64_t more_ms = pause_ms + pause_ms / 8 + 1, most_ms = a->o.poll_ms * IDLE_FACTOR;
    return a->took ? a->o.poll_ms : more_ms < most_ms ? more_ms : most_ms;
}

static void *ach_main(void *arg) {
    ach *a = arg;
    int64_t pause_ms = a->o.poll_ms;
    pthread_mutex_lock(&a->lock);
    while (!a->stop) {
        uint64_t wanted = a->flush_wanted;
        pthread_mutex_unlock(&a->lock);
        pass(a);
        pause_ms = next_pause_ms(a, pause_ms);
        pthread_mutex_lock(&a->lock);
        if (a->flush_done < wanted) {
            pause_ms = a->o.poll_ms;
            a->flush_done = wanted;
            pthread_cond_broadcast(&a->changed);
        }
        const struct timespec until = cond_after_ms(pause_ms);
        while (!a->stop && a->flush_wanted == a->flush_done &&
               cond_wait_until(&a->changed, &a->lock, &until)) {
        }
    }
    a->flush_done = UINT64_MAX; // a waiter need not wait any longer
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

ach *ach_start(const ach_options *o, err *e) {
    ach *a = calloc(1, sizeof(*a));
    ASSERT(a != NULL);
    a->o = *o;
    a->returns = calloc(ACH_RETURNS_PER_FILE + ACH_ODD_MAX, sizeof(*a->returns));
    ASSERT(a->returns != NULL);
    strbuf_init(&a->text, ACH_OUTPUT_MAX);
    MUST(pthread_mutex_init(&a->lock, NULL) == 0);
    cond_init(&a->changed);
    if (pthread_create(&a->thread, NULL, ach_main, a) != 0) {
        (void)err_set(e, ERR_RESOURCE_EXHAUSTED, "THREAD", "no thread for ACH");
        strbuf_deinit(&a->text);
        free(a->returns);
        free(a);
        return NULL;
    }
    return a;
}

void ach_flush(ach *a) {
    pthread_mutex_lock(&a->lock);
    // A running pass may have read the inbox already. Only a pass that begins now counts.
    uint64_t mine = ++a->flush_wanted;
    pthread_cond_broadcast(&a->changed);
    while (a->flush_done < mine) {
        pthread_cond_wait(&a->changed, &a->lock);
    }
    pthread_mutex_unlock(&a->lock);
}

void ach_stop(ach *a) {
    if (a == NULL) {
        return;
    }
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    (void)pthread_join(a->thread, NULL);
    (void)pthread_cond_destroy(&a->changed);
    (void)pthread_mutex_destroy(&a->lock);
    strbuf_deinit(&a->text);
    free(a->returns);
    free(a);
}
