#include "guard/guard.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/ticker.h"
#include "guard/guard_internal.h"
#include "guard/guard_sql.h"

enum {
    CLOCK_EVERY_MS = 5000,
    LOOK_MS = 500,       // while a recovery lasts
    LOOK_MAX_MS = 10000, // the longest pause between two looks without changes
    LOOK_TIMEOUT_MS = 30000,
    ARENA_MAX = 4 * 1024 * 1024
};
static const int64_t GAP_MAX_US = INT64_C(86400) * 1000000;

struct guard {
    guard_options o;
    db_clock *clock;
    arena *a; // for the start, then for the watching thread
    ticker *watch;
    guard_part parts[GUARD_PARTS_MAX];
    size_t n_parts;
    metric *stopped, *recovering, *left, *promises[3];
    _Atomic uint32_t timeline; // the known timeline; 0: none
    _Atomic bool sends;        // the database is the same as before, and nothing is left to compare
    _Atomic bool may_claim;    // as last told
    bool complained;           // complained about the database's durability
    pthread_mutex_t mutex;     // guards changed, arg and status; held during a call of `changed`
    guard_status status;
    void (*changed)(void *arg, bool serves);
    void *arg;
};

// --- Telling ---------------------------------------------------------------------------------------------------------

static void tell_now(guard *g) {
    if (g->changed != NULL) {
        g->changed(g->arg, atomic_load(&g->may_claim) && atomic_load(&g->sends));
    }
}

void guard_tell(guard *g, void (*changed)(void *arg, bool serves), void *arg) {
    pthread_mutex_lock(&g->mutex);
    g->changed = changed;
    g->arg = arg;
    tell_now(g);
    pthread_mutex_unlock(&g->mutex);
}

// --- The clock -------------------------------------------------------------------------------------------------------

static bool clocks_agree(const guard *g) {
    const int64_t gap_us = db_clock_gap_us(g->clock);
    return gap_us <= GAP_MAX_US && gap_us >= -GAP_MAX_US;
}

static void tell_clock(guard *g, bool may_claim) {
    pthread_mutex_lock(&g->mutex);
    if (atomic_load(&g->may_claim) != may_claim) { // no other thread was faster
        atomic_store(&g->may_claim, may_claim);
        metric_set(g->stopped, may_claim ? 0 : 1);
        if (may_claim) {
            log_warn("guard.clock_right_again");
        } else {
            log_error("guard.clock_jump", F_INT("ahead_s", db_clock_gap_us(g->clock) / 1000000),
                      F_STR("text", "the machine's clock is more than a day away from the "
                                    "database's: no payout is taken up until it is right"));
        }
        tell_now(g);
    }
    pthread_mutex_unlock(&g->mutex);
}

bool guard_may_claim(guard *g) {
    if (atomic_load(&g->timeline) == 0) {
        return false; // no look at the database yet
    }
    const bool may_claim = clocks_agree(g);
    if (may_claim != atomic_load(&g->may_claim)) {
        tell_clock(g, may_claim);
    }
    return may_claim;
}

// --- Which database it is --------------------------------------------------------------------------------------------

bool guard_may_send(const guard *g) {
    return atomic_load(&g->sends);
}

static void set_sends(guard *g, bool sends) {
    pthread_mutex_lock(&g->mutex);
    if (atomic_exchange(&g->sends, sends) != sends) {
        metric_set(g->recovering, sends ? 0 : 1);
        tell_now(g);
    }
    pthread_mutex_unlock(&g->mutex);
}

bool guard_same_timeline(guard *g, str timeline) {
    uint32_t theirs = 0;
    const uint32_t known = atomic_load(&g->timeline);
    if (known == 0 || (guard_parse_timeline(timeline, &theirs) && theirs == known)) {
        return known != 0;
    }
    if (atomic_load(&g->sends)) {
        log_error("guard.timeline_changed", F_INT("known", known), F_INT("found", theirs));
    }
    set_sends(g, false);
    if (g->watch != NULL) {
        ticker_wake(g->watch);
    }
    return false;
}

// Checks what the promises need of the database. A person must know if something is missing; a database on one machine is served all the
// same.
static void judge_durability(guard *g, const guard_server *s) {
    const bool holds[] = {s->durable, s->synchronous, s->replicated};
    for (size_t i = 0; i < 3; i++) {
        metric_set(g->promises[i], holds[i] ? 1 : 0);
    }
    if (g->complained) {
        return;
    }
    g->complained = true;
    if (!s->durable || !s->synchronous) {
        log_error("guard.database_may_forget",
                  F_STR("text", "fsync, full_page_writes or synchronous_commit is off: what was "
                                "acknowledged may be lost (promises NO-LOSS and NO-DOUBLE)"));
    } else if (!s->replicated) {
        log_warn("guard.database_not_replicated",
                 F_STR("text", "synchronous_standby_names is empty: what was acknowledged is on "
                               "one machine only, and a failover may lose it"));
    }
}

typedef struct look {
    guard *g;
    guard_server server;
    bool recovering; // the row says so
    bool begun;      // this look began it
    const char *why;
    guard_status status;
} look;

static db_params *of_book_0(arena *a) {
    db_params *p = db_params_create(a);
    db_i64(p, 0);
    return p;
}

static bool write_first(look *l, db_conn *c, arena *a, err *e) {
    db_params *p = of_book_0(a);
    db_i64(p, l->server.system_id);
    db_i32(p, (int32_t)l->server.timeline);
    db_time(p, clock_wall_us(clock_system()));
    return db_exec(c, guard_sql(GUARD_SQL_FIRST), p, a, NULL, NULL, e);
}

static bool begin_recovery(look *l, db_conn *c, arena *a, err *e) {
    const guard *g = l->g;
    db_params *p = of_book_0(a);
    db_i64(p, l->server.system_id);
    db_i32(p, (int32_t)l->server.timeline);
    db_time(p, clock_wall_us(clock_system()));
    db_text(p, str_of(l->why));
    char id[GUARD_ID_LEN + 1];
    uint8_t drawn[GUARD_ID_LEN / 2];
    clock_random(clock_system(), drawn, sizeof drawn);
    str_hex(drawn, sizeof drawn, id);
    db_text(p, str_of(id));
    int64_t n = 0;
    if (!db_exec(c, guard_sql(GUARD_SQL_BEGIN), p, a, NULL, &n, e)) {
        return false;
    }
    for (size_t i = 0; n > 0 && i < g->n_parts; i++) {
        if (!g->parts[i].begin(g->parts[i].arg, c, a, e)) {
            return false;
        }
    }
    l->begun = n > 0;
    CRASH_POINT("recovery.marked");
    return true;
}

static void copy_text(char *to, size_t size, str text) {
    const size_t len = text.len < size - 1 ? text.len : size - 1;
    memcpy(to, text.ptr, len);
    to[len] = '\0';
}

// Reads the last recovery from the row.
static bool read_status(look *l, db_conn *c, arena *a, err *e) {
    guard_status *s = &l->status;
    db_rows *rows = NULL;
    *s = (guard_status){0};
    if (!db_exec(c, guard_sql(GUARD_SQL_ROW), of_book_0(a), a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) == 0) {
        return true;
    }
    s->recovering = !db_is_null(rows, 0, 2);
    s->since_us = s->recovering ? db_get_time(rows, 0, 2) : 0;
    copy_text(s->id, sizeof s->id, db_get_str(rows, 0, 3));
    copy_text(s->why, sizeof s->why, db_get_str(rows, 0, 4));
    s->ended_us = db_is_null(rows, 0, 5) ? 0 : db_get_time(rows, 0, 5);
    copy_text(s->ended_by, sizeof s->ended_by, db_get_str(rows, 0, 6));
    return true;
}

// The database went back without a new timeline: its log is behind the position that it has told us.
static bool went_back(const guard *g, const guard_server *s) {
    guard_server before;
    return g->o.settings.state_file[0] != '\0' &&
           guard_state_read(g->o.settings.state_file, &before) &&
           before.system_id == s->system_id && before.timeline == s->timeline &&
           s->log_at < before.log_at;
}

static bool look_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    look *l = arg;
    db_rows *rows = NULL;
    l->begun = l->recovering = false;
    l->why = NULL;
    if (!guard_server_look(c, a, &l->server, e) ||
        !db_exec(c, guard_sql(GUARD_SQL_ROW), of_book_0(a), a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) == 0) {
        return write_first(l, c, a, e);
    }
    l->recovering = !db_is_null(rows, 0, 2);
    if (db_get_i64(rows, 0, 0) != l->server.system_id) {
        l->why = "the database is another cluster";
    } else if (db_get_i32(rows, 0, 1) != (int32_t)l->server.timeline) {
        l->why = "the database is on a new timeline";
    } else if (!l->recovering && went_back(l->g, &l->server)) {
        l->why = "the database went back";
    }
    if (l->why != NULL && l->g->n_parts > 0) { // else no part is here yet that could compare
        l->recovering = true;
        if (!begin_recovery(l, c, a, e)) {
            return false;
        }
    }
    return read_status(l, c, a, e);
}

typedef struct ending {
    guard *g;
    const char *id;     // of the recovery
    const char *reason; // of a person; "" when nothing is left
    int64_t left, lefts[GUARD_PARTS_MAX], ended;
} ending;

// The reason with which a person ends this recovery; "" when there is none, or it names another recovery.
static const char *forced(const guard *g, const char *id) {
    const char *text = g->o.settings.force_end;
    const size_t len = strlen(id);
    return len == GUARD_ID_LEN && strncmp(text, id, len) == 0 && text[len] == ' ' &&
                   text[len + 1] != '\0'
               ? text + len + 1
               : "";
}

static bool end_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    ending *x = arg;
    x->left = 0;
    for (size_t i = 0; i < x->g->n_parts; i++) {
        int64_t n = 0;
        if (!x->g->parts[i].left(x->g->parts[i].arg, c, a, &n, e)) {
            return false;
        }
        x->lefts[i] = n;
        x->left += n;
    }
    if (x->left > 0 && x->reason[0] == '\0') {
        return true;
    }
    db_params *p = of_book_0(a);
    db_time(p, clock_wall_us(clock_system()));
    db_text(p, str_of(x->reason));
    db_text(p, str_of(x->id));
    return db_exec(c, guard_sql(GUARD_SQL_END), p, a, NULL, &x->ended, e);
}

static void tell_left(guard *g, const int64_t *lefts) {
    pthread_mutex_lock(&g->mutex);
    g->status.n_parts = g->n_parts;
    for (size_t i = 0; i < g->n_parts; i++) {
        g->status.parts[i].name = g->parts[i].name;
        g->status.parts[i].left = lefts[i];
    }
    pthread_mutex_unlock(&g->mutex);
}

static void tell_status(guard *g, const guard_status *s, bool recovering) {
    pthread_mutex_lock(&g->mutex);
    guard_status now = *s;
    now.recovering = recovering;
    now.n_parts = recovering ? g->status.n_parts : 0;
    memcpy(now.parts, g->status.parts, sizeof now.parts);
    g->status = now;
    pthread_mutex_unlock(&g->mutex);
}

void guard_look(guard *g, guard_status *out) {
    pthread_mutex_lock(&g->mutex);
    *out = g->status;
    pthread_mutex_unlock(&g->mutex);
}

// True: the recovery is over.
static bool try_to_end(guard *g, const char *id) {
    err e = {0};
    ending x = {.g = g, .id = id, .reason = forced(g, id)};
    if (!db_transact(g->o.pool, clock_mono_ms(clock_system()) + LOOK_TIMEOUT_MS, g->a, end_in_tx,
                     &x, &e)) {
        log_err(LOG_WARN, "guard.recovery_not_counted", &e);
        return false;
    }
    metric_set(g->left, x.left);
    if (x.ended > 0) {
        CRASH_POINT("recovery.ended");
    }
    tell_left(g, x.lefts);
    if (x.left > 0 && x.reason[0] == '\0') {
        log_info("guard.recovering", F_INT("left", x.left));
        return false;
    }
    if (x.reason[0] != '\0' && x.ended > 0) {
        log_error("guard.recovery_ended_by_force", F_STR("reason", x.reason),
                  F_INT("not_compared", x.left));
    } else {
        log_warn("guard.recovered");
    }
    metric_set(g->left, 0);
    return true;
}

// True: work is under way, so look again soon.
static bool look_once(guard *g) {
    err e = {0};
    look l = {.g = g};
    const bool ok = db_transact(g->o.pool, clock_mono_ms(clock_system()) + LOOK_TIMEOUT_MS, g->a,
                                look_in_tx, &l, &e);
    arena_reset(g->a);
    if (!ok) {
        log_err(LOG_DEBUG, "guard.not_looked", &e); // others report that the database is away
        return atomic_load(&g->timeline) == 0;
    }
    judge_durability(g, &l.server);
    if (l.begun) {
        CRASH_POINT("recovery.begun");
        log_error(
            "guard.recovery_begun", F_STR("why", l.why), F_STR("recovery", l.status.id),
            F_STR("text", "nothing is sent until every open payout was compared with its bank"));
    }
    const bool recovering = l.recovering || l.why != NULL;
    if (recovering) {
        set_sends(g, false);
    }
    atomic_store(&g->timeline, l.server.timeline);
    tell_status(g, &l.status, recovering);
    if (recovering && (g->n_parts == 0 || !try_to_end(g, l.status.id))) {
        return true;
    }
    arena_reset(g->a);
    if (recovering) {
        l.status.ended_us = clock_wall_us(clock_system());
        copy_text(l.status.ended_by, sizeof l.status.ended_by, str_of(forced(g, l.status.id)));
    }
    tell_status(g, &l.status, false);
    set_sends(g, true);
    if (g->o.settings.state_file[0] != '\0') {
        guard_state_write(g->o.settings.state_file, &l.server);
    }
    return recovering;
}

static bool look_again(void *arg) {
    return look_once(arg);
}

void guard_watch(guard *g, const guard_part *parts, size_t n) {
    ASSERT(g->watch == NULL && n <= GUARD_PARTS_MAX);
    memcpy(g->parts, parts, n * sizeof parts[0]);
    g->n_parts = n;
    g->watch = ticker_start_lazy(LOOK_MS, LOOK_MAX_MS, look_again, g);
    ASSERT(g->watch != NULL);
}

void guard_unwatch(guard *g) {
    if (g != NULL) {
        ticker_stop(g->watch);
        g->watch = NULL;
    }
}

// --- Life ------------------------------------------------------------------------------------------------------------

static void make_metrics(guard *g) {
    static const char *const PROMISES[] = {"durable", "synchronous_commit", "synchronous_standby"};
    const char *what = "1 while no payout is taken up or sent, for this reason.";
    g->stopped = metric_gauge("engine_stopped", "reason=\"clock\"", what);
    g->recovering = metric_gauge("engine_stopped", "reason=\"recovery\"", what);
    g->left = metric_gauge("recovery_left", "",
                           "Payouts and submissions that a recovery has not "
                           "compared with their banks yet.");
    for (size_t i = 0; i < 3; i++) {
        char labels[64];
        strbuf text;
        strbuf_init_fixed(&text, labels, sizeof labels);
        strbuf_printf(&text, "what=\"%s\"", PROMISES[i]);
        g->promises[i] = metric_gauge("database_keeps", labels,
                                      "1 when the database is set to keep what it acknowledged.");
    }
}

guard *guard_start(const guard_options *o, err *e) {
    guard *g = calloc(1, sizeof *g);
    ASSERT(g != NULL);
    g->o = *o;
    MUST(pthread_mutex_init(&g->mutex, NULL) == 0);
    g->a = arena_create(ARENA_MAX);
    g->clock = db_clock_start(o->pool, CLOCK_EVERY_MS);
    make_metrics(g);
    atomic_store(&g->may_claim, true);
    metric_set(g->recovering, 1);
    if (!clocks_agree(g)) {
        (void)err_set(e, ERR_FAILED_PRECONDITION, "CLOCK_JUMP",
                      "this machine's clock is %lld s away from the database's: set it right first",
                      (long long)(db_clock_gap_us(g->clock) / 1000000));
        guard_stop(g);
        return NULL;
    }
    return g;
}

void guard_stop(guard *g) {
    if (g == NULL) {
        return;
    }
    guard_unwatch(g);
    db_clock_stop(g->clock);
    arena_destroy(g->a);
    MUST(pthread_mutex_destroy(&g->mutex) == 0);
    free(g);
}
