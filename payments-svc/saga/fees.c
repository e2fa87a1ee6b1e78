// The merchant's fee for a payout: the last leg of the chains that take the payout's amount from the merchant, and give it back.
//
// RULE: the merchant bears the fee while any part of its payment is not back. So a chain moves the fee exactly when the merchant's part
// becomes zero, or stops being zero. An amount that suspense bears moves no fee.
#include <string.h>

#include "domain/ids.h"
#include "saga/saga_internal.h"

#define LEDGER_IS(status, name)                                                                    \
    ((status) == LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_##name)
#define LEDGER_FLAG(name) LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_##name

static int64_t paid_before(const saga *s) {
    return s->state == STATE_SETTLED ? s->amount - s->returned : 0;
}

static bool by_merchant(const saga *s) {
    return s->outlook == STATE_NONE;
}

bool saga_fee_moves(const saga_item *item) {
    const saga *s = &item->now;
    if (item->fee == 0 || item->no_fee) {
        return false;
    }
    switch (item->acting) {
    case STEP_RESERVE:
    case STEP_VOID:
    case STEP_CANCEL: return true;
    case STEP_CONFIRM: return by_merchant(s) && (s->moving == 0 || paid_before(s) == 0);
    case STEP_RETURN: return by_merchant(s) && (s->moving == 0 || paid_before(s) == s->moving);
    case STEP_NONE:
    case STEP_EXECUTE:
    case STEP_RESOLVE:
    case STEP_AWAIT:
    case STEP_DONE:
    case STEP_GATE: break;
    }
    return false;
}

// An instance with no fee, or another fee, has made the reservation: an older version, or before a restore. The chain without the fee has
// other flags, and a chain with the fee finds nothing to post or void.
bool saga_fee_is_missing(const saga_item *item, const ledger_result *results, size_t n) {
    if (!saga_fee_moves(item)) {
        return false;
    }
    const bool frees = item->acting == STEP_VOID || item->acting == STEP_CANCEL;
    const bool posts = item->acting == STEP_CONFIRM && item->now.moving == 0;
    return ((frees || item->acting == STEP_RESERVE) &&
            LEDGER_IS(results[0].status, EXISTS_WITH_DIFFERENT_FLAGS)) ||
           ((frees || posts) && LEDGER_IS(results[0].status, LINKED_EVENT_FAILED) &&
            LEDGER_IS(results[n - 1].status, PENDING_TRANSFER_NOT_FOUND));
}

bool saga_fee_may_be_left(const saga_item *item) {
    return item->acting == STEP_VOID && item->now.attempt == 0 && item->fee == 0;
}

static ledger_transfer of_intent(const saga_item *item, const char *leg) {
    return (ledger_transfer){.id = transfer_of_step(item->intent_id, leg, item->now.leg),
                             .user_data_128 = item->intent_id};
}

// Posts or voids the fee that was reserved beside the reservation.
static ledger_transfer release(const saga_item *item, const char *leg, int64_t amount,
                               uint32_t flags) {
    ledger_transfer t = of_intent(item, leg);
    t.pending_id = transfer_of_step(item->intent_id, "fee_reserve", item->now.reserve_leg);
    t.amount = amount;
    t.flags = flags;
    return t;
}

static ledger_transfer move(const saga_item *item, const char *leg, uuid debit, uuid credit,
                            uint32_t code, uint32_t flags) {
    ledger_transfer t = of_intent(item, leg);
    t.debit = debit;
    t.credit = credit;
    t.amount = item->fee;
    t.code = code;
    t.flags = flags;
    memcpy(t.currency, item->currency, sizeof t.currency);
    return t;
}

ledger_transfer saga_fee_leg(const saga_item *item, uuid fees) {
    const uuid merchant = item->merchant_account;
    if (item->acting == STEP_RESERVE) {
        return move(item, "fee_reserve", merchant, fees, TRANSFER_FEE, LEDGER_FLAG(PENDING));
    }
    if (item->acting == STEP_CONFIRM) {
        return item->now.moving > 0
                   ? move(item, "fee_again", merchant, fees, TRANSFER_FEE, 0)
                   : release(item, "fee_confirm", INT64_MAX, LEDGER_FLAG(POST_PENDING_TRANSFER));
    }
    if (item->acting == STEP_RETURN) {
        return move(item, "fee_return", fees, merchant, TRANSFER_FEE_BACK, 0);
    }
    return release(item, "fee_void", 0, LEDGER_FLAG(VOID_PENDING_TRANSFER));
}
