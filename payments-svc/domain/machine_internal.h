// Shared by the files of the machine only.
#ifndef DOMAIN_MACHINE_INTERNAL_H
#define DOMAIN_MACHINE_INTERNAL_H

#include "domain/machine.h"

enum { SAGA_TRIES_MAX = 1000000 }; // counts no further: the backoff reached its cap long before

// The bank's money against the ledger's, for a payout in a given state.
typedef enum saga_tilt {
    TILT_EVEN,  // they agree, or nothing contradicts
    TILT_BACK,  // the bank has less than the ledger: the amount goes back to the merchant
    TILT_AGAIN, // the bank has paid again after a return: the amount leaves the merchant again
    TILT_ODD    // they disagree in a way that only a person can judge
} saga_tilt;
typedef struct saga_balance {
    saga_tilt tilt;
    int64_t amount; // minor units, above 0 for BACK and AGAIN
} saga_balance;

// returned: like saga.returned, for the given state.
saga_balance saga_balance_of(const saga *s, saga_state state, int64_t returned,
                             const saga_said *said);
// The difference that stays when the merchant is left alone: above 0, the bank has paid more than the ledger's bank account says.
int64_t saga_difference(const saga *s, const saga_said *said);

// True when the rail's next word may be about an attempt that has no number yet.
bool saga_next_attempt_is_new(const saga *s);

void saga_set_reason(saga *s, str code, str text);
void saga_copy_text(char *to, size_t size, str from); // cut to whole characters
// Holds because of what the rail said of a payout that is, or is about to be, in a state.
void saga_hold_contradiction(saga *s, saga_state state, const saga_said *said);
void saga_unhold(saga *s);
// Remembers the outlook and the reason of the coming release of the reservation.
void saga_head_for_void(saga *s, saga_state outlook, str code, str text);
// Prepares a new attempt.
void saga_head_for_attempt(saga *s);
// Arrives at DONE in a terminal state. The next claim, at once, takes up messages that came meanwhile.
void saga_finish(saga *s, saga_state state, const saga_said *said, const clock_source *clock);
// Rests, ready, until this time.
saga_step saga_rest(saga *s, int64_t due_at_us);

// Takes the next order if it can be carried out now: *s moves to its step, and *note tells the result. False: no order, or it has to wait
// for the step under way.
bool saga_take_order(saga *s, const saga_said *said, const clock_source *clock, saga_note *note);
// Prepares the question to the rail about the present attempt, or about the next one, under its coming key, if the rail may have it.
void saga_head_for_question(saga *s);
// True when an order to cancel waits for its turn.
bool saga_wants_cancel(const saga_said *said);
// True when such an order must first ask the rail before it frees the money: the present attempt was once unknown, or may be forgotten.
bool saga_cancel_asks(const saga *s, const saga_said *said);

#endif
