#include "api/intake.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/queue.h"
#include "domain/ids.h"
#include "domain/machine.h"
#include "store/idempotency.h"
#include "store/payments_sql.h"

enum {
    INTAKE_QUEUE_MAX = 4096,       // calls
    INTAKE_CALLS_MAX = 512,        // calls of one gathering
    INTAKE_ITEMS_MAX = 20000,      // payouts of one transaction
    INTAKE_ARENA_MAX = 256u << 20, // bytes of one gathering
    INTAKE_TX_TIMEOUT_MS = 15000,
    INTAKE_TRIES_MAX = 8,
    INTAKE_THREADS_MAX = 16
};

typedef struct intake_item {
    const Payments__V1__NewPayout *wanted;
    const char *path; // where it stands in the request: "payout." or "payouts[3]."
    idem_entry idem;
    uuid recipient_id, payout_id, intent_id;
    struct intake_item
        *same_key;      // an earlier item of this gathering with the same key: its answer is ours
    const err *refused; // not NULL: the reason why
} intake_item;

typedef struct intake_job {
    rpc_call *call;
    const merchant *merchant;
    intake_item *items;
    size_t n;
    bool single;
    bool answered;
} intake_job;

typedef struct intake_thread {
    intake *owner;
    pthread_t thread;
    queue *calls;
    arena *arena;
} intake_thread;

struct intake {
    payments_service_options o;
    intake_thread *threads;
    size_t n_threads;
    metric *accepted, *replayed, *refused;
};

// One transaction of one book.
typedef struct intake_batch {
    intake *owner;
    int64_t book_id;
    intake_item **items; // those that are not refused yet
    size_t n;
    intake_item **fresh; // of them: new keys
    size_t n_fresh;
    int64_t latest_ms; // deadline of the call that waits longest
} intake_batch;

static const err *err_keep(arena *a, const err *e) {
    err *kept = ARENA_NEW(a, err);
    *kept = *e;
    return kept;
}

// --- validation: once, on the worker that took the call ------------------------------------------------------------------

typedef struct field_text {
    char text[64];
} field_text;

static field_text field_of(const intake_item *it, const char *name) {
    field_text f;
    (void)snprintf(f.text, sizeof f.text, "%s%s", it->path, name);
    return f;
}

static bool item_validate(const intake *in, const merchant *m, intake_item *it, err *e) {
    const Payments__V1__NewPayout *w = it->wanted;
    const char *path = it->path;
    const currency *ccy = NULL;
    if (!rule_key(str_of(w->idempotency_key), path, e) || !rule_amount(w->amount_minor, path, e) ||
        !rule_currency(str_of(w->currency), path, &ccy, e) ||
        !rule_rail_carries(in->o.rails, in->o.n_rails, (int)w->rail, str_of(w->currency),
                           w->amount_minor, path, e) ||
        !rule_uuid(str_of(w->recipient_id), path, "recipient_id", &it->recipient_id, e) ||
        !rule_text(str_of(w->external_reference), 0, RULE_REFERENCE_MAX, path, "external_reference",
                   e) ||
        !rule_description(str_of(w->description), path, e)) {
        return false;
    }
    if (!list_has(m->currencies, str_of(w->currency))) {
        return err_set_field(e, ERR_FAILED_PRECONDITION, "CURRENCY_NOT_HELD",
                             field_of(it, "currency").text, "the merchant holds %s only",
                             m->currencies);
    }
    return true;
}

static bool job_prepare(const intake *in, intake_job *job, Payments__V1__NewPayout *const *payouts,
                        err *e) {
    arena *a = rpc_arena(job->call);
    for (size_t i = 0; i < job->n; i++) {
        intake_item *it = &job->items[i];
        err why = {0};
        it->wanted = payouts[i];
        it->path = job->single ? "payout." : arena_printf(a, "payouts[%zu].", i);
        if (it->path == NULL) {
            return out_of_memory(e);
        }
        if (!item_validate(in, job->merchant, it, &why)) {
            it->refused = err_keep(a, &why);
            continue;
        }
        const str content = pb_pack(a, &payouts[i]->base, e);
        if (content.ptr == NULL) {
            return false;
        }
        it->idem.merchant_id = str_of(job->merchant->id);
        it->idem.key = str_of(it->wanted->idempotency_key);
        it->intent_id = payout_intent(job->merchant->book_id, it->idem.merchant_id, it->idem.key);
        idem_hash(IDEM_PAYOUT, it->idem.merchant_id, content, it->idem.hash);
    }
    return true;
}

// --- the transaction -------------------------------------------------------------------------------------------------------

static bool load_recipients(intake_batch *b, db_conn *c, arena *a, err *e) {
    uuid *ids = ARENA_ARRAY(a, uuid, b->n);
    db_rows *rows = NULL;
    if (ids == NULL && b->n > 0) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < b->n_fresh; i++) {
        ids[i] = b->fresh[i]->recipient_id;
    }
    db_params *p = db_params_create(a);
    db_i64(p, b->book_id);
    db_uuid_array(p, ids, b->n_fresh);
    if (!db_exec(c, payments_stmt(SQL_RECIPIENT_CHECK), p, a, &rows, NULL, e)) {
        return false;
    }
    map *found = map_create(b->n_fresh, INTAKE_ITEMS_MAX); // recipient → row number + 1
    for (size_t i = 0; i < db_count(rows); i++) {
        const bool put = map_put(found, db_get_uuid(rows, i, 0), (void *)(uintptr_t)(i + 1));
        ASSERT(put);
    }
    for (size_t i = 0; i < b->n_fresh; i++) {
        intake_item *it = b->fresh[i];
        const size_t row = (size_t)(uintptr_t)map_get(found, it->recipient_id);
        err why = {0};
        if (row == 0 || !str_eq(db_get_str(rows, row - 1, 1), it->idem.merchant_id)) {
            (void)err_set_field(&why, ERR_NOT_FOUND, "RECIPIENT_NOT_FOUND",
                                field_of(it, "recipient_id").text,
                                "the merchant has no such recipient");
        } else if (!str_eq_c(db_get_str(rows, row - 1, 2), it->wanted->currency)) {
            (void)err_set_field(&why, ERR_FAILED_PRECONDITION, "CURRENCY_MISMATCH",
                                field_of(it, "currency").text,
                                "the recipient's account is not in this currency");
        }
        it->refused = err_is_set(&why) ? err_keep(a, &why) : NULL;
    }
    map_destroy(found);
    return true;
}

// Leaves in fresh only what is not refused.
static void drop_refused(intake_batch *b) {
    size_t kept = 0;
    for (size_t i = 0; i < b->n_fresh; i++) {
        if (b->fresh[i]->refused == NULL) {
            b->fresh[kept++] = b->fresh[i];
        }
    }
    b->n_fresh = kept;
}

static bool make_answer(intake_item *it, int64_t now_us, arena *a, err *e) {
    Payments__V1__Payout p = PAYMENTS__V1__PAYOUT__INIT;
    Payments__V1__CreatePayoutResponse answer = PAYMENTS__V1__CREATE_PAYOUT_RESPONSE__INIT;
    const Payments__V1__NewPayout *w = it->wanted;
    char id[UUID_TEXT_LEN + 1], intent[UUID_TEXT_LEN + 1], recipient[UUID_TEXT_LEN + 1];
    uuid_format(it->payout_id, id);
    uuid_format(it->intent_id, intent);
    uuid_format(it->recipient_id, recipient);
    p.payout_id = id;
    p.intent_id = intent;
    p.merchant_id = (char *)it->idem.merchant_id.ptr; // NUL-terminated: merchant.id
    p.recipient_id = recipient;
    p.amount_minor = w->amount_minor;
    p.currency = w->currency;
    p.rail = w->rail;
    p.state = PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_PENDING;
    p.external_reference = w->external_reference;
    p.description = w->description;
    p.create_time = pb_time(a, now_us);
    p.update_time = p.create_time;
    answer.payout = &p;
    it->idem.response = pb_pack(a, &answer.base, e);
    return it->idem.response.ptr != NULL;
}

static bool copy_payouts(const intake_batch *b, db_conn *c, int64_t now_us, err *e) {
    db_copy *w =
        db_copy_begin(c, "payout",
                      "book_id, payout_id, merchant_id, recipient_id, amount, currency, rail, "
                      "external_reference, description, created_at, intent_id",
                      11, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < b->n_fresh; i++) {
        const intake_item *it = b->fresh[i];
        db_copy_row(w);
        db_copy_i64(w, b->book_id);
        db_copy_uuid(w, it->payout_id);
        db_copy_text(w, it->idem.merchant_id);
        db_copy_uuid(w, it->recipient_id);
        db_copy_i64(w, it->wanted->amount_minor);
        db_copy_text(w, str_of(it->wanted->currency));
        db_copy_i16(w, (int16_t)it->wanted->rail);
        db_copy_text(w, str_of(it->wanted->external_reference));
        db_copy_text(w, str_of(it->wanted->description));
        db_copy_time(w, now_us);
        db_copy_uuid(w, it->intent_id);
    }
    return db_copy_end(w, NULL, e);
}

static bool copy_sagas(const intake_batch *b, db_conn *c, int64_t now_us, err *e) {
    db_copy *w = db_copy_begin(
        c, "saga",
        "book_id, payout_id, rail, step, phase, state, attempt, tries, log_seq, events, "
        "events_seen, due_at, epoch, reason, reason_text, rail_reference, updated_at",
        17, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < b->n_fresh; i++) {
        db_copy_row(w);
        db_copy_i64(w, b->book_id);
        db_copy_uuid(w, b->fresh[i]->payout_id);
        db_copy_i16(w, (int16_t)b->fresh[i]->wanted->rail);
        db_copy_i16(w, STEP_RESERVE);
        db_copy_i16(w, 0);
        db_copy_i16(w, STATE_PENDING);
        for (int zero = 0; zero < 5; zero++) { // attempt, tries, log_seq, events, events_seen
            db_copy_i32(w, 0);
        }
        db_copy_time(w, now_us);
        db_copy_i64(w, 0);
        for (int empty = 0; empty < 3; empty++) { // reason, reason_text, rail_reference
            db_copy_text(w, STR(""));
        }
        db_copy_time(w, now_us);
    }
    return db_copy_end(w, NULL, e);
}

// Runs again as a whole when it must: everything that it decides is decided anew.
static bool intake_tx(db_conn *c, arena *a, void *arg, err *e) {
    intake_batch *b = arg;
    const int64_t now_us = clock_wall_us(clock_system());
    idem_entry **entries = ARENA_ARRAY(a, idem_entry *, b->n);
    if (entries == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < b->n; i++) {
        entries[i] = &b->items[i]->idem;
    }
    if (!idem_lookup(c, b->book_id, entries, b->n, a, e)) {
        return false;
    }
    b->n_fresh = 0;
    for (size_t i = 0; i < b->n; i++) {
        b->items[i]->refused = NULL; // of an earlier try
        if (!b->items[i]->idem.known) {
            b->fresh[b->n_fresh++] = b->items[i];
        }
    }
    if (b->n_fresh == 0) {
        return true;
    }
    if (!load_recipients(b, c, a, e)) {
        return false;
    }
    drop_refused(b);
    for (size_t i = 0; i < b->n_fresh; i++) {
        b->fresh[i]->payout_id = uuid_v7(clock_system());
        entries[i] = &b->fresh[i]->idem;
        if (!make_answer(b->fresh[i], now_us, a, e)) {
            return false;
        }
    }
    if (b->n_fresh == 0) {
        return true;
    }
    if (!copy_payouts(b, c, now_us, e) || !copy_sagas(b, c, now_us, e) ||
        !idem_insert(c, b->book_id, IDEM_PAYOUT, entries, b->n_fresh, now_us, e)) {
        return false;
    }
    CRASH_POINT("intake.copied");
    return true;
}

static bool intake_commit(intake *in, intake_batch *b, arena *a, err *e) {
    const int64_t own_ms = clock_mono_ms(clock_system()) + INTAKE_TX_TIMEOUT_MS;
    const int64_t deadline = b->latest_ms < own_ms ? b->latest_ms : own_ms;
    bool ok = false;
    bool again = true;
    for (int i = 0; again && i < INTAKE_TRIES_MAX; i++) {
        err_clear(e);
        ok = db_transact(in->o.pool, deadline, a, intake_tx, b, e);
        again = !ok && idem_should_look_again(e) && clock_mono_ms(clock_system()) < deadline;
    }
    return ok || idem_give_up(e);
}

// --- answers ---------------------------------------------------------------------------------------------------------------

// What to say of an item: the packed CreatePayoutResponse, or false and why not.
static bool item_answer(const intake_item *it, str *packed, err *e) {
    const intake_item *first = it->same_key != NULL ? it->same_key : it;
    const bool same_as_first = memcmp(it->idem.hash, first->idem.hash, sizeof it->idem.hash) == 0;
    if (it->refused != NULL) {
        *e = *it->refused;
        return false;
    }
    if (first->refused != NULL && same_as_first) {
        *e = *first->refused;
        return false;
    }
    if (first->refused != NULL) {
        return err_set(e, ERR_ABORTED, "KEY_IN_USE",
                       "another request with this key was under way and was refused: ask again");
    }
    if (!idem_is_same(&first->idem, it->idem.hash)) {
        return idem_conflict(it->path, e);
    }
    *packed = first->idem.response;
    return true;
}

static Payments__V1__Payout *unpack_payout(str packed, arena *a) {
    ProtobufCAllocator in_arena = pb_allocator(a);
    Payments__V1__CreatePayoutResponse *answer = payments__v1__create_payout_response__unpack(
        &in_arena, packed.len, (const uint8_t *)packed.ptr);
    ASSERT(answer != NULL && answer->payout != NULL); // we packed it
    return answer->payout;
}

static bool is_replay(const intake_item *it) {
    return it->same_key != NULL || it->idem.known;
}

// The line that leads from a call's trace and request ids to its payout, whose later lines carry the payout's id.
static void log_payout(log_level level, const intake_item *it, const char *payout_id) {
    log_context *ctx = log_ctx();
    (void)snprintf(ctx->payout_id, sizeof ctx->payout_id, "%s", payout_id);
    if (is_replay(it)) {
        LOG_AT(level, "payout.replayed");
    } else {
        LOG_AT(level, "payout.accepted");
    }
    ctx->payout_id[0] = '\0';
}

static void answer_single(intake_job *job, arena *a) {
    err e = {0};
    str packed = {0};
    if (item_answer(&job->items[0], &packed, &e)) {
        log_payout(LOG_INFO, &job->items[0], unpack_payout(packed, a)->payout_id);
        rpc_reply_packed(job->call, packed.ptr, packed.len);
    } else {
        rpc_fail(job->call, &e);
    }
}

// Thousands of lines a call would cost more than they tell: at level info there is one, with counts.
static void log_bulk(const intake_job *job, size_t accepted, size_t replayed) {
    log_info("payouts.accepted", F_STR("merchant", job->merchant->id), F_INT("n", job->n),
             F_INT("accepted", accepted), F_INT("replayed", replayed),
             F_INT("refused", job->n - accepted - replayed));
}

static void answer_bulk(intake_job *job, arena *a) {
    size_t accepted = 0, replayed = 0;
    Payments__V1__BulkCreatePayoutsResponse answer =
        PAYMENTS__V1__BULK_CREATE_PAYOUTS_RESPONSE__INIT;
    Payments__V1__PayoutResult *results = ARENA_ARRAY(a, Payments__V1__PayoutResult, job->n);
    answer.results = ARENA_ARRAY(a, Payments__V1__PayoutResult *, job->n);
    answer.n_results = job->n;
    ASSERT(results != NULL && answer.results != NULL); // far below the arena's cap by BULK_MAX
    // Unpacked answers point into memory that this takes from the arena.
    for (size_t i = 0; i < job->n; i++) {
        err e = {0};
        str packed = {0};
        payments__v1__payout_result__init(&results[i]);
        answer.results[i] = &results[i];
        if (item_answer(&job->items[i], &packed, &e)) {
            results[i].outcome_case = PAYMENTS__V1__PAYOUT_RESULT__OUTCOME_PAYOUT;
            results[i].payout = unpack_payout(packed, a);
            log_payout(LOG_DEBUG, &job->items[i], results[i].payout->payout_id);
            *(is_replay(&job->items[i]) ? &replayed : &accepted) += 1;
        } else {
            results[i].outcome_case = PAYMENTS__V1__PAYOUT_RESULT__OUTCOME_ERROR;
            results[i].error = pb_item_error(a, &e);
        }
    }
    log_bulk(job, accepted, replayed);
    rpc_reply(job->call, &answer.base);
}

static void count_items(const intake *in, const intake_job *job) {
    for (size_t i = 0; i < job->n; i++) {
        const intake_item *it = &job->items[i];
        if (it->refused != NULL) {
            metric_add(in->refused, 1);
        } else if (is_replay(it)) {
            metric_add(in->replayed, 1);
        } else {
            metric_add(in->accepted, 1);
        }
    }
}

// This thread works for all calls in turn: what it logs is about this one.
static void enter_call(const rpc_call *call) {
    log_context *ctx = log_ctx();
    log_ctx_clear();
    (void)snprintf(ctx->trace_id, sizeof ctx->trace_id, "%s", rpc_trace_id(call));
    (void)snprintf(ctx->request_id, sizeof ctx->request_id, "%s", rpc_request_id(call));
}

static void answer_job(const intake *in, intake_job *job, bool ok, const err *e, arena *a) {
    job->answered = true;
    enter_call(job->call);
    if (!ok) {
        rpc_fail(job->call, e);
    } else if (job->single) {
        count_items(in, job);
        answer_single(job, a);
    } else {
        count_items(in, job);
        answer_bulk(job, a);
    }
    log_ctx_clear();
}

// --- gathering -------------------------------------------------------------------------------------------------------------

// Adds the job's items to the batch. The first item with a key stands for the later ones with the same key.
static void batch_add(intake_batch *b, map *keys, intake_job *job) {
    for (size_t i = 0; i < job->n; i++) {
        intake_item *it = &job->items[i];
        if (it->refused != NULL) {
            continue;
        }
        const str parts[] = {it->idem.merchant_id, it->idem.key};
        const uuid key = uuid_derive(parts, 2);
        it->same_key = map_get(keys, key);
        if (it->same_key == NULL) {
            const bool put = map_put(keys, key, it);
            ASSERT(put);
            b->items[b->n++] = it;
        }
    }
}

// Commits the jobs of one book, from the first unanswered job's on, as many as fit one transaction.
static void run_book(intake_thread *t, intake_job **jobs, size_t n, size_t first) {
    intake *in = t->owner;
    arena *a = t->arena;
    intake_batch b = {.owner = in, .book_id = jobs[first]->merchant->book_id};
    intake_job *mine[INTAKE_CALLS_MAX];
    size_t n_mine = 0;
    size_t n_items = 0;
    err e = {0};
    for (size_t i = first; i < n; i++) {
        intake_job *job = jobs[i];
        const bool fits = n_mine == 0 || n_items + job->n <= INTAKE_ITEMS_MAX;
        if (!job->answered && job->merchant->book_id == b.book_id && fits) {
            const int64_t until_ms = rpc_deadline_mono_ms(job->call);
            mine[n_mine++] = job;
            n_items += job->n;
            b.latest_ms = until_ms > b.latest_ms ? until_ms : b.latest_ms;
        }
    }
    b.items = ARENA_ARRAY(a, intake_item *, n_items);
    b.fresh = ARENA_ARRAY(a, intake_item *, n_items);
    ASSERT(b.items != NULL && b.fresh != NULL);
    map *keys = map_create(n_items, INTAKE_ITEMS_MAX);
    for (size_t i = 0; i < n_mine; i++) {
        batch_add(&b, keys, mine[i]);
    }
    map_destroy(keys);
    CRASH_POINT("intake.gathered");
    const bool ok = b.n == 0 || intake_commit(in, &b, a, &e);
    CRASH_POINT("intake.committed");
    if (!ok) {
        log_err(LOG_WARN, "intake.failed", &e);
    } else if (b.n_fresh > 0) {
        saga_engine_wake(in->o.engine, b.book_id);
    }
    // From the last: an answer frees its call's memory, and later items point to earlier ones with the same key.
    for (size_t i = n_mine; i-- > 0;) {
        answer_job(in, mine[i], ok, &e, a);
    }
    CRASH_POINT("intake.replied");
}

// A call whose time is up before anything was begun is told so, and nothing of it is written.
static void refuse_late(intake_job *job) {
    if (rpc_deadline_mono_ms(job->call) <= clock_mono_ms(clock_system())) {
        err e = {0};
        err_set(&e, ERR_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED",
                "the deadline passed before the work began");
        job->answered = true;
        rpc_fail(job->call, &e);
    }
}

static void *intake_run(void *arg) {
    intake_thread *t = arg;
    void *jobs[INTAKE_CALLS_MAX];
    size_t n = 0;
    while ((n = queue_pop_many(t->calls, jobs, INTAKE_CALLS_MAX)) > 0) {
        for (size_t i = 0; i < n; i++) {
            refuse_late(jobs[i]);
        }
        for (size_t i = 0; i < n; i++) {
            intake_job *job = jobs[i];
            while (!job->answered) {
                run_book(t, (intake_job **)jobs, n, i);
                arena_reset(t->arena);
            }
            free(job);
        }
    }
    return NULL;
}

// --- life ------------------------------------------------------------------------------------------------------------------

intake *intake_create(const payments_service_options *o, err *e) {
    intake *in = calloc(1, sizeof *in);
    ASSERT(in != NULL && o->intake_threads >= 1 && o->intake_threads <= INTAKE_THREADS_MAX);
    in->o = *o;
    in->accepted = metric_counter("payouts_intake_total", "result=\"accepted\"",
                                  "Payouts taken in, by result");
    in->replayed = metric_counter("payouts_intake_total", "result=\"replayed\"",
                                  "Payouts taken in, by result");
    in->refused =
        metric_counter("payouts_intake_total", "result=\"refused\"", "Payouts taken in, by result");
    in->threads = calloc((size_t)o->intake_threads, sizeof *in->threads);
    ASSERT(in->threads != NULL);
    for (int i = 0; i < o->intake_threads; i++) {
        intake_thread *t = &in->threads[i];
        t->owner = in;
        t->calls = queue_create(INTAKE_QUEUE_MAX);
        t->arena = arena_create(INTAKE_ARENA_MAX);
        if (pthread_create(&t->thread, NULL, intake_run, t) != 0) {
            queue_destroy(t->calls);
            arena_destroy(t->arena);
            intake_destroy(in);
            err_set(e, ERR_INTERNAL, "THREAD_FAILED", "could not start an intake thread");
            return NULL;
        }
        in->n_threads++;
    }
    return in;
}

void intake_destroy(intake *in) {
    if (in == NULL) {
        return;
    }
    for (size_t i = 0; i < in->n_threads; i++) {
        queue_close(in->threads[i].calls);
        pthread_join(in->threads[i].thread, NULL);
        queue_destroy(in->threads[i].calls);
        arena_destroy(in->threads[i].arena);
    }
    free(in->threads);
    free(in);
}

bool intake_submit(intake *in, rpc_call *call, const merchant *m,
                   Payments__V1__NewPayout *const *payouts, size_t n, bool single, err *e) {
    intake_thread *t = &in->threads[(uint64_t)m->book_id % in->n_threads];
    intake_job *job = calloc(1, sizeof *job);
    ASSERT(job != NULL && n > 0 && n <= BULK_MAX);
    *job = (intake_job){.call = call, .merchant = m, .n = n, .single = single};
    job->items = ARENA_ARRAY(rpc_arena(call), intake_item, n);
    bool ok = job->items != NULL || out_of_memory(e);
    ok = ok && job_prepare(in, job, payouts, e);
    if (ok && !queue_push(t->calls, job)) {
        ok = err_set(e, ERR_RESOURCE_EXHAUSTED, "OVERLOADED",
                     "too many payouts are waiting to be taken in");
        e->retry_after_ms = 200;
    }
    if (!ok) {
        free(job);
    }
    return ok;
}
