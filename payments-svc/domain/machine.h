// The saga of a payout as a pure function: (saga, event, time) → (new saga). No I/O; this file and machine.c read like the state diagram.
//
//   GATE ─▶ RESERVE ──done──▶ EXECUTE ──accepted──▶ AWAIT ──settled──▶ CONFIRM ──done──▶ DONE (SETTLED) ◀─┬─▶ RETURN ──▶ DONE (RETURNED)
//              │refused         │ unknown ▶ RESOLVE   │ refused/returned                       CONFIRM ◀──┘ paid again
//              ▼                │ refused             ▼
//           DONE (FAILED)       ├──────────────────▶ VOID ──done──▶ DONE (FAILED or RETURNED)
//                               └─ canceled ▶ CANCEL ──done──▶ DONE (CANCELED)
//
// Three things move a saga: the outcome of our own action (saga_on_outcome), the bank's own words, and a person's orders. Words and orders
// are heard when the saga is claimed (saga_on_claim). The bank's words are judged by net amounts of the present attempt: settled minus
// returned, against the ledger. Amounts that do not add up hold the payout. A hold stands beside the step: a held saga remembers its step,
// still hears its bank, and is moved on by an order. Unknown values of a later version hold the payout; they never abort. No function
// blocks, allocates or fails; any thread.
#ifndef DOMAIN_MACHINE_H
#define DOMAIN_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

// --- Names and numbers: each once, here. The SQL and the migrations are tested against these tables. ------------------

#define SAGA_STEPS(X)                                                                              \
    X(NONE, 0)    /* nothing to act on */                                                          \
    X(RESERVE, 1) /* pending debit of available, credit of transit */                              \
    X(EXECUTE, 2) /* submit to the rail */                                                         \
    X(RESOLVE, 3) /* outcome unknown: ask the rail */                                              \
    X(AWAIT, 4)   /* with the rail, or in a submission: wait for its word */                       \
    X(CONFIRM, 5) /* post the reservation, move transit to bank; or the same again without one */  \
    X(VOID, 6)    /* release the reservation */                                                    \
    X(RETURN, 7)  /* money came back after CONFIRM: move it back */                                \
    X(DONE, 8)    /* nothing left to do by itself */                                               \
    X(GATE, 9)    /* the controls that must pass first; what they say stands in saga_said.gate */  \
    X(CANCEL, 10) /* release the reservation, because a person wants it so */
enum { STEP_COUNT = 11 };

#define SAGA_PHASES(X) X(READY, 0) X(ACTING, 1)

// payments.v1.PayoutState
#define SAGA_STATES(X)                                                                             \
    X(NONE, 0)                                                                                     \
    X(PENDING_APPROVAL, 1)                                                                         \
    X(SCHEDULED, 2)                                                                                \
    X(PENDING, 3)                                                                                  \
    X(PROCESSING, 4)                                                                               \
    X(SENT, 5)                                                                                     \
    X(SETTLED, 6)                                                                                  \
    X(FAILED, 7)                                                                                   \
    X(RETURNED, 8)                                                                                 \
    X(CANCELED, 9)                                                                                 \
    X(HELD, 10) /* what the world sees while hold is not empty; never saga.state */

// The outcomes of a step; also stored as step_log.outcome.
#define SAGA_OUTCOMES(X)                                                                           \
    X(NONE, 0)         /* an intent */                                                             \
    X(DONE, 1)         /* a step of the ledger: the ledger has it */                               \
    X(REFUSED, 2)      /* the ledger or the rail said no, for good */                              \
    X(RETRY, 3)        /* did not happen, or may be repeated as it is: the same step, attempt */   \
    X(AGAIN, 4)        /* the rail refused this attempt for now: a new attempt */                  \
    X(ACCEPTED, 5)     /* the rail has it */                                                       \
    X(SETTLED, 6)      /* the rail has done it */                                                  \
    X(RETURNED, 7)     /* the rail says that it came back */                                       \
    X(UNKNOWN, 8)      /* nobody knows: resolve */                                                 \
    X(BROKEN, 9)       /* an answer that cannot be: held, a person must look */                    \
    X(HANDED_OVER, 10) /* its entry is in a submission, whose events tell what becomes of it */    \
    X(BURNED, 11)      /* the ledger: this id has failed before, for ever; the next number */      \
    X(RELEASED, 12)    /* no longer held: the bank's word has settled it */                        \
    X(ORDERED, 13)     /* a person's order was carried out */                                      \
    X(NOT_ORDERED, 14) /* a person's order was not possible; the text says why */
enum { OUT_COUNT = 15 };

// The rail's own word about the present attempt: all its messages taken together. Their order and number do not matter, only their kinds
// and amounts.
#define SAGA_WORDS(X)                                                                              \
    X(NONE, 0)                                                                                     \
    X(ACCEPTED, 1)                                                                                 \
    X(REFUSED, 2)                                                                                  \
    X(SETTLED, 3)                                                                                  \
    X(RETURNED, 4)         /* came back, and never settled as far as we have heard */              \
    X(SETTLED_RETURNED, 5) /* settled, and some or all of it came back */                          \
    X(CONTRADICTION, 6)    /* what cannot be, or does not add up */                                \
    X(NOT_TAKEN, 7)        /* never taken and never will be: a new attempt may be made */
enum { WORD_COUNT = 8 };

// As rail_event.kind and events/events.h. 1 to 5 come from a bank or a submission; 20 to 25 are orders of a person.
#define SAGA_EVENT_KINDS(X)                                                                        \
    X(ACCEPTED, 1)                                                                                 \
    X(REFUSED, 2)                                                                                  \
    X(SETTLED, 3)                                                                                  \
    X(RETURNED, 4)                                                                                 \
    X(NOT_TAKEN, 5)                                                                                \
    X(RELEASE, 20)   /* go on from where it is held */                                             \
    X(RETRY, 21)     /* this attempt is dead, or its code is SAGA_SEND_AGAIN: make a new one */    \
    X(MARK_PAID, 22) /* it was paid: post it */                                                    \
    X(GIVE_BACK, 23) /* it was not paid: the merchant gets the money back */                       \
    X(WRITE_OFF, 24) /* leave its state; the difference to the bank goes to suspense */            \
    X(CANCEL, 25)    /* do not send it */

#define X(name, number) STEP_##name = (number),
typedef enum saga_step { SAGA_STEPS(X) } saga_step;
#undef X
#define X(name, number) PHASE_##name = (number),
typedef enum saga_phase { SAGA_PHASES(X) } saga_phase;
#undef X
#define X(name, number) STATE_##name = (number),
typedef enum saga_state { SAGA_STATES(X) } saga_state;
#undef X
#define X(name, number) OUT_##name = (number),
typedef enum saga_outcome { SAGA_OUTCOMES(X) } saga_outcome;
#undef X
#define X(name, number) WORD_##name = (number),
typedef enum saga_word { SAGA_WORDS(X) } saga_word;
#undef X
#define X(name, number) EVENT_##name = (number),
typedef enum saga_event_kind { SAGA_EVENT_KINDS(X) } saga_event_kind;
#undef X

// --- Values ----------------------------------------------------------------------------------------------------------

// One message about a payout. Strings are borrowed.
typedef struct saga_event {
    int32_t attempt;
    saga_event_kind kind;
    str code, text, reference;
    int64_t amount; // minor units that moved; 0: not said, so the whole amount
    bool foreign;   // its currency is not the payout's
    int32_t order;  // an order's number among the payout's orders, from 1; else 0
} saga_event;

// Code of an order to RETRY. With it a person says, with evidence, that the bank does not have an attempt. Nothing else proves this, so the
// order may make the payout go out twice.
#define SAGA_SEND_AGAIN "SEND_AGAIN"

// Code of ACCEPTED about an attempt that counts as never taken: the bank speaks of its submission as taken. Payouts of this submission must
// not go out again before a person has looked.
#define SAGA_TAKEN_AFTER_ALL "TAKEN_AFTER_ALL"

// Code of ACCEPTED about a payment that its bank refuses for a reason that it may also give for a paid one, such as a duplicate. A person
// must say whether the bank pays it, unless the bank says so: by amounts, by a final refusal, or because it has none of it.
#define SAGA_REFUSED_UNSURE "REFUSED_UNSURE"

// True when a message says only that the rail has it.
bool saga_is_plain_acceptance(int kind, str code);

// Code of NOT_TAKEN that takes SAGA_TAKEN_AFTER_ALL back: a person has found that the bank does not have the submission.
#define SAGA_NOT_TAKEN_AFTER_ALL "NOT_TAKEN_AFTER_ALL"

// Code of an order to CANCEL that was given when the database may have forgotten that the payout was sent. The rail is asked first, even
// about a payout without any known submission, and about the next attempt.
#define SAGA_CANCEL_ASKED "CANCEL_ASKED"

// What the controls say of a payout at the GATE. Strings are borrowed.
typedef enum saga_gate_answer { GATE_PASS = 0, GATE_WAIT, GATE_HOLD, GATE_REFUSE } saga_gate_answer;
typedef struct saga_gate {
    saga_gate_answer answer;
    str code, text;
    int64_t until_us; // WAIT
} saga_gate;

typedef struct saga_said {
    saga_word word;
    str code, text;            // of the deciding message; borrowed from the events
    str reference;             // the rail's, for the present attempt; empty if no message has one
    int64_t settled, returned; // of the present attempt, by its messages
    bool refused;              // a refusal is among the messages
    bool earlier;     // CONTRADICTION: an attempt before the present one may have been paid
    bool never_taken; // what was handed over is in no submission any more, whatever else is said
    bool left;        // the rail has spoken of the present attempt as one that it got
    int32_t heard;    // how many messages there are, as saga.events counts them
    // What an order judges: where one waits, of the attempt that is the present one once it was carried out.
    int64_t all_settled, all_returned; // the two sums without what was judged
    int64_t earlier_returned;          // came back of attempts before it, and is not in the sums
    int32_t refusals, odd;             // of the attempt; and what cannot be
    saga_event order;                  // the next order that was not taken up yet; number 0: none
    bool overtaken; // behind it is one of who knows more than the rail has said, and it is possible
    int32_t last_order; // number of the last order there is; 0: none is to be taken up
    saga_gate gate;     // of a payout at the GATE; else PASS
} saga_said;

typedef struct saga_policy {
    int32_t attempts_max; // submissions to the rail
    int64_t backoff_base_ms, backoff_cap_ms;
    // AWAIT asks the rail after this time without a word; 0: never (files)
    int64_t resolve_after_ms;
    // How long after a submission the rail may wrongly say that it does not have it; 0: its word holds at once.
    int64_t absence_ms;
    // How long a worker that was presumed dead may still have a submission under way. Before an order to cancel frees the money of a
    // doubtful attempt, the rail must say at the beginning and at the end of this time that it does not have it. 0: once is enough.
    int64_t cancel_wait_ms;
    // How long a payout that was never taken waits before a new attempt. Meanwhile others may be taken out of the old submission; without
    // the wait they would break up the next one.
    int64_t rebuild_ms;
} saga_policy;

enum { SAGA_REASON_MAX = 64, SAGA_TEXT_MAX = 160 };
#define SAGA_NEVER INT64_MIN // a due_at_us: only a message of the rail makes it due

typedef enum saga_doubt {
    DOUBT_NONE = 0,
    // the present attempt was once unknown: a refused repeat says nothing about the first submission
    DOUBT_UNKNOWN = 1,
    DOUBT_REFUSED = 2 // and then a repeat of it was refused
} saga_doubt;

typedef struct saga {
    saga_step step;
    saga_phase phase;
    saga_state state; // never HELD: saga_public_state adds the hold
    // VOID, CANCEL: the state at their end. CONFIRM, RETURN: STATE_NONE, or the state that a write-off leaves
    saga_state outlook;
    int32_t attempt;   // number of the present attempt; so many submissions so far
    int32_t tries;     // fruitless tries since the last progress
    int64_t due_at_us; // when to act next, or SAGA_NEVER
    // the reason for FAILED, RETURNED or CANCELED, now or later: UPPER_SNAKE or the rail's code
    char reason[SAGA_REASON_MAX];
    // the same for people; for a repeated step, why the last try was fruitless
    char reason_text[SAGA_TEXT_MAX];
    char hold[SAGA_REASON_MAX];    // why a person must look; empty: not held
    char hold_text[SAGA_TEXT_MAX]; // the same for people
    saga_doubt doubt;
    // RESOLVE: time at which the rail first said that it does not have it; 0: never
    int64_t absent_since_us;
    int64_t amount;   // of the payout, minor units; set before any word is judged
    int64_t returned; // SETTLED: the amount moved back since
    int64_t moving;   // amount of RETURN, or of CONFIRM without a reservation; 0: all
    // amount by which the ledger's bank account follows the bank without the merchant
    int64_t written_off;
    int32_t leg;         // number of the ledger's ids for the present step, from 1
    int32_t reserve_leg; // the ids' number of the reservation
    int32_t orders;      // number of the last order taken up
    int32_t judged;      // a person has judged so many messages: they no longer hold it
    // A judgement is permanent. Sums of the present attempt: below 0, so much was not believed; above 0, so much was believed, told or not.
    // Adverse messages: so many were judged.
    int64_t judged_settled, judged_returned;
    int32_t judged_refusals, judged_odd;
} saga;

// The outcome of a step. Strings are borrowed.
typedef struct saga_answer {
    saga_outcome outcome;
    str code, text;
    int64_t retry_at_us; // OUT_RETRY: not earlier than this; 0: the backoff decides
} saga_answer;

// A claim's entry for the log, beside the intent. Strings are borrowed from the saga or the messages, or static.
typedef struct saga_note {
    saga_outcome outcome; // OUT_NONE: no entry
    str code, text;
} saga_note;

// A logged intent whose worker has not come back.
typedef struct saga_intent {
    saga_step step;
    int32_t attempt;
    saga_state outlook;
    int64_t moving;
    str code, text; // of VOID, CANCEL and RETURN: the reason
} saga_intent;

// --- Functions -------------------------------------------------------------------------------------------------------

// The most movements (SETTLED, RETURNED, REFUSED) of one payout that are taken in. A person handles further ones.
enum { SAGA_MOVEMENTS_MAX = 256 };

// Boils the messages down, in time linear in n. heard: the value of saga.events. A message about a superseded attempt counts only when it
// says that money was paid and stayed paid.
saga_said saga_hear(const saga *s, const saga_event *events, size_t n, int32_t heard);

// A worker has taken the saga: decides the step to act on now, with all messages and orders. Returns a step other than AWAIT, DONE and
// GATE; *s is then acting on it: write the intent before acting. STEP_NONE: nothing to do; *s rests at its step, perhaps held, with its due
// time. *note is for the log.
saga_step saga_on_claim(saga *s, const saga_said *said, const saga_policy *p,
                        const clock_source *clock, saga_note *note) WARN_UNUSED;

// Applies the action's outcome. False when the diagram has no such edge: *s is unchanged, and the caller must say OUT_BROKEN.
bool saga_on_outcome(saga *s, const saga_answer *answer, const saga_said *said,
                     const saga_policy *p, const clock_source *clock) WARN_UNUSED;

// The worker that had the saga is gone. intent: the log's intent beyond the row; NULL: none, since a repeat is not logged. *s becomes as
// after the claim: acting, and due.
void saga_take_over(saga *s, const saga_intent *intent, const saga_policy *p,
                    const clock_source *clock);

// Holds the saga for a person; its step stays.
void saga_hold(saga *s, str code, str text);

// True when the order can be carried out now. *why, static, gives the reason if not.
bool saga_takes_order(const saga *s, const saga_said *said, saga_event_kind order,
                      const char **why) WARN_UNUSED;

// True for a movement against suspense, which does not touch the merchant.
bool saga_writes_off(const saga *s);

// True when the log tells the coming try: the first few, every tenth, and any that was interrupted.
bool saga_try_is_logged(const saga *before);
// True when a claim repeats the step that its tries counted. A claim of another step is new, and the log tells it.
bool saga_is_repeat(const saga *before, saga_step acting);
// True when an outcome brought the saga forward, so that the log always tells it.
bool saga_is_progress(const saga *before, const saga *after, saga_outcome outcome);

// True for SETTLED, FAILED, RETURNED and CANCELED.
bool saga_state_is_final(saga_state state);
// The state shown outside: HELD during a hold.
saga_state saga_public_state(const saga *s);

// "RESERVE" …; "?" outside of the set. Static.
const char *saga_step_name(int step);
const char *saga_outcome_name(int outcome);
const char *saga_state_name(int state);
const char *saga_word_name(int word);
const char *saga_event_name(int kind); // of rail_event.kind

#endif
