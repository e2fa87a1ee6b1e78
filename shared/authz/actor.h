// Who causes a write: part of what is written down with it.
#ifndef AUTHZ_ACTOR_H
#define AUTHZ_ACTOR_H

#include "base/arena.h"
#include "base/str.h"

// @borrowed: the strings live as long as the call, unless somebody says otherwise.
typedef struct actor_info {
    str program;    // identity of the certificate, or AUTHZ_INSECURE
    str person;     // for whom the program acts; empty: for itself
    str request_id; // of the call, as the caller gave it or as it was made
    str trace_id;   // 32 hex digits
} actor_info;

// "PROGRAM for PERSON", or "PROGRAM". NULL when the arena is full. @arena
const char *actor_text(const actor_info *who, arena *a);

#endif
