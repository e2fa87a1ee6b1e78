// Shared by the tests of the machine: sagas at any step, and short ways to move them. Tests only; one thread.
#ifndef DOMAIN_MACHINE_TEST_KIT_H
#define DOMAIN_MACHINE_TEST_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "domain/machine.h"

enum { AMOUNT = 1000 }; // of every payout

extern const saga_policy POLICY, FILES;
extern test_clock CLOCK;
int setup(void **state);

saga at(saga_step step, saga_phase phase, saga_state state, int32_t attempt);
saga fresh(void);
saga sent(void);        // in AWAIT, attempt 1
saga settled(void);     // DONE, by a message without an amount
saga handed_over(void); // in AWAIT, in a submission
saga failed(void);      // DONE, refused by the rail

saga_said word(saga_word w);                             // about R03, with fitting amounts
saga_event event(int32_t attempt, saga_event_kind kind); // without an amount
saga_event moved(saga_event_kind kind, int64_t amount);  // of attempt 1
saga_event ordered(saga_event_kind kind, int32_t number);
saga_said hear(const saga *s, const saga_event *events, size_t n); // all are new

saga_step claim_with(saga *s, saga_said said);
saga_step claim(saga *s);
saga_step claim_events(saga *s, const saga_event *events, size_t n);
bool come(saga *s, saga_outcome outcome, saga_word w);
bool come_events(saga *s, saga_outcome outcome, const saga_event *events, size_t n);
// claims, and applies the outcome, without messages
void act(saga *s, saga_step expected, saga_outcome outcome);
void assert_held(const saga *s, saga_step step, const char *hold);
void assert_sane(const saga *s); // the invariants of every saga that the machine makes
extern saga_note note;           // of the last claim

#endif
