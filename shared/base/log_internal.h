// The last line of a process before it aborts; not for other rooms.
#ifndef BASE_LOG_INTERNAL_H
#define BASE_LOG_INTERNAL_H

// Writes one line without the log's lock: the broken invariant may be the log's own.
void log_panic(const char *event, const char *condition, const char *site);

#endif
