// An open-addressing hash map from a fixed-size key (16-byte uuid) to a pointer-sized value. Not thread-safe.
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/uuid.h"

typedef struct map map;

map *map_create(size_t expected, size_t max); // max: limit of entries
void map_destroy(map *m);
void map_clear(map *m); // keeps the table
size_t map_count(const map *m);
void *map_get(const map *m, uuid key); // NULL when absent
// False when full. Replaces an existing value.
bool map_put(map *m, uuid key, void *value) WARN_UNUSED;
void *map_remove(map *m, uuid key); // returns the removed value, or NULL

typedef struct map_iter {
    const map *m;
    size_t slot;
    uuid key;
    void *value;
} map_iter;
map_iter map_begin(const map *m);
// Fills key and value; false at the end. The map must not change meanwhile.
bool map_next(map_iter *it);

#endif
