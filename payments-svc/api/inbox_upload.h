// Gathers the parts of a repair whose bytes do not fit into one message. In memory only: what is lost with the process is sent again.
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
    size_t offset, total; // of all parts; the caller bounds total
} inbox_part;
// Adds a part; the first (offset 0) begins. *whole: all of it, @owned, when this was the last one; otherwise empty. FAILED_PRECONDITION,
// UPLOAD_LOST: another upload has begun meanwhile, this one came to a stand for ten minutes, or another process has the first part.
// RESOURCE_EXHAUSTED, UPLOAD_BUSY: another actor's upload had a part within the last minute. INVALID_ARGUMENT: a first part that is larger
// than the whole; it ends nothing. Any thread.
bool inbox_upload_add(inbox_upload *u, const inbox_part *part, str *whole, err *e) WARN_UNUSED;
// Ends an upload that had no part for ten minutes: it is account numbers in memory that nobody waits for. Whether one is under way.
bool inbox_upload_tidy(inbox_upload *u);
void inbox_upload_free(str whole); // accepts an empty one

#endif
