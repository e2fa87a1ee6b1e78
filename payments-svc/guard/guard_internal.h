// Private to the guard.
#ifndef GUARD_GUARD_INTERNAL_H
#define GUARD_GUARD_INTERNAL_H

#include "guard/guard.h"

// A server's description of itself.
typedef struct guard_server {
    int64_t system_id;
    uint32_t timeline;
    int64_t log_at; // bytes of write-ahead log since the cluster's creation
    bool durable, synchronous, replicated;
} guard_server;

bool guard_server_look(db_conn *c, arena *a, guard_server *s, err *e) WARN_UNUSED;
bool guard_parse_timeline(str text, uint32_t *timeline); // eight hexadecimal digits

// The state file keeps the server's last description. False: there is none, or it cannot be read.
bool guard_state_read(const char *path, guard_server *s);
void guard_state_write(const char *path, const guard_server *s); // a failure is logged

#endif
