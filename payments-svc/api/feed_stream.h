// Shared by FeedService and WatchPayouts: a call that follows the feed of a book. Private to this room.
#ifndef API_FEED_STREAM_H
#define API_FEED_STREAM_H

#include "api/service_internal.h"
#include "feed/feed.h"

typedef struct feed_stream {
    payments_service *s;
    rpc_call *call;
    int64_t book_id;
    feed_filter filter;
    int64_t position; // everything up to here was sent
    void *owner;
    // Reads further data of a page, in the same transaction, and may drop changes. NULL: nothing more.
    bool (*more)(void *owner, db_conn *c, feed_page *page, arena *a, err *e);
    // Sends some changes of a page as one message; n may be 0. False: the caller is gone.
    bool (*send)(void *owner, const feed_change *changes, size_t n, int64_t position, int64_t head,
                 arena *a);
    // True when the call ends at the end of the feed.
    bool (*is_over)(void *owner);
    // Private: the last position told to the caller, and its time.
    int64_t told, told_ms;
} feed_stream;

// Sends everything after f->position until it is over, or the caller is gone. False: *e tells why it cannot go on.
bool feed_stream_run(feed_stream *f, err *e) WARN_UNUSED;

#endif
