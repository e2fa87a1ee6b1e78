#include "recon/rules.h"

enum { MAY_BE_MAX = 3 };

// Nothing is reserved. The merchant has paid this much, and the bank the same plus the amount written off. A merchant that has paid
// anything bears the fee.
static recon_figures paid(const recon_saga *s, int64_t by_merchant) {
    return (recon_figures){.from_merchant = by_merchant,
                           .at_bank = by_merchant + s->written_off,
                           .fee = by_merchant > 0 ? s->fee : 0};
}

static recon_figures set_aside(const recon_saga *s) {
    recon_figures f = paid(s, 0);
    f.reserved = s->amount;
    f.fee_reserved = s->fee;
    return f;
}

// The merchant's payment, by the state.
static int64_t by_state(const recon_saga *s) {
    return s->state == STATE_SETTLED ? s->amount - s->returned : 0;
}

// The figures before and after a step that moves so much out without a reservation (back, if negative).
static size_t moved(const recon_saga *s, int64_t out_of, recon_figures *out) {
    out[0] = out[1] = paid(s, by_state(s));
    out[1].at_bank += out_of;
    out[1].from_merchant += s->outlook == STATE_NONE ? out_of : 0;
    out[1].fee = out[1].from_merchant > 0 ? s->fee : 0;
    return 2;
}

static size_t when_done(const recon_saga *s, recon_figures *out) {
    switch ((int)s->state) {
    case STATE_SETTLED:
    case STATE_FAILED:
    case STATE_RETURNED:
    case STATE_CANCELED: out[0] = paid(s, by_state(s)); return 1;
    default: return 0;
    }
}

// All places where the whole money may be.
static size_t anywhere(const recon_saga *s, recon_figures *out) {
    out[0] = paid(s, 0);
    out[1] = set_aside(s);
    out[2] = paid(s, s->amount);
    return 3;
}

static size_t right_ones(const recon_saga *s, recon_figures *out) {
    size_t n = 0;
    switch ((int)s->step) {
    case STEP_GATE: out[0] = paid(s, 0); return 1;
    case STEP_RESERVE:
    case STEP_VOID:
    case STEP_CANCEL:
        out[0] = paid(s, 0);
        out[1] = set_aside(s);
        return 2;
    case STEP_EXECUTE:
    case STEP_RESOLVE:
    case STEP_AWAIT: out[0] = set_aside(s); return 1;
    case STEP_CONFIRM:
        if (s->moving > 0) {
            return moved(s, s->moving, out);
        }
        out[0] = set_aside(s);
        out[1] = paid(s, s->amount);
        return 2;
    case STEP_RETURN: return moved(s, s->moving > 0 ? -s->moving : -s->amount, out);
    case STEP_DONE: n = when_done(s, out); break;
    default: break;
    }
    return n > 0 ? n : anywhere(s, out); // a step of a later version
}

static size_t compare(const recon_figures *expected, const recon_figures *found,
                      recon_deviation out[RECON_FIGURES]) {
    const recon_deviation all[RECON_FIGURES] = {
        {"RESERVED", expected->reserved, found->reserved},
        {"FROM_MERCHANT", expected->from_merchant, found->from_merchant},
        {"TRANSIT", expected->transit, found->transit},
        {"AT_BANK", expected->at_bank, found->at_bank},
        {"FEE_RESERVED", expected->fee_reserved, found->fee_reserved},
        {"FEE", expected->fee, found->fee},
    };
    size_t n = 0;
    for (size_t i = 0; i < RECON_FIGURES; i++) {
        if (all[i].expected != all[i].found) {
            out[n++] = all[i];
        }
    }
    return n;
}

size_t recon_judge(const recon_saga *s, const recon_figures *found,
                   recon_deviation out[RECON_FIGURES]) {
    recon_figures right[MAY_BE_MAX];
    const size_t n_right = right_ones(s, right);
    size_t fewest = RECON_FIGURES + 1;
    for (size_t i = 0; i < n_right; i++) {
        recon_deviation here[RECON_FIGURES];
        const size_t n = compare(&right[i], found, here);
        if (n < fewest) {
            fewest = n;
            for (size_t k = 0; k < n; k++) {
                out[k] = here[k];
            }
        }
    }
    return fewest;
}
