// The bank and the network. Only here is the money counted that the bank has moved for a payout.
#include "base/assert.h"
#include "sim.h"

enum { LATE_S_MAX = 90, WORD_S_MAX = 30 };

static sim_attempt *attempt_at(sim *s, int payout, int32_t attempt) {
    ASSERT(attempt >= 1 && attempt <= ATTEMPTS_MAX);
    return &s->bank.attempts[payout][attempt - 1];
}

// --- Words to us ------------------------------------------------------------------------------------------------------

static void send_message(sim *s, sim_message m) {
    const bool in_file = m.about_file || s->payouts[m.subject].file;
    if (!in_file && sim_chance(s, s->habits.drop)) {
        return; // a call may be lost; a file stays until we have read it
    }
    m.used = true;
    m.movement = m.id = ++s->ids;
    const int copies = sim_chance(s, s->habits.twice) ? 2 : 1;
    for (int i = 0; i < copies; i++) {
        m.id = i > 0 && s->habits.other_ids ? ++s->ids : m.id;
        m.at_us = sim_now(s) + (int64_t)sim_below(s, WORD_S_MAX) * US_PER_S;
        for (size_t k = 0; k < MESSAGES_MAX; k++) {
            if (!s->messages[k].used) {
                s->messages[k] = m;
                break;
            }
        }
    }
}

static void tell(sim *s, int payout, int32_t attempt, saga_event_kind kind, int64_t amount) {
    // Every second payout gets a new bank number when it is credited again.
    const bool anew = attempt_at(s, payout, attempt)->again && payout % 2 == 1;
    send_message(s, (sim_message){.subject = payout,
                                  .attempt = attempt,
                                  .kind = kind,
                                  .amount = amount,
                                  .reference = anew ? STR("pay_2") : STR("pay_1")});
}

// --- Money ------------------------------------------------------------------------------------------------------------

static void credit(sim *s, int payout, int32_t attempt) {
    s->bank.credits[payout]++;
    s->bank.paid[payout] += s->payouts[payout].amount;
    attempt_at(s, payout, attempt)->fate = FATE_SETTLED;
    sim_say(s, "bank: payout %d attempt %d is credited", payout, attempt);
    if (!s->habits.no_lines) {
        tell(s, payout, attempt, EVENT_SETTLED, s->payouts[payout].amount);
    }
}

static void bounce(sim *s, int payout, int32_t attempt) {
    sim_attempt *a = attempt_at(s, payout, attempt);
    const int64_t left = s->payouts[payout].amount - a->back;
    const int64_t part = s->habits.in_parts && left > 1 && sim_below(s, 2) == 0 ? left / 2 : left;
    a->back += part;
    a->fate = a->back == s->payouts[payout].amount ? FATE_RETURNED : a->fate;
    s->bank.paid[payout] -= part;
    sim_say(s, "bank: payout %d attempt %d: %lld comes back", payout, attempt, (long long)part);
    tell(s, payout, attempt, EVENT_RETURNED, part);
}

// After a disputed return the whole payout is credited again. Only where no message is lost, and the first settlement was reported: else
// the second report looks like a late first one, and only a statement of the account can tell.
static void credit_again(sim *s, int payout, int32_t attempt) {
    sim_attempt *a = attempt_at(s, payout, attempt);
    a->again = true;
    a->back = 0;
    a->fate = FATE_SETTLED;
    s->bank.paid[payout] += s->payouts[payout].amount;
    sim_say(s, "bank: payout %d attempt %d is credited again", payout, attempt);
    tell(s, payout, attempt, EVENT_SETTLED, s->payouts[payout].amount);
}

// --- The direct rail --------------------------------------------------------------------------------------------------

// The request is at the bank. The same key is the same payment, except where the bank does not keep refusals.
static sim_attempt *arrive(sim *s, int payout, int32_t attempt) {
    static sim_attempt refused_now;
    sim_attempt *a = attempt_at(s, payout, attempt);
    const bool would_refuse = sim_below(s, 100) < 25;
    if (would_refuse && a->fate == FATE_NONE) {
        sim_attempt no = {.fate = FATE_REFUSED, .retriable = sim_below(s, 2) == 0};
        sim_say(s, "bank: payout %d attempt %d is refused", payout, attempt);
        if (s->habits.forgets_refusals) {
            refused_now = no;
            return &refused_now;
        }
        *a = no;
        return a;
    }
    if (would_refuse && s->habits.forgets_refusals && a->fate != FATE_NONE) {
        // This bank validates before it looks the key up: it refuses now what it accepted before, and still pays it.
        refused_now = (sim_attempt){.fate = FATE_REFUSED, .retriable = sim_below(s, 2) == 0};
        return &refused_now;
    }
    if (a->fate == FATE_NONE) {
        a->fate = FATE_ACCEPTED;
        a->known_from_us =
            sim_now(s) + (s->habits.query_lags ? (int64_t)sim_below(s, 20) * US_PER_S : 0);
        sim_say(s, "bank: payout %d attempt %d is accepted", payout, attempt);
        tell(s, payout, attempt, EVENT_ACCEPTED, 0);
    }
    return a;
}

sim_answer sim_bank_post(sim *s, int payout, int32_t attempt, sim_attempt *said) {
    if (sim_chance(s, s->habits.drop)) {
        return ANSWER_NOT_SENT; // no connection: the request never left
    }
    if (sim_chance(s, s->habits.late)) {
        for (size_t i = 0; i < POSTS_MAX; i++) {
            if (!s->posts[i].used) {
                const int64_t at_us = sim_now(s) + (int64_t)sim_below(s, LATE_S_MAX) * US_PER_S;
                s->posts[i] = (sim_post){true, payout, attempt, at_us};
                break;
            }
        }
        return ANSWER_NONE;
    }
    *said = *arrive(s, payout, attempt);
    return sim_chance(s, s->habits.drop) ? ANSWER_NONE : ANSWER_SAID;
}

sim_answer sim_bank_query(sim *s, int payout, int32_t attempt, sim_attempt *said) {
    if (sim_chance(s, s->habits.drop)) {
        return ANSWER_NONE;
    }
    const sim_attempt *a = attempt_at(s, payout, attempt);
    if (a->fate == FATE_NONE || a->known_from_us > sim_now(s)) {
        return ANSWER_NOT_SENT;
    }
    *said = *a;
    return ANSWER_SAID;
}

// --- Files ------------------------------------------------------------------------------------------------------------

submission_look sim_bank_look(sim *s, int submission) {
    if (sim_chance(s, s->habits.drop)) {
        return LOOK_FAILED;
    }
    const bool there = s->bank.in_inbox[submission] || s->bank.in_archive[submission];
    return there ? LOOK_THERE : LOOK_ABSENT;
}

bool sim_bank_rename(sim *s, int submission, int upload, bool *known) {
    *known = !sim_chance(s, s->habits.drop);
    if (!s->bank.temporary[submission][upload] || s->bank.in_inbox[submission]) {
        return false;
    }
    s->bank.temporary[submission][upload] = false;
    s->bank.in_inbox[submission] = true;
    sim_say(s, "submission %d is renamed into the inbox", submission);
    return true;
}

static void take_file(sim *s, int at) {
    const sim_submission *b = &s->submissions[at];
    const bool copy = s->bank.taken[at];
    s->bank.in_inbox[at] = false;
    s->bank.in_archive[at] = !s->habits.no_archive;
    s->bank.taken[at] = true;
    const bool refused = (copy && !s->habits.pays_copies) || (!copy && sim_below(s, 100) < 10);
    sim_say(s, "bank: submission %d is %s%s", at, refused ? "rejected" : "taken",
            copy ? ", a copy" : "");
    if (!s->habits.no_acks || refused) {
        send_message(
            s,
            (sim_message){.about_file = true, .subject = at, .accepted = !refused, .sure = !copy});
    }
    for (size_t i = 0; i < b->n && !refused; i++) {
        if (sim_below(s, 100) < 15) {
            s->bank.credits[b->payouts[i]]++;
            s->bank.paid[b->payouts[i]] += s->payouts[b->payouts[i]].amount;
            attempt_at(s, b->payouts[i], b->attempts[i])->fate = FATE_SETTLED;
            // never credited again: see credit_again
            attempt_at(s, b->payouts[i], b->attempts[i])->again = true;
            bounce(s, b->payouts[i], b->attempts[i]); // and no line reports the settlement before
        } else {
            credit(s, b->payouts[i], b->attempts[i]);
        }
    }
}

// --- Turns ------------------------------------------------------------------------------------------------------------

// Whether we could tell a second payment from a late report of the first: by the bank's number, or because we know of the first's return.
static bool can_tell(const sim *s, int payout) {
    const sim_payout *p = &s->payouts[payout];
    bool told = payout % 2 == 1;
    for (size_t i = 0; i < p->n_events; i++) {
        told = told || p->events[i].said.kind == EVENT_RETURNED;
    }
    return told;
}

static void decide(sim *s, int payout, int32_t attempt) {
    sim_attempt *a = attempt_at(s, payout, attempt);
    const uint64_t what = sim_below(s, 100);
    if (!s->payouts[payout].file && a->fate == FATE_ACCEPTED) {
        if (what < 70) {
            credit(s, payout, attempt);
        } else if (what < 85) {
            a->fate = FATE_REFUSED;
            a->retriable = false;
            tell(s, payout, attempt, EVENT_REFUSED, 0);
        }
    } else if (a->fate == FATE_SETTLED && s->faults && what < 2) {
        bounce(s, payout, attempt);
    } else if (s->payouts[payout].file && a->fate == FATE_RETURNED && s->habits.in_parts &&
               !s->habits.no_lines && !a->again && s->faults && what < 5 && can_tell(s, payout)) {
        credit_again(s, payout, attempt);
    }
}

// What the bank does by itself with one payment, and with one file.
void sim_bank_turn(sim *s) {
    const int payout = (int)sim_below(s, PAYOUTS);
    for (int32_t attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
        decide(s, payout, attempt);
    }
    if (s->n_submissions > 0) {
        const int at = (int)sim_below(s, (uint64_t)s->n_submissions);
        if (s->bank.in_inbox[at]) {
            take_file(s, at);
        }
    }
}

static void hear_file(sim *s, const sim_message *m) {
    sim_submission *b = &s->submissions[m->subject];
    switch (submission_hear(b->state, &b->known, m->accepted, m->sure)) {
    case WORD_ACCEPT:
        b->known.accepted = true;
        b->state = SUBMISSION_ACKED;
        b->due_us = SAGA_NEVER;
        sim_submission_tell(s, m->subject, EVENT_ACCEPTED);
        break;
    case WORD_REJECT:
        b->known.refused = true;
        b->state = SUBMISSION_REJECTED;
        b->due_us = SAGA_NEVER;
        sim_submission_tell(s, m->subject, EVENT_NOT_TAKEN);
        break;
    case WORD_REPEAT: break;
    case WORD_DISPUTE:
        b->known.refused = true;
        b->state = SUBMISSION_DISPUTED;
        b->due_us = SAGA_NEVER;
        b->has_case = true;
        break;
    case WORD_CONTRARY: b->has_case = true; break;
    }
    // The former owner has lost it: the epoch is the fence.
    b->epoch++;
    b->owner = 0;
}

// What is known of an attempt when a line or message arrives.
typedef struct heard {
    int64_t returned;
    bool settled;     // under the same number of the bank
    bool same_amount; // the same amount has come back before
    bool seen;        // this movement was reported before
} heard;

static heard heard_of(const sim_payout *p, const sim_message *m) {
    heard h = {0};
    for (size_t i = 0; i < p->n_events; i++) {
        const saga_event *e = &p->events[i].said;
        if (e->attempt != m->attempt) {
            continue;
        }
        h.seen = h.seen || p->events[i].movement == m->movement;
        h.settled = h.settled || (e->kind == EVENT_SETTLED && str_eq(e->reference, m->reference));
        if (e->kind == EVENT_RETURNED) {
            h.returned += e->amount;
            h.same_amount = h.same_amount || e->amount == m->amount;
        }
    }
    return h;
}

// The inbox's judgement: a delivery is not a movement. After a further return by message, the bank is asked for the total. A further return
// of the same amount by file goes to a person. *amount: how much counts; false: nothing.
static bool counts(sim *s, const sim_message *m, int64_t *amount) {
    sim_payout *p = &s->payouts[m->subject];
    const heard h = heard_of(p, m);
    *amount = m->amount;
    if (m->kind == EVENT_RETURNED && !p->file && h.returned > 0) {
        *amount = attempt_at(s, m->subject, m->attempt)->back - h.returned;
        return *amount > 0;
    }
    if (m->kind == EVENT_RETURNED && p->file && h.same_amount) {
        p->has_case = p->has_case || !h.seen;
        return false;
    }
    if (m->kind == EVENT_SETTLED && p->file && h.settled && h.returned > 0) {
        p->has_case = p->has_case || !h.seen;
    }
    return true; // the machine, too, must know that there is only one settlement
}

static void hear_line(sim *s, const sim_message *m) {
    int64_t amount = 0;
    if (counts(s, m, &amount)) {
        const saga_event said = {.attempt = m->attempt,
                                 .kind = m->kind,
                                 .code = STR("SIM"),
                                 .amount = amount,
                                 .reference = m->reference};
        sim_record(s, m->subject, &said, m->id, m->movement);
    }
    if (!s->payouts[m->subject].file || (m->kind != EVENT_SETTLED && m->kind != EVENT_RETURNED)) {
        return;
    }
    for (int i = 0; i < s->n_submissions; i++) {
        sim_submission *b = &s->submissions[i];
        for (size_t k = 0; k < b->n; k++) {
            b->known.items_heard = b->known.items_heard ||
                                   (b->payouts[k] == m->subject && b->attempts[k] == m->attempt);
        }
    }
}

// Delivers one due message or late request.
void sim_network_turn(sim *s) {
    for (size_t i = 0; i < POSTS_MAX; i++) {
        if (s->posts[i].used && s->posts[i].at_us <= sim_now(s)) {
            s->posts[i].used = false;
            (void)arrive(s, s->posts[i].payout, s->posts[i].attempt);
            return;
        }
    }
    const size_t first = (size_t)sim_below(s, MESSAGES_MAX);
    for (size_t i = 0; i < MESSAGES_MAX; i++) {
        sim_message *m = &s->messages[(first + i) % MESSAGES_MAX];
        if (m->used && m->at_us <= sim_now(s)) {
            m->used = false;
            if (m->about_file) {
                hear_file(s, m);
            } else {
                hear_line(s, m);
            }
            return;
        }
    }
}
