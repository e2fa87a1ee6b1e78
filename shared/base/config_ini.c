// Our own reader, 60 lines, because inih as Debian builds it cuts lines at 200 bytes and values at " ;" without a word.
#include <errno.h>
#include <string.h>

#include "base/config_internal.h"
#include "base/str.h"

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
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

// Takes quotes and escapes away, in place. False when they do not end where the value ends.
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
            if (*from != '"' && *from != '\\') {
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
    config_on_pair on_pair;
    void *arg;
} position;

static bool parse_section(position *p, char *line, err *e) {
    size_t len = strlen(line);
    if (line[len - 1] != ']') {
        return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_SYNTAX", "%s: ] is missing", p->where);
    }
    line[len - 1] = '\0';
    const char *name = trim(line + 1);
    if (name[0] == '\0' || strlen(name) >= sizeof(p->section)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_SYNTAX", "%s: wrong section name",
                       p->where);
    }
    memcpy(p->section, name, strlen(name) + 1);
    return true;
}

static bool parse_line(position *p, char *raw, err *e) {
    char *line = trim(raw);
    if (line[0] == '\0' || line[0] == ';' || line[0] == '#') {
        return true;
    }
    if (line[0] == '[') {
        return parse_section(p, line, e);
    }
    char *equals = strchr(line, '=');
    if (equals == NULL || equals == line) {
        return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_SYNTAX",
                       "%s: neither [section] nor key = value", p->where);
    }
    *equals = '\0';
    const char *key = trim(line);
    char *value = trim(equals + 1);
    if (p->section[0] == '\0') {
        return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_SYNTAX", "%s: %.60s stands in no section",
                       p->where, key);
    }
    if (!unquote(value)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_SYNTAX", "%s: %.60s: wrong quotes",
                       p->where, key);
    }
    return p->on_pair(p->arg, p->where, p->section, key, value, e);
}

bool config_ini_parse(FILE *in, const char *file, config_on_pair on_pair, void *arg, err *e) {
    const char *slash = strrchr(file, '/');
    position p = {.on_pair = on_pair, .arg = arg};
    char line[CONFIG_LINE_MAX];
    unsigned number = 0;
    for (;;) {
        memset(line, 0xff, sizeof(line));
        if (fgets(line, sizeof(line), in) == NULL) {
            break;
        }
        number++;
        strbuf where;
        strbuf_init_fixed(&where, p.where, sizeof(p.where));
        strbuf_printf(&where, "%.100s:%u", slash == NULL ? file : slash + 1, number);
        // The last NUL is the one of fgets; an earlier one came from the file and would hide what follows it.
        const char *end = memrchr(line, '\0', sizeof(line));
        bool whole = end > line && (end[-1] == '\n' || feof(in));
        if (!whole || end != line + strlen(line)) {
            return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_SYNTAX",
                           "%s: the line is longer than %d bytes, or not text", p.where,
                           (int)CONFIG_LINE_MAX - 2);
        }
        if (!parse_line(&p, line, e)) {
            return false;
        }
    }
    if (ferror(in)) {
        return err_set(e, ERR_UNAVAILABLE, "CONFIG_FILE", "cannot read %.100s: %s", file,
                       strerrordesc_np(errno));
    }
    return true;
}

void config_ini_print_value(const char *value, FILE *out) {
    size_t len = strlen(value);
    bool plain = len == 0 || (value[0] != '"' && !is_blank(value[0]) && !is_blank(value[len - 1]));
    if (plain) {
        fputs(value, out);
        return;
    }
    fputc('"', out);
    for (const char *at = value; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\') {
            fputc('\\', out);
        }
        fputc(*at, out);
    }
    fputc('"', out);
}
