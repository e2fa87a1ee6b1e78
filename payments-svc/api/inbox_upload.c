// The bytes of a repair that is larger than a message: they come in parts, one call after another, and are gathered here. One upload at a
// time: a new upload ends the previous one, whose client must start again. An upload with recent parts is not interrupted by other actors.
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "api/inbox_upload.h"
#include "base/assert.h"

enum { BUSY_MS = 60 * 1000, UNFINISHED_MS = 10 * 60 * 1000 }; // since the last part

struct inbox_upload {
    const clock_source *clock;
    pthread_mutex_t mutex; // guards all below
    char *bytes;           // NULL: no upload
    size_t len, total;
    uuid inbox_id;
    str actor;       // owned
    int64_t last_ms; // time of its last part
};

inbox_upload *inbox_upload_create(const clock_source *clock) {
    inbox_upload *u = calloc(1, sizeof *u);
    ASSERT(u != NULL);
    u->clock = clock;
    MUST(pthread_mutex_init(&u->mutex, NULL) == 0);
    return u;
}

static void forget(inbox_upload *u) {
    if (u->bytes != NULL) {
        explicit_bzero(u->bytes, u->len); // account numbers; the memory after them is unused
    }
    free(u->bytes);
    free((char *)(uintptr_t)u->actor.ptr);
    u->bytes = NULL;
    u->actor = (str){0};
    u->len = u->total = 0;
}

void inbox_upload_destroy(inbox_upload *u) {
    if (u != NULL) {
        forget(u);
        MUST(pthread_mutex_destroy(&u->mutex) == 0);
        free(u);
    }
}

// How long the current upload keeps another actor from beginning; 0: not at all.
static int64_t busy_ms(const inbox_upload *u, str actor, int64_t now_ms) {
    const int64_t left = u->last_ms + BUSY_MS - now_ms;
    return u->bytes == NULL || str_eq(u->actor, actor) || left < 0 ? 0 : left;
}

static bool begin(inbox_upload *u, const inbox_part *part, int64_t now_ms, err *e) {
    const int64_t busy = busy_ms(u, part->actor, now_ms);
    if (busy > 0) {
        err_set(e, ERR_RESOURCE_EXHAUSTED, "UPLOAD_BUSY",
                "somebody else is sending a repair in parts: begin again later");
        e->retry_after_ms = (int32_t)busy;
        return false;
    }
    if (part->bytes.len > part->total) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "CONTENT_INVALID", "content",
                             "the part must lie within the whole");
    }
    char *actor = strndup(part->actor.ptr, part->actor.len);
    forget(u);
    u->bytes = malloc(part->total);
    u->actor = (str){actor, part->actor.len};
    if (u->bytes == NULL || actor == NULL) {
        forget(u);
        return err_no_memory(e, "the content");
    }
    u->total = part->total;
    u->inbox_id = part->inbox_id;
    return true;
}

static void end_unfinished(inbox_upload *u, int64_t now_ms) {
    if (u->bytes != NULL && now_ms - u->last_ms >= UNFINISHED_MS) {
        forget(u);
    }
}

static bool add(inbox_upload *u, const inbox_part *part, str *whole, err *e) {
    const int64_t now_ms = clock_mono_ms(u->clock);
    end_unfinished(u, now_ms);
    if (part->offset == 0 && !begin(u, part, now_ms, e)) {
        return false;
    }
    const bool goes_on = u->bytes != NULL && uuid_eq(u->inbox_id, part->inbox_id) &&
                         str_eq(u->actor, part->actor) && u->total == part->total &&
                         u->len == part->offset && part->bytes.len <= u->total - u->len;
    if (!goes_on) {
        return err_set(e, ERR_FAILED_PRECONDITION, "UPLOAD_LOST",
                       "the part does not continue the parts before it: begin with the first part");
    }
    memcpy(u->bytes + u->len, part->bytes.ptr, part->bytes.len);
    u->len += part->bytes.len;
    u->last_ms = now_ms;
    if (u->len < u->total) {
        return true;
    }
    *whole = (str){u->bytes, u->total};
    u->bytes = NULL; // now the caller's
    forget(u);
    return true;
}

void inbox_upload_free(str whole) {
    if (whole.ptr != NULL) {
        explicit_bzero((char *)(uintptr_t)whole.ptr, whole.len); // account numbers
        free((char *)(uintptr_t)whole.ptr);
    }
}

bool inbox_upload_add(inbox_upload *u, const inbox_part *part, str *whole, err *e) {
    *whole = (str){0};
    ASSERT(part->bytes.len > 0 && part->total > 0);
    MUST(pthread_mutex_lock(&u->mutex) == 0);
    const bool ok = add(u, part, whole, e);
    MUST(pthread_mutex_unlock(&u->mutex) == 0);
    return ok;
}

bool inbox_upload_tidy(inbox_upload *u) {
    MUST(pthread_mutex_lock(&u->mutex) == 0);
    end_unfinished(u, clock_mono_ms(u->clock));
    const bool any = u->bytes != NULL;
    MUST(pthread_mutex_unlock(&u->mutex) == 0);
    return any;
}
