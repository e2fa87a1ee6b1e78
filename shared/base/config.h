// Settings: one table a service, read from defaults, then a file (INI), then the environment. --print-config,
// --help and the documentation come from the same table. A wrong or unknown setting refuses the start, by name.
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

typedef enum config_type {
    CONFIG_STRING, // const char *
    CONFIG_PATH,   // const char *, relative paths are relative to the file that named them
    CONFIG_INT,    // int64_t in [min, max]
    CONFIG_BOOL,   // bool: true/false
    CONFIG_SECRET_FILE // const char *: path of a file that holds a secret; the path may be printed, the content never
} config_type;

// One row. `offset` is of the field in the service's settings struct.
typedef struct config_setting {
    const char *name; // "section.key"; environment: PREFIX_SECTION_KEY, upper case
    config_type type;
    size_t offset;
    const char *default_value; // NULL: must be given
    int64_t min, max;          // CONFIG_INT only
    const char *help;          // one line
} config_setting;

typedef struct config_table {
    const char *env_prefix; // "LEDGER" …
    const config_setting *settings;
    size_t n_settings;
} config_table;

// Fills *settings (strings are owned by the process and live until it ends). file may be NULL.
bool config_load(const config_table *t, const char *file, void *settings, err *e) WARN_UNUSED;
// INI with comments: a valid file that loads to the same settings.
void config_print(const config_table *t, const void *settings, FILE *out);
void config_print_help(const config_table *t, FILE *out);     // for --help
void config_print_markdown(const config_table *t, FILE *out); // for docs/
// Reads a secret file: content without the trailing newline, 1 to max bytes. @owned: the caller wipes and
// frees. A file that others may read, or its group may write, is refused: mode 0600 or 0640.
bool config_read_secret(const char *path, size_t max, char **out, size_t *out_len,
                        err *e) WARN_UNUSED;
void config_wipe(char *secret, size_t len); // explicit_bzero and free; accepts NULL

#endif
