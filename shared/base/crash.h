// Crash points: each boundary of the money path has a name. In test builds a run can list the points that it
// passes, and can be told to die, stop or wait at the n-th hit of one of them. In release builds they cost
// nothing.
//
// Environment of a test build:
//   DISBURSE_CRASH_RECORD=FILE       append each point's name the first time that it is passed, a line each
//   DISBURSE_CRASH_AT=NAME[:N]       at the N-th hit (default 1), in this process:
//   DISBURSE_CRASH_ACTION=kill|stop|exec:PATH   SIGKILL itself (default), SIGSTOP itself, or run PATH and wait for it
//   DISBURSE_CRASH_DONE=FILE         written (created) just before the action; while it exists, nothing fires again
//   DISBURSE_CRASH_PLAN=FILE         a plan for a process that runs already: while FILE is there, its one line "NAME:N ACTION" counts,
//                                    with hits from when it was first seen. It is renamed to FILE.done just before the action. Whoever
//                                    writes it makes it whole elsewhere and renames it to FILE.
#ifndef BASE_CRASH_H
#define BASE_CRASH_H

#ifdef DISBURSE_CRASH_POINTS
void crash_point(const char *name);
#define CRASH_POINT(name) crash_point(name)
#else
#define CRASH_POINT(name) ((void)0)
#endif

#endif
