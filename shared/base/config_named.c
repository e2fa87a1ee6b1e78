// Named sections, such as [connection.wells]. They are first found in the file. Each then becomes rows of a larger table, so that all other
// code treats them like fixed settings.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/config_internal.h"
#include "base/str.h"

static char *element_of(const config_named *n, const void *settings, size_t i) {
    return (char *)settings + n->offset + i * n->element_size;
}

size_t config_named_count(const config_table *t, const void *settings) {
    size_t n = 0;
    if (t->named != NULL) {
        memcpy(&n, (const char *)settings + t->named->count_offset, sizeof n);
    }
    return n;
}

void config_named_clear(const config_table *t, void *settings) {
    const size_t none = 0;
    if (t->named != NULL) {
        memcpy((char *)settings + t->named->count_offset, &none, sizeof none);
    }
}

static const char *text_at(const char *element, size_t offset) {
    const char *text = NULL;
    memcpy(&text, element + offset, sizeof text);
    return text;
}

const char *config_named_name(const config_table *t, const void *settings, size_t i) {
    return text_at(element_of(t->named, settings, i), t->named->name_offset);
}

const char *config_named_kind(const config_table *t, const void *settings, size_t i) {
    return text_at(element_of(t->named, settings, i), t->named->kind_offset);
}

// "wells" of "connection.wells"; NULL for any other section.
static const char *name_in(const config_named *n, const char *section) {
    const size_t len = strlen(n->section);
    return strncmp(section, n->section, len) == 0 && section[len] == '.' ? section + len + 1 : NULL;
}

bool config_named_is_kind_key(const config_table *t, const char *section, const char *key) {
    return t->named != NULL && name_in(t->named, section) != NULL &&
           strcmp(key, t->named->kind_key) == 0;
}

static bool is_name(const char *name) {
    const size_t len = strlen(name);
    bool ok = len >= 1 && len <= CONFIG_NAMED_NAME_MAX && name[0] >= 'a' && name[0] <= 'z';
    for (size_t i = 0; ok && i < len; i++) {
        ok = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
             name[i] == '-';
    }
    return ok;
}

// --- Names and kinds -------------------------------------------------------------------------------------------------

typedef struct finding {
    const config_table *t;
    void *settings;
} finding;

static const config_kind *kind_named(const config_named *n, const char *name) {
    for (size_t i = 0; i < n->n_kinds; i++) {
        if (strcmp(n->kinds[i].name, name) == 0) {
            return &n->kinds[i];
        }
    }
    return NULL;
}

static void list_kinds(const config_named *n, strbuf *out) {
    for (size_t i = 0; i < n->n_kinds; i++) {
        strbuf_printf(out, "%s%s", i == 0 ? "" : " or ", n->kinds[i].name);
    }
}

static bool bad_kind(const config_named *n, const char *where, const char *name, const char *value,
                     err *e) {
    char kinds[128];
    strbuf list;
    strbuf_init_fixed(&list, kinds, sizeof kinds);
    list_kinds(n, &list);
    return err_set(e, ERR_INVALID_ARGUMENT, value == NULL ? "CONFIG_MISSING" : "CONFIG_INVALID",
                   "%s%s%s.%s.%s %s%.40s%s: want %s", where, where[0] == '\0' ? "" : ": ",
                   n->section, name, n->kind_key, value == NULL ? "must be given" : "is \"",
                   value == NULL ? "" : value, value == NULL ? "" : "\"", kinds);
}

// The element of this name; adds a new one.
static bool find_element(const finding *f, const char *where, const char *name, char **out,
                         err *e) {
    const config_named *n = f->t->named;
    size_t count = config_named_count(f->t, f->settings);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(config_named_name(f->t, f->settings, i), name) == 0) {
            *out = element_of(n, f->settings, i);
            return true;
        }
    }
    if (!is_name(name)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_INVALID",
                       "%s: the name in [%s.%.40s] wants 1 to %d lower-case letters, digits and -, "
                       "a letter first",
                       where, n->section, name, (int)CONFIG_NAMED_NAME_MAX);
    }
    if (count == n->max) {
        return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_INVALID",
                       "%s: there are more than %zu sections [%s.NAME]", where, n->max, n->section);
    }
    const char *kept = config_own(name), *none = NULL;
    *out = element_of(n, f->settings, count++);
    memcpy(*out + n->name_offset, &kept, sizeof kept);
    memcpy(*out + n->kind_offset, &none, sizeof none);
    memcpy((char *)f->settings + n->count_offset, &count, sizeof count);
    return true;
}

static bool on_pair(void *arg, const char *where, const char *section, const char *key,
                    const char *value, err *e) {
    const finding *f = arg;
    const config_named *n = f->t->named;
    const char *name = name_in(n, section);
    char *element = NULL;
    if (name == NULL) {
        return true;
    }
    if (!find_element(f, where, name, &element, e)) {
        return false;
    }
    if (strcmp(key, n->kind_key) != 0) {
        return true;
    }
    if (text_at(element, n->kind_offset) != NULL) {
        return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_INVALID",
                       "%s: %s.%s.%s is set twice: each name has one section", where, n->section,
                       name, key);
    }
    const config_kind *kind = kind_named(n, value);
    if (kind == NULL) {
        return bad_kind(n, where, name, value, e);
    }
    memcpy(element + n->kind_offset, &kind->name, sizeof kind->name);
    return true;
}

bool config_named_find(const config_table *t, FILE *in, const char *file, void *settings, err *e) {
    const finding f = {t, settings};
    if (!config_ini_parse(in, file, on_pair, (void *)&f, e)) {
        return false;
    }
    for (size_t i = 0; i < config_named_count(t, settings); i++) {
        if (config_named_kind(t, settings, i) == NULL) {
            return bad_kind(t->named, "", config_named_name(t, settings, i), NULL, e);
        }
    }
    return true;
}

// --- Their rows ------------------------------------------------------------------------------------------------------

static bool is_of(const config_setting *s, const config_kind *kind) {
    const size_t len = strlen(kind->name);
    return strncmp(s->name, kind->name, len) == 0 && s->name[len] == '.';
}

static void add_rows(const config_table *t, const void *settings, size_t i, config_setting *rows,
                     size_t *n_rows) {
    const config_named *n = t->named;
    const config_kind *kind = kind_named(n, config_named_kind(t, settings, i));
    ASSERT(kind != NULL);
    for (size_t row = 0; row < t->n_settings; row++) {
        const config_setting *s = &t->settings[row];
        if (!is_of(s, kind)) {
            continue;
        }
        char name[CONFIG_NAME_MAX];
        strbuf b;
        strbuf_init_fixed(&b, name, sizeof name);
        const char *key = s->name + strlen(kind->name) + 1;
        strbuf_printf(&b, "%s.%s.%s", n->section, config_named_name(t, settings, i), key);
        ASSERT(strbuf_ok(&b));
        config_setting *made = &rows[(*n_rows)++];
        *made = *s;
        made->name = config_own(name);
        made->offset = n->offset + i * n->element_size + kind->to + (s->offset - kind->from);
        if (strcmp(key, n->on_key) == 0) {
            made->default_value = "true"; // a written section is a wanted one
        }
    }
}

bool config_named_table(const config_table *t, const void *settings, config_table *out) {
    const size_t n = config_named_count(t, settings);
    *out = *t;
    if (n == 0) {
        return false;
    }
    config_setting *rows = calloc(t->n_settings * (n + 1), sizeof *rows);
    ASSERT(rows != NULL);
    memcpy(rows, t->settings, t->n_settings * sizeof *rows);
    size_t n_rows = t->n_settings;
    for (size_t i = 0; i < n; i++) {
        add_rows(t, settings, i, rows, &n_rows);
    }
    out->settings = rows;
    out->n_settings = n_rows;
    return true;
}

// Different names in the file may be the same in the environment: "a" with "b_c", and "a-b" with "c".
bool config_named_check(const config_table *all, err *e) {
    for (size_t i = 0; i < all->n_settings; i++) {
        char one[CONFIG_NAME_MAX], other[CONFIG_NAME_MAX];
        config_env_name(all, &all->settings[i], one, sizeof one);
        for (size_t k = 0; k < i; k++) {
            config_env_name(all, &all->settings[k], other, sizeof other);
            if (strcmp(one, other) == 0) {
                return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_INVALID",
                               "%s and %s would both be %s in the environment: take another name",
                               all->settings[k].name, all->settings[i].name, one);
            }
        }
    }
    return true;
}
