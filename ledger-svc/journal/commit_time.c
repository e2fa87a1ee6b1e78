// The times of one transaction on a book.
#include "base/clock.h"
#include "journal/commit_internal.h"

int64_t commit_deadline_ms(const commit *k) {
    return clock_mono_ms(k->j->o.clock) + k->j->o.commit_timeout_ms;
}

// The time of the first object that this transaction makes. Times of a book only grow: while the clock is behind the book, the book's own
// time counts.
int64_t commit_now_us(const commit *k) {
    const int64_t wall_us = clock_wall_us(k->j->o.clock);
    return wall_us > k->head.timestamp_us ? wall_us : k->head.timestamp_us + 1;
}
