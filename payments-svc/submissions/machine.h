// A submission as a pure function: (state, evidence, time) → the sender's next task, and (task, result) → the next state. No I/O.
//
//   PREPARED ──begun──▶ SENDING ──done──▶ SENT ──bank──▶ ACKED
//      │  ▲                │                ├───bank──▶ REJECTED
//      │  │                │                └───bank──▶ DISPUTED ──person──▶ SENT, ACKED or REJECTED
//      │  └──not sent──────┼──nobody knows──▶ UNKNOWN ──evidence──▶ SENT, ACKED, REJECTED or PREPARED
//      └──stale, taken out─▶ WITHDRAWN
//
// "Not sent" is only said when the submission certainly never arrives. If the last step of an upload was begun, and the bank does not show
// the file, the submission is UNKNOWN (promise UNKNOWN-IS-A-STATE). The fence before the last step writes the step down. So an upload
// without this row never arrived, and cannot arrive once another sender has the submission.
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

// The evidence of all rows together.
typedef struct submission_evidence {
    // uploads whose last step has begun and that were not taken back: they may have arrived
    int32_t at_risk;
    int32_t possible; // the same, but only TAKEN_BACK ends them: an archive proves nothing
    bool finished;    // an upload was confirmed, or seen at the bank
    bool accepted;    // the bank has acknowledged it
    bool refused;     // the bank has rejected it
    int32_t refusals; // rejections so far, by the bank or by a person
    bool items_heard; // the bank has settled or returned one of its items
    // An upload was begun where the bank may take it before its last step, and no such upload has begun the last step.
    bool exposed;
    // time since a first look did not show the last upload begun, with no unclear look since; 0: no such look
    int64_t absent_ms;
} submission_evidence;

typedef enum submission_task {
    TASK_NONE,        // nothing to do by itself
    TASK_SEND,        // look whether the name is free, and upload
    TASK_ASK,         // look whether the bank has it
    TASK_WITHDRAW,    // its dates are past, or it cannot be read: its payouts are built anew
    TASK_RECORD_SENT, // our evidence says that the bank has it
    TASK_WAIT_READ    // it was begun and is unreadable now: only the bank can tell
} submission_task;

// The next task for a due submission. readable: its content can be opened and is whole.
submission_task submission_next(submission_state state, const submission_evidence *known,
                                bool readable, int64_t now_us, int64_t stale_us);

// The result of a look into the bank's folders.
typedef enum submission_look {
    LOOK_THERE,     // name, size and content are ours
    LOOK_SAME_SIZE, // name and size are ours; the content cannot be read
    LOOK_ABSENT,    // no such name
    LOOK_OTHER,     // the name is there with another content
    LOOK_UNPROVEN,  // no such name, but no file is shown either that the bank certainly has
    LOOK_FAILED     // no answer
} submission_look;

typedef enum submission_finding {
    FINDING_SENT,       // the bank has it
    FINDING_NOT_SENT,   // it never arrived, and never will
    FINDING_NAME_TAKEN, // never begun, and its name belongs to another file: build it anew
    FINDING_UNKNOWN     // nobody knows
} submission_finding;

// True when absence from the bank's folders proves something. archive_complete: the bank shows each taken file for ever. lag_ms: it may
// show a file this late, so the first look without the file only begins the wait.
bool submission_absence_counts(const submission_evidence *known, bool archive_complete,
                               int64_t lag_ms);

// Does the bank have the submission? taken_back: the temporary files of all begun uploads are gone, and one was there until we removed it.
// So no rename had been done, and none can be done now. absence_counts: as above.
submission_finding submission_judge(const submission_evidence *known, submission_look look,
                                    bool taken_back, bool absence_counts);

// The meaning of the bank's word about the whole submission.
typedef enum submission_word {
    WORD_ACCEPT, // now ACKED
    WORD_REJECT, // now REJECTED: no item was paid or will be
    // now DISPUTED: rejected, but perhaps as a copy of a file that was taken; a person must say whether the bank has it
    WORD_DISPUTE,
    WORD_REPEAT,  // said before
    WORD_CONTRARY // contradicts other evidence: a person must look, and nothing moves
} submission_word;
// accepted: the word. sure: the bank never gives this reason for rejecting a file that it has taken.
submission_word submission_hear(submission_state state, const submission_evidence *known,
                                bool accepted, bool sure);

// "PREPARED" …; "?" outside of the set. Static.
const char *submission_state_name(int state);
const char *submission_evidence_name(int kind);

#endif
