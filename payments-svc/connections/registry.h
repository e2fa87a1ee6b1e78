// All connections: the ones of this instance's settings, and the ones that only the database knows, switched off here. The table
// `connection` gives each name its number, once and for ever.
#ifndef CONNECTIONS_REGISTRY_H
#define CONNECTIONS_REGISTRY_H

#include "connections/connections.h"

// A kind of movement, as its rail describes it.
typedef struct connection_scheme {
    int id; // payments.v1.Rail
    const char *name;
    bool in_files;
} connection_scheme;

typedef struct connection_wanted {
    const char *name;
    const connection_scheme *scheme;
} connection_wanted;

// Fills each one's number and makes new numbers; instances that start together agree. FAILED_PRECONDITION when a name had another scheme
// before. RESOURCE_EXHAUSTED when all numbers are taken. Runs on the caller's thread, in its own transactions.
bool connections_number(db_pool *pool, const connection_wanted *wanted, size_t n, int *numbers,
                        err *e) WARN_UNUSED;

typedef struct connections connections;
// schemes must outlive the registry. Never NULL.
connections *connections_create(const connection_scheme *schemes, size_t n);
void connections_destroy(connections *k); // accepts NULL; nobody may use its entries any more
// Adds a connection of this instance, in the order of numbers, before other threads look. Its texts must outlive k.
void connections_add(connections *k, const connection_info *info);
// Adds connections that only the database knows, as switched off: other instances may have more. Any thread.
bool connections_refresh(connections *k, db_conn *c, arena *a, err *e) WARN_UNUSED;
// The same, in its own read transaction.
bool connections_load(connections *k, db_pool *pool, err *e) WARN_UNUSED;
// All known connections. Entries never move; later ones are appended. Any thread.
const connection_info *connections_all(const connections *k, size_t *n);
// By number; NULL when it is not known here (yet).
const connection_info *connections_of(const connections *k, int number);

#endif
