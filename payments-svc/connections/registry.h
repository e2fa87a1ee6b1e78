// The connections that there are: those that this instance has in its settings, and those that the database knows of and that are
// switched off here. The table connection gives each name its number, once and for ever.
#ifndef CONNECTIONS_REGISTRY_H
#define CONNECTIONS_REGISTRY_H

#include "connections/connections.h"

// A kind of movement, as the rails describe it.
typedef struct connection_scheme {
    int id; // payments.v1.Rail
    const char *name;
    bool in_files;
} connection_scheme;

typedef struct connection_wanted {
    const char *name;
    const connection_scheme *scheme;
} connection_wanted;

// Fills the number of each, making those that are new; instances that start at the same time agree. FAILED_PRECONDITION when a name
// was of another scheme before, RESOURCE_EXHAUSTED when all numbers are given. Runs on the caller's thread, with transactions of its own.
bool connections_number(db_pool *pool, const connection_wanted *wanted, size_t n, int *numbers,
                        err *e) WARN_UNUSED;

typedef struct connections connections;
// schemes must outlive it. Never NULL.
connections *connections_create(const connection_scheme *schemes, size_t n);
void connections_destroy(connections *k); // accepts NULL; nobody uses its entries any more
// One of this instance, in the order of numbers, before other threads look. Its texts must outlive k.
void connections_add(connections *k, const connection_info *info);
// Adds those that the database knows of and k does not, as switched off: other instances may have been given more. Any thread.
bool connections_refresh(connections *k, db_conn *c, arena *a, err *e) WARN_UNUSED;
// The same in a read of its own.
bool connections_load(connections *k, db_pool *pool, err *e) WARN_UNUSED;
// All that are known now. Entries stay where they are, and more may come behind them. Any thread.
const connection_info *connections_all(const connections *k, size_t *n);
// By number; NULL when it is not known here (yet).
const connection_info *connections_of(const connections *k, int number);

#endif
