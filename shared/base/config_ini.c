// inih reads settings files. Debian's build silently cuts a line at 200 bytes and a value at " ;", and joins lines that begin with a blank.
// So a guard first refuses every line that inih would misread.
#include <errno.h>
#include <ini.h>
#include <string.h>

#include "base/assert.h"
#include "base/config_internal.h"
#include "base/str.h"

// The blanks that inih removes from a value: isspace in the C locale.
static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

// Cuts blanks off both ends, in place.
static char *trim(char *text) {
    while (is_blank(*text)) {
        text++;
    }
    size_t len = strlen(text);
    while (len > 0 && is_blank(text[len - 1])) {
        len--;
    }
    text[len] = '\0';
    return text;
}

// Removes quotes and escapes, in place. False when the quotes do not end at the value's end.
static bool unquote(char *value) {
    if (value[0] != '"') {
        return true;
    }
    char *to = value;
    for (const char *from = value + 1; *from != '\0'; from++) {
        if (*from == '"') {
            *to = '\0';
            return from[1] == '\0';
        }
        if (*from == '\\') {
            from++;
            if (*from != '"' && *from != '\\' && *from != ';') {
                return false;
            }
        }
        *to++ = *from;
    }
    return false;
}

typedef struct position {
    char section[CONFIG_NAME_MAX];
    char where[CONFIG_NAME_MAX + 32]; // "file:line"
    const char *file;                 // without its folder
    FILE *in;
    unsigned line;
    bool failed; // *e is set: the rest of the file is ignored
    err *e;
    config_on_pair on_pair;
    void *arg;
} position;

static bool fail(position *p, const char *what) {
    p->failed = true;
    return err_set(p->e, ERR_INVALID_ARGUMENT, "CONFIG_SYNTAX", "%s: %s", p->where, what);
}

// For inih, a blank and a semicolon begin a comment anywhere.
static bool has_inline_comment(const char *line) {
    for (const char *at = strchr(line, ';'); at != NULL; at = strchr(at + 1, ';')) {
        if (at > line && is_blank(at[-1])) {
            return true;
        }
    }
    return false;
}

// Refuses a line that inih would misread.
static bool guard(position *p, const char *line) {
    if (line[0] == '\0' || line[0] == ';' || line[0] == '#') {
        return true;
    }
    if (strlen(line) > CONFIG_LINE_MAX) {
        return err_set(p->e, ERR_INVALID_ARGUMENT, "CONFIG_SYNTAX",
                       "%s: the line is longer than %d bytes: give it by the environment", p->where,
                       (int)CONFIG_LINE_MAX);
    }
    if (has_inline_comment(line)) {
        return fail(p, "a comment has a line of its own; write \\; in quotes for a semicolon");
    }
    if (line[0] == '[' && line[strlen(line) - 1] != ']') {
        return fail(p, "] is missing");
    }
    if (line[0] == '[' && (strlen(line) <= 2 || strlen(line) - 2 >= sizeof(p->section))) {
        return fail(p, "wrong section name");
    }
    if (line[0] != '[' && (strchr(line, '=') == NULL || line[0] == '=')) {
        return fail(p, "neither [section] nor key = value");
    }
    return true;
}

// inih's reader: the next line, or NULL at the end and when the file is refused. out holds more than CONFIG_LINE_MAX bytes.
static char *next_line(char *out, int out_len, void *stream) {
    position *p = stream;
    char line[CONFIG_READ_MAX];
    memset(line, 0xff, sizeof(line));
    if (p->failed || fgets(line, sizeof(line), p->in) == NULL) {
        return NULL;
    }
    p->line++;
    strbuf where;
    strbuf_init_fixed(&where, p->where, sizeof(p->where));
    strbuf_printf(&where, "%.100s:%u", p->file, p->line);
    // The last NUL is from fgets. An earlier NUL came from the file and would hide the text after it.
    const char *end = memrchr(line, '\0', sizeof(line));
    const bool whole = end > line && (end[-1] == '\n' || feof(p->in));
    if (!whole || end != line + strlen(line)) {
        (void)fail(p, "the line is far too long, or not text");
        return NULL;
    }
    const char *text = trim(line);
    if (!guard(p, text)) {
        p->failed = true;
        return NULL;
    }
    const size_t len = text[0] == ';' || text[0] == '#' ? 0 : strlen(text);
    ASSERT(len + 2 <= (size_t)out_len);
    memcpy(out, text, len);
    memcpy(out + len, "\n", 2);
    return out;
}

static int on_ini_pair(void *user, const char *section, const char *key, const char *given) {
    position *p = user;
    char value[CONFIG_LINE_MAX + 1];
    if (section[0] == '\0') {
        (void)fail(p, "the setting stands in no section");
        return 0;
    }
    memcpy(value, given, strlen(given) + 1);
    if (!unquote(value)) {
        (void)fail(p, "wrong quotes");
        return 0;
    }
    p->failed = !p->on_pair(p->arg, p->where, section, key, value, p->e);
    return p->failed ? 0 : 1;
}

bool config_ini_parse(FILE *in, const char *file, config_on_pair on_pair, void *arg, err *e) {
    const char *slash = strrchr(file, '/');
    position p = {
        .file = slash == NULL ? file : slash + 1, .in = in, .on_pair = on_pair, .arg = arg, .e = e};
    const int at = ini_parse_stream(next_line, &p, on_ini_pair, &p);
    if (ferror(in)) {
        return err_set(e, ERR_UNAVAILABLE, "CONFIG_FILE", "cannot read %.100s: %s", file,
                       strerrordesc_np(errno));
    }
    if (at != 0 && !p.failed) {
        return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_SYNTAX", "%.100s:%d: not a setting", p.file,
                       at);
    }
    return !p.failed;
}

void config_ini_print_value(const char *value, FILE *out) {
    size_t len = strlen(value);
    bool plain = len == 0 || (value[0] != '"' && !is_blank(value[0]) && !is_blank(value[len - 1]) &&
                              strchr(value, ';') == NULL);
    if (plain) {
        fputs(value, out);
        return;
    }
    fputc('"', out);
    for (const char *at = value; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\' || *at == ';') {
            fputc('\\', out);
        }
        fputc(*at, out);
    }
    fputc('"', out);
}
