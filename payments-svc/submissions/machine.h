// A submission as a pure function: (where it stands, what is known about it, time) → what its sender does next, and
// (what it did, what came of it) → where it stands then. No I/O.
//
//   PREPARED ──begun──▶ SENDING ──done──▶ SENT ──bank──▶ ACKED
//      │  ▲                │                ├───bank──▶ REJECTED
//      │  │                │                └───bank──▶ DISPUTED ──person──▶ SENT, ACKED or REJECTED
//      │  └──not sent──────┼──nobody knows──▶ UNKNOWN ──evidence──▶ SENT, ACKED, REJECTED or PREPARED
//      └──stale, taken out─▶ WITHDRAWN
//
// "Not sent" is only said of what certainly never arrives. Where the last step of an upload was begun, and the bank does not show the
// file, it is UNKNOWN (promise UNKNOWN-IS-A-STATE). The last step is written down by the fence that goes before it, so an upload without
// that row never arrived, and cannot any more once somebody else has the submission.
#ifndef SUBMISSIONS_MACHINE_H
#define SUBMISSIONS_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// X(NAME, number in the database and in payments.v1.SubmissionState)
#define SUBMISSION_STATES(X)                                                                       \
    X(PREPARED, 1)  /* written down; nothing has begun */                                          \
    X(SENDING, 2)   /* an upload has begun */                                                      \
    X(SENT, 3)      /* the bank has it */                                                          \
    X(ACKED, 4)     /* the bank says that it has accepted it */                                    \
    X(REJECTED, 5)  /* the bank says that it has not taken it */                                   \
    X(UNKNOWN, 6)   /* begun, and the bank does not show it */                                     \
    X(WITHDRAWN, 7) /* never begun, and never will be */                                           \
    X(DISPUTED, 8)  /* the bank's words do not say whether it has it: a person must */
typedef enum submission_state {
#define SUBMISSION_ENUM(name, number) SUBMISSION_##name = (number),
    SUBMISSION_STATES(SUBMISSION_ENUM)
#undef SUBMISSION_ENUM
} submission_state;
enum { SUBMISSION_STATES_END = 9 };

// X(NAME, number in submission_upload.kind)
#define SUBMISSION_EVIDENCE(X)                                                                     \
    X(BEGUN, 1)      /* an upload begins */                                                        \
    X(FINISHED, 2)   /* the bank's server has confirmed the rename */                              \
    X(TAKEN_BACK, 3) /* what was begun certainly did not arrive, and cannot any more */            \
    X(SEEN, 4)       /* the bank shows it, with our name and content */                            \
    X(NOT_SEEN, 5)   /* the bank does not show it */                                               \
    X(ACCEPTED, 6)   /* the bank's acknowledgement */                                              \
    X(REFUSED, 7)    /* the bank's rejection */                                                    \
    X(WITHDREW, 8)   /* it was withdrawn */                                                        \
    X(LAST_STEP, 9)  /* the step begins that cannot be taken back */                               \
    X(NOT_THERE, 10) /* as TAKEN_BACK, by the word of the bank's complete archive alone */         \
    X(NOT_CLEAR, 11) /* the look proves nothing: what did not show it before is no proof either */
typedef enum submission_evidence_kind {
#define SUBMISSION_ENUM(name, number) EVIDENCE_##name = (number),
    SUBMISSION_EVIDENCE(SUBMISSION_ENUM)
#undef SUBMISSION_ENUM
} submission_evidence_kind;

// What the rows say, taken together.
typedef struct submission_evidence {
    // uploads whose last step has begun, and that were not taken back afterwards: they may have arrived
    int32_t at_risk;
    int32_t possible; // the same, but without belief in an archive: TAKEN_BACK alone ends them
    bool finished;    // one of those was confirmed, or seen at the bank
    bool accepted;    // the bank has acknowledged it
    bool refused;     // the bank has rejected it
    int32_t refusals; // how often it has, or a person has said so
    bool items_heard; // the bank has settled or returned one of its items
    // An upload was begun where the bank may take it before its last step, and none of these has begun the last step.
    bool exposed;
    // since a look first did not show what was begun last, and none since then was unclear; 0: none
    int64_t absent_ms;
} submission_evidence;

typedef enum submission_task {
    TASK_NONE,        // nothing to do by itself
    TASK_SEND,        // look whether the name is free, and upload
    TASK_ASK,         // look whether the bank has it
    TASK_WITHDRAW,    // its dates are past, or it cannot be read: its payouts are built anew
    TASK_RECORD_SENT, // our evidence says that the bank has it
    TASK_WAIT_READ    // it was begun and cannot be read any more: only the bank can tell
} submission_task;

// What to do about a submission that is due. readable: its content could be opened and is whole.
submission_task submission_next(submission_state state, const submission_evidence *known,
                                bool readable, int64_t now_us, int64_t stale_us);

// What a look into the bank's folders has shown.
typedef enum submission_look {
    LOOK_THERE,     // name, size and content are ours
    LOOK_SAME_SIZE, // name and size are ours; the content cannot be read
    LOOK_ABSENT,    // no such name
    LOOK_OTHER,     // the name is there with another content
    LOOK_UNPROVEN,  // no such name, but neither is one there that the bank certainly has
    LOOK_FAILED     // it could not be asked
} submission_look;

typedef enum submission_finding {
    FINDING_SENT,       // the bank has it
    FINDING_NOT_SENT,   // it certainly never arrived, and cannot any more
    FINDING_NAME_TAKEN, // never begun, and its name belongs to another file: build it anew
    FINDING_UNKNOWN     // nobody knows
} submission_finding;

// Whether it proves anything that the bank does not show what may have arrived. archive_complete: it shows for ever what it took. lag_ms:
// for so long it may not show it yet, so a first look that does not show it is only the beginning of the wait.
bool submission_absence_counts(const submission_evidence *known, bool archive_complete,
                               int64_t lag_ms);

// Whether the bank has it. taken_back: temporary files of all uploads begun are gone, and one of them was there until we removed it
// (so no rename had been done, and none can be any more). absence_counts: as above.
submission_finding submission_judge(const submission_evidence *known, submission_look look,
                                    bool taken_back, bool absence_counts);

// What the bank's word about the whole submission means.
typedef enum submission_word {
    WORD_ACCEPT, // now ACKED
    WORD_REJECT, // now REJECTED: nothing of it was or will be paid
    // now DISPUTED: rejected, but perhaps as a copy of what was taken, so a person must say whether the bank has it
    WORD_DISPUTE,
    WORD_REPEAT,  // said before
    WORD_CONTRARY // it contradicts what else is known: a person must look, and nothing moves
} submission_word;
// accepted: the word. sure: of a rejection, the bank gives a reason that it never gives for what it has taken.
submission_word submission_hear(submission_state state, const submission_evidence *known,
                                bool accepted, bool sure);

// "PREPARED" …; "?" outside of the set. Static.
const char *submission_state_name(int state);
const char *submission_evidence_name(int kind);

#endif
