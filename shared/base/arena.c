#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define POISON(ptr, len) ASAN_POISON_MEMORY_REGION((ptr), (len))
#define UNPOISON(ptr, len) ASAN_UNPOISON_MEMORY_REGION((ptr), (len))
// Lies between two allocations, so that the sanitizer sees an overrun inside of a block.
enum { REDZONE = 16 };
#else
#define POISON(ptr, len) ((void)(ptr), (void)(len))
#define UNPOISON(ptr, len) ((void)(ptr), (void)(len))
enum { REDZONE = 0 };
#endif

enum {
    ALIGNMENT = 16,
    BLOCK_FIRST = 4096,
    BLOCK_SECOND = 2 * BLOCK_FIRST,
    BLOCK_LARGEST = 256 * 1024 // blocks double up to here
};

typedef struct block block;
struct block {
    block *next;
    size_t cap, used; // of bytes[]
    alignas(ALIGNMENT) char bytes[];
};

typedef struct cleanup cleanup;
struct cleanup {
    cleanup *next;
    void (*fn)(void *);
    void *ptr;
};

struct arena {
    size_t byte_cap;
    size_t used;       // rounded bytes given since the last reset, never above byte_cap
    size_t block_next; // capacity of the next ordinary block
    block *first;      // kept over resets
    block *current;    // takes small allocations
    block *large;      // one allocation each, and outgrown blocks after the first
    cleanup *cleanups; // newest first
};

static size_t round_up(size_t n) {
    return (n + (ALIGNMENT - 1)) & ~(size_t)(ALIGNMENT - 1);
}

// The system gives zeroed pages at their first use, so the unused part of a large array costs nothing.
static block *block_create(size_t cap, bool zeroed) {
    const size_t size = sizeof(block) + cap;
    block *b = zeroed ? calloc(1, size) : malloc(size);
    if (b != NULL) {
        b->next = NULL;
        b->cap = cap;
        b->used = 0;
        POISON(b->bytes, cap);
    }
    return b;
}

static void block_destroy(block *b) {
    if (b != NULL) {
        UNPOISON(b->bytes, b->cap);
        free(b);
    }
}

arena *arena_create(size_t byte_cap) {
    ASSERT(byte_cap > 0 && byte_cap < SIZE_MAX / 2);
    arena *a = calloc(1, sizeof(*a));
    ASSERT(a != NULL);
    a->byte_cap = round_up(byte_cap);
    a->block_next = BLOCK_FIRST;
    return a;
}

void arena_reset(arena *a) {
    // Pops a cleanup before it runs, so that a cleanup may defer another.
    while (a->cleanups != NULL) {
        cleanup *c = a->cleanups;
        a->cleanups = c->next;
        c->fn(c->ptr);
    }
    while (a->large != NULL) {
        block *b = a->large;
        a->large = b->next;
        block_destroy(b);
    }
    if (a->current != a->first) {
        block_destroy(a->current);
    }
    a->current = a->first;
    if (a->first != NULL) {
        a->first->used = 0;
        POISON(a->first->bytes, a->first->cap);
    }
    a->used = 0;
    a->block_next = BLOCK_SECOND;
}

void arena_destroy(arena *a) {
    if (a == NULL) {
        return;
    }
    arena_reset(a);
    block_destroy(a->first);
    free(a);
}

static void push_large(arena *a, block *b) {
    b->next = a->large;
    a->large = b;
}

// A block with room for `need` bytes, or NULL when the system has no memory.
static block *block_for(arena *a, size_t need) {
    block *b = a->current;
    if (b != NULL && b->cap - b->used >= need) {
        return b;
    }
    // An allocation that would waste much of a block gets its own block, and the current block continues.
    bool own = need > a->block_next / 4 && (a->first != NULL || need > a->block_next);
    b = block_create(own ? need : a->block_next, own);
    if (b == NULL) {
        return NULL;
    }
    if (own) {
        push_large(a, b);
        return b;
    }
    if (a->first == NULL) {
        a->first = b;
    }
    if (a->current != NULL && a->current != a->first) {
        push_large(a, a->current); // too small now
    }
    a->current = b;
    if (a->block_next < BLOCK_LARGEST) {
        a->block_next *= 2;
    }
    return b;
}

void *arena_alloc(arena *a, size_t size) {
    if (size > a->byte_cap) {
        return NULL;
    }
    size_t rounded = round_up(size == 0 ? 1 : size);
    if (rounded > a->byte_cap - a->used) {
        return NULL;
    }
    block *b = block_for(a, rounded + REDZONE);
    if (b == NULL) {
        return NULL;
    }
    char *ptr = b->bytes + b->used;
    b->used += rounded + REDZONE;
    a->used += rounded;
    UNPOISON(ptr, size);
    if (b == a->current) { // else the block is its own, and zeroed
        memset(ptr, 0, size);
    }
    return ptr;
}

void *arena_calloc(arena *a, size_t n, size_t size) {
    size_t total = 0;
    if (__builtin_mul_overflow(n, size, &total)) {
        return NULL;
    }
    return arena_alloc(a, total);
}

void *arena_must(arena *a, size_t size) {
    void *ptr = arena_alloc(a, size);
    ASSERT(ptr != NULL);
    return ptr;
}

char *arena_strdup(arena *a, const char *s) {
    return arena_strndup(a, s, strlen(s));
}

char *arena_strndup(arena *a, const char *s, size_t len) {
    if (len == SIZE_MAX) {
        return NULL;
    }
    char *copy = arena_alloc(a, len + 1);
    if (copy != NULL && len > 0) {
        memcpy(copy, s, len);
    }
    return copy;
}

char *arena_printf(arena *a, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    char *text = NULL;
    int n = vsnprintf(NULL, 0, fmt, args);
    if (n >= 0) {
        text = arena_alloc(a, (size_t)n + 1);
    }
    if (text != NULL) {
        vsnprintf(text, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    va_end(args);
    return text;
}

size_t arena_used(const arena *a) {
    return a->used;
}

bool arena_defer(arena *a, void (*fn)(void *), void *ptr) {
    cleanup *c = arena_alloc(a, sizeof(*c));
    if (c == NULL) {
        return false;
    }
    *c = (cleanup){.next = a->cleanups, .fn = fn, .ptr = ptr};
    a->cleanups = c;
    return true;
}
