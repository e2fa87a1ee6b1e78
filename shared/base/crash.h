// Crash points: each boundary of the money path has a name. In test builds a run can list the points it passes, and can be told to die,
// stop or wait at the n-th hit of a point. In release builds they cost nothing.
//
// Environment of a test build:
//   DISBURSE_CRASH_RECORD=FILE       append each point's name at its first hit, one per line
//   DISBURSE_CRASH_AT=NAME[:N]       at the N-th hit (default 1), in this process:
//   DISBURSE_CRASH_ACTION=kill|stop|exec:PATH   SIGKILL itself (default), SIGSTOP itself, or run PATH and wait for it
//   DISBURSE_CRASH_DONE=FILE         created just before the action; while it exists, no point fires again
//   DISBURSE_CRASH_PLAN=FILE         a plan for a running process: while FILE exists, its one line "NAME:N ACTION" counts hits
//                                    from its discovery. It is renamed to FILE.done just before the action. Write the whole
//                                    file elsewhere and rename it to FILE.
#ifndef BASE_CRASH_H
#define BASE_CRASH_H

#ifdef DISBURSE_CRASH_POINTS
void crash_point(const char *name);
#define CRASH_POINT(name) crash_point(name)
#else
#define CRASH_POINT(name) ((void)0)
#endif

#endif
