// Files of archived rows: JSON lines in gzip, each with a manifest of its contents. A file is read back before anything relies on it.
// Sealed columns stay sealed in it, as in the database.
#ifndef MAINTAIN_ARCHIVE_H
#define MAINTAIN_ARCHIVE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"

enum { ARCHIVE_TABLES_MAX = 8, ARCHIVE_NAME_MAX = 160, ARCHIVE_HASH_HEX = 65 };

// The rows of one table in a file.
typedef struct archive_rows {
    char table[40];
    int64_t n;
} archive_rows;

typedef struct archive_info {
    char file[ARCHIVE_NAME_MAX]; // without its folder
    char kind[24];               // "payouts" …
    int64_t book_id;
    uuid archive_id;
    archive_rows tables[ARCHIVE_TABLES_MAX];
    size_t n_tables;
    char before[40];                // the archive took rows before this time: RFC 3339
    char made_at[40];               // RFC 3339
    int64_t bytes;                  // of the file
    char sha256[ARCHIVE_HASH_HEX];  // of the file, hex
    char content[ARCHIVE_HASH_HEX]; // sha256 of the unpacked content
} archive_info;

typedef struct archive_writer archive_writer;

// Begins a file in an existing folder. Until archive_finish the file has a temporary name, so that leftovers of an interrupted run are
// recognised. NULL with *e set when it cannot be made. info: kind, book_id, archive_id, before, made_at.
archive_writer *archive_begin(const char *folder, const archive_info *info, err *e);
// Adds one row, as JSON text without line ends.
bool archive_add(archive_writer *w, const char *table, str json, err *e) WARN_UNUSED;
int64_t archive_count(const archive_writer *w, const char *table);
// Writes the file to the disk, reads it back, writes its manifest, and gives both their names. *info becomes the manifest's content. Frees
// w in every case; a failure leaves no file.
bool archive_finish(archive_writer *w, archive_info *info, err *e) WARN_UNUSED;
// Drops the file. Accepts NULL.
void archive_drop(archive_writer *w);

// The manifests of a folder, by name; *n may be 0. @arena
bool archive_list(const char *folder, archive_info **out, size_t *n, arena *a, err *e) WARN_UNUSED;
// Reads the manifest beside a file. path: the file.
bool archive_read_manifest(const char *path, archive_info *out, err *e) WARN_UNUSED;
// Reads a whole file, and compares sums and counts with its manifest. on_row may be NULL; a false from it ends the reading, and the call
// fails.
typedef bool (*archive_on_row)(void *arg, str table, str json, err *e);
bool archive_read(const char *path, const archive_info *info, archive_on_row on_row, void *arg,
                  err *e) WARN_UNUSED;

#endif
