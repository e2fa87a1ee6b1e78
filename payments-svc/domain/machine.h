// The saga of a payout as a pure function: (saga, what happened, time) → (new saga). No I/O; this file and machine.c read
// like the state diagram.
//
//   GATE ─▶ RESERVE ──done──▶ EXECUTE ──accepted──▶ AWAIT ──settled──▶ CONFIRM ──done──▶ DONE (SETTLED) ◀─┬─▶ RETURN ──▶ DONE (RETURNED)
//              │refused         │ unknown ▶ RESOLVE   │ refused/returned                       CONFIRM ◀──┘ paid again
//              ▼                │ refused             ▼
//           DONE (FAILED)       ├──────────────────▶ VOID ──done──▶ DONE (FAILED or RETURNED)
//                               └─ canceled ▶ CANCEL ──done──▶ DONE (CANCELED)
//
// Three things move a saga: the outcome of what we did (saga_on_outcome), what a bank says by itself, and what a person orders,
// both heard when the saga is claimed (saga_on_claim). What a bank says is judged by net amounts of the present attempt: settled
// minus returned, against what the ledger has. What does not add up holds the payout: a hold stands beside the step, so that a
// held saga remembers where it is, still hears its bank, and is moved on by an order. Values that a later version has written
// hold the payout, they never abort. Nothing here blocks, allocates or fails; any thread.
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
    X(GATE, 9)    /* the controls that must pass first; none is configured: passes at once */      \
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

// What happened to the step that was acted on; also stored as step_log.outcome.
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

// What the rail has said by itself about the present attempt, all its messages taken together: neither their order nor
// their number matters, only what kinds there are and how much they move.
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

// As rail_event.kind and rails/rail.h: 1 to 5 are said by a bank or a submission, 20 to 25 are orders of a person.
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
    int64_t amount; // minor units that moved; 0: not said, which means all of it
    bool foreign;   // its currency is not the payout's
    int32_t order;  // number of an order among the payout's orders, from 1; 0 for anything else
} saga_event;

// The code of an order to RETRY by which a person says, with evidence, that the bank has not got an attempt of which nothing else proves
// that: it may make the payout go out twice.
#define SAGA_SEND_AGAIN "SEND_AGAIN"

// The code of ACCEPTED about an attempt that counts as never taken: the bank speaks of its submission as taken all the same. Whoever
// was in there must not go out once more before a person has looked.
#define SAGA_TAKEN_AFTER_ALL "TAKEN_AFTER_ALL"

// The code of ACCEPTED about a payment that its bank refuses for a reason which it may also give for what it pays, such as a duplicate.
// Whether it pays, a person must say, unless the bank says it: by amounts, by a refusal that holds, or because it has none of it.
#define SAGA_REFUSED_UNSURE "REFUSED_UNSURE"

// Whether a message says that the rail has it, and nothing else.
bool saga_is_plain_acceptance(int kind, str code);

// The code of NOT_TAKEN by which SAGA_TAKEN_AFTER_ALL is taken back: a person has found out that the bank has not got the submission.
#define SAGA_NOT_TAKEN_AFTER_ALL "NOT_TAKEN_AFTER_ALL"

// The code of an order to CANCEL that was given when the database may have forgotten that the payout was sent: the rail is asked first,
// even about a payout of which nothing is known to have happened, and about the attempt that would come next.
#define SAGA_CANCEL_ASKED "CANCEL_ASKED"

typedef struct saga_said {
    saga_word word;
    str code, text;            // of the message that decides; borrowed from the events
    str reference;             // the rail's, of the present attempt; empty when no message has one
    int64_t settled, returned; // of the present attempt, as far as messages say
    bool refused;              // among whatever else there is
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
} saga_said;

typedef struct saga_policy {
    int32_t attempts_max; // submissions to the rail
    int64_t backoff_base_ms, backoff_cap_ms;
    // how long AWAIT waits for the rail's word before it asks; 0: never (files)
    int64_t resolve_after_ms;
    // How long after a submission the rail may still say that it has not got it; 0: what it says holds at once.
    int64_t absence_ms;
    // How long a worker that was presumed dead may still have a submission under way: before an order to cancel frees the money of a
    // doubtful attempt, the rail says that it has not got it at the beginning and at the end of this time. 0: once is enough.
    int64_t cancel_wait_ms;
    // How long what was never taken waits before a new attempt, so that others that are taken out of the same submission meanwhile do not
    // take the next one apart.
    int64_t rebuild_ms;
} saga_policy;

enum { SAGA_REASON_MAX = 64, SAGA_TEXT_MAX = 160 };
#define SAGA_NEVER INT64_MIN // a due_at_us: not before a message of the rail arrives

typedef enum saga_doubt {
    DOUBT_NONE = 0,
    // the present attempt was unknown once: a refusal of a repeat says nothing of the first
    DOUBT_UNKNOWN = 1,
    DOUBT_REFUSED = 2 // and then a repeat of it was refused
} saga_doubt;

typedef struct saga {
    saga_step step;
    saga_phase phase;
    saga_state state; // never HELD: see saga_public_state
    // VOID, CANCEL: the state that it leads to; CONFIRM, RETURN: STATE_NONE, or the state that a write-off leaves
    saga_state outlook;
    int32_t attempt;   // submissions so far; the present one
    int32_t tries;     // fruitless tries since there last was progress
    int64_t due_at_us; // when to act next, or SAGA_NEVER
    // why it is, or will be, FAILED, RETURNED or CANCELED: UPPER_SNAKE or the rail's code
    char reason[SAGA_REASON_MAX];
    // the same for people; of a step that is tried again, why the last try bore no fruit
    char reason_text[SAGA_TEXT_MAX];
    char hold[SAGA_REASON_MAX];    // why a person must look; empty: not held
    char hold_text[SAGA_TEXT_MAX]; // the same for people
    saga_doubt doubt;
    // RESOLVE: when the rail first said that it has not got it; 0: it has not
    int64_t absent_since_us;
    int64_t amount;   // of the payout, minor units; known before anything that was said is judged
    int64_t returned; // SETTLED: how much of it was moved back since
    int64_t moving;   // CONFIRM without a reservation, RETURN: how much; 0: all of it
    int64_t written_off; // by which the ledger's bank account follows the bank without the merchant
    int32_t leg;         // number of the ledger's ids for the present step, from 1
    int32_t reserve_leg; // the number that the reservation was made under
    int32_t orders;      // number of the last order that was taken up
    int32_t judged;      // so many messages were judged by a person: they hold it no more
    // What was judged stays so. Of what the messages of the present attempt add up to: below 0, so much was not believed; above 0, so much
    // was believed, told or not. Of what speaks against it: so many messages were judged.
    int64_t judged_settled, judged_returned;
    int32_t judged_refusals, judged_odd;
} saga;

// What came of the step that was acted on. Strings are borrowed.
typedef struct saga_answer {
    saga_outcome outcome;
    str code, text;
    int64_t retry_at_us; // OUT_RETRY: not before this; 0: the backoff decides
} saga_answer;

// What a claim has to tell the log beside the intent. Strings are borrowed from the saga, from what was said, or static.
typedef struct saga_note {
    saga_outcome outcome; // OUT_NONE: nothing
    str code, text;
} saga_note;

// The intent that a worker has logged and not come back to.
typedef struct saga_intent {
    saga_step step;
    int32_t attempt;
    saga_state outlook;
    int64_t moving;
    str code, text; // of VOID, CANCEL and RETURN: the reason
} saga_intent;

// --- Functions -------------------------------------------------------------------------------------------------------

// Messages of kind SETTLED, RETURNED and REFUSED of one payout that are taken in; what a bank tells beyond that is for a person.
enum { SAGA_MOVEMENTS_MAX = 256 };

// Boils the messages down, in a time that grows as n does. heard: as many as saga.events counts. A message about an
// attempt that was superseded counts only when it says that money was paid and stayed paid.
saga_said saga_hear(const saga *s, const saga_event *events, size_t n, int32_t heard);

// A worker has taken the saga: decides what to act on now, counting what was said and ordered. The answer is a step other than
// AWAIT, DONE and GATE, and *s is then acting on it: write the intent before acting. STEP_NONE: nothing to act on; *s is where it
// rests, perhaps held, with its due time. *note is for the log.
saga_step saga_on_claim(saga *s, const saga_said *said, const saga_policy *p,
                        const clock_source *clock, saga_note *note) WARN_UNUSED;

// The action has come out. False when the diagram has no such edge: *s is unchanged, and the caller must say OUT_BROKEN.
bool saga_on_outcome(saga *s, const saga_answer *answer, const saga_said *said,
                     const saga_policy *p, const clock_source *clock) WARN_UNUSED;

// The worker that had the saga is gone. intent: what its log has beyond its row; NULL: nothing, as the try was a repeat that is not
// logged. *s becomes what the claim had made of it: acting, and due.
void saga_take_over(saga *s, const saga_intent *intent, const saga_policy *p,
                    const clock_source *clock);

// A person must look; the saga stays where it is.
void saga_hold(saga *s, str code, str text);

// Whether an order can be carried out as the saga stands. *why, static, says why not.
bool saga_takes_order(const saga *s, const saga_said *said, saga_event_kind order,
                      const char **why) WARN_UNUSED;

// A movement against suspense, which leaves the merchant alone.
bool saga_writes_off(const saga *s);

// Whether a try that is about to be made is told by the log: the first ones and every tenth are, as is any that was interrupted.
bool saga_try_is_logged(const saga *before);
// Whether what a claim acts on is what the tries counted: another step than before is new, and the log tells it.
bool saga_is_repeat(const saga *before, saga_step acting);
// Whether an outcome brought the saga on, so that the log tells it in any case.
bool saga_is_progress(const saga *before, const saga *after, saga_outcome outcome);

// True for SETTLED, FAILED, RETURNED and CANCELED.
bool saga_state_is_final(saga_state state);
// The state that the world sees: HELD while the saga is held.
saga_state saga_public_state(const saga *s);

// "RESERVE" …; "?" outside of the set. Static.
const char *saga_step_name(int step);
const char *saga_outcome_name(int outcome);
const char *saga_state_name(int state);
const char *saga_word_name(int word);
const char *saga_event_name(int kind); // of rail_event.kind

#endif
