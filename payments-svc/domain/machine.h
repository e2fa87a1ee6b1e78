// The saga of a payout as a pure function: (saga, what happened, time) → (new saga). No I/O; this file and machine.c read
// like the state diagram.
//
//   RESERVE ──done──▶ EXECUTE ──accepted──▶ AWAIT ──settled──▶ CONFIRM ──done──▶ DONE (SETTLED) ──returned──▶ RETURN ──▶ DONE (RETURNED)
//      │refused          │ unknown ▶ RESOLVE     │ refused/returned
//      ▼                 │ refused               ▼
//   DONE (FAILED)        └──────────────────▶ VOID ──done──▶ DONE (FAILED or RETURNED)
//
// Two things move a saga: the outcome of what we did (saga_on_outcome), and what the rail says by itself, heard when the
// saga is claimed (saga_on_claim). A word of the rail that does not fit what the ledger says puts the payout in state HELD:
// a person must look. Nothing here blocks, allocates or fails; any thread.
#ifndef DOMAIN_MACHINE_H
#define DOMAIN_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

typedef enum saga_step {
    STEP_NONE = 0,    // nothing to act on
    STEP_RESERVE = 1, // pending debit of available, credit of clearing
    STEP_EXECUTE = 2, // submit to the rail
    STEP_RESOLVE = 3, // outcome unknown: ask the rail
    STEP_AWAIT = 4,   // accepted by the rail: wait for its word
    STEP_CONFIRM = 5, // post the reservation, move clearing to bank
    STEP_VOID = 6,    // release the reservation
    STEP_RETURN = 7,  // money came back after CONFIRM: move it back
    STEP_DONE = 8     // nothing left to do by itself
} saga_step;
enum { STEP_COUNT = 9 };

typedef enum saga_phase { PHASE_READY = 0, PHASE_ACTING = 1 } saga_phase;

// payments.v1.PayoutState
typedef enum saga_state {
    STATE_NONE = 0,
    STATE_PENDING = 3,
    STATE_PROCESSING = 4,
    STATE_SENT = 5,
    STATE_SETTLED = 6,
    STATE_FAILED = 7,
    STATE_RETURNED = 8,
    STATE_HELD = 10
} saga_state;

// What happened to the step that was acted on; also stored as step_log.outcome.
typedef enum saga_outcome {
    OUT_NONE = 0,    // an intent
    OUT_DONE = 1,    // RESERVE, CONFIRM, VOID, RETURN: the ledger has it
    OUT_REFUSED = 2, // the ledger or the rail said no, for good
    OUT_RETRY =
        3, // did not happen, or may be repeated as it is: act again, the same step and attempt
    OUT_AGAIN = 4,       // the rail refused this attempt for now: a new attempt
    OUT_ACCEPTED = 5,    // the rail has it
    OUT_SETTLED = 6,     // the rail has done it
    OUT_RETURNED = 7,    // the rail says that it came back
    OUT_UNKNOWN = 8,     // nobody knows: resolve
    OUT_BROKEN = 9,      // an answer that cannot be: stop, and let a person look
    OUT_HANDED_OVER = 10 // its entry is in a submission, whose events tell what becomes of it
} saga_outcome;
enum { OUT_COUNT = 11 };

// What the rail has said by itself about the present attempt, all its messages taken together: neither their order nor
// their number matters.
typedef enum saga_word {
    WORD_NONE = 0,
    WORD_ACCEPTED = 1,
    WORD_REFUSED = 2,
    WORD_SETTLED = 3,
    WORD_RETURNED = 4,         // came back, and never settled as far as we have heard
    WORD_SETTLED_RETURNED = 5, // settled, then came back
    WORD_CONTRADICTION =
        6, // settled and refused; or money moved for an attempt that is not the present one
    WORD_NOT_TAKEN = 7 // never taken and never will be: a new attempt may be made
} saga_word;
enum { WORD_COUNT = 8 };

// As rail_event.kind and rails/rail.h: 1 to 5 are said by a bank or a submission, 20 to 25 are orders of a person.
#define SAGA_EVENT_KINDS(X)                                                                        \
    X(ACCEPTED, 1)                                                                                 \
    X(REFUSED, 2)                                                                                  \
    X(SETTLED, 3)                                                                                  \
    X(RETURNED, 4)                                                                                 \
    X(NOT_TAKEN, 5)                                                                                \
    X(RELEASE, 20)                                                                                 \
    X(RETRY, 21)                                                                                   \
    X(MARK_PAID, 22)                                                                               \
    X(GIVE_BACK, 23)                                                                               \
    X(WRITE_OFF, 24)                                                                               \
    X(CANCEL, 25)
typedef enum saga_event_kind {
#define X(name, number) EVENT_##name = (number),
    SAGA_EVENT_KINDS(X)
#undef X
} saga_event_kind;

// One message of the rail. Strings are borrowed.
typedef struct saga_event {
    int32_t attempt;
    saga_event_kind kind;
    str code, text, reference;
} saga_event;

typedef struct saga_said {
    saga_word word;
    str code, text; // of the message that decides; borrowed from the events
    str reference;  // the rail's, of the present attempt; empty when no message has one
} saga_said;

typedef struct saga_policy {
    int32_t attempts_max; // submissions to the rail
    int64_t backoff_base_ms, backoff_cap_ms;
    int64_t
        resolve_after_ms; // how long AWAIT waits for the rail's word before it asks; 0: never (files)
} saga_policy;

enum { SAGA_REASON_MAX = 64, SAGA_TEXT_MAX = 160 };
#define SAGA_NEVER INT64_MIN // a due_at_us: not before a message of the rail arrives

typedef struct saga {
    saga_step step;
    saga_phase phase;
    saga_state state;
    saga_state
        outlook;     // VOID: the state that it leads to (FAILED or RETURNED); STATE_NONE otherwise
    int32_t attempt; // submissions so far; the present one
    int32_t tries;   // fruitless tries since there last was progress
    int64_t due_at_us; // when to act next, or SAGA_NEVER
    char reason
        [SAGA_REASON_MAX]; // why it is, or will be, FAILED, RETURNED or HELD: UPPER_SNAKE or the rail's code
    char reason_text[SAGA_TEXT_MAX]; // the same for people
} saga;

// What came of the step that was acted on. Strings are borrowed.
typedef struct saga_answer {
    saga_outcome outcome;
    str code, text;
    int64_t retry_at_us; // OUT_RETRY: not before this; 0: the backoff decides
} saga_answer;

// Boils the rail's messages down. A message about an attempt that was superseded counts only when it says that money moved.
saga_said saga_hear(const saga *s, const saga_event *events, size_t n);

// A worker has taken the saga: decides what to act on now, counting what the rail has said. The answer is RESERVE, EXECUTE,
// RESOLVE, CONFIRM, VOID or RETURN, and *s is then acting on it: write the intent before acting. STEP_NONE: nothing to act
// on; *s is where it rests (perhaps HELD), with its due time.
saga_step saga_on_claim(saga *s, const saga_said *said, const saga_policy *p,
                        const clock_source *clock) WARN_UNUSED;

// The action has come out. False when the diagram has no such edge: *s is unchanged, and the caller must say OUT_BROKEN.
bool saga_on_outcome(saga *s, const saga_answer *answer, const saga_said *said,
                     const saga_policy *p, const clock_source *clock) WARN_UNUSED;

// True for SETTLED, FAILED and RETURNED.
bool saga_state_is_final(saga_state state);

// "RESERVE" …; "?" outside of the set. Static.
const char *saga_step_name(int step);
const char *saga_outcome_name(int outcome);
const char *saga_state_name(int state);
const char *saga_word_name(int word);
const char *saga_event_name(int kind); // of rail_event.kind

#endif
