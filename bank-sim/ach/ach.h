// The ACH side of the bank: takes files from inbox/, books them, and writes acknowledgements, settlement reports and return files to
// outbox/. One thread does all work. Its state is in the books: each input is taken once and each output written once, across restarts too.
#ifndef ACH_ACH_H
#define ACH_ACH_H

#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "books/books.h"
#include "faults/faults.h"
#include "habits/habits.h"
#include "who/who.h"

typedef struct ach ach;

typedef struct ach_options {
    books *books; // @borrowed, as is the rest
    faults *faults;
    habits *habits;
    who *who;
    const clock_source *clock;
    const char *root;           // holds inbox/ outbox/ outbox/done/ outbox/bad/ archive/
    const char *spool;          // for unfinished files; same file system as root
    const char *routing;        // our nine digits
    const char *origins_prefix; // "" : all
    int64_t poll_ms, settle_delay_ms, return_delay_ms;
} ach_options;

ach *ach_start(const ach_options *o, err *e); // @owned by the caller
// runs a whole pass that begins after the call, and waits for its end. @thread any
void ach_flush(ach *a);
void ach_stop(ach *a); // accepts NULL

#endif
