// Logs on stderr, one JSON object per line: an event name, typed fields, and ids from the thread's context.
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>

#include "base/err.h"

typedef enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR } log_level;

// Call once at start. service is a static string.
void log_init(const char *service, log_level min_level);
void log_set_level(log_level min_level);
bool log_level_parse(const char *name, log_level *out) WARN_UNUSED; // "debug" "info" "warn" "error"

// The context of this thread: added to each line it writes. Strings are copied and cut; NULL or "" clears.
typedef struct log_context {
    char trace_id[33]; // W3C trace id, 32 hex digits
    char span_id[17];  // 16 hex digits
    char request_id[64];
    char payout_id[40];
} log_context;
log_context *log_ctx(void);
void log_ctx_clear(void);

// Typed fields. Made only by the macros below.
typedef struct log_field {
    const char *key;
    enum { LOG_F_STR, LOG_F_I64, LOG_F_BOOL, LOG_F_END } type;
    union {
        const char *s;
        int64_t i;
        bool b;
    } v;
} log_field;
#define F_STR(k, x) ((log_field){(k), LOG_F_STR, {.s = (x)}})
#define F_INT(k, x) ((log_field){(k), LOG_F_I64, {.i = (int64_t)(x)}})
#define F_BOOL(k, x) ((log_field){(k), LOG_F_BOOL, {.b = (x)}})

// log_info("saga.claimed", F_INT("n", n), F_STR("book", b)); the event name is a dotted constant to grep for.
#define LOG_FIELDS_END ((log_field){NULL, LOG_F_END, {.i = 0}})
// clang-format does not know __VA_OPT__.
// clang-format off
#define LOG_AT(level, event, ...)                                                                  \
    log_write((level), (event), ERR_SITE, (log_field[]){__VA_ARGS__ __VA_OPT__(,) LOG_FIELDS_END})
// clang-format on
#define log_debug(event, ...) LOG_AT(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...) LOG_AT(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...) LOG_AT(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) LOG_AT(LOG_ERROR, event, __VA_ARGS__)
// An err with its private detail, sqlstate and site.
void log_err(log_level level, const char *event, const err *e);

// A gate for lines that outsiders can cause at will: only some are written per minute, and the next minute tells how many were not. Static
// and zero at first, one per place; any thread.
enum { LOG_GATE_LINES = 20 };
typedef struct log_gate {
    _Atomic int64_t minute, lines;
} log_gate;
bool log_gate_pass(log_gate *g, const char *event, int64_t now_mono_ms) WARN_UNUSED;

void log_write(log_level level, const char *event, const char *site, const log_field *fields);

#endif
