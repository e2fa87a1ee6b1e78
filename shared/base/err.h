// The error value of all rooms: a code of a closed set, flags for the caller, and two texts, one for the caller and one for the log only.
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>
#include <stdint.h>

#define WARN_UNUSED __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt_index, args_index) __attribute__((format(printf, fmt_index, args_index)))

// X(name, gRPC code). The set is gRPC's own, so that an error maps to the wire without a table of opinions.
#define ERR_CODES(X)                                                                               \
    X(OK, 0)                                                                                       \
    X(CANCELLED, 1)                                                                                \
    X(UNKNOWN, 2)                                                                                  \
    X(INVALID_ARGUMENT, 3)                                                                         \
    X(DEADLINE_EXCEEDED, 4)                                                                        \
    X(NOT_FOUND, 5)                                                                                \
    X(ALREADY_EXISTS, 6)                                                                           \
    X(PERMISSION_DENIED, 7)                                                                        \
    X(RESOURCE_EXHAUSTED, 8)                                                                       \
    X(FAILED_PRECONDITION, 9)                                                                      \
    X(ABORTED, 10)                                                                                 \
    X(OUT_OF_RANGE, 11)                                                                            \
    X(UNIMPLEMENTED, 12)                                                                           \
    X(INTERNAL, 13)                                                                                \
    X(UNAVAILABLE, 14)                                                                             \
    X(DATA_LOSS, 15)                                                                               \
    X(UNAUTHENTICATED, 16)

typedef enum err_code {
#define ERR_ENUM(name, number) ERR_##name = number,
    ERR_CODES(ERR_ENUM)
#undef ERR_ENUM
} err_code;

enum {
    ERR_RETRIABLE = 1u << 0,      // the same call with the same id may succeed later
    ERR_COMMIT_UNKNOWN = 1u << 1, // the answer to COMMIT is lost: look the ids up, never guess
    ERR_CONNECTION_LOST = 1u << 2 // the connection is gone and must not go back into its pool
};

typedef struct err {
    err_code code;
    uint32_t flags;
    int32_t retry_after_ms; // > 0: becomes google.rpc.RetryInfo
    char sqlstate[6];       // "" when the database said nothing
    char constraint[64];    // name of the violated constraint, or ""
    char reason[64];   // google.rpc.ErrorInfo.reason, UPPER_SNAKE_CASE; "" becomes the code's name
    char field[64];    // the request field at fault, or ""; becomes ErrorInfo.metadata["field"]
    char message[192]; // for the caller: lower case, no full stop, no secret
    char detail[320];  // for the log only
    const char *site;  // file:line that set it
} err;

#define ERR_STR2(x) #x
#define ERR_STR(x) ERR_STR2(x)
#define ERR_SITE __FILE__ ":" ERR_STR(__LINE__)

// Fills all of *e (flags 0, no detail) and returns false, so that a function can end with `return err_set(…)`. e may
// be NULL.
#define err_set(e, code, reason, ...) err_set_at((e), (code), (reason), ERR_SITE, __VA_ARGS__)
// The same, with the request's faulty field.
#define err_set_field(e, code, reason, field, ...)                                                 \
    err_set_field_at((e), (code), (reason), (field), ERR_SITE, __VA_ARGS__)

bool err_set_at(err *e, err_code code, const char *reason, const char *site, const char *fmt, ...)
    PRINTF_LIKE(5, 6);
bool err_set_field_at(err *e, err_code code, const char *reason, const char *field,
                      const char *site, const char *fmt, ...) PRINTF_LIKE(6, 7);
// The error for a full arena: RESOURCE_EXHAUSTED, reason REQUEST_MEMORY, "<what> needs too much memory". Returns false.
#define err_no_memory(e, what) err_no_memory_at((e), (what), ERR_SITE)

bool err_no_memory_at(err *e, const char *what, const char *site);
// Adds the private detail (log only) to an error. Returns false.
bool err_detail(err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

void err_clear(err *e);
bool err_is_set(const err *e);
// "INVALID_ARGUMENT" …; "UNKNOWN" for a value outside the set.
const char *err_code_name(err_code code);
// True when the code means that the write never happened and never will (promise DEFINITE-ERRORS).
bool err_is_definite(err_code code);

#endif
