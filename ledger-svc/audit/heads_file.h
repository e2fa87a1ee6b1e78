// The heads file: every signed head, one line each. Lines are only ever added, and are on disk before the call returns. The file serves
// readers who do not trust the database: copy it away, often. Only one process may write a file; a second is refused.
#ifndef AUDIT_HEADS_FILE_H
#define AUDIT_HEADS_FILE_H

#include "audit/head.h"

typedef struct heads_file heads_file;

// Opens, or makes, the file and calls on_head for each head in it. An unfinished last line, left by a crash, is cut off. Any other line
// that is no head refuses the start (DATA_LOSS). So does a false from on_head.
typedef bool (*heads_file_on_head)(void *arg, const tree_head *head, err *e);
heads_file *heads_file_open(const char *path, heads_file_on_head on_head, void *arg, err *e);
void heads_file_close(heads_file *f); // accepts NULL
// Appends all heads or, on failure, none. @thread one at a time.
bool heads_file_append(heads_file *f, const tree_head *heads, size_t n, err *e) WARN_UNUSED;

#endif
