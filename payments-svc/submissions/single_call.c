// The state of an attempt's call, from the rows of its payout. Pure.
#include "submissions/single_call.h"

#include <string.h>

#include "base/str.h"

// --- Where it stands ---------------------------------------------------------------------------------------------------

// A worker's written intent without a written outcome; NULL: none.
static const single_call_row *intent_of(const single_call *c) {
    const single_call_row *intent = NULL;
    for (size_t i = 0; c->leased && i < c->n_rows; i++) {
        if (c->rows[i].kind == CALL_INTENT && c->rows[i].seq > c->log_seq) {
            intent = &c->rows[i];
        }
    }
    return intent;
}

static bool is_at_rail(int step) {
    return step == STEP_EXECUTE || step == STEP_RESOLVE;
}

int32_t single_call_newest(const single_call *c) {
    int32_t made = c->attempt;
    for (size_t i = 0; i < c->n_rows; i++) {
        const single_call_row *row = &c->rows[i];
        if (row->kind != CALL_EVENT && is_at_rail(row->step) && row->attempt > made) {
            made = row->attempt; // the saga's row lags behind while leased
        }
    }
    // As saga_next_attempt_is_new: the attempt before is over, and the next waits to be sent.
    const bool another = c->step == STEP_EXECUTE && c->phase == PHASE_READY && c->tries == 0;
    return another && made == c->attempt && intent_of(c) == NULL ? made + 1 : made;
}

bool single_call_shows_it_sent(const single_call_row *row) {
    if (row->kind == CALL_EVENT) {
        return row->what == EVENT_ACCEPTED || row->what == EVENT_SETTLED ||
               row->what == EVENT_RETURNED;
    }
    return row->kind == CALL_OUTCOME && is_at_rail(row->step) &&
           (row->what == OUT_ACCEPTED || row->what == OUT_SETTLED || row->what == OUT_RETURNED);
}

bool single_call_refuses(const single_call_row *row) {
    if (row->kind == CALL_EVENT) {
        return row->what == EVENT_REFUSED || row->what == EVENT_NOT_TAKEN;
    }
    return row->kind == CALL_OUTCOME && is_at_rail(row->step) &&
           (row->what == OUT_REFUSED || row->what == OUT_AGAIN);
}

// The evidence of all rows of an attempt.
typedef struct said {
    bool any;     // it has rows
    bool sent;    // the bank has it
    bool paid;    // the bank has paid it, even if the payment came back
    bool refused; // the bank has not taken it, and never will
    bool doubted; // a call came out otherwise than as "never sent"
} said;

static said said_of(const single_call *c, int32_t attempt) {
    said s = {0};
    for (size_t i = 0; i < c->n_rows; i++) {
        const single_call_row *row = &c->rows[i];
        if (row->attempt != attempt || (row->kind != CALL_EVENT && !is_at_rail(row->step))) {
            continue;
        }
        const bool sent = single_call_shows_it_sent(row);
        s.any = true;
        s.sent |= sent;
        s.paid |= sent &&
                  row->what != (row->kind == CALL_EVENT ? (int)EVENT_ACCEPTED : (int)OUT_ACCEPTED);
        s.refused |= single_call_refuses(row);
        s.doubted |= row->kind == CALL_OUTCOME && row->what != OUT_RETRY;
    }
    return s;
}

// Another attempt has replaced this one. So evidence, or a person, says that nothing of it was paid.
static submission_state superseded(const said *s) {
    if (s->paid) {
        return SUBMISSION_ACKED;
    }
    return s->any && !s->doubted && !s->refused ? SUBMISSION_WITHDRAWN : SUBMISSION_REJECTED;
}

// A person must look, since nobody knows whether the bank has it. DISPUTED if the bank's words are the cause.
static submission_state held(const said *s) {
    return s->sent || s->refused ? SUBMISSION_DISPUTED : SUBMISSION_UNKNOWN;
}

static submission_state ended(int state, const said *s) {
    switch (state) {
    case STATE_SETTLED:
    case STATE_RETURNED: return SUBMISSION_ACKED;
    case STATE_FAILED: return SUBMISSION_REJECTED;
    case STATE_CANCELED: return s->refused ? SUBMISSION_REJECTED : SUBMISSION_WITHDRAWN;
    default: return SUBMISSION_UNKNOWN;
    }
}

submission_state single_call_state(const single_call *c, int32_t attempt) {
    const said s = said_of(c, attempt);
    const single_call_row *intent = intent_of(c);
    const int step = intent != NULL ? intent->step : c->step;
    const int outlook = intent != NULL ? intent->outlook : c->outlook;
    const bool is_held = c->hold.len > 0 && !c->leased;
    if (attempt < single_call_newest(c)) {
        return superseded(&s);
    }
    switch (step) {
    case STEP_EXECUTE:
        // The worker that was sending it is gone: the outcome is unknown, and the bank is asked next.
        return c->leased                  ? SUBMISSION_SENDING
               : c->phase == PHASE_ACTING ? SUBMISSION_UNKNOWN
                                          : SUBMISSION_PREPARED;
    case STEP_RESOLVE:
    case STEP_AWAIT:
        return is_held                                        ? held(&s)
               : step == STEP_AWAIT || c->state == STATE_SENT ? SUBMISSION_SENT
                                                              : SUBMISSION_UNKNOWN;
    case STEP_CONFIRM:
    case STEP_RETURN: return SUBMISSION_ACKED;
    case STEP_VOID:
    case STEP_CANCEL: return ended(outlook, &s);
    case STEP_DONE: return ended(c->state, &s);
    default: return SUBMISSION_UNKNOWN; // a state of a later version
    }
}

// --- What a row says ---------------------------------------------------------------------------------------------------

const char *single_call_evidence(const single_call_row *row) {
    if (row->kind == CALL_EVENT) {
        return saga_event_name(row->what);
    }
    const bool asked = row->step == STEP_RESOLVE;
    if (row->kind == CALL_INTENT) {
        return asked ? "ASKED" : "BEGUN";
    }
    switch (row->what) {
    case OUT_RETRY: return asked ? "NOT_SEEN" : "NOT_SENT";
    case OUT_AGAIN: return "REFUSED";
    default: return saga_outcome_name(row->what);
    }
}

// --- Ids ---------------------------------------------------------------------------------------------------------------

bool single_call_id_is(str text) {
    return memchr(text.ptr, '/', text.len) != NULL;
}

bool single_call_id_read(str text, single_call_id *id) {
    const char *slash = memchr(text.ptr, '/', text.len);
    if (slash == NULL) {
        return false;
    }
    const char *end = text.ptr + text.len, *uuid_at = slash + 1;
    int64_t attempt = 0;
    if (end - uuid_at < UUID_TEXT_LEN + 2 || uuid_at[UUID_TEXT_LEN] != ':') {
        return false;
    }
    const char *number = uuid_at + UUID_TEXT_LEN + 1;
    if (*number == '0' ||
        !str_to_i64((str){number, (size_t)(end - number)}, 1, INT32_MAX, &attempt) ||
        !uuid_parse((str){uuid_at, UUID_TEXT_LEN}, &id->payout_id)) {
        return false;
    }
    id->merchant_id = (str){text.ptr, (size_t)(slash - text.ptr)};
    id->attempt = (int32_t)attempt;
    return true;
}

char *single_call_id_text(str merchant_id, uuid payout_id, int32_t attempt, arena *a) {
    char payout[UUID_TEXT_LEN + 1];
    uuid_format(payout_id, payout);
    return arena_printf(a, "%.*s/%s:%d", (int)merchant_id.len, merchant_id.ptr, payout,
                        (int)attempt);
}
