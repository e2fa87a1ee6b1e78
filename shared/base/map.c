#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

// Linear probing in a table of a power of two, at most three quarters full. A removal moves the followers back,
// so there are no tombstones and a long-lived map does not slow down.

enum { CAP_MIN = 16 };

typedef struct slot {
    uuid key;
    void *value;
    bool taken;
} slot;

struct map {
    slot *slots;
    size_t cap, count, max;
};

static size_t cap_for(size_t n) {
    size_t cap = CAP_MIN;
    while (cap / 4 * 3 < n) {
        cap *= 2;
    }
    return cap;
}

map *map_create(size_t expected, size_t max) {
    ASSERT(max > 0 && max < SIZE_MAX / sizeof(slot) / 4);
    map *m = calloc(1, sizeof(*m));
    ASSERT(m != NULL);
    m->max = max;
    m->cap = cap_for(expected < max ? expected : max);
    m->slots = calloc(m->cap, sizeof(slot));
    ASSERT(m->slots != NULL);
    return m;
}

void map_destroy(map *m) {
    if (m != NULL) {
        free(m->slots);
        free(m);
    }
}

void map_clear(map *m) {
    if (m->count > 0) {
        memset(m->slots, 0, m->cap * sizeof(slot));
        m->count = 0;
    }
}

size_t map_count(const map *m) {
    return m->count;
}

// The slot of the key, or the free slot for it.
static size_t find(const slot *slots, size_t cap, uuid key) {
    size_t i = (size_t)uuid_hash(key) & (cap - 1);
    while (slots[i].taken && !uuid_eq(slots[i].key, key)) {
        i = (i + 1) & (cap - 1);
    }
    return i;
}

void *map_get(const map *m, uuid key) {
    return m->slots[find(m->slots, m->cap, key)].value; // a free slot's value is NULL
}

static bool grow(map *m) {
    size_t cap = m->cap * 2;
    slot *slots = calloc(cap, sizeof(slot));
    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < m->cap; i++) {
        if (m->slots[i].taken) {
            slots[find(slots, cap, m->slots[i].key)] = m->slots[i];
        }
    }
    free(m->slots);
    m->slots = slots;
    m->cap = cap;
    return true;
}

bool map_put(map *m, uuid key, void *value) {
    size_t i = find(m->slots, m->cap, key);
    if (!m->slots[i].taken) {
        if (m->count == m->max) {
            return false;
        }
        if (m->count + 1 > m->cap / 4 * 3) {
            if (!grow(m)) {
                return false;
            }
            i = find(m->slots, m->cap, key);
        }
        m->count++;
    }
    m->slots[i] = (slot){.key = key, .value = value, .taken = true};
    return true;
}

void *map_remove(map *m, uuid key) {
    const size_t mask = m->cap - 1;
    size_t hole = find(m->slots, m->cap, key);
    if (!m->slots[hole].taken) {
        return NULL;
    }
    void *value = m->slots[hole].value;
    for (size_t i = (hole + 1) & mask; m->slots[i].taken; i = (i + 1) & mask) {
        size_t home = (size_t)uuid_hash(m->slots[i].key) & mask;
        // An entry may fill the hole unless its home is between the hole and its place.
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (slot){.taken = false};
    m->count--;
    return value;
}

map_iter map_begin(const map *m) {
    return (map_iter){.m = m, .slot = 0};
}

bool map_next(map_iter *it) {
    while (it->slot < it->m->cap) {
        const slot *s = &it->m->slots[it->slot++];
        if (s->taken) {
            it->key = s->key;
            it->value = s->value;
            return true;
        }
    }
    return false;
}
