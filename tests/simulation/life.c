// A life: each next event is drawn, until the faults stop. Then every payout comes to its end, or has a case.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "sim.h"

enum { FAULTY_TURNS = 1500, QUIET_TURNS = 6000, QUIET_EVERY = 100, PAUSE_S_MAX = 40 };

int64_t sim_now(const sim *s) {
    return s->clock.now_us;
}

uint64_t sim_below(sim *s, uint64_t bound) {
    return clock_random_below(s->time, bound);
}

bool sim_chance(sim *s, int percent) {
    return s->faults && sim_below(s, 100) < (uint64_t)percent;
}

void sim_say(const sim *s, const char *format, ...) {
    if (!s->trace) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)printf("%9.3f  ", (double)(s->clock.now_us % (INT64_C(1000000) * US_PER_S)) / 1e6);
    (void)vprintf(format, args);
    (void)printf("\n");
    va_end(args);
}

// --- The draw ---------------------------------------------------------------------------------------------------------

static void draw_habits(sim *s) {
    sim_habits *h = &s->habits;
    h->no_archive = sim_below(s, 2) == 0;
    h->pays_copies = sim_below(s, 2) == 0;
    h->forgets_refusals = sim_below(s, 2) == 0;
    h->query_lags = sim_below(s, 2) == 0;
    h->no_lines = sim_below(s, 4) == 0;
    h->in_parts = sim_below(s, 2) == 0;
    h->other_ids = sim_below(s, 2) == 0;
    h->no_acks = sim_below(s, 4) == 0;
    h->drop = (int)sim_below(s, 25);
    h->late = (int)sim_below(s, 20);
    h->twice = (int)sim_below(s, 30);
    h->commit_fails = (int)sim_below(s, 15);
    h->answer_lost = (int)sim_below(s, 15);
    h->crash = (int)sim_below(s, 20);
    h->pause = (int)sim_below(s, 20);
}

static void begin(sim *s, uint64_t seed, bool trace) {
    memset(s, 0, sizeof *s);
    test_clock_init(&s->clock, INT64_C(1700000000) * US_PER_S, seed);
    s->time = &s->clock.source;
    s->seed = seed;
    s->trace = trace;
    draw_habits(s);
    for (int i = 0; i < PAYOUTS; i++) {
        sim_payout *p = &s->payouts[i];
        p->file = sim_below(s, 2) == 0;
        p->amount = 100 + (int64_t)sim_below(s, 3) * 50; // some have equal amounts
        p->row = (saga){.step = STEP_RESERVE,
                        .state = STATE_PENDING,
                        .due_at_us = sim_now(s),
                        .amount = p->amount};
    }
    for (int i = 0; i < INSTANCES; i++) {
        s->workers[i].owner = ++s->owners;
        s->senders[i].owner = ++s->owners;
    }
    s->faults = true;
}

// True when the instance skips this turn. A crash clears its memory.
static bool out_of_action(sim *s, int *owner, sim_stage *stage, int64_t *paused_until_us) {
    if (s->faults && sim_below(s, 1000) < (uint64_t)s->habits.crash) {
        sim_say(s, "owner %d is killed", *owner);
        *owner = ++s->owners;
        *stage = STAGE_IDLE;
        *paused_until_us = 0;
    }
    if (s->faults && sim_below(s, 1000) < (uint64_t)s->habits.pause) {
        *paused_until_us = sim_now(s) + (int64_t)sim_below(s, PAUSE_S_MAX) * US_PER_S;
    }
    return *paused_until_us > sim_now(s);
}

static void turn(sim *s) {
    const size_t who = (size_t)sim_below(s, INSTANCES);
    sim_worker *w = &s->workers[who];
    sim_sender *d = &s->senders[who];
    switch (sim_below(s, 8)) {
    case 0:
    case 1:
        if (!out_of_action(s, &w->owner, &w->stage, &w->paused_until_us)) {
            sim_worker_turn(s, w);
        }
        break;
    case 2:
    case 3:
        if (!out_of_action(s, &d->owner, &d->stage, &d->paused_until_us)) {
            sim_sender_turn(s, d);
        }
        break;
    case 4: sim_bank_turn(s); break;
    case 5: sim_network_turn(s); break;
    case 6: sim_take_over(s); break;
    default: test_clock_advance(&s->clock, (int64_t)sim_below(s, 3000) * 1000 + 1); break;
    }
}

// --- The judgement ----------------------------------------------------------------------------------------------------

static bool broken(const sim *s, const char **why, const char *what, int payout) {
    static char text[200];
    (void)snprintf(text, sizeof text, "seed %llu, payout %d: %s", (unsigned long long)s->seed,
                   payout, what);
    *why = text;
    return false;
}

// Holds at every moment.
static bool check_always(const sim *s, const char **why) {
    for (int i = 0; i < PAYOUTS; i++) {
        if (s->bank.credits[i] > 1) {
            return broken(s, why, "the bank has paid it twice (NO-DOUBLE)", i);
        }
    }
    return true;
}

static bool in_case(const sim *s, int payout) {
    const sim_payout *p = &s->payouts[payout];
    if (p->row.hold[0] != '\0' || p->has_case) {
        return true;
    }
    for (int i = 0; i < s->n_submissions; i++) {
        const sim_submission *b = &s->submissions[i];
        for (size_t k = 0; k < b->n; k++) {
            if (b->payouts[k] == payout && b->has_case) {
                return true;
            }
        }
    }
    return false;
}

// A payout in a file about which the bank has said nothing decisive: the deadline of its step makes it a case.
static bool waits_for_deadline(const sim_payout *p) {
    int64_t returned = 0;
    bool settled = false;
    for (size_t i = 0; i < p->n_events; i++) {
        const saga_event *e = &p->events[i].said;
        settled = settled || e->kind == EVENT_SETTLED;
        returned += e->kind == EVENT_RETURNED ? e->amount : 0;
    }
    return p->file && p->row.step == STEP_AWAIT && !settled && returned < p->amount;
}

static bool check_end(const sim *s, int payout, const char **why) {
    const sim_payout *p = &s->payouts[payout];
    const int64_t paid = s->bank.paid[payout], booked = p->paid;
    if (in_case(s, payout) || waits_for_deadline(p)) {
        return true;
    }
    if (p->row.step != STEP_DONE || !saga_state_is_final(p->row.state)) {
        return broken(s, why, "it has come to no end, and no person has it (NO-LOSS)", payout);
    }
    if (p->reserved && !p->posted && !p->voided) {
        return broken(s, why, "it is final, and its reservation is still there", payout);
    }
    const bool told = !s->habits.no_lines && s->habits.drop == 0;
    if (booked != paid && (told || p->row.state != STATE_SETTLED)) {
        return broken(s, why, "ledger and bank do not agree", payout);
    }
    return true;
}

// Nothing is under way anymore, so nothing will happen.
static bool is_quiet(const sim *s) {
    for (int i = 0; i < PAYOUTS; i++) {
        if (s->payouts[i].lease != 0 || s->payouts[i].row.due_at_us != SAGA_NEVER) {
            return false;
        }
    }
    for (int i = 0; i < s->n_submissions; i++) {
        if (s->submissions[i].due_us != SAGA_NEVER || s->bank.in_inbox[i]) {
            return false;
        }
    }
    for (size_t i = 0; i < MESSAGES_MAX; i++) {
        if (s->messages[i].used) {
            return false;
        }
    }
    for (size_t i = 0; i < POSTS_MAX; i++) {
        if (s->posts[i].used) {
            return false;
        }
    }
    return true;
}

static bool live(sim *s, const char **why) {
    for (int i = 0; i < FAULTY_TURNS; i++) {
        turn(s);
        if (!check_always(s, why)) {
            return false;
        }
    }
    s->faults = false;
    sim_say(s, "the faults stop");
    for (int i = 0; i < QUIET_TURNS && !(i % QUIET_EVERY == 0 && is_quiet(s)); i++) {
        turn(s);
    }
    bool ok = check_always(s, why);
    for (int i = 0; i < PAYOUTS && ok; i++) {
        ok = check_end(s, i, why);
    }
    return ok;
}

bool sim_run(uint64_t seed, bool trace, const char **why) {
    sim *s = malloc(sizeof *s);
    ASSERT(s != NULL);
    begin(s, seed, trace);
    const bool ok = live(s, why);
    free(s);
    return ok;
}
