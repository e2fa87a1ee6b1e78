// Who causes a write: part of what is written down with it.
#ifndef AUTHZ_ACTOR_H
#define AUTHZ_ACTOR_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"
#include "base/uuid.h"

// @borrowed: the strings live as long as the call, unless somebody says otherwise.
typedef struct actor_info {
    str program;    // identity of the certificate, or AUTHZ_INSECURE
    str person;     // for whom the program acts; empty: for itself
    bool stated;    // the program stated the person's name, and nobody has proved it
    str request_id; // of the call, as the caller gave it or as it was made
    str trace_id;   // 32 hex digits
    str method; // "payments.v1.PayoutService/CancelPayout", or a job of the service: "job/imports"
} actor_info;

// "PROGRAM"; "PROGRAM for PERSON"; or "PROGRAM says for PERSON" of a name that was only stated. NULL when the arena is full. @arena
const char *actor_text(const actor_info *who, arena *a);
// Reads program, person and stated of such a text. @borrowed from text. A program has no blanks.
void actor_read(str text, actor_info *who);
// The trace as 16 bytes; nil when there is none.
uuid actor_trace(const actor_info *who);

#endif
