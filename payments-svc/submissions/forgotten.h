// Files of ours that the bank has and the database has forgotten: in a recovery the bank's folders are listed, what is there and is not
// known is recorded, and its entries are remembered, so that a repeat of such a payout is met instead of being sent once more.
#ifndef SUBMISSIONS_FORGOTTEN_H
#define SUBMISSIONS_FORGOTTEN_H

#include "guard/guard.h"
#include "submissions/recovery.h"
#include "submissions/submissions.h"

// How much a bank shows of what it took (recovery_listing.shown).
typedef enum submission_shown { SHOWN_NOTHING = 1, SHOWN_SOME = 2, SHOWN_ALL = 3 } submission_shown;

// The part of a recovery that lasts until the folders of every connection that sends files were listed, and what was found is applied.
guard_part submission_listing_part(submission_recovery *r);

// Whether this connection's folders are to be listed. since_us: files that are older were known.
bool submission_listing_wanted(db_conn *c, int connection, bool *wanted, int64_t *since_us,
                               arena *a, err *e) WARN_UNUSED;
// Which of the names are of no submission of the connection.
bool submission_names_unknown(db_conn *c, int connection, const str *names, size_t n, bool *unknown,
                              arena *a, err *e) WARN_UNUSED;
// They were listed, and files were found that were not known. A bank that shows nothing proves nothing: the connection is paused until a
// person resumes it. One that shows all of it closes the case that files may be unknown. In the caller's transaction.
bool submission_listing_done(db_conn *c, int connection, const char *name, submission_shown shown,
                             int32_t files, arena *a, err *e) WARN_UNUSED;

typedef struct submission_forgotten {
    str individual_id;
    int64_t number, amount;
} submission_forgotten;
// Remembers the entries of such a file; those that are remembered already stay as they are.
bool submission_forgotten_add(db_conn *c, int64_t book_id, int connection, uuid inbox_id,
                              const submission_forgotten *entries, size_t n, arena *a,
                              err *e) WARN_UNUSED;
// Numbers that such a file has used: they are not given again. modifiers: file ids that its origin has used on its day.
bool submission_forgotten_numbers(db_conn *c, int connection, int64_t last_number, str origin,
                                  int64_t yyyymmdd, int modifiers, arena *a, err *e) WARN_UNUSED;
// Which of these attempts the bank may have in such a file. Reads only.
bool submission_forgotten_find(db_conn *c, int64_t book_id, int connection, const str *ids,
                               const int32_t *attempts, size_t n, bool *found, arena *a,
                               err *e) WARN_UNUSED;
// The same, and notes that they were met. The next attempt, which only a person orders, is
// not met again.
bool submission_forgotten_meet(db_conn *c, int64_t book_id, int connection, const str *ids,
                               const int32_t *attempts, size_t n, bool *met, arena *a,
                               err *e) WARN_UNUSED;
// Whether a payout of this submission is in such a file.
bool submission_meets_forgotten(db_conn *c, int64_t book_id, uuid id, int connection, bool *meets,
                                arena *a, err *e) WARN_UNUSED;

#endif
