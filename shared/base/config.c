#include "base/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/config_internal.h"
#include "base/log.h"
#include "base/str.h"

// --- One value -------------------------------------------------------------------------------------------------------

const char *config_get_string(const config_setting *s, const void *settings) {
    const char *text = NULL;
    memcpy(&text, (const char *)settings + s->offset, sizeof(text));
    return text;
}

int64_t config_get_int(const config_setting *s, const void *settings) {
    int64_t value = 0;
    memcpy(&value, (const char *)settings + s->offset, sizeof(value));
    return value;
}

bool config_get_bool(const config_setting *s, const void *settings) {
    bool value = false;
    memcpy(&value, (const char *)settings + s->offset, sizeof(value));
    return value;
}

static void put(const config_setting *s, void *settings, const void *value, size_t size) {
    memcpy((char *)settings + s->offset, value, size);
}

static bool set_path(const config_setting *s, const char *value, const char *base_dir,
                     void *settings, err *e) {
    const char *path = config_own(value);
    if (value[0] != '\0' && value[0] != '/') {
        char absolute[PATH_MAX];
        strbuf b;
        strbuf_init_fixed(&b, absolute, sizeof(absolute));
        strbuf_printf(&b, "%s/%s", base_dir, value);
        if (!strbuf_ok(&b)) {
            return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_INVALID", "%s: path is too long",
                           s->name);
        }
        path = config_own(absolute);
    }
    put(s, settings, &path, sizeof(path));
    return true;
}

static bool is_printable_text(const char *value) {
    for (const char *at = value; *at != '\0'; at++) {
        if (iscntrl((unsigned char)*at)) {
            return false;
        }
    }
    return str_is_text(value, strlen(value));
}

// where: "file:line" or the name of the environment variable, for the message.
static bool set_value(const config_setting *s, const char *value, const char *base_dir,
                      const char *where, void *settings, err *e) {
    if (strlen(value) > CONFIG_VALUE_MAX || !is_printable_text(value)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_INVALID",
                       "%s (%s): want at most %d bytes of text without control characters", s->name,
                       where, (int)CONFIG_VALUE_MAX);
    }
    switch (s->type) {
    case CONFIG_STRING: {
        const char *text = config_own(value);
        put(s, settings, &text, sizeof(text));
        return true;
    }
    case CONFIG_PATH:
    case CONFIG_SECRET_FILE: return set_path(s, value, base_dir, settings, e);
    case CONFIG_INT: {
        int64_t number = 0;
        if (!str_to_i64(str_of(value), s->min, s->max, &number)) {
            return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_INVALID",
                           "%s (%s): \"%.40s\" is not a whole number from %lld to %lld", s->name,
                           where, value, (long long)s->min, (long long)s->max);
        }
        put(s, settings, &number, sizeof(number));
        return true;
    }
    case CONFIG_BOOL: {
        bool flag = strcmp(value, "true") == 0;
        if (!flag && strcmp(value, "false") != 0) {
            return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_INVALID",
                           "%s (%s): \"%.40s\" is neither true nor false", s->name, where, value);
        }
        put(s, settings, &flag, sizeof(flag));
        return true;
    }
    default: break;
    }
    ASSERT(false);
    return false;
}

// --- The file --------------------------------------------------------------------------------------------------------

typedef struct loading {
    const config_table *table;
    void *settings;
    bool *given; // by row: the file or the environment named it
    bool *in_file;
    const char *file_dir;
    const char *cwd;
    config_table named; // with the rows of named sections, when there are any
} loading;

// Before loading: everything has its default.
static void begin(loading *l) {
    const config_table *t = l->table;
    free(l->given);
    l->given = calloc(t->n_settings * 2 + 1, sizeof(bool));
    ASSERT(l->given != NULL);
    l->in_file = l->given + t->n_settings;
    for (size_t i = 0; i < t->n_settings; i++) {
        const config_setting *s = &t->settings[i];
        if (s->default_value != NULL) {
            err wrong = {0};
            bool valid = set_value(s, s->default_value, l->cwd, "default", l->settings, &wrong);
            ASSERT(valid); // the table is our own
        }
    }
}

static const config_setting *find(const config_table *t, const char *section, const char *key) {
    size_t section_len = strlen(section);
    for (size_t i = 0; i < t->n_settings; i++) {
        const char *name = t->settings[i].name;
        if (strncmp(name, section, section_len) == 0 && name[section_len] == '.' &&
            strcmp(name + section_len + 1, key) == 0) {
            return &t->settings[i];
        }
    }
    return NULL;
}

static bool on_pair(void *arg, const char *where, const char *section, const char *key,
                    const char *value, err *e) {
    loading *l = arg;
    if (config_named_is_kind_key(l->table, section, key)) {
        return true; // was read earlier
    }
    const config_setting *s = find(l->table, section, key);
    if (s == NULL) {
        return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_UNKNOWN", "%s: unknown setting %.60s.%.60s",
                       where, section, key);
    }
    size_t row = (size_t)(s - l->table->settings);
    if (l->in_file[row]) {
        return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_INVALID", "%s: %s is set twice", where,
                       s->name);
    }
    l->in_file[row] = true;
    l->given[row] = true;
    return set_value(s, value, l->file_dir, where, l->settings, e);
}

// The named sections become rows of l->table, which is freed with it.
static bool load_named(loading *l, FILE *in, const char *file, err *e) {
    config_table all;
    if (!config_named_find(l->table, in, file, l->settings, e)) {
        return false;
    }
    rewind(in);
    if (!config_named_table(l->table, l->settings, &all)) {
        return true;
    }
    l->named = all;
    l->table = &l->named;
    begin(l);
    return config_named_check(l->table, e);
}

static bool load_file(loading *l, const char *file, err *e) {
    bool ok = false;
    char *real = realpath(file, NULL);
    if (real == NULL) {
        return err_set(e, ERR_NOT_FOUND, "CONFIG_FILE", "cannot open %.100s: %s", file,
                       strerrordesc_np(errno));
    }
    char *slash = strrchr(real, '/');
    ASSERT(slash != NULL);
    FILE *in = fopen(real, "re");
    if (in == NULL) {
        err_set(e, ERR_NOT_FOUND, "CONFIG_FILE", "cannot open %.100s: %s", file,
                strerrordesc_np(errno));
        goto out;
    }
    *slash = '\0'; // what is left is the folder; "" for the root makes "/name", as it should
    l->file_dir = real;
    ok = (l->table->named == NULL || load_named(l, in, file, e)) &&
         config_ini_parse(in, file, on_pair, l, e);
out:
    if (in != NULL) {
        fclose(in);
    }
    free(real);
    return ok;
}

// --- The environment -------------------------------------------------------------------------------------------------

static bool load_env(loading *l, err *e) {
    for (size_t i = 0; i < l->table->n_settings; i++) {
        const config_setting *s = &l->table->settings[i];
        char name[CONFIG_NAME_MAX];
        config_env_name(l->table, s, name, sizeof(name));
        const char *value = getenv(name);
        if (value != NULL) {
            l->given[i] = true;
            if (!set_value(s, value, l->cwd, name, l->settings, e)) {
                return false;
            }
        }
    }
    return true;
}

static bool begins_like_named(const config_table *t, const char *name) {
    const config_setting all = {.name = t->named->section};
    char head[CONFIG_NAME_MAX];
    config_env_name(t, &all, head, sizeof(head));
    const size_t len = strlen(head);
    return strncmp(name, head, len) == 0 && name[len] == '_';
}

// True for a variable that begins like ours, PREFIX_SECTION_, and is unknown: a typing error that must not pass silently.
static bool is_slip(const config_table *t, const char *name, size_t len) {
    bool section_known = t->named != NULL && begins_like_named(t, name);
    for (size_t i = 0; i < t->n_settings; i++) {
        const config_setting *s = &t->settings[i];
        char known[CONFIG_NAME_MAX];
        config_env_name(t, s, known, sizeof(known));
        if (strlen(known) == len && memcmp(known, name, len) == 0) {
            return false;
        }
        const char *dot = strchr(s->name, '.');
        ASSERT(dot != NULL);
        size_t head_len = strlen(t->env_prefix) + 1 + (size_t)(dot - s->name) + 1;
        section_known = section_known || (len > head_len && memcmp(known, name, head_len) == 0);
    }
    return section_known;
}

static bool refuse_unknown_env(const config_table *t, err *e) {
    for (char **at = environ; at != NULL && *at != NULL; at++) {
        const char *equals = strchr(*at, '=');
        size_t len = equals == NULL ? strlen(*at) : (size_t)(equals - *at);
        if (is_slip(t, *at, len)) {
            return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_UNKNOWN",
                           "environment: unknown setting %.*s", len > 100 ? 100 : (int)len, *at);
        }
    }
    return true;
}

// --- All together ----------------------------------------------------------------------------------------------------

static bool is_empty_string(const config_setting *s, const void *settings) {
    return s->type != CONFIG_INT && s->type != CONFIG_BOOL &&
           config_get_string(s, settings)[0] == '\0';
}

static bool check_required(const loading *l, err *e) {
    for (size_t i = 0; i < l->table->n_settings; i++) {
        const config_setting *s = &l->table->settings[i];
        if (s->default_value == NULL && (!l->given[i] || is_empty_string(s, l->settings))) {
            char name[CONFIG_NAME_MAX];
            config_env_name(l->table, s, name, sizeof(name));
            return err_set(e, ERR_INVALID_ARGUMENT, "CONFIG_MISSING",
                           "%s must be given (in the file or as %s)", s->name, name);
        }
    }
    return true;
}

bool config_load(const config_table *t, const char *file, void *settings, err *e) {
    bool ok = false;
    char cwd[PATH_MAX];
    loading l = {.table = t, .settings = settings, .cwd = cwd};
    if (getcwd(cwd, sizeof(cwd)) == NULL) {
        err_set(e, ERR_INTERNAL, "CONFIG_FILE", "no working folder: %s", strerrordesc_np(errno));
        goto out;
    }
    config_named_clear(t, settings);
    begin(&l);
    ok = (file == NULL || load_file(&l, file, e)) && load_env(&l, e) &&
         refuse_unknown_env(l.table, e) && check_required(&l, e);
out:
    free(l.given);
    free((void *)l.named.settings);
    return ok;
}

// --- Secrets ---------------------------------------------------------------------------------------------------------

static bool read_all(int fd, char *buffer, size_t size, size_t *out_len) {
    size_t len = 0;
    while (len < size) {
        ssize_t n = read(fd, buffer + len, size - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return false;
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
    }
    *out_len = len;
    return true;
}

bool config_read_secret(const char *path, size_t max, char **out, size_t *out_len, err *e) {
    ASSERT(max > 0 && max <= CONFIG_SECRET_MAX);
    const size_t size = max + 3; // the secret, CR LF, and one byte that reveals a longer one
    bool ok = false;
    size_t len = 0;
    struct stat status;
    char *secret = calloc(1, size + 1);
    ASSERT(secret != NULL);
    // read(2), not stdio: no second copy stays behind in a buffer. O_NONBLOCK: a FIFO must not hang the start.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        err_set(e, ERR_NOT_FOUND, "SECRET_FILE", "cannot open %.100s: %s", path,
                strerrordesc_np(errno));
        goto out;
    }
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        err_set(e, ERR_INVALID_ARGUMENT, "SECRET_FILE", "%.100s is not a regular file", path);
        goto out;
    }
    if ((status.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
        err_set(e, ERR_FAILED_PRECONDITION, "SECRET_FILE",
                "%.100s is open to others: its mode must be 0600 or 0640", path);
        goto out;
    }
    if (!read_all(fd, secret, size, &len)) {
        err_set(e, ERR_UNAVAILABLE, "SECRET_FILE", "cannot read %.100s: %s", path,
                strerrordesc_np(errno));
        goto out;
    }
    if (len > 0 && secret[len - 1] == '\n') {
        len--;
        if (len > 0 && secret[len - 1] == '\r') {
            len--;
        }
    }
    secret[len] = '\0';
    if (len == 0 || len > max) {
        err_set(e, ERR_INVALID_ARGUMENT, "SECRET_FILE", "%.100s must hold 1 to %zu bytes", path,
                max);
        goto out;
    }
    *out = secret;
    *out_len = len;
    ok = true;
out:
    if (fd >= 0) {
        close(fd);
    }
    if (!ok) {
        config_wipe(secret, size);
    }
    return ok;
}

void config_wipe(char *secret, size_t len) {
    if (secret != NULL) {
        explicit_bzero(secret, len);
        free(secret);
    }
}

size_t config_add(config_setting *rows, size_t max, size_t n, const config_part *part, size_t at) {
    ASSERT(n + part->n_settings <= max);
    for (size_t i = 0; i < part->n_settings; i++) {
        rows[n + i] = part->settings[i];
        rows[n + i].offset += at;
    }
    return n + part->n_settings;
}
