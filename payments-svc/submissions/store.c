// The sender's side of the rows: due submissions, claims, the fence, and the writes of a sender that holds the submission.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/crash.h"
#include "events/events.h"
#include "submissions/submissions_internal.h"
#include "submissions/submissions_sql.h"

static int64_t deadline(void) {
    return clock_mono_ms(clock_system()) + SUBM_DB_TIMEOUT_MS;
}

// --- What is due -------------------------------------------------------------------------------------------------------

typedef struct reading {
    submissions_sql_id sql;
    db_params *params;
    db_rows *rows;
} reading;

static bool read_rows(db_conn *c, arena *a, void *arg, err *e) {
    reading *r = arg;
    return db_exec(c, submissions_sql(r->sql), r->params, a, &r->rows, NULL, e);
}

bool subm_due(db_pool *pool, int connection, bool sends, size_t max, subm_key **keys, size_t *n,
              arena *a, err *e) {
    reading r = {SUBM_SQL_DUE, db_params_create(a), NULL};
    db_i16(r.params, (int16_t)connection);
    db_i64(r.params, (int64_t)max);
    db_bool(r.params, sends);
    if (!db_read(pool, deadline(), a, read_rows, &r, e)) {
        return false;
    }
    *n = db_count(r.rows);
    *keys = ARENA_ARRAY(a, subm_key, *n + 1);
    if (*keys == NULL) {
        return err_no_memory(e, "what is due");
    }
    for (size_t i = 0; i < *n; i++) {
        (*keys)[i] = (subm_key){db_get_i64(r.rows, i, 0), db_get_uuid(r.rows, i, 1)};
    }
    return true;
}

bool subm_waiting_read(db_pool *pool, int connection, subm_waiting *out, arena *a, err *e) {
    reading r = {SUBM_SQL_WAITING, db_params_create(a), NULL};
    db_i16(r.params, (int16_t)connection);
    *out = (subm_waiting){0};
    if (!db_read(pool, deadline(), a, read_rows, &r, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(r.rows); i++) {
        const int state = db_get_i16(r.rows, i, 0);
        const int64_t age_s = (db_get_time(r.rows, i, 3) - db_get_time(r.rows, i, 2)) / 1000000;
        if (state > 0 && state < SUBMISSION_STATES_END) {
            out->count[state] = db_get_i64(r.rows, i, 1);
        }
        out->oldest_s = age_s > out->oldest_s ? age_s : out->oldest_s;
    }
    return true;
}

// --- Claiming ----------------------------------------------------------------------------------------------------------

bool subm_evidence_read(db_conn *c, int64_t book_id, uuid id, subm_claimed *out, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, id);
    if (!db_exec(c, submissions_sql(SUBM_SQL_EVIDENCE), p, a, &rows, NULL, e)) {
        return false;
    }
    submission_evidence *known = &out->known;
    *known = (submission_evidence){0};
    out->n_epochs = 0;
    for (size_t i = 0; i < db_count(rows); i++) {
        switch (db_get_i16(rows, i, 0)) {
        case EVIDENCE_LAST_STEP:
            known->at_risk++;
            known->possible++;
            known->absent_ms = 0;
            break;
        case EVIDENCE_BEGUN:
            if (out->n_epochs < sizeof out->epochs / sizeof out->epochs[0]) {
                out->epochs[out->n_epochs++] = db_get_i64(rows, i, 1);
            }
            break;
        case EVIDENCE_TAKEN_BACK:
        case EVIDENCE_NOT_THERE:
            if (db_get_i16(rows, i, 0) == EVIDENCE_TAKEN_BACK) {
                known->possible -= known->at_risk;
            } else if (known->at_risk == 0 && out->n_epochs > 0) {
                known->possible++; // the bank may have taken it under its temporary name
            }
            known->at_risk = 0;
            known->absent_ms = 0;
            out->n_epochs = 0;
            break;
        case EVIDENCE_NOT_CLEAR: known->absent_ms = 0; break;
        case EVIDENCE_NOT_SEEN:
            if (known->absent_ms == 0) {
                known->absent_ms = db_get_i64(rows, i, 2) + 1;
            }
            break;
        case EVIDENCE_FINISHED:
        case EVIDENCE_SEEN: known->finished = true; break;
        case EVIDENCE_ACCEPTED: known->accepted = true; break;
        case EVIDENCE_REFUSED:
            known->refused = true;
            known->refusals++;
            break;
        default: break; // WITHDREW, and kinds of a newer version
        }
    }
    return true;
}

bool subm_items_heard(db_conn *c, int64_t book_id, uuid id, bool *heard, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, id);
    if (!db_exec(c, submissions_sql(SUBM_SQL_HEARD), p, a, &rows, NULL, e)) {
        return false;
    }
    *heard = db_get_i64(rows, 0, 0) > 0;
    return true;
}

static void read_claimed(const db_rows *rows, subm_claimed *out) {
    const str name = db_get_str(rows, 0, 3), currency = db_get_str(rows, 0, 6);
    out->state = (submission_state)db_get_i16(rows, 0, 0);
    out->epoch = db_get_i64(rows, 0, 1);
    out->tries = db_get_i32(rows, 0, 2);
    (void)snprintf(out->name, sizeof out->name, "%.*s", (int)name.len, name.ptr);
    out->items = db_get_i32(rows, 0, 4);
    out->total = db_get_i64(rows, 0, 5);
    (void)snprintf(out->currency, sizeof out->currency, "%.*s", (int)currency.len, currency.ptr);
    out->size = db_get_i64(rows, 0, 7);
    out->sha256 = db_get_str(rows, 0, 8);
    out->sealed = db_get_str(rows, 0, 9);
    out->seal = db_get_str(rows, 0, 10);
    out->generation = db_get_i32(rows, 0, 11);
    out->stale_us = db_get_time(rows, 0, 12);
    out->created_us = db_get_time(rows, 0, 13);
    out->now_us = db_get_time(rows, 0, 14);
}

// True when this session's database is the database that the guard knows.
static bool check_timeline(db_conn *c, guard *g, arena *a, err *e) {
    db_rows *rows = NULL;
    if (g == NULL) {
        return true;
    }
    return db_exec(c, submissions_sql(SUBM_SQL_TIMELINE), NULL, a, &rows, NULL, e) &&
           (guard_same_timeline(g, db_get_str(rows, 0, 0)) ||
            err_set(e, ERR_FAILED_PRECONDITION, "TIMELINE",
                    "the database is on another timeline than before: it may have forgotten"));
}

typedef struct claiming {
    guard *g;
    subm_key key;
    uuid owner;
    int64_t lease_ms;
    subm_claimed *out;
    bool ours;
} claiming;

static bool claim_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    claiming *k = arg;
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, k->key.book_id);
    db_uuid(p, k->key.id);
    db_uuid(p, k->owner);
    db_i64(p, k->lease_ms);
    db_bool(p, k->g == NULL || guard_may_send(k->g));
    k->ours = false;
    if (!check_timeline(c, k->g, a, e) ||
        !db_exec(c, submissions_sql(SUBM_SQL_CLAIM), p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) == 0) {
        return true;
    }
    *k->out = (subm_claimed){.book_id = k->key.book_id, .id = k->key.id, .owner = k->owner};
    read_claimed(rows, k->out);
    k->ours = true;
    // Asked even if no upload is known: the database may have forgotten one.
    return subm_evidence_read(c, k->key.book_id, k->key.id, k->out, a, e) &&
           subm_items_heard(c, k->key.book_id, k->key.id, &k->out->known.items_heard, a, e);
}

bool subm_claim(db_pool *pool, guard *g, subm_key key, uuid owner, int64_t lease_ms,
                subm_claimed *out, arena *a, err *e) {
    claiming k = {g, key, owner, lease_ms, out, false};
    err_clear(e);
    if (!db_transact(pool, deadline(), a, claim_in_tx, &k, e)) {
        return false; // if COMMIT is unknown, the claim ends with its lease
    }
    return k.ours;
}

// --- The fence ---------------------------------------------------------------------------------------------------------

typedef struct fencing {
    guard *g;
    const subm_claimed *s;
    int64_t lease_ms;
    bool last_step;
    const char *folders;
    int64_t n;
} fencing;

static bool fence_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    fencing *f = arg;
    db_params *p = db_params_create(a);
    db_i64(p, f->s->book_id);
    db_uuid(p, f->s->id);
    db_uuid(p, f->s->owner);
    db_i64(p, f->s->epoch);
    db_i64(p, f->lease_ms);
    return check_timeline(c, f->g, a, e) &&
           db_exec(c, submissions_sql(SUBM_SQL_STILL_OURS), p, a, NULL, &f->n, e) &&
           (f->n != 1 ||
            subm_evidence_add(c, f->s->book_id, f->s->id,
                              f->last_step ? EVIDENCE_LAST_STEP : EVIDENCE_BEGUN, f->s->epoch,
                              f->s->owner, (uuid){{0}}, f->last_step ? "" : f->folders, a, e));
}

bool subm_still_ours(db_pool *pool, guard *g, const subm_claimed *s, bool last_step,
                     const char *folders, int64_t lease_ms, arena *a) {
    fencing f = {g, s, lease_ms, last_step, folders, 0};
    err e = {0};
    // Far below the lease, so that a late answer is not believed.
    const int64_t until = clock_mono_ms(clock_system()) + lease_ms / 4;
    return (g == NULL || guard_may_send(g)) && db_transact(pool, until, a, fence_in_tx, &f, &e) &&
           f.n == 1 && clock_mono_ms(clock_system()) < until;
}

typedef struct looking_elsewhere {
    int connection;
    const char *folders;
    subm_elsewhere *out;
} looking_elsewhere;

static bool find_elsewhere(db_conn *c, arena *a, void *arg, err *e) {
    const looking_elsewhere *l = arg;
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i16(p, (int16_t)l->connection);
    db_text(p, str_of(l->folders));
    if (!db_exec(c, submissions_sql(SUBM_SQL_BEGUN_ELSEWHERE), p, a, &rows, NULL, e)) {
        return false;
    }
    *l->out = (subm_elsewhere){.found = db_count(rows) > 0};
    if (l->out->found) {
        l->out->name = db_get_str(rows, 0, 0);
        l->out->folders = db_get_str(rows, 0, 1);
    }
    return true;
}

bool subm_begun_elsewhere(db_pool *pool, int connection, const char *folders, subm_elsewhere *out,
                          arena *a, err *e) {
    looking_elsewhere l = {connection, folders, out};
    return db_read(pool, deadline(), a, find_elsewhere, &l, e);
}

// --- Writing -----------------------------------------------------------------------------------------------------------

bool subm_evidence_add(db_conn *c, int64_t book_id, uuid id, int kind, int64_t epoch, uuid owner,
                       uuid inbox_id, const char *text, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, id);
    db_i16(p, (int16_t)kind);
    db_i64(p, epoch);
    if (uuid_is_nil(owner)) {
        db_null(p, OID_UUID);
    } else {
        db_uuid(p, owner);
    }
    if (uuid_is_nil(inbox_id)) {
        db_null(p, OID_UUID);
    } else {
        db_uuid(p, inbox_id);
    }
    db_text(p, str_of(text));
    return db_exec(c, submissions_sql(SUBM_SQL_EVIDENCE_ADD), p, a, NULL, NULL, e);
}

typedef struct changing {
    const subm_claimed *s;
    const subm_change *change;
    int64_t n;
} changing;

static bool move(db_conn *c, changing *w, arena *a, err *e) {
    const subm_change *to = w->change;
    db_params *p = db_params_create(a);
    db_i64(p, w->s->book_id);
    db_uuid(p, w->s->id);
    db_uuid(p, w->s->owner);
    db_i64(p, w->s->epoch);
    db_i16(p, (int16_t)to->state);
    db_i32(p, to->tries);
    db_text(p, str_of(to->reason));
    if (to->due_in_ms < 0) {
        db_null(p, OID_INT8);
    } else {
        db_i64(p, to->due_in_ms);
    }
    db_bool(p, !to->keep_lease);
    db_text(p, str_of(to->text));
    return db_exec(c, submissions_sql(SUBM_SQL_MOVE), p, a, NULL, &w->n, e);
}

static bool tell_items(db_conn *c, const subm_claimed *s, const subm_change *to, arena *a, err *e) {
    const bool accepted = to->event_kind == RAIL_EVENT_ACCEPTED;
    const subm_said said = {.kind = to->event_kind,
                            .tag = accepted ? "accepted" : "not-taken",
                            .code = str_of(accepted ? "" : to->reason),
                            .text = str_of(accepted ? "" : to->text),
                            .at_us = s->now_us,
                            .source = RAIL_SOURCE_SUBMISSION};
    size_t n = 0;
    return subm_events_record(c, s->book_id, s->id, &said, &n, a, e);
}

static bool change_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    changing *w = arg;
    const subm_claimed *s = w->s;
    const subm_change *to = w->change;
    const uuid nil = {{0}};
    if (!move(c, w, a, e)) {
        return false;
    }
    if (w->n != 1) {
        return true; // another sender's by now
    }
    if (to->evidence != 0 && !subm_evidence_add(c, s->book_id, s->id, to->evidence, s->epoch,
                                                s->owner, nil, to->evidence_text, a, e)) {
        return false;
    }
    if (to->event_kind != 0 &&
        (!tell_items(c, s, to, a, e) || !subm_cases_close(c, s->book_id, s->id, s->now_us, a, e))) {
        return false;
    }
    return to->case_kind == NULL ||
           subm_case_open(c, s->book_id, s->id, to->case_kind, str_of(to->reason), str_of(to->text),
                          s->total, s->currency, s->now_us, a, e);
}

bool subm_change_write(db_pool *pool, const subm_claimed *s, const subm_change *change, bool *ours,
                       arena *a, err *e) {
    changing w = {s, change, 0};
    *ours = false;
    err_clear(e);
    if (!db_transact(pool, deadline(), a, change_in_tx, &w, e)) {
        return false;
    }
    *ours = w.n == 1;
    return true;
}

typedef struct adding {
    const subm_claimed *s;
    int kind;
    const char *text;
} adding;

static bool add_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    const adding *w = arg;
    return subm_evidence_add(c, w->s->book_id, w->s->id, w->kind, w->s->epoch, w->s->owner,
                             (uuid){{0}}, w->text, a, e);
}

bool subm_evidence_write(db_pool *pool, const subm_claimed *s, int kind, const char *text, arena *a,
                         err *e) {
    adding w = {s, kind, text};
    err_clear(e);
    return db_transact(pool, deadline(), a, add_in_tx, &w, e);
}
