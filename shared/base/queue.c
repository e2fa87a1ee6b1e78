#include "base/queue.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/assert.h"

struct queue {
    pthread_mutex_t lock; // guards everything below
    pthread_cond_t more;  // an item came, or the queue was closed
    size_t max, head, count;
    bool closed;
    void *items[]; // a ring of max
};

queue *queue_create(size_t max) {
    ASSERT(max > 0 && max < SIZE_MAX / sizeof(void *) / 2);
    queue *q = calloc(1, sizeof(*q) + max * sizeof(void *));
    ASSERT(q != NULL);
    MUST(pthread_mutex_init(&q->lock, NULL) == 0);
    MUST(pthread_cond_init(&q->more, NULL) == 0);
    q->max = max;
    return q;
}

void queue_destroy(queue *q) {
    if (q == NULL) {
        return;
    }
    ASSERT(q->count == 0);
    pthread_cond_destroy(&q->more);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

bool queue_push(queue *q, void *item) {
    pthread_mutex_lock(&q->lock);
    bool taken = !q->closed && q->count < q->max;
    if (taken) {
        q->items[(q->head + q->count) % q->max] = item;
        q->count++;
        pthread_cond_signal(&q->more);
    }
    pthread_mutex_unlock(&q->lock);
    return taken;
}

size_t queue_pop_many(queue *q, void **items, size_t max) {
    ASSERT(max > 0);
    pthread_mutex_lock(&q->lock);
    while (q->count == 0 && !q->closed) {
        pthread_cond_wait(&q->more, &q->lock);
    }
    size_t n = 0;
    while (n < max && q->count > 0) {
        items[n++] = q->items[q->head];
        q->head = (q->head + 1) % q->max;
        q->count--;
    }
    pthread_mutex_unlock(&q->lock);
    return n;
}

void *queue_pop(queue *q) {
    void *item = NULL;
    return queue_pop_many(q, &item, 1) == 1 ? item : NULL;
}

void queue_close(queue *q) {
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->more);
    pthread_mutex_unlock(&q->lock);
}

size_t queue_count(queue *q) {
    pthread_mutex_lock(&q->lock);
    size_t n = q->count;
    pthread_mutex_unlock(&q->lock);
    return n;
}
