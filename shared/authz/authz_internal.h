// Shared by the files of this room.
#ifndef AUTHZ_AUTHZ_INTERNAL_H
#define AUTHZ_AUTHZ_INTERNAL_H

#include <stdatomic.h>

#include "authz/authz.h"
#include "base/arena.h"

// An identity or a person.
struct authz_entry {
    str name; // NUL-terminated
    bool is_person;
    bool all_merchants;
    authz_roles roles; // its own; of a gateway: the roles that it may pass on
    bool is_gateway;
    // The certificate's person; the entry then has no roles and merchants of its own.
    const authz_entry *person;
    const str *merchants;
    size_t n_merchants;
    // Only while the file is read.
    int line;
    str of_person;
};

// Maps (owner, text) to a position: open addressing, at most half full, constant once built.
typedef struct lookup {
    struct lookup_slot *slots;
    size_t mask;
} lookup;

typedef struct lookup_slot {
    uint32_t owner; // 0: empty
    uint32_t position;
    str key;
} lookup_slot;

enum {
    LOOKUP_IDENTITIES = 1,
    LOOKUP_PERSONS = 2,
    LOOKUP_MERCHANTS = 3
}; // merchants: + the entry's number

struct authz_policy {
    atomic_int refs;
    arena *memory;
    char version[AUTHZ_VERSION_LEN + 1];
    authz_entry *entries;
    size_t n_entries, n_persons;
    lookup names;     // owner: LOOKUP_IDENTITIES, LOOKUP_PERSONS
    lookup merchants; // owner: LOOKUP_MERCHANTS + number of the entry
};

// False when out of memory. max: the most keys to be added.
bool lookup_init(lookup *l, size_t max, arena *a) WARN_UNUSED;
// False for an existing key.
bool lookup_add(lookup *l, uint32_t owner, str key, uint32_t position) WARN_UNUSED;
bool lookup_find(const lookup *l, uint32_t owner, str key, uint32_t *position) WARN_UNUSED;

const authz_entry *policy_entry(const authz_policy *p, uint32_t owner, str name); // NULL
bool policy_entry_has(const authz_policy *p, const authz_entry *entry, str merchant_id);

#endif
