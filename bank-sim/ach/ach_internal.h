// Shared by the files of the ACH room. All functions run on the room's one thread, or for it in the writer of the books.
#ifndef ACH_ACH_INTERNAL_H
#define ACH_ACH_INTERNAL_H

#include <pthread.h>

#include "ach/ach.h"
#include "ach/nacha.h"

enum {
    ACH_RETURNS_PER_FILE = 5000,
    ACH_ODD_MAX = 4, // foreign lines in a return file
    ACH_OUTPUT_MAX = 64 * 1024 * 1024,
    ACH_ARENA_MAX = 96 * 1024 * 1024,
    ACH_PATH_MAX = 4096,
    ACH_NAME_MAX = 100 // of an input's name; with our suffixes it must still fit BOOKS_NAME_MAX
};

struct ach {
    ach_options o;
    nacha_return *returns; // ACH_RETURNS_PER_FILE and ACH_ODD_MAX, for one return file at a time
    strbuf text;           // of the current output
    pthread_t thread;
    pthread_mutex_t lock; // guards stop, flush_wanted, flush_done
    pthread_cond_t changed;
    bool stop;
    uint64_t flush_wanted, flush_done;
    bool took; // only for the thread: the last pass found a file
};

// ach_files.c
bool ach_path_of(char out[ACH_PATH_MAX], const char *root, const char *folder, const char *name);
bool ach_os_failed(err *e, const char *what, const char *path); // from errno; false
bool ach_exists(const ach *a, const char *folder, const char *name);
typedef bool (*ach_on_input)(ach *a, const char *name);
void ach_inbox_each(ach *a, ach_on_input on); // calls `on` in the order of the names
bool ach_inbox_read(ach *a, const char *name, arena *mem, str *bytes, err *e) WARN_UNUSED;
// Moves inbox/name to archive/to, unless it is there already. Deletes the file if the bank keeps no archive.
bool ach_archive(ach *a, const char *name, const char *to, err *e) WARN_UNUSED;
void ach_archive_prune(ach *a); // deletes files that are too old or too many for the habits
bool ach_in_archive(ach *a, const char *name);
// ach_take.c
bool ach_take(ach *a, const char *name);

// ach_outputs.c
bool ach_outputs_write(ach *a, err *e) WARN_UNUSED; // all waiting outputs
typedef enum ach_output { ACH_OUT_ACK, ACH_OUT_SETTLEMENT, ACH_OUT_RETURNS } ach_output;
// In the writer: adds an output. kind_name is its name at a kind bank; a bank with its own names numbers the outputs instead.
bool ach_output_add(ach *a, books_tx *tx, ach_output kind, const char *kind_name, str content,
                    char name[BOOKS_NAME_MAX], err *e) WARN_UNUSED;

// ach_settle.c
// In the writer: settles one accepted file, with its report and its returns.
bool ach_settle_file(ach *a, books_tx *tx, int64_t file_id, const char *name, const char *origin,
                     int64_t now_us, err *e) WARN_UNUSED;
bool ach_settle_due(ach *a, err *e) WARN_UNUSED;

// ach_returns.c
// In the writer: sends a file's returns before its settlement (file_id > 0), or an origin's due ones. *n: their number.
bool ach_returns_send(ach *a, books_tx *tx, int64_t file_id, const char *origin, int64_t now_us,
                      size_t *n, err *e) WARN_UNUSED;
bool ach_returns_due(ach *a, err *e) WARN_UNUSED;
bool ach_stopping(ach *a);

#endif
