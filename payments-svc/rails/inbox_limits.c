// Limits an item's and a connection's hourly cost in rows and cases, whatever a bank sends.
#include <string.h>

#include "base/assert.h"
#include "rails/inbox_internal.h"

bool inbox_fold(inbox_said *s, size_t *folded, arena *a, err *e) {
    *folded = 0;
    if (s->n_odd <= INBOX_ODD_MAX) {
        return true;
    }
    inbox_odd *kept = ARENA_ARRAY(a, inbox_odd, INBOX_ODD_MAX);
    if (kept == NULL) {
        return inbox_no_memory(e);
    }
    size_t n = 0;
    inbox_odd rest = {.reason = "MANY_LINES", .compared = "", .raw = STR("")};
    for (int moved = 1; moved >= 0; moved--) {
        for (size_t i = 0; i < s->n_odd; i++) {
            const inbox_odd *o = &s->odd[i];
            if ((o->amount != 0) != (moved == 1)) {
                continue;
            }
            if (n < INBOX_ODD_MAX - 1) {
                kept[n++] = *o;
                continue;
            }
            (*folded)++;
            rest.amount += o->amount; // 10 digits each
            memcpy(rest.currency, o->currency, sizeof rest.currency);
        }
    }
    rest.text = arena_printf(a, "%zu more lines of this file match nothing", *folded);
    if (rest.text == NULL) {
        return inbox_no_memory(e);
    }
    kept[n++] = rest;
    s->odd = kept;
    s->n_odd = n;
    return true;
}

size_t inbox_take_budget(inbox *box, int connection, bool file, int64_t hour, size_t n) {
    size_t taken = n;
    MUST(pthread_mutex_lock(&box->lock) == 0);
    for (size_t i = 0; i < INBOX_SOURCES_MAX; i++) {
        inbox_budget *b = &box->budgets[i];
        if (b->connection == connection || b->connection == 0) {
            if (b->hour != hour) {
                *b = (inbox_budget){.connection = connection, .hour = hour};
            }
            size_t *used = file ? &b->files : &b->messages;
            const size_t left =
                (file ? (size_t)INBOX_FILE_CASES_MAX : (size_t)INBOX_MESSAGE_CASES_MAX) - *used;
            taken = n < left ? n : left;
            *used += taken;
            break;
        }
    }
    MUST(pthread_mutex_unlock(&box->lock) == 0);
    return taken;
}
