// Our files that the bank has and the database has forgotten. A recovery lists the bank's folders and records the unknown files. Their
// entries are remembered, so that a repeated payout meets its entry instead of being sent again.
#ifndef SUBMISSIONS_FORGOTTEN_H
#define SUBMISSIONS_FORGOTTEN_H

#include "guard/guard.h"
#include "submissions/recovery.h"
#include "submissions/submissions.h"

// How many of its taken files a bank shows (recovery_listing.shown).
typedef enum submission_shown { SHOWN_NOTHING = 1, SHOWN_SOME = 2, SHOWN_ALL = 3 } submission_shown;

// The part of a recovery that lists the folders of every connection that sends files. It lasts until all are listed and the files found are
// applied.
guard_part submission_listing_part(submission_recovery *r);

// *wanted: this connection's folders are to be listed. *since_us: older files were known.
bool submission_listing_wanted(db_conn *c, int connection, bool *wanted, int64_t *since_us,
                               arena *a, err *e) WARN_UNUSED;
// unknown[i]: names[i] belongs to no submission of the connection.
bool submission_names_unknown(db_conn *c, int connection, const str *names, size_t n, bool *unknown,
                              arena *a, err *e) WARN_UNUSED;
// Records a listing with the number of unknown files. A bank that shows nothing proves nothing: its connection is paused until a person
// resumes it. A bank that shows everything closes the case about possibly unknown files. In the caller's transaction.
bool submission_listing_done(db_conn *c, int connection, const char *name, submission_shown shown,
                             int32_t files, arena *a, err *e) WARN_UNUSED;

typedef struct submission_forgotten {
    str individual_id;
    int64_t number, amount;
} submission_forgotten;
// Remembers the entries of a forgotten file. An entry that is remembered already stays unchanged.
bool submission_forgotten_add(db_conn *c, int64_t book_id, int connection, uuid inbox_id,
                              const submission_forgotten *entries, size_t n, arena *a,
                              err *e) WARN_UNUSED;
// Keeps the numbers of a forgotten file from being given again. modifiers: file ids that its origin used on its day.
bool submission_forgotten_numbers(db_conn *c, int connection, int64_t last_number, str origin,
                                  int64_t yyyymmdd, int modifiers, arena *a, err *e) WARN_UNUSED;
// Finds attempts that the bank may have in a forgotten file. Reads only.
bool submission_forgotten_find(db_conn *c, int64_t book_id, int connection, const str *ids,
                               const int32_t *attempts, size_t n, bool *found, arena *a,
                               err *e) WARN_UNUSED;
// The same, and notes each meeting. A later attempt, which only a person orders, is not met again.
bool submission_forgotten_meet(db_conn *c, int64_t book_id, int connection, const str *ids,
                               const int32_t *attempts, size_t n, bool *met, arena *a,
                               err *e) WARN_UNUSED;
// *meets: a payout of this submission is in a forgotten file.
bool submission_meets_forgotten(db_conn *c, int64_t book_id, uuid id, int connection, bool *meets,
                                arena *a, err *e) WARN_UNUSED;

#endif
