#include <string.h>

#include "authz/authz_internal.h"
#include "base/assert.h"

// FNV-1a. Only the policy's author chooses the keys, so no outsider can make the chains long.
static size_t hash_of(uint32_t owner, str key) {
    uint64_t h = UINT64_C(14695981039346656037) ^ owner;
    for (size_t i = 0; i < key.len; i++) {
        h = (h ^ (uint8_t)key.ptr[i]) * UINT64_C(1099511628211);
    }
    return (size_t)(h ^ (h >> 32));
}

bool lookup_init(lookup *l, size_t max, arena *a) {
    size_t n = 8;
    while (n < max * 2) {
        n *= 2;
    }
    l->slots = ARENA_ARRAY(a, lookup_slot, n);
    l->mask = n - 1;
    return l->slots != NULL;
}

// The slot of the key, or the empty slot for it.
static lookup_slot *slot_of(const lookup *l, uint32_t owner, str key) {
    size_t at = hash_of(owner, key) & l->mask;
    while (l->slots[at].owner != 0 &&
           (l->slots[at].owner != owner || !str_eq(l->slots[at].key, key))) {
        at = (at + 1) & l->mask;
    }
    return &l->slots[at];
}

bool lookup_add(lookup *l, uint32_t owner, str key, uint32_t position) {
    ASSERT(owner != 0);
    lookup_slot *slot = slot_of(l, owner, key);
    if (slot->owner != 0) {
        return false;
    }
    *slot = (lookup_slot){owner, position, key};
    return true;
}

bool lookup_find(const lookup *l, uint32_t owner, str key, uint32_t *position) {
    const lookup_slot *slot = slot_of(l, owner, key);
    if (slot->owner == 0) {
        return false;
    }
    *position = slot->position;
    return true;
}
