// A bounded queue of pointers between threads.
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct queue queue;

queue *queue_create(size_t max);
void queue_destroy(queue *q); // must be empty
// False when full or closed: the caller answers RESOURCE_EXHAUSTED or UNAVAILABLE at once.
bool queue_push(queue *q, void *item);
// Waits; NULL when closed and empty.
void *queue_pop(queue *q);
// Waits for the first item, then takes up to max items without waiting. 0 when closed and empty.
size_t queue_pop_many(queue *q, void **items, size_t max);
// Forbids pushes; pops drain the rest.
void queue_close(queue *q);
size_t queue_count(queue *q);

#endif
