// The engine's loop: claim due work of one step, act, write the outcome. A turn does one of these, so anything may happen in between.
#include <string.h>

#include "base/assert.h"
#include "sim.h"

enum { BATCH_MAX = 3, LEASE_S = 10, FILE_DUE_S = 2 };

const saga_policy SIM_DIRECT = {
    .attempts_max = 3, .backoff_base_ms = 200, .backoff_cap_ms = 20000, .resolve_after_ms = 5000};
const saga_policy SIM_FILE = {
    .attempts_max = 3, .backoff_base_ms = 200, .backoff_cap_ms = 20000, .resolve_after_ms = 0};

static const saga_policy *policy_of(const sim_payout *p) {
    return p->file ? &SIM_FILE : &SIM_DIRECT;
}

static bool is_due(const sim *s, const sim_payout *p) {
    return p->lease == 0 && p->row.due_at_us != SAGA_NEVER && p->row.due_at_us <= sim_now(s);
}

// --- Claim ------------------------------------------------------------------------------------------------------------

// What the claiming transaction would write about a payout.
typedef struct claimed {
    int payout;
    saga now;
    saga_said said;
    saga_step acting;
    bool handed;
} claimed;

static void hand_over(sim *s, claimed *c) {
    const saga_answer answer = {.outcome = OUT_HANDED_OVER};
    c->handed = true;
    c->acting = STEP_NONE;
    const bool ok =
        saga_on_outcome(&c->now, &answer, &c->said, policy_of(&s->payouts[c->payout]), s->time);
    ASSERT(ok);
}

static size_t look_for_work(sim *s, claimed *out) {
    const size_t first = (size_t)sim_below(s, PAYOUTS);
    saga_step step = STEP_NONE;
    bool file = false;
    size_t n = 0;
    for (size_t i = 0; i < PAYOUTS && n < BATCH_MAX; i++) {
        const int at = (int)((first + i) % PAYOUTS);
        sim_payout *p = &s->payouts[at];
        if (!is_due(s, p) || (step != STEP_NONE && (p->row.step != step || p->file != file))) {
            continue;
        }
        step = p->row.step;
        file = p->file;
        out[n] = (claimed){.payout = at, .now = p->row, .said = sim_hear(p)};
        saga_note note;
        out[n].acting = saga_on_claim(&out[n].now, &out[n].said, policy_of(p), s->time, &note);
        if (p->file && (out[n].acting == STEP_EXECUTE || out[n].acting == STEP_RESOLVE)) {
            hand_over(s, &out[n]);
        }
        n++;
    }
    return n;
}

// Payouts that were handed over go into one file.
static void put_into_file(sim *s, const claimed *found, size_t n) {
    int payouts[BATCH_MAX];
    int32_t attempts[BATCH_MAX];
    size_t n_handed = 0;
    for (size_t i = 0; i < n; i++) {
        if (found[i].handed) {
            payouts[n_handed] = found[i].payout;
            attempts[n_handed++] = found[i].now.attempt;
        }
    }
    if (n_handed > 0) {
        const int b = sim_submission_new(s, payouts, attempts, n_handed, 1);
        s->submissions[b].due_us += FILE_DUE_S * US_PER_S;
    }
}

static void write_claim(sim *s, const sim_lease *lease, const claimed *found, size_t n) {
    for (size_t i = 0; i < n; i++) {
        sim_payout *p = &s->payouts[found[i].payout];
        if (found[i].acting != STEP_NONE) {
            p->lease = lease->id; // the row stays as it is
            continue;
        }
        p->row = found[i].now;
        p->n_seen = p->n_events;
        sim_say(s, "payout %d moves to %s, %s", found[i].payout, saga_step_name((int)p->row.step),
                saga_state_name((int)p->row.state));
    }
    if (lease->n > 0) {
        for (size_t i = 0; i < sizeof s->leases / sizeof s->leases[0]; i++) {
            if (s->leases[i].id == 0) {
                s->leases[i] = *lease;
                put_into_file(s, found, n);
                return;
            }
        }
        ASSERT(!"room for a lease");
    }
    put_into_file(s, found, n);
}

static bool room_for_lease(const sim *s) {
    for (size_t i = 0; i < sizeof s->leases / sizeof s->leases[0]; i++) {
        if (s->leases[i].id == 0) {
            return true;
        }
    }
    return false;
}

static void claim(sim *s, sim_worker *w) {
    claimed found[BATCH_MAX];
    const size_t n = room_for_lease(s) ? look_for_work(s, found) : 0;
    if (n == 0) {
        return;
    }
    sim_lease lease = {
        .id = ++s->leases_made, .owner = w->owner, .ends_us = sim_now(s) + LEASE_S * US_PER_S};
    for (size_t i = 0; i < n; i++) {
        if (found[i].acting != STEP_NONE) {
            lease.payouts[lease.n] = found[i].payout;
            lease.intents[lease.n] = found[i].now;
            lease.said[lease.n] = found[i].said;
            lease.n_events[lease.n] = s->payouts[found[i].payout].n_events;
            lease.n++;
        }
    }
    const sim_commit commit = sim_begin_commit(s);
    if (commit != COMMIT_FAILED) {
        write_claim(s, &lease, found, n);
    }
    if (commit == COMMITTED && lease.n > 0) {
        w->lease = lease;
        w->stage = STAGE_ACT;
        w->at = 0;
    }
}

// --- Act --------------------------------------------------------------------------------------------------------------

// Once per (step, number): the ledger's ids are derived from both.
static void post(sim_payout *p, const saga *intent) {
    const int64_t moving = intent->moving != 0 ? intent->moving : p->amount;
    switch (intent->step) {
    case STEP_RESERVE: p->reserved = true; break;
    case STEP_CONFIRM:
        // With its own amount it needs no reservation: the bank has paid again what had come back.
        ASSERT(intent->moving != 0 || (p->reserved && !p->voided));
        p->paid += moving;
        p->posted = true;
        break;
    case STEP_VOID:
    case STEP_CANCEL:
        ASSERT(p->reserved && !p->posted);
        p->voided = true;
        break;
    case STEP_RETURN:
        ASSERT(p->paid >= moving);
        p->paid -= moving;
        break;
    case STEP_NONE:
    case STEP_EXECUTE:
    case STEP_RESOLVE:
    case STEP_AWAIT:
    case STEP_DONE:
    case STEP_GATE: ASSERT(!"a step of the ledger");
    }
}

static saga_answer act_on_ledger(sim *s, sim_payout *p, const saga *intent) {
    const bool lost_before = sim_chance(s, 10), lost_after = sim_chance(s, 10);
    ASSERT(intent->leg >= 0 && intent->leg < 64);
    const uint64_t bit = UINT64_C(1) << intent->leg;
    if (lost_before) {
        return (saga_answer){.outcome = OUT_RETRY};
    }
    if ((p->done[intent->step] & bit) == 0) {
        p->done[intent->step] |= bit;
        post(p, intent);
    }
    return (saga_answer){.outcome = lost_after ? OUT_RETRY : OUT_DONE};
}

// The rail's answer, from the bank's.
static saga_answer verdict(sim_answer how, const sim_attempt *said, saga_outcome otherwise) {
    if (how != ANSWER_SAID) {
        return (saga_answer){.outcome = how == ANSWER_NOT_SENT ? OUT_RETRY : otherwise};
    }
    switch (said->fate) {
    case FATE_ACCEPTED: return (saga_answer){.outcome = OUT_ACCEPTED};
    case FATE_SETTLED: return (saga_answer){.outcome = OUT_SETTLED};
    case FATE_RETURNED: return (saga_answer){.outcome = OUT_RETURNED, .code = STR("AC04")};
    case FATE_REFUSED:
        return (saga_answer){.outcome = said->retriable ? OUT_AGAIN : OUT_REFUSED,
                             .code = STR("NO")};
    case FATE_NONE: break;
    }
    return (saga_answer){.outcome = OUT_UNKNOWN};
}

static saga_answer act_at_bank(sim *s, int payout, const saga *intent) {
    sim_attempt said = {.fate = FATE_NONE};
    if (intent->step == STEP_EXECUTE) {
        const sim_answer how = sim_bank_post(s, payout, intent->attempt, &said);
        return verdict(how, &said, OUT_UNKNOWN);
    }
    const sim_answer how = sim_bank_query(s, payout, intent->attempt, &said);
    return verdict(how, &said, OUT_UNKNOWN);
}

static void act(sim *s, sim_worker *w) {
    const sim_lease *l = &w->lease;
    const bool ours = sim_lease_find(s, l->id, w->owner) != NULL && l->ends_us > sim_now(s);
    const saga *intent = &l->intents[w->at];
    const bool at_bank = intent->step == STEP_EXECUTE || intent->step == STEP_RESOLVE;
    if (at_bank && !ours) { // still_ours: checked before each request
        w->stage = STAGE_IDLE;
        return;
    }
    w->answers[w->at] = at_bank ? act_at_bank(s, l->payouts[w->at], intent)
                                : act_on_ledger(s, &s->payouts[l->payouts[w->at]], intent);
    sim_say(s, "payout %d attempt %d: %s came to %s", l->payouts[w->at], intent->attempt,
            saga_step_name((int)intent->step), saga_outcome_name((int)w->answers[w->at].outcome));
    w->at++;
    w->stage = w->at == l->n ? STAGE_OUTCOME : STAGE_ACT;
}

// --- Outcome ----------------------------------------------------------------------------------------------------------

static void write_outcome(sim *s, sim_worker *w, sim_lease *l) {
    for (size_t i = 0; i < l->n; i++) {
        sim_payout *p = &s->payouts[l->payouts[i]];
        saga now = l->intents[i];
        if (!saga_on_outcome(&now, &w->answers[i], &l->said[i], policy_of(p), s->time)) {
            const saga_answer broken = {.outcome = OUT_BROKEN, .code = STR("NO_EDGE")};
            const bool ok = saga_on_outcome(&now, &broken, &l->said[i], policy_of(p), s->time);
            ASSERT(ok);
        }
        p->row = now;
        p->n_seen = l->n_events[i];
        p->lease = 0;
        if (p->n_events > p->n_seen) {
            p->row.due_at_us = sim_now(s);
        }
        sim_say(s, "payout %d stands at %s, %s", l->payouts[i], saga_step_name((int)now.step),
                saga_state_name((int)now.state));
    }
    l->id = 0;
}

static void outcome(sim *s, sim_worker *w) {
    sim_lease *l = sim_lease_find(s, w->lease.id, w->owner);
    const sim_commit commit = l == NULL ? COMMITTED : sim_begin_commit(s);
    if (l != NULL && commit != COMMIT_FAILED) {
        write_outcome(s, w, l);
    }
    // repeated until the result is known
    w->stage = commit == COMMITTED ? STAGE_IDLE : STAGE_OUTCOME;
}

void sim_worker_turn(sim *s, sim_worker *w) {
    switch (w->stage) {
    case STAGE_IDLE: claim(s, w); break;
    case STAGE_ACT: act(s, w); break;
    case STAGE_OUTCOME: outcome(s, w); break;
    case STAGE_LOOK:
    case STAGE_BEGIN:
    case STAGE_WRITE:
    case STAGE_LAST:
    case STAGE_RENAME:
    case STAGE_FINISH: ASSERT(!"a stage of a worker");
    }
}
