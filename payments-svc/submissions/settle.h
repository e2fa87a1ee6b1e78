// Submissions that settle by the timetable (submission.settles_at): a job, run by one instance at a time.
#ifndef SUBMISSIONS_SETTLE_H
#define SUBMISSIONS_SETTLE_H

#include "db/db.h"

// Settles submissions that the bank has and whose time has come. Each item gets a SETTLED event of the timer, unless the bank has settled
// or refused it, or it came back whole. In the caller's transaction; as job.run. arg: the guard, or NULL. In a recovery nothing settles:
// the bank's words may have been forgotten.
bool submission_settle_due(db_conn *c, int64_t now_us, arena *a, void *arg, err *e) WARN_UNUSED;

#endif
