// The sender's loop around a submission. The sender claims it for a time, looks, begins, writes, asks whether it still owns it, renames,
// and records the result.
#include "base/assert.h"
#include "sim.h"

enum { LEASE_S = 10, TRIES_FOR_CASE = 6 };

static sim_submission *mine(sim *s, const sim_sender *w) {
    return &s->submissions[w->submission];
}

// Checked before each irrevocable step, and in each transaction.
static bool still_ours(sim *s, const sim_sender *w) {
    const sim_submission *b = mine(s, w);
    return b->owner == w->owner && b->epoch == w->epoch && b->lease_ends_us > sim_now(s);
}

static void later(const sim *s, sim_submission *b) {
    b->tries++;
    b->due_us = sim_now(s) + clock_backoff_ms(s->time, 500, 20000, b->tries) * 1000 + 1;
    b->has_case = b->has_case || (b->state == SUBMISSION_UNKNOWN && b->tries >= TRIES_FOR_CASE);
}

static void give_back(sim_submission *b) {
    b->owner = 0;
    b->lease_ends_us = 0;
}

static void settle_state(sim *s, sim_sender *w, submission_state state) {
    sim_submission *b = mine(s, w);
    sim_say(s, "submission %d is %s", w->submission, submission_state_name((int)state));
    b->state = state;
    give_back(b);
    b->tries = 0;
    b->due_us = SAGA_NEVER;
    if (state == SUBMISSION_SENT) {
        sim_submission_tell(s, w->submission, EVENT_ACCEPTED);
    } else if (state == SUBMISSION_WITHDRAWN) {
        sim_submission_tell(s, w->submission, EVENT_NOT_TAKEN);
    }
}

static void claim(sim *s, sim_sender *w) {
    for (int i = 0; i < s->n_submissions; i++) {
        sim_submission *b = &s->submissions[i];
        const bool free_now = b->owner == 0 || b->lease_ends_us <= sim_now(s);
        if (b->due_us == SAGA_NEVER || b->due_us > sim_now(s) || !free_now) {
            continue;
        }
        const sim_commit commit = sim_begin_commit(s);
        if (commit == COMMIT_FAILED) {
            return;
        }
        b->owner = w->owner;
        b->epoch++;
        b->lease_ends_us = sim_now(s) + LEASE_S * US_PER_S;
        if (commit == COMMITTED) {
            w->submission = i;
            w->epoch = b->epoch;
            w->task = submission_next(b->state, &b->known, true, sim_now(s), b->stale_us);
            w->stage = STAGE_LOOK;
        }
        return;
    }
}

// Removes the temporary files of all uploads that were begun. True when there was one.
static bool take_back(sim *s, const sim_sender *w) {
    bool removed = false;
    for (int i = 0; i < mine(s, w)->uploads; i++) {
        removed = removed || s->bank.temporary[w->submission][i];
        s->bank.temporary[w->submission][i] = false;
    }
    return removed;
}

static void found(sim *s, sim_sender *w) {
    sim_submission *b = mine(s, w);
    const sim_commit commit = sim_begin_commit(s);
    w->stage = STAGE_IDLE;
    if (commit == COMMIT_FAILED) {
        return; // the lease runs out
    }
    switch (w->finding) {
    case FINDING_SENT: settle_state(s, w, SUBMISSION_SENT); break;
    case FINDING_NOT_SENT:
        b->known.at_risk = 0;
        b->state = SUBMISSION_PREPARED;
        b->due_us = sim_now(s);
        give_back(b);
        break;
    case FINDING_NAME_TAKEN: settle_state(s, w, SUBMISSION_WITHDRAWN); break;
    case FINDING_UNKNOWN:
        b->state = b->known.at_risk > 0 ? SUBMISSION_UNKNOWN : b->state;
        later(s, b);
        give_back(b);
        break;
    }
}

static void look(sim *s, sim_sender *w) {
    sim_submission *b = mine(s, w);
    w->stage = STAGE_IDLE;
    if (!still_ours(s, w)) {
        return;
    }
    if (w->task == TASK_RECORD_SENT) {
        w->finding = FINDING_SENT;
        found(s, w);
        return;
    }
    if (w->task == TASK_WITHDRAW) {
        w->finding = FINDING_NAME_TAKEN;
        found(s, w);
        return;
    }
    if (w->task != TASK_SEND && w->task != TASK_ASK) {
        b->due_us = SAGA_NEVER;
        give_back(b);
        return;
    }
    // The temporary files go first: then a stalled sender cannot rename after the look.
    const bool taken_back = w->task == TASK_ASK && take_back(s, w);
    const submission_look seen = sim_bank_look(s, w->submission);
    w->finding = submission_judge(&b->known, seen, taken_back, !s->habits.no_archive);
    if (w->task == TASK_SEND && w->finding == FINDING_NOT_SENT) {
        w->stage = STAGE_BEGIN;
        return;
    }
    found(s, w);
}

static void begin(sim *s, sim_sender *w) {
    sim_submission *b = mine(s, w);
    w->stage = STAGE_IDLE;
    if (!still_ours(s, w) || b->state != SUBMISSION_PREPARED) {
        return;
    }
    const sim_commit commit = sim_begin_commit(s);
    if (commit == COMMIT_FAILED) {
        return;
    }
    ASSERT(b->uploads < UPLOADS_MAX);
    w->upload = b->uploads++;
    b->state = SUBMISSION_SENDING;
    w->stage = commit == COMMITTED ? STAGE_WRITE : STAGE_IDLE;
}

static void write_file(sim *s, sim_sender *w) {
    w->stage = STAGE_IDLE;
    if (still_ours(s, w) && !sim_chance(s, s->habits.drop)) {
        s->bank.temporary[w->submission][w->upload] = true;
        w->stage = STAGE_LAST;
    }
}

static void last_step(sim *s, sim_sender *w) {
    const sim_commit commit = still_ours(s, w) ? sim_begin_commit(s) : COMMIT_FAILED;
    w->stage = STAGE_IDLE;
    if (commit != COMMIT_FAILED) {
        mine(s, w)->known.at_risk++;
        w->stage = commit == COMMITTED ? STAGE_RENAME : STAGE_IDLE;
    }
}

static void rename_file(sim *s, sim_sender *w) {
    w->stage = STAGE_IDLE;
    if (!still_ours(s, w)) {
        return;
    }
    // Between the check and the rename a process may stall. Its lease runs out, and others go on.
    if (sim_chance(s, 5)) {
        w->paused_until_us = sim_now(s) + (int64_t)sim_below(s, 40) * US_PER_S;
    }
    w->stage = STAGE_FINISH;
}

static void finish(sim *s, sim_sender *w) {
    bool known = false;
    const bool done = sim_bank_rename(s, w->submission, w->upload, &known);
    w->stage = STAGE_IDLE;
    if (!known || !still_ours(s, w)) {
        return;
    }
    const sim_commit commit = sim_begin_commit(s);
    if (commit == COMMIT_FAILED) {
        return;
    }
    sim_submission *b = mine(s, w);
    if (done) {
        b->known.finished = true;
        settle_state(s, w, SUBMISSION_SENT);
    } else {
        later(s, b);
        give_back(b);
    }
}

void sim_sender_turn(sim *s, sim_sender *w) {
    switch (w->stage) {
    case STAGE_IDLE: claim(s, w); break;
    case STAGE_LOOK: look(s, w); break;
    case STAGE_BEGIN: begin(s, w); break;
    case STAGE_WRITE: write_file(s, w); break;
    case STAGE_LAST: last_step(s, w); break;
    case STAGE_RENAME: rename_file(s, w); break;
    case STAGE_FINISH: finish(s, w); break;
    case STAGE_ACT:
    case STAGE_OUTCOME: ASSERT(!"a stage of a sender");
    }
}
