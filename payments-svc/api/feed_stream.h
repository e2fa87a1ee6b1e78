// What FeedService and WatchPayouts share: a call that follows the feed of a book. Private to this room.
#ifndef API_FEED_STREAM_H
#define API_FEED_STREAM_H

#include "api/service_internal.h"
#include "feed/feed.h"

typedef struct feed_stream {
    payments_service *s;
    rpc_call *call;
    int64_t book_id;
    feed_filter filter;
    int64_t position; // up to which all was given
    void *owner;
    // Reads what belongs to a page, with it, and may leave changes out. NULL: nothing does.
    bool (*more)(void *owner, db_conn *c, feed_page *page, arena *a, err *e);
    // Sends some changes of a page, one message; n may be 0. False: the caller is gone.
    bool (*send)(void *owner, const feed_change *changes, size_t n, int64_t position, int64_t head,
                 arena *a);
    // Whether there is nothing more to wait for, at the end of the feed.
    bool (*is_over)(void *owner);
    // Its own: the position that the caller was told last, and when.
    int64_t told, told_ms;
} feed_stream;

// Gives what follows f->position until it is over, or the caller is gone. False: *e says why it cannot go on.
bool feed_stream_run(feed_stream *f, err *e) WARN_UNUSED;

#endif
