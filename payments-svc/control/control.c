#include "control/control.h"

static bool is_asked(const control *k, control_place place) {
    return !k->at_reserve && (place == CONTROL_INTAKE || k->at_gate);
}

bool controls_any(controls t, control_place place) {
    for (size_t i = 0; i < t.n; i++) {
        if (is_asked(t.of[i], place)) {
            return true;
        }
    }
    return false;
}

static bool keep(const control_verdict *v, const control_verdict **out, arena *a, err *e) {
    control_verdict *kept = arena_alloc(a, sizeof *kept);
    if (kept == NULL) {
        return err_no_memory(e, "the request");
    }
    *kept = *v;
    *out = kept;
    return true;
}

// For one control: the payouts that have passed so far.
typedef struct asking {
    control_payout *payouts;
    size_t *index; // their places in the caller's order
    const void **facts;
    size_t n;
} asking;

static bool ask_one(const control *k, const asking *q, db_conn *c, int64_t book_id,
                    const control_verdict **verdicts, arena *a, err *e) {
    for (size_t i = 0; i < q->n; i++) {
        q->facts[i] = NULL;
    }
    if (k->load != NULL && !k->load(c, book_id, q->payouts, q->n, q->facts, a, e)) {
        return false;
    }
    for (size_t i = 0; i < q->n; i++) {
        control_verdict v = {.answer = CONTROL_PASS};
        k->rule(&q->payouts[i], q->facts[i], &v);
        // Only the gate holds payouts back. A control that is not asked there would let them pass unseen.
        if ((v.answer == CONTROL_WAIT || v.answer == CONTROL_HOLD) && !k->at_gate) {
            return err_set(e, ERR_INTERNAL, "CONTROL", "the control %s holds back without a gate",
                           k->name);
        }
        if (v.answer != CONTROL_PASS && !keep(&v, &verdicts[q->index[i]], a, e)) {
            return false;
        }
    }
    return true;
}

// Keeps only payouts without a verdict.
static void drop_decided(asking *q, const control_verdict *const *verdicts) {
    size_t kept = 0;
    for (size_t i = 0; i < q->n; i++) {
        if (verdicts[q->index[i]] == NULL) {
            q->payouts[kept] = q->payouts[i];
            q->index[kept++] = q->index[i];
        }
    }
    q->n = kept;
}

bool controls_ask(controls t, control_place place, db_conn *c, int64_t book_id,
                  const control_payout *payouts, size_t n, const control_verdict **verdicts,
                  arena *a, err *e) {
    asking q = {.payouts = ARENA_ARRAY(a, control_payout, n),
                .index = ARENA_ARRAY(a, size_t, n),
                .facts = ARENA_ARRAY(a, const void *, n),
                .n = n};
    if (n > 0 && (q.payouts == NULL || q.index == NULL || q.facts == NULL)) {
        return err_no_memory(e, "the request");
    }
    for (size_t i = 0; i < n; i++) {
        q.payouts[i] = payouts[i];
        q.index[i] = i;
        verdicts[i] = NULL;
    }
    for (size_t k = 0; k < t.n && q.n > 0; k++) {
        if (is_asked(t.of[k], place)) {
            if (!ask_one(t.of[k], &q, c, book_id, verdicts, a, e)) {
                return false;
            }
            drop_decided(&q, verdicts);
        }
    }
    return true;
}

const control *control_of_reason(controls t, str reason) {
    for (size_t i = 0; i < t.n; i++) {
        for (size_t r = 0; r < CONTROL_REASONS_MAX && t.of[i]->reasons[r] != NULL; r++) {
            if (str_eq_c(reason, t.of[i]->reasons[r])) {
                return t.of[i];
            }
        }
    }
    return NULL;
}
