#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/config_internal.h"

static int section_len(const config_setting *s) {
    const char *dot = strrchr(s->name, '.'); // keys have none
    ASSERT(dot != NULL);
    return (int)(dot - s->name);
}

static const char *key_of(const config_setting *s) {
    return s->name + section_len(s) + 1;
}

static const char *type_name(const config_setting *s) {
    switch (s->type) {
    case CONFIG_STRING: return "text";
    case CONFIG_PATH: return "path";
    case CONFIG_INT: return "number";
    case CONFIG_BOOL: return "true or false";
    case CONFIG_SECRET_FILE: return "path of a secret";
    default: return "";
    }
}

// "number, 1 to 256, default 16"
static void print_kind(const config_setting *s, FILE *out) {
    fputs(type_name(s), out);
    if (s->type == CONFIG_INT) {
        fprintf(out, ", %" PRId64 " to %" PRId64, s->min, s->max);
    }
    if (s->default_value == NULL) {
        fputs(", must be given", out);
    } else if (s->default_value[0] != '\0') {
        fprintf(out, ", default %s", s->default_value);
    }
}

static void print_value(const config_setting *s, const void *settings, FILE *out) {
    switch (s->type) {
    case CONFIG_INT: fprintf(out, "%" PRId64, config_get_int(s, settings)); break;
    case CONFIG_BOOL: fputs(config_get_bool(s, settings) ? "true" : "false", out); break;
    case CONFIG_STRING:
    case CONFIG_PATH:
    case CONFIG_SECRET_FILE: // the path only
        config_ini_print_value(config_get_string(s, settings), out);
        break;
    default: break;
    }
}

// True for a value too long for a line of a file: it came from the environment, and is printed as a comment.
static bool too_long_for_a_line(const config_setting *s, const void *settings) {
    enum { ROOM = 48 }; // the key, " = ", quotes and a few escapes
    return s->type != CONFIG_INT && s->type != CONFIG_BOOL &&
           strlen(config_get_string(s, settings)) + ROOM > CONFIG_LINE_MAX;
}

static bool is_new_section(const config_table *t, size_t row) {
    const config_setting *s = &t->settings[row];
    int len = section_len(s);
    return row == 0 || section_len(s - 1) != len ||
           strncmp(s->name, (s - 1)->name, (size_t)len) != 0;
}

// In a named section its kind comes first.
static void print_section(const config_table *t, const config_setting *s, const void *settings,
                          FILE *out) {
    fprintf(out, "[%.*s]\n", section_len(s), s->name);
    const size_t n = t->named == NULL ? 0 : strlen(t->named->section);
    for (size_t i = 0; i < config_named_count(t, settings); i++) {
        const char *name = config_named_name(t, settings, i);
        if (strncmp(s->name, t->named->section, n) == 0 &&
            strlen(name) + n + 1 == (size_t)section_len(s) &&
            strncmp(s->name + n + 1, name, strlen(name)) == 0) {
            fprintf(out, "%s = %s\n", t->named->kind_key, config_named_kind(t, settings, i));
        }
    }
}

static void print_rows(const config_table *t, const void *settings, FILE *out) {
    for (size_t i = 0; i < t->n_settings; i++) {
        const config_setting *s = &t->settings[i];
        if (is_new_section(t, i)) {
            fputs(i == 0 ? "" : "\n", out);
            print_section(t, s, settings, out);
        }
        fprintf(out, "; %s (", s->help);
        print_kind(s, out);
        fprintf(out, ")\n%s%s =", too_long_for_a_line(s, settings) ? "; by the environment: " : "",
                key_of(s));
        // An empty value must not leave a blank at the line's end.
        if (s->type == CONFIG_INT || s->type == CONFIG_BOOL ||
            config_get_string(s, settings)[0] != '\0') {
            fputc(' ', out);
        }
        print_value(s, settings, out);
        fputc('\n', out);
    }
}

void config_print(const config_table *t, const void *settings, FILE *out) {
    config_table all;
    const bool made = config_named_table(t, settings, &all);
    print_rows(&all, settings, out);
    if (made) {
        free((void *)all.settings);
    }
}

static void print_kinds(const config_named *n, FILE *out) {
    for (size_t i = 0; i < n->n_kinds; i++) {
        fprintf(out, "%s%s", i == 0 ? "" : " or ", n->kinds[i].name);
    }
}

void config_print_help(const config_table *t, FILE *out) {
    for (size_t i = 0; i < t->n_settings; i++) {
        const config_setting *s = &t->settings[i];
        char env_name[CONFIG_NAME_MAX];
        config_env_name(t, s, env_name, sizeof(env_name));
        fprintf(out, "  %s, %s\n      %s (", s->name, env_name, s->help);
        print_kind(s, out);
        fputs(")\n", out);
    }
    if (t->named != NULL) {
        fprintf(out, "  %s.NAME.%s\n      %s (", t->named->section, t->named->kind_key,
                t->named->help);
        print_kinds(t->named, out);
        fputs(", must be given)\n", out);
    }
}

// A bar would end the cell.
static void print_cell(const char *text, FILE *out) {
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '|') {
            fputc('\\', out);
        }
        fputc(*at, out);
    }
}

void config_print_markdown(const config_table *t, FILE *out) {
    fputs("| Setting | Environment | Kind | Meaning |\n|---|---|---|---|\n", out);
    for (size_t i = 0; i < t->n_settings; i++) {
        const config_setting *s = &t->settings[i];
        char env_name[CONFIG_NAME_MAX];
        config_env_name(t, s, env_name, sizeof(env_name));
        fprintf(out, "| `%s` | `%s` | ", s->name, env_name);
        print_kind(s, out);
        fputs(" | ", out);
        print_cell(s->help, out);
        fputs(" |\n", out);
    }
    if (t->named != NULL) {
        fprintf(out, "| `%s.NAME.%s` | | ", t->named->section, t->named->kind_key);
        print_kinds(t->named, out);
        fputs(", must be given | ", out);
        print_cell(t->named->help, out);
        fputs(" |\n", out);
    }
}
