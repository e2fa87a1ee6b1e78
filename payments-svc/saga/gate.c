// The gate: inside the claiming transaction, before the reservation, the controls that can have changed are asked once more.
#include "saga/saga_internal.h"

static saga_gate heard(const control_verdict *v) {
    static const saga_gate_answer ANSWERS[] = {[CONTROL_PASS] = GATE_PASS,
                                               [CONTROL_WAIT] = GATE_WAIT,
                                               [CONTROL_HOLD] = GATE_HOLD,
                                               [CONTROL_REFUSE] = GATE_REFUSE};
    return (saga_gate){ANSWERS[v->answer], str_of(v->reason), str_of(v->text), v->until_us};
}

bool saga_gate_ask(saga_batch *b, db_conn *c, err *e) {
    if (b->from.step != STEP_GATE || !controls_any(b->from.controls, CONTROL_GATE)) {
        return true;
    }
    control_payout *payouts = ARENA_ARRAY(b->a, control_payout, b->n);
    const control_verdict **verdicts = ARENA_ARRAY(b->a, const control_verdict *, b->n);
    if (payouts == NULL || verdicts == NULL) {
        return err_no_memory(e, "the batch");
    }
    for (size_t i = 0; i < b->n; i++) {
        const saga_item *item = &b->items[i];
        payouts[i] = (control_payout){.merchant_id = item->merchant_id,
                                      .recipient_id = item->recipient_id,
                                      .amount = item->amount,
                                      .currency = item->currency,
                                      .connection = b->from.rail->id};
    }
    if (!controls_ask(b->from.controls, CONTROL_GATE, c, b->from.book_id, payouts, b->n, verdicts,
                      b->a, e)) {
        return false;
    }
    for (size_t i = 0; i < b->n; i++) {
        if (verdicts[i] != NULL) {
            b->items[i].said.gate = heard(verdicts[i]);
        }
    }
    return true;
}
