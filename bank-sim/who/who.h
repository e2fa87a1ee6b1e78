// A keyed hash of each credited person: enough to tell one person from another, not enough to find one.
#ifndef WHO_WHO_H
#define WHO_WHO_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { WHO_LEN = 32 };

typedef struct who who;

// Reads the key from this file; makes a missing one. NULL with *e. @owned by the caller
who *who_open(const char *key_path, err *e);
void who_close(who *w); // wipes the key; accepts NULL

// The hash of one creditor. @thread any
void who_hash(const who *w, str routing, str account, str name, uint8_t out[WHO_LEN]);

#endif
