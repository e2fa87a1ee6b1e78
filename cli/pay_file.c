// Files of payctl: all their bytes, and payout files with their faults in words.
#include "cli/pay_file.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { LOAD_STEP = 64 << 10 };

// A pipe has no size, so the buffer grows as the bytes come.
static bool load_all(FILE *in, size_t bytes_max, char **bytes, size_t *len, err *e) {
    size_t room = 0;
    for (;;) {
        if (*len == room) {
            room = room == 0 ? LOAD_STEP : room * 2;
            char *larger = realloc(*bytes, room);
            ASSERT(larger != NULL);
            *bytes = larger;
        }
        const size_t n = fread(*bytes + *len, 1, room - *len, in);
        *len += n;
        if (*len > bytes_max) {
            return err_set(e, ERR_INVALID_ARGUMENT, "FILE_TOO_LARGE",
                           "the file has more than %zu bytes", bytes_max);
        }
        if (n == 0) {
            return ferror(in) == 0 || err_set(e, ERR_INVALID_ARGUMENT, "FILE_UNREADABLE",
                                              "cannot be read: %s", strerror(errno));
        }
    }
}

bool cli_load_file(const char *path, size_t bytes_max, char **bytes, size_t *len, err *e) {
    const bool from_stdin = strcmp(path, "-") == 0;
    FILE *in = from_stdin ? stdin : fopen(path, "rb");
    *bytes = NULL;
    *len = 0;
    if (in == NULL) {
        return err_set(e, ERR_INVALID_ARGUMENT, "FILE_UNREADABLE", "cannot be read: %s",
                       strerror(errno));
    }
    const bool ok = load_all(in, bytes_max, bytes, len, e);
    if (!from_stdin) {
        (void)fclose(in);
    }
    if (!ok) {
        free(*bytes);
        *bytes = NULL;
    }
    return ok;
}

void pay_file_tell(payout_file *f, const char *path) {
    payout_file_sort_complaints(f);
    for (; f->told < f->bad; f->told++) {
        const payout_complaint *x = &f->complaints[f->told];
        cli_print(stderr, "%s:%zu: %s: %s\n", path, x->line,
                  x->field[0] != '\0' ? x->field : "line", x->text);
    }
}

const char *pay_file_name(const char *path) {
    return strcmp(path, "-") == 0 ? "stdin" : path;
}

bool pay_file_read(cli *c, const char *path, payout_file *f, err *e) {
    char *bytes = NULL;
    size_t len = 0;
    *f = (payout_file){0};
    const bool ok = cli_load_file(path, PAYOUT_FILE_BYTES_MAX, &bytes, &len, e) &&
                    payout_file_parse((str){bytes, len}, c->arena, f, e);
    free(bytes);
    return ok;
}

bool pay_file_load(cli *c, const char *path, payout_file *f) {
    err e = {0};
    if (pay_file_read(c, path, f, &e)) {
        return true;
    }
    pay_file_tell(f, pay_file_name(path));
    payout_file_complain(f, 0, &e);
    cli_print(stderr, "payctl: %s: %s; nothing was sent\n", pay_file_name(path), e.message);
    if (c->json) {
        pay_file_print_json(f);
    }
    return false;
}

bool pay_file_is_good(const cli *c, const payout_file *f) {
    if (f->bad > 0) {
        cli_print(stderr, "payctl: %zu bad line(s), %zu good: nothing was sent\n", f->bad, f->n);
    }
    if (f->bad > 0 && c->json) {
        pay_file_print_json(f);
    }
    return f->bad == 0;
}

bool pay_file_read_good(cli *c, const char *path, payout_file *f) {
    if (!pay_file_load(c, path, f)) {
        return false;
    }
    pay_file_tell(f, pay_file_name(path));
    return pay_file_is_good(c, f);
}

json_t *pay_file_bad_json(const payout_file *f) {
    json_t *bad = json_array();
    for (size_t i = 0; i < f->bad; i++) {
        const payout_complaint *x = &f->complaints[i];
        json_array_append_new(bad, json_pack("{s:I,s:s,s:s,s:o}", "line", (json_int_t)x->line,
                                             "field", x->field, "reason", x->reason, "error",
                                             cli_json_text(x->text)));
    }
    return bad;
}

void pay_file_print_json(const payout_file *f) {
    cli_print_value(json_pack("{s:b,s:I,s:o}", "sent", 0, "good", (json_int_t)f->n, "bad",
                              pay_file_bad_json(f)));
}
