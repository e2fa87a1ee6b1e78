// How a saga moves: what every change of its place does to the rest of it.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "domain/machine_internal.h"

void saga_copy_text(char *to, size_t size, str from) {
    const str text = str_clip(from, size - 1);
    if (text.len > 0) {
        memcpy(to, text.ptr, text.len);
    }
    to[text.len] = '\0';
}

void saga_set_reason(saga *s, str code, str text) {
    saga_copy_text(s->reason, sizeof s->reason, code);
    saga_copy_text(s->reason_text, sizeof s->reason_text, text);
}

// After "refused for now" the old attempt is superseded, though the next one has no number yet.
bool saga_next_attempt_is_new(const saga *s) {
    return s->step == STEP_EXECUTE && s->phase == PHASE_READY && s->tries == 0;
}

saga_step saga_rest(saga *s, int64_t due_at_us) {
    s->phase = PHASE_READY;
    s->due_at_us = due_at_us;
    return STEP_NONE;
}

void saga_hold(saga *s, str code, str text) {
    saga_copy_text(s->hold, sizeof s->hold, code.len > 0 ? code : STR("HELD"));
    saga_copy_text(s->hold_text, sizeof s->hold_text, text);
    if (s->step == STEP_EXECUTE && s->phase == PHASE_ACTING) {
        s->step = STEP_RESOLVE; // who releases it must not send it as if it had never been sent
        s->doubt = DOUBT_UNKNOWN;
    }
    (void)saga_rest(s, SAGA_NEVER);
}

void saga_unhold(saga *s) {
    s->hold[0] = s->hold_text[0] = '\0';
}

void saga_head_for_void(saga *s, saga_state outlook, str code, str text) {
    ASSERT(outlook == STATE_FAILED || outlook == STATE_RETURNED);
    s->outlook = outlook;
    s->moving = 0;
    saga_set_reason(s, code.len > 0 ? code : str_of(saga_state_name((int)outlook)), text);
}

void saga_head_for_attempt(saga *s) {
    s->step = STEP_EXECUTE;
    s->state = STATE_PROCESSING;
    s->doubt = DOUBT_NONE;
    s->absent_since_us = 0;
    s->tries = 0; // so that the attempt is a new one
    s->judged_settled = s->judged_returned = 0;
    s->judged_refusals = s->judged_odd = 0;
}

void saga_finish(saga *s, saga_state state, const saga_said *said, const clock_source *clock) {
    s->step = STEP_DONE;
    s->phase = PHASE_READY;
    s->state = state;
    s->outlook = STATE_NONE;
    s->moving = 0;
    s->tries = 0;
    s->doubt = DOUBT_NONE;
    const bool even = saga_balance_of(s, state, s->returned, said).tilt == TILT_EVEN;
    const bool ordered = said->order.order > s->orders;
    s->due_at_us = even && !ordered ? SAGA_NEVER : clock_wall_us(clock);
    if (state == STATE_SETTLED && s->returned == 0) {
        saga_set_reason(s, (str){0}, (str){0});
    }
}

void saga_hold_contradiction(saga *s, saga_state state, const saga_said *said) {
    char text[SAGA_TEXT_MAX];
    const str more = str_clip(said->text, 60);
    const char *const colon = more.len > 0 ? ": " : "";
    const char *const clipped = more.len > 0 ? more.ptr : "";
    int len = 0;
    if (said->settled > 0 || said->returned > 0) {
        len = snprintf(
            text, sizeof text, "%ssettled %lld and returned %lld of %lld while the payout is %s",
            said->earlier ? "an earlier attempt may be paid, too: " : "", (long long)said->settled,
            (long long)said->returned, (long long)s->amount, saga_state_name((int)state));
    } else if (said->earlier) {
        len = snprintf(text, sizeof text,
                       "an earlier attempt may be paid, too, while the payout is %s%s%.*s",
                       saga_state_name((int)state), colon, (int)more.len, clipped);
    } else {
        len = snprintf(text, sizeof text, "the rail's word is %s while the payout is %s%s%.*s",
                       saga_word_name((int)said->word), saga_state_name((int)state), colon,
                       (int)more.len, clipped);
    }
    ASSERT(len > 0 && (size_t)len < sizeof text);
    saga_hold(s, STR("RAIL_CONTRADICTION"), str_of(text));
}
