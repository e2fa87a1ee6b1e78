// One submission from claim to outcome, and the thread that handles them one by one.
#include "submissions/sender.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/cond.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/metrics.h"
#include "events/events.h"
#include "submissions/forgotten.h"
#include "submissions/submissions_internal.h"

enum {
    DUE_MAX = 64,
    ARENA_MAX = 256 * 1024 * 1024, // mostly untouched
    DOWN_AFTER = 3,                // unanswered questions in a row
    GAUGES_EVERY_MS = 5000,
    COMPLAIN_EVERY_MS = 1000
};

struct submission_sender {
    submission_sender_options o;
    uuid owner;
    arena *a, *scratch;
    metric *sent, *not_sent, *unknown, *withdrawn, *lost, *open, *unknown_now, *oldest;
    int64_t gauges_at_ms, complained_at_ms;
    // The circuit breaker, for the thread: while the bank is down, one submission finds out whether it is back.
    int unanswered;           // in a row
    int64_t not_before_ms;    // monotonic: next try while the bank is down
    _Atomic int64_t since_us; // 0: the bank answers
    metric *down;

    pthread_t thread;
    bool started;
    pthread_mutex_t mutex; // guards the fields below
    pthread_cond_t changed;
    bool stopping;
    int64_t next_ms; // next look (monotonic)
};

static void complain(submission_sender *s, const char *event, const err *e) {
    const int64_t now_ms = clock_mono_ms(clock_system());
    if (now_ms - s->complained_at_ms >= COMPLAIN_EVERY_MS) {
        s->complained_at_ms = now_ms;
        log_err(LOG_WARN, event, e);
    }
}

// --- The circuit breaker -----------------------------------------------------------------------------------------------

int64_t submission_sender_down_since_us(const submission_sender *s) {
    return atomic_load(&s->since_us);
}

static void set_down(submission_sender *s, bool down) {
    if (down == (atomic_load(&s->since_us) != 0)) {
        return;
    }
    atomic_store(&s->since_us, down ? clock_wall_us(s->o.clock) : 0);
    metric_set(s->down, down ? 1 : 0);
    log_warn(down ? "submission.connection_down" : "submission.connection_back",
             F_STR("connection", s->o.channel.name));
}

// Notes that the bank answered a question, or did not. The answer itself does not matter.
static void tell_breaker(submission_sender *s, bool answered) {
    const submission_sender_options *o = &s->o;
    if (answered) {
        s->unanswered = 0;
        set_down(s, false);
        return;
    }
    s->unanswered++;
    if (s->unanswered >= DOWN_AFTER) {
        set_down(s, true);
        s->not_before_ms = clock_mono_ms(clock_system()) + o->retry_base_ms / 2 +
                           clock_backoff_ms(o->clock, o->retry_base_ms, o->retry_cap_ms,
                                            s->unanswered - DOWN_AFTER);
    }
}

// How many of n due submissions may be handled now. If none is due, asks the bank for a file that cannot exist: a submission that would
// have found out may have been withdrawn.
static size_t may_handle(submission_sender *s, size_t n) {
    static const submission_file NONE = {.name = "is-there-anybody"};
    const submission_channel *bank = &s->o.channel;
    if (submission_sender_down_since_us(s) == 0) {
        return n;
    }
    if (clock_mono_ms(clock_system()) < s->not_before_ms) {
        return 0;
    }
    if (n == 0) {
        tell_breaker(s, bank->look(bank->self, &NONE, s->scratch) != LOOK_FAILED);
    }
    return n > 1 ? 1 : n;
}

// --- One submission ----------------------------------------------------------------------------------------------------

typedef struct run {
    submission_sender *s;
    subm_claimed c;
    str content; // empty when unreadable
    submission_file file;
} run;

static const char *folders_of(const submission_sender *s) {
    return s->o.channel.folders == NULL ? "" : s->o.channel.folders;
}

static bool still_ours(void *arg, bool last_step) {
    run *r = arg;
    // Counts before it writes: if the answer is lost, the row may exist.
    r->c.known.at_risk += last_step ? 1 : 0;
    r->c.epochs[0] = r->c.epoch;
    r->c.n_epochs = 1;
    return subm_still_ours(r->s->o.pool, r->s->o.guard, &r->c, last_step, folders_of(r->s),
                           r->s->o.lease_ms, r->s->scratch);
}

// Writes a change. False when the submission is not ours any more, or the write failed: then its lease runs out, and the next sender goes
// on from the evidence.
static bool write_change(run *r, const subm_change *change) {
    bool ours = false;
    err e = {0};
    if (!subm_change_write(r->s->o.pool, &r->c, change, &ours, r->s->a, &e)) {
        complain(r->s, "submission.write_failed", &e);
        return false;
    }
    if (!ours) {
        metric_add(r->s->lost, 1);
        log_warn("submission.lost", F_STR("name", r->c.name),
                 F_STR("wanted", submission_state_name((int)change->state)));
        return false;
    }
    r->c.state = change->state;
    // NOT_TAKEN lets the payouts go on, so it is told at once. A later look finds any other event.
    if (change->event_kind == RAIL_EVENT_NOT_TAKEN && r->s->o.heard != NULL) {
        r->s->o.heard(r->s->o.heard_arg, r->c.book_id);
    }
    log_info("submission.moved", F_STR("name", r->c.name), F_INT("book", r->c.book_id),
             F_STR("state", submission_state_name((int)change->state)),
             F_STR("reason", change->reason));
    return true;
}

static void record_sent(run *r, int evidence, const char *text) {
    const subm_change change = {.state = r->c.known.accepted ? SUBMISSION_ACKED : SUBMISSION_SENT,
                                .reason = "",
                                .text = "",
                                .due_in_ms = -1,
                                .evidence = evidence,
                                .evidence_text = text,
                                .event_kind = RAIL_EVENT_ACCEPTED};
    if (write_change(r, &change)) {
        metric_add(r->s->sent, 1);
    }
    CRASH_POINT("submission.recorded");
}

static void withdraw(run *r, const char *reason, const char *text) {
    const subm_change change = {.state = SUBMISSION_WITHDRAWN,
                                .reason = reason,
                                .text = text,
                                .due_in_ms = -1,
                                .evidence = EVIDENCE_WITHDREW,
                                .evidence_text = text,
                                .event_kind = RAIL_EVENT_NOT_TAKEN};
    log_warn("submission.withdrawn", F_STR("name", r->c.name), F_STR("reason", reason));
    if (write_change(r, &change)) {
        metric_add(r->s->withdrawn, 1);
        CRASH_POINT("submission.withdrawn");
    }
}

static int64_t pause_ms(const run *r) {
    const submission_sender_options *o = &r->s->o;
    return o->retry_base_ms / 2 +
           clock_backoff_ms(o->clock, o->retry_base_ms, o->retry_cap_ms, r->c.tries);
}

// Tries again later, in this state, with this evidence (0: none). wait_ms: wait this long; 0: a growing pause.
static void later(run *r, submission_state state, int64_t wait_ms, int evidence, const char *reason,
                  const char *text) {
    const bool told = r->c.tries + 1 == r->s->o.case_after;
    const int64_t pause = wait_ms > 0 ? wait_ms : pause_ms(r);
    const subm_change change = {.state = state,
                                .tries = r->c.tries + 1,
                                .reason = reason,
                                .text = text,
                                .due_in_ms = pause,
                                .evidence = evidence,
                                .evidence_text = text,
                                .case_kind = !told                          ? NULL
                                             : state == SUBMISSION_PREPARED ? "SUBMISSION_OVERDUE"
                                                                            : "SUBMISSION_UNKNOWN"};
    metric_add(state == SUBMISSION_PREPARED ? r->s->not_sent : r->s->unknown, 1);
    (void)write_change(r, &change);
}

// The file certainly did not arrive, so it can be sent again: at once after the first time.
static void not_sent(run *r, bool at_once, int evidence, const char *text) {
    const subm_change change = {
        .state = SUBMISSION_PREPARED,
        .tries = r->c.tries + 1,
        .reason = "RAIL_UNREACHABLE",
        .text = text,
        .due_in_ms = at_once ? 0 : pause_ms(r),
        .evidence = evidence,
        .evidence_text = text,
        .case_kind = r->c.tries + 1 == r->s->o.case_after ? "SUBMISSION_OVERDUE" : NULL};
    metric_add(r->s->not_sent, 1);
    (void)write_change(r, &change);
}

// Time until the bank must show the file; 0: unknown, or over.
static int64_t until_shown_ms(const run *r, submission_look look) {
    const submission_channel *bank = &r->s->o.channel;
    const int64_t left_ms = bank->lag_ms - r->c.known.absent_ms + 1;
    return look == LOOK_ABSENT && bank->archive_complete && left_ms > 0 ? left_ms : 0;
}

// The evidence to write after a look that settles nothing. RULE: absence proves something after a wait. Only a look that shows no file of
// this name begins the wait: if another file has the name, the bank may be taking ours at this moment.
static int evidence_of(const run *r, submission_look look) {
    const bool waits = r->c.known.absent_ms > 0;
    const bool known = r->c.state == SUBMISSION_UNKNOWN; // told before
    if (look == LOOK_ABSENT) {
        return waits && known ? 0 : EVIDENCE_NOT_SEEN;
    }
    return waits || !known ? EVIDENCE_NOT_CLEAR : 0;
}

// Writes down that the temporary file was there, before anything else can fail: a later sender may find nothing in its place, and would
// have to think that the bank has taken it. Fenced, since another sender may be uploading again. False when the write failed: then the
// lease runs out.
static bool keep_proof(run *r) {
    const subm_change proven = {.state = r->c.state,
                                .tries = r->c.tries,
                                .reason = "RAIL_UNREACHABLE",
                                .text = "an upload that was not finished was removed",
                                .keep_lease = true,
                                .evidence = EVIDENCE_TAKEN_BACK,
                                .evidence_text = "an upload that was not finished was removed"};
    return write_change(r, &proven);
}

// Does the bank have it? First removes the temporary file of a stopped sender, so that its rename fails. Then asks the bank. The order
// matters: a temporary file that was there until now proves that no rename had been done.
static void ask(run *r) {
    const submission_channel *bank = &r->s->o.channel;
    bool was_there = false, kept = false;
    submission_look look = LOOK_FAILED;
    r->file.epochs = r->c.epochs;
    r->file.n_epochs = r->c.n_epochs;
    if (bank->take_back(bank->self, &r->file, &was_there)) {
        CRASH_POINT("submission.taken_back");
        kept = was_there && r->c.known.at_risk <= 1;
        if (kept && !keep_proof(r)) {
            return;
        }
        look = bank->look(bank->self, &r->file, r->s->scratch);
    }
    tell_breaker(r->s, look != LOOK_FAILED);
    r->c.known.exposed = bank->exposed && r->c.n_epochs > 0 && r->c.known.at_risk == 0;
    const bool counts =
        submission_absence_counts(&r->c.known, bank->archive_complete, bank->lag_ms);
    const bool proven = !was_there && r->c.known.at_risk == 0 && !r->c.known.exposed;
    switch (submission_judge(&r->c.known, look, was_there, counts)) {
    case FINDING_SENT: record_sent(r, EVIDENCE_SEEN, "the bank shows it"); break;
    case FINDING_NOT_SENT:
        not_sent(r, r->c.tries == 0, // pause before the next try at a bank that refuses each rename
                 kept     ? 0
                 : proven ? EVIDENCE_TAKEN_BACK
                          : EVIDENCE_NOT_THERE,
                 was_there ? "an upload that was not finished was removed"
                           : "the bank's archive does not have it");
        break;
    case FINDING_NAME_TAKEN:
        withdraw(r, "NAME_TAKEN", "the bank has another file of its name");
        break;
    case FINDING_UNKNOWN:
        if (look == LOOK_FAILED) {
            later(r, r->c.state, 0, 0, "RAIL_UNREACHABLE", "the bank could not be asked");
        } else {
            later(r, SUBMISSION_UNKNOWN, until_shown_ms(r, look), evidence_of(r, look),
                  "NOT_SHOWN_BY_BANK",
                  look == LOOK_OTHER ? "the bank shows another file of its name"
                                     : "an upload was begun, and the bank does not show the file");
        }
        break;
    }
}

// The look before the first upload: is the name free?
static bool may_begin(run *r) {
    const submission_channel *bank = &r->s->o.channel;
    const submission_look look = bank->look(bank->self, &r->file, r->s->scratch);
    tell_breaker(r->s, look != LOOK_FAILED);
    if (look == LOOK_FAILED) {
        later(r, SUBMISSION_PREPARED, 0, 0, "RAIL_UNREACHABLE", "the bank could not be asked");
        return false;
    }
    switch (submission_judge(&r->c.known, look, false, false)) {
    case FINDING_NOT_SENT: return true;
    case FINDING_SENT: // a database that has forgotten meets its own file, byte for byte
        record_sent(r, EVIDENCE_SEEN, "the bank has it already, with the same content");
        break;
    case FINDING_NAME_TAKEN:
        withdraw(r, "NAME_TAKEN", "the bank has another file of its name");
        break;
    case FINDING_UNKNOWN: ask(r); break;
    }
    return false;
}

typedef struct meeting {
    const subm_claimed *s;
    int connection;
    bool meets;
} meeting;

static bool meet_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    meeting *m = arg;
    return submission_meets_forgotten(c, m->s->book_id, m->s->id, m->connection, &m->meets, a, e);
}

// True when the bank may have a payout of it in a forgotten file: the submission is withdrawn, and its payouts are checked one by one when
// they are handed over again. If the query fails, the lease runs out, and the next sender checks again.
static bool is_forgotten(run *r) {
    meeting m = {&r->c, r->s->o.channel.connection, false};
    err e = {0};
    if (!db_read(r->s->o.pool, clock_mono_ms(clock_system()) + SUBM_DB_TIMEOUT_MS, r->s->a,
                 meet_in_tx, &m, &e)) {
        complain(r->s, "submission.scan_failed", &e);
        return true;
    }
    if (m.meets) {
        withdraw(r, "FORGOTTEN_ENTRY",
                 "the bank may have a payout of it in a file that was "
                 "forgotten");
    }
    return m.meets;
}

static void send(run *r) {
    const submission_channel *bank = &r->s->o.channel;
    if (!may_begin(r) || is_forgotten(r)) {
        return;
    }
    const subm_change begun = {.state = SUBMISSION_SENDING,
                               .tries = r->c.tries,
                               .reason = "",
                               .text = "",
                               .keep_lease = true,
                               .evidence_text = ""};
    if (!write_change(r, &begun)) {
        return;
    }
    CRASH_POINT("submission.begun");
    err e = {0};
    switch (bank->send(bank->self, &r->file, still_ours, r)) {
    case SENT_DONE:
        // Written by itself first, so that it is known even if the rest cannot be written.
        if (!subm_evidence_write(r->s->o.pool, &r->c, EVIDENCE_FINISHED, "", r->s->a, &e)) {
            complain(r->s, "submission.write_failed", &e);
        }
        CRASH_POINT("submission.finished");
        record_sent(r, 0, "");
        break;
    case SENT_NOT:
        not_sent(r, false, EVIDENCE_TAKEN_BACK, "the upload did not reach its last step");
        break;
    case SENT_UNKNOWN: ask(r); break;
    case SENT_FENCED:
        metric_add(r->s->lost, 1);
        log_warn("submission.fenced", F_STR("name", r->c.name));
        break;
    }
}

static void open_content(run *r) {
    char seal[33];
    uint8_t sha256[32];
    str content = {0};
    err e = {0};
    (void)snprintf(seal, sizeof seal, "%.*s", (int)r->c.seal.len, r->c.seal.ptr);
    if (!submission_open(r->s->o.keys, seal, r->c.book_id, r->c.id, r->c.sealed, r->s->a, &content,
                         &e)) {
        log_err(LOG_ERROR, "submission.unreadable", &e);
        return;
    }
    crypto_sha256(content.ptr, content.len, sha256);
    if (r->c.sha256.len != sizeof sha256 || memcmp(sha256, r->c.sha256.ptr, sizeof sha256) != 0) {
        log_error("submission.damaged", F_STR("name", r->c.name));
        return;
    }
    r->content = content;
}

static void run_task(run *r) {
    const bool readable = r->content.len > 0;
    switch (submission_next(r->c.state, &r->c.known, readable, r->c.now_us, r->c.stale_us)) {
    case TASK_NONE: {
        const subm_change rest = {.state = r->c.state, .reason = "", .text = "", .due_in_ms = -1};
        (void)write_change(r, &rest);
        break;
    }
    case TASK_SEND: send(r); break;
    case TASK_ASK:
    case TASK_WAIT_READ: ask(r); break;
    case TASK_WITHDRAW:
        if (readable) {
            withdraw(r, "STALE", "its dates were past before it could be sent");
        } else {
            withdraw(r, "UNREADABLE", "its content could not be read before it was sent");
        }
        break;
    case TASK_RECORD_SENT: record_sent(r, 0, ""); break;
    }
}

static bool handle(submission_sender *s, subm_key key) {
    run r = {.s = s};
    err e = {0};
    if (!subm_claim(s->o.pool, s->o.guard, key, s->owner, s->o.lease_ms, &r.c, s->a, &e)) {
        if (err_is_set(&e)) {
            complain(s, "submission.claim_failed", &e);
        }
        return false;
    }
    CRASH_POINT("submission.claimed");
    open_content(&r);
    r.file = (submission_file){.name = r.c.name,
                               .content = r.content,
                               .size = r.c.size,
                               .sha256 = r.c.sha256,
                               .epoch = r.c.epoch,
                               .epochs = r.c.epochs,
                               .n_epochs = r.c.n_epochs};
    run_task(&r);
    if (r.content.len > 0) {
        explicit_bzero((char *)(uintptr_t)r.content.ptr, r.content.len); // account numbers
    }
    return true;
}

size_t submission_sender_run(submission_sender *s) {
    subm_key *due = NULL, keys[DUE_MAX];
    size_t n = 0, handled = 0;
    err e = {0};
    const bool sends = s->o.guard == NULL || guard_may_send(s->o.guard);
    if (!subm_due(s->o.pool, s->o.channel.connection, sends, DUE_MAX, &due, &n, s->a, &e)) {
        complain(s, "submission.scan_failed", &e);
        n = 0;
    }
    if (n > 0) {
        memcpy(keys, due, n * sizeof keys[0]);
    }
    n = may_handle(s, n);
    for (size_t i = 0; i < n; i++) {
        arena_reset(s->a);
        arena_reset(s->scratch);
        handled += handle(s, keys[i]) ? 1 : 0;
        pthread_mutex_lock(&s->mutex);
        const bool stop = s->stopping;
        pthread_mutex_unlock(&s->mutex);
        if (stop || submission_sender_down_since_us(s) != 0) {
            break;
        }
    }
    arena_reset(s->a);
    arena_reset(s->scratch);
    return handled;
}

// --- The thread --------------------------------------------------------------------------------------------------------

static void read_gauges(submission_sender *s) {
    const int64_t now_ms = clock_mono_ms(clock_system());
    subm_waiting waiting;
    err e = {0};
    if (s->gauges_at_ms != 0 && now_ms - s->gauges_at_ms < GAUGES_EVERY_MS) {
        return;
    }
    s->gauges_at_ms = now_ms;
    if (subm_waiting_read(s->o.pool, s->o.channel.connection, &waiting, s->a, &e)) {
        metric_set(s->open, waiting.count[SUBMISSION_PREPARED] + waiting.count[SUBMISSION_SENDING]);
        metric_set(s->unknown_now, waiting.count[SUBMISSION_UNKNOWN]);
        metric_set(s->oldest, waiting.oldest_s);
    }
    arena_reset(s->a);
}

static void wait_for_next(submission_sender *s) {
    pthread_mutex_lock(&s->mutex);
    while (!s->stopping) {
        const int64_t left_ms = s->next_ms - clock_mono_ms(clock_system());
        if (left_ms <= 0) {
            break;
        }
        const struct timespec until = cond_after_ms(left_ms);
        (void)cond_wait_until(&s->changed, &s->mutex, &until);
    }
    s->next_ms = clock_mono_ms(clock_system()) + s->o.poll_ms;
    pthread_mutex_unlock(&s->mutex);
}

static bool is_stopping(submission_sender *s) {
    pthread_mutex_lock(&s->mutex);
    const bool stopping = s->stopping;
    pthread_mutex_unlock(&s->mutex);
    return stopping;
}

static void *thread_main(void *arg) {
    submission_sender *s = arg;
    while (!is_stopping(s)) {
        if (submission_sender_run(s) == 0) {
            read_gauges(s);
            wait_for_next(s);
        }
    }
    return NULL;
}

void submission_sender_look(submission_sender *s) {
    pthread_mutex_lock(&s->mutex);
    s->next_ms = 0;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

typedef struct labels {
    char text[128];
} labels;

// result: NULL, or the outcome.
static labels labels_of(const submission_sender *s, const char *result) {
    labels l;
    const int n = snprintf(l.text, sizeof l.text, "connection=\"%s\"%s%s%s", s->o.channel.name,
                           result == NULL ? "" : ",result=\"", result == NULL ? "" : result,
                           result == NULL ? "" : "\"");
    ASSERT(n > 0 && (size_t)n < sizeof l.text);
    return l;
}

static metric *outcome(const submission_sender *s, const char *result) {
    const labels l = labels_of(s, result);
    return metric_counter("submissions_total", l.text, "what came of sending submissions");
}

static void make_metrics(submission_sender *s) {
    const labels l = labels_of(s, NULL);
    s->sent = outcome(s, "sent");
    s->not_sent = outcome(s, "not_sent");
    s->unknown = outcome(s, "unknown");
    s->withdrawn = outcome(s, "withdrawn");
    s->lost =
        metric_counter("submissions_lost_total", l.text,
                       "times that a sender found that a submission was not its own any more");
    s->open = metric_gauge("submissions_waiting", l.text, "submissions that are still to be sent");
    s->unknown_now = metric_gauge("submissions_unknown", l.text,
                                  "submissions of which nobody knows whether the bank has them");
    s->down = metric_gauge("submissions_connection_down", l.text,
                           "1 while the bank of the connection cannot be asked and is left alone");
    s->oldest = metric_gauge("submissions_oldest_seconds", l.text,
                             "age of the oldest submission that is still to be sent");
}

submission_sender *submission_sender_create(const submission_sender_options *o) {
    submission_sender *s = calloc(1, sizeof *s);
    ASSERT(s != NULL);
    s->o = *o;
    s->owner = uuid_v7(o->clock);
    s->a = arena_create(ARENA_MAX);
    s->scratch = arena_create(ARENA_MAX);
    make_metrics(s);
    MUST(pthread_mutex_init(&s->mutex, NULL) == 0);
    cond_init(&s->changed);
    return s;
}

void submission_sender_use_guard(submission_sender *s, guard *g) {
    ASSERT(!s->started);
    s->o.guard = g;
}

bool submission_sender_fits(submission_sender *s, err *e) {
    arena *a = arena_create((size_t)64 * 1024);
    subm_elsewhere x = {0};
    const bool ok =
        folders_of(s)[0] == '\0' ||
        subm_begun_elsewhere(s->o.pool, s->o.channel.connection, folders_of(s), &x, a, e);
    if (ok && x.found) {
        (void)err_set(e, ERR_FAILED_PRECONDITION, "BAD_SETTING",
                      "%.32s: %.64s is still open and was begun %.60s: set its folders back",
                      s->o.channel.name, arena_strndup(a, x.name.ptr, x.name.len),
                      arena_strndup(a, x.folders.ptr, x.folders.len));
        (void)err_detail(e, "the settings say %s", folders_of(s));
    }
    arena_destroy(a);
    return ok && !x.found;
}

bool submission_sender_start(submission_sender *s, err *e) {
    ASSERT(!s->started);
    if (!submission_sender_fits(s, e)) {
        return false;
    }
    s->started = pthread_create(&s->thread, NULL, thread_main, s) == 0;
    return s->started ||
           err_set(e, ERR_RESOURCE_EXHAUSTED, "NO_THREAD", "the sender's thread cannot be started");
}

void submission_sender_destroy(submission_sender *s) {
    if (s == NULL) {
        return;
    }
    pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->mutex);
    if (s->started) {
        pthread_join(s->thread, NULL);
    }
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mutex);
    arena_destroy(s->scratch);
    arena_destroy(s->a);
    free(s);
}
