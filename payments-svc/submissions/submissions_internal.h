// Private to the room: a submission on its way through its sender, and what writes its rows.
#ifndef SUBMISSIONS_SUBMISSIONS_INTERNAL_H
#define SUBMISSIONS_SUBMISSIONS_INTERNAL_H

#include "cases/cases.h"
#include "guard/guard.h"
#include "submissions/submissions.h"

enum {
    SUBM_DB_TIMEOUT_MS = 15 * 1000,
    SUBM_EVENTS_MAX = 200000, // items of one submission
    SUBM_REBUILDS_MAX = 3
};

// Codes of cases, by which a person's decision is judged; the first is a reason of submissions as well.
#define SUBM_TOO_OFTEN "REBUILT_TOO_OFTEN"
#define SUBM_CONTRADICTS "BANK_CONTRADICTS"
#define SUBM_MOVED "MOVED_AFTER_ALL"
#define SUBM_EARLIER_TAKEN "EARLIER_ONE_TAKEN"

// A submission that its sender has claimed.
typedef struct subm_claimed {
    int64_t book_id;
    uuid id, owner;
    int64_t epoch;
    submission_state state;
    int32_t tries;
    char name[SUBMISSION_NAME_MAX];
    int32_t items;
    int64_t total, size;
    char currency[4];
    str sha256, sealed, seal;
    int32_t generation;
    int64_t stale_us, created_us, now_us; // by the database's clock
    submission_evidence known;
    int64_t epochs[64]; // of uploads begun and not taken back, the last of them
    size_t n_epochs;
} subm_claimed;

// --- store.c -----------------------------------------------------------------------------------------------------------

typedef struct subm_key {
    int64_t book_id;
    uuid id;
} subm_key;
// Submissions of a connection that are due and that nobody has; without sends only those that were begun. @arena
bool subm_due(db_pool *pool, int connection, bool sends, size_t max, subm_key **keys, size_t *n,
              arena *a, err *e) WARN_UNUSED;
// False with *e clear when somebody else has it, or it is not due any more. One that was not
// begun is only claimed while g lets it be sent, and none on another timeline than g knows (FAILED_PRECONDITION, TIMELINE). g may be NULL.
bool subm_claim(db_pool *pool, guard *g, subm_key key, uuid owner, int64_t lease_ms,
                subm_claimed *out, arena *a, err *e) WARN_UNUSED;
// Renews the lease if it is still ours: the fence (promise FENCED). False when it is not, nobody can say, or the
// guard lets nothing be sent. Writes down, in the same transaction, what begins: the upload, or the last step, which cannot be taken back.
// folders: in which the upload lies, as its row of evidence keeps it.
bool subm_still_ours(db_pool *pool, guard *g, const subm_claimed *s, bool last_step,
                     const char *folders, int64_t lease_ms, arena *a);

// A file of the connection that is open and was begun in other folders than these. *found is false when there is none.
typedef struct subm_elsewhere {
    bool found;
    str name, folders;
} subm_elsewhere;
bool subm_begun_elsewhere(db_pool *pool, int connection, const char *folders, subm_elsewhere *out,
                          arena *a, err *e) WARN_UNUSED;

// What a change of the sender writes, in one transaction and only while the submission is still its own.
typedef struct subm_change {
    submission_state state;
    int32_t tries;
    const char *reason, *text;
    int64_t due_in_ms; // -1: never
    bool keep_lease;
    int evidence; // a row of this kind; 0: none
    const char *evidence_text;
    int event_kind;        // events of this kind for all items; 0: none
    const char *case_kind; // NULL: none
} subm_change;
// *ours is false, and nothing is written, when the submission is not the sender's any more.
bool subm_change_write(db_pool *pool, const subm_claimed *s, const subm_change *change, bool *ours,
                       arena *a, err *e) WARN_UNUSED;
// A row of evidence alone. It is a fact whoever has the submission now, so it is not fenced.
bool subm_evidence_write(db_pool *pool, const subm_claimed *s, int kind, const char *text, arena *a,
                         err *e) WARN_UNUSED;

// What is known of uploads and of the whole: out->known but for items_heard, and out->epochs.
bool subm_evidence_read(db_conn *c, int64_t book_id, uuid id, subm_claimed *out, arena *a,
                        err *e) WARN_UNUSED;
// Whether one that is PREPARED may still be withdrawn: nothing of it has left.
bool subm_may_withdraw(const submission_evidence *known);
// Whether the bank has settled or returned one of its items, which is asked of each of them.
bool subm_items_heard(db_conn *c, int64_t book_id, uuid id, bool *heard, arena *a,
                      err *e) WARN_UNUSED;
bool subm_evidence_add(db_conn *c, int64_t book_id, uuid id, int kind, int64_t epoch, uuid owner,
                       uuid inbox_id, const char *text, arena *a, err *e) WARN_UNUSED;

// "first: second" as long as a row of evidence takes it: out, and what was written of it.
enum { SUBM_DETAIL_MAX = 160 };
str subm_detail(char out[SUBM_DETAIL_MAX + 1], str first, str second);

// Gauges of what is open. *oldest_us by the database's clock; 0: none.
typedef struct subm_waiting {
    int64_t count[SUBMISSION_STATES_END];
    int64_t oldest_s;
} subm_waiting;
bool subm_waiting_read(db_pool *pool, int connection, subm_waiting *out, arena *a,
                       err *e) WARN_UNUSED;

// --- events.c ----------------------------------------------------------------------------------------------------------

typedef struct subm_said {
    int kind;        // rail_event_kind
    const char *tag; // ends the event's id
    str code, text;
    int64_t at_us;
    rail_event_source source;
    uuid inbox_id;
    uuid but; // this payout is left out; nil: none
    // Sorted by number; only (or all but) these items, when there are any. Only these: with their words, in the place of code and text.
    const submission_refusal *listed;
    size_t n_listed;
    bool but_listed; // all but them
    bool silent; // only items of which nothing was said that decides: see submission_items_silent
    // Only items that count as never taken: those whose payouts have not been told that they were, or have been.
    bool not_told, told;
} subm_said;
// One event for each item, in the caller's transaction. *n: how many.
bool subm_events_record(db_conn *c, int64_t book_id, uuid id, const subm_said *said, size_t *n,
                        arena *a, err *e) WARN_UNUSED;
bool subm_case_open(db_conn *c, int64_t book_id, uuid id, const char *kind, str code, str text,
                    int64_t amount, const char *currency, int64_t now_us, arena *a,
                    err *e) WARN_UNUSED;

// What was made anew of a submission's payouts, and has not begun to leave, becomes DISPUTED. Each of its payouts that counts as never
// taken is told, and held, wherever it stands by now: what was sent anew may be paid twice. text is for people.
bool subm_stop_rebuilt(db_conn *c, int64_t book_id, uuid id, str text, arena *a,
                       err *e) WARN_UNUSED;

// A person has found out that the bank has not got the submission: its payouts that were told otherwise hear that this is not so.
bool subm_not_after_all(db_conn *c, int64_t book_id, uuid id, str text, arena *a,
                        err *e) WARN_UNUSED;

// It is known where the submission is: what was opened because nobody knew, or because it could not be sent, is closed.
bool subm_cases_close(db_conn *c, int64_t book_id, uuid id, int64_t now_us, arena *a,
                      err *e) WARN_UNUSED;

#endif
