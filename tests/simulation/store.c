// The virtual database. A transaction happens at once, or not at all. Its writer may hear something else.
#include <string.h>

#include "base/assert.h"
#include "sim.h"

sim_commit sim_begin_commit(sim *s) {
    if (sim_chance(s, s->habits.commit_fails)) {
        return COMMIT_FAILED;
    }
    return sim_chance(s, s->habits.answer_lost) ? ANSWER_LOST : COMMITTED;
}

// Records as the inbox does: once per id. Then the payout is due.
void sim_record(sim *s, int payout, const saga_event *said, int id, int movement) {
    sim_payout *p = &s->payouts[payout];
    for (size_t i = 0; i < p->n_events; i++) {
        if (p->events[i].id == id) {
            return;
        }
    }
    ASSERT(p->n_events < EVENTS_MAX);
    p->events[p->n_events++] = (sim_event){.said = *said, .id = id, .movement = movement};
    p->row.due_at_us = sim_now(s);
    sim_say(s, "payout %d attempt %d: %s is recorded", payout, said->attempt,
            saga_event_name((int)said->kind));
}

saga_said sim_hear(const sim_payout *p) {
    saga_event events[EVENTS_MAX];
    for (size_t i = 0; i < p->n_events; i++) {
        events[i] = p->events[i].said;
    }
    return saga_hear(&p->row, events, p->n_events, (int32_t)p->n_events);
}

sim_lease *sim_lease_find(sim *s, int id, int owner) {
    for (size_t i = 0; i < sizeof s->leases / sizeof s->leases[0]; i++) {
        if (s->leases[i].id == id && s->leases[i].owner == owner) {
            return &s->leases[i];
        }
    }
    return NULL;
}

// Ends expired leases: their payouts act without a worker, as their intents say, and are due.
void sim_take_over(sim *s) {
    for (size_t i = 0; i < sizeof s->leases / sizeof s->leases[0]; i++) {
        sim_lease *l = &s->leases[i];
        if (l->id == 0 || l->ends_us > sim_now(s)) {
            continue;
        }
        for (size_t k = 0; k < l->n; k++) {
            sim_payout *p = &s->payouts[l->payouts[k]];
            ASSERT(p->lease == l->id);
            const saga *now = &l->intents[k];
            const saga_intent intent = {.step = now->step,
                                        .attempt = now->attempt,
                                        .outlook = now->outlook,
                                        .moving = now->moving,
                                        .code = str_of(now->reason),
                                        .text = str_of(now->reason_text)};
            const bool logged = saga_try_is_logged(&p->row);
            saga_take_over(&p->row, logged ? &intent : NULL, p->file ? &SIM_FILE : &SIM_DIRECT,
                           s->time);
            p->lease = 0;
        }
        sim_say(s, "lease %d of owner %d is taken away", l->id, l->owner);
        l->id = 0;
    }
}

int sim_submission_new(sim *s, const int *payouts, const int32_t *attempts, size_t n,
                       int generation) {
    ASSERT(s->n_submissions < SUBMISSIONS_MAX && n <= ITEMS_MAX);
    sim_submission *b = &s->submissions[s->n_submissions];
    *b = (sim_submission){.used = true,
                          .state = SUBMISSION_PREPARED,
                          .n = n,
                          .due_us = sim_now(s),
                          .stale_us = sim_now(s) + 3600 * US_PER_S,
                          .generation = generation};
    memcpy(b->payouts, payouts, n * sizeof *payouts);
    memcpy(b->attempts, attempts, n * sizeof *attempts);
    return s->n_submissions++;
}

void sim_submission_tell(sim *s, int submission, saga_event_kind kind) {
    const sim_submission *b = &s->submissions[submission];
    for (size_t i = 0; i < b->n; i++) {
        // Once per kind: the id is derived from both.
        const saga_event said = {
            .attempt = b->attempts[i], .kind = kind, .code = STR("SIM"), .reference = STR("")};
        const int id = 1000000 + submission * 100 + (int)kind;
        sim_record(s, b->payouts[i], &said, id, id);
    }
}
