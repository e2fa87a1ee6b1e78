// Submissions that settle by the timetable (submission.settles_at): a job, run by one instance at a time.
#ifndef SUBMISSIONS_SETTLE_H
#define SUBMISSIONS_SETTLE_H

#include "db/db.h"

// Of what the bank has, and whose time to settle has come: each item of which the bank has said neither that it settled, nor that it was
// refused or came back whole, gets a SETTLED event of the timer. In the caller's transaction; as job.run.
// arg: the guard, or NULL. In a recovery nothing settles: what the bank has said may have been forgotten.
bool submission_settle_due(db_conn *c, int64_t now_us, arena *a, void *arg, err *e) WARN_UNUSED;

#endif
