// The meaning of the ledger's and the rail's answers for the step.
#include "base/log.h"
#include "control/funds/rules.h"
#include "ledger/ledger_client.h"
#include "saga/saga_internal.h"

enum { REASON_BYTES_MAX = 64, TEXT_BYTES_MAX = 300 };

#define LEDGER_IS(status, name)                                                                    \
    ((status) == LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_##name)

// --- The ledger's answers ------------------------------------------------------------------------------------

static saga_answer broken(const saga_item *item, Ledger__V1__CreateTransferStatus status) {
    char id[UUID_TEXT_LEN + 1];
    uuid_format(item->payout_id, id);
    const char *name = ledger_status_name(status);
    log_error("saga.ledger_answer_unexpected", F_STR("payout", id),
              F_STR("step", saga_step_name((int)item->acting)), F_STR("status", name));
    return (saga_answer){OUT_BROKEN, STR("LEDGER_ANSWER_UNEXPECTED"), str_of(name), 0};
}

// The control `funds` is asked with the ledger's answer, which is the only one that holds.
static saga_answer judge_reserve(const saga_item *item, Ledger__V1__CreateTransferStatus status,
                                 arena *a) {
    if (LEDGER_IS(status, EXISTS_WITH_DIFFERENT_FLAGS)) {
        return (saga_answer){OUT_BROKEN, STR("RESERVED_OTHERWISE"),
                             STR("it was reserved before with a fee that the payout has not: give "
                                 "it back"),
                             0};
    }
    const funds_facts facts = {LEDGER_IS(status, EXCEEDS_CREDITS)                ? FUNDS_TOO_LOW
                               : LEDGER_IS(status, DEBIT_ACCOUNT_ALREADY_CLOSED) ? FUNDS_CLOSED
                                                                                 : FUNDS_THERE,
                               item->fee > 0};
    control_verdict *v = arena_alloc(a, sizeof *v);
    if (v == NULL) {
        return (saga_answer){OUT_RETRY, STR("REQUEST_MEMORY"), {"", 0}, 0};
    }
    *v = (control_verdict){.answer = CONTROL_PASS};
    const control_payout payout = {
        item->merchant_id, item->recipient_id, item->amount, item->currency, 0, NULL};
    funds_rule(&payout, &facts, v);
    if (v->answer == CONTROL_REFUSE) {
        return (saga_answer){OUT_REFUSED, str_of(v->reason), str_of(v->text), 0};
    }
    return broken(item, status);
}

// Judges the transfer that decides the step: of a pair, the transfer that failed.
saga_answer saga_judge_ledger(const saga_item *item, Ledger__V1__CreateTransferStatus status,
                              arena *a) {
    const saga_answer done = {OUT_DONE, {"", 0}, {"", 0}, 0};
    if (LEDGER_IS(status, ID_ALREADY_FAILED)) {
        // An earlier try under this id was refused, and its answer was lost, or a person has ordered the step again. Nothing was or will be
        // booked under this id. The next number is tried, and gets the reason.
        return (saga_answer){OUT_BURNED, STR("LEDGER_ID_BURNED"),
                             STR("an earlier try under this id was refused"), 0};
    }
    const bool frees = item->acting == STEP_VOID || item->acting == STEP_CANCEL;
    if ((frees && LEDGER_IS(status, PENDING_TRANSFER_ALREADY_VOIDED)) ||
        (item->acting == STEP_CONFIRM && item->now.moving == 0 &&
         LEDGER_IS(status, PENDING_TRANSFER_ALREADY_POSTED))) {
        return done; // booked under another number
    }
    // Given up at RESERVE, before any attempt: the reservation was never made, or its id has failed.
    if (frees && item->now.attempt == 0 && LEDGER_IS(status, PENDING_TRANSFER_NOT_FOUND)) {
        return done;
    }
    if (item->acting == STEP_RESERVE) {
        return judge_reserve(item, status, a);
    }
    if (LEDGER_IS(status, DEBIT_ACCOUNT_ALREADY_CLOSED) ||
        LEDGER_IS(status, CREDIT_ACCOUNT_ALREADY_CLOSED)) {
        return (saga_answer){OUT_BROKEN, STR("LEDGER_ACCOUNT_CLOSED"),
                             STR("an account that the money must pass is closed in the ledger"), 0};
    }
    if (LEDGER_IS(status, EXCEEDS_CREDITS)) {
        return (saga_answer){OUT_BROKEN, STR("INSUFFICIENT_FUNDS"),
                             STR("the balance that the money must come from is too low"), 0};
    }
    return broken(item, status);
}

// --- The rail's verdicts --------------------------------------------------------------------------------------------

// A text from outside, safe for the database and for people: valid and bounded.
static str clean(str text, size_t len_max) {
    if (text.len == 0) {
        return (str){"", 0};
    }
    const str kept = str_clip(text, len_max);
    return str_is_text(kept.ptr, kept.len) ? kept : STR("(not text)");
}

static saga_outcome outcome_of(rail_verdict verdict) {
    switch (verdict) {
    case RAIL_NOT_SENT: return OUT_RETRY;
    case RAIL_ACCEPTED: return OUT_ACCEPTED;
    case RAIL_SETTLED: return OUT_SETTLED;
    case RAIL_REFUSED: return OUT_REFUSED;
    case RAIL_REFUSED_RETRY: return OUT_AGAIN;
    case RAIL_UNKNOWN: return OUT_UNKNOWN;
    case RAIL_RETURNED: return OUT_RETURNED;
    case RAIL_HANDED_OVER: return OUT_HANDED_OVER;
    case RAIL_HELD: return OUT_BROKEN;
    }
    return OUT_UNKNOWN; // the rail gave no verdict: never guess
}

str saga_clean_text(str text) {
    return clean(text, TEXT_BYTES_MAX);
}

saga_answer saga_answer_of(const rail_item *item) {
    return (saga_answer){outcome_of(item->verdict), clean(item->code, REASON_BYTES_MAX),
                         clean(item->text, TEXT_BYTES_MAX), item->retry_at_us};
}
