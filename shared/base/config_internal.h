// The parts of config; not for other rooms.
#ifndef BASE_CONFIG_INTERNAL_H
#define BASE_CONFIG_INTERNAL_H

#include <stdio.h>

#include "base/config.h"

enum {
    CONFIG_NAME_MAX = 128, // PREFIX_SECTION_KEY and its NUL
    // bytes; a value too long for a line of a file comes from the environment
    CONFIG_VALUE_MAX = 3500,
    CONFIG_LINE_MAX = 197,  // bytes of a line without its end: the most that inih takes whole
    CONFIG_READ_MAX = 8192, // bytes of a line that are examined
    CONFIG_SECRET_MAX = 1024 * 1024,
    CONFIG_NAMED_NAME_MAX = 32
};

// Called for each "key = value". where is "file:line". Returning false stops, with *e set.
typedef bool (*config_on_pair)(void *arg, const char *where, const char *section, const char *key,
                               const char *value, err *e);
// Reads [section], key = value, blank lines and comments (a line that begins with ; or #). A value that begins with a quote is quoted ("…",
// with \" \\ and \; inside). There are no comments behind values and no continued lines. Any other line is refused and named.
bool config_ini_parse(FILE *in, const char *file, config_on_pair on_pair, void *arg,
                      err *e) WARN_UNUSED;
// Writes a value so that config_ini_parse reads it back.
void config_ini_print_value(const char *value, FILE *out);

// A copy that lives until the process ends.
const char *config_own(const char *text);

// config_named.c: named sections. Reads their names and kinds into the settings.
bool config_named_find(const config_table *t, FILE *in, const char *file, void *settings,
                       err *e) WARN_UNUSED;
void config_named_clear(const config_table *t, void *settings); // before the first is known
size_t config_named_count(const config_table *t, const void *settings);
const char *config_named_name(const config_table *t, const void *settings, size_t i);
const char *config_named_kind(const config_table *t, const void *settings, size_t i);
bool config_named_is_kind_key(const config_table *t, const char *section, const char *key);
// The table with the named sections' rows added. True when out->settings must be freed; false: no named sections, and it is t's.
bool config_named_table(const config_table *t, const void *settings, config_table *out);
// Refuses names that the environment could not tell apart.
bool config_named_check(const config_table *all, err *e) WARN_UNUSED;

void config_env_name(const config_table *t, const config_setting *s, char *out, size_t out_len);
const char *config_get_string(const config_setting *s, const void *settings);
int64_t config_get_int(const config_setting *s, const void *settings);
bool config_get_bool(const config_setting *s, const void *settings);

#endif
