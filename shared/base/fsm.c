#include "base/fsm.h"

bool fsm_next(const fsm *m, int from, int event, int *to) {
    for (size_t i = 0; i < m->n_edges; i++) {
        const fsm_edge *edge = &m->edges[i];
        if (edge->from == from && edge->event == event) {
            *to = edge->to;
            return true;
        }
    }
    return false;
}
