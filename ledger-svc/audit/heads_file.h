// The heads file: every signed head, one line each, only ever added to, on disk before the call returns. It is for who does
// not want to trust the database: copy it away, often. One process writes a file; another one is refused.
#ifndef AUDIT_HEADS_FILE_H
#define AUDIT_HEADS_FILE_H

#include "audit/head.h"

typedef struct heads_file heads_file;

// Opens, or makes, the file and tells of each head in it. A last line that was not finished, by a crash, is cut off; any
// other line that is no head refuses the start (DATA_LOSS), and so does a false from on_head.
typedef bool (*heads_file_on_head)(void *arg, const tree_head *head, err *e);
heads_file *heads_file_open(const char *path, heads_file_on_head on_head, void *arg, err *e);
void heads_file_close(heads_file *f); // accepts NULL
// All of them or, on failure, none. @thread one at a time.
bool heads_file_append(heads_file *f, const tree_head *heads, size_t n, err *e) WARN_UNUSED;

#endif
