// Controls may refuse, hold or delay a payout before its money moves. One ordered table (registry.c) lists them. Each control is a folder
// with its rule (pure) and its facts, loaded by one statement for all payouts of a gathering.
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "control/verdict.h"
#include "db/db.h"

enum {
    CONTROL_PAYOUTS_MAX = 20000, // per gathering
    CONTROL_REASONS_MAX = 8,
    CONTROLS_MAX = 32
};

typedef struct control {
    const char *name; // as shown in the timeline
    // Asked besides the intake: at the gate, which is the claim before the reservation, because its facts can change; or by the reservation
    // itself, instead of the intake: then the ledger's answer is its facts.
    bool at_gate, at_reserve;
    // Its possible reasons, UPPER_SNAKE_CASE. Each belongs to one control, so a reason identifies it. Ends with NULL.
    const char *reasons[CONTROL_REASONS_MAX];
    const char *case_kind; // of payouts that it holds (cases/kinds.h); NULL: it never holds
    // Inside the transaction of the gathering or of the claim: facts[i] of payouts[i], by at most one statement. NULL: no facts.
    bool (*load)(db_conn *c, int64_t book_id, const control_payout *payouts, size_t n,
                 const void **facts, arena *a, err *e);
    // Pure. *out is PASS at first.
    void (*rule)(const control_payout *p, const void *facts, control_verdict *out);
} control;

// An ordered table: the first control that does not pass a payout decides about it.
typedef struct controls {
    const control *const *of;
    size_t n;
} controls;

// The table of this program (registry.c).
controls controls_table(void);

typedef enum control_place { CONTROL_INTAKE, CONTROL_GATE } control_place;

// True when the table has a control for this place.
bool controls_any(controls t, control_place place);
// Asks this place's controls about n payouts, in order: verdicts[i] of payouts[i]. After its first verdict a payout is not asked about
// again. The verdicts live in a; NULL: it passes.
bool controls_ask(controls t, control_place place, db_conn *c, int64_t book_id,
                  const control_payout *payouts, size_t n, const control_verdict **verdicts,
                  arena *a, err *e) WARN_UNUSED;
// The control of this reason; NULL: none.
const control *control_of_reason(controls t, str reason);

#endif
