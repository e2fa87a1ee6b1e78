// The job of an import: one at a time in each process, under a lease by the database's clock. A repeat of any part is safe: rows are handed
// in under their own keys, and only the lease's owner writes.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/metrics.h"
#include "imports/imports_internal.h"

enum {
    JOB_ARENA_EXTRA = 128 << 20, // besides the file and its texts
    BATCH_ARENA_MAX = 64 << 20,
    PARTS_READ = 16, // per statement
    DB_MS = 15000,
    IDLE_LOOK_MAX_MS = 60000,
    IDLE_AT_ONCE = 20,
    TICK_MAX_MS = 5000,
    DIGITS_SHOWN = 6, // a run of more digits may be an account number
    STARTED_MAX = 8,
    RETRY_MS = 5000
};

typedef struct job {
    imports *s;
    int64_t book_id;
    const merchant *m;
    import_row row;                           // strings in s->a
    char started_trace[2 * sizeof(uuid) + 1]; // of row; empty: none
    payout_file file;
    bool right_lost; // who started it may do so no longer
    bool lost;       // another instance has it, or it was canceled: write no more
} job;

static int64_t soon(void) {
    return clock_mono_ms(clock_system()) + DB_MS;
}

static db_params *of_job(const job *j, arena *a) {
    db_params *p = db_params_create(a);
    db_i64(p, j->book_id);
    db_uuid(p, j->row.id);
    db_uuid(p, j->s->owner);
    return p;
}

static void job_log(log_level level, const char *what, const job *j, const err *e) {
    char id[UUID_TEXT_LEN + 1];
    uuid_format(j->row.id, id);
    if (e != NULL) {
        log_err(level, what, e);
    }
    LOG_AT(level, "import.job", F_STR("what", what), F_STR("import", id), F_INT("book", j->book_id),
           F_INT("rows", j->row.rows), F_INT("handed", j->row.handed));
}

// --- Claiming an import ------------------------------------------------------------------------------------------------

typedef struct claiming {
    job *j;
    bool found;
} claiming;

static bool waiting_tx(db_conn *c, arena *a, void *arg, err *e) {
    db_rows **rows = arg;
    db_params *p = db_params_create(a);
    db_i64(p, STARTED_MAX);
    return db_exec(c, imports_sql(IMPORTS_SQL_WAITING), p, a, rows, NULL, e);
}

static bool claim_tx(db_conn *c, arena *a, void *arg, err *e) {
    claiming *x = arg;
    db_rows *rows = NULL;
    db_params *p = of_job(x->j, a);
    db_i64(p, x->j->s->o.settings.lease_ms);
    if (!db_exec(c, imports_sql(IMPORTS_SQL_CLAIM), p, a, &rows, NULL, e)) {
        return false;
    }
    x->found = db_count(rows) > 0;
    if (x->found) {
        import_read(rows, 0, &x->j->row);
        if (!uuid_is_nil(x->j->row.started_trace)) {
            str_hex(x->j->row.started_trace.b, sizeof(uuid), x->j->started_trace);
        }
    }
    return true;
}

// Claims a waiting import. *found: j has its lease. Other instances claim some as well, so each is tried.
static bool claim(imports *s, job *j, bool *found, err *e) {
    db_rows *rows = NULL;
    *found = false;
    if (!db_read(s->o.pool, soon(), s->a, waiting_tx, &rows, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows) && !*found; i++) {
        *j = (job){.s = s, .book_id = db_get_i64(rows, i, 0)};
        j->row.id = db_get_uuid(rows, i, 1);
        claiming x = {j, false};
        j->m = merchant_find(s->o.merchants, db_get_str(rows, i, 2), soon(), e);
        if (j->m == NULL || !db_transact(s->o.pool, soon(), s->a, claim_tx, &x, e)) {
            return false;
        }
        *found = x.found;
    }
    return true;
}

// --- Its file --------------------------------------------------------------------------------------------------------

typedef struct loading {
    const job *j;
    char *bytes;
    int64_t have;
    bool more;
} loading;

static bool parts_tx(db_conn *c, arena *a, void *arg, err *e) {
    loading *x = arg;
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, x->j->book_id);
    db_uuid(p, x->j->row.id);
    db_i64(p, x->have);
    db_i64(p, PARTS_READ);
    if (!db_exec(c, imports_sql(IMPORTS_SQL_PARTS), p, a, &rows, NULL, e)) {
        return false;
    }
    x->more = db_count(rows) > 0;
    int64_t have = x->have;
    for (size_t i = 0; i < db_count(rows); i++) {
        const int64_t at = db_get_i64(rows, i, 0);
        const str aad = import_part_aad(x->j->book_id, x->j->row.id, at, a);
        str plain = {0};
        if (aad.ptr == NULL) {
            return err_no_memory(e, "the file");
        }
        if (!crypto_open(x->j->s->o.keys, aad, db_get_str(rows, i, 1), a, &plain, e)) {
            return false;
        }
        if (at != have || at + (int64_t)plain.len > x->j->row.size_bytes) {
            return err_set(e, ERR_DATA_LOSS, "FILE_LOST", "parts of the file are not there");
        }
        memcpy(x->bytes + at, plain.ptr, plain.len);
        have += (int64_t)plain.len;
    }
    x->have = have;
    return true;
}

// Loads the whole file. @owned by the caller, who wipes it
static bool load_file(job *j, char **bytes, err *e) {
    loading x = {.j = j, .bytes = malloc((size_t)j->row.size_bytes), .more = true};
    bool ok = x.bytes != NULL || err_no_memory(e, "the file");
    while (ok && x.more && x.have < j->row.size_bytes) {
        ok = db_read(j->s->o.pool, soon(), j->s->batch, parts_tx, &x, e);
        arena_reset(j->s->batch);
    }
    ok = ok && (x.have == j->row.size_bytes ||
                err_set(e, ERR_DATA_LOSS, "FILE_LOST", "parts of the file are not there"));
    *bytes = x.bytes;
    return ok;
}

// False: *e, or without an error *why, the fault of the whole file.
static bool read_file(job *j, err *why, err *e) {
    char *bytes = NULL;
    uint8_t sum[32];
    char hex[65];
    bool ok = load_file(j, &bytes, e);
    if (ok) {
        crypto_sha256(bytes, (size_t)j->row.size_bytes, sum);
        str_hex(sum, sizeof sum, hex);
        ok =
            (j->row.sha256.ptr != NULL && str_eq_c(j->row.sha256, hex)) ||
            err_set(
                why, ERR_INVALID_ARGUMENT, "SHA256_MISMATCH",
                "the bytes that have arrived are not the bytes of the file: import the file again");
        ok = ok &&
             payout_file_parse((str){bytes, (size_t)j->row.size_bytes}, j->s->a, &j->file, why);
    }
    if (bytes != NULL) {
        explicit_bzero(bytes, (size_t)j->row.size_bytes);
        free(bytes);
    }
    return ok;
}

// --- Checking --------------------------------------------------------------------------------------------------------

typedef struct lease_left {
    job *j;
    int64_t ms;
} lease_left;

static bool renew_tx(db_conn *c, arena *a, void *arg, err *e) {
    const lease_left *x = arg;
    job *j = x->j;
    int64_t n = 0;
    db_params *p = of_job(j, a);
    db_i64(p, x->ms);
    const bool ok = db_exec(c, imports_sql(IMPORTS_SQL_RENEW), p, a, NULL, &n, e);
    j->lost = ok && n == 0;
    return ok;
}

static void complain(payout_file *f, size_t line, const err *refused) {
    err why = {0};
    payout_file_refusal(refused->field, refused->reason, refused->message, &why);
    payout_file_complain(f, line, &why);
}

// Refuses rows of other merchants.
static void check_merchants(job *j) {
    size_t kept = 0;
    for (size_t i = 0; i < j->file.n; i++) {
        const payout_row *row = &j->file.rows[i];
        err why = {0};
        if (strcmp(row->merchant_id, j->m->id) == 0) {
            j->file.rows[kept++] = *row;
        } else {
            (void)err_set_field(&why, ERR_INVALID_ARGUMENT, "MERCHANT_DIFFERS", "merchant_id",
                                "must be that of the import");
            payout_file_complain(&j->file, row->line, &why);
        }
    }
    j->file.n = kept;
}

static bool check_rows(job *j, err *e) {
    import_outcome out[IMPORT_BATCH];
    lease_left lease = {j, j->s->o.settings.lease_ms};
    bool ok = true;
    for (size_t at = 0; ok && !j->lost && at < j->file.n; at += IMPORT_BATCH) {
        const size_t left = j->file.n - at;
        const size_t n = left < IMPORT_BATCH ? left : IMPORT_BATCH;
        if (atomic_load(&j->s->stopping)) {
            return err_set(e, ERR_UNAVAILABLE, "SHUTTING_DOWN", "the service is stopping");
        }
        ok = db_transact(j->s->o.pool, soon(), j->s->batch, renew_tx, &lease, e) && !j->lost &&
             import_rows_check(j->s, j->m, &j->file.rows[at], n, out, j->s->batch, e);
        for (size_t i = 0; ok && i < n; i++) {
            if (out[i].refused != NULL) {
                complain(&j->file, j->file.rows[at + i].line, out[i].refused);
            }
        }
        arena_reset(j->s->batch);
    }
    return ok;
}

// Cells are shown in few texts, and a cell in the wrong column may hold an account number.
static void hide_digits(char *text) {
    for (size_t at = 0; text[at] != '\0';) {
        const size_t n = strspn(text + at, "0123456789");
        if (n > DIGITS_SHOWN) {
            memset(text + at, '*', n);
        }
        at += n > 0 ? n : 1;
    }
}

static bool write_faults(const job *j, db_conn *c, err *e) {
    const payout_file *f = &j->file;
    db_copy *w = db_copy_begin(c, "import_fault",
                               "book_id, import_id, number, line, field, reason, detail", 7, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < f->bad && i < IMPORT_FAULTS_MAX; i++) {
        payout_complaint *x = &f->complaints[i];
        hide_digits(x->text);
        db_copy_row(w);
        db_copy_i64(w, j->book_id);
        db_copy_uuid(w, j->row.id);
        db_copy_i32(w, (int32_t)i + 1);
        db_copy_i32(w, (int32_t)x->line);
        db_copy_text(w, str_of(x->field));
        db_copy_text(w, str_of(x->reason));
        db_copy_text(w, str_clip(str_of(x->text), sizeof x->text - 1));
    }
    return db_copy_end(w, NULL, e);
}

static bool judged_tx(db_conn *c, arena *a, void *arg, err *e) {
    job *j = arg;
    const bool good = j->file.bad == 0;
    int64_t n = 0;
    db_params *p = of_job(j, a);
    db_i16(p, good ? IMPORT_VALID : IMPORT_INVALID);
    db_i32(p, (int32_t)j->file.n);
    db_i32(p, (int32_t)j->file.bad);
    db_time(p, clock_wall_us(clock_system()));
    if (!db_exec(c, imports_sql(IMPORTS_SQL_JUDGED), p, a, NULL, &n, e)) {
        return false;
    }
    j->lost = n == 0;
    if (j->lost || good) {
        return true;
    }
    p = db_params_create(a);
    db_i64(p, j->book_id);
    db_uuid(p, j->row.id);
    return write_faults(j, c, e) &&
           db_exec(c, imports_sql(IMPORTS_SQL_DROP_PARTS), p, a, NULL, NULL, e);
}

static bool validate(job *j, err *e) {
    err why = {0};
    const bool readable = read_file(j, &why, e);
    if (!readable && !err_is_set(&why)) {
        return false;
    }
    if (readable && (int64_t)(j->file.n + j->file.bad) > j->s->o.settings.rows_max) {
        (void)err_set(&why, ERR_INVALID_ARGUMENT, "FILE_TOO_LARGE",
                      "the file has more than %" PRId64 " rows", j->s->o.settings.rows_max);
    }
    if (err_is_set(&why)) {
        payout_file_complain(&j->file, 0, &why);
    } else {
        check_merchants(j);
        if (!check_rows(j, e) || j->lost) {
            return j->lost;
        }
    }
    payout_file_sort_complaints(&j->file);
    CRASH_POINT("import.checked");
    const bool ok = db_transact(j->s->o.pool, soon(), j->s->batch, judged_tx, j, e);
    CRASH_POINT("import.judged");
    return ok;
}

// --- Paying ----------------------------------------------------------------------------------------------------------

typedef struct recording {
    job *j;
    const payout_row *rows;
    const import_outcome *out;
    size_t n;
    bool only_accepted; // of a batch that was only looked up
    bool ends;          // the import ends with this batch, at the latest
    import_state end;
} recording;

static bool is_recorded(const recording *x, size_t i) {
    return !x->only_accepted || (x->out[i].refused == NULL && !uuid_is_nil(x->out[i].payout_id));
}

static bool write_results(const recording *x, db_conn *c, err *e) {
    db_copy *w = db_copy_begin(
        c, "import_result", "book_id, import_id, line, reference, payout_id, field, reason, detail",
        8, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < x->n; i++) {
        err why = {0};
        const err *refused = x->out[i].refused;
        if (!is_recorded(x, i)) {
            continue;
        }
        if (refused != NULL) {
            payout_file_refusal(refused->field, refused->reason, refused->message, &why);
            hide_digits(why.message);
        }
        db_copy_row(w);
        db_copy_i64(w, x->j->book_id);
        db_copy_uuid(w, x->j->row.id);
        db_copy_i32(w, (int32_t)x->rows[i].line);
        db_copy_text(w, str_of(x->rows[i].reference));
        if (refused != NULL) {
            db_copy_null(w);
        } else {
            db_copy_uuid(w, x->out[i].payout_id);
        }
        db_copy_text(w, str_of(why.field));
        db_copy_text(w, str_of(why.reason));
        db_copy_text(w, str_clip(str_of(why.message), sizeof why.message - 1));
    }
    return db_copy_end(w, NULL, e);
}

static bool record_tx(db_conn *c, arena *a, void *arg, err *e) {
    recording *x = arg;
    job *j = x->j;
    db_rows *rows = NULL;
    int32_t accepted = 0, refused = 0;
    for (size_t i = 0; i < x->n; i++) {
        accepted += is_recorded(x, i) && x->out[i].refused == NULL ? 1 : 0;
        refused += is_recorded(x, i) && x->out[i].refused != NULL ? 1 : 0;
    }
    db_params *p = of_job(j, a);
    db_i32(p, j->row.handed);
    db_i32(p, j->row.handed + accepted + refused);
    db_i32(p, accepted);
    db_i32(p, refused);
    db_time(p, clock_wall_us(clock_system()));
    db_i64(p, j->s->o.settings.lease_ms);
    if (!db_exec(c, imports_sql(IMPORTS_SQL_HANDED), p, a, &rows, NULL, e)) {
        return false;
    }
    j->lost = db_count(rows) == 0;
    if (j->lost) {
        return true;
    }
    const bool stop = db_get_bool(rows, 0, 0);
    x->end = stop && !x->ends ? IMPORT_CANCELED : x->end;
    x->ends = x->ends || stop;
    if (!write_results(x, c, e)) {
        return false;
    }
    CRASH_POINT("import.results.copied");
    if (x->ends && j->right_lost && !write_faults(j, c, e)) {
        return false;
    }
    return !x->ends || import_move(c, j->book_id, j->row.id, x->end, (str){0}, NULL, a, e);
}

// The job pays for the actor that started the import. Imports that were started before migration 0031 name no request.
static actor_info payer_of(const job *j) {
    actor_info by = import_job_actor();
    if (j->row.started_by.len > 0) {
        actor_read(j->row.started_by, &by);
    }
    by.request_id = j->row.started_request_id.ptr == NULL ? STR("") : j->row.started_request_id;
    by.trace_id = str_of(j->started_trace);
    return by;
}

// A caller who has lost the right to start an import pays no more rows by it. Rows that were handed in stay.
static void ask_right(job *j) {
    err why = {0};
    if (j->row.stop || j->s->o.calls.may(j->s->o.calls.arg, j->m, j->row.started_by)) {
        return;
    }
    (void)err_set(&why, ERR_PERMISSION_DENIED, "RIGHT_WITHDRAWN",
                  "whoever started the import may no longer do so: the rows without a result were "
                  "not handed in");
    payout_file_complain(&j->file, 0, &why);
    j->right_lost = true;
    j->row.stop = true;
    job_log(LOG_WARN, "right_lost", j, NULL);
}

// If it was canceled and its worker is gone, some of the rows under way may have been taken in: they are looked up, and none is handed in.
static bool pay_batch(job *j, const payout_row *rows, size_t n, bool last, bool *ended, err *e) {
    import_outcome out[IMPORT_BATCH];
    const actor_info by = payer_of(j);
    const bool stopped = j->row.stop;
    recording x = {.j = j,
                   .rows = rows,
                   .out = out,
                   .n = n,
                   .only_accepted = stopped,
                   .ends = last || stopped,
                   .end = stopped ? IMPORT_CANCELED : IMPORT_DONE};
    const bool known = stopped ? import_rows_check(j->s, j->m, rows, n, out, j->s->batch, e)
                               : import_rows_pay(j->s, j->m, &by, rows, n, out, j->s->batch, e);
    if (!known || !db_transact(j->s->o.pool, soon(), j->s->batch, record_tx, &x, e)) {
        return false;
    }
    CRASH_POINT("import.results.written");
    *ended = x.ends;
    j->row.handed += (int32_t)n;
    return true;
}

static bool pay(job *j, err *e) {
    err why = {0};
    if (!read_file(j, &why, e)) {
        *e = err_is_set(&why) ? why : *e;
        return false;
    }
    if (j->file.bad > 0 || (int32_t)j->file.n != j->row.rows) {
        return err_set(e, ERR_DATA_LOSS, "FILE_CHANGED",
                       "the file is another one than was checked");
    }
    bool ok = true, ended = false;
    for (size_t at = (size_t)j->row.handed; ok && !ended && !j->lost && at < j->file.n;
         at += IMPORT_BATCH) {
        const size_t left = j->file.n - at;
        const size_t n = left < IMPORT_BATCH ? left : IMPORT_BATCH;
        if (atomic_load(&j->s->stopping)) {
            return err_set(e, ERR_UNAVAILABLE, "SHUTTING_DOWN", "the service is stopping");
        }
        ask_right(j);
        ok = pay_batch(j, &j->file.rows[at], n, n == left, &ended, e);
        arena_reset(j->s->batch);
    }
    return ok;
}

// --- Abandoned imports -------------------------------------------------------------------------------------------------

typedef struct idle_look {
    int64_t since_us;
    db_rows *rows;
} idle_look;

static bool idle_tx(db_conn *c, arena *a, void *arg, err *e) {
    idle_look *x = arg;
    db_params *p = db_params_create(a);
    db_time(p, x->since_us);
    db_i64(p, IDLE_AT_ONCE);
    return db_exec(c, imports_sql(IMPORTS_SQL_IDLE), p, a, &x->rows, NULL, e);
}

static void cancel_idle(imports *s) {
    const int64_t now_ms = clock_mono_ms(clock_system());
    const int64_t idle_ms = s->o.settings.idle_s * 1000;
    const int64_t pause_ms = idle_ms < IDLE_LOOK_MAX_MS ? idle_ms : IDLE_LOOK_MAX_MS;
    if (s->looked_idle_ms != 0 && now_ms - s->looked_idle_ms < pause_ms) {
        return;
    }
    s->looked_idle_ms = now_ms;
    idle_look x = {clock_wall_us(clock_system()) - idle_ms * 1000, NULL};
    err e = {0};
    bool ok = db_read(s->o.pool, soon(), s->a, idle_tx, &x, &e);
    for (size_t i = 0; ok && i < db_count(x.rows); i++) {
        const merchant *m = merchant_find(s->o.merchants, db_get_str(x.rows, i, 2), soon(), &e);
        ok = m != NULL &&
             import_cancel_idle(s, m, db_get_uuid(x.rows, i, 1), x.since_us, soon(), s->batch, &e);
        arena_reset(s->batch);
    }
    if (!ok) {
        log_err(LOG_WARN, "import.idle_not_canceled", &e);
    }
}

// --- A tick ----------------------------------------------------------------------------------------------------------

// Shortens the lease to `ms`: the next look then takes the import up.
static void let_go(job *j, int64_t ms) {
    lease_left x = {j, ms};
    err e = {0};
    if (!db_transact(j->s->o.pool, soon(), j->s->batch, renew_tx, &x, &e)) {
        log_err(LOG_WARN, "import.not_let_go", &e); // the lease ends by itself
    }
}

// A failed import is taken up again: by then the database or the key ring may be back. After a stop another instance takes it up at once.
// instance takes up at once.
static void work_on(job *j) {
    err e = {0};
    const bool ok = j->row.state == IMPORT_VALIDATING ? validate(j, &e) : pay(j, &e);
    if (j->lost) {
        job_log(LOG_WARN, "lost", j, NULL);
    } else if (!ok) {
        metric_add(
            metric_counter("import_job_failures_total", "",
                           "Works on an import that ended with an error, and are tried again."),
            1);
        job_log(LOG_WARN, "failed", j, &e);
        const int64_t pause_ms =
            j->s->o.settings.lease_ms < RETRY_MS ? j->s->o.settings.lease_ms : RETRY_MS;
        let_go(j, atomic_load(&j->s->stopping) ? 0 : pause_ms);
    } else {
        job_log(LOG_INFO, "done", j, NULL);
    }
    payout_file_free(&j->file);
}

bool import_work(void *arg) {
    imports *s = arg;
    job j;
    err e = {0};
    bool found = false;
    cancel_idle(s);
    arena_reset(s->a);
    if (atomic_load(&s->stopping)) {
        return false;
    }
    if (!claim(s, &j, &found, &e)) {
        log_err(LOG_WARN, "import.claim_failed", &e);
    }
    if (found) {
        CRASH_POINT("import.claimed");
        work_on(&j);
    }
    arena_reset(s->batch);
    arena_reset(s->a);
    return found;
}

imports *imports_start(const imports_options *o, err *e) {
    imports *s = calloc(1, sizeof *s);
    ASSERT(s != NULL);
    s->o = *o;
    s->owner = uuid_v7(clock_system());
    s->a = arena_create((size_t)o->settings.bytes_max * 2 + JOB_ARENA_EXTRA);
    s->batch = arena_create(BATCH_ARENA_MAX);
    s->ticker = ticker_start_lazy(
        o->settings.poll_ms, o->settings.poll_ms > TICK_MAX_MS ? o->settings.poll_ms : TICK_MAX_MS,
        import_work, s);
    if (s->ticker == NULL) {
        (void)err_set(e, ERR_RESOURCE_EXHAUSTED, "THREADS", "the imports' thread did not start");
        imports_stop(s);
        return NULL;
    }
    return s;
}

void imports_stop(imports *s) {
    if (s == NULL) {
        return;
    }
    atomic_store(&s->stopping, true);
    ticker_stop(s->ticker);
    arena_destroy(s->batch);
    arena_destroy(s->a);
    free(s);
}
