// An arena: memory of one request, or one batch, with a cap. Everything is freed at once.
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/err.h"

typedef struct arena arena;

// @owned by the caller. byte_cap bounds the memory in use between two resets.
arena *arena_create(size_t byte_cap);
void arena_destroy(arena *a); // accepts NULL; runs the cleanups, newest first
void arena_reset(arena *a);   // runs the cleanups, keeps the first block for reuse

// 16-byte aligned, zeroed. NULL when the cap would be exceeded: the caller answers RESOURCE_EXHAUSTED.
void *arena_alloc(arena *a, size_t size);
// n * size with overflow check; NULL as above.
void *arena_calloc(arena *a, size_t n, size_t size);
// The same, but asserts: only for small fixed sizes, never for a size from input.
void *arena_must(arena *a, size_t size);
char *arena_strdup(arena *a, const char *s);              // NULL as above
char *arena_strndup(arena *a, const char *s, size_t len); // NULL as above; adds the NUL
char *arena_printf(arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
size_t arena_used(const arena *a);

// Runs fn(ptr) at reset or destroy, for objects other than memory (a PGresult, a slice). False when the cap is reached.
bool arena_defer(arena *a, void (*fn)(void *), void *ptr) WARN_UNUSED;

#define ARENA_NEW(a, type) ((type *)arena_must((a), sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_calloc((a), (n), sizeof(type)))

#endif
