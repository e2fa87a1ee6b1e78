// State machines as tables: only the moves in the rows exist.
#ifndef BASE_FSM_H
#define BASE_FSM_H

#include <stdbool.h>
#include <stddef.h>

typedef struct fsm_edge {
    int from, event, to;
} fsm_edge;
typedef struct fsm {
    const char *name;
    const fsm_edge *edges;
    size_t n_edges;
    const char *const *state_names; // indexed by state
    const char *const *event_names;
} fsm;

// False when there is no such edge.
bool fsm_next(const fsm *m, int from, int event, int *to);

#endif
