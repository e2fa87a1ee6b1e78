// One batch from claim to outcome: the shell around the pure machine.
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/metrics.h"
#include "saga/saga_internal.h"

// --- Metrics ---------------------------------------------------------------------------------------------------------

enum { STATES = STATE_HELD + 1 };

static bool acts(int step) {
    return step != STEP_NONE && step != STEP_AWAIT && step != STEP_DONE && step != STEP_GATE;
}

static struct {
    metric *claimed, *lease_lost;
    metric *outcomes[STEP_COUNT][OUT_COUNT];
    metric *seconds[STEP_COUNT];
    metric *finished[STATES];
} metrics;

static void make_metrics(void) {
    char labels[96];
    metrics.claimed = metric_counter("saga_claimed_total", "", "Sagas that workers have leased.");
    metrics.lease_lost = metric_counter("saga_lease_lost_total", "",
                                        "Outcomes not written because the lease was lost.");
    for (int step = STEP_RESERVE; step < STEP_COUNT; step++) {
        if (!acts(step)) {
            continue;
        }
        (void)snprintf(labels, sizeof labels, "step=\"%s\"", saga_step_name(step));
        metrics.seconds[step] = metric_histogram("saga_step_seconds", labels,
                                                 "From the claim of a batch to its outcome.");
        for (int outcome = OUT_DONE; outcome < OUT_COUNT; outcome++) {
            (void)snprintf(labels, sizeof labels, "step=\"%s\",outcome=\"%s\"",
                           saga_step_name(step), saga_outcome_name(outcome));
            metrics.outcomes[step][outcome] = metric_counter("saga_step_outcomes_total", labels,
                                                             "Outcomes of the steps of sagas.");
        }
    }
    const saga_state ends[] = {STATE_SETTLED, STATE_FAILED, STATE_RETURNED, STATE_CANCELED,
                               STATE_HELD};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        (void)snprintf(labels, sizeof labels, "state=\"%s\"", saga_state_name((int)ends[i]));
        metrics.finished[ends[i]] = metric_counter("saga_finished_total", labels,
                                                   "Payouts that came to an end, or to a person.");
    }
}

void saga_batch_metrics_init(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    MUST(pthread_once(&once, make_metrics) == 0);
}

// --- Small parts -----------------------------------------------------------------------------------------------------

enum { REFUSALS_MAX = 5 }; // of the outcome's write, until the batch is given up

static size_t count_acting(const saga_batch *b) {
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        n += b->items[i].acting != STEP_NONE ? 1 : 0;
    }
    return n;
}

// --- Results ------------------------------------------------------------------------------------------------------------

static void decide(saga_batch *b, saga_item *item) {
    const saga_policy *policy = &b->from.policy;
    if (saga_on_outcome(&item->now, &item->answer, &item->said, policy, b->from.clock)) {
        return;
    }
    char id[UUID_TEXT_LEN + 1];
    uuid_format(item->payout_id, id);
    log_error("saga.outcome_not_drawn", F_STR("payout", id),
              F_STR("step", saga_step_name((int)saga_logged_step(item))),
              F_STR("outcome", saga_outcome_name((int)item->answer.outcome)));
    item->answer = (saga_answer){OUT_BROKEN, STR("OUTCOME_UNEXPECTED"),
                                 str_of(saga_outcome_name((int)item->answer.outcome)), 0};
    MUST(saga_on_outcome(&item->now, &item->answer, &item->said, policy, b->from.clock));
}

static void decide_all(saga_batch *b) {
    for (size_t i = 0; i < b->n; i++) {
        saga_item *item = &b->items[i];
        if (item->acting != STEP_NONE) {
            decide(b, item);
            item->quiet =
                item->quiet && !saga_is_progress(&item->was, &item->now, item->answer.outcome);
            item->log_seq += item->quiet ? 0 : 1;
        }
    }
}

// True when the database refuses the statement itself: another try would only keep the lease for ever.
static bool is_refusal(const err *e) {
    return (e->flags & (ERR_RETRIABLE | ERR_COMMIT_UNKNOWN | ERR_CONNECTION_LOST)) == 0;
}

// Tries until the outcome is written or the lease is over: the ledger's or the rail's answer is worth a second try. False: not written; the
// next claim repeats the step, or asks the rail. *uncertain: a COMMIT may have happened unseen.
static bool write_outcomes(saga_batch *b, bool *uncertain) {
    static saga_complaint complaint;
    *uncertain = false;
    for (int try_number = 0;; try_number++) {
        err e = {0};
        const int64_t deadline = clock_mono_ms(b->from.clock) + SAGA_DB_TIMEOUT_MS;
        if (saga_store_outcome(b, deadline, &e)) {
            return true;
        }
        if (saga_may_complain(&complaint)) {
            log_err(LOG_WARN, "saga.outcome_not_written", &e);
        }
        *uncertain |= (e.flags & ERR_COMMIT_UNKNOWN) != 0;
        const int64_t wait_ms = 20 + clock_backoff_ms(b->from.clock, 50, 1000, try_number);
        if ((is_refusal(&e) && try_number >= REFUSALS_MAX) ||
            clock_boot_ms(b->from.clock) + wait_ms >= atomic_load(&b->until_boot_ms)) {
            return false;
        }
        clock_pause_ms(wait_ms);
    }
}

// One line per payout, at level debug only: there are thousands. It links the payout to the batch's trace.
static void report_item(const saga_item *item) {
    uuid_format(item->payout_id, log_ctx()->payout_id);
    log_debug("saga.moved", F_STR("step", saga_step_name((int)saga_logged_step(item))),
              F_STR("outcome", saga_outcome_name((int)item->answer.outcome)),
              F_STR("state", saga_state_name((int)saga_public_state(&item->now))),
              F_INT("attempt", item->now.attempt), F_STR("reason", item->now.reason));
    const saga_state state = saga_public_state(&item->now);
    if (state != saga_public_state(&item->was) && (int)state < STATES &&
        metrics.finished[state] != NULL) {
        metric_add(metrics.finished[state], 1);
    }
    if (state == STATE_HELD && strcmp(item->now.hold_text, item->was.hold_text) != 0) {
        log_warn("saga.held", F_STR("reason", item->now.hold), F_STR("text", item->now.hold_text));
    }
    log_ctx()->payout_id[0] = '\0';
}

// Counts the written sagas by their present step. A saga that waits for the rail may have heard its word while it was leased, unless the
// claim itself has brought it there.
static void count_next(const saga_batch *b, saga_result *r) {
    const int64_t now_us = clock_wall_us(b->from.clock);
    for (size_t i = 0; i < b->n; i++) {
        const saga *s = &b->items[i].now;
        const bool leased = b->items[i].acting != STEP_NONE;
        if ((!leased || b->written) && ((leased && s->step == STEP_AWAIT) ||
                                        (s->due_at_us != SAGA_NEVER && s->due_at_us <= now_us))) {
            r->n_next[s->step]++;
        }
    }
}

// Counts the rail's answers for the circuit breaker: without an answer an item is not sent, or unknown.
static void count_answers(const saga_batch *b, saga_result *r) {
    for (size_t i = 0; i < b->n; i++) {
        const saga_item *item = &b->items[i];
        if (item->handed || (item->acting != STEP_EXECUTE && item->acting != STEP_RESOLVE)) {
            continue;
        }
        const saga_outcome said = item->answer.outcome;
        if (said != OUT_UNKNOWN && (said != OUT_RETRY || item->acting == STEP_RESOLVE)) {
            r->n_answered++;
        } else if (r->n_in_vain < SAGA_BREAKER_TRIES) {
            r->in_vain[r->n_in_vain++] = item->payout_id;
        }
    }
}

static size_t report(const saga_batch *b, bool uncertain, int64_t started_us) {
    size_t n_moved = 0;
    int64_t n_lost = 0;
    unsigned steps = 0;
    for (size_t i = 0; i < b->n; i++) {
        const saga_item *item = &b->items[i];
        if (item->acting == STEP_NONE || b->written) {
            n_moved++;
            report_item(item);
        }
        if (item->handed) {
            metric_add(metrics.outcomes[STEP_EXECUTE][item->answer.outcome], 1);
        }
        n_lost += item->acting != STEP_NONE && b->lost ? 1 : 0;
        if (item->acting != STEP_NONE && b->written) {
            metric_add(metrics.outcomes[item->acting][item->answer.outcome], 1);
            steps |= SAGA_STEP_BIT(item->acting);
        }
    }
    const int64_t took_us = clock_mono_us(b->from.clock) - started_us;
    for (int step = STEP_RESERVE; step < STEP_COUNT; step++) {
        if ((steps & SAGA_STEP_BIT(step)) != 0) {
            metric_observe_us(metrics.seconds[step], took_us);
        }
    }
    if (n_lost > 0 && !uncertain) {
        metric_add(metrics.lease_lost, n_lost);
        log_warn("saga.lease_lost", F_INT("book", b->from.book_id),
                 F_STR("step", saga_step_name((int)b->from.step)), F_INT("n", n_lost));
    }
    log_info("saga.batch", F_INT("book", b->from.book_id), F_STR("rail", b->from.rail->name),
             F_STR("step", saga_step_name((int)b->from.step)), F_INT("n", b->n),
             F_INT("us", took_us));
    return n_moved;
}

// Tells waiting calls of the written states. Costs nothing when no call waits.
static void tell_awaits(const saga_batch *b) {
    if (!awaits_any(b->from.awaits)) {
        return;
    }
    uuid *ids = ARENA_ARRAY(b->a, uuid, b->n);
    size_t n = 0;
    for (size_t i = 0; ids != NULL && i < b->n; i++) {
        if (b->items[i].acting == STEP_NONE || b->written) {
            ids[n++] = b->items[i].payout_id;
        }
    }
    if (ids == NULL) {
        awaits_heard(b->from.awaits, b->from.book_id);
    } else {
        awaits_tell(b->from.awaits, b->from.book_id, ids, n);
    }
}

// Tells the rail's sender of handed-over items, so that it need not look for them.
static void tell_rail(const saga_batch *b) {
    rail *r = b->from.rail;
    bool any = false;
    for (size_t i = 0; i < b->n && !any; i++) {
        any = b->items[i].handed;
    }
    if (any && r->handed_over != NULL) {
        r->handed_over(r);
    }
}

// --- The run ---------------------------------------------------------------------------------------------------------

static void act(saga_batch *b, const saga_tools *tools, saga_keeper *keeper, bool *uncertain) {
    saga_lease *lease = saga_lease_begin(keeper, b);
    saga_steps_act(b, tools);
    decide_all(b);
    if (!write_outcomes(b, uncertain)) {
        b->lost = true; // the next owner goes on from the intents
    } else if (b->written) {
        CRASH_POINT("saga.outcome.committed");
        saga_crash_at(b, AT_COMMITTED, SAGA_ALL_STEPS);
    }
    saga_lease_end(keeper, lease);
}

// Begins the batch's own trace. Its calls of the ledger carry it, so that both services' logs can be joined.
static void begin_trace(void) {
    uint8_t bytes[24];
    clock_random(clock_system(), bytes, sizeof bytes);
    bytes[0] |= 1; // all zero is not an id
    bytes[16] |= 1;
    log_ctx_clear();
    str_hex(bytes, 16, log_ctx()->trace_id);
    str_hex(bytes + 16, 8, log_ctx()->span_id);
}

saga_result saga_batch_run(saga_batch *b, const saga_tools *tools, saga_keeper *keeper) {
    static saga_complaint complaint;
    saga_result result = {0};
    const int64_t started_us = clock_mono_us(b->from.clock);
    err e = {0};
    begin_trace();
    if (!saga_store_claim(b, &e)) {
        if (saga_may_complain(&complaint)) {
            log_err(LOG_WARN, "saga.claim_failed", &e);
        }
        result.failed = true;
        goto out;
    }
    result.n_found = b->n_found;
    result.n_lanes = b->n_lanes;
    result.more = b->more;
    if (b->n == 0) {
        goto out;
    }
    metric_add(metrics.claimed, (int64_t)b->n);
    tell_rail(b);
    bool uncertain = false;
    if (count_acting(b) > 0) {
        act(b, tools, keeper, &uncertain);
    }
    tell_awaits(b);
    result.n_moved = report(b, uncertain, started_us);
    count_next(b, &result);
    if (!b->lost) { // a batch of another owner was perhaps not even tried
        count_answers(b, &result);
    }
out:
    saga_intent_wipe(b); // a failed claim may have decrypted already
    log_ctx_clear();
    return result;
}
