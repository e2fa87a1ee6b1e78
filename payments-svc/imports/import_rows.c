// Makes rows of a file into requests of the intake, in batches: first their recipients, then their payouts.
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/crash.h"
#include "imports/imports_internal.h"

// --- Requests --------------------------------------------------------------------------------------------------------

// A batch under way. A row with a refused recipient has no request.
typedef struct batch {
    imports *s;
    const merchant *m;
    const actor_info *by; // NULL where they are only checked
    const payout_row *rows;
    size_t n;
    import_outcome *out;
    const err **faults;
    const char **ids;
    payout_request *requests;
    size_t *row_of; // the row of each request
    size_t n_requests;
    arena *a;
} batch;

static bool batch_begin(batch *b, err *e) {
    b->faults = ARENA_ARRAY(b->a, const err *, b->n);
    b->ids = ARENA_ARRAY(b->a, const char *, b->n);
    b->requests = ARENA_ARRAY(b->a, payout_request, b->n);
    b->row_of = ARENA_ARRAY(b->a, size_t, b->n);
    memset(b->out, 0, b->n * sizeof *b->out);
    return (b->faults != NULL && b->ids != NULL && b->requests != NULL && b->row_of != NULL) ||
           err_no_memory(e, "the import");
}

static bool make_requests(batch *b, int64_t deadline, err *e) {
    merchant_defaults defaults;
    merchant_defaults_known(b->s->o.merchants, b->m, deadline, &defaults);
    for (size_t i = 0; i < b->n; i++) {
        const payout_row *row = &b->rows[i];
        if (b->faults[i] != NULL) {
            b->out[i].refused = b->faults[i];
            continue;
        }
        const char *id = b->ids[i] == NULL ? "" : b->ids[i];
        payout_request *r = &b->requests[b->n_requests];
        *r = (payout_request){.key = str_of(row->reference),
                              .content = b->s->o.calls.content(b->s->o.calls.arg, row, id, b->a, e),
                              .recipient_id = str_of(id),
                              .amount = row->amount_minor,
                              .currency = row->currency,
                              .rail = row->rail,
                              .connection = str_of(row->connection),
                              .preferred = merchant_default_of(&defaults, row->rail),
                              .external_reference = str_of(row->reference),
                              .description = str_of(row->description),
                              .path = "",
                              .recipient_currency = b->ids[i] == NULL ? row->currency : NULL};
        if (r->content.ptr == NULL) {
            return false;
        }
        b->row_of[b->n_requests++] = i;
    }
    return true;
}

// --- Results ------------------------------------------------------------------------------------------------------------

static bool take_outcome(batch *b, size_t i, const payout_outcome *x, err *e) {
    import_outcome *out = &b->out[b->row_of[i]];
    if (x->refused != NULL) {
        err *kept = arena_alloc(b->a, sizeof *kept);
        if (kept == NULL) {
            return err_no_memory(e, "the import");
        }
        *kept = *x->refused;
        out->refused = kept;
        // A temporary refusal says nothing about the row.
        return err_is_definite(kept->code) || (*e = *kept, false);
    }
    out->payout_id = x->accepted.payout_id;
    return x->accepted.kept_answer.ptr == NULL ||
           b->s->o.calls.kept_id(b->s->o.calls.arg, x->accepted.kept_answer, &out->payout_id, b->a,
                                 e);
}

bool import_rows_check(imports *s, const merchant *m, const payout_row *rows, size_t n,
                       import_outcome *out, arena *a, err *e) {
    batch b = {.s = s, .m = m, .rows = rows, .n = n, .out = out, .a = a};
    const int64_t deadline = clock_mono_ms(clock_system()) + IMPORT_CALL_MS;
    if (!batch_begin(&b, e) ||
        !s->o.calls.check(s->o.calls.arg, m, rows, n, b.faults, b.ids, deadline, a, e) ||
        !make_requests(&b, deadline, e)) {
        return false;
    }
    payout_outcome *outcomes = ARENA_ARRAY(a, payout_outcome, b.n_requests + 1);
    if (outcomes == NULL) {
        return err_no_memory(e, "the import");
    }
    bool ok = b.n_requests == 0 ||
              intake_check(s->o.intake, m, b.requests, b.n_requests, outcomes, deadline, a, e);
    for (size_t i = 0; ok && i < b.n_requests; i++) {
        ok = take_outcome(&b, i, &outcomes[i], e);
    }
    return ok;
}

// --- Handing in ------------------------------------------------------------------------------------------------------

// Lets the job wait for the intake's thread.
typedef struct waiting {
    batch *b;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool answered, ok;
    err e;
} waiting;

static void on_done(void *owner, const payout_outcome *outcomes, size_t n, const err *failed,
                    arena *a) {
    waiting *w = owner;
    (void)a;
    pthread_mutex_lock(&w->mutex);
    w->ok = failed == NULL;
    if (failed != NULL) {
        w->e = *failed;
    }
    for (size_t i = 0; w->ok && i < n; i++) {
        w->ok = take_outcome(w->b, i, &outcomes[i], &w->e);
    }
    w->answered = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

static bool submit(batch *b, int64_t deadline, err *e) {
    waiting w = {.b = b};
    MUST(pthread_mutex_init(&w.mutex, NULL) == 0);
    cond_init(&w.changed);
    const intake_submission submission = {.merchant = b->m,
                                          .by = b->by,
                                          .requests = b->requests,
                                          .n = b->n_requests,
                                          .deadline_mono_ms = deadline,
                                          .a = b->a,
                                          .done = on_done,
                                          .owner = &w};
    bool ok = intake_submit(b->s->o.intake, &submission, e);
    if (ok) {
        pthread_mutex_lock(&w.mutex);
        while (!w.answered) { // the intake answers each submission
            (void)pthread_cond_wait(&w.changed, &w.mutex);
        }
        pthread_mutex_unlock(&w.mutex);
        ok = w.ok;
        if (!ok) {
            *e = w.e;
        }
    }
    MUST(pthread_cond_destroy(&w.changed) == 0);
    MUST(pthread_mutex_destroy(&w.mutex) == 0);
    return ok;
}

bool import_rows_pay(imports *s, const merchant *m, const actor_info *by, const payout_row *rows,
                     size_t n, import_outcome *out, arena *a, err *e) {
    batch b = {.s = s, .m = m, .by = by, .rows = rows, .n = n, .out = out, .a = a};
    const int64_t deadline = clock_mono_ms(clock_system()) + IMPORT_CALL_MS;
    if (!batch_begin(&b, e) ||
        !s->o.calls.enter(s->o.calls.arg, m, by, rows, n, b.faults, b.ids, deadline, a, e)) {
        return false;
    }
    CRASH_POINT("import.recipients.entered");
    for (size_t i = 0; i < n; i++) {
        if (b.faults[i] != NULL && !err_is_definite(b.faults[i]->code)) {
            *e = *b.faults[i];
            return false;
        }
    }
    if (!make_requests(&b, deadline, e) || (b.n_requests > 0 && !submit(&b, deadline, e))) {
        return false;
    }
    CRASH_POINT("import.payouts.taken");
    return true;
}
