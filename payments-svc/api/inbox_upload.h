// Gathers the parts of a repair whose bytes do not fit into one message. In memory only: what is lost with the process is sent again.
#ifndef API_INBOX_UPLOAD_H
#define API_INBOX_UPLOAD_H

#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"

typedef struct inbox_upload inbox_upload;
inbox_upload *inbox_upload_create(void);
void inbox_upload_destroy(inbox_upload *u); // accepts NULL

typedef struct inbox_part {
    uuid inbox_id;
    str actor;
    str bytes;            // not empty
    size_t offset, total; // of all parts; the caller bounds total
} inbox_part;
// Adds a part; the first (offset 0) begins. *whole: all of it, @owned, when this was the last one; otherwise empty. FAILED_PRECONDITION,
// UPLOAD_LOST: another upload has begun meanwhile, or another process has the first part. Any thread.
bool inbox_upload_add(inbox_upload *u, const inbox_part *part, str *whole, err *e) WARN_UNUSED;
void inbox_upload_free(str whole); // accepts an empty one

#endif
