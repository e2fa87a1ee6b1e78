// Private to the room: a submission at its sender, and the functions that write its rows.
#ifndef SUBMISSIONS_SUBMISSIONS_INTERNAL_H
#define SUBMISSIONS_SUBMISSIONS_INTERNAL_H

#include "cases/cases.h"
#include "events/events.h"
#include "guard/guard.h"
#include "submissions/submissions.h"

enum {
    SUBM_DB_TIMEOUT_MS = 15 * 1000,
    SUBM_EVENTS_MAX = 200000, // items of one submission
    SUBM_REBUILDS_MAX = 3
};

// Codes of cases, by which a person's decision is judged. The first is also a reason of submissions.
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
    int64_t epochs[64]; // of uploads that were begun and not taken back; the last ones
    size_t n_epochs;
} subm_claimed;

// --- store.c -----------------------------------------------------------------------------------------------------------

typedef struct subm_key {
    int64_t book_id;
    uuid id;
} subm_key;
// Due submissions of a connection without a sender. Without sends, only begun ones. @arena
bool subm_due(db_pool *pool, int connection, bool sends, size_t max, subm_key **keys, size_t *n,
              arena *a, err *e) WARN_UNUSED;
// False with *e clear when another sender has it, or it is not due any more. A submission that was not begun is claimed only if g lets it
// be sent. None is claimed on a timeline that g does not know (FAILED_PRECONDITION, TIMELINE). g may be NULL.
bool subm_claim(db_pool *pool, guard *g, subm_key key, uuid owner, int64_t lease_ms,
                subm_claimed *out, arena *a, err *e) WARN_UNUSED;
// Renews the lease if it is still ours: the fence (promise FENCED). False when it is not ours, when nobody can say, or when the guard lets
// nothing be sent. In the same transaction writes down the step that begins: the upload, or the last step, which cannot be taken back.
// folders: the upload's folders, kept in its row of evidence.
bool subm_still_ours(db_pool *pool, guard *g, const subm_claimed *s, bool last_step,
                     const char *folders, int64_t lease_ms, arena *a);

// An open file of the connection that was begun in other folders than these. *found is false when there is none.
typedef struct subm_elsewhere {
    bool found;
    str name, folders;
} subm_elsewhere;
bool subm_begun_elsewhere(db_pool *pool, int connection, const char *folders, subm_elsewhere *out,
                          arena *a, err *e) WARN_UNUSED;

// A sender's change, written in one transaction and only while the sender holds the submission.
typedef struct subm_change {
    submission_state state;
    int32_t tries;
    const char *reason, *text;
    int64_t due_in_ms; // -1: never
    bool keep_lease;
    int evidence; // kind of the row to add; 0: none
    const char *evidence_text;
    int event_kind;        // events of this kind for all items; 0: none
    const char *case_kind; // NULL: none
} subm_change;
// *ours is false, and nothing is written, when the sender has lost the submission.
bool subm_change_write(db_pool *pool, const subm_claimed *s, const subm_change *change, bool *ours,
                       arena *a, err *e) WARN_UNUSED;
// Writes a row of evidence alone. Evidence is true whoever holds the submission, so it is not fenced.
bool subm_evidence_write(db_pool *pool, const subm_claimed *s, int kind, const char *text, arena *a,
                         err *e) WARN_UNUSED;

// Reads the evidence about uploads and the whole: out->epochs, and out->known except items_heard.
bool subm_evidence_read(db_conn *c, int64_t book_id, uuid id, subm_claimed *out, arena *a,
                        err *e) WARN_UNUSED;
// True when a PREPARED submission may still be withdrawn: no part of it has left.
bool subm_may_withdraw(const submission_evidence *known);
// *heard: the bank has settled or returned one of its items. Looks at each item.
bool subm_items_heard(db_conn *c, int64_t book_id, uuid id, bool *heard, arena *a,
                      err *e) WARN_UNUSED;
bool subm_evidence_add(db_conn *c, int64_t book_id, uuid id, int kind, int64_t epoch, uuid owner,
                       uuid inbox_id, const char *text, arena *a, err *e) WARN_UNUSED;

// "first: second" in out, cut to the length of a row of evidence. Returns the written part.
enum { SUBM_DETAIL_MAX = 160 };
str subm_detail(char out[SUBM_DETAIL_MAX + 1], str first, str second);

// Gauges of open submissions. *oldest_us by the database's clock; 0: none.
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
    // Only (or except) these items, sorted by number, if any. "Only" uses their own code and words.
    const submission_refusal *listed;
    size_t n_listed;
    bool but_listed; // except the listed items
    bool silent;     // only items without a deciding event: see submission_items_silent
    // Only items that count as never taken: whose payouts were not told otherwise, or were.
    bool not_told, told;
} subm_said;
// Records one event per item, in the caller's transaction. *n: their number.
bool subm_events_record(db_conn *c, int64_t book_id, uuid id, const subm_said *said, size_t *n,
                        arena *a, err *e) WARN_UNUSED;
bool subm_case_open(db_conn *c, int64_t book_id, uuid id, const char *kind, str code, str text,
                    int64_t amount, const char *currency, int64_t now_us, arena *a,
                    err *e) WARN_UNUSED;

// New submissions of this one's payouts that have not begun to leave become DISPUTED. Payouts of it that count as never taken are told, and
// held, in any state: a payout that was sent anew may be paid twice. text is for people.
bool subm_stop_rebuilt(db_conn *c, int64_t book_id, uuid id, str text, arena *a,
                       err *e) WARN_UNUSED;

// A person has found that the bank does not have the submission: payouts that were told otherwise hear of this.
bool subm_not_after_all(db_conn *c, int64_t book_id, uuid id, str text, arena *a,
                        err *e) WARN_UNUSED;

// The submission's place is known now: closes cases that it was unknown, or could not be sent.
bool subm_cases_close(db_conn *c, int64_t book_id, uuid id, int64_t now_us, arena *a,
                      err *e) WARN_UNUSED;

#endif
