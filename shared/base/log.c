#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_internal.h"
#include "base/str.h"

enum {
    LINE_MAX_BYTES = 4096, // PIPE_BUF: a line goes into a pipe whole or not at all
    TAIL_RESERVE = 32,     // room for the end of a line that was cut
    TEXT_MAX = 1024,       // bytes of one string value
    STALL_WAIT_MS = 100    // how long the first line waits for a stalled reader
};

static const char *const LEVEL_NAMES[] = {"debug", "info", "warn", "error"};

static const char *log_service = "";
static _Atomic int log_min_level = LOG_INFO;

// Guards the next two, and the order of lines.
static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;
static bool stalled;      // the last line was not written in time
static int64_t n_dropped; // lines lost since

static _Thread_local log_context context;

void log_init(const char *service, log_level min_level) {
    log_service = service;
    log_set_level(min_level);
}

void log_set_level(log_level min_level) {
    atomic_store_explicit(&log_min_level, (int)min_level, memory_order_relaxed);
}

bool log_level_parse(const char *name, log_level *out) {
    for (size_t i = 0; i < sizeof(LEVEL_NAMES) / sizeof(LEVEL_NAMES[0]); i++) {
        if (strcmp(name, LEVEL_NAMES[i]) == 0) {
            *out = (log_level)i;
            return true;
        }
    }
    return false;
}

log_context *log_ctx(void) {
    return &context;
}

void log_ctx_clear(void) {
    memset(&context, 0, sizeof(context));
}

// --- One line --------------------------------------------------------------------------------------------------------

// "base/log.c:12" of a path with any beginning.
static const char *site_tail(const char *site) {
    const char *tail = site;
    const char *previous = site;
    for (const char *at = site; *at != '\0'; at++) {
        if (*at == '/') {
            tail = previous;
            previous = at + 1;
        }
    }
    return tail;
}

static void add_text(strbuf *line, const char *text) {
    if (text == NULL) {
        strbuf_add_c(line, "null");
        return;
    }
    size_t len = strnlen(text, TEXT_MAX + 1);
    if (len <= TEXT_MAX) {
        strbuf_add_json(line, (str){text, len});
        return;
    }
    len = str_clip((str){text, len}, TEXT_MAX).len;
    char cut[TEXT_MAX + 3];
    memcpy(cut, text, len);
    memcpy(cut + len, "\xe2\x80\xa6", 3); // an ellipsis shows the cut
    strbuf_add_json(line, (str){cut, len + 3});
}

// Adds one member, or takes it back if it does not fit. False then.
static bool add_member(strbuf *line, const log_field *field) {
    size_t start = line->len;
    strbuf_add_char(line, ',');
    add_text(line, field->key);
    strbuf_add_char(line, ':');
    switch (field->type) {
    case LOG_F_STR: add_text(line, field->v.s); break;
    case LOG_F_I64: strbuf_printf(line, "%lld", (long long)field->v.i); break;
    case LOG_F_BOOL: strbuf_add_c(line, field->v.b ? "true" : "false"); break;
    case LOG_F_END: break;
    }
    if (!strbuf_ok(line)) {
        line->len = start;
        line->ptr[start] = '\0';
        line->failed = false;
        return false;
    }
    return true;
}

static void add_context(strbuf *line) {
    const log_field ids[] = {
        F_STR("trace_id", context.trace_id),
        F_STR("span_id", context.span_id),
        F_STR("request_id", context.request_id),
        F_STR("payout_id", context.payout_id),
    };
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        if (ids[i].v.s[0] != '\0') {
            (void)add_member(line, &ids[i]);
        }
    }
}

static void render(strbuf *line, log_level level, const char *event, const char *site,
                   const log_field *fields) {
    char now[32];
    time_format_rfc3339(clock_wall_us(clock_system()), now, sizeof(now));
    line->max -= TAIL_RESERVE;
    strbuf_printf(line, "{\"ts\":\"%s\",\"level\":\"%s\"", now, LEVEL_NAMES[level]);
    const log_field head[] = {
        F_STR("service", log_service),
        F_STR("event", event),
        F_STR("site", site == NULL ? NULL : site_tail(site)),
    };
    bool whole = true;
    for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++) {
        whole = add_member(line, &head[i]) && whole;
    }
    add_context(line);
    for (const log_field *field = fields; field != NULL && field->type != LOG_F_END; field++) {
        whole = add_member(line, field) && whole;
    }
    line->max += TAIL_RESERVE;
    strbuf_add_c(line, whole ? "}\n" : ",\"truncated\":true}\n");
}

// --- Writing ---------------------------------------------------------------------------------------------------------

static bool write_line(const strbuf *line, int wait_ms) {
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&out, 1, wait_ms) != 1 || (out.revents & POLLOUT) == 0) {
        return false;
    }
    ssize_t n = 0;
    do {
        n = write(STDERR_FILENO, line->ptr, line->len);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)line->len;
}

// A stalled reader must not stop the service: lines are dropped, and counted, until it reads again.
static void submit(const strbuf *line) {
    pthread_mutex_lock(&write_lock);
    if (n_dropped > 0) {
        char memory[LINE_MAX_BYTES];
        strbuf note;
        strbuf_init_fixed(&note, memory, sizeof(memory));
        const log_field fields[] = {F_INT("lines", n_dropped), LOG_FIELDS_END};
        render(&note, LOG_WARN, "log.dropped", ERR_SITE, fields);
        if (write_line(&note, 0)) {
            n_dropped = 0;
            stalled = false;
        }
    }
    if (write_line(line, stalled ? 0 : STALL_WAIT_MS)) {
        stalled = false;
    } else {
        stalled = true;
        n_dropped++;
    }
    pthread_mutex_unlock(&write_lock);
}

void log_write(log_level level, const char *event, const char *site, const log_field *fields) {
    if ((int)level < atomic_load_explicit(&log_min_level, memory_order_relaxed)) {
        return;
    }
    int saved_errno = errno; // a log line must not change the errno that its caller examines next
    char memory[LINE_MAX_BYTES];
    strbuf line;
    strbuf_init_fixed(&line, memory, sizeof(memory));
    render(&line, level, event, site, fields);
    submit(&line);
    errno = saved_errno;
}

void log_panic(const char *event, const char *condition, const char *site) {
    static _Thread_local bool panicking; // when this very line breaks an invariant
    if (panicking) {
        return;
    }
    panicking = true;
    char memory[LINE_MAX_BYTES];
    strbuf line;
    strbuf_init_fixed(&line, memory, sizeof(memory));
    const log_field fields[] = {F_STR("condition", condition), LOG_FIELDS_END};
    render(&line, LOG_ERROR, event, site, fields);
    (void)write_line(&line, STALL_WAIT_MS);
}

bool log_gate_pass(log_gate *g, const char *event, int64_t now_mono_ms) {
    const int64_t minute = 1 + now_mono_ms / 60000;
    int64_t was = atomic_load(&g->minute);
    if (was != minute && atomic_compare_exchange_strong(&g->minute, &was, minute)) {
        const int64_t lines = atomic_exchange(&g->lines, 0);
        if (lines > LOG_GATE_LINES) {
            log_warn("log.suppressed", F_STR("of", event), F_INT("lines", lines - LOG_GATE_LINES));
        }
    }
    return atomic_fetch_add(&g->lines, 1) < LOG_GATE_LINES;
}

void log_err(log_level level, const char *event, const err *e) {
    log_field fields[12];
    size_t n = 0;
    fields[n++] = F_STR("code", err_code_name(e->code));
    const log_field texts[] = {
        F_STR("reason", e->reason),         F_STR("message", e->message),
        F_STR("field", e->field),           F_STR("sqlstate", e->sqlstate),
        F_STR("constraint", e->constraint), F_STR("detail", e->detail),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].v.s[0] != '\0') {
            fields[n++] = texts[i];
        }
    }
    if ((e->flags & ERR_RETRIABLE) != 0) {
        fields[n++] = F_BOOL("retriable", true);
    }
    if ((e->flags & ERR_COMMIT_UNKNOWN) != 0) {
        fields[n++] = F_BOOL("commit_unknown", true);
    }
    if ((e->flags & ERR_CONNECTION_LOST) != 0) {
        fields[n++] = F_BOOL("connection_lost", true);
    }
    fields[n] = LOG_FIELDS_END;
    log_write(level, event, e->site, fields);
}
