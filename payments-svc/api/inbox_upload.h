// Gathers the parts of a repair that is larger than one message. In memory only: after a crash the client sends it again.
#ifndef API_INBOX_UPLOAD_H
#define API_INBOX_UPLOAD_H

#include <stddef.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"

typedef struct inbox_upload inbox_upload;
inbox_upload *inbox_upload_create(const clock_source *clock); // @borrows the clock
void inbox_upload_destroy(inbox_upload *u);                   // accepts NULL

typedef struct inbox_part {
    uuid inbox_id;
    str actor;
    str bytes;            // not empty
    size_t offset, total; // of all parts; the caller limits total
} inbox_part;
// Adds a part; the first (offset 0) begins an upload. *whole: all bytes, @owned, after the last part; else empty. FAILED_PRECONDITION,
// UPLOAD_LOST: another upload has begun, this one had no part for ten minutes, or another process has the first part. RESOURCE_EXHAUSTED,
// UPLOAD_BUSY: another actor's upload had a part within the last minute. INVALID_ARGUMENT: a first part larger than the whole; it ends no
// upload. Any thread.
bool inbox_upload_add(inbox_upload *u, const inbox_part *part, str *whole, err *e) WARN_UNUSED;
// Ends an upload without a part for ten minutes: its account numbers must not stay in memory. Returns true while one is under way.
bool inbox_upload_tidy(inbox_upload *u);
void inbox_upload_free(str whole); // accepts an empty one

#endif
