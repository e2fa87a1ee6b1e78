// Settings: one table per service, read from defaults, then a file (INI), then the environment. --print-config,
// --help and the documentation come from the same table. A wrong or unknown setting refuses the start and is named.
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

typedef enum config_type {
    CONFIG_STRING, // const char *
    CONFIG_PATH,   // const char *, relative to the file that named it
    CONFIG_INT,    // int64_t in [min, max]
    CONFIG_BOOL,   // bool: true/false
    // const char *: path of a file with a secret; the path may be printed, the content never
    CONFIG_SECRET_FILE
} config_type;

// One row. `offset` is the field's place in the service's settings struct.
typedef struct config_setting {
    const char *name; // "section.key"; environment: PREFIX_SECTION_KEY, upper case
    config_type type;
    size_t offset;
    const char *default_value; // NULL: must be given
    int64_t min, max;          // CONFIG_INT only
    const char *help;          // one line
} config_setting;

// The settings of a room: offsets are in the room's own struct, which is a field of the program's settings.
typedef struct config_part {
    const config_setting *settings;
    size_t n_settings;
} config_part;
// A row for a field of the struct `of`.
#define CONFIG_ROW(of, name, type, field, default_value, min, max, help)                           \
    { name, type, offsetof(of, field), default_value, min, max, help }
// The part that consists of these rows, a static array.
#define CONFIG_PART(rows)                                                                          \
    { rows, sizeof(rows) / sizeof(rows)[0] }

// Adds a part's rows to n rows; its struct begins at `at` in the program's settings. Returns the new number, at most max.
size_t config_add(config_setting *rows, size_t max, size_t n, const config_part *part, size_t at);

// A section of the table that a file may repeat under names, [connection.NAME], with the same keys.
typedef struct config_kind {
    const char *name; // the section: "ach" for rows "ach.…"
    size_t from;      // offset in the settings of the section's first field
    size_t to;        // the matching offset in an element
} config_kind;

// Named sections, in the file only. Each becomes an element of an array in the settings: its name, its kind, and its kind's values, with
// the defaults of this section.
typedef struct config_named {
    const char *section, *kind_key; // "connection", "scheme"
    const char *on_key;             // the key that is true in them by default: "enabled"
    const char *help;               // one line
    const config_kind *kinds;
    size_t n_kinds;
    size_t offset, element_size, max; // the array
    size_t count_offset;              // of a size_t in the settings: their number
    size_t name_offset, kind_offset;  // of const char * in an element
} config_named;

typedef struct config_table {
    const char *env_prefix; // "LEDGER" …
    const config_setting *settings;
    size_t n_settings;
    const config_named *named; // NULL: no named sections
} config_table;

// Fills *settings. The process owns its strings until it ends. file may be NULL.
bool config_load(const config_table *t, const char *file, void *settings, err *e) WARN_UNUSED;
// Prints INI with comments: a valid file that loads to the same settings.
void config_print(const config_table *t, const void *settings, FILE *out);
void config_print_help(const config_table *t, FILE *out);     // for --help
void config_print_markdown(const config_table *t, FILE *out); // for docs/
// Reads a secret file: content without the trailing newline, 1 to max bytes. @owned: the caller wipes and frees it. A
// file that others may read, or its group may write, is refused: mode 0600 or 0640.
bool config_read_secret(const char *path, size_t max, char **out, size_t *out_len,
                        err *e) WARN_UNUSED;
void config_wipe(char *secret, size_t len); // explicit_bzero and free; accepts NULL

#endif
