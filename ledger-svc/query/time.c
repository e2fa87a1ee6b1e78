// From times to sequences.
#include "query/query_internal.h"

enum { PROBES_MAX = 63 };

// Narrows the range in one round trip: 63 rows at even distances. *low was committed at or before the time, *high was not.
static bool narrow(const query_at *at, int64_t time_us, int64_t *low, int64_t *high, err *e) {
    int64_t probes[PROBES_MAX];
    int64_t *sequences = NULL;
    int64_t *times_us = NULL;
    size_t n_found = 0;
    size_t n = 0;
    const int64_t step = (*high - *low) / (PROBES_MAX + 1);
    for (int64_t next = *low + (step == 0 ? 1 : step); next < *high && n < PROBES_MAX;
         next += step == 0 ? 1 : step) {
        probes[n++] = next;
    }
    if (!store_list_times(at->c, at->a, at->book_id, probes, n, &sequences, &times_us, &n_found,
                          e)) {
        return false;
    }
    for (size_t i = 0; i < n_found; i++) {
        if (times_us[i] <= time_us) {
            *low = query_higher(*low, sequences[i]);
        } else {
            *high = query_lower(*high, sequences[i]);
        }
    }
    return true;
}

bool query_sequence_at(const query_at *at, int64_t head, int64_t time_us, int64_t *sequence,
                       err *e) {
    int64_t low = 0;
    int64_t high = head + 1;
    while (high - low > 1) {
        if (!narrow(at, time_us, &low, &high, e)) {
            return false;
        }
    }
    *sequence = low;
    return true;
}
