#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str_internal.h"

// Copies into a fixed field; cuts longer text at a character's boundary.
static void field_copy(char *out, size_t out_len, const char *text) {
    size_t len = text == NULL ? 0 : strnlen(text, out_len - 1);
    if (len > 0) {
        memcpy(out, text, len);
    }
    memset(out + len, 0, out_len - len);
    str_utf8_trim(out, len);
}

static void PRINTF_LIKE(3, 0)
    field_vprintf(char *out, size_t out_len, const char *fmt, va_list args) {
    int n = vsnprintf(out, out_len, fmt, args);
    size_t len = n < 0 ? 0 : (size_t)n;
    if (len >= out_len) {
        len = out_len - 1;
    }
    out[len] = '\0';
    str_utf8_trim(out, len);
}

// Builds a fresh value, because the arguments may point into *e ("x: %s", e->message).
static void PRINTF_LIKE(6, 0) set(err *e, err_code code, const char *reason, const char *field,
                                  const char *site, const char *fmt, va_list args) {
    err fresh = {.code = code, .site = site};
    field_copy(fresh.reason, sizeof(fresh.reason), reason);
    field_copy(fresh.field, sizeof(fresh.field), field);
    field_vprintf(fresh.message, sizeof(fresh.message), fmt, args);
    *e = fresh;
}

bool err_set_at(err *e, err_code code, const char *reason, const char *site, const char *fmt, ...) {
    if (e != NULL) {
        va_list args;
        va_start(args, fmt);
        set(e, code, reason, NULL, site, fmt, args);
        va_end(args);
    }
    return false;
}

bool err_set_field_at(err *e, err_code code, const char *reason, const char *field,
                      const char *site, const char *fmt, ...) {
    if (e != NULL) {
        va_list args;
        va_start(args, fmt);
        set(e, code, reason, field, site, fmt, args);
        va_end(args);
    }
    return false;
}

bool err_no_memory_at(err *e, const char *what, const char *site) {
    return err_set_at(e, ERR_RESOURCE_EXHAUSTED, "REQUEST_MEMORY", site, "%s needs too much memory",
                      what);
}

bool err_detail(err *e, const char *fmt, ...) {
    if (e != NULL) {
        char detail[sizeof(e->detail)];
        va_list args;
        va_start(args, fmt);
        field_vprintf(detail, sizeof(detail), fmt, args);
        va_end(args);
        field_copy(e->detail, sizeof(e->detail), detail);
    }
    return false;
}

void err_clear(err *e) {
    if (e != NULL) {
        memset(e, 0, sizeof(*e));
    }
}

bool err_is_set(const err *e) {
    return e != NULL && e->code != ERR_OK;
}

const char *err_code_name(err_code code) {
    switch (code) {
#define ERR_NAME(name, number)                                                                     \
    case ERR_##name: return #name;
        ERR_CODES(ERR_NAME)
#undef ERR_NAME
    default: return "UNKNOWN";
    }
}

bool err_is_definite(err_code code) {
    return code == ERR_INVALID_ARGUMENT || code == ERR_NOT_FOUND ||
           code == ERR_FAILED_PRECONDITION || code == ERR_ALREADY_EXISTS ||
           code == ERR_PERMISSION_DENIED;
}
