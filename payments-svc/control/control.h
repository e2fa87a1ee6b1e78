// Controls: what may refuse, hold or delay a payout before its money moves. One ordered table (registry.c); each control is a folder with
// its rule (pure), and what the rule must know, loaded by one statement for all payouts of a gathering.
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "control/verdict.h"
#include "db/db.h"

enum {
    CONTROL_PAYOUTS_MAX = 20000, // of one gathering
    CONTROL_REASONS_MAX = 8,
    CONTROLS_MAX = 32
};

typedef struct control {
    const char *name; // as the timeline says it
    // When it is asked beside the intake: at the gate, which is the claim before the reservation, because what it knows can change;
    // or by the reservation itself, instead of the intake: then the answer of the ledger is its facts.
    bool at_gate, at_reserve;
    // What it may say, UPPER_SNAKE_CASE; each belongs to one control, so that a reason says which. NULL ends it.
    const char *reasons[CONTROL_REASONS_MAX];
    const char *case_kind; // of what it holds (cases/kinds.h); NULL: it never holds
    // Inside the transaction of the gathering or of the claim: facts[i] of payouts[i], by at most one statement. NULL: it needs none.
    bool (*load)(db_conn *c, int64_t book_id, const control_payout *payouts, size_t n,
                 const void **facts, arena *a, err *e);
    // Pure. *out is PASS before.
    void (*rule)(const control_payout *p, const void *facts, control_verdict *out);
} control;

// An ordered table, of which the first control that does not pass a payout decides about it.
typedef struct controls {
    const control *const *of;
    size_t n;
} controls;

// The table of this program (registry.c).
controls controls_table(void);

typedef enum control_place { CONTROL_INTAKE, CONTROL_GATE } control_place;

// Whether a control of the table is asked there.
bool controls_any(controls t, control_place place);
// Asks the controls that are asked there about n payouts, in order: verdicts[i] of payouts[i]; a payout that did not pass is not asked
// about again. The verdicts live in a; NULL: it passes.
bool controls_ask(controls t, control_place place, db_conn *c, int64_t book_id,
                  const control_payout *payouts, size_t n, const control_verdict **verdicts,
                  arena *a, err *e) WARN_UNUSED;
// The control whose reason it is; NULL: none's.
const control *control_of_reason(controls t, str reason);

#endif
