// The operator's window into the bank: plain HTTP on loopback. Reports from the books, faults at run time, and a flush.
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "ach/ach.h"
#include "base/err.h"
#include "books/books.h"
#include "faults/faults.h"
#include "habits/habits.h"
#include "instant/instant.h"
#include "who/who.h"

typedef struct admin admin;

typedef struct admin_options {
    books *books; // @borrowed, as is the rest
    faults *faults;
    habits *habits;
    who *who;
    ach *ach;
    instant *instant;
    int port; // 0: a free one
} admin_options;

admin *admin_start(const admin_options *o, err *e); // @owned by the caller
int admin_port(const admin *a);
void admin_stop(admin *a); // accepts NULL

#endif
