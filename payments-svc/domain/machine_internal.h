// What the files of the machine share. Not for anybody else.
#ifndef DOMAIN_MACHINE_INTERNAL_H
#define DOMAIN_MACHINE_INTERNAL_H

#include "domain/machine.h"

enum { SAGA_TRIES_MAX = 1000000 }; // counted no further: the backoff reached its cap long before

// The bank's money against the ledger's, of a payout in a state.
typedef enum saga_tilt {
    TILT_EVEN,  // they agree, or nothing speaks against it
    TILT_BACK,  // the bank has less than the ledger: amount goes back to the merchant
    TILT_AGAIN, // the bank has paid once more after a return: amount leaves the merchant again
    TILT_ODD    // they disagree in a way that only a person can judge
} saga_tilt;
typedef struct saga_balance {
    saga_tilt tilt;
    int64_t amount; // minor units, above 0 for BACK and AGAIN
} saga_balance;

// returned: as saga.returned, of the state that is asked about.
saga_balance saga_balance_of(const saga *s, saga_state state, int64_t returned,
                             const saga_said *said);
// The same of what stays when the merchant is left alone: above 0, the bank has paid more than the ledger's bank account says.
int64_t saga_difference(const saga *s, const saga_said *said);

// The attempt that the rail may speak of next has no number yet.
bool saga_next_attempt_is_new(const saga *s);

void saga_set_reason(saga *s, str code, str text);
// Holds because of what the rail said of a payout that is, or is about to be, in a state.
void saga_hold_contradiction(saga *s, saga_state state, const saga_said *said);
void saga_unhold(saga *s);
// The reservation will be released: remember where that leads, and why.
void saga_head_for_void(saga *s, saga_state outlook, str code, str text);
// A new attempt will be made.
void saga_head_for_attempt(saga *s);
// Arrives at DONE in a terminal state. What was said meanwhile is taken up by the next claim, at once.
void saga_finish(saga *s, saga_state state, const saga_said *said, const clock_source *clock);
// Rests, ready, until then.
saga_step saga_rest(saga *s, int64_t due_at_us);

// The next order, if it can be carried out now: *s stands where it leads, and *note says what became of it. False: there is none, or
// it has to wait for what is under way.
bool saga_take_order(saga *s, const saga_said *said, const clock_source *clock, saga_note *note);
// The rail will be asked about the present attempt, or about the next one when that is what it may have: under the key that it would get.
void saga_head_for_question(saga *s);
// An order to cancel waits for its turn.
bool saga_wants_cancel(const saga_said *said);
// It does, and the rail must be asked before the money may be freed: the present attempt was unknown once, or was perhaps forgotten.
bool saga_cancel_asks(const saga *s, const saga_said *said);

#endif
